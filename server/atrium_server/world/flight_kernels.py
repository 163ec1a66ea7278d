"""Compiled flight: how boxes fly, bounce, slide and come to rest.

Theory of operation
-------------------
A flight is made of parts without a contact in them: parabolas, and slides that get slower evenly.
`atrium_server.world.flight_contacts` says exactly when a part ends; the next one follows in the
same step, with what is left of it.

A contact reflects the speed into the surface by RESTITUTION and takes from the speed along it what
Coulomb friction can. A rebound too slow to be seen is not made, and the box slides. A slide goes on
until what carries it ends, from where it flies again, or until it has no speed: then it rests, on
the highest top under its outline. That a part of the outline carries is enough: a box that does
not tilt in flight does not tip over an edge either.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from atrium_server.jit import kernel
from atrium_server.world.flight_contacts import (
    AGE,
    COLLIDERS,
    CONTACT_MM,
    GRAVITY,
    HIGH,
    IS_CHANGED,
    MODE,
    SPEED_X,
    SPEED_Y,
    SPEED_Z,
    X,
    Y,
    Z,
    cells_under,
    depth_in,
    first_contact,
    reach_of,
    room,
    span,
)
from atrium_server.world.kernels import (
    CELLS_X,
    FLOOR,
    MAX_X,
    MAX_Y,
    MAX_Z,
    MIN_X,
    MIN_Z,
    TOP,
    Floats,
    Ints,
)
from atrium_shared import limits

FLYING, SLIDING, RESTING = range(3)
"""What the column MODE holds."""
RESTITUTION: Final = 0.3
FRICTION: Final = 0.5
SLIDE: Final = FRICTION * GRAVITY
"""By how much a box that slides gets slower, in mm/s2."""
REBOUND_MIN: Final = 300.0
"""A slower rebound, of less than 5 mm, is not made."""
STILL: Final = 1.0
"""What is slower than this (mm/s) stands."""
PARTS_MAX: Final = 16
"""Parts in one step; a box that is squeezed between walls loses the time that they left."""
_PUSHES_MAX: Final = 8
_AGE_MAX: Final = limits.FLIGHT_S_MAX - 1e-6
"""Less by what adding up a thousand ticks can lose."""

_BOX: Final = f"{COLLIDERS}, float64[::1], float64[::1]"


@kernel("void(float64[::1], float64[::1], float64)")
def _keep_in(rules: Floats, row: Floats, slack: float) -> None:
    """Back into the world what a push or rounding has put out of it by more than `slack`.

    In flight that is CONTACT_MM: what comes out more slowly has its contact there.
    """
    reach_x, reach_z = reach_of(row)
    low, high = room(rules[MIN_X], rules[MAX_X], reach_x)
    row[X] = min(max(row[X], low - slack), high + slack)
    low, high = room(rules[MIN_Z], rules[MAX_Z], reach_z)
    row[Z] = min(max(row[Z], low - slack), high + slack)
    row[Y] = max(row[Y], rules[FLOOR] + row[HIGH] - slack)


@kernel("void(float64[::1], float64, float64, float64)")
def _bounce(row: Floats, nx: float, ny: float, nz: float) -> None:
    """What a contact with a surface of this normal leaves of the velocity."""
    vx, vy, vz = row[SPEED_X], row[SPEED_Y], row[SPEED_Z]
    into = max(-(vx * nx + vy * ny + vz * nz), 0.0)
    settles = ny > 0.0 and into * RESTITUTION < REBOUND_MIN
    push = into if settles else into * (1.0 + RESTITUTION)
    along_x, along_y, along_z = vx + into * nx, vy + into * ny, vz + into * nz
    along = math.sqrt(along_x * along_x + along_y * along_y + along_z * along_z)
    kept = max(along - FRICTION * push, 0.0) / along if along > 0.0 else 0.0
    row[SPEED_X] = along_x * kept + (push - into) * nx
    row[SPEED_Y] = along_y * kept + (push - into) * ny
    row[SPEED_Z] = along_z * kept + (push - into) * nz
    if settles:
        row[SPEED_Y], row[MODE] = 0.0, SLIDING
    row[IS_CHANGED] = 1.0


@kernel(f"float64({_BOX}, float64)")
def _fly(
    shapes: Floats, cell_starts: Ints, cell_ids: Ints, grid: Floats, rules: Floats, row: Floats,
    left: float,
) -> float:
    """One part of a flight, at most `left` seconds; returns what is left of them."""
    vx, vy, vz = row[SPEED_X], row[SPEED_Y], row[SPEED_Z]
    when, nx, ny, nz, depth = first_contact(
        shapes, cell_starts, cell_ids, grid, rules, row, vx, vz, True, left
    )
    t = min(max(when, 0.0), left)
    row[X] += vx * t
    row[Y] += vy * t - GRAVITY * t * t / 2.0
    row[Z] += vz * t
    row[SPEED_Y] = vy - GRAVITY * t
    if when == np.inf:
        return 0.0
    row[X], row[Y], row[Z] = row[X] + nx * depth, row[Y] + ny * depth, row[Z] + nz * depth
    if when >= 0.0:
        _bounce(row, nx, ny, nz)
    return left - t


@kernel(f"float64({_BOX}, float64, float64)")
def _carried(
    shapes: Floats, cell_starts: Ints, cell_ids: Ints, grid: Floats, rules: Floats, row: Floats,
    dx: float, dz: float,
) -> float:
    """How far a box that slides by (dx, dz) stays on what it lies on; -1 on nothing."""
    bottom = row[Y] - row[HIGH]
    if abs(bottom - rules[FLOOR]) <= CONTACT_MM:
        return np.inf
    farthest = -1.0
    low_x, high_x, low_z, high_z = cells_under(grid, row, 0.0, 0.0)
    for line in range(low_z, high_z + 1):
        start = line * int(grid[CELLS_X])
        for k in range(cell_starts[start + low_x], cell_starts[start + high_x + 1]):
            shape = cell_ids[k]
            if abs(bottom - shapes[shape, TOP]) <= CONTACT_MM:
                enter, leave, _, _ = span(shapes, shape, row, dx, dz)
                if enter <= 0.0 <= leave:
                    farthest = max(farthest, leave)
    return farthest


@kernel(f"float64({_BOX}, float64)")
def _slide(
    shapes: Floats, cell_starts: Ints, cell_ids: Ints, grid: Floats, rules: Floats, row: Floats,
    left: float,
) -> float:
    """As `_fly`, for a box that slides."""
    speed = math.sqrt(row[SPEED_X] * row[SPEED_X] + row[SPEED_Z] * row[SPEED_Z])
    if speed < STILL:
        row[MODE] = RESTING
        return left
    dx, dz = row[SPEED_X] / speed, row[SPEED_Z] / speed
    t = min(left, speed / SLIDE)
    way = speed * t - SLIDE * t * t / 2.0
    carried = _carried(shapes, cell_starts, cell_ids, grid, rules, row, dx, dz)
    when, nx, ny, nz, depth = first_contact(
        shapes, cell_starts, cell_ids, grid, rules, row, dx, dz, False, min(way, max(carried, 0.0))
    )
    if when != np.inf or carried < way:
        way = max(when, 0.0) if when != np.inf else max(carried, 0.0)
        slower = math.sqrt(max(speed * speed - 2.0 * SLIDE * way, 0.0))
        t = min(2.0 * way / (speed + slower), left)
    else:
        slower = max(speed - SLIDE * t, 0.0)
    row[X], row[Z] = row[X] + dx * way, row[Z] + dz * way
    row[SPEED_X], row[SPEED_Z] = dx * slower, dz * slower
    if when != np.inf:
        row[X], row[Y], row[Z] = row[X] + nx * depth, row[Y] + ny * depth, row[Z] + nz * depth
        if when >= 0.0:
            _bounce(row, nx, ny, nz)
    elif slower < STILL and carried >= way:
        row[MODE] = RESTING
    elif carried <= way:
        row[MODE], row[IS_CHANGED] = FLYING, 1.0
    return left - t


@kernel(f"void({_BOX})")
def _set_down(
    shapes: Floats, cell_starts: Ints, cell_ids: Ints, grid: Floats, rules: Floats, row: Floats
) -> None:
    """Down to the highest top, or the floor, that is under a box."""
    bottom, support = row[Y] - row[HIGH], rules[FLOOR]
    low_x, high_x, low_z, high_z = cells_under(grid, row, 0.0, 0.0)
    for line in range(low_z, high_z + 1):
        start = line * int(grid[CELLS_X])
        for k in range(cell_starts[start + low_x], cell_starts[start + high_x + 1]):
            shape = cell_ids[k]
            if support < shapes[shape, TOP] <= bottom + 2.0 * CONTACT_MM:
                enter, leave, _, _ = span(shapes, shape, row, 0.0, 0.0)
                if enter < leave:
                    support = shapes[shape, TOP]
    row[Y] = support + row[HIGH]
    row[SPEED_X] = row[SPEED_Y] = row[SPEED_Z] = 0.0


@kernel(f"Tuple((float64, float64, float64, float64, float64))({_BOX})")
def _deepest(
    shapes: Floats, cell_starts: Ints, cell_ids: Ints, grid: Floats, rules: Floats, row: Floats
) -> tuple[float, float, float, float, float]:
    """(depth, normal x, y, z) of what a box is the deepest in, and the highest top of all such."""
    depth, nx, ny, nz, top = CONTACT_MM, 0.0, 0.0, 0.0, -np.inf
    low_x, high_x, low_z, high_z = cells_under(grid, row, 0.0, 0.0)
    for line in range(low_z, high_z + 1):
        start = line * int(grid[CELLS_X])
        for k in range(cell_starts[start + low_x], cell_starts[start + high_x + 1]):
            found = depth_in(shapes, cell_ids[k], row)
            if found[0] > CONTACT_MM:
                top = max(top, shapes[cell_ids[k], TOP])
                if found[0] > depth:
                    depth, nx, ny, nz = found
    return depth, nx, ny, nz, top


@kernel(f"void({_BOX})")
def set_free(
    shapes: Floats, cell_starts: Ints, cell_ids: Ints, grid: Floats, rules: Floats, row: Floats
) -> None:
    """Put a box out of everything that it is in: the shortest way, or else upward.

    A hand reaches into a wall; what it lets go of there must not begin inside of it. Only what
    stands that high can put a box above the world.
    """
    row[Y] = min(row[Y], rules[MAX_Y] - row[HIGH])
    for _ in range(_PUSHES_MAX):
        _keep_in(rules, row, 0.0)
        depth, nx, ny, nz, _ = _deepest(shapes, cell_starts, cell_ids, grid, rules, row)
        if depth <= CONTACT_MM:
            return
        row[X], row[Y], row[Z] = row[X] + nx * depth, row[Y] + ny * depth, row[Z] + nz * depth
    _keep_in(rules, row, 0.0)
    for _ in range(shapes.shape[0]):  # each time on a higher top than before
        depth, _, _, _, top = _deepest(shapes, cell_starts, cell_ids, grid, rules, row)
        if depth <= CONTACT_MM:
            return
        row[Y] = top + row[HIGH]


@kernel(f"void({COLLIDERS}, float64[::1], float64[:, ::1], int64, float64)")
def step_flights(
    shapes: Floats, cell_starts: Ints, cell_ids: Ints, grid: Floats, rules: Floats, rows: Floats,
    count: int, dt: float,
) -> None:
    """Let `dt` seconds pass for the first `count` rows.

    Sets IS_CHANGED where one moves otherwise than its last part foretold, and MODE to RESTING
    where one has come to rest, or had been on its way for long enough and was set down.
    """
    for k in range(count):
        row, left = rows[k], dt
        for _ in range(PARTS_MAX):
            _keep_in(rules, row, CONTACT_MM)
            if row[MODE] == FLYING:
                left = _fly(shapes, cell_starts, cell_ids, grid, rules, row, left)
            else:
                left = _slide(shapes, cell_starts, cell_ids, grid, rules, row, left)
            if left <= 0.0 or row[MODE] == RESTING:
                break
        if left > 0.0:
            row[IS_CHANGED] = 1.0
        row[AGE] += dt
        if row[AGE] >= _AGE_MAX:
            row[MODE] = RESTING
        if row[MODE] == RESTING:
            _set_down(shapes, cell_starts, cell_ids, grid, rules, row)
