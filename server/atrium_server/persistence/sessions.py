"""Sessions and last places in Postgres.

Theory of operation
-------------------
Rows go as arrays, SLICE_ROWS_MAX in a transaction. The statement that writes them reads the world's
row with a share lock and writes nothing unless the epoch is the claim's: a claim by somebody else
either comes before, and then nothing is written, or waits until the slice is in. So a past owner
never writes behind the back of the next one, and the lock is held for a few milliseconds only,
because the commits of edits wait for it, too.

These transactions do not wait for the disk (synchronous_commit is off): a crash of the machine
may take the last half second of them, which is well within what is promised.

A slice that the database will not take (an account was deleted, a number is still held by a session
of before) is tried by halves, and a row that stands alone first ends whoever holds its number.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.database import Database
from atrium_server.persistence.errors import Fenced, Refused
from atrium_server.persistence.session_rows import (
    CLIENT_BYTES_MAX,
    RESTART_S_MAX,
    Place,
    SessionRow,
    SessionState,
)
from atrium_server.persistence.settled import slices
from atrium_server.persistence.sql_deeds import plain, plain_or_none
from atrium_server.persistence.store import Claim
from atrium_server.persistence.world_store import driver_of
from atrium_shared.limits import SESSIONS_PER_WORLD_MAX

_HASTY: Final = text("SET LOCAL synchronous_commit = off")
_OWNED: Final = "SELECT id FROM world WHERE id = $1 AND owner_epoch = $2 FOR SHARE"
_SAVE: Final = f"""
    WITH owned AS ({_OWNED}), saved AS (
        INSERT INTO session (world_id, saved_at, ended_at, id, number, account_id, guest_name,
            sign_in_id, state, slot, rotation, client, seat_id, chair, last_chat_seq,
            last_request_id, resumable_until, px, py, pz, qx, qy, qz, qw, posed_at)
        SELECT owned.id, $3::timestamptz,
            CASE WHEN u.state = 'over' THEN $3::timestamptz END, u.*,
            CASE WHEN u.px IS NOT NULL THEN $3::timestamptz END
        FROM owned, unnest($4::uuid[], $5::bigint[], $6::uuid[], $7::text[], $8::uuid[],
            $9::text[], $10::int[], $11::int[], $12::jsonb[], $13::uuid[], $14::int[],
            $15::bigint[], $16::bigint[], $17::timestamptz[], $18::float8[], $19::float8[],
            $20::float8[], $21::real[], $22::real[], $23::real[], $24::real[])
            AS u (id, number, account_id, guest_name, sign_in_id, state, slot, rotation, client,
                seat_id, chair, last_chat_seq, last_request_id, resumable_until, px, py, pz,
                qx, qy, qz, qw)
        ON CONFLICT (id) DO UPDATE SET
            world_id = excluded.world_id, saved_at = excluded.saved_at,
            ended_at = excluded.ended_at, number = excluded.number,
            account_id = excluded.account_id, guest_name = excluded.guest_name,
            sign_in_id = excluded.sign_in_id, state = excluded.state, slot = excluded.slot,
            rotation = excluded.rotation, client = excluded.client, seat_id = excluded.seat_id,
            chair = excluded.chair, last_chat_seq = excluded.last_chat_seq,
            last_request_id = excluded.last_request_id,
            resumable_until = excluded.resumable_until,
            px = excluded.px, py = excluded.py, pz = excluded.pz, qx = excluded.qx,
            qy = excluded.qy, qz = excluded.qz, qw = excluded.qw, posed_at = excluded.posed_at
        WHERE session.state <> 'over'
    )
    SELECT count(*) FROM owned
