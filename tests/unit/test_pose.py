"""Quantisation: how near a pose comes back, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import wire_reference as reference
from golden_cases import row_and_extra
from hypothesis import given
from hypothesis import strategies as st

from atrium_shared import limits, pose

quaternions = st.lists(st.floats(-1, 1), min_size=4, max_size=4).filter(
    lambda q: sum(v * v for v in q) > 1e-4
)


def angle_deg(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The angle between unit quaternions, shape (n,); from the chord, exact for small angles."""
    chord = np.minimum(np.linalg.norm(a - b, axis=1), np.linalg.norm(a + b, axis=1))
    return np.degrees(4 * np.arcsin(np.minimum(1.0, chord / 2)))


def test_rotation_error_stays_below_a_fifth_of_a_degree() -> None:
    q = np.random.default_rng(1).normal(size=(100_000, 4))
    q /= np.linalg.norm(q, axis=1, keepdims=True)
    error = angle_deg(pose.decode_rotations(pose.encode_rotations(q)), q)
    assert error.max() < 0.2
    assert error.max() > 0.1  # else the measure itself is broken


@given(quaternions)
def test_rotation_error_at_the_seams(q: list[float]) -> None:
    unit = np.array([q]) / np.linalg.norm(q)
    assert angle_deg(pose.decode_rotations(pose.encode_rotations(unit)), unit)[0] < 0.2


@given(quaternions)
def test_a_rotation_and_its_negative_have_the_same_code(q: list[float]) -> None:
    one, other = pose.encode_rotations(np.array([q])), pose.encode_rotations(-np.array([q]))
    back = pose.decode_rotations(np.concatenate([one, other]))
    assert angle_deg(back[:1], back[1:])[0] < 0.4


@given(st.integers(0, 2**32 - 1))
def test_every_rotation_code_means_a_unit_quaternion(code: int) -> None:
    q = pose.decode_rotations(np.array([code], np.uint32))[0]
    assert np.isfinite(q).all()
    assert math.isclose(np.linalg.norm(q), 1.0, abs_tol=1e-9)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 0.0])
def test_rotations_that_are_none_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite quaternion"):
        pose.encode_rotations(np.full((1, 4), bad))


@given(st.floats(-1e4, 1e4))
def test_yaw_comes_back_within_half_a_step(yaw_rad: float) -> None:
    steps = pose.quantise_yaw(yaw_rad)
    assert 0 <= steps < pose.YAW_STEPS
    difference = math.remainder(pose.yaw_of(steps) - yaw_rad, 2 * math.pi)
    assert abs(difference) <= math.pi / pose.YAW_STEPS + 1e-9


def test_yaw_wraps_at_a_full_turn() -> None:
    assert pose.quantise_yaw(2 * math.pi) == 0
    assert pose.quantise_yaw(-1e-9) == 0
    assert pose.quantise_yaw(-2 * math.pi / pose.YAW_STEPS) == pose.YAW_STEPS - 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_yaw_that_is_not_finite_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        pose.quantise_yaw(bad)


rows = st.builds(
    lambda root, points, flags: np.array([[*root, flags, *points]], np.int32),
    st.tuples(st.integers(-(2**23), 2**23 - 1), st.integers(-(2**15), 2**15 - 1),
              st.integers(-(2**23), 2**23 - 1), st.integers(0, pose.YAW_STEPS - 1)),
    st.lists(st.integers(-(2**15), 2**15 - 1), min_size=24, max_size=24),
    st.integers(0, 255),
)


@given(rows, st.integers(0, pose.PARTS_ALL), st.binary(min_size=262, max_size=262))
def test_bodies_come_back_as_they_went(row: np.ndarray, parts: int, extra: bytes) -> None:
    extras = np.frombuffer(extra, np.uint8)[None]
    body = pose.encode_bodies(row, extras, parts)
    assert body.shape == (1, pose.body_length(parts))
    back, back_extras = pose.decode_bodies(body)
    told = reference.told_columns(parts)
    assert (back[0, told] == row[0, told]).all()
    untold = sorted(set(range(pose.COLUMNS)) - set(told))
    assert (back[0, untold] == 0).all()
    for part, offset, length in pose.EXTRA_PART:
        expected = extras[0, offset : offset + length] if parts & part else 0
        assert (back_extras[0, offset : offset + length] == expected).all()


@pytest.mark.parametrize("parts", range(pose.PARTS_ALL + 1))
def test_bodies_equal_those_of_the_reference_writer(parts: int) -> None:
    row, extra = row_and_extra(parts)
    record = reference.full_record(reference.Entity(row, extra, parts))
    body = pose.encode_bodies(row[None], np.frombuffer(extra, np.uint8)[None], parts)
    assert body.tobytes() == bytes((parts, record[0])) + record[1:]


@pytest.mark.parametrize(
    ("column", "value"),
    [(pose.X, 2**23), (pose.X, -(2**23) - 1), (pose.Z, 2**23), (pose.Y, 2**15),
     (pose.Y, -(2**15) - 1), (pose.ROOT_COLUMNS, 2**15), (pose.ROOT_COLUMNS + 2, -(2**15) - 1)],
)
def test_a_value_one_past_its_edge_is_refused(column: int, value: int) -> None:
    row = np.zeros((1, pose.COLUMNS), np.int32)
    row[0, column] = value
    with pytest.raises(ValueError, match="outside"):
        pose.encode_bodies(row, np.zeros((1, pose.EXTRA_BYTES), np.uint8), 1)


def test_the_largest_world_fits_24_bits() -> None:
    edge = round(limits.WORLD_EXTENT_M_MAX * 1000)
    row = np.zeros((2, pose.COLUMNS), np.int32)
    row[:, pose.X], row[:, pose.Z] = [edge, -edge], [-edge, edge]
    body = pose.encode_bodies(row, np.zeros((2, pose.EXTRA_BYTES), np.uint8), 0)
    assert (pose.decode_bodies(body)[0] == row).all()


@given(st.binary(max_size=400))
def test_any_bytes_are_a_body_or_a_value_error(data: bytes) -> None:
    raw = np.frombuffer(data, np.uint8)[None]
    try:
        row, extras = pose.decode_bodies(raw)
    except ValueError:
        return
    assert row.shape == (1, pose.COLUMNS)
    assert extras.shape == (1, pose.EXTRA_BYTES)
    assert len(data) == pose.body_length(data[0])


def test_bodies_of_different_layouts_are_not_one_matrix() -> None:
    raw = np.zeros((2, pose.body_length(1)), np.uint8)
    raw[:, 0] = [1, 8]  # the same length, other parts
    with pytest.raises(ValueError, match="does not belong"):
        pose.decode_bodies(raw)
