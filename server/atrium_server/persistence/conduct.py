"""Moderation in Postgres: each act, its effect and its row of the audit log in one transaction.

Theory of operation
-------------------
The row of an act (or a case) goes in first and only if no row has its id: who asks a second time
waits there for the first attempt, should that still be under way on a lost connection, and then
finds it. So the effect happens once, however often it is asked for. Last comes the audit row, which
all writers of the log wait in line for.

To look for a ban is one question: each of an array of subjects is looked up in the partial index
of bans that were not lifted. Whether a ban has begun or ended is decided by the clock of the
database alone.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.audit_rows import AuditRow, write_audit
from atrium_server.persistence.chat_log import moment_of
from atrium_server.persistence.conduct_rows import (
    ROWS_ASKED_MAX,
    Action,
    ActionKind,
    Ban,
    Case,
    CaseState,
    NewAction,
    NewCase,
    Subject,
    SubjectKind,
    check_action,
    check_case,
    subjects_to_look_for,
)
from atrium_server.persistence.database import Database
from atrium_server.persistence.errors import Refused
from atrium_server.persistence.schema import uuid7
from atrium_server.persistence.settled import settled
from atrium_server.persistence.sql_deeds import plain, plain_or_none

_OPEN_CASE: Final = text("""
    INSERT INTO moderation_case (id, world_id, subject_account, subject_session, subject_name,
        reporter_account, category, summary, evidence)
    VALUES (:id, :world, :subject, :session, :name, :reporter, :category, :summary,
        CAST(:evidence AS jsonb))
    ON CONFLICT (id) DO NOTHING RETURNING id
""")
_SET_CASE: Final = text("""
    UPDATE moderation_case SET state = :state, assigned_to = CAST(:assigned AS uuid),
        closed_at = CASE WHEN CAST(:state AS text) = 'closed' THEN coalesce(closed_at, now()) END
    WHERE id = :id AND (state, assigned_to) IS DISTINCT FROM
        (CAST(:state AS text), CAST(:assigned AS uuid))
    RETURNING id
""")
_CASE_THERE: Final = text("SELECT 1 FROM moderation_case WHERE id = :id")
_CASES: Final = text("""
    SELECT id, category, summary, subject_name, world_id, subject_account, subject_session,
        reporter_account, evidence::text, state, assigned_to, opened_at, closed_at
    FROM moderation_case WHERE state = :state ORDER BY opened_at, id LIMIT :most
""")
_ACT: Final = text("""
    INSERT INTO moderation_action (id, case_id, actor, subject_account, subject_session, world_id,
        kind, reason, expires_at, data)
    VALUES (:id, :case, :actor, :subject, :session, :world, :kind, :reason,
        now() + make_interval(secs => CAST(:lasts_s AS float8)), CAST(:data AS jsonb))
    ON CONFLICT (id) DO NOTHING RETURNING id
""")
_ACTED: Final = text("SELECT kind, reason FROM moderation_action WHERE id = :id")
_ACTIONS: Final = text("""
    SELECT id, kind, reason, actor, case_id, subject_account, world_id, at, expires_at
    FROM moderation_action WHERE subject_account = :account ORDER BY at DESC, id DESC LIMIT :most
""")
_BAN: Final = text("""
    INSERT INTO ban (id, subject_kind, subject, world_id, action_id, reason, ends_at)
    VALUES (:id, :kind, :subject, :world, :action, :reason,
        now() + make_interval(secs => CAST(:lasts_s AS float8)))
""")
_LIFT: Final = text("""
    UPDATE ban SET lifted_at = now(), lifted_by = CAST(:actor AS uuid)
    WHERE id = ANY(:bans) AND lifted_at IS NULL
        AND (CAST(:world AS bigint) IS NULL OR world_id = :world)
    RETURNING id
""")
_RETRACT: Final = text("""
    UPDATE chat SET state = 'retracted'
    WHERE at = :at AND id = :id AND state <> 'rejected'
        AND (CAST(:world AS bigint) IS NULL OR world_id = :world)
    RETURNING id
