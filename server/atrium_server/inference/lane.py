"""The lane: work goes to a thread of its own, outcomes come back, nobody waits but who wants to.

Theory of operation
-------------------
Whoever has work submits it, in the thread of trio: one entry in a queue that never blocks, and a
count of the rows that are under way, so that a lane that does not keep up refuses at the door. The
worker's thread takes it from there (`worker`). Outcomes of a batch come back in one call between
two steps of trio's loop, and each job's `done` is called once, always.

*A hang.* A thread cannot be killed. If a batch takes longer than any may, the thread is left behind
with its generation: a new one begins with an empty queue, whatever was under way fails, and what
the old one tells one day is not heard. The versions that it may still be using are loaded anew.
After `HANGS_MAX` of them the lane stays down; the rules go on alone.

*A failure.* The version that failed is loaded anew, with growing pauses if it fails again. Until
then its jobs fail at once, so their owners fall back at once. When a graphics card is lost nothing
can run there before the process is restarted: all models are loaded onto the processor instead.

*Priority on one machine.* The thread asks the system for less than the tick has (`nice`), passes
the gate of the ticks before each batch, and torch gets one processor less than there are.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import trio

from atrium_server.inference.batcher import Job
from atrium_server.inference.classes import RULES, WorkClass
from atrium_server.inference.outcomes import LaneError, Outcome, Status
from atrium_server.inference.rows import Rows, count_rows, example_rows
from atrium_server.inference.slots import Loaded, Slots
from atrium_server.inference.worker import Device, Ended, Line, Work, Worker
from atrium_server.tick_gate import GATE

logger = logging.getLogger(__name__)

HANG_S: Final = 5.0
"""A batch that takes longer never comes back; versions are warm, so none has to compile anything.
"""
WARMING_HANG_S: Final = 120.0
"""As long as a version is being warmed, compilation included."""
HANGS_MAX: Final = 3
WATCH_S: Final = 0.25
RELOAD_S: Final = 0.5
"""Before a version that failed is loaded anew; doubled each time it fails again."""
RELOAD_S_MAX: Final = 60.0
WARM_ROWS: Final = (1, 8, 64, 256, 1024)
WARM_S_MAX: Final = 0.1
"""A size that takes longer is the last to be warmed: larger ones would never be run as one batch.
"""
SETTLED_ROWS_MAX: Final = 64
"""Owners of so many rows are told at a time; between two such pieces ticks have their turn."""
NICE: Final = 5
END_S: Final = 1.0
"""So long the end of a server waits for the batch that runs: a process that ends while a thread is
within torch is aborted, whatever its status was to be."""

Reload = Callable[[Loaded], Awaitable[Loaded]]
"""Loads a version anew, onto the device that is in use now. Raises what loading raises."""


@dataclass(frozen=True, slots=True)
class _Forget:
    """A version that is in use no more."""

    loaded: Loaded


@dataclass(slots=True)
class _Generation:
    """A thread and what belongs to it."""

    number: int
    worker: Worker
    queue: queue.SimpleQueue[Work | _Forget | None]
    under_way: set[Work] = field(default_factory=set[Work])


class Lane:
    """The work of all worlds on one device."""

    def __init__(
        self, device: Device, observe: Callable[[Ended], None] = lambda ended: None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.slots = Slots()
        self.reload: Reload | None = None
        """How a version that failed is loaded anew; without it it stays broken."""
        self.device_lost: Callable[[], Device] | None = None
        """Called once when the device is lost; gives the one to go on with."""
        self._device = device
        self._observe = observe
        self._clock = clock
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._generation: _Generation | None = None
        self._untold: deque[tuple[Work, Outcome]] = deque()
        """Heard of, in this order, and not told to their owners yet."""
        self._rows = [0] * len(WorkClass)
        self._warming = 0
        self._failures: dict[str, int] = {}
        self._thread = threading.current_thread()
        """The one that works, once it runs."""
        self.hangs = 0
        self.restarts = 0

    # --- what it is like ------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether there is a thread that takes work."""
        return self._generation is not None

    @property
    def waiting(self) -> list[int]:
        """Rows under way, by class."""
        return list(self._rows)

    # --- giving it work -------------------------------------------------------------------------

    def submit(
        self, loaded: Loaded | None, rows: Rows, done: Callable[[Outcome], None], *,
        work: WorkClass, deadline_s: float | None = None,
    ) -> Job | None:
        """Have rows run; `done` is told the outcome, once, and never before this returns.

        Args:
            loaded: of `slots`; None when there is none, which makes the outcome ABSENT.
            rows: handed over; not to be changed before the outcome is told.
            done: called in trio's thread; must not block, and may not raise.
            deadline_s: seconds from now; that of the class if it is not given.

        Returns:
            The job, of which `is_abandoned` may be set; None if it was refused.

        Raises:
            SignatureError: for rows that the model cannot take.
        """
        generation = self._generation
        token = self._token
        if generation is None or loaded is None or loaded.is_broken or token is None:
            self._refuse(done, Status.ABSENT)
            return None
        count = count_rows(rows, loaded.model.signature)
        if self._rows[work] + count > RULES[work].queue_rows_max:
            self._refuse(done, Status.SHED)
            return None
        now_s = self._clock()
        after_s = RULES[work].deadline_s if deadline_s is None else deadline_s
        job = Job(work, Line(loaded, loaded.size_of(rows)), count, now_s, now_s + after_s)
        job.payload = given = Work(job, loaded, rows, done)
        self._rows[work] += count
        generation.under_way.add(given)
        generation.queue.put(given)
        return job

    async def ask(
        self, loaded: Loaded | None, rows: Rows, *, work: WorkClass,
        deadline_s: float | None = None,
    ) -> Outcome:
        """Have rows run and wait for what comes out; cancelled, the work is abandoned.

        Raises LaneError unless it was done, and SignatureError.
        """
        outcomes: list[Outcome] = []
        is_told = trio.Event()

        def done(outcome: Outcome) -> None:
            outcomes.append(outcome)
            is_told.set()

        job = self.submit(loaded, rows, done, work=work, deadline_s=deadline_s)
        try:
            await is_told.wait()
        except trio.Cancelled:
            if job is not None:
                job.is_abandoned = True
            raise
        if not outcomes[0].is_done:
            raise LaneError(outcomes[0].status)
        return outcomes[0]

    async def warm(self, loaded: Loaded) -> dict[int, float]:
        """Run a version that is not in use yet on rows made up by chance, in sizes that batches
        have, up to one that takes long; what it takes in seconds, by rows, the best of three. Of a
        version with sizes of rows each is warmed, and the largest is told.

        Raises LaneError.
        """
        took: dict[int, float] = {}
        self._warming += 1
        try:
            for size in loaded.sizes or (0,):
                took = await self._warm(loaded, size)
        finally:
            self._warming -= 1
        return took

    async def _warm(self, loaded: Loaded, size: int) -> dict[int, float]:
        took: dict[int, float] = {}
        for count in WARM_ROWS:
            rows = example_rows(loaded.model.signature, count, size=size)
            runs = [
                (await self.ask(
                    loaded, rows, work=WorkClass.WARMING, deadline_s=WARMING_HANG_S
                )).ran_s
                for _ in range(3)
            ]
            took[count] = min(runs)
            if took[count] > WARM_S_MAX:
                break
        return took

    def retire(self, loaded: Loaded) -> None:
        """A version is in use no more; what was submitted for it still runs."""
        loaded.is_retired = True
        if self._generation is not None:
            self._generation.queue.put(_Forget(loaded))

    def _refuse(self, done: Callable[[Outcome], None], status: Status) -> None:
        """Told a moment later, so that no `done` is called from within `submit`."""
        token = self._token
        if token is None:
            token = trio.lowlevel.current_trio_token()
        token.run_sync_soon(done, Outcome(status))

    # --- running --------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep a thread working until cancelled."""
        self._token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as self._nursery:
            self._begin()
            task_status.started()
            try:
                while True:
                    await trio.sleep(WATCH_S)
                    self._watch()
            finally:
                self._end()
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(self._thread.join, END_S)

    def _begin(self) -> None:
        number = self.restarts
        own: queue.SimpleQueue[Work | _Forget | None] = queue.SimpleQueue()
        worker = Worker(self._device, self._teller(number), self._clock, GATE.wait)
        self._generation = _Generation(number, worker, own)
        # A daemon: a hung one must not keep the process from ending.
        self._thread = threading.Thread(
            target=_work, args=(worker, own), name=f"lane-{number}", daemon=True
        )
        self._thread.start()

    def _end(self) -> None:
        """The thread is let go; what was under way fails."""
        generation, self._generation = self._generation, None
        if generation is None:
            return
        generation.queue.put(None)
        while self._untold:
            self._settle(*self._untold.popleft())
        for work in list(generation.under_way):
            work.job.is_abandoned = True
            self._settle(work, Outcome(Status.FAILED, version=work.loaded.label))
        generation.under_way.clear()

    def _teller(self, number: int) -> Callable[[Ended], None]:
        token = self._token
        assert token is not None

        def tell(ended: Ended) -> None:
            with suppress(trio.RunFinishedError):  # the server has ended meanwhile
                token.run_sync_soon(self._hear, number, ended)

        return tell

    def _hear(self, number: int, ended: Ended) -> None:
        """In trio's thread: what a batch came to."""
        generation = self._generation
        if generation is None or generation.number != number:
            return  # of a thread that was left behind; its jobs have been told
        self._observe(ended)
        is_idle = not self._untold
        for work, outcome in ended.outcomes:
            if work in generation.under_way:
                generation.under_way.discard(work)
                self._untold.append((work, outcome))
        if is_idle:
            self._tell_some()
        batch = ended.batch
        if batch is None:
            return
        if batch.is_device_lost:
            self._lose_device()
        elif batch.broken is not None:
            self._mend(batch.broken)
        elif batch.work != WorkClass.WARMING:  # to be warm again says nothing of real rows
            self._failures.pop(batch.label, None)

    def _tell_some(self) -> None:
        """Some owners are told; the others soon, after whatever else the loop has to do."""
        rows = 0
        while self._untold and rows < SETTLED_ROWS_MAX:
            work, outcome = self._untold.popleft()
            rows += work.job.rows
            self._settle(work, outcome)
        if self._untold and self._token is not None:
            self._token.run_sync_soon(self._tell_some)

    def _settle(self, work: Work, outcome: Outcome) -> None:
        self._rows[work.job.work] -= work.job.rows
        work.done(outcome)

    # --- when something breaks ------------------------------------------------------------------

    def _watch(self) -> None:
        generation = self._generation
        if generation is None:
            return
        since_s = generation.worker.busy_since_s
        allowed_s = WARMING_HANG_S if self._warming else HANG_S
        if since_s < 0 or self._clock() - since_s < allowed_s:
            return
        self.hangs += 1
        logger.error("a batch has not come back for %.0f s: its thread is left behind", allowed_s)
        self._restart(is_down=self.hangs >= HANGS_MAX)

    def _restart(self, *, is_down: bool = False) -> None:
        self._end()
        self.restarts += 1
        if is_down:
            logger.error("the lane stays down: no models run until the server is restarted")
            return
        self._begin()
        for loaded in self.slots.all():
            loaded.is_broken = True
            self._mend(loaded)

    def _lose_device(self) -> None:
        if self.device_lost is None:
            self._restart(is_down=True)
            return
        self._device = self.device_lost()
        self.device_lost = None
        self._restart()

    def _mend(self, loaded: Loaded) -> None:
        if self.reload is not None and self._nursery is not None:
            self._nursery.start_soon(self._load_anew, self.reload, loaded)

    async def _load_anew(self, reload: Reload, loaded: Loaded) -> None:
        while loaded in self.slots.all():
            failures = self._failures.get(loaded.label, 0)
            self._failures[loaded.label] = failures + 1
            await trio.sleep(min(RELOAD_S * 2**failures, RELOAD_S_MAX))
            try:
                fresh = await reload(loaded)
            except Exception as error:  # whatever loading raises; the next try may find it mended
                logger.error("%s cannot be loaded anew: %s", loaded.label, error)
                continue
            is_wanted = loaded in self.slots.all()  # or others came to be used meanwhile
            self.slots.replace(loaded, fresh)
            self.retire(loaded if is_wanted else fresh)
            return


def _work(worker: Worker, own: queue.SimpleQueue[Work | _Forget | None]) -> None:
    """The thread: until it is handed None, or its generation is left behind."""
    with suppress(OSError, AttributeError):  # only Linux gives a thread a priority of its own
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
    wait_s = float("inf")
    while True:
        try:
            item = own.get(timeout=None if wait_s == float("inf") else wait_s)
            while True:
                if item is None:
                    return
                if isinstance(item, _Forget):
                    worker.forget(item.loaded)
                else:
                    worker.take(item)
                item = own.get_nowait()
        except queue.Empty:
            pass
        wait_s = worker.turn()
