"""Rules and a model decide on texts, in time, and take back what should not have passed."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import trio
from trio.testing import MockClock

from atrium_server import moderator as moderators
from atrium_server.inference.lane import Lane
from atrium_server.inference.rows import Array
from atrium_server.inference.slots import Loaded
from atrium_server.inference.worker import Device
from atrium_server.mailbox import Inbox
from atrium_server.moderation.findings import Action, Category, Decision, Finding
from atrium_server.moderation.policy import NAMES, POLICIES, PolicyName
from atrium_server.moderation.reading import Read, Text
from atrium_server.moderation.sentences import BUSY, UNREAD, UNSURE
from atrium_server.moderator import LABELS, Answer, Case, Moderator, Tally
from atrium_server.reader import Reader, Told
from atrium_server.registry.signature import Field, Signature
from atrium_server.verdicts import Desk
from atrium_server.world.commands import Judged, JudgeRequest, SignJudged, SignRequest, Withdraw
from atrium_server.world_judge import WorldJudge
from atrium_shared import limits
from atrium_shared.messages import ChatChannel

STANDARD, STRICT = POLICIES[PolicyName.STANDARD], POLICIES[PolicyName.STRICT]
SCORES = Signature(
    (Field("ids", "int64", is_bag=True),), (Field("scores", "float32", (len(LABELS),)),)
)


class Words:
    """Rules that know three words; the features of a text are the codes of its characters."""

    def __init__(self) -> None:
        self.slices: list[int] = []
        self.may_read = threading.Event()
        self.may_read.set()
        self.forgotten: list[str | float] = []

    def forget(self, who: str) -> None:
        self.forgotten.append(who)

    def forget_before(self, now_s: float) -> None:
        self.forgotten.append(now_s)

    def read(self, texts: Sequence[Text]) -> list[Read]:
        self.may_read.wait(20)
        self.slices.append(len(texts))
        return [self._one(text.text) for text in texts]

    def _one(self, text: str) -> Read:
        if "crash" in text:
            raise RuntimeError("a bug")
        found = tuple(
            Finding(category, severity, text.index(word), text.index(word) + len(word), "list:en")
            for word, category, severity in (
                ("darn", Category.PROFANITY, 0.5), ("slur", Category.HATE, 0.9),
                ("alone", Category.SELF_HARM, 0.6),
            ) if word in text
        )
        return Read(found, text.lower(), np.array([ord(each) for each in text], np.int64))


class Scores:
    """A model for which a `!` is toxic, a `?` half so, and two of those are whole."""

    signature = SCORES

    def __init__(self) -> None:
        self.rows: list[int] = []
        self.error: Exception | None = None
        self.started = threading.Event()
        self.may_end = threading.Event()
        self.may_end.set()

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        self.started.set()
        self.may_end.wait(20)
        if self.error is not None:
            raise self.error
        offsets = inputs["ids_offsets"]
        self.rows.append(len(offsets) - 1)
        out = np.zeros((len(offsets) - 1, len(LABELS)), np.float32)
        for row in range(len(out)):
            ids = inputs["ids"][offsets[row]:offsets[row + 1]]
            out[row, 0] = min(1.0, (ids == ord("!")).sum() + 0.4 * (ids == ord("?")).sum())
        return {"scores": out}


@dataclass
class House:
    """A moderator and what it works with."""

    moderator: Moderator
    words: Words
    model: Scores
    lane: Lane
    held: list[Case] = field(default_factory=list[Case])
    tally: dict[str, int] = field(default_factory=dict[str, int])

    async def check(self, text: str, policy: Any = STANDARD) -> Answer:
        return await self.moderator.check(text, policy)

    def consider(self, *texts: str, policy: Any = STANDARD, place: str = "") -> list[Answer]:
        told: list[Answer] = []
        self.moderator.consider([
            Case(text, policy, told.append, "somebody", place) for text in texts
        ])
        return told


Open = Callable[[], Any]


@asynccontextmanager
async def house(*, has_model: bool = True) -> AsyncGenerator[House]:
    words, model, lane = Words(), Scores(), Lane(Device())
    tally: dict[str, int] = {}

    def count(name: str) -> Callable[..., None]:
        def add(*_: object) -> None:
            tally[name] = tally.get(name, 0) + 1
        return add

    reader, held = Reader(words), list[Case]()
    moderator = Moderator(
        reader, lane if has_model else None,
        Tally(count("decided"), count("late"), count("retracted"), count("remembered")),
        lambda case, decision: held.append(case),
    )
    if has_model:
        lane.slots.of(moderators.MODEL).live = Loaded(moderators.MODEL, "7", model)
    async with trio.open_nursery() as nursery:
        await nursery.start(reader.run)
        await nursery.start(lane.run)
        nursery.start_soon(moderator.run)
        yield House(moderator, words, model, lane, held, tally)
        nursery.cancel_scope.cancel()


async def until(told: list[Answer], count: int) -> None:
    """Threads work outside of the clock: look again until they have told so much."""
    with trio.fail_after(1e6):
        while len(told) < count:
            await trio.to_thread.run_sync(threading.Event().wait, 0.001)


async def test_a_harmless_line_is_allowed_and_says_by_whom() -> None:
    async with house() as it:
        answer = await it.check("hello there")
        assert answer == Answer(Decision(Action.ALLOW, "hello there", model="moderation@7"), "")


async def test_the_rules_cover_words_and_block_without_asking_the_model() -> None:
    async with house() as it:
        masked = await it.check("darn it")
        assert (masked.decision.action, masked.decision.text) == (Action.MASK, "•••• it")
        assert it.model.rows == [1]
        blocked = await it.check("you slur")
        assert blocked.decision.action is Action.BLOCK
        assert "hate" in blocked.reason
        assert it.model.rows == [1]


async def test_the_model_blocks_what_the_rules_let_pass() -> None:
    async with house() as it:
        answer = await it.check("go away!")
        assert (answer.decision.action, answer.decision.category) == (Action.BLOCK, Category.TOXIC)
        assert answer.decision.source == "model:moderation"


async def test_lines_of_a_tick_are_rows_of_one_job() -> None:
    async with house() as it:
        told = it.consider(*(f"line {k}" for k in range(100)))
        await until(told, 100)
        assert it.model.rows == [100]
        assert max(it.words.slices) <= 32


async def test_what_was_said_before_is_remembered_in_its_normal_form() -> None:
    async with house() as it:
        assert (await it.check("Go Away!")).decision.action is Action.BLOCK
        assert (await it.check("go away!")).decision.action is Action.BLOCK
        assert it.model.rows == [1]
        assert it.tally["remembered"] == 1
        it.lane.slots.of(moderators.MODEL).live = Loaded(moderators.MODEL, "8", it.model)
        await it.check("go away!")
        assert it.model.rows == [1, 1], "another version has its own word"


async def test_a_borderline_line_is_seen_with_those_before() -> None:
    async with house() as it:
        for place, expected in (("a", Action.ALLOW), ("b", Action.ALLOW), ("a", Action.BLOCK)):
            told = it.consider(f"well? {place}{expected}", place=place)
            await until(told, 1)
            assert told[0].decision.action is expected


async def test_who_speaks_of_hurting_themselves_is_held_and_helped() -> None:
    async with house() as it:
        answer = await it.check("I am so alone")
        assert answer.decision.action is Action.HOLD
        assert "emergency number" in answer.reason
        assert [case.text for case in it.held] == ["I am so alone"]


async def test_after_a_while_the_rules_decide_and_the_model_may_take_back(
    mock_clock: MockClock,
) -> None:
    async with house() as it:
        it.model.may_end.clear()
        bad, fine = it.consider("go away!"), it.consider("stay")
        await trio.to_thread.run_sync(it.model.started.wait, 20)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(moderators.VERDICT_S_MAX - 0.001)
        await trio.testing.wait_all_tasks_blocked()
        assert (bad, fine) == ([], [])
        mock_clock.jump(0.002)
        await trio.testing.wait_all_tasks_blocked()
        assert [bad[0].decision.action, fine[0].decision.action] == [Action.ALLOW] * 2
        it.model.may_end.set()
        await until(bad, 2)
        assert bad[1].is_late
        assert bad[1].decision.action is Action.BLOCK
        assert len(fine) == 1
        assert (it.tally["late"], it.tally["retracted"], it.tally["decided"]) == (2, 1, 2)


async def test_a_strict_world_goes_on_holding(mock_clock: MockClock) -> None:
    async with house() as it:
        it.model.may_end.clear()
        told = it.consider("hello", policy=STRICT)
        await trio.to_thread.run_sync(it.model.started.wait, 20)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(moderators.VERDICT_S_MAX * 2)
        await trio.testing.wait_all_tasks_blocked()
        assert told == []
        mock_clock.jump(moderators.HELD_S_MAX)
        await trio.testing.wait_all_tasks_blocked()
        assert [each.reason for each in told] == [UNSURE]
        it.model.may_end.set()


async def test_a_model_that_fails_leaves_it_to_the_rules() -> None:
    async with house() as it:
        it.model.error = ValueError("no")
        assert (await it.check("go away!")).decision.action is Action.ALLOW
        assert (await it.check("you slur")).decision.action is Action.BLOCK


async def test_without_a_model_the_rules_decide_alone() -> None:
    async with house(has_model=False) as it:
        assert (await it.check("go away!")).decision.action is Action.ALLOW
        assert (await it.check("darn")).decision.text == "••••"


async def test_a_bug_in_the_rules_silences_one_line_and_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with house() as it:
        told = it.consider("one", "crash me", "two")
        await until(told, 3)
        assert sorted(each.reason for each in told) == ["", "", UNREAD]
        assert "crash me" not in caplog.text


async def test_more_than_may_wait_is_refused() -> None:
    async with house() as it:
        it.words.may_read.clear()
        first = it.consider(*["x"] * limits.MODERATION_WAITING_MAX)
        second = it.consider("y")
        await trio.testing.wait_all_tasks_blocked()
        assert [each.reason for each in second] == [BUSY]
        it.words.may_read.set()
        await until(first, limits.MODERATION_WAITING_MAX)
        assert (await it.check("y")).decision.action is Action.ALLOW


async def test_the_judge_of_a_world_answers_into_its_inbox() -> None:
    async with house() as it:
        judge, inbox = WorldJudge(it.moderator, STANDARD, "plaza", Desk(lambda: 1.0)), Inbox(8)
        commands: list[Any] = []
        judge.consider([
            JudgeRequest(1, 5, ChatChannel.WORLD, "darn it", "ann"),
            JudgeRequest(2, 5, ChatChannel.WORLD, "go away!", "ann"),
        ], inbox)
        judge.consider_signs([SignRequest(b"p" * 16, "you slur")], inbox)
        while len(commands) < 3:
            await trio.to_thread.run_sync(threading.Event().wait, 0.001)
            commands.extend(inbox.drain().commands)
        assert Judged(1, True, "•••• it", "") in commands
        lines = {each.line_id: each for each in commands if isinstance(each, Judged)}
        assert (lines[2].publish, lines[2].text) == (False, "go away!")
        sign = next(each for each in commands if isinstance(each, SignJudged))
        assert (sign.publish, sign.asked) == (False, "you slur")


async def test_a_late_verdict_withdraws_the_line(mock_clock: MockClock) -> None:
    async with house() as it:
        judge, inbox = WorldJudge(it.moderator, STANDARD, "plaza", Desk(lambda: 1.0)), Inbox(8)
        it.model.may_end.clear()
        judge.consider([JudgeRequest(4, 5, ChatChannel.WORLD, "go away!", "ann")], inbox)
        await trio.to_thread.run_sync(it.model.started.wait, 20)
        await trio.testing.wait_all_tasks_blocked()
        mock_clock.jump(1.1 * moderators.VERDICT_S_MAX)
        await trio.testing.wait_all_tasks_blocked()
        assert inbox.drain().commands == [Judged(4, True, "go away!", "")]
        it.model.may_end.set()
        commands: list[Any] = []
        while not commands:
            await trio.to_thread.run_sync(threading.Event().wait, 0.001)
            commands.extend(inbox.drain().commands)
        assert isinstance(commands[0], Withdraw)
        assert commands[0].line_id == 4


def test_no_policy_acts_on_scores_that_are_left_out() -> None:
    for policy in [*POLICIES.values(), NAMES]:
        for thresholds in policy.scores.values():
            least = min(thresholds.mask, thresholds.hold, thresholds.block)
            assert least > moderators.SCORE_LEAST, policy


async def test_what_is_remembered_of_people_is_forgotten_by_the_thread_that_has_it() -> None:
    words, told = Words(), list[Any]()
    reader = Reader(words)
    reader.forget("ann")
    reader.forget_before(60.0)
    reader.read([Text("after it")], told.append)
    assert words.forgotten == []
    async with trio.open_nursery() as nursery:
        await nursery.start(reader.run)
        await until(told, 1)
        nursery.cancel_scope.cancel()
    assert words.forgotten == ["ann", 60.0]


async def test_lines_of_before_are_forgotten_when_they_count_no_more(
    mock_clock: MockClock
) -> None:
    async with house() as it:
        await until(it.consider("one", place="p"), 1)
        assert len(it.moderator._contexts) == 1
        it.moderator.forget_before(trio.current_time() + moderators.CONTEXT_S_MAX)
        assert len(it.moderator._contexts) == 1
        it.moderator.forget_before(trio.current_time() + moderators.CONTEXT_S_MAX + 1)
        assert len(it.moderator._contexts) == 0


async def test_many_texts_are_read_and_decided_on_in_pieces() -> None:
    sizes: list[int] = []

    class Pieces(Reader):
        def read(self, texts: Sequence[Text], told: Told) -> None:
            sizes.append(len(texts))
            super().read(texts, told)

    reader, told = Pieces(Words()), list[str]()
    async with trio.open_nursery() as nursery:
        await nursery.start(reader.run)
        moderator = Moderator(reader, None)
        count = 3 * moderators.PIECE_TEXTS + 1
        moderator.consider([
            Case(f"line {k}", STANDARD, lambda answer, k=k: told.append(str(k)))
            for k in range(count)
        ])
        while len(told) < count:
            await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert told == [str(k) for k in range(count)]
    assert sizes == [moderators.PIECE_TEXTS] * 3 + [1]
