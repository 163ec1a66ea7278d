"""Who sees whom: a grid over the floor, a hard radius with hysteresis, a cap by priority. PURE.

A viewer keeps an entity until it is farther than radius + hysteresis, and takes a new one within
the radius. When more are near than the cap allows, those of least *effective distance* stay: the
distance, half as much again for what is behind the viewer, times the entity's own boost; one that
is already seen must be beaten by a fifth, so that a crowd does not flicker.

Who may not know somebody holds a silhouette of them (`frame.Apart`). When that changes, the index
is freed in the next message, and who is still in view enters anew as what they now are.
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
from atrium_server.replication.state import DISTANCE, ENTITY, ID, VEIL, Grid
from atrium_shared import pose

_X, _Z = pose.X, pose.Z
BEHIND = 1.5
"""Factor on the distance of what lies behind a viewer."""
_KEEP = 0.8


@kernel(allocates=True)
def fill_grid(grid: Grid, high, alive, rows) -> float:
    """Sort all living entities into cells; returns about how many a viewer has to look at."""
    width, depth = grid.shape[0], grid.shape[1]
    side = grid.origin[2]
    grid.start[:] = 0
    for e in range(high):
        grid.cell_of[e] = -1
        if alive[e]:
            cx = min(width - 1, max(0, int((rows[e, _X] - grid.origin[0]) / side)))
            cz = min(depth - 1, max(0, int((rows[e, _Z] - grid.origin[1]) / side)))
            grid.cell_of[e] = cx * depth + cz
            grid.start[cx * depth + cz + 1] += 1
    for c in range(width * depth):
        grid.start[c + 1] += grid.start[c]
    # Fill from the back, so that the counts become the starts again.
    fill = grid.start[1:].copy()
    for e in range(high - 1, -1, -1):
        c = grid.cell_of[e]
        if c >= 0:
            fill[c] -= 1
            grid.items[fill[c]] = e
    # About nine cells, each as full as the average entity's own one.
    squares = 0.0
    for c in range(width * depth):
        squares += np.float64(grid.start[c + 1] - grid.start[c]) ** 2
    return float(min(9.0, np.float64(width * depth)) * squares / max(1, grid.start[-1]))


@nb.njit(inline="always")
def _effective(dx, dz, squared, look_x, look_z, boost):
    distance = np.sqrt(squared)
    if dx * look_x + dz * look_z < 0.0:
        distance *= BEHIND
    return np.float32(distance * boost)


@nb.njit(inline="always")
def drop_gone(held, high, alive, ids):
    """Mark the indexes (entity -2) whose entity is gone or another one; returns how many."""
    gone = 0
    for i in range(high):
        e = held[i, ENTITY]
        if e >= 0 and (alive[e] == 0 or ids[e] != held[i, ID]):
            held[i, ENTITY] = -2
            gone += 1
    return gone


@nb.njit(inline="always")
def is_veiled(veils, state, own, e):
    """Whether the viewer with this slot and state is shown a silhouette of an entity."""
    return state & VEILED != 0 and veils[own, e >> 3] >> (e & 7) & 1 != 0


@nb.njit(inline="always")
def part(held, high, state, veils, own):
    """Mark (entity -2) what a viewer must not hold as it does; returns how many."""
    gone = 0
    for i in range(high):
        e = held[i, ENTITY]
        if e < 0:
            continue
        if state & ALONE != 0 or is_veiled(veils, state, own, e) != (held[i, VEIL] != 0):
            held[i, ENTITY] = -2
            gone += 1
    return gone


@nb.njit(inline="always")
def keep_visible(held, high, far, alive, ids, rows, boost, stamps, stamp, x, z, look_x, look_z):
    """Refresh distances of what a viewer holds and stamp it.

    Indexes whose entity is gone or too far are marked (entity -2). Returns (how many stay, how
    many were marked).
    """
    kept = gone = 0
    for i in range(high):
        e = held[i, ENTITY]
        if e < 0:
            continue
        dx, dz = rows[e, _X] - x, rows[e, _Z] - z
        squared = dx * dx + dz * dz
        if alive[e] == 0 or ids[e] != held[i, ID] or squared > far:
            held[i, ENTITY] = -2
            gone += 1
            continue
        distance = _effective(dx, dz, squared, look_x, look_z, boost[e])
        held[i, DISTANCE] = np.float32(distance).view(np.int32)
        stamps[e] = stamp
        kept += 1
    return kept, gone


@nb.njit(inline="always")
def find_candidates(start, items, shape, origin, near, own, rows, boost, stamps, stamp, x, z,
                    look_x, look_z, found, scores):
    """Entities within the radius that are not stamped yet; returns how many."""
    width, depth, side = shape[0], shape[1], origin[2]
    cx = min(width - 1, max(0, int((x - origin[0]) / side)))
    cz = min(depth - 1, max(0, int((z - origin[1]) / side)))
    count = 0
    for column in range(max(0, cx - 1), min(width, cx + 2)):
        # Cells of one column lie next to each other: one run covers three of them.
        first = start[column * depth + max(0, cz - 1)]
        last = start[column * depth + min(depth, cz + 2)]
        for k in range(first, last):
            e = items[k]
            dx, dz = rows[e, _X] - x, rows[e, _Z] - z
            squared = dx * dx + dz * dz
            if squared > near or e == own or stamps[e] == stamp:
                continue
            found[count] = e
            scores[count] = _effective(dx, dz, squared, look_x, look_z, boost[e])
            count += 1
    return count


@kernel(allocates=True)
def best_of(held, high, cap, found, scores, count, keep):
    """When `count` candidates do not fit: free what loses its place, choose who takes it.

    Writes the chosen candidates to the front of `found`; returns (how many, how many were freed).
    """
    pool = np.empty(keep + count, np.float32)
    at = 0
    for i in range(high):
        if held[i, ENTITY] >= 0:
            pool[at] = np.int32(held[i, DISTANCE]).view(np.float32) * np.float32(_KEEP)
            at += 1
    pool[at : at + count] = scores[:count]
    at += count
    limit = np.partition(pool[:at], cap - 1)[cap - 1]
    # Whoever is below the limit has a place; at the very limit there may be more than places left,
    # and of those the ones already seen go first.
    room = cap
    for k in range(at):
        if pool[k] < limit:
            room -= 1
    gone = 0
    for i in range(high):
        score = np.int32(held[i, DISTANCE]).view(np.float32) * np.float32(_KEEP)
        if held[i, ENTITY] >= 0 and score >= limit:
            if score == limit and room > 0:
                room -= 1
            else:
                held[i, ENTITY] = -2
                gone += 1
    chosen = 0
    for k in range(count):
        if scores[k] < limit or (scores[k] == limit and room > 0):
            if scores[k] == limit:
                room -= 1
            found[chosen], scores[chosen] = found[k], scores[k]
            chosen += 1
    return chosen, gone
