"""People's own safety and looks, through a whole server: what others cannot get round."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio
from harness import House, Said, Witness, open_house, root_body, write_world
from trio.testing import MockClock

from atrium_server.arrivals import join_of
from atrium_server.attendance import session_of
from atrium_server.net.requests import Identity
from atrium_server.persistence.chat_store import MemoryChatStore
from atrium_server.persistence.conduct_rows import CaseState
from atrium_server.persistence.errors import Unavailable
from atrium_server.persistence.memory_conduct import MemoryConduct
from atrium_server.persistence.relations import MemoryRelations, RelationWriter
from atrium_server.persistence.session_rows import CLIENT_BYTES_MAX
from atrium_server.reports import PATIENCE_S, Reports
from atrium_server.safety import SafetyLanes, regards_of
from atrium_server.world.commands import Judged, JudgeRequest
from atrium_server.world.relations import Regard
from atrium_server.world.world import World
from atrium_shared import edits, limits, pose, props
from atrium_shared import messages as m
from atrium_shared.errors import ErrorCode
from atrium_shared.snapshot import View

ALL = m.Capabilities(features=("avatars", "relations", "markers", "history"))
MUTE, HIDE, BLOCK = (int(one) for one in (m.Relation.MUTE, m.Relation.HIDE, m.Relation.BLOCK))
_requests = itertools.count(1)


@pytest.fixture
async def worlds(tmp_path: Path, autojump_clock: MockClock) -> AsyncGenerator[House]:
    """A hall, where one arrives, and a garden; nearby is 5 m."""
    paths = [write_world(tmp_path, name, tick_rate_hz=10) for name in ("hall", "garden")]
    async with open_house(worlds=paths) as house:
        yield house


class Guest:
    """A guest who hears everything, and what is known of the others by what was heard."""

    def __init__(self, witness: Witness) -> None:
        self.witness, self.peer = witness, witness.peer

    @property
    def entity(self) -> int:
        return self.welcomes[-1].entity_id

    @property
    def welcomes(self) -> list[m.Welcome]:
        return [self.witness.welcome, *self.heard(m.Welcome)]

    def heard(self, kind: type[Said]) -> list[Said]:
        return self.witness.heard_of(kind)

    def seen(self) -> dict[int, m.EnterEntry]:
        """Who is in view, by entity."""
        held: dict[int, m.EnterEntry] = {}
        for message in self.witness.heard:
            match message:
                case m.Welcome():
                    held = {}
                case m.Enter():
                    held |= {entry.index: entry for entry in message.entries}
                case m.Leave():
                    held = {k: one for k, one in held.items() if k not in message.indexes}
                case _:
                    pass
        return {entry.entity_id: entry for entry in held.values()}

    def lines(self) -> list[str]:
        return [line.text for line in self.heard(m.ChatPublished)]

    def relations(self) -> list[tuple[str, int, int]]:
        """(name, relation, entity) of the newest list."""
        newest = self.heard(m.Relations)[-1]
        return [(one.name, one.relation, one.entity_id) for one in newest.entries]

    async def ask(self, message: m.Message) -> m.Result:
        """Say something with a request, and wait for its answer."""
        await self.peer.say(message)
        with trio.fail_after(5):
            while True:
                for result in self.heard(m.Result):
                    if result.request_id == message.request_id:  # type: ignore[attr-defined]
                        return result
                await trio.sleep(0.02)

    async def relate(self, other: Guest | int, relation: int) -> m.Result:
        entity = other if isinstance(other, int) else other.entity
        return await self.ask(m.Relate(next(_requests), entity, "", relation))

    async def shelter(self, is_on: bool) -> m.Result:
        return await self.ask(m.SafeZone(next(_requests), is_on))

    async def say(self, text: str, channel: m.ChatChannel, target: int = 0) -> None:
        await self.peer.say(m.ChatSubmit(next(_requests), channel, target, text))
        await trio.sleep(0.3)

    async def show_all(self, tag: str, other: Guest) -> None:
        """Everything that one can say and show."""
        await self.say(f"{tag} world", m.ChatChannel.WORLD)
        await self.say(f"{tag} nearby", m.ChatChannel.NEARBY)
        await self.say(f"{tag} direct", m.ChatChannel.DIRECT, other.entity)
        await self.peer.say(m.EmoteSubmit(7))
        await self.peer.say(m.MarkerSubmit((0.0, 0.0, 0.0), 0.0))
        await trio.sleep(1.0)


async def guest(house: House, name: str, **changes: Any) -> Guest:
    changes = {"capabilities": ALL, "avatar": f"{name}.glb", **changes}
    found = Guest(await house.witness(name, **changes))
    await trio.sleep(0.5)
    return found


async def back(house: House, one: Guest, name: str, **changes: Any) -> Guest:
    """The same session on a new link."""
    token = one.welcomes[-1].resume_token
    one.peer.stream.cut()  # type: ignore[attr-defined] -- a memory link
    await trio.sleep(0.5)
    return await guest(house, name, resume_token=token, **changes)


def expressions(one: Guest, entity: int) -> list[m.Message]:
    """What was heard of somebody, but for lines."""
    return [
        said for said in one.witness.heard
        if isinstance(said, m.Emote | m.Marker) and said.entity_id == entity
    ]


# --- mute, hide, block ---------------------------------------------------------------------------


async def test_who_is_muted_is_not_heard_and_does_not_learn_it(
    worlds: House, autojump_clock: MockClock
) -> None:
    ann, ben, cat = [await guest(worlds, name) for name in ("Ann", "Ben", "Cat")]
    assert (await ann.relate(ben, MUTE)).code == ErrorCode.OK
    assert ann.relations() == [("Ben", MUTE, ben.entity)]
    await ben.show_all("ben", ann)
    assert ann.lines() == []
    assert expressions(ann, ben.entity) == []
    assert cat.lines() == ["ben world", "ben nearby"]
    assert len(expressions(cat, ben.entity)) == 2
    states = [status.state for status in ben.heard(m.ChatStatus)]
    assert states == [m.ChatState.PENDING, m.ChatState.PUBLISHED] * 3, "as if it had been read"
    assert ben.lines() == ["ben world", "ben nearby", "ben direct"]
    assert ann.seen()[ben.entity].name == "Ben", "to mute is not to hide"
    await ann.show_all("ann", ben)
    assert ben.lines()[3:] == ["ann world", "ann nearby", "ann direct"]
    assert (await ann.relate(ben, 0)).code == ErrorCode.OK
    assert ann.relations() == []
    await ben.say("again", m.ChatChannel.NEARBY)
    assert ann.lines()[-1] == "again"


async def test_who_is_hidden_is_a_silhouette_at_once(
    worlds: House, autojump_clock: MockClock
) -> None:
    ann, ben = await guest(worlds, "Ann"), await guest(worlds, "Ben")
    assert ann.seen()[ben.entity] == m.EnterEntry(
        0, ben.entity, m.EntityKind.AVATAR, "Ben", "Ben.glb"
    )
    assert (await ann.relate(ben, HIDE)).code == ErrorCode.OK
    await trio.sleep(0.2)
    seen = ann.seen()[ben.entity]
    assert (seen.name, seen.avatar) == ("", "")
    assert ben.seen()[ann.entity].name == "Ann"
    changed = await ben.ask(m.AvatarSubmit(next(_requests), "other.glb"))
    assert changed.code == ErrorCode.OK
    await trio.sleep(0.3)
    assert ann.heard(m.Appearance) == []
    assert [one.avatar for one in ben.heard(m.Appearance)] == ["other.glb"]
    await ann.relate(ben, 0)
    await trio.sleep(0.2)
    assert ann.seen()[ben.entity].avatar == "other.glb"


async def test_of_a_silhouette_no_points_are_told(worlds: House, autojump_clock: MockClock) -> None:
    ann, ben = worlds.peer(), await guest(worlds, "Ben")
    mine = await ann.join("Ann", capabilities=ALL)
    await ann.say(m.Relate(1, ben.entity, "", HIDE))
    await ann.expect(m.Result)
    view, seen = View(), 0
    for seq in range(1, 60):
        row = worlds.host().world.tables.poses.rows[:1].copy()
        row[0, pose.X] += 10
        body = pose.encode_bodies(row, np.zeros((1, pose.EXTRA_BYTES), np.uint8), 3)
        await ben.peer.say(m.Pose(seq, 0, 0, body.tobytes()))
        snapshot = await ann.expect(m.Snapshot)
        for index in view.apply(snapshot.tick, snapshot.body).tolist():
            seen += 1
            assert view.parts[index] == 0
    assert seen > 5
    assert mine.entity_id != ben.entity


async def test_a_block_is_from_both_sides(worlds: House, autojump_clock: MockClock) -> None:
    ann, ben, cat = [await guest(worlds, name) for name in ("Ann", "Ben", "Cat")]
    assert (await ann.relate(ben, BLOCK)).code == ErrorCode.OK
    await trio.sleep(0.2)
    await ann.show_all("ann", ben)
    await ben.show_all("ben", ann)
    for one, other in ((ann, ben), (ben, ann)):
        assert one.seen()[other.entity].name == ""
        assert expressions(one, other.entity) == []
        assert [line.sender_id for line in one.heard(m.ChatPublished)] == [one.entity] * 3
    assert len(cat.lines()) == 4
    assert ben.relations() == [], "it is nobody else's list"
    # Nor does doing something about a silhouette tell its name.
    await ben.relate(ann, MUTE)
    assert ben.relations() == [("", MUTE, ann.entity)]


class Slow:
    """A judge whose verdicts are the test's."""

    def __init__(self) -> None:
        self.asked: list[JudgeRequest] = []

    def consider(self, requests: list[JudgeRequest], inbox: object) -> None:
        self.asked += requests

    def consider_signs(self, requests: object, inbox: object) -> None:
        pass


