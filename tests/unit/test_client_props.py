"""A client's view of props: scene and changes in any order, and where each prop is seen."""

from __future__ import annotations

import json
import math
import uuid
from typing import Any

import editing_cases as cases
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_client import props as client_props
from atrium_client.props import PropsView, decode_scene, hand_in_world, place_after
from atrium_client.view import Transform as Point
from atrium_server.world import flight as server_flight
from atrium_server.world import props as server_props
from atrium_shared import limits
from atrium_shared.edits import Flight, PropMove, PropState
from atrium_shared.errors import ProtocolError
from atrium_shared.messages import PropHeld, PropsChanged
from atrium_shared.props import Group, Shape, Transform

A, B, C = (bytes([number]) * 16 for number in (1, 2, 3))
UPRIGHT = (0.0, 0.0, 0.0, 1.0)
TURNED = (0.0, math.sqrt(0.5), 0.0, math.sqrt(0.5))
"""A quarter turn to the left."""


def at(x: float, y: float = 0.0, z: float = 0.0) -> Transform:
    return Transform((x, y, z))


def state(prop_id: bytes, x: float = 0.0, **fields: Any) -> PropState:
    values = {"group": b"", "transform": at(x), "properties": Shape(), "owner": "",
              "is_locked": False, **fields}
    return PropState(prop_id, *(values[name] for name in PropState.__struct_fields__[1:]))


def scene(revision: int, *states: PropState) -> bytes:
    """The JSON of a scene."""
    props = [
        {"id": str(uuid.UUID(bytes=one.prop_id)), "position_m": one.transform.position_m,
         "rotation": one.transform.rotation, "scale": one.transform.scale,
         "properties": {"kind": "group" if isinstance(one.properties, Group) else "shape"}}
        | ({"group": str(uuid.UUID(bytes=one.group))} if one.group else {})
        for one in states
    ]
    text = {"name": "plaza", "boxes": [], "version": "1", "revision": revision, "props": props}
    return json.dumps(text).encode()


def told(revision: int, *states: PropState, moves: Any = (), gone: Any = ()) -> PropsChanged:
    return PropsChanged(revision, states, tuple(PropMove(*move) for move in moves), tuple(gone))


def loaded(*states: PropState, revision: int = 5) -> PropsView:
    view = PropsView()
    view.welcomed("/scene@5")
    assert view.load(decode_scene(scene(revision, *states)))
    return view


def nobody(_entity_id: int, _hand: int) -> Point | None:
    raise AssertionError("no hand was to be looked at")


def seen(view: PropsView, prop_id: bytes, server_s: float = 0.0) -> Transform | None:
    return view.where(prop_id, server_s, nobody)


# --- scene and changes -------------------------------------------------------------------


def test_a_scene_and_the_changes_since() -> None:
    view = loaded(state(A, 1.0), state(B, 2.0))
    view.update(told(6, state(C, 3.0), moves=[(A, at(9.0))], gone=[B]))
    assert view.get(A) == state(A, 9.0)
    assert view.get(C) == state(C, 3.0)
    assert B not in view
    assert (len(view), view.revision, view.needs_scene) == (2, 6, False)
    assert {one.prop_id for one in view.states()} == {A, C}


def test_changes_that_come_before_the_scene_are_laid_over_it() -> None:
    view = PropsView()
    view.welcomed("/scene@5")
    view.update(told(6, state(C, 3.0), moves=[(A, at(9.0))], gone=[B]))
    view.update(told(7, moves=[(C, at(4.0))]))
    assert len(view) == 0
    view.load(decode_scene(scene(5, state(A, 1.0), state(B, 2.0))))
    assert (view.get(A), view.get(C)) == (state(A, 9.0), state(C, 4.0))
    assert B not in view
    assert view.revision == 7


def test_changes_that_the_scene_has_already_are_not_made_again() -> None:
    view = PropsView()
    view.welcomed("/scene@5")
    view.update(told(4, state(A, 1.0), gone=[B]))
    view.load(decode_scene(scene(5, state(A, 2.0), state(B, 2.0))))
    assert (view.get(A), view.get(B)) == (state(A, 2.0), state(B, 2.0))


def test_a_move_of_what_is_not_there_is_none() -> None:
    view = loaded()
    view.update(told(6, moves=[(A, at(9.0))], gone=[B]))
    assert len(view) == 0


