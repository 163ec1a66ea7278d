"""Building with the SDK against a fake server: answers, lost links, restarts, and every end."""

from __future__ import annotations

import gzip
import importlib
import json
import sys
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock, wait_all_tasks_blocked

import atrium_client
import atrium_client.link
from atrium_client import (
    EditHandle,
    EditLost,
    EditRefused,
    EditReverted,
    EditState,
    ErrorCode,
    Options,
    PropError,
    PropTransform,
    ReconnectFailed,
    ReconnectPolicy,
    RequestRefused,
    Rights,
    SessionEnded,
    Transform,
    connect,
)
from atrium_shared import edits, limits, messages
from atrium_shared.edits import Flight, PropMove, PropState
from atrium_shared.messages import EditStatus, EditSubmit, EnterEntry, EntityKind, PropHeld
from atrium_shared.props import Shape, Sign

# A neighbour, not an installed package.
sys.path.insert(0, str(Path(__file__).parent))
fake: Any = importlib.import_module("sdk_fake_server")
URL = "ws://atrium.test"
QUICK = Options(reconnect=ReconnectPolicy(seed=1))
A = bytes(range(16))
UPRIGHT = (0.0, 0.0, 0.0, 1.0)


@pytest.fixture
async def server(autojump_clock: MockClock) -> AsyncIterator[Any]:
    async with trio.open_nursery() as nursery:
        yield fake.FakeServer(nursery)
        nursery.cancel_scope.cancel()


async def wait_for(me: atrium_client.Me, kind: type[Any]) -> Any:
    """The next event of `kind`."""
    async for event in me.events():
        if isinstance(event, kind):
            return event
    raise AssertionError("the session is over")


async def heard(server: Any, count: int = 1) -> list[int]:
    """The request ids of the next edits that the server hears, on its newest link."""
    return [(await server.peer.expect(EditSubmit)).request_id for _ in range(count)]


async def answer(server: Any, request_id: int, state: EditState, code: int = 0) -> None:
    said = EditStatus(request_id, state, code, "Because.", 1_000)
    await server.peer.say(said)


async def restart(server: Any, me: atrium_client.Me, away_s: float = 3.0) -> None:
    """The server goes, nobody answers for a while, and another process takes the token."""
    server.reachable = False
    await server.peer.cut()
    await wait_for(me, atrium_client.LinkLost)
    await trio.sleep(away_s)
    server.reachable = True
    assert not (await wait_for(me, atrium_client.Resumed)).fresh


# --- the usual way -----------------------------------------------------------------------


async def test_an_edit_from_the_call_to_the_disk(server: Any, autojump_clock: MockClock) -> None:
    async with connect(URL, name="Ada", stream=server.dial) as me:
        assert (me.author, me.rights) == ("guest:ada", Rights.BUILD)
        chair = me.create(Shape(), PropTransform((1.0, 0.0, -2.0)))
        said = await server.peer.expect(EditSubmit)
        assert said.edit == edits.Create(
            chair.prop_id, b"", PropTransform((1.0, 0.0, -2.0)), Shape()
        )
        assert uuid.UUID(bytes=chair.prop_id).version == 4
        await answer(server, said.request_id, EditState.ACCEPTED)
        await chair.accepted()
        assert chair.state is EditState.ACCEPTED
        with trio.move_on_after(1) as waited:
            await chair.durable()
        assert waited.cancelled_caught, "it is not saved yet"
        await answer(server, said.request_id, EditState.DURABLE)
        await chair.durable()
        await chair.accepted()
        told = await wait_for(me, atrium_client.EditAnswered)
        assert told.status.state is EditState.ACCEPTED


