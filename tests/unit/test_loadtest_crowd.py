"""The crowd: walkers keep to the rules that the server will hold them to, and are repeatable."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from atrium_loadtest.crowd import SPEED_M_S, STEP_S_MAX, Crowd, Extent, quantise_rotation
from atrium_shared import pose

EXTENT = Extent(-20.0, 20.0, -10.0, 10.0)


def walk(crowd: Crowd, frames: int, step_s: float = 0.05) -> np.ndarray:
    """Rows of all walkers at each frame, shape (frames, n, COLUMNS)."""
    chosen = np.arange(len(crowd.walkers), dtype=np.int32)
    rows = np.zeros((len(chosen), pose.COLUMNS), np.int32)
    found = []
    for frame in range(frames):
        crowd.step(chosen, frame * step_s, rows)
        found.append(rows.copy())
    return np.stack(found)


def placed(walkers: int, seed: int = 1) -> Crowd:
    crowd = Crowd(walkers, seed, EXTENT)
    row = np.zeros(pose.COLUMNS, np.int32)
    for walker in range(walkers):
        crowd.place(walker, row, 0.0)
    return crowd


quaternions = st.tuples(*[st.floats(-1, 1, width=32)] * 4).filter(
    lambda q: sum(c * c for c in q) > 1e-3
)


@given(quaternions)
def test_rotations_are_quantised_as_well_as_by_the_reference(q: tuple[float, ...]) -> None:
    exact = np.array(q) / np.linalg.norm(q)
    code = quantise_rotation(*exact)
    ours, theirs = pose.decode_rotations(
        np.array([code, pose.encode_rotations(exact[None])[0]], np.uint32)
    )
    assert abs(ours @ exact) >= abs(theirs @ exact) - 1e-12


def test_walkers_stay_on_the_ground_and_within_their_speed() -> None:
    rows = walk(placed(50), 2_000)
    x_mm, z_mm = rows[:, :, pose.X], rows[:, :, pose.Z]
    assert np.abs(x_mm).max() <= 19_000
    assert np.abs(z_mm).max() <= 9_000
    assert np.abs(x_mm).max() > 15_000, "they should use the ground, not stand about"
    step_mm = np.hypot(np.diff(x_mm, axis=0), np.diff(z_mm, axis=0))
    assert step_mm.max() <= SPEED_M_S * 50 + 1.5


def test_a_late_step_is_no_jump() -> None:
    crowd = placed(20)
    rows = walk(crowd, 2, step_s=30.0)
    step_mm = np.hypot(*(np.diff(rows[:, :, axis], axis=0) for axis in (pose.X, pose.Z)))
    assert step_mm.max() <= SPEED_M_S * STEP_S_MAX * 1000 + 1.5


def test_every_part_of_every_walker_changes_in_every_frame() -> None:
    rows = walk(placed(50), 400)
    for point in range(3):
        at = pose.ROOT_COLUMNS + pose.POINT_COLUMNS * point
        changed = (np.diff(rows[:, :, at : at + 4], axis=0) != 0).any(axis=2)
        assert changed.mean() > 0.999


def test_poses_fit_the_wire_and_mostly_small_deltas() -> None:
    rows = walk(placed(50), 400).reshape(-1, pose.COLUMNS)
    pose.encode_bodies(rows, np.zeros((len(rows), pose.EXTRA_BYTES), np.uint8), 3)
    steps = np.diff(walk(placed(50), 400)[:, :, : pose.ROOT_COLUMNS + 11], axis=0)
    positions = steps[:, :, [0, 1, 2, 5, 6, 7, 9, 10, 11, 13, 14, 15]]
    assert (np.abs(positions) <= 127).mean() > 0.99


def test_the_same_seed_walks_the_same_way_whatever_the_grouping() -> None:
    together, apart = placed(6), placed(6)
    expected = walk(together, 40)
    rows = np.zeros((6, pose.COLUMNS), np.int32)
    for frame in range(40):
        for group in ([5, 1], [0, 2, 3, 4]):
            part = np.zeros((len(group), pose.COLUMNS), np.int32)
            apart.step(np.array(group, np.int32), frame * 0.05, part)
            rows[group] = part
        np.testing.assert_array_equal(rows, expected[frame])
    assert (walk(placed(6, seed=2), 40) != expected).any()


def test_a_walker_goes_on_from_where_the_server_put_it() -> None:
    crowd = placed(1)
    row = np.zeros(pose.COLUMNS, np.int32)
    row[[pose.X, pose.Y, pose.Z, pose.YAW]] = 3_000, 12, -4_000, 1_024
    crowd.place(0, row, 7.0)
    rows = np.zeros((1, pose.COLUMNS), np.int32)
    crowd.step(np.zeros(1, np.int32), 7.0, rows)
    np.testing.assert_array_equal(rows[0, : pose.FLAGS], row[: pose.FLAGS])


def test_a_margin_never_turns_the_ground_inside_out() -> None:
    tiny = Extent(0.0, 1.0, -3.0, 3.0).shrunk(1.0)
    assert tiny == Extent(0.5, 0.5, -2.0, 2.0)
