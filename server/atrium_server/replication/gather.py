"""One viewer's messages of one tick: leaves, enters and the snapshot, written into an arena. PURE.

Theory of operation
-------------------
For each viewer that may be sent to, `build_viewer` works on the viewer's `next_*` rows::

    committed rows -> interest -> [leave] -> [enter] -> due records -> budget -> [snapshot]

*Due.* Five levels of detail: every tick, every 2nd, every 4th, every 4th with the head only, every
4th with the root only. The level follows from the effective distance divided by the viewer's
`scale`; ticks are aligned per index, so that the ages of deltas stay 1, 2 or 4 and the work is
spread. What has not changed since the viewer was told is not due at all.

*Form.* The record is a delta of age `tick - last_tick` if that is 1, 2 or 4 and the step fits, a
delta of age 1 if nothing had changed between `last_tick` and the tick before, else a full record.

*Budget.* When the due records do not fit the viewer's tokens, those of highest priority are taken and
the others wait (their age grows, and their priority with it), while `scale` shrinks so that from now
on more of them are due less often: demotion, not random skips. It recovers slowly.

Calls into a kernel copy every array header and count references, so what runs per record takes few
arrays or is inlined; the named tuples stop at the level of a viewer.

The bytes are those of `docs/PROTOCOL.md`, WebSocket headers included.
"""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

from atrium_server.replication.interest import best_of, find_candidates, keep_visible
from atrium_server.replication.state import (
    CHANGE_BEFORE, DELTA_AT, DELTA_BYTES, F32, FIT, I32, I64, LAST_CHANGE, PARTS, RECORD_STRIDE,
    U8, WIDE_BYTES, Entities, Grid, Rules, Viewers,
)
from atrium_shared import messages, pose, snapshot

VIEWER_BYTES_MAX = 98_304
"""Room that must be left in the arena before a viewer is begun, besides its prefix."""
SNAPSHOT_BYTES_MAX = 60_000
_SNAPSHOT_OP = messages.op_of(messages.Snapshot)
_ENTER_OP = messages.op_of(messages.Enter)
_LEAVE_OP = messages.op_of(messages.Leave)
_HEAD_BYTES = 20
_LENGTH = np.array(
    [[snapshot.record_length(f, p) for p in range(64)] for f in range(3)], np.int32
)
_POINTS = np.array(
    [sum(1 for part in pose.POINT_PART if part & p) for p in range(64)], np.int32
)
_POINT_PART = np.array(pose.POINT_PART, np.uint8)
_AGE_STRIDE = DELTA_BYTES + WIDE_BYTES
_WIDE = int(snapshot.Form.WIDE)
_EXTRA = np.array(pose.EXTRA_PART, np.int32)
_PREFIX = np.array([p in (0, 1, 3, 7) for p in range(8)], np.bool_)
"""Part sets whose points lie next to each other in an encoded record."""
_X, _Z, _YAW = pose.X, pose.Z, pose.YAW
_RADIANS = 2.0 * np.pi / pose.YAW_STEPS
_PERIOD = np.array([1, 2, 4, 4, 4], np.int32)
_LEVEL_PARTS = np.array([63, 63, 63, 1, 0], np.uint8)
_SHRINK, _GROW, _SCALE_MIN = np.float32(0.85), np.float32(1.03), np.float32(1 / 64)


class Scratch(NamedTuple):
    """Work space of one viewer, made once."""

    stamps: I32
    """By entity slot: the pass that last saw it."""
    pass_number: I64
    found: I32
    scores: F32
    due: I32
    """Indexes that get a record."""
    due_code: U8
    """Section code of each."""
    due_from: I32
    """Where each one's record begins in an entity's bytes."""
    counts: I32
    """Records by section code; zero between viewers."""


class Shown(NamedTuple):
    """The arrays of a published frame that are needed here."""

    alive: U8
    ids: np.ndarray
    rows: I32
    extras: U8
    boost: F32
    seqs: np.ndarray
    enter_tails: U8
    enter_lengths: I32


def make_scratch(slots: int) -> Scratch:
    return Scratch(
        stamps=np.zeros(slots, np.int32), pass_number=np.zeros(1, np.int64),
        found=np.zeros(slots, np.int32), scores=np.zeros(slots, np.float32),
        due=np.zeros(256, np.int32), due_code=np.zeros(256, np.uint8),
        due_from=np.zeros(256, np.int32), counts=np.zeros(256, np.int32),
    )


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
def _copy_rows(v, high, to_entity, to_ids, to_tick, to_parts, entity, ids, tick, parts):
    for i in range(high):
        to_entity[v, i] = entity[v, i]
        to_ids[v, i] = ids[v, i]
        to_tick[v, i] = tick[v, i]
        to_parts[v, i] = parts[v, i]


