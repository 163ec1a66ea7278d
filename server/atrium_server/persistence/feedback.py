"""What people say a model got wrong or right, as rows to learn from: in Postgres and in memory.

A row holds the text that a verdict was about, what it should have been called, and where that is
known from. It is kept for a bounded time (`expires_at`, set when it is written), belongs to the
account that wrote the text, and goes with it. Rows without the consent of that account are there to
answer an appeal, and are not learnt from: `to_learn` does not give them.
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

    async def to_learn(
        self, task: str, after: uuid.UUID | None, rows_max: int
    ) -> list[FeedbackRow]:
        """Rows with consent that have not expired, by id, from behind one on."""
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
        AND (CAST(:after AS uuid) IS NULL OR id > :after)
    ORDER BY id LIMIT :most
""")
_FORGET: Final = text("""
    DELETE FROM feedback WHERE id IN (
        SELECT id FROM feedback WHERE expires_at <= now() LIMIT :most)
    RETURNING 1
""")
_COUNT: Final = text("SELECT count(*) FROM (SELECT 1 FROM feedback LIMIT :most) kept")


class SqlFeedback:
    """A `FeedbackStore` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, row: NewFeedback) -> bool:
        check_feedback(row)
        return await settled(self._database, _add, row)

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


async def _add(connection: AsyncConnection, row: NewFeedback) -> bool:
    ((kept,),) = await _answer(connection, _COUNT, {"most": FEEDBACK_ROWS_MAX})
    if kept >= FEEDBACK_ROWS_MAX:
        raise Refused("No more feedback is taken until older rows have expired.")
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

    async def to_learn(
        self, task: str, after: uuid.UUID | None, rows_max: int
    ) -> list[FeedbackRow]:
        await trio.lowlevel.checkpoint()
        found = [
            kept for kept in self._rows.values()
            if kept.row.task == task and kept.row.has_consent and not self._is_over(kept)
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
