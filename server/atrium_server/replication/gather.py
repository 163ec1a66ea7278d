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

*Budget.* When the due records do not fit the viewer's tokens, those of highest priority are taken
and the others wait (their age grows, and their priority with it), while `scale` shrinks so that
from now on more of them are due less often: demotion, not random skips. It recovers slowly. What
has waited for half of what is allowed goes first, and as its root alone where no more fits.

Calls into a kernel copy every array header and count references, so what runs per record takes few
arrays or is inlined; the named tuples stop at the level of a viewer.

The bytes are those of `docs/PROTOCOL.md`, WebSocket headers included.
"""

# Kernels are compiled for the types they are called with; pyright would want annotations that
# numba does not read.
# pyright: reportMissingParameterType=false, reportUnknownParameterType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedFunctionDecorator=false

from __future__ import annotations

import numba as nb
import numpy as np

from atrium_server.replication.due import collect_due, fit_budget
from atrium_server.replication.interest import best_of, find_candidates, keep_visible
from atrium_server.replication.state import Entities, Grid, Rules, Scratch, Shown, Viewers
from atrium_server.replication.write import (
    HEAD_BYTES,
    write_enters,
    write_head,
    write_leaves,
    write_sections,
)
from atrium_shared import pose

VIEWER_BYTES_MAX = 98_304
"""Room that must be left in the arena before a viewer is begun, besides its prefix."""
SNAPSHOT_BYTES_MAX = 60_000
BODY_BYTES_LEAST = 16
"""A viewer in debt still gets this much of a snapshot: one root, of who has waited longest."""
_X, _Z, _YAW = pose.X, pose.Z, pose.YAW
_RADIANS = 2.0 * np.pi / pose.YAW_STEPS
_SHRINK, _GROW, _SCALE_MIN = np.float32(0.85), np.float32(1.03), np.float32(1 / 64)


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
def _burst(income):
    """Most tokens that can be saved up, and most that can be owed."""
    return max(4 * income, np.float32(1024))


@nb.njit(inline="always")
def _look(rows, slot):
    """Direction (x, z) in which the entity in `slot` looks: yaw 0 is -z, turning to the left."""
    yaw = rows[slot, _YAW] * _RADIANS
    return -np.sin(yaw), -np.cos(yaw)


@nb.njit(cache=True)
def build_viewers(viewers: Viewers, rules: Rules, entities: Entities, grid: Grid, scratch: Scratch,
                  shown: Shown, tick, server_ms, stride, which, first, prefixes, out, offsets,
                  lengths) -> tuple[int, int]:
    """Write everything for the viewers `which[first:]`, each after a gap of its prefix.

    `offsets` and `lengths` (gap included) are filled in step. Returns (next viewer, bytes used):
    when the arena is full the caller sends what there is and comes back for the rest.
    """
    # Tuples and their arrays are taken apart once: inside the loop only plain arrays are passed.
    entity, ids = viewers.next_entity, viewers.next_ids
    last_tick, last_parts = viewers.next_last_tick, viewers.next_last_parts
    distance = viewers.distance
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
        tokens[v] = min(tokens[v] + income[v], _burst(income[v]))
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
        p = write_leaves(v, next_high, entity, last_tick, out, p)
        if new and tokens[v] > 0:
            room = min(rules.enter_bytes_max, max(np.int64(tokens[v] * 0.5), 64))
            p = write_enters(viewers, v, shown, tick, found, scores, new, room, out, p)
        count, total = collect_due(
            v, next_high[v], tick, rules.full_rate_mm * scale[v], rules.half_rate_mm * scale[v],
            rules.quarter_rate_mm * scale[v], rules.age_ticks_max, viewer_parts[v], entity,
            last_tick, last_parts, distance, brief, due, due_code, due_from, counts,
        )
        allowed = min(np.int64(tokens[v]), SNAPSHOT_BYTES_MAX) - (p - start) - HEAD_BYTES - 4
        if total > max(allowed, BODY_BYTES_LEAST):
            count, total = fit_budget(
                v, tick, count, max(allowed, BODY_BYTES_LEAST), rules.age_ticks_max, last_tick,
                distance, due, due_code, due_from, counts,
            )
            scale[v] = max(scale[v] * _SHRINK, _SCALE_MIN)
        elif scale[v] < 1 and 4 * total < 3 * allowed:
            scale[v] = min(scale[v] * _GROW, np.float32(1))
        p = write_head(tick, server_ms, np.int64(seqs[own]) if own >= 0 else 0, total, out, p)
        p = write_sections(v, tick, count, entity, last_tick, last_parts, records, extras,
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
        # Reliable messages count as well, but a long one must not silence the avatars for long.
        viewers.tokens[v] = max(
            viewers.tokens[v] - lengths[k], -_burst(viewers.bytes_per_tick[v])
        )
