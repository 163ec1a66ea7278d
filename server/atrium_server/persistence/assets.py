"""What is known of the files that people brought along; their bytes lie in a folder, not here.

Theory of operation
-------------------
An asset is known by the SHA-256 of its bytes. Its row is written when it has been checked:
`ready`, `pending` while it is held for a moderator, or `refused` with the sentence that its
uploader was told, so that the same bytes need not be checked again. A row that is ready never
changes, but for when it was last used.

An asset is in use as long as an entity names it. `mark_used` stamps all of those; it runs before
each `forget`, which removes what has not been in use for a while. That must be longer than the
history of worlds reaches, because a world can be brought back to a moment at which an asset was in
use.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec
import trio
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.audit_rows import AuditRow, write_audit
from atrium_server.persistence.database import Database
from atrium_server.persistence.errors import Unavailable
from atrium_server.persistence.settled import settled

READY: Final = "ready"
HELD: Final = "pending"
"""Kept, and shown to nobody before a moderator has decided."""
REFUSED: Final = "refused"
USED_AGAIN_S: Final = 86_400.0
"""An asset in use is stamped once in this time, not at every look."""
LISTED_MAX: Final = 200
FORGOTTEN_MAX: Final = 200
"""Rows that one call forgets."""
ROWS_IN_MEMORY_MAX: Final = 65_536


class AssetRow(msgspec.Struct, frozen=True, kw_only=True):
    """One asset. Its times are seconds since 1970; the database sets them when it is written."""

    digest: str
    media_type: str
    size_bytes: int
    uploader: uuid.UUID | None
    state: str
    sentence: str = ""
    meta: dict[str, Any] = msgspec.field(default_factory=dict[str, Any])
    created_at: float = 0.0
    last_used_at: float = 0.0


class AssetRecords(Protocol):
    """The table of assets, in a database or in memory."""

    async def find(self, digest: str) -> AssetRow | None:
        """The row of a hash."""
        ...

    async def record(self, row: AssetRow) -> None:
        """Write a row; one of the same hash that is ready stays as it is. Durable on return."""
        ...

    async def held(self) -> Sequence[AssetRow]:
        """What waits for a moderator, the oldest first, at most LISTED_MAX."""
        ...

    async def decide(self, row: AssetRow, actor: uuid.UUID) -> None:
        """Write what a moderator made of a row that is held, with its row of the audit log; one
        that is not held stays as it is. Durable on return."""
        ...

    async def touch(self, digest: str) -> bool:
        """It is used now; False when it is not there, or not ready."""
        ...

    async def with_files_among(self, digests: Sequence[str]) -> frozenset[str]:
        """Those of the hashes whose files are kept: assets that are ready, or held."""
        ...

    async def of_account(
        self, account: uuid.UUID, after: str = "", count: int = LISTED_MAX
    ) -> Sequence[AssetRow]:
        """What an account has uploaded, by hash, from the one behind `after` on."""
        ...

    async def bytes_of_account(self, account: uuid.UUID) -> int:
        """How much an account has uploaded."""
        ...

    async def mark_used(self) -> int:
        """Stamp what entities name; returns how many were stamped."""
        ...

    async def forget(self, unused_s: float) -> Sequence[str]:
        """Remove rows that were not used for as long; the hashes of some, empty when none is left.
        """
        ...


_COLUMNS: Final = """
    encode(hash, 'hex'), media_type, size_bytes, uploader, state, coalesce(sentence, ''),
    meta::text, extract(epoch FROM created_at)::float8, extract(epoch FROM last_used_at)::float8
"""
_FIND: Final = text(f"SELECT {_COLUMNS} FROM asset WHERE hash = :hash")
_HELD: Final = text(f"""
    SELECT {_COLUMNS} FROM asset WHERE state = 'pending' ORDER BY created_at, hash LIMIT :count
""")
_DECIDE: Final = text("""
    UPDATE asset SET state = :state, sentence = nullif(:sentence, ''), meta = CAST(:meta AS jsonb),
        last_used_at = now()
    WHERE hash = :hash AND state = 'pending'
""")
_OF_ACCOUNT: Final = text(f"""
    SELECT {_COLUMNS} FROM asset WHERE uploader = :account AND hash > :after
    ORDER BY hash LIMIT :count
