"""What the thread of the device does, with a clock and models of our own."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Callable, Hashable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lane_stands import BAGS, NUMBERS, Adds, Breaks, bags, loaded, numbers

from atrium_server.inference.batcher import Job
from atrium_server.inference.classes import WorkClass
from atrium_server.inference.outcomes import Outcome, Status
from atrium_server.inference.rows import Rows
from atrium_server.inference.slots import Loaded
from atrium_server.inference.staging import Staging
from atrium_server.inference.worker import Device, Ended, Line, Work, Worker


class Bench:
    """A worker and what it tells."""

    def __init__(self, device: Device | None = None) -> None:
        self.now = 0.0
        self.told: list[Ended] = []
        self.passed = 0
        self.worker = Worker(device or Device(), self.told.append, lambda: self.now, self.gate)

    def gate(self) -> None:
        self.passed += 1

    def give(
        self, version: Loaded, rows: Rows, *, until: float = 1.0, line: Hashable = None
    ) -> Work:
        count = len(rows["x"]) if "x" in rows else len(rows["ids"].offsets) - 1
        job = Job(WorkClass.MODERATION, line or version, count, self.now, until)
        job.payload = work = Work(job, version, rows, lambda outcome: None)
        self.worker.take(work)
        return work

    def run(self) -> dict[Work, Outcome]:
        """Until nothing is due."""
        ended: dict[Work, Outcome] = {}
        for _ in range(20):
            self.worker.turn()
            self.now += 0.01
        for each in self.told:
            for work, outcome in each.outcomes:
                assert work not in ended, "told twice"
                ended[work] = outcome
        return ended


def test_jobs_run_together_and_each_gets_its_own_rows() -> None:
    bench, version = Bench(), loaded()
    first = bench.give(version, numbers((1, 2), (3, 4)))
    second = bench.give(version, numbers((5, 6)))
    ended = bench.run()
    assert ended[first].outputs["sum"].tolist() == [3, 7]
    assert ended[second].outputs["sum"].tolist() == [11]
    assert version.model.batches == [3]
    assert ended[first].version == "adds@1"
    assert bench.passed == 1


def test_a_job_larger_than_a_batch_comes_back_whole() -> None:
    bench, version = Bench(), loaded()
    rows = numbers(*((k, 1) for k in range(2_500)))
    work = bench.give(version, rows)
    assert bench.run()[work].outputs["sum"].tolist() == [k + 1 for k in range(2_500)]
    assert len(version.model.batches) >= 3


def test_a_retired_version_is_let_go_when_its_rows_have_run() -> None:
    bench, version = Bench(), loaded()
    model = weakref.ref(version.model)
    for size in (0, 64):
        bench.give(version, numbers((1, 2)), line=Line(version, size))
    version.is_retired = True
    bench.worker.forget(version)
    assert [outcome.status for outcome in bench.run().values()] == [Status.DONE] * 2
    bench.told.clear()
    del version
    gc.collect()
    assert model() is None


@pytest.mark.parametrize(("allowed_s", "status"), [(1.0, Status.DONE), (0.0, Status.LATE)])
def test_who_chose_a_version_before_it_was_retired_does_not_keep_it(
    allowed_s: float, status: Status
) -> None:
    bench, version = Bench(), loaded()
    model = weakref.ref(version.model)
    version.is_retired = True
    bench.worker.forget(version)
    bench.run()
    bench.give(version, numbers((1, 2)), until=bench.now + allowed_s, line=Line(version, 0))
    assert [outcome.status for outcome in bench.run().values()] == [status]
    bench.told.clear()
    del version
    gc.collect()
    assert model() is None


def test_a_failure_ends_its_batch_and_no_other() -> None:
    bench, sound, broken = Bench(), loaded(), loaded(Adds(), "other")
    broken.model.error = ValueError("it has a bad day")
    good, bad = bench.give(sound, numbers((1, 2))), bench.give(broken, numbers((1, 2)))
    ended = bench.run()
    assert ended[good].status is Status.DONE
    assert ended[bad].status is Status.FAILED
    assert broken.is_broken
    assert [each.batch.broken for each in bench.told if each.batch] == [None, broken]
    later = bench.give(broken, numbers((1, 2)))
    bench.told.clear()
    broken.model.error = None
    assert bench.run()[later].status is Status.FAILED, "it is not run before it is loaded anew"
    assert broken.model.batches == []


def test_only_the_rows_that_are_no_numbers_fail() -> None:
    bench, version = Bench(), loaded()
    version.model.spoils = 3.0
    good, bad = bench.give(version, numbers((5, 6))), bench.give(version, numbers((1, 2), (2, 2)))
    ended = bench.run()
    assert ended[good].outputs["sum"].tolist() == [11]
    assert ended[bad].status is Status.FAILED
    assert not version.is_broken


def test_outputs_of_the_wrong_shape_are_a_failure() -> None:
    bench = Bench()

    class Wrong(Adds):
        def run(self, inputs):
            return {"sum": np.zeros((1, 9), np.float32)}

    version = loaded(Wrong())
    work = bench.give(version, numbers((1, 2)))
    assert bench.run()[work].status is Status.FAILED


def test_a_lost_device_is_told() -> None:
    bench, version = Bench(Breaks()), loaded()
    version.model.error = RuntimeError("it is gone")
    bench.give(version, numbers((1, 2)))
    bench.run()
    assert [each.batch.is_device_lost for each in bench.told if each.batch] == [True]


def test_what_is_late_is_told_and_not_run() -> None:
    bench, version = Bench(), loaded()
    work = bench.give(version, numbers((1, 2)), until=0.001)
    bench.now = 0.5
    assert bench.run()[work].status is Status.LATE
    assert version.model.batches == []


@given(st.lists(st.lists(st.lists(st.integers(0, 99), max_size=4), min_size=1, max_size=4),
                min_size=1, max_size=5))
def test_bags_are_joined_as_they_are(jobs: list[list[list[int]]]) -> None:
    staging = Staging()
    for _ in range(2):  # the second time the buffers are there
        joined = staging.join(BAGS, [(bags(*rows), 0, len(rows)) for rows in jobs])
        offsets = joined["ids_offsets"]
        found = [joined["ids"][low:high].tolist()
                 for low, high in itertools.pairwise(offsets)]
        assert found == [row for rows in jobs for row in rows]


def test_buffers_are_kept_as_long_as_they_suffice() -> None:
    asked: list[tuple[int, ...]] = []

    def allocate(shape: tuple[int, ...], dtype: str) -> np.ndarray:
        asked.append(shape)
        return np.zeros(shape, dtype)

    staging = Staging(allocate)
    for count in (1, 3, 64, 65, 100):
        rows = numbers(*((k, 0) for k in range(count)))
        assert len(staging.join(NUMBERS, [(rows, 0, count)])["x"]) == count
    assert asked == [(64, 2), (128, 2)]


@pytest.mark.parametrize("make", [numbers, bags])
def test_part_of_a_job_is_those_rows(make: Callable[..., Rows]) -> None:
    rows = make((1, 2), (3, 4), (5, 6)) if make is numbers else make([1], [2, 3], [])
    signature = NUMBERS if make is numbers else BAGS
    joined = Staging().join(signature, [(rows, 1, 3)])
    if make is numbers:
        assert joined["x"].tolist() == [[3, 4], [5, 6]]
    else:
        assert joined["ids"].tolist() == [2, 3]
        assert joined["ids_offsets"].tolist() == [0, 2, 2]
