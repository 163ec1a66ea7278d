"""The movement rules: each by hand, then as properties over random worlds and random walks."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrium_server.world import kernels
from atrium_server.world.colliders import Colliders, build_colliders
from atrium_server.world.manifest import Manifest, parse_manifest
from atrium_server.world.movement import (
    MoveRules,
    MoveState,
    PoseBatch,
    PoseTables,
    Spot,
    accrue,
    apply_poses,
    place,
    walkable,
)
from atrium_server.world.scene import Box, Cylinder, Extent
from atrium_shared import pose
from atrium_shared.messages import MoveReason
from atrium_shared.pose import Flags, Parts

EMPTY = parse_manifest(
    """
    world = {name = "test"}
    extent = {min = [-20.0, -1.0, -20.0], max = [20.0, 20.0, 20.0]}
    spawn = [{position = [0.0, 0.0, 0.0]}]
    """,
    "test",
)
RADIUS = 250
SLOTS = 4
HAND = pose.ROOT_COLUMNS + pose.POINT_COLUMNS
WALL = Box("wall", (2.0, 1.5, 0.0), (0.01, 3.0, 30.0), 0.0)
STAGE = Box("stage", (5.0, 0.2, 0.0), (4.0, 0.4, 4.0), 0.0)
TOWER = Box("tower", (5.0, 2.0, 0.0), (4.0, 4.0, 4.0), 0.0)
PILLAR = Cylinder("pillar", (2.0, 1.5, 0.0), 0.5, 3.0)


class World:
    """One world with a few slots, and the shortest ways to say things to it."""

    def __init__(self, *solids: Box | Cylinder, **changes: object) -> None:
        self.manifest: Manifest = replace(
            EMPTY,
            boxes=tuple(solid for solid in solids if isinstance(solid, Box)),
            cylinders=tuple(solid for solid in solids if isinstance(solid, Cylinder)),
            **changes,
        )
        self.colliders: Colliders = build_colliders(self.manifest)
        self.rules = MoveRules.of(self.manifest)
        self.state, self.tables = MoveState.empty(SLOTS), PoseTables.empty(SLOTS)
        self.seq = 0

    def put(self, x: float = 0, y: float = 0, z: float = 0, slot: int = 0) -> None:
        """Place at a point in mm and let a full second pass, so that budgets are full."""
        place(self.state, self.rules, self.tables, slot, Spot(x / 1000, y / 1000, z / 1000, 0.0))
        self.wait(1.2)

    def wait(self, seconds: float) -> None:
        accrue(self.state, self.rules, seconds, len(self.state.seq))

    def send(self, x: int, y: int, z: int, slot: int = 0, **more: int) -> MoveReason:
        """Send one newer pose; returns the rules it broke. `more` sets other columns by name."""
        self.seq += 1
        row = np.zeros(pose.COLUMNS, np.int32)
        row[:3] = x, y, z
        row[pose.FLAGS] = more.pop("flags", 0)
        parts = more.pop("parts", int(Parts.HEAD | Parts.HANDS | Parts.BODY))
        row[pose.ROOT_COLUMNS + 1] = 1600
        for name, value in more.items():
            row[int(name.removeprefix("column_"))] = value
        result = self.apply([slot], [self.seq], row[None], parts)
        assert result.taken.all()
        return MoveReason(int(result.reasons[0]))

    def apply(
        self, slots: list[int], seqs: list[int], rows: pose.IntRows, parts: int = 3, ack: int = 0
    ):
        n = len(slots)
        batch = PoseBatch(
            np.array(slots, np.int32), np.array(seqs, np.uint32), np.full(n, ack, np.uint32),
            np.ascontiguousarray(rows, np.int32), np.full(n, parts, np.uint8),
            (np.arange(n * pose.EXTRA_BYTES) % 251).astype(np.uint8).reshape(n, pose.EXTRA_BYTES),
        )
        return apply_poses(self.state, self.rules, self.colliders, batch, self.tables)

    def at(self, slot: int = 0) -> tuple[int, int, int]:
        x, y, z = self.tables.rows[slot, :3].tolist()
        return x, y * self.rules.y_unit_mm, z


def no_reason(world: World, *step: int) -> bool:
    return world.send(*step) == 0 and world.at() == step


# --- speed -------------------------------------------------------------------------------


def test_a_step_within_the_budget_is_taken_as_it_is():
    world = World()
    world.put()
    assert no_reason(world, 300, 0, -200)


def test_a_leap_is_cut_to_the_budget_along_its_direction():
    world = World()
    world.put()
    assert world.send(9_000, 0, -12_000) == MoveReason.SPEED
    # One second at 6 m/s, on the way to (9, -12).
    assert world.at() == (3_600, 0, -4_800)


def test_a_stall_is_forgiven_for_one_second_and_no_longer():
    world = World()
    world.put()
    world.wait(60.0)
    assert no_reason(world, 0, 0, -6_000)
    assert world.send(0, 0, -6_100) == MoveReason.SPEED
    assert world.at() == (0, 0, -6_000)


@pytest.mark.parametrize("poses_per_tick", [1, 4])
def test_sending_more_often_gets_nobody_further(poses_per_tick: int):
    world = World()
    place(world.state, world.rules, world.tables, 0, Spot(-18.0, 0.0, 0.0, 0.0))
    for _ in range(100):
        world.wait(0.05)
        for _ in range(poses_per_tick):
            x, _, _ = world.at()
            world.send(x + 5_000, 0, 0)
    travelled = world.at()[0] + 18_000
    assert 29_000 <= travelled <= 30_000


def test_a_walker_at_full_speed_is_never_corrected():
    world = World()
    world.put(-18_000)
    for step in range(1, 100):
        world.wait(0.05)
        assert world.send(-18_000 + 300 * step, 0, 0) == 0


def test_acceleration_limits_the_first_moments():
    # 2 m/s2 for a quarter of a second: half a metre per second is allowed at first.
    world = World(movement=replace(EMPTY.movement, acceleration_m_per_s2_max=2.0))
    place(world.state, world.rules, world.tables, 0, Spot(0.0, 0.0, 0.0, 0.0))
    world.wait(0.05)
    assert world.send(1_000, 0, 0) == MoveReason.SPEED
    assert world.at() == (25, 0, 0)
    for _ in range(200):
        world.wait(0.05)
        world.send(world.at()[0] + 1_000 if world.at()[0] < 10_000 else -10_000, 0, 0)
    # Once it has moved for a while the maximum is allowed.
    assert world.state.motion[kernels.SPEED, 0] > 5_500


def test_vertical_speed_is_limited():
    world = World(movement=replace(EMPTY.movement, jump_m_max=15.0))
    place(world.state, world.rules, world.tables, 0, Spot(0.0, 0.0, 0.0, 0.0))
    world.wait(0.1)
    assert world.send(0, 5_000, 0) == MoveReason.SPEED
    assert world.at() == (0, 1_000, 0)
    # What was climbed is spent, however many poses ask for more.
    assert world.send(0, 5_000, 0) == MoveReason.SPEED
    assert world.at() == (0, 1_000, 0)


def test_what_rounding_may_change_is_no_broken_rule():
    world = World()
    world.put(20_000)
    assert world.send(20_002, -2, 0) == 0
    assert world.at() == (20_000, 0, 0)
    assert world.send(20_003, 0, 0) == MoveReason.BOUNDS


def test_time_goes_forward():
    world = World()
    for dt_s in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="forward"):
            world.wait(dt_s)


# --- bounds and heights ------------------------------------------------------------------


def test_the_bounds_hold_on_every_side():
    for sign_x, sign_z in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        world = World()
        world.put(19_000 * sign_x, 0, 19_000 * sign_z)
        assert world.send(21_000 * sign_x, 0, 21_000 * sign_z) == MoveReason.BOUNDS
        assert world.at() == (20_000 * sign_x, 0, 20_000 * sign_z)


def test_nobody_sinks_into_the_floor_or_jumps_higher_than_allowed():
    world = World()
    world.put()
    assert no_reason(world, 0, 1_200, 0)
    world.wait(0.5)
    assert world.send(0, 1_500, 0) == MoveReason.FLOOR
    assert world.at() == (0, 1_200, 0)
    assert world.send(0, -500, 0) == MoveReason.FLOOR
    assert world.at() == (0, 0, 0)


def test_a_step_is_climbed_and_lifts_one_who_does_not_say_so():
    world = World(STAGE)
    world.put()
    assert no_reason(world, 2_700, 0, 0)
    # The rim is over the edge; the centre is not, so both heights are fine.
    assert no_reason(world, 2_900, 0, 0)
    assert no_reason(world, 2_900, 400, 0)
    assert world.send(3_500, 0, 0) == MoveReason.FLOOR
    assert world.at() == (3_500, 400, 0)
    assert no_reason(world, 4_000, 400, 0)


def test_a_jump_starts_from_the_ground_one_stands_on():
    world = World(STAGE)
    world.put(5_000, 400, 0)
    assert no_reason(world, 5_000, 1_600, 0)
    assert world.send(5_000, 1_700, 0) == MoveReason.FLOOR


def test_who_jumps_off_a_tower_falls_freely():
    world = World(TOWER)
    world.put(3_100, 4_000, 0)
    fall = [4_000 - int(4_905 * (0.05 * k) ** 2) for k in range(1, 19)]
    for k, y in enumerate(fall, 1):
        world.wait(0.05)
        assert no_reason(world, 3_100 - 150 * k, max(y, 0), 0)


def test_nobody_hovers():
    world = World(TOWER)
    world.put(3_100, 4_000, 0)
    assert no_reason(world, 2_000, 4_000, 0)
    reasons, heights = MoveReason(0), []
    for _ in range(100):
        world.wait(0.05)
        reasons |= world.send(2_000, 4_000, 0)
        heights.append(world.at()[1])
    assert reasons == MoveReason.FLOOR
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] == 1_200


def test_a_climb_is_not_a_way_through_a_wall():
    # Pretending to be high above does not take one over a wall higher than one can jump.
    world = World(WALL)
    world.put()
    assert world.send(4_000, 9_000, 0) & MoveReason.COLLIDER
    assert world.at()[0] < 2_000


@pytest.mark.parametrize("room_mm", [0, 50, 500])
def test_a_head_does_not_go_through_a_roof(room_mm: int):
    world = World(Box("roof", (0.0, 1.9 + room_mm / 1000, 0.0), (4.0, 0.2, 4.0), 0.0))
    world.put(-4_000)
    assert no_reason(world, 0, 0, 0)
    assert world.send(0, 900, 0) == MoveReason.FLOOR
    assert world.at() == (0, room_mm, 0)


def test_a_roof_lower_than_the_head_is_a_wall():
    world = World(Box("roof", (0.0, 1.899, 0.0), (4.0, 0.2, 4.0), 0.0))
    world.put(-4_000)
    assert world.send(0, 0, 0) == MoveReason.COLLIDER
    assert world.at() == (-2_251, 0, 0)


def test_tall_worlds_count_heights_in_two_millimetres():
    world = World(
        Box("step", (5.0, 0.2005, 0.0), (4.0, 0.401, 4.0), 0.0),
        extent=Extent((-20.0, -1.0, -20.0), (20.0, 60.0, 20.0)),
    )
    assert world.rules.y_unit_mm == 2
    world.put()
    assert world.send(0, 100, 0) == 0
    assert world.at() == (0, 200, 0)
    # The top at 401 mm can only be stood on at 402.
    assert world.send(4_000, 0, 0) == MoveReason.FLOOR
    assert world.at() == (4_000, 402, 0)


# --- colliders ---------------------------------------------------------------------------


def test_a_step_of_six_metres_does_not_pass_a_thin_wall():
    world = World(WALL)
    world.put()
    assert world.send(6_000, 0, 0) == MoveReason.COLLIDER
    # The wall's face is at 1995; the body stops a skin before its radius.
    assert world.at() == (1_744, 0, 0)


def test_one_slides_along_a_wall():
    world = World(WALL)
    world.put()
    assert world.send(3_000, 0, -3_000) == MoveReason.COLLIDER
    assert world.at() == (1_744, 0, -3_000)
    assert no_reason(world, 1_744, 0, -4_000)


def test_one_slides_around_a_pillar_and_away_from_it():
    world = World(PILLAR)
    world.put()
    assert world.send(3_000, 0, 300) == MoveReason.COLLIDER
    x, _, z = world.at()
    assert math.hypot(x - 2_000, z) >= 750
    assert z > 100
    assert no_reason(world, x - 500, 0, z + 100)


def test_an_inner_corner_holds():
    walls = (
        Box("east", (2.0, 1.5, 0.0), (0.1, 3.0, 10.0), 0.0),
        Box("north", (0.0, 1.5, -2.0), (10.0, 3.0, 0.1), 0.0),
    )
    world = World(*walls)
    world.put()
    for _ in range(20):
        world.wait(0.2)
        assert world.send(4_000, 0, -4_500) & MoveReason.COLLIDER
    assert world.at() == (1_699, 0, -1_699)


@pytest.mark.parametrize("yaw_deg", [10.0, 33.0, 57.0, 81.0])
def test_sliding_along_an_oblique_wall_never_sticks(yaw_deg: float):
    # Rounding must not eat the skin little by little until the body touches and is held.
    wall = Box("wall", (0.0, 1.5, 0.0), (60.0, 3.0, 0.2), yaw_deg)
    world = World(wall)
    turn = np.exp(1j * math.radians(yaw_deg))
    start = turn * complex(-15_000, 400)
    world.put(round(start.real), 0, -round(start.imag))
    wish = turn * complex(90, -40)
    for _ in range(200):
        world.wait(0.05)
        before = world.at()
        world.send(before[0] + round(wish.real), 0, before[2] - round(wish.imag))
        after = world.at()
        moved = complex(after[0] - before[0], before[2] - after[2]) / turn
        assert moved.real > 80
        assert distance_mm(wall, after[0], after[2]) >= RADIUS
    assert distance_mm(wall, world.at()[0], world.at()[2]) < RADIUS + 3


def test_a_slide_toward_the_bounds_ends_at_the_wall():
    # The wall leads out of the world; one comes to the wall all the same.
    wall = Box("wall", (18.0, 1.5, 0.0), (20.0, 3.0, 0.1), 45.0)
    world = World(wall)
    world.put(19_000, 0, 2_900)
    assert world.send(19_000, 0, -3_000) == MoveReason.COLLIDER
    assert RADIUS <= distance_mm(wall, world.at()[0], world.at()[2]) < RADIUS + 5


def test_who_was_put_where_there_is_no_room_stays_there():
    sides = [Box(f"s{k}", (0.0, 1.5, 0.2 * k), (9.0, 3.0, 0.1), 0.0) for k in (-1, 1)]
    world = World(*sides)
    world.put()
    assert world.send(100, 0, 0) == MoveReason.COLLIDER
    assert world.at() == (0, 0, 0)


def test_who_was_put_inside_of_something_is_let_out():
    world = World(PILLAR)
    world.put(2_100, 0, 0)
    # The shortest way out, at the first move, and from there on as usual.
    assert world.send(2_110, 0, 0) == MoveReason.COLLIDER
    assert world.at() == (2_751, 0, 0)
    assert no_reason(world, 4_000, 0, 0)


# --- seats, flags, reach -----------------------------------------------------------------


def test_the_seated_keep_their_place_but_turn_and_wave():
    world = World()
    world.put(1_000, 0, 1_000)
    world.tables.rows[0, pose.FLAGS] |= int(Flags.SEATED)
    more = {"column_3": 700, f"column_{HAND}": 400}
    assert world.send(3_000, 0, 1_000, **more) == MoveReason.SEATED
    assert world.at() == (1_000, 0, 1_000)
    assert world.tables.rows[0, pose.YAW] == 700
    assert world.tables.rows[0, HAND] == 400
    assert world.send(1_001, 0, 1_000) == 0
    assert world.at() == (1_000, 0, 1_000)


def test_only_the_flags_of_a_client_come_from_a_client():
    world = World()
    world.put()
    kept = int(Flags.LINK_LOST | Flags.SEATED)
    world.tables.rows[0, pose.FLAGS] = kept
    world.send(0, 0, 0, flags=255 & ~int(Flags.SNAP))
    # Whether one who is SPEAKING may be heard at all is for `voice` to say.
    said = Flags.TYPING | Flags.HAND_TRACKING | Flags.SPEAKING
    assert world.tables.rows[0, pose.FLAGS] == kept | said
    world.send(0, 0, 0, flags=0)
    assert world.tables.rows[0, pose.FLAGS] == kept


def test_a_snap_turn_toggles_discontinuity_once_in_a_tick():
    world = World()
    world.put()
    snap, jumped = int(Flags.SNAP), int(Flags.DISCONTINUITY)
    before = world.tables.rows[0, pose.FLAGS] & jumped
    world.send(0, 0, 0, flags=snap)
    assert world.tables.rows[0, pose.FLAGS] == snap | (before ^ jumped)
    # A second one in this tick must not hide the first from those who look once a tick.
    world.send(0, 0, 0, flags=0)
    assert world.tables.rows[0, pose.FLAGS] == before ^ jumped
    world.wait(0.05)
    world.send(0, 0, 0, flags=0)
    assert world.tables.rows[0, pose.FLAGS] == before ^ jumped
    world.send(0, 0, 0, flags=snap)
    assert world.tables.rows[0, pose.FLAGS] == snap | before


def test_hands_stay_within_reach_and_keep_their_direction():
    world = World()
    world.put()
    columns = {f"column_{HAND}": 2_000, f"column_{HAND + 1}": 1_000, f"column_{HAND + 2}": -1_500}
    assert world.send(0, 0, 0, **columns) == MoveReason.REACH
    # 2.5 m from the axis at the same height: 1.3/2.5 of the way.
    assert world.tables.rows[0, HAND : HAND + 3].tolist() == [1_040, 1_000, -780]
    assert world.send(0, 0, 0, **{f"column_{HAND}": 1_300}) == 0
    assert world.send(0, 0, 0, **{f"column_{HAND}": 1_302}) == 0
    assert world.tables.rows[0, HAND] == 1_300
    assert world.send(0, 0, 0, **{f"column_{HAND}": 1_303}) == MoveReason.REACH


@pytest.mark.parametrize(("y", "allowed"), [(0, 200), (199, 200), (1_600, 1_600), (9_000, 2_600)])
def test_a_head_stays_at_a_height_of_heads(y: int, allowed: int):
    world = World()
    world.put()
    reasons = world.send(0, 0, 0, **{f"column_{pose.ROOT_COLUMNS + 1}": y})
    assert reasons == (MoveReason.REACH if abs(y - allowed) > 2 else 0)
    assert world.tables.rows[0, pose.ROOT_COLUMNS + 1] == allowed


def test_points_that_are_not_carried_are_zero():
    world = World()
    world.put()
    world.send(0, 0, 0, **{f"column_{HAND}": 500, f"column_{HAND + 3}": -7})
    assert world.tables.rows[0, HAND : HAND + 4].tolist() == [500, 0, 0, -7]
    world.send(0, 0, 0, parts=int(Parts.HEAD), **{f"column_{HAND}": 30_000})
    assert not world.tables.rows[0, HAND:].any()
    assert world.tables.parts[0] == Parts.HEAD


coordinate16 = st.integers(-(2**15), 2**15 - 1)


@given(st.lists(coordinate16, min_size=18, max_size=18))
def test_reach_equals_its_reference(coordinates: list[int]):
    world = World()
    world.put()
    points = np.array(coordinates, np.int32).reshape(6, 3)
    columns = {
        f"column_{pose.ROOT_COLUMNS + 4 * p + axis}": int(points[p, axis])
        for p in range(6) for axis in range(3)
    }
    reasons = world.send(0, 0, 0, **columns)
    found = world.tables.rows[0, pose.ROOT_COLUMNS :].reshape(6, 4)[:, :3].astype(np.float64)
    axis_y = np.clip(points[:, 1], [200, 0, 0, 0, 0, 0], 2_600).astype(np.float64)
    arms = points.astype(np.float64)
    arms[:, 1] -= axis_y
    arms[0, 1] = 0.0
    length = np.linalg.norm(arms, axis=1)
    expected = np.trunc(arms * np.minimum(1.0, 1_300 / np.maximum(length, 1.0))[:, None])
    # The reference multiplies in another order: a whole number may fall to the other side.
    expected[:, 1] += axis_y
    assert np.abs(found - expected).max() <= 1
    within = found.copy()
    within[:, 1] -= axis_y
    assert (np.linalg.norm(within, axis=1) <= 1_300).all()
    moved = np.abs(found - points).max()
    assert reasons == (MoveReason.REACH if moved > 2 else 0)


# --- sequence ----------------------------------------------------------------------------


def rows_at(*xs: int) -> pose.IntRows:
    rows = np.zeros((len(xs), pose.COLUMNS), np.int32)
    rows[:, pose.X] = xs
    rows[:, pose.ROOT_COLUMNS + 1] = 1_600
    return rows


def test_extra_bytes_are_taken_for_the_parts_that_a_row_has():
    world = World()
    world.put()
    world.apply([0], [1], rows_at(0), parts=int(pose.Parts.FINGERS | pose.Parts.FACE))
    sent = np.arange(pose.EXTRA_BYTES) % 251
    taken = world.tables.extras[0]
    joints = slice(pose.FINGER_BYTES, pose.FINGER_BYTES + pose.JOINT_BYTES)
    assert (taken[: pose.FINGER_BYTES] == sent[: pose.FINGER_BYTES]).all()
    assert (taken[joints] == 0).all()
    assert (taken[joints.stop :] == sent[joints.stop :]).all()


def test_the_newest_of_a_batch_wins_and_older_ones_are_stale():
    world = World()
    world.put()
    result = world.apply([0, 0, 0, 0], [7, 9, 8, 9], rows_at(100, 300, 200, 400))
    assert result.taken.tolist() == [True, True, False, False]
    assert result.reasons.tolist() == [0, 0, 0, 0]
    assert world.at() == (300, 0, 0)
    assert world.state.seq[0] == 9
    # Only what was really walked is charged.
    assert world.state.motion[kernels.BUDGET, 0] == pytest.approx(6_000 - 300)


def test_a_stale_pose_breaks_no_rule_and_changes_nothing():
    world = World()
    world.put()
    world.apply([0], [5], rows_at(100))
    before = world.tables.rows.tobytes(), world.state.motion.tobytes()
    result = world.apply([0], [4], rows_at(19_000))
    assert (result.taken.tolist(), result.reasons.tolist()) == ([False], [0])
    assert (world.tables.rows.tobytes(), world.state.motion.tobytes()) == before


@pytest.mark.parametrize(
    ("last", "seq", "is_newer"),
    [
        (2**32 - 1, 0, True), (0, 2**32 - 1, False), (5, 5, False), (2**31, 0, False),
        (10, 10 + 2**31 - 1, True), (10, 10 + 2**31, False), (2**32 - 5, 100, True),
    ],
)
def test_seq_wraps_around(last: int, seq: int, is_newer: bool):
    world = World()
    world.put()
    assert world.apply([0], [last], rows_at(1)).taken[0]
    assert world.apply([0], [seq], rows_at(2)).taken[0] == is_newer


def test_a_new_client_in_a_slot_may_start_anywhere():
    world = World()
    world.put()
    world.apply([0], [1_000], rows_at(1))
    world.state.forget_seq(0)
    assert world.apply([0], [3], rows_at(2)).taken[0]


def test_an_empty_batch_is_fine():
    world = World()
    result = world.apply([], [], rows_at())
    assert len(result.taken) == len(result.reasons) == 0


# --- places ------------------------------------------------------------------------------


def test_place_is_a_discontinuity_without_momentum():
    world = World()
    world.put()
    world.wait(0.05)
    before = int(world.tables.rows[0, pose.FLAGS])
    place(world.state, world.rules, world.tables, 0, Spot(3.0, 0.0, -4.0, math.pi / 2))
    assert world.at() == (3_000, 0, -4_000)
    assert world.tables.rows[0, pose.YAW] == 1_024
    assert world.tables.rows[0, pose.FLAGS] == before ^ Flags.DISCONTINUITY
    # A pose from before the teleport does not drag anyone back within the tick.
    assert world.send(0, 0, 0) == MoveReason.SPEED
    assert world.at() == (3_000, 0, -4_000)


def test_place_stays_within_the_bounds_and_refuses_what_is_not_finite():
    world = World()
    place(world.state, world.rules, world.tables, 0, Spot(99.0, -9.0, -99.0, 0.0))
    assert world.at() == (20_000, 0, -20_000)
    for spot in (Spot(math.nan, 0, 0, 0), Spot(0, math.inf, 0, 0), Spot(0, 0, 0, math.nan)):
        with pytest.raises(ValueError, match="finite"):
            place(world.state, world.rules, world.tables, 0, spot)


@pytest.mark.parametrize(
    ("point", "answer"),
    [
        ((0.0, 0.0, 0.0), (True, 0.0)),
        ((0.0, 5.0, 0.0), (True, 0.0)),
        ((5.0, 0.0, 0.0), (True, 0.4)),
        ((5.0, 2.0, 0.0), (True, 0.4)),
        ((-5.0, 0.0, 0.0), (False, 0.0)),
        ((-5.0, 4.0, 0.0), (True, 4.0)),
        ((-2.9, 4.0, 0.0), (False, 0.0)),
        ((20.1, 0.0, 0.0), (False, 0.0)),
        ((0.0, 20.5, 0.0), (False, 0.0)),
        ((0.0, -0.5, 0.0), (True, 0.0)),
        ((math.nan, 0.0, 0.0), (False, 0.0)),
        ((0.0, math.inf, 0.0), (False, 0.0)),
    ],
)
def test_walkable(point: tuple[float, float, float], answer: tuple[bool, float]):
    world = World(STAGE, replace(TOWER, center=(-5.0, 2.0, 0.0)))
    assert walkable(world.colliders, world.rules, *point) == answer


# --- properties --------------------------------------------------------------------------


def reference_open_field(walk: list[tuple[int, int]], dt_s: float) -> list[tuple[int, int]]:
    """The speed and bounds rules of a field without colliders, in plain Python."""
    x = z = 0
    speed = budget = moved = 0.0
    kept = math.exp(-dt_s / 0.25)
    ends: list[tuple[int, int]] = []
    for want_x, want_z in walk:
        speed = speed * kept + moved * ((1.0 - kept) / dt_s)
        budget = min(budget + min(speed + 5_000.0, 6_000.0) * dt_s, 6_000.0)
        dx, dz = float(want_x - x), float(want_z - z)
        length = math.sqrt(dx * dx + dz * dz)
        if length > max(budget, 0.0):
            dx = float(int(dx * max(budget, 0.0) / length))
            dz = float(int(dz * max(budget, 0.0) / length))
        end_x = int(min(max(x + dx, -20_000), 20_000))
        end_z = int(min(max(z + dz, -20_000), 20_000))
        moved = math.sqrt(float((end_x - x) ** 2 + (end_z - z) ** 2))
        budget -= moved
        x, z = end_x, end_z
        ends.append((x, z))
    return ends


wishes = st.tuples(st.integers(-30_000, 30_000), st.integers(-30_000, 30_000))


@given(st.lists(wishes, min_size=1, max_size=30), st.sampled_from([1 / 60, 0.05, 0.2]))
def test_the_open_field_equals_its_reference(walk: list[tuple[int, int]], dt_s: float):
    world = World()
    place(world.state, world.rules, world.tables, 0, Spot(0.0, 0.0, 0.0, 0.0))
    found: list[tuple[int, int]] = []
    for x, z in walk:
        world.wait(dt_s)
        world.send(x, 0, z)
        found.append((world.at()[0], world.at()[2]))
    assert found == reference_open_field(walk, dt_s)


spots = st.integers(-12_000, 12_000).map(lambda mm: mm / 1000)
sizes = st.integers(10, 5_000).map(lambda mm: mm / 1000)
centers = st.tuples(spots, st.sampled_from([0.2, 0.9, 1.5, 2.6]), spots)
solids = st.one_of(
    st.builds(
        Box, st.just("b"), centers, st.tuples(sizes, sizes, sizes),
        st.one_of(st.sampled_from([0.0, 45.0, 90.0]), st.floats(-180, 180)),
    ),
    st.builds(Cylinder, st.just("c"), centers, sizes, sizes),
)
near_steps = st.tuples(
    st.integers(-800, 800), st.integers(-700, 700), st.integers(-800, 800)
)
far_steps = st.tuples(
    st.integers(-9_000, 9_000), st.integers(-9_000, 9_000), st.integers(-9_000, 9_000)
)
walks = st.lists(st.one_of(near_steps, far_steps), min_size=1, max_size=25)


def distance_mm(solid: Box | Cylinder, x: int, z: int) -> float:
    """From the point to the solid seen from above; 0 inside of it."""
    dx, dz = x - 1000 * solid.center[0], z - 1000 * solid.center[2]
    if isinstance(solid, Cylinder):
        return max(0.0, math.hypot(dx, dz) - 1000 * solid.radius_m)
    # A yaw turns counter-clockwise seen from above, where z points down the page.
    point = complex(dx, -dz) * np.exp(-1j * math.radians(solid.yaw_deg))
    over_x = abs(point.real) - 500 * solid.size[0]
    over_z = abs(point.imag) - 500 * solid.size[2]
    return math.hypot(max(over_x, 0.0), max(over_z, 0.0))


def is_free(world: World, at: tuple[int, int, int]) -> bool:
    """Whether a body at `at` meets no solid, edges of up to 0.5 m beside its centre excepted."""
    x, y, z = at
    for solid in (*world.manifest.boxes, *world.manifest.cylinders):
        height = solid.size[1] if isinstance(solid, Box) else solid.height_m
        bottom = round(1000 * (solid.center[1] - height / 2))
        top = round(1000 * (solid.center[1] + height / 2))
        distance = distance_mm(solid, x, z)
        is_beside = RADIUS - 1e-6 > distance > 0 and top > y + 500
        is_in = distance == 0 and top > y
        if (is_beside or is_in) and bottom < y + 1800:
            return False
    return True


@settings(max_examples=300)
@given(st.lists(solids, max_size=6), walks, st.sampled_from([-1.0, 0.0]))
def test_no_walk_ends_inside_outside_or_further_than_allowed(
    many: list[Box | Cylinder], walk: list[tuple[int, int, int]], floor_m: float
):
    world = World(*many, floor_m=floor_m)
    start = next(
        (x, z) for x in np.arange(-19.5, 19.5) for z in np.arange(-19.5, 19.5)
        if walkable(world.colliders, world.rules, x, floor_m, z) == (True, floor_m)
    )
    spot = Spot(start[0], floor_m, start[1], 0.0)
    place(world.state, world.rules, world.tables, 0, spot)
    assert is_free(world, world.at())
    travelled = seconds = 0.0
    for dx, dy, dz in walk:
        world.wait(0.1)
        seconds += 0.1
        before = world.at()
        world.send(before[0] + dx, before[1] + dy, before[2] + dz)
        after = world.at()
        travelled += math.hypot(after[0] - before[0], after[2] - before[2])
        assert is_free(world, after), (before, (dx, dy, dz), after)
        assert -20_000 <= after[0] <= 20_000
        assert -20_000 <= after[2] <= 20_000
        assert floor_m * 1000 <= after[1] <= 20_000
        # One skin may be added by the last push-out; it is charged, so it does not add up.
        assert travelled <= 6_000 * seconds + 3.0


def random_batches(seed: int, batches: int, n: int):
    rng = np.random.default_rng(seed)
    for _ in range(batches):
        rows = rng.integers(-(2**15), 2**15, (n, pose.COLUMNS)).astype(np.int32)
        rows[:, [pose.X, pose.Z]] = rng.integers(-(2**23), 2**23, (n, 2))
        rows[:, pose.FLAGS] = rng.integers(0, 256, n)
        rows[:, pose.YAW] = rng.integers(0, 65_536, n)
        yield PoseBatch(
            rng.integers(0, SLOTS, n).astype(np.int32),
            rng.integers(0, 2**32, n).astype(np.uint32),
            rng.integers(0, 2**32, n).astype(np.uint32),
            rows,
            rng.integers(0, 64, n).astype(np.uint8),
            rng.integers(0, 256, (n, pose.EXTRA_BYTES)).astype(np.uint8),
        )


def run(seed: int, is_one_by_one: bool) -> tuple[bytes, ...]:
    """Everything that is left after random batches with all values that the wire can say."""
    world = World(WALL, STAGE, PILLAR)
    for slot in range(SLOTS):
        world.put(-5_000, 0, 1_000 * slot, slot)
    told: list[bytes] = []
    for batch in random_batches(seed, 20, 12):
        world.wait(0.05)
        pieces = [batch]
        if is_one_by_one:
            pieces = [
                PoseBatch(
                    batch.slots[k : k + 1], batch.seqs[k : k + 1], batch.acks[k : k + 1],
                    batch.rows[k : k + 1], batch.parts[k : k + 1], batch.extras[k : k + 1],
                )
                for k in range(len(batch.slots))
            ]
        for piece in pieces:
            result = apply_poses(world.state, world.rules, world.colliders, piece, world.tables)
            told.append(result.taken.tobytes() + result.reasons.tobytes())
        assert np.isfinite(world.state.motion).all()
        # Whatever was sent, what is left can be said on the wire: this raises where not.
        pose.encode_bodies(world.tables.rows, world.tables.extras, pose.PARTS_ALL)
    state, tables = world.state, world.tables
    arrays = (state.motion, state.seq, state.has_seq, tables.rows, tables.parts, tables.extras)
    left = tuple(array.tobytes() for array in arrays)
    return left if is_one_by_one else (*left, *told)


def test_the_same_inputs_leave_the_same_bytes():
    assert run(7, is_one_by_one=False) == run(7, is_one_by_one=False)
    assert run(7, is_one_by_one=False) != run(8, is_one_by_one=False)


@pytest.mark.parametrize("seed", range(5))
def test_a_batch_is_the_same_as_its_poses_one_by_one(seed: int):
    assert run(seed, is_one_by_one=False)[:6] == run(seed, is_one_by_one=True)
