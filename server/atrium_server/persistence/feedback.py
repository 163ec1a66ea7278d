"""What people say a model got wrong or right, as rows to learn from: in Postgres and in memory.

A row holds the text that a verdict was about, what it should have been called, and where that is
known from. It is kept for a bounded time (`expires_at`, set when it is written), belongs to the
account that wrote the text, and goes with it. Rows without the consent of that account are there to
answer an appeal, and are not learnt from: `to_learn` does not give them. Nor does it give what
anybody may say of any model (appeals, thumbs): who wants to be let pass could teach it that.

What a moderator does is a row of the audit log, and the row of feedback that it makes, if any, is
written with it or not at all (`decide`). The audit log holds ids and words, never the text.
"""

from __future__ import annotations

import enum
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
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
from atrium_server.persistence.sql_deeds import plain, plain_or_none
from atrium_shared.limits import (
    FEEDBACK_BODY_CHARS_MAX,
    FEEDBACK_DAYS_MAX,
    FEEDBACK_LABELS_MAX,
    FEEDBACK_ROWS_MAX,
)

ROWS_ASKED_MAX: Final = 1_000
KEPT_MAX: Final = 10_000
"""Rows in memory; the oldest is forgotten first."""
DAY_S: Final = 86_400.0


class FeedbackSource(enum.StrEnum):
    """Who says so."""

    VERDICT = "verdict"
    """A moderator decided on what was held or reported."""
    APPEAL = "appeal"
    """The author objected."""
    THUMB = "thumb"
    """Somebody liked an answer, or did not."""
    CORRECTION = "correction"
    """A moderator took a verdict back."""


LEARNT_FROM: Final = (FeedbackSource.VERDICT, FeedbackSource.CORRECTION)


class NewFeedback(msgspec.Struct, frozen=True):
    """A row that somebody's word makes."""

    id: uuid.UUID
    source: FeedbackSource
    task: str
    """The name of the model that it is for."""
    body: str
    labels: Mapping[str, float]
    """What it is, from 0 (not so) to 1, by label; a label that is not named is not known."""
    decision: str = ""
    """What was decided at the time."""
    model_version: str = ""
    account: uuid.UUID | None = None
    """Who wrote the text; None for somebody without an account, and for what we wrote."""
    has_consent: bool = False
    days: int = FEEDBACK_DAYS_MAX
    """So long it is kept."""


class FeedbackRow(msgspec.Struct, frozen=True):
    """A row, as it is kept."""

    row: NewFeedback
    created_at: datetime


class FeedbackStore(Protocol):
    """What is asked of a store. Every call may raise Unavailable."""

    async def add(self, row: NewFeedback) -> bool:
        """Keep a row; False when one of this id was kept before. Returns when it is on disk.

        Raises Refused when it cannot be kept.
        """
        ...

    async def decide(self, deed: AuditRow, row: NewFeedback | None = None) -> bool:
        """Keep what was done, each request once, with the row that it makes; whether that was
        kept: not where there is none, or no room. Returns when it is on disk.
        """
        ...

    async def to_learn(
        self, task: str, after: uuid.UUID | None, rows_max: int
    ) -> list[FeedbackRow]:
        """Rows with consent that have not expired and that moderators made, by id, from behind one
        on."""
        ...

    async def withdraw(self, account: uuid.UUID) -> int:
        """Remove all rows of an account; how many."""
        ...

    async def forget(self, rows_max: int) -> int:
        """Remove rows that have expired; how many."""
        ...


