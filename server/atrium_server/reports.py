"""Reports on their way into the store: one task for all worlds of a server.

A report is a case: it is kept with its evidence, moderators find it there, and who reported is told
so when it is kept. No tick waits for that. While the store does not answer, a report is tried again
for PATIENCE_S, with the same id, so that it is kept once; who reported is then told to try again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import trio

from atrium_server.persistence.conduct_rows import ConductStore, NewCase
from atrium_server.persistence.errors import StoreError, Unavailable
from atrium_shared.errors import Overload

logger = logging.getLogger(__name__)

WAITING_MAX: Final = 64
"""Reports, some 300 kB each at most."""
PATIENCE_S: Final = 10.0
RETRY_S: Final = 1.0
FLUSH_S: Final = 5.0

Answer = Callable[[bool], None]
"""Says whether the report was kept."""


@dataclass(slots=True)
class Reports:
    """Those of one server. `answer`s are called in trio's thread, between two awaits."""

    store: ConductStore
    clock: Callable[[], float]
    """Seconds since 1970."""
    _waiting: deque[tuple[NewCase, Answer]] = field(
        default_factory=deque[tuple[NewCase, Answer]]
    )
    _work: trio.Event = field(default_factory=trio.Event)

    def needs_room(self) -> None:
        """Raises Overload when too many wait for another to be taken."""
        if len(self._waiting) >= WAITING_MAX:
            raise Overload("Too many reports come in at once: try again in a moment.", 5_000)

    def take(self, case: NewCase, answer: Answer) -> None:
        """Keep a report. Raises Overload when too many wait."""
        self.needs_room()
        self._waiting.append((case, answer))
        self._work.set()

    async def run(self) -> None:
        """Keep them for ever; at the end what waits is kept where that can be done at once."""
        try:
            while True:
                await self._work.wait()
                self._work = trio.Event()
                await self._keep_all()
        finally:
            with trio.move_on_after(FLUSH_S, shield=True):
                await self._keep_all()

    async def _keep_all(self) -> None:
        while self._waiting:
            case, answer = self._waiting[0]
            is_kept = await self._keep(case)
            self._waiting.popleft()
            answer(is_kept)

    async def _keep(self, case: NewCase) -> bool:
        until = trio.current_time() + PATIENCE_S
        while True:
            try:
                await self.store.open_case(case)
                return True
            except Unavailable:
                if trio.current_time() >= until:
                    return False
                await trio.sleep(RETRY_S)
            except StoreError as error:
                logger.error("a report could not be kept: %s", error)
                return False
