"""Writes who is in a world, and where, again and again: one task for each owned world.

Theory of operation
-------------------
In each SWEEP_S every session of the world is written once, a few of them in each STEP_S, so neither
the tick nor the database ever sees all of them at once. The rows are asked of a source (the host)
right before they are written, SOURCE_ROWS_MAX between two checkpoints, because they are made in the
thread of the tick. What somebody would miss after a crash is written sooner: a session that began,
was resumed or sat down (`touch`) after TOUCH_S, which is sooner than the next tick and so, as a
rule, than an edit of theirs is durable; and one that ended, with its last place (`over`), in the
next step.

After a whole sweep, sessions that neither it nor the one before has met are over in the store. So
nothing can stay there by mistake, even where the bounded set of endings was full; and one that has
just travelled has the time to be written by its next world.

When the store does not answer, all that was under way is kept and tried again, with patience; it is
asked of the source again, so it is the newest. While an outage lasts the promise of
SESSION_AGE_S_MAX cannot be kept, as after any crash within it. When the world is lost to another
owner nothing more is written, and `run` raises Fenced.

At the end all sessions are written once more, within FLUSH_S_MAX.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import trio

from atrium_server.persistence.errors import Unavailable
from atrium_server.persistence.session_rows import (
    SESSION_AGE_S_MAX,
    SessionRow,
    SessionState,
    SessionStore,
)
from atrium_server.persistence.store import Claim
from atrium_server.persistence.world_store import SLICE_ROWS_MAX
from atrium_server.persistence.world_writer import BACKOFF_S_MAX, BACKOFF_S_MIN, FLUSH_S_MAX
from atrium_server.telemetry import Counter, Gauge, Histogram, Registry
from atrium_shared.limits import SESSIONS_PER_WORLD_MAX

SWEEP_S: Final = 5.0
STEP_S: Final = 0.1
TOUCH_S: Final = 0.02
"""Those who come within this are written together."""
SOURCE_ROWS_MAX: Final = 50
"""Rows that are made at once in the thread of the tick."""

assert 2 * SWEEP_S <= SESSION_AGE_S_MAX, "first in one sweep and last in the next"

SESSION_SAVE_SECONDS: Final = "atrium_session_save_seconds"
"""Histogram {world}: time that a step of writing sessions took."""
SESSION_SWEEP_AGE_SECONDS: Final = "atrium_session_sweep_age_seconds"
"""Gauge {world}: how long the last whole sweep took."""
SESSION_RETRIES_TOTAL: Final = "atrium_session_retries_total"
"""Counter {world}: steps that failed and are made again."""
SESSION_UNKEPT_TOTAL: Final = "atrium_session_unkept_total"
"""Counter {world}: rows that the store would not take."""


class SessionSource(Protocol):
    """Who knows the sessions of a world; called in trio's thread, between two awaits."""

    def numbers(self) -> Sequence[int]:
        """Those that are active or resumable."""
        ...

    def row(self, number: int) -> SessionRow | None:
        """One of them as it is now; None when it is over."""
        ...


@dataclass(frozen=True, slots=True)
class SessionNumbers:
    """What a writer counts."""

    save_s: Histogram = field(default_factory=Histogram)
    sweep_s: Gauge = field(default_factory=Gauge)
    retries: Counter = field(default_factory=Counter)
    unkept: Counter = field(default_factory=Counter)

    @classmethod
    def of(cls, registry: Registry, world: str) -> SessionNumbers:
        """The numbers of one world, as the metrics show them."""
        return cls(
            registry.histogram(SESSION_SAVE_SECONDS, "Time of writing sessions.", world=world),
            registry.gauge(SESSION_SWEEP_AGE_SECONDS, "Time of the last sweep.", world=world),
            registry.counter(SESSION_RETRIES_TOTAL, "Steps made again.", world=world),
            registry.counter(SESSION_UNKEPT_TOTAL, "Rows that were not taken.", world=world),
        )


