"""Edits of a client without I/O: order, pace, asking again, and every end that one can have."""

from __future__ import annotations

import golden_cases as cases
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_client import edits as client_edits
from atrium_client import events
from atrium_client.edits import AGAIN_MAX, ASKED_PER_S, Edits
from atrium_client.requests import REQUEST_ID_MAX
from atrium_client.session import ClientSession, Identity, State
from atrium_shared import codec, edits, limits, messages
from atrium_shared.errors import ErrorCode, RequestRefused
from atrium_shared.messages import EditState, EditStatus
from atrium_shared.props import PropError, Shape, Sign, Transform

SAID = cases.server_messages()
WELCOME = SAID["welcome"]
assert isinstance(WELCOME, messages.Welcome)
RESUMED = msgspec.structs.replace(WELCOME, resumed=True)
PROP = bytes(range(16))


def joined() -> ClientSession:
    client = ClientSession(Identity("Ada"))
    client.hello()
    hear(client, WELCOME)
    return client


def hear(client: ClientSession, message: messages.Message, now_s: float = 1.0) -> list[object]:
    return list(client.receive(codec.encode(message), now_s))


def status(request_id: int, state: EditState, code: int = 0, retry_ms: int = 0) -> EditStatus:
    return EditStatus(request_id, state, code, "", retry_ms)


def asked(client: ClientSession, now_s: float = 1.0) -> list[int]:
    """The request ids of all edits that are to be sent now."""
    ids: list[int] = []
    while (data := client.next_edit(now_s)) is not None:
        message = codec.decode_client(data)
        assert isinstance(message, messages.EditSubmit | messages.Release)
        ids.append(message.request_id)
    return ids


def cut(client: ClientSession) -> None:
    client.link_lost("cut")
    client.hello()


def test_edits_are_asked_in_the_order_of_the_calls() -> None:
    client = joined()
    ids = [client.edit(edits.Lock(PROP, True)), client.edit(edits.Delete(PROP)),
           client.release(PROP, Transform(), (0.0, 0.0, 0.0)), client.edit(edits.Undo())]
    assert ids == sorted(set(ids))
    assert asked(client) == ids
    assert asked(client) == []


def test_all_that_is_asked_for_shares_the_rising_ids() -> None:
    client = joined()
    first = client.edit(edits.Undo())
    jump, _ = client.teleport(messages.TeleportTarget.STAND, 0, 1.0)
    grab, data = client.grab(messages.Grab(0, PROP, 1, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)), 1.0)
    last = client.edit(edits.Redo())
    assert first < jump < grab < last
    message = codec.decode_client(data)
    assert isinstance(message, messages.Grab)
    assert message.request_id == grab


def test_ids_never_begin_again() -> None:
    client = joined()
    client._requests._newest_id = REQUEST_ID_MAX - 1
    assert client.edit(edits.Undo()) == REQUEST_ID_MAX
    with pytest.raises(RequestRefused, match="connect anew"):
        client.edit(edits.Undo())


def test_an_edit_is_told_of_until_its_last_answer() -> None:
    client = joined()
    one = client.edit(edits.Undo())
    asked(client)
    accepted, durable = status(one, EditState.ACCEPTED), status(one, EditState.DURABLE)
    assert hear(client, accepted) == [events.EditAnswered(accepted)]
    assert hear(client, accepted) == [], "no news"
    assert len(client.edits) == 1
    assert hear(client, durable) == [events.EditAnswered(durable)]
    assert hear(client, durable) == []
    assert len(client.edits) == 0


@pytest.mark.parametrize("end", [EditState.DURABLE, EditState.REVERTED, EditState.REFUSED])
def test_what_has_ended_is_not_asked_again(end: EditState) -> None:
    client = joined()
    ended, open_, unasked = (client.edit(edits.Undo()) for _ in range(3))
    asked(client)
    hear(client, status(ended, end, ErrorCode.CONFLICT))
    hear(client, status(open_, EditState.ACCEPTED))
    cut(client)
    assert asked(client, 50.0) == [], "there is no link yet"
    hear(client, RESUMED, 50.0)
    assert asked(client, 60.0) == [open_, unasked]


