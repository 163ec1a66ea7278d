"""Editing: who may, what an operation comes to, and that undo never touches what others did."""

from __future__ import annotations

import math

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrium_server.world.editing import Author, Editor
from atrium_server.world.props import Change, Prop, Props, compose, relative
from atrium_shared import edits, limits
from atrium_shared.errors import ErrorCode, RequestRefused
from atrium_shared.props import Group, Shape, Sign, Transform, Zone, checked_transform

ANN, BOB, EVE = Author("ann"), Author("bob"), Author("eve", may_moderate=True)
GUEST = Author("guest", may_build=False)


def key(number: int) -> bytes:
    return number.to_bytes(16, "big")


def at(x: float, y: float = 0.0, z: float = 0.0) -> Transform:
    return Transform((x, y, z))


class World:
    """Props, and one who edits them at once."""

    def __init__(self, props_max: int = 1_000) -> None:
        self.props = Props()
        self.editor = Editor(self.props, props_max)

    def do(self, author: Author, edit: edits.Edit) -> list[Change]:
        plan = self.editor.plan(author, edit)
        self.editor.take(author, plan)
        return plan.changes

    def make(
        self, author: Author, number: int, properties: edits.Properties | None = None,
        group: bytes = b"", transform: Transform | None = None,
    ) -> None:
        self.do(author, edits.Create(
            key(number), group, transform or at(number), properties or Shape()
        ))

    def refused(self, author: Author, edit: edits.Edit) -> ErrorCode:
        before = dict(self.props)
        with pytest.raises(RequestRefused) as error:
            self.editor.plan(author, edit)
        assert error.value.sentence.endswith(".")
        assert dict(self.props) == before
        return error.value.code


def test_what_is_made_belongs_to_its_maker() -> None:
    world = World()
    world.make(ANN, 1)
    made = world.props.get(key(1))
    assert made is not None
    assert (made.owner, made.transform, made.properties) == ("ann", at(1), Shape())
    world.do(ANN, edits.Place(key(1), at(5)))
    world.do(ANN, edits.Describe(key(1), Shape(colour="#ff0000")))
    world.do(EVE, edits.Lock(key(1), True))
    assert world.props.version == 4
    assert world.do(EVE, edits.Lock(key(1), True)) == []


@pytest.mark.parametrize(
    ("author", "edit", "code"),
    [
        (GUEST, edits.Place(key(1), at(0)), ErrorCode.NOT_ALLOWED),
        (BOB, edits.Place(key(1), at(0)), ErrorCode.NOT_ALLOWED),
        (BOB, edits.Delete(key(1)), ErrorCode.NOT_ALLOWED),
        (BOB, edits.Delete(key(4)), ErrorCode.NOT_ALLOWED),  # its own group holds another's prop
        (BOB, edits.Attach((key(3),), key(2)), ErrorCode.NOT_ALLOWED),
        (EVE, edits.Place(key(5), at(0)), ErrorCode.NOT_ALLOWED),  # locked
        (ANN, edits.Place(key(9), at(0)), ErrorCode.NOT_FOUND),
        (ANN, edits.Create(key(1), b"", at(0), Shape()), ErrorCode.TAKEN),
        (ANN, edits.Create(key(9), key(1), at(0), Shape()), ErrorCode.BAD_EDIT),
        (ANN, edits.Create(key(9), key(8), at(0), Shape()), ErrorCode.NOT_FOUND),
        (ANN, edits.Duplicate(key(1), key(2), at(0)), ErrorCode.TAKEN),
        (ANN, edits.Describe(key(1), Sign(text="hello")), ErrorCode.BAD_EDIT),
        (ANN, edits.Describe(key(1), Shape(title="a\x00b")), ErrorCode.BAD_EDIT),
        (ANN, edits.Place(key(1), at(math.nan)), ErrorCode.BAD_EDIT),
        (ANN, edits.Place(key(1), at(1e9)), ErrorCode.BAD_EDIT),
        (ANN, edits.Place(key(1), Transform(rotation=(0.0, 0.0, 0.0, 0.0))), ErrorCode.BAD_EDIT),
        (ANN, edits.Place(key(2), Transform(scale=(1.0, 2.0, 1.0))), ErrorCode.BAD_EDIT),
        (ANN, edits.Attach((key(2),), key(2)), ErrorCode.BAD_EDIT),
        (ANN, edits.Redo(), ErrorCode.NOT_FOUND),
        (BOB, edits.Redo(), ErrorCode.NOT_FOUND),
    ],
)
def test_what_is_refused(author: Author, edit: edits.Edit, code: ErrorCode) -> None:
    world = World()
    world.make(ANN, 1)
    world.make(ANN, 2, Group())
    world.make(BOB, 3)
    world.make(BOB, 4, Group())
    world.make(EVE, 6, group=key(4))
    world.make(EVE, 5)
    world.do(EVE, edits.Lock(key(5), True))
    assert world.refused(author, edit) is code


