"""The SDK against a fake server, on a clock that jumps: no test waits for real time."""

from __future__ import annotations

import importlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

import atrium_client
from atrium_client import (
    ChatChannel,
    ConnectionFailed,
    ConnectionRefused,
    ErrorCode,
    Options,
    ReconnectFailed,
    ReconnectPolicy,
    RequestLost,
    RequestRefused,
    SessionEnded,
    Transform,
    connect,
)
from atrium_client.requests import REQUESTS_PENDING_MAX
from atrium_shared import codec, messages, pose
from atrium_shared.messages import ChatState, EnterEntry, EntityKind, MoveReason

# A neighbour, not an installed package.
sys.path.insert(0, str(Path(__file__).parent))
fake: Any = importlib.import_module("sdk_fake_server")
URL = "ws://atrium.test"
QUICK = Options(reconnect=ReconnectPolicy(seed=1, give_up_s=20.0))


@pytest.fixture
async def server(autojump_clock: MockClock) -> AsyncIterator[Any]:
    async with trio.open_nursery() as nursery:
        yield fake.FakeServer(nursery)
        nursery.cancel_scope.cancel()


async def stay(server: Any, then: Callable[[], Awaitable[None]]) -> None:
    """Join, do `then`, and stay for as long as the session lives."""
    async with connect(URL, name="Ada", stream=server.dial, options=QUICK):
        await then()
        await trio.sleep_forever()


async def wait_for(me: atrium_client.Me, kind: type[Any]) -> Any:
    """The next event of `kind`."""
    async for event in me.events():
        if isinstance(event, kind):
            return event
    raise AssertionError("the session is over")


async def test_join_says_who_we_are_and_takes_the_place_given(
    server: Any, autojump_clock: MockClock
) -> None:
    async with connect(URL, name="Ada", world="plaza", stream=server.dial) as me:
        hello = server.peer.hello
        assert (hello.name, hello.world, hello.resume_token) == ("Ada", "plaza", "")
        assert hello.protocol_hash == codec.PROTOCOL_HASH
        assert (me.world, me.entity_id, me.position) == ("plaza", fake.OUR_ENTITY, (1.0, 0.0, -2.0))
    await server.peer.gone.wait()
    await server.peer.expect(messages.Bye)
    assert server.peer.close_code == 1000


async def test_poses_come_at_their_rate_and_name_the_newest_tick(
    server: Any, autojump_clock: MockClock
) -> None:
    async with connect(URL, name="Ada", stream=server.dial) as me:
        me.move_to((1.25, 0.0, -2.0), yaw=0.5)
        hand = Transform((0.3, 1.0, -0.4), (0.0, 0.0, 0.0, 1.0))
        me.set_hands(hand, hand)
        await server.peer.snapshot(101, b"")
        await trio.sleep(1.01)
        assert len(server.peer.poses) == 20
        last = server.peer.poses[-1]
        assert (last.seq, last.ack_tick) == (20, 101)
        assert last.body[0] == pose.Parts.HEAD | pose.Parts.HANDS
        assert last.body[2:12] == fake.root_body(1.25, -2.0, pose.quantise_yaw(0.5))[2:]


async def test_the_clock_agrees_with_the_server(server: Any, autojump_clock: MockClock) -> None:
    async with connect(URL, name="Ada", stream=server.dial) as me:
        await trio.sleep(1)
        truth_s = trio.current_time() + fake.CLOCK_AHEAD_MS / 1000
        assert me.server_s == pytest.approx(truth_s, abs=2e-3)
        assert me.rtt_s == pytest.approx(0.0, abs=1e-3)


async def test_others_are_seen_between_their_records(
    server: Any, autojump_clock: MockClock
) -> None:
    async with connect(URL, name="Ada", stream=server.dial) as me:
        entry = EnterEntry(3, 9, EntityKind.AVATAR, "Bob", "")
        await server.peer.say(messages.Enter((entry,)))
        await server.peer.snapshot(101, fake.full_at(3, 0.0))
        for tick in range(102, 122):
            await trio.sleep(0.05)
            await server.peer.snapshot(tick, fake.step_of(3, 100))
        await trio.sleep(0.01)
        (bob,) = me.others
        assert (bob.name, bob.entity_id, bob.kind) == ("Bob", 9, EntityKind.AVATAR)
        now = me.server_s
        newest = now - 0.01
        for ago in (0.06, 0.1, 0.13):
            (bob,) = me.at(now - ago)
            assert bob.position[0] == pytest.approx(2.0 - 2.0 * (ago - (now - newest)), abs=5e-3)
        await server.peer.say(messages.Leave(b"\x03"))
        await wait_for(me, atrium_client.Left)
        assert me.others == []