""")
_BAN_COLUMNS: Final = "id, subject_kind, subject, world_id, reason, starts_at, ends_at"
_IN_FORCE: Final = """lifted_at IS NULL AND starts_at <= now()
        AND (ends_at IS NULL OR ends_at > now())"""
# OFFSET 0 keeps the planner from joining, for which it would read all bans: one probe of the index
# for each subject is what takes a known time.
ACTIVE_BAN: Final = text(f"""
    SELECT found.* FROM unnest(CAST(:kinds AS text[]), CAST(:subjects AS text[]))
        AS looked_for (kind, subject),
        LATERAL (SELECT {_BAN_COLUMNS} FROM ban
            WHERE {_IN_FORCE} AND (world_id IS NULL OR world_id = :world)
                AND subject_kind = looked_for.kind AND ban.subject = looked_for.subject
            OFFSET 0) AS found
    ORDER BY ends_at DESC NULLS FIRST LIMIT 1
""")
_BANS: Final = text(f"""
    SELECT {_BAN_COLUMNS} FROM ban
    WHERE {_IN_FORCE} AND world_id IS NOT DISTINCT FROM CAST(:world AS bigint)
    ORDER BY starts_at DESC, id DESC LIMIT :most
""")


class SqlConduct:
    """A `conduct_rows.ConductStore` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_case(self, case: NewCase) -> bool:
        check_case(case)
        return await settled(self._database, _open_case, case)

    async def set_case(
        self, case_id: uuid.UUID, state: CaseState, assigned_to: uuid.UUID | None, actor: uuid.UUID
    ) -> bool:
        values = {"id": case_id, "state": state.value, "assigned": assigned_to}
        return await settled(self._database, _set_case, values, actor)

    async def act(self, action: NewAction) -> bool:
        check_action(action)
        return await settled(self._database, _act, action)

    async def active_ban(
        self, account: uuid.UUID | None, address: str, world_id: int
    ) -> Ban | None:
        subjects = subjects_to_look_for(account, address)
        found = await self._ask(
            ACTIVE_BAN, world=world_id, kinds=[each.kind.value for each in subjects],
            subjects=[each.text for each in subjects],
        )
        return _ban(found[0]) if found else None

    async def cases(self, state: CaseState, rows_max: int) -> list[Case]:
        found = await self._ask(_CASES, state=state.value, most=min(rows_max, ROWS_ASKED_MAX))
        return [_case(each) for each in found]

    async def actions(self, account: uuid.UUID, rows_max: int) -> list[Action]:
        found = await self._ask(_ACTIONS, account=account, most=min(rows_max, ROWS_ASKED_MAX))
        return [_action(each) for each in found]

    async def bans(self, world_id: int | None, rows_max: int) -> list[Ban]:
        found = await self._ask(_BANS, world=world_id, most=min(rows_max, ROWS_ASKED_MAX))
        return [_ban(each) for each in found]

    async def _ask(self, question: TextClause, **values: object) -> Sequence[Any]:
        return await self._database.tx(_answer, question, values)


async def _answer(
    connection: AsyncConnection, question: TextClause, values: Mapping[str, object]
) -> Sequence[Any]:
    return (await connection.execute(question, values)).all()


async def _is_done(
    connection: AsyncConnection, statement: TextClause, values: Mapping[str, object]
) -> bool:
    """Run a statement that returns what it changed."""
    return bool(await _answer(connection, statement, values))


def _who(actor: uuid.UUID | None) -> str:
    return "server" if actor is None else str(actor)


# --- cases -------------------------------------------------------------------------------


async def _open_case(connection: AsyncConnection, case: NewCase) -> bool:
    is_new = await _is_done(connection, _OPEN_CASE, {
        "id": case.id, "world": case.world_id, "subject": case.subject_account,
        "session": case.subject_session, "name": case.subject_name, "reporter": case.reporter,
        "category": case.category, "summary": case.summary, "evidence": _json(case.evidence),
    })
    if is_new:
        row = AuditRow(
            _who(case.reporter), "case.open", "case", str(case.id), str(case.id),
            {"world": case.world_id, "account": _text(case.subject_account)},
        )
        await write_audit(connection, row)
    return is_new


async def _set_case(
    connection: AsyncConnection, values: dict[str, Any], actor: uuid.UUID
) -> bool:
    if not await _is_done(connection, _SET_CASE, values):
        if not await _is_done(connection, _CASE_THERE, {"id": values["id"]}):
            raise Refused("There is no such case.")
        return False
    data = {"state": values["state"], "assigned_to": _text(values["assigned"])}
    await write_audit(connection, AuditRow(str(actor), "case.set", "case", str(values["id"]),
                                           data=data))
    return True


