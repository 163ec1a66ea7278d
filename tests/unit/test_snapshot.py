"""Snapshot bodies: exact sums, no drift, and any bytes either apply or are refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import pytest
import wire_reference as reference
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from atrium_shared import pose
from atrium_shared.errors import ErrorCode, ProtocolError
from atrium_shared.limits import INDEXES_MAX
from atrium_shared.snapshot import Form, View, record_length, split_sections

HOUR_STEPS = 72_000
"""One hour at 20 Hz."""


T = TypeVar("T")


def or_code(attempt: Callable[[], T]) -> T | ErrorCode:
    """What `attempt` returns, or the code of its ProtocolError; anything else escapes."""
    try:
        return attempt()
    except ProtocolError as error:
        return error.code


def test_record_lengths_of_the_common_layouts() -> None:
    assert record_length(Form.DELTA, 3) == 4 + 3 * 6
    assert record_length(Form.FULL, 3) == 1 + 10 + 3 * 10
    assert record_length(Form.WIDE, 0) == 8


def an_hour_of_motion() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(positions, rotations, yaws) of somebody who walks, nods and turns for an hour."""
    t = np.arange(HOUR_STEPS) / 20.0
    position = np.stack([30 * np.sin(t / 40), 0.05 * np.sin(9 * t), 30 * np.cos(t / 57)], axis=1)
    half = 0.4 * np.sin(t * 1.3)
    axis = np.stack([np.sin(t / 7), np.cos(t / 7), 0.3 * np.sin(t / 3)], axis=1)
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    rotation = np.concatenate([axis * np.sin(half)[:, None], np.cos(half)[:, None]], axis=1)
    return position, rotation, t / 5 % (2 * math.pi)


def test_an_hour_of_deltas_does_not_drift() -> None:
    position, rotation, yaw = an_hour_of_motion()
    truth = np.zeros((HOUR_STEPS, pose.COLUMNS), np.int32)
    truth[:, :3] = np.round(position * 1000)
    truth[:, pose.YAW] = [pose.quantise_yaw(angle) for angle in yaw]
    head = pose.ROOT_COLUMNS
    truth[:, head : head + 3] = np.round(position * 20)
    truth[:, head + 3] = pose.encode_rotations(rotation).view(np.int32)
    teller, view = reference.Teller(), View()
    held = np.zeros_like(truth)
    forms = dict.fromkeys(Form, 0)
    for step in range(HOUR_STEPS):
        body = teller.body({9: reference.Entity(truth[step], b"", 1)})
        forms[Form(body[0] >> 6)] += 1
        view.apply(step, body)
        held[step] = view.rows[9]
    assert (held == truth).all()
    assert forms[Form.DELTA] > 0.95 * HOUR_STEPS
    assert np.abs(held[:, :3] / 1000 - position).max() <= 0.0005 + 1e-9
    back = pose.decode_rotations(held[:, head + 3].view(np.uint32))
    chord = np.minimum(*(np.linalg.norm(back - s * rotation, axis=1) for s in (1, -1)))
    assert np.degrees(4 * np.arcsin(chord / 2)).max() < 0.2


@pytest.mark.parametrize(
    ("before", "after", "form"),
    [(4_095, 0, Form.DELTA), (0, 4_095, Form.DELTA), (4_000, 31, Form.DELTA),
     (4_000, 32, Form.WIDE), (10, 4_096 - 118, Form.DELTA), (10, 4_096 - 119, Form.WIDE),
     (0, 2_048, Form.WIDE), (2_048, 0, Form.WIDE)],
)
def test_yaw_wraps_in_deltas(before: int, after: int, form: Form) -> None:
    rows = np.zeros((2, pose.COLUMNS), np.int32)
    rows[:, pose.YAW] = [before, after]
    teller, view = reference.Teller(), View()
    view.apply(1, teller.body({0: reference.Entity(rows[0], b"", 0)}))
    body = teller.body({0: reference.Entity(rows[1], b"", 0)})
    assert body[0] >> 6 == form
    view.apply(2, body)
    assert view.rows[0, pose.YAW] == after


@pytest.mark.parametrize("edge", [-(2**23), 2**23 - 1, -1, 0])
def test_deltas_at_the_edges_of_24_bits(edge: int) -> None:
    inside = edge + (1 if edge < 0 else -1)
    rows = np.zeros((2, pose.COLUMNS), np.int32)
    rows[:, [pose.X, pose.Z]] = [[inside, edge], [edge, inside]]
    teller, view = reference.Teller(), View()
    for tick in (0, 1):
        view.apply(tick, teller.body({3: reference.Entity(rows[tick], b"", 0)}))
        assert (view.rows[3] == rows[tick]).all()


def test_the_largest_tick_can_be_told() -> None:
    view = View()
    view.apply(2**32 - 1, reference.section(0, 0, [(1, bytes(11))]))
    assert view.tick[1] == 2**32 - 1


