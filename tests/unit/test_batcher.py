"""Which rows run together, and when."""

from __future__ import annotations

import random
import weakref
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrium_server.inference.batcher import SLIP_S, Batch, Batcher, Drop, Job
from atrium_server.inference.classes import RULES, WorkClass
from atrium_server.inference.run_times import RunTimes

CHAT = WorkClass.MODERATION
WAIT_S = RULES[CHAT].wait_s_max
FULL = RULES[CHAT].rows_max
ROOMY_S = 10.0
"""A slice that no batch of these tests fills."""


def job(
    rows: int = 1, *, work: WorkClass = CHAT, line: str = "m1", at: float = 0.0,
    until: float | None = None,
) -> Job:
    return Job(work, line, rows, at, at + RULES[work].deadline_s if until is None else until)


def learnt(batcher: Batcher, line: str, *, row_s: float, fixed_s: float = 0.001) -> None:
    for rows in (1, 256, 64, 128) * 20:
        batcher.times(line).learn(rows, fixed_s + rows * row_s)


def spans(batch: Batch) -> list[tuple[Job, int, int]]:
    return [(part.job, part.start, part.stop) for part in batch.parts]


class Payload:
    """What a job keeps alive."""


def due_s(batcher: Batcher, waiting: Sequence[Job], ran: Mapping[Job, int]) -> float:
    """When the first of them no longer lets its line wait, by the book."""
    first_s = float("inf")
    for line in {each.line for each in waiting}:
        there = [each for each in waiting if each.line == line]
        run_s = batcher.times(line).run_s(sum(each.rows - ran[each] for each in there))
        for each in there:
            patient_s = each.submitted_s + RULES[each.work].wait_s_max
            first_s = min(first_s, patient_s, each.deadline_s - run_s - SLIP_S)
    return first_s


# --- when a batch fires ----------------------------------------------------------------------


def test_the_first_row_waits_for_others_as_long_as_its_class_may() -> None:
    batcher = Batcher()
    first, second = job(), job(at=WAIT_S / 2)
    batcher.add(first, 0.0)
    assert batcher.next(WAIT_S * 0.9) is None
    batcher.add(second, WAIT_S / 2)
    assert batcher.due_s() == pytest.approx(WAIT_S)
    batch = batcher.next(WAIT_S)
    assert batch is not None
    assert spans(batch) == [(first, 0, 1), (second, 0, 1)]
    assert batcher.next(1.0) is None
    assert batcher.due_s() == float("inf")


def test_a_full_batch_does_not_wait() -> None:
    batcher = Batcher(slice_s_max=ROOMY_S)
    batcher.add(job(FULL - 1), 0.0)
    assert batcher.next(0.0) is None
    batcher.add(job(1), 0.0)
    batch = batcher.next(0.0)
    assert batch is not None
    assert batch.rows == FULL


def test_it_fires_before_a_deadline_would_slip() -> None:
    batcher = Batcher()
    learnt(batcher, "m1", row_s=0.0, fixed_s=0.02)
    patient = WorkClass.SHADOW  # which would wait longer
    batcher.add(job(work=patient, until=0.04), 0.0)
    assert batcher.next(0.01) is None
    assert 0.015 < batcher.due_s() < 0.02
    assert batcher.next(batcher.due_s()) is not None


def test_a_fixed_cost_beyond_the_slice_is_shared_by_many_rows() -> None:
    batcher = Batcher(slice_s_max=0.005)
    learnt(batcher, "m1", row_s=0.0001, fixed_s=0.02)
    batcher.add(job(FULL, until=ROOMY_S), 0.0)
    batch = batcher.next(1.0)
    assert batch is not None
    assert 150 < batch.rows < 220  # as long again as the fixed part


def test_jobs_of_another_version_run_in_a_batch_of_their_own() -> None:
    batcher = Batcher()
    batcher.add(job(line="m1"), 0.0)
    batcher.add(job(line="m2"), 0.0)
    batches = [batcher.next(1e-1), batcher.next(1e-1)]
    assert {batch.line for batch in batches if batch} == {"m1", "m2"}


# --- what goes first -------------------------------------------------------------------------