async def test_every_call_says_its_edit(server: Any, autojump_clock: MockClock) -> None:
    place = PropTransform((1.0, 2.0, 3.0))
    async with connect(URL, name="Ada", stream=server.dial) as me:
        asked: list[tuple[EditHandle, edits.Edit]] = [
            (me.place(A, place), edits.Place(A, place)),
            (me.describe(A, Sign(text="Open")), edits.Describe(A, Sign(text="Open"))),
            (me.delete(A), edits.Delete(A)),
            (me.attach([A, A[::-1]], A), edits.Attach((A, A[::-1]), A)),
            (me.attach([A]), edits.Attach((A,), b"")),
            (me.lock(A), edits.Lock(A, True)),
            (me.lock(A, False), edits.Lock(A, False)),
            (me.undo(), edits.Undo()),
            (me.redo(), edits.Redo()),
        ]
        copy = me.duplicate(A, place)
        asked.append((copy, edits.Duplicate(A, copy.prop_id, place)))
        for handle, edit in asked:
            said = await server.peer.expect(EditSubmit)
            assert (said.request_id, said.edit) == (handle.request_id, edit)
        thrown = me.release(A, place, (0.0, 3.0, -4.0))
        said = await server.peer.expect(messages.Release)
        assert said == messages.Release(thrown.request_id, A, place, (0.0, 3.0, -4.0))


async def test_a_refusal_is_raised_by_whoever_waits(
    server: Any, autojump_clock: MockClock
) -> None:
    async with connect(URL, name="Ada", stream=server.dial) as me:
        handle = me.delete(A)
        (request_id,) = await heard(server)
        await answer(server, request_id, EditState.REFUSED, ErrorCode.NOT_ALLOWED)
        for waiting in (handle.accepted, handle.durable):
            with pytest.raises(EditRefused, match=r"Because\.") as caught:
                await waiting()
            assert (caught.value.code, caught.value.retry_ms) == (ErrorCode.NOT_ALLOWED, 1_000)
        assert isinstance(caught.value, RequestRefused)


async def test_what_could_not_be_saved_is_raised(server: Any, autojump_clock: MockClock) -> None:
    async with connect(URL, name="Ada", stream=server.dial) as me:
        handle = me.delete(A)
        (request_id,) = await heard(server)
        await answer(server, request_id, EditState.ACCEPTED)
        await handle.accepted()
        await answer(server, request_id, EditState.REVERTED, ErrorCode.NOT_SAVED)
        with pytest.raises(EditReverted, match=r"taken back: Because\. \(NOT_SAVED") as caught:
            await handle.durable()
        assert caught.value.code == ErrorCode.NOT_SAVED


async def test_what_no_server_takes_is_not_sent(server: Any, autojump_clock: MockClock) -> None:
    async with connect(URL, name="Ada", stream=server.dial) as me:
        with pytest.raises(PropError):
            me.create(Sign(text="a" * 501))
        with pytest.raises(PropError):
            await me.grab(A[:3])
        me.undo()
        assert (await server.peer.expect(EditSubmit)).edit == edits.Undo()


async def test_grabbing_is_answered_at_once(server: Any, autojump_clock: MockClock) -> None:
    async def rules() -> None:
        grab = await server.peer.expect(messages.Grab)
        assert (grab.prop_id, grab.hand, grab.position_m) == (A, 0, (0.0, 0.0, -0.3))
        await server.peer.say(messages.Result(grab.request_id, ErrorCode.OK, "", 0))
        grab = await server.peer.expect(messages.Grab)
        taken = messages.Result(grab.request_id, ErrorCode.TAKEN, "Bob has it.", 0)
        await server.peer.say(taken)

    async with connect(URL, name="Ada", stream=server.dial) as me:
        me.nursery.start_soon(rules)
        await me.grab(A, hand=0, position_m=(0.0, 0.0, -0.3))
        with pytest.raises(RequestRefused, match="Bob has it"):
            await me.grab(A)


async def test_many_edits_are_paced(server: Any, autojump_clock: MockClock) -> None:
    async with connect(URL, name="Ada", stream=server.dial) as me:
        handles = [me.place(A, PropTransform()) for _ in range(limits.EDITS_UNANSWERED_MAX)]
        with pytest.raises(RequestRefused, match="wait to be saved"):
            me.place(A, PropTransform())
        start_s = trio.current_time()
        ids = await heard(server, len(handles))
        spent_s = trio.current_time() - start_s
        assert ids == [handle.request_id for handle in handles]
        beyond = len(handles) - limits.EDIT_BURST_MAX
        assert beyond / limits.EDIT_PER_S_MAX < spent_s < 1.3 * beyond / limits.EDIT_PER_S_MAX


