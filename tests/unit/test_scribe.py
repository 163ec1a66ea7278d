"""Lines that are taken back are marked in the store, however late and however many."""

from __future__ import annotations

import uuid

import pytest
import trio

from atrium_server import scribe as scribes
from atrium_server.persistence import chat_log
from atrium_server.persistence.chat_log import Channel, ChatLog
from atrium_server.persistence.chat_store import MemoryChatStore
from atrium_server.scribe import Scribe
from atrium_server.seats import Session
from atrium_shared.messages import Capabilities, ChatChannel, ChatPublished, ChatState, ChatStatus

WORLD = 3


class Kept:
    """A scribe, and a store that takes what it has when it is told to."""

    def __init__(self) -> None:
        self.scribe = Scribe(ChatLog(0.0), lambda: 1_900_000_000.0)
        self.store = MemoryChatStore()
        self.author = Session(1, 0, Capabilities(), 0, uuid=uuid.uuid4().bytes, name="Ann")

    def say(self, seq: int) -> None:
        line = ChatPublished(seq, ChatChannel.WORLD, 5, "Ann", f"line {seq}", 0)
        status = ChatStatus(seq, ChatState.PUBLISHED, seq, "")
        self.scribe.take(WORLD, self.author, line, lambda status: None, status)

    async def write(self) -> None:
        log = self.scribe.log
        while (batch := log.cut(0.0)) is not None:
            await self.store.write(batch)
            log.done(batch, 0.0)
            self.scribe.told(log.take_told())

    async def read(self) -> list[int | None]:
        return [row.seq for row in await self.store.recent(WORLD, Channel.WORLD, 100)]


@pytest.fixture
def kept() -> Kept:
    return Kept()


async def test_a_line_that_was_taken_back_is_not_found_any_more(kept: Kept) -> None:
    for seq in (1, 2, 3):
        kept.say(seq)
    kept.scribe.retract(WORLD, 2)
    await kept.write()
    assert await kept.read() == [1, 3]
    kept.scribe.retract(WORLD, 1)
    await kept.write()
    assert await kept.read() == [3]
    kept.scribe.retract(WORLD, 1)
    kept.scribe.retract(WORLD + 1, 3)
    kept.scribe.retract(WORLD, 99)
    await kept.write()
    assert await kept.read() == [3]


async def test_marks_that_have_no_room_wait(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat_log, "MARKS_MAX", 1)
    for seq in (1, 2, 3):
        kept.say(seq)
    for seq in (1, 2, 3):
        kept.scribe.retract(WORLD, seq)
    await kept.write()
    assert await kept.read() == []


async def test_only_the_newest_are_remembered(
    kept: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scribes, "WRITTEN_MAX", 2)
    for seq in (1, 2, 3):
        kept.say(seq)
    for seq in (1, 2, 3):
        kept.scribe.retract(WORLD, seq)
    await trio.lowlevel.checkpoint()
    await kept.write()
    assert await kept.read() == [1]
