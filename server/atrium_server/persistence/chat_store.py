"""What was said, as it is kept: written once by its id, found by its place or its person.

`SqlChatStore` is Postgres; `MemoryChatStore` is for --ephemeral and keeps the newest. A batch is
one transaction: lines by array, each at most once however often the batch is tried (the key is the
id and the time within it), then what has become of older lines.

What was said to one person is never found by its place, only by an account that said it or to
whom it was said.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec
import trio
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.chat_log import (
    Channel,
    ChatBatch,
    ChatRow,
    LineState,
    moment_of,
)
from atrium_server.persistence.database import Database
from atrium_server.persistence.settled import make_durable, slices
from atrium_server.persistence.sql_deeds import plain, plain_or_none
from atrium_server.persistence.world_store import driver_of

LINES_ASKED_MAX: Final = 1_000
"""The most lines that one question is answered with."""
LINES_KEPT_MAX: Final = 10_000
"""The newest lines, in memory; Postgres keeps all."""
_NEWEST_LOOKED_AT: Final = 32

_INSERT: Final = """
    INSERT INTO chat (at, id, world_id, channel, session, sender_name, body, sender_number, seq,
        sender_account, recipient_account, recipient_session, state, flags)
    SELECT * FROM unnest($1::timestamptz[], $2::uuid[], $3::bigint[], $4::text[], $5::uuid[],
        $6::text[], $7::text[], $8::bigint[], $9::bigint[], $10::uuid[], $11::uuid[],
        $12::uuid[], $13::text[], $14::int[])
    ON CONFLICT (at, id) DO NOTHING
"""
_MARK: Final = """
    UPDATE chat SET state = u.state FROM unnest($1::timestamptz[], $2::uuid[], $3::text[])
        AS u (at, id, state)
    WHERE chat.at = u.at AND chat.id = u.id
"""
_COLUMNS: Final = """id, world_id, channel, session, sender_name, body, sender_number, seq,
    sender_account, recipient_account, recipient_session, state, flags"""
_RECENT: Final = text(f"""
    SELECT {_COLUMNS} FROM chat
    WHERE world_id = :world AND channel = :channel AND state = 'published'
    ORDER BY at DESC, seq DESC, id DESC LIMIT :count
""")
_OF_ACCOUNT: Final = text(f"""
    SELECT {_COLUMNS} FROM (
        (SELECT at, {_COLUMNS} FROM chat WHERE sender_account = :account
            ORDER BY at DESC LIMIT :count)
        UNION
        (SELECT at, {_COLUMNS} FROM chat WHERE recipient_account = :account
            ORDER BY at DESC LIMIT :count)
    ) AS heard
    ORDER BY at DESC, seq DESC, id DESC LIMIT :count
""")
_NEWEST_SEQ: Final = text("""
    SELECT max(newest.seq)
    FROM (VALUES ('world'), ('nearby'), ('direct')) AS channels (channel),
        LATERAL (SELECT seq FROM chat
            WHERE world_id = :world AND chat.channel = channels.channel
            ORDER BY at DESC LIMIT :count) AS newest
""")


class ChatStore(Protocol):
    """What is asked of a store of lines. Every call may raise Unavailable."""

    async def write(self, batch: ChatBatch) -> None:
        """All of it or nothing; may be asked again. Raises Refused: it is never taken as it is."""
        ...

    async def recent(self, world_id: int, channel: Channel, count: int) -> list[ChatRow]:
        """The last published lines of a world, the oldest of them first."""
        ...

    async def of_account(self, account: uuid.UUID, count: int) -> list[ChatRow]:
        """The last lines that an account said or was told, in every state, oldest first."""
        ...

    async def newest_seq(self, world_id: int) -> int:
        """The number of the last line of a world: the next one must be higher."""
        ...


class SqlChatStore:
    """A `ChatStore` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, batch: ChatBatch) -> None:
        await self._database.tx(_write, batch)

    async def recent(self, world_id: int, channel: Channel, count: int) -> list[ChatRow]:
        assert channel is not Channel.DIRECT, "what was said to one person is not of a place"
        return await self._database.tx(
            _ask, _RECENT, world=world_id, channel=channel.value, count=_bounded(count)
        )

    async def of_account(self, account: uuid.UUID, count: int) -> list[ChatRow]:
        return await self._database.tx(
            _ask, _OF_ACCOUNT, account=account, count=_bounded(count)
        )

    async def newest_seq(self, world_id: int) -> int:
        return await self._database.tx(_newest_seq, world_id)