""")
_RECORD: Final = text("""
    INSERT INTO asset (hash, media_type, size_bytes, uploader, state, sentence, meta)
    VALUES (:hash, :media_type, :size_bytes, :uploader, :state, nullif(:sentence, ''),
        CAST(:meta AS jsonb))
    ON CONFLICT (hash) DO UPDATE SET
        media_type = excluded.media_type, size_bytes = excluded.size_bytes,
        uploader = excluded.uploader, state = excluded.state, sentence = excluded.sentence,
        meta = excluded.meta, created_at = now(), last_used_at = now()
    WHERE asset.state <> 'ready'
""")
_TOUCH: Final = text("""
    UPDATE asset SET last_used_at = now() WHERE hash = :hash AND state = 'ready' RETURNING 1
""")
_WITH_FILES_AMONG: Final = text("""
    SELECT encode(hash, 'hex') FROM asset
    WHERE hash = ANY(:hashes) AND state <> 'refused'
""")
_BYTES: Final = text("""
    SELECT coalesce(sum(size_bytes), 0)::bigint FROM asset
    WHERE uploader = :account AND state <> 'refused'
""")
_MARK: Final = text("""
    UPDATE asset SET last_used_at = now()
    WHERE last_used_at < now() - make_interval(secs => :again_s) AND hash IN (
        SELECT DISTINCT model_hash FROM entity WHERE model_hash IS NOT NULL)
""")
# Once more whether an entity names it: one may have come since the last stamps.
_FORGET: Final = text("""
    DELETE FROM asset WHERE hash IN (
        SELECT hash FROM asset
        WHERE last_used_at < now() - make_interval(secs => :unused_s) AND NOT EXISTS (
            SELECT 1 FROM entity WHERE entity.model_hash = asset.hash)
        ORDER BY hash LIMIT :count FOR UPDATE SKIP LOCKED)
    RETURNING encode(hash, 'hex')
""")


class SqlAssetRecords:
    """`AssetRecords` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, digest: str) -> AssetRow | None:
        rows = await self._database.tx(_rows, _FIND, hash=bytes.fromhex(digest))
        return rows[0] if rows else None

    async def record(self, row: AssetRow) -> None:
        await settled(
            self._database, _execute, _RECORD,
            hash=bytes.fromhex(row.digest), media_type=row.media_type,
            size_bytes=row.size_bytes, uploader=row.uploader, state=row.state,
            sentence=row.sentence, meta=msgspec.json.encode(row.meta).decode(),
        )

    async def held(self) -> Sequence[AssetRow]:
        return await self._database.tx(_rows, _HELD, count=LISTED_MAX)

    async def decide(self, row: AssetRow, actor: uuid.UUID) -> None:
        await settled(self._database, _decide, row, actor)

    async def touch(self, digest: str) -> bool:
        return await self._database.tx(_execute, _TOUCH, hash=bytes.fromhex(digest)) > 0

    async def with_files_among(self, digests: Sequence[str]) -> frozenset[str]:
        hashes = [bytes.fromhex(digest) for digest in digests]
        return frozenset(await self._database.tx(_words, _WITH_FILES_AMONG, hashes=hashes))

    async def of_account(
        self, account: uuid.UUID, after: str = "", count: int = LISTED_MAX
    ) -> Sequence[AssetRow]:
        return await self._database.tx(
            _rows, _OF_ACCOUNT, account=account, after=bytes.fromhex(after),
            count=min(count, LISTED_MAX),
        )

    async def bytes_of_account(self, account: uuid.UUID) -> int:
        return await self._database.tx(_number, _BYTES, account=account)

    async def mark_used(self) -> int:
        return await self._database.tx(_execute, _MARK, again_s=USED_AGAIN_S)

    async def forget(self, unused_s: float) -> Sequence[str]:
        return await self._database.tx(
            _words, _FORGET, unused_s=unused_s, count=FORGOTTEN_MAX
        )


async def _rows(
    connection: AsyncConnection, statement: TextClause, **values: object
) -> list[AssetRow]:
    found = await connection.execute(statement, values)
    return [
        AssetRow(
            digest=digest, media_type=media_type, size_bytes=size_bytes, uploader=uploader,
            state=state, sentence=sentence, meta=msgspec.json.decode(meta, type=dict[str, Any]),
            created_at=created_at, last_used_at=last_used_at,
        )
        for (digest, media_type, size_bytes, uploader, state, sentence, meta, created_at,
             last_used_at) in found
    ]


