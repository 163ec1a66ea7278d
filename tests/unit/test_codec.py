"""Any bytes are a message or a ProtocolError; poses of one layout have one length."""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Annotated, Any

import golden_cases as cases
import msgpack
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

from atrium_shared import codec, edits, messages, pose, props
from atrium_shared.errors import ErrorCode, ProtocolError
from atrium_shared.limits import MESSAGE_BYTES_MAX

REFUSALS = {ErrorCode.MALFORMED, ErrorCode.TOO_LARGE}
VALID = [codec.encode(m) for m in (*cases.client_messages().values(),
                                   *cases.server_messages().values())]

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=9)
    | st.binary(max_size=20),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=20,
)
shapes = st.tuples(st.integers(0, 130), st.lists(anything, max_size=10)).map(
    lambda pair: msgpack.packb([pair[0], *pair[1]])
)
damaged = st.tuples(st.sampled_from(VALID), st.integers(0, 999), st.integers(0, 255)).map(
    lambda d: d[0][: d[1] % len(d[0])] + bytes([d[2]]) + d[0][d[1] % len(d[0]) + 1 :]
)


def check(decode: Callable[[bytes], messages.Message], data: bytes) -> None:
    """The one invariant of the decoders."""
    try:
        message = decode(data)
    except ProtocolError as error:
        code = error.code
    else:
        assert isinstance(message, messages.Message)
        assert decode(codec.encode(message)) == message
        return
    assert code in REFUSALS


@given(st.binary(max_size=300) | shapes | damaged)
def test_any_bytes_are_a_client_message_or_refused(data: bytes) -> None:
    check(codec.decode_client, data)


@given(st.binary(max_size=300) | shapes | damaged)
def test_any_bytes_are_a_server_message_or_refused(data: bytes) -> None:
    check(codec.decode_server, data)


def test_size_is_checked_before_anything_else() -> None:
    with pytest.raises(ProtocolError) as caught:
        codec.decode_client(b"\xc1" * (MESSAGE_BYTES_MAX + 1))
    assert caught.value.code == ErrorCode.TOO_LARGE
    with pytest.raises(ProtocolError) as caught:
        codec.decode_client(b"\xc1" * MESSAGE_BYTES_MAX)
    assert caught.value.code == ErrorCode.MALFORMED


@pytest.mark.parametrize("parts", range(pose.PARTS_ALL + 1))
def test_poses_of_a_layout_have_one_length(parts: int) -> None:
    body = bytes([parts]) + bytes(pose.body_length(parts) - 1)
    lengths = {
        len(codec.encode_pose(seq, ms, ack, body))
        for seq, ms, ack in ((0, 0, 0), (2**32 - 1, 2**32 - 1, 2**32 - 1), (1, 70_000, 200))
    }
    assert lengths == {codec.POSE_HEAD_BYTES + len(body) + (2 if len(body) < 256 else 3)}


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_hand_packed_heads_are_msgpack(a: int, b: int, c: int) -> None:
    body = bytes(range(42))
    assert msgpack.unpackb(codec.encode_pose(a, b, c, body)) == [3, a, b, c, body]
    assert msgpack.unpackb(codec.encode_snapshot(a, b, c, body)) == [66, a, b, c, body]
    assert codec.decode_client(codec.encode_pose(a, b, c, body)) == messages.Pose(a, b, c, body)
    assert codec.decode_server(codec.encode_snapshot(a, b, c, body)) == messages.Snapshot(
        a, b, c, body
    )


def test_the_longest_pose_uses_the_wide_length() -> None:
    body = np.zeros(pose.BODY_BYTES_MAX, np.uint8).tobytes()
    data = codec.encode_pose(1, 2, 3, body)
    assert data[codec.POSE_HEAD_BYTES] == 0xC5
    assert codec.decode_client(data) == messages.Pose(1, 2, 3, body)


def test_the_table_names_every_message_once() -> None:
    lines = codec.canonical_table().splitlines()
    for kind in (*messages.CLIENT_MESSAGES, *messages.SERVER_MESSAGES):
        head = f"{messages.op_of(kind)} {kind.__name__}("
        assert sum(line.startswith(head) for line in lines) == 1
    assert len(codec.PROTOCOL_HASH) == 16


