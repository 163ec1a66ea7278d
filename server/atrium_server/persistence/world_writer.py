"""Writes what a world's journal holds, from the claim to the last flush.

Theory of operation
-------------------
One task for each owned world. Right after a tick in which somebody edited (`hurry`) it takes what
the tick has marked and commits it as one batch: the edits of many people share one write to disk.
So what is encoded for the database is encoded between two ticks, and holds up none; and an edit is
safe long before the next tick. Batches begin at least GAP_S apart, and without a word from a tick
every PERIOD_S. While the store does not answer, the
same batch is tried again, after 50 ms and then after twice as long each time up to half a second,
each pause shortened by chance so that the worlds of one server do not knock together. Nothing
else is tried meanwhile, so versions follow each other without a gap.

A commit renews the lease by the way; where there is nothing to commit, it is renewed every
RENEW_S. Answers go out as soon as they are known, through a function that was handed in.

A commit that has begun is not cut off by the server's end: it would be neither saved nor not
saved. When the task is cancelled, or told to end by `close`, it flushes what is there, has
FLUSH_S_MAX for that with all that was under way, and releases the world. What could not be
written then is counted in `unwritten`; its authors were told nothing, and find out when they come
back.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import trio

from atrium_server.persistence.errors import Fenced, Refused, Unavailable
from atrium_server.persistence.journal import Answer, Journal, StoreState
from atrium_server.persistence.store import Batch, Claim, WorldStore
from atrium_server.telemetry import Counter, Gauge, Histogram, Registry

PERIOD_S: Final = 0.05
GAP_S: Final = 0.8 * PERIOD_S
"""Ticks are now longer and now shorter: those of 20 Hz end more than this apart."""
BACKOFF_S_MIN: Final = 0.05
BACKOFF_S_MAX: Final = 0.5
RENEW_S: Final = 5.0
FLUSH_S_MAX: Final = 5.0
RELEASE_S_MAX: Final = 1.0

DIRTY_ROWS: Final = "atrium_store_dirty_rows"
"""Gauge {world}: entities changed and not yet written."""
DIRTY_EDITS: Final = "atrium_store_dirty_edits"
"""Gauge {world}: edits accepted and not yet answered."""
LAG_SECONDS: Final = "atrium_store_lag_seconds"
"""Gauge {world}: how long the oldest change has been waiting."""
STATE: Final = "atrium_store_state"
"""Gauge {world, state}: 1 for the state that the world's store is in."""
COMMIT_SECONDS: Final = "atrium_store_commit_seconds"
"""Histogram {world}: time that a commit took."""
RETRIES_TOTAL: Final = "atrium_store_retries_total"
"""Counter {world}: attempts that failed and are made again."""
ROWS_TOTAL: Final = "atrium_store_rows_total"
"""Counter {world}: entities written and removed."""
EDITS_TOTAL: Final = "atrium_store_edits_total"
"""Counter {world}: edits written into the history."""


@dataclass(frozen=True, slots=True)
class WriterNumbers:
    """What a writer counts."""

    dirty_rows: Gauge = field(default_factory=Gauge)
    dirty_edits: Gauge = field(default_factory=Gauge)
    lag_s: Gauge = field(default_factory=Gauge)
    commit_s: Histogram = field(default_factory=Histogram)
    retries: Counter = field(default_factory=Counter)
    rows: Counter = field(default_factory=Counter)
    edits: Counter = field(default_factory=Counter)
    states: dict[StoreState, Gauge] = field(default_factory=dict[StoreState, Gauge])

    @classmethod
    def of(cls, registry: Registry, world: str) -> WriterNumbers:
        """The numbers of one world, as the metrics show them."""
        return cls(
            registry.gauge(DIRTY_ROWS, "Entities not yet written.", world=world),
            registry.gauge(DIRTY_EDITS, "Edits not yet answered.", world=world),
            registry.gauge(LAG_SECONDS, "Age of the oldest unwritten change.", world=world),
            registry.histogram(COMMIT_SECONDS, "Time of a commit.", world=world),
            registry.counter(RETRIES_TOTAL, "Attempts made again.", world=world),
            registry.counter(ROWS_TOTAL, "Entities written or removed.", world=world),
            registry.counter(EDITS_TOTAL, "Edits written.", world=world),
            {
                state: registry.gauge(
                    STATE, "1 for the state of the store.", world=world, state=state.value
                )
                for state in StoreState
            },
        )

    def wrote(self, batch: Batch, seconds: float) -> None:
        """A batch was committed in so many seconds."""
        self.commit_s.observe(seconds)
        self.rows.add(len(batch.rows) + len(batch.removed))
        self.edits.add(len(batch.edits))

    def show(self, journal: Journal) -> None:
        """Take over what the journal knows."""
        self.dirty_rows.set(journal.dirty_rows)
        self.dirty_edits.set(journal.dirty_edits)
        self.lag_s.set(journal.lag_s)
        for state, gauge in self.states.items():
            gauge.set(state is journal.state)


