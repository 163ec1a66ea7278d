"""Quantised poses: the same integers up the wire, inside the tables, and down the wire.

Theory of operation
-------------------
A pose is a *root* (where the person stands and which way the person faces) and up to six tracked
*points* given relative to the root and in its frame. Everything is an integer from the moment a
client encodes it: the server checks and forwards the tracked points without ever turning them
into floats, and NaN, infinity and zero quaternions cannot be said at all.

Axes are those of OpenXR and glTF: right-handed, +Y up, -Z forward, metres. A positive yaw turns
counter-clockwise seen from above (about +Y); yaw 0 looks along -Z.

===========  ======================  =========================================
quantity     wire form               unit
===========  ======================  =========================================
root x, z    signed 24 bit           1 mm
root y       signed 16 bit           1 mm (2 mm in worlds taller than 65 m)
yaw          unsigned 16 bit         1/4096 turn (0.088 degrees), modulo 4096
point x,y,z  signed 16 bit           1 mm, in the root's frame
rotation     unsigned 32 bit         smallest three, 10 bits each (below)
===========  ======================  =========================================

Why a yaw of 4096 steps and not 65536: a one-byte delta then covers 11 degrees per tick, so that
a person who turns stays in the small record; the error is 0.044 degrees.

A *row* holds one pose as int32 columns (`ROOT_COLUMNS` then 4 for each point). Rows of all
entities form a matrix: this is what the tables, the ring of recent ticks and the decoders share.

Rotations: the component of largest magnitude is dropped (2-bit index in the top bits; the
quaternion is negated when that component is negative) and the three others, in x,y,z,w order, take
10 bits each from the lowest bits up: code 511 is 0 and one step is 1/(511*sqrt 2). The encoder
tries the 8 neighbouring codes and keeps the best one, which brings the worst error from 0.27 to
0.16 degrees; a decoder need not know.
"""

from __future__ import annotations

import enum
from typing import Final

import numpy as np
import numpy.typing as npt

IntRows = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]


class Parts(enum.IntFlag):
    """Which parts a pose or a record carries; their bytes follow in this order."""

    HEAD = 1
    HANDS = 2
    BODY = 4
    """Hips, left foot, right foot."""
    FINGERS = 8
    """Curl of five fingers of each hand, thumb first, left hand first: 10 bytes, 255 = closed."""
    JOINTS = 16
    """25 joint rotations of each hand in the order of WebXR: 50 rotations of 4 bytes."""
    FACE = 32
    """52 blend shape weights in the order of ARKit's list: 52 bytes."""


class Flags(enum.IntFlag):
    """State bits in every pose and full record."""

    DISCONTINUITY = 1
    """Server only: toggles at each jump, so that nobody interpolates across it."""
    SNAP = 2
    """A client toggles it when it turns by a step; the server then toggles DISCONTINUITY."""
    SPEAKING = 4
    """Of a client that has switched voice to TALK; of others it is taken as 0."""
    TYPING = 8
    LINK_LOST = 16
    """Server only: this person's connection is gone and the seat is being kept."""
    SEATED = 32
    """Server only."""
    HAND_TRACKING = 64
    EPOCH = 128
    """The client's, in poses only: 0 after the first Welcome of a connection, toggled by each
    further one (a `Travel`). Poses of another epoch were sent from another world and are ignored.
    """


FLAGS_OF_CLIENT: Final = int(
    Flags.SNAP | Flags.SPEAKING | Flags.TYPING | Flags.HAND_TRACKING
)
"""The bits that a client may set; all others are the server's."""

PARTS_ALL: Final = 63
YAW_STEPS: Final = 4096
ROOT_BYTES: Final = 10
POINT_BYTES: Final = 10
FINGER_BYTES: Final = 10
JOINT_BYTES: Final = 200
FACE_BYTES: Final = 52
EXTRA_BYTES: Final = FINGER_BYTES + JOINT_BYTES + FACE_BYTES
"""Parts that are carried as they are, never as deltas."""
POINTS_MAX: Final = 6

X, Y, Z, YAW, FLAGS = 0, 1, 2, 3, 4
ROOT_COLUMNS: Final = 5
POINT_COLUMNS: Final = 4
COLUMNS: Final = ROOT_COLUMNS + POINTS_MAX * POINT_COLUMNS
"""Columns of a row: x, y, z, yaw, flags, then x, y, z, rotation of each of six points."""