async def test_a_correction_puts_us_where_the_server_says(
    server: Any, autojump_clock: MockClock
) -> None:
    async with connect(URL, name="Ada", stream=server.dial) as me:
        me.move_to((900.0, 0.0, 0.0))
        await trio.sleep(0.06)
        body = fake.root_body(1.5, -2)
        await server.peer.say(messages.Correction(1, 101, MoveReason.SPEED, body))
        corrected = await wait_for(me, atrium_client.Corrected)
        assert corrected.reasons == MoveReason.SPEED
        assert me.position == (1.5, 0.0, -2.0)


async def corrected(me: atrium_client.Me, server: Any, *said: object) -> None:
    """Say a Correction of seq, reasons and body, and wait until it is taken."""
    seq, reasons, body = said
    await server.peer.say(messages.Correction(seq, 101, reasons, body))
    await wait_for(me, atrium_client.Corrected)


async def test_a_correction_of_an_old_pose_keeps_what_was_walked_since(
    server: Any, autojump_clock: MockClock
) -> None:
    async with connect(URL, name="Ada", stream=server.dial) as me:
        me.move_to((1.5, 0.0, -2.0), yaw=1.0)
        await trio.sleep(0.06)
        old = server.peer.poses[-1].seq
        me.move_to((1.75, 0.0, -2.5), yaw=2.0)
        await corrected(me, server, old, MoveReason.SPEED, fake.root_body(1.25, -2.125))
        assert me.position == (1.5, 0.0, -2.625)
        assert me.yaw == 2.0
        # The same answer again is measured against the places as corrected.
        await corrected(me, server, old, MoveReason.SPEED, fake.root_body(1.25, -2.125))
        assert me.position == (1.5, 0.0, -2.625)


async def test_a_correction_of_reach_moves_nobody(server: Any, autojump_clock: MockClock) -> None:
    async with connect(URL, name="Ada", stream=server.dial) as me:
        me.move_to((1.2345, 0.0, -2.0), yaw=1.0)
        await trio.sleep(0.06)
        seq = server.peer.poses[-1].seq
        await corrected(me, server, seq, MoveReason.REACH, fake.root_body(1.234, -2.0))
        assert (me.position, me.yaw) == ((1.2345, 0.0, -2.0), 1.0)


@pytest.mark.parametrize("reason", [MoveReason.TELEPORT, MoveReason.SEATED])
async def test_a_jump_is_taken_as_it_is(
    server: Any, autojump_clock: MockClock, reason: MoveReason
) -> None:
    async with connect(URL, name="Ada", stream=server.dial) as me:
        me.move_to((1.5, 0.0, -2.0))
        await trio.sleep(0.06)
        seq = server.peer.poses[-1].seq
        me.move_to((1.75, 0.0, -2.0), yaw=1.0)
        await corrected(me, server, seq, reason, fake.root_body(7.0, -7.0, 1024))
        assert me.position == (7.0, 0.0, -7.0)
        assert me.yaw == pytest.approx(pose.yaw_of(1024))


async def test_a_walk_ends_where_the_server_says(server: Any, autojump_clock: MockClock) -> None:
    wall_m = 1.3

    async def world() -> None:
        """Lets nobody beyond the wall, and tells so every second tick."""
        for tick in range(101, 1_000):
            await trio.sleep(0.05)
            if not server.peer.poses:
                continue
            newest = server.peer.poses[-1]
            if tick % 2 and x_m(newest) > wall_m:
                body = fake.root_body(wall_m, -2.0)
                await server.peer.say(
                    messages.Correction(newest.seq, tick, MoveReason.COLLIDER, body)
                )
            await server.peer.snapshot(tick, b"")

    async with connect(URL, name="Ada", stream=server.dial) as me:
        me.nursery.start_soon(world)
        # So close that the target is wanted before the server has said a word about it.
        assert await me.walk((1.35, 0.0, -2.0)) == (wall_m, 0.0, -2.0)
        assert await me.walk((5.0, 0.0, -2.0)) == pytest.approx((wall_m, 0.0, -2.0))
        me.move_to((1.0, 0.0, -2.0))
        assert await me.walk((1.0, 0.0, -2.0)) == (1.0, 0.0, -2.0)
        assert x_m(server.peer.poses[-1]) == 1.0


def x_m(said: messages.Pose) -> float:
    return int.from_bytes(said.body[2:5], "little", signed=True) / 1000


