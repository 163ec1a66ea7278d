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

The batcher has one owner, the thread of the device, and no lock.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from atrium_server.inference.classes import RULES, WorkClass
from atrium_server.inference.run_times import RunTimes
from atrium_shared import limits

SLIP_S: Final = 0.002
"""So long before the last moment a line fires: results have a way to go back."""


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
    """Rows that went into batches so far."""

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


@dataclass(slots=True)
class _Line:
    """Jobs that can run together, the most urgent class first, then the earliest deadline."""

    times: RunTimes = field(default_factory=RunTimes)
    jobs: list[Job] = field(default_factory=list[Job])
    rows: list[int] = field(default_factory=lambda: [0] * len(WorkClass))
    """Rows that wait, by class."""
    fire_s: float = float("inf")
    late_s: float = float("inf")
    """The earliest deadline of all."""


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

    def forget(self, line: Hashable) -> None:
        """Nothing more comes for this line; what waits in it still runs."""
        if line in self._lines and not self._lines[line].jobs:
            del self._lines[line]

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
            insort(line.jobs, job, key=_order)
            self._count(line, job.work, job.rows)
            line.fire_s = min(line.fire_s, self._fire_s(line, job))
            line.late_s = min(line.late_s, job.deadline_s)

    def due_s(self) -> float:
        """When `next` should be asked again, if nothing is added before."""
        return min((line.fire_s for line in self._lines.values()), default=float("inf"))

    def next(self, now_s: float) -> Batch | None:
        """The batch that is to run now, if one is."""
        while True:
            best: tuple[tuple[int, float], Hashable] | None = None
            for key, line in self._lines.items():
                if now_s >= line.late_s:
                    self._drop_late(line, now_s)
                if line.jobs and self._fires(line, now_s):
                    rank = _order(line.jobs[0])
                    if best is None or rank < best[0]:
                        best = rank, key
            if best is None:
                return None
            batch = self._take(best[1])
            if batch.parts:  # not all of them had been abandoned
                return batch

    def drain(self) -> list[Job]:
        """All jobs that wait, which are forgotten."""
        jobs = [job for line in self._lines.values() for job in line.jobs]
        for line in self._lines.values():
            line.jobs.clear()
            line.rows = [0] * len(WorkClass)
            line.fire_s = line.late_s = float("inf")
        self._waiting = [0] * len(WorkClass)
        return jobs

    # --- within -------------------------------------------------------------------------------

    def _line(self, key: Hashable) -> _Line:
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line()
        return line

    def _fire_s(self, line: _Line, job: Job) -> float:
        """The latest time at which a job lets its line wait."""
        waited_s = job.submitted_s + RULES[job.work].wait_s_max
        return min(waited_s, job.deadline_s - line.times.run_s(sum(line.rows)) - SLIP_S)

    def _fires(self, line: _Line, now_s: float) -> bool:
        return now_s >= line.fire_s or sum(line.rows) >= self._room(line)

    def _room(self, line: _Line) -> int:
        """How many rows the next batch of a line may have."""
        work = line.jobs[0].work
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
                (line for line in self._lines.values() if line.jobs),
                key=lambda line: _order(line.jobs[-1]),
            )
            excess -= line.jobs[-1].left
            self._drop(line, line.jobs.pop(), Drop.SHED)
            self._refire(line)
        return True

    def _count(self, line: _Line, work: WorkClass, rows: int) -> None:
        line.rows[work] += rows
        self._waiting[work] += rows

    def _drop(self, line: _Line, job: Job, why: Drop) -> None:
        self._count(line, job.work, -job.left)
        self.dropped.append((job, why))

    def _drop_late(self, line: _Line, now_s: float) -> None:
        kept: list[Job] = []
        for job in line.jobs:
            if now_s < job.deadline_s:
                kept.append(job)
            else:
                self._drop(line, job, Drop.ABANDONED if job.is_abandoned else Drop.LATE)
        line.jobs = kept
        self._refire(line)

    def _refire(self, line: _Line) -> None:
        line.fire_s = min((self._fire_s(line, job) for job in line.jobs), default=float("inf"))
        line.late_s = min((job.deadline_s for job in line.jobs), default=float("inf"))

    def _take(self, key: Hashable) -> Batch:
        """The first rows of a line; of jobs that were abandoned none."""
        line = self._lines[key]
        while line.jobs and line.jobs[0].is_abandoned:  # it has no say in how large the batch is
            self._drop(line, line.jobs.pop(0), Drop.ABANDONED)
        room = self._room(line) if line.jobs else 0
        parts: list[Part] = []
        done = 0
        for job in line.jobs:
            if not room:
                break
            if job.is_abandoned:
                self._drop(line, job, Drop.ABANDONED)
                done += 1
                continue
            rows = min(job.left, room)
            parts.append(Part(job, job.taken, job.taken + rows))
            job.taken += rows
            self._count(line, job.work, -rows)
            room -= rows
            done += job.left == 0
        del line.jobs[:done]
        self._refire(line)
        work = min((part.job.work for part in parts), default=WorkClass.SHADOW)
        return Batch(key, work, sum(part.stop - part.start for part in parts), tuple(parts))
