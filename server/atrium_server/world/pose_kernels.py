"""Compiled handling of pose rows apart from the root's way: sequence, flags, reach, copies.

Theory of operation
-------------------
A batch is applied in three passes over the same arrays. `admit` decides which rows are newer than
what their slot has; `atrium_server.world.kernels.move_roots` moves the roots of those; and
`take_points` takes everything else of them. Rows of one slot keep their order of arrival in each
pass, so the newest one is what remains.

Tracked points stay integers from the wire to the wire. A point out of reach goes to the nearest
allowed one by a scale factor, each component cut toward the body's axis: the result is within
reach exactly, and the same on every machine (IEEE square root and division are exact to the bit).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from atrium_server.jit import kernel
from atrium_server.world.kernels import TOLERANCE_MM, Bools, Ints, Shorts
from atrium_shared import pose
from atrium_shared.messages import MoveReason

HEAD_MM_MIN: Final = 200
HEAD_MM_MAX: Final = 2600
"""Heights of a head above the root; the axis that reach is measured from ends there too."""
_SEQ_SPAN: Final = 2**32

_OF_CLIENT: Final = pose.FLAGS_OF_CLIENT
_SNAP: Final = int(pose.Flags.SNAP)
_DISCONTINUITY: Final = int(pose.Flags.DISCONTINUITY)
_EXTRA_PARTS: Final = int(pose.Parts.FINGERS | pose.Parts.JOINTS | pose.Parts.FACE)
_REACH_BROKEN: Final = int(MoveReason.REACH)

Seqs = npt.NDArray[np.uint32]


@kernel("void(uint32[::1], boolean[::1], int32[::1], uint32[::1], boolean[::1])")
def admit(seq: Seqs, has_seq: Bools, slots: Ints, seqs: Seqs, taken: Bools) -> None:
    """Set `taken` where a row is newer than its slot's `seq`, and remember the newest.

    Newer means less than half of the number circle ahead, so 0 follows 4,294,967,295.
    """
    for k in range(slots.shape[0]):
        slot = slots[k]
        ahead = (np.int64(seqs[k]) - np.int64(seq[slot])) % _SEQ_SPAN
        taken[k] = not has_seq[slot] or 0 < ahead < _SEQ_SPAN // 2
        if taken[k]:
            seq[slot] = seqs[k]
            has_seq[slot] = True


@kernel("boolean(int32[::1], int64, boolean, float64)")
def _clamp_point(row: Ints, at: int, is_head: bool, reach: float) -> bool:
    """Bring the point at column `at` within reach; whether it was further out than rounding."""
    x, y, z = int(row[at]), int(row[at + 1]), int(row[at + 2])
    axis_y = min(max(y, HEAD_MM_MIN if is_head else 0), HEAD_MM_MAX)
    above = 0 if is_head else y - axis_y
    length = math.sqrt(float(x * x + above * above + z * z))
    if length > reach:
        row[at] = int(x * reach / length)
        row[at + 2] = int(z * reach / length)
        above = int(above * reach / length)
    row[at + 1] = axis_y + above
    off = max(abs(x - row[at]), abs(y - row[at + 1]), abs(z - row[at + 2]))
    return off > TOLERANCE_MM


@kernel("int64(int32[::1], int32[::1], int64, float64)")
def _take_row(row: Ints, wanted: Ints, parts: int, reach: float) -> int:
    """Take yaw and points of `wanted` into `row`; returns REACH when a point was out of it."""
    row[pose.YAW] = wanted[pose.YAW] % pose.YAW_STEPS
    reasons = 0
    for point in range(pose.POINTS_MAX):
        at = pose.ROOT_COLUMNS + pose.POINT_COLUMNS * point
        has_point = parts & pose.POINT_PART[point] != 0
        for column in range(at, at + pose.POINT_COLUMNS):
            row[column] = wanted[column] if has_point else 0
        if has_point and _clamp_point(row, at, point == 0, reach):
            reasons = _REACH_BROKEN
    return reasons


@kernel("void(int32[:, ::1], uint8[:, ::1], uint8[::1], boolean[::1], int32[::1], int32[:, ::1],"
        " uint8[:, ::1], uint8[::1], boolean[::1], uint16[::1], float64)")
def take_points(
    rows: Ints, extras: pose.Bytes, parts: pose.Bytes, has_jumped: Bools,
    slots: Ints, wanted: Ints, wanted_extras: pose.Bytes, wanted_parts: pose.Bytes,
    taken: Bools, reasons: Shorts, reach: float,
) -> None:
    """Take flags, yaw, points, parts and extra bytes of the `taken` rows; adds to `reasons`.

    Extra bytes of parts that a row has not keep what they were: nobody is shown them.
    A change of SNAP toggles DISCONTINUITY, once in a tick: a second toggle would hide the first.
    """
    for k in range(slots.shape[0]):
        if not taken[k]:
            continue
        slot = slots[k]
        old, flags = rows[slot, pose.FLAGS], wanted[k, pose.FLAGS]
        if (old ^ flags) & _SNAP != 0 and not has_jumped[slot]:
            old ^= _DISCONTINUITY
            has_jumped[slot] = True
        rows[slot, pose.FLAGS] = (old & ~_OF_CLIENT) | (flags & _OF_CLIENT)
        has_parts = int(wanted_parts[k]) & pose.PARTS_ALL
        parts[slot] = has_parts
        reasons[k] |= _take_row(rows[slot], wanted[k], has_parts, reach)
        if has_parts & _EXTRA_PARTS:
            for part in range(3):
                if has_parts & pose.EXTRA_PART[part][0]:
                    first = pose.EXTRA_PART[part][1]
                    for byte in range(first, first + pose.EXTRA_PART[part][2]):
                        extras[slot, byte] = wanted_extras[k, byte]
