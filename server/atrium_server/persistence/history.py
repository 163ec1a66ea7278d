"""The history of worlds: who did what, how a world was, and how the oldest of it is forgotten.

Theory of operation
-------------------
Each edit is a row with what its props were before and after it (`world_edit`), numbered in the
order in which a world's one owner committed them. A past state is made of the present rows by
taking the edits since back, newest first; `read_back` hands out both from one snapshot of the
database, in slices and through a cursor, to a `Reader` that keeps what it needs. So the memory
this takes is that of the state, however long the history is. Where the history is cut is decided
by the number of the first edit after the moment and not by the times themselves: what was written
together stays together, even if the clock of the database was once set back.

Edits are listed in pages by time and number, newest first, without their contents. Who keeps the
place of the last one asks for those before it, and no page shifts when new edits come.

Edits and tombstones are kept for HISTORY_S_MAX, by the clock of the database, and `prune` removes
older ones in short transactions. Nothing younger is ever removed, so every moment of that time can
be brought back. An edit that was pruned is no longer known when a client asks it again; a session
is over long before.
What is in an edit passes as JSON: its meaning is known further up (`prop_rows`).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.database import Database
from atrium_server.persistence.errors import Refused
from atrium_server.persistence.store import EntityRow
from atrium_server.persistence.world_store import ENTITIES, driver_of, entity_of, plain_id
from atrium_shared import limits

SLICE_EDITS_MAX: Final = 100
SLICE_ENTITIES_MAX: Final = 500
SLICE_IDS_MAX: Final = 10_000
DISOWN: Final = "disown"
HOUSE_OPS: Final = ("publish", DISOWN)
"""What is nobody's own will: the judge lets a text pass, the account of an owner is deleted."""
PRUNE_ROWS_MAX: Final = 1_000
"""Rows that one transaction of pruning removes."""


class WorldSummary(msgspec.Struct, frozen=True):
    """A world as a list shows it."""

    world_id: int
    slug: str
    title: str
    version: int
    props: int
    owner: str
    """The server that has it now; empty for none."""
    saved_at: datetime | None


class Chosen(msgspec.Struct, frozen=True):
    """Which edits: those for which all that is given holds."""

    actor: uuid.UUID | None = None
    session: uuid.UUID | None = None
    prop: uuid.UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


class EditHead(msgspec.Struct, frozen=True):
    """An edit without its contents."""

    edit_id: int
    version: int
    at: datetime
    session: uuid.UUID
    request_id: int
    actor: uuid.UUID | None
    op: str
    prop: uuid.UUID | None
    """The first that it changed."""
    props: int
    """How many it changed."""

    @property
    def place(self) -> tuple[datetime, int]:
        """Where a list goes on after it."""
        return self.at, self.edit_id


class PastEdit(msgspec.Struct, frozen=True):
    """An edit with its contents: JSON objects by prop id."""

    edit_id: int
    op: str
    session: uuid.UUID
    actor: uuid.UUID | None
    before: bytes
    after: bytes


class Reader(Protocol):
    """Takes what `read_back` finds; it is called in the database's thread, one call at a time."""

    def present(self, rows: Sequence[EntityRow]) -> None:
        """Some of the entities as they are."""
        ...

    def back(self, edits: Sequence[PastEdit]) -> None:
        """The next older edits, newest first; all of the present came before."""
        ...


class Pruned(msgspec.Struct, frozen=True):
    """What was forgotten."""

    edits: int
    tombstones: int


_HEAD: Final = """e.id, e.version, e.at, e.session, e.request_id, e.actor, e.op, e.entity_id,
    (SELECT count(*) FROM jsonb_object_keys(coalesce(e.after, e.before, '{}')))"""
_CHOSEN: Final = """e.world_id = $1
    AND ($2::uuid IS NULL OR e.actor = $2) AND ($3::uuid IS NULL OR e.session = $3)
    AND ($4::uuid IS NULL OR e.entity_id = $4 OR jsonb_exists(e.after, $4::text)
        OR jsonb_exists(e.before, $4::text))
    AND e.at >= coalesce($5, '-infinity'::timestamptz)
    AND e.at <= coalesce($6, 'infinity'::timestamptz)"""
