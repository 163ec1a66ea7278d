"""Interpolation: held, blended, jumped or continued, each at its time."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from atrium_client.playout import DELAY_S_MAX, Playout
from atrium_client.view import EXTRAPOLATION_S_MAX, RECORDS_MAX, Interpolator
from atrium_shared import pose
from atrium_shared.messages import EnterEntry, EntityKind
from atrium_shared.snapshot import View

TICK_S = 0.05
HEAD = pose.ROOT_COLUMNS


class Scene:
    """One entity at index 4; times are ticks of 50 ms."""

    def __init__(self, y_unit_mm: int = 1) -> None:
        self.view, self.interpolator = View(), Interpolator(20, y_unit_mm)
        self.interpolator.entered(EnterEntry(4, 9, EntityKind.AVATAR, "Bob", "robot"))

    def record(self, tick: int, x_mm: int = 0, parts: int = 0, **more: int) -> None:
        """A record of `tick`."""
        columns = {"y": pose.Y, "yaw": pose.YAW, "flags": pose.FLAGS, "head_x": HEAD,
                   "head_rotation": HEAD + 3}
        self.view.rows[4, pose.X] = x_mm
        for name, value in more.items():
            self.view.rows[4, columns[name]] = value
        self.view.parts[4] = parts
        self.interpolator.take(self.view, np.array([4], np.uint8), tick, tick * TICK_S)

    def silence(self, tick: int) -> None:
        """A snapshot of `tick` that does not mention the entity."""
        self.interpolator.take(self.view, np.zeros(0, np.uint8), tick, tick * TICK_S)

    def x_at(self, tick: float) -> float:
        """Where it is at a moment, in metres."""
        (avatar,) = self.interpolator.avatars(tick * TICK_S)
        return avatar.position[0]


def test_between_two_records_it_is_between() -> None:
    scene = Scene(y_unit_mm=2)
    scene.record(10, 1_000, y=500)
    scene.record(11, 2_000, y=600)
    assert scene.x_at(10) == pytest.approx(1.0)
    assert scene.x_at(10.25) == pytest.approx(1.25)
    (avatar,) = scene.interpolator.avatars(10.5 * TICK_S)
    assert avatar.position == pytest.approx((1.5, 1.1, 0.0))
    assert (avatar.name, avatar.entity_id, avatar.avatar) == ("Bob", 9, "robot")


@pytest.mark.parametrize("gap", [2, 4])
def test_a_coarser_rate_is_blended_over_its_gap(gap: int) -> None:
    scene = Scene()
    scene.record(10, 0)
    scene.record(10 + gap, 1_000)
    assert scene.x_at(10 + gap / 2) == pytest.approx(0.5)


def test_after_a_longer_gap_it_moves_only_in_the_last_tick() -> None:
    scene = Scene()
    scene.record(10, 0)
    scene.record(30, 1_000)
    assert scene.x_at(20) == pytest.approx(0.0)
    assert scene.x_at(29) == pytest.approx(0.0)
    assert scene.x_at(29.5) == pytest.approx(0.5)


def test_nobody_slides_across_a_discontinuity() -> None:
    scene = Scene()
    scene.record(10, 0, flags=pose.Flags.TYPING)
    scene.record(11, 50_000, flags=pose.Flags.TYPING | pose.Flags.DISCONTINUITY)
    assert scene.x_at(10.9) == pytest.approx(0.0)
    assert scene.x_at(11) == pytest.approx(50.0)
    assert scene.x_at(12) == pytest.approx(50.0)
    scene.record(12, 50_100)
    assert scene.x_at(10.9) == pytest.approx(0.0)
    assert scene.x_at(11.5) == pytest.approx(50.05)


def test_without_news_it_goes_on_for_a_moment_and_then_waits() -> None:
    scene = Scene()
    scene.record(10, 0)
    scene.record(11, 100)
    assert scene.x_at(12) == pytest.approx(0.2)
    most = 0.1 + 0.1 * EXTRAPOLATION_S_MAX / TICK_S
    assert scene.x_at(16) == pytest.approx(most)
    assert scene.x_at(100) == pytest.approx(most)


def test_who_is_not_mentioned_when_due_stands_still() -> None:
    scene = Scene()
    scene.record(10, 0)
    scene.record(11, 100)
    scene.silence(12)
    assert scene.x_at(12) == pytest.approx(0.1)
    assert scene.x_at(11.5) == pytest.approx(0.1)


def test_who_is_not_due_yet_goes_on() -> None:
    scene = Scene()
    scene.record(10, 0)
    scene.record(14, 400)
    scene.silence(15)
    assert scene.x_at(15) == pytest.approx(0.5)


def test_yaw_takes_the_shorter_way_round() -> None:
    scene = Scene()
    scene.record(10, yaw=pose.YAW_STEPS - 10)
    scene.record(11, yaw=30)
    (avatar,) = scene.interpolator.avatars(10.5 * TICK_S)
    assert avatar.yaw == pytest.approx(10 * 2 * math.pi / pose.YAW_STEPS)
    (avatar,) = scene.interpolator.avatars(10.1 * TICK_S)
    assert avatar.yaw == pytest.approx((pose.YAW_STEPS - 6) * 2 * math.pi / pose.YAW_STEPS)


def test_the_head_is_blended_and_rotations_are_too() -> None:
    turn = math.radians(20)
    codes = pose.encode_rotations(
        np.array([[0, 0, 0, 1], [0, -math.sin(turn / 2), 0, -math.cos(turn / 2)]])
    ).view(np.int32)
    scene = Scene()
    scene.record(10, parts=1, head_x=100, head_rotation=int(codes[0]))
    scene.record(11, parts=1, head_x=200, head_rotation=int(codes[1]))
    (avatar,) = scene.interpolator.avatars(10.5 * TICK_S)
    assert avatar.head is not None
    assert avatar.left_hand is None
    assert avatar.head.position[0] == pytest.approx(0.15)
    wanted = (0, math.sin(turn / 4), 0, math.cos(turn / 4))
    assert abs(np.dot(avatar.head.rotation, wanted)) == pytest.approx(1.0, abs=1e-5)


def test_a_point_that_comes_into_tracking_does_not_fly_in() -> None:
    scene = Scene()
    scene.record(10, parts=0)
    scene.record(11, parts=1, head_x=500)
    (avatar,) = scene.interpolator.avatars(10.5 * TICK_S)
    assert avatar.head is None
    (avatar,) = scene.interpolator.avatars(11 * TICK_S)
    assert avatar.head is not None
    assert avatar.head.position[0] == pytest.approx(0.5)


def test_before_its_first_record_it_is_not_there() -> None:
    scene = Scene()
    assert scene.interpolator.avatars(0.0) == []
    scene.record(10)
    assert scene.interpolator.avatars(9.9 * TICK_S) == []
    assert len(scene.interpolator.avatars(10 * TICK_S)) == 1


def test_after_leaving_the_index_starts_anew() -> None:
    scene = Scene()
    scene.record(10, 1_000)
    scene.record(11, 2_000)
    scene.interpolator.left(4)
    assert scene.interpolator.avatars(11 * TICK_S) == []
    scene.interpolator.entered(EnterEntry(4, 10, EntityKind.NPC, "Eve", ""))
    scene.record(12, 9_000)
    assert scene.interpolator.avatars(11.5 * TICK_S) == []
    assert scene.x_at(12) == pytest.approx(9.0)


def test_only_the_newest_records_are_kept() -> None:
    scene = Scene()
    for tick in range(3 * RECORDS_MAX):
        scene.record(tick, 100 * tick)
    newest = 3 * RECORDS_MAX - 1
    assert scene.x_at(newest - 2.5) == pytest.approx(0.1 * (newest - 2.5))
    oldest = newest - (RECORDS_MAX - 1)
    assert scene.x_at(0.0) == pytest.approx(0.1 * oldest)  # as far back as is known


def test_the_delay_covers_the_jitter() -> None:
    playout = Playout(TICK_S)
    for tick in range(400):
        late_s = 0.08 if tick % 4 == 0 else 0.02
        playout.take(tick * TICK_S, tick * TICK_S + late_s)
    assert playout.delay_s == pytest.approx(0.08 + TICK_S, abs=1e-3)


def test_the_delay_is_bounded_and_changes_gently() -> None:
    playout = Playout(TICK_S)
    shown: list[float] = []
    for tick in range(400):
        late_s = 0.0 if tick < 100 or tick > 300 else 3.0
        playout.take(tick * TICK_S, tick * TICK_S + late_s)
        shown.append(playout.render_s(tick * TICK_S + late_s))
        assert TICK_S <= playout.delay_s <= DELAY_S_MAX
    assert all(after >= before for before, after in pairwise(shown))