async def test_a_line_under_way_keeps_to_the_block_of_its_author_who_left(
    worlds: House, autojump_clock: MockClock
) -> None:
    ann, ben, cat = [await guest(worlds, name) for name in ("Ann", "Ben", "Cat")]
    await ann.relate(ben, BLOCK)
    host, judge = worlds.host(), Slow()
    object.__setattr__(host.parts, "judge", judge)
    await ann.say("my last word", m.ChatChannel.WORLD)
    await ann.peer.say(m.Bye())
    await trio.sleep(0.5)
    (asked,) = judge.asked
    host.inbox.must(Judged(asked.line_id, True, asked.text, ""))
    await trio.sleep(0.5)
    assert cat.lines() == ["my last word"]
    assert ben.lines() == []


async def test_relations_hold_after_a_resume_and_so_for_lines_of_before(
    worlds: House, autojump_clock: MockClock
) -> None:
    ann, ben = await guest(worlds, "Ann"), await guest(worlds, "Ben")
    ann.peer.stream.cut()  # type: ignore[attr-defined]
    await trio.sleep(0.3)
    await ben.say("while you were away", m.ChatChannel.WORLD)
    again = await guest(worlds, "Ann", resume_token=ann.welcomes[-1].resume_token)
    assert again.lines() == ["while you were away"]
    await again.relate(ben, BLOCK)
    third = await back(worlds, again, "Ann")
    assert third.relations() == [("Ben", BLOCK, ben.entity)]
    assert third.lines() == [], "of before the block, and asked for after it"
    assert third.seen()[ben.entity].name == ""
    assert [entry.name for enter in third.heard(m.Enter) for entry in enter.entries] == [""]


