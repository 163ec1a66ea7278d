"""Accounts in Postgres.

Theory of operation
-------------------
Each method is one transaction, whose last statement writes the audit row: the head of that log
is locked from there until the commit, so nothing slow comes after it.

Who comes first is decided by the database alone. Two sign-ups of one handle meet in the unique
index of `handle_key`, two exchanges of one token in the row of the sign-in (`sql_sign_ins`).

A sign-in that ended keeps its row for a while (`purge`): its address says from where its owner
usually comes, and it can be exported. Sign-ins, grants, sessions and inventory go with the
account's row; what else names a person is taken care of in `account_erasure`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence import account_erasure, sql_sign_ins
from atrium_server.persistence.accounts import (
    ACTOR_CLI,
    ACTOR_SERVER,
    AccountRow,
    Ask,
    Exchange,
    ExportKind,
    ExportPage,
    GrantRow,
    Held,
    NewAccount,
    NewSignIn,
    RoleRow,
    Rotated,
    SignInRow,
)
from atrium_server.persistence.audit_rows import AuditRow, write_audit
from atrium_server.persistence.database import Database, sqlstate
from atrium_server.persistence.errors import Refused
from atrium_server.persistence.schema import uuid7
from atrium_server.persistence.sql_deeds import about, change, count, plain

UNIQUE_VIOLATION: Final = "23505"

_ACCOUNT: Final = """
    SELECT id, handle, handle_key, password_hash, status, created_at, password_changed_at,
        last_seen_at, prefs::text FROM account
"""
_BY_ID: Final = text(_ACCOUNT + "WHERE id = :id")
_BY_KEY: Final = text(_ACCOUNT + "WHERE handle_key = :key")
_AFTER_KEY: Final = text(_ACCOUNT + "WHERE handle_key > :key ORDER BY handle_key LIMIT :most")
_CREATE: Final = text("""
    INSERT INTO account (id, handle, handle_key, password_hash)
    VALUES (:id, :handle, :key, :hash) ON CONFLICT (handle_key) DO NOTHING RETURNING id
""")
_RENAME: Final = text("""
    UPDATE account SET handle = :handle, handle_key = :key
    WHERE id = :id AND status = 'active'
        AND NOT EXISTS (SELECT FROM account a WHERE a.handle_key = :key AND a.id <> :id)
    RETURNING id
""")
_SET_PREFS: Final = text("""
    UPDATE account SET prefs = CAST(:prefs AS jsonb) WHERE id = :id RETURNING id
""")
_SET_PASSWORD: Final = text("""
    UPDATE account SET password_hash = :hash, password_changed_at = now()
    WHERE id = :id AND status <> 'deleting' RETURNING id
""")
_REHASH: Final = text("""
    UPDATE account SET password_hash = :new WHERE id = :id AND password_hash = :old RETURNING id
""")
_KNOWS: Final = text("""
    SELECT 1 FROM sign_in WHERE account_id = :id AND address = CAST(:address AS inet) LIMIT 1
""")

_ROLES: Final = text("SELECT name, permissions FROM role ORDER BY name")
_SEED: Final = text("""
    INSERT INTO role (id, name, permissions) VALUES (:id, :name, CAST(:words AS text[]))
    ON CONFLICT (name) DO UPDATE SET permissions = excluded.permissions
    WHERE role.permissions IS DISTINCT FROM excluded.permissions
    RETURNING id
""")
_GRANTS: Final = text("""
    SELECT r.name, coalesce(w.slug, ''), g.granted_at FROM role_grant g
    JOIN role r ON r.id = g.role_id LEFT JOIN world w ON w.id = g.world_id
    WHERE g.account_id = :account ORDER BY 1, 2
""")
_WHAT: Final = text("""
    SELECT (SELECT id FROM account WHERE id = :account AND status <> 'deleting' FOR KEY SHARE),
        (SELECT id FROM role WHERE name = :role), (SELECT id FROM world WHERE slug = :world)
""")
_GRANT: Final = text("""
    INSERT INTO role_grant (id, account_id, role_id, world_id, granted_by)
    VALUES (:id, :account, :role, CAST(:world AS bigint),
        (SELECT id FROM account WHERE id = CAST(:by AS uuid)))
    ON CONFLICT DO NOTHING RETURNING id
""")
_REVOKE: Final = text("""
    DELETE FROM role_grant g USING role r
    WHERE r.id = g.role_id AND g.account_id = :account AND r.name = :role
        AND g.world_id IS NOT DISTINCT FROM (SELECT id FROM world WHERE slug = :world)
        AND (:world = '' OR g.world_id IS NOT NULL)
    RETURNING g.id
