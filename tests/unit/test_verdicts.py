"""The desk of verdicts: what is remembered, how long, and what happens when it is full."""

from __future__ import annotations

import itertools

import pytest

from atrium_server import verdicts
from atrium_server.mailbox import Inbox
from atrium_server.moderation.findings import Action, Category, Decision
from atrium_server.verdicts import FULL, YOURS_WAIT, Desk, Said, Standing
from atrium_server.world.commands import JudgeRequest
from atrium_shared.messages import ChatChannel

INBOX = Inbox(8)
NUMBERS = itertools.count(1)


class Clock:
    now_s = 1_900_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(clock: Clock) -> Desk:
    return Desk(clock)


def line(
    text: str = "a line", person: str = "ann", channel: ChatChannel = ChatChannel.WORLD
) -> JudgeRequest:
    return JudgeRequest(next(NUMBERS), 5, channel, text, person)


def take(desk: Desk, said: JudgeRequest, action: Action, *, is_shown: bool = False) -> str:
    category = None if action is Action.ALLOW else Category.THREAT
    decision = Decision(action, said.text, category)
    return desk.take(Said("plaza", said, INBOX, is_shown), decision, "why")


def test_the_newest_come_first_and_of_what_world_counts(desk: Desk, clock: Clock) -> None:
    for text, action in (("one", Action.MASK), ("two", Action.HOLD), ("three", Action.BLOCK)):
        clock.now_s += 1
        assert take(desk, line(text), action) == "why"
    found = desk.of("plaza")
    assert [(each.line.text, each.standing) for each in found] == [
        ("three", Standing.KEPT_BACK), ("two", Standing.HELD), ("one", Standing.SHOWN),
    ]
    assert desk.of("elsewhere") == []
    assert desk.find("elsewhere", found[0].id) is None
    assert desk.find("plaza", found[0].id) is found[0]
    assert desk.held == 1


def test_who_writes_much_pushes_nobody_out(desk: Desk) -> None:
    for _ in range(verdicts.HELD_PER_PERSON_MAX):
        assert take(desk, line(person="flood"), Action.HOLD) == "why"
    assert take(desk, line("one more", "flood"), Action.HOLD) == YOURS_WAIT
    assert take(desk, line("mine", "ben"), Action.HOLD) == "why"
    standings = {each.line.text: each.standing for each in desk.of("plaza")}
    assert standings["one more"] is Standing.KEPT_BACK
    assert standings["mine"] is Standing.HELD
    for number in range(verdicts.HELD_MAX - desk.held):
        assert take(desk, line(person=f"p{number}"), Action.HOLD) == "why"
    assert take(desk, line(person="late"), Action.HOLD) == FULL
    assert desk.held == verdicts.HELD_MAX


def test_a_place_is_free_again_when_a_moderator_has_decided(desk: Desk) -> None:
    for _ in range(verdicts.HELD_PER_PERSON_MAX):
        take(desk, line(), Action.HOLD)
    held = desk.of("plaza")[0]
    desk.settle(held, "allow", Standing.SHOWN)
    assert take(desk, line(), Action.HOLD) == "why"
    assert desk.find("plaza", held.id) is held
    assert (held.corrected, held.standing) == ("allow", Standing.SHOWN)


def test_all_else_is_bounded_too(desk: Desk) -> None:
    for _ in range(verdicts.KEPT_MAX + 5):
        take(desk, line("blocked"), Action.BLOCK)
    for _ in range(verdicts.PASSED_MAX + 5):
        take(desk, line("passed"), Action.ALLOW)
    texts = [each.line.text for each in desk.of("plaza")]
    assert texts.count("blocked") == verdicts.KEPT_MAX
    assert texts.count("passed") == verdicts.PASSED_MAX


def test_what_is_said_to_one_alone_is_not_shown_to_moderators(desk: Desk) -> None:
    for action in (Action.ALLOW, Action.MASK, Action.HOLD, Action.BLOCK):
        take(desk, line(action.name, channel=ChatChannel.DIRECT), action)
    assert [each.line.text for each in desk.of("plaza")] == ["HOLD"]
    mine = desk.of_person("plaza", {"ann"})
    assert sorted(each.line.text for each in mine) == ["BLOCK", "HOLD"]
    next(each for each in mine if each.line.text == "BLOCK").is_appealed = True
    assert len(desk.of("plaza")) == 2


def test_a_line_that_is_taken_back_is_there_once(desk: Desk) -> None:
    said = line()
    take(desk, said, Action.ALLOW)
    take(desk, said, Action.HOLD, is_shown=True)
    found, = desk.of("plaza")
    assert (found.standing, found.is_retracted) == (Standing.HELD, True)


def test_what_nobody_could_look_at_is_no_verdict(desk: Desk) -> None:
    busy = Decision(Action.BLOCK, "a line")
    assert desk.take(Said("plaza", line(), INBOX), busy, "busy") == "busy"
    assert desk.of("plaza") == []


def test_one_sees_ones_own_verdicts_but_for_what_was_let_pass(desk: Desk) -> None:
    take(desk, line("ok"), Action.ALLOW)
    take(desk, line("mine"), Action.BLOCK)
    take(desk, line("yours", "ben"), Action.BLOCK)
    assert [each.line.text for each in desk.of_person("plaza", {"ann"})] == ["mine"]


def test_after_a_day_all_is_forgotten_and_what_waited_is_told(desk: Desk, clock: Clock) -> None:
    take(desk, line("held"), Action.HOLD)
    take(desk, line("blocked"), Action.BLOCK)
    clock.now_s += verdicts.KEPT_S - 1
    assert desk.expire() == []
    take(desk, line("new"), Action.HOLD)
    clock.now_s += 1
    assert [each.line.text for each in desk.expire()] == ["held"]
    assert [each.line.text for each in desk.of("plaza")] == ["new"]
    assert desk.held == 1


def test_somebody_who_is_gone_for_good_is_forgotten(desk: Desk) -> None:
    for action in Action:
        take(desk, line(), action)
        take(desk, line(person="ben"), action)
    desk.forget("ann")
    assert {each.line.person for each in desk.of("plaza")} == {"ben"}
    assert desk.held == 1
