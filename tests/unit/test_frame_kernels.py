"""The compiled pose decoder against its plain reference, on all layouts and on damaged frames."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.net.frame_kernels import (
    Chunks,
    PoseBuffer,
    append_body,
    chunks_of,
    decode_poses,
    decode_poses_reference,
)
from atrium_shared import codec, messages, pose

CONNECTIONS = 8


def masked(payload: bytes, key: bytes, first: int = 0x82, form: int = 0) -> bytes:
    """A client's frame; `form` 126 or 127 asks for a longer length than needed."""
    length = len(payload)
    if form == 127 or length >= 65_536:
        head = struct.pack(">BBQ", first, 0x80 | 127, length)
    elif form == 126 or length >= 126:
        head = struct.pack(">BBH", first, 0x80 | 126, length)
    else:
        head = struct.pack(">BB", first, 0x80 | length)
    return head + key + bytes(b ^ key[i & 3] for i, b in enumerate(payload))


u32 = st.integers(0, 2**32 - 1)
keys = st.binary(min_size=4, max_size=4)
all_parts = st.integers(0, pose.PARTS_ALL)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    parts = draw(all_parts)
    length = pose.body_length(parts)
    seed = draw(st.integers(0, 2**32))
    return bytes([parts]) + np.random.default_rng(seed).bytes(length - 1)


@st.composite
def pose_frames(draw: st.DrawFn) -> bytes:
    payload = codec.encode_pose(draw(u32), draw(u32), draw(u32), draw(bodies()))
    return masked(payload, draw(keys))


@st.composite
def nearly_poses(draw: st.DrawFn) -> bytes:
    """Frames that are legal or nearly so, and not exactly a pose."""
    body = draw(bodies())
    payload = codec.encode_pose(draw(u32), draw(u32), draw(u32), body)
    key = draw(keys)
    which = draw(st.integers(0, 6))
    if which == 0:
        return masked(payload, key, form=127)
    if which == 1:
        return masked(payload, key, form=126)
    if which == 2:
        return masked(payload, key, first=draw(st.sampled_from([0x02, 0x80, 0x81, 0x89, 0xC2])))
    if which == 3:
        return masked(messages.msgspec.msgpack.encode([3, 1, 2, 3, body]), key)
    if which == 4:
        return masked(codec.encode(messages.Ack(draw(u32))), key)
    if which == 5:  # a body in bin 16 although bin 8 would do
        head = payload[: codec.POSE_HEAD_BYTES]
        return masked(head + struct.pack(">BH", 0xC5, len(body)) + body, key)
    damaged = bytearray(masked(payload, key))
    damaged[draw(st.integers(0, len(damaged) - 1))] ^= draw(st.integers(1, 255))
    return bytes(damaged)


chunk_bytes = st.lists(
    st.one_of(pose_frames(), pose_frames(), nearly_poses(), st.binary(max_size=30)), max_size=5
).flatmap(
    lambda frames: st.integers(0, len(b"".join(frames))).map(
        lambda cut: b"".join(frames) if cut % 3 else b"".join(frames)[:cut]
    )
)
pieces_of_a_pass = st.lists(
    st.tuples(st.integers(0, CONNECTIONS - 1), st.one_of(chunk_bytes, st.just(None))), max_size=6
)


def chunks_from(pieces: list[tuple[int, bytes | None]]) -> Chunks:
    return chunks_of([
        (number, -104 if data is None else len(data), data or b"") for number, data in pieces
    ])


def state_of(batch: PoseBuffer) -> list[object]:
    n = batch.count
    rows: list[object] = [
        column[:n].tolist()
        for column in (batch.slots, batch.seqs, batch.ack_ticks, batch.parts)
    ]
    rows.append(batch.rows[:n].tolist())
    for k in range(n):  # extras are only valid where the parts say so
        parts = int(batch.parts[k])
        fingers, joints = pose.FINGER_BYTES, pose.FINGER_BYTES + pose.JOINT_BYTES
        extras = batch.extras[k].tolist()
        rows.append((
            extras[:fingers] if parts & pose.Parts.FINGERS else None,
            extras[fingers:joints] if parts & pose.Parts.JOINTS else None,
            extras[joints:] if parts & pose.Parts.FACE else None,
        ))
    return rows