""")


class SqlAccounts:
    """An `accounts.AccountStore` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def seed_roles(self, roles: Mapping[str, frozenset[str]]) -> None:
        await self._database.tx(_seed_roles, roles)

    async def roles(self) -> list[RoleRow]:
        return await self._database.tx(_roles)

    async def create_account(self, new: NewAccount, actor: str) -> bool:
        return await self._database.tx(_create_account, new, actor)

    async def account(self, account: uuid.UUID) -> AccountRow | None:
        return await self._database.tx(_account, _BY_ID, {"id": account})

    async def account_by_key(self, handle_key: str) -> AccountRow | None:
        return await self._database.tx(_account, _BY_KEY, {"key": handle_key})

    async def accounts(self, after_key: str, rows_max: int) -> list[AccountRow]:
        return await self._database.tx(_accounts, {"key": after_key, "most": rows_max})

    async def knows_address(self, account: uuid.UUID, address: str) -> bool:
        return bool(await self._database.tx(count, _KNOWS, {"id": account, "address": address}))

    async def rename(self, account: uuid.UUID, handle: str, handle_key: str) -> bool:
        values = {"id": account, "handle": handle, "key": handle_key}
        deed = about(str(account), "account.rename", account)
        try:
            return bool(await self._database.tx(change, _RENAME, values, deed))
        except Refused as error:
            if sqlstate(error) != UNIQUE_VIOLATION:
                raise
            return False  # somebody took it in the same moment

    async def set_prefs(self, account: uuid.UUID, prefs: bytes) -> None:
        values = {"id": account, "prefs": prefs.decode()}
        await self._database.tx(count, _SET_PREFS, values)

    async def set_password(
        self, account: uuid.UUID, password_hash: str, keep: uuid.UUID | None, actor: str
    ) -> bool:
        values = {"id": account, "hash": password_hash, "account": account, "but": keep}
        return await self._database.tx(_set_password, values, actor)

    async def rehash(self, account: uuid.UUID, old_hash: str, new_hash: str) -> None:
        values = {"id": account, "old": old_hash, "new": new_hash}
        deed = about(ACTOR_SERVER, "account.rehash", account)
        await self._database.tx(change, _REHASH, values, deed)

    async def sign_in(self, new: NewSignIn, newest_max: int) -> bool:
        return await self._database.tx(sql_sign_ins.sign_in, new, newest_max)

    async def held(self, asks: Sequence[Ask]) -> list[Held | None]:
        return await self._database.tx(sql_sign_ins.held, [*asks])

    async def rotate(self, exchange: Exchange) -> Rotated | None:
        return await self._database.tx(sql_sign_ins.rotate, exchange)

    async def end_sign_in(self, sign_in: uuid.UUID, actor: str) -> bool:
        deed = AuditRow(actor, "sign_in.end", "sign_in", str(sign_in))
        return bool(await self._database.tx(change, sql_sign_ins.END, {"id": sign_in}, deed))

    async def end_sign_ins(self, account: uuid.UUID, actor: str) -> int:
        deed = about(actor, "sign_in.end_all", account)
        values = {"account": account, "but": None}
        return await self._database.tx(change, sql_sign_ins.END_ALL, values, deed)

    async def sign_ins(self, account: uuid.UUID) -> list[SignInRow]:
        return await self._database.tx(sql_sign_ins.sign_ins, account)

    async def purge(self, kept_s: float, rows_max: int) -> int:
        values = {"kept_s": kept_s, "most": rows_max}
        deed = AuditRow(ACTOR_SERVER, "sign_in.purge", "sign_in", "*")
        return await self._database.tx(change, sql_sign_ins.PURGE, values, deed)

    async def grants(self, account: uuid.UUID) -> list[GrantRow]:
        return await self._database.tx(_grants, account)

    async def grant(self, account: uuid.UUID, role: str, world: str, actor: str) -> bool:
        return await self._database.tx(_grant, account, role, world, actor)

    async def revoke(self, account: uuid.UUID, role: str, world: str, actor: str) -> bool:
        values = {"account": account, "role": role, "world": world}
        deed = about(actor, "role.revoke", account, role=role, world=world)
        return bool(await self._database.tx(change, _REVOKE, values, deed))

    async def export_page(
        self, account: uuid.UUID, kind: ExportKind, after: str | None
    ) -> ExportPage:
        return await self._database.tx(account_erasure.export_page, account, kind, after)

    async def begin_deletion(self, account: uuid.UUID, actor: str) -> bool:
        return await self._database.tx(_begin_deletion, account, actor)

    async def erase_some(self, account: uuid.UUID) -> bool:
        return await self._database.tx(account_erasure.erase_some, account)

    async def finish_deletion(self, account: uuid.UUID) -> None:
        deed = about(ACTOR_SERVER, "account.deleted", account)
        await self._database.tx(change, account_erasure.REMOVE, {"account": account}, deed)

    async def deleting(self, rows_max: int) -> list[uuid.UUID]:
        return await self._database.tx(_deleting, rows_max)