def test_the_most_urgent_class_goes_first_and_others_ride_along() -> None:
    batcher = Batcher()
    app = job(work=WorkClass.SERVICE)
    chat = job()
    later = job(work=WorkClass.PERCEPTION, line="feelings")
    for each in (app, later, chat):
        batcher.add(each, 0.0)
    batch = batcher.next(0.02)
    assert batch is not None
    assert batch.work is CHAT
    assert [part.job for part in batch.parts] == [chat, app]
    second = batcher.next(0.02)
    assert second is not None
    assert second.work is WorkClass.PERCEPTION


def test_a_long_job_is_run_in_slices_that_others_can_wait_for() -> None:
    batcher = Batcher(slice_s_max=0.005)
    learnt(batcher, "m1", row_s=0.0001)
    learnt(batcher, "m2", row_s=0.0001)
    long = job(200, until=ROOMY_S)
    batcher.add(long, 0.0)
    first = batcher.next(0.0)
    assert first is not None
    assert 30 < first.rows < 45  # 1 ms and 0.1 ms for each row
    urgent = job(work=WorkClass.NPC, line="m2")
    batcher.add(urgent, 0.0)
    second, third = batcher.next(0.01), batcher.next(0.01)
    assert second is not None
    assert third is not None
    assert second.parts[0].job is urgent
    assert spans(third)[0] == (long, first.rows, first.rows + third.rows)


# --- what does not run -----------------------------------------------------------------------


def test_what_is_late_or_abandoned_never_runs() -> None:
    batcher = Batcher()
    late, left, kept = job(until=0.01), job(), job(until=1.0)
    for each in (late, left, kept):
        batcher.add(each, 0.0)
    left.is_abandoned = True
    batch = batcher.next(0.05)
    assert batch is not None
    assert [part.job for part in batch.parts] == [kept]
    assert set(batcher.dropped) == {(late, Drop.LATE), (left, Drop.ABANDONED)}


def test_only_what_was_abandoned_makes_no_batch() -> None:
    batcher = Batcher()
    left = job()
    batcher.add(left, 0.0)
    left.is_abandoned = True
    assert batcher.next(0.05) is None
    assert batcher.dropped == [(left, Drop.ABANDONED)]
    assert batcher.waiting == [0] * len(WorkClass)


def test_what_could_not_be_done_in_time_is_refused_at_once() -> None:
    batcher = Batcher()
    learnt(batcher, "m1", row_s=0.001)
    for _ in range(14):
        batcher.add(job(10), 0.0)
    assert batcher.dropped == []
    refused = job(20)
    batcher.add(refused, 0.0)
    assert batcher.dropped == [(refused, Drop.SHED)]
    urgent = job(20, work=WorkClass.NPC)
    batcher.add(urgent, 0.0)  # is not behind them
    assert len(batcher.dropped) == 1


def test_the_lowest_class_gives_way_and_its_newest_first() -> None:
    batcher = Batcher(rows_max=30)
    old, new = (job(10, work=WorkClass.SHADOW, at=at) for at in (0.0, 0.001))
    app = job(10, work=WorkClass.SERVICE)
    for each in (old, new, app):
        batcher.add(each, 0.001)
    chat = job(5)
    batcher.add(chat, 0.001)
    assert batcher.dropped == [(new, Drop.SHED)]
    batcher.add(job(15), 0.001)
    assert batcher.dropped[1:] == [(old, Drop.SHED)]
    refused = job(1, work=WorkClass.SHADOW)
    batcher.add(job(1), 0.001)
    batcher.add(refused, 0.001)
    assert batcher.dropped[2:] == [(app, Drop.SHED)]
    assert refused not in [each for each, _ in batcher.dropped]


def test_nothing_less_urgent_is_shed_for_what_has_no_place_anyway() -> None:
    batcher = Batcher(rows_max=30)
    app = job(10, work=WorkClass.SERVICE)
    batcher.add(app, 0.0)
    for _ in range(4):
        batcher.add(job(5), 0.0)
    large = job(15)
    batcher.add(large, 0.0)
    assert batcher.dropped == [(large, Drop.SHED)]