async def test_move_returns_when_the_server_has_taken_it(
    server: Any, autojump_clock: MockClock
) -> None:
    async def ticks() -> None:
        for tick in range(101, 1_000):
            await trio.sleep(0.05)
            await server.peer.snapshot(tick, b"")

    async with connect(URL, name="Ada", stream=server.dial) as me:
        me.nursery.start_soon(ticks)
        assert await me.move((1.5, 0.0, -2.0), 0.0) == (1.5, 0.0, -2.0)
        start_s = trio.current_time()
        assert await me.walk((1.5, 0.0, -9.0), speed_m_per_s=1.4) == (1.5, 0.0, -9.0)
        assert trio.current_time() - start_s == pytest.approx(5.0, abs=0.3)
        places_mm = [z_mm(said) for said in server.peer.poses]
        assert max(abs(b - a) for a, b in pairwise(places_mm)) <= 141


def z_mm(said: messages.Pose) -> int:
    return int.from_bytes(said.body[7:10], "little", signed=True)


async def test_say_returns_the_verdict_and_listen_hears_it(
    server: Any, autojump_clock: MockClock
) -> None:
    async def judge() -> None:
        line = await server.peer.expect(messages.ChatSubmit)
        await server.peer.say(
            messages.ChatStatus(line.request_id, ChatState.PENDING, 0, ""),
            messages.ChatPublished(5, line.channel, fake.OUR_ENTITY, "Ada", line.text, 0),
            messages.ChatStatus(line.request_id, ChatState.PUBLISHED, 5, ""),
        )
        line = await server.peer.expect(messages.ChatSubmit)
        assert (line.channel, line.target) == (ChatChannel.DIRECT, 9)
        await server.peer.say(messages.ChatStatus(line.request_id, ChatState.REJECTED, 0, "rude"))

    async with connect(URL, name="Ada", stream=server.dial) as me:
        me.nursery.start_soon(judge)
        outcome = await me.say("hello")
        assert (outcome.published, outcome.chat_seq) == (True, 5)
        line = await anext(me.listen())
        assert (line.text, line.mine, line.sender_name) == ("hello", True, "Ada")
        outcome = await me.say("bah", to=9)
        assert (outcome.published, outcome.reason) == (False, "rude")


async def test_say_raises_when_too_many_of_our_requests_wait(
    server: Any, autojump_clock: MockClock
) -> None:
    async with connect(URL, name="Ada", stream=server.dial) as me:
        for _ in range(REQUESTS_PENDING_MAX):
            me.nursery.start_soon(me.say, "hello")
        await wait_all_tasks_blocked()
        with pytest.raises(RequestRefused, match="wait for their answers") as caught:
            await me.say("one more")
        assert caught.value.code == ErrorCode.RATE_LIMITED


async def test_an_emote_that_is_denied_is_an_event(
    server: Any, autojump_clock: MockClock
) -> None:
    async with connect(URL, name="Ada", stream=server.dial) as me:
        await me.emote(3)
        assert (await server.peer.expect(messages.EmoteSubmit)).emote == 3
        refusal = messages.Result(0, ErrorCode.RATE_LIMITED, "Not so fast.", 1_000)
        await server.peer.say(refusal)
        refused = await wait_for(me, atrium_client.Refused)
        assert refused == atrium_client.Refused(ErrorCode.RATE_LIMITED, "Not so fast.", 1_000)


async def test_teleport_and_seats(server: Any, autojump_clock: MockClock) -> None:
    async def rules() -> None:
        jump = await server.peer.expect(messages.Teleport)
        assert (jump.kind, jump.x, jump.z) == (messages.TeleportTarget.POINT, 4.0, 5.0)
        await server.peer.say(messages.Result(jump.request_id, ErrorCode.OK, "", 0))
        await trio.sleep(0.02)  # the two may come in two pieces
        landing = messages.Correction(1, 101, MoveReason.TELEPORT, fake.root_body(4, 5, 0, 1))
        await server.peer.say(landing)
        jump = await server.peer.expect(messages.Teleport)
        assert (jump.kind, jump.target) == (messages.TeleportTarget.SEAT, 12)
        await server.peer.say(messages.Result(jump.request_id, ErrorCode.TAKEN, "Taken.", 0))

    async with connect(URL, name="Ada", stream=server.dial) as me:
        me.nursery.start_soon(rules)
        assert await me.teleport((4.0, 0.0, 5.0)) == (4.0, 0.0, 5.0)
        with pytest.raises(RequestRefused) as caught:
            await me.sit(12)
        assert caught.value.code == ErrorCode.TAKEN
        assert me.position == (4.0, 0.0, 5.0)