# --- accounts ----------------------------------------------------------------------------


def _row(found: Sequence[Any]) -> AccountRow:
    known: tuple[Any, ...] = (plain(found[0]), *found[1:8], found[8].encode())
    return AccountRow(*known)


async def _account(
    connection: AsyncConnection, statement: Any, values: dict[str, Any]
) -> AccountRow | None:
    found = (await connection.execute(statement, values)).first()
    return None if found is None else _row(found)


async def _accounts(connection: AsyncConnection, values: dict[str, Any]) -> list[AccountRow]:
    return [_row(found) for found in await connection.execute(_AFTER_KEY, values)]


async def _create_account(connection: AsyncConnection, new: NewAccount, actor: str) -> bool:
    values = {"id": new.id, "handle": new.handle, "key": new.handle_key,
              "hash": new.password_hash}
    if not await count(connection, _CREATE, values):
        return False
    for role in new.roles:
        await _give(connection, new.id, role, "", None)
    by = actor or str(new.id)
    await write_audit(connection, about(by, "account.create", new.id, roles=[*new.roles]))
    return True


async def _set_password(
    connection: AsyncConnection, values: dict[str, Any], actor: str
) -> bool:
    if not await count(connection, _SET_PASSWORD, values):
        return False
    await count(connection, sql_sign_ins.END_ALL, values)
    await write_audit(connection, about(actor, "account.password", values["id"]))
    return True


async def _begin_deletion(connection: AsyncConnection, account: uuid.UUID, actor: str) -> bool:
    values = {"account": account, "but": None, "mark": account.hex}
    if not await count(connection, account_erasure.BEGIN, values):
        return False
    await count(connection, sql_sign_ins.END_ALL, values)
    await write_audit(connection, about(actor, "account.delete", account))
    return True


async def _deleting(connection: AsyncConnection, rows_max: int) -> list[uuid.UUID]:
    found = await connection.execute(account_erasure.BEGUN, {"most": rows_max})
    return [plain(each) for each in found.scalars()]


# --- roles -------------------------------------------------------------------------------


async def _seed_roles(
    connection: AsyncConnection, roles: Mapping[str, frozenset[str]]
) -> None:
    unix_s = time.time()
    changed: list[str] = []
    for name in sorted(roles):
        values = {"id": uuid7(unix_s), "name": name, "words": sorted(roles[name])}
        if await count(connection, _SEED, values):
            changed.append(name)
    if changed:
        row = AuditRow(ACTOR_SERVER, "role.seed", "role", "*", data={"roles": changed})
        await write_audit(connection, row)


async def _roles(connection: AsyncConnection) -> list[RoleRow]:
    return [RoleRow(name, frozenset(words))
            for name, words in await connection.execute(_ROLES)]


async def _grants(connection: AsyncConnection, account: uuid.UUID) -> list[GrantRow]:
    return [GrantRow(*row) for row in await connection.execute(_GRANTS, {"account": account})]


async def _give(
    connection: AsyncConnection, account: uuid.UUID, role: str, world: str, by: str | None
) -> bool:
    values: dict[str, Any] = {"account": account, "role": role, "world": world}
    found: Any = (await connection.execute(_WHAT, values)).one()
    if found[0] is None:
        raise Refused("There is no such account.")
    if found[1] is None:
        raise Refused(f"There is no role {role!r}.")
    if world and found[2] is None:
        raise Refused(f"There is no world {world!r}.")
    values = {"id": uuid7(time.time()), "account": account, "role": found[1],
              "world": found[2] if world else None, "by": by}
    return bool(await count(connection, _GRANT, values))


async def _grant(
    connection: AsyncConnection, account: uuid.UUID, role: str, world: str, actor: str
) -> bool:
    by = None if actor in {ACTOR_SERVER, ACTOR_CLI} else actor
    given = await _give(connection, account, role, world, by)
    if given:
        await write_audit(
            connection, about(actor, "role.grant", account, role=role, world=world)
        )
    return given
