"""What is kept about a person: told to them in pages, and taken away when they leave.

Theory of operation
-------------------
Somebody may have written a million lines, and no statement may run for longer than a moment. So
both are done in pages, each a transaction of its own.

A deletion has three steps. `BEGIN` takes the handle, the password, the preferences and all
sign-ins at once, so that from then on the account is nobody's and its name is free. `erase_some`
is called until there is nothing left to do. `REMOVE` takes the row. A process that ends in
between leaves an account with the status `deleting`, and the next one goes on.

Table by table:

=================  ==========================================================================
sign_in, session,  go with the account (CASCADE), as do inventory, avatar_pose, role_grant and
...                what characters remember about the person
chat               lines to all stay, without name and account; direct lines that the person
                   wrote are removed; those that others wrote to them lose the recipient
world_edit         stays without the actor: the history of a world must be whole
entity             stays without owner: what was built is part of the world
asset, world       stay without uploader and owner (SET NULL)
moderation_case    stays for its own time without the link (SET NULL) and without the name
ban, audit_log,    keep the id of an account that is gone, which names nobody; the last two
item_ledger        cannot be changed by anyone
=================  ==========================================================================
"""

from __future__ import annotations

import uuid
from typing import Any, Final

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.accounts import NOBODY, PAGE_ROWS_MAX, ExportKind, ExportPage

BEGIN: Final = text("""
    UPDATE account SET status = 'deleting', handle = 'deleted-' || :mark,
        handle_key = 'deleted-' || :mark, password_hash = '', prefs = '{}'::jsonb,
        last_seen_at = NULL
    WHERE id = :account AND status <> 'deleting' RETURNING id
""")
"""The key has a character that no folded handle has."""
BEGUN: Final = text("SELECT id FROM account WHERE status = 'deleting' ORDER BY id LIMIT :most")
REMOVE: Final = text("""
    DELETE FROM account WHERE id = :account AND status = 'deleting' RETURNING id
""")

_NEXT_WORLD: Final = "SELECT min(world_id) FROM {table} WHERE world_id > :after"
_OF_WORLDS: Final = (
    ("world_edit", "actor"),
    ("entity", "owner_account"),
    ("entity", "changed_by"),
)
_FORGET: Final = """
    UPDATE {table} SET {column} = NULL WHERE id IN (
        SELECT id FROM {table} WHERE world_id = :world AND {column} = :account
        LIMIT :most FOR UPDATE)
    RETURNING 1
"""
_ERASE: Final = tuple(text(statement) for statement in (
    """
    DELETE FROM chat WHERE (at, id) IN (
        SELECT at, id FROM chat WHERE sender_account = :account AND channel = 'direct'
        LIMIT :most)
    RETURNING 1
    """,
    f"""
    UPDATE chat SET sender_account = NULL, sender_name = '{NOBODY}' WHERE (at, id) IN (
        SELECT at, id FROM chat WHERE sender_account = :account LIMIT :most)
    RETURNING 1
    """,
    """
    UPDATE chat SET recipient_account = NULL WHERE (at, id) IN (
        SELECT at, id FROM chat WHERE recipient_account = :account LIMIT :most)
    RETURNING 1
    """,
    """
    UPDATE moderation_case SET subject_name = '' WHERE id IN (
        SELECT id FROM moderation_case WHERE subject_account = :account AND subject_name <> ''
        LIMIT :most)
    RETURNING 1
    """,
))


async def erase_some(connection: AsyncConnection, account: uuid.UUID) -> bool:
    """One page of one table; False when all tables have been found clean."""
    values: dict[str, Any] = {"account": account, "most": PAGE_ROWS_MAX}
    for statement in _ERASE:
        if await _any(connection, statement, values):
            return True
    for table, column in _OF_WORLDS:
        forget = text(_FORGET.format(table=table, column=column))
        for world in await _worlds(connection, table):
            if await _any(connection, forget, {**values, "world": world}):
                return True
    return False


async def _any(
    connection: AsyncConnection, statement: TextClause, values: dict[str, Any]
) -> bool:
    return bool((await connection.execute(statement, values)).all())


async def _worlds(connection: AsyncConnection, table: str) -> list[int]:
    """The worlds that a table speaks of, from one to the next in its index."""
    found: list[int] = []
    after = -1
    statement = text(_NEXT_WORLD.format(table=table))
    while (world := (await connection.execute(statement, {"after": after})).scalar()) is not None:
        found.append(world)
        after = world
    return found


# --- export ------------------------------------------------------------------------------