def test_what_is_asked_again_has_the_same_bytes() -> None:
    client = joined()
    client.edit(edits.Create(PROP, b"", Transform(), Shape()))
    before = client.next_edit(1.0)
    cut(client)
    hear(client, RESUMED, 2.0)
    assert client.next_edit(3.0) == before


def test_an_edit_between_two_links_waits_for_the_next() -> None:
    client = joined()
    client.link_lost("cut")
    one = client.edit(edits.Undo())
    client.hello()
    two = client.edit(edits.Redo())
    assert asked(client) == []
    hear(client, RESUMED, 2.0)
    assert asked(client, 3.0) == [one, two]


def test_after_a_resume_no_burst_is_asked() -> None:
    """The server saves none up either: it would refuse them."""
    client = joined()
    ids = [client.edit(edits.Undo()) for _ in range(limits.EDITS_UNANSWERED_MAX)]
    now_s, sent = 1.0, asked(client)
    assert len(sent) == limits.EDIT_BURST_MAX
    cut(client)
    hear(client, RESUMED, now_s)
    again: list[tuple[float, int]] = []
    while (wait_s := client.edits.wait_s(now_s)) is not None:
        now_s += wait_s
        again += [(now_s, one) for one in asked(client, now_s)]
    assert [one for _, one in again] == ids
    spent_s = again[-1][0] - 1.0
    assert len(ids) / spent_s < limits.EDIT_PER_S_MAX
    assert spent_s == pytest.approx(len(ids) / ASKED_PER_S, rel=0.01)


@given(st.lists(st.floats(0.0, 0.2), max_size=400))
def test_the_server_would_never_refuse_the_pace(pauses_s: list[float]) -> None:
    waiting, tokens, now_s = Edits(), float(limits.EDIT_BURST_MAX), 0.0
    for number, pause_s in enumerate(pauses_s):
        now_s += pause_s
        tokens = min(tokens + pause_s * limits.EDIT_PER_S_MAX, limits.EDIT_BURST_MAX)
        waiting.add(number + 1, b"")
        while waiting.next(now_s) is not None:
            tokens -= 1.0
        waiting.answered(status(number + 1, EditState.DURABLE), now_s)
        assert tokens > -1e-6


