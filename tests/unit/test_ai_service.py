"""Apps ask the models: in pieces that are short, within their time, and after the worlds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pytest
import trio
from trio.testing import MockClock

from atrium_server.ai.service import (
    PIECE_CHARS,
    PIECE_TEXTS,
    READER_TEXTS_MAX,
    AbsentError,
    AiService,
    BusyError,
)
from atrium_server.moderation.policy import POLICIES, PolicyName
from atrium_server.moderation.reading import Read, Text
from atrium_server.reader import Told

STANDARD = POLICIES[PolicyName("standard")]


class Slow:
    """A reader that reads when it is told to."""

    def __init__(self) -> None:
        self.waiting = 0
        self.given: list[tuple[list[str], Told]] = []

    def read(self, texts: Sequence[Text], told: Told) -> None:
        self.given.append(([text.text for text in texts], told))

    def read_one(self) -> list[str]:
        texts, told = self.given.pop(0)
        told([Read((), text, np.zeros(0, np.int64)) for text in texts])
        return texts

    async def read_all(self) -> list[list[str]]:
        pieces: list[list[str]] = []
        while True:
            await trio.testing.wait_all_tasks_blocked()
            if not self.given:
                return pieces
            pieces.append(self.read_one())


def asked(reader: Slow) -> AiService:
    return AiService(cast(Any, reader), None)


async def judge(ai: AiService, *texts: str, deadline_s: float = 10.0) -> list[str]:
    _, judged = await ai.moderate(texts, STANDARD, deadline_s=deadline_s, who="key")
    return [each.decision.text for each in judged]


async def test_texts_come_to_the_reader_in_short_pieces() -> None:
    reader = Slow()
    ai = asked(reader)
    texts = [*["a"] * 20, *["b" * PIECE_CHARS] * 3, "c" * 4_000, *["d" * 90] * 12, ""]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(judge, ai, *texts)
        pieces = await reader.read_all()
    assert [text for piece in pieces for text in piece] == texts
    for piece in pieces:
        assert len(piece) <= PIECE_TEXTS
        assert len(piece) == 1 or sum(map(len, piece)) <= PIECE_CHARS


async def test_one_piece_is_with_the_reader_at_a_time_and_all_have_their_turn() -> None:
    reader = Slow()
    ai = asked(reader)
    async with trio.open_nursery() as nursery:
        for letter in "ab":
            nursery.start_soon(judge, ai, *[letter] * 2 * PIECE_TEXTS)
        order: list[str] = []
        for _ in range(4):
            await trio.testing.wait_all_tasks_blocked()
            assert len(reader.given) == 1
            order.append(reader.read_one()[0])
    assert sorted(order[:2]) == ["a", "b"]


async def test_a_reader_that_is_behind_delays_nobody_beyond_their_time(
    autojump_clock: MockClock,
) -> None:
    reader = Slow()
    ai = asked(reader)
    began = trio.current_time()
    with pytest.raises(BusyError) as caught:
        await judge(ai, "hello", deadline_s=0.5)
    assert (trio.current_time() - began, caught.value.spent) == (0.5, 0)
    with pytest.raises(BusyError):  # nothing more is given while that piece is there
        await judge(ai, "again", deadline_s=0.5)
    assert len(reader.given) == 1
    reader.read_one()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(judge, ai, "now")
        assert await reader.read_all() == [["now"]]


async def test_what_was_read_for_who_allowed_too_little_time_is_told(
    autojump_clock: MockClock,
) -> None:
    reader = Slow()
    ai = asked(reader)
    spent: list[int] = []

    async def ask() -> None:
        with pytest.raises(BusyError) as caught:
            await judge(ai, *["a"] * (3 * PIECE_TEXTS), deadline_s=0.5)
        spent.append(caught.value.spent)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask)
        for _ in range(2):
            while not reader.given:
                await trio.lowlevel.checkpoint()
            reader.read_one()
    assert spent == [2 * PIECE_TEXTS]


async def test_while_the_worlds_have_much_to_read_apps_are_shed() -> None:
    reader = Slow()
    ai = asked(reader)
    reader.waiting = READER_TEXTS_MAX + 1
    for _ in range(2):
        with pytest.raises(BusyError) as caught:
            await judge(ai, "hello")
        assert caught.value.spent == 0
    assert reader.given == []
    reader.waiting = 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(judge, ai, "hello")
        assert await reader.read_all() == [["hello"]]


async def test_a_policy_that_publishes_nothing_unjudged_needs_a_model() -> None:
    reader = Slow()
    with pytest.raises(AbsentError):
        await asked(reader).moderate(
            ["hello"], POLICIES[PolicyName("strict")], deadline_s=1.0, who="key"
        )
    assert reader.given == []
