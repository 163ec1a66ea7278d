"""What the thread of the device does: takes work, runs batches, hands results back.

Theory of operation
-------------------
The worker alone owns the batcher and the staging buffers. Work reaches it through a queue, results
leave it through `tell`, all of one batch in one call; nothing is shared, so nothing is locked.

One `turn` takes what has come, runs at most one batch and says how long nothing is due after that.
The thread calls it in a loop (`lane`), tests call it with a clock and a device of their own.

A batch that fails does so alone: its jobs are told, the version is marked as broken and no more of
it is run until it has been loaded anew. Numbers that are none (NaN, infinity) are a failure of the
rows that have them. Before each batch the gate of the ticks is passed, so that no batch begins
while a tick computes.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from atrium_server.inference.batcher import Batch, Batcher, Drop, Job
from atrium_server.inference.outcomes import Outcome, Status
from atrium_server.inference.rows import Array, Rows
from atrium_server.inference.slots import Loaded
from atrium_server.inference.staging import Staging

logger = logging.getLogger(__name__)

_STATUS: Final = {
    Drop.LATE: Status.LATE, Drop.SHED: Status.SHED, Drop.ABANDONED: Status.ABANDONED,
}


@dataclass(frozen=True, slots=True)
class Line:
    """What can run together: rows for one version, of one size where that matters."""

    loaded: Loaded
    size: int


@dataclass(eq=False, slots=True)
class Work:
    """A job and what belongs to it, for the worker."""

    job: Job
    loaded: Loaded
    rows: Rows
    done: Callable[[Outcome], None]
    """Called by the lane, in its own thread, once."""
    pieces: list[Mapping[str, Array]] = field(default_factory=list[Mapping[str, Array]])
    begun_s: float = -1.0
    ran_s: float = 0.0
    is_told: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """What one turn has to tell."""

    outcomes: Sequence[tuple[Work, Outcome]]
    batch: BatchRun | None = None


@dataclass(frozen=True, slots=True)
class BatchRun:
    """A batch that ran, for the metrics."""

    label: str
    work: int
    rows: int
    took_s: float
    is_failed: bool
    broken: Loaded | None = None
    is_device_lost: bool = False


class Device:
    """Where models run; this one knows nothing of torch and is for tests."""

    shares_memory: bool = True
    """Whether models read the memory of whoever submitted the rows. They never write to it."""

    def allocate(self, shape: tuple[int, ...], dtype: str) -> Array:
        """Memory to stage inputs in."""
        return np.zeros(shape, dtype)

    def is_lost(self, error: BaseException) -> bool:
        """Whether nothing can run here any more after such an error."""
        return False

    def recover(self, error: BaseException) -> None:
        """Free what can be freed after a batch that failed."""


class Worker:
    """One generation of the lane's thread."""

    def __init__(
        self, device: Device, tell: Callable[[Ended], None], clock: Callable[[], float],
        wait_for_tick: Callable[[], None],
    ) -> None:
        self._device = device
        self._tell = tell
        self._clock = clock
        self._wait_for_tick = wait_for_tick
        self._staging = Staging(device.allocate, always_copies=not device.shares_memory)
        self.batcher = Batcher()
        self._over: set[Loaded] = set()
        """Retired versions of which rows may still wait; forgotten when none does."""
        self.busy_since_s = -1.0
        """When the batch that runs now began; below 0 if none does. Others may read it."""

    def take(self, work: Work) -> None:
        """Work has come."""
        self.batcher.add(work.job, self._clock())
        if work.loaded.is_retired:
            self._over.add(work.loaded)

    def forget(self, loaded: Loaded) -> None:
        """A version is in use no more; what waits for it still runs."""
        self._over.add(loaded)

    def turn(self) -> float:
        """Run what is due; returns for how many seconds nothing else will be."""
        batch = self.batcher.next(self._clock())
        if batch is not None:
            self._run(batch)
        elif self.batcher.dropped:
            self._tell(Ended(self._dropped()))
        if self._over:
            self._over = {each for each in self._over if not self._forgotten(each)}
        return max(self.batcher.due_s() - self._clock(), 0.0)

    def _forgotten(self, loaded: Loaded) -> bool:
        return self.batcher.forget(
            lambda line: isinstance(line, Line) and line.loaded is loaded
        )

    def _run(self, batch: Batch) -> None:
        loaded = _work_of(batch.parts[0].job).loaded
        if loaded.is_broken:
            self._tell(Ended([*self._dropped(), *self._failed(batch)]))
            return
        self._wait_for_tick()
        begun_s = self._clock()
        self.busy_since_s = begun_s
        error: Exception | None = None
        outputs: Mapping[str, Array] = {}
        try:
            outputs = self._outputs(loaded, batch)
        except Exception as failure:  # a model's failure is its own: it ends this batch only
            error = failure
            self._device.recover(failure)
        took_s = self._clock() - begun_s
        self.busy_since_s = -1.0
        outcomes = self._dropped()
        if error is None:
            self.batcher.times(batch.line).learn(batch.rows, took_s)
            outcomes.extend(self._finished(batch, outputs, begun_s, took_s))
        else:
            logger.error("%s failed on %d rows: %r", loaded.label, batch.rows, error)
            loaded.is_broken = True
            outcomes.extend(self._failed(batch))
        self._tell(Ended(outcomes, BatchRun(
            loaded.label, batch.work, batch.rows, took_s, error is not None,
            loaded if error else None, error is not None and self._device.is_lost(error),
        )))

    def _outputs(self, loaded: Loaded, batch: Batch) -> Mapping[str, Array]:
        signature = loaded.model.signature
        parts = [(_work_of(part.job).rows, part.start, part.stop) for part in batch.parts]
        outputs = loaded.model.run(self._staging.join(signature, parts))
        for out in signature.outputs:
            array = outputs.get(out.name)
            if array is None or array.shape != (batch.rows, *out.shape):
                found = "nothing" if array is None else str(array.shape)
                raise ValueError(
                    f"{out.name} came out as {found} instead of {(batch.rows, *out.shape)}"
                )
        return outputs

    def _finished(
        self, batch: Batch, outputs: Mapping[str, Array], begun_s: float, took_s: float
    ) -> list[tuple[Work, Outcome]]:
        """The jobs of which these were the last rows."""
        # The outputs of a batch are the model's own and may be overwritten by the next one.
        own = {name: array.copy() for name, array in outputs.items()}
        is_sound = _sound(own, batch.rows)
        ended: list[tuple[Work, Outcome]] = []
        at = 0
        for part in batch.parts:
            work = _work_of(part.job)
            start, at = at, at + part.stop - part.start
            work.ran_s += took_s
            if work.begun_s < 0:
                work.begun_s = begun_s
            if work.is_told:
                continue
            if is_sound is not None and not is_sound[start:at].all():
                part.job.is_abandoned = True  # what is left of it need not run
                ended.append(_end(work, Status.FAILED))
                continue
            work.pieces.append({name: array[start:at] for name, array in own.items()})
            if part.stop == part.job.rows:
                ended.append(_end(work, Status.DONE))
        return ended

    def _failed(self, batch: Batch) -> list[tuple[Work, Outcome]]:
        ended: list[tuple[Work, Outcome]] = []
        for part in batch.parts:
            part.job.is_abandoned = True
            work = _work_of(part.job)
            if not work.is_told:
                ended.append(_end(work, Status.FAILED))
        return ended

    def _dropped(self) -> list[tuple[Work, Outcome]]:
        ended: list[tuple[Work, Outcome]] = []
        for job, why in self.batcher.dropped:
            work = _work_of(job)
            if not work.is_told:
                ended.append(_end(work, _STATUS[why]))
        self.batcher.dropped.clear()
        return ended


def _sound(outputs: Mapping[str, Array], count: int) -> npt.NDArray[np.bool_] | None:
    """Which rows are numbers throughout; None if all are, which is nearly always."""
    floats = [array for array in outputs.values() if array.dtype.kind == "f"]
    if all(np.isfinite(array).all() for array in floats):
        return None
    is_sound = np.ones(count, np.bool_)
    for array in floats:
        is_sound &= np.isfinite(array).reshape(count, -1).all(axis=1)
    return is_sound


def _work_of(job: Job) -> Work:
    assert isinstance(job.payload, Work)
    return job.payload


def _end(work: Work, status: Status) -> tuple[Work, Outcome]:
    work.is_told = True
    outputs: Mapping[str, Array] = {}
    if status is Status.DONE:
        outputs = work.pieces[0] if len(work.pieces) == 1 else {
            name: np.concatenate([piece[name] for piece in work.pieces]) for name in work.pieces[0]
        }
    work.pieces.clear()
    waited_s = max(work.begun_s - work.job.submitted_s, 0.0)
    return work, Outcome(status, outputs, work.loaded.label, waited_s, work.ran_s)
