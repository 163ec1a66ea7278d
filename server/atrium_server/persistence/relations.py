"""What people with an account do about each other, as rows: in Postgres, and in memory.

A row says what one account does about one person: another account, or a guest as long as that one's
session lives. Rows about guests that are GUEST_DAYS_MAX old name nobody any more and are left out.
A row goes with the account that it belongs to; rows of others about an account that is erased go
with that, too, because they hold its name (`account_erasure`).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec
import trio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.database import Database
from atrium_server.persistence.errors import Refused, Unavailable
from atrium_server.persistence.world_writer import FLUSH_S_MAX
from atrium_shared.limits import RELATIONS_MAX

GUEST_DAYS_MAX: Final = 2
RETRY_S: Final = 1.0
"""Between two attempts while the store does not answer."""
WAITING_MAX: Final = 10_000
"""Changes that may wait; beyond it what people do about each other cannot change."""
ACCOUNTS_MAX: Final = 10_000
"""Accounts that are kept in memory; the one that changed the longest ago is forgotten first."""


class RelationRow(msgspec.Struct, frozen=True):
    """What an account does about a person."""

    person: str
    """The id of an account, or `guest:` and the id of a session."""
    name: str
    relation: int
    """Bits of `social.Relation`; 0 in what is to be saved takes the row away."""


class RelationStore(Protocol):
    """What is asked of a store. Every call may raise Unavailable."""

    async def of(self, account: uuid.UUID) -> list[RelationRow]:
        """All that an account does about others, the newest last."""
        ...

    async def save(self, account: uuid.UUID, rows: Sequence[RelationRow]) -> None:
        """Keep these, one for each person. Raises Refused when there is no such account."""
        ...


_OF: Final = text("""
    SELECT person, name, relation FROM relation
    WHERE account_id = :account
        AND (person NOT LIKE 'guest:%' OR at > now() - make_interval(days => :days))
    ORDER BY at DESC, person LIMIT :most
""")
_SAVE: Final = text("""
    INSERT INTO relation (account_id, person, name, relation)
    SELECT :account, u.person, u.name, u.relation
    FROM unnest(CAST(:persons AS text[]), CAST(:names AS text[]), CAST(:relations AS smallint[]))
        AS u (person, name, relation)
    WHERE u.relation > 0
    ON CONFLICT (account_id, person) DO UPDATE
        SET name = excluded.name, relation = excluded.relation, at = clock_timestamp()
""")
_TAKE_BACK: Final = text("""
    DELETE FROM relation WHERE account_id = :account AND person = ANY(:persons)
""")
_TIDY: Final = text("""
    DELETE FROM relation WHERE account_id = :account AND person LIKE 'guest:%'
        AND at <= now() - make_interval(days => :days)
""")


class SqlRelations:
    """A `RelationStore` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, account: uuid.UUID) -> list[RelationRow]:
        return await self._database.tx(_load, account)

    async def save(self, account: uuid.UUID, rows: Sequence[RelationRow]) -> None:
        await self._database.tx(_save, account, rows)


async def _load(connection: AsyncConnection, account: uuid.UUID) -> list[RelationRow]:
    values = {"account": account, "days": GUEST_DAYS_MAX, "most": RELATIONS_MAX}
    found = (await connection.execute(_OF, values)).all()
    return [RelationRow(*row) for row in found[::-1]]


async def _save(
    connection: AsyncConnection, account: uuid.UUID, rows: Sequence[RelationRow]
) -> None:
    values = {"account": account, "days": GUEST_DAYS_MAX}
    gone = [row.person for row in rows if not row.relation]
    if gone:
        await connection.execute(_TAKE_BACK, {**values, "persons": gone})
    await connection.execute(_TIDY, values)
    await connection.execute(_SAVE, {
        **values, "persons": [row.person for row in rows], "names": [row.name for row in rows],
        "relations": [row.relation for row in rows],
    })


class MemoryRelations:
    """A `RelationStore` in memory, for --ephemeral and for tests."""

    def __init__(self) -> None:
        self._of: dict[uuid.UUID, dict[str, RelationRow]] = {}

    async def of(self, account: uuid.UUID) -> list[RelationRow]:
        await trio.lowlevel.checkpoint()
        return list(self._of.get(account, {}).values())

    async def save(self, account: uuid.UUID, rows: Sequence[RelationRow]) -> None:
        await trio.lowlevel.checkpoint()
        kept = self._of.pop(account, {})
        for row in rows:
            kept.pop(row.person, None)
            if row.relation:
                kept[row.person] = row
        self._of[account] = kept
        while len(self._of) > ACCOUNTS_MAX:
            del self._of[next(iter(self._of))]


class RelationWriter:
    """Keeps what changes, one account after the other, and knows what is not saved yet.

    A change is in force in the worlds at once and is saved a moment later. Who comes in meanwhile
    gets what the store has with what waits here put over it: also what came to wait while the store
    was being asked.
    """

    def __init__(self, store: RelationStore) -> None:
        self._store = store
        self._waiting: dict[uuid.UUID, dict[str, RelationRow]] = {}
        self._asking: list[tuple[uuid.UUID, dict[str, RelationRow]]] = []
        self._work = trio.Event()
        self._count = 0
        """Of all that waits."""

    @property
    def has_room(self) -> bool:
        """Whether more may change in this tick."""
        return self._count < WAITING_MAX

    def take(self, account: uuid.UUID, rows: Sequence[RelationRow]) -> None:
        """These have changed."""
        waiting = self._waiting.setdefault(account, {})
        before = len(waiting)
        for kept in (
            waiting,
            *(kept for asked, kept in self._asking if asked == account),
        ):
            for row in rows:
                kept.pop(row.person, None)
                kept[row.person] = row
        self._count += len(waiting) - before
        self._work.set()

    async def of(self, account: uuid.UUID) -> list[RelationRow]:
        """All that an account does about others at this moment. Raises StoreError."""
        changes = dict(self._waiting.get(account, {}))
        asking = (account, changes)
        self._asking.append(asking)
        try:
            found = {row.person: row for row in await self._store.of(account)}
        finally:
            self._asking[:] = [one for one in self._asking if one is not asking]
        for person, row in changes.items():
            found.pop(person, None)
            if row.relation:
                found[person] = row
        return list(found.values())

    async def run(self) -> None:
        """Save for ever; what waits at the end is saved before it ends, where that can be done."""
        try:
            while True:
                await self._work.wait()
                if not await self._save_all():
                    await trio.sleep(RETRY_S)
        finally:
            with trio.move_on_after(FLUSH_S_MAX, shield=True):
                await self._save_all()

    async def _save_all(self) -> bool:
        """Whether all that waited when this began could be saved."""
        self._work = trio.Event()
        for account in list(self._waiting):
            rows = self._waiting[account]
            saved = list(rows.values())
            try:
                await self._store.save(account, saved)
            except Refused:
                pass  # the account is gone, and what it did about others with it
            except Unavailable:
                self._work.set()
                return False
            for row in saved:
                if rows.get(row.person) is row:  # it may have changed meanwhile
                    del rows[row.person]
                    self._count -= 1
            if not rows:
                del self._waiting[account]
        return True
