"""Writes what the chat log holds: one task for all worlds of a server.

Theory of operation
-------------------
Every PERIOD_S what was said in all worlds is committed as one transaction; the authors hear
"published" right after, through a function that was handed in. While the store does not answer,
the same lines are tried again with growing patience, as `world_writer` does; a line whose commit
was answered by nobody is known by its id and is not written twice.

A commit that has begun is not cut off by the server's end. When the task is cancelled, or told to
end by `close`, it has FLUSH_S_MAX for what is there. What could not be written then is counted in
`unwritten`; its authors were never told that it was published.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from atrium_server.persistence.chat_log import ChatBatch, ChatLog, Told
from atrium_server.persistence.chat_store import ChatStore
from atrium_server.persistence.errors import Refused, Unavailable
from atrium_server.persistence.world_writer import (
    BACKOFF_S_MAX,
    BACKOFF_S_MIN,
    FLUSH_S_MAX,
    PERIOD_S,
)
from atrium_server.telemetry import Counter, Gauge, Histogram, Registry

CHAT_WAITING: Final = "atrium_chat_store_waiting"
"""Gauge: lines said and not yet written."""
CHAT_LAG_SECONDS: Final = "atrium_chat_store_lag_seconds"
"""Gauge: how long the oldest of them has been waiting."""
CHAT_COMMIT_SECONDS: Final = "atrium_chat_store_commit_seconds"
"""Histogram: time that a commit of lines took."""
CHAT_RETRIES_TOTAL: Final = "atrium_chat_store_retries_total"
"""Counter: attempts that failed and are made again."""
CHAT_UNKEPT_TOTAL: Final = "atrium_chat_store_unkept_total"
"""Counter: lines that the store would not take."""


@dataclass(frozen=True, slots=True)
class ChatNumbers:
    """What the writer counts."""

    waiting: Gauge = field(default_factory=Gauge)
    lag_s: Gauge = field(default_factory=Gauge)
    commit_s: Histogram = field(default_factory=Histogram)
    retries: Counter = field(default_factory=Counter)
    unkept: Counter = field(default_factory=Counter)

    @classmethod
    def of(cls, registry: Registry) -> ChatNumbers:
        """The numbers as the metrics show them."""
        return cls(
            registry.gauge(CHAT_WAITING, "Lines not yet written."),
            registry.gauge(CHAT_LAG_SECONDS, "Age of the oldest unwritten line."),
            registry.histogram(CHAT_COMMIT_SECONDS, "Time of a commit of lines."),
            registry.counter(CHAT_RETRIES_TOTAL, "Attempts made again."),
            registry.counter(CHAT_UNKEPT_TOTAL, "Lines that the store would not take."),
        )


class ChatWriter:
    """The task of a server's lines. `told` is called in trio's thread, between two awaits."""

    def __init__(
        self,
        log: ChatLog,
        store: ChatStore,
        told: Callable[[list[Told]], None],
        numbers: ChatNumbers,
    ) -> None:
        self._log = log
        self._store = store
        self._told = told
        self._numbers = numbers
        self._closing = trio.Event()
        self._life = trio.CancelScope(shield=True)
        self._error: Exception | None = None
        self._backoff_s = 0.0
        self.unwritten = 0
        """Lines that were left when the task ended; known then."""

    def close(self) -> None:
        """Flush, and let `run` return."""
        self._closing.set()

    async def run(self, chance: random.Random) -> None:
        """Write until `close` or cancellation."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._live, chance)
                try:
                    await self._closing.wait()
                finally:
                    self._closing.set()
                    self._life.deadline = trio.current_time() + FLUSH_S_MAX
        finally:
            if self._error is not None:
                raise self._error

    async def _live(self, chance: random.Random) -> None:
        """All of the writer's life; from outside it can be hurried, and not be cut off."""
        try:
            with self._life:
                await self._write(chance)
        except Exception as error:
            self._error = error  # `run` raises it, and not in a group
        self.unwritten = self._log.waiting
        self._closing.set()

    async def _write(self, chance: random.Random) -> None:
        due = trio.current_time()
        while self._log.is_waiting or not self._closing.is_set():
            # At a fixed pace; after a slow commit at once, and after a failure with patience.
            due = max(due + PERIOD_S, trio.current_time())
            if self._backoff_s:
                due = trio.current_time() + self._backoff_s * chance.uniform(0.5, 1.0)
                await trio.sleep_until(due)
            else:
                with trio.move_on_at(due):
                    await self._closing.wait()
            while await self._step():
                pass

    async def _step(self) -> bool:
        """Try one batch; True when there is more to do at once."""
        batch = self._log.cut(trio.current_time())
        if batch is None:
            return False
        try:
            await self._commit(batch)
        except Unavailable:
            self._log.failed(trio.current_time())
            self._numbers.retries.add()
            self._backoff_s = min(max(2 * self._backoff_s, BACKOFF_S_MIN), BACKOFF_S_MAX)
            return False
        finally:
            self._numbers.waiting.set(self._log.waiting)
            self._numbers.lag_s.set(self._log.lag_s)
            told = self._log.take_told()
            self._numbers.unkept.add(sum(not each.is_kept for each in told))
            if told:
                self._told(told)
        return self._log.is_behind

    async def _commit(self, batch: ChatBatch) -> None:
        began = trio.current_time()
        try:
            await self._store.write(batch)
        except Refused as error:
            self._log.refused(batch, str(error), trio.current_time())
        else:
            self._log.done(batch, trio.current_time())
            self._numbers.commit_s.observe(trio.current_time() - began)
        self._backoff_s = 0.0
