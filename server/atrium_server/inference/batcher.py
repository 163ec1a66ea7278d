"""Which rows run together, and when. PURE: the clock is handed in.

Theory of operation
-------------------
Work comes as jobs: some rows for one model, of a class, with a deadline. Jobs that can run together
(the same version of a model, the same shape) wait in one line, whatever their class; so what an app
asks for rides along with what the world asks for, and costs it next to nothing.

A line fires when it is full, when its first row has waited as long as its class may, or when a
deadline would slip if it waited any longer; how long a run takes is learned from those before
(`run_times`). Of the lines that fire the one with the most urgent class goes first, then the one
with the earliest deadline. Within a batch rows go in that same order.

A batch cannot be taken back once the device has it, so no batch of a class below the tick's own may
be expected to take longer than `slice_s_max`: that is what more urgent work waits at most. A job
with more rows than fit is run in parts.

What nobody wants any more (abandoned, or past its deadline) is dropped before it runs. Under
overload a job that could not be done in time behind what is waiting already is refused at once,
which leaves its owner time to fall back; and when all places are taken the newest rows of the
lowest class give way to a more urgent one.

What is done for each job is little, and does not grow with how many wait: thousands of one-row jobs
are the common case. A job that is over stays where it is, in the line and in two heaps of times,
until it is met there.

The batcher has one owner, the thread of the device, and no lock.
"""

from __future__ import annotations

import itertools
from bisect import insort
from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass, field
from enum import Enum
from heapq import heapify, heappop, heappush
from typing import Final

from atrium_server.inference.classes import RULES, WorkClass
from atrium_server.inference.run_times import RunTimes
from atrium_shared import limits

SLIP_S: Final = 0.002
"""So long before the last moment a line fires: results have a way to go back."""
_SWEPT: Final = 64
"""So many places a list has at least before those of jobs that are over are looked for."""


class Drop(Enum):
    """Why a job did not run, or not whole."""

    LATE = "late"
    SHED = "shed"
    ABANDONED = "abandoned"


@dataclass(eq=False, slots=True)
class Job:
    """Some rows for one model."""

    work: WorkClass
    line: Hashable
    """Jobs of an equal line can run in one batch."""
    rows: int
    submitted_s: float
    deadline_s: float
    payload: object = None
    is_abandoned: bool = False
    """Set by whoever submitted it; another thread may do so at any time."""
    taken: int = 0
    """Rows that went into batches so far, or will never go into any."""

    @property
    def left(self) -> int:
        """Rows that wait."""
        return self.rows - self.taken


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one job in a batch."""

    job: Job
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Batch:
    """What runs together."""

    line: Hashable
    work: WorkClass
    """The most urgent class in it."""
    rows: int
    parts: tuple[Part, ...]


class _Soonest:
    """The least of the times of jobs that still wait."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Job]] = []
        self._numbers = itertools.count()
        self._room = _SWEPT

    def add(self, s: float, job: Job) -> None:
        """A job waits that has this time."""
        if len(self._heap) >= self._room:
            self._heap = [entry for entry in self._heap if entry[2].left]
            heapify(self._heap)
            self._room = max(_SWEPT, 2 * len(self._heap))
        heappush(self._heap, (s, next(self._numbers), job))

    def least_s(self) -> float:
        """That of all; infinity if none waits."""
        heap = self._heap
        while heap and not heap[0][2].left:
            heappop(heap)
        return heap[0][0] if heap else float("inf")

    def until(self, s: float) -> Generator[Job]:
        """The jobs whose time has come, which are forgotten here."""
        while self.least_s() <= s:
            yield heappop(self._heap)[2]


@dataclass(slots=True)
class _Line:
    """Jobs that can run together, the most urgent class first, then the earliest deadline."""

    times: RunTimes = field(default_factory=RunTimes)
    jobs: list[Job] = field(default_factory=list[Job])
    """In order; among them some that are over."""
    room: int = _SWEPT
    rows: list[int] = field(default_factory=lambda: [0] * len(WorkClass))
    """Rows that wait, by class."""
    waits: _Soonest = field(default_factory=_Soonest)
    """How long each lets the line wait for others."""
    ends: _Soonest = field(default_factory=_Soonest)
    """The deadlines."""

    @property
    def has_jobs(self) -> bool:
        """Whether any row waits."""
        return any(self.rows)

    @property
    def fire_s(self) -> float:
        """When it fires, if it is not full before."""
        late_s = self.ends.least_s() - self.times.run_s(sum(self.rows)) - SLIP_S
        return min(self.waits.least_s(), late_s)

    def insert(self, job: Job) -> None:
        """A job waits here."""
        jobs = self.jobs
        if len(jobs) >= self.room:
            jobs = self.jobs = [each for each in jobs if each.left]
            self.room = max(_SWEPT, 2 * len(jobs))
        if jobs and _order(job) < _order(jobs[-1]):
            insort(jobs, job, key=_order)
        else:
            jobs.append(job)
        self.waits.add(job.submitted_s + RULES[job.work].wait_s_max, job)
        self.ends.add(job.deadline_s, job)

    def first(self) -> Job:
        """The most urgent; some row must wait."""
        over = 0
        while not self.jobs[over].left:
            over += 1
        del self.jobs[:over]
        return self.jobs[0]

    def last(self) -> Job:
        """The least urgent; some row must wait."""
        while not self.jobs[-1].left:
            self.jobs.pop()
        return self.jobs[-1]


def _order(job: Job) -> tuple[int, float]:
    return job.work, job.deadline_s


