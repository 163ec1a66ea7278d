"""Poses out of raw WebSocket bytes, as a matrix. PURE: arrays in, arrays out.

Theory of operation
-------------------
A pump pass leaves one *chunk* of bytes per socket in an arena. Nearly all of them are whole, masked
binary frames holding a pose in the fixed form of `atrium_shared.codec.encode_pose`. `decode_poses`
walks each chunk whose connection is *open* (at a frame boundary, no fragmented message pending,
nothing else owed) and takes every such frame; at the first byte that is anything else it stops, and
the rest of the chunk goes to that connection's `websockets.server.ServerProtocol`, which speaks all
of RFC 6455. So the fast path can only say yes to exact matches and never has to refuse.

`decode_poses_reference` is the same in plain Python: the oracle of the tests and the twin where
numba is not wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from atrium_server.jit import COPY_BYTES, kernel, kernel_inline, unmask_16
from atrium_shared import codec, messages, pose

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
Integer = int | np.int64
"""What a kernel computes with; outside of kernels it is always an int."""

_PAYLOAD_MAX = 512
"""Bytes; no pose is longer."""
_POSE_OP = messages.op_of(messages.Pose)
_HEAD = codec.POSE_HEAD_BYTES
_YAW_MASK = pose.YAW_STEPS - 1
_COLUMNS, _ROOT, _POINT = pose.COLUMNS, pose.ROOT_COLUMNS, pose.POINT_COLUMNS
_POINT_PART = np.array(pose.POINT_PART, np.uint8)
_BODY_LENGTH = np.array([pose.body_length(p) for p in range(pose.PARTS_ALL + 1)], np.int64)
_X, _Y, _Z, _YAW, _FLAGS = pose.X, pose.Y, pose.Z, pose.YAW, pose.FLAGS


class PoseBuffer:
    """Decoded poses in order of arrival; the first `count` rows are valid.

    `slots` are connection numbers. `extras` of a row are valid only for the parts among FINGERS,
    JOINTS and FACE that it has.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.count = 0
        self.clear = np.zeros(_PAYLOAD_MAX + COPY_BYTES, np.uint8)
        """The payload of the frame in hand, unmasked."""
        self.slots = np.zeros(capacity, np.int32)
        self.seqs = np.zeros(capacity, np.uint32)
        self.ack_ticks = np.zeros(capacity, np.uint32)
        self.parts = np.zeros(capacity, np.uint8)
        self.rows = np.zeros((capacity, pose.COLUMNS), np.int32)
        self.extras = np.zeros((capacity, pose.EXTRA_BYTES), np.uint8)

    @property
    def full(self) -> bool:
        return self.count == self.capacity


@kernel_inline
def _u32(raw: U8, at: Integer) -> np.uint32:
    return (
        np.uint32(raw[at]) << np.uint32(24) | np.uint32(raw[at + 1]) << np.uint32(16)
        | np.uint32(raw[at + 2]) << np.uint32(8) | np.uint32(raw[at + 3])
    )


@kernel_inline
def _i16(raw: U8, at: Integer) -> np.int32:
    return np.int32(np.int16(np.uint16(raw[at]) | np.uint16(raw[at + 1]) << np.uint16(8)))


@kernel_inline
def _i24(raw: U8, at: Integer) -> np.int32:
    low = np.int32(raw[at]) | np.int32(raw[at + 1]) << 8
    return np.int32(low | np.int32(np.int8(raw[at + 2])) << 16)


@kernel_inline
def _i32le(raw: U8, at: Integer) -> np.int32:
    return np.int32(
        np.uint32(raw[at]) | np.uint32(raw[at + 1]) << np.uint32(8)
        | np.uint32(raw[at + 2]) << np.uint32(16) | np.uint32(raw[at + 3]) << np.uint32(24)
    )


