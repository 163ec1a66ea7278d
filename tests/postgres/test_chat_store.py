"""Lines in a real Postgres: written once, found again, never lost because of another."""

from __future__ import annotations

import random
import sys
import uuid
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

sys.path.insert(0, str(Path(__file__).parent))

from records import NASTY, execute, fetch, line_id, open_clone, open_proxy

from atrium_server.persistence.chat_log import (
    Channel,
    ChatBatch,
    ChatLog,
    ChatRow,
    LineState,
    Mark,
    Told,
)
from atrium_server.persistence.chat_store import ChatStore, MemoryChatStore, SqlChatStore
from atrium_server.persistence.chat_writer import ChatNumbers, ChatWriter
from atrium_server.persistence.database import Database, open_database
from atrium_server.persistence.errors import Ambiguous

SESSION = uuid.UUID(int=1 << 64)
ADA, BOB = uuid.UUID(int=1), uuid.UUID(int=2)
EVENT_S_MAX = 20.0


@pytest.fixture
async def database(database_url: str, nursery: trio.Nursery) -> AsyncGenerator[Database]:
    async with open_database(nursery, database_url) as opened:
        yield opened


@pytest.fixture(params=["postgres", "memory"])
async def store(
    request: pytest.FixtureRequest, postgres: Any, nursery: trio.Nursery
) -> AsyncGenerator[ChatStore]:
    if request.param == "postgres":
        async with open_clone(postgres, nursery) as opened:
            yield SqlChatStore(opened)
    else:
        yield MemoryChatStore()


def line(number: int, body: str = "hello", **values: object) -> ChatRow:
    given: dict[str, object] = {
        "id": line_id(number), "world_id": 1, "channel": Channel.WORLD, "session": SESSION,
        "sender_name": "Ada", "body": body, "seq": number, **values,
    }
    return ChatRow(**given)  # type: ignore[arg-type]


def batch(*rows: ChatRow, marks: tuple[Mark, ...] = ()) -> ChatBatch:
    return ChatBatch(rows, marks)


async def test_what_was_said_is_found_again(store: ChatStore) -> None:
    full = line(
        1, "to you", channel=Channel.DIRECT, sender_account=ADA, recipient_account=BOB,
        recipient_session=uuid.UUID(int=9), sender_number=7, flags=3,
    )
    await store.write(batch(full, *(line(number) for number in range(2, 452))))
    await store.write(batch(line(452, world_id=2), line(453, channel=Channel.NEARBY)))
    assert await store.of_account(BOB, 10) == await store.of_account(ADA, 10) == [full]
    recent = await store.recent(1, Channel.WORLD, 3)
    assert [row.seq for row in recent] == [449, 450, 451], "oldest first"
    assert recent[-1] == line(451)
    assert len(await store.recent(1, Channel.WORLD, 10_000)) == 450
    assert [row.seq for row in await store.recent(2, Channel.WORLD, 3)] == [452]
    assert await store.recent(3, Channel.WORLD, 3) == []
    assert [await store.newest_seq(world) for world in (1, 2, 3)] == [453, 452, 0]


async def test_text_is_text_whatever_is_in_it(store: ChatStore) -> None:
    said = [line(number, body, sender_name=body[:10]) for number, body in enumerate(NASTY)]
    await store.write(batch(*said))
    assert await store.recent(1, Channel.WORLD, 100) == said


async def test_a_batch_that_is_tried_again_is_written_once(store: ChatStore) -> None:
    await store.write(batch(line(1), line(2)))
    await store.write(batch(line(2, "changed"), line(3)))
    assert [row.body for row in await store.recent(1, Channel.WORLD, 9)] == ["hello"] * 3


async def test_a_line_that_was_taken_back_is_not_told_again(store: ChatStore) -> None:
    await store.write(batch(line(1, sender_account=ADA), line(2), line(3)))
    marks = (Mark(line_id(1), LineState.RETRACTED), Mark(line_id(3), LineState.REJECTED),
             Mark(line_id(99), LineState.RETRACTED))
    await store.write(batch(line(4), marks=marks))
    assert [row.seq for row in await store.recent(1, Channel.WORLD, 9)] == [2, 4]
    (row,) = await store.of_account(ADA, 9)
    assert row.state is LineState.RETRACTED, "who moderates still sees it"
    assert await store.newest_seq(1) == 4