# --- the table behind the hash -----------------------------------------------------------


def line(of: object, *, tag: int = 1) -> list[str]:
    """The table of a message with one field of this type."""
    return codec.table_of([msgspec.defstruct(
        "Probe", [("it", of)], bases=(messages.Message,), tag=tag, frozen=True
    )])


def kind(name: str, *fields: Any, **settings: Any) -> type[msgspec.Struct]:
    """A structure to be nested in a message."""
    return msgspec.defstruct(name, fields, **settings)


class Two(enum.StrEnum):
    ONE = "one"
    TWO = "two"


class Renamed(enum.StrEnum):
    ONE = "one"
    TWO = "deux"


Renamed.__name__ = "Two"
Share = Annotated[float, Meta(ge=0.0, le=1.0)]
Wide = Annotated[float, Meta(ge=0.0, le=2.0)]
Word = Annotated[str, Meta(pattern="^a$")]
A, B = kind("A", ("x", int), tag="a"), kind("B", ("x", int), tag="b")
BASE = kind("S", ("x", Share), ("y", int, 1))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (tuple[float, float], tuple[float, float, float]),
        (tuple[float, float], tuple[float, ...]),
        (tuple[Share, Share], tuple[Share, Wide]),
        (tuple[int, ...], Annotated[tuple[int, ...], Meta(max_length=9)]),
        (Annotated[tuple[int, ...], Meta(min_length=1)], tuple[int, ...]),
        (Word, Annotated[str, Meta(pattern="^b$")]),
        (Annotated[bytes, Meta(max_length=16)], Annotated[bytes, Meta(max_length=17)]),
        (Two, Renamed),
        (A | B, A),
        (A | B, A | kind("B", ("x", int), tag="c")),
        (A | B, A | kind("B", ("x", str), tag="b")),
        (B, kind("B", ("x", int), tag="b", tag_field="form")),
        (BASE, kind("S", ("x", Share), ("y", int, 1), array_like=True)),
        (BASE, kind("S", ("x", Wide), ("y", int, 1))),
        (BASE, kind("S", ("x", Share), ("y", int, 2))),
        (BASE, kind("S", ("x", Share), ("y", int))),
        (BASE, kind("S", ("x", Share), ("z", int, 1))),
        (tuple[BASE, ...], tuple[kind("S", ("x", Wide), ("y", int, 1)), ...]),
        (kind("Outer", ("of", BASE)), kind("Outer", ("of", kind("S", ("x", int))))),
    ],
)
def test_whatever_is_changed_at_any_depth_changes_the_hash(one: object, other: object) -> None:
    assert line(one) == line(one)
    assert line(one) != line(other)


def test_the_table_has_everything_that_can_be_said() -> None:
    table = codec.canonical_table().splitlines()
    for name, bounds in (
        ("Create array 1", "prop_id: bytes min_length=16 max_length=16"),
        ("Redo array 9", ""),
        ("Attach array 6", "max_length=64, group"),
        ("Transform array None", "float ge=0.01 le=100.0"),
        ("PropState array None", "Model|Shape|Sign|Light|Seat|Portal|Spawn|Zone|NpcPost|Group"),
        ("PropMove array None", "transform: Transform"),
        ("Flight array None", "float ge=-50.0 le=50.0"),
        ("Shape map kind shape", 'form: ShapeForm<BOX=box,SPHERE=sphere,CYLINDER=cylinder'),
        ("Shape map kind shape", 'colour: str max_length=7 pattern=^#[0-9a-f]{6}$ = "#cccccc"'),
        ("Zone map kind zone", "ZoneMeaning<STAGE=stage"),
    ):
        (found,) = (row for row in table if row.startswith(f"- {name}("))
        assert bounds in found
    nested = codec.nested_of((*messages.CLIENT_MESSAGES, *messages.SERVER_MESSAGES))
    assert {*edits.EDITS, *props.KINDS, props.Transform} < set(nested)
    assert {edits.PropState, edits.PropMove, edits.Flight} < set(nested)
    assert len({row.partition("(")[0] for row in table}) == len(table)
