"""What the tick has changed and the store has not yet written. PURE.

Theory of operation
-------------------
The journal lies between the tick, which may not wait, and the store, which may be slow or gone.
The tick marks rows (`mark`, `remove`) and records edits together with the rows that they change
(`edit`). Of an entity only the newest row is kept; edits are kept one by one, for each is owed
an answer and a line of history. The writer asks for all of it (`cut`), tries to commit it, and
says what became of it (`done`, `failed`, `refused`, `fenced`). One batch is under way at a time;
a batch that failed is handed out again, unchanged and with the same version, until its outcome
is known, because an attempt whose answer was lost may have been written.

Every edit that was taken is answered once: DURABLE after the commit, REVERTED when the store
will never have it. A batch that the store refuses for its content is cut in halves until
what is at fault stands alone: an entity, with the edits that change it and all that those change.
The rest is written, this is reverted and its ids are reported, so that the world can bring back
what the store has.

The states and what they mean to people:

    rw          all is well
    degraded    nothing could be committed for DEGRADED_S: edits are taken, answers are late
    read_only   for READ_ONLY_S, or there is no more room: edits are refused
    fenced      another owner has the world, for good

One good commit leads back to rw. What is held is bounded in rows, edits and bytes; where a bound
would be passed the call raises Overload and has changed nothing, so nothing is lost silently.
Time is handed in. Two calls may come in any order, but never at the same time.
"""

from __future__ import annotations

import enum
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from atrium_server.persistence.errors import Fenced
from atrium_server.persistence.journal_parts import REMOVED_BYTES, Part, halves_of
from atrium_server.persistence.store import Batch, EditKey, EditRow, EntityRow
from atrium_shared.errors import Overload

DEGRADED_S: Final = 1.0
READ_ONLY_S: Final = 5.0
DIRTY_ROWS_MAX: Final = 20_000
DIRTY_EDITS_MAX: Final = 20_000
DIRTY_BYTES_MAX: Final = 32 * 1024 * 1024
RETRY_MS: Final = 1_000
"""Who was refused for lack of room or of a store is told to ask again after this."""


class StoreState(enum.StrEnum):
    """What may be expected of the store just now."""

    RW = "rw"
    DEGRADED = "degraded"
    READ_ONLY = "read_only"
    FENCED = "fenced"


class Outcome(enum.StrEnum):
    """What became of an edit that was accepted."""

    DURABLE = "durable"
    REVERTED = "reverted"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is told to the author of an edit."""

    session: uuid.UUID
    request_id: int
    outcome: Outcome
    sentence: str = ""
    """Why it was reverted."""
    known: bool = False
    """It had been written before this session asked for it."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that one world may hold unwritten."""

    rows: int = DIRTY_ROWS_MAX
    edits: int = DIRTY_EDITS_MAX
    bytes: int = DIRTY_BYTES_MAX


