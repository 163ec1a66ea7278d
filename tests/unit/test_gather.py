"""Which records are due, which of them fit, and how the messages of one viewer lie in the arena."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from atrium_server.replication import gather
from atrium_server.replication import replicator as replicator_module
from atrium_server.replication.due import LENGTH, collect_due, fit_budget
from atrium_server.replication.replicator import (
    ReplicationSettings,
    Replicator,
    granted_cap,
)
from atrium_server.replication.state import (
    BRIEF_COLUMNS,
    CHANGE_BEFORE,
    DELTA_AT,
    DELTA_BYTES,
    DISTANCE,
    ENTITY,
    FIT,
    HELD_COLUMNS,
    LAST_CHANGE,
    LAST_PARTS,
    LAST_TICK,
    PARTS,
    RECORD_STRIDE,
    WIDE_BYTES,
)
from atrium_shared import limits, pose
from atrium_shared import messages as m
from atrium_shared.snapshot import Form, record_length

sys.path.insert(0, str(Path(__file__).parent))
from crowd_model import Client, Crowd, messages_of

AGE_MAX = 20


class Due:
    """One viewer with one index, asked whether a record is due and which."""

    def __init__(self, level: int, index: int = 0) -> None:
        self.index = index
        n = index + 1
        self.held = np.zeros((n, HELD_COLUMNS), np.int32)
        self.held[:, ENTITY] = -1
        self.held[index, ENTITY] = 0
        self.held[:, LAST_PARTS] = 3
        distance = np.float32([50.0, 150.0, 350.0, 700.0, 900.0][level])
        self.held[:, DISTANCE] = distance.view(np.int32)
        self.brief = np.zeros((1, BRIEF_COLUMNS), np.int32)
        self.brief[0, PARTS] = 3
        self.brief[0, FIT:] = int(Form.DELTA) << 6 | 63

    def ask(self, tick: int, changed: int, before: int = -1) -> tuple[Form, int, int] | None:
        """(form, parts, where the record begins), None when nothing is due.

        The entity changed in the tick `changed`, and before that in `before`.
        """
        self.brief[0, LAST_CHANGE] = changed
        self.brief[0, CHANGE_BEFORE] = changed if changed < tick else before
        due, code = np.zeros((256, 2), np.int32), np.zeros(256, np.uint8)
        counts = np.zeros(256, np.int32)
        count, total = collect_due(
            self.held, self.index + 1, tick, 100.0, 200.0, 400.0, AGE_MAX, 63, False, self.brief,
            due, code, counts,
        )
        if not count:
            assert total == 0
            return None
        form, parts = Form(code[0] >> 6), int(code[0] & 63)
        assert total == 3 + record_length(form, parts)
        return form, parts, int(due[0, 1])


def start_of(row: int, form: Form = Form.DELTA) -> int:
    return DELTA_AT + row * (DELTA_BYTES + WIDE_BYTES) + (DELTA_BYTES if form is Form.WIDE else 0)


@pytest.mark.parametrize(("age", "row"), [(1, 0), (2, 1), (4, 2)])
@pytest.mark.parametrize("form", [Form.DELTA, Form.WIDE])
def test_a_delta_is_of_the_age_that_the_client_holds(age: int, row: int, form: Form) -> None:
    due = Due(0)
    due.held[0, LAST_TICK] = 100 - age
    due.brief[0, FIT:] = int(form) << 6 | 63
    assert due.ask(100, 100, before=99) == (form, 3, start_of(row, form))


@pytest.mark.parametrize("age", [3, 5, 6, 8, 17])
def test_other_ages_are_full_unless_nothing_changed_in_between(age: int) -> None:
    due = Due(0)
    due.held[0, LAST_TICK] = 100 - age
    assert due.ask(100, 100, before=99) == (Form.FULL, 3, 0)
    assert due.ask(100, 100, before=101 - age) == (Form.FULL, 3, 0)
    assert due.ask(100, 100, before=100 - age) == (Form.DELTA, 3, start_of(0))


def test_what_has_not_changed_is_not_due() -> None:
    due = Due(0)
    due.held[0, LAST_TICK] = 90
    assert due.ask(100, 90) is None
    due.brief[0, PARTS] = 7
    assert due.ask(100, 90) == (Form.FULL, 7, 0), "but for parts the client does not hold"


def test_a_step_that_does_not_fit_is_full() -> None:
    due = Due(0)
    due.held[0, LAST_TICK] = 99
    due.brief[0, FIT] = int(Form.DELTA) << 6 | 63 & ~2
    assert due.ask(100, 100) == (Form.FULL, 3, 0)
    due.brief[0, FIT] = int(Form.DELTA) << 6 | 63 & ~4
    assert due.ask(100, 100) == (Form.DELTA, 3, start_of(0)), "of parts that are not carried"
    due.brief[0, FIT] = 63
    assert due.ask(100, 100) == (Form.FULL, 3, 0)


@pytest.mark.parametrize(("level", "period"), [(0, 1), (1, 2), (2, 4), (3, 4), (4, 4)])
@pytest.mark.parametrize("index", [0, 1, 2, 7])
def test_levels_have_their_rate_and_their_parts(level: int, period: int, index: int) -> None:
    due = Due(level, index)
    parts = {3: 1, 4: 0}.get(level, 3)
    told: list[int] = []
    for tick in range(100, 140):
        due.held[index, LAST_TICK] = told[-1] if told else 99
        due.held[index, LAST_PARTS] = parts
        answer = due.ask(tick, tick, before=tick - 1)
        if answer is not None:
            assert answer[1] == parts
            told.append(tick)
    steps = np.diff(told)
    assert set(steps.tolist()) == {period}, "aligned, so that the ages are 1, 2 or 4"
    assert all((tick + index) % period == 0 for tick in told)


@pytest.mark.parametrize("level", [1, 2, 3, 4])
def test_a_missed_turn_comes_again_before_it_is_too_late(level: int) -> None:
    due = Due(level)
    due.held[0, LAST_TICK] = 100
    period = 2 if level == 1 else 4
    asked = [tick for tick in range(101, 125) if due.ask(tick, tick, before=tick - 1)]
    turns = [tick for tick in range(101, 100 + 2 * period) if tick % period == 0]
    assert asked == turns + list(range(100 + 2 * period, 125))


def fit(
    rng: np.random.Generator, count: int, allowed: int, tick: int = 1_000
) -> tuple[dict[int, int], dict[int, int], npt.NDArray[np.int32], int]:
    """(codes before, codes of the chosen, ages by index, bytes) of one random budget."""
    last_tick = (tick - rng.integers(1, 30, count)).astype(np.int32)
    waiting = rng.random(count) < 0.1
    last_tick[waiting] = -1 - last_tick[waiting]
    held = np.zeros((count, HELD_COLUMNS), np.int32)
    held[:, LAST_TICK] = last_tick
    held[:, DISTANCE] = rng.uniform(10.0, 9_000.0, count).astype(np.float32).view(np.int32)
    due = np.zeros((256, 2), np.int32)
    code, counts = np.zeros(256, np.uint8), np.zeros(256, np.int32)
    due[:count, 0] = np.arange(count)
    due[:count, 1] = np.arange(count) * RECORD_STRIDE
    code[:count] = rng.choice([0, 1, 3, 63, 64, 65, 67, 127, 131], count)
    np.add.at(counts, code[:count], 1)
    before = dict(enumerate(code[:count].tolist()))
    left, total = fit_budget(held, tick, count, allowed, AGE_MAX, due, code, counts)
    assert (due[:left, 1] == due[:left, 0] * RECORD_STRIDE).all(), "records stay with indexes"
    after = dict(zip(due[:left, 0].tolist(), code[:left].tolist(), strict=True))
    assert list(after) == sorted(after)
    expected = np.zeros(256, np.int32)
    np.add.at(expected, code[:left], 1)
    assert (counts == expected).all()
    age = np.where(last_tick >= 0, tick - last_tick, tick + last_tick + 3)
    return before, after, age.astype(np.int32), int(total)


@pytest.mark.parametrize("seed", range(40))
def test_the_budget_holds_and_goes_to_the_oldest_first(seed: int) -> None:
    rng = np.random.default_rng(seed)
    count, allowed = int(rng.integers(1, 200)), int(rng.integers(64, 3_000))
    before, after, age, total = fit(rng, count, allowed)
    size = sum(1 + LENGTH[code >> 6, code & 63] for code in after.values())
    size += 2 * len(set(after.values()))
    assert total == size <= allowed
    for index, code in after.items():
        parts, wish = code & 63, before[index] & 63
        assert code >> 6 == before[index] >> 6, "a record keeps its form"
        old = 2 * age[index] >= AGE_MAX
        assert parts == wish or (old and parts in (wish & 7, 0)), "demoted: without extras, or root"
    left_out = [index for index in before if index not in after and 2 * age[index] >= AGE_MAX]
    if left_out:
        # Even a root alone did not fit any more, so nothing younger in age went before them.
        assert total + 1 + 4 > allowed - 10
        oldest = max(int(age[index]) for index in left_out)
        assert all(age[index] >= oldest for index in after if 2 * age[index] >= AGE_MAX
                   and before[index] >> 6 == int(Form.FULL) and not after[index] & 63)


def test_everything_fits_where_there_is_room() -> None:
    before, after, _, _ = fit(np.random.default_rng(5), 100, 60_000)
    assert after == before


def settings(n: int, cap: int, radius_m: float = 50.0) -> ReplicationSettings:
    return ReplicationSettings(
        radius_m=radius_m, hysteresis_m=1.0, full_rate_radius_m=radius_m + 1.0,
        half_rate_radius_m=radius_m + 1.0, cap=cap,
        tick_rate_hz=20, low_mm=(-9_000, -9_000), high_mm=(9_000, 9_000), entities_max=n,
        viewers_max=n,
    )


def full_crowd(n: int) -> Crowd:
    crowd = Crowd(np.random.default_rng(3), n, 9_000)
    for slot in range(n):
        crowd.join(slot)
    crowd.step()
    return crowd


def test_two_hundred_and_fifty_five_indexes_can_be_named_and_left() -> None:
    crowd = full_crowd(300)
    replicator = Replicator(settings(300, limits.INDEXES_MAX))
    replicator.add_viewer(0, 0, limits.INDEXES_MAX, 3, limits.BYTES_PER_S_MAX)
    client = Client(0, limits.INDEXES_MAX, 3)
    which = np.zeros(1, np.int32)
    replicator.credit.rows["rate"][0] = limits.BYTES_PER_S_MAX
    replicator.with_credit(which)
    for _ in range(30):
        replicator.take_frame(crowd.frame())
        built, _ = replicator.build(which, np.zeros(1, np.int32), 0, crowd.tick)
        client.take(built.arena[: int(built.lengths[0])].tobytes(), crowd, crowd.tick)
        replicator.commit(built, np.ones(1, np.uint8))
        crowd.step()
    assert sorted(client.entity) == list(range(255))
    crowd.alive[1:] = 0
    replicator.take_frame(crowd.frame())
    built, _ = replicator.build(which, np.zeros(1, np.int32), 0, crowd.tick)
    told = client.take(built.arena[: int(built.lengths[0])].tobytes(), crowd, crowd.tick)
    assert len(told.left) == 255
    assert not client.entity


def test_a_full_arena_is_sent_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicator_module, "ARENA_BYTES", gather.VIEWER_BYTES_MAX + 2_500)
    crowd = full_crowd(7)
    replicator = Replicator(settings(7, 6))
    for slot in range(7):
        replicator.add_viewer(slot, slot, 6, 63, limits.BYTES_PER_S_MAX)
    replicator.take_frame(crowd.frame())
    which, prefixes = np.arange(7, dtype=np.int32), np.full(7, 1_000, np.int32)
    first, rounds = 0, 0
    while first < 7:
        built, end = replicator.build(which, prefixes, first, 5)
        assert end > first
        for k, slot in enumerate(built.which.tolist()):
            start = int(built.offsets[k])
            piece = built.arena[start + 1_000 : start + int(built.lengths[k])].tobytes()
            told = Client(slot, 6, 63).take(piece, crowd, 5)
            assert len(told.entered) == 6
        replicator.commit(built, np.ones(len(built.which), np.uint8))
        first, rounds = end, rounds + 1
    assert rounds > 1


def test_an_empty_world_gets_empty_snapshots() -> None:
    crowd = full_crowd(1)
    replicator = Replicator(settings(1, 1))
    replicator.add_viewer(0, 0, 1, 63, limits.BYTES_PER_S_MIN)
    replicator.take_frame(crowd.frame())
    built, _ = replicator.build(np.zeros(1, np.int32), np.zeros(1, np.int32), 0, 4_294_967_295)
    (message, size), = messages_of(built.arena[: int(built.lengths[0])].tobytes())
    assert isinstance(message, m.Snapshot)
    assert (message.body, message.server_ms, size) == (b"", 4_294_967_295, 22)


@pytest.mark.parametrize("rate_hz", [5, 20, 60])
@pytest.mark.parametrize("bytes_per_s", [4_000, 8_000, 100_000, 4_000_000])
def test_the_granted_cap_is_what_the_link_carries(rate_hz: int, bytes_per_s: int) -> None:
    cap = granted_cap(255, 255, bytes_per_s, rate_hz)
    assert 1 <= cap <= 255
    assert granted_cap(10, 255, bytes_per_s, rate_hz) == min(cap, 10)
    assert granted_cap(255, 3, bytes_per_s, rate_hz) == min(cap, 3)
    root = 1 + record_length(Form.FULL, 0)
    needs = cap * root * rate_hz / 4 + 26 * rate_hz
    assert cap == 1 or needs <= limits.BANDWIDTH_SHARE * bytes_per_s
    assert root == pose.ROOT_BYTES + 2