@given(pieces_of_a_pass, st.integers(0, 255), st.integers(1, 12))
def test_the_kernel_agrees_with_the_reference(
    pieces: list[tuple[int, bytes | None]], open_bits: int, capacity: int
) -> None:
    chunks = chunks_from(pieces)
    fast_open = np.array([open_bits >> k & 1 for k in range(CONNECTIONS)], np.uint8)
    one, other = PoseBuffer(capacity), PoseBuffer(capacity)
    consumed = decode_poses(chunks, fast_open, one)
    expected = decode_poses_reference(chunks, fast_open, other)
    assert consumed.tolist() == expected.tolist()
    assert state_of(one) == state_of(other)
    for k, (number, data) in enumerate(pieces):
        assert 0 <= consumed[k] <= len(data or b"")
        assert not consumed[k] or fast_open[number]


@pytest.mark.parametrize("parts", range(pose.PARTS_ALL + 1))
def test_every_layout_is_decoded_as_the_codec_decodes_it(parts: int) -> None:
    """All 64 layouts, among them those whose frames need the 16-bit length and bin 16."""
    rng = np.random.default_rng(parts)
    body = bytes([parts]) + rng.bytes(pose.body_length(parts) - 1)
    data = masked(codec.encode_pose(2**32 - 1, 5, 2**31, body), b"\x01\x80\xff\x7e")
    batch = PoseBuffer(1)
    chunks = chunks_from([(3, data)])
    assert decode_poses(chunks, np.ones(CONNECTIONS, np.uint8), batch)[0] == len(data)
    rows, extras = pose.decode_bodies(np.frombuffer(body, np.uint8)[None, :])
    assert (batch.count, batch.slots[0], batch.seqs[0]) == (1, 3, 2**32 - 1)
    assert (batch.ack_ticks[0], batch.parts[0]) == (2**31, parts)
    assert batch.rows[0].tolist() == rows[0].tolist()
    other = PoseBuffer(1)
    append_body(other, 3, messages.Pose(2**32 - 1, 5, 2**31, body))
    other.extras[0] = extras[0]
    assert state_of(batch) == state_of(other)


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_frame_that_is_not_whole_stays(cut: int) -> None:
    body = bytes([3]) + bytes(pose.body_length(3) - 1)
    whole = masked(codec.encode_pose(1, 2, 3, body), b"abcd")
    batch = PoseBuffer(8)
    consumed = decode_poses(chunks_from([(0, whole + whole[:cut])]), np.ones(8, np.uint8), batch)
    assert (consumed[0], batch.count) == (len(whole), 1)


def test_what_has_no_room_stays_and_is_taken_next_time() -> None:
    body = bytes(pose.body_length(0))
    frames = [masked(codec.encode_pose(k, 0, 0, body), b"abcd") for k in range(5)]
    chunks = chunks_from([(0, b"".join(frames))])
    batch = PoseBuffer(3)
    consumed = decode_poses(chunks, np.ones(8, np.uint8), batch)
    assert batch.full
    assert consumed[0] == 3 * len(frames[0])
    batch.count = 0
    rest = Chunks(
        chunks.arena, chunks.slots, chunks.offsets + consumed, chunks.lengths - consumed, 1
    )
    assert decode_poses(rest, np.ones(8, np.uint8), batch)[0] == 2 * len(frames[0])
    assert batch.seqs[:2].tolist() == [3, 4]


@given(bodies(), u32, u32, u32)
def test_the_slow_path_gives_the_same_row(body: bytes, seq: int, ms: int, tick: int) -> None:
    fast, slow = PoseBuffer(1), PoseBuffer(1)
    chunks = chunks_from([(2, masked(codec.encode_pose(seq, ms, tick, body), b"wxyz"))])
    decode_poses(chunks, np.ones(8, np.uint8), fast)
    append_body(slow, 2, messages.Pose(seq, ms, tick, body))
    assert state_of(fast) == state_of(slow)


@given(st.binary(min_size=12, max_size=512))
def test_a_body_of_the_wrong_length_is_refused(body: bytes) -> None:
    batch = PoseBuffer(1)
    fits = body[0] <= pose.PARTS_ALL and len(body) == pose.body_length(body[0])
    if fits:
        append_body(batch, 0, messages.Pose(0, 0, 0, body))
        assert batch.count == 1
    else:
        with pytest.raises(ValueError, match="does not belong"):
            append_body(batch, 0, messages.Pose(0, 0, 0, body))
        assert batch.count == 0
