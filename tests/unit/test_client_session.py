"""The client's protocol without I/O: states, epochs, requests, and hostile servers."""

from __future__ import annotations

import golden_cases as cases
import msgspec
import pytest
import wire_reference as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from atrium_client import events, requests, session, speaking
from atrium_client.session import ClientSession, Identity, State
from atrium_shared import codec, messages
from atrium_shared.errors import ErrorCode, ProtocolError, RequestRefused
from atrium_shared.messages import ChatChannel, ChatState, EnterEntry, EntityKind

SAID = cases.server_messages()
WELCOME = SAID["welcome"]
assert isinstance(WELCOME, messages.Welcome)


def hear(client: ClientSession, message: messages.Message, now_s: float = 1.0) -> list[object]:
    """What the client makes of one message."""
    return list(client.receive(codec.encode(message), now_s))


def joined() -> ClientSession:
    """A session that is in the world."""
    client = ClientSession(Identity("Ada"))
    client.hello()
    assert hear(client, WELCOME) == [events.Joined(WELCOME)]
    return client


def entry(index: int, entity_id: int = 9) -> EnterEntry:
    return EnterEntry(index, entity_id, EntityKind.AVATAR, "Bob", "")


def full(tick: int, index: int) -> messages.Snapshot:
    return messages.Snapshot(tick, 0, 0, reference.section(0, 0, [(index, bytes(11))]))


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("name", list(SAID))
def test_what_is_not_in_the_table_is_a_protocol_error(state: State, name: str) -> None:
    message = SAID[name]
    if type(message) in session.ALLOWED[state]:
        return
    client = joined()
    client.state = state
    with pytest.raises(ProtocolError) as caught:
        hear(client, message)
    assert caught.value.code == ErrorCode.UNEXPECTED
    assert client.state is state


def test_the_table_knows_every_message() -> None:
    assert set(session.ALLOWED[State.ACTIVE]) == set(messages.SERVER_MESSAGES)
    assert set(session.ALLOWED) == set(State)


def test_hello_is_said_once_per_link() -> None:
    client = ClientSession(Identity("Ada", world="plaza"))
    hello = codec.decode_client(client.hello())
    assert hello == messages.Hello(
        codec.PROTOCOL_HASH, messages.ClientKind.BOT, "Ada", "", "plaza", messages.Capabilities(),
        "", "", 0,
    )
    with pytest.raises(RuntimeError, match="joining"):
        client.hello()


def test_nothing_can_be_asked_before_the_welcome() -> None:
    client = ClientSession(Identity("Ada"))
    with pytest.raises(RuntimeError, match="new"):
        client.travel("arena", 0.0)


def test_a_resume_shows_the_newest_token_world_and_chat() -> None:
    client = joined()
    hear(client, SAID["welcome_travelled"])
    hear(client, SAID["chat_published"])
    assert client.link_lost("gone") == [events.LinkLost("gone")]
    assert client.link_lost("gone") == []
    hello = codec.decode_client(client.hello())
    assert isinstance(hello, messages.Hello)
    assert (hello.resume_token, hello.world, hello.last_chat_seq) == ("token.2", "tower", 77)


def test_a_welcome_begins_a_new_epoch() -> None:
    client = joined()
    hear(client, messages.Enter((entry(5),)))
    hear(client, full(950, 5))
    assert client.tick == 950
    hear(client, SAID["welcome_travelled"])
    assert (client.roster, client.tick) == ({}, None)
    with pytest.raises(ProtocolError):
        hear(client, messages.Snapshot(13, 0, 0, reference.section(1, 0, [(5, bytes(4))])))


def test_enter_leave_and_reuse() -> None:
    client = joined()
    assert hear(client, messages.Enter((entry(5), entry(6, 10)))) == [
        events.Entered(entry(5)), events.Entered(entry(6, 10))
    ]
    assert hear(client, messages.Leave(b"\x05")) == [events.Left(entry(5))]
    hear(client, messages.Enter((entry(5, 11),)))
    assert client.roster[5].entity_id == 11


@pytest.mark.parametrize(
    ("message", "about"),
    [
        (messages.Enter((entry(255),)), "not free"),
        (messages.Enter((entry(5), entry(5))), "not free"),
        (messages.Leave(b"\x07"), "had not entered"),
        (full(950, 7), "nobody entered"),
        (msgspec.structs.replace(WELCOME, tick_rate_hz=0), "zero"),
        (msgspec.structs.replace(WELCOME, y_unit_mm=0), "zero"),
        (msgspec.structs.replace(WELCOME, body=b"\x01"), "pose body"),
        (messages.Correction(1, 1, 0, b""), "pose body"),
    ],
)
def test_a_server_that_breaks_the_order_is_refused(message: messages.Message, about: str) -> None:
    with pytest.raises(ProtocolError, match=about):
        hear(joined(), message)


def test_ticks_only_grow() -> None:
    client = joined()
    hear(client, messages.Snapshot(950, 0, 0, b""))
    with pytest.raises(ProtocolError, match="newer"):
        hear(client, messages.Snapshot(950, 0, 0, b""))


