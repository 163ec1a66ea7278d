"""Records of entities: one full and one delta per age, made once per tick. PURE.

Only what changed is encoded: a full record stays right until its entity changes, and a delta can
only be wanted of an entity that changed within the oldest age. All records of an entity lie
together, each complete and in the byte order of the wire, so that for nearly every viewer a record
is one copy.
The forms are those of `atrium_shared.snapshot`.
"""

# Kernels are compiled for the types they are called with; pyright would want annotations that
# numba does not read.
# pyright: reportMissingParameterType=false, reportUnknownParameterType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedFunctionDecorator=false

from __future__ import annotations

import numba as nb
import numpy as np

from atrium_server.jit import kernel
from atrium_server.replication.state import (
    AGES,
    CHANGE_BEFORE,
    DELTA_AT,
    DELTA_BYTES,
    FIT,
    LAST_CHANGE,
    PARTS,
    RECORD_STRIDE,
    RING,
    WIDE_BYTES,
)
from atrium_shared import pose
from atrium_shared.snapshot import Form

_X, _Y, _Z, _YAW, _FLAGS = pose.X, pose.Y, pose.Z, pose.YAW, pose.FLAGS
_COLUMNS, _ROOT, _POINT = pose.COLUMNS, pose.ROOT_COLUMNS, pose.POINT_COLUMNS
_HALF_TURN, _TURN = pose.YAW_STEPS // 2, pose.YAW_STEPS
_POINT_PART = np.array(pose.POINT_PART, np.uint8)
_AGES = np.array(AGES, np.int64)
_OLDEST = max(AGES)
_DELTA, _WIDE = int(Form.DELTA), int(Form.WIDE)


@nb.njit(inline="always")
def _put16(out, at, value):
    out[at] = value & 255
    out[at + 1] = (value >> 8) & 255


@nb.njit(inline="always")
def _encode_full(ring, now, e, out, at):
    out[at] = ring[now, e, _FLAGS]
    _put16(out, at + 1, ring[now, e, _X])
    out[at + 3] = (ring[now, e, _X] >> 16) & 255
    _put16(out, at + 4, ring[now, e, _Y])
    _put16(out, at + 6, ring[now, e, _Z])
    out[at + 8] = (ring[now, e, _Z] >> 16) & 255
    _put16(out, at + 9, ring[now, e, _YAW])
    for point in range(6):
        c = _ROOT + _POINT * point
        p = at + 11 + 10 * point
        for axis in range(3):
            _put16(out, p + 2 * axis, ring[now, e, c + axis])
        _put16(out, p + 6, ring[now, e, c + 3])
        _put16(out, p + 8, ring[now, e, c + 3] >> 16)


@nb.njit(inline="always")
def _encode_root(ring, now, then, e, out, at):
    """Write the root's steps at `at` as bytes and after that delta as words; returns the form."""
    widest = 0
    for c in range(4):
        step = ring[now, e, c] - ring[then, e, c]
        if c == _YAW:
            step = (step + _HALF_TURN) % _TURN - _HALF_TURN
        out[at + c] = step & 255
        _put16(out, at + DELTA_BYTES + 2 * c, step)
        magnitude = step if step >= 0 else -step - 1
        widest = max(widest, magnitude)
    if ring[now, e, _FLAGS] != ring[then, e, _FLAGS] or widest >= 32768:
        return 0
    return _DELTA if widest < 128 else _WIDE


@nb.njit(inline="always")
def _encode_points(ring, now, then, e, out, at):
    """Write the points' steps into the delta at `at` and the wide form after it.

    Returns the parts whose points fit.
    """
    fit = 63
    for point in range(6):
        c = _ROOT + _POINT * point
        narrow, wide = at + 4 + 6 * point, at + DELTA_BYTES + 8 + 6 * point
        code, held = np.uint32(ring[now, e, c + 3]), np.uint32(ring[then, e, c + 3])
        fits = (code >> np.uint32(30)) == (held >> np.uint32(30))
        for k in range(6):
            if k < 3:
                step = ring[now, e, c + k] - ring[then, e, c + k]
            else:
                shift = np.uint32(10 * (k - 3))
                step = np.int32((code >> shift) & np.uint32(1023)) - np.int32(
                    (held >> shift) & np.uint32(1023)
                )
            fits = fits and -128 <= step <= 127
            out[narrow + k] = step & 255
            out[wide + k] = step & 255
        if not fits:
            fit &= ~np.int64(_POINT_PART[point])
    return fit


@kernel("int64(int64, int64, uint8[::1], uint32[::1], int32[:, ::1], uint8[::1],"
        " int32[:, :, ::1], uint32[::1], uint8[::1], int32[:, ::1])")
def take_frame(
    tick, high, alive, ids, rows, parts, ring, held_ids, records, brief,
) -> int:
    """Copy a frame into the ring, note what changed since the tick before, encode that.

    An entity that is new in its slot counts as changed; viewers tell it by its id. Parts without
    columns are not compared: who has any counts as changed every tick. Returns 1 when a slot lost
    its entity or got another one.
    """
    is_other = 0
    now, before = tick % RING, (tick - 1) % RING
    for e in range(high):
        brief[e, CHANGE_BEFORE] = brief[e, LAST_CHANGE]
        if alive[e] == 0:
            is_other |= held_ids[e] != 0
            held_ids[e] = 0
            continue
        is_other |= ids[e] != held_ids[e]
        changed = (
            ids[e] != held_ids[e] or parts[e] != brief[e, PARTS] or parts[e] & 56 != 0
        )
        for c in range(_COLUMNS):
            value = rows[e, c]
            changed = changed or value != ring[before, e, c]
            ring[now, e, c] = value
        held_ids[e] = ids[e]
        brief[e, PARTS] = parts[e]
        at = e * RECORD_STRIDE
        if changed:
            brief[e, LAST_CHANGE] = tick
            _encode_full(ring, now, e, records, at)
        if tick - brief[e, LAST_CHANGE] > _OLDEST:
            continue
        for k in range(_AGES.shape[0]):
            then = (tick - _AGES[k]) % RING
            p = at + DELTA_AT + k * (DELTA_BYTES + WIDE_BYTES)
            form = _encode_root(ring, now, then, e, records, p)
            brief[e, FIT + k] = form << 6 | _encode_points(ring, now, then, e, records, p)
    return is_other