POINT_PART: Final = (1, 2, 2, 4, 4, 4)
"""The part that each of the six points belongs to: head, hands, hips and feet."""
EXTRA_PART: Final = ((8, 0, FINGER_BYTES), (16, FINGER_BYTES, JOINT_BYTES),
                     (32, FINGER_BYTES + JOINT_BYTES, FACE_BYTES))
"""(part, offset in the extra bytes, length) of the parts without columns."""

_ROTATION_SCALE: Final = 1.0 / (511.0 * np.sqrt(2.0))
_OTHERS: Final = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
_CORNERS: Final = np.array([[(c >> k) & 1 for k in range(3)] for c in range(8)], np.int64)


def body_length(parts: int) -> int:
    """Bytes of a pose body that carries `parts`: parts, flags, root, points, extra bytes."""
    points = sum(1 for part in POINT_PART if parts & part)
    extra = sum(length for part, _, length in EXTRA_PART if parts & part)
    return 2 + ROOT_BYTES + POINT_BYTES * points + extra


BODY_BYTES_MAX: Final = body_length(PARTS_ALL)


def encode_rotations(quaternions: Floats) -> npt.NDArray[np.uint32]:
    """Smallest-three codes of `quaternions`, shape (n, 4) in x,y,z,w; need not be normalised.

    Raises ValueError when one is not finite or is (nearly) zero.
    """
    q = np.asarray(quaternions, np.float64).reshape(-1, 4)
    norm = np.linalg.norm(q, axis=1, keepdims=True)
    if not (np.isfinite(norm).all() and (norm > 1e-6).all()):
        raise ValueError("a rotation must be a finite quaternion that is not zero")
    q = q / norm
    largest = np.argmax(np.abs(q), axis=1)
    at = np.arange(len(q))
    q = q * np.where(q[at, largest] < 0, -1.0, 1.0)[:, None]
    others = np.take_along_axis(q, _OTHERS[largest], axis=1)
    low = np.floor(others / _ROTATION_SCALE).astype(np.int64) + 511
    codes = np.clip(low[:, None, :] + _CORNERS[None, :, :], 0, 1022)
    tried = _combine(np.repeat(largest, 8), codes.reshape(-1, 3)).reshape(-1, 8)
    back = decode_rotations(tried.reshape(-1)).reshape(-1, 8, 4)
    best = np.argmax(np.abs(np.einsum("nkc,nc->nk", back, q)), axis=1)
    return tried[at, best]


def _combine(
    largest: npt.NDArray[np.int64], codes: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint32]:
    packed = codes[:, 0] | (codes[:, 1] << 10) | (codes[:, 2] << 20) | (largest << 30)
    return packed.astype(np.uint32)


def decode_rotations(codes: npt.NDArray[np.uint32]) -> Floats:
    """Unit quaternions, shape (n, 4) in x,y,z,w, of `codes`. Every 32-bit value has a meaning."""
    wide = np.asarray(codes, np.uint32).astype(np.int64).reshape(-1)
    largest = wide >> 30
    others = np.stack([(wide >> shift) & 1023 for shift in (0, 10, 20)], axis=1)
    small = (others - 511) * _ROTATION_SCALE
    q = np.zeros((len(wide), 4))
    np.put_along_axis(q, _OTHERS[largest], small, axis=1)
    q[np.arange(len(wide)), largest] = np.sqrt(np.maximum(0.0, 1.0 - (small**2).sum(axis=1)))
    return q / np.linalg.norm(q, axis=1, keepdims=True)


def quantise_yaw(yaw_rad: float) -> int:
    """Steps of 1/4096 turn, 0..4095. Raises ValueError when `yaw_rad` is not finite."""
    if not np.isfinite(yaw_rad):
        raise ValueError("a yaw must be a finite number")
    return round(yaw_rad / (2 * np.pi) * YAW_STEPS) % YAW_STEPS


def yaw_of(steps: int) -> float:
    """Radians of `steps`, in 0..2 pi."""
    return (int(steps) % YAW_STEPS) * (2 * np.pi / YAW_STEPS)


def _i24(values: IntRows) -> Bytes:
    return np.ascontiguousarray(values.astype("<i4")).view(np.uint8).reshape(-1, 4)[:, :3]


def _from_i24(raw: Bytes) -> IntRows:
    wide = np.zeros((len(raw), 4), np.uint8)
    wide[:, 1:] = raw
    return (wide.view("<i4").reshape(-1) >> 8).astype(np.int32)