_PAGE: Final = f"""
    SELECT {_HEAD} FROM world_edit e
    WHERE {_CHOSEN} AND ($7::timestamptz IS NULL OR (e.at, e.id) < ($7, $8))
    ORDER BY e.at DESC, e.id DESC LIMIT $9
"""
_CONTENTS: Final = """e.id, e.op, e.session, e.actor, coalesce(e.before, '{}')::text,
    coalesce(e.after, '{}')::text"""
_FIRST_AFTER: Final = """
    SELECT id FROM world_edit WHERE world_id = $1 AND at > $2 ORDER BY at, id LIMIT 1
"""
_BACK: Final = f"""
    SELECT {_CONTENTS} FROM world_edit e
    WHERE e.world_id = $1 AND e.id >= $2 AND (e.op = ANY($5)
        OR ($3::uuid IS NULL OR e.actor = $3) AND ($4::uuid IS NULL OR e.session = $4))
    ORDER BY e.id DESC
"""
_NEWEST: Final = f"""
    SELECT {_CONTENTS} FROM world_edit e WHERE e.world_id = $1 AND e.actor = $2
    ORDER BY e.at DESC, e.id DESC LIMIT $3
"""
_WORLDS: Final = text("""
    SELECT w.id, w.slug, w.title, w.version,
        (SELECT count(*) FROM entity e WHERE e.world_id = w.id),
        CASE WHEN w.lease_until >= now() THEN coalesce(w.owner_node, '') ELSE '' END, w.saved_at
    FROM world w WHERE CAST(:slug AS text) IS NULL OR w.slug = :slug ORDER BY w.slug
""")
_REQUESTS: Final = text("""
    SELECT asked.session, newest.request_id
    FROM unnest(CAST(:sessions AS uuid[])) AS asked (session), LATERAL (
        SELECT request_id FROM world_edit WHERE session = asked.session
        ORDER BY request_id DESC LIMIT :most) AS newest
""")
_ELSEWHERE: Final = "SELECT count(*) FROM entity WHERE id = ANY($1::uuid[]) AND world_id <> $2"
_ACCOUNT: Final = text("SELECT id FROM account WHERE handle_key = :key")
_READ_ONLY: Final = text("SET TRANSACTION READ ONLY")
_SNAPSHOT: Final = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
_OLD_VERSION: Final = text("""
    SELECT version FROM world_edit
    WHERE world_id = :world AND at < now() - make_interval(secs => :kept_s)
    ORDER BY at DESC, id DESC LIMIT 1
""")
_FORGET_TOMBSTONES: Final = text("""
    DELETE FROM entity_tombstone WHERE (world_id, version, entity_id) IN (
        SELECT world_id, version, entity_id FROM entity_tombstone
        WHERE world_id = :world AND version <= :version LIMIT :most)
""")
_FORGET_EDITS: Final = text("""
    DELETE FROM world_edit WHERE id IN (
        SELECT id FROM world_edit
        WHERE world_id = :world AND at < now() - make_interval(secs => :kept_s)
        ORDER BY at LIMIT :most)
""")