def test_poses_count_up_and_acknowledge() -> None:
    client = joined()
    first = codec.decode_client(client.pose(bytes(12), 1.0))
    hear(client, messages.Snapshot(950, 0, 1, b""))
    second = codec.decode_client(client.pose(bytes(12), 1.05))
    assert first == messages.Pose(1, 1_000, 0, bytes(12))
    assert second == messages.Pose(2, 1_050, 950, bytes(12))
    assert client.ack_seq == 1


def test_acknowledgements_are_sent_when_no_pose_says_it() -> None:
    client = joined()
    client.due(1.0)
    hear(client, messages.Snapshot(950, 0, 0, b""))
    assert codec.encode(messages.Ack(950)) in client.due(1.2)
    assert codec.encode(messages.Ack(950)) not in client.due(1.4)
    hear(client, messages.Snapshot(951, 0, 0, b""))
    client.pose(bytes(12), 1.5)
    assert codec.encode(messages.Ack(951)) not in client.due(1.7)


def test_clock_pings_are_quick_at_first_and_then_rare() -> None:
    client = joined()
    times = [step / 100 for step in range(100, 3_100) if pings(client, step / 100)]
    assert len([t for t in times if t < 3.0]) == speaking.CLOCK_FIRST_PINGS
    assert times[-1] - times[-2] == pytest.approx(speaking.CLOCK_PERIOD_S)


def pings(client: ClientSession, now_s: float) -> int:
    said = [codec.decode_client(data) for data in client.due(now_s)]
    return sum(isinstance(message, messages.ClockPing) for message in said)


def test_a_chat_request_ends_with_its_verdict() -> None:
    client = joined()
    request_id, _ = client.chat("hi", ChatChannel.WORLD, 0, 1.0)
    assert hear(client, messages.Result(request_id, ErrorCode.OK, "", 0)) == []
    assert hear(client, messages.ChatStatus(request_id, ChatState.PENDING, 0, "")) == []
    verdict = messages.ChatStatus(request_id, ChatState.PUBLISHED, 3, "")
    assert hear(client, verdict) == [events.RequestAnswered(request_id, verdict)]
    assert hear(client, verdict) == []
    retracted = messages.ChatStatus(request_id, ChatState.RETRACTED, 3, "")
    assert hear(client, retracted) == [events.ChatRetracted(3)]


def test_only_a_status_answers_a_line_and_only_a_result_a_jump() -> None:
    client = joined()
    line, _ = client.chat("hi", ChatChannel.WORLD, 0, 1.0)
    jump, _ = client.teleport(messages.TeleportTarget.SPAWN, 0, 1.0)
    assert hear(client, messages.Result(line, ErrorCode.RATE_LIMITED, "Slow.", 700)) == []
    assert hear(client, messages.ChatStatus(jump, ChatState.REJECTED, 0, "Slow.")) == []
    verdict = messages.ChatStatus(line, ChatState.REJECTED, 0, "Slow.")
    assert hear(client, verdict) == [events.RequestAnswered(line, verdict)]


def test_a_refusal_without_a_request_is_told() -> None:
    refusal = messages.Result(0, ErrorCode.RATE_LIMITED, "Not so fast.", 1_000)
    told = events.Refused(ErrorCode.RATE_LIMITED, "Not so fast.", 1_000)
    assert hear(joined(), refusal) == [told]
    assert hear(joined(), messages.Result(0, ErrorCode.OK, "", 0)) == []


def test_lines_that_come_twice_are_heard_once() -> None:
    client = joined()
    assert len(hear(client, SAID["chat_published"])) == 1
    assert hear(client, SAID["chat_published"]) == []


def test_each_world_counts_its_lines_anew() -> None:
    client = joined()
    hear(client, SAID["chat_published"])
    hear(client, SAID["welcome_travelled"])
    assert len(hear(client, SAID["chat_published"])) == 1
    client.link_lost("gone")
    client.hello()
    hear(client, msgspec.structs.replace(SAID["welcome_travelled"], resumed=True))
    assert hear(client, SAID["chat_published"]) == []
    client.link_lost("gone")
    client.hello()
    hear(client, msgspec.structs.replace(WELCOME, resumed=True))
    assert len(hear(client, SAID["chat_published"])) == 1


def test_a_travel_answers_itself_and_ends_what_the_old_world_was_asked() -> None:
    client = joined()
    line, _ = client.chat("hi", ChatChannel.WORLD, 0, 1.0)
    travel, _ = client.travel("tower", 1.0)
    assert client.is_travelling
    welcome = msgspec.structs.replace(SAID["welcome_travelled"], request_id=travel)
    heard = hear(client, welcome)
    assert heard[0] == events.Travelled(welcome)
    assert events.RequestAnswered(travel, welcome) in heard
    (expired,) = (event for event in heard if isinstance(event, events.RequestExpired))
    assert (expired.request_id, client.is_travelling) == (line, False)
    assert client.expire(1_000.0) == []


