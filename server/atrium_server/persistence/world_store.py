"""The worlds in Postgres: who owns one, what is in it, and commits that a past owner cannot make.

Theory of operation
-------------------
The row of a world names its owner's epoch, until when the lease holds (by the database's clock
alone) and the version. A commit is one transaction. Its first statement moves the version on
where epoch and version are the expected ones, which fences out a past owner, takes the lease for
another while, and locks the row, so that all that follows is alone. Then come the rows, the
removed, and the edits.

If that first statement finds nothing, a second one (with a newer snapshot, for the first may have
waited for a lock) says why: with our epoch and the batch's version already there, an earlier
attempt had been written and only its answer was lost. Anything else is a fence; which edits of
the batch an earlier attempt did write is then looked up, and final.

Rows go as arrays through the driver's own connection, inside SQLAlchemy's transaction, at most
SLICE_ROWS_MAX in a statement: the encoder keeps the interpreter to itself for as long as it
encodes one statement, and the tick waits in another thread.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.database import Database
from atrium_server.persistence.errors import Fenced, Refused
from atrium_server.persistence.store import (
    LEASE_S,
    Batch,
    Claim,
    EditKey,
    EditRow,
    EntityRow,
)

SLICE_ROWS_MAX: Final = 200

_T = TypeVar("_T")

# A user or a whole server may have been set to answer commits before they are on disk.
_FENCE: Final = text("""
    UPDATE world SET version = :version, saved_at = now(),
        lease_until = now() + make_interval(secs => :lease_s)
    WHERE id = :world AND owner_epoch = :epoch AND version = :version - 1
    RETURNING CASE WHEN current_setting('synchronous_commit') = 'off'
        THEN set_config('synchronous_commit', 'on', true) END
""")
_LOOK: Final = text("SELECT owner_epoch, version, owner_node FROM world WHERE id = :world")
# To look first: an INSERT in vain would wait for whoever is changing the row of the world, and that
# may be a past owner which is frozen in the middle of a commit.
_CREATE: Final = text("""
    INSERT INTO world (slug, title) SELECT CAST(:slug AS text), CAST(:title AS text)
    WHERE NOT EXISTS (SELECT FROM world WHERE slug = :slug)
    ON CONFLICT (slug) DO NOTHING
    RETURNING id
""")
_CLAIM: Final = text("""
    UPDATE world SET owner_epoch = owner_epoch + 1, owner_node = :node,
        lease_until = now() + make_interval(secs => :lease_s)
    WHERE slug = :slug
        AND (lease_until IS NULL OR lease_until < now() OR owner_node = :node)
    RETURNING id, slug, title, owner_epoch, version, settings::text
""")
_HELD_BY: Final = text("""
    SELECT owner_node, ceil(extract(epoch FROM lease_until - now()))::int FROM world
    WHERE slug = :slug
""")
_RENEW: Final = text("""
    UPDATE world SET lease_until = now() + make_interval(secs => :lease_s)
    WHERE id = :world AND owner_epoch = :epoch RETURNING id
""")
_RELEASE: Final = text("""
    UPDATE world SET lease_until = NULL, owner_node = NULL
    WHERE id = :world AND owner_epoch = :epoch
""")
_CHECK_OWNER: Final = text("SELECT 1 FROM world WHERE id = :world AND owner_epoch = :epoch")

_UPSERT: Final = """
    INSERT INTO entity (world_id, changed_in, id, parent_id, kind, owner_account,
        px, py, pz, qx, qy, qz, qw, sx, sy, sz, model_hash, props, changed_by)
    SELECT $1, $2, u.* FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::uuid[],
        $7::float8[], $8::float8[], $9::float8[],
        $10::real[], $11::real[], $12::real[], $13::real[], $14::real[], $15::real[],
        $16::real[], $17::bytea[], $18::jsonb[], $19::uuid[]) u
    ON CONFLICT (id) DO UPDATE SET
        changed_in = excluded.changed_in, parent_id = excluded.parent_id,
        kind = excluded.kind, owner_account = excluded.owner_account,
        px = excluded.px, py = excluded.py, pz = excluded.pz,
        qx = excluded.qx, qy = excluded.qy, qz = excluded.qz, qw = excluded.qw,
        sx = excluded.sx, sy = excluded.sy, sz = excluded.sz,
        model_hash = excluded.model_hash, props = excluded.props,
        changed_by = excluded.changed_by
    WHERE entity.world_id = excluded.world_id
"""
_REMOVE: Final = "DELETE FROM entity WHERE world_id = $1 AND id = ANY($2::uuid[])"
_BURY: Final = """
    INSERT INTO entity_tombstone (world_id, version, entity_id)
    SELECT $1, $2, unnest($3::uuid[])
"""
_EDITS: Final = """
    INSERT INTO world_edit (world_id, version, session, request_id, actor, op, entity_id,
        before, after)
    SELECT $1, $2, u.* FROM unnest($3::uuid[], $4::bigint[], $5::uuid[], $6::text[],
        $7::uuid[], $8::jsonb[], $9::jsonb[]) u
    ON CONFLICT (session, request_id) DO NOTHING
    RETURNING session, request_id