class WorldHistory:
    """What the database remembers of worlds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def worlds(self) -> list[WorldSummary]:
        """All worlds, by name."""
        return await self._database.tx(_worlds, None)

    async def world(self, slug: str) -> WorldSummary:
        """One world. Raises Refused."""
        found = await self._database.tx(_worlds, slug)
        if not found:
            raise Refused(f"There is no world {slug!r} in the database.")
        return found[0]

    async def now(self) -> datetime:
        """The time by the database's clock, which is the one that edits are stamped with."""
        return await self._database.tx(_now)

    async def page(
        self, world_id: int, chosen: Chosen, before: tuple[datetime, int] | None = None,
        edits_max: int = limits.HISTORY_PAGE_EDITS_MAX,
    ) -> list[EditHead]:
        """The newest edits, or those before the `place` of one; an empty page is the end."""
        most = min(edits_max, limits.HISTORY_PAGE_EDITS_MAX)
        return await self._database.tx(_page, world_id, chosen, before, most)

    async def read_back(
        self, world_id: int, since: datetime, reader: Reader, chosen: Chosen | None = None
    ) -> int:
        """The present and the edits after `since`, newest first and as of one moment.

        If `chosen` names an actor or a session, the edits are theirs, and those of HOUSE_OPS.

        Returns:
            The version that the world has in that moment.

        Raises:
            Refused: `since` lies in the future, or before what is remembered.
        """
        return await self._database.tx(
            _read_back, world_id, since, reader, chosen or Chosen()
        )

    async def recent_edits(
        self, world_id: int, actor: uuid.UUID, edits_max: int = limits.UNDO_EDITS_MAX
    ) -> list[PastEdit]:
        """The newest edits of an account, newest first: what it can take back after a start."""
        return await self._database.tx(_recent_edits, world_id, actor, edits_max)

    async def recent_requests(
        self, sessions: Sequence[uuid.UUID], per_session_max: int
    ) -> dict[uuid.UUID, set[int]]:
        """The highest request ids that these sessions have written, so that none of them is done
        again by a server that has just started. Every session asked for has an entry."""
        return await self._database.tx(_recent_requests, [*sessions], per_session_max)

    async def elsewhere(self, world_id: int, props: Sequence[uuid.UUID]) -> int:
        """How many of these ids are taken in other worlds: an id is good for one world only."""
        return await self._database.tx(_elsewhere, world_id, [*props])

    async def account(self, handle_key: str) -> uuid.UUID | None:
        """The account of a folded handle."""
        return await self._database.tx(_account, handle_key)

    async def prune(self, kept_s: float = limits.HISTORY_S_MAX) -> Pruned:
        """Forget what is older than `kept_s`, in many short transactions."""
        assert kept_s >= limits.HISTORY_S_MAX, "a moment that may be asked for would be lost"
        edits = tombstones = 0
        for world in await self.worlds():
            # A tombstone has no time of its own: it is as old as the edits of its version.
            version = await self._database.tx(_old_version, world.world_id, kept_s)
            if version is None:
                continue
            while gone := await self._database.tx(_forget_tombstones, world.world_id, version):
                tombstones += gone
            while gone := await self._database.tx(_forget_edits, world.world_id, kept_s):
                edits += gone
        return Pruned(edits, tombstones)


async def _worlds(connection: AsyncConnection, slug: str | None) -> list[WorldSummary]:
    rows = await connection.execute(_WORLDS, {"slug": slug})
    return [WorldSummary(*row) for row in rows]


async def _now(connection: AsyncConnection) -> datetime:
    return (await connection.execute(text("SELECT now()"))).scalar_one()


async def _page(
    connection: AsyncConnection, world_id: int, chosen: Chosen,
    before: tuple[datetime, int] | None, most: int,
) -> list[EditHead]:
    driver = await _reading(connection)
    records = await driver.fetch(
        _PAGE, world_id, chosen.actor, chosen.session, chosen.prop, chosen.since, chosen.until,
        *(before or (None, None)), most,
    )
    return [_head(record) for record in records]


def _head(record: Sequence[Any]) -> EditHead:
    edit_id, version, at, session, request_id, actor, op, prop, props = record
    return EditHead(
        edit_id, version, at, plain_id(session), request_id, _id_or_none(actor), op,
        _id_or_none(prop), props,
    )


