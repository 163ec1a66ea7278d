"""Who is in a world, in a real Postgres: fenced, lossy as promised, and back after a crash."""

from __future__ import annotations

import math
import random
import sys
import uuid
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

import msgspec
import pytest
import trio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

sys.path.insert(0, str(Path(__file__).parent))

from records import NASTY, NOW_S, claim_world, execute, fetch, make_account, open_proxy

from atrium_server.persistence.database import Database, open_database
from atrium_server.persistence.errors import Ambiguous, Fenced
from atrium_server.persistence.memory_sessions import MemorySessions
from atrium_server.persistence.session_rows import (
    CLIENT_BYTES_MAX,
    RESTART_S_MAX,
    Place,
    SessionRow,
    SessionState,
    SessionStore,
)
from atrium_server.persistence.session_writer import SessionNumbers, SessionWriter
from atrium_server.persistence.sessions import SqlSessions
from atrium_server.persistence.store import Claim
from atrium_server.persistence.world_store import SqlWorldStore
from atrium_shared.limits import SESSIONS_PER_WORLD_MAX

HERE = Place((1.5, 0.25, -7.125), 2.5)
OVER = SessionState.OVER


@pytest.fixture
async def database(database_url: str, nursery: trio.Nursery) -> AsyncGenerator[Database]:
    async with open_database(nursery, database_url) as opened:
        yield opened


@pytest.fixture(params=["postgres", "memory"])
def store(request: pytest.FixtureRequest, database: Database) -> SessionStore:
    return SqlSessions(database) if request.param == "postgres" else MemorySessions()


def guest(number: int, /, **values: object) -> SessionRow:
    given: dict[str, object] = {
        "id": uuid.UUID(int=number), "number": number, "account": None,
        "guest_name": f"guest {number}", "state": SessionState.ACTIVE, "place": HERE, **values,
    }
    return SessionRow(**given)  # type: ignore[arg-type]


def is_near(one: Place | None, other: Place | None) -> bool:
    assert one is not None
    assert other is not None
    turned = math.remainder(one.yaw_rad - other.yaw_rad, math.tau)
    return one.position == other.position and abs(turned) < math.tau / 4_096 / 8


async def test_all_that_is_said_of_a_session_comes_back(database: Database) -> None:
    store, claim = SqlSessions(database), await claim_world(database)
    ada = await make_account(database, 1)
    await execute(database, "INSERT INTO sign_in (id, account_id, token_hash, expires_at)"
                            " VALUES (:id, :id, sha256('x'), now() + interval '1 day')", id=ada)
    full = SessionRow(
        uuid.UUID(int=5), 2**32 - 1, ada, None, SessionState.RESUMABLE, HERE, 9, 3,
        msgspec.json.encode({"name": NASTY[0]}), uuid.UUID(int=6), 7, 2**31, 2**32 - 1,
        NOW_S + 30.25, ada,
    )
    names = [guest(20 + number, guest_name=name[:64]) for number, name in enumerate(NASTY)]
    assert await store.save(claim, [full, guest(1, place=None), *names], NOW_S) == 0
    loaded = {row.id: row for row in await store.load(claim, NOW_S + 1)}
    assert [loaded[row.id].guest_name for row in names] == [row.guest_name for row in names]
    assert loaded[uuid.UUID(int=1)].place is None
    back = loaded[full.id]
    assert is_near(back.place, full.place)
    assert msgspec.json.decode(back.client) == msgspec.json.decode(full.client)
    given = {"place": None, "client": b"", "saved_at_s": 0.0}
    assert back.saved_at_s == NOW_S
    assert msgspec.structs.replace(back, **given) == msgspec.structs.replace(full, **given)
    assert is_near(await store.place_of(ada, claim.world_id), HERE)


@pytest.mark.parametrize("steps", [0, 1, 1_024, 2_047, 2_048, 2_049, 4_095])
def test_a_yaw_of_the_wire_survives_a_short_float(steps: int) -> None:
    yaw = steps * math.tau / 4_096
    x, y, z, w = (memoryview(bytearray(4)).cast("f") for _ in range(4))
    for cell, value in zip((x, y, z, w), Place((0, 0, 0), yaw).rotation, strict=True):
        cell[0] = value
    back = Place.of((0, 0, 0), (x[0], y[0], z[0], w[0]))
    assert round(back.yaw_rad * 4_096 / math.tau) % 4_096 == steps