class Batcher:
    """Jobs that wait for the device."""

    def __init__(
        self, *, slice_s_max: float = limits.LANE_SLICE_S_MAX,
        rows_max: int = limits.LANE_QUEUE_ROWS_MAX,
    ) -> None:
        self._slice_s_max = slice_s_max
        self._rows_max = rows_max
        self._lines: dict[Hashable, _Line] = {}
        self._waiting = [0] * len(WorkClass)
        self.dropped: list[tuple[Job, Drop]] = []
        """Jobs that will not run (any more), for the owner to take away and tell."""

    @property
    def waiting(self) -> list[int]:
        """Rows that wait, by class."""
        return list(self._waiting)

    def times(self, line: Hashable) -> RunTimes:
        """What is known of how long the batches of a line take."""
        return self._line(line).times

    def forget(self, is_over: Callable[[Hashable], bool]) -> bool:
        """Forget such lines in which nothing waits; whether that is all of them."""
        over = [key for key in self._lines if is_over(key)]
        idle = [key for key in over if not self._lines[key].has_jobs]
        for key in idle:
            del self._lines[key]
        return len(idle) == len(over)

    def add(self, job: Job, now_s: float) -> None:
        """A job waits from now on, or is dropped at once."""
        rules = RULES[job.work]
        if job.is_abandoned or job.rows <= 0:
            self.dropped.append((job, Drop.ABANDONED))
        elif now_s >= job.deadline_s:
            self.dropped.append((job, Drop.LATE))
        elif (
            self._waiting[job.work] + job.rows > rules.queue_rows_max
            or now_s + self._ahead_s(job) > job.deadline_s
            or not self._make_room(job)
        ):
            self.dropped.append((job, Drop.SHED))
        else:
            line = self._line(job.line)
            line.insert(job)
            self._count(line, job.work, job.rows)

    def due_s(self) -> float:
        """When `next` should be asked again, if nothing is added before."""
        return min((line.fire_s for line in self._lines.values()), default=float("inf"))

    def next(self, now_s: float) -> Batch | None:
        """The batch that is to run now, if one is."""
        while True:
            best: tuple[tuple[int, float], Hashable] | None = None
            for key, line in self._lines.items():
                for job in line.ends.until(now_s):
                    self._drop(line, job, Drop.ABANDONED if job.is_abandoned else Drop.LATE)
                if line.has_jobs and self._fires(line, now_s):
                    rank = _order(line.first())
                    if best is None or rank < best[0]:
                        best = rank, key
            if best is None:
                return None
            batch = self._take(best[1])
            if batch.parts:  # not all of them had been abandoned
                return batch

    def drain(self) -> list[Job]:
        """All jobs that wait, which are forgotten."""
        jobs = [job for line in self._lines.values() for job in line.jobs if job.left]
        for key, line in self._lines.items():
            self._lines[key] = _Line(line.times)
        self._waiting = [0] * len(WorkClass)
        return jobs

    # --- within -------------------------------------------------------------------------------

    def _line(self, key: Hashable) -> _Line:
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line()
        return line

    def _fires(self, line: _Line, now_s: float) -> bool:
        return now_s >= line.fire_s or sum(line.rows) >= self._room(line)

    def _room(self, line: _Line) -> int:
        """How many rows the next batch of a line may have."""
        work = line.first().work
        rows_max = RULES[work].rows_max
        if work is WorkClass.ANIMATION:
            return rows_max
        return line.times.rows_within(self._slice_s_max, rows_max)

    def _ahead_s(self, job: Job) -> float:
        """How long the device is busy with what is as urgent or more, and with the job itself."""
        total_s = self._line(job.line).times.row_s * job.rows
        for line in self._lines.values():
            total_s += line.times.row_s * sum(line.rows[:job.work + 1])
        return total_s

    def _make_room(self, job: Job) -> bool:
        """Whether there is a place for it, for which less urgent rows may have to go."""
        excess = sum(self._waiting) + job.rows - self._rows_max
        if excess > sum(self._waiting[job.work + 1:]):
            return False
        while excess > 0:
            line = max(
                (line for line in self._lines.values() if line.has_jobs),
                key=lambda line: _order(line.last()),
            )
            excess -= line.last().left
            self._drop(line, line.last(), Drop.SHED)
        return True

    def _count(self, line: _Line, work: WorkClass, rows: int) -> None:
        line.rows[work] += rows
        self._waiting[work] += rows

    def _drop(self, line: _Line, job: Job, why: Drop) -> None:
        self._count(line, job.work, -job.left)
        job.taken = job.rows
        self.dropped.append((job, why))

    def _take(self, key: Hashable) -> Batch:
        """The first rows of a line; of jobs that were abandoned none."""
        line = self._lines[key]
        while line.has_jobs and line.first().is_abandoned:  # it does not say how large a batch is
            self._drop(line, line.first(), Drop.ABANDONED)
        room = self._room(line) if line.has_jobs else 0
        parts: list[Part] = []
        done = 0
        for job in line.jobs:
            if not room:
                break
            if job.is_abandoned and job.left:
                self._drop(line, job, Drop.ABANDONED)
            if not job.left:
                done += 1
                continue
            rows = min(job.left, room)
            parts.append(Part(job, job.taken, job.taken + rows))
            job.taken += rows
            self._count(line, job.work, -rows)
            room -= rows
            done += job.left == 0
        del line.jobs[:done]
        work = min((part.job.work for part in parts), default=WorkClass.WARMING)
        return Batch(key, work, sum(part.stop - part.start for part in parts), tuple(parts))