def check_feedback(row: NewFeedback) -> None:
    """Raise Refused with a sentence when this cannot be kept."""
    if not 1 <= len(row.body) <= FEEDBACK_BODY_CHARS_MAX or _UNKEPT.search(row.body):
        raise Refused(f"The text must have 1 to {FEEDBACK_BODY_CHARS_MAX:,} characters.")
    if not 1 <= len(row.task) <= 64 or len(row.decision) > 64 or len(row.model_version) > 128:
        raise Refused("The names of a model and of a decision are short words.")
    if not 1 <= len(row.labels) <= FEEDBACK_LABELS_MAX or any(
        len(name) > 64 or _UNKEPT.search(name) for name in row.labels
    ):
        raise Refused(f"A text has 1 to {FEEDBACK_LABELS_MAX} labels, each a short word.")
    if not all(0 <= value <= 1 for value in row.labels.values()):
        raise Refused("A label is a number from 0 (not so) to 1 (so).")
    if not 1 <= row.days <= FEEDBACK_DAYS_MAX:
        raise Refused(f"A row can be kept for 1 to {FEEDBACK_DAYS_MAX} days.")


_UNKEPT: Final = re.compile("[\0\ud800-\udfff]")
"""What the database cannot keep in a text."""

_ADD: Final = text("""
    INSERT INTO feedback (id, source, task, body, labels, decision, model_version, account_id,
        has_consent, expires_at)
    VALUES (:id, :source, :task, :body, CAST(:labels AS jsonb), :decision, :version, :account,
        :consent, now() + make_interval(days => :days))
    ON CONFLICT (id) DO NOTHING RETURNING 1
""")
_TO_LEARN: Final = text("""
    SELECT id, source, task, body, labels::text, decision, model_version, account_id, has_consent,
        greatest(1, ceil(extract(epoch FROM expires_at - created_at) / 86400))::int, created_at
    FROM feedback
    WHERE task = :task AND has_consent AND expires_at > now()
        AND source IN ('verdict', 'correction')
        AND (CAST(:after AS uuid) IS NULL OR id > :after)
    ORDER BY id LIMIT :most
""")
_FORGET: Final = text("""
    DELETE FROM feedback WHERE id IN (
        SELECT id FROM feedback WHERE expires_at <= now() LIMIT :most)
    RETURNING 1
""")
_WITHDRAW: Final = text("DELETE FROM feedback WHERE account_id = :account RETURNING 1")
_IS_DONE: Final = text("""
    SELECT EXISTS (SELECT 1 FROM audit_log
        WHERE object_kind = :kind AND object_id = :object AND request_id = :request)
""")
_COUNT: Final = text("SELECT count(*) FROM (SELECT 1 FROM feedback LIMIT :most) kept")