@nb.njit(cache=True)
def _drop_dead(v, high, next_entity, next_ids, alive, ids):
    for i in range(high):
        e = next_entity[v, i]
        if e >= 0 and (alive[e] == 0 or ids[e] != next_ids[v, i]):
            next_entity[v, i] = -2


@nb.njit(inline="always")
def _write_leaves(v, next_high, next_entity, next_last_tick, out, at):
    """Free the indexes marked -2 and write their leave message; returns the end."""
    high = next_high[v]
    count = 0
    for i in range(high):
        if next_entity[v, i] == -2:
            count += 1
    if count == 0:
        return at
    p = _frame_head(out, at, 4 + count)
    out[p], out[p + 1], out[p + 2], out[p + 3] = 0x92, _LEAVE_OP, 0xC4, count
    p += 4
    for i in range(high):
        if next_entity[v, i] == -2:
            out[p] = i
            p += 1
            next_entity[v, i] = -1
            next_last_tick[v, i] = -1
    while high and next_entity[v, high - 1] == -1:
        high -= 1
    next_high[v] = high
    return p


@nb.njit(cache=True)
def _write_enters(viewers: Viewers, v, shown: Shown, found, scores, count, bytes_max, out, at):
    """Give indexes to new entities, nearest first, and write their enter message."""
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
        while free < viewers.next_high[v] and viewers.next_entity[v, free] != -1:
            free += 1
        if free >= viewers.cap[v]:
            break
        if free == viewers.next_high[v]:
            viewers.next_high[v] += 1
        viewers.next_entity[v, free] = e
        viewers.next_ids[v, free] = shown.ids[e]
        viewers.next_last_tick[v, free] = -1
        viewers.next_last_parts[v, free] = 0
        viewers.distance[v, free] = scores[k]
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
def _level(distance, full_rate):
    if distance <= full_rate:
        return 0
    if distance <= 2 * full_rate:
        return 1
    if distance <= 4 * full_rate:
        return 2
    return 3 if distance <= 8 * full_rate else 4


@nb.njit(inline="always")
def _age_row(tick, last, change_before):
    """Row of the age whose delta brings a holder of tick `last` to `tick`, or -1."""
    age = tick - last
    if age == 1:
        return 0
    if age == 2:
        return 1
    if age == 4:
        return 2
    # Nothing changed since: what this client holds is also what was true one tick ago.
    return 0 if change_before <= last else -1


@nb.njit(inline="always")
def _collect_due(v, high, tick, full_rate, viewer_parts, entity, last_tick, last_parts, distance,
                 brief, due, due_code, due_from, counts):  # noqa: PLR0913 -- kernel
    """Note the due records of `v`; returns (how many, their bytes with section heads)."""
    count = 0
    total = 0
    for i in range(high):
        e = entity[v, i]
        if e < 0:
            continue
        last = last_tick[v, i]
        held = np.int64(last_parts[v, i])
        level = _level(distance[v, i], full_rate)
        want = brief[e, PARTS] & viewer_parts & _LEVEL_PARTS[level]
        form, start = 0, 0
        if last >= 0:
            if brief[e, LAST_CHANGE] <= last and not want & ~held:
                continue
            if level and (tick + i) & (_PERIOD[level] - 1) and tick - last < 2 * _PERIOD[level]:
                continue
            row = _age_row(tick, last, brief[e, CHANGE_BEFORE])
            if row >= 0 and not want & ~held:
                fit = brief[e, FIT + row]
                if fit >> 6 and not want & 7 & ~fit:
                    form = fit >> 6
                    start = DELTA_AT + row * _AGE_STRIDE + (DELTA_BYTES if form == _WIDE else 0)
        code = form << 6 | want
        if counts[code] == 0:
            total += 2
        counts[code] += 1
        due[count] = i
        due_code[count] = code
        due_from[count] = e * RECORD_STRIDE + start
        count += 1
        total += 1 + _LENGTH[form, want]
    return count, total


