"""Other people in the world, by the Python SDK: one that watches for a test, and a crowd.

The witness runs in a thread of its own, as the tests drive their browser synchronously. What it
tells is what the server tells everybody: so a page is compared with the server, not with itself.
The crowd is a process of its own, so that a hundred bots cost the test no time.

    python others.py URL COUNT    a crowd; says "ready" when all are in, and ends with its input
"""

from __future__ import annotations

import math
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import trio

from atrium_client import connect
from atrium_client.client import Me, Options
from atrium_client.view import Avatar
from atrium_shared.messages import Capabilities

JOIN_S_MAX: Final = 30.0
EFFECT_S_MAX: Final = 20.0
ASK_S: Final = 0.04
STEP_S: Final = 0.1
LOOKS: Final = 8

T = TypeVar("T")


class Witness:
    """Somebody in the world who can be asked from a synchronous test."""

    def __init__(self, url: str, name: str, **options: Any) -> None:
        self._url, self._name = url.replace("http", "ws", 1), name
        self._options = Options(**options)
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._token: trio.lowlevel.TrioToken
        self._me: Me
        self._leave: trio.Event

    def _run(self) -> None:
        try:
            trio.run(self._live)
        except BaseException as error:
            self._error = error
            self._ready.set()

    async def _live(self) -> None:
        async with connect(self._url, name=self._name, options=self._options) as me:
            self._token, self._me = trio.lowlevel.current_trio_token(), me
            self._leave = trio.Event()
            self._ready.set()
            await self._leave.wait()

    def __enter__(self) -> Witness:
        self._thread.start()
        assert self._ready.wait(JOIN_S_MAX), "the witness could not join"
        if self._error is not None:
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        trio.from_thread.run_sync(self._leave.set, trio_token=self._token)
        self._thread.join(JOIN_S_MAX)

    def ask(self, question: Callable[[Me], T]) -> T:
        """What `question` says of the witness, in its own thread."""
        return trio.from_thread.run_sync(question, self._me, trio_token=self._token)

    def do(self, deed: Callable[[Me], Awaitable[T]]) -> T:
        """Let the witness do something, and wait for it."""
        return trio.from_thread.run(deed, self._me, trio_token=self._token)

    def until(self, question: Callable[[Me], T]) -> T:
        """The answer to a question once it is true."""
        async def answered(me: Me) -> T:
            with trio.fail_after(EFFECT_S_MAX):
                while True:
                    if answer := question(me):
                        return answer
                    await trio.sleep(ASK_S)

        return self.do(answered)

    def sees(self, name: str) -> Avatar:
        """Somebody as the server tells others, once in view."""
        return self.until(lambda me: next((o for o in me.others if o.name == name), None))


@contextmanager
def crowd(url: str, count: int) -> Iterator[None]:
    """So many bots that walk around, until the block ends."""
    process = subprocess.Popen(
        [sys.executable, __file__, url.replace("http", "ws", 1), str(count)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "ready\n", "the crowd could not join"
        yield
    finally:
        process.stdin.close()
        process.wait(JOIN_S_MAX)
        process.stdout.close()


async def _walk(url: str, number: int, joined: Callable[[], None]) -> None:
    """Around in a circle of one's own."""
    options = Options(
        capabilities=Capabilities(avatars_max=1, bytes_per_s=20_000), pose_rate_hz=10.0,
        avatar=f"bot{number % LOOKS}",
    )
    async with connect(url, name=f"Bot {number}", options=options) as me:
        joined()
        x, y, z = me.position
        angle = number * 2.4
        while True:
            angle += STEP_S * 0.9
            at = (x + 1.5 * math.cos(angle), y, z + 1.5 * math.sin(angle))
            me.move_to(at, -angle)
            await trio.sleep(STEP_S)


async def _crowd(url: str, count: int) -> None:
    left = count

    def joined() -> None:
        nonlocal left
        left -= 1
        if not left:
            print("ready", flush=True)

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(_walk, url, number, joined)
            await trio.sleep(0.02)
        await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(_crowd, sys.argv[1], int(sys.argv[2]))
