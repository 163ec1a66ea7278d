"""Forgets what has been kept long enough: one task, at the start and then once a day.

Theory of operation
-------------------
What is to be done is a list of chores. A chore is a function that removes one slice (a transaction
of its own, short enough to be in nobody's way) and returns how much that was; it is called again
until it returns nothing, with a pause in between. `retention_chores` lists the chores of this
package; others hand in theirs.

Of several servers with one database the one that gets an advisory lock does it, and the others look
again after BUSY_S. The lock is held by a connection that is made for it and closed after it, so it
cannot outlive a run, whatever happens.

A chore that fails is tried again, with the whole run, after RETRY_S and then after twice as long
each time, up to a day; the chores after it are done nevertheless. Nothing that the store says ends
this task, and nobody waits for it. At the end of the server it is simply cancelled: what a slice
has removed is removed, and the rest is for the next time.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import trio
from sqlalchemy import text

from atrium_server.persistence.database import Database
from atrium_server.persistence.errors import StoreError
from atrium_server.persistence.migrate import connected
from atrium_server.telemetry import Counter, Gauge, Registry

DAY_S: Final = 86_400.0
BUSY_S: Final = 3_600.0
RETRY_S: Final = 60.0
SLICE_PAUSE_S: Final = 0.05
SLICES_MAX: Final = 20_000
"""Of one chore in one run: what is left is for the next day."""
UNLOCK_S_MAX: Final = 2.0
LOCK_KEY: Final = 0x61747269756D02
"""Of the advisory lock of who forgets."""

FORGOTTEN_TOTAL: Final = "atrium_retention_forgotten_total"
"""Counter {chore}: rows, partitions or accounts that were removed."""
FAILURES_TOTAL: Final = "atrium_retention_failures_total"
"""Counter {chore}: runs in which a chore could not be finished."""
DONE_SECONDS: Final = "atrium_retention_done_seconds"
"""Gauge: when a run was last finished without a failure, in seconds since 1970; 0 for never."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Chore:
    """Something to be forgotten. `slice` is called in trio's thread until it returns 0."""

    name: str
    """A word that the metrics and the log show."""
    slice: Callable[[], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Run:
    """What became of one attempt."""

    forgotten: Mapping[str, int]
    failed: tuple[str, ...] = ()
    is_busy: bool = False
    """Another server was at it."""


class Schedule:
    """When to do it next. PURE: driven by `now`, in seconds of one clock."""

    def __init__(self, now: float) -> None:
        self.due = now
        self._retry_s = RETRY_S

    def ran(self, run: Run, now: float) -> None:
        """An attempt has ended."""
        if run.failed:
            self.due = now + self._retry_s
            self._retry_s = min(2 * self._retry_s, DAY_S)
            return
        self._retry_s = RETRY_S
        self.due = now + (BUSY_S if run.is_busy else DAY_S)


@dataclass(frozen=True, slots=True)
class RetentionNumbers:
    """What is counted, by chore."""

    forgotten: Callable[[str], Counter]
    failures: Callable[[str], Counter]
    done: Gauge = field(default_factory=Gauge)

    @classmethod
    def of(cls, registry: Registry) -> RetentionNumbers:
        """The numbers as the metrics show them."""
        return cls(
            lambda chore: registry.counter(
                FORGOTTEN_TOTAL, "What was kept long enough and removed.", chore=chore
            ),
            lambda chore: registry.counter(
                FAILURES_TOTAL, "Chores that could not be finished.", chore=chore
            ),
            registry.gauge(DONE_SECONDS, "When the last run was finished."),
        )


class Retention:
    """The task. `turn` makes an async context that yields whether it is ours to do it now;
    `clock` gives seconds since 1970."""

    def __init__(
        self,
        chores: Sequence[Chore],
        turn: Callable[[], AbstractAsyncContextManager[bool]],
        clock: Callable[[], float],
        numbers: RetentionNumbers,
    ) -> None:
        self._chores = chores
        self._turn = turn
        self._clock = clock
        self._numbers = numbers

    async def run(self) -> None:
        """Forget what is due, until cancelled."""
        schedule = Schedule(trio.current_time())
        while True:
            await trio.sleep_until(schedule.due)
            schedule.ran(await self.attempt(), trio.current_time())

    async def attempt(self) -> Run:
        """Do all chores once, if it is our turn; raises nothing that a store says."""
        try:
            async with self._turn() as is_ours:
                if not is_ours:
                    return Run({}, is_busy=True)
                run = await self._do_all()
        except StoreError as error:
            self._numbers.failures("turn").add()
            logger.warning("old records could not be looked at and will be later: %s", error)
            return Run({}, ("turn",))
        if not run.failed:
            self._numbers.done.set(self._clock())
        told = ", ".join(f"{name} {count}" for name, count in run.forgotten.items() if count)
        failed = f"; not finished: {', '.join(run.failed)}" if run.failed else ""
        logger.info("old records were removed: %s%s", told or "none", failed)
        return run

    async def _do_all(self) -> Run:
        forgotten: dict[str, int] = {}
        failed: list[str] = []
        for chore in self._chores:
            forgotten[chore.name] = 0
            try:
                for _ in range(SLICES_MAX):
                    count = await chore.slice()
                    if not count:
                        break
                    forgotten[chore.name] += count
                    self._numbers.forgotten(chore.name).add(count)
                    await trio.sleep(SLICE_PAUSE_S)
            except StoreError as error:
                failed.append(chore.name)
                self._numbers.failures(chore.name).add()
                logger.warning("%s: old records could not be removed: %s", chore.name, error)
        return Run(forgotten, tuple(failed))


# --- whose turn it is --------------------------------------------------------------------


@asynccontextmanager
async def database_turn(database: Database) -> AsyncGenerator[bool]:
    """Whether no other server is at it; it stays so for the block. Raises StoreError."""
    stack = await database.call(_lock, database.address.url)
    try:
        yield stack is not None
    finally:
        if stack is not None:
            with trio.move_on_after(UNLOCK_S_MAX, shield=True):
                await database.call(stack.aclose)


async def _lock(url: str) -> AsyncExitStack | None:
    """A connection that holds the lock; None when another one does. For the thread of asyncio."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(connected(url))
        got = await connection.execute(
            text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK_KEY}
        )
        is_ours = got.scalar_one()
        await connection.commit()  # the lock is the connection's, and nothing else is open
        return stack.pop_all() if is_ours else None


@asynccontextmanager
async def always() -> AsyncGenerator[bool]:
    """Where nobody else can be at it."""
    await trio.lowlevel.checkpoint()
    yield True

