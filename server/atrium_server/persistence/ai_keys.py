"""Keys of apps, with which they ask the models of a server: as rows, in Postgres and in memory.

A key belongs to an account, goes with it, and may do no more than the quotas in its row; those are
counted by who serves requests. Only the SHA-256 of a key is kept, so whoever reads the database
cannot use one. A revoked key stays for a while, so that its owner sees that it is, and is then
forgotten (`forget`); when one was last used is written now and then, many keys at once.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import msgspec
import trio
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.audit_rows import AuditRow, write_audit
from atrium_server.persistence.database import Database
from atrium_server.persistence.errors import Refused
from atrium_server.persistence.settled import settled
from atrium_server.persistence.sql_deeds import plain
from atrium_shared.limits import AI_KEY_NAME_CHARS_MAX, AI_KEYS_MAX, AI_ROWS_PER_DAY_MAX

KEPT_MAX: Final = 10_000
"""Keys in memory."""
_HASH_BYTES: Final = 32


class NewKey(msgspec.Struct, frozen=True):
    """A key that somebody makes."""

    id: uuid.UUID
    key_hash: bytes
    owner: uuid.UUID
    name: str
    rows_per_minute: int
    rows_per_day: int


class KeyRow(msgspec.Struct, frozen=True):
    """A key, as it is kept."""

    key: NewKey
    created_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


class KeyStore(Protocol):
    """What is asked of a store. What changes something returns when it is on disk. Every call may
    raise Unavailable."""

    async def create(self, key: NewKey) -> bool:
        """Keep a key; False when it was kept before. Raises Refused: there is no such account, or
        it has too many keys."""
        ...

    async def find(self, key_hash: bytes) -> KeyRow | None:
        """The key of a hash, if it may be used."""
        ...

    async def of(self, owner: uuid.UUID) -> list[KeyRow]:
        """All keys of an account, the revoked ones too, oldest first."""
        ...

    async def revoke(self, id: uuid.UUID, owner: uuid.UUID | None, actor: str) -> bool:
        """End a key, of this account if one is named; False when there is none in use."""
        ...

    async def used(self, at: Mapping[uuid.UUID, datetime]) -> None:
        """Note when keys were used; an earlier time than is known changes nothing."""
        ...

    async def forget(self, kept_s: float, rows_max: int) -> int:
        """Remove keys that were revoked so long ago; how many."""
        ...


def check_key(key: NewKey) -> None:
    """Raise Refused with a sentence when this cannot be kept."""
    if len(key.key_hash) != _HASH_BYTES:
        raise ValueError("a key is kept by its SHA-256")
    if not 1 <= len(key.name) <= AI_KEY_NAME_CHARS_MAX:
        raise Refused(f"A key needs a name of 1 to {AI_KEY_NAME_CHARS_MAX} letters.")
    if not key.name.isprintable():
        raise Refused("The name of a key is one line of letters that can be seen.")
    if not 1 <= key.rows_per_minute <= key.rows_per_day <= AI_ROWS_PER_DAY_MAX:
        raise Refused(
            "A key may ask at least 1 row a minute, and not more in a minute than in a day or"
            f" {AI_ROWS_PER_DAY_MAX:,} in a day."
        )


TOO_MANY: Final = f"An account has at most {AI_KEYS_MAX} keys: revoke one first."
NO_ACCOUNT: Final = "There is no such account."

_COLUMNS: Final = """k.id, k.key_hash, k.owner_account, k.name, k.rows_per_minute, k.rows_per_day,
    k.created_at, k.last_used_at, k.revoked_at"""
_OWNER: Final = text("SELECT 1 FROM account WHERE id = :owner AND status = 'active' FOR UPDATE")
_IS_THERE: Final = text("SELECT 1 FROM ai_key WHERE id = :id")
_COUNT: Final = text("""
    SELECT count(*) FROM ai_key WHERE owner_account = :owner AND revoked_at IS NULL
""")
_CREATE: Final = text("""
    INSERT INTO ai_key (id, key_hash, owner_account, name, rows_per_minute, rows_per_day)
    VALUES (:id, :key_hash, :owner, :name, :rows_per_minute, :rows_per_day)
""")
_FIND: Final = text(f"""
    SELECT {_COLUMNS} FROM ai_key k JOIN account a ON a.id = k.owner_account
    WHERE k.key_hash = :key_hash AND k.revoked_at IS NULL AND a.status = 'active'
""")
_OF: Final = text(f"""
    SELECT {_COLUMNS} FROM ai_key k WHERE k.owner_account = :owner
    ORDER BY k.created_at, k.id LIMIT :most
""")
_REVOKE: Final = text("""
    UPDATE ai_key SET revoked_at = now()
    WHERE id = :id AND revoked_at IS NULL
        AND (CAST(:owner AS uuid) IS NULL OR owner_account = :owner)
    RETURNING owner_account
""")
_USED: Final = text("""
    UPDATE ai_key k SET last_used_at = greatest(k.last_used_at, u.at)
    FROM unnest(CAST(:ids AS uuid[]), CAST(:times AS timestamptz[])) AS u (id, at)
    WHERE k.id = u.id
""")
_FORGET: Final = text("""
    DELETE FROM ai_key WHERE id IN (
        SELECT id FROM ai_key WHERE revoked_at < now() - make_interval(secs => :kept_s)
        LIMIT :most)
    RETURNING 1
