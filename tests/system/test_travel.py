"""Between two worlds and two links: nothing overtakes, and nothing is lost that was promised."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from pathlib import Path

import pytest
import trio
from harness import Ended, House, Peer, hello, open_house, root_body, said, write_world
from trio.testing import MockClock

from atrium_server.frames import binary_frame
from atrium_server.net.connection import Connection
from atrium_server.net.memory_io import Conditions
from atrium_server.seats import SeatState
from atrium_shared import codec, limits, pose
from atrium_shared import messages as m
from atrium_shared.errors import ErrorCode

LINK_BYTES_PER_S = 4_000
LINES = 40
WIDE_JUMP_M = 19.0
BETWEEN_TICKS_S = 0.32
"""After this, from one tick on, the next one is some way off."""


@pytest.fixture
async def worlds(tmp_path: Path, autojump_clock: MockClock) -> AsyncGenerator[House]:
    """A server with a hall, where one arrives, and a garden."""
    paths = [write_world(tmp_path, "hall"), write_world(tmp_path, "garden")]
    async with open_house(worlds=paths) as house:
        yield house


async def until(is_so: Callable[[], object]) -> None:
    """Wait, without letting a tick pass unseen, until something holds."""
    for _ in range(1_000):
        if is_so():
            return
        await trio.sleep(0.001)
    pytest.fail("it never came")


def counts(house: House, world: str) -> dict[SeatState, int]:
    """How many seats of a world are in which state, without the empty ones."""
    seats = house.host(world).seats
    return {state: seats.count(state) for state in SeatState if seats.count(state)}


async def heard(peer: Peer) -> None:
    """Acknowledge a snapshot of a new epoch as a proper client does; returns when that is known."""
    snapshot = await peer.expect(m.Snapshot)
    await peer.say(m.Ack(snapshot.tick))
    await trio.sleep(0.2)


async def lost_at(house: House, peer: Peer, moment: Callable[[], object]) -> None:
    """The link breaks as soon as `moment` has come; returns when the server knows."""
    await until(moment)
    peer.stream.cut()  # type: ignore[attr-defined] -- a memory link
    await trio.sleep(0.5)


async def much_talk(house: House) -> tuple[Peer, Connection]:
    """One on a narrow link for whom 20 kB of the talk of others wait; both ends of the link."""
    peer = house.peer(down=Conditions(bytes_per_s=LINK_BYTES_PER_S))
    welcome = await peer.join("Slow", capabilities=m.Capabilities(8, LINK_BYTES_PER_S, 0))
    connection = house.host("hall").state.sessions[welcome.session_id].connection
    for k in range(LINES):
        line = m.ChatPublished(k + 1, m.ChatChannel.WORLD, 9, "Other", "x" * 490, 0)
        house.gateway.tell(connection, binary_frame(codec.encode(line)), is_talk=True)
    await trio.sleep(BETWEEN_TICKS_S)
    one = house.gateway._all.at(connection)
    assert one.reliable_bytes > 500 * LINES // 2, "most of it waits for credit"
    return peer, one


def kinds(frames: Iterable[bytes] | None) -> set[type[m.Message]]:
    """What waits in a queue of short frames."""
    return {type(codec.decode_server(frame[2:])) for frame in frames or ()}


# --- the order of what is sent -------------------------------------------------------------------


async def test_nothing_of_a_new_world_overtakes_its_welcome(
    worlds: House, autojump_clock: MockClock
) -> None:
    """And no line of the old one comes after it, where its number would name another."""
    native = await worlds.witness("Native", world="garden")
    peer, _ = await much_talk(worlds)
    await peer.say(m.Travel(5, "garden"))
    lines = 0
    while not isinstance(message := await peer.hear(), m.Welcome):
        lines += isinstance(message, m.ChatPublished)
        if isinstance(message, m.Enter):
            assert native.welcome.entity_id not in [
                entry.entity_id for entry in message.entries if entry.name == "Native"
            ], "somebody of the new world before its welcome"
    assert message.world == "garden"
    assert lines == LINES
    flags = int(pose.Flags.EPOCH)
    body = root_body()
    await peer.say(m.Pose(1, 0, 0, body[:1] + bytes((flags,)) + body[2:]))
    with trio.move_on_after(2):
        while True:
            assert not isinstance(await peer.hear(), m.ChatPublished | m.Welcome)


async def test_an_answer_does_not_wait_behind_the_talk_of_others(
    worlds: House, autojump_clock: MockClock
) -> None:
    peer, connection = await much_talk(worlds)
    await peer.say(m.Teleport(9, m.TeleportTarget.SPAWN, 0, 0, 0, 0, 0))
    await peer.say(m.ChatSubmit(10, m.ChatChannel.WORLD, 0, "Slow?"))
    assert (await peer.expect(m.Result)).code == ErrorCode.OK
    assert (await peer.expect(m.Correction)).reasons == m.MoveReason.TELEPORT
    assert (await peer.expect(m.ChatStatus)).request_id == 10
    assert connection.reliable_bytes > 5_000, "lines still wait"


async def test_lines_and_emotes_are_talk_and_one_s_own_answers_are_not(
    worlds: House, autojump_clock: MockClock
) -> None:
    other = await worlds.joined("Other")
    peer = worlds.peer(down=Conditions(bytes_per_s=LINK_BYTES_PER_S))
    welcome = await peer.join("Slow", capabilities=m.Capabilities(8, LINK_BYTES_PER_S, 0))
    await trio.sleep(2.0)  # nothing is acknowledged: there is no credit any more
    number = worlds.host("hall").state.sessions[welcome.session_id].connection
    connection = worlds.gateway._all.at(number)
    assert connection.reliable_bytes == 0
    await other.say(m.ChatSubmit(1, m.ChatChannel.WORLD, 0, "hello"))
    await other.say(m.EmoteSubmit(3))
    await peer.say(m.ChatSubmit(2, m.ChatChannel.WORLD, 0, "hello"))
    await trio.sleep(1.0)
    assert kinds(connection.urgent) == {m.ChatStatus}
    assert kinds(connection.talk) == {m.ChatPublished, m.Emote}


async def test_a_pose_that_is_acknowledged_has_been_corrected_before(
    worlds: House, autojump_clock: MockClock
) -> None:
    """Lines wait for credit; what a snapshot acknowledges has been answered all the same."""
    peer, connection = await much_talk(worlds)
    corrected = 0
    for seq in range(1, 11):
        await peer.say(m.Pose(seq, 0, 0, root_body(WIDE_JUMP_M)))
        while True:
            message = await peer.hear()
            if isinstance(message, m.Correction):
                corrected = message.seq
            elif isinstance(message, m.Snapshot) and message.ack_seq >= seq:
                break
        assert corrected == seq
        await trio.sleep(0.15)
        if seq == 1:
            assert connection.reliable_bytes > 5_000, "lines still wait"


# --- a link that breaks on the way ---------------------------------------------------------------


async def test_a_traveller_who_heard_no_welcome_comes_back_with_the_old_token(
    worlds: House, autojump_clock: MockClock
) -> None:
    """And gets the lines of the new world, however many it has counted in the old one."""
    native = await worlds.witness("Native", world="garden")
    peer = worlds.peer()
    first = await peer.join("Ann")
    await heard(peer)
    await peer.say(m.Travel(5, "garden"))
    await trio.sleep(0.3)
    await peer.gone()
    await trio.sleep(0.3)
    assert counts(worlds, "garden")[SeatState.RESUMABLE] == 1
    await native.peer.say(m.ChatSubmit(1, m.ChatChannel.WORLD, 0, "Where is she?"))
    await trio.sleep(0.3)
    back = worlds.peer()
    welcome = await back.join(
        "Ann", resume_token=first.resume_token, world="hall", last_chat_seq=900
    )
    assert (welcome.world, welcome.resumed) == ("garden", True)
    assert welcome.session_id == first.session_id
    with trio.fail_after(5):
        assert (await back.expect(m.ChatPublished)).text == "Where is she?"
    assert counts(worlds, "hall") == {}


async def test_a_link_lost_on_the_way_keeps_the_seat_that_was_travelled_to(
    worlds: House, autojump_clock: MockClock
) -> None:
    peer = worlds.peer()
    first = await peer.join("Ann")
    await trio.sleep(BETWEEN_TICKS_S)
    await peer.say(m.Travel(5, "garden"))
    await lost_at(worlds, peer, lambda: counts(worlds, "garden") == {SeatState.JOINING: 1})
    assert (counts(worlds, "hall"), counts(worlds, "garden")) == ({}, {SeatState.RESUMABLE: 1})
    frame = worlds.host("garden").world.publish()
    assert frame.rows[0, pose.FLAGS] & int(pose.Flags.LINK_LOST), "others see that it is away"
    welcome = await worlds.peer().join("Ann", resume_token=first.resume_token)
    assert (welcome.world, welcome.resumed) == ("garden", True)
    assert counts(worlds, "garden") == {SeatState.ACTIVE: 1}


async def test_who_comes_back_before_there_is_an_avatar_is_welcomed_with_it(
    worlds: House, autojump_clock: MockClock
) -> None:
    peer = worlds.peer()
    first = await peer.join("Ann")
    await trio.sleep(BETWEEN_TICKS_S)
    await peer.say(m.Travel(5, "garden"))
    await until(lambda: counts(worlds, "garden") == {SeatState.JOINING: 1})
    back = worlds.peer()
    await back.upgrade()
    await back.say(hello("Ann", resume_token=first.resume_token))
    session = worlds.host("garden").state.sessions[first.session_id]
    await until(lambda: session.resumed)
    assert session.slot < 0, "the tick has not been"
    welcome = await back.expect(m.Welcome)
    assert (welcome.world, welcome.resumed) == ("garden", True)
    assert (await peer.ending()).code == 4009
    assert counts(worlds, "garden") == {SeatState.ACTIVE: 1}


async def test_a_seat_that_nobody_comes_back_to_is_given_up_in_either_world(
    worlds: House, autojump_clock: MockClock
) -> None:
    peer = await worlds.joined()
    await trio.sleep(BETWEEN_TICKS_S)
    await peer.say(m.Travel(5, "garden"))
    await lost_at(worlds, peer, lambda: counts(worlds, "garden") == {SeatState.JOINING: 1})
    await trio.sleep(limits.RESUME_S_MAX + 2)
    assert (counts(worlds, "hall"), counts(worlds, "garden")) == ({}, {})
    assert worlds.connections == 0


async def test_a_traveller_who_was_heard_needs_the_new_token(
    worlds: House, autojump_clock: MockClock
) -> None:
    peer = worlds.peer()
    first = await peer.join("Ann")
    await heard(peer)
    await peer.say(m.Travel(5, "garden"))
    await peer.expect(m.Welcome)
    snapshot = await peer.expect(m.Snapshot)
    body = root_body()
    body = body[:1] + bytes((int(pose.Flags.EPOCH),)) + body[2:]
    await peer.say(m.Pose(7, 0, snapshot.tick, body))
    await trio.sleep(0.2)
    await peer.gone()
    with pytest.raises(Ended) as caught:
        await worlds.peer().join("Ann", resume_token=first.resume_token)
    assert caught.value.error is not None
    assert caught.value.error.code == ErrorCode.RESUME_INVALID


async def test_a_link_lost_between_a_resume_and_its_tick_costs_no_token(
    worlds: House, autojump_clock: MockClock
) -> None:
    """What the first link had acknowledged does not speak for the second."""
    peer = worlds.peer()
    first = await peer.join("Ann")
    await heard(peer)
    await peer.gone()
    await trio.sleep(BETWEEN_TICKS_S)
    host = worlds.host("hall")
    short = worlds.peer()
    await short.upgrade()
    await short.say(hello("Ann", resume_token=first.resume_token))
    await lost_at(worlds, short, lambda: host._returned)
    assert counts(worlds, "hall") == {SeatState.RESUMABLE: 1}
    welcome = await worlds.peer().join("Ann", resume_token=first.resume_token)
    assert (welcome.resumed, welcome.session_id) == (True, first.session_id)


async def test_an_ack_of_the_old_world_means_nothing_in_the_new_one(
    worlds: House, autojump_clock: MockClock
) -> None:
    """Ticks of two worlds have the same numbers: only who has sent a pose of the new epoch is
    believed to speak of the new ones.
    """
    peer = await worlds.joined()
    await peer.say(m.Travel(5, "garden"))
    welcome = await peer.expect(m.Welcome)
    slot = worlds.host("garden").state.sessions[welcome.session_id].slot
    replicator = worlds.host("garden").replicator
    await heard(peer)
    assert not replicator.has_acked(slot)
    body = root_body()
    await peer.say(m.Pose(1, 0, 0, body))
    await heard(peer)
    assert not replicator.has_acked(slot), "a pose of the old epoch"
    await peer.say(m.Pose(2, 0, 0, body[:1] + bytes((int(pose.Flags.EPOCH),)) + body[2:]))
    await heard(peer)
    assert replicator.has_acked(slot)


# --- who leaves for good -------------------------------------------------------------------------


async def test_bye_in_the_middle_of_a_resume_frees_the_seat(
    worlds: House, autojump_clock: MockClock
) -> None:
    peer = worlds.peer()
    first = await peer.join("Ann")
    await peer.gone()
    await trio.sleep(BETWEEN_TICKS_S)
    host = worlds.host("hall")
    back = worlds.peer()
    await back.upgrade()
    await back.say(hello("Ann", resume_token=first.resume_token))
    await until(lambda: host._returned)
    await back.say(m.Bye())
    await back.ending()
    assert counts(worlds, "hall") == {}


async def test_bye_in_the_middle_of_a_travel_frees_both_seats(
    worlds: House, autojump_clock: MockClock
) -> None:
    peer = await worlds.joined()
    await peer.write(said(m.Travel(5, "garden")) + said(m.Bye()))
    await peer.ending()
    await trio.sleep(0.2)
    assert (counts(worlds, "hall"), counts(worlds, "garden")) == ({}, {})


async def test_a_number_that_was_somebody_else_s_ends_only_its_own_session(
    worlds: House, autojump_clock: MockClock
) -> None:
    """The session of the number's old owner waits for its resume while the new one is refused."""
    peer = worlds.peer()
    first = await peer.join("Ann")
    await peer.gone()
    await trio.sleep(0.3)
    object.__setattr__(worlds.gateway._all, "_free", type(worlds.gateway._all._free)([0, 1]))
    with pytest.raises(Ended):
        await worlds.peer().join("Bob", world="atlantis")
    await trio.sleep(0.3)
    assert counts(worlds, "hall") == {SeatState.RESUMABLE: 1}
    assert (await worlds.peer().join("Ann", resume_token=first.resume_token)).resumed


# --- rates ---------------------------------------------------------------------------------------


async def test_a_resume_brings_no_new_burst_of_lines(
    worlds: House, autojump_clock: MockClock
) -> None:
    peer = worlds.peer()
    token = (await peer.join("Ann")).resume_token
    pending, back = 0, peer
    for _ in range(4):
        back = worlds.peer()
        token = (await back.join("Ann", resume_token=token)).resume_token
        for k in range(limits.CHAT_BURST_MAX):
            await back.say(m.ChatSubmit(k + 1, m.ChatChannel.WORLD, 0, "Again!"))
        for _ in range(limits.CHAT_BURST_MAX):
            state = (await back.expect(m.ChatStatus)).state
            pending += state is m.ChatState.PENDING
    assert pending <= 1
    await trio.sleep(1.0)
    await back.say(m.ChatSubmit(99, m.ChatChannel.WORLD, 0, "Now?"))
    assert (await back.expect(m.ChatStatus)).state is m.ChatState.PENDING
