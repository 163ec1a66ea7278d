"""Signs that were published before are judged once more, and only a verdict takes them off."""

from __future__ import annotations

from typing import Any

import pytest

from atrium_server.mailbox import Inbox
from atrium_server.moderation.findings import Action, Category, Decision
from atrium_server.moderator import Answer, Case
from atrium_server.world import commands as c
from atrium_server.world.building import Building
from atrium_server.world.commands import SignJudged, SignRequest
from atrium_server.world.props import Prop
from atrium_server.world.rechecks import PER_TICK, Rechecks
from atrium_server.world_judge import WorldJudge
from atrium_shared.messages import SignState, SignStatus
from atrium_shared.props import Shape, Sign, Transform

HERE = Transform()
OLD = b"s" * 16


def building(text: str = "old words", pending: str = "") -> Building:
    """A world that was loaded with a sign, and in which its owner is."""
    made = Building(30)
    made.load({OLD: Prop(HERE, Sign(text=text), owner="ann", pending=pending)}, bytes(16))
    made.enter(c.Join(1, "Ann", "", b"u" * 16, author="ann", rights=1))
    return made


def verdict(made: Building, asked: str, text: str, *, publish: bool) -> c.TickOutput:
    out = c.TickOutput()
    made.judged(SignJudged(OLD, asked, publish, text, "" if publish else "not here"), out)
    return out


def shown(made: Building) -> tuple[str, str]:
    prop = made.props.get(OLD)
    assert prop is not None
    assert isinstance(prop.properties, Sign)
    return prop.properties.text, prop.pending


def test_all_signs_are_asked_about_once_a_few_each_tick() -> None:
    ids = [k.to_bytes(16, "big") for k in range(PER_TICK + 3)]
    made, props = Rechecks(), Building(30)
    stored = {one: Prop(HERE, Sign(text=f"sign {k}")) for k, one in enumerate(ids)}
    stored[b"x" * 16] = Prop(HERE, Sign(text=""))
    stored[b"y" * 16] = Prop(HERE, Shape())
    props.load(stored, bytes(16))
    made.load(stored)
    asked: list[list[SignRequest]] = []
    for _ in range(3):
        out = c.TickOutput()
        made.ask(props.props, out)
        asked.append(out.signs)
    assert [len(each) for each in asked] == [PER_TICK, 3, 0]
    assert [each.prop_id for part in asked for each in part] == ids
    assert all(each.is_published for part in asked for each in part)


def test_what_passes_again_stays_and_is_no_edit() -> None:
    made = building()
    out = verdict(made, "old words", "old words", publish=True)
    assert (shown(made), out.edits, out.tells) == (("old words", ""), [], [])


def test_what_does_not_pass_any_more_is_taken_off_and_its_owner_told() -> None:
    made = building()
    out = verdict(made, "old words", "old words", publish=False)
    assert shown(made) == ("", "")
    assert [edit.op for edit in out.edits] == ["publish"]
    status = next(tell.message for tell in out.tells if isinstance(tell.message, SignStatus))
    assert (status.state, status.reason) == (SignState.REJECTED, "not here")


def test_what_passes_in_part_is_covered() -> None:
    made = building()
    verdict(made, "old words", "old •••••", publish=True)
    assert shown(made) == ("old •••••", "")


def test_a_text_that_waits_goes_on_waiting() -> None:
    made = building(pending="new words")
    verdict(made, "old words", "old words", publish=False)
    assert shown(made) == ("", "new words")
    verdict(made, "new words", "new words", publish=True)
    assert shown(made) == ("new words", "")


def test_a_verdict_on_what_it_says_no_longer_does_nothing() -> None:
    made = building()
    out = verdict(made, "other words", "other words", publish=False)
    assert (shown(made), out.edits) == (("old words", ""), [])


class Decided:
    """A moderator that answers at once."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    def consider(self, cases: list[Case]) -> None:
        for case in cases:
            case.told(self.answer)


@pytest.mark.parametrize(("is_published", "category", "answers"), [
    (True, None, 0), (True, Category.HATE, 1), (False, None, 1), (False, Category.HATE, 1),
])
def test_what_could_not_be_judged_stays_if_it_was_published(
    is_published: bool, category: Category | None, answers: int
) -> None:
    moderator: Any = Decided(Answer(Decision(Action.BLOCK, "old", category), "why"))
    anything: Any = None
    inbox = Inbox(8)
    judge = WorldJudge(moderator, anything, "plaza", anything)
    judge.consider_signs([SignRequest(OLD, "old", is_published)], inbox)
    assert len(inbox.drain().commands) == answers
