"""What people are told of props: the newest state of each, in turn and within a budget."""

from __future__ import annotations

import msgspec

from atrium_server.world.props import Change, Prop, Props
from atrium_server.world.telling import Telling
from atrium_shared import codec, limits
from atrium_shared.props import Shape, Sign, Transform

RATE_HZ = 20


def key(number: int) -> bytes:
    return number.to_bytes(16)


class Scene:
    def __init__(self, readers: int = 1) -> None:
        self.props = Props()
        self.telling = Telling(self.props, RATE_HZ, range(readers))

    def put(self, number: int, prop: Prop | None) -> None:
        change = Change(key(number), self.props.get(key(number)), prop)
        self.props.apply([change])
        self.telling.note((change,))


def at(x: float, text: str = "") -> Prop:
    return Prop(Transform((x, 0.0, 0.0)), Sign(text=text) if text else Shape())


def test_many_changes_of_one_prop_are_one_message() -> None:
    scene = Scene()
    scene.put(1, at(0.0))
    for x in range(1, 9):
        scene.put(1, at(float(x)))
    told = scene.telling.next()
    assert told is not None
    assert [state.transform.position_m[0] for state in told.states] == [8.0]
    assert told.moves == ()
    scene.put(1, at(9.0))
    moved = scene.telling.next()
    assert moved is not None
    assert (moved.states, [move.prop_id for move in moved.moves]) == ((), [key(1)])
    scene.put(1, None)
    gone = scene.telling.next()
    assert gone is not None
    assert gone.gone == (key(1),)
    assert gone.revision == 3
    assert scene.telling.next() is None


def test_what_everybody_is_told_is_bounded_and_nothing_is_left_out() -> None:
    scene = Scene(readers=100)
    for number in range(2_000):
        scene.put(number, at(float(number), "x" * 200))
    told: set[bytes] = set()
    sent = 0
    for tick in range(60 * RATE_HZ):
        scene.telling.tick = tick
        message = scene.telling.next()
        if message is not None:
            size = len(codec.encode(message))
            assert size <= limits.PROPS_MESSAGE_BYTES_MAX + 2 * limits.PROP_BYTES_MAX
            sent += size
            told |= {state.prop_id for state in message.states}
        allowed = (tick + 2) / RATE_HZ * limits.PROPS_BYTES_PER_S_MAX
        assert sent <= allowed + limits.PROPS_MESSAGE_BYTES_MAX + limits.PROP_BYTES_MAX
    assert len(told) == 2_000


def test_what_is_hidden_waits() -> None:
    scene = Scene()
    scene.telling.hidden = hidden = {key(1)}
    scene.put(1, at(1.0))
    assert scene.telling.next() is None
    scene.put(2, at(2.0))
    told = scene.telling.next()
    assert told is not None
    assert [state.prop_id for state in told.states] == [key(2)]
    hidden.clear()
    told = scene.telling.next()
    assert told is not None
    assert [state.prop_id for state in told.states] == [key(1)]


def test_a_pending_text_is_not_told() -> None:
    scene = Scene()
    scene.put(1, msgspec.structs.replace(at(1.0, "seen"), pending="unseen"))
    told = scene.telling.next()
    assert told is not None
    assert b"unseen" not in codec.encode(told)
    assert b"seen" in codec.encode(told)
