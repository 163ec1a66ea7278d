"""Encoded records against a plain numpy reference, at and around every bound of every form."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from atrium_server.replication import encode
from atrium_server.replication.state import (
    AGES,
    CHANGE_BEFORE,
    DELTA_AT,
    DELTA_BYTES,
    FIT,
    LAST_CHANGE,
    RECORD_STRIDE,
    WIDE_BYTES,
    Entities,
    make_entities,
)
from atrium_shared import pose
from atrium_shared.snapshot import Form

Rows = npt.NDArray[np.int32]
BOUNDS = (0, 1, -1, 127, 128, -128, -129, 300, -300, 32_767, 32_768, -32_768, -32_769, 70_000)


class Encoder:
    """The kernel, fed tick by tick."""

    def __init__(self, slots: int) -> None:
        self.entities: Entities = make_entities(slots)
        self.alive = np.ones(slots, np.uint8)
        self.ids = np.arange(1, slots + 1, dtype=np.uint32)
        self.parts = np.full(slots, 7, np.uint8)
        self.history: list[Rows] = []

    def take(self, tick: int, rows: Rows) -> None:
        self.history.append(rows.copy())
        e = self.entities
        encode.take_frame(
            tick, len(rows), self.alive, self.ids, rows, self.parts, e.ring, e.ids, e.records,
            e.brief,
        )

    def record(self, slot: int, age_row: int | None, form: Form) -> bytes:
        start = slot * RECORD_STRIDE
        if age_row is None:
            return self.entities.records[start : start + 71].tobytes()
        start += DELTA_AT + age_row * (DELTA_BYTES + WIDE_BYTES)
        if form is Form.WIDE:
            return self.entities.records[start + DELTA_BYTES :][:WIDE_BYTES].tobytes()
        return self.entities.records[start : start + DELTA_BYTES].tobytes()


def full_reference(row: Rows) -> bytes:
    body = pose.encode_root_and_points(row[None], np.zeros((1, pose.EXTRA_BYTES), np.uint8), 7)
    return bytes([int(row[pose.FLAGS])]) + body.tobytes()


def delta_reference(now: Rows, then: Rows) -> tuple[Form, int, bytes]:
    """(form, parts whose points fit, bytes); steps that do not fit are cut to 8 bits."""
    step = now.astype(np.int64) - then
    yaw = (int(step[pose.YAW]) + 2048) % 4096 - 2048
    root = [int(step[0]), int(step[1]), int(step[2]), yaw]
    form = Form.FULL
    if now[pose.FLAGS] == then[pose.FLAGS]:
        if all(-128 <= s <= 127 for s in root):
            form = Form.DELTA
        elif all(-32_768 <= s <= 32_767 for s in root):
            form = Form.WIDE
    kind = np.int8 if form is Form.DELTA else np.dtype("<i2")
    data = np.array(root if form else [0] * 4, np.int64).astype(kind).tobytes()
    fit = 63
    for point, part in enumerate(pose.POINT_PART):
        at = pose.ROOT_COLUMNS + pose.POINT_COLUMNS * point
        code, held = (int(row[at + 3]) & 0xFFFFFFFF for row in (now, then))
        steps = [int(s) for s in step[at : at + 3]]
        steps += [(code >> k & 1023) - (held >> k & 1023) for k in (0, 10, 20)]
        if code >> 30 != held >> 30 or not all(-128 <= s <= 127 for s in steps):
            fit &= ~part
        data += bytes(s & 255 for s in steps)
    return form, fit, data


def check(encoder: Encoder, tick: int, slot: int) -> set[tuple[str, int]]:
    """Compare all records of a slot in this tick; what was seen, as (form, age)."""
    now = encoder.history[tick]
    brief = encoder.entities.brief[slot]
    seen: set[tuple[str, int]] = set()
    assert encoder.record(slot, None, Form.FULL) == full_reference(now[slot])
    for row, age in enumerate(AGES):
        if tick - age < 0:
            continue
        form, fit, data = delta_reference(now[slot], encoder.history[tick - age][slot])
        assert brief[FIT + row] >> 6 == form
        assert brief[FIT + row] & 63 == fit
        if form:
            assert encoder.record(slot, row, form) == data
        seen.add((form.name, age))
    return seen


def test_every_form_at_every_age_is_what_the_reference_says() -> None:
    rng = np.random.default_rng(11)
    slots = 60
    encoder = Encoder(slots)
    rows = np.zeros((slots, pose.COLUMNS), np.int32)
    seen: set[tuple[str, int]] = set()
    for tick in range(40):
        for slot in range(slots):
            columns = rng.choice(pose.COLUMNS, 3, replace=False)
            for column in columns.tolist():
                if column == pose.FLAGS:
                    rows[slot, column] = rng.choice([0, 0, 0, 0, 1, 32, 255])
                elif column == pose.YAW:
                    rows[slot, column] = (rows[slot, column] + rng.choice(BOUNDS)) % 4096
                elif column >= 5 and (column - 5) % 4 == 3:
                    low, mid, high = rng.integers(0, 1024, 3).tolist()
                    code = low | mid << 10 | high << 20 | int(rng.integers(4)) << 30
                    near = int(rows[slot, column]) ^ int(rng.integers(0, 256)) << 10
                    code = code if rng.random() < 0.3 else near & 0xFFFFFFFF
                    rows[slot, column] = np.uint32(code).view(np.int32)
                else:
                    rows[slot, column] += rng.choice(BOUNDS)
                    limit = 2**23 if column in (pose.X, pose.Z) else 2**15
                    rows[slot, column] = np.clip(rows[slot, column], -limit, limit - 1)
        encoder.take(tick, rows)
        for slot in range(slots):
            changed = tick == 0 or (rows[slot] != encoder.history[tick - 1][slot]).any()
            assert (encoder.entities.brief[slot, LAST_CHANGE] == tick) == changed
            seen |= check(encoder, tick, slot)
    assert seen == {(form.name, age) for form in Form for age in AGES}


@pytest.mark.parametrize(
    ("step", "form"),
    [(127, Form.DELTA), (-128, Form.DELTA), (128, Form.WIDE), (-129, Form.WIDE),
     (32_767, Form.WIDE), (-32_768, Form.WIDE), (32_768, Form.FULL), (-32_769, Form.FULL)],
)
def test_the_bounds_of_the_root(step: int, form: Form) -> None:
    encoder = Encoder(1)
    rows = np.zeros((1, pose.COLUMNS), np.int32)
    encoder.take(0, rows)
    rows[0, pose.X] = step
    encoder.take(1, rows)
    assert encoder.entities.brief[0, FIT] >> 6 == form
    check(encoder, 1, 0)


@pytest.mark.parametrize(
    ("step", "fits"), [(127, True), (-128, True), (128, False), (-129, False)]
)
def test_the_bounds_of_a_point(step: int, fits: bool) -> None:
    encoder = Encoder(1)
    rows = np.zeros((1, pose.COLUMNS), np.int32)
    rows[0, 9] = 500
    encoder.take(0, rows)
    rows[0, 9] += step
    encoder.take(1, rows)
    assert encoder.entities.brief[0, FIT] & 63 == (63 if fits else 63 & ~int(pose.Parts.HANDS))
    check(encoder, 1, 0)


def test_a_turn_through_zero_is_a_small_step() -> None:
    encoder = Encoder(1)
    rows = np.zeros((1, pose.COLUMNS), np.int32)
    rows[0, pose.YAW] = 4090
    encoder.take(0, rows)
    rows[0, pose.YAW] = 5
    encoder.take(1, rows)
    assert encoder.entities.brief[0, FIT] >> 6 == Form.DELTA
    assert encoder.record(0, 0, Form.DELTA)[3] == 11


def test_what_counts_as_a_change() -> None:
    encoder = Encoder(4)
    rows = np.zeros((4, pose.COLUMNS), np.int32)
    brief = encoder.entities.brief
    for tick in range(3):
        encoder.take(tick, rows)
    assert brief[:, LAST_CHANGE].tolist() == [0] * 4
    encoder.ids[0] = 99  # the slot has a new owner
    encoder.parts[1] = 1  # fewer points, which were zero
    encoder.parts[2] = int(pose.Parts.FACE)  # carried as it is, so never compared
    encoder.take(3, rows)
    assert brief[:, LAST_CHANGE].tolist() == [3, 3, 3, 0]
    assert brief[:, CHANGE_BEFORE].tolist() == [0] * 4
    encoder.take(4, rows)
    assert brief[:, LAST_CHANGE].tolist() == [3, 3, 4, 0]
    assert brief[:, CHANGE_BEFORE].tolist() == [3, 3, 3, 0]


def test_the_dead_are_left_alone() -> None:
    encoder = Encoder(2)
    rows = np.zeros((2, pose.COLUMNS), np.int32)
    encoder.take(0, rows)
    encoder.alive[1] = 0
    rows[:] = 50
    encoder.take(1, rows)
    assert encoder.entities.brief[:, LAST_CHANGE].tolist() == [1, 0]
    assert not encoder.entities.ring[1, 1].any()