def _le(values: IntRows, kind: str) -> Bytes:
    return np.ascontiguousarray(values.astype(kind)).view(np.uint8).reshape(len(values), -1)


def encode_bodies(rows: IntRows, extras: Bytes, parts: int) -> Bytes:
    """Pose bodies, shape (n, body_length(parts)), of int32 `rows` (n, COLUMNS).

    `extras` is (n, EXTRA_BYTES). Raises ValueError when a value does not fit its wire form.
    """
    rows = np.asarray(rows, np.int32).reshape(-1, COLUMNS)
    _check_ranges(rows)
    head = np.zeros((len(rows), 2), np.uint8)
    head[:, 0] = parts
    head[:, 1] = rows[:, FLAGS]
    return np.concatenate([head, encode_root_and_points(rows, extras, parts)], axis=1)


def encode_root_and_points(rows: IntRows, extras: Bytes, parts: int) -> Bytes:
    """What follows parts and flags in a body, and flags in a full record."""
    columns = [_i24(rows[:, X]), _le(rows[:, Y], "<i2"), _i24(rows[:, Z]),
               _le(rows[:, YAW] % YAW_STEPS, "<u2")]
    for point, part in enumerate(POINT_PART):
        if parts & part:
            at = ROOT_COLUMNS + POINT_COLUMNS * point
            columns += [_le(rows[:, at + axis], "<i2") for axis in range(3)]
            columns.append(_le(rows[:, at + 3], "<i4"))
    for part, offset, length in EXTRA_PART:
        if parts & part:
            columns.append(np.asarray(extras, np.uint8)[:, offset : offset + length])
    return np.concatenate(columns, axis=1)


def _check_ranges(rows: IntRows) -> None:
    points = rows[:, ROOT_COLUMNS:].reshape(len(rows), POINTS_MAX, POINT_COLUMNS)[:, :, :3]
    bounds = ((rows[:, [X, Z]], 2**23), (rows[:, [Y]], 2**15), (points, 2**15))
    for values, limit in bounds:
        if ((values < -limit) | (values >= limit)).any():
            raise ValueError("a position is outside of what the wire can say")


def decode_root_and_points(raw: Bytes, parts: int) -> tuple[IntRows, Bytes]:
    """Inverse of `encode_root_and_points`: rows (FLAGS left 0) and extras, zeros where absent."""
    n = len(raw)
    rows, extras = np.zeros((n, COLUMNS), np.int32), np.zeros((n, EXTRA_BYTES), np.uint8)
    raw = np.ascontiguousarray(raw, np.uint8)
    rows[:, X], rows[:, Z] = _from_i24(raw[:, 0:3]), _from_i24(raw[:, 5:8])
    rows[:, Y] = _column(raw, 3, "<i2")
    rows[:, YAW] = _column(raw, 8, "<u2") % YAW_STEPS
    p = ROOT_BYTES
    for point, part in enumerate(POINT_PART):
        if parts & part:
            at = ROOT_COLUMNS + POINT_COLUMNS * point
            for axis in range(3):
                rows[:, at + axis] = _column(raw, p + 2 * axis, "<i2")
            rows[:, at + 3] = _column(raw, p + 6, "<i4")
            p += POINT_BYTES
    for part, offset, length in EXTRA_PART:
        if parts & part:
            extras[:, offset : offset + length] = raw[:, p : p + length]
            p += length
    return rows, extras


def _column(raw: Bytes, at: int, kind: str) -> IntRows:
    width = np.dtype(kind).itemsize
    column = np.ascontiguousarray(raw[:, at : at + width]).view(kind).reshape(-1)
    return column.astype(np.int32)


def decode_bodies(raw: Bytes) -> tuple[IntRows, Bytes]:
    """Rows and extras of bodies of one layout, shape (n, body_length(parts)).

    Raises ValueError when the length does not belong to the parts named in the first byte.
    """
    raw = np.ascontiguousarray(raw, np.uint8)
    if raw.ndim != 2 or raw.shape[1] < 2 or not len(raw):
        raise ValueError("a pose body has at least its parts, flags and root")
    parts = int(raw[0, 0])
    if parts > PARTS_ALL or raw.shape[1] != body_length(parts) or (raw[:, 0] != parts).any():
        raise ValueError("the length of a pose body does not belong to its parts")
    rows, extras = decode_root_and_points(raw[:, 2:], parts)
    rows[:, FLAGS] = raw[:, 1]
    return rows, extras