async def test_travel_forgets_everybody(server: Any, autojump_clock: MockClock) -> None:
    async def portal() -> None:
        travel = await server.peer.expect(messages.Travel)
        assert travel.world == "arena"
        there = fake.welcome(world="arena", y_unit_mm=2, request_id=travel.request_id, tick=9)
        entry = EnterEntry(3, 77, EntityKind.NPC, "Guide", "")
        await server.peer.say(there, messages.Enter((entry,)))
        travel = await server.peer.expect(messages.Travel)
        full = messages.Result(travel.request_id, ErrorCode.WORLD_FULL, "That world is full.", 0)
        await server.peer.say(full)

    async with connect(URL, name="Ada", stream=server.dial) as me:
        await server.peer.say(messages.Enter((EnterEntry(3, 9, EntityKind.AVATAR, "Bob", ""),)))
        me.nursery.start_soon(portal)
        await me.travel("arena")
        assert me.world == "arena"
        await wait_for(me, atrium_client.Travelled)
        assert (await wait_for(me, atrium_client.Entered)).entity.name == "Guide"
        with pytest.raises(RequestRefused, match="full"):
            await me.travel("attic")
        assert me.world == "arena"


async def test_nothing_is_asked_during_a_travel_and_what_was_asked_before_is_lost(
    server: Any, autojump_clock: MockClock
) -> None:
    async def portal() -> None:
        await server.peer.expect(messages.ChatSubmit)
        travel = await server.peer.expect(messages.Travel)
        with trio.move_on_after(1) as waited:
            await server.peer.expect(messages.ChatSubmit)
        assert waited.cancelled_caught, "it would end the session"
        await server.peer.say(fake.welcome(world="arena", request_id=travel.request_id))
        line = await server.peer.expect(messages.ChatSubmit)
        said = messages.ChatStatus(line.request_id, ChatState.PUBLISHED, 1, "")
        await server.peer.say(said)

    async def early() -> None:
        with pytest.raises(RequestLost, match="left the world"):
            await me.say("on the way out")

    async with connect(URL, name="Ada", stream=server.dial) as me, trio.open_nursery() as nursery:
        nursery.start_soon(portal)
        nursery.start_soon(early)
        await wait_all_tasks_blocked()
        nursery.start_soon(me.travel, "arena")
        await wait_all_tasks_blocked()
        assert (await me.say("here I am")).published
        assert me.world == "arena"


async def test_resume_after_a_cut_keeps_requests_and_tells_the_application(
    server: Any, autojump_clock: MockClock
) -> None:
    async with connect(URL, name="Ada", stream=server.dial, options=QUICK) as me:
        await server.peer.say(
            messages.ChatPublished(41, ChatChannel.WORLD, 9, "Bob", "hi", 0),
            messages.Enter((EnterEntry(3, 9, EntityKind.AVATAR, "Bob", ""),)),
        )
        await trio.sleep(0.5)
        seq = server.peer.poses[-1].seq
        outcome: list[Any] = []

        async def ask() -> None:
            outcome.append(await me.say("are you there?"))

        me.nursery.start_soon(ask)
        line = await server.peer.expect(messages.ChatSubmit)
        server.reachable = False
        await server.peer.cut()
        assert "broke off" in (await wait_for(me, atrium_client.LinkLost)).sentence
        await trio.sleep(3)
        server.reachable = True
        resumed = await wait_for(me, atrium_client.Resumed)
        assert not resumed.fresh
        assert server.peer.hello.resume_token == "first"
        assert server.peer.hello.last_chat_seq == 41
        assert me.others == []
        status = messages.ChatStatus(line.request_id, ChatState.PUBLISHED, 42, "")
        await server.peer.say(status)
        await trio.sleep(0.5)
        assert outcome[0].published
        assert server.peer.poses[0].seq > seq
        waits_s = [b - a for a, b in pairwise(server.dialled_s[1:])]
        assert all(0.1 <= wait <= 5.0 for wait in waits_s)
        assert waits_s[-1] > waits_s[0]


async def test_a_request_whose_answer_never_comes_is_lost(
    server: Any, autojump_clock: MockClock
) -> None:
    async with connect(URL, name="Ada", stream=server.dial, options=QUICK) as me:

        async def cut() -> None:
            await server.peer.expect(messages.ChatSubmit)
            await server.peer.cut()

        me.nursery.start_soon(cut)
        with pytest.raises(RequestLost):
            await me.say("are you there?")
        assert len(server.peers) == 2