class WorldWriter:
    """The task of one world. `answers` is called in trio's thread, between two awaits."""

    def __init__(
        self,
        journal: Journal,
        store: WorldStore,
        claim: Claim,
        answers: Callable[[list[Answer]], None],
        numbers: WriterNumbers,
    ) -> None:
        self._journal = journal
        self._store = store
        self._claim = claim
        self._answers = answers
        self._numbers = numbers
        self._closing = trio.Event()
        self._wake = trio.Event()
        self._has_ticks = False
        self._batch_at = -math.inf
        """When the newest attempt began."""
        self._life = trio.CancelScope(shield=True)
        self._error: Exception | None = None
        self._backoff_s = 0.0
        self._heard_at = 0.0
        self.unwritten = 0
        """Rows and edits that were left when the task ended; known then."""

    def hurry(self) -> None:
        """A tick has ended that marked something; who says so once says so after each such tick."""
        self._has_ticks = True
        self._wake.set()

    def close(self) -> None:
        """Flush, release the world and let `run` return."""
        self._closing.set()
        self._wake.set()

    async def run(self, chance: random.Random) -> None:
        """Write until `close` or cancellation. Raises Fenced when the world is lost."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._live, chance)
                try:
                    await self._closing.wait()
                finally:
                    self.close()
                    self._life.deadline = trio.current_time() + FLUSH_S_MAX
        finally:
            if self._error is not None:
                raise self._error

    async def _live(self, chance: random.Random) -> None:
        """All of a writer's life; from outside it can be hurried, and not be cut off."""
        self._heard_at = trio.current_time()
        try:
            with self._life:
                await self._write(chance)
        except Exception as error:
            self._error = error  # `run` raises it, and not in a group
        self.unwritten = self._journal.dirty_rows + self._journal.dirty_edits
        self._closing.set()
        if self._journal.state is not StoreState.FENCED:
            with trio.move_on_after(RELEASE_S_MAX, shield=True), suppress(Unavailable):
                await self._store.release(self._claim)  # else the lease runs out by itself

    async def _write(self, chance: random.Random) -> None:
        began = trio.current_time()
        while self._journal.is_waiting or not self._closing.is_set():
            if self._backoff_s:
                await trio.sleep(self._backoff_s * chance.uniform(0.5, 1.0))
            else:
                await self._pause(began)
            began = trio.current_time()
            await self._step()

    async def _pause(self, began: float) -> None:
        """After a tick or a slow commit at once, else at a fixed pace, which leaves ticks time to
        say something. `began` is when it was looked last.
        """
        with trio.move_on_at(self._batch_at + GAP_S):
            await self._closing.wait()
        with trio.move_on_at(began + (2 if self._has_ticks else 1) * PERIOD_S):
            await self._wake.wait()
        if not self._closing.is_set():
            self._wake = trio.Event()

    async def _step(self) -> None:
        batch = self._journal.cut(trio.current_time())
        try:
            if batch is not None:
                self._batch_at = trio.current_time()
                await self._commit(batch)
            elif trio.current_time() - self._heard_at >= RENEW_S:
                await self._store.renew(self._claim)
                self._heard()
        except Unavailable:
            self._journal.failed(trio.current_time())
            self._numbers.retries.add()
            self._backoff_s = min(max(2 * self._backoff_s, BACKOFF_S_MIN), BACKOFF_S_MAX)
        except Fenced as error:
            self._journal.fenced(error, trio.current_time())
            raise
        finally:
            self._numbers.show(self._journal)
            answers = self._journal.take_answers()
            if answers:
                self._answers(answers)

    async def _commit(self, batch: Batch) -> None:
        began = trio.current_time()
        try:
            known = await self._store.commit(self._claim, batch)
        except Refused as error:
            self._journal.refused(batch, str(error), trio.current_time())
            self._wake.set()  # its halves wait
        else:
            self._journal.done(batch, known, trio.current_time())
            self._numbers.wrote(batch, trio.current_time() - began)
        self._heard()

    def _heard(self) -> None:
        """The store has answered."""
        self._backoff_s = 0.0
        self._heard_at = trio.current_time()
        self._journal.reached(self._heard_at)
