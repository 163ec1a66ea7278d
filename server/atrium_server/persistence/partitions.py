"""The monthly partitions of the logs: made in advance, dropped when their time is over.

Theory of operation
-------------------
A row goes into the partition of its month, in UTC. Partitions of this month and of the next
MONTHS_AHEAD are made at each start and once a day. A row of any other time goes into the default
partition, so nothing is lost when nobody made one. While rows of a month lie there, Postgres lets
nobody make the partition of that month; they stay where they are, every query finds them, and
that is told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.schema import APPEND_ONLY, PARTITIONED
from atrium_server.persistence.schema.ddl import no_truncate

MONTHS_AHEAD: Final = 2
LOCK_KEY: Final = 0x61747269756D01
"""Of the advisory lock that those hold who make partitions."""
LOCK_S_MAX: Final = 5

_NAME: Final = re.compile(r"(\w+)_p(\d{4})(\d{2})")
_OF: Final = text("SELECT inhrelid::regclass::text FROM pg_inherits"
                  " WHERE inhparent = to_regclass(:parent)")


@dataclass(frozen=True, slots=True)
class Made:
    """The partitions that were made, and those that could not be."""

    names: tuple[str, ...]
    blocked: tuple[str, ...]


async def ensure_partitions(connection: AsyncConnection, now: datetime) -> Made:
    """Make what is missing for this month and the next ones, in the caller's transaction."""
    await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'"))
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
    made: list[str] = []
    blocked: list[str] = []
    for parent in PARTITIONED:
        present = set((await connection.execute(_OF, {"parent": parent})).scalars())
        for months in range(MONTHS_AHEAD + 1):
            begin, end = _month(now, months), _month(now, months + 1)
            name = f"{parent}_p{begin:%Y%m}"
            if name in present:
                continue
            if await _is_blocked(connection, parent, begin, end):
                blocked.append(name)
            else:
                await _make(connection, parent, name, (begin, end))
                made.append(name)
    return Made(tuple(made), tuple(blocked))


async def drop_partitions(
    connection: AsyncConnection, parent: str, before: datetime
) -> tuple[str, ...]:
    """Forget the months that were over before a time; returns the names of their partitions."""
    assert parent in PARTITIONED, parent
    await connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'"))
    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
    dropped: list[str] = []
    for name in sorted((await connection.execute(_OF, {"parent": parent})).scalars()):
        found = _NAME.fullmatch(name)
        if found is None:
            continue
        begin = datetime(int(found[2]), int(found[3]), 1, tzinfo=UTC)
        if _month(begin, 1) <= before:
            await connection.execute(text(f"DROP TABLE {name}"))
            dropped.append(name)
    return tuple(dropped)


def _month(moment: datetime, later: int) -> datetime:
    """The begin of the month that many months after a time."""
    assert moment.tzinfo is not None, "a time without its zone"
    utc = moment.astimezone(UTC)
    years, month = divmod(utc.year * 12 + utc.month - 1 + later, 12)
    return datetime(years, month + 1, 1, tzinfo=UTC)


async def _is_blocked(
    connection: AsyncConnection, parent: str, begin: datetime, end: datetime
) -> bool:
    found = await connection.execute(
        text(f"SELECT EXISTS (SELECT 1 FROM {parent}_default WHERE at >= :begin AND at < :end)"),
        {"begin": begin, "end": end},
    )
    return bool(found.scalar_one())


async def _make(
    connection: AsyncConnection, parent: str, name: str, months: tuple[datetime, datetime]
) -> None:
    begin, end = (month.isoformat() for month in months)
    await connection.exec_driver_sql(
        f"CREATE TABLE {name} PARTITION OF {parent} FOR VALUES FROM ('{begin}') TO ('{end}')"
    )
    if parent in APPEND_ONLY:
        await connection.execute(text(no_truncate(name)))