def test_a_world_and_an_edit_have_bounds() -> None:
    world = World(props_max=3)
    for number in range(3):
        world.make(ANN, number, Group() if number == 0 else Shape())
    assert world.refused(ANN, edits.Create(key(9), b"", at(0), Zone())) is ErrorCode.WORLD_FULL
    assert world.refused(ANN, edits.Duplicate(key(0), key(9), at(0))) is ErrorCode.WORLD_FULL
    big = World(props_max=10_000)
    big.make(ANN, 0, Group())
    for number in range(1, limits.EDIT_CHANGES_MAX):
        big.make(ANN, number, group=key(0))
    more = edits.Create(key(999), key(0), at(0), Shape())
    assert big.refused(ANN, more) is ErrorCode.BAD_EDIT, "or it could not be deleted in one edit"
    big.make(ANN, 998)
    assert big.refused(ANN, edits.Attach((key(998),), key(0))) is ErrorCode.BAD_EDIT
    assert big.refused(ANN, edits.Duplicate(key(1), key(997), at(0))) is ErrorCode.BAD_EDIT
    big.do(ANN, edits.Duplicate(key(0), key(9_999), at(0)))
    big.do(ANN, edits.Delete(key(0)))
    big.props.load({**dict(big.props), **{
        key(20_000 + n): Prop(at(0), Shape(), key(9_999), ANN.account) for n in range(9)
    }}, 1)
    assert big.refused(ANN, edits.Delete(key(9_999))) is ErrorCode.BAD_EDIT


def test_groups_are_only_so_deep() -> None:
    world = World()
    for number in range(limits.GROUP_DEPTH_MAX):
        world.make(ANN, number, Group(), group=key(number - 1) if number else b"")
    deepest = key(limits.GROUP_DEPTH_MAX - 1)
    world.refused(ANN, edits.Create(key(50), deepest, at(0), Shape()))
    world.make(ANN, 51, Group())
    world.make(ANN, 52, group=key(51))
    parent = key(limits.GROUP_DEPTH_MAX - 3)
    assert world.refused(ANN, edits.Attach((key(51),), deepest)) is ErrorCode.BAD_EDIT
    world.do(ANN, edits.Attach((key(51),), parent))
    assert world.refused(ANN, edits.Attach((key(0),), key(51))) is ErrorCode.BAD_EDIT


def test_a_group_is_copied_and_deleted_with_all_that_is_in_it() -> None:
    world = World()
    world.make(ANN, 1, Group())
    world.make(ANN, 2, Group(), group=key(1))
    world.make(ANN, 3, group=key(2))
    changes = world.do(BOB, edits.Duplicate(key(1), key(11), at(7)))
    assert len(changes) == 3
    assert len(world.props.tree(key(11))) == 3
    assert {prop.owner for one, prop in world.props if one in world.props.tree(key(11))} == {"bob"}
    assert world.refused(ANN, edits.Delete(key(11))) is ErrorCode.NOT_ALLOWED
    assert len(world.do(BOB, edits.Delete(key(11)))) == 3
    assert sorted(one for one, _ in world.props) == [key(1), key(2), key(3)]


def test_what_is_put_into_a_group_stays_where_it_is_seen() -> None:
    world = World()
    turned = Transform((1.0, 2.0, 3.0), (0.0, 0.7071068, 0.0, 0.7071068), (2.0, 2.0, 2.0))
    world.make(ANN, 1, Group(), transform=turned)
    world.make(ANN, 2, transform=Transform((4.0, 0.0, -1.0), (0.6, 0.0, 0.0, 0.8), (1.0, 3.0, 1.0)))
    before = world.props.seen_at(key(2))
    world.do(ANN, edits.Attach((key(2),), key(1)))
    same(world.props.seen_at(key(2)), before)
    world.do(ANN, edits.Place(key(1), at(9)))
    assert world.props.seen_at(key(2)).position_m != pytest.approx(before.position_m)
    world.do(ANN, edits.Undo())
    world.do(ANN, edits.Attach((key(2),), b""))
    same(world.props.seen_at(key(2)), before)
    small = Transform(scale=(0.01, 0.01, 0.01))
    world.make(ANN, 3, Group(), transform=small)
    world.make(ANN, 4, transform=Transform(scale=(50.0, 50.0, 50.0)))
    assert world.refused(ANN, edits.Attach((key(4),), key(3))) is ErrorCode.BAD_EDIT