@kernel("void(uint8[::1], int64, int64, int32[::1], uint8[::1])")
def read_body(raw: U8, at: Integer, parts: Integer, row: I32, extra: U8) -> None:
    """Decode the body at `raw[at:]`, whose length has been checked, into one row."""
    row[_FLAGS] = raw[at + 1]
    row[_X] = _i24(raw, at + 2)
    row[_Y] = _i16(raw, at + 5)
    row[_Z] = _i24(raw, at + 7)
    row[_YAW] = _i16(raw, at + 10) & _YAW_MASK
    p = at + 12
    for point in range(6):
        column = _ROOT + _POINT * point
        if parts & _POINT_PART[point]:
            row[column] = _i16(raw, p)
            row[column + 1] = _i16(raw, p + 2)
            row[column + 2] = _i16(raw, p + 4)
            row[column + 3] = _i32le(raw, p + 6)
            p += 10
        else:
            for c in range(column, column + 4):
                row[c] = 0
    for part in range(3):
        if parts & pose.EXTRA_PART[part][0]:
            first, length = pose.EXTRA_PART[part][1], pose.EXTRA_PART[part][2]
            for byte in range(length):
                extra[first + byte] = raw[p + byte]
            p += length


@kernel_inline
def _pose_at(raw: U8, at: Integer, end: Integer) -> tuple[Integer, Integer, Integer]:
    """(frame length, header length, body length) of the pose frame at `at`; zeros if not one."""
    if end - at < 8 or raw[at] != 0x82 or raw[at + 1] < 0x80:
        return 0, 0, 0
    short = raw[at + 1] & 127
    head = 6
    payload = np.int64(short)
    if short == 126:
        head = 8
        payload = np.int64(raw[at + 2]) << 8 | np.int64(raw[at + 3])
        if payload < 126:
            return 0, 0, 0
    elif short == 127:
        return 0, 0, 0
    if payload < _HEAD + 2 + 12 or at + head + payload > end:
        return 0, 0, 0
    return head + payload, head, payload


@kernel_inline
def _check_pose(clear: U8, payload: Integer) -> Integer:
    """Where the body starts in the unmasked payload, or 0 if this is not a pose."""
    if clear[0] != 0x95 or clear[1] != _POSE_OP:
        return 0
    if clear[2] != 0xCE or clear[7] != 0xCE or clear[12] != 0xCE:
        return 0
    if clear[_HEAD] == 0xC4:
        start, length = _HEAD + 2, np.int64(clear[_HEAD + 1])
    elif clear[_HEAD] == 0xC5:
        start = _HEAD + 3
        length = np.int64(clear[_HEAD + 1]) << 8 | np.int64(clear[_HEAD + 2])
        if length < 256:
            return 0
    else:
        return 0
    if start + length != payload:
        return 0
    parts = clear[start]
    if parts > 63 or _BODY_LENGTH[parts] != length:
        return 0
    return start


@kernel(
    "int64(uint8[::1], int32[::1], int64[::1], int64[::1], int64, uint8[::1], int64[::1], int64,"
    " int32[::1], uint32[::1], uint32[::1], uint8[::1], int32[:, ::1], uint8[:, ::1],"
    " uint8[::1])"
)
def _decode(
    arena: U8, slots: I32, offsets: I64, lengths: I64, chunks: int, fast_open: U8, consumed: I64,
    count: int, out_slots: I32, seqs: U32, ack_ticks: U32, parts: U8, rows: I32, extras: U8,
    clear: U8,
) -> int:
    for k in range(chunks):
        consumed[k] = 0
        if lengths[k] <= 0 or fast_open[slots[k]] == 0:
            continue
        at = offsets[k]
        end = at + lengths[k]
        while count < seqs.shape[0]:
            frame, head, payload = _pose_at(arena, at, end)
            if frame == 0 or payload > _PAYLOAD_MAX:
                break
            key = at + head - 4
            for j in range(0, payload, 16):
                unmask_16(clear, j, arena, at + head + j, key)
            start = _check_pose(clear, payload)
            if start == 0:
                break
            out_slots[count] = slots[k]
            seqs[count] = _u32(clear, 3)
            ack_ticks[count] = _u32(clear, 13)
            parts[count] = clear[start]
            read_body(clear, start, np.int64(clear[start]), rows[count], extras[count])
            count += 1
            at += frame
        consumed[k] = at - offsets[k]
    return count


