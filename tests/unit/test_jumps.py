"""A jump is where one is: poses that were made before their client heard of it lead nowhere.

A client hears of a jump some time after it was granted, and until then says where it was before.
Taken as steps those poses would walk it back, as fast as it may run. Here a world is given such
poses in each of the ways in which somebody is put elsewhere; the last test plays whole lives of a
client over a link with a delay of chance.
"""

from __future__ import annotations

import itertools
import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.world import commands as c
from atrium_server.world.manifest import parse_manifest
from atrium_server.world.movement import PoseBatch
from atrium_server.world.world import World
from atrium_shared import edits, pose
from atrium_shared import messages as m
from atrium_shared.messages import MoveReason, Rights, TeleportTarget
from atrium_shared.props import Seat, Transform

MANIFEST = """
[world]
name = "test"
tick_rate_hz = 20
capacity = 4
[extent]
min = [-40.0, -1.0, -40.0]
max = [40.0, 9.0, 40.0]
[movement]
teleport_range_m_max = 30.0
teleport_cooldown_s = 0.0
[[seat]]
name = "bench"
position = [0.0, 0.4, -9.0]
[[spawn]]
position = [0.0, 0.0, 0.0]
radius_m = 0.1
"""
SESSION = 7
CHAIR = b"c" * 16


class Stage:
    """A world with one person, and the poses that come from there."""

    def __init__(self) -> None:
        self.world = World(parse_manifest(MANIFEST, "test"), 1)
        self.out = c.TickOutput()
        self.step(c.Join(SESSION, "Ann", "", author="guest:1", rights=int(Rights.BUILD)))
        self.seq = 0

    def step(self, *commands: c.AnyCommand, poses: PoseBatch | None = None) -> None:
        self.out = self.world.step(commands, poses, 50 * (self.world.tick + 1))

    def rest(self, ticks: int) -> None:
        for _ in range(ticks):
            self.step()

    def pose(self, x: float, z: float, ack: int, flags: int = 0, y: float = 0.0) -> PoseBatch:
        """The next pose of the person."""
        self.seq += 1
        rows = np.zeros((1, pose.COLUMNS), np.int32)
        rows[0, :3] = round(x * 1000), round(y * 1000), round(z * 1000)
        rows[0, pose.FLAGS] = flags
        return PoseBatch(
            np.zeros(1, np.int32), np.array([self.seq], np.uint32),
            np.array([ack % 2**32], np.uint32), rows, np.zeros(1, np.uint8),
            np.zeros((1, pose.EXTRA_BYTES), np.uint8),
        )

    @property
    def at(self) -> tuple[float, float]:
        x, _, z = self.world.tables.poses.rows[0, :3].tolist()
        return x / 1000, z / 1000

    @property
    def corrections(self) -> list[m.Correction]:
        """Of the last tick."""
        return [tell.message for tell in self.out.tells if isinstance(tell.message, m.Correction)]

    @property
    def reasons(self) -> list[MoveReason]:
        return [MoveReason(correction.reasons) for correction in self.corrections]


def jump(x: float, z: float) -> c.Jump:
    return c.Jump(SESSION, 1, TeleportTarget.POINT, 0, x, 0.0, z, 0.0)


SIT = c.Jump(SESSION, 1, TeleportTarget.SEAT, 0, 0.0, 0.0, 0.0, 0.0)
STAND = c.Jump(SESSION, 1, TeleportTarget.STAND, 0, 0.0, 0.0, 0.0, 0.0)
TO_SPAWN = c.Jump(SESSION, 1, TeleportTarget.SPAWN, 0, 0.0, 0.0, 0.0, 0.0)
MAKE_CHAIR = c.Build(SESSION, 1, edits.Create(CHAIR, b"", Transform((0.0, 0.0, 5.0)), Seat()))
WAYS: dict[str, tuple[list[c.AnyCommand], c.AnyCommand]] = {
    "jump": ([], jump(12.0, 0.0)),
    "spawn": ([jump(12.0, 0.0)], TO_SPAWN),
    "sit": ([], SIT),
    "stand": ([SIT], STAND),
    "sit on a prop": ([MAKE_CHAIR], c.SitOn(SESSION, 1, CHAIR)),
    "the seat is gone": (
        [MAKE_CHAIR, c.SitOn(SESSION, 1, CHAIR)], c.Build(SESSION, 2, edits.Delete(CHAIR))
    ),
}
"""What is done before, and what then puts one elsewhere."""


@pytest.mark.parametrize("way", WAYS)
def test_a_pose_of_before_a_jump_moves_nobody(way: str) -> None:
    before, last = WAYS[way]
    stage = Stage()
    for command in before:
        stage.step(command)
        heard = stage.world.tick
        stage.rest(25)
        stage.step(poses=stage.pose(*stage.at, heard, y=stage.world.places.metres(0)[1]))
    old, knew = stage.at, stage.world.tick
    # One is under way already when the jump is granted, and is in the same tick's batch.
    stage.step(last, poses=stage.pose(*old, knew))
    assert stage.reasons == [MoveReason.TELEPORT]
    jumped, landed = stage.world.tick, stage.at
    assert math.dist(old, landed) > 0.3
    for _ in range(20):
        stage.step(poses=stage.pose(*old, jumped - 1))
        assert (stage.at, stage.corrections) == (landed, [])