async def _execute(connection: AsyncConnection, statement: TextClause, **values: object) -> int:
    done = await connection.execute(statement, values)
    return done.rowcount


async def _decide(connection: AsyncConnection, row: AssetRow, actor: uuid.UUID) -> None:
    """Asked twice, it finds nothing that is held, and writes nothing."""
    if await _execute(
        connection, _DECIDE, hash=bytes.fromhex(row.digest), state=row.state,
        sentence=row.sentence, meta=msgspec.json.encode(row.meta).decode(),
    ):
        await write_audit(connection, AuditRow(
            str(actor), "asset.decide", "asset", row.digest,
            data={"state": row.state,
                  "uploader": None if row.uploader is None else str(row.uploader)},
        ))


async def _number(connection: AsyncConnection, statement: TextClause, **values: object) -> int:
    return int((await connection.execute(statement, values)).scalar_one())


async def _words(
    connection: AsyncConnection, statement: TextClause, **values: object
) -> list[str]:
    return [str(word) for word in (await connection.execute(statement, values)).scalars()]


class MemoryAssetRecords:
    """`AssetRecords` that end with the process, on trio's clock.

    It knows no entities, so it cannot say that something is not in use: it forgets only what was
    refused.
    """

    def __init__(self) -> None:
        self._rows: dict[str, AssetRow] = {}

    async def find(self, digest: str) -> AssetRow | None:
        await trio.lowlevel.checkpoint()
        return self._rows.get(digest)

    async def record(self, row: AssetRow) -> None:
        await trio.lowlevel.checkpoint()
        known = self._rows.get(row.digest)
        if known is not None and known.state == READY:
            return
        if len(self._rows) >= ROWS_IN_MEMORY_MAX:
            raise Unavailable("there is no room for more assets in memory")
        now = trio.current_time()
        self._rows.pop(row.digest, None)
        self._rows[row.digest] = msgspec.structs.replace(row, created_at=now, last_used_at=now)

    async def held(self) -> Sequence[AssetRow]:
        await trio.lowlevel.checkpoint()
        found = [row for row in self._rows.values() if row.state == HELD]
        return sorted(found, key=lambda row: (row.created_at, row.digest))[:LISTED_MAX]

    async def decide(self, row: AssetRow, actor: uuid.UUID) -> None:
        await trio.lowlevel.checkpoint()
        known = self._rows.get(row.digest)
        if known is not None and known.state == HELD:
            self._rows[row.digest] = msgspec.structs.replace(
                row, last_used_at=trio.current_time()
            )

    async def touch(self, digest: str) -> bool:
        await trio.lowlevel.checkpoint()
        row = self._rows.get(digest)
        if row is None or row.state != READY:
            return False
        self._rows[digest] = msgspec.structs.replace(row, last_used_at=trio.current_time())
        return True

    async def with_files_among(self, digests: Sequence[str]) -> frozenset[str]:
        await trio.lowlevel.checkpoint()
        rows = (self._rows.get(digest) for digest in digests)
        return frozenset(row.digest for row in rows if row is not None and row.state != REFUSED)

    async def of_account(
        self, account: uuid.UUID, after: str = "", count: int = LISTED_MAX
    ) -> Sequence[AssetRow]:
        await trio.lowlevel.checkpoint()
        found = [row for row in self._rows.values() if row.uploader == account]
        found.sort(key=lambda row: row.digest)
        return [row for row in found if row.digest > after][: min(count, LISTED_MAX)]

    async def bytes_of_account(self, account: uuid.UUID) -> int:
        await trio.lowlevel.checkpoint()
        return sum(
            row.size_bytes
            for row in self._rows.values()
            if row.uploader == account and row.state != REFUSED
        )

    async def mark_used(self) -> int:
        await trio.lowlevel.checkpoint()
        return 0

    async def forget(self, unused_s: float) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        before = trio.current_time() - unused_s
        old = [
            row.digest
            for row in self._rows.values()
            if row.state == REFUSED and row.last_used_at < before
        ]
        for digest in old[:FORGOTTEN_MAX]:
            del self._rows[digest]
        return old[:FORGOTTEN_MAX]
