"""A jump over a slow link, through the whole server: who has landed is where it landed.

`tests/unit/test_jumps.py` tries the rule itself in all its cases; here it is held by sockets, inbox
and ticks together.
"""

from __future__ import annotations

import math

import numpy as np
import trio
from harness import Ended, House, Peer, root_body
from trio.testing import MockClock

from atrium_server.net.memory_io import Conditions
from atrium_shared import messages as m
from atrium_shared import pose
from atrium_shared.errors import ErrorCode

SLOW = Conditions(delay_s=0.3)


class Walker:
    """Says twenty times a second where it believes to be; a jump moves it once it has heard."""

    def __init__(self, peer: Peer, welcome: m.Welcome) -> None:
        self.peer = peer
        self.ack = self.seq = 0
        self.results: list[m.Result] = []
        self.corrections: list[m.Correction] = []
        self.place(welcome.body)

    def place(self, body: bytes) -> None:
        row = pose.decode_bodies(np.frombuffer(body, np.uint8)[None])[0][0]
        self.x, self.z = int(row[pose.X]) / 1000, int(row[pose.Z]) / 1000

    async def listen(self) -> None:
        try:
            while True:
                match await self.peer.hear():
                    case m.Snapshot(tick=tick):
                        self.ack = tick
                    case m.Result() as result:
                        self.results.append(result)
                    case m.Correction() as correction:
                        self.corrections.append(correction)
                        self.place(correction.body)
                    case _:
                        pass
        except Ended:
            return

    async def walk(self) -> None:
        while True:
            self.seq += 1
            body = root_body(self.x, self.z)
            await self.peer.say(m.Pose(self.seq, 50 * self.seq, self.ack, body))
            await trio.sleep(0.05)


async def test_poses_that_were_under_way_do_not_lead_back(
    house: House, autojump_clock: MockClock
) -> None:
    peer = house.peer(up=SLOW, down=SLOW)
    welcome = await peer.join("Slow")
    walker = Walker(peer, welcome)
    host = house.host()
    rows = host.world.tables.poses.rows
    slot = host.state.sessions[welcome.session_id].slot
    house.nursery.start_soon(walker.listen)
    house.nursery.start_soon(walker.walk)
    await trio.sleep(2.0)
    x, z = walker.x, walker.z
    to = (x + 2.0, z + 2.0)
    await peer.say(m.Teleport(1, m.TeleportTarget.POINT, 0, to[0], 0.0, to[1], 0.0))
    places: list[tuple[float, float]] = []
    for _ in range(40):
        await trio.sleep(0.05)
        places.append((rows[slot, pose.X] / 1000, rows[slot, pose.Z] / 1000))
    assert [result.code for result in walker.results] == [ErrorCode.OK]
    landed = next(k for k, at in enumerate(places) if math.dist(at, (x, z)) > 0.01)
    assert landed < 20
    assert {math.dist(at, to) < 0.002 for at in places[landed:]} == {True}
    assert [one.reasons for one in walker.corrections] == [m.MoveReason.TELEPORT]
    walker.x += 0.05
    await trio.sleep(0.5)
    assert rows[slot, pose.X] == round(walker.x * 1000), "and walks on from there"