async def test_relations_go_along_to_another_world(
    worlds: House, autojump_clock: MockClock
) -> None:
    ann, ben = await guest(worlds, "Ann"), await guest(worlds, "Ben")
    await ann.relate(ben, BLOCK)
    for one in (ann, ben):
        await one.peer.say(m.Travel(next(_requests), "garden"))
        await trio.sleep(0.5)
        body = root_body()
        flags = int(pose.Flags.EPOCH)
        await one.peer.say(m.Pose(1, 0, 0, body[:1] + bytes((flags,)) + body[2:]))
    await trio.sleep(3.0)
    assert ann.welcomes[-1].world == "garden"
    entered = ann.witness.heard[ann.witness.heard.index(ann.welcomes[-1]):]
    names = [
        entry.name for enter in entered if isinstance(enter, m.Enter) for entry in enter.entries
    ]
    assert names == [""], "not one tick with a name"
    assert ann.relations() == [("Ben", BLOCK, ben.entity)], "told again as he came after her"


async def test_who_went_can_still_be_muted(worlds: House, autojump_clock: MockClock) -> None:
    ann, ben = await guest(worlds, "Ann"), await guest(worlds, "Ben")
    await ben.peer.say(m.Bye())
    await trio.sleep(0.5)
    assert (await ann.relate(ben, MUTE)).code == ErrorCode.OK
    assert ann.relations() == [("Ben", MUTE, 0)]
    person = ann.heard(m.Relations)[-1].entries[0].person
    assert (await ann.ask(m.Relate(next(_requests), 0, person, 0))).code == ErrorCode.OK
    assert ann.relations() == []


async def test_the_name_of_who_blocked_one_is_not_learned_when_that_one_went(
    worlds: House, autojump_clock: MockClock
) -> None:
    ann, ben = await guest(worlds, "Ann"), await guest(worlds, "Ben")
    assert (await ben.relate(ann, BLOCK)).code == ErrorCode.OK
    await trio.sleep(0.5)
    await ben.peer.say(m.Bye())
    await trio.sleep(0.5)
    assert (await ann.relate(ben, MUTE)).code == ErrorCode.OK
    assert ann.relations() == [("", MUTE, 0)]