def test_what_was_left_needs_a_full_record() -> None:
    view = View()
    view.apply(1, reference.section(0, 0, [(1, bytes(11))]))
    view.forget(1)
    with pytest.raises(ProtocolError):
        view.apply(2, reference.section(1, 0, [(1, bytes(4))]))


def test_parts_that_were_dropped_need_a_full_record() -> None:
    view = View()
    view.apply(1, reference.section(0, 3, [(1, bytes(41))]))
    view.apply(2, reference.section(1, 1, [(1, bytes(10))]))
    with pytest.raises(ProtocolError, match="never sent in full"):
        view.apply(3, reference.section(1, 3, [(1, bytes(22))]))


@given(st.binary(max_size=600))
def test_any_bytes_split_or_are_refused(data: bytes) -> None:
    sections = or_code(lambda: split_sections(data))
    if isinstance(sections, ErrorCode):
        assert sections == ErrorCode.MALFORMED
        return
    taken = sum(2 + len(s.indexes) + s.records.size for s in sections)
    assert taken == len(data)


def bodies() -> st.SearchStrategy[bytes]:
    """Well-formed sections with arbitrary records, sometimes cut: deeper than random bytes."""
    def one(form: int, parts: int, indexes: list[int], seed: int) -> bytes:
        draw = np.random.default_rng(seed)
        length = record_length(form, parts)
        return reference.section(form, parts, [(i, draw.bytes(length)) for i in indexes])

    section = st.builds(one, st.integers(0, 2), st.integers(0, 63),
                        st.lists(st.integers(0, 255), max_size=4), st.integers(0, 2**32))
    return st.lists(section, max_size=4).map(b"".join).flatmap(
        lambda body: st.integers(0, len(body)).map(lambda cut: body[: len(body) - cut // 8])
    )


@given(st.lists(bodies(), max_size=6))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_any_stream_applies_or_is_refused(stream: list[bytes]) -> None:
    view = View()
    for tick, body in enumerate(stream):
        touched = or_code(lambda body=body, tick=tick: view.apply(tick, body))
        if isinstance(touched, ErrorCode):
            assert touched == ErrorCode.MALFORMED
        else:
            assert (view.tick[touched] == tick).all()
            assert len(set(touched.tolist())) == len(touched)
            assert (view.rows[:, pose.YAW] < pose.YAW_STEPS).all()


class Stream(RuleBasedStateMachine):
    """Random lives of a few entities: the decoded view equals what was told, always."""

    def __init__(self) -> None:
        super().__init__()
        self.teller, self.view = reference.Teller(), View()
        self.tick = 0

    @rule(
        indexes=st.sets(st.sampled_from([0, 1, 2, INDEXES_MAX - 1]), min_size=1),
        parts=st.sampled_from([0, 1, 3, 7, 11, 63]),
        scale=st.sampled_from([1, 100, 2_000, 100_000]),
        seed=st.integers(0, 2**32),
    )
    def tell(self, indexes: set[int], parts: int, scale: int, seed: int) -> None:
        draw = np.random.default_rng(seed)
        self.tick += 1
        changes: dict[int, reference.Entity] = {}
        for index in indexes:
            held = self.teller.told.get(index)
            row = held.row.copy() if held else np.zeros(pose.COLUMNS, np.int32)
            row[[pose.X, pose.Z]] += draw.integers(-scale, scale, 2, np.int32)
            row[[pose.X, pose.Z]] = row[[pose.X, pose.Z]].clip(-(2**23), 2**23 - 1)
            row[pose.YAW] = (row[pose.YAW] + draw.integers(-scale, scale)) % pose.YAW_STEPS
            row[pose.FLAGS] = draw.choice([0, 0, 0, 1])
            for at in reference.points_of(63):
                row[at : at + 3] = (row[at : at + 3] + draw.integers(-100, 100, 3)).clip(-999, 999)
                turn = np.array([[1.0, 0.0, 0.0, 1.0]]) + 0.02 * draw.normal(size=4)
                row[at + 3] = pose.encode_rotations(turn).view(np.int32)[0]
            changes[index] = reference.Entity(row, draw.bytes(pose.EXTRA_BYTES), parts)
        self.view.apply(self.tick, self.teller.body(changes))

    @rule(index=st.sampled_from([0, 1, 2]))
    def leave(self, index: int) -> None:
        self.teller.forget(index)
        self.view.forget(index)

    @invariant()
    def the_view_is_what_was_told(self) -> None:
        for index, entity in self.teller.told.items():
            told = reference.told_columns(entity.parts)
            assert (self.view.rows[index, told] == entity.row[told]).all()
            assert self.view.parts[index] == entity.parts
            for part, offset, length in pose.EXTRA_PART:
                if entity.parts & part:
                    held = self.view.extras[index, offset : offset + length]
                    assert held.tobytes() == entity.extra[offset : offset + length]


Stream.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30,
    suppress_health_check=[HealthCheck.too_slow],
)
TestStream = Stream.TestCase
