"""The pace, the patience and the end of who writes lines, on a mock clock."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from atrium_server.persistence import chat_writer
from atrium_server.persistence.chat_log import Channel, ChatBatch, ChatLog, ChatRow, Told
from atrium_server.persistence.chat_store import LINES_KEPT_MAX, MemoryChatStore
from atrium_server.persistence.chat_writer import ChatNumbers, ChatWriter
from atrium_server.persistence.errors import Refused, Unavailable
from atrium_server.persistence.schema import uuid7
from atrium_server.telemetry import Registry


class LongestPauses(random.Random):
    """Draws the upper end of every range."""

    def uniform(self, a: float, b: float) -> float:
        return b


class TestStore(MemoryChatStore):
    """Fails while `gone` says so, refuses `bad` lines, and notes when it was asked."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__()
        self.gone: Callable[[], bool] = lambda: False
        self.bad = ""
        self.slow_s = 0.0
        self.asked: list[float] = []

    async def write(self, batch: ChatBatch) -> None:
        self.asked.append(trio.current_time())
        await trio.sleep(self.slow_s)
        if self.gone():
            raise Unavailable("gone")
        if any(row.body == self.bad for row in batch.rows):
            raise Refused("no such words")
        await super().write(batch)


def line(number: int) -> ChatRow:
    id = uuid7(1_000.0, number.to_bytes(10, "big"))
    return ChatRow(id, 1, Channel.WORLD, id, "Ada", f"line {number}", seq=number)


class Room:
    def __init__(self) -> None:
        self.store = TestStore()
        self.log = ChatLog(trio.current_time())
        self.told: list[Told] = []
        self.registry = Registry()
        numbers = ChatNumbers.of(self.registry)
        self.writer = ChatWriter(self.log, self.store, self.told.extend, numbers)

    async def run(self) -> None:
        await self.writer.run(LongestPauses())

    def kept(self) -> list[bool]:
        return [each.is_kept for each in self.told]


@asynccontextmanager
async def running(room: Room) -> AsyncGenerator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(room.run)
        yield
        room.writer.close()


async def test_lines_of_one_period_are_one_commit(autojump_clock: MockClock) -> None:
    room = Room()
    async with running(room):
        for number in range(4):
            room.log.take(line(number))
            await trio.sleep(chat_writer.PERIOD_S / 2)
    assert len(room.store.asked) == 2
    assert room.kept() == [True] * 4
    assert await room.store.recent(1, Channel.WORLD, 9) == [line(number) for number in range(4)]


async def test_an_outage_is_waited_for_with_patience(autojump_clock: MockClock) -> None:
    room = Room()
    room.store.gone = lambda: len(room.store.asked) < 8
    async with running(room):
        room.log.take(line(1))
        await trio.sleep(4.0)
        assert room.kept() == [True]
    pauses = [
        round(b - a, 3) for a, b in zip(room.store.asked, room.store.asked[1:], strict=False)
    ]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5, 0.5]
    assert "atrium_chat_store_retries_total 7" in room.registry.render()


async def test_a_bad_line_is_found_out_within_one_period(autojump_clock: MockClock) -> None:
    room = Room()
    room.store.bad = "line 77"
    for number in range(900):
        room.log.take(line(number))
    async with running(room):
        await trio.sleep(chat_writer.PERIOD_S * 1.5)
        assert len(room.told) == 900
    assert [each.id for each in room.told if not each.is_kept] == [line(77).id]
    assert "atrium_chat_store_unkept_total 1" in room.registry.render()


async def test_a_commit_under_way_is_not_cut_off(autojump_clock: MockClock) -> None:
    room = Room()
    room.store.slow_s = 2.0
    room.log.take(line(1))
    with trio.move_on_after(1.0):
        await room.run()
    assert room.kept() == [True]
    assert room.writer.unwritten == 0


async def test_the_end_flushes_what_waits(autojump_clock: MockClock) -> None:
    room = Room()
    async with running(room):
        await trio.sleep(1.01)
        for number in range(2_500):
            room.log.take(line(number))
    assert room.kept() == [True] * 2_500


@pytest.mark.parametrize("hangs", [False, True])
async def test_the_end_does_not_wait_for_ever(autojump_clock: MockClock, hangs: bool) -> None:
    room = Room()
    room.store.gone = lambda: True
    room.store.slow_s = 1_000.0 if hangs else 0.0
    room.log.take(line(1))
    with trio.move_on_after(1.0):
        await room.run()
    assert trio.current_time() <= room.store.asked[0] + 1.0 + chat_writer.FLUSH_S_MAX
    assert room.told == [], "nobody is told what nobody knows"
    assert room.writer.unwritten == 1


async def test_a_bug_is_raised_as_it_is(autojump_clock: MockClock) -> None:
    room = Room()

    def broken() -> bool:
        raise ZeroDivisionError

    room.store.gone = broken
    room.log.take(line(1))
    with pytest.raises(ZeroDivisionError):
        await room.run()


async def test_memory_keeps_the_newest() -> None:
    store = MemoryChatStore()
    rows = tuple(line(number) for number in range(LINES_KEPT_MAX + 5))
    await store.write(ChatBatch(rows, ()))
    assert store.line(rows[4].id) is None
    assert store.line(rows[5].id) == rows[5]