"""
_PLACES: Final = """
    INSERT INTO avatar_pose (world_id, at, account_id, px, py, pz, qx, qy, qz, qw)
    SELECT $1, $2, u.* FROM unnest($3::uuid[], $4::float8[], $5::float8[], $6::float8[],
        $7::real[], $8::real[], $9::real[], $10::real[]) u
    ON CONFLICT (account_id, world_id) DO UPDATE SET at = excluded.at,
        px = excluded.px, py = excluded.py, pz = excluded.pz,
        qx = excluded.qx, qy = excluded.qy, qz = excluded.qz, qw = excluded.qw
"""
_DISPLACE: Final = text("""
    UPDATE session SET state = 'over', ended_at = :now
    WHERE world_id = :world AND number = :number AND state <> 'over' AND id <> :id
""")
_CHECK_OWNER: Final = text(
    "SELECT id FROM world WHERE id = :world AND owner_epoch = :epoch FOR SHARE"
)
_END_UNSEEN: Final = text("""
    UPDATE session SET state = 'over', ended_at = saved_at
    WHERE world_id = :world AND state <> 'over' AND saved_at < :since
    RETURNING id
""")
_LOAD: Final = text("""
    SELECT id, number, account_id, guest_name, sign_in_id, state, slot, rotation, client::text,
        seat_id, chair, last_chat_seq, last_request_id,
        extract(epoch FROM resumable_until)::float8, extract(epoch FROM saved_at)::float8,
        px, py, pz, qx, qy, qz, qw
    FROM session WHERE world_id = :world AND state <> 'over' AND saved_at >= :since
    ORDER BY saved_at DESC, id DESC LIMIT :most
""")
_END_OTHERS: Final = text("""
    UPDATE session SET state = 'over', ended_at = saved_at
    WHERE world_id = :world AND state <> 'over' AND NOT id = ANY(CAST(:kept AS uuid[]))
""")
_PLACE_OF: Final = text("""
    SELECT px, py, pz, qx, qy, qz, qw FROM avatar_pose
    WHERE account_id = :account AND world_id = :world
""")


class SqlSessions:
    """A `session_rows.SessionStore` in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def save(self, claim: Claim, rows: Sequence[SessionRow], now_s: float) -> int:
        refused = 0
        for some in slices(rows):
            refused += await self._save(claim, some, now_s)
        return refused

    async def _save(self, claim: Claim, rows: Sequence[SessionRow], now_s: float) -> int:
        """By halves where the database says no; returns how many it will not take."""
        try:
            await self._database.tx(_save, claim, rows, now_s)
        except Refused:
            if len(rows) > 1:
                middle = len(rows) // 2
                left = await self._save(claim, rows[:middle], now_s)
                return left + await self._save(claim, rows[middle:], now_s)
        else:
            return 0
        try:
            await self._database.tx(_displace, claim, rows[0], now_s)
        except Refused:
            return 1
        return 0

    async def end_unseen(self, claim: Claim, since_s: float) -> int:
        return await self._database.tx(_end_unseen, claim, since_s)

    async def load(self, claim: Claim, now_s: float) -> list[SessionRow]:
        return await self._database.tx(_load, claim, now_s)

    async def place_of(self, account: uuid.UUID, world_id: int) -> Place | None:
        return await self._database.tx(_place_of, account, world_id)


def _moment(unix_s: float) -> datetime:
    return datetime.fromtimestamp(unix_s, UTC)


def _fenced(claim: Claim) -> Fenced:
    return Fenced(f"the world {claim.slug!r} has another owner now")


async def _save(
    connection: AsyncConnection, claim: Claim, rows: Sequence[SessionRow], now_s: float
) -> None:
    await connection.execute(_HASTY)
    driver = await driver_of(connection)
    owned = await driver.fetchval(
        _SAVE, claim.world_id, claim.epoch, _moment(now_s), *_columns(rows)
    )
    if not owned:
        raise _fenced(claim)
    # Of two sessions of one account the one that is still there, else the later one.
    known = sorted(rows, key=lambda row: row.state is not SessionState.OVER)
    places = {row.account: row.place for row in known if row.account and row.place}
    accounts = sorted(places)
    if accounts:
        columns = _place_columns([places[account] for account in accounts])
        await driver.execute(_PLACES, claim.world_id, _moment(now_s), accounts, *columns)