class Journal:
    """The unwritten changes of one world. `version` is the one that was claimed."""

    def __init__(self, version: int, now: float, bounds: Bounds | None = None) -> None:
        self._bounds = bounds or Bounds()
        self._version = version
        self._now = now
        self._open: dict[uuid.UUID, EntityRow | None] = {}
        self._edits: dict[EditKey, EditRow] = {}
        self._open_bytes = 0
        self._open_since = now
        self._parts: deque[Part] = deque()
        self._in_flight: Batch | None = None
        self._held_rows = 0
        self._held_bytes = 0
        self._pending: set[EditKey] = set()
        self._waiting_since: float | None = None
        self._full = False
        self._fenced: str | None = None
        self._answers: list[Answer] = []
        self._reverted: list[uuid.UUID] = []

    # --- what the tick does ----------------------------------------------------------------

    def mark(self, row: EntityRow) -> None:
        """This is the newest of an entity. Raises Overload or Fenced."""
        self._take((row,), ())

    def remove(self, entity_id: uuid.UUID) -> None:
        """The entity is no more. Raises Overload or Fenced."""
        self._take((), (entity_id,))

    def edit(
        self,
        edit: EditRow,
        rows: Sequence[EntityRow] = (),
        removed: Sequence[uuid.UUID] = (),
    ) -> bool:
        """Take an edit with all that it changes, or nothing of it.

        Returns:
            False when this very request is waiting already: nothing was taken, and the one
            answer that is owed for it will come.

        Raises:
            Overload: edits are not taken now; the words say why.
            Fenced: the world has another owner.
        """
        key = edit.key
        if key in self._pending:
            return False
        if self.state is StoreState.READ_ONLY:
            raise Overload(
                "the world cannot be saved just now, so nothing can be changed", RETRY_MS
            )
        if len(self._pending) >= self._bounds.edits:
            self._refuse_for_room()
        self._take(rows, removed, edit.bytes)
        self._edits[key] = edit
        self._pending.add(key)
        return True

    def _take(
        self, rows: Sequence[EntityRow], removed: Sequence[uuid.UUID], more_bytes: int = 0
    ) -> None:
        if self._fenced is not None:
            raise Fenced(self._fenced)
        more = more_bytes + REMOVED_BYTES * len(removed)
        for row in rows:
            more += row.bytes
        if (
            self.dirty_rows + len(rows) + len(removed) > self._bounds.rows
            or self.dirty_bytes + more > self._bounds.bytes
        ):
            self._needs_room(rows, removed, more)
        if not self._open and not self._edits:
            self._open_since = self._now
        if self._waiting_since is None:
            self._waiting_since = self._now
        for row in rows:
            self._put(row.id, row)
        for entity_id in removed:
            self._put(entity_id, None)
        self._open_bytes += more_bytes

    def _needs_room(
        self, rows: Sequence[EntityRow], removed: Sequence[uuid.UUID], more: int
    ) -> None:
        """What is replaced gives room: a row that grows in place must not pass the bound either."""
        fresh = {row.id for row in rows}.union(removed).difference(self._open)
        gone = sum(self._cost(row.id) for row in rows) + sum(map(self._cost, removed))
        if (
            self.dirty_rows + len(fresh) > self._bounds.rows
            or self.dirty_bytes + more - gone > self._bounds.bytes
        ):
            self._refuse_for_room()

    def _put(self, entity_id: uuid.UUID, row: EntityRow | None) -> None:
        self._open_bytes -= self._cost(entity_id)
        self._open[entity_id] = row
        self._open_bytes += REMOVED_BYTES if row is None else row.bytes

    def _cost(self, entity_id: uuid.UUID) -> int:
        if entity_id not in self._open:
            return 0
        row = self._open[entity_id]
        return REMOVED_BYTES if row is None else row.bytes

    def _refuse_for_room(self) -> None:
        self._full = True
        raise Overload(
            "too much waits to be saved, so nothing more can be changed just now", RETRY_MS
        )

    # --- what the writer does --------------------------------------------------------------

    def advance(self, now: float) -> None:
        """Time has passed; whoever reads `state` says so first."""
        self._now = max(now, self._now)

    def cut(self, now: float) -> Batch | None:
        """What is to be committed next; the same again until its outcome is known."""
        self.advance(now)
        if self._fenced is not None:
            return None
        if self._in_flight is None:
            if not self._parts and (self._open or self._edits):
                self._parts.append(self._close_part())
            if self._parts:
                part = self._parts[0]
                self._in_flight = Batch(
                    self._version + 1, part.rows, part.removed, part.edits
                )
        return self._in_flight

    def _close_part(self) -> Part:
        part = Part(
            tuple(row for row in self._open.values() if row is not None),
            tuple(entity_id for entity_id, row in self._open.items() if row is None),
            tuple(self._edits.values()),
            self._open_since,
        )
        self._held_rows += len(self._open)
        self._held_bytes += self._open_bytes
        self._open = {}
        self._edits = {}
        self._open_bytes = 0
        return part

    def done(self, batch: Batch, known: frozenset[EditKey], now: float) -> None:
        """The batch is durable; `known` are the edits that had been written before."""
        self.advance(now)
        part = self._finish(batch)
        self._version = batch.version
        for edit in part.edits:
            self._answer(edit.key, Outcome.DURABLE, known=edit.key in known)
        self._full = False
        self._waiting_since = now if self.is_waiting else None

    def failed(self, now: float) -> None:
        """The store did not answer, to a commit or to anything else."""
        self.advance(now)
        if self._waiting_since is None:
            self._waiting_since = now

    def reached(self, now: float) -> None:
        """The store answered while nothing was waiting for it."""
        self.advance(now)
        if not self.is_waiting:
            self._waiting_since = None

    def refused(self, batch: Batch, sentence: str, now: float) -> None:
        """The store will never take this batch: try its halves, or revert what stands alone."""
        self.advance(now)
        part = self._finish(batch)
        halves = halves_of(part)
        self._waiting_since = now  # it did answer
        if halves:
            self._parts.extendleft(reversed(halves))
            for half in halves:
                self._held_rows += len(half.rows) + len(half.removed)
                self._held_bytes += half.bytes
            return
        for edit in part.edits:
            self._answer(edit.key, Outcome.REVERTED, sentence)
        self._reverted += [row.id for row in part.rows]
        self._reverted += part.removed
        self._full = False
        if not self.is_waiting:
            self._waiting_since = None

    def fenced(self, error: Fenced, now: float) -> None:
        """Another owner has the world: what was not written is reverted, and no more is taken."""
        self.advance(now)
        self._fenced = str(error)
        for key in sorted(self._pending):
            if key in error.durable:
                self._answer(key, Outcome.DURABLE)
            else:
                self._answer(key, Outcome.REVERTED, str(error))
        self._open = {}
        self._edits = {}
        self._parts.clear()
        self._in_flight = None
        self._open_bytes = self._held_rows = self._held_bytes = 0

    def _finish(self, batch: Batch) -> Part:
        assert batch is self._in_flight, "the outcome of a batch that is not under way"
        self._in_flight = None
        part = self._parts.popleft()
        self._held_rows -= len(part.rows) + len(part.removed)
        self._held_bytes -= part.bytes
        return part

    def _answer(
        self, key: EditKey, outcome: Outcome, sentence: str = "", *, known: bool = False
    ) -> None:
        self._pending.discard(key)
        self._answers.append(Answer(*key, outcome, sentence, known))

    # --- what both may know ----------------------------------------------------------------

    def take_answers(self) -> list[Answer]:
        """What is to be told to authors since the last call."""
        taken, self._answers = self._answers, []
        return taken

    def take_reverted(self) -> list[uuid.UUID]:
        """Entities whose change was reverted: the store's row, or its absence, is the truth."""
        taken, self._reverted = self._reverted, []
        return taken

    @property
    def state(self) -> StoreState:
        if self._fenced is not None:
            return StoreState.FENCED
        waited_s = 0.0 if self._waiting_since is None else self._now - self._waiting_since
        if self._full or waited_s >= READ_ONLY_S:
            return StoreState.READ_ONLY
        return StoreState.DEGRADED if waited_s >= DEGRADED_S else StoreState.RW

    @property
    def version(self) -> int:
        """The newest version that is known to be durable."""
        return self._version

    def is_dirty(self, entity_id: uuid.UUID) -> bool:
        """Whether something of this entity is not written yet."""
        return entity_id in self._open or any(
            entity_id in part.removed or any(row.id == entity_id for row in part.rows)
            for part in self._parts
        )

    @property
    def is_waiting(self) -> bool:
        """Something is not written yet."""
        return bool(self._open or self._edits or self._parts)

    @property
    def dirty_rows(self) -> int:
        return len(self._open) + self._held_rows

    @property
    def dirty_edits(self) -> int:
        return len(self._pending)

    @property
    def dirty_bytes(self) -> int:
        return self._open_bytes + self._held_bytes

    @property
    def lag_s(self) -> float:
        """How long the oldest change has been waiting."""
        if self._parts:
            return self._now - self._parts[0].since
        return self._now - self._open_since if self._open or self._edits else 0.0