"""
_KNOWN: Final = """
    SELECT session, request_id FROM world_edit
    WHERE world_id = $1 AND (session, request_id) IN (
        SELECT * FROM unnest($2::uuid[], $3::bigint[]))
"""
_KNOWN_OF_SESSION: Final = text(
    "SELECT request_id FROM world_edit WHERE session = :session AND request_id = ANY(:ids)"
)
ENTITIES: Final = """
    SELECT id, kind, px, py, pz, qx, qy, qz, qw, sx, sy, sz, parent_id, owner_account,
        model_hash, props::text, changed_by, changed_in
    FROM entity WHERE world_id = $1
"""
"""All entities of a world, for `entity_of`."""

_READ: Final = ENTITIES + " AND id = ANY($2::uuid[])"


class SqlWorldStore:
    """A `store.WorldStore` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, slug: str, title: str) -> bool:
        return await self._database.tx(_create, slug, title)

    async def claim(self, slug: str, node: str) -> Claim:
        return await self._database.tx(_claim, slug, node)

    async def renew(self, claim: Claim) -> None:
        await self._database.tx(_renew, claim)

    async def release(self, claim: Claim) -> None:
        await self._database.tx(_execute, _RELEASE, world=claim.world_id, epoch=claim.epoch)

    async def load(self, claim: Claim) -> list[EntityRow]:
        return await self._database.tx(_load, claim)

    async def read(self, claim: Claim, ids: Sequence[uuid.UUID]) -> list[EntityRow]:
        return await self._database.tx(_read, claim, [*ids])

    async def commit(self, claim: Claim, batch: Batch) -> frozenset[EditKey]:
        return await self._database.tx(commit_in, claim, batch)

    async def known_edits(
        self, session: uuid.UUID, request_ids: Sequence[int]
    ) -> frozenset[int]:
        return await self._database.tx(_known_of_session, session, [*request_ids])


async def _execute(connection: AsyncConnection, statement: TextClause, **values: object) -> None:
    await connection.execute(statement, values)


async def _create(connection: AsyncConnection, slug: str, title: str) -> bool:
    made = await connection.execute(_CREATE, {"slug": slug, "title": title})
    return made.first() is not None


async def _claim(connection: AsyncConnection, slug: str, node: str) -> Claim:
    values = {"slug": slug, "node": node, "lease_s": LEASE_S}
    row = (await connection.execute(_CLAIM, values)).first()
    if row is not None:
        world_id, slug, title, epoch, version, settings = row
        return Claim(world_id, slug, title, epoch, version, settings.encode())
    held = (await connection.execute(_HELD_BY, {"slug": slug})).first()
    if held is None:
        raise Refused(f"There is no world {slug!r} in the database.")
    raise Refused(
        f"The world {slug!r} belongs to the server {held[0]!r}: stop that one, or wait"
        f" {held[1]} s if it has crashed."
    )


async def _renew(connection: AsyncConnection, claim: Claim) -> None:
    values = {"world": claim.world_id, "epoch": claim.epoch, "lease_s": LEASE_S}
    if (await connection.execute(_RENEW, values)).first() is None:
        raise Fenced(f"the world {claim.slug!r} has another owner now")


async def _check_owner(connection: AsyncConnection, claim: Claim) -> None:
    values = {"world": claim.world_id, "epoch": claim.epoch}
    if (await connection.execute(_CHECK_OWNER, values)).first() is None:
        raise Fenced(f"the world {claim.slug!r} has another owner now")


async def _read(
    connection: AsyncConnection, claim: Claim, ids: list[uuid.UUID]
) -> list[EntityRow]:
    await _check_owner(connection, claim)
    driver = await driver_of(connection)
    read: list[EntityRow] = []
    for some in _slices(ids):
        read += [entity_of(record) for record in await driver.fetch(_READ, claim.world_id, some)]
    return read


async def _load(connection: AsyncConnection, claim: Claim) -> list[EntityRow]:
    await _check_owner(connection, claim)
    driver = await driver_of(connection)
    cursor = await driver.cursor(ENTITIES, claim.world_id)
    loaded: list[EntityRow] = []
    while records := await cursor.fetch(SLICE_ROWS_MAX):
        loaded += [entity_of(record) for record in records]
    return loaded


def entity_of(record: Sequence[Any]) -> EntityRow:
    """A record of ENTITIES."""
    return EntityRow(
        id=plain_id(record[0]),
        kind=record[1],
        position=tuple(record[2:5]),
        rotation=tuple(record[5:9]),
        scale=tuple(record[9:12]),
        parent=_plain_or_none(record[12]),
        owner=_plain_or_none(record[13]),
        model_hash=record[14],
        props=record[15].encode(),
        changed_by=_plain_or_none(record[16]),
        changed_in=record[17],
    )


