"""Hostile and broken clients against a whole server: what each of them hears, and that nobody else
notices. The honest neighbour of `harness.Witness` is in the same world all the time.
"""

from __future__ import annotations

import gc
import random
import struct
import weakref
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio
from harness import (
    CLOSE,
    PING,
    PONG,
    TEXT,
    Ended,
    House,
    Peer,
    Witness,
    frame,
    hello,
    open_house,
    root_body,
    said,
    write_world,
)
from trio.testing import MockClock
from websockets.protocol import State
from websockets.server import ServerProtocol

from atrium_server.net.connection import Arrival
from atrium_server.net.memory_io import Conditions, memory_link
from atrium_server.seats import SeatState
from atrium_shared import codec, limits, pose
from atrium_shared import messages as m
from atrium_shared.errors import CLOSE_CODE_OF, CloseCode, ErrorCode

MALFORMED, TOO_LARGE = ErrorCode.MALFORMED, ErrorCode.TOO_LARGE
UNEXPECTED, TOO_FAST = ErrorCode.UNEXPECTED, ErrorCode.TOO_FAST


@pytest.fixture
async def witness(house: House) -> Witness:
    return await house.witness()


@pytest.fixture
async def two_worlds(
    tmp_path: Path, autojump_clock: MockClock
) -> AsyncGenerator[House]:
    """A server with a hall, and a closet that has room for one."""
    worlds = [write_world(tmp_path, "hall"), write_world(tmp_path, "closet", capacity=1)]
    async with open_house(worlds=worlds) as house:
        yield house


async def heard_by(house: House, data: bytes) -> Ended:
    """What a client that is in hears after having sent `data`."""
    peer = await house.joined("Mallory")
    await peer.write(data)
    ended = await peer.ending()
    assert await peer.rest() == b"", "nothing follows a close frame"
    await peer.gone()
    return ended


# --- frames --------------------------------------------------------------------------------------