def test_the_same_scene_after_a_resume_keeps_what_is_known() -> None:
    view = loaded(state(A, 1.0))
    view.update(told(6, moves=[(A, at(6.0))]))
    view.update(told(7, moves=[(A, at(7.0))]))
    view.welcomed("/scene@5")
    assert not view.needs_scene
    view.update(told(6, moves=[(A, at(6.0))]))  # the changes since the scene are told again
    assert view.get(A) == state(A, 7.0)
    view.update(told(8, moves=[(A, at(8.0))]))
    assert view.get(A) == state(A, 8.0)


def test_another_scene_begins_anew_also_with_lower_revisions() -> None:
    """As after a restart of the server."""
    view = loaded(state(A, 1.0), state(B, 1.0), revision=900)
    view.welcomed("/scene@other")
    assert view.needs_scene
    assert len(view) == 0
    view.update(told(1, state(C, 3.0)))
    view.load(decode_scene(scene(0, state(A, 2.0))))
    assert (view.get(A), view.get(C), view.revision) == (state(A, 2.0), state(C, 3.0), 1)


def test_without_a_scene_only_so_many_changes_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_props, "EARLY_MAX", 2)
    view = PropsView()
    view.welcomed("/scene@5")
    for revision, prop_id in ((6, A), (7, B), (8, A), (9, C)):
        view.update(told(revision, state(prop_id, revision)))
    # The word of B had to give way: a scene without it is of no use.
    assert not view.load(decode_scene(scene(6)))
    assert view.needs_scene
    assert view.load(decode_scene(scene(7, state(B, 7.0))))
    assert [view.get(one) for one in (A, B, C)] == [state(A, 8), state(B, 7.0), state(C, 9)]


def test_more_props_than_a_world_can_have_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROPS_PER_WORLD_MAX", 2)
    view = loaded(state(A), state(B))
    with pytest.raises(ProtocolError, match="more props"):
        view.update(told(6, state(C)))


changes = st.lists(
    st.tuples(st.sampled_from([A, B, C]), st.sampled_from(["state", "move", "gone"]),
              st.integers(0, 99)),
    max_size=12,
)


@given(changes, st.integers(0, 12), st.integers(0, 12), st.integers(0, 12))
def test_whenever_the_scene_is_fetched_the_end_is_the_same(
    story: list[tuple[bytes, str, int]], made: int, joined: int, fetched: int
) -> None:
    """The truth is all changes in order; the scene is made at some point of it, we join at that or
    a later one, are told all since the scene, and have the scene at any time after that."""
    messages = [
        told(number + 1, *([state(one, float(x))] if what == "state" else []),
             moves=[(one, at(float(x)))] if what == "move" else (),
             gone=[one] if what == "gone" else ())
        for number, (one, what, x) in enumerate(story)
    ]
    truth = PropsView()
    truth.load(decode_scene(scene(0)))
    made = min(made, len(story))
    for message in messages[:made]:
        truth.update(message)
    file = decode_scene(scene(made, *truth.states()))
    view = PropsView()
    view.welcomed("/scene")
    start = min(made + joined, len(story))
    for number, message in enumerate(messages[made:], made):
        if number == min(start + fetched, len(story)):
            view.load(file)
        view.update(message)
    if view.needs_scene:
        view.load(file)
    for message in messages[made:]:
        truth.update(message)
    assert {s.prop_id: s for s in view.states()} == {s.prop_id: s for s in truth.states()}


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"null", b"{", b"\xff", b'{"revision": -1}', b'{"props": {}}',
        b'{"props": [{}]}', scene(1, state(A)).replace(b'"shape"', b'"door"'),
        scene(1, state(A)).replace(b'"01010101-', b'"zz-'),
        scene(1, state(A)).replace(b'"scale": [1.0', b'"scale": ["1"'),
        scene(1, state(A)).replace(b'"kind"', b'"colour": "red", "kind"'),
        b'{"props":' + b"[" * 5_000, b'{"x":' * 5_000,
    ],
)
def test_what_is_no_scene_is_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError, match="not a scene"):
        decode_scene(data)


keys = st.sampled_from(["props", "revision", "id", "group", "scale"])
values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner),
    max_leaves=10,
)