def plain_id(value: uuid.UUID) -> uuid.UUID:
    """The driver has a UUID class of its own, which equals ours and is not quite like it."""
    return uuid.UUID(int=value.int)


def _plain_or_none(value: uuid.UUID | None) -> uuid.UUID | None:
    return None if value is None else plain_id(value)


# --- a commit ----------------------------------------------------------------------------


async def commit_in(
    connection: AsyncConnection, claim: Claim, batch: Batch
) -> frozenset[EditKey]:
    """`SqlWorldStore.commit` within a transaction of the caller's, which may do more in it."""
    values = {
        "version": batch.version,
        "lease_s": LEASE_S,
        "world": claim.world_id,
        "epoch": claim.epoch,
    }
    fence = (await connection.execute(_FENCE, values)).first()
    driver = await driver_of(connection)
    if fence is None:
        return await _resolve(connection, claim, batch)
    for rows in _slices(batch.rows):
        written = await driver.execute(_UPSERT, claim.world_id, batch.version, *_columns(rows))
        if written != f"INSERT 0 {len(rows)}":
            raise Refused("an entity of this id is in another world")
        await asyncio.sleep(0)
    for ids in _slices(batch.removed):
        await driver.execute(_REMOVE, claim.world_id, ids)
        await driver.execute(_BURY, claim.world_id, batch.version, ids)
    known: set[EditKey] = set()
    for edits in _slices(batch.edits):
        written = await driver.fetch(_EDITS, claim.world_id, batch.version, *_edits(edits))
        if len(written) < len(edits):
            known |= {edit.key for edit in edits} - _keys(written)
        await asyncio.sleep(0)
    return frozenset(known)


async def _resolve(
    connection: AsyncConnection, claim: Claim, batch: Batch
) -> frozenset[EditKey]:
    """Say what it means that the fence let nothing pass."""
    found = (await connection.execute(_LOOK, {"world": claim.world_id})).first()
    if found is not None and (found[0], found[1]) == (claim.epoch, batch.version):
        return frozenset()  # it is ours, and only the answer had been lost
    keys = [edit.key for edit in batch.edits]
    driver = await driver_of(connection)
    known: set[EditKey] = set()
    for some in _slices(keys):
        sessions, request_ids = [key[0] for key in some], [key[1] for key in some]
        known |= _keys(await driver.fetch(_KNOWN, claim.world_id, sessions, request_ids))
    raise Fenced(_why(claim, batch, found), frozenset(known))


def _why(claim: Claim, batch: Batch, found: Sequence[Any] | None) -> str:
    if found is None:
        return f"the world {claim.slug!r} is not in the database any more"
    epoch, version, node = found
    if epoch != claim.epoch:
        return f"the world {claim.slug!r} belongs to {node or 'another server'!r} now"
    return (
        f"the world {claim.slug!r} has version {version} in the database, where"
        f" {batch.version - 1} was expected: it was changed or restored by other hands"
    )


async def driver_of(connection: AsyncConnection) -> Any:
    """asyncpg's own connection; SQLAlchemy must have begun the transaction on it."""
    raw = await connection.get_raw_connection()
    driver: Any = raw.driver_connection
    assert driver.is_in_transaction(), "a statement of ours outside of its transaction"
    return driver


def _slices(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    for start in range(0, len(items), SLICE_ROWS_MAX):
        yield items[start : start + SLICE_ROWS_MAX]


def _columns(rows: Sequence[EntityRow]) -> list[list[Any]]:
    """The parameters $3 to $19 of _UPSERT."""
    return [
        [row.id for row in rows],
        [row.parent for row in rows],
        [row.kind for row in rows],
        [row.owner for row in rows],
        *([row.position[axis] for row in rows] for axis in range(3)),
        *([row.rotation[axis] for row in rows] for axis in range(4)),
        *([row.scale[axis] for row in rows] for axis in range(3)),
        [row.model_hash for row in rows],
        [_json(row.props) for row in rows],
        [row.changed_by for row in rows],
    ]


def _edits(edits: Sequence[EditRow]) -> list[list[Any]]:
    """The parameters $3 to $9 of _EDITS."""
    return [
        [edit.session for edit in edits],
        [edit.request_id for edit in edits],
        [edit.actor for edit in edits],
        [edit.op for edit in edits],
        [edit.entity_id for edit in edits],
        [None if edit.before is None else _json(edit.before) for edit in edits],
        [None if edit.after is None else _json(edit.after) for edit in edits],
    ]


def _json(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Refused("an entity's properties are no text") from error


def _keys(records: Iterable[Sequence[Any]]) -> set[EditKey]:
    return {(plain_id(record[0]), record[1]) for record in records}


async def _known_of_session(
    connection: AsyncConnection, session: uuid.UUID, ids: list[int]
) -> frozenset[int]:
    found = await connection.execute(_KNOWN_OF_SESSION, {"session": session, "ids": ids})
    return frozenset(found.scalars())