def same(a: Transform, b: Transform) -> None:
    assert a.position_m == pytest.approx(b.position_m, abs=1e-4)  # a tenth of a millimetre
    assert a.scale == pytest.approx(b.scale, rel=1e-5)  # six digits are kept
    assert abs(sum(x * y for x, y in zip(a.rotation, b.rotation, strict=True))) == pytest.approx(
        1.0, abs=1e-6
    )


unit = st.floats(-1.0, 1.0)
transforms = st.builds(
    Transform, st.tuples(*[st.floats(-50, 50)] * 3), st.tuples(unit, unit, unit, st.floats(0.1, 1)),
    st.floats(0.5, 4.0).map(lambda size: (size, size, size)),
)


@given(transforms, transforms)
def test_into_a_frame_and_out_of_it_again(outer: Transform, seen: Transform) -> None:
    outer, seen = checked_transform(outer), checked_transform(seen)
    same(compose(outer, relative(outer, seen)), seen)


# --- undo ----------------------------------------------------------------------------------


def test_undo_and_redo_go_back_and_forth() -> None:
    world = World()
    states: list[dict[bytes, Prop]] = [{}]
    for edit in (
        edits.Create(key(1), b"", at(1), Group()), edits.Create(key(2), key(1), at(2), Sign()),
        edits.Place(key(2), at(3)), edits.Describe(key(2), Sign(text="hello")),
        edits.Duplicate(key(1), key(3), at(4)), edits.Attach((key(2),), b""),
        edits.Lock(key(2), True), edits.Lock(key(2), False), edits.Delete(key(1)),
    ):
        world.do(ANN, edit)
        states.append(dict(world.props))
    for state in reversed(states[:-1]):
        world.do(ANN, edits.Undo())
        assert dict(world.props) == state
    assert world.refused(ANN, edits.Undo()) is ErrorCode.NOT_FOUND
    for state in states[1:]:
        world.do(ANN, edits.Redo())
        assert dict(world.props) == state
    world.do(ANN, edits.Undo())
    world.make(ANN, 50)
    assert world.refused(ANN, edits.Redo()) is ErrorCode.NOT_FOUND


def test_what_changes_nothing_hides_nothing_from_undo() -> None:
    world = World()
    world.make(ANN, 1)
    world.do(ANN, edits.Place(key(1), at(5)))
    assert world.do(ANN, edits.Place(key(1), at(5))) == []
    assert len(world.do(ANN, edits.Undo())) == 1
    assert world.props.get(key(1)) == Prop(at(1), Shape(), b"", "ann")
    assert world.do(ANN, edits.Place(key(1), at(1))) == []
    assert len(world.do(ANN, edits.Redo())) == 1, "nor from what was taken back"


def test_undo_leaves_alone_what_others_have_changed_since() -> None:
    world = World()
    world.make(ANN, 1)
    world.make(ANN, 2)
    world.make(ANN, 3, Group())
    world.do(ANN, edits.Attach((key(1), key(2)), key(3)))
    world.do(EVE, edits.Place(key(1), at(40)))
    plan = world.editor.plan(ANN, edits.Undo())
    assert (len(plan.changes), plan.left_alone) == (1, 1)
    world.editor.take(ANN, plan)
    one, two = world.props.get(key(1)), world.props.get(key(2))
    assert one is not None
    assert two is not None
    assert (one.transform, one.group, two.group) == (at(40), key(3), b"")


def test_an_undo_that_finds_nothing_left_is_a_conflict_once() -> None:
    world = World()
    world.make(ANN, 1)
    world.do(ANN, edits.Place(key(1), at(2)))
    world.do(EVE, edits.Place(key(1), at(3)))
    assert world.refused(ANN, edits.Undo()) is ErrorCode.CONFLICT
    # The making of it is the next in turn, and does not stand as it was made either.
    assert world.refused(ANN, edits.Undo()) is ErrorCode.CONFLICT
    assert world.refused(ANN, edits.Undo()) is ErrorCode.NOT_FOUND


def test_a_group_that_holds_things_of_others_is_not_unmade() -> None:
    world = World()
    world.make(ANN, 1, Group())
    world.make(EVE, 2, group=key(1))
    assert world.refused(ANN, edits.Undo()) is ErrorCode.CONFLICT
    assert len(world.props) == 2


