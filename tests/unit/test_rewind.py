"""Every moment of a history comes back; of one person's edits goes only what still stands."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrium_server.rewind import (
    Departed,
    Rewind,
    RollBack,
    applied,
    difference,
    misplaced,
    that_fit,
)
from atrium_server.world.editing import Author, Editor
from atrium_server.world.props import Change, Prop, Props
from atrium_shared import edits, limits
from atrium_shared.errors import RequestRefused
from atrium_shared.props import Group, Shape, Sign, Transform

ANN, BOB = Author("ann", may_moderate=True), Author("bob", may_moderate=True)


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def at(x: float) -> Transform:
    return Transform((float(x), 0.0, 0.0))


KEYS = st.integers(0, 11).map(key)
EDITS = st.one_of(
    st.builds(
        edits.Create, KEYS, st.just(b"") | KEYS, st.integers(0, 9).map(at),
        st.sampled_from([Group(), Shape(), Sign(text="a")]),
    ),
    st.builds(edits.Place, KEYS, st.integers(0, 9).map(at)),
    st.builds(edits.Delete, KEYS),
    st.builds(edits.Duplicate, KEYS, KEYS, st.integers(0, 9).map(at)),
    st.builds(edits.Attach, st.tuples(KEYS), st.just(b"") | KEYS),
    st.builds(edits.Lock, KEYS, st.booleans()),
    st.just(edits.Undo()),
    st.just(edits.Redo()),
)
HISTORIES = st.lists(st.tuples(st.sampled_from([ANN, BOB]), EDITS), max_size=60)
Made = list[tuple[str, list[Change]]]


def lived(history: list[tuple[Author, edits.Edit]]) -> tuple[Props, Made, list[dict[bytes, Prop]]]:
    """The props after a history, who changed what, and the state before each edit."""
    props = Props()
    editor = Editor(props)
    made: Made = []
    states: list[dict[bytes, Prop]] = []
    for author, edit in history:
        try:
            plan = editor.plan(author, edit)
        except RequestRefused:
            continue
        states.append(dict(props))
        editor.take(author, plan)
        made.append((author.account, plan.changes))
    return props, made, states


@given(HISTORIES, st.data())
@settings(max_examples=300)
def test_any_moment_comes_back_exactly(
    history: list[tuple[Author, edits.Edit]], data: st.DataObject
) -> None:
    props, made, states = lived(history)
    moments = [*states, dict(props)]
    moment = data.draw(st.integers(0, len(made)))
    rewind = Rewind()
    rewind.present(props)
    for _, changes in reversed(made[moment:]):
        rewind.back(changes)
    assert rewind.then == moments[moment]
    assert not misplaced(rewind.then)
    props.apply(rewind.changes())
    assert dict(props) == moments[moment]


@given(HISTORIES)
@settings(max_examples=300)
def test_a_roll_back_spares_what_others_made(
    history: list[tuple[Author, edits.Edit]]
) -> None:
    props, made, _ = lived(history)
    roll_back = RollBack()
    roll_back.present(props)
    for account, changes in reversed(made):
        if account == "ann":
            roll_back.back(changes)
    changes, left = roll_back.changes()
    newest = {
        change.prop_id: account for account, changed in made for change in changed
    }
    touched = {change.prop_id for account, one in made if account == "ann" for change in one}
    for change in changes:
        assert newest[change.prop_id] == "ann" or change.before in [
            one.after for account, some in made if account == "ann"
            for one in some if one.prop_id == change.prop_id
        ], "only a value that this person wrote is taken back"
    assert {change.prop_id for change in changes} | set(left) <= touched
    props.apply(changes)
    assert not misplaced(dict(props))
    copy = Props()
    copy.load(dict(props), 0)


@given(HISTORIES)
def test_one_who_was_alone_is_taken_back_wholly(
    history: list[tuple[Author, edits.Edit]]
) -> None:
    props, made, _ = lived([(ANN, edit) for _, edit in history])
    roll_back = RollBack()
    roll_back.present(props)
    for _, changes in reversed(made):
        roll_back.back(changes)
    changes, left = roll_back.changes()
    props.apply(changes)
    assert dict(props) == {}
    assert left == []


def test_what_another_changed_is_a_conflict() -> None:
    prop = Prop(at(0), Shape(), owner="ann")
    moved = msgspec.structs.replace(prop, transform=at(5))
    roll_back = RollBack()
    roll_back.present([(key(1), moved), (key(2), prop)])
    roll_back.back([Change(key(1), None, prop), Change(key(2), None, prop)])
    assert roll_back.changes() == ([Change(key(2), prop, None)], [key(1)])


def test_a_published_text_goes_with_the_sign() -> None:
    asked = Prop(at(0), Sign(), owner="mallory", pending="buy")
    shown = Prop(at(0), Sign(text="buy"), owner="mallory")
    roll_back = RollBack()
    roll_back.present([(key(1), shown)])
    roll_back.through([Change(key(1), asked, shown)])
    roll_back.back([Change(key(1), None, asked)])
    assert roll_back.changes() == ([Change(key(1), shown, None)], [])


def test_a_published_text_of_somebody_else_stays() -> None:
    mine = Prop(at(0), Sign(text="mine"), owner="ann")
    asked = msgspec.structs.replace(mine, pending="theirs")
    shown = Prop(at(0), Sign(text="theirs"), owner="ann")
    roll_back = RollBack()
    roll_back.present([(key(1), shown)])
    roll_back.through([Change(key(1), asked, shown)])
    roll_back.back([Change(key(1), None, mine)])  # asked was written by a third person
    assert roll_back.changes() == ([], [key(1)])


def test_who_is_gone_never_owned_anything() -> None:
    mine, theirs = Prop(at(0), Shape(), owner="ann"), Prop(at(0), Shape(), owner="bob")
    nobodys = msgspec.structs.replace(mine, owner="")
    departed = Departed()
    edit = [Change(key(1), None, mine), Change(key(2), theirs, mine), Change(key(3), mine, None)]
    assert departed.without(edit) == edit
    departed.disowned([Change(key(1), mine, nobodys), Change(key(4), None, nobodys)])
    assert departed.without(edit) == [
        Change(key(1), None, nobodys), Change(key(2), theirs, nobodys),
        Change(key(3), nobodys, None),
    ]


def test_a_group_stays_for_what_others_put_into_it() -> None:
    group, inside = Prop(at(0), Group(), owner="ann"), Prop(at(1), Shape(), key(1), "bob")
    roll_back = RollBack()
    roll_back.present([(key(1), group), (key(2), inside)])
    roll_back.back([Change(key(1), None, group)])
    assert roll_back.changes() == ([], [key(1)])


def test_what_would_come_into_a_group_that_is_gone_stays_away() -> None:
    lost = Prop(at(1), Shape(), key(1), "ann")
    changes = [Change(key(2), None, lost), Change(key(3), None, Prop(at(0), Shape()))]
    assert that_fit({}, changes) == (changes[1:], [key(2)])


def test_chains_that_are_too_deep_are_not_made() -> None:
    now = {
        key(n): Prop(at(0), Group(), key(n - 1) if n > 1 else b"")
        for n in range(1, limits.GROUP_DEPTH_MAX + 1)
    }
    assert not misplaced(now)
    deep = Change(key(99), None, Prop(at(0), Shape(), key(limits.GROUP_DEPTH_MAX)))
    assert that_fit(now, [deep]) == ([], [key(99)])


@pytest.mark.parametrize(
    ("props", "wrong"),
    [
        ({key(1): Prop(at(0), Shape(), key(2))}, [key(1)]),
        ({key(1): Prop(at(0), Shape()), key(2): Prop(at(0), Shape(), key(1))}, [key(2)]),
        ({key(1): Prop(at(0), Group(), key(2)), key(2): Prop(at(0), Group(), key(1))},
         [key(1), key(2)]),
        ({key(1): Prop(at(0), Group(), key(1))}, [key(1)]),
    ],
)
def test_what_is_no_forest_is_found(props: dict[bytes, Prop], wrong: list[bytes]) -> None:
    assert sorted(misplaced(props)) == wrong


def test_a_difference_is_what_differs() -> None:
    same, old, new = Prop(at(0), Shape()), Prop(at(1), Shape()), Prop(at(2), Shape())
    now = {key(1): same, key(2): old, key(3): old}
    then = {key(1): same, key(2): new, key(4): new}
    changes = difference(now, then)
    assert [change.prop_id for change in changes] == [key(2), key(3), key(4)]
    assert applied(now, changes) == then
    assert difference(now, now) == []