class SessionWriter:
    """The task of one world's sessions. `clock` gives seconds since 1970."""

    def __init__(
        self,
        source: SessionSource,
        store: SessionStore,
        claim: Claim,
        clock: Callable[[], float],
        numbers: SessionNumbers,
    ) -> None:
        self._source = source
        self._store = store
        self._claim = claim
        self._clock = clock
        self._numbers = numbers
        self._touched: dict[int, None] = {}
        self._ended: dict[int, SessionRow] = {}
        self._sweep: deque[int] = deque()
        self._sweep_size = 0
        self._sweep_began: tuple[float, float] | None = None
        self._last_began_s = 0.0
        self._newest_s = 0.0
        self._closing = trio.Event()
        self._wake = trio.Event()
        self._life = trio.CancelScope(shield=True)
        self._error: Exception | None = None

    # --- what the host does ----------------------------------------------------------------

    def touch(self, number: int) -> None:
        """This session is to be written soon."""
        if len(self._touched) < SESSIONS_PER_WORLD_MAX:  # else the sweep comes by
            self._touched[number] = None
            self._wake.set()

    def over(self, row: SessionRow) -> None:
        """This session has ended; the source does not know it any more."""
        assert row.state is SessionState.OVER
        if len(self._ended) < SESSIONS_PER_WORLD_MAX:  # else the end of the sweep finds it
            self._ended[row.number] = row

    def close(self) -> None:
        """Write all once more, and let `run` return."""
        self._closing.set()
        self._wake.set()

    # --- the task --------------------------------------------------------------------------

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
        """All of the writer's life; from outside it can be hurried, and not be cut off."""
        try:
            with self._life:
                await self._sweep_on(chance)
                await self._flush(chance)
        except Exception as error:
            self._error = error  # `run` raises it, and not in a group
        self._closing.set()

    async def _sweep_on(self, chance: random.Random) -> None:
        due = trio.current_time()
        backoff_s = 0.0
        while not self._closing.is_set():
            due = max(due + STEP_S, trio.current_time())
            if backoff_s:
                due = trio.current_time() + backoff_s * chance.uniform(0.5, 1.0)
            if not await self._wait(due, is_well=not backoff_s):
                backoff_s = _longer(backoff_s)
                continue
            if self._closing.is_set():
                break
            if self._sweep_began is None:
                self._begin_sweep()
            # At most a slice of its own in a step: 10,000 people are a slice in each.
            count = -(-self._sweep_size * STEP_S // SWEEP_S)
            backoff_s = 0.0 if await self._step(int(count)) else _longer(backoff_s)
            if not self._sweep and not backoff_s and not await self._end_sweep():
                backoff_s = _longer(backoff_s)

    async def _wait(self, due: float, *, is_well: bool) -> bool:
        """Until `due` or the end, and write meanwhile who is touched, if the store `is_well`; False
        when it is not any more.
        """
        while not self._closing.is_set():
            with trio.move_on_at(due) as patience:
                await self._wake.wait()
            if patience.cancelled_caught or self._closing.is_set():
                break
            self._wake = trio.Event()
            if is_well:
                await trio.sleep(TOUCH_S)
                if not await self._step(0):
                    return False
        return True

    def _begin_sweep(self) -> None:
        self._sweep.extend(self._source.numbers())
        self._sweep_size = len(self._sweep)
        self._sweep_began = trio.current_time(), self._now()

    async def _end_sweep(self) -> bool:
        """End what was not met, when it is time for the next sweep; False if it must be again."""
        assert self._sweep_began is not None
        began, began_s = self._sweep_began
        if trio.current_time() - began < SWEEP_S - STEP_S:
            return True
        try:
            await self._store.end_unseen(self._claim, self._last_began_s)
        except Unavailable:
            self._numbers.retries.add()
            return False
        self._numbers.sweep_s.set(trio.current_time() - began)
        self._last_began_s, self._sweep_began = began_s, None
        return True

    def _now(self) -> float:
        """Our clock, which never goes back: what a sweep met must not look older than it."""
        self._newest_s = max(self._newest_s, self._clock())
        return self._newest_s

    async def _step(self, sweep_max: int) -> bool:
        """Write what ended, what was touched and some of the sweep; False if it must be again."""
        ended = {number: self._ended[number] for number in [*self._ended][:SLICE_ROWS_MAX]}
        touched = [*self._touched][:SLICE_ROWS_MAX]
        swept = [self._sweep.popleft() for _ in range(min(sweep_max, len(self._sweep)))]
        for number in touched:
            del self._touched[number]
        rows = await self._rows(dict.fromkeys([*touched, *swept]))
        # Who ended in the meantime is over, and comes with the next step.
        rows = {id: row for id, row in rows.items() if row.number not in self._ended}
        rows |= {row.id: row for row in ended.values()}
        if not rows:
            return True
        began = trio.current_time()
        try:
            unkept = await self._store.save(self._claim, [*rows.values()], self._now())
        except Unavailable:
            self._numbers.retries.add()
            self._touched |= dict.fromkeys(touched)
            self._sweep.extendleft(reversed(swept))
            return False
        for number, row in ended.items():
            if self._ended.get(number) is row:
                del self._ended[number]
        self._numbers.unkept.add(unkept)
        self._numbers.save_s.observe(trio.current_time() - began)
        return True

    async def _rows(self, numbers: dict[int, None]) -> dict[object, SessionRow]:
        rows: dict[object, SessionRow] = {}
        for made, number in enumerate(numbers, 1):
            row = self._source.row(number)
            if row is not None:
                rows[row.id] = row
            if made % SOURCE_ROWS_MAX == 0:
                await trio.lowlevel.checkpoint()
        return rows

    async def _flush(self, chance: random.Random) -> None:
        """All that is there, and all that ended, once more."""
        self._sweep.clear()
        self._sweep.extend(self._source.numbers())
        backoff_s = 0.0
        while self._sweep or self._ended:
            if await self._step(SLICE_ROWS_MAX):
                backoff_s = 0.0
            else:
                backoff_s = _longer(backoff_s)
                await trio.sleep(backoff_s * chance.uniform(0.5, 1.0))


def _longer(backoff_s: float) -> float:
    return min(max(2 * backoff_s, BACKOFF_S_MIN), BACKOFF_S_MAX)