async def test_an_edit_waits_for_no_pose(server: Any, autojump_clock: MockClock) -> None:
    options = Options(pose_rate_hz=1.0)
    async with connect(URL, name="Ada", stream=server.dial, options=options) as me:
        await trio.sleep(0.1)
        me.undo()
        start_s = trio.current_time()
        await heard(server)
        assert trio.current_time() == start_s


# --- lost links and restarts -------------------------------------------------------------


async def test_unanswered_edits_are_asked_again_after_a_restart(
    server: Any, autojump_clock: MockClock
) -> None:
    async with connect(URL, name="Ada", stream=server.dial, options=QUICK) as me:
        saved, accepted, silent = me.create(Shape()), me.create(Sign()), me.lock(A)
        ids = await heard(server, 3)
        await answer(server, ids[0], EditState.ACCEPTED)
        await answer(server, ids[0], EditState.DURABLE)
        await answer(server, ids[1], EditState.ACCEPTED)
        await saved.durable()
        await accepted.accepted()
        late: list[EditHandle] = []

        async def build_meanwhile() -> None:
            await trio.sleep(1)
            late.append(me.undo())

        me.nursery.start_soon(build_meanwhile)
        await restart(server, me)
        assert server.peer.hello.resume_token == "first"
        again = [await server.peer.expect(EditSubmit) for _ in range(3)]
        assert [said.request_id for said in again] == [ids[1], ids[2], late[0].request_id]
        assert [type(said.edit) for said in again] == [edits.Create, edits.Lock, edits.Undo]
        assert again[0].edit.prop_id == accepted.prop_id
        # The new process knows of the one, has done the other now, and refuses the last.
        await answer(server, ids[1], EditState.DURABLE)
        await answer(server, ids[2], EditState.ACCEPTED)
        await answer(server, ids[2], EditState.DURABLE)
        await answer(server, late[0].request_id, EditState.REFUSED, ErrorCode.CONFLICT)
        await accepted.durable()
        await silent.durable()
        with pytest.raises(EditRefused):
            await late[0].accepted()


async def test_edits_are_asked_again_after_each_resume_until_they_are_answered(
    server: Any, autojump_clock: MockClock
) -> None:
    async with connect(URL, name="Ada", stream=server.dial, options=QUICK) as me:
        handles = [me.place(A, PropTransform()) for _ in range(40)]
        first = await heard(server, 40)
        for _ in range(2):
            await restart(server, me)
            assert await heard(server, 40) == first
        for request_id in first:
            await answer(server, request_id, EditState.DURABLE)
        for handle in handles:
            await handle.durable()
        await restart(server, me)
        me.undo()
        assert (await server.peer.expect(EditSubmit)).edit == edits.Undo()


async def test_a_link_that_breaks_while_edits_leave_keeps_their_order(
    server: Any, autojump_clock: MockClock
) -> None:
    async with connect(URL, name="Ada", stream=server.dial, options=QUICK) as me:
        handles = [me.place(A, PropTransform()) for _ in range(100)]
        await heard(server, 30)
        await restart(server, me)
        again = await heard(server, 100)
        assert again == [handle.request_id for handle in handles]


async def test_draining_is_waited_out(server: Any, autojump_clock: MockClock) -> None:
    async with connect(URL, name="Ada", stream=server.dial, options=QUICK) as me:
        handle = me.undo()
        (request_id,) = await heard(server)
        gone = messages.Notice(ErrorCode.DRAINING, "The server restarts.")
        await server.peer.say(gone)
        server.reachable = False
        server.peer.protocol.send_close(1001, "")
        await server.peer.flush()
        await wait_for(me, atrium_client.LinkLost)
        await trio.sleep(20)
        server.reachable = True
        assert await wait_for(me, atrium_client.Resumed)
        assert await heard(server) == [request_id]
        await answer(server, request_id, EditState.DURABLE)
        await handle.durable()


