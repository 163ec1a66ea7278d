"""A world's saving, as its host sees it: what is loaded, what is handed on, what comes back.

Theory of operation
-------------------
::

    tick --edits--> journal --batches--> writer (a task) --> store
      ^                                     |
      +------ EditsSaved, Reread <----------+------> authors, at once
        (commands of a later tick)

The journal is filled in the tick and emptied by the writer, both in trio's thread. The author of an
edit that is saved hears of it at once; the world hears of it before all else in its next tick, so
whoever asks again for what was said to be durable is told the same. Before each tick
in which somebody edits, the world is told how much more the journal takes: so it never has to
refuse what the world has done already. An edit that the store will never have is told REVERTED to
its author, and the world gets back what the store has of those props.

The writer ends by itself only when another server has taken the world: the world is over then.
"""

from __future__ import annotations

import logging
import random
import secrets
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from atrium_server.persistence.errors import Fenced, Unavailable
from atrium_server.persistence.ids import uuid_of
from atrium_server.persistence.journal import (
    Answer,
    Bounds,
    Journal,
    Outcome,
    StoreState,
)
from atrium_server.persistence.store import Claim, EditKey, EditRow, WorldStore
from atrium_server.persistence.world_writer import WorldWriter, WriterNumbers
from atrium_server.prop_rows import account_of, history_of, prop_of, row_of
from atrium_server.world import commands as c
from atrium_server.world.props import Prop
from atrium_shared.messages import SaveState

logger = logging.getLogger(__name__)

REREAD_S = 0.5
"""A store that does not answer is asked again after this."""
_STATES = {
    StoreState.RW: SaveState.RW, StoreState.DEGRADED: SaveState.DEGRADED,
    StoreState.READ_ONLY: SaveState.READ_ONLY, StoreState.FENCED: SaveState.FENCED,
}


@dataclass(frozen=True, slots=True)
class Kept:
    """A world as the store has it."""

    props: dict[bytes, Prop]
    run: bytes
    """Stands for the session of what the house itself changes; never used before."""


NOTHING_KEPT = Kept({}, bytes(16))
"""Of a world that has not been loaded."""