def _bounded(count: int) -> int:
    return min(max(count, 0), LINES_ASKED_MAX)


async def _write(connection: AsyncConnection, batch: ChatBatch) -> None:
    await make_durable(connection)
    driver = await driver_of(connection)
    for rows in slices(batch.rows):
        await driver.execute(_INSERT, *_columns(rows))
        await asyncio.sleep(0)
    # Each line once, and all servers in the same order.
    newest = {mark.id: mark.state for mark in batch.marks}
    for ids in slices(sorted(newest)):
        await driver.execute(
            _MARK, [moment_of(id) for id in ids], ids, [newest[id].value for id in ids]
        )


def _columns(rows: Sequence[ChatRow]) -> list[list[Any]]:
    """The parameters of _INSERT."""
    return [
        [row.at for row in rows],
        [row.id for row in rows],
        [row.world_id for row in rows],
        [row.channel.value for row in rows],
        [row.session for row in rows],
        [row.sender_name for row in rows],
        [row.body for row in rows],
        [row.sender_number for row in rows],
        [row.seq for row in rows],
        [row.sender_account for row in rows],
        [row.recipient_account for row in rows],
        [row.recipient_session for row in rows],
        [row.state.value for row in rows],
        [row.flags for row in rows],
    ]


async def _ask(
    connection: AsyncConnection, question: TextClause, **values: object
) -> list[ChatRow]:
    found = (await connection.execute(question, values)).all()
    return [_row(each) for each in reversed(found)]


def _row(found: Sequence[Any]) -> ChatRow:
    (id, world_id, channel, session, name, body, number, seq, sender, *recipient, state,
     flags) = found
    return ChatRow(
        plain(id), world_id, Channel(channel), plain(session), name, body, number, seq,
        plain_or_none(sender), plain_or_none(recipient[0]), plain_or_none(recipient[1]),
        LineState(state), flags,
    )


async def _newest_seq(connection: AsyncConnection, world_id: int) -> int:
    found = await connection.execute(
        _NEWEST_SEQ, {"world": world_id, "count": _NEWEST_LOOKED_AT}
    )
    return found.scalar_one() or 0


class MemoryChatStore:
    """A `ChatStore` that keeps the last LINES_KEPT_MAX lines, for as long as the process lives."""

    def __init__(self) -> None:
        self._lines: dict[uuid.UUID, ChatRow] = {}

    async def write(self, batch: ChatBatch) -> None:
        await trio.lowlevel.checkpoint()
        for row in batch.rows:
            self._lines.setdefault(row.id, row)
        for mark in batch.marks:
            self.mark(mark.id, mark.state)
        while len(self._lines) > LINES_KEPT_MAX:
            del self._lines[next(iter(self._lines))]

    def mark(self, line_id: uuid.UUID, state: LineState) -> ChatRow | None:
        """Say what a line has become; returns it as it is now, None when it is not kept."""
        if line_id not in self._lines:
            return None
        row = self._lines[line_id] = msgspec.structs.replace(self._lines[line_id], state=state)
        return row

    def line(self, line_id: uuid.UUID) -> ChatRow | None:
        """One line."""
        return self._lines.get(line_id)

    async def recent(self, world_id: int, channel: Channel, count: int) -> list[ChatRow]:
        assert channel is not Channel.DIRECT, "what was said to one person is not of a place"
        await trio.lowlevel.checkpoint()
        return self._last(
            [
                row for row in self._lines.values()
                if (row.world_id, row.channel) == (world_id, channel)
                and row.state is LineState.PUBLISHED
            ],
            count,
        )

    async def of_account(self, account: uuid.UUID, count: int) -> list[ChatRow]:
        await trio.lowlevel.checkpoint()
        rows = self._lines.values()
        return self._last(
            [row for row in rows if account in (row.sender_account, row.recipient_account)], count
        )

    async def newest_seq(self, world_id: int) -> int:
        await trio.lowlevel.checkpoint()
        of_world = (row.seq or 0 for row in self._lines.values() if row.world_id == world_id)
        return max(of_world, default=0)

    @staticmethod
    def _last(rows: list[ChatRow], count: int) -> list[ChatRow]:
        rows.sort(key=lambda row: (row.at, row.seq or 0, row.id))
        return rows[len(rows) - min(_bounded(count), len(rows)) :]