def test_a_resume_into_another_world_is_the_end_of_a_travel() -> None:
    """The welcome of the new world was lost with its link, and so was the end of its lines."""
    client = joined()
    hear(client, SAID["chat_published"])
    line, _ = client.chat("hi", ChatChannel.WORLD, 0, 1.0)
    travel, _ = client.travel("tower", 1.0)
    client.link_lost("gone")
    client.hello()
    welcome = msgspec.structs.replace(SAID["welcome_travelled"], request_id=0, resumed=True)
    heard = hear(client, welcome)
    assert heard[0] == events.Resumed(welcome, False)
    assert events.RequestAnswered(travel, welcome) in heard
    assert [e.request_id for e in heard if isinstance(e, events.RequestExpired)] == [line]
    assert len(hear(client, SAID["chat_published"])) == 1, "the line 77 of this world is another"


def test_a_resume_into_the_same_world_ends_a_travel_at_once() -> None:
    client = joined()
    travel, _ = client.travel("tower", 1.0)
    client.link_lost("gone")
    client.hello()
    heard = hear(client, msgspec.structs.replace(WELCOME, resumed=True))
    assert [e.request_id for e in heard if isinstance(e, events.RequestExpired)] == [travel]


def test_requests_expire() -> None:
    client = joined()
    request_id, _ = client.travel("arena", 1.0)
    assert client.expire(1.0 + requests.ANSWER_S_MAX - 0.1) == []
    (expired,) = client.expire(1.0 + requests.ANSWER_S_MAX)
    assert isinstance(expired, events.RequestExpired)
    assert expired.request_id == request_id
    assert hear(client, messages.Result(request_id, ErrorCode.OK, "", 0)) == []


def test_after_a_resume_answers_still_count_for_a_while() -> None:
    client = joined()
    one, _ = client.teleport(messages.TeleportTarget.SPAWN, 0, 1.0)
    other, _ = client.teleport(messages.TeleportTarget.STAND, 0, 1.0)
    client.link_lost("gone")
    client.hello()
    hear(client, msgspec.structs.replace(WELCOME, resumed=True), 10.0)
    answer = messages.Result(one, ErrorCode.OK, "", 0)
    assert hear(client, answer, 11.0) == [events.RequestAnswered(one, answer)]
    (late,) = client.expire(10.0 + requests.ANSWER_AFTER_RESUME_S)
    assert isinstance(late, events.RequestExpired)
    assert late.request_id == other


def test_a_fresh_seat_ends_all_requests() -> None:
    client = joined()
    request_id, _ = client.travel("arena", 1.0)
    client.link_lost("gone")
    client.hello()
    heard = hear(client, WELCOME, 2.0)
    assert heard[0] == events.Resumed(WELCOME, True)
    assert isinstance(heard[1], events.RequestExpired)
    assert heard[1].request_id == request_id


def test_requests_are_bounded() -> None:
    client = joined()
    for _ in range(requests.REQUESTS_PENDING_MAX):
        client.travel("arena", 1.0)
    with pytest.raises(RequestRefused) as caught:
        client.travel("arena", 1.0)
    assert caught.value.code == ErrorCode.RATE_LIMITED


@pytest.mark.parametrize("text", ["", "x" * 501])
def test_chat_lines_that_no_server_takes_are_not_sent(text: str) -> None:
    with pytest.raises(ValueError, match="1 to 500"):
        joined().chat(text, ChatChannel.WORLD, 0, 1.0)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_errors_end_the_session_or_only_the_link(code: ErrorCode) -> None:
    client = joined()
    (event,) = hear(client, messages.Error(code, "Why.", 5))
    if code in session.RESUMABLE:
        assert event == events.LinkLost("Why.", 5)
        assert client.state is State.LOST
    else:
        assert event == events.Ended(code, "Why.", 5)
        assert client.state is State.ENDED


def test_a_close_code_speaks_for_an_error_that_got_lost() -> None:
    client = joined()
    (ended,) = client.link_lost("closed", 4009)
    assert ended == events.Ended(ErrorCode.REPLACED, "closed", 0)
    assert client.state is State.ENDED
    client = joined()
    (ended,) = client.link_lost("closed", 1009)
    assert ended == events.Ended(ErrorCode.TOO_LARGE, "closed", 0)
    client = joined()
    client.link_lost("closed", 1001)
    assert client.state is State.LOST


hostile = st.one_of(
    st.sampled_from([codec.encode(message) for message in SAID.values()]),
    st.binary(max_size=60),
    st.builds(
        lambda tick, body: codec.encode_snapshot(tick, 0, 0, body),
        st.integers(0, 2**32 - 1), st.binary(max_size=60),
    ),
)


@given(st.lists(hostile, max_size=12))
@settings(max_examples=150)
def test_any_bytes_are_taken_or_refused(stream: list[bytes]) -> None:
    client = joined()
    for number, data in enumerate(stream):
        try:
            client.receive(data, float(number))
        except ProtocolError:
            continue
    assert client.state in State