def _columns(rows: Sequence[SessionRow]) -> list[list[Any]]:
    """The parameters $4 to $24 of _SAVE."""
    return [
        [row.id for row in rows],
        [row.number for row in rows],
        [row.account for row in rows],
        [row.guest_name for row in rows],
        [row.sign_in for row in rows],
        [row.state.value for row in rows],
        [row.slot for row in rows],
        [row.rotation for row in rows],
        [_json(row.client) for row in rows],
        [row.seat for row in rows],
        [row.chair for row in rows],
        [row.last_chat_seq for row in rows],
        [row.last_request_id for row in rows],
        [None if row.resumable_until_s is None else _moment(row.resumable_until_s) for row in rows],
        *_place_columns([row.place for row in rows]),
    ]


def _place_columns(places: Sequence[Place | None]) -> list[list[Any]]:
    """Seven columns: position and quaternion."""
    numbers = [
        (None,) * 7 if place is None else (*place.position, *place.rotation) for place in places
    ]
    return [list(column) for column in zip(*numbers, strict=True)]


def _json(data: bytes) -> str:
    if len(data) > CLIENT_BYTES_MAX:
        raise Refused("what a client told of itself is too large")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Refused("what a client told of itself is no text") from error


async def _displace(
    connection: AsyncConnection, claim: Claim, row: SessionRow, now_s: float
) -> None:
    await _check_owner(connection, claim)
    values = {
        "now": _moment(now_s), "world": claim.world_id, "number": row.number, "id": row.id
    }
    await connection.execute(_DISPLACE, values)
    await _save(connection, claim, [row], now_s)


async def _check_owner(connection: AsyncConnection, claim: Claim) -> None:
    values = {"world": claim.world_id, "epoch": claim.epoch}
    if (await connection.execute(_CHECK_OWNER, values)).first() is None:
        raise _fenced(claim)


async def _end_unseen(connection: AsyncConnection, claim: Claim, since_s: float) -> int:
    await connection.execute(_HASTY)
    await _check_owner(connection, claim)
    values = {"world": claim.world_id, "since": _moment(since_s)}
    return len((await connection.execute(_END_UNSEEN, values)).all())


async def _load(connection: AsyncConnection, claim: Claim, now_s: float) -> list[SessionRow]:
    await _check_owner(connection, claim)
    values: dict[str, Any] = {
        "world": claim.world_id, "since": _moment(now_s - RESTART_S_MAX),
        "most": SESSIONS_PER_WORLD_MAX,
    }
    rows = [_row(found) for found in (await connection.execute(_LOAD, values)).all()]
    kept = [row.id for row in rows]
    await connection.execute(_END_OTHERS, {"world": claim.world_id, "kept": kept})
    return rows


def _row(found: Sequence[Any]) -> SessionRow:
    (id, number, account, guest, sign_in, state, slot, rotation, client, seat, chair, chat_seq,
     request_id, until, saved_at, *pose) = found
    return SessionRow(
        plain(id), number, plain_or_none(account), guest, SessionState(state), _place(pose),
        slot, rotation, client.encode(), plain_or_none(seat), chair, chat_seq, request_id,
        until, plain_or_none(sign_in), saved_at,
    )


def _place(pose: Sequence[Any]) -> Place | None:
    x, y, z, *rotation = pose
    if x is None:
        return None
    return Place.of((x, y, z), (rotation[0], rotation[1], rotation[2], rotation[3]))


async def _place_of(
    connection: AsyncConnection, account: uuid.UUID, world_id: int
) -> Place | None:
    values = {"account": account, "world": world_id}
    found = (await connection.execute(_PLACE_OF, values)).first()
    return None if found is None else _place(found)
