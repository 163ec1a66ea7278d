"""Clients that walk, read and check: for the tests of replication over whole links.

A `Walker` is a `Peer` that sends a pose with every tick of its own and holds a `snapshot.View` of
the others. `Ledger` remembers what the world published in each tick, so that a walker can compare
what it was told with the truth of the tick that a snapshot claims.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import trio
from harness import Ended, House, Peer

from atrium_server.frame import PublishedFrame
from atrium_server.net.memory_io import Conditions
from atrium_shared import messages as m
from atrium_shared import pose, snapshot

PARTS = 3
CAPABILITIES = m.Capabilities(avatars_max=64, parts=PARTS)


@dataclass(frozen=True, slots=True)
class Truth:
    """What was published in one tick, by entity id."""

    rows: dict[int, npt.NDArray[np.int32]]
    parts: dict[int, int]


class Ledger:
    """The published frames of a world, kept by listening at the seam."""

    def __init__(self, house: House, world: str = "") -> None:
        self.host = house.host(world)
        self.truth: dict[int, Truth] = {}
        take_frame = self.host.replicator.take_frame

        def listen(frame: PublishedFrame) -> None:
            take_frame(frame)
            slots = np.flatnonzero(frame.alive[: frame.high]).tolist()
            ids = [int(frame.entity_ids[slot]) for slot in slots]
            self.truth[frame.tick] = Truth(
                {e: frame.rows[slot].copy() for e, slot in zip(ids, slots, strict=True)},
                {e: int(frame.parts[slot]) for e, slot in zip(ids, slots, strict=True)},
            )

        self.host.replicator.take_frame = listen

    @property
    def tick(self) -> int:
        return int(self.host.world.tick)


class Walker:
    """A client that walks in circles of its own and keeps a view of the others."""

    def __init__(self, house: House, name: str, ledger: Ledger) -> None:
        self.house, self.name, self.ledger = house, name, ledger
        self.view = snapshot.View()
        self.entity: dict[int, int] = {}
        self.snapshots = 0
        self.compared = 0
        self.newest_tick = 0
        self.bytes = 0
        self.sizes: list[int] = []
        self.ended: Ended | None = None
        self.welcome: m.Welcome | None = None
        self.peer: Peer | None = None
        self._seq = 0

    async def join(
        self, capabilities: m.Capabilities = CAPABILITIES, up: Conditions | None = None,
        down: Conditions | None = None, resume: bool = False,
    ) -> m.Welcome:
        """Join over a new link (or come back with the token of the last welcome)."""
        token = self.welcome.resume_token if resume and self.welcome is not None else ""
        self.peer = self.house.peer(up=up, down=down)
        self.welcome = await self.peer.join(
            self.name, capabilities=capabilities, resume_token=token
        )
        # A new epoch: all indexes are forgotten.
        self.view, self.entity, self.ended = snapshot.View(), {}, None
        return self.welcome

    @property
    def pipe(self) -> Any:
        """The direction from the server to this client."""
        assert self.peer is not None
        return self.peer.stream.incoming  # type: ignore[attr-defined]

    async def listen(self) -> None:
        """Read until the connection ends."""
        assert self.peer is not None
        peer = self.peer
        try:
            while True:
                self.take(await peer.hear())
        except Ended as ended:
            self.ended = ended

    def take(self, message: m.Message) -> None:
        match message:
            case m.Enter():
                for entry in message.entries:
                    assert entry.index not in self.entity
                    self.entity[entry.index] = entry.entity_id
                    self.view.forget(entry.index)
            case m.Leave():
                for index in message.indexes:
                    del self.entity[index]
            case m.Snapshot():
                self.compare(message)
            case _:
                pass

    def compare(self, message: m.Snapshot) -> None:
        """Take a snapshot and hold it against what was published in its tick."""
        assert message.tick > self.newest_tick
        self.newest_tick = message.tick
        self.snapshots += 1
        self.sizes.append(len(message.body))
        truth = self.ledger.truth[message.tick]
        for index in self.view.apply(message.tick, message.body).tolist():
            entity = self.entity[index]
            parts = int(self.view.parts[index])
            assert not parts & ~(truth.parts[entity] & PARTS)
            columns = pose.ROOT_COLUMNS + pose.POINT_COLUMNS * {0: 0, 1: 1, 3: 3}[parts]
            shown = self.view.rows[index, :columns].tolist()
            assert shown == truth.rows[entity][:columns].tolist()
            self.compared += 1

    async def walk(self) -> None:
        """Send a pose every 50 ms, for ever; each walker goes its own circle."""
        assert self.welcome is not None
        assert self.peer is not None
        peer = self.peer
        row = pose.decode_bodies(np.frombuffer(self.welcome.body, np.uint8)[None])[0]
        x, z = int(row[0, pose.X]), int(row[0, pose.Z])
        phase = self.welcome.entity_id
        while True:
            self._seq += 1
            turn = self._seq * 0.05 + phase
            row[0, pose.X] = x + round(900 * (math.sin(turn) - math.sin(phase)))
            row[0, pose.Z] = z + round(900 * (math.cos(turn) - math.cos(phase)))
            row[0, pose.YAW] = round(turn * 652) % pose.YAW_STEPS
            for point in range(3):
                at = pose.ROOT_COLUMNS + pose.POINT_COLUMNS * point
                row[0, at : at + 3] = 250 * (point - 1), 1_200 + round(40 * math.sin(turn)), 90
                nod = np.array([[math.sin(turn) * 0.2, 0.1 * point, 0.0, 1.0]])
                row[0, at + 3] = pose.encode_rotations(nod).view(np.int32)[0]
            body = pose.encode_bodies(row, np.zeros((1, pose.EXTRA_BYTES), np.uint8), PARTS)
            await peer.say(
                m.Pose(self._seq, 50 * self._seq, self.newest_tick, body[0].tobytes())
            )
            await trio.sleep(0.05)

    def start(self) -> None:
        """Walk and listen in the background."""
        self.house.nursery.start_soon(self.listen)
        self.house.nursery.start_soon(self.walk)


async def crowd_of(house: House, ledger: Ledger, count: int) -> list[Walker]:
    """Walkers that are in and on their way."""
    walkers = [Walker(house, f"walker {n}", ledger) for n in range(count)]
    for walker in walkers:
        await walker.join()
        walker.start()
    return walkers