async def test_ids_that_are_none_are_refused(worlds: House, autojump_clock: MockClock) -> None:
    ann, ben = await guest(worlds, "Ann"), await guest(worlds, "Ben")
    other = f"guest:{uuid.uuid4()}"
    hers = ann.welcomes[-1].author
    for wish, code in (
        (m.Relate(next(_requests), 999, "", MUTE), ErrorCode.NOT_FOUND),
        (m.Relate(next(_requests), 2**32 - 1, other, MUTE), ErrorCode.NOT_FOUND),
        (m.Relate(next(_requests), 0, other, MUTE), ErrorCode.NOT_FOUND),
        (m.Relate(next(_requests), 0, "", MUTE), ErrorCode.NOT_FOUND),
        (m.Relate(next(_requests), 0, hers, MUTE), ErrorCode.NOT_FOUND),
        (m.Relate(next(_requests), ann.entity, "", BLOCK), ErrorCode.NOT_ALLOWED),
        (m.Report(next(_requests), 999, m.ReportReason.SPAM, ""), ErrorCode.NOT_FOUND),
        (m.Sit(next(_requests), bytes(16)), ErrorCode.NOT_FOUND),
    ):
        result = await ann.ask(wish)
        assert (result.code, bool(result.reason)) == (code, True)
    assert ann.seen()[ben.entity].name == "Ben"


