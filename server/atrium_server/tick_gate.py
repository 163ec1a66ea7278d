"""A gate for other threads that is shut while a tick is under way.

Theory of operation
-------------------
Threads share one interpreter. A thread that wants it while a tick computes gets it after at most
`switch_interval_ms`, keeps it as long, and so on: the tick takes as long as both together, and
longer where that thread has just been put to sleep by the system while it had the interpreter. The
work of such a thread is never as urgent. So it waits at the gate before each small piece of work
(`wait`), with the interpreter in nobody's way; the thread of ticks shuts the gate as a tick begins
and opens it as the tick ends, neither of which ever waits.

A piece that has begun when the tick begins would go on beside it: so nobody passes any more in the
last EARLY_S before a tick is due, and pieces are to be no longer. Each tick hangs up a lock of its
own, so who has just been let go by one tick has nothing that the next one needs.

Where ticks take nearly all the time others must live too: who has waited for WAIT_S_MAX in vain
passes, and all pass freely for the FREE_S after that.
"""

from __future__ import annotations

import selectors
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

WAIT_S_MAX: Final = 0.04
FREE_S: Final = 0.02
EARLY_S: Final = 0.002
_BEGUN_S: Final = 0.0005
"""By then a tick that is not late has shut the gate."""


class TickGate:
    """Shut and opened by one thread, passed by all others."""

    def __init__(self) -> None:
        self._tick: threading.Lock | None = None
        """Locked as long as this tick is under way; None between two."""
        self._due: dict[str, float] = {}
        """When each world's next tick comes, by `time.perf_counter`."""
        self._free_until = 0.0

    def expect(self, world: str, in_s: float) -> None:
        """The next tick of a world is due in so many seconds."""
        self._due[world] = time.perf_counter() + in_s

    def forget(self, world: str) -> None:
        """A world ticks no more."""
        self._due.pop(world, None)

    @contextmanager
    def shut(self) -> Generator[None]:
        """Keep others waiting while the block runs; it may not await anything."""
        tick = threading.Lock()
        with tick:
            self._tick = tick
            try:
                yield
            finally:
                self._tick = None

    def wait(self) -> None:
        """Pass the gate; not in the thread that shuts it."""
        now = time.perf_counter()
        if now < self._free_until:
            return
        until = now + WAIT_S_MAX
        early_s = [due - now for due in [*self._due.values()] if 0 < due - now < EARLY_S]
        if early_s:
            time.sleep(max(early_s) + _BEGUN_S)
        while (tick := self._tick) is not None:
            left_s = until - time.perf_counter()
            if left_s <= 0 or not tick.acquire(timeout=left_s):
                self._free_until = time.perf_counter() + FREE_S
                return
            tick.release()  # for the next one who waits for it


GATE: Final = TickGate()
"""That of this process: there is one interpreter, so there is one gate."""


class GatedSelector(selectors.DefaultSelector):
    """For an asyncio loop of which every turn is such a piece of work."""

    def select(
        self, timeout: float | None = None
    ) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(timeout)
        GATE.wait()
        return ready
