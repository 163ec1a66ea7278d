"""Who sees whom: a grid over the floor, a hard radius with hysteresis, a cap by priority. PURE.

A viewer keeps an entity until it is farther than radius + hysteresis, and takes a new one within
the radius. When more are near than the cap allows, those of least *effective distance* stay: the
distance, half as much again for what is behind the viewer, times the entity's own boost; one that
is already seen must be beaten by a fifth, so that a crowd does not flicker.
"""

# Kernels are compiled for the types they are called with; pyright would want annotations that
# numba does not read.
# pyright: reportMissingParameterType=false, reportUnknownParameterType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedFunctionDecorator=false

from __future__ import annotations

import numba as nb
import numpy as np

from atrium_server.replication.state import Grid
from atrium_shared import pose

_X, _Z = pose.X, pose.Z
BEHIND = 1.5
"""Factor on the distance of what lies behind a viewer."""
_KEEP = 0.8


@nb.njit(cache=True)
def fill_grid(grid: Grid, high, alive, rows):
    """Sort all living entities into cells."""
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


@nb.njit(inline="always")
def _effective(dx, dz, squared, look_x, look_z, boost):
    distance = np.sqrt(squared)
    if dx * look_x + dz * look_z < 0.0:
        distance *= BEHIND
    return np.float32(distance * boost)


@nb.njit(inline="always")
def keep_visible(v, high, entity, held_ids, distance, far, alive, ids, rows, boost, stamps, stamp,
                 x, z, look_x, look_z):
    """Refresh distances of what `v` holds and stamp it; returns how many of them stay.

    Indexes whose entity is gone or too far are freed (entity -2, until the leave is written).
    """
    kept = 0
    for i in range(high):
        e = entity[v, i]
        if e < 0:
            continue
        if alive[e] == 0 or ids[e] != held_ids[v, i]:
            entity[v, i] = -2
            continue
        dx, dz = rows[e, _X] - x, rows[e, _Z] - z
        squared = dx * dx + dz * dz
        if squared > far:
            entity[v, i] = -2
            continue
        distance[v, i] = _effective(dx, dz, squared, look_x, look_z, boost[e])
        stamps[e] = stamp
        kept += 1
    return kept


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


@nb.njit(cache=True)
def best_of(v, held, cap, entity, distance, found, scores, count, keep):
    """When `count` candidates do not fit: free what loses its place, choose who takes it.

    Writes the chosen candidates to the front of `found` and returns how many there are.
    """
    pool = np.empty(keep + count, np.float32)
    at = 0
    for i in range(held):
        if entity[v, i] >= 0:
            pool[at] = distance[v, i] * np.float32(_KEEP)
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
    for i in range(held):
        if entity[v, i] >= 0 and distance[v, i] * np.float32(_KEEP) >= limit:
            if distance[v, i] * np.float32(_KEEP) == limit and room > 0:
                room -= 1
            else:
                entity[v, i] = -2
    chosen = 0
    for k in range(count):
        if scores[k] < limit or (scores[k] == limit and room > 0):
            if scores[k] == limit:
                room -= 1
            found[chosen], scores[chosen] = found[k], scores[k]
            chosen += 1
    return chosen