@nb.njit(cache=True)
def _fit_budget(v, tick, count, allowed, age_ticks_max, last_tick, distance, due, due_code,
                due_from, counts):  # noqa: PLR0913 -- kernel
    """Keep the due records of highest priority within `allowed` bytes; returns (count, bytes)."""
    keys = np.empty(count, np.float32)
    for k in range(count):
        last = last_tick[v, due[k]]
        age = tick - last if last >= 0 else 2
        # What is about to be too old goes before everything else, the oldest first.
        old = 2 * age >= age_ticks_max
        keys[k] = -age if old else distance[v, due[k]] / np.float32(age + 1)
        counts[due_code[k]] = 0
    chosen = np.zeros(count, np.bool_)
    total = 0
    for k in np.argsort(keys):
        code = due_code[k]
        size = 1 + _LENGTH[code >> 6, code & 63] + (2 if counts[code] == 0 else 0)
        if total + size <= allowed:
            total += size
            counts[code] += 1
            chosen[k] = True
    left = 0
    for k in range(count):
        if chosen[k]:
            due[left], due_code[left], due_from[left] = due[k], due_code[k], due_from[k]
            left += 1
    return left, total


@nb.njit(inline="always")
def _write_record(records, start, form, want, out, p):
    """Copy one record without its extra parts; returns the end."""
    root = 11 if form == 0 else (8 if form == _WIDE else 4)
    width = 10 if form == 0 else 6
    if _PREFIX[want & 7]:
        length = root + width * _POINTS[want]
        if length == 22:
            # By far the most frequent: a delta of head and hands, a length the compiler knows.
            for b in range(22):
                out[p + b] = records[start + b]
        else:
            for b in range(length):
                out[p + b] = records[start + b]
        return p + length
    for b in range(root):
        out[p + b] = records[start + b]
    p += root
    for point in range(6):
        if want & _POINT_PART[point]:
            for b in range(width):
                out[p + b] = records[start + root + width * point + b]
            p += width
    return p


@nb.njit(inline="always")
def _write_sections(v, tick, count, entity, last_tick, last_parts, records, extras, due, due_code,
                    due_from, counts, out, p):  # noqa: PLR0913 -- kernel
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
            i = due[k]
            out[at] = i
            at += 1
            p = _write_record(records, due_from[k], form, want, out, p)
            if want & 56:
                e = entity[v, i]
                for x in range(3):
                    if want & _EXTRA[x, 0]:
                        for b in range(_EXTRA[x, 2]):
                            out[p + b] = extras[e, _EXTRA[x, 1] + b]
                        p += _EXTRA[x, 2]
            last_tick[v, i] = tick
            last_parts[v, i] = want
    return p


@nb.njit(inline="always")
def _write_head(tick, server_ms, ack_seq, total, out, at):
    p = _frame_head(out, at, _HEAD_BYTES + total)
    out[p], out[p + 1] = 0x95, _SNAPSHOT_OP
    _put32(out, p + 2, tick)
    _put32(out, p + 7, server_ms)
    _put32(out, p + 12, ack_seq)
    out[p + 17], out[p + 18], out[p + 19] = 0xC5, total >> 8, total & 255
    return p + _HEAD_BYTES


@nb.njit(inline="always")
def _look(rows, slot):
    """Direction (x, z) in which the entity in `slot` looks: yaw 0 is -z, turning to the left."""
    yaw = rows[slot, _YAW] * _RADIANS
    return -np.sin(yaw), -np.cos(yaw)