async def _read_back(
    connection: AsyncConnection, world_id: int, since: datetime, reader: Reader, chosen: Chosen
) -> int:
    await connection.execute(_SNAPSHOT)
    version = (await connection.execute(
        text("SELECT version FROM world WHERE id = :world"), {"world": world_id}
    )).scalar_one()
    _check_moment(await _now(connection), since)
    driver = await driver_of(connection)
    cursor = await driver.cursor(ENTITIES, world_id)
    while records := await cursor.fetch(SLICE_ENTITIES_MAX):
        reader.present([entity_of(record) for record in records])
        await asyncio.sleep(0)
    first = await driver.fetchval(_FIRST_AFTER, world_id, since)
    if first is not None:
        cursor = await driver.cursor(
            _BACK, world_id, first, chosen.actor, chosen.session, HOUSE_OPS
        )
        while records := await cursor.fetch(SLICE_EDITS_MAX):
            reader.back([_past(record) for record in records])
            await asyncio.sleep(0)
    return version


def _check_moment(now: datetime, moment: datetime) -> None:
    if moment > now:
        raise Refused(f"{moment:%Y-%m-%d %H:%M:%S} UTC has not come yet: name an earlier moment.")
    oldest = now - timedelta(seconds=limits.HISTORY_S_MAX)
    if moment < oldest:
        raise Refused(
            f"What was before {oldest:%Y-%m-%d %H:%M} UTC is forgotten: name a later moment, or"
            " restore a backup of the database (atrium db restore)."
        )


async def _recent_edits(
    connection: AsyncConnection, world_id: int, actor: uuid.UUID, most: int
) -> list[PastEdit]:
    driver = await _reading(connection)
    cursor = await driver.cursor(_NEWEST, world_id, actor, most)
    found: list[PastEdit] = []
    while records := await cursor.fetch(SLICE_EDITS_MAX):
        found += [_past(record) for record in records]
    return found


async def _recent_requests(
    connection: AsyncConnection, sessions: list[uuid.UUID], most: int
) -> dict[uuid.UUID, set[int]]:
    found: dict[uuid.UUID, set[int]] = {session: set() for session in sessions}
    rows = await connection.execute(_REQUESTS, {"sessions": sessions, "most": most})
    for session, request_id in rows:
        found[plain_id(session)].add(request_id)
    return found


async def _elsewhere(
    connection: AsyncConnection, world_id: int, props: list[uuid.UUID]
) -> int:
    driver = await _reading(connection)
    taken = 0
    for start in range(0, len(props), SLICE_IDS_MAX):
        some = props[start : start + SLICE_IDS_MAX]
        taken += await driver.fetchval(_ELSEWHERE, some, world_id)
    return taken


async def _account(connection: AsyncConnection, handle_key: str) -> uuid.UUID | None:
    found = await connection.execute(_ACCOUNT, {"key": handle_key})
    return _id_or_none(found.scalar_one_or_none())


async def _old_version(connection: AsyncConnection, world_id: int, kept_s: float) -> int | None:
    values = {"world": world_id, "kept_s": kept_s}
    return (await connection.execute(_OLD_VERSION, values)).scalar_one_or_none()


async def _forget_tombstones(connection: AsyncConnection, world_id: int, version: int) -> int:
    values = {"world": world_id, "version": version, "most": PRUNE_ROWS_MAX}
    return (await connection.execute(_FORGET_TOMBSTONES, values)).rowcount


async def _forget_edits(connection: AsyncConnection, world_id: int, kept_s: float) -> int:
    values = {"world": world_id, "kept_s": kept_s, "most": PRUNE_ROWS_MAX}
    return (await connection.execute(_FORGET_EDITS, values)).rowcount


async def _reading(connection: AsyncConnection) -> Any:
    """The driver's own connection, within a transaction that writes nothing."""
    await connection.execute(_READ_ONLY)
    return await driver_of(connection)


def _past(record: Sequence[Any]) -> PastEdit:
    return PastEdit(
        record[0], record[1], plain_id(record[2]), _id_or_none(record[3]),
        record[4].encode(), record[5].encode(),
    )


def _id_or_none(value: uuid.UUID | None) -> uuid.UUID | None:
    return None if value is None else plain_id(value)
