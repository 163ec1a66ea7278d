"""Compiled geometry: where a body may stand, how far it gets, and how roots move by the rules.

Theory of operation
-------------------
A body is an upright cylinder. Seen from above it is a disc, and every collider is a convex shape:
a turned rectangle or a circle. Whether the disc touches the shape is whether the disc's centre is
nearer to the shape than its radius, so all questions reduce to the signed distance of a *point*
(`distance_to`), and a sweep of the disc to a ray against the shape grown by the radius (the grown
rectangle has round corners). Because the shape is convex, so is its signed distance along a
ray: who starts inside of the grown shape and moves outward never gets deeper, which is why such
a start can be let go without looking further, and who starts outside cannot pass however thin the
shape and however long the step.

Heights decide which colliders count at all. A *passage* is (feet, head) in mm: a collider blocks
unless its top is at most a step above the feet (one climbs it) or its underside is above the
head. `levels` then says between which heights a body at a point must be: on top of what is under
its centre, at most a step below the top of what its rim touches, under what hangs above it.

A uniform grid in CSR form keeps this local: cell `c` holds the colliders
`cell_ids[cell_starts[c]:cell_starts[c + 1]]` whose bounds, grown by the body radius and the skin,
reach into it, so a query looks only at the cells under the ray.

`move_root` puts the movement rules on top; `atrium_server.world.movement` tells them as prose.

Everything is float64 millimetres. Rows of `shapes` are columns `CENTER_X` ... `TOP`; `grid` holds
the scalars `ORIGIN_X` ... `BODY_RADIUS`. None of the kernels lets go of the GIL: for calls this
short taking it back costs more than the work.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

from atrium_server.jit import kernel
from atrium_shared import pose
from atrium_shared.messages import MoveReason

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]
Shorts = npt.NDArray[np.uint16]
Bools = npt.NDArray[np.bool_]

CENTER_X, CENTER_Z, HALF_X, HALF_Z, COS, SIN, BOTTOM, TOP, IS_ROUND = range(9)
"""Columns of `shapes`. A cylinder has IS_ROUND 1 and its radius in HALF_X."""
SHAPE_COLUMNS: Final = 9
ORIGIN_X, ORIGIN_Z, CELL, CELLS_X, CELLS_Z, BODY_RADIUS = range(6)
"""Entries of `grid`: corner and cell side in mm, cells on each axis, radius of a body in mm."""
GRID_ENTRIES: Final = 6

SKIN_MM: Final = 1.0
"""A body stops this far before contact, so that rounding to whole mm cannot make it touch."""
STEP_UP_MM: Final = 500.0
BODY_HEIGHT_MM: Final = 1800.0
NO_HIT: Final = 2.0
"""A fraction no ray has: fractions are 0..1."""
_AWAY: Final = -1e-7
"""Cosine above which a direction counts as along or away from a surface (0.1 um per metre)."""
_CONTACT_MM: Final = 1e-6

BUDGET, CLIMB, MOVED, SPEED, GROUND, LIFT = range(6)
"""Rows of `motion`, one column for each slot; `atrium_server.world.movement` explains them."""
MOTION_ROWS: Final = 6
MIN_X, MAX_X, MIN_Z, MAX_Z, MAX_Y, FLOOR, Y_UNIT, JUMP = range(8)
"""Entries of `rules`, in mm."""
RULE_ENTRIES: Final = 8

BUDGET_S_MAX: Final = 1.0
"""The budgets hold this long at full speed."""
VERTICAL_SPEED_MM_PER_S_MAX: Final = 10_000.0
LIFT_SINKS_MM_PER_S: Final = 1_000.0
TOLERANCE_MM: Final = 2
"""What rounding and the skin may change without it being called a broken rule."""
_SEATED: Final = int(pose.Flags.SEATED)
_SPEED_BROKEN: Final = int(MoveReason.SPEED)
_BOUNDS_BROKEN: Final = int(MoveReason.BOUNDS)
_FLOOR_BROKEN: Final = int(MoveReason.FLOOR)
_COLLIDER_BROKEN: Final = int(MoveReason.COLLIDER)
_SEATED_BROKEN: Final = int(MoveReason.SEATED)

_COLLIDERS: Final = "float64[:, ::1], int32[::1], int32[::1], float64[::1]"


@kernel("Tuple((float64, float64, float64))(float64[:, ::1], int64, float64, float64)")
def distance_to(shapes: Floats, shape: int, x: float, z: float) -> tuple[float, float, float]:
    """Signed distance in mm from the point to the outline of `shape`, and the normal there.

    Negative inside. The normal (x, z) points outward from the nearest side.
    """
    dx = x - shapes[shape, CENTER_X]
    dz = z - shapes[shape, CENTER_Z]
    if shapes[shape, IS_ROUND] != 0.0:
        length = math.sqrt(dx * dx + dz * dz)
        if length == 0.0:
            return -shapes[shape, HALF_X], 1.0, 0.0
        return length - shapes[shape, HALF_X], dx / length, dz / length
    cos, sin = shapes[shape, COS], shapes[shape, SIN]
    across = dx * cos - dz * sin
    along = dx * sin + dz * cos
    over_x = abs(across) - shapes[shape, HALF_X]
    over_z = abs(along) - shapes[shape, HALF_Z]
    if over_x > 0.0 and over_z > 0.0:
        distance = math.sqrt(over_x * over_x + over_z * over_z)
        nx, nz = over_x / distance, over_z / distance
    elif over_x > over_z:
        distance, nx, nz = over_x, 1.0, 0.0
    else:
        distance, nx, nz = over_z, 0.0, 1.0
    nx, nz = math.copysign(nx, across), math.copysign(nz, along)
    return distance, nx * cos + nz * sin, nz * cos - nx * sin


@kernel("float64(float64, float64, float64, float64, float64)")
def _circle_fraction(x: float, z: float, dx: float, dz: float, radius: float) -> float:
    """Where the ray from outside enters the circle around the origin, or NO_HIT."""
    toward = x * dx + z * dz
    outside = x * x + z * z - radius * radius
    root = toward * toward - (dx * dx + dz * dz) * outside
    if toward >= 0.0 or root < 0.0:
        return NO_HIT
    fraction = outside / (math.sqrt(root) - toward)
    return fraction if fraction <= 1.0 else NO_HIT


@kernel("float64(float64, float64, float64, float64, float64, float64, float64)")
def _rectangle_fraction(
    x: float, z: float, dx: float, dz: float, half_x: float, half_z: float, margin: float
) -> float:
    """Where the ray comes within `margin` of the rectangle around the origin, or NO_HIT."""
    enter, leave = 0.0, 1.0
    for axis in range(2):
        at, step, half = (x, dx, half_x + margin) if axis == 0 else (z, dz, half_z + margin)
        if step == 0.0:
            if abs(at) >= half:
                return NO_HIT
            continue
        near, far = (-half - at) / step, (half - at) / step
        enter, leave = max(enter, min(near, far)), min(leave, max(near, far))
    if enter > leave:
        return NO_HIT
    at_x, at_z = x + enter * dx, z + enter * dz
    if abs(at_x) > half_x and abs(at_z) > half_z:
        corner_x, corner_z = math.copysign(half_x, at_x), math.copysign(half_z, at_z)
        return _circle_fraction(x - corner_x, z - corner_z, dx, dz, margin)
    return enter


@kernel("float64(float64[:, ::1], int64, float64, float64, float64, float64, float64)")
def ray_fraction(
    shapes: Floats, shape: int, x: float, z: float, dx: float, dz: float, margin: float
) -> float:
    """How far along (dx, dz), as 0..1, the point comes within `margin` of `shape`, or NO_HIT.

    A point already that near is stopped at 0 when it would get nearer and let go otherwise.
    """
    distance, nx, nz = distance_to(shapes, shape, x, z)
    length = math.sqrt(dx * dx + dz * dz)
    if distance <= margin + _CONTACT_MM:
        return 0.0 if nx * dx + nz * dz < _AWAY * length else NO_HIT
    if distance > margin + length:
        return NO_HIT
    x -= shapes[shape, CENTER_X]
    z -= shapes[shape, CENTER_Z]
    if shapes[shape, IS_ROUND] != 0.0:
        return _circle_fraction(x, z, dx, dz, shapes[shape, HALF_X] + margin)
    cos, sin = shapes[shape, COS], shapes[shape, SIN]
    return _rectangle_fraction(
        x * cos - z * sin, x * sin + z * cos, dx * cos - dz * sin, dx * sin + dz * cos,
        shapes[shape, HALF_X], shapes[shape, HALF_Z], margin,
    )


@kernel("int64(float64, float64, float64, float64)")
def _cell(at: float, origin: float, side: float, cells: float) -> int:
    return int(min(max(math.floor((at - origin) / side), 0.0), cells - 1.0))


@kernel("boolean(int32[::1], float64[::1], float64, float64, float64, float64)")
def _is_open(
    cell_starts: Ints, grid: Floats, x: float, z: float, to_x: float, to_z: float
) -> bool:
    """Whether the whole way lies in one cell that no shape reaches: nearly always, outdoors."""
    column = _cell(x, grid[ORIGIN_X], grid[CELL], grid[CELLS_X])
    row = _cell(z, grid[ORIGIN_Z], grid[CELL], grid[CELLS_Z])
    if (column != _cell(to_x, grid[ORIGIN_X], grid[CELL], grid[CELLS_X])
            or row != _cell(to_z, grid[ORIGIN_Z], grid[CELL], grid[CELLS_Z])):
        return False
    cell = row * int(grid[CELLS_X]) + column
    return cell_starts[cell] == cell_starts[cell + 1]


@kernel("boolean(float64[:, ::1], int64, float64, float64)")
def _blocks(shapes: Floats, shape: int, feet: float, head: float) -> bool:
    return shapes[shape, TOP] > feet + STEP_UP_MM and shapes[shape, BOTTOM] < head


@kernel(f"Tuple((float64, int64))({_COLLIDERS}, float64, float64, float64, float64,"
        " float64, float64)")
def sweep(
    shapes: Floats, cell_starts: Ints, cell_ids: Ints, grid: Floats,
    x: float, z: float, dx: float, dz: float, feet: float, head: float,
) -> tuple[float, int]:
    """How far a body gets along (dx, dz), as 0..1, and the shape it meets; (NO_HIT, -1) if none.

    It stops one skin before contact with a shape that blocks the passage (feet, head).
    """
    margin = grid[BODY_RADIUS] + SKIN_MM
    side, cells_x, cells_z = grid[CELL], grid[CELLS_X], grid[CELLS_Z]
    nearest, met = NO_HIT, -1
    first_x = _cell(min(x, x + dx), grid[ORIGIN_X], side, cells_x)
    last_x = _cell(max(x, x + dx), grid[ORIGIN_X], side, cells_x)
    first_z = _cell(min(z, z + dz), grid[ORIGIN_Z], side, cells_z)
    last_z = _cell(max(z, z + dz), grid[ORIGIN_Z], side, cells_z)
    for row in range(first_z, last_z + 1):
        for cell in range(row * int(cells_x) + first_x, row * int(cells_x) + last_x + 1):
            for k in range(cell_starts[cell], cell_starts[cell + 1]):
                shape = cell_ids[k]
                if _blocks(shapes, shape, feet, head):
                    fraction = ray_fraction(shapes, shape, x, z, dx, dz, margin)
                    if fraction < nearest:
                        nearest, met = fraction, shape
    return nearest, met


@kernel(f"Tuple((float64, float64))({_COLLIDERS}, float64, float64, float64, float64)")
def push_out(
    shapes: Floats, cell_starts: Ints, cell_ids: Ints, grid: Floats,
    x: float, z: float, feet: float, head: float,
) -> tuple[float, float]:
    """The point moved out of what it is too near to: the deepest first, at most four times."""
    margin = grid[BODY_RADIUS] + SKIN_MM
    for _ in range(4):
        cell = _cell(z, grid[ORIGIN_Z], grid[CELL], grid[CELLS_Z]) * int(grid[CELLS_X])
        cell += _cell(x, grid[ORIGIN_X], grid[CELL], grid[CELLS_X])
        deepest, out_x, out_z = margin - _CONTACT_MM, 0.0, 0.0
        for k in range(cell_starts[cell], cell_starts[cell + 1]):
            shape = cell_ids[k]
            if not _blocks(shapes, shape, feet, head):
                continue
            distance, nx, nz = distance_to(shapes, shape, x, z)
            if distance < deepest:
                deepest, out_x, out_z = distance, nx, nz
        if out_x == 0.0 and out_z == 0.0:
            break
        x += out_x * (margin - deepest)
        z += out_z * (margin - deepest)
    return x, z


@kernel(f"Tuple((float64, float64, float64, boolean))({_COLLIDERS}, float64, float64,"
        " float64, float64, float64)")
def levels(
    shapes: Floats, cell_starts: Ints, cell_ids: Ints, grid: Floats,
    x: float, z: float, feet: float, head: float, floor: float,
) -> tuple[float, float, float, bool]:
    """(lowest y, highest y, ground, blocked) for a body at the point that came by the passage.

    Ground is the floor or the highest top right under the point that is at most a step above the
    feet. The lowest y is the ground, or a step below a higher top that the rim still touches.
    """
    low, high, ground, blocked = floor, np.inf, floor, False
    cell = _cell(z, grid[ORIGIN_Z], grid[CELL], grid[CELLS_Z]) * int(grid[CELLS_X])
    cell += _cell(x, grid[ORIGIN_X], grid[CELL], grid[CELLS_X])
    for k in range(cell_starts[cell], cell_starts[cell + 1]):
        shape = cell_ids[k]
        distance, _, _ = distance_to(shapes, shape, x, z)
        if distance >= grid[BODY_RADIUS]:
            continue
        if shapes[shape, TOP] <= feet + STEP_UP_MM:
            if distance < 0.0:
                ground = max(ground, shapes[shape, TOP])
            low = max(low, ground, shapes[shape, TOP] - STEP_UP_MM)
        elif shapes[shape, BOTTOM] >= head:
            high = min(high, shapes[shape, BOTTOM] - BODY_HEIGHT_MM)
        else:
            blocked = True
    return low, high, ground, blocked


@kernel(f"Tuple((float64, float64))({_COLLIDERS}, float64[::1], float64, float64, float64,"
        " float64, float64, float64)")
def walk(
    shapes: Floats, cell_starts: Ints, cell_ids: Ints, grid: Floats, rules: Floats,
    x: float, z: float, to_x: float, to_z: float, feet: float, head: float,
) -> tuple[float, float]:
    """Where a body ends that wants to go straight to (to_x, to_z): it slides once at what it meets.

    The target must lie within the bounds; the result may lie outside by what it was pushed out.
    """
    fraction, met = sweep(
        shapes, cell_starts, cell_ids, grid, x, z, to_x - x, to_z - z, feet, head
    )
    if met < 0:
        x, z = to_x, to_z
    else:
        x += fraction * (to_x - x)
        z += fraction * (to_z - z)
        _, nx, nz = distance_to(shapes, met, x, z)
        into = (to_x - x) * nx + (to_z - z) * nz
        dx = min(max(to_x - into * nx, rules[MIN_X]), rules[MAX_X]) - x
        dz = min(max(to_z - into * nz, rules[MIN_Z]), rules[MAX_Z]) - z
        fraction, _ = sweep(shapes, cell_starts, cell_ids, grid, x, z, dx, dz, feet, head)
        x += min(fraction, 1.0) * dx
        z += min(fraction, 1.0) * dz
    return push_out(shapes, cell_starts, cell_ids, grid, x, z, feet, head)


@kernel("Tuple((float64, float64, float64, float64, int64))(float64[::1], float64[:, ::1],"
        " int64, float64, float64, float64, int32[::1])")
def _granted(
    rules: Floats, motion: Floats, slot: int, x: float, y: float, z: float, wanted: Ints
) -> tuple[float, float, float, float, int]:
    """(x, y, z, y before the jump limit, broken rules) that budgets and bounds leave of a wish."""
    dx, dz, to_y = wanted[0] - x, wanted[2] - z, wanted[1] * rules[Y_UNIT]
    reasons = 0
    length, budget = math.sqrt(dx * dx + dz * dz), max(motion[BUDGET, slot], 0.0)
    if length > budget:
        # Toward zero, so that rounding never grants more than the budget.
        dx, dz = float(int(dx * budget / length)), float(int(dz * budget / length))
        if length - math.sqrt(dx * dx + dz * dz) > TOLERANCE_MM:
            reasons |= _SPEED_BROKEN
    near_y = min(max(to_y, y - motion[CLIMB, slot]), y + motion[CLIMB, slot])
    if abs(near_y - to_y) > TOLERANCE_MM:
        reasons |= _SPEED_BROKEN
    to_x = min(max(x + dx, rules[MIN_X]), rules[MAX_X])
    to_z = min(max(z + dz, rules[MIN_Z]), rules[MAX_Z])
    if max(abs(to_x - x - dx), abs(to_z - z - dz)) > TOLERANCE_MM:
        reasons |= _BOUNDS_BROKEN
    return to_x, min(near_y, motion[LIFT, slot] + rules[JUMP]), to_z, near_y, reasons


@kernel(f"int64({_COLLIDERS}, float64[::1], float64[:, ::1], int64, int32[::1], int32[::1])")
def _move_root(
    shapes: Floats, cell_starts: Ints, cell_ids: Ints, grid: Floats, rules: Floats,
    motion: Floats, slot: int, row: Ints, wanted: Ints,
) -> int:
    """Move the root of `row` toward that of `wanted`; returns the bits of the rules it broke.

    Charges the budgets of `slot` with what was moved.
    """
    x, y, z = float(row[0]), row[1] * rules[Y_UNIT], float(row[2])
    to_x, leap_y, to_z, near_y, reasons = _granted(rules, motion, slot, x, y, z, wanted)
    feet, head = max(y, leap_y), min(y, leap_y) + BODY_HEIGHT_MM
    is_open = _is_open(cell_starts, grid, x, z, to_x, to_z)
    end_x, end_z = to_x, to_z
    if not is_open:
        end_x, end_z = walk(
            shapes, cell_starts, cell_ids, grid, rules, x, z, to_x, to_z, feet, head
        )
    end_x = min(max(np.rint(end_x), rules[MIN_X]), rules[MAX_X])
    end_z = min(max(np.rint(end_z), rules[MIN_Z]), rules[MAX_Z])
    low, high, ground, blocked = rules[FLOOR], np.inf, rules[FLOOR], False
    if not is_open:
        low, high, ground, blocked = levels(
            shapes, cell_starts, cell_ids, grid, end_x, end_z, feet, head, rules[FLOOR]
        )
    lowest = math.ceil(low / rules[Y_UNIT])
    highest = math.floor(min(high, rules[MAX_Y]) / rules[Y_UNIT])
    if blocked or lowest > highest:
        return reasons | _COLLIDER_BROKEN
    if max(abs(end_x - to_x), abs(end_z - to_z)) > TOLERANCE_MM:
        reasons |= _COLLIDER_BROKEN
    units = min(max(int(np.rint(leap_y / rules[Y_UNIT])), lowest), highest)
    end_y = units * rules[Y_UNIT]
    if abs(end_y - near_y) > TOLERANCE_MM:
        reasons |= _BOUNDS_BROKEN if near_y > rules[MAX_Y] else _FLOOR_BROKEN
    moved = math.sqrt((end_x - x) ** 2 + (end_z - z) ** 2)
    motion[BUDGET, slot] -= moved
    motion[MOVED, slot] += moved
    motion[CLIMB, slot] = max(motion[CLIMB, slot] - abs(end_y - y), 0.0)
    motion[GROUND, slot] = ground
    motion[LIFT, slot] = max(motion[LIFT, slot], ground)
    row[0], row[1], row[2] = int(end_x), units, int(end_z)
    return reasons


@kernel(f"int64({_COLLIDERS}, float64[::1], float64[:, ::1], int64, int32[::1], int32[::1])")
def move_root(
    shapes: Floats, cell_starts: Ints, cell_ids: Ints, grid: Floats, rules: Floats,
    motion: Floats, slot: int, row: Ints, wish: Ints,
) -> int:
    """As `_move_root`, but who sits stays where the seat is."""
    if row[pose.FLAGS] & _SEATED == 0:
        return _move_root(
            shapes, cell_starts, cell_ids, grid, rules, motion, slot, row, wish
        )
    if (max(abs(wish[0] - row[0]), abs(wish[2] - row[2])) > TOLERANCE_MM
            or abs(wish[1] - row[1]) * rules[Y_UNIT] > TOLERANCE_MM):
        return _SEATED_BROKEN
    return 0