async def test_a_guest_does_something_about_so_many(
    worlds: House, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(limits, "GUEST_RELATIONS_MAX", 2)
    ann = await guest(worlds, "Ann")
    others = [await guest(worlds, name) for name in ("Ben", "Cat", "Dan")]
    for one in others[:2]:
        assert (await ann.relate(one, MUTE)).code == ErrorCode.OK
    full = await ann.relate(others[2], MUTE)
    assert (full.code, "2 people" in full.reason) == (ErrorCode.WORLD_FULL, True)
    await others[0].peer.say(m.Bye())
    await trio.sleep(0.5)
    assert (await ann.relate(others[2], MUTE)).code == ErrorCode.OK
    assert {name for name, *_ in ann.relations()} == {"Cat", "Dan"}, "a guest who left gives way"


async def test_only_who_announced_a_feature_is_told(
    worlds: House, autojump_clock: MockClock
) -> None:
    ann = await guest(worlds, "Ann", capabilities=m.Capabilities())
    ben = await guest(worlds, "Ben")
    await ann.relate(ben, MUTE)
    await ben.ask(m.AvatarSubmit(next(_requests), "x"))
    await ben.peer.say(m.MarkerSubmit((0.0, 0.0, 0.0), 0.0))
    await trio.sleep(0.5)
    assert not [
        said for said in ann.witness.heard
        if isinstance(said, m.Relations | m.Appearance | m.Marker)
    ]
    assert ben.heard(m.Marker)


class Accounts:
    """An identifier to whom everybody has the account of their name."""

    def __init__(self, writer: RelationWriter) -> None:
        self.writer = writer

    async def identify(self, hello: m.Hello, address: str) -> Identity:
        account = uuid.uuid5(uuid.NAMESPACE_DNS, hello.name)
        regards = regards_of(await self.writer.of(account))
        return Identity(hello.name, account, regards=regards)

    async def let_into(self, who: object, address: str, world: str) -> frozenset[str]:
        return frozenset()


def with_accounts(house: House) -> MemoryRelations:
    """Let everybody have an account, whose relations go to the store that is returned."""
    store = MemoryRelations()
    writer = RelationWriter(store)
    object.__setattr__(house.gateway._requests._parts, "identifier", Accounts(writer))
    for host in house.server.hosts:
        host.safety._lanes = SafetyLanes(writer)
    house.nursery.start_soon(writer.run)
    return store


async def test_what_an_account_does_holds_in_all_its_sessions_and_for_ever(
    worlds: House, autojump_clock: MockClock
) -> None:
    store = with_accounts(worlds)
    ann, ben = await guest(worlds, "Ann"), await guest(worlds, "Ben")
    other_ann = await guest(worlds, "Ann", world="garden")
    other_ben = await guest(worlds, "Ben", world="garden")
    assert other_ann.seen()[other_ben.entity].name == "Ben"
    assert (await ann.relate(ben, BLOCK)).code == ErrorCode.OK
    await trio.sleep(0.5)
    assert other_ann.seen()[other_ben.entity].name == ""
    assert other_ben.seen()[other_ann.entity].name == ""
    assert other_ann.relations() == [("Ben", BLOCK, other_ben.entity)]
    assert [row.name for row in await store.of(uuid.UUID(ann.welcomes[-1].author))] == ["Ben"]
    for one in (ann, other_ann):
        await one.peer.say(m.Bye())
    await trio.sleep(0.5)
    again = await guest(worlds, "Ann")
    entered = [entry.name for enter in again.heard(m.Enter) for entry in enter.entries]
    assert entered == [""], "not one tick with a name"
    entered = [entry for enter in ben.heard(m.Enter) for entry in enter.entries]
    assert [entry.name for entry in entered if entry.entity_id == again.entity] == [""]


async def test_what_could_not_be_kept_is_not_promised(
    worlds: House, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_accounts(worlds)
    monkeypatch.setattr("atrium_server.persistence.relations.WAITING_MAX", 0)
    ann, ben = await guest(worlds, "Ann"), await guest(worlds, "Ben")
    full = await ann.relate(ben, BLOCK)
    assert (full.code, full.retry_ms > 0) == (ErrorCode.NOT_SAVED, True)
    await trio.sleep(0.3)
    assert ann.seen()[ben.entity].name == "Ben"
    assert (await ann.shelter(True)).code == ErrorCode.OK, "that always can be done"


# --- the safe zone -------------------------------------------------------------------------------


async def test_in_the_safe_zone_everybody_is_gone_from_both_sides(
    worlds: House, autojump_clock: MockClock
) -> None:
    ann, ben, cat = [await guest(worlds, name) for name in ("Ann", "Ben", "Cat")]
    tick = worlds.host().world.tick
    result = await ann.shelter(True)
    assert (result.code, bool(result.reason)) == (ErrorCode.OK, True)
    assert worlds.host().world.tick - tick <= 3
    await trio.sleep(0.1)
    assert ann.seen() == {}
    assert ben.seen().keys() == {cat.entity}
    await ann.show_all("ann", ben)
    await ben.show_all("ben", ann)
    assert ann.lines() == []
    assert ann.seen() == {}
    assert ben.lines() == ["ben world", "ben nearby"], "to who is gone one cannot speak"
    refused = [one for one in ann.heard(m.ChatStatus) if one.state is m.ChatState.REJECTED]
    assert len(refused) == 3
    assert "safe zone" in refused[0].reason
    assert expressions(ann, ben.entity) == expressions(ben, ann.entity) == []
    assert len(expressions(cat, ben.entity)) == 2
    again = await back(worlds, ann, "Ann")
    assert again.seen() == {}
    assert again.lines() == [], "nor what was said meanwhile"
    assert ben.seen().keys() == {cat.entity}
    assert (await again.shelter(False)).code == ErrorCode.OK
    await trio.sleep(0.5)
    assert again.seen().keys() == {ben.entity, cat.entity}
    assert ben.seen()[ann.entity].name == "Ann"


async def test_in_the_safe_zone_ones_own_body_still_moves(
    worlds: House, autojump_clock: MockClock
) -> None:
    ann = await guest(worlds, "Ann")
    await ann.shelter(True)
    jump = m.Teleport(next(_requests), m.TeleportTarget.POINT, 0, 3.0, 0.0, 3.0, 0.0)
    assert (await ann.ask(jump)).code == ErrorCode.OK
    row = worlds.host().world.tables.poses.rows[0]
    assert (row[pose.X], row[pose.Z]) == (3000, 3000)
    await ann.witness.still_served()


async def test_the_safe_zone_goes_along_to_another_world(
    worlds: House, autojump_clock: MockClock
) -> None:
    ann, ben = await guest(worlds, "Ann"), await guest(worlds, "Ben", world="garden")
    await ann.shelter(True)
    await ann.peer.say(m.Travel(next(_requests), "garden"))
    await trio.sleep(1.0)
    assert ann.welcomes[-1].world == "garden"
    assert ben.seen() == {}
    assert not [enter for enter in ben.heard(m.Enter) if enter.entries], "not for one tick"


# --- looks, markers, seats, history --------------------------------------------------------------


async def test_a_new_avatar_is_told_to_all_and_to_who_comes_later(
    worlds: House, autojump_clock: MockClock
) -> None:
    ann, ben = await guest(worlds, "Ann"), await guest(worlds, "Ben")
    assert (await ann.ask(m.AvatarSubmit(next(_requests), "robot"))).code == ErrorCode.OK
    await trio.sleep(0.2)
    assert [(one.entity_id, one.avatar) for one in ben.heard(m.Appearance)] == [
        (ann.entity, "robot")
    ]
    soon = await ann.ask(m.AvatarSubmit(next(_requests), "cat"))
    assert (soon.code, 0 < soon.retry_ms <= 2_000) == (ErrorCode.COOLDOWN, True)
    bad = await ann.ask(m.AvatarSubmit(next(_requests), "röbot"))
    assert bad.code == ErrorCode.TEXT_REJECTED
    cat = await guest(worlds, "Cat")
    assert cat.seen()[ann.entity].avatar == "robot"
    again = await back(worlds, ann, "Ann")
    assert cat.seen()[ann.entity].avatar == "robot"
    await again.peer.say(m.Travel(next(_requests), "garden"))
    await trio.sleep(0.5)
    dan = await guest(worlds, "Dan", world="garden")
    assert [one.avatar for one in dan.seen().values()] == ["robot"], "it goes along"


async def test_markers_stay_near_and_in_the_world(worlds: House, autojump_clock: MockClock) -> None:
    ann, ben = await guest(worlds, "Ann"), await guest(worlds, "Ben")
    await ann.peer.say(m.MarkerSubmit((1.0, 0.5, -2.0), 1.5))
    await trio.sleep(0.2)
    for one in (ann, ben):
        assert one.heard(m.Marker) == [m.Marker(ann.entity, (1.0, 0.5, -2.0), 1.5)]
    await ann.peer.say(m.MarkerSubmit((1.0, 100.0, 0.0), 0.0))
    await trio.sleep(0.2)
    assert [one.code for one in ann.heard(m.Result)] == [ErrorCode.OUT_OF_RANGE]
    assert len(ben.heard(m.Marker)) == 1
    for _ in range(limits.EMOTE_BURST_MAX + 4):
        await ann.peer.say(m.MarkerSubmit((0.0, 0.0, 0.0), 0.0))
    await trio.sleep(0.5)
    assert ErrorCode.RATE_LIMITED in [one.code for one in ann.heard(m.Result)]


SEAT, GROUP = bytes([5]) * 16, bytes([6]) * 16


async def build(one: Guest, edit: edits.Edit) -> None:
    await one.peer.say(m.EditSubmit(next(_requests), edit))
    await trio.sleep(0.2)


@pytest.fixture
async def bench(tmp_path: Path, autojump_clock: MockClock) -> AsyncGenerator[House]:
    """A hall that anybody may build in."""
    path = write_world(tmp_path, "hall")
    path.write_text(
        path.read_text() + '[building]\nbuilders = "everyone"\n[movement]\n'
        "teleport_cooldown_s = 0.2\n"
    )
    async with open_house(worlds=[path]) as house:
        yield house


def turned(x: float, z: float, y: float = 0.4) -> props.Transform:
    """A quarter turn to the left."""
    return props.Transform((x, y, z), (0.0, 0.5**0.5, 0.0, 0.5**0.5))


def seated(house: House, slot: int) -> tuple[bool, list[int]]:
    row = house.host().world.tables.poses.rows[slot]
    return bool(row[pose.FLAGS] & pose.Flags.SEATED), row[[pose.X, pose.Z, pose.YAW]].tolist()


async def test_a_built_seat_is_for_one_and_goes_with_its_prop(
    bench: House, autojump_clock: MockClock
) -> None:
    ann, ben = await guest(bench, "Ann"), await guest(bench, "Ben")
    await build(ann, edits.Create(SEAT, b"", turned(2.0, 3.0), props.Seat()))
    assert (await ann.ask(m.Sit(next(_requests), SEAT))).code == ErrorCode.OK
    await trio.sleep(0.2)
    assert ann.heard(m.Correction)[-1].reasons == m.MoveReason.TELEPORT
    assert seated(bench, 0) == (True, [2000, 3000, 1024])
    taken = await ben.ask(m.Sit(next(_requests), SEAT))
    assert taken.code == ErrorCode.TAKEN
    corrections = len(ann.heard(m.Correction))
    await build(ann, edits.Describe(SEAT, props.Seat(title="Throne")))
    assert seated(bench, 0) == (True, [2000, 3000, 1024]), "its name is no reason to get up"
    await build(ann, edits.Place(SEAT, turned(2.5, 3.0)))
    await trio.sleep(0.2)
    assert not seated(bench, 0)[0]
    assert len(ann.heard(m.Correction)) == corrections + 1
    assert (await ben.ask(m.Sit(next(_requests), SEAT))).code == ErrorCode.OK
    assert seated(bench, 1) == (True, [2500, 3000, 1024])
    await trio.sleep(0.3)
    stand = m.Teleport(next(_requests), m.TeleportTarget.STAND, 0, 0.0, 0.0, 0.0, 0.0)
    assert (await ben.ask(stand)).code == ErrorCode.OK
    assert not seated(bench, 1)[0]


async def test_who_sits_in_a_group_stands_up_when_that_moves_or_goes(
    bench: House, autojump_clock: MockClock
) -> None:
    ann = await guest(bench, "Ann")
    await build(ann, edits.Create(GROUP, b"", props.Transform((1.0, 0.0, 1.0)), props.Group()))
    await build(ann, edits.Create(SEAT, GROUP, turned(1.0, 1.0), props.Seat()))
    assert (await ann.ask(m.Sit(next(_requests), SEAT))).code == ErrorCode.OK
    assert seated(bench, 0)[1] == [2000, 2000, 1024]
    await build(ann, edits.Place(GROUP, props.Transform((1.0, 0.0, 2.0))))
    assert not seated(bench, 0)[0]
    assert (await ann.ask(m.Sit(next(_requests), SEAT))).code == ErrorCode.OK
    await build(ann, edits.Delete(GROUP))
    assert not seated(bench, 0)[0]
    far = bytes([7]) * 16
    await build(ann, edits.Create(far, b"", turned(0.0, 0.0, -5.0), props.Seat()))
    out = await ann.ask(m.Sit(next(_requests), far))
    assert out.code == ErrorCode.OUT_OF_RANGE, "below the world"
    shape = bytes([8]) * 16
    await build(ann, edits.Create(shape, b"", turned(1.0, 0.0), props.Shape()))
    assert (await ann.ask(m.Sit(next(_requests), shape))).code == ErrorCode.NOT_FOUND


async def test_what_a_guest_takes_over_a_restart_is_in_its_row(
    bench: House, autojump_clock: MockClock
) -> None:
    ann, ben = await guest(bench, "Ann"), await guest(bench, "Ben")
    await build(ann, edits.Create(SEAT, b"", turned(2.0, 3.0), props.Seat()))
    await ann.ask(m.Sit(next(_requests), SEAT))
    await ann.relate(ben, BLOCK)
    await ann.shelter(True)
    host = bench.host()
    row = host.parts.attendance.row(ann.welcomes[-1].session_id)
    session = session_of(row, set())
    assert session is not None
    assert session.back is not None
    assert [(one.name, one.relation) for one in session.regards] == [("Ben", BLOCK)]
    assert session.is_safe
    # A world of the next run, with the same props.
    world = World(host.manifest, 0)
    world.building.load(dict(host.world.building.props), bytes(16))
    world.step([join_of(session)], None, 0)
    assert world.places.prop_of(0) == SEAT
    assert world.relations.relation(session.author, ben.welcomes[-1].author) == BLOCK
    assert world.relations.safe[0]


async def test_all_that_a_guest_may_do_about_others_fits_its_row(
    worlds: House, autojump_clock: MockClock
) -> None:
    ann = await guest(worlds, "\U0001f98a" * 24, avatar='"' * limits.AVATAR_CHARS_MAX)
    host = worlds.host()
    person = ann.welcomes[-1].author
    for _ in range(limits.GUEST_RELATIONS_MAX):
        other = f"guest:{uuid.uuid4()}"
        host.world.relations.set(person, Regard(other, "\U0001f98a" * 24, 7))
    row = host.parts.attendance.row(ann.welcomes[-1].session_id)
    assert 3_000 < len(row.client) <= CLIENT_BYTES_MAX


async def test_a_newcomer_reads_the_last_lines_that_it_may(
    worlds: House, autojump_clock: MockClock
) -> None:
    ann, ben = await guest(worlds, "Ann"), await guest(worlds, "Ben")
    for k in range(4):
        await ann.say(f"line {k}", m.ChatChannel.WORLD)
    await ann.say("near", m.ChatChannel.NEARBY)
    await ann.say("for Ben", m.ChatChannel.DIRECT, ben.entity)
    await ben.say("hello", m.ChatChannel.WORLD)
    cat = await guest(worlds, "Cat")
    assert cat.lines() == ["line 0", "line 1", "line 2", "line 3", "hello"]
    old = await guest(worlds, "Old", capabilities=m.Capabilities())
    assert old.lines() == []
    # Whoever is blocked by the author reads nothing of it in the next world either.
    dan = await guest(worlds, "Dan", world="garden")
    for one in (ann, ben):
        await one.peer.say(m.Travel(next(_requests), "garden"))
    await trio.sleep(1.0)
    await dan.relate(ann.entity, BLOCK)
    await dan.say("in the garden", m.ChatChannel.WORLD)
    await ann.say("me too", m.ChatChannel.WORLD)
    for one in (ann, dan):
        await one.peer.say(m.Travel(next(_requests), "hall"))
        await trio.sleep(0.3)
    for one in (ann, dan):
        await one.peer.say(m.Travel(next(_requests), "garden"))
        await trio.sleep(0.5)
    news = ann.witness.heard[ann.witness.heard.index(ann.welcomes[-1]):]
    assert [one.text for one in news if isinstance(one, m.ChatPublished)] == ["me too"]


async def test_a_newcomer_reads_no_more_than_so_many_lines(
    worlds: House, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    monkeypatch.setattr(limits, "HISTORY_LINES_MAX", 3)
    ann = await guest(worlds, "Ann")
    for k in range(5):
        await ann.say(f"{k}", m.ChatChannel.WORLD)
    cat = await guest(worlds, "Cat")
    assert cat.lines() == ["2", "3", "4"]


# --- reports -------------------------------------------------------------------------------------


class Away(MemoryConduct):
    """A store that does not answer so many times."""

    def __init__(self, times: int) -> None:
        super().__init__(MemoryChatStore(), lambda: 1e9)
        self.times = times

    async def open_case(self, case: Any) -> bool:
        if self.times:
            self.times -= 1
            raise Unavailable("away")
        return await super().open_case(case)


async def with_reports(house: House, times: int = 0) -> Away:
    """Let reports of the first world go to a store of the test."""
    store = Away(times)
    reports = Reports(store, lambda: 1e9)
    house.host().safety._lanes = SafetyLanes(None, reports)
    house.nursery.start_soon(reports.run)
    return store


async def test_a_report_keeps_what_the_two_did_and_nothing_else(
    worlds: House, autojump_clock: MockClock
) -> None:
    store = await with_reports(worlds)
    ann, ben, cat = [await guest(worlds, name) for name in ("Ann", "Ben", "Cat")]
    await ben.say("long ago", m.ChatChannel.WORLD)
    await trio.sleep(61.0)
    await ben.say("something rude", m.ChatChannel.WORLD)
    await cat.say("not of those two", m.ChatChannel.WORLD)
    await ben.say("a secret for Cat", m.ChatChannel.DIRECT, cat.entity)
    await ben.say("and ruder", m.ChatChannel.DIRECT, ann.entity)
    await ann.say("stop it", m.ChatChannel.NEARBY)
    await ben.peer.say(m.Bye())
    await trio.sleep(0.5)
    answer = await ann.ask(m.Report(
        next(_requests), ben.entity, m.ReportReason.HARASSMENT, "He is\nrude\x00."
    ))
    assert (answer.code, "kept" in answer.reason) == (ErrorCode.OK, True)
    assert len(answer.reason) <= limits.SENTENCE_CHARS_MAX
    (case,) = await store.cases(CaseState.OPEN, 9)
    report = case.report
    assert (report.category, report.summary, report.subject_name) == (
        "harassment", "He is\nrude.", "Ben"
    )
    assert f"guest:{report.subject_session}" == ben.welcomes[-1].author
    evidence = json.loads(report.evidence)
    assert [line["text"] for line in evidence["lines"]] == [
        "something rude", "and ruder", "stop it"
    ]
    assert [line["by"] for line in evidence["lines"]] == ["reported", "reported", "reporter"]
    for party, one in (("reporter", ann), ("reported", ben)):
        assert evidence[party]["person"] == one.welcomes[-1].author
        assert 55 <= len(evidence[party]["way"]) <= 60
        assert all(0 <= at[0] <= 60 for at in evidence[party]["way"])
    assert "Cat" not in report.evidence.decode()


async def test_a_report_is_kept_when_the_store_is_back_or_said_not_to_be(
    worlds: House, autojump_clock: MockClock
) -> None:
    store = await with_reports(worlds, times=3)
    ann, ben = await guest(worlds, "Ann"), await guest(worlds, "Ben")
    report = m.Report(next(_requests), ben.entity, m.ReportReason.SPAM, "")
    assert (await ann.ask(report)).code == ErrorCode.OK
    store.times = 10**6
    await ben.peer.say(m.Report(77, ann.entity, m.ReportReason.SPAM, ""))
    await trio.sleep(PATIENCE_S + 2)
    assert [(one.code, bool(one.reason)) for one in ben.heard(m.Result)] == [
        (ErrorCode.NOT_SAVED, True)
    ]
    assert len(await store.cases(CaseState.OPEN, 9)) == 1


async def test_reports_are_few(worlds: House, autojump_clock: MockClock) -> None:
    await with_reports(worlds)
    ann, ben = await guest(worlds, "Ann"), await guest(worlds, "Ben")
    codes = [
        (await ann.ask(m.Report(next(_requests), ben.entity, m.ReportReason.SPAM, ""))).code
        for _ in range(limits.REPORT_BURST_MAX + 1)
    ]
    assert codes == [ErrorCode.OK] * limits.REPORT_BURST_MAX + [ErrorCode.RATE_LIMITED]


async def test_a_server_where_nobody_reads_reports_says_so(
    worlds: House, autojump_clock: MockClock
) -> None:
    ann, ben = await guest(worlds, "Ann"), await guest(worlds, "Ben")
    answer = await ann.ask(m.Report(next(_requests), ben.entity, m.ReportReason.SPAM, ""))
    assert (answer.code, "block" in answer.reason) == (ErrorCode.RESERVED, True)


async def test_evidence_stays_within_its_bound(
    worlds: House, monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    store = await with_reports(worlds)
    ann, ben = await guest(worlds, "Ann"), await guest(worlds, "Ben")
    monkeypatch.setattr(limits, "CASE_EVIDENCE_BYTES_MAX", 3_000)
    for k in range(10):
        await ben.say(f"{k}" * 300, m.ChatChannel.WORLD)
        await trio.sleep(0.3)
    await ann.ask(m.Report(next(_requests), ben.entity, m.ReportReason.SPAM, ""))
    (case,) = await store.cases(CaseState.OPEN, 9)
    assert len(case.report.evidence) <= 3_000
    lines = json.loads(case.report.evidence)["lines"]
    assert lines[-1]["text"] == "9" * 300, "the newest are kept"