async def test_a_silent_server_is_a_lost_link(server: Any, autojump_clock: MockClock) -> None:
    async with connect(URL, name="Ada", stream=server.dial, options=QUICK) as me:
        server.peer.protocol.send_binary = lambda data: None  # the server hangs
        assert "silent" in (await wait_for(me, atrium_client.LinkLost)).sentence
        await wait_for(me, atrium_client.Resumed)


async def test_draining_is_waited_out_as_the_server_asks(
    server: Any, autojump_clock: MockClock
) -> None:
    async with connect(URL, name="Ada", stream=server.dial, options=QUICK) as me:
        await server.peer.refuse(ErrorCode.DRAINING, "The server restarts.", 4_000)
        lost = await wait_for(me, atrium_client.LinkLost)
        assert (lost.sentence, lost.retry_ms) == ("The server restarts.", 4_000)
        await wait_for(me, atrium_client.Resumed)
        assert server.dialled_s[1] - server.dialled_s[0] >= 4.0


async def test_giving_up_is_bounded_and_ends_the_block(
    server: Any, autojump_clock: MockClock
) -> None:
    async def vanish() -> None:
        server.reachable = False
        await server.peer.cut()

    with pytest.raises(ReconnectFailed, match="within 20 s"):
        await stay(server, vanish)
    assert trio.current_time() <= 21.0


async def test_a_stream_that_was_given_cannot_be_resumed(
    server: Any, autojump_clock: MockClock
) -> None:
    async def once() -> None:
        async with connect(URL, name="Ada", stream=await server.dial(), options=QUICK):
            await server.peer.cut()
            await trio.sleep_forever()

    with pytest.raises(ReconnectFailed, match="cannot be opened again"):
        await once()


@pytest.mark.parametrize("code", [ErrorCode.VERSION, ErrorCode.FULL, ErrorCode.BAD_NAME])
async def test_refusals_are_sentences(
    server: Any, autojump_clock: MockClock, code: ErrorCode
) -> None:
    server.greet = lambda _hello: (code, "Not like this.")
    with pytest.raises(ConnectionRefused, match=rf"Not like this\. \({code.name}\)") as caught:
        async with connect(URL, name="Ada", stream=server.dial):
            raise AssertionError("we are not in")
    assert caught.value.code == code


async def test_being_replaced_ends_the_session_for_good(
    server: Any, autojump_clock: MockClock
) -> None:
    async def replace() -> None:
        await server.peer.refuse(ErrorCode.REPLACED, "You joined from elsewhere.")

    with pytest.raises(SessionEnded) as caught:
        await stay(server, replace)
    assert caught.value.code == ErrorCode.REPLACED
    assert len(server.peers) == 1


async def test_a_resume_that_is_refused_ends_the_session(
    server: Any, autojump_clock: MockClock
) -> None:
    async def forget() -> None:
        server.greet = lambda _hello: (ErrorCode.RESUME_INVALID, "That seat is gone.")
        await server.peer.cut()

    with pytest.raises(SessionEnded, match="RESUME_INVALID"):
        await stay(server, forget)


async def test_a_seat_that_is_gone_can_be_joined_anew(
    server: Any, autojump_clock: MockClock
) -> None:
    def greet(hello: messages.Hello) -> Any:
        gone = (ErrorCode.RESUME_INVALID, "That seat is gone.")
        return gone if hello.resume_token else fake.welcome()

    server.greet = greet
    options = Options(reconnect=ReconnectPolicy(seed=1, rejoin=True))
    async with connect(URL, name="Ada", stream=server.dial, options=options) as me:
        await server.peer.cut()
        assert (await wait_for(me, atrium_client.Resumed)).fresh
        assert [peer.hello.resume_token for peer in server.peers] == ["", "first", ""]


async def test_nobody_answers(server: Any, autojump_clock: MockClock) -> None:
    server.reachable = False
    with pytest.raises(ConnectionFailed, match=r"No server answers at ws://atrium\.test/ws"):
        async with connect(URL, name="Ada", stream=server.dial):
            raise AssertionError("we are not in")


async def test_an_error_of_the_application_leaves_the_block_as_it_is(
    server: Any, autojump_clock: MockClock
) -> None:
    with pytest.raises(KeyError, match="mine"):
        async with connect(URL, name="Ada", stream=server.dial):
            raise KeyError("mine")
    await server.peer.gone.wait()
    await server.peer.expect(messages.Bye)


async def test_a_server_that_breaks_the_protocol_ends_the_block(
    server: Any, autojump_clock: MockClock
) -> None:
    with pytest.raises(atrium_client.ProtocolError, match="nobody entered"):
        await stay(server, lambda: server.peer.snapshot(101, fake.full_at(3, 0.0)))
