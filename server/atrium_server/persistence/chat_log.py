"""What was said and is not yet written. PURE.

Theory of operation
-------------------
The log lies between the tick, which may not wait, and the store. A line that is published goes in
(`take`) and its author hears "published" when it is written (`take_told`), while others may have
read it before. Lines cannot be coalesced as an entity's changes can, so their number is bounded:
when CHAT_ROWS_MAX wait, `take` raises Overload and the line is refused to its author, not lost.

The writer asks for the oldest (`cut`), tries to commit them, and says what became of it. Nothing is
taken out before that, and what failed is handed out again: a line is written once however often it
is tried, because its id is unique. A batch that the store refuses for its content is tried again by
halves, until the line at fault stands alone; that one is told as not kept, and the others go on.

What becomes of a line after it was published (`mark`) waits in the same queue, behind the line.
Marks have room of their own, so that a flood of lines does not keep a moderator from taking one
back.

The states and what they mean to people:

    rw          all is well
    degraded    nothing could be committed for DEGRADED_S: lines are taken, "published" is late
    read_only   there is no more room: lines are refused

Time is handed in. Two calls may come in any order, but never at the same time.
"""

from __future__ import annotations

import enum
import uuid
from collections import deque
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Final

import msgspec

from atrium_server.persistence.journal import DEGRADED_S, RETRY_MS, StoreState
from atrium_shared.errors import Overload

