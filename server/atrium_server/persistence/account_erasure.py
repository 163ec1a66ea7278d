"""What is kept about a person: told to them in pages, and taken away when they leave.

Theory of operation
-------------------
Somebody may have written a million lines, and no statement may run for longer than a moment. So
both are done in pages, each a transaction of its own.

A deletion has three steps. `BEGIN` takes the handle, the password, the preferences and all
sign-ins at once, so that from then on the account is nobody's and its name is free. `erase_some`
is called until there is nothing left to do. `REMOVE` takes the row. A process that ends in
between leaves an account with the status `deleting`, and the next one goes on.

The contents of edits name the owners of props, and no index knows where: they are read through
from the first to the last, a slice at a time. How far that has come is kept in the preferences of
the account, which are empty by then.

Table by table:

=================  ==========================================================================
sign_in, session,  go with the account (CASCADE), as do inventory, avatar_pose, role_grant and
...                what characters remember about the person and the keys of its apps
feedback           goes with the account, with the texts that it was about
relation           goes with the account; what others do about the person goes as well, because it
                   holds the name
chat               lines to all stay, without name and account; direct lines that the person
                   wrote are removed; those that others wrote to them lose the recipient
world_edit         stays without the actor, and without the owner in what it changed: the
                   history of a world must be whole
entity             stays without owner: what was built is part of the world
asset, world       stay without uploader and owner (SET NULL)
moderation_case    stays for its own time without the link (SET NULL) and without the name, in its
                   evidence as well
ban, audit_log,    keep the id of an account that is gone, which names nobody; the last three
item_ledger,       cannot be changed by anyone
model_change
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
    DELETE FROM feedback WHERE id IN (
        SELECT id FROM feedback WHERE account_id = :account LIMIT :most)
    RETURNING 1
    """,
    """
    DELETE FROM relation WHERE (account_id, person) IN (
        SELECT account_id, person FROM relation WHERE person = CAST(:owner AS text) LIMIT :most)
    RETURNING 1
    """,
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
    UPDATE moderation_case SET subject_name = '',
        evidence = evidence #- '{reported,name}' #- '{reported,person}'
    WHERE id IN (
        SELECT id FROM moderation_case WHERE subject_account = :account
            AND (subject_name <> '' OR evidence #> '{reported,person}' IS NOT NULL)
        LIMIT :most)
    RETURNING 1
    """,
    """
    UPDATE moderation_case SET evidence = evidence #- '{reporter,name}' #- '{reporter,person}'
    WHERE id IN (
        SELECT id FROM moderation_case WHERE reporter_account = :account
            AND evidence #> '{reporter,person}' IS NOT NULL
        LIMIT :most)
    RETURNING 1
    """,
))

SLICE_EDITS_MAX: Final = 2_000
"""Edits that one transaction reads in search of an owner."""
_PLACE: Final = text("""
    SELECT coalesce(CAST(prefs->>'edits_read' AS bigint), 0) FROM account
    WHERE id = :account AND status = 'deleting' FOR UPDATE
""")
_KEEP_PLACE: Final = text("""
    UPDATE account SET prefs = jsonb_build_object('edits_read', CAST(:last AS bigint))
    WHERE id = :account
""")
_SLICE_END: Final = text("""
    SELECT max(id) FROM (
        SELECT id FROM world_edit WHERE id > :after ORDER BY id LIMIT :most) slice
""")
_WITHOUT_OWNER: Final = """coalesce((
    SELECT jsonb_object_agg(key, CASE WHEN value->>'owner' = CAST(:owner AS text)
        THEN value - 'owner' ELSE value END)
    FROM jsonb_each({column})), {column})"""
_BLANK: Final = text(f"""
    UPDATE world_edit SET before = {_WITHOUT_OWNER.format(column="before")},
        after = {_WITHOUT_OWNER.format(column="after")}
    WHERE id > :after AND id <= :last
        AND strpos(concat(before, after), CAST(:owner AS text)) > 0
""")


async def erase_some(connection: AsyncConnection, account: uuid.UUID) -> bool:
    """One page of one table; False when all tables have been found clean."""
    values: dict[str, Any] = {
        "account": account, "owner": str(account), "most": PAGE_ROWS_MAX,
    }
    for statement in _ERASE:
        if await _any(connection, statement, values):
            return True
    for table, column in _OF_WORLDS:
        forget = text(_FORGET.format(table=table, column=column))
        for world in await _worlds(connection, table):
            if await _any(connection, forget, {**values, "world": world}):
                return True
    return await _blank_owners(connection, account)


async def _blank_owners(connection: AsyncConnection, account: uuid.UUID) -> bool:
    """Take the owner out of the next slice of edits; False when there is none left to read."""
    values: dict[str, Any] = {
        "account": account, "owner": str(account), "most": SLICE_EDITS_MAX,
    }
    place = (await connection.execute(_PLACE, values)).scalar_one_or_none()
    if place is None:
        return False  # no account that is being deleted
    values["after"] = place
    last = (await connection.execute(_SLICE_END, values)).scalar_one()
    if last is None:
        return False
    values["last"] = last
    await connection.execute(_BLANK, values)
    await connection.execute(_KEEP_PLACE, values)
    return True


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
            e.entity_id, {before} AS before, {after_edit} AS after
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
    ExportKind.RELATIONS: """
        SELECT r.person AS cursor, r.person, r.name, r.relation, r.at
        FROM relation r WHERE r.account_id = :account AND r.person > :after
        ORDER BY r.person LIMIT :most""",
    ExportKind.MEMORIES: """
        SELECT m.id::text AS cursor, n.name AS character, m.at, m.kind, m.body
        FROM npc_memory m JOIN npc n ON n.id = m.npc_id
        WHERE m.about_account = :account AND m.id::text > :after
        ORDER BY m.id::text LIMIT :most""",
    ExportKind.BANS: """
        SELECT b.id::text AS cursor, w.slug AS world, b.reason, b.starts_at, b.ends_at,
            b.lifted_at
        FROM ban b LEFT JOIN world w ON w.id = b.world_id
        WHERE b.subject_kind = 'account' AND b.subject = CAST(:owner AS text)
            AND b.id::text > :after ORDER BY b.id::text LIMIT :most""",
    ExportKind.CASES: """
        SELECT m.id::text AS cursor, w.slug AS world, m.category, m.state, m.opened_at,
            m.closed_at, m.subject_account IS NOT DISTINCT FROM :account AS about_you,
            CASE WHEN m.reporter_account = :account THEN m.summary END AS you_reported
        FROM moderation_case m LEFT JOIN world w ON w.id = m.world_id
        WHERE (m.subject_account = :account OR m.reporter_account = :account)
            AND m.id::text > :after ORDER BY m.id::text LIMIT :most""",
    ExportKind.ACTIONS: """
        SELECT a.id::text AS cursor, w.slug AS world, a.kind, a.reason, a.at, a.expires_at
        FROM moderation_action a LEFT JOIN world w ON w.id = a.world_id
        WHERE a.subject_account = :account AND a.id::text > :after
        ORDER BY a.id::text LIMIT :most""",
    ExportKind.KEYS: """
        SELECT k.id::text AS cursor, k.id, k.name, k.rows_per_minute, k.rows_per_day,
            k.created_at, k.last_used_at, k.revoked_at
        FROM ai_key k WHERE k.owner_account = :account AND k.id::text > :after
        ORDER BY k.id::text LIMIT :most""",
    ExportKind.FEEDBACK: """
        SELECT f.id::text AS cursor, f.source, f.task, f.body, f.labels, f.decision,
            f.model_version, f.has_consent, f.created_at, f.expires_at
        FROM feedback f WHERE f.account_id = :account AND f.id::text > :after
        ORDER BY f.id::text LIMIT :most""",
    ExportKind.AUDIT: """
        SELECT {edited} || ' ' || e.sequence AS cursor, e.at, e.action,
            e.actor IS NOT DISTINCT FROM CAST(:owner AS text) AS by_you,
            e.object_kind = 'account' AND e.object_id = CAST(:owner AS text) AS about_you
        FROM audit_log e
        WHERE (e.actor = CAST(:owner AS text)
                OR e.object_kind = 'account' AND e.object_id = CAST(:owner AS text))
            AND (e.at, e.sequence) > ({after_at}, {after_number})
        ORDER BY e.at, e.sequence LIMIT :most""",
}
"""Of cases, what others said stays theirs; notes of moderators are told as what was done."""
_TOLD: Final = """(
    SELECT jsonb_object_agg(key, CASE WHEN jsonb_typeof(value) <> 'object' THEN value
        WHEN value->>'owner' = CAST(:owner AS text) THEN value #- '{kept,pending}'
        ELSE (value #- '{kept,pending}') - 'owner' END)
    FROM jsonb_each(e.COLUMN))"""
"""What an edit changed, without what is others': whose it was, and what they have written into
a sign that nobody may read yet."""
_PARTS: Final = {
    "before": _TOLD.replace("COLUMN", "before"),
    "after_edit": _TOLD.replace("COLUMN", "after"),
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
    values = {
        "account": account, "owner": str(account), "after": after or "", "most": PAGE_ROWS_MAX,
    }
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