def test_who_has_heard_of_the_jump_walks_on_from_there() -> None:
    stage = Stage()
    stage.step(jump(12.0, 0.0))
    jumped = stage.world.tick
    stage.step(poses=stage.pose(0.0, 0.0, jumped - 1))
    stage.rest(5)
    stage.step(poses=stage.pose(12.1, 0.0, jumped))
    assert (stage.at, stage.corrections) == ((12.1, 0.0), [])
    # What has once been heard stays heard, whatever later poses acknowledge.
    stage.step(poses=stage.pose(12.2, 0.0, 0))
    assert stage.at == (12.2, 0.0)


def test_of_two_jumps_the_last_is_waited_for() -> None:
    stage = Stage()
    stage.step(jump(12.0, 0.0))
    first = stage.world.tick
    stage.step(jump(0.0, 12.0))
    stage.rest(5)
    stage.step(poses=stage.pose(12.0, 0.0, first))
    assert stage.at == (0.0, 12.0)
    stage.step(poses=stage.pose(0.0, 11.9, first + 1))
    assert stage.at == (0.0, 11.9)


def test_a_jump_that_was_denied_holds_nobody_up() -> None:
    stage = Stage()
    stage.rest(5)
    stage.step(jump(39.0, 0.0))
    x, z = stage.at
    stage.step(poses=stage.pose(x + 0.1, z, 0))
    assert stage.at[0] == round(x + 0.1, 3)


def test_who_comes_back_on_another_link_has_heard_it_from_the_welcome() -> None:
    stage = Stage()
    stage.step(jump(12.0, 0.0))
    stage.step(c.LinkChange(SESSION, lost=True))
    stage.step(c.LinkChange(SESSION, lost=False))
    stage.rest(5)
    stage.step(poses=stage.pose(12.1, 0.0, 0))
    assert stage.at == (12.1, 0.0)


def test_the_next_owner_of_a_slot_waits_for_nothing() -> None:
    stage = Stage()
    stage.step(jump(12.0, 0.0))
    stage.step(c.Leave(SESSION))
    stage.rest(1)
    stage.step(c.Join(SESSION + 1, "Ben", ""))
    stage.rest(5)
    x, z = stage.at
    stage.step(poses=stage.pose(x + 0.1, z, 0))
    assert stage.at[0] == round(x + 0.1, 3)


def test_a_step_of_the_turn_is_told_once_the_jump_was_heard() -> None:
    stage = Stage()
    stage.step(jump(12.0, 0.0))
    jumped = stage.world.tick
    flags = [stage.world.tables.poses.rows[0, pose.FLAGS] & 1]
    for ack in (0, 0, jumped, jumped):
        stage.step(poses=stage.pose(12.0, 0.0, ack, int(pose.Flags.SNAP)))
        flags.append(stage.world.tables.poses.rows[0, pose.FLAGS] & 1)
    assert [a != b for a, b in itertools.pairwise(flags)] == [False, False, True, False]


def test_ticks_are_compared_around_the_end_of_their_numbers() -> None:
    stage = Stage()
    stage.world.tick = 2**32 - 3
    stage.step(jump(12.0, 0.0))
    stage.rest(8)
    stage.step(poses=stage.pose(0.0, 0.0, 2**32 - 3))
    assert stage.at == (12.0, 0.0)
    stage.step(poses=stage.pose(12.1, 0.0, 4))
    assert stage.at == (12.1, 0.0)


@dataclass
class Walker:
    """A client that walks east, and believes the server about jumps when it hears of them."""

    at: tuple[float, float]
    ack: int = 0
    down: deque[tuple[int, int, list[m.Correction]]] = field(
        default_factory=deque[tuple[int, int, list[m.Correction]]]
    )
    """(when it arrives, tick, what was said before the snapshot of that tick)."""
    up: deque[tuple[int, PoseBatch]] = field(default_factory=deque[tuple[int, PoseBatch]])

    def hear(self, now: int) -> None:
        while self.down and self.down[0][0] <= now:
            _, self.ack, corrections = self.down.popleft()
            for correction in corrections:
                assert correction.reasons == MoveReason.TELEPORT, "nothing else was wrong"
                row = pose.decode_bodies(np.frombuffer(correction.body, np.uint8)[None])[0][0]
                self.at = int(row[pose.X]) / 1000, int(row[pose.Z]) / 1000


delays = st.lists(st.integers(0, 12), min_size=40, max_size=40)


@given(jumps=st.sets(st.integers(0, 30), max_size=6), up=delays, down=delays)
def test_over_any_link_both_agree_where_one_is(
    jumps: set[int], up: list[int], down: list[int]
) -> None:
    """And no jump is ever answered by another correction."""
    stage = Stage()
    stage.rest(25)
    walker = Walker(stage.at)
    for now in range(40):
        walker.hear(now)
        x, z = walker.at
        walker.at = round(x + 0.05, 3), z
        arrives = max([now + up[now], *(at for at, _ in walker.up)])
        walker.up.append((arrives, stage.pose(*walker.at, walker.ack)))
        poses = None
        if walker.up[0][0] <= now:
            poses = walker.up.popleft()[1]
        commands = [jump(float(now % 7) * 3 - 9, float(now % 5) * 3 - 6)] if now in jumps else []
        stage.step(*commands, poses=poses)
        heard_at = max([now + down[now], *(at for at, *_ in walker.down)])
        walker.down.append((heard_at, stage.world.tick, stage.corrections))
    for now in range(40, 100):
        walker.hear(now)
        poses = walker.up.popleft()[1] if walker.up else stage.pose(*walker.at, walker.ack)
        stage.step(poses=poses)
    assert stage.at == walker.at