CHAT_ROWS_MAX: Final = 5_000
MARKS_MAX: Final = 1_000
BATCH_ROWS_MAX: Final = 1_000
"""Lines and marks of one transaction."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Channel(enum.StrEnum):
    """Where a line was said."""

    WORLD = "world"
    NEARBY = "nearby"
    DIRECT = "direct"


class LineState(enum.StrEnum):
    """What became of a line."""

    PUBLISHED = "published"
    REJECTED = "rejected"
    RETRACTED = "retracted"


class ChatRow(msgspec.Struct, frozen=True, gc=False):
    """One line as it is kept. Its id is a UUIDv7, and the time within is when it was said."""

    id: uuid.UUID
    world_id: int
    channel: Channel
    session: uuid.UUID
    sender_name: str
    body: str
    sender_number: int = 0
    """The entity that was seen to speak."""
    seq: int | None = None
    """The number by which readers know it; none of a line that was never published."""
    sender_account: uuid.UUID | None = None
    recipient_account: uuid.UUID | None = None
    recipient_session: uuid.UUID | None = None
    state: LineState = LineState.PUBLISHED
    flags: int = 0

    @property
    def at(self) -> datetime:
        """When it was said."""
        return moment_of(self.id)


class Mark(msgspec.Struct, frozen=True, gc=False):
    """What a line of before has become."""

    id: uuid.UUID
    state: LineState


class Told(msgspec.Struct, frozen=True, gc=False):
    """What is known of a line now."""

    id: uuid.UUID
    is_kept: bool
    sentence: str = ""
    """Why it was not kept."""


class ChatBatch(msgspec.Struct, frozen=True):
    """What one commit writes: first the lines, then the marks."""

    rows: tuple[ChatRow, ...]
    marks: tuple[Mark, ...]


def moment_of(id: uuid.UUID) -> datetime:
    """The time within a UUIDv7, to the millisecond."""
    return _EPOCH + timedelta(milliseconds=id.int >> 80)


class ChatLog:
    """The unwritten lines of a server."""

    def __init__(self, now: float, rows_max: int = CHAT_ROWS_MAX) -> None:
        self._rows_max = rows_max
        self._now = now
        self._queue: deque[tuple[float, ChatRow | Mark]] = deque()
        self._waiting: set[uuid.UUID] = set()
        self._marks = 0
        self._in_flight: ChatBatch | None = None
        self._cut_max = BATCH_ROWS_MAX
        self._waiting_since: float | None = None
        self._told: list[Told] = []
        self.is_behind = False
        """The last answer left something that can be tried at once."""

    # --- what the tick does ----------------------------------------------------------------

    def take(self, row: ChatRow) -> bool:
        """Keep a line.

        Returns:
            False when this very line is waiting already: nothing was taken.

        Raises:
            Overload: too many wait.
        """
        if row.id in self._waiting:
            return False
        if self.waiting >= self._rows_max:
            raise Overload("too much that was said waits to be saved: say it again soon", RETRY_MS)
        self._waiting.add(row.id)
        self._put(row)
        return True

    def mark(self, line_id: uuid.UUID, state: LineState) -> None:
        """A line was rejected or taken back after all. Raises Overload."""
        assert state is not LineState.PUBLISHED, "a line is published when it is taken"
        if self._marks >= MARKS_MAX:
            raise Overload("too many lines are being taken back: try again soon", RETRY_MS)
        self._marks += 1
        self._put(Mark(line_id, state))

    def _put(self, entry: ChatRow | Mark) -> None:
        self._queue.append((self._now, entry))
        if self._waiting_since is None:
            self._waiting_since = self._now

    # --- what the writer does --------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Time has passed; whoever reads `state` says so first."""
        self._now = max(now, self._now)

    def cut(self, now: float) -> ChatBatch | None:
        """What is to be committed next; the same again until its outcome is known."""
        self.advance(now)
        if self._in_flight is None and self._queue:
            entries = [entry for _, entry in islice(self._queue, self._cut_max)]
            self._in_flight = ChatBatch(
                tuple(entry for entry in entries if isinstance(entry, ChatRow)),
                tuple(entry for entry in entries if isinstance(entry, Mark)),
            )
        return self._in_flight

    def done(self, batch: ChatBatch, now: float) -> None:
        """The batch is durable."""
        self.advance(now)
        was_full = len(batch.rows) + len(batch.marks) >= self._cut_max
        self._finish(batch)
        self._cut_max = min(2 * self._cut_max, BATCH_ROWS_MAX)
        self.is_behind = was_full and self.is_waiting
        self._told += [Told(row.id, True) for row in batch.rows]

    def failed(self, now: float) -> None:
        """The store did not answer."""
        self.advance(now)

    def refused(self, batch: ChatBatch, sentence: str, now: float) -> None:
        """The store will never take this batch: try less of it, or give up what stands alone."""
        self.advance(now)
        count = len(batch.rows) + len(batch.marks)
        if count > 1:
            self._in_flight = None
            self._cut_max = count // 2
            self._waiting_since = now  # it did answer
            self.is_behind = True
            return
        self._finish(batch)
        self._cut_max = BATCH_ROWS_MAX
        self.is_behind = self.is_waiting
        self._told += [Told(row.id, False, sentence) for row in batch.rows]

    def _finish(self, batch: ChatBatch) -> None:
        assert batch is self._in_flight, "the outcome of a batch that is not under way"
        self._in_flight = None
        for _ in range(len(batch.rows) + len(batch.marks)):
            self._queue.popleft()
        self._waiting.difference_update(row.id for row in batch.rows)
        self._marks -= len(batch.marks)
        self._waiting_since = self._now if self._queue else None

    # --- what both may know ----------------------------------------------------------------

    def take_told(self) -> list[Told]:
        """What is to be told to authors since the last call."""
        taken, self._told = self._told, []
        return taken

    @property
    def state(self) -> StoreState:
        if self.waiting >= self._rows_max:
            return StoreState.READ_ONLY
        waited_s = 0.0 if self._waiting_since is None else self._now - self._waiting_since
        return StoreState.DEGRADED if waited_s >= DEGRADED_S else StoreState.RW

    @property
    def waiting(self) -> int:
        """Lines that are not written yet."""
        return len(self._waiting)

    @property
    def is_waiting(self) -> bool:
        """Something is not written yet, be it a mark."""
        return bool(self._queue)

    @property
    def lag_s(self) -> float:
        """How long the oldest has been waiting."""
        return self._now - self._queue[0][0] if self._queue else 0.0