def test_what_is_over_is_not_kept_however_long_its_deadline() -> None:
    batcher = Batcher(slice_s_max=ROOMY_S)
    patient = job(work=WorkClass.SHADOW, until=1e9)
    gone: list[weakref.ref[Payload]] = []
    for k in range(10_000):
        each = job(work=WorkClass.NPC, at=k * 1.0, until=1e6)
        each.payload = Payload()
        gone.append(weakref.ref(each.payload))
        each.is_abandoned = k % 3 == 0
        batcher.add(each, k * 1.0)
        if k == 0:
            batcher.add(patient, 0.0)
        batcher.next(k + 0.001 * (k % 2))
        batcher.dropped.clear()
        del each
    assert sum(ref() is not None for ref in gone) < 500


# --- whatever comes --------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_under_any_load_each_row_runs_once_or_is_dropped_once(seed: int) -> None:
    chance = random.Random(seed)
    batcher = Batcher(slice_s_max=0.005, rows_max=600)
    took = {"m1": (0.0005, 0.00002), "m2": (0.002, 0.0001), "m3": (0.0001, 0.001)}
    now, jobs, ran, dropped = 0.0, list[Job](), Counter[Job](), dict[Job, Drop]()
    for _ in range(400):
        now += chance.choice([0.0, 0.0001, 0.001, 0.01, 0.1])
        for _ in range(chance.randrange(4)):
            work = chance.choice(list(WorkClass))
            each = job(chance.choice([1, 1, 2, 40, 300]), work=work, line=chance.choice([*took]),
                       at=now, until=now + chance.choice([0.001, 0.05, 1.0]))
            jobs.append(each)
            batcher.add(each, now)
        if jobs and chance.random() < 0.1:
            chance.choice(jobs).is_abandoned = True
        batch = batcher.next(now)
        if batch:
            run_s = batcher.times(batch.line).run_s(batch.rows)
            for part in batch.parts:
                assert not part.job.is_abandoned
                assert part.job.deadline_s > now
                assert part.start == ran[part.job]
                ran[part.job] += part.stop - part.start
            assert batch.rows <= RULES[batch.work].rows_max
            if batch.work is not WorkClass.ANIMATION and batch.rows > 1:
                assert run_s <= max(0.005, 2 * batcher.times(batch.line).run_s(0)) + 1e-9
            fixed_s, row_s = took[str(batch.line)]
            now += fixed_s + row_s * batch.rows
            batcher.times(batch.line).learn(batch.rows, fixed_s + row_s * batch.rows)
        for each, why in batcher.dropped:
            assert each not in dropped, f"told twice (seed {seed})"
            dropped[each] = why
        batcher.dropped.clear()
        assert sum(batcher.waiting) <= 600
        waiting = [each for each in jobs if ran[each] < each.rows and each not in dropped]
        assert sum(batcher.waiting) == sum(each.rows - ran[each] for each in waiting)
        assert batcher.due_s() == pytest.approx(due_s(batcher, waiting, ran)), seed
    left = batcher.drain()
    for each in jobs:
        places = (ran[each] == each.rows) + (each in dropped) + (each in left)
        assert places == 1, f"{each} is in {places} places (seed {seed})"


# --- how long a batch takes ------------------------------------------------------------------


def test_the_first_runs_are_believed_however_far_from_what_was_expected() -> None:
    times = RunTimes()
    times.learn(1, 0.05)
    times.learn(4, 0.18)
    assert times.rows_within(0.01, 256) < 4
    for _ in range(40):
        times.learn(1, 0.05)
    times.learn(1, 20.0)  # held up by something else
    assert times.run_s(1) < 0.2


def test_lines_that_are_over_are_forgotten_when_nothing_waits_in_them() -> None:
    batcher = Batcher()
    for line in ("a 1", "a 2", "b 1"):
        batcher.add(job(line=line), 0.0)
        learnt(batcher, line, row_s=0.01)
    batch = batcher.next(1e-1)
    assert batch is not None
    batcher.forget(lambda line: str(line).startswith("a"))
    rows_s = {line: batcher.times(line).row_s for line in ("a 1", "a 2", "b 1")}
    assert sum(row_s > 0.005 for row_s in rows_s.values()) == 2
    assert rows_s["b 1"] > 0.005
