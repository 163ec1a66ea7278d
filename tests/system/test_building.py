"""Editing over the wire: who may, what the others see, what is asked twice, hands and throws."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
import trio
from harness import House, Peer, open_house, write_world
from trio.testing import MockClock

from atrium_server.persistence.errors import Refused, Unavailable
from atrium_server.world.commands import Amend, Build
from atrium_shared import edits, limits
from atrium_shared import messages as m
from atrium_shared.errors import ErrorCode
from atrium_shared.props import Group, Shape, Sign, Spawn, Transform

BALL = Shape(portable=True)
GRIP = ((0.0, 0.0, -0.1), (0.0, 0.0, 0.0, 1.0))


def key(number: int) -> bytes:
    return number.to_bytes(16)


def at(x: float, y: float = 0.0, z: float = 0.0) -> Transform:
    return Transform((x, y, z))


def create(number: int, properties: Any = BALL, transform: Transform | None = None) -> edits.Create:
    return edits.Create(key(number), b"", transform or at(0.0), properties)


def write_yard(folder: Path, builders: str = "everyone", **world: Any) -> Path:
    path = write_world(folder, "yard", **world)
    path.write_text(path.read_text() + f'[building]\nbuilders = "{builders}"\n')
    return path


@pytest.fixture
async def yard(tmp_path: Path, autojump_clock: MockClock) -> AsyncGenerator[House]:
    async with open_house(worlds=[write_yard(tmp_path)]) as house:
        yield house


class Builder:
    """A peer that edits."""

    def __init__(self, peer: Peer, welcome: m.Welcome) -> None:
        self.peer, self.welcome = peer, welcome
        self.requests = 0

    @classmethod
    async def join(cls, house: House, name: str = "Ann", **changes: Any) -> Builder:
        peer = house.peer()
        return cls(peer, await peer.join(name, **changes))

    async def ask(self, edit: edits.Edit, request_id: int = 0) -> int:
        self.requests = request_id or self.requests + 1
        await self.peer.say(m.EditSubmit(self.requests, edit))
        return self.requests

    async def hears_no_more(self) -> None:
        """Nothing is answered for ten ticks."""
        with trio.move_on_after(0.5) as patience:
            await self.answer()
        assert patience.cancelled_caught

    async def answer(self) -> m.EditStatus:
        return await self.peer.expect(m.EditStatus)

    async def do(self, edit: edits.Edit) -> m.EditStatus:
        """Ask, and hear both answers, or why not."""
        await self.ask(edit)
        first = await self.answer()
        if first.state is m.EditState.ACCEPTED:
            last = await self.answer()
            assert last.state is m.EditState.DURABLE
            assert last.request_id == first.request_id == self.requests
        return first

    async def refused(self, edit: edits.Edit) -> ErrorCode:
        status = await self.do(edit)
        assert status.state is m.EditState.REFUSED
        assert status.reason.endswith(".")
        return ErrorCode(status.code)


async def test_an_edit_is_accepted_seen_by_all_and_saved(
    yard: House, autojump_clock: MockClock
) -> None:
    ann, witness = await Builder.join(yard), await yard.witness("Bob")
    assert ann.welcome.rights & m.Rights.BUILD
    tick = yard.host().world.tick
    assert (await ann.do(create(1, transform=at(1.0)))).state is m.EditState.ACCEPTED
    await trio.sleep(0.1)
    told, = witness.heard_of(m.PropsChanged)
    state, = told.states
    assert (state.prop_id, state.properties, state.owner) == (key(1), BALL, ann.welcome.author)
    assert told.revision == 1
    assert yard.host().world.tick - tick < 8
    assert (await ann.do(edits.Place(key(1), at(2.0)))).state is m.EditState.ACCEPTED
    await trio.sleep(0.1)
    moved = witness.heard_of(m.PropsChanged)[1]
    assert (moved.states, moved.moves) == ((), (edits.PropMove(key(1), at(2.0)),))
    await ann.do(edits.Delete(key(1)))
    await trio.sleep(0.1)
    assert witness.heard_of(m.PropsChanged)[2].gone == (key(1),)
    kept = await yard.host().parts.keeper.load()
    assert kept.props == {}


async def test_what_was_asked_twice_is_done_once(
    yard: House, autojump_clock: MockClock
) -> None:
    ann = await Builder.join(yard)
    await ann.do(create(1))
    await ann.ask(create(1), 1)
    assert (await ann.answer()).state is m.EditState.DURABLE, "as before, and not 'taken'"
    await ann.ask(create(1), 2)
    again = await ann.answer()
    assert (again.state, again.code) == (m.EditState.REFUSED, ErrorCode.TAKEN)
    await ann.peer.gone()
    await trio.sleep(0.2)
    back = await Builder.join(yard, resume_token=ann.welcome.resume_token)
    assert back.welcome.resumed
    assert back.welcome.author == ann.welcome.author
    await back.ask(create(1), 1)
    assert (await back.answer()).state is m.EditState.DURABLE
    await back.ask(create(3), 3)
    assert (await back.answer()).state is m.EditState.ACCEPTED


async def test_an_author_hears_that_an_edit_is_safe_before_the_next_tick(
    yard: House, autojump_clock: MockClock
) -> None:
    ann = await Builder.join(yard)
    await ann.ask(create(1))
    assert (await ann.answer()).state is m.EditState.ACCEPTED
    tick = yard.host().world.tick
    assert (await ann.answer()).state is m.EditState.DURABLE
    assert yard.host().world.tick == tick


async def test_of_an_edit_that_this_world_does_not_know_nothing_is_said(
    yard: House, autojump_clock: MockClock
) -> None:
    """It was of an earlier stay of the same session: what was asked since has its own answers."""
    ann = await Builder.join(yard)
    await ann.ask(create(1))
    assert (await ann.answer()).state is m.EditState.ACCEPTED
    assert (await ann.answer()).state is m.EditState.DURABLE
    await trio.sleep(0.2)  # the world knows by now that it is durable
    host = yard.host()
    key = uuid.UUID(bytes=host.state.sessions[ann.welcome.session_id].uuid)
    host._tell_durable([(key, 1), (key, 77), (uuid.UUID(int=5), 1)])
    await ann.hears_no_more()


async def test_nothing_else_is_said_of_an_edit_that_is_safe(
    yard: House, autojump_clock: MockClock
) -> None:
    ann = await Builder.join(yard)
    await ann.ask(create(1))
    assert (await ann.answer()).state is m.EditState.ACCEPTED
    # The world itself does not know yet that it is safe when this comes to it, in its next tick.
    yard.host().inbox.must(Build(ann.welcome.session_id, 1, create(1)))
    assert (await ann.answer()).state is m.EditState.DURABLE
    assert (await ann.answer()).state is m.EditState.DURABLE
    await ann.hears_no_more()


async def test_a_drag_is_heard_by_those_who_understand_it_and_is_one_edit(
    yard: House, autojump_clock: MockClock
) -> None:
    ann = await Builder.join(yard)
    understands = m.Capabilities(features=(edits.FEATURE_DRAGS,))
    bob, old = await yard.witness("Bob", capabilities=understands), await yard.witness("Old")
    await ann.do(create(1))
    for x in (1.0, 2.0, 3.0):
        await ann.peer.say(m.Drag((edits.PropMove(key(1), at(x)),)))
        await trio.sleep(0.1)
    assert [one.drags[0].transform for one in bob.heard_of(m.PropsDragged)] == [
        at(1.0), at(2.0), at(3.0)
    ]
    assert old.heard_of(m.PropsDragged) == []
    assert len(bob.heard_of(m.PropsChanged)) == 1, "only of its making"
    await ann.do(edits.Place(key(1), at(3.0)))
    await ann.do(edits.Undo())
    await trio.sleep(0.1)
    assert yard.host().world.building.props.get(key(1)).transform == at(0.0)
    for _ in range(limits.DRAG_BURST_MAX + 20):
        await ann.peer.say(m.Drag(()))
    await trio.sleep(0.5)
    assert 3 + limits.DRAG_BURST_MAX <= len(bob.heard_of(m.PropsDragged)) < 3 + (
        limits.DRAG_BURST_MAX + 10
    )
    assert (await ann.do(edits.Redo())).state is m.EditState.ACCEPTED, "nothing else is held up"


async def test_who_may_not_build_is_told_so(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_house(worlds=[write_yard(tmp_path, "members")]) as house:
        guest = await Builder.join(house)
        assert guest.welcome.rights == 0
        assert await guest.refused(create(1)) is ErrorCode.NOT_ALLOWED
        assert len(house.host().world.building.props) == 0


async def test_what_others_made_is_theirs(
    yard: House, autojump_clock: MockClock
) -> None:
    ann, bob = await Builder.join(yard), await Builder.join(yard, "Bob")
    await ann.do(create(1))
    for edit in (edits.Delete(key(1)), edits.Place(key(1), at(5.0)), edits.Lock(key(1), True)):
        assert await bob.refused(edit) is ErrorCode.NOT_ALLOWED
    assert await bob.refused(edits.Undo()) is ErrorCode.NOT_FOUND
    assert (await ann.do(edits.Undo())).state is m.EditState.ACCEPTED
    assert len(yard.host().world.building.props) == 0


async def test_the_scene_and_the_socket_together_are_the_world(
    yard: House, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SCENE_CHANGES_MAX", 3)
    ann = await Builder.join(yard)
    first = yard.host().parts.scenes.newest
    for number in range(1, 9):
        await ann.do(create(number))
    await trio.sleep(3.0)
    newest = yard.host().parts.scenes.newest
    assert newest.revision > 3
    assert newest.version != first.version
    bob = yard.peer()
    welcome = await bob.join("Bob")
    assert welcome.scene_url.endswith(newest.version)
    known = {prop["id"] for prop in (await scene_of(yard, welcome.scene_url))["props"]}
    for _ in range(8 - len(known)):
        told = await bob.expect(m.PropsChanged)
        assert told.revision > newest.revision
        known |= {str(uuid.UUID(bytes=state.prop_id)) for state in told.states}
    assert known == {str(uuid.UUID(bytes=key(number))) for number in range(1, 9)}
    assert (await scene_of(yard, f"/api/worlds/yard/scene@{first.version}"))["props"] == []


async def scene_of(house: House, path: str) -> Any:
    peer = house.peer()
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n"
    await peer.write(f"{request}Connection: close\r\n\r\n".encode())
    assert await peer.answer() == 200
    assert "immutable" in peer.head
    while await peer._fill():
        pass
    body = peer._raw
    return json.loads(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)


# --- signs ---------------------------------------------------------------------------------------


async def test_the_text_of_a_sign_is_pending_until_it_was_judged(
    yard: House, autojump_clock: MockClock
) -> None:
    ann, witness = await Builder.join(yard), await yard.witness("Bob")
    judge = yard.host().parts.judge
    waiting: list[Any] = []
    judge.consider_signs = lambda requests, inbox: waiting.extend(requests)
    await ann.do(create(1, Sign(text="Welcome!")))
    await trio.sleep(0.3)
    assert [request.text for request in waiting] == ["Welcome!"]
    assert [s.properties.text for t in witness.heard_of(m.PropsChanged) for s in t.states] == [""]
    del judge.consider_signs
    judge.consider_signs(waiting, yard.host().inbox)
    await trio.sleep(0.3)
    told = witness.heard_of(m.PropsChanged)[-1].states[0].properties
    assert told == Sign(text="Welcome!")
    published = await ann.peer.expect(m.SignStatus)
    assert (published.state, published.text) == (m.SignState.PUBLISHED, "Welcome!")
    assert not witness.heard_of(m.SignStatus), "a text that is pending is nobody else's"
    assert (await ann.do(edits.Undo())).state is m.EditState.ACCEPTED, "no conflict with the judge"
    assert len(yard.host().world.building.props) == 0


# --- hands ---------------------------------------------------------------------------------------


async def grab(builder: Builder, number: int, hand: int = 1) -> m.Result:
    builder.requests += 1
    await builder.peer.say(m.Grab(builder.requests, key(number), hand, *GRIP))
    return await builder.peer.expect(m.Result)


async def test_of_all_who_reach_for_a_prop_one_has_it(
    yard: House, autojump_clock: MockClock
) -> None:
    builders = [await Builder.join(yard, f"B{number}") for number in range(6)]
    witness = await yard.witness()
    await builders[0].do(create(1, BALL))
    for builder in builders:
        builder.requests += 1
        await builder.peer.say(m.Grab(builder.requests, key(1), 1, *GRIP))
    codes = [(await builder.peer.expect(m.Result)).code for builder in builders]
    assert sorted(codes) == [0] + [ErrorCode.TAKEN] * 5
    await trio.sleep(0.1)
    held, = witness.heard_of(m.PropHeld)
    assert held.entity_id == builders[codes.index(0)].welcome.entity_id
    late = await yard.witness("Late")
    await trio.sleep(0.1)
    assert late.heard_of(m.PropHeld) == [held]
    owner = builders[0]
    assert await owner.refused(edits.Delete(key(1))) is ErrorCode.TAKEN


async def test_a_thrown_prop_flies_and_its_rest_is_saved(
    yard: House, autojump_clock: MockClock
) -> None:
    ann, witness = await Builder.join(yard), await yard.witness("Bob")
    await ann.do(create(1, BALL, Transform((0.0, 0.5, 0.0), scale=(0.2, 0.2, 0.2))))
    assert (await grab(ann, 1)).code == 0
    ann.requests += 1
    release = m.Release(ann.requests, key(1), at(0.3, 1.4), (2.0, 3.0, 0.0))
    await ann.peer.say(release)
    assert (await ann.answer()).state is m.EditState.ACCEPTED
    last = await ann.answer()
    assert (last.state, last.request_id) == (m.EditState.DURABLE, ann.requests)
    assert witness.heard_of(m.PropsFlown)[0].flights[0].prop_id == key(1)
    moved = witness.heard_of(m.PropsChanged)[-1].moves[0].transform
    assert moved.position_m[0] > 1.0
    assert moved.position_m[1] == pytest.approx(0.1, abs=0.01), "it lies on the floor"
    kept = await yard.host().parts.keeper.load()
    assert kept.props[key(1)].transform == moved
    await ann.peer.say(release)
    assert (await ann.answer()).state is m.EditState.DURABLE, "asked again, and not thrown again"
    await ann.do(edits.Undo())
    prop = yard.host().world.building.props.get(key(1))
    assert prop.transform.position_m == (0.0, 0.5, 0.0)


async def test_what_is_laid_down_is_in_no_hand_for_anybody(
    yard: House, autojump_clock: MockClock
) -> None:
    ann, witness = await Builder.join(yard), await yard.witness("Bob")
    await ann.do(create(1, BALL, Transform((0.0, 0.1, 0.5), scale=(0.2, 0.2, 0.2))))
    assert (await grab(ann, 1)).code == 0
    ann.requests += 1
    await ann.peer.say(m.Release(ann.requests, key(1), at(0.4, 0.1), (0.0, 0.0, 0.0)))
    assert (await ann.answer()).state is m.EditState.ACCEPTED
    assert (await ann.answer()).state is m.EditState.DURABLE
    assert witness.heard_of(m.PropsFlown) == [], "it lies where it was laid, and never flew"
    assert [held.entity_id for held in witness.heard_of(m.PropHeld)][1:] == [0]
    assert witness.heard_of(m.PropsChanged)[-1].moves[0].transform.position_m[0] == 0.4


async def test_who_leaves_leaves_what_was_held(
    yard: House, autojump_clock: MockClock
) -> None:
    ann, witness = await Builder.join(yard), await yard.witness("Bob")
    await ann.do(create(1, BALL))
    assert (await grab(ann, 1)).code == 0
    await ann.peer.say(m.Bye())
    await ann.peer.ending()
    await trio.sleep(0.2)
    assert [held.entity_id for held in witness.heard_of(m.PropHeld)][-1] == 0
    bob = await Builder.join(yard, "Eve")
    assert (await grab(bob, 1)).code == 0


@pytest.mark.parametrize(("number", "code"), [
    (9, ErrorCode.NOT_FOUND), (2, ErrorCode.OUT_OF_RANGE), (3, ErrorCode.NOT_ALLOWED),
    (4, ErrorCode.NOT_ALLOWED),
])
async def test_what_cannot_be_taken_in_the_hand(
    yard: House, number: int, code: ErrorCode
) -> None:
    ann, bob = await Builder.join(yard), await Builder.join(yard, "Bob")
    await ann.do(create(2, BALL, at(15.0)))
    await ann.do(create(3, Spawn()))
    await ann.do(create(4, Shape()))
    assert (await grab(bob, number)).code == code


async def test_a_release_from_afar_or_of_nothing_is_refused(
    yard: House, autojump_clock: MockClock
) -> None:
    ann = await Builder.join(yard)
    await ann.do(create(1, BALL))
    for request_id, place in ((50, at(0.0)), (51, at(15.0, 1.0))):
        if request_id == 51:
            assert (await grab(ann, 1)).code == 0
        await ann.peer.say(m.Release(request_id, key(1), place, (0.0, 0.0, 0.0)))
        status = await ann.answer()
        assert status.state is m.EditState.REFUSED
    assert yard.host().world.carrying.holds.held_by(key(1)) is not None


# --- spawns, roll-backs --------------------------------------------------------------------------


async def test_people_arrive_at_spawns_that_were_built(
    yard: House, autojump_clock: MockClock
) -> None:
    ann = await Builder.join(yard)
    await ann.do(create(1, Spawn(radius_m=0.0), at(-15.0, 0.0, -15.0)))
    spots: set[tuple[int, int]] = set()
    for number in range(12):
        await yard.joined(f"P{number}")
        row = yard.host().world.tables.poses.rows[number + 1]
        spots.add((int(row[0]), int(row[2])))
    assert (-15_000, -15_000) in spots
    assert len(spots) > 1


async def test_an_amendment_leaves_alone_what_was_changed_since(
    yard: House, autojump_clock: MockClock
) -> None:
    ann = await Builder.join(yard)
    await ann.do(create(1))
    await ann.do(create(2))
    props = yard.host().world.building.props
    before = [props.get(key(1)), props.get(key(2))]
    await ann.do(edits.Place(key(2), at(3.0)))
    from atrium_server.world.props import Change

    changes = [Change(key(n), prop, None) for n, prop in zip((1, 2), before, strict=True)]
    done = await yard.host().amendments.make("roll_back", "", changes)
    assert (done.made, done.left_alone) == (1, 1)
    assert [prop_id for prop_id, _ in props] == [key(2)]
    assert (await yard.host().parts.keeper.load()).props.keys() == {key(2)}
    assert isinstance(Amend(1, "", "", ()), Amend)


# --- the store -----------------------------------------------------------------------------------


async def test_while_nothing_can_be_saved_nothing_can_be_built(
    yard: House, autojump_clock: MockClock
) -> None:
    ann, witness = await Builder.join(yard), await yard.witness("Bob")
    store = yard.host().parts.keeper.store

    async def gone(*_: object) -> Any:
        await trio.lowlevel.checkpoint()
        raise Unavailable("the database is gone")

    store.commit = gone
    await ann.ask(create(1))
    assert (await ann.answer()).state is m.EditState.ACCEPTED
    await trio.sleep(2.0)
    assert witness.heard_of(m.Saving)[-1].state is m.SaveState.DEGRADED
    await ann.ask(create(2))
    assert (await ann.answer()).state is m.EditState.ACCEPTED
    await trio.sleep(4.0)
    assert witness.heard_of(m.Saving)[-1].state is m.SaveState.READ_ONLY
    assert await ann.refused(create(3)) is ErrorCode.NOT_SAVED
    late = await yard.witness("Late")
    await late.still_served()
    assert late.heard_of(m.Saving)[-1].state is m.SaveState.READ_ONLY
    del store.commit
    answers = [await ann.answer(), await ann.answer()]
    assert [(one.request_id, one.state) for one in answers] == [
        (1, m.EditState.DURABLE), (2, m.EditState.DURABLE)
    ]
    await trio.sleep(0.5)
    assert witness.heard_of(m.Saving)[-1].state is m.SaveState.RW
    assert (await ann.do(create(4))).state is m.EditState.ACCEPTED


async def test_what_the_store_will_never_take_is_taken_back(
    yard: House, autojump_clock: MockClock
) -> None:
    ann, witness = await Builder.join(yard), await yard.witness("Bob")
    await ann.do(create(1, Group()))
    store = yard.host().parts.keeper.store
    commit = type(store).commit

    async def refuses(claim: Any, batch: Any) -> Any:
        if any(row.id.bytes == key(2) for row in batch.rows):
            raise Refused("an entity of this id is in another world")
        return await commit(store, claim, batch)

    store.commit = refuses
    await ann.ask(create(2))
    await ann.ask(create(3))
    heard = {(one.request_id, one.state) for one in [await ann.answer() for _ in range(4)]}
    assert heard >= {(2, m.EditState.REVERTED), (3, m.EditState.DURABLE)}
    await trio.sleep(1.0)
    assert {prop_id for prop_id, _ in yard.host().world.building.props} == {key(1), key(3)}
    assert key(2) in witness.heard_of(m.PropsChanged)[-1].gone
    assert (await yard.host().parts.keeper.load()).props.keys() == {key(1), key(3)}


async def test_a_world_that_another_server_took_is_over_here(
    yard: House, autojump_clock: MockClock
) -> None:
    ann = await Builder.join(yard)
    keeper = yard.host().parts.keeper
    keeper.store._worlds["yard"].epoch += 1
    await ann.ask(create(1))
    ended = await ann.peer.ending()
    assert ended.error is not None
    assert "Another server" in ended.error.sentence
    await trio.sleep(0.5)
    assert yard.host().state.failed


def out_of_order(store: Any) -> None:
    """From now on the store does not answer a commit."""
    async def gone(*_: object) -> Any:
        await trio.lowlevel.checkpoint()
        raise Unavailable("the database is gone")

    store.commit = gone


async def test_verdicts_and_throws_wait_for_a_store_that_is_gone(
    yard: House, autojump_clock: MockClock
) -> None:
    """Nothing that a world does by itself may find no room to be kept."""
    ann = await Builder.join(yard)
    host = yard.host()
    waiting: list[Any] = []
    host.parts.judge.consider_signs = lambda requests, inbox: waiting.extend(requests)
    await ann.do(create(1, Sign(text="Welcome!")))
    await ann.do(create(2, BALL, Transform((0.0, 0.5, 0.0), scale=(0.2, 0.2, 0.2))))
    assert (await grab(ann, 2)).code == 0
    out_of_order(host.parts.keeper.store)
    await ann.ask(create(3))
    assert (await ann.answer()).state is m.EditState.ACCEPTED
    await trio.sleep(4.7)
    ann.requests += 1
    await ann.peer.say(m.Release(ann.requests, key(2), at(0.3, 1.4), (2.0, 3.0, 0.0)))
    assert (await ann.answer()).state is m.EditState.ACCEPTED
    await trio.sleep(1.0)
    del host.parts.judge.consider_signs
    asked = [*waiting]
    host.parts.judge.consider_signs(asked, host.inbox)
    answers = {(await ann.answer()).state}
    assert answers == {m.EditState.REVERTED}, "the throw could not be kept"
    await trio.sleep(2.0)
    assert host.state.restarts == 0
    assert host.world.building.judging
    del host.parts.keeper.store.commit
    await trio.sleep(2.0)
    assert host.world.building.props.get(key(1)).properties == Sign(text="Welcome!")
    assert (await host.parts.keeper.load()).props == dict(host.world.building.props)


async def test_what_was_taken_back_does_not_undo_what_came_after(
    yard: House, autojump_clock: MockClock
) -> None:
    ann = await Builder.join(yard)
    await ann.do(create(1))
    store = yard.host().parts.keeper.store
    commit = type(store).commit
    asked = 0

    async def refuses(claim: Any, batch: Any) -> Any:
        nonlocal asked
        if any(row.position[0] == 2.0 for row in batch.rows):
            asked += 1
            await trio.sleep(0.2)
            raise Refused("no")
        return await commit(store, claim, batch)

    store.commit = refuses
    await ann.ask(edits.Place(key(1), at(2.0)))
    await trio.sleep(0.1)
    await ann.ask(edits.Place(key(1), at(3.0)))
    heard = {(one.request_id, one.state) for one in [await ann.answer() for _ in range(4)]}
    assert heard >= {(2, m.EditState.REVERTED), (3, m.EditState.DURABLE)}
    await trio.sleep(2.0)
    assert asked == 1
    assert yard.host().world.building.props.get(key(1)).transform == at(3.0)
    assert (await yard.host().parts.keeper.load()).props[key(1)].transform == at(3.0)


async def test_a_request_of_another_world_is_not_a_new_one(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    other = write_world(tmp_path, "annex")
    async with open_house(worlds=[write_yard(tmp_path), other]) as house:
        ann = await Builder.join(house)
        await ann.do(create(1))
        for number, world in ((50, "annex"), (51, "yard")):
            await ann.peer.say(m.Travel(number, world))
            await ann.peer.expect(m.Welcome)
        await ann.ask(edits.Place(key(1), at(5.0)), 1)
        assert (await ann.answer()).code == ErrorCode.CONFLICT
        await ann.ask(edits.Place(key(1), at(6.0)), 2)
        assert (await ann.answer()).state is m.EditState.ACCEPTED


async def test_a_world_that_fails_in_an_outage_waits_for_its_store(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    worlds = [write_yard(tmp_path), write_world(tmp_path, "annex")]
    async with open_house(worlds=worlds) as house:
        witness = await house.witness(world="annex")
        ann = await Builder.join(house, world="yard")
        await ann.do(create(1))
        host = house.host("yard")
        store, load = host.parts.keeper.store, type(host.parts.keeper.store).load
        object.__setattr__(host.parts, "dump", lambda name, data: None)

        async def gone(*_: object) -> Any:
            await trio.lowlevel.checkpoint()
            raise Unavailable("the database is gone")

        def fails(*_: object) -> Any:
            raise ZeroDivisionError("a bug in the tick")

        store.load = gone
        host.world.step = fails
        await ann.peer.ending()
        await trio.sleep(5.0)
        await witness.still_served()
        assert not host.state.failed
        store.load = lambda claim: load(store, claim)
        await trio.sleep(3.0)
        back = await Builder.join(house, world="yard")
        assert await back.refused(create(1)) is ErrorCode.TAKEN, "all that was saved is there"


async def test_many_changes_at_once_take_their_time(
    yard: House, autojump_clock: MockClock
) -> None:
    ann = await Builder.join(yard)
    await ann.do(create(1, Group()))
    for number in range(2, 102):
        await trio.sleep(0.02)  # within the rate
        made = await ann.do(edits.Create(key(number), key(1), at(0.0), Shape()))
        assert made.state is m.EditState.ACCEPTED
    await ann.do(edits.Duplicate(key(1), key(1_000), at(1.0)))
    assert await ann.refused(edits.Duplicate(key(1), key(2_000), at(1.0))) is ErrorCode.RATE_LIMITED
    await trio.sleep(2.0)
    assert (await ann.do(edits.Duplicate(key(1), key(2_000), at(1.0)))).state is (
        m.EditState.ACCEPTED
    )
