"""Any bytes are a message or a ProtocolError; poses of one layout have one length."""

from __future__ import annotations

from collections.abc import Callable

import golden_cases as cases
import msgpack
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_shared import codec, messages, pose
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