@nb.njit(cache=True)
def build_viewers(viewers: Viewers, rules: Rules, entities: Entities, grid: Grid, scratch: Scratch,
                  shown: Shown, tick, server_ms, stride, which, first, prefixes, out, offsets,
                  lengths):  # noqa: PLR0913 -- kernel
    """Write everything for the viewers `which[first:]`, each after a gap of its prefix.

    `offsets` and `lengths` (gap included) are filled in step. Returns (next viewer, bytes used):
    when the arena is full the caller sends what there is and comes back for the rest.
    """
    # Tuples and their arrays are taken apart once: inside the loop only plain arrays are passed.
    entity, ids = viewers.next_entity, viewers.next_ids
    last_tick, last_parts, distance = viewers.next_last_tick, viewers.next_last_parts, viewers.distance
    old_entity, old_ids, old_tick, old_parts = (
        viewers.entity, viewers.ids, viewers.last_tick, viewers.last_parts
    )
    old_high, next_high, tokens, scale = (
        viewers.high, viewers.next_high, viewers.tokens, viewers.scale
    )
    self_slot, caps, viewer_parts, income = (
        viewers.self_slot, viewers.cap, viewers.parts, viewers.bytes_per_tick
    )
    stamps, found, scores = scratch.stamps, scratch.found, scratch.scores
    due, due_code, due_from, counts = (
        scratch.due, scratch.due_code, scratch.due_from, scratch.counts
    )
    alive, shown_ids, rows, boost, extras, seqs = (
        shown.alive, shown.ids, shown.rows, shown.boost, shown.extras, shown.seqs
    )
    brief, records = entities.brief, entities.records
    cell_start, cell_items, shape, origin = grid.start, grid.items, grid.shape, grid.origin
    near, far = rules.radius_mm ** 2, (rules.radius_mm + rules.hysteresis_mm) ** 2
    p = 0
    for k in range(first, which.shape[0]):
        v = which[k]
        if p + VIEWER_BYTES_MAX + prefixes[k] > out.shape[0]:
            return k, p
        offsets[k] = p
        p += prefixes[k]
        start = p
        high = old_high[v]
        next_high[v] = high
        _copy_rows(v, high, entity, ids, last_tick, last_parts,
                   old_entity, old_ids, old_tick, old_parts)
        tokens[v] = min(tokens[v] + income[v], max(4 * income[v], np.float32(1024)))
        own = self_slot[v]
        new = 0
        if (tick + v) % stride == 0 or high == 0:
            look_x, look_z = _look(rows, max(own, 0))
            x, z = rows[max(own, 0), _X], rows[max(own, 0), _Z]
            scratch.pass_number[0] += 1
            stamp = np.int32(scratch.pass_number[0] & 0x7FFFFFFF)
            keep = keep_visible(v, high, entity, ids, distance, far, alive, shown_ids, rows,
                                boost, stamps, stamp, x, z, look_x, look_z)
            new = find_candidates(cell_start, cell_items, shape, origin, near, own, rows, boost,
                                  stamps, stamp, x, z, look_x, look_z, found, scores)
            if new > caps[v] - keep:
                new = best_of(v, high, caps[v], entity, distance, found, scores, new, keep)
        else:
            _drop_dead(v, high, entity, ids, alive, shown_ids)
        p = _write_leaves(v, next_high, entity, last_tick, out, p)
        if new:
            room = min(rules.enter_bytes_max, max(np.int64(tokens[v] * 0.5), 64))
            p = _write_enters(viewers, v, shown, found, scores, new, room, out, p)
        count, total = _collect_due(
            v, next_high[v], tick, rules.full_rate_mm * scale[v], viewer_parts[v], entity,
            last_tick, last_parts, distance, brief, due, due_code, due_from, counts,
        )
        allowed = min(np.int64(tokens[v]), SNAPSHOT_BYTES_MAX) - (p - start) - _HEAD_BYTES - 4
        if total > allowed:
            count, total = _fit_budget(
                v, tick, count, max(allowed, 64), rules.age_ticks_max, last_tick, distance,
                due, due_code, due_from, counts,
            )
            scale[v] = max(scale[v] * _SHRINK, _SCALE_MIN)
        elif scale[v] < 1 and 4 * total < 3 * allowed:
            scale[v] = min(scale[v] * _GROW, np.float32(1))
        p = _write_head(tick, server_ms, np.int64(seqs[own]) if own >= 0 else 0, total, out, p)
        p = _write_sections(v, tick, count, entity, last_tick, last_parts, records, extras,
                            due, due_code, due_from, counts, out, p)
        lengths[k] = p - offsets[k]
    return which.shape[0], p


@nb.njit(cache=True)
def commit(viewers: Viewers, which, accepted, lengths):
    """Make the next rows of those viewers whose send was accepted the committed ones."""
    entity, ids = viewers.entity, viewers.ids
    last_tick, last_parts = viewers.last_tick, viewers.last_parts
    next_entity, next_ids = viewers.next_entity, viewers.next_ids
    next_last_tick, next_last_parts = viewers.next_last_tick, viewers.next_last_parts
    for k in range(which.shape[0]):
        if accepted[k] == 0:
            continue
        v = which[k]
        high = max(viewers.high[v], viewers.next_high[v])
        _copy_rows(v, high, entity, ids, last_tick, last_parts,
                   next_entity, next_ids, next_last_tick, next_last_parts)
        viewers.high[v] = viewers.next_high[v]
        viewers.tokens[v] -= lengths[k]
