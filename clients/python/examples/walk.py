"""Walk a square around the spawn point, say hello, and tell who is near."""

import sys

import trio

from atrium_client import connect


async def main(url: str, name: str) -> None:
    async with connect(url, name=name) as me:
        print(f"{name} is in {me.world} at {me.position}")
        await me.say("hello, I am taking a walk")
        x, y, z = me.position
        for corner in ((x + 3, y, z), (x + 3, y, z - 3), (x, y, z - 3), (x, y, z)):
            reached = await me.walk(corner)
            near = [f"{other.name} at {other.position}" for other in me.others]
            print(f"at {reached}; in view: {', '.join(near) or 'nobody'}")


trio.run(main, *(sys.argv[1:] or ["ws://127.0.0.1:8080", "Ada"]))