@dataclass(slots=True)
class Keeper:
    """The saving of one world that this server owns."""

    store: WorldStore
    claim: Claim
    numbers: WriterNumbers
    offer: Callable[[c.AnyCommand], None] = field(default=lambda command: None)
    """Brings a command to the world; set by its host."""
    tell: Callable[[list[EditKey]], None] = field(default=lambda saved: None)
    """Tells the authors of edits that these are durable, now; set by its host."""
    bounds: Bounds = field(default_factory=Bounds)
    journal: Journal = field(init=False)
    is_lost: bool = False
    """Another server has the world."""
    _said: c.Store | None = None
    _read: dict[uuid.UUID, Prop | None] = field(default_factory=dict[uuid.UUID, Prop | None])
    """What the store has of props whose change was reverted, for the next tick."""
    _touched: set[uuid.UUID] = field(default_factory=set[uuid.UUID])
    """Props that were edited since the store was asked."""
    _changed: dict[EditKey, tuple[uuid.UUID, ...]] = field(
        default_factory=dict[EditKey, tuple[uuid.UUID, ...]]
    )
    """Props of edits that wait: those of one that is reverted are read again."""
    _to_read: set[uuid.UUID] = field(default_factory=set[uuid.UUID])
    _reading: trio.Event = field(default_factory=trio.Event)
    _answers: list[c.Saved] = field(default_factory=list[c.Saved])
    """What the world has not been told yet."""
    _hurry: Callable[[], None] = field(default=lambda: None)
    """Tells the writer that a tick has something for it."""

    def __post_init__(self) -> None:
        self.journal = Journal(self.claim.version, trio.current_time(), self.bounds)

    @property
    def state(self) -> SaveState:
        return _STATES[self.journal.state]

    # --- the tick ------------------------------------------------------------------------

    def before_tick(self, commands: list[c.AnyCommand]) -> None:
        """Put into `commands` what the world must know of its store."""
        journal = self.journal
        journal.advance(trio.current_time())
        reread = self._reread_now() if self._read else None
        if reread is not None:
            commands.insert(0, reread)  # before anybody edits these again
        bounds = self.bounds
        store = c.Store(
            self.state, bounds.edits - journal.dirty_edits, bounds.rows - journal.dirty_rows,
            bounds.bytes - journal.dirty_bytes,
        )
        if store != self._said:
            self._said = store
            commands.insert(0, store)
        if self._answers:
            # First: somebody may ask again for one of these in this very tick.
            commands.insert(0, c.EditsSaved(tuple(self._answers)))
            self._answers.clear()

    def take(self, edits: list[c.Accepted]) -> None:
        """Edits that the world has made in this tick."""
        for edit in edits:
            actor = account_of(edit.author)
            ids = tuple(uuid_of(change.prop_id) for change in edit.changes)
            before, after = history_of(edit.changes)
            row = EditRow(
                uuid_of(edit.uuid), edit.request_id, edit.op, actor, ids[0], before, after,
                ids if len(ids) > 1 else (),
            )
            rows = [
                row_of(change.prop_id, change.after, actor)
                for change in edit.changes if change.after is not None
            ]
            gone = [uuid_of(c.prop_id) for c in edit.changes if c.after is None]
            taken = self.journal.edit(row, rows, gone)
            assert taken, "the world has asked its ledger whether this is a new request"
            self._changed[row.key] = ids
            self._touched.update(ids)
        if edits:
            self._said = None  # the world counts down from what it was told
            self._hurry()

    # --- the store -----------------------------------------------------------------------

    async def load(self) -> Kept:
        """All that the store has of the world, after what is still to be written.

        Raises PropError for a row that cannot be understood, Unavailable and Fenced.
        """
        self._said = None  # a world that begins has been told nothing
        while self.journal.is_waiting and not self.is_lost:  # noqa: ASYNC110 -- a rare wait
            await trio.sleep(REREAD_S / 10)
        props: dict[bytes, Prop] = {}
        for number, row in enumerate(await self.store.load(self.claim)):
            props[row.id.bytes] = prop_of(row)
            if number % 1_000 == 999:
                await trio.lowlevel.checkpoint()  # other worlds tick
        return Kept(props, secrets.token_bytes(16))

    async def run(self, fenced: Callable[[str], None]) -> None:
        """Write until cancelled; `fenced` is called when the world is lost."""
        writer = WorldWriter(self.journal, self.store, self.claim, self._answered, self.numbers)
        self._hurry = writer.hurry
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._reread)
                try:
                    await writer.run(random.Random(secrets.randbits(64)))
                except Fenced as error:
                    self.is_lost = True
                    fenced(str(error))
                nursery.cancel_scope.cancel()
        finally:
            if writer.unwritten:
                logger.error(
                    "%d changes of the world %s could not be saved: their authors were not told"
                    " that they were", writer.unwritten, self.claim.slug,
                )

    def _answered(self, answers: list[Answer]) -> None:
        self._to_read.update(self.journal.take_reverted())
        durable: list[EditKey] = []
        for answer in answers:
            key = (answer.session, answer.request_id)
            is_durable = answer.outcome is Outcome.DURABLE
            ids = self._changed.pop(key, ())
            if is_durable:
                durable.append(key)
            else:
                self._to_read.update(ids)
            self._answers.append(c.Saved(
                answer.session.bytes, answer.request_id, is_durable, answer.sentence
            ))
        self.tell(durable)
        if self._to_read:
            self._reading.set()

    async def _reread(self) -> None:
        """Bring back what the store has of props whose change was reverted."""
        while True:
            await self._reading.wait()
            self._reading = trio.Event()
            ids = {one for one in self._to_read if not self.journal.is_dirty(one)}
            self._to_read -= ids
            self._touched.clear()
            try:
                rows = await self.store.read(self.claim, sorted(ids)) if ids else []
            except Unavailable:
                self._to_read |= ids
            except Fenced:
                return  # the writer tells of it
            else:
                found = {row.id: prop_of(row) for row in rows}
                self._read = {one: found.get(one) for one in ids}
            if self._to_read:
                self._reading.set()
                await trio.sleep(REREAD_S)

    def _reread_now(self) -> c.Reread | None:
        """What was read and is still so: who has edited it since has the last word."""
        read, self._read = self._read, {}
        newer = {one for one in read if one in self._touched or self.journal.is_dirty(one)}
        if newer:
            self._to_read |= newer
            self._reading.set()
        props = tuple((one.bytes, read[one]) for one in sorted(read.keys() - newer))
        return c.Reread(props) if props else None