async def test_the_newest_is_kept_and_what_is_over_stays_over(
    store: SessionStore, database: Database
) -> None:
    claim = await claim_world(database)
    await store.save(claim, [guest(1), guest(2), guest(3)], NOW_S)
    away = guest(2, state=SessionState.RESUMABLE, resumable_until_s=NOW_S + 31, rotation=1)
    await store.save(claim, [guest(1, last_chat_seq=9), away, guest(3, state=OVER)], NOW_S + 1)
    if isinstance(store, SqlSessions):
        await store.save(claim, [guest(3)], NOW_S + 2)  # a row that comes late
        ended = await fetch(database, "SELECT number FROM session WHERE ended_at IS NOT NULL")
        assert ended == [(3,)]
    loaded = {row.number: row for row in await store.load(claim, NOW_S + 3)}
    assert loaded.keys() == {1, 2}
    assert loaded[1].last_chat_seq == 9
    assert (loaded[2].state, loaded[2].rotation) == (SessionState.RESUMABLE, 1)
    assert loaded[2].resumable_until_s == NOW_S + 31


async def test_a_past_owner_writes_nothing(store: SessionStore, database: Database) -> None:
    claim = await claim_world(database)
    ada = await make_account(database, 1)
    mine = guest(1, account=ada, guest_name=None)
    await store.save(claim, [mine, guest(2)], NOW_S)
    second = await claim_world(database)
    assert {row.number for row in await store.load(second, NOW_S)} == {1, 2}
    moved = msgspec.structs.replace(mine, place=Place((9.0, 9.0, 9.0), 0.0))
    for late in (
        store.save(claim, [moved, guest(3)], NOW_S + 1),
        store.save(claim, [guest(2, state=OVER)], NOW_S + 1),
        store.end_unseen(claim, NOW_S + 1),
        store.load(claim, NOW_S + 1),
    ):
        with pytest.raises(Fenced, match="another owner"):
            await late
    assert {row.number for row in await store.load(second, NOW_S)} == {1, 2}
    assert is_near(await store.place_of(ada, claim.world_id), HERE)


async def claim_slowly(connection: AsyncConnection) -> None:
    await connection.execute(text("UPDATE world SET owner_epoch = owner_epoch + 1"))
    await connection.execute(text("SELECT pg_sleep(0.5)"))


