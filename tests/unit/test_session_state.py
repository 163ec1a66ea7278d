"""The state table, and how much a session may say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.net.session_state import ALLOWED, Bucket, Rates, SessionState, check
from atrium_shared import limits
from atrium_shared import messages as m
from atrium_shared.edits import Undo
from atrium_shared.errors import ErrorCode, ProtocolError
from atrium_shared.props import Transform

CAPABILITIES = m.Capabilities()
ONE_OF_EACH: tuple[m.Message, ...] = (
    m.Hello("", m.ClientKind.BOT, "", "", "", CAPABILITIES, "", "", 0), m.ClockPing(1),
    m.Pose(0, 0, 0, bytes(12)), m.Ack(1), m.ChatSubmit(1, m.ChatChannel.WORLD, 0, "x"),
    m.EmoteSubmit(1), m.Teleport(1, m.TeleportTarget.SPAWN, 0, 0, 0, 0, 0), m.Travel(1, ""),
    m.Bye(), m.RtcSignal(0, m.SignalKind.OFFER, b""), m.EditSubmit(1, Undo()),
    m.Grab(1, bytes(16), 0, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)),
    m.Release(1, bytes(16), Transform(), (0.0, 0.0, 0.0)),
    m.AvatarSubmit(1, ""), m.Sit(1, bytes(16)), m.Relate(1, 1, "", 0), m.SafeZone(1, True),
    m.Report(1, 1, m.ReportReason.SPAM, ""), m.MarkerSubmit((0.0, 0.0, 0.0), 0.0),
    m.VoiceSet(1, m.VoiceMode.OFF), m.Drag(()),
)


def test_every_state_and_every_message_is_in_the_table() -> None:
    assert set(ALLOWED) == set(SessionState)
    assert {type(message) for message in ONE_OF_EACH} == set(m.CLIENT_MESSAGES)
    assert set().union(*ALLOWED.values()) == set(m.CLIENT_MESSAGES)


@pytest.mark.parametrize("state", SessionState)
@pytest.mark.parametrize("message", ONE_OF_EACH, ids=lambda message: type(message).__name__)
def test_check_raises_exactly_where_the_table_says_no(
    state: SessionState, message: m.Message
) -> None:
    if type(message) in ALLOWED[state]:
        check(state, message)
    else:
        with pytest.raises(ProtocolError) as caught:
            check(state, message)
        assert caught.value.code is ErrorCode.UNEXPECTED
        assert type(message).__name__ in caught.value.sentence


def test_nothing_of_the_server_may_be_said_by_a_client() -> None:
    for state in SessionState:
        with pytest.raises(ProtocolError):
            check(state, m.ClockPong(1, 2, 3))


@given(
    st.floats(0.5, 50), st.integers(1, 50),
    st.lists(st.floats(0, 3, allow_nan=False), max_size=120),
)
def test_a_bucket_never_gives_more_than_its_rate(
    rate: float, burst: int, pauses: list[float]
) -> None:
    bucket, now, taken = Bucket(rate, burst, 0.0), 0.0, 0
    for pause in pauses:
        now += pause
        taken += bucket.take(now)
        assert taken <= burst + rate * now + 1e-6


def test_a_bucket_fills_up_again_and_no_further_than_its_burst() -> None:
    bucket = Bucket(2.0, 3, 0.0)
    assert [bucket.take(0.0) for _ in range(4)] == [True, True, True, False]
    assert bucket.take(0.5)
    assert not bucket.take(0.5)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]


def test_a_session_over_its_rate_as_a_whole_is_too_fast() -> None:
    rates = Rates(0.0)
    for _ in range(limits.MESSAGES_BURST_MAX):
        rates.take_frame(0.0)
    with pytest.raises(ProtocolError) as caught:
        rates.take_frame(0.0)
    assert caught.value.code is ErrorCode.TOO_FAST
    rates.take_frame(1.0)


def test_a_session_on_a_new_link_has_no_new_burst_of_talk() -> None:
    rates = Rates(0.0)
    rates.forget_bursts(0.0)
    kinds = {m.ChatSubmit: limits.CHAT_PER_S_MAX, m.EmoteSubmit: limits.EMOTE_PER_S_MAX}
    for kind, rate in kinds.items():
        assert not rates.take(kind, 0.0)
        assert rates.take(kind, 1.0 / rate)
        assert not rates.take(kind, 1.0 / rate)
    assert rates.take(m.Teleport, 0.0), "a request of one's own is not concerned"


def test_classes_have_rates_of_their_own() -> None:
    rates = Rates(0.0)
    chat = [rates.take(m.ChatSubmit, 0.0) for _ in range(limits.CHAT_BURST_MAX + 1)]
    assert chat == [True] * limits.CHAT_BURST_MAX + [False]
    assert rates.take(m.EmoteSubmit, 0.0), "another class is not concerned"
    assert all(rates.take(m.Pose, 0.0) for _ in range(1_000)), "poses count as frames only"