@given(st.binary(max_size=80) | values.map(lambda value: json.dumps({"props": value}).encode()))
def test_any_bytes_are_a_scene_or_refused(data: bytes) -> None:
    try:
        found = decode_scene(data)
    except ProtocolError:
        return
    assert found.revision >= 0


def test_a_scene_without_props_is_empty() -> None:
    view = PropsView()
    assert view.load(decode_scene(b'{"name": "plaza", "boxes": []}'))
    assert (len(view), view.revision) == (0, 0)


# --- where things are seen ---------------------------------------------------------------


def test_props_in_groups_are_seen_within_all_of_them() -> None:
    outer = Transform((10.0, 0.0, 0.0), TURNED, (2.0, 2.0, 2.0))
    inner = Transform((1.0, 0.0, 0.0), TURNED, (0.5, 0.5, 0.5))
    view = loaded(
        state(A, transform=outer, properties=Group()),
        state(B, transform=inner, properties=Group(), group=A), state(C, 4.0, group=B),
    )
    held = server_props.Props()
    held.load({one.prop_id: server_props.Prop(one.transform, one.properties, one.group)
               for one in view.states()}, 0)
    there, expected = seen(view, C), held.seen_at(C)
    assert there is not None
    for ours, theirs in zip(
        (there.position_m, there.rotation, there.scale),
        (expected.position_m, expected.rotation, expected.scale), strict=True,
    ):
        assert ours == pytest.approx(theirs, abs=1e-6)


def test_what_is_in_a_group_that_is_not_there_is_not_seen() -> None:
    view = loaded(state(B, group=A))
    assert seen(view, B) is None
    assert seen(view, C) is None
    view.update(told(6, state(A, 3.0, properties=Group())))
    there = seen(view, B)
    assert there is not None
    assert there.position_m == (3.0, 0.0, 0.0)


def test_groups_in_a_ring_are_not_followed_for_ever() -> None:
    view = loaded(state(A, group=B, properties=Group()), state(B, group=A, properties=Group()))
    assert seen(view, A) is None


def test_what_flies_follows_its_curve_until_the_next_word() -> None:
    view = loaded(state(A, transform=Transform(scale=(2.0, 2.0, 2.0))))
    view.fly(100.0, (Flight(A, (0.0, 2.0, 0.0), TURNED, (3.0, 4.0, -1.0), False),))
    assert view.is_flying(A)
    there = seen(view, A, 100.5)
    assert there is not None
    assert there.position_m == pytest.approx((1.5, 2.0 + 2.0 - 9.81 / 8, -0.5))
    assert (there.rotation, there.scale) == (TURNED, (2.0, 2.0, 2.0))
    early = seen(view, A, 99.0)
    assert early is not None
    assert early.position_m == (0.0, 2.0, 0.0)
    view.fly(100.5, (Flight(A, (1.5, 1.0, -0.5), UPRIGHT, (1.0, 0.0, 0.0), True),))
    slid = seen(view, A, 200.0)
    assert slid is not None
    assert slid.position_m == pytest.approx((1.5 + 1.0 / (2 * 4.905), 1.0, -0.5))
    view.update(told(6, moves=[(A, at(1.6))]))
    assert not view.is_flying(A)
    assert seen(view, A, 300.0) == at(1.6)


metres = st.floats(-50.0, 50.0)
vectors = st.tuples(metres, metres, metres)


@given(vectors, vectors, st.booleans(), st.floats(0.0, 10.0))
def test_a_flight_is_where_the_server_has_it(
    start: Any, velocity: Any, is_sliding: bool, t_s: float
) -> None:
    if is_sliding:
        velocity = (velocity[0], 0.0, velocity[2])
    ours = place_after(Flight(A, start, UPRIGHT, velocity, is_sliding), t_s)
    segment = server_flight.Segment(A, start, UPRIGHT, velocity, is_sliding)
    assert ours == pytest.approx(server_flight.place_after(segment, t_s), abs=1e-9)