async def test_a_server_that_is_not_ready_yet_is_asked_again(
    server: Any, autojump_clock: MockClock
) -> None:
    """It answers with 503, or takes the connection and drops it, while it starts."""
    async with connect(URL, name="Ada", stream=server.dial, options=QUICK) as me:
        dial, tries = server.dial, 0

        async def not_ready() -> trio.abc.Stream:
            nonlocal tries
            tries += 1
            if tries > 6:
                return await dial()
            ours, theirs = trio.testing.memory_stream_pair()
            if tries % 2:
                await ours.send_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
            await ours.aclose()
            return theirs

        me._driver.address = atrium_client.link.Address(me._driver.address.url, not_ready)
        await server.peer.cut()
        await wait_for(me, atrium_client.Resumed)
        assert tries == 7


async def test_a_server_that_stays_away_is_given_up_when_the_seat_is(
    server: Any, autojump_clock: MockClock
) -> None:
    handles: list[EditHandle] = []

    async def stay() -> None:
        async with connect(URL, name="Ada", stream=server.dial, options=QUICK) as me:
            handles.append(me.undo())
            await heard(server)
            server.reachable = False
            await server.peer.cut()
            await handles[0].durable()

    start_s = trio.current_time()
    with pytest.raises(ReconnectFailed, match=r"within 40 s: No server answers"):
        await stay()
    assert 30.0 < trio.current_time() - start_s < 41.0
    with pytest.raises(EditLost, match="look whether it was done"):
        await handles[0].accepted()


async def test_a_seat_that_is_gone_leaves_the_fate_of_edits_unknown(
    server: Any, autojump_clock: MockClock
) -> None:
    def greet(hello: messages.Hello) -> Any:
        gone = (ErrorCode.RESUME_INVALID, "That seat is gone.")
        return gone if hello.resume_token else fake.welcome()

    server.greet = greet
    options = Options(reconnect=ReconnectPolicy(seed=1, rejoin=True))
    async with connect(URL, name="Ada", stream=server.dial, options=options) as me:
        handle = me.undo()
        (request_id,) = await heard(server)
        await answer(server, request_id, EditState.ACCEPTED)
        await handle.accepted()
        await server.peer.cut()
        with pytest.raises(EditLost, match="session that asked is over"):
            await handle.durable()
        unknown = await wait_for(me, atrium_client.EditUnresolved)
        assert unknown.request_id == request_id
        assert me.undo().request_id > request_id
        assert (await heard(server))[0] > request_id


async def test_a_resume_that_is_refused_ends_handles_and_session(
    server: Any, autojump_clock: MockClock
) -> None:
    handles: list[EditHandle] = []

    async def stay() -> None:
        async with connect(URL, name="Ada", stream=server.dial, options=QUICK) as me:
            handles.append(me.undo())
            await heard(server)
            server.greet = lambda _hello: (ErrorCode.RESUME_INVALID, "That seat is gone.")
            await server.peer.cut()
            await trio.sleep_forever()

    with pytest.raises(SessionEnded, match="RESUME_INVALID"):
        await stay()
    with pytest.raises(EditLost):
        await handles[0].durable()


async def test_leaving_ends_handles(server: Any, autojump_clock: MockClock) -> None:
    async with connect(URL, name="Ada", stream=server.dial) as me:
        handle = me.undo()
    with pytest.raises(EditLost):
        await handle.durable()


async def test_a_travel_ends_handles(server: Any, autojump_clock: MockClock) -> None:
    async def portal() -> None:
        await server.peer.expect(EditSubmit)
        travel = await server.peer.expect(messages.Travel)
        with pytest.raises(RequestRefused, match="travel has ended"):
            me.undo()
        await server.peer.say(fake.welcome(world="arena", request_id=travel.request_id))

    async with connect(URL, name="Ada", stream=server.dial) as me:
        me.nursery.start_soon(portal)
        handle = me.undo()
        await wait_all_tasks_blocked()
        await me.travel("arena")
        with pytest.raises(EditLost, match="left the world"):
            await handle.accepted()