def _json(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Refused("The evidence is no text.") from error


def _text(id: uuid.UUID | None) -> str | None:
    return None if id is None else str(id)


# --- actions -----------------------------------------------------------------------------


async def _act(connection: AsyncConnection, action: NewAction) -> bool:
    ids = _ids_of(action)
    is_new = await _is_done(connection, _ACT, {
        "id": action.id, "case": action.case_id, "actor": action.actor,
        "subject": action.subject_account, "session": action.subject_session,
        "world": action.world_id, "kind": action.kind.value, "reason": action.reason,
        "lasts_s": action.lasts_s, "data": msgspec.json.encode(ids).decode(),
    })
    if not is_new:
        (done,) = await _answer(connection, _ACTED, {"id": action.id})
        if (done[0], done[1]) != (action.kind.value, action.reason):
            raise Refused("Something else was done under this id: ask again with a new one.")
        return False
    await _take_effect(connection, action, ids)
    kind, object = _object_of(action)
    data = {"action": str(action.id), "case": _text(action.case_id), "world": action.world_id,
            "lasts_s": action.lasts_s, **ids}
    row = AuditRow(
        _who(action.actor), f"moderate.{action.kind.value}", kind, object, str(action.id), data
    )
    await write_audit(connection, row)
    return True


def _ids_of(action: NewAction) -> dict[str, list[str]]:
    """The bans and lines that an action is about; bans that are set get their ids here."""
    ids: dict[str, list[str]] = {}
    if action.bans:
        ids["bans"] = [str(uuid7(time.time())) for _ in set(action.bans)]
    if action.lifts:
        ids["lifts"] = [str(id) for id in sorted(set(action.lifts))]
    if action.line is not None:
        ids["lines"] = [str(action.line)]
    return ids


def _object_of(action: NewAction) -> tuple[str, str]:
    """What the audit log says that it was done to."""
    if action.line is not None:
        return "line", str(action.line)
    if action.subject_account is not None:
        return "account", str(action.subject_account)
    if action.subject_session is not None:
        return "session", str(action.subject_session)
    return "action", str(action.id)


async def _take_effect(
    connection: AsyncConnection, action: NewAction, ids: Mapping[str, Sequence[str]]
) -> None:
    world = action.world_id
    if action.kind is ActionKind.BAN:
        for id, subject in zip(ids["bans"], sorted(set(action.bans)), strict=True):
            await connection.execute(_BAN, {
                "id": uuid.UUID(id), "kind": subject.kind.value, "subject": subject.text,
                "world": world, "action": action.id, "reason": action.reason,
                "lasts_s": action.lasts_s,
            })
    elif action.kind is ActionKind.LIFT:
        bans = [uuid.UUID(id) for id in ids["lifts"]]
        values = {"actor": action.actor, "bans": bans, "world": world}
        if len(await _answer(connection, _LIFT, values)) < len(bans):
            raise Refused("One of these bans is not in force here (any more): look again.")
    elif action.line is not None:
        values = {"at": moment_of(action.line), "id": action.line, "world": world}
        if not await _is_done(connection, _RETRACT, values):
            raise Refused("There is no such line here: it is too old, or was never published.")


# --- rows --------------------------------------------------------------------------------


def _case(found: Any) -> Case:
    (id, category, summary, name, world, account, session, reporter, evidence, state, assigned,
     opened_at, closed_at) = found
    report = NewCase(
        plain(id), category, summary, name, world, plain_or_none(account),
        plain_or_none(session), plain_or_none(reporter), evidence.encode(),
    )
    return Case(report, CaseState(state), plain_or_none(assigned), opened_at, closed_at)


def _action(found: Any) -> Action:
    id, kind, reason, actor, case, account, world, at, expires_at = found
    return Action(
        plain(id), ActionKind(kind), reason, plain_or_none(actor), plain_or_none(case),
        plain_or_none(account), world, at, expires_at,
    )


def _ban(found: Any) -> Ban:
    id, kind, subject, world, reason, starts_at, ends_at = found
    return Ban(plain(id), Subject(SubjectKind(kind), subject), world, reason, starts_at, ends_at)