@dataclass(frozen=True, slots=True)
class Chunks:
    """What one pump pass received: chunk k is `arena[offsets[k] : offsets[k] + lengths[k]]`.

    Behind the last chunk the arena goes on for COPY_BYTES at least: kernels read that far.
    """

    arena: U8
    slots: I32
    offsets: I64
    lengths: I64
    """0: the peer has ended its stream. Negative: -errno."""
    count: int


def chunks_of(pieces: Sequence[tuple[int, int, bytes | memoryview]]) -> Chunks:
    """Chunks made of (number, length or end, bytes)."""
    lengths = np.array([length for _, length, _ in pieces], np.int64)
    taken = np.maximum(lengths, 0)
    joined = bytearray().join([*(data for _, _, data in pieces), bytes(COPY_BYTES)])
    return Chunks(
        np.frombuffer(joined, np.uint8), np.array([number for number, _, _ in pieces], np.int32),
        np.cumsum(taken) - taken, lengths, len(pieces),
    )


def decode_poses(chunks: Chunks, fast_open: U8, batch: PoseBuffer) -> I64:
    """Append the leading poses of each chunk to `batch`; returns how many bytes they took.

    `fast_open[slot]` says whether that connection may use the fast path. Frames beyond the room
    of `batch` are left in place.
    """
    consumed = np.zeros(max(chunks.count, 1), np.int64)
    batch.count = int(_decode(
        chunks.arena, chunks.slots, chunks.offsets, chunks.lengths, chunks.count, fast_open,
        consumed, batch.count, batch.slots, batch.seqs, batch.ack_ticks, batch.parts, batch.rows,
        batch.extras, batch.clear,
    ))
    return consumed


def append_body(batch: PoseBuffer, slot: int, message: messages.Pose) -> None:
    """Add a pose that came on the slow path to a batch that has room.

    Raises ValueError when the length of the body does not belong to its parts.
    """
    assert not batch.full
    raw = np.frombuffer(message.body, np.uint8)
    if raw[0] > pose.PARTS_ALL or len(raw) != _BODY_LENGTH[raw[0]]:
        raise ValueError("the length of a pose body does not belong to its parts")
    k = batch.count
    batch.slots[k], batch.seqs[k] = slot, message.seq
    batch.ack_ticks[k], batch.parts[k] = message.ack_tick, raw[0]
    read_body(raw.copy(), 0, int(raw[0]), batch.rows[k], batch.extras[k])
    batch.count += 1


def decode_poses_reference(chunks: Chunks, fast_open: U8, batch: PoseBuffer) -> I64:
    """`decode_poses`, written for reading: frame by frame through the codec."""
    consumed = np.zeros(max(chunks.count, 1), np.int64)
    for k in range(chunks.count):
        if chunks.lengths[k] <= 0 or not fast_open[chunks.slots[k]]:
            continue
        at, end = int(chunks.offsets[k]), int(chunks.offsets[k] + chunks.lengths[k])
        while batch.count < batch.capacity:
            data = bytes(chunks.arena[at:end])
            frame, message = _exact_pose(data)
            if message is None:
                break
            append_body(batch, int(chunks.slots[k]), message)
            at += frame
        consumed[k] = at - chunks.offsets[k]
    return consumed


def _exact_pose(data: bytes) -> tuple[int, messages.Pose | None]:
    """The pose frame that `data` starts with, if it has exactly the fixed form."""
    if len(data) < 8 or data[0] != 0x82 or data[1] < 0x80 or data[1] == 0xFF:
        return 0, None
    head = 8 if data[1] & 127 == 126 else 6
    length = int.from_bytes(data[2:4], "big") if head == 8 else data[1] & 127
    if (head == 8 and length < 126) or len(data) < head + length:
        return 0, None
    key = data[head - 4 : head]
    clear = bytes(b ^ key[i & 3] for i, b in enumerate(data[head : head + length]))
    try:
        message = codec.decode_client(clear)
    except codec.ProtocolError:
        return 0, None
    if not isinstance(message, messages.Pose) or codec.encode(message) != clear:
        return 0, None
    if message.body[0] > pose.PARTS_ALL or len(message.body) != _BODY_LENGTH[message.body[0]]:
        return 0, None
    return head + length, message
