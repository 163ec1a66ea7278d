"""One viewer's messages of one tick: leaves, enters and the snapshot, written into an arena. PURE.

Theory of operation
-------------------
For each viewer that may be sent to, `build_viewers` works on what the viewer holds::

    interest -> [leave] -> [enter] -> due records -> budget -> [snapshot]

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

Calls into a kernel copy every array header, so what runs per record takes few arrays or is
inlined; the named tuples stop at the level of a viewer.

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

from atrium_server.frame import ALONE, VEILED
from atrium_server.jit import kernel
from atrium_server.replication.credit import burst
from atrium_server.replication.due import collect_due, fit_budget
from atrium_server.replication.interest import (
    best_of,
    drop_gone,
    find_candidates,
    keep_visible,
    part,
)
from atrium_server.replication.state import (
    Entities,
    Grid,
    Parted,
    Rules,
    Scratch,
    Shown,
    Viewers,
)
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
def _look(rows, slot):
    """Direction (x, z) in which the entity in `slot` looks: yaw 0 is -z, turning to the left."""
    yaw = rows[slot, _YAW] * _RADIANS
    return -np.sin(yaw), -np.cos(yaw)


@kernel()
def build_viewers(viewers: Viewers, rules: Rules, entities: Entities, grid: Grid, scratch: Scratch,
                  shown: Shown, parted: Parted, moment, which, first, prefixes, out, offsets,
                  lengths) -> int:
    """Write everything for the viewers `which[first:]`, each after a gap of its prefix.

    `moment` is int64 (tick, server_ms, stride of interest, tick of the last change of who is
    there, and of who is kept apart from whom). `offsets` and `lengths` (gap included) are filled
    in step. Returns the next viewer: when the arena is full the caller sends what there is and
    comes back for the rest.
    """
    # Tuples and their arrays are taken apart once: inside the loop only plain arrays are passed.
    tick, server_ms, stride, change_tick, apart_tick = moment
    stamps, found, scores = scratch.stamps, scratch.found, scratch.scores
    due, due_code, counts = scratch.due, scratch.due_code, scratch.counts
    alive, shown_ids, rows, boost, extras, seqs = (
        shown.alive, shown.ids, shown.rows, shown.boost, shown.extras, shown.seqs
    )
    brief, records = entities.brief, entities.records
    cell_start, cell_items, shape, origin = grid.start, grid.items, grid.shape, grid.origin
    states, veils = parted.state, parted.veils
    near, far = rules.radius_mm ** 2, (rules.radius_mm + rules.hysteresis_mm) ** 2
    p = 0
    for k in range(first, which.shape[0]):
        v = which[k]
        if p + VIEWER_BYTES_MAX + prefixes[k] > out.shape[0]:
            return k
        row, held = viewers.rows[v], viewers.held[v]
        offsets[k] = p
        p += prefixes[k]
        start = p
        row.tokens = min(row.tokens + row.bytes_per_tick, burst(row.bytes_per_tick))
        own = row.self_slot
        state = states[max(own, 0)]
        new = gone = 0
        if row.checked_tick < apart_tick:
            gone = part(held, row.high, state, veils, max(own, 0))
        if state & ALONE == 0 and ((tick + v) % stride == 0 or row.high == 0 or gone):
            look_x, look_z = _look(rows, max(own, 0))
            x, z = rows[max(own, 0), _X], rows[max(own, 0), _Z]
            scratch.pass_number[0] += 1
            stamp = np.int32(scratch.pass_number[0] & 0x7FFFFFFF)
            keep, left = keep_visible(held, row.high, far, alive, shown_ids, rows, boost, stamps,
                                      stamp, x, z, look_x, look_z)
            gone += left
            new = find_candidates(cell_start, cell_items, shape, origin, near, own, rows, boost,
                                  stamps, stamp, x, z, look_x, look_z, found, scores)
            if new > row.cap - keep:
                new, freed = best_of(held, row.high, row.cap, found, scores, new, keep)
                gone += freed
        elif row.checked_tick < change_tick:
            gone += drop_gone(held, row.high, alive, shown_ids)
        row.checked_tick = tick
        if gone:
            p = write_leaves(row, held, gone, out, p)
        if new and row.tokens > 0:
            room = min(rules.enter_bytes_max, max(np.int64(row.tokens * 0.5), 64))
            p = write_enters(row, held, shown, parted, tick, found, scores, new, room, out, p)
        count, total = collect_due(
            held, row.high, tick, rules.full_rate_mm * row.scale, rules.half_rate_mm * row.scale,
            rules.quarter_rate_mm * row.scale, rules.age_ticks_max, row.parts,
            state & VEILED != 0, brief, due, due_code, counts,
        )
        allowed = min(np.int64(row.tokens), SNAPSHOT_BYTES_MAX) - (p - start) - HEAD_BYTES - 4
        if total > max(allowed, BODY_BYTES_LEAST):
            count, total = fit_budget(held, tick, count, max(allowed, BODY_BYTES_LEAST),
                                      rules.age_ticks_max, due, due_code, counts)
            row.scale = max(row.scale * _SHRINK, _SCALE_MIN)
        elif row.scale < 1 and 4 * total < 3 * allowed:
            row.scale = min(row.scale * _GROW, np.float32(1))
        p = write_head(tick, server_ms, np.int64(seqs[own]) if own >= 0 else 0, total, out, p)
        p = write_sections(held, tick, count, records, extras, due, due_code, counts, out, p)
        lengths[k] = p - offsets[k]
    return which.shape[0]
