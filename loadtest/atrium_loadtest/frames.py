"""Pose frames as a matrix, and the few frames that are made or read one at a time. PURE.

Theory of operation
-------------------
All poses of a bot have one length (see `atrium_shared.codec`), so a group of bots is encoded
into a matrix of masked WebSocket frames by one kernel. The same kernel hashes each pose three
times (root; root and head; root, head and hands). A probe that decodes somebody's record hashes
it in the same way and looks the hash up among what that bot sent lately: the age of the pose is
then known without a byte added to the wire. The height is left out of the hash, because worlds
differ in its unit; flags are, because the server owns most of them.

`client_frame` and `server_frame` serve the rare cases: handshake, chat, pings, closing.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from atrium_loadtest.fleet import BODY_BYTES, FRAME_BYTES, HASHES, HISTORY, PARTS
from atrium_loadtest.jit import Integer, kernel
from atrium_shared import codec, messages, pose
from atrium_shared.errors import ErrorCode, ProtocolError

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA

_FIN_BINARY: Final = 0x82
_MASKED_LENGTH: Final = 0x80 | (FRAME_BYTES - 6)
_POSE_OP: Final = messages.op_of(messages.Pose)
_BIN_8: Final = 0xC4
_UINT_32: Final = 0xCE
_FIXARRAY_5: Final = 0x95
_HEAD_BYTES: Final = codec.POSE_HEAD_BYTES
_POINTS: Final = 3
"""Points of a bot: head, left hand, right hand."""
_X, _Y, _Z, _YAW, _FLAGS = pose.X, pose.Y, pose.Z, pose.YAW, pose.FLAGS
_ROOT, _POINT = pose.ROOT_COLUMNS, pose.POINT_COLUMNS
_YAW_MASK: Final = pose.YAW_STEPS - 1
_MIX_1, _MIX_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_HEAD, _HANDS = int(pose.Parts.HEAD), int(pose.Parts.HANDS)


@kernel()
def _mix(state: np.uint64, value: Integer) -> np.uint64:
    state = (state ^ np.uint64(np.uint32(value))) * _MIX_1
    state = (state ^ (state >> np.uint64(32))) * _MIX_2
    return state ^ (state >> np.uint64(29))


@kernel()
def hash_row(row: npt.NDArray[np.int32], hashes: npt.NDArray[np.uint64]) -> None:
    """Write the HASHES hashes of a row (shape (COLUMNS,) or longer) into `hashes`."""
    state = _mix(_mix(_mix(_MIX_1, row[_X]), row[_Z]), row[_YAW] & _YAW_MASK)
    hashes[0] = state
    for column in range(_ROOT, _ROOT + _POINT):
        state = _mix(state, row[column])
    hashes[1] = state
    for column in range(_ROOT + _POINT, _ROOT + _POINTS * _POINT):
        state = _mix(state, row[column])
    hashes[2] = state


@kernel()
def _put_u32(frame: npt.NDArray[np.uint8], at: Integer, value: Integer) -> Integer:
    """Big-endian and with its MessagePack type, as in the head of a message."""
    frame[at] = _UINT_32
    frame[at + 1] = (value >> 24) & 255
    frame[at + 2] = (value >> 16) & 255
    frame[at + 3] = (value >> 8) & 255
    frame[at + 4] = value & 255
    return at + 5


@kernel()
def _put_le(frame: npt.NDArray[np.uint8], at: Integer, value: Integer, length: int) -> Integer:
    for k in range(length):
        frame[at + k] = (value >> (8 * k)) & 255
    return at + length


@kernel()
def encode_frames(
    rows: npt.NDArray[np.int32],
    chosen: npt.NDArray[np.int32],
    bots: npt.NDArray[np.void],
    client_ms: int,
    keys: npt.NDArray[np.uint32],
    hashes: npt.NDArray[np.uint64],
    frames: npt.NDArray[np.uint8],
) -> None:
    """Masked pose frames of the bots in `chosen` from their `rows`, and the hashes of those.

    `rows` (len(chosen), COLUMNS), `keys` one masking key each, `hashes` as in `Fleet`,
    `frames` (len(chosen) or more, FRAME_BYTES). The sequence number is the bot's last one plus
    1: it becomes the last one only when the frame is sent (`kernels.send_frames`).
    """
    for k in range(len(chosen)):
        bot = chosen[k]
        row, frame = rows[k], frames[k]
        seq = np.int64(bots[bot]["seq"]) + 1
        hash_row(row, hashes[bot, seq % HISTORY])
        frame[0], frame[1] = _FIN_BINARY, _MASKED_LENGTH
        frame[6], frame[7] = _FIXARRAY_5, _POSE_OP
        at = _put_u32(frame, 8, seq)
        at = _put_u32(frame, at, client_ms)
        at = _put_u32(frame, at, np.int64(bots[bot]["ack_tick"]))
        frame[at], frame[at + 1] = _BIN_8, BODY_BYTES
        frame[at + 2], frame[at + 3] = PARTS, row[_FLAGS]
        at = _put_le(frame, at + 4, np.int64(row[_X]), 3)
        at = _put_le(frame, at, np.int64(row[_Y]), 2)
        at = _put_le(frame, at, np.int64(row[_Z]), 3)
        at = _put_le(frame, at, np.int64(row[_YAW] & _YAW_MASK), 2)
        for point in range(_POINTS):
            column = _ROOT + point * _POINT
            for axis in range(3):
                at = _put_le(frame, at, np.int64(row[column + axis]), 2)
            at = _put_le(frame, at, np.int64(row[column + 3]), 4)
        for byte in range(4):
            frame[2 + byte] = (keys[k] >> np.uint32(8 * byte)) & np.uint32(255)
        for byte in range(6, FRAME_BYTES):
            frame[byte] ^= frame[2 + ((byte - 6) & 3)]


@kernel()
def match_rows(
    rows: npt.NDArray[np.int32],
    parts: npt.NDArray[np.uint8],
    bots: npt.NDArray[np.int32],
    hashes: npt.NDArray[np.uint64],
    stamps: npt.NDArray[np.int64],
    sent_ns: npt.NDArray[np.int64],
) -> None:
    """Write into `sent_ns` when each decoded row was sent: 0 where no remembered pose equals it.

    `rows` (n, COLUMNS) carries `parts` (n,) and belongs to `bots` (n,), -1 for 'not one of
    ours'. Of several equal poses the newest counts, so an age is never overstated.
    """
    own = np.zeros(HASHES, np.uint64)
    for k in range(len(rows)):
        sent_ns[k] = 0
        carried = parts[k] & (_HEAD | _HANDS)
        if bots[k] < 0 or carried == _HANDS:
            continue
        level = 0
        if carried == _HEAD:
            level = 1
        elif carried == _HEAD | _HANDS:
            level = 2
        hash_row(rows[k], own)
        for slot in range(HISTORY):
            stamp = stamps[bots[k], slot]
            if stamp > sent_ns[k] and hashes[bots[k], slot, level] == own[level]:
                sent_ns[k] = stamp


def header_bytes(payload_bytes: int) -> int:
    """Length of the header of an unmasked frame with `payload_bytes` of payload."""
    if payload_bytes < 126:
        return 2
    return 4 if payload_bytes < 65_536 else 10


def client_frame(opcode: int, payload: bytes, key: bytes) -> bytes:
    """One whole masked frame. `key` has four bytes."""
    length = len(payload)
    if length < 126:
        head = bytes((0x80 | opcode, 0x80 | length))
    elif length < 65_536:
        head = bytes((0x80 | opcode, 0x80 | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + length.to_bytes(8, "big")
    stream = np.frombuffer((key * (length // 4 + 1))[:length], np.uint8)
    return head + key + (np.frombuffer(payload, np.uint8) ^ stream).tobytes()


def server_frame(buffer: bytes) -> tuple[int, bytes, bytes] | None:
    """Opcode, payload and rest of the first frame in `buffer`; None while it is not whole.

    Raises ProtocolError for a frame that a server of Atrium never sends.
    """
    if len(buffer) < 2:
        return None
    if buffer[0] & 0xF0 != 0x80 or buffer[1] & 0x80:
        raise ProtocolError(ErrorCode.MALFORMED, "the server sent a masked or fragmented frame")
    length, at = buffer[1], 2
    if length >= 126:
        at = 4 if length == 126 else 10
        length = int.from_bytes(buffer[2:at], "big")
    if len(buffer) < at or len(buffer) < at + length:
        return None
    return buffer[0] & 15, buffer[at : at + length], buffer[at + length :]