_PAGES: Final[dict[ExportKind, str]] = {
    ExportKind.SIGN_INS: """
        SELECT s.id::text AS cursor, s.created_at, s.expires_at, s.last_seen_at, s.revoked_at,
            host(s.address) AS address, s.device, s.id
        FROM sign_in s WHERE s.account_id = :account AND s.id::text > :after
        ORDER BY s.id::text LIMIT :most""",
    ExportKind.GRANTS: """
        SELECT g.id::text AS cursor, r.name AS role, r.permissions, w.slug AS world, g.granted_at
        FROM role_grant g JOIN role r ON r.id = g.role_id LEFT JOIN world w ON w.id = g.world_id
        WHERE g.account_id = :account AND g.id::text > :after ORDER BY g.id::text LIMIT :most""",
    ExportKind.SESSIONS: """
        SELECT s.id::text AS cursor, s.id, w.slug AS world, s.state, s.client, s.started_at,
            s.ended_at, s.px, s.py, s.pz
        FROM session s JOIN world w ON w.id = s.world_id
        WHERE s.account_id = :account AND s.id::text > :after ORDER BY s.id::text LIMIT :most""",
    ExportKind.POSES: """
        SELECT lpad(p.world_id::text, 20, '0') AS cursor, w.slug AS world, p.px, p.py, p.pz,
            p.qx, p.qy, p.qz, p.qw, p.at
        FROM avatar_pose p JOIN world w ON w.id = p.world_id
        WHERE p.account_id = :account AND lpad(p.world_id::text, 20, '0') > :after
        ORDER BY 1 LIMIT :most""",
    ExportKind.INVENTORY: """
        SELECT i.id::text AS cursor, i.item_kind, i.quantity, i.slot, i.props
        FROM inventory v JOIN inventory_item i ON i.inventory_id = v.id
        WHERE v.account_id = :account AND i.id::text > :after ORDER BY i.id::text LIMIT :most""",
    ExportKind.CHAT_SENT: """
        SELECT {moment} || ' ' || c.id AS cursor, c.at, w.slug AS world, c.channel,
            c.sender_name, c.body, c.state
        FROM chat c LEFT JOIN world w ON w.id = c.world_id
        WHERE c.sender_account = :account AND (c.at, c.id) > ({after_at}, {after_id})
        ORDER BY c.at, c.id LIMIT :most""",
    ExportKind.CHAT_RECEIVED: """
        SELECT {moment} || ' ' || c.id AS cursor, c.at, w.slug AS world, c.channel,
            c.sender_name, c.body
        FROM chat c LEFT JOIN world w ON w.id = c.world_id
        WHERE c.recipient_account = :account AND c.state = 'published'
            AND (c.at, c.id) > ({after_at}, {after_id})
        ORDER BY c.at, c.id LIMIT :most""",
    ExportKind.EDITS: """
        SELECT {edited} || ' ' || e.id AS cursor, e.at, w.slug AS world, e.version, e.op,
            e.entity_id, e.before, e.after
        FROM world_edit e LEFT JOIN world w ON w.id = e.world_id
        WHERE e.world_id = :world AND e.actor = :account
            AND (e.at, e.id) > ({after_at}, {after_number})
        ORDER BY e.at, e.id LIMIT :most""",
    ExportKind.PROPS: """
        SELECT e.id::text AS cursor, e.id, w.slug AS world, e.kind, e.px, e.py, e.pz, e.props
        FROM entity e JOIN world w ON w.id = e.world_id
        WHERE e.owner_account = :account AND e.id > {after_uuid} ORDER BY e.id LIMIT :most""",
    ExportKind.ASSETS: """
        SELECT encode(a.hash, 'hex') AS cursor, encode(a.hash, 'hex') AS sha256, a.media_type,
            a.size_bytes, a.state, a.created_at
        FROM asset a WHERE a.uploader = :account AND encode(a.hash, 'hex') > :after
        ORDER BY 1 LIMIT :most""",
    ExportKind.MEMORIES: """
        SELECT m.id::text AS cursor, n.name AS character, m.at, m.kind, m.body
        FROM npc_memory m JOIN npc n ON n.id = m.npc_id
        WHERE m.about_account = :account AND m.id::text > :after
        ORDER BY m.id::text LIMIT :most""",
}
_PARTS: Final = {
    "moment": "to_char(c.at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24\\:MI\\:SS.US')",
    "edited": "to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24\\:MI\\:SS.US')",
    "after_at": "coalesce(nullif(left(:after, 26), '')::timestamp AT TIME ZONE 'UTC',"
                " '-infinity'::timestamptz)",
    "after_id": "coalesce(nullif(substr(:after, 28), '')::uuid,"
                " '00000000-0000-0000-0000-000000000000')",
    "after_number": "coalesce(nullif(substr(:after, 28), '')::bigint, 0)",
    "after_uuid": "coalesce(nullif(:after, '')::uuid, '00000000-0000-0000-0000-000000000000')",
}


def _statement(page: str) -> TextClause:
    for name, part in _PARTS.items():
        page = page.replace("{" + name + "}", part)
    return text(
        f"SELECT cursor, (to_jsonb(found) - 'cursor')::text FROM ({page}) found"
    )


_STATEMENTS: Final = {kind: _statement(page) for kind, page in _PAGES.items()}


async def export_page(
    connection: AsyncConnection, account: uuid.UUID, kind: ExportKind, after: str | None
) -> ExportPage:
    """The rows of a kind that follow `after`."""
    values = {"account": account, "after": after or "", "most": PAGE_ROWS_MAX}
    if kind is ExportKind.EDITS:
        return await _edits_page(connection, values)
    found = (await connection.execute(_STATEMENTS[kind], values)).all()
    more = found[-1][0] if len(found) == PAGE_ROWS_MAX else None
    return ExportPage(tuple(row[1].encode() for row in found), more)


async def _edits_page(connection: AsyncConnection, values: dict[str, Any]) -> ExportPage:
    """World by world, because that is how edits are indexed: `after` begins with the world."""
    last, _, place = values["after"].partition(" ")
    for world in await _worlds(connection, "world_edit"):
        if last and world < int(last):
            continue
        after = place if last and world == int(last) else ""
        found = (await connection.execute(
            _STATEMENTS[ExportKind.EDITS], {**values, "world": world, "after": after}
        )).all()
        if found:
            return ExportPage(tuple(row[1].encode() for row in found), f"{world} {found[-1][0]}")
    return ExportPage((), None)