PING_BODY = codec.encode(m.ClockPing(1))
BAD_FRAMES: dict[str, tuple[bytes, int, ErrorCode]] = {
    "unmasked": (frame(PING_BODY, masked=False), 1002, MALFORMED),
    "text": (frame(b"hello", opcode=TEXT), 4000, MALFORMED),
    "text that is not UTF-8": (frame(b"\xff\xfe", opcode=TEXT), 4000, MALFORMED),
    "empty message": (frame(b""), 4000, MALFORMED),
    "fragmented": (
        frame(PING_BODY[:1], fin=False) + frame(PING_BODY[1:], opcode=0), 4000, MALFORMED
    ),
    "fragmented text": (
        frame(b"a", opcode=TEXT, fin=False) + frame(b"b", opcode=0), 4000, MALFORMED
    ),
    "ping between fragments": (
        frame(PING_BODY[:1], fin=False) + frame(opcode=PING) + frame(PING_BODY[1:], opcode=0),
        4000, MALFORMED,
    ),
    "message between fragments": (
        frame(PING_BODY[:1], fin=False) + frame(PING_BODY), 1002, MALFORMED
    ),
    "continuation of nothing": (frame(PING_BODY, opcode=0), 1002, MALFORMED),
    "fragmented ping": (frame(b"x", opcode=PING, fin=False), 1002, MALFORMED),
    "ping of 126 bytes": (frame(bytes(126), opcode=PING), 1002, MALFORMED),
    "close of one byte": (frame(b"x", opcode=CLOSE), 1002, MALFORMED),
    "close with a reserved code": (frame(struct.pack(">H", 1005), opcode=CLOSE), 1002, MALFORMED),
    "close with an impossible code": (frame(struct.pack(">H", 9), opcode=CLOSE), 1002, MALFORMED),
    "close whose reason is not UTF-8": (frame(b"\x03\xe8\xff", opcode=CLOSE), 1007, MALFORMED),
    "too large by one": (
        frame(bytes(limits.MESSAGE_BYTES_MAX + 1)), 1009, TOO_LARGE
    ),
    "a length of 2**62": (frame(bytes(64), declared=2**62), 1009, TOO_LARGE),
    "fragments that are too large together": (
        frame(bytes(9000), fin=False) + frame(bytes(9000), opcode=0), 1009, MALFORMED
    ),
    **{
        f"reserved bits {rsv:03b}": (frame(PING_BODY, rsv=rsv), 1002, MALFORMED)
        for rsv in (1, 2, 4, 7)
    },
    **{
        f"opcode {opcode}": (frame(PING_BODY, opcode=opcode), 1002, MALFORMED)
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
}


@pytest.mark.parametrize("what", BAD_FRAMES)
async def test_a_broken_frame_is_answered_and_ends_only_that_session(
    what: str, house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    data, close_code, code = BAD_FRAMES[what]
    ended = await heard_by(house, data)
    assert ended.error is not None
    assert (ended.code, ErrorCode(ended.error.code)) == (close_code, code)
    await witness.still_served()
    assert house.connections == 1
    assert house.host().seats.count(SeatState.ACTIVE) == 1, "who breaks the protocol keeps no seat"


async def test_a_message_of_the_largest_size_is_taken(
    house: House, autojump_clock: MockClock
) -> None:
    """A hello whose name fills it: the answer is about the name, not about the size."""
    peer = house.peer()
    await peer.upgrade()
    spare = limits.MESSAGE_BYTES_MAX - len(codec.encode(hello("")))
    data = codec.encode(hello("x" * (spare - 2)))
    assert len(data) == limits.MESSAGE_BYTES_MAX
    await peer.write(frame(data))
    ended = await peer.ending()
    assert ended.error is not None
    assert (ended.code, ended.error.code) == (4004, ErrorCode.BAD_NAME)


async def test_control_frames_are_served_in_every_form(
    house: House, autojump_clock: MockClock
) -> None:
    peer = await house.joined()
    for body in (b"", b"x", bytes(125)):
        await peer.write(frame(body, opcode=PING) + frame(body, opcode=PONG))
        while (got := await peer.read_frame())[0] != PONG:
            pass
        assert got[1] == body


async def test_bytes_one_by_one_are_as_good_as_all_at_once(
    house: House, autojump_clock: MockClock
) -> None:
    peer = await house.joined()
    for byte in said(m.ClockPing(77)) + said(m.ClockPing(78)):
        await peer.write(bytes([byte]))
        await trio.sleep(0.05)
    assert (await peer.expect(m.ClockPong)).client_ms == 77
    assert (await peer.expect(m.ClockPong)).client_ms == 78


# --- messages ------------------------------------------------------------------------------------

_array = msgspec.msgpack.encode
BAD_MESSAGES: dict[str, bytes] = {
    "nil": b"\xc0",
    "an integer": b"\x01",
    "a map": _array({"op": 2}),
    "an empty array": b"\x90",
    "an op that nobody has": _array([200, 1]),
    "an op of text": _array(["2", 1]),
    "an op of the server's": codec.encode(m.ClockPong(1, 2, 3)),
    "a field too few": _array([2]),
    "a field too many": _array([2, 1, 1]),
    "a float for an integer": _array([2, 1.0]),
    "a boolean for an integer": _array([2, True]),
    "a negative": _array([2, -1]),
    "33 bits": _array([2, 2**32]),
    "bytes behind the end": PING_BODY + b"\0",
    "half a message": PING_BODY[:-1],
    "10,000 arrays in each other": b"\x91" * 10_000 + b"\x90",
    "an array of 2**32-1 elements": b"\xdd\xff\xff\xff\xff",
    "bytes of a length that is not there": b"\x95\x03\xc6\xff\xff\xff\xff",
    "text that is not UTF-8": b"\x95\x05\x01\x00\x00\xa1\xff",
    "an extension": b"\x92\x02\xd4\x01\x00",
    "a chat line of 501 characters": _array([5, 1, 0, 0, "x" * 501]),
    "an empty chat line": _array([5, 1, 0, 0, ""]),
    "a channel that is none": _array([5, 1, 9, 0, "x"]),
    "a pose of a length that its parts do not have": _array([3, 1, 1, 1, bytes(13)]),
    "a pose with parts that are none": _array([3, 1, 1, 1, b"\xff" + bytes(11)]),
    "a pose without a body": _array([3, 1, 1, 1, b""]),
    **{
        f"a teleport to {name}": _array([7, 1, 0, 0, value, 0.0, 0.0, 0.0])
        for name, value in {
            "NaN": float("nan"), "infinity": float("inf"), "-infinity": float("-inf"),
            "beyond the largest world": 8_389.0,
        }.items()
    },
    "a teleport with a yaw of NaN": _array([7, 1, 0, 0, 0.0, 0.0, 0.0, float("nan")]),
}


@pytest.mark.parametrize("what", BAD_MESSAGES)
async def test_what_is_no_message_is_malformed(
    what: str, house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    ended = await heard_by(house, frame(BAD_MESSAGES[what]))
    assert ended.error is not None
    assert (ended.code, ended.error.code) == (4000, MALFORMED)
    await witness.still_served()


A_POSE = m.Pose(1, 0, 0, root_body())
MESSAGES: dict[str, m.Message] = {
    "Hello": hello("Twice"), "ClockPing": m.ClockPing(5), "Pose": A_POSE, "Ack": m.Ack(1),
    "ChatSubmit": m.ChatSubmit(1, m.ChatChannel.WORLD, 0, "hi"), "EmoteSubmit": m.EmoteSubmit(3),
    "Teleport": m.Teleport(1, m.TeleportTarget.SPAWN, 0, 0.0, 0.0, 0.0, 0.0),
    "Travel": m.Travel(1, "nowhere"), "Bye": m.Bye(),
    **{type(message).__name__: message for message in (
        m.AvatarSubmit(1, ""), m.Sit(1, bytes(16)), m.Relate(1, 1, "", 0), m.SafeZone(1, True),
        m.Report(1, 1, m.ReportReason.SPAM, ""), m.MarkerSubmit((0.0, 0.0, 0.0), 0.0),
        m.VoiceSet(1, m.VoiceMode.OFF),
    )},
}
"""One of each that a client can say."""
MAY_BE_SAID = {
    "HELLO": {"Hello"},
    "AUTH": {"ClockPing", "Bye"},
    "JOINING": {"ClockPing", "Bye", "Pose", "Ack"},
    "ACTIVE": set(MESSAGES) - {"Hello"},
}
"""The table of docs/PROTOCOL.md, section 3."""


async def brought_to(state: str, house: House, then: m.Message) -> Peer:
    """A client that has said `then` when its session was in `state`."""
    peer = house.peer()
    if state == "HELLO":
        await peer.upgrade()
        await peer.say(then)
    elif state == "AUTH":  # in one piece with the hello, so before anyone can look at that
        await peer.upgrade()
        await peer.write(said(hello("Early")) + said(then))
    else:
        await peer.join("Ready")
        before = said(m.Travel(9, "closet")) if state == "JOINING" else b""
        await peer.write(before + said(then))
    return peer


@pytest.mark.parametrize("state", MAY_BE_SAID)
@pytest.mark.parametrize("what", MESSAGES)
async def test_the_state_table_holds_for_every_message(
    state: str, what: str, two_worlds: House, autojump_clock: MockClock
) -> None:
    peer = await brought_to(state, two_worlds, MESSAGES[what])
    if what not in MAY_BE_SAID[state]:
        ended = await peer.ending()
        assert ended.error is not None
        assert (ended.code, ended.error.code) == (4001, UNEXPECTED)
    elif what == "Bye":
        ended = await peer.ending()
        assert (ended.code, ended.error) == (1001, None)
        await trio.sleep(1)
        assert sum(len(host.seats) for host in two_worlds.server.hosts) == 0
    else:
        if state in ("HELLO", "AUTH", "JOINING"):
            await peer.expect(m.Welcome)
        await peer.say(m.ClockPing(4711))
        while (await peer.expect(m.ClockPong)).client_ms != 4711:
            pass


async def test_a_pose_before_hello_is_no_pose(house: House, autojump_clock: MockClock) -> None:
    """Also in the form that is decoded without Python."""
    peer = house.peer()
    await peer.upgrade()
    await peer.write(said(A_POSE) * 3)
    assert (await peer.ending()).code == 4001


async def test_what_comes_after_our_close_is_ignored(
    house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    peer = await house.joined()
    peer.answers_close = False
    chat = said(m.ChatSubmit(1, m.ChatChannel.WORLD, 0, "too late"))
    await peer.write(frame(b"\xc0") + chat + said(A_POSE) + frame(b"\xc0"))
    ended = await peer.ending()
    assert ended.code == 4000
    await peer.write(chat)
    await trio.sleep(1)
    assert house.connections == 2, "the peer has some time to answer"
    await witness.still_served(3)
    assert not witness.heard_of(m.ChatPublished)
    assert house.connections == 1, "who does not answer a close is dropped"


# --- movement ------------------------------------------------------------------------------------


async def test_a_jump_beyond_the_rules_is_corrected_and_the_session_lives(
    house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    peer = await house.joined()
    await peer.say(m.Pose(7, 0, 0, root_body(8_000.0, -8_000.0)))
    correction = await peer.expect(m.Correction)
    assert correction.seq == 7
    assert correction.reasons & (m.MoveReason.SPEED | m.MoveReason.BOUNDS)
    for _ in range(20):
        assert isinstance(await peer.hear(), m.Message)
    await witness.still_served()


async def test_a_teleport_out_of_the_world_is_refused(
    house: House, autojump_clock: MockClock
) -> None:
    peer = await house.joined()
    await peer.say(m.Teleport(3, m.TeleportTarget.POINT, 0, 8_000.0, 0.0, 0.0, 0.0))
    result = await peer.expect(m.Result)
    assert result.request_id == 3
    assert 0 < result.code < 100


async def test_an_old_pose_changes_nothing(house: House, autojump_clock: MockClock) -> None:
    peer = await house.joined()
    await peer.expect(m.Snapshot)
    row = house.host().world.publish().rows[0]
    x_m, z_m = row[pose.X] / 1000, row[pose.Z] / 1000
    await peer.say(m.Pose(10, 0, 0, root_body(x_m + 0.05, z_m)))
    while (await peer.expect(m.Snapshot)).ack_seq != 10:
        pass
    for seq in (9, 10, 0, 10 - 2**31 + 2**32):
        await peer.say(m.Pose(seq, 0, 0, root_body(x_m - 0.05, z_m)))
    for _ in range(5):
        assert (await peer.expect(m.Snapshot)).ack_seq == 10
    assert house.host().world.publish().rows[0, pose.X] == round(1000 * (x_m + 0.05))


# --- floods --------------------------------------------------------------------------------------

FLOODS: dict[str, bytes] = {
    "clock pings": said(m.ClockPing(1)), "acks": said(m.Ack(1)), "pings": frame(opcode=PING),
    "pongs": frame(opcode=PONG), "chat": said(m.ChatSubmit(1, m.ChatChannel.WORLD, 0, "x")),
    "poses in another form": frame(msgspec.msgpack.encode([3, 1, 1, 1, root_body()])),
}


@pytest.mark.parametrize("what", FLOODS)
async def test_ten_thousand_messages_a_second_end_the_session(
    what: str, house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    peer = await house.joined()
    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(flood, peer, FLOODS[what], 10_000)
        ended = await peer.ending()
        nursery.cancel_scope.cancel()
    assert trio.current_time() - began < 2.0
    assert ended.error is not None
    assert (ended.code, ended.error.code) == (4003, TOO_FAST)
    await witness.still_served(2)
    assert len(witness.heard_of(m.ChatPublished)) <= limits.CHAT_BURST_MAX + 2


async def flood(peer: Peer, data: bytes, per_s: int) -> None:
    while True:
        await peer.write(data * (per_s // 50))
        await trio.sleep(0.02)


async def test_ten_thousand_poses_a_second_are_history_and_then_the_end(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """The fast path takes no message count per frame: the housekeeper does, once a second."""
    async with open_house(worlds=[write_world(tmp_path, "small", capacity=4)]) as house:
        witness, peer = await house.witness(), await house.joined()
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(flood, peer, said(A_POSE), 60_000)
            await witness.still_served(2)
            assert house.host().inbox.poses_dropped == 0, "the flood takes nobody's room"
            ended = await peer.ending()
            nursery.cancel_scope.cancel()
        assert trio.current_time() - began < 5.0
        assert ended.error is not None
        assert (ended.code, ended.error.code) == (4003, TOO_FAST)
        await witness.still_served()


async def test_sixty_poses_a_second_with_jitter_are_fine(
    house: House, autojump_clock: MockClock
) -> None:
    peer = house.peer(up=Conditions(delay_s=0.02, jitter_s=0.3, random=random.Random(3)))
    welcome = await peer.join()
    witness = Witness(peer, welcome)
    house.nursery.start_soon(witness.listen)
    for seq in range(60 * 8):
        await peer.write(said(m.Pose(seq, 0, 0, root_body())))
        await trio.sleep(1 / 60)
    await witness.still_served()


async def test_requests_above_their_rate_are_refused_one_by_one(
    house: House, autojump_clock: MockClock
) -> None:
    peer = await house.joined()
    for request_id in range(20):
        await peer.say(m.ChatSubmit(request_id, m.ChatChannel.WORLD, 0, "x"))
    rejected: list[int] = []
    while len(rejected) < 20 - limits.CHAT_BURST_MAX:
        status = await peer.expect(m.ChatStatus)
        if status.state is m.ChatState.REJECTED:
            rejected.append(status.request_id)
    assert rejected == list(range(limits.CHAT_BURST_MAX, 20))


# --- silence and slowness ------------------------------------------------------------------------


async def test_who_never_says_hello_is_told_so(
    house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    peer = house.peer()
    await peer.upgrade()
    began = trio.current_time()
    ended = await peer.ending()
    assert ended.error is not None
    assert (ended.code, ended.error.code) == (4008, ErrorCode.TIMEOUT)
    assert limits.JOIN_S_MAX <= trio.current_time() - began <= limits.JOIN_S_MAX + 2
    await witness.still_served()


async def test_a_half_open_peer_is_found_by_ping_and_its_seat_kept(
    house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    peer = await house.joined()
    peer.acks = peer.answers_pings = False
    began = trio.current_time()
    ended = await peer.ending()
    assert (ended.code, ended.error) == (None, None)
    assert peer.pings > 0
    assert limits.SILENCE_S_MAX <= trio.current_time() - began <= limits.SILENCE_S_MAX + 2
    assert house.host().seats.count(SeatState.RESUMABLE) == 1
    await witness.still_served()


async def test_a_peer_that_only_answers_pings_stays(
    house: House, autojump_clock: MockClock
) -> None:
    peer = await house.joined()
    peer.acks = False
    with trio.move_on_after(3 * limits.SILENCE_S_MAX):
        await peer.ending()
        pytest.fail("a peer that answers was ended")
    assert peer.pings >= 3


async def test_time_in_which_the_server_stood_still_is_no_silence(
    house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    """After a suspended machine wakes up, everybody is still there."""
    autojump_clock.jump(1.5 * limits.SILENCE_S_MAX)
    await witness.still_served(3)


async def test_who_stops_reading_is_closed_as_slow_and_costs_nobody_anything(
    house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    """The lines of many chatters pile up for one who takes nothing."""
    slow = house.peer(down=Conditions(buffer_bytes=20_000))
    await slow.join("Slow")
    chatters = [await house.witness(f"Chatter {k}") for k in range(16)]
    connection = next(one for one in house.gateway._all if one.number == 1)
    most = 0
    for round_ in range(500):
        await slow.write(said(m.Pose(round_, 0, 0, root_body())))  # it lives, it only does not read
        for k, chatter in enumerate(chatters):
            if round_ % 5 == 0:
                line = m.ChatSubmit(round_, m.ChatChannel.WORLD, 0, f"{k}" + "x" * 490)
                await chatter.peer.say(line)
        await trio.sleep(0.1)
        most = max(most, connection.reliable_bytes + len(connection.tail))
        if connection.closing_by < float("inf"):
            break
    assert connection.closing_by < float("inf"), "it was never closed"
    assert most <= limits.RELIABLE_BYTES_MAX + 2 * limits.OUTGOING_BYTES_MAX
    ended = await slow.ending()  # it reads at last, and hears why
    assert ended.error is not None
    assert (ended.code, ended.error.code) == (4010, ErrorCode.SLOW)
    assert house.host().seats.count(SeatState.RESUMABLE) == 1
    await witness.still_served()


async def test_what_a_dropped_connection_had_is_freed_at_once(
    house: House, autojump_clock: MockClock
) -> None:
    """Also what it had sent of a frame: nobody searches for rings of garbage meanwhile."""
    peer = house.peer()
    await peer.join("Ann")
    connection = next(iter(house.gateway._all))
    protocol = weakref.ref(connection.protocol)
    await peer.write(b"\x82\xfe\x3f\xff" + bytes(4 + 9_000))  # the rest never comes
    await trio.sleep(0.5)
    assert len(protocol().reader.buffer) > 8_000  # type: ignore[union-attr]
    gc.collect()
    gc.disable()
    try:
        del connection
        house.gateway._endings.drop(next(iter(house.gateway._all)))
        await trio.sleep(0.1)
        assert house.connections == 0
        assert protocol() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("seed", range(8))
async def test_a_stream_sent_in_scraps_is_whole(
    seed: int, house: House, autojump_clock: MockClock
) -> None:
    """Small buffers, small reads: `Peer` asserts that what comes is frames, the codec messages."""
    print("seed", seed)
    rng = random.Random(seed)
    peer = house.peer(down=Conditions(buffer_bytes=rng.randrange(7, 200), random=rng))
    await peer.join("Scrap")
    others = [await house.witness(f"Other {k}") for k in range(4)]
    lines = 0
    for k in range(30):
        await others[k % 4].peer.say(m.ChatSubmit(k, m.ChatChannel.WORLD, 0, f"line {k}"))
        await trio.sleep(rng.random() / 5)
    with trio.move_on_after(20):
        while lines < 30:
            lines += isinstance(await peer.hear(), m.ChatPublished)
    assert lines == 30


# --- names and tokens ----------------------------------------------------------------------------

BAD_NAMES = {
    "empty": "", "blank": "  \t ", "10 kB": "x" * 10_000, "33 characters": "x" * 33,
    "33 after normalisation": "ﷺ" * 33, "97 bytes": "𝄞" * 25, "a control character": "a\x07b",
    "a line break": "a\u2028\u0000b", "right-to-left override": "abc\u202egpj.exe",
    "zero width only": "\u200d\u200c", "a stack of marks": "e" + "\u0301" * 20,
    "a private character": "\ue000", "a lone surrogate": None,
}


@pytest.mark.parametrize("what", BAD_NAMES)
async def test_a_bad_name_is_refused_by_its_own_code(
    what: str, house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    peer = house.peer()
    await peer.upgrade()
    name = BAD_NAMES[what]
    if name is None:  # cannot be said in UTF-8: malformed before it is a name
        data = codec.encode(hello("AAA")).replace(b"AAA", b"\xed\xa0\x80")
        await peer.write(frame(data))
        assert (await peer.ending()).code == 4000
    else:
        await peer.say(hello(name))
        ended = await peer.ending()
        assert ended.error is not None
        assert (ended.code, ended.error.code) == (4004, ErrorCode.BAD_NAME)
    await witness.still_served()


async def lost(house: House) -> m.Welcome:
    """A client that was in, and whose link broke."""
    peer = house.peer()
    welcome = await peer.join("Ann")
    await peer.gone()
    await trio.sleep(0.5)
    assert house.host().seats.count(SeatState.RESUMABLE) == 1
    return welcome


async def refused(house: House, **changes: Any) -> m.Error:
    """The error that a hello with these changes gets."""
    peer = house.peer()
    with pytest.raises(Ended) as caught:
        await peer.join("Ann", **changes)
    assert caught.value.error is not None
    assert caught.value.code == CLOSE_CODE_OF[ErrorCode(caught.value.error.code)]
    return caught.value.error


async def test_a_token_is_good_once(
    house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    first = await lost(house)
    back = house.peer()
    second = await back.join("Ann", resume_token=first.resume_token)
    assert second.resumed
    assert (second.session_id, second.entity_id) == (first.session_id, first.entity_id)
    assert second.resume_token != first.resume_token
    snapshot = await back.expect(m.Snapshot)
    await back.say(m.Ack(snapshot.tick))  # from here on we know that the new token has arrived
    await trio.sleep(0.2)
    error = await refused(house, resume_token=first.resume_token)
    assert error.code == ErrorCode.RESUME_INVALID
    await back.say(m.ClockPing(1))
    assert await back.expect(m.ClockPong), "the thief's attempt must not end the owner's session"
    await witness.still_served()


async def test_a_welcome_that_was_lost_with_its_link_does_not_cost_the_session(
    house: House, autojump_clock: MockClock
) -> None:
    """A link that breaks twice may take the new token with it: the old one is still good."""
    first = await lost(house)
    deaf = house.peer()
    await deaf.join("Ann", resume_token=first.resume_token)
    await deaf.gone()
    again = house.peer()
    welcome = await again.join("Ann", resume_token=first.resume_token)
    assert welcome.resumed
    assert welcome.session_id == first.session_id


async def test_the_newest_link_takes_a_session_over(
    house: House, autojump_clock: MockClock
) -> None:
    old = house.peer()
    welcome = await old.join("Ann")
    new = house.peer()
    again = await new.join("Ann", resume_token=welcome.resume_token)
    assert again.entity_id == welcome.entity_id
    ended = await old.ending()
    assert ended.error is not None
    assert (ended.code, ended.error.code) == (4009, ErrorCode.REPLACED)
    await trio.sleep(3)
    assert house.host().seats.count(SeatState.ACTIVE) == 1
    assert await new.expect(m.Snapshot)


async def test_a_token_ends_with_the_time_of_its_seat(
    house: House, autojump_clock: MockClock
) -> None:
    welcome = await lost(house)
    await trio.sleep(limits.RESUME_S_MAX + 2)
    assert (await refused(house, resume_token=welcome.resume_token)).code == (
        ErrorCode.RESUME_INVALID
    )
    assert len(house.host().seats) == 0


@pytest.mark.parametrize("how", ["garbage", "one bit", "another key", "not ASCII", "cut"])
async def test_a_forged_token_is_refused(
    how: str, house: House, autojump_clock: MockClock
) -> None:
    from atrium_server.tokens import TokenSigner

    welcome = await lost(house)
    good = welcome.resume_token
    forged = {
        "garbage": "A" * 40, "one bit": good[:7] + ("B" if good[7] == "A" else "A") + good[8:],
        "another key": TokenSigner(b"another key").sign(bytes(16), 0),
        "not ASCII": "ä" * 40, "cut": good[:-4],
    }[how]
    assert (await refused(house, resume_token=forged)).code == ErrorCode.RESUME_INVALID
    back = house.peer()
    assert (await back.join("Ann", resume_token=good)).resumed, "the seat is still its owner's"


REFUSED_HELLOS: dict[str, tuple[dict[str, Any], int, ErrorCode]] = {
    "another protocol": ({"protocol_hash": "0" * 16}, 4002, ErrorCode.VERSION),
    "a world that is not there": ({"world": "atlantis"}, 4001, ErrorCode.NOT_FOUND),
    "an account": ({"auth_token": "secret"}, 4001, ErrorCode.NOT_ALLOWED),
}


@pytest.mark.parametrize("what", REFUSED_HELLOS)
async def test_a_hello_that_is_refused_says_why(
    what: str, house: House, autojump_clock: MockClock
) -> None:
    changes, close_code, code = REFUSED_HELLOS[what]
    peer = house.peer()
    await peer.upgrade()
    await peer.say(hello(**changes))
    ended = await peer.ending()
    assert ended.error is not None
    assert (ended.code, ended.error.code) == (close_code, code)


async def test_a_full_world_says_when_to_come_back(
    two_worlds: House, autojump_clock: MockClock
) -> None:
    await two_worlds.joined("First", world="closet")
    error = await refused(two_worlds, world="closet")
    assert error.code == ErrorCode.FULL
    assert error.retry_ms > 0


# --- between two worlds --------------------------------------------------------------------------


async def test_travel_brings_a_welcome_of_the_other_world(
    two_worlds: House, autojump_clock: MockClock
) -> None:
    peer = await two_worlds.joined()
    await peer.write(said(A_POSE) + said(m.Travel(5, "closet")) + said(A_POSE) * 2)
    welcome = await peer.expect(m.Welcome)
    assert (welcome.world, welcome.request_id, welcome.resumed) == ("closet", 5, False)
    assert (await peer.expect(m.Snapshot)).ack_seq == 0, "poses on the way mean nothing"
    assert [len(host.seats) for host in two_worlds.server.hosts] == [0, 1]


async def test_travel_to_a_full_world_is_refused_and_one_stays(
    two_worlds: House, autojump_clock: MockClock
) -> None:
    await two_worlds.joined("First", world="closet")
    peer = await two_worlds.joined("Second")
    answers: list[int] = []
    for world in ("closet", "atlantis", "hall"):
        await peer.say(m.Travel(6, world))
        answers.append((await peer.expect(m.Result)).code)
    assert answers == [ErrorCode.WORLD_FULL, ErrorCode.NOT_FOUND, ErrorCode.NOT_ALLOWED]
    assert await peer.expect(m.Snapshot)
    assert [len(host.seats) for host in two_worlds.server.hosts] == [1, 1]


async def test_a_link_lost_between_two_worlds_leaves_nothing_behind(
    two_worlds: House, autojump_clock: MockClock
) -> None:
    peer = await two_worlds.joined()
    await peer.say(m.Travel(6, "closet"))
    await peer.gone()
    await trio.sleep(limits.RESUME_S_MAX + 2)
    assert two_worlds.connections == 0
    assert [host.seats.count(SeatState.JOINING) for host in two_worlds.server.hosts] == [0, 0]
    assert len(two_worlds.host("hall").seats) == 0
    next_one = await two_worlds.joined("Next", world="closet")
    assert await next_one.expect(m.Snapshot)


# --- the ends of links ---------------------------------------------------------------------------


async def test_the_client_closes(
    house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    peer = await house.joined()
    peer.answers_close = False
    await peer.write(said(m.ClockPing(1)) + frame(b"\x03\xe8bye", opcode=CLOSE))
    assert await peer.expect(m.ClockPong)
    ended = await peer.ending()
    assert (ended.code, ended.reason) == (1000, "bye"), "a close is answered with the same"
    assert await peer.rest() == b"", "nothing follows a close frame, and the server closes first"
    assert house.connections == 1
    await witness.still_served()


async def test_the_server_closes_and_waits_for_the_answer(
    house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    """Who answers is closed at once, and not before: a reset would take our words with it."""
    peer = await house.joined()
    peer.answers_close = False
    await peer.write(frame(b"no", opcode=TEXT))
    assert (await peer.ending()).code == 4000
    for _ in range(10):
        await peer.write(said(A_POSE))
        await trio.sleep(0.05)
    assert house.connections == 2
    await peer.write(frame(struct.pack(">H", 4000), opcode=CLOSE))
    assert await peer.rest() == b""
    assert house.connections == 1
    await witness.still_served()


async def test_a_close_answer_waits_for_what_was_sent_before(
    house: House, autojump_clock: MockClock
) -> None:
    """The client closes, half-closed from there on, while half a snapshot is still on the way."""
    peer = house.peer(down=Conditions(buffer_bytes=40))
    await peer.join()
    await trio.sleep(0.5)  # nothing is read: a tail forms
    await peer.write(frame(b"\x03\xe8", opcode=CLOSE))
    ended = await peer.ending()
    assert ended.code == 1000
    await trio.sleep(0.1)
    assert house.connections == 0


async def test_a_client_that_closes_and_does_not_read_is_dropped(
    house: House, autojump_clock: MockClock
) -> None:
    peer = house.peer(down=Conditions(buffer_bytes=40))
    await peer.join()
    await trio.sleep(0.5)
    await peer.write(frame(b"\x03\xe8", opcode=CLOSE))
    await trio.sleep(4)
    assert house.connections == 0


async def test_a_link_that_is_cut_in_the_middle_of_a_send_hurts_nobody(
    house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    peers = [await house.joined(f"Peer {k}") for k in range(6)]
    for k in (1, 3, 4):
        peers[k].stream.cut()  # type: ignore[attr-defined] -- a memory link
    await witness.still_served()
    for k in (0, 2, 5):
        assert await peers[k].expect(m.Snapshot)
    assert house.connections == 4
    assert house.host().seats.count(SeatState.RESUMABLE) == 3


async def test_a_number_is_used_again_and_nothing_of_its_old_owner(
    autojump_clock: MockClock,
) -> None:
    """Poses and a broken link arrive in one pass, and the newcomer has the only free number."""
    async with open_house(connections_max=2) as house:
        witness = await house.witness()
        for turn in range(5):
            leaver = house.peer()
            await leaver.join(f"Leaver {turn}")
            await leaver.write(said(m.Pose(99, 0, 0, root_body(1.0, 1.0))) * 5 + said(m.Bye()))
            await leaver.write(said(m.Pose(100, 0, 0, root_body(1.0, 1.0))) * 5)
            await leaver.ending()
            await leaver.rest()
            newcomer = house.peer()
            await newcomer.join(f"Newcomer {turn}")
            for _ in range(5):
                assert (await newcomer.expect(m.Snapshot)).ack_seq == 0
            await newcomer.say(m.Bye())
            await newcomer.ending()
            await newcomer.rest()
        await witness.still_served()


async def test_an_answer_about_identity_that_comes_late_hits_nobody_else(
    autojump_clock: MockClock,
) -> None:
    """The identifier thinks for long; meanwhile the number of the one it thinks about changes."""
    from atrium_server.net.requests import Guests, Identity

    async with open_house(connections_max=1) as house:
        class Slow(Guests):
            async def identify(self, hello: m.Hello, address: str) -> Identity:
                if hello.name == "Slow":
                    await trio.sleep(3)
                    hello = msgspec.structs.replace(hello, name="")
                return await super().identify(hello, address)

        object.__setattr__(house.gateway._requests._parts, "identifier", Slow())
        first = house.peer()
        await first.upgrade()
        await first.say(hello("Slow"))
        await trio.sleep(0.5)
        await first.gone()
        await trio.sleep(0.5)
        second = await house.witness("Quick")
        await second.still_served(5)


# --- any bytes -----------------------------------------------------------------------------------

DOCUMENTED = {int(code) for code in CloseCode} | {1000, 1007, 1009}
CASES = 3_000


def scrap(rng: random.Random) -> bytes:
    """Bytes that are nearly a session."""
    whole = [said(message) for message in MESSAGES.values()]
    whole += [data for data, _, _ in BAD_FRAMES.values() if len(data) < 300]
    whole += [frame(rng.randbytes(rng.randrange(40))), rng.randbytes(rng.randrange(40))]
    data = bytearray(b"".join(rng.choices(whole, k=rng.randrange(1, 6))) or b"?")
    for _ in range(rng.choice((0, 0, 1, 3))):
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[: rng.randrange(1, len(data) + 1)] if rng.random() < 0.3 else data)


async def test_any_bytes_are_served_or_end_the_session_with_a_documented_code(
    house: House, witness: Witness, autojump_clock: MockClock
) -> None:
    seed = 20
    print("seed", seed)
    rng = random.Random(seed)
    ended = 0
    for case in range(CASES):
        client, server_end = memory_link()
        protocol = ServerProtocol(state=State.OPEN, max_size=limits.MESSAGE_BYTES_MAX)
        opening = rng.choice((b"", said(hello("Fuzz"))))
        house.server.gateway._parts.addresses.enter("127.0.0.1", trio.current_time())
        house.server.gateway.adopt(Arrival(server_end, protocol, "127.0.0.1", opening))
        if opening and case % 4 == 0:
            await trio.sleep(0.06)  # a tick: those who said hello are in
        data = scrap(rng)
        while data:
            cut = rng.randrange(1, len(data) + 1)
            try:
                client.outgoing.write(data[:cut])
            except BrokenPipeError:
                break  # the server has closed already
            data = data[cut:]
            house.server.gateway.collect()
        peer = Peer(house, client)
        peer.acks = peer.answers_pings = peer.answers_close = False
        client.close()
        how = await peer.ending()
        if how.code is not None:
            ended += 1
            echoed = protocol.close_rcvd.code if protocol.close_rcvd else None
            assert how.code in DOCUMENTED or how.code == echoed, (case, how)
        if how.error is not None:
            assert how.error.code in set(ErrorCode), (case, how)
    assert ended > CASES / 4, "most of this is no session"
    await witness.still_served()
    assert house.connections == 1
