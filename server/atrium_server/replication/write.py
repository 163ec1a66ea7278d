"""Messages and records as bytes: leaves, enters, and the snapshot with its sections. PURE.

All of it is WebSocket frames of `docs/PROTOCOL.md`, headers included, written straight into the
arena. A record is copied in steps of 16 bytes, beyond its end: what follows covers that. Calls into
a kernel copy every array header, so what runs per record is inlined and takes few arrays.
"""

# Kernels are compiled for the types they are called with; pyright would want annotations that
# numba does not read.
# pyright: reportMissingParameterType=false, reportUnknownParameterType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedFunctionDecorator=false

from __future__ import annotations

import numba as nb
import numpy as np

from atrium_server.jit import copy_16, kernel
from atrium_server.replication.interest import is_veiled
from atrium_server.replication.state import (
    DISTANCE,
    ENTITY,
    ID,
    LAST_PARTS,
    LAST_TICK,
    VEIL,
    Parted,
    Shown,
)
from atrium_shared import messages, pose, snapshot

HEAD_BYTES = 20
"""A snapshot less its body and the header of its frame."""
_SNAPSHOT_OP = messages.op_of(messages.Snapshot)
_ENTER_OP = messages.op_of(messages.Enter)
_LEAVE_OP = messages.op_of(messages.Leave)
_POINTS = np.array(
    [sum(1 for part in pose.POINT_PART if part & p) for p in range(64)], np.int32
)
_POINT_PART = np.array(pose.POINT_PART, np.uint8)
_WIDE = int(snapshot.Form.WIDE)
_EXTRA = np.array(pose.EXTRA_PART, np.int32)
_OF_SILHOUETTE = int(pose.Flags.DISCONTINUITY | pose.Flags.LINK_LOST | pose.Flags.SEATED)
"""Flags that say where somebody is, and not what that one does."""
_PREFIX = np.array([p in (0, 1, 3, 7) for p in range(8)], np.bool_)
"""Part sets whose points lie next to each other in an encoded record."""


@nb.njit(inline="always")
def _frame_head(out, at, payload):
    """Write a WebSocket binary header; returns where the payload begins."""
    out[at] = 0x82
    if payload < 126:
        out[at + 1] = payload
        return at + 2
    out[at + 1] = 126
    out[at + 2] = payload >> 8
    out[at + 3] = payload & 255
    return at + 4


@nb.njit(inline="always")
def _put32(out, at, value):
    out[at] = 0xCE
    out[at + 1] = (value >> 24) & 255
    out[at + 2] = (value >> 16) & 255
    out[at + 3] = (value >> 8) & 255
    out[at + 4] = value & 255


@nb.njit(inline="always")
def write_leaves(row, held, gone, out, at):
    """Free the `gone` indexes that are marked -2 and write their leave message; returns the end."""
    high = row.high
    p = _frame_head(out, at, 4 + gone)
    out[p], out[p + 1], out[p + 2], out[p + 3] = 0x92, _LEAVE_OP, 0xC4, gone
    p += 4
    for i in range(high):
        if held[i, ENTITY] == -2:
            out[p] = i
            p += 1
            held[i, ENTITY] = -1
    while high and held[high - 1, ENTITY] == -1:
        high -= 1
    row.high = high
    return p


@kernel(allocates=True)
def write_enters(row, held, shown: Shown, parted: Parted, tick, found, scores, count, bytes_max,
                 out, at):
    """Give indexes to new entities, nearest first, and write their enter message.

    At most `bytes_max` bytes, but one entry at least; the others come with later ticks. Whom the
    viewer may not know has neither name nor avatar.
    """
    own = max(row.self_slot, 0)
    state = parted.state[own]
    order = np.argsort(scores[:count])
    # Room for the longer header; it is written last, when the length is known.
    body = at + 4
    p = body + 5
    taken = 0
    free = 0
    for k in order:
        e = found[k]
        if p - body + shown.enter_lengths[e] + 3 > bytes_max and taken:
            break
        while free < row.high and held[free, ENTITY] != -1:
            free += 1
        if free >= row.cap:
            break
        if free == row.high:
            row.high += 1
        held[free, ENTITY] = e
        held[free, ID] = shown.ids[e]
        held[free, LAST_TICK] = -1 - tick
        held[free, LAST_PARTS] = 0
        held[free, DISTANCE] = np.float32(scores[k]).view(np.int32)
        veiled = is_veiled(parted.veils, state, own, e)
        held[free, VEIL] = 1 if veiled else 0
        if veiled:
            p = _write_silhouette(free, shown.enter_tails, e, out, p)
        else:
            p = _write_entry(free, shown.enter_tails, shown.enter_lengths[e], e, out, p)
        taken += 1
    if taken == 0:
        return at
    out[body], out[body + 1], out[body + 2] = 0x92, _ENTER_OP, 0xDC
    out[body + 3], out[body + 4] = taken >> 8, taken & 255
    payload = p - body
    if payload < 126:
        for b in range(payload):
            out[at + 2 + b] = out[body + b]
    return _frame_head(out, at, payload) + payload