# --- seeing ------------------------------------------------------------------------------


def scene(revision: int, x: float) -> bytes:
    """An answer to GET: a scene in which A stands at x."""
    prop = {"id": str(uuid.UUID(bytes=A)), "position_m": [x, 0.0, 0.0], "rotation": UPRIGHT,
            "scale": [1.0, 1.0, 1.0], "properties": {"kind": "shape"}}
    text = json.dumps({"name": "plaza", "revision": revision, "props": [prop]})
    packed = gzip.compress(text.encode())
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n"
    return head.encode() + packed


def moved(revision: int, x: float) -> messages.PropsChanged:
    state = PropState(A, b"", PropTransform((x, 0.0, 0.0)), Shape(), "", False)
    return messages.PropsChanged(revision, (state,), (), ())


def x_of(me: atrium_client.Me) -> float:
    there = me.where(A)
    assert there is not None
    return there.position_m[0]


async def test_the_scene_and_what_is_told_since(server: Any, autojump_clock: MockClock) -> None:
    server.files["/scenes/plaza@1"] = scene(5, 1.0)
    async with connect(URL, name="Ada", stream=server.dial) as me:
        assert me.props.needs_scene
        assert (await me.load_scene())["name"] == "plaza"
        assert (x_of(me), me.props.needs_scene) == (1.0, False)
        await server.peer.say(moved(6, 2.0))
        event = await anext(me.prop_events())
        assert event == atrium_client.PropsUpdated(moved(6, 2.0))
        assert x_of(me) == 2.0
        assert server.fetched == ["/scenes/plaza@1"]


async def test_what_is_told_while_the_scene_is_fetched_is_newer(
    server: Any, autojump_clock: MockClock
) -> None:
    server.files["/scenes/plaza@1"] = scene(5, 1.0)
    async with connect(URL, name="Ada", stream=server.dial) as me:
        await server.peer.say(moved(6, 2.0))
        await anext(me.prop_events())
        await me.load_scene()
        assert x_of(me) == 2.0


async def test_a_scene_that_is_gone_is_asked_for_by_its_world(
    server: Any, autojump_clock: MockClock
) -> None:
    listed = [{"world": {"name": "plaza", "people": 3}, "scene_url": "/scenes/plaza@2"}]
    text = json.dumps(listed)
    server.files["/api/worlds"] = f"HTTP/1.1 200 OK\r\n\r\n{text}".encode()
    server.files["/scenes/plaza@2"] = scene(9, 7.0)
    async with connect(URL, name="Ada", stream=server.dial) as me:
        await me.load_scene()
        assert (x_of(me), me.props.revision) == (7.0, 9)
        assert server.fetched == ["/scenes/plaza@1", "/api/worlds", "/scenes/plaza@2"]


async def test_another_scene_after_a_restart_is_to_be_fetched(
    server: Any, autojump_clock: MockClock
) -> None:
    server.files["/scenes/plaza@1"] = scene(900, 1.0)
    server.files["/scenes/plaza@again"] = scene(0, 3.0)
    async with connect(URL, name="Ada", stream=server.dial, options=QUICK) as me:
        await me.load_scene()
        server.greet = lambda _hello: fake.welcome(resumed=True, scene_url="/scenes/plaza@again")
        await restart(server, me)
        assert me.props.needs_scene
        await server.peer.say(moved(1, 4.0))
        await anext(me.prop_events())
        await me.load_scene()
        assert x_of(me) == 4.0


async def test_what_others_and_we_carry_is_in_the_hands_that_are_shown(
    server: Any, autojump_clock: MockClock
) -> None:
    server.files["/scenes/plaza@1"] = scene(5, 1.0)
    async with connect(URL, name="Ada", stream=server.dial) as me:
        await me.load_scene()
        hand = Transform((0.25, 1.0, -0.5), UPRIGHT)
        me.set_hands(hand, hand)
        me.move_to((5.0, 0.0, 0.0), yaw=0.0)
        held = PropHeld(A, fake.OUR_ENTITY, 1, (0.0, 0.0, -0.25), UPRIGHT)
        await server.peer.say(held)
        assert await anext(me.prop_events()) == atrium_client.PropTaken(held)
        there = me.where(A)
        assert there is not None
        assert there.position_m == pytest.approx((5.25, 1.0, -0.75))
        # Somebody whose hands are not told: the prop is not to be seen.
        await server.peer.say(
            messages.Enter((EnterEntry(3, 9, EntityKind.AVATAR, "Bob", ""),)),
            PropHeld(A, 9, 0, (0.0, 0.0, 0.0), UPRIGHT),
        )
        await server.peer.snapshot(101, fake.full_at(3, 0.0))
        await anext(me.prop_events())
        assert me.where(A) is None


