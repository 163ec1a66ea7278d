"""Props to rows and back: nothing changes on the way, and the cost is as was said."""

from __future__ import annotations

import struct
import uuid

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.persistence.store import EditRow
from atrium_server.prop_rows import account_of, changes_of, history_of, prop_of, row_of
from atrium_server.world.building import cost_bytes
from atrium_server.world.props import Change, Prop
from atrium_shared import limits
from atrium_shared.props import (
    Group,
    Light,
    Model,
    PropError,
    Shape,
    Sign,
    Transform,
    Zone,
    checked_transform,
)

ids = st.binary(min_size=16, max_size=16)
number = st.floats(-8_000, 8_000, allow_nan=False)
component = st.floats(-1, 1, allow_nan=False)
scale = st.floats(limits.PROP_SCALE_MIN, limits.PROP_SCALE_MAX)
texts = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=40)
transforms = st.builds(
    Transform, st.tuples(number, number, number),
    st.tuples(component, component, component, component)
    .filter(lambda q: sum(x * x for x in q) > 1e-3),
    st.tuples(scale, scale, scale),
).map(checked_transform)
properties = st.one_of(
    st.builds(Shape, title=texts, portable=st.booleans()),
    st.builds(Sign, title=texts, text=texts), st.builds(Light, title=texts),
    st.builds(Group, title=texts), st.builds(Zone), st.builds(Model, asset=st.just("ab" * 32)),
)
owners = st.one_of(
    st.just(""), st.uuids().map(str), st.uuids().map(lambda one: f"guest:{one}")
)
props = st.builds(Prop, transforms, properties, st.one_of(st.just(b""), ids), owners,
                  st.booleans(), texts)


def as_stored(row: object) -> object:
    """A row as it comes back: rotation and scale were 32-bit floats in between."""
    assert isinstance(row, msgspec.Struct)

    def narrow(numbers: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(struct.unpack("f", struct.pack("f", one))[0] for one in numbers)

    return msgspec.structs.replace(
        row, rotation=narrow(row.rotation), scale=narrow(row.scale)  # type: ignore[attr-defined]
    )


@given(ids, props)
def test_what_is_stored_comes_back(prop_id: bytes, prop: Prop) -> None:
    row = row_of(prop_id, prop)
    assert row.id.bytes == prop_id
    assert prop_of(as_stored(row)) == prop  # type: ignore[arg-type]
    assert prop_of(row) == prop


@given(st.lists(st.tuples(ids, st.none() | props, st.none() | props), max_size=5,
                unique_by=lambda one: one[0]))
def test_history_holds_what_was_there_before_and_after(
    many: list[tuple[bytes, Prop | None, Prop | None]]
) -> None:
    changes = [Change(*one) for one in many]
    assert sorted(changes_of(*history_of(changes)), key=lambda c: c.prop_id) == sorted(
        changes, key=lambda c: c.prop_id
    )


@given(ids, st.none() | props, props)
def test_a_change_costs_no_more_than_was_said(
    prop_id: bytes, before: Prop | None, after: Prop
) -> None:
    """The room that the world takes for an edit is enough for what the journal then holds."""
    change = Change(prop_id, before, after)
    edit = EditRow(uuid.UUID(int=1), 1, "duplicate", None, None, *history_of([change]))
    assert row_of(prop_id, after).bytes + edit.bytes <= cost_bytes(change)


@pytest.mark.parametrize("kept", [
    b"", b"[]", b"{}", b'{"properties":{"kind":"none"}}', b'{"properties":{"kind":"shape","a":1}}',
    b"\xff", b"[" * 5_000,
])
def test_a_row_that_is_none_of_ours_says_so(kept: bytes) -> None:
    row = msgspec.structs.replace(row_of(bytes(16), Prop(Transform(), Shape())), props=kept)
    with pytest.raises(PropError, match="cannot be understood"):
        prop_of(row)
    with pytest.raises(PropError, match="history"):
        changes_of(kept, b"[]")


def test_only_accounts_are_accounts() -> None:
    one = uuid.uuid4()
    assert account_of(str(one)) == one
    assert account_of(f"guest:{one}") is None
    assert account_of("") is None
