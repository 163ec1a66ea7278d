"""Compiled queries of flight: when a box that flies meets what stands in a world.

Theory of operation
-------------------
What flies is a box that keeps its yaw and does not tilt. So its contact with an upright collider
is the meeting of two outlines seen from above *and* of two intervals of height. Within one part of
a flight the outline moves straight and evenly and the height is a parabola, hence both can be
solved for exactly: the outlines overlap between two times (separating axes for boxes; for a
cylinder a rectangle with round corners), the heights in at most two intervals of time. The first
moment in both is the contact, and what came last says which face was met: a side, the top or the
underside. There are no sub-steps, so nothing is too thin or too fast. What slides keeps its
height, and distance takes the place of time.

Contact is when a box is CONTACT_MM inside, which is a thousand times what rounding moves. Who asks
puts it back to the surface then, so that the next part begins outside, and meets the same surface
only when it comes back. What begins inside all the same (two walls that lean on each other can do
that to a thousandth of a millimetre) meets it at -1, and is told the shortest way out.

A row is one box: columns X ... ROTATION_W, in mm, mm/s and s. Colliders, grid and rules are those
of `atrium_server.world.kernels`. Only sums, products, quotients and square roots are used, which
are the same to the bit on every machine.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from atrium_server.jit import kernel
from atrium_server.world.kernels import (
    BOTTOM,
    CELL,
    CELLS_X,
    CELLS_Z,
    CENTER_X,
    CENTER_Z,
    COS,
    FLOOR,
    HALF_X,
    HALF_Z,
    IS_ROUND,
    MAX_X,
    MAX_Y,
    MAX_Z,
    MIN_X,
    MIN_Z,
    ORIGIN_X,
    ORIGIN_Z,
    SIN,
    TOP,
    Floats,
    Ints,
)
from atrium_shared.props import GRAVITY_M_PER_S2

(
    X, Y, Z, SPEED_X, SPEED_Y, SPEED_Z, WIDE, HIGH, DEEP, YAW_COS, YAW_SIN, AGE, MODE, IS_CHANGED,
    ROTATION_X, ROTATION_Y, ROTATION_Z, ROTATION_W,
) = range(18)
"""Columns of a row: centre, velocity, half sizes, yaw, seconds since the launch, how it moves
(`flight_kernels.FLYING` ...), whether that has changed, and the rotation that it is seen with."""
FLIGHT_COLUMNS: Final = 18

GRAVITY: Final = 1_000 * GRAVITY_M_PER_S2
CONTACT_MM: Final = 1e-3

COLLIDERS: Final = "float64[:, ::1], int32[::1], int32[::1], float64[::1]"
CONTACT: Final = "Tuple((float64, float64, float64, float64, float64))"


# --- when outlines overlap, seen from above --------------------------------------------------


@kernel("Tuple((float64, float64))(float64, float64, float64)")
def _slab(at: float, rate: float, reach: float) -> tuple[float, float]:
    """From when to when `at + rate * t` is nearer to 0 than `reach`; (inf, -inf) if never."""
    if rate == 0.0:
        return (-np.inf, np.inf) if abs(at) < reach else (np.inf, -np.inf)
    one, other = (-reach - at) / rate, (reach - at) / rate
    return min(one, other), max(one, other)


@kernel("Tuple((float64, float64))(float64, float64, float64, float64, float64)")
def _circle(x: float, z: float, dx: float, dz: float, radius: float) -> tuple[float, float]:
    """From when to when the moving point is in the circle around the origin, as `_slab`."""
    square, toward = dx * dx + dz * dz, x * dx + z * dz
    outside = x * x + z * z - radius * radius
    if square == 0.0:
        return (-np.inf, np.inf) if outside < 0.0 else (np.inf, -np.inf)
    root = toward * toward - square * outside
    if root <= 0.0:
        return np.inf, -np.inf
    # Of the two forms of each root the one that does not subtract what is nearly equal.
    root = math.sqrt(root)
    if toward < 0.0:
        return outside / (root - toward), (root - toward) / square
    return -(toward + root) / square, -outside / (toward + root)


@kernel("Tuple((float64, float64, float64))(float64[:, ::1], int64, float64[::1], int64)")
def _axis(shapes: Floats, shape: int, row: Floats, k: int) -> tuple[float, float, float]:
    """Axis k of four that can separate two boxes, and how far along it they reach together."""
    cos, sin, yaw_cos, yaw_sin = shapes[shape, COS], shapes[shape, SIN], row[YAW_COS], row[YAW_SIN]
    even = abs(cos * yaw_cos + sin * yaw_sin)
    cross = abs(cos * yaw_sin - sin * yaw_cos)
    half_x, half_z, wide, deep = shapes[shape, HALF_X], shapes[shape, HALF_Z], row[WIDE], row[DEEP]
    if k == 0:
        return cos, -sin, half_x + wide * even + deep * cross
    if k == 1:
        return sin, cos, half_z + wide * cross + deep * even
    if k == 2:
        return yaw_cos, -yaw_sin, wide + half_x * even + half_z * cross
    return yaw_sin, yaw_cos, deep + half_x * cross + half_z * even


@kernel("Tuple((float64, float64, float64, float64))"
        "(float64[:, ::1], int64, float64[::1], float64, float64)")
def _box_span(
    shapes: Floats, shape: int, row: Floats, dx: float, dz: float
) -> tuple[float, float, float, float]:
    x, z = row[X] - shapes[shape, CENTER_X], row[Z] - shapes[shape, CENTER_Z]
    enter, leave, nx, nz = -np.inf, np.inf, 0.0, 0.0
    for k in range(4):
        ax, az, reach = _axis(shapes, shape, row, k)
        rate = dx * ax + dz * az
        begin, end = _slab(x * ax + z * az, rate, reach - CONTACT_MM)
        if begin > enter:
            enter = begin
            nx, nz = (-ax, -az) if rate > 0.0 else (ax, az)
        leave = min(leave, end)
    return enter, leave, nx, nz


@kernel("Tuple((float64, float64, float64, float64))"
        "(float64[:, ::1], int64, float64[::1], float64, float64)")
def _round_span(
    shapes: Floats, shape: int, row: Floats, dx: float, dz: float
) -> tuple[float, float, float, float]:
    """In the box's own frame the cylinder's centre must come into the box with round corners."""
    cos, sin, wide, deep = row[YAW_COS], row[YAW_SIN], row[WIDE], row[DEEP]
    x, z = row[X] - shapes[shape, CENTER_X], row[Z] - shapes[shape, CENTER_Z]
    x, z, dx, dz = x * cos - z * sin, x * sin + z * cos, dx * cos - dz * sin, dx * sin + dz * cos
    radius = shapes[shape, HALF_X] - CONTACT_MM
    enter, leave = np.inf, -np.inf
    for k in range(6):  # two rectangles and four circles; together they are convex
        if k < 2:
            begin, end = _slab(x, dx, wide + (radius if k == 0 else 0.0))
            other_begin, other_end = _slab(z, dz, deep + (radius if k == 1 else 0.0))
            begin, end = max(begin, other_begin), min(end, other_end)
        else:
            corner_x, corner_z = wide if k % 2 else -wide, deep if k < 4 else -deep
            begin, end = _circle(x - corner_x, z - corner_z, dx, dz, radius)
        if begin < end:
            enter, leave = min(enter, begin), max(leave, end)
    if not -np.inf < enter < leave:
        return enter, leave, 0.0, 0.0
    x, z = x + enter * dx, z + enter * dz
    off_x, off_z = x - min(max(x, -wide), wide), z - min(max(z, -deep), deep)
    length = math.sqrt(off_x * off_x + off_z * off_z)
    if length == 0.0:
        return enter, leave, 0.0, 0.0
    off_x, off_z = off_x / length, off_z / length
    return enter, leave, off_x * cos + off_z * sin, off_z * cos - off_x * sin


@kernel("Tuple((float64, float64, float64, float64))"
        "(float64[:, ::1], int64, float64[::1], float64, float64)")
def span(
    shapes: Floats, shape: int, row: Floats, dx: float, dz: float
) -> tuple[float, float, float, float]:
    """(from when, to when, normal x, z): the outlines overlap by CONTACT_MM; empty if never.

    The normal is that of `shape` where the box, which moves by (dx, dz), comes in.
    """
    if shapes[shape, IS_ROUND] != 0.0:
        return _round_span(shapes, shape, row, dx, dz)
    return _box_span(shapes, shape, row, dx, dz)


# --- how deep a box is inside ----------------------------------------------------------------


@kernel("Tuple((float64, float64, float64))(float64[:, ::1], int64, float64[::1])")
def _outline_depth(shapes: Floats, shape: int, row: Floats) -> tuple[float, float, float]:
    """How far the outlines overlap, and the normal of the shortest way out; negative if apart."""
    x, z = row[X] - shapes[shape, CENTER_X], row[Z] - shapes[shape, CENTER_Z]
    depth, nx, nz = np.inf, 1.0, 0.0
    if shapes[shape, IS_ROUND] == 0.0:
        for k in range(4):
            ax, az, reach = _axis(shapes, shape, row, k)
            at = x * ax + z * az
            if reach - abs(at) < depth:
                depth = reach - abs(at)
                nx, nz = (-ax, -az) if at < 0.0 else (ax, az)
        return depth, nx, nz
    cos, sin, wide, deep = row[YAW_COS], row[YAW_SIN], row[WIDE], row[DEEP]
    x, z = x * cos - z * sin, x * sin + z * cos
    off_x, off_z = x - min(max(x, -wide), wide), z - min(max(z, -deep), deep)
    length = math.sqrt(off_x * off_x + off_z * off_z)
    if length > 0.0:
        depth, off_x, off_z = shapes[shape, HALF_X] - length, off_x / length, off_z / length
    elif wide - abs(x) < deep - abs(z):
        depth, off_x = shapes[shape, HALF_X] + wide - abs(x), math.copysign(1.0, x)
    else:
        depth, off_z = shapes[shape, HALF_X] + deep - abs(z), math.copysign(1.0, z)
    return depth, off_x * cos + off_z * sin, off_z * cos - off_x * sin


@kernel("Tuple((float64, float64, float64, float64))(float64[:, ::1], int64, float64[::1])")
def depth_in(shapes: Floats, shape: int, row: Floats) -> tuple[float, float, float, float]:
    """How deep the box is in `shape`, and the normal of the shortest way out; negative if apart."""
    depth, nx, nz = _outline_depth(shapes, shape, row)
    ny = 0.0
    over = shapes[shape, TOP] - (row[Y] - row[HIGH])
    under = row[Y] + row[HIGH] - shapes[shape, BOTTOM]
    if over < depth:
        depth, nx, ny, nz = over, 0.0, 1.0, 0.0
    if under < depth:
        depth, nx, ny, nz = under, 0.0, -1.0, 0.0
    return depth, nx, ny, nz


# --- the first contact -----------------------------------------------------------------------


@kernel("Tuple((float64, float64))(float64, float64, float64)")
def _crossings(y: float, speed: float, level: float) -> tuple[float, float]:
    """When what falls freely rises over `level` and when it sinks below; (inf, -inf) if never."""
    root = speed * speed - 2.0 * GRAVITY * (level - y)
    if root <= 0.0:
        return np.inf, -np.inf
    root = math.sqrt(root)
    if speed < 0.0:
        return -(root - speed) / GRAVITY, 2.0 * (y - level) / (root - speed)
    return 2.0 * (level - y) / (speed + root), (speed + root) / GRAVITY


@kernel(f"{CONTACT}(float64[:, ::1], int64, float64[::1], float64, float64, boolean, float64)")
def _meets(
    shapes: Floats, shape: int, row: Floats, dx: float, dz: float, falls: bool, until: float
) -> tuple[float, float, float, float, float]:
    """(when, normal x, y, z, how deep) the box meets `shape`; inf if it does not by `until`.

    It falls freely or keeps its height. A box that is inside now meets it at -1.
    """
    enter, leave, nx, nz = span(shapes, shape, row, dx, dz)
    if enter >= leave or leave <= 0.0 or enter > until:
        return np.inf, 0.0, 0.0, 0.0, 0.0
    low = shapes[shape, BOTTOM] - row[HIGH] + CONTACT_MM
    high = shapes[shape, TOP] + row[HIGH] - CONTACT_MM
    if falls:
        rise, sink = _crossings(row[Y], row[SPEED_Y], low)
        over, under = _crossings(row[Y], row[SPEED_Y], high)
    elif low < row[Y] < high:
        rise, sink, over, under = -np.inf, np.inf, np.inf, -np.inf
    else:
        return np.inf, 0.0, 0.0, 0.0, 0.0
    for part in range(2):  # on the way up, until it is over the top; on the way down, from there
        if part == 0:
            came, ny = rise, -1.0
            end = min(leave, sink, over)
        else:
            came, ny = under, 1.0
            end = min(leave, sink) if over < np.inf else -np.inf
        begin = max(enter, came)
        if begin < end and end > 0.0 and begin <= until:
            if begin < 0.0:
                depth, nx, ny, nz = depth_in(shapes, shape, row)
                return -1.0, nx, ny, nz, depth
            if enter >= came:
                return begin, nx, 0.0, nz, CONTACT_MM
            return begin, 0.0, ny, 0.0, CONTACT_MM
    return np.inf, 0.0, 0.0, 0.0, 0.0


@kernel("Tuple((float64, float64))(float64[::1])")
def reach_of(row: Floats) -> tuple[float, float]:
    """How far the box reaches from its centre along x and z."""
    cos, sin = abs(row[YAW_COS]), abs(row[YAW_SIN])
    return row[WIDE] * cos + row[DEEP] * sin, row[WIDE] * sin + row[DEEP] * cos


@kernel("Tuple((float64, float64))(float64, float64, float64)")
def room(low: float, high: float, reach: float) -> tuple[float, float]:
    """Where a centre may be between two walls; in their middle where they are too near."""
    if high - low < 2.0 * reach:
        return (low + high) / 2.0, (low + high) / 2.0
    return low + reach, high - reach


@kernel("int64(float64, float64, float64, float64)")
def _cell(at: float, origin: float, side: float, cells: float) -> int:
    return int(min(max(math.floor((at - origin) / side), 0.0), cells - 1.0))


@kernel("UniTuple(int64, 4)(float64[::1], float64[::1], float64, float64)")
def cells_under(
    grid: Floats, row: Floats, dx: float, dz: float
) -> tuple[int, int, int, int]:
    """First and last column, first and last row of the cells under the box on its way."""
    reach_x, reach_z = reach_of(row)
    side, cells_x, cells_z = grid[CELL], grid[CELLS_X], grid[CELLS_Z]
    return (
        _cell(row[X] + min(dx, 0.0) - reach_x, grid[ORIGIN_X], side, cells_x),
        _cell(row[X] + max(dx, 0.0) + reach_x, grid[ORIGIN_X], side, cells_x),
        _cell(row[Z] + min(dz, 0.0) - reach_z, grid[ORIGIN_Z], side, cells_z),
        _cell(row[Z] + max(dz, 0.0) + reach_z, grid[ORIGIN_Z], side, cells_z),
    )


@kernel(f"{CONTACT}(float64[::1], float64[::1], float64, float64, boolean)")
def _meets_bounds(
    rules: Floats, row: Floats, dx: float, dz: float, falls: bool
) -> tuple[float, float, float, float, float]:
    """As `_meets`, for the floor and the sides and top of the world."""
    when, nx, ny, nz = np.inf, 0.0, 0.0, 0.0
    reach_x, reach_z = reach_of(row)
    low, high = room(rules[MIN_X], rules[MAX_X], reach_x)
    if dx != 0.0:
        edge = high + CONTACT_MM if dx > 0.0 else low - CONTACT_MM
        when, nx = (edge - row[X]) / dx, -math.copysign(1.0, dx)
    low, high = room(rules[MIN_Z], rules[MAX_Z], reach_z)
    if dz != 0.0:
        edge = high + CONTACT_MM if dz > 0.0 else low - CONTACT_MM
        if (edge - row[Z]) / dz < when:
            when, nx, nz = (edge - row[Z]) / dz, 0.0, -math.copysign(1.0, dz)
    if falls:
        _, sink = _crossings(row[Y], row[SPEED_Y], rules[FLOOR] + row[HIGH] - CONTACT_MM)
        if sink < when:
            when, nx, ny, nz = sink, 0.0, 1.0, 0.0
        rise, _ = _crossings(row[Y], row[SPEED_Y], rules[MAX_Y] - row[HIGH] + CONTACT_MM)
        if row[SPEED_Y] > 0.0 and rise < when:
            when, nx, ny, nz = rise, 0.0, -1.0, 0.0
    return max(when, 0.0), nx, ny, nz, CONTACT_MM


@kernel("UniTuple(float64, 6)(float64[::1], float64, float64, boolean, float64)")
def _way(
    row: Floats, dx: float, dz: float, falls: bool, until: float
) -> tuple[float, float, float, float, float, float]:
    """Bounds of the box on its way: (middle x, half x, middle z, half z, lowest y, highest y)."""
    reach_x, reach_z = reach_of(row)
    low = high = row[Y]
    if falls:
        speed = row[SPEED_Y]
        low = min(low, low + speed * until - GRAVITY * until * until / 2.0)
        high += max(speed, 0.0) * max(speed, 0.0) / (2.0 * GRAVITY)
    return (
        row[X] + dx / 2.0, reach_x + abs(dx) / 2.0, row[Z] + dz / 2.0, reach_z + abs(dz) / 2.0,
        low - row[HIGH], high + row[HIGH],
    )


@kernel("boolean(float64[:, ::1], int64, UniTuple(float64, 6))")
def _is_off(
    shapes: Floats, shape: int, bounds: tuple[float, float, float, float, float, float]
) -> bool:
    """Whether `shape` is plainly apart from these bounds: true of most that are in the cells."""
    x, half_x, z, half_z, low, high = bounds
    reach = shapes[shape, HALF_X] + shapes[shape, HALF_Z]  # at least, however it is turned
    return (
        shapes[shape, TOP] <= low or shapes[shape, BOTTOM] >= high
        or abs(shapes[shape, CENTER_X] - x) > half_x + reach
        or abs(shapes[shape, CENTER_Z] - z) > half_z + reach
    )


@kernel(f"{CONTACT}({COLLIDERS}, float64[::1], float64[::1], float64, float64, boolean, float64)")
def first_contact(
    shapes: Floats, cell_starts: Ints, cell_ids: Ints, grid: Floats, rules: Floats,
    row: Floats, dx: float, dz: float, falls: bool, until: float,
) -> tuple[float, float, float, float, float]:
    """(when, normal x, y, z, how deep) the box first meets anything; inf if not by `until`.

    It moves by (dx, dz) in a unit of time, or of distance where it does not fall. When it is
    inside of something now that is told at -1, and of several the deepest.
    """
    first = _meets_bounds(rules, row, dx, dz, falls)
    if first[0] > until:
        first = np.inf, 0.0, 0.0, 0.0, 0.0
    bounds = _way(row, dx * until, dz * until, falls, until)
    low_x, high_x, low_z, high_z = cells_under(grid, row, dx * until, dz * until)
    for line in range(low_z, high_z + 1):
        start = line * int(grid[CELLS_X])
        for k in range(cell_starts[start + low_x], cell_starts[start + high_x + 1]):
            if _is_off(shapes, cell_ids[k], bounds):
                continue
            found = _meets(shapes, cell_ids[k], row, dx, dz, falls, until)
            if found[0] < first[0] or (found[0] == -1.0 == first[0] and found[4] > first[4]):
                first = found
    return first