async def test_who_writes_while_another_claims_waits_and_is_fenced(database: Database) -> None:
    """Else it would be seen by nobody when the next owner loads, and be there afterwards."""
    claim = await claim_world(database)
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(0%'" \
        " AND state = 'active' AND pid <> pg_backend_pid()"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.tx, claim_slowly)
        with trio.fail_after(20):
            while await fetch(database, asleep) == [(0,)]:
                pass
        for late in (
            SqlSessions(database).save(claim, [guest(1)], NOW_S),
            SqlSessions(database).end_unseen(claim, NOW_S),
        ):
            with pytest.raises(Fenced):
                await late
    assert await fetch(database, "SELECT count(*) FROM session") == [(0,)]


async def test_those_that_were_not_seen_are_over(store: SessionStore, database: Database) -> None:
    claim = await claim_world(database)
    await store.save(claim, [guest(1), guest(2)], NOW_S)
    await store.save(claim, [guest(2), guest(3)], NOW_S + 5)
    assert await store.end_unseen(claim, NOW_S + 5) == 1
    assert {row.number for row in await store.load(claim, NOW_S + 6)} == {2, 3}


async def test_only_sessions_of_before_the_restart_come_back(
    store: SessionStore, database: Database
) -> None:
    claim = await claim_world(database)
    await store.save(claim, [guest(1)], NOW_S - RESTART_S_MAX - 1)
    await store.save(claim, [guest(2)], NOW_S - RESTART_S_MAX + 1)
    assert [row.number for row in await store.load(claim, NOW_S)] == [2]
    assert [row.number for row in await store.load(claim, NOW_S - 10)] == [2], "1 is over now"


async def test_a_session_travels_with_its_id(database: Database) -> None:
    store, claim = SqlSessions(database), await claim_world(database)
    garden = await claim_world(database, "garden")
    await store.save(claim, [guest(1), guest(2)], NOW_S)
    await store.save(garden, [guest(1)], NOW_S + 1)
    assert [row.number for row in await store.load(claim, NOW_S + 2)] == [2]
    assert [row.number for row in await store.load(garden, NOW_S + 2)] == [1]


async def test_rows_that_are_never_taken_do_not_hold_up_the_others(database: Database) -> None:
    store, claim = SqlSessions(database), await claim_world(database)
    nobody = uuid.UUID(int=404)
    bad = {
        7: guest(7, account=nobody, guest_name=None),
        8: guest(8, place=Place((math.nan, 0, 0), 0)),
        100: guest(100, client=b"[]"),
        101: guest(101, client=b'{"a": "' + b"x" * CLIENT_BYTES_MAX + b'"}'),
        150: guest(150, guest_name="x" * 65),
        199: guest(199, client=b"\xff"),
    }
    rows = [bad.get(number) or guest(number) for number in range(300)]
    assert await store.save(claim, rows, NOW_S) == len(bad)
    loaded = {row.number for row in await store.load(claim, NOW_S)}
    assert loaded == set(range(300)) - bad.keys()


async def test_a_number_that_is_used_again_ends_its_last_holder(database: Database) -> None:
    store, claim = SqlSessions(database), await claim_world(database)
    await store.save(claim, [guest(1), guest(2)], NOW_S)
    await store.save(claim, [guest(900, number=1), guest(901, number=3)], NOW_S + 1)
    loaded = {row.number: row.id.int for row in await store.load(claim, NOW_S + 1)}
    assert loaded == {1: 900, 2: 2, 3: 901}


async def test_the_place_of_who_is_still_there_is_kept(database: Database) -> None:
    """One person with two devices, of which one has left."""
    store, claim = SqlSessions(database), await claim_world(database)
    ada = await make_account(database, 1)
    there = Place((5.0, 0.0, 5.0), 0.0)
    both = [
        guest(1, account=ada, guest_name=None, place=there),
        guest(2, account=ada, guest_name=None, state=OVER),
    ]
    await store.save(claim, both, NOW_S)
    assert is_near(await store.place_of(ada, claim.world_id), there)
    assert await store.place_of(ada, 99) is None


async def test_these_commits_do_not_wait_for_the_disk(database: Database) -> None:
    store, claim = SqlSessions(database), await claim_world(database)
    await execute(database, """
        CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.guest_name = current_setting('synchronous_commit'); RETURN NEW; END $$""")
    await execute(database, "CREATE TRIGGER seen BEFORE INSERT ON session FOR EACH ROW"
                            " EXECUTE FUNCTION seen()")
    await store.save(claim, [guest(1)], NOW_S)
    assert (await store.load(claim, NOW_S))[0].guest_name == "off"


async def test_a_whole_world_is_written_and_loaded(database: Database) -> None:
    store, claim = SqlSessions(database), await claim_world(database)
    rows = [guest(number) for number in range(SESSIONS_PER_WORLD_MAX)]
    for later in range(2):
        assert await store.save(claim, rows, NOW_S + later) == 0
    assert len(await store.load(claim, NOW_S + 2)) == SESSIONS_PER_WORLD_MAX


@pytest.mark.parametrize("drop", ["before", "after"])
async def test_a_lost_answer_is_made_good_by_writing_again(
    drop: str, database: Database, nursery: trio.Nursery
) -> None:
    claim = await claim_world(database)
    async with (
        open_proxy(database.address.url) as (proxy, url),
        open_database(nursery, url, 1) as distant,
    ):
        store = SqlSessions(distant)
        proxy.drop = drop
        with pytest.raises(Ambiguous):
            await store.save(claim, [guest(1)], NOW_S)
        await store.save(claim, [guest(1, last_request_id=7)], NOW_S + 1)
    (row,) = await SqlSessions(database).load(claim, NOW_S + 1)
    assert row.last_request_id == 7


class People:
    """A source of sessions."""

    def __init__(self) -> None:
        self.rows = {number: guest(number) for number in range(1, 501)}

    def numbers(self) -> Sequence[int]:
        return [*self.rows]

    def row(self, number: int) -> SessionRow | None:
        return self.rows.get(number)


async def run_until_fenced(writer: SessionWriter, told: list[str]) -> None:
    try:
        await writer.run(random.Random(1))
    except Fenced as error:
        told.append(str(error))


async def claim_when_some_are_there(database: Database) -> Claim:
    with trio.fail_after(20):
        while await fetch(database, "SELECT count(*) > 100 FROM session") == [(False,)]:
            pass
    return await SqlWorldStore(database).claim("hall", "here")


async def test_a_writer_ends_when_its_world_is_lost(database: Database) -> None:
    claim = await claim_world(database)
    people, told = People(), list[str]()
    writer = SessionWriter(
        people, SqlSessions(database), claim, lambda: NOW_S, SessionNumbers()
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run_until_fenced, writer, told)
        for number in range(1, 301):
            writer.touch(number)
        await claim_when_some_are_there(database)
    assert told