def test_what_is_held_is_in_the_hand_of_its_holder() -> None:
    view = loaded(state(A, 1.0))
    grip = ((0.0, 0.0, -0.5), TURNED)
    view.hold(PropHeld(A, 70, 1, *grip))
    assert view.holder(A) == (70, 1)
    hand = hand_in_world((5.0, 0.0, 0.0), math.pi / 2, Point((0.0, 1.0, -0.25), UPRIGHT))
    asked: list[tuple[int, int]] = []

    def hands(entity_id: int, which: int) -> Point | None:
        asked.append((entity_id, which))
        return hand

    there = view.where(A, 0.0, hands)
    assert there is not None
    # Looking along -X: the hand is a quarter of a metre ahead, the prop half a metre more.
    assert there.position_m == pytest.approx((4.25, 1.0, 0.0))
    assert abs(there.rotation[1]) == pytest.approx(1.0), "a quarter turn and another one"
    assert asked == [(70, 1)]
    assert view.where(A, 0.0, lambda *_: None) is None, "where the hand is, nobody knows"


def test_a_hold_ends_when_it_is_told_and_not_when_the_prop_is_changed() -> None:
    view = loaded(state(A, 1.0))
    held = PropHeld(A, 70, 1, (0.0, 0.0, 0.0), UPRIGHT)
    view.hold(held)
    view.update(told(6, moves=[(A, at(3.0))]))
    assert view.holder(A) == (70, 1)
    view.hold(PropHeld(A, 71, 0, (0.0, 0.0, 0.0), UPRIGHT))
    assert view.holder(A) == (71, 0)
    view.hold(PropHeld(A, 0, 0, (0.0, 0.0, 0.0), UPRIGHT))
    assert (view.holder(A), seen(view, A)) == (None, at(3.0))
    view.hold(held)
    view.fly(1.0, (Flight(A, (0.0, 2.0, 0.0), UPRIGHT, (0.0, 0.0, 0.0), False),))
    assert (view.holder(A), view.is_flying(A)) == (None, True)
    view.hold(held)
    assert (view.holder(A), view.is_flying(A)) == ((70, 1), False)
    view.update(told(7, gone=[A]))
    assert view.holder(A) is None


def test_a_welcome_ends_holds_and_flights() -> None:
    view = loaded(state(A), state(B))
    view.hold(PropHeld(A, 70, 1, (0.0, 0.0, 0.0), UPRIGHT))
    view.fly(1.0, (Flight(B, (0.0, 2.0, 0.0), UPRIGHT, (0.0, 0.0, 0.0), False),))
    view.welcomed("/scene@5")
    assert (view.holder(A), view.is_flying(B)) == (None, False)


def test_every_state_of_the_vectors_is_taken() -> None:
    view = loaded()
    changed = cases.server_messages()["props_changed_every_kind"]
    assert isinstance(changed, PropsChanged)
    view.update(changed)
    assert {one.prop_id: one for one in view.states()} == {
        one.prop_id: one for one in cases.states()
    }


def test_what_is_dragged_is_shown_until_its_edit_or_no_more_is_heard() -> None:
    view = loaded(state(A, 1.0), state(B, 5.0), state(C, 1.0, group=A))
    hands = lambda *_: None  # noqa: E731 -- nobody holds anything

    def x_of(prop_id: bytes, server_s: float = 10.5) -> float:
        where = view.where(prop_id, server_s, hands)
        assert where is not None
        return where.position_m[0]

    view.drag(10.0, 70, (PropMove(A, at(3.0)), PropMove(B, at(7.0))))
    assert (x_of(A), x_of(B), x_of(C)) == (3.0, 7.0, 4.0), "and what is in a group goes with it"
    assert x_of(A, 10.0 + limits.DRAG_S_MAX + 0.1) == 1.0
    view.drag(10.1, 70, (PropMove(A, at(3.5)),))
    assert (x_of(A), x_of(B)) == (3.5, 5.0), "what is not named any more stands where it stood"
    view.drag(10.2, 71, (PropMove(A, at(9.0)),))
    assert x_of(A) == 9.0, "the newest counts"
    view.drag(10.3, 70, ())
    assert x_of(A) == 9.0
    view.update(told(6, moves=[(A, at(4.0))]))
    assert x_of(A) == 4.0
    view.drag(10.4, 71, (PropMove(A, at(9.0)),))
    view.drag(10.5, 71, ())
    assert x_of(A) == 4.0
    view.drag(10.4, 71, (PropMove(A, at(9.0)),))
    view.welcomed("/scene@5")
    assert x_of(A) == 4.0
