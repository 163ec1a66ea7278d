"""What this package forgets, and after how long.

=============  ==================================================================================
partitions     nothing is forgotten: those of the next months are made (see `partitions`)
chat, audit    whole months, when the last of their rows is too old: what is to be kept for 30
               days is gone after 61 at the latest. Lines of a month that has no partition are
               removed one by one; rows of the audit log never are
sessions       those that are over; those of worlds that nobody owned for as long are over first
reports        cases with their evidence, some time after they were closed, or opened if nobody did
feedback       rows whose own time is over; keys of apps, some time after they were revoked
sign_ins       those that ended; and who asked to be forgotten (`accounts`), what was left of it
=============  ==================================================================================

The history of worlds is forgotten by who reads it: that chore is handed in.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.accounts import AccountStore
from atrium_server.persistence.ai_keys import KeyStore, SqlKeys
from atrium_server.persistence.database import Database
from atrium_server.persistence.feedback import FeedbackStore, SqlFeedback
from atrium_server.persistence.partitions import drop_partitions, ensure_partitions
from atrium_server.persistence.retention import DAY_S, Chore

SLICE_MAX: Final = 1_000
"""Rows that one transaction removes."""
ACCOUNTS_AT_ONCE: Final = 10
CHAT_DAYS_DEFAULT: Final = 30
AUDIT_DAYS_DEFAULT: Final = 400
SESSION_DAYS_DEFAULT: Final = 7
SIGN_IN_DAYS_DEFAULT: Final = 30
REPORT_DAYS_DEFAULT: Final = 180

_CHAT: Final = text("""
    DELETE FROM chat_default WHERE (at, id) IN (
        SELECT at, id FROM chat_default WHERE at < :before ORDER BY at LIMIT :most)
    RETURNING 1
""")
_LEFT_SESSIONS: Final = text("""
    UPDATE session SET state = 'over', ended_at = saved_at WHERE id IN (
        SELECT id FROM session WHERE state <> 'over' AND saved_at < :before LIMIT :most)
        AND state <> 'over'
    RETURNING 1
""")
_SESSIONS: Final = text("""
    DELETE FROM session WHERE id IN (
        SELECT id FROM session WHERE state = 'over' AND ended_at < :before
        ORDER BY ended_at LIMIT :most)
    RETURNING 1
""")
_REPORTS: Final = text("""
    DELETE FROM moderation_case WHERE id IN (
        SELECT id FROM moderation_case WHERE coalesce(closed_at, opened_at) < :before LIMIT :most)
    RETURNING 1
""")


@dataclass(frozen=True, slots=True)
class Days:
    """How long things are kept."""

    chat: int = CHAT_DAYS_DEFAULT
    audit: int = AUDIT_DAYS_DEFAULT
    sessions: int = SESSION_DAYS_DEFAULT
    sign_ins: int = SIGN_IN_DAYS_DEFAULT
    reports: int = REPORT_DAYS_DEFAULT


class Chores:
    """Makes the list. `clock` gives seconds since 1970."""

    def __init__(self, database: Database, days: Days, clock: Callable[[], float]) -> None:
        self._database = database
        self._days = days
        self._clock = clock

    def all(self, accounts: AccountStore, others: Sequence[Chore] = ()) -> tuple[Chore, ...]:
        """In the order in which they are done."""
        days = self._days
        return (
            Chore("partitions", self._ensure),
            Chore("chat", self._months("chat", days.chat)),
            Chore("chat_default", self._rows(_CHAT, days.chat)),
            Chore("audit", self._months("audit_log", days.audit)),
            Chore("sessions_left", self._rows(_LEFT_SESSIONS, days.sessions)),
            Chore("sessions", self._rows(_SESSIONS, days.sessions)),
            Chore("reports", self._rows(_REPORTS, days.reports)),
            *model_chores(
                SqlFeedback(self._database), SqlKeys(self._database), days.sign_ins
            ),
            *account_chores(accounts, days.sign_ins),
            *others,
        )

    def _before(self, days: int) -> datetime:
        return datetime.fromtimestamp(self._clock(), UTC) - timedelta(days=days)

    async def _ensure(self) -> int:
        now = datetime.fromtimestamp(self._clock(), UTC)
        await self._database.tx(ensure_partitions, now)
        return 0

    def _months(self, parent: str, days: int) -> Callable[[], Awaitable[int]]:
        async def drop() -> int:
            dropped = await self._database.tx(drop_partitions, parent, self._before(days))
            return len(dropped)

        return drop

    def _rows(self, statement: TextClause, days: int) -> Callable[[], Awaitable[int]]:
        async def remove() -> int:
            values = {"before": self._before(days), "most": SLICE_MAX}
            return await self._database.tx(_count, statement, values)

        return remove


async def _count(
    connection: AsyncConnection, statement: TextClause, values: dict[str, Any]
) -> int:
    return len((await connection.execute(statement, values)).all())


def model_chores(
    feedback: FeedbackStore, keys: KeyStore, key_days: int
) -> tuple[Chore, Chore]:
    """Those of what people say of models and of who asks them: --ephemeral has them, too."""

    async def forget_keys() -> int:
        return await keys.forget(key_days * DAY_S, SLICE_MAX)

    async def forget_feedback() -> int:
        return await feedback.forget(SLICE_MAX)

    return Chore("feedback", forget_feedback), Chore("ai_keys", forget_keys)


def account_chores(accounts: AccountStore, sign_in_days: int) -> tuple[Chore, Chore]:
    """Those that need no database of their own: --ephemeral has them, too."""

    async def purge() -> int:
        return await accounts.purge(sign_in_days * DAY_S, SLICE_MAX)

    async def finish() -> int:
        """Deletions that were begun by a process that ended before they were done."""
        left = await accounts.deleting(ACCOUNTS_AT_ONCE)
        for account in left:
            while await accounts.erase_some(account):
                pass
            await accounts.finish_deletion(account)
        return len(left)

    return Chore("sign_ins", purge), Chore("accounts", finish)