class SqlFeedback:
    """A `FeedbackStore` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: NewFeedback) -> bool:
        check_feedback(row)
        return await settled(self._database, _add, row)

    async def decide(self, deed: AuditRow, row: NewFeedback | None = None) -> bool:
        if row is not None:
            check_feedback(row)
        return await settled(self._database, _decide, deed, row)

    async def withdraw(self, account: uuid.UUID) -> int:
        return len(await self._ask(_WITHDRAW, account=account))

    async def to_learn(
        self, task: str, after: uuid.UUID | None, rows_max: int
    ) -> list[FeedbackRow]:
        found = await self._ask(_TO_LEARN, task=task, after=after,
                                most=min(rows_max, ROWS_ASKED_MAX))
        return [_row(each) for each in found]

    async def forget(self, rows_max: int) -> int:
        return len(await self._ask(_FORGET, most=rows_max))

    async def _ask(self, question: TextClause, **values: object) -> Sequence[Any]:
        return await self._database.tx(_answer, question, values)


async def _answer(
    connection: AsyncConnection, question: TextClause, values: Mapping[str, object]
) -> Sequence[Any]:
    return (await connection.execute(question, values)).all()


async def _decide(
    connection: AsyncConnection, deed: AuditRow, row: NewFeedback | None
) -> bool:
    is_kept = False
    if row is not None and await _has_room(connection):
        is_kept = await _insert(connection, row)
    values = {"kind": deed.kind, "object": deed.object, "request": deed.request}
    if not (await connection.execute(_IS_DONE, values)).scalar_one():
        await write_audit(connection, deed)
    return is_kept


async def _has_room(connection: AsyncConnection) -> bool:
    ((kept,),) = await _answer(connection, _COUNT, {"most": FEEDBACK_ROWS_MAX})
    return kept < FEEDBACK_ROWS_MAX


async def _add(connection: AsyncConnection, row: NewFeedback) -> bool:
    if not await _has_room(connection):
        raise Refused("No more feedback is taken until older rows have expired.")
    return await _insert(connection, row)


async def _insert(connection: AsyncConnection, row: NewFeedback) -> bool:
    return bool(await _answer(connection, _ADD, {
        "id": row.id, "source": row.source.value, "task": row.task, "body": row.body,
        "labels": msgspec.json.encode(row.labels).decode(), "decision": row.decision,
        "version": row.model_version, "account": row.account, "consent": row.has_consent,
        "days": row.days,
    }))


def _row(found: Any) -> FeedbackRow:
    (id, source, task, body, labels, decision, version, account, consent, days, at) = found
    row = NewFeedback(
        plain(id), FeedbackSource(source), task, body,
        msgspec.json.decode(labels, type=dict[str, float]), decision, version,
        plain_or_none(account), consent, days,
    )
    return FeedbackRow(row, at)


class MemoryFeedback:
    """A `FeedbackStore` in memory, for --ephemeral and for tests. `clock` gives seconds since 1970;
    whether an account is there is asked of `is_account`."""

    def __init__(
        self, clock: Callable[[], float], is_account: Callable[[uuid.UUID], bool] = lambda _: True
    ) -> None:
        self._clock = clock
        self._is_account = is_account
        self._rows: dict[uuid.UUID, FeedbackRow] = {}

    async def add(self, row: NewFeedback) -> bool:
        check_feedback(row)
        await trio.lowlevel.checkpoint()
        if row.account is not None and not self._is_account(row.account):
            raise Refused("There is no such account.")
        if row.id in self._rows:
            return False
        self._rows[row.id] = FeedbackRow(row, datetime.fromtimestamp(self._clock(), UTC))
        if len(self._rows) > KEPT_MAX:
            del self._rows[next(iter(self._rows))]
        return True

    async def decide(self, deed: AuditRow, row: NewFeedback | None = None) -> bool:
        """There is no audit log in memory."""
        if row is None:
            await trio.lowlevel.checkpoint()
            return False
        return await self.add(row)

    async def withdraw(self, account: uuid.UUID) -> int:
        await trio.lowlevel.checkpoint()
        own = [id for id, kept in self._rows.items() if kept.row.account == account]
        for id in own:
            del self._rows[id]
        return len(own)

    def all(self) -> list[FeedbackRow]:
        """All rows that are kept."""
        return [*self._rows.values()]

    def of_account(self, account: uuid.UUID) -> list[FeedbackRow]:
        """All rows of an account, for its export."""
        return [kept for kept in self._rows.values() if kept.row.account == account]

    async def to_learn(
        self, task: str, after: uuid.UUID | None, rows_max: int
    ) -> list[FeedbackRow]:
        await trio.lowlevel.checkpoint()
        found = [
            kept for kept in self._rows.values()
            if kept.row.task == task and kept.row.has_consent and not self._is_over(kept)
            and kept.row.source in LEARNT_FROM
            and (after is None or kept.row.id > after)
        ]
        found.sort(key=lambda kept: kept.row.id)
        return found[: min(rows_max, ROWS_ASKED_MAX)]

    async def forget(self, rows_max: int) -> int:
        await trio.lowlevel.checkpoint()
        over = [id for id, kept in self._rows.items() if self._is_over(kept)][:rows_max]
        for id in over:
            del self._rows[id]
        return len(over)

    def _is_over(self, kept: FeedbackRow) -> bool:
        """It has expired, or its account is gone."""
        account = kept.row.account
        ends = kept.created_at + timedelta(days=kept.row.days)
        return ends.timestamp() <= self._clock() or (
            account is not None and not self._is_account(account)
        )