@nb.njit(inline="always")
def _write_entry(index, tails, length, e, out, p):
    out[p] = 0x95
    p += 1
    if index >= 128:
        out[p] = 0xCC
        p += 1
    out[p] = index
    p += 1
    for b in range(length):
        out[p + b] = tails[e, b]
    return p + length


@nb.njit(inline="always")
def _write_silhouette(index, tails, e, out, p):
    """An entry with the entity's id and kind, and empty strings for its name and avatar."""
    first = tails[e, 0]
    # An id is a short integer, or one of one, two or four bytes; its kind takes one byte.
    id_bytes = 1 if first < 128 else (2 if first == 0xCC else (3 if first == 0xCD else 5))
    p = _write_entry(index, tails, id_bytes + 1, e, out, p)
    out[p], out[p + 1] = 0xA0, 0xA0
    return p + 2


@nb.njit(inline="always")
def _copy(out, p, records, start, length):
    """Copy `length` bytes, and up to 15 of what lies behind them: the next write covers those."""
    for b in range(0, length, 16):
        copy_16(out, p + b, records, start + b)
    return p + length


@nb.njit(inline="always")
def _write_record(records, start, form, want, out, p):
    """Copy one record without its extra parts; returns the end."""
    root = 11 if form == 0 else (8 if form == _WIDE else 4)
    width = 10 if form == 0 else 6
    if _PREFIX[want & 7]:
        return _copy(out, p, records, start, root + width * _POINTS[want])
    p = _copy(out, p, records, start, root)
    for point in range(6):
        if want & _POINT_PART[point]:
            p = _copy(out, p, records, start + root + width * point, width)
    return p


@nb.njit(inline="always")
def write_sections(held, tick, count, records, extras, due, due_code, counts, out, p):
    """Write the body, section by section, and note what the viewer will then hold."""
    for first in range(count):
        code = np.int64(due_code[first])
        n = counts[code]
        if n == 0:
            continue
        counts[code] = 0
        form, want = code >> 6, code & 63
        out[p], out[p + 1] = code, n
        at = p + 2
        p = at + n
        for k in range(first, count):
            if due_code[k] != code:
                continue
            i = due[k, 0]
            out[at] = i
            at += 1
            flags_at = p
            p = _write_record(records, due[k, 1], form, want, out, p)
            if form == 0 and held[i, VEIL]:
                out[flags_at] &= _OF_SILHOUETTE
            if want & 56:
                e = held[i, ENTITY]
                for x in range(3):
                    if want & _EXTRA[x, 0]:
                        for b in range(_EXTRA[x, 2]):
                            out[p + b] = extras[e, _EXTRA[x, 1] + b]
                        p += _EXTRA[x, 2]
            held[i, LAST_TICK] = tick
            held[i, LAST_PARTS] = want
    return p


@nb.njit(inline="always")
def write_head(tick, server_ms, ack_seq, total, out, at):
    p = _frame_head(out, at, HEAD_BYTES + total)
    out[p], out[p + 1] = 0x95, _SNAPSHOT_OP
    _put32(out, p + 2, tick)
    _put32(out, p + 7, server_ms)
    _put32(out, p + 12, ack_seq)
    out[p + 17], out[p + 18], out[p + 19] = 0xC5, total >> 8, total & 255
    return p + HEAD_BYTES