""")
_ASKED_MAX: Final = 1_000


class SqlKeys:
    """A `KeyStore` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def create(self, key: NewKey) -> bool:
        check_key(key)
        return await settled(self._database, _create, key)

    async def find(self, key_hash: bytes) -> KeyRow | None:
        found = await self._ask(_FIND, key_hash=key_hash)
        return _row(found[0]) if found else None

    async def of(self, owner: uuid.UUID) -> list[KeyRow]:
        return [_row(each) for each in await self._ask(_OF, owner=owner, most=_ASKED_MAX)]

    async def revoke(self, id: uuid.UUID, owner: uuid.UUID | None, actor: str) -> bool:
        return await settled(self._database, _revoke, {"id": id, "owner": owner}, actor)

    async def used(self, at: Mapping[uuid.UUID, datetime]) -> None:
        await self._database.tx(_execute, _USED, {"ids": [*at], "times": [*at.values()]})

    async def forget(self, kept_s: float, rows_max: int) -> int:
        return len(await self._ask(_FORGET, kept_s=kept_s, most=rows_max))

    async def _ask(self, question: TextClause, **values: object) -> list[Any]:
        return await self._database.tx(_answer, question, values)


async def _answer(
    connection: AsyncConnection, question: TextClause, values: Mapping[str, object]
) -> list[Any]:
    return list((await connection.execute(question, values)).all())


async def _execute(
    connection: AsyncConnection, statement: TextClause, values: Mapping[str, object]
) -> None:
    await connection.execute(statement, values)


async def _create(connection: AsyncConnection, key: NewKey) -> bool:
    """The row of the owner is the lock: two keys that are made at once are counted both."""
    if not await _answer(connection, _OWNER, {"owner": key.owner}):
        raise Refused(NO_ACCOUNT)
    if await _answer(connection, _IS_THERE, {"id": key.id}):
        return False
    if (await _answer(connection, _COUNT, {"owner": key.owner}))[0][0] >= AI_KEYS_MAX:
        raise Refused(TOO_MANY)
    await connection.execute(_CREATE, msgspec.structs.asdict(key))
    await write_audit(connection, AuditRow(
        str(key.owner), "ai_key.create", "account", str(key.owner), str(key.id),
        {"key": str(key.id)},
    ))
    return True


async def _revoke(connection: AsyncConnection, values: Mapping[str, object], actor: str) -> bool:
    found = await _answer(connection, _REVOKE, values)
    if found:
        await write_audit(connection, AuditRow(
            actor, "ai_key.revoke", "account", str(found[0][0]), data={"key": str(values["id"])},
        ))
    return bool(found)


def _row(found: Any) -> KeyRow:
    id, key_hash, owner, name, per_minute, per_day, *times = found
    key = NewKey(plain(id), bytes(key_hash), plain(owner), name, per_minute, per_day)
    return KeyRow(key, *times)


class MemoryKeys:
    """A `KeyStore` in memory, for --ephemeral and for tests. `clock` gives seconds since 1970;
    whether an account is there is asked of `is_account`."""

    def __init__(
        self, clock: Callable[[], float], is_account: Callable[[uuid.UUID], bool] = lambda _: True
    ) -> None:
        self._clock = clock
        self._is_account = is_account
        self._keys: dict[uuid.UUID, KeyRow] = {}

    async def create(self, key: NewKey) -> bool:
        check_key(key)
        await trio.lowlevel.checkpoint()
        if not self._is_account(key.owner):
            raise Refused(NO_ACCOUNT)
        if key.id in self._keys:
            return False
        mine = [row for row in self._keys.values()
                if row.key.owner == key.owner and row.revoked_at is None]
        if len(mine) >= AI_KEYS_MAX or len(self._keys) >= KEPT_MAX:
            raise Refused(TOO_MANY)
        self._keys[key.id] = KeyRow(key, self._now())
        return True

    async def find(self, key_hash: bytes) -> KeyRow | None:
        await trio.lowlevel.checkpoint()
        return next((
            row for row in self._keys.values() if row.key.key_hash == key_hash
            and row.revoked_at is None and self._is_account(row.key.owner)
        ), None)

    async def of(self, owner: uuid.UUID) -> list[KeyRow]:
        await trio.lowlevel.checkpoint()
        return [row for row in self._keys.values() if row.key.owner == owner]

    async def revoke(self, id: uuid.UUID, owner: uuid.UUID | None, actor: str) -> bool:
        await trio.lowlevel.checkpoint()
        row = self._keys.get(id)
        if row is None or row.revoked_at is not None or owner not in (None, row.key.owner):
            return False
        self._keys[id] = msgspec.structs.replace(row, revoked_at=self._now())
        return True

    async def used(self, at: Mapping[uuid.UUID, datetime]) -> None:
        await trio.lowlevel.checkpoint()
        for id, moment in at.items():
            row = self._keys.get(id)
            if row is not None and (row.last_used_at is None or row.last_used_at < moment):
                self._keys[id] = msgspec.structs.replace(row, last_used_at=moment)

    async def forget(self, kept_s: float, rows_max: int) -> int:
        await trio.lowlevel.checkpoint()
        before = self._now() - timedelta(seconds=kept_s)
        old = [id for id, row in self._keys.items()
               if row.revoked_at is not None and row.revoked_at < before][:rows_max]
        for id in old:
            del self._keys[id]
        return len(old)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC)