def test_a_grab_counts_like_an_edit() -> None:
    client = joined()
    grab = messages.Grab(0, PROP, 1, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    for _ in range(limits.EDIT_BURST_MAX // 2):
        request_id, _ = client.grab(grab, 1.0)
        hear(client, messages.Result(request_id, ErrorCode.OK, "", 0))
    for _ in range(limits.EDIT_BURST_MAX):
        client.edit(edits.Undo())
    assert len(asked(client)) == limits.EDIT_BURST_MAX // 2


def test_a_grab_ends_with_its_result() -> None:
    client = joined()
    grab = messages.Grab(0, PROP, 1, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    request_id, _ = client.grab(grab, 1.0)
    answer = messages.Result(request_id, ErrorCode.OK, "", 0)
    assert hear(client, answer) == [events.RequestAnswered(request_id, answer)]


def test_edits_that_wait_are_bounded() -> None:
    client = joined()
    ids = [client.edit(edits.Undo()) for _ in range(limits.EDITS_UNANSWERED_MAX)]
    with pytest.raises(RequestRefused, match="wait to be saved") as caught:
        client.edit(edits.Undo())
    assert caught.value.code == ErrorCode.RATE_LIMITED
    asked(client)
    hear(client, status(ids[0], EditState.ACCEPTED))
    with pytest.raises(RequestRefused):
        client.edit(edits.Undo())
    hear(client, status(ids[0], EditState.DURABLE))
    client.edit(edits.Undo())


# --- too fast ----------------------------------------------------------------------------


def test_too_fast_is_the_end_of_an_edit_that_was_asked_once() -> None:
    client = joined()
    one = client.edit(edits.Undo())
    asked(client)
    refused = status(one, EditState.REFUSED, ErrorCode.RATE_LIMITED, 500)
    assert hear(client, refused) == [events.EditAnswered(refused)]


def test_too_fast_tells_nothing_of_an_edit_that_was_asked_before() -> None:
    client = joined()
    one, two = client.edit(edits.Undo()), client.edit(edits.Undo())
    asked(client)
    hear(client, status(one, EditState.ACCEPTED))
    cut(client)
    hear(client, RESUMED, 2.0)
    assert asked(client, 3.0) == [one, two]
    for late in (two, one):
        refused = status(late, EditState.REFUSED, ErrorCode.RATE_LIMITED, 500)
        assert hear(client, refused, 3.0) == []
    assert asked(client, 3.4) == []
    assert asked(client, 3.6) == [one, two], "in their order"
    durable = status(one, EditState.DURABLE)
    assert hear(client, durable, 3.7) == [events.EditAnswered(durable)]


def test_nobody_asks_for_ever() -> None:
    client = joined()
    one = client.edit(edits.Undo())
    asked(client)
    cut(client)
    hear(client, RESUMED, 2.0)
    refused = status(one, EditState.REFUSED, ErrorCode.RATE_LIMITED, 500)
    now_s, heard = 3.0, list[object]()
    for _ in range(AGAIN_MAX - 1):
        assert heard == []
        assert asked(client, now_s) == [one]
        heard = hear(client, refused, now_s)
        now_s += 1.0
    (lost,) = heard
    assert isinstance(lost, events.EditUnresolved)
    assert (lost.request_id, len(client.edits), asked(client, now_s)) == (one, 0, [])


# --- nobody can tell any more ------------------------------------------------------------


def lost(heard: list[object]) -> list[int]:
    return [event.request_id for event in heard if isinstance(event, events.EditUnresolved)]


def test_a_session_that_was_not_resumed_takes_its_edits_with_it() -> None:
    client = joined()
    ids = [client.edit(edits.Undo()) for _ in range(2)]
    asked(client)
    cut(client)
    heard = hear(client, WELCOME, 2.0)
    assert heard[0] == events.Resumed(WELCOME, True)
    assert lost(heard) == ids
    assert asked(client, 3.0) == []
    assert client.edit(edits.Undo()) > ids[-1]


def test_a_travel_takes_edits_with_it_and_holds_none_up() -> None:
    client = joined()
    one = client.edit(edits.Undo())
    travel, _ = client.travel("tower", 1.0)
    assert asked(client) == [], "the server would end the session"
    with pytest.raises(RequestRefused, match="travel has ended"):
        client.edit(edits.Undo())
    welcome = msgspec.structs.replace(SAID["welcome_travelled"], request_id=travel)
    assert lost(hear(client, welcome)) == [one]
    two = client.edit(edits.Undo())
    assert asked(client) == [two]


def test_a_travel_that_is_refused_keeps_the_edits() -> None:
    client = joined()
    one = client.edit(edits.Undo())
    travel, _ = client.travel("tower", 1.0)
    hear(client, messages.Result(travel, ErrorCode.WORLD_FULL, "", 0))
    assert asked(client) == [one]


def test_a_resume_into_another_world_ends_edits() -> None:
    client = joined()
    one = client.edit(edits.Undo())
    asked(client)
    client.travel("tower", 1.0)
    cut(client)
    there = msgspec.structs.replace(SAID["welcome_travelled"], request_id=0, resumed=True)
    assert lost(hear(client, there, 2.0)) == [one]


@pytest.mark.parametrize("by", ["error", "close"])
def test_the_end_of_the_session_ends_edits(by: str) -> None:
    client = joined()
    one = client.edit(edits.Undo())
    heard = (
        hear(client, messages.Error(ErrorCode.REPLACED, "", 0)) if by == "error"
        else list(client.link_lost("closed", 4009))
    )
    assert lost(heard) == [one]
    assert client.state is State.ENDED
    with pytest.raises(RuntimeError, match="ended"):
        client.edit(edits.Undo())


# --- what no server takes ----------------------------------------------------------------


@pytest.mark.parametrize(
    "edit",
    [
        edits.Describe(PROP, Sign(text="a" * 501)),
        edits.Describe(PROP, Shape(colour="red")),
        edits.Describe(PROP, Shape(roughness=float("nan"))),
        edits.Describe(PROP, Shape(title="\ud800")),
        edits.Place(PROP, Transform((float("inf"), 0.0, 0.0))),
        edits.Place(PROP, Transform(scale=(0.0, 1.0, 1.0))),
        edits.Place(PROP, Transform((0.0, 0.0))),  # type: ignore[arg-type]
        edits.Delete(PROP[:15]),
        edits.Attach((PROP,) * 65, b""),
        edits.Attach((), b""),
    ],
)
def test_what_would_end_the_session_is_not_sent(edit: edits.Edit) -> None:
    client = joined()
    with pytest.raises(PropError, match="No server takes this"):
        client.edit(edit)
    assert (len(client.edits), asked(client)) == (0, [])


def test_a_grab_or_release_that_would_end_the_session_is_not_sent() -> None:
    client = joined()
    with pytest.raises(PropError):
        client.grab(messages.Grab(0, PROP, 2, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)), 1.0)
    with pytest.raises(PropError):
        client.release(PROP, Transform(), (51.0, 0.0, 0.0))
    assert len(client.edits) == 0


def test_whole_numbers_are_numbers() -> None:
    client = joined()
    client.edit(edits.Place(PROP, Transform((1, 2, 3))))
    assert len(asked(client)) == 1


def test_nothing_is_edited_before_the_first_welcome() -> None:
    with pytest.raises(RuntimeError, match="new"):
        ClientSession(Identity("Ada")).edit(edits.Undo())


# --- whatever happens --------------------------------------------------------------------

steps = st.lists(
    st.tuples(
        st.sampled_from(["edit", "send", "accept", "durable", "refuse", "hurry", "cut", "anew"]),
        st.integers(0, 20),
    ),
    max_size=60,
)


@given(steps)
def test_every_edit_ends_exactly_once_or_is_asked_after_the_next_resume(
    story: list[tuple[str, int]]
) -> None:
    client, now_s = joined(), 1.0
    wanted: list[int] = []
    ended: list[int] = []
    states = {"accept": EditState.ACCEPTED, "durable": EditState.DURABLE,
              "refuse": EditState.REFUSED, "hurry": EditState.REFUSED}
    for what, number in story:
        now_s += 0.5
        heard: list[object] = []
        if what == "edit":
            wanted.append(client.edit(edits.Undo()))
        elif what == "send":
            ids = asked(client, now_s)
            assert ids == sorted(ids)
        elif what in states:
            code = ErrorCode.RATE_LIMITED if what == "hurry" else ErrorCode.CONFLICT
            heard = hear(client, status(number, states[what], code, 100), now_s)
        else:
            cut(client)
            heard = hear(client, RESUMED if what == "cut" else WELCOME, now_s)
        ended += lost(heard)
        ended += [
            event.status.request_id for event in heard
            if isinstance(event, events.EditAnswered)
            and event.status.state is not EditState.ACCEPTED
        ]
    assert len(ended) == len(set(ended))
    cut(client)
    hear(client, RESUMED, now_s)
    again = asked(client, now_s + 100.0)
    assert again == [one for one in wanted if one not in ended]


def test_the_pace_is_below_that_of_the_server() -> None:
    assert client_edits.ASKED_PER_S < limits.EDIT_PER_S_MAX