async def test_what_flies_is_told_with_its_time(server: Any, autojump_clock: MockClock) -> None:
    server.files["/scenes/plaza@1"] = scene(5, 1.0)
    async with connect(URL, name="Ada", stream=server.dial) as me:
        await me.load_scene()
        await trio.sleep(1)
        flight = Flight(A, (0.0, 50.0, 0.0), UPRIGHT, (2.0, 0.0, 0.0), False)
        await server.peer.say(messages.PropsFlown(101, fake.server_ms(), (flight,)))
        flew = await anext(me.prop_events())
        assert flew.flights == (flight,)
        await trio.sleep(1)
        assert x_of(me) == pytest.approx(2.0 * (me.render_s - flew.server_s), abs=1e-6)
        assert x_of(me) > 1.0


async def test_drags_are_said_and_shown(server: Any, autojump_clock: MockClock) -> None:
    server.files["/scenes/plaza@1"] = scene(5, 1.0)
    async with connect(URL, name="Ada", stream=server.dial) as me:
        await me.load_scene()
        place = PropTransform((4.0, 0.0, 0.0))
        await me.drag((A, place))
        assert await server.peer.expect(messages.Drag) == messages.Drag((PropMove(A, place),))
        await me.drag()
        assert await server.peer.expect(messages.Drag) == messages.Drag(())
        await trio.sleep(1)
        await server.peer.say(
            messages.PropsDragged(70, fake.server_ms(), (PropMove(A, place),))
        )
        dragged = await anext(me.prop_events())
        assert (dragged.entity_id, dragged.drags) == (70, (PropMove(A, place),))
        assert x_of(me) == 4.0
        await server.peer.say(moved(6, 2.0))
        await anext(me.prop_events())
        assert x_of(me) == 2.0


async def test_signs_and_saving_are_events(server: Any, autojump_clock: MockClock) -> None:
    async with connect(URL, name="Ada", stream=server.dial) as me:
        await server.peer.say(
            messages.SignStatus(A, messages.SignState.REJECTED, "Bah", "Be kind."),
            messages.Saving(messages.SaveState.READ_ONLY, "Nothing can be built."),
        )
        judged = await wait_for(me, atrium_client.SignJudged)
        assert judged == atrium_client.SignJudged(
            A, messages.SignState.REJECTED, "Bah", "Be kind."
        )
        saving = await wait_for(me, atrium_client.SavingChanged)
        assert saving.state is messages.SaveState.READ_ONLY


async def test_lines_of_a_server_that_was_started_anew_are_heard(
    server: Any, autojump_clock: MockClock
) -> None:
    """It counts them from 1 again, and the resume does not say so."""

    def line(chat_seq: int, server_ms: int) -> messages.ChatPublished:
        return messages.ChatPublished(
            chat_seq, messages.ChatChannel.WORLD, 9, "Bob", f"line {chat_seq}", server_ms
        )

    async with connect(URL, name="Ada", stream=server.dial, options=QUICK) as me:
        await server.peer.say(line(1, 1_000), line(2, 2_000))
        await restart(server, me)
        assert server.peer.hello.last_chat_seq == 2
        await server.peer.say(line(2, 2_000), line(1, 90_000))
        texts = [(await anext(me.listen())).text for _ in range(3)]
        assert texts == ["line 1", "line 2", "line 1"], "the one that came twice is heard once"
        await restart(server, me)
        assert server.peer.hello.last_chat_seq == 1
