"""Verdicts put right in a running server: by moderators, and at the request of who was judged.

On the real clock, because threads read meanwhile. The rules alone judge here.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from harness import House, open_house, write_world
from test_account_routes import PASSWORD, Caller

from atrium_client import ChatState, Me, Options, connect
from atrium_client.events import ChatRetracted, Event, Noticed
from atrium_server import moderator, verdicts
from atrium_server.persistence.feedback import FeedbackSource, MemoryFeedback
from atrium_server.replication.replicator import warm_up
from atrium_server.reviewing import CONSENT, PASSED, STAYS, UNCOVERED, UNSEEN
from atrium_shared.messages import ChatChannel

URL = "ws://atrium.test"
HELD = "i want to kill myself"
BLOCKED = "kys"
MASKED = "what the fuck"
VERDICTS = "/api/worlds/hall/verdicts"


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[House]:
    warm_up()  # no client waits for kernels that are made anew
    monkeypatch.setattr(moderator, "VERDICT_S_MAX", 20.0)
    async with open_house(worlds=[write_world(tmp_path, "hall")], has_lanes=True) as opened:
        yield opened


async def caller(house: House, name: str = "", **prefs: Any) -> Caller:
    """Somebody with an account, or nobody yet."""
    made = Caller(house.link())
    if name:
        signed = await made.ask("POST", "/api/accounts", {"handle": name, "password": PASSWORD})
        made.token = signed.json["token"]
        if prefs:
            assert (await made.ask("PATCH", "/api/accounts/me", {"prefs": prefs})).status == 200
    return made


async def moderators(house: House) -> Caller:
    lanes = house.server.lanes
    assert lanes is not None
    made = await caller(house, "Mona")
    await lanes.accounts.administration.grant(None, "Mona", "moderator", "hall")
    return made


def person(house: House, name: str = "", token: str = "") -> Any:
    return connect(URL, name=name, stream=house.dial, options=Options(auth_token=token))


async def said(me: Me, text: str, **where: Any) -> tuple[ChatState, str]:
    with trio.fail_after(20):
        outcome = await me.say(text, **where)
    return outcome.state, outcome.reason


async def heard(me: Me) -> str:
    with trio.fail_after(20):
        async for line in me.listen():
            return line.text
    raise AssertionError


def rows(house: House) -> list[Any]:
    lanes = house.server.lanes
    assert lanes is not None
    assert isinstance(lanes.feedback, MemoryFeedback)
    return [kept.row for kept in lanes.feedback.all()]


async def until(me: Me, is_it: Callable[[Event], bool]) -> None:
    with trio.fail_after(20):
        async for event in me.events():
            if is_it(event):
                return


def is_told(sentence: str) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, Noticed) and event.sentence == sentence


async def first(caller: Caller, path: str = VERDICTS) -> Any:
    answer = await caller.ask("GET", path)
    assert answer.status == 200, answer.body
    return answer.json[0]


async def order(caller: Caller, id: str, deed: str, **content: Any) -> Any:
    return await caller.ask("POST", f"{VERDICTS}/{id}/{deed}", content)


async def test_a_held_line_that_a_moderator_lets_pass_is_told_late(house: House) -> None:
    mona = await moderators(house)
    async with person(house, "Ann") as ann, person(house, "Ben") as ben:
        state, reason = await said(ann, HELD)
        assert (state, "moderator" in reason) == (ChatState.REJECTED, True)
        assert (await said(ann, "said later"))[0] is ChatState.PUBLISHED
        assert await heard(ben) == "said later"
        held = await first(mona, f"{VERDICTS}?standing=held")
        assert (held["text"], held["action"], held["category"]) == (HELD, "hold", "self_harm")
        assert (held["shown"], held["name"], held["channel"]) == ("", "Ann", "world")
        done = await order(mona, held["id"], "correct", action="allow")
        assert (done.status, done.json["standing"]) == (200, "shown")
        assert await heard(ben) == f"⏳ {HELD}"
        await until(ann, is_told(PASSED))
        again = await order(mona, held["id"], "correct", action="block", category="threat")
        assert (again.status, again.json["code"]) == (409, "taken")
        assert (await mona.ask("GET", f"{VERDICTS}?standing=held")).json == []


async def test_a_held_line_that_is_refused_stays_unread(house: House) -> None:
    mona = await moderators(house)
    async with person(house, "Ann") as ann, person(house, "Ben") as ben:
        await said(ann, HELD)
        held = await first(mona)
        missing = await order(mona, held["id"], "correct", action="block")
        assert (missing.status, "category" in missing.json["sentence"]) == (400, True)
        done = await order(mona, held["id"], "correct", action="block", category="self_harm")
        assert done.json["standing"] == "kept_back"
        await until(ann, is_told(STAYS))
        await said(ann, "and on")
        assert await heard(ben) == "and on"


async def test_a_late_line_goes_only_to_those_who_may_hear_it(house: House) -> None:
    mona = await moderators(house)
    async with (
        person(house, "Ann") as ann, person(house, "Ben") as ben, person(house, "Cleo") as cleo
    ):
        await said(ann, HELD, to=ben.entity_id)
        held = await first(mona)
        assert held["channel"] == "direct"
        await order(mona, held["id"], "correct", action="allow")
        assert await heard(ben) == f"⏳ {HELD}"
        await said(ann, HELD, channel=ChatChannel.NEARBY)
        nearby = await first(mona, f"{VERDICTS}?standing=held")
        await said(ann, "to all")
        assert await heard(cleo) == "to all"
        await order(mona, nearby["id"], "correct", action="allow")
        assert await heard(cleo) == f"⏳ {HELD}"


async def test_a_line_that_should_not_have_been_shown_is_taken_back(house: House) -> None:
    mona = await moderators(house)
    async with person(house, "Ann") as ann, person(house, "Ben") as ben:
        await said(ann, "you smell")
        assert await heard(ben) == "you smell"
        shown = await first(mona)
        assert (shown["action"], shown["shown"]) == ("allow", "you smell")
        done = await order(
            mona, shown["id"], "correct", action="block", category="insult", reason="It hurts."
        )
        assert done.json["standing"] == "kept_back"
        await until(ben, lambda event: isinstance(event, ChatRetracted))
        async with person(house, "Late") as late:
            await said(ann, "hello, Late")
            assert await heard(late) == "hello, Late"


async def test_what_was_covered_and_need_not_be_is_told_to_its_author(house: House) -> None:
    mona = await moderators(house)
    async with person(house, "Ann") as ann:
        await said(ann, MASKED)
        masked = await first(mona)
        assert (masked["action"], masked["text"], masked["shown"]) == (
            "mask", MASKED, "what the ••••"
        )
        done = await order(mona, masked["id"], "correct", action="allow")
        assert done.json["standing"] == "shown"
        await until(ann, is_told(UNCOVERED))


async def test_only_moderators_of_the_world_look_and_decide(house: House) -> None:
    mona, ada = await moderators(house), await caller(house, "Ada")
    nobody = await caller(house)
    async with person(house, "Ann") as ann:
        await said(ann, HELD)
        held = await first(mona)
        for who, status in ((ada, 403), (nobody, 401)):
            assert (await who.ask("GET", VERDICTS)).status == status
            done = await order(who, held["id"], "correct", action="allow")
            assert done.status == status
        appealed = await order(ada, held["id"], "appeal")
        assert appealed.status == 404
        assert (await ada.ask("GET", f"{VERDICTS}/mine")).json == []
        foreign = await mona.ask(
            "POST", f"{VERDICTS}/{held['id']}/correct", {"action": "allow"},
            origin="https://evil.example",
        )
        assert foreign.status == 403
    unknown = await order(mona, str(uuid.UUID(int=7)), "correct", action="allow")
    assert unknown.status == 404
    assert (await mona.ask("GET", "/api/worlds/nowhere/verdicts")).status in (403, 404)


async def test_without_consent_a_correction_has_its_effect_and_keeps_no_words(
    house: House,
) -> None:
    mona, ada = await moderators(house), await caller(house, "Ada")
    async with person(house, token=ada.token) as me:
        await said(me, BLOCKED)
        done = await order(mona, (await first(mona))["id"], "correct", action="allow")
    assert (done.json["standing"], done.json["is_learnt_from"]) == ("shown", False)
    assert rows(house) == []


async def test_with_consent_a_correction_is_a_row_to_learn_from(house: House) -> None:
    mona, ada = await moderators(house), await caller(house, "Ada", **{CONSENT: True})
    async with person(house, token=ada.token) as me, person(house, "Guest") as guest:
        await said(me, BLOCKED)
        blocked = await first(mona)
        done = await order(mona, blocked["id"], "correct", action="allow")
        assert done.json["is_learnt_from"] is True
        await said(me, "you smell")
        await order(
            mona, (await first(mona))["id"], "correct", action="block", category="insult"
        )
        await said(guest, BLOCKED)
        theirs = await order(mona, (await first(mona))["id"], "correct", action="allow")
        assert theirs.json["is_learnt_from"] is False
    allowed, insulting = rows(house)
    assert (allowed.body, allowed.source) == (BLOCKED, FeedbackSource.CORRECTION)
    assert set(allowed.labels.values()) == {0.0}
    assert (allowed.decision, allowed.has_consent) == ("block insult", True)
    assert (insulting.body, insulting.labels) == ("you smell", {"insult": 1.0})
    exported = await ada.ask("GET", "/api/accounts/me/export")
    assert BLOCKED in exported.body.decode()
    gone = await ada.ask("DELETE", "/api/accounts/me/feedback")
    assert (gone.status, gone.json, rows(house)) == (200, {"removed": 2}, [])


async def test_an_appeal_asks_for_another_look_and_teaches_nothing_by_itself(
    house: House,
) -> None:
    mona, ada = await moderators(house), await caller(house, "Ada")
    async with person(house, token=ada.token) as me, person(house, "Ben") as ben:
        await said(me, BLOCKED, to=ben.entity_id)
        assert (await mona.ask("GET", VERDICTS)).json == []
        mine = await first(ada, f"{VERDICTS}/mine")
        asked = await order(ada, mine["id"], "appeal", why="It is a joke.", may_learn=True)
        assert (asked.status, asked.json["is_kept"]) == (200, True)
        assert (await order(ada, mine["id"], "appeal")).status == 409
        row, = rows(house)
        assert (row.source, row.labels, row.has_consent) == (
            FeedbackSource.APPEAL, {"right": 0.0}, True
        )
        lanes = house.server.lanes
        assert lanes is not None
        assert await lanes.feedback.to_learn("moderation", None, 9) == []
        shown = await first(mona)
        assert (shown["is_appealed"], shown["appeal"]) == (True, "It is a joke.")
        done = await order(mona, shown["id"], "correct", action="allow")
        assert done.json["is_learnt_from"] is True
        assert await heard(ben) == f"⏳ {BLOCKED}"
        learnt, = await lanes.feedback.to_learn("moderation", None, 9)
        assert learnt.row.body == BLOCKED
        assert (await order(ada, mine["id"], "appeal")).status == 409


async def test_appeals_and_thumbs_are_bounded(house: House) -> None:
    ada = await caller(house, "Ada", **{CONSENT: True})
    async with person(house, token=ada.token) as me:
        for _ in range(6):
            await said(me, BLOCKED)
        listed = (await ada.ask("GET", f"{VERDICTS}/mine")).json
        statuses = [(await order(ada, each["id"], "appeal")).status for each in listed]
        assert statuses == [200] * 5 + [429]
        thumbed = await order(ada, listed[0]["id"], "thumb", is_right=False)
        assert thumbed.json["is_kept"] is True
        assert (await order(ada, listed[0]["id"], "thumb", is_right=True)).status == 409
    assert rows(house)[-1].source is FeedbackSource.THUMB


async def test_a_guest_with_a_token_can_appeal_and_leaves_no_words(house: House) -> None:
    mona, guest = await moderators(house), await caller(house)
    signed = await guest.ask("POST", "/api/sign-ins/guest", {"name": "Gus"})
    guest.token = signed.json["token"]
    async with person(house, token=guest.token) as me:
        await said(me, BLOCKED)
        mine = await first(guest, f"{VERDICTS}/mine")
        asked = await order(guest, mine["id"], "appeal", why="a game", may_learn=True)
        assert (asked.status, asked.json["is_kept"]) == (200, False)
        assert (await first(mona))["is_appealed"] is True
        done = await order(mona, mine["id"], "correct", action="allow")
        assert (done.json["standing"], done.json["is_learnt_from"]) == ("shown", False)
    assert rows(house) == []


async def test_too_many_held_lines_are_refused_and_not_published(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdicts, "HELD_PER_PERSON_MAX", 1)
    async with person(house, "Ann") as ann:
        assert "held" in (await said(ann, HELD))[1]
        state, reason = await said(ann, HELD)
        assert (state, reason) == (ChatState.REJECTED, verdicts.YOURS_WAIT)


async def test_what_nobody_looked_at_in_time_is_told(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with person(house, "Ann") as ann:
        await said(ann, HELD)
        monkeypatch.setattr(verdicts, "KEPT_S", -1.0)
        house.server.reviewing.expire()
        await until(ann, is_told(UNSEEN))


async def test_who_deletes_the_account_is_forgotten(house: House) -> None:
    mona, ada = await moderators(house), await caller(house, "Ada", **{CONSENT: True})
    async with person(house, token=ada.token) as me:
        await said(me, HELD)
    assert (await first(mona))["text"] == HELD
    assert (await ada.ask("DELETE", "/api/accounts/me", {"password": PASSWORD})).status == 204
    assert (await mona.ask("GET", VERDICTS)).json == []


async def test_a_world_that_began_anew_is_not_told_lines_of_before(house: House) -> None:
    mona = await moderators(house)
    async with person(house, "Ann") as ann:
        await said(ann, HELD)
    held = await first(mona)
    host = house.host("hall")
    host.inbox = type(host.inbox)(8)
    done = await order(mona, held["id"], "correct", action="allow")
    assert (done.json["standing"], host.inbox.drain().commands) == ("held", [])
    assert "anew" in done.json["sentence"]
