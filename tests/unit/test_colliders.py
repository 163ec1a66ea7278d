"""Colliders and their kernels against plain geometry that shares no formula with them.

The oracle knows a box by its four corners and a cylinder by its centre, looks at every collider,
and finds the first contact of a straight way by search: along a ray the distance to a convex
shape falls and then rises, so a ternary search finds the lowest point and a bisection the place
where the margin is reached.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from atrium_server.world import kernels
from atrium_server.world.colliders import CELLS_MAX, ENTRIES_MAX, build_colliders
from atrium_server.world.manifest import Manifest, parse_manifest
from atrium_server.world.scene import Box, Cylinder, Extent

EMPTY = parse_manifest(
    """
    world = {name = "test"}
    extent = {min = [-20.0, -2.0, -20.0], max = [20.0, 20.0, 20.0]}
    spawn = [{position = [0.0, 0.0, 0.0]}]
    """,
    "test",
)
RADIUS = 250.0
MARGIN = RADIUS + kernels.SKIN_MM
PASSAGE = (0.0, 1800.0)
NEAR = 1e-3
"""Millimetres that two ways of calculating may differ by."""


def world_of(*solids: Box | Cylinder) -> Manifest:
    return replace(
        EMPTY,
        boxes=tuple(solid for solid in solids if isinstance(solid, Box)),
        cylinders=tuple(solid for solid in solids if isinstance(solid, Cylinder)),
    )


def corners_of(box: Box) -> list[complex]:
    """The corners seen from above in mm, as x - iz, so that a yaw turns counter-clockwise."""
    turn = complex(math.cos(math.radians(box.yaw_deg)), math.sin(math.radians(box.yaw_deg)))
    center = complex(box.center[0], -box.center[2])
    half_x, half_z = box.size[0] / 2, box.size[2] / 2
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return [1000 * (center + turn * complex(a * half_x, b * half_z)) for a, b in signs]


def distance_to_segment(point: complex, a: complex, b: complex) -> float:
    along = ((point - a) * (b - a).conjugate()).real / abs(b - a) ** 2
    return abs(point - (a + min(max(along, 0.0), 1.0) * (b - a)))


def oracle_distance(solid: Box | Cylinder, x: float, z: float) -> float:
    """Signed distance in mm from the point to the outline of `solid`."""
    point = complex(x, -z)
    if isinstance(solid, Cylinder):
        center = 1000 * complex(solid.center[0], -solid.center[2])
        return abs(point - center) - 1000 * solid.radius_m
    corners = corners_of(solid)
    sides = list(zip(corners, corners[1:] + corners[:1], strict=True))
    nearest = min(distance_to_segment(point, a, b) for a, b in sides)
    is_inside = all(((b - a).conjugate() * (point - a)).imag > 0 for a, b in sides)
    return -nearest if is_inside else nearest


def oracle_contact(distance_at: Callable[[float], float], margin: float) -> float | None:
    """The first t in 0..1 where `distance_at` falls to `margin`, or None if it stays above."""
    low, high = 0.0, 1.0
    for _ in range(200):
        a, b = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, b) if distance_at(a) <= distance_at(b) else (a, high)
    deepest = low
    if distance_at(deepest) > margin:
        return None
    low, high = 0.0, deepest
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if distance_at(middle) <= margin else (middle, high)
    return high


coordinates = st.integers(-15_000, 15_000).map(lambda mm: mm / 1000)
sizes = st.integers(10, 6_000).map(lambda mm: mm / 1000)
yaws = st.one_of(st.sampled_from([0.0, 45.0, 90.0, -90.0, 180.0]), st.integers(-360, 360))
heights = st.sampled_from([0.3, 0.5, 0.8, 2.0, 4.0])
places = st.tuples(coordinates, st.sampled_from([0.2, 1.0, 2.5]), coordinates)
boxes = st.builds(Box, st.just("b"), places, st.tuples(sizes, heights, sizes), yaws.map(float))
cylinders = st.builds(Cylinder, st.just("c"), places, sizes, heights)
solids = st.one_of(boxes, cylinders)
points = st.tuples(st.integers(-20_000, 20_000), st.integers(-20_000, 20_000))
shares = st.tuples(st.floats(-1.0, 1.0), st.floats(-1.0, 1.0))


def point_in(solid: Box | Cylinder, share: tuple[float, float]) -> tuple[float, float]:
    """The point of `solid` at the shares of its half sides (a cylinder's: of a square in it)."""
    if isinstance(solid, Cylinder):
        half = 1000 * solid.radius_m / math.sqrt(2)
        return 1000 * solid.center[0] + half * share[0], 1000 * solid.center[2] + half * share[1]
    first, second, _, fourth = corners_of(solid)
    a, b = (share[0] + 1) / 2, (share[1] + 1) / 2
    point = first + a * (second - first) + b * (fourth - first)
    return point.real, -point.imag


def blocks(solid: Box | Cylinder, feet: float, head: float) -> bool:
    height = solid.size[1] if isinstance(solid, Box) else solid.height_m
    bottom = round(1000 * (solid.center[1] - height / 2))
    top = round(1000 * (solid.center[1] + height / 2))
    return top > feet + 500 and bottom < head


@given(solids, points)
def test_distance_and_normal(solid: Box | Cylinder, point: tuple[int, int]):
    shapes = build_colliders(world_of(solid)).shapes
    x, z = map(float, point)
    distance, nx, nz = kernels.distance_to(shapes, 0, x, z)
    assert distance == pytest.approx(oracle_distance(solid, x, z), abs=NEAR)
    assert math.hypot(nx, nz) == pytest.approx(1.0)
    # Going out along the normal gains exactly what was gone.
    assert oracle_distance(solid, x + 10 * nx, z + 10 * nz) == pytest.approx(
        distance + 10, abs=NEAR
    )


@settings(max_examples=300)
@given(solids, points, points)
def test_ray_fraction(solid: Box | Cylinder, start: tuple[int, int], end: tuple[int, int]):
    shapes = build_colliders(world_of(solid)).shapes
    (x, z), dx, dz = start, end[0] - start[0], end[1] - start[1]
    assume(oracle_distance(solid, x, z) > MARGIN + NEAR)

    def distance_at(t: float) -> float:
        return oracle_distance(solid, x + t * dx, z + t * dz)

    found = kernels.ray_fraction(shapes, 0, x, z, dx, dz, MARGIN)
    expected = oracle_contact(distance_at, MARGIN)
    if found == kernels.NO_HIT:
        assert expected is None or oracle_contact(distance_at, MARGIN - NEAR) is None
    else:
        assert 0.0 <= found <= 1.0
        assert distance_at(found) == pytest.approx(MARGIN, abs=NEAR)
        assert oracle_contact(lambda t: distance_at(t * found), MARGIN - NEAR) is None


@given(solids, shares, st.floats(0, 2 * math.pi), st.floats(1, 9_000))
def test_a_start_inside_may_only_leave(
    solid: Box | Cylinder, share: tuple[float, float], heading: float, length: float
):
    shapes = build_colliders(world_of(solid)).shapes
    x, z = point_in(solid, share)
    before = oracle_distance(solid, x, z)
    assert before < MARGIN
    dx, dz = length * math.cos(heading), length * math.sin(heading)
    fraction = kernels.ray_fraction(shapes, 0, x, z, dx, dz, MARGIN)
    assert fraction in (0.0, kernels.NO_HIT)
    if fraction == kernels.NO_HIT:
        for t in np.linspace(0, 1, 9):
            assert oracle_distance(solid, x + t * dx, z + t * dz) > before - 0.01


@settings(max_examples=200)
@given(st.lists(solids, max_size=8), points, points)
def test_sweep_meets_the_first_of_all_that_block(
    many: list[Box | Cylinder], start: tuple[int, int], end: tuple[int, int]
):
    colliders = build_colliders(world_of(*many))
    (x, z), dx, dz = start, float(end[0] - start[0]), float(end[1] - start[1])
    blocking = [solid for solid in many if blocks(solid, *PASSAGE)]
    assume(all(oracle_distance(solid, x, z) > MARGIN + NEAR for solid in blocking))
    contacts = [
        oracle_contact(lambda t, s=solid: oracle_distance(s, x + t * dx, z + t * dz), MARGIN)
        for solid in blocking
    ]
    expected = min((t for t in contacts if t is not None), default=None)
    found, met = kernels.sweep(*colliders.arrays, x, z, dx, dz, *PASSAGE)
    if met < 0:
        assert found == kernels.NO_HIT
        # A way that only grazes may count either way.
        assert expected is None or all(
            oracle_contact(
                lambda t, s=solid: oracle_distance(s, x + t * dx, z + t * dz), MARGIN - NEAR
            ) is None
            for solid in blocking
        )
    else:
        assert expected is not None
        length = math.hypot(dx, dz)
        # Nearly along a surface a thousandth across is much along, so compare the distances.
        nearest = min(
            oracle_distance(s, x + found * dx, z + found * dz) for s in blocking
        )
        assert nearest == pytest.approx(MARGIN, abs=NEAR)
        assert found * length <= expected * length + 1.0


@given(st.lists(solids, max_size=8), points, st.sampled_from([0.0, 400.0, 900.0, 2_500.0]))
def test_levels_equal_a_look_at_every_collider(
    many: list[Box | Cylinder], point: tuple[int, int], feet: float
):
    world = world_of(*many)
    colliders = build_colliders(world)
    ordered = [*world.boxes, *world.cylinders]
    x, z = map(float, point)
    distances = [oracle_distance(solid, x, z) for solid in ordered]
    assume(all(abs(d) > NEAR and abs(d - RADIUS) > NEAR for d in distances))
    low, high, ground, is_blocked = 0.0, math.inf, 0.0, False
    for row, distance in zip(colliders.shapes, distances, strict=True):
        top, bottom = row[kernels.TOP], row[kernels.BOTTOM]
        if distance >= RADIUS:
            continue
        if top <= feet + 500:
            low = max(low, top if distance < 0 else top - 500)
            ground = max(ground, top) if distance < 0 else ground
        elif bottom >= feet + 1800:
            high = min(high, bottom - 1800)
        else:
            is_blocked = True
    found = kernels.levels(*colliders.arrays, x, z, feet, feet + 1800, 0.0)
    assert found == (low, high, ground, is_blocked)


@given(solids, st.tuples(st.floats(-1.5, 1.5), st.floats(-1.5, 1.5)))
def test_push_out_goes_the_shortest_way_out_and_no_further(
    solid: Box | Cylinder, share: tuple[float, float]
):
    colliders = build_colliders(world_of(solid))
    x, z = point_in(solid, share)
    before = oracle_distance(solid, x, z)
    out_x, out_z = kernels.push_out(*colliders.arrays, x, z, *PASSAGE)
    moved = math.hypot(out_x - x, out_z - z)
    if not blocks(solid, *PASSAGE) or before >= MARGIN:
        assert moved <= NEAR
    else:
        assert oracle_distance(solid, out_x, out_z) == pytest.approx(MARGIN, abs=NEAR)
        assert moved == pytest.approx(MARGIN - before, abs=NEAR)


def test_push_out_of_two_that_overlap():
    wall = Box("a", (0.0, 1.0, 0.0), (4.0, 2.0, 0.2), 0.0)
    other = Box("b", (0.0, 1.0, 0.0), (0.2, 2.0, 4.0), 0.0)
    colliders = build_colliders(world_of(wall, other))
    x, z = kernels.push_out(*colliders.arrays, 200.0, 150.0, *PASSAGE)
    assert min(oracle_distance(wall, x, z), oracle_distance(other, x, z)) > MARGIN - NEAR


@pytest.mark.parametrize("length", [300.0, 6_000.0, 39_000.0])
@pytest.mark.parametrize("yaw_deg", [0.0, 0.001, 30.0, 89.999])
def test_the_thinnest_wall_stops_the_longest_step(length: float, yaw_deg: float):
    wall = Box("thin", (0.0, 1.0, 0.0), (0.01, 2.0, 40.0), yaw_deg)
    colliders = build_colliders(world_of(wall))
    # Across the wall from half a metre away, in the wall's own direction of thinness.
    across = complex(math.cos(math.radians(yaw_deg)), -math.sin(math.radians(yaw_deg)))
    start, step = -500 * across, length * across
    fraction, met = kernels.sweep(
        *colliders.arrays, start.real, start.imag, step.real, step.imag, *PASSAGE
    )
    assert met == 0
    assert fraction * length == pytest.approx(500 - 5 - MARGIN, abs=NEAR)


def test_low_edges_and_high_roofs_do_not_block():
    step = Box("step", (5.0, 0.25, 0.0), (1.0, 0.5, 4.0), 0.0)
    roof = Box("roof", (5.0, 2.3, 0.0), (1.0, 1.0, 4.0), 0.0)
    counter = Box("counter", (5.0, 0.26, 0.0), (1.0, 0.52, 4.0), 0.0)
    way = (0.0, 0.0, 10_000.0, 0.0)
    for solid, is_met in ((step, False), (roof, False), (counter, True)):
        colliders = build_colliders(world_of(solid))
        assert (kernels.sweep(*colliders.arrays, *way, *PASSAGE)[1] == 0) is is_met


def test_round_corners_let_pass_what_square_ones_would_not():
    box = Box("box", (0.0, 1.0, 0.0), (2.0, 2.0, 2.0), 0.0)
    colliders = build_colliders(world_of(box))
    # A diagonal past the corner (1000, 1000), 10 mm beyond the margin, inside the grown square.
    reach = (MARGIN + 10) / math.sqrt(2)
    middle = (1000 + reach, 1000 + reach)
    assert max(middle) < 1000 + MARGIN
    start = (middle[0] + 3000, middle[1] - 3000)
    assert kernels.sweep(*colliders.arrays, *start, -6000.0, 6000.0, *PASSAGE)[1] == -1
    nearer = (start[0] - 20, start[1] - 20)
    assert kernels.sweep(*colliders.arrays, *nearer, -6000.0, 6000.0, *PASSAGE)[1] == 0


def test_a_world_without_colliders():
    colliders = build_colliders(EMPTY)
    assert colliders.shapes.shape == (0, kernels.SHAPE_COLUMNS)
    assert kernels.sweep(*colliders.arrays, 0.0, 0.0, 9.0, 9.0, *PASSAGE) == (kernels.NO_HIT, -1)


@pytest.mark.parametrize("side_m", [3.0, 400.0, 16_000.0])
def test_the_grid_stays_within_its_bounds(side_m: float):
    half = side_m / 2
    wide = Box("wide", (0.0, 1.0, 0.0), (2 * side_m, 2.0, 2 * side_m), 0.0)
    extent = Extent((-half, 0.0, -half), (half, 10.0, half))
    colliders = build_colliders(replace(world_of(*[wide] * 40), extent=extent))
    assert len(colliders.cell_starts) - 1 <= CELLS_MAX
    assert len(colliders.cell_ids) <= ENTRIES_MAX
    # Every cell knows all forty, in ascending order.
    assert (np.diff(colliders.cell_starts) == 40).all()
    assert (colliders.cell_ids.reshape(-1, 40) == np.arange(40)).all()