async def test_what_was_said_to_one_is_not_asked_by_place(store: ChatStore) -> None:
    with pytest.raises(AssertionError, match="one person"):
        await store.recent(1, Channel.DIRECT, 10)


async def test_lines_are_on_disk_even_where_the_server_was_set_to_be_hasty(
    database: Database,
) -> None:
    await execute(database, """
        CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN NEW.body = current_setting('synchronous_commit'); RETURN NEW; END $$""")
    await execute(database, "CREATE TRIGGER seen BEFORE INSERT ON chat FOR EACH ROW"
                            " EXECUTE FUNCTION seen()")
    await SqlChatStore(database).write(batch(line(1)))
    assert await fetch(database, "SELECT body FROM chat") == [("on",)]


# --- the writer --------------------------------------------------------------------------


class Room:
    """A log with its writer, and what was told."""

    def __init__(self, store: ChatStore) -> None:
        self.log = ChatLog(trio.current_time())
        self.told: dict[uuid.UUID, Told] = {}
        self.said = 0
        self.writer = ChatWriter(self.log, store, self.hear, ChatNumbers())

    def hear(self, told: list[Told]) -> None:
        for each in told:
            assert each.id not in self.told, "told twice"
            self.told[each.id] = each

    async def until(self, count: int) -> None:
        with trio.fail_after(EVENT_S_MAX):
            while len(self.told) < count:  # noqa: ASYNC110 - the database's affair
                await trio.sleep(0.005)

    async def talk(self, condition: Callable[[], bool]) -> None:
        """Say something again and again until that holds."""
        with trio.fail_after(EVENT_S_MAX):
            while not condition():
                self.said += 1
                self.log.take(line(self.said))
                await trio.sleep(0.002)

    async def run(self) -> None:
        await self.writer.run(random.Random(1))


async def test_lines_that_are_never_taken_do_not_hold_up_the_others(database: Database) -> None:
    room = Room(SqlChatStore(database))
    bad = {
        10: line(10, "zero \x00"), 500: line(500, "x" * 2_001), 501: line(501, "half \ud800"),
        999: line(999, sender_name=""), 1_500: line(1_500, seq=1 << 70),
    }
    for number in range(2_000):
        room.log.take(bad.get(number) or line(number))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(room.run)
        await room.until(2_000)
        room.writer.close()
    unkept = {id for id, told in room.told.items() if not told.is_kept}
    assert unkept == {row.id for row in bad.values()}
    assert all(room.told[id].sentence for id in unkept)
    assert await fetch(database, "SELECT count(*) FROM chat") == [(2_000 - len(bad),)]


@pytest.mark.parametrize("drop", ["before", "after"])
async def test_a_line_whose_answer_is_lost_is_there_once(
    drop: str, database: Database, nursery: trio.Nursery
) -> None:
    async with (
        open_proxy(database.address.url) as (proxy, url),
        open_database(nursery, url, 1) as distant,
    ):
        store = SqlChatStore(distant)
        proxy.drop = drop
        with pytest.raises(Ambiguous):
            await store.write(batch(line(1)))
        await store.write(batch(line(1), line(2)))
        assert await fetch(database, "SELECT seq FROM chat ORDER BY at") == [(1,), (2,)]


async def test_lost_answers_under_load_lose_and_double_nothing(
    database: Database, nursery: trio.Nursery
) -> None:
    async with (
        open_proxy(database.address.url) as (proxy, url),
        open_database(nursery, url, 2) as distant,
        trio.open_nursery() as inner,
    ):
        room = Room(SqlChatStore(distant))
        inner.start_soon(room.run)
        for number in range(6):
            proxy.drop = ("after", "before")[number % 2]
            await room.talk(lambda number=number: proxy.dropped > number)
        room.writer.close()
    assert len(room.told) == room.said
    assert all(told.is_kept for told in room.told.values())
    written = await fetch(database, "SELECT seq FROM chat ORDER BY seq")
    assert written == [(number,) for number in range(1, room.said + 1)]