def test_props_whose_group_is_gone_do_not_come_back_into_nothing() -> None:
    world = World()
    world.make(EVE, 1, Group())
    world.make(EVE, 2, group=key(1))
    world.do(EVE, edits.Delete(key(2)))
    world.do(Author("mod", may_moderate=True), edits.Delete(key(1)))
    assert world.refused(EVE, edits.Undo()) is ErrorCode.CONFLICT


class Random:
    """Two people and a moderator who do anything at all."""

    def __init__(self, data: st.DataObject) -> None:
        self.draw, self.next_id = data.draw, 100

    def fresh(self) -> bytes:
        self.next_id += 1
        return key(self.next_id)

    def some(self, props: Props) -> bytes:
        return self.draw(st.sampled_from([*(one for one, _ in props), key(9)]))

    def edit(self, props: Props) -> edits.Edit:
        kind = self.draw(st.sampled_from(edits.EDITS))
        place = at(self.draw(st.integers(0, 5)))
        if kind is edits.Create:
            group = self.draw(st.sampled_from([b"", self.some(props)]))
            return edits.Create(
                self.fresh(), group, place, self.draw(st.sampled_from([Group(), Shape()]))
            )
        if kind is edits.Place:
            return edits.Place(self.some(props), place)
        if kind is edits.Describe:
            return edits.Describe(self.some(props), Shape(title=str(self.next_id)))
        if kind is edits.Duplicate:
            return edits.Duplicate(self.some(props), self.fresh(), place)
        if kind is edits.Delete:
            return edits.Delete(self.some(props))
        if kind is edits.Attach:
            group = self.draw(st.sampled_from([b"", self.some(props)]))
            return edits.Attach((self.some(props), self.some(props)), group)
        if kind is edits.Lock:
            return edits.Lock(self.some(props), self.draw(st.booleans()))
        return kind()  # type: ignore[call-arg]  # undo and redo


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_whatever_is_done_the_props_stay_a_forest_within_bounds(data: st.DataObject) -> None:
    world, random = World(props_max=40), Random(data)
    replayed: dict[bytes, Prop] = {}
    for _ in range(data.draw(st.integers(1, 60))):
        author = data.draw(st.sampled_from([ANN, BOB, EVE]))
        try:
            changes = world.do(author, random.edit(world.props))
        except RequestRefused:
            continue
        for change in changes:
            assert replayed.get(change.prop_id) == change.before
            if change.after is None:
                del replayed[change.prop_id]
            else:
                replayed[change.prop_id] = change.after
        assert replayed == dict(world.props), "the changes tell all that happened"
        assert len(world.props) <= 40
        copy = Props()
        copy.load(replayed, world.props.version)  # raises when it is no forest
        for one, prop in copy:
            assert copy.depth(prop.group) < limits.GROUP_DEPTH_MAX + 1
            assert prop.group == b"" or isinstance(
                getattr(copy.get(prop.group), "properties", None), Group
            )
            assert world.props.inside(one) == copy.inside(one)
            assert msgspec.msgpack.decode(msgspec.msgpack.encode(prop), type=Prop) == prop


def test_what_has_lost_its_group_lies_in_the_world() -> None:
    one = Prop(at(0), Group(), group=key(2))
    two = Prop(at(0), Group(), group=key(1))
    three = Prop(at(0), Shape(), group=key(2))
    props = Props()
    assert props.load({key(1): one, key(2): two, key(3): three}, 5) == [key(1)], "a ring is cut"
    assert props.tree(key(1)) == [key(1), key(2), key(3)]
    assert props.load({key(1): one, key(3): three}, 5) == [key(1), key(3)]
    assert [prop.group for _, prop in props] == [b"", b""]


def test_what_is_in_a_locked_group_is_locked() -> None:
    world = World()
    world.make(ANN, 1, Group())
    world.make(ANN, 2, group=key(1))
    world.do(ANN, edits.Lock(key(1), True))
    for edit in (edits.Delete(key(2)), edits.Place(key(2), at(3)), edits.Attach((key(2),), b"")):
        assert world.refused(ANN, edit) is ErrorCode.NOT_ALLOWED


@given(st.binary(max_size=120))
def test_any_bytes_are_an_edit_or_refused(data: bytes) -> None:
    try:
        edit = msgspec.msgpack.decode(data, type=edits.Edit)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(edit), type=edits.Edit) == edit
