"""A thread that reads texts by the rules, so that no tick pays for it.

Texts of a tick come in together and are read in slices of SLICE_TEXTS; before each slice the gate
of the ticks is passed. Folding, matching and hashing are kernels that let the interpreter go; what
remains of Python in a slice is a few tenths of a millisecond.

The rules are written so that no text can make them fail. If one does, it is a bug: it is logged
without the text, and that text alone has no reading, which its owner takes for a reason not to
publish it.

What the rules remember of senders is the thread's, too: to forget somebody waits in the same queue.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import trio

from atrium_server.moderation.reading import Read, Rules, Text
from atrium_server.tick_gate import GATE

logger = logging.getLogger(__name__)

SLICE_TEXTS: Final = 32
NICE: Final = 5

Told = Callable[[Sequence[Read | None]], None]
_Given = tuple[Sequence[Text], Told] | Callable[[], None]


class Reader:
    """Reads texts, in the order in which they come."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._queue: queue.SimpleQueue[_Given | None] = queue.SimpleQueue()
        self._token: trio.lowlevel.TrioToken | None = None
        self.waiting = 0
        """Texts that have not come back."""

    def read(self, texts: Sequence[Text], told: Told) -> None:
        """Have texts read; `told` is called once, later, in trio's thread, in the order of calls.

        Nothing is read before `run` runs. The caller bounds how many wait.
        """
        self.waiting += len(texts)
        self._queue.put((texts, told))

    def forget(self, who: str) -> None:
        """Have the rules forget somebody, after all that was given before."""
        self._queue.put(partial(self._rules.forget, who))

    def forget_before(self, now_s: float) -> None:
        """Have the rules forget those of whom nothing counts any more."""
        self._queue.put(partial(self._rules.forget_before, now_s))

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep a thread reading until cancelled; what has not been read then is not told."""
        self._token = trio.lowlevel.current_trio_token()
        thread = threading.Thread(target=self._work, name="reader", daemon=True)
        thread.start()
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            self._queue.put(None)

    def _work(self) -> None:
        with suppress(OSError, AttributeError):  # only Linux gives a thread a priority of its own
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        token = self._token
        assert token is not None
        while (given := self._queue.get()) is not None:
            if callable(given):
                given()
                continue
            texts, told = given
            reads: list[Read | None] = []
            for start in range(0, len(texts), SLICE_TEXTS):
                GATE.wait()
                reads.extend(self._slice(texts[start : start + SLICE_TEXTS]))
            with suppress(trio.RunFinishedError):  # the server has ended meanwhile
                token.run_sync_soon(self._tell, told, reads)

    def _slice(self, texts: Sequence[Text]) -> list[Read | None]:
        try:
            return [*self._rules.read(texts)]
        except Exception as error:  # a bug, which must not silence those beside it
            if len(texts) > 1:
                return [read for text in texts for read in self._slice([text])]
            logger.error("a text of %d characters cannot be read: %s",
                         len(texts[0].text), type(error).__name__, exc_info=error)
            return [None]

    def _tell(self, told: Told, reads: Sequence[Read | None]) -> None:
        self.waiting -= len(reads)
        told(reads)
