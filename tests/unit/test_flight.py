"""Thrown props against an oracle that knows solids by their corners, and against the formula.

The oracle shares no formula with the kernels: outlines are polygons of corners, and how deep one is
in another comes from projecting all corners on the normals of all sides.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atrium_server.world import flight_contacts as fc
from atrium_server.world.colliders import build_colliders
from atrium_server.world.flight import Flights, Rested, Segment, levelled, place_after
from atrium_server.world.manifest import Manifest, parse_manifest
from atrium_server.world.scene import Box, Cylinder, Extent
from atrium_shared import limits
from atrium_shared.errors import ErrorCode, RequestRefused

EMPTY = parse_manifest(
    """
    world = {name = "test"}
    extent = {min = [-20.0, -2.0, -20.0], max = [20.0, 20.0, 20.0]}
    spawn = [{position = [0.0, 0.0, 0.0]}]
    """,
    "test",
)
G = 9.81
RATES_HZ = (5, 10, 20, 30, 45, 60)
UPRIGHT = (0.0, 0.0, 0.0, 1.0)
TINY_M = 5e-6
"""What a prop may be inside of something: a contact is found a thousandth of a millimetre in."""
Vector = tuple[float, float, float]


def world_of(*solids: Box | Cylinder) -> Manifest:
    return replace(
        EMPTY,
        boxes=tuple(solid for solid in solids if isinstance(solid, Box)),
        cylinders=tuple(solid for solid in solids if isinstance(solid, Cylinder)),
    )


def flights_in(world: Manifest) -> Flights:
    return Flights(build_colliders(world), world)


def key_of(n: int) -> bytes:
    return n.to_bytes(16, "big")


def turned(yaw_deg: float) -> tuple[float, float, float, float]:
    half = math.radians(yaw_deg) / 2
    return 0.0, math.sin(half), 0.0, math.cos(half)


# --- the oracle ------------------------------------------------------------------------------


def outline(center: Vector, half_x: float, half_z: float, yaw: float) -> list[complex]:
    """Corners seen from above as x - iz, so that a yaw turns counter-clockwise."""
    turn, middle = complex(math.cos(yaw), math.sin(yaw)), complex(center[0], -center[2])
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return [middle + turn * complex(a * half_x, b * half_z) for a, b in signs]


def sides(corners: list[complex]) -> list[tuple[complex, complex]]:
    return list(zip(corners, corners[1:] + corners[:1], strict=True))


def overlap(one: list[complex], other: list[complex]) -> float:
    """How far two convex outlines must move apart; negative if they are apart."""
    depths: list[float] = []
    for a, b in sides(one) + sides(other):
        normal = 1j * (b - a) / abs(b - a)
        first = [(corner * normal.conjugate()).real for corner in one]
        second = [(corner * normal.conjugate()).real for corner in other]
        depths.append(min(max(first) - min(second), max(second) - min(first)))
    return min(depths)


def distance(point: complex, corners: list[complex]) -> float:
    """Signed distance from a point to an outline."""
    lengths: list[float] = []
    for a, b in sides(corners):
        along = ((point - a) * (b - a).conjugate()).real / abs(b - a) ** 2
        lengths.append(abs(point - (a + min(max(along, 0.0), 1.0) * (b - a))))
    is_inside = all(((b - a).conjugate() * (point - a)).imag > 0 for a, b in sides(corners))
    return -min(lengths) if is_inside else min(lengths)


def outline_depth(position: Vector, yaw: float, half: Vector, solid: Box | Cylinder) -> float:
    corners = outline(position, half[0], half[2], yaw)
    if isinstance(solid, Cylinder):
        return solid.radius_m - distance(complex(solid.center[0], -solid.center[2]), corners)
    other = outline(
        solid.center, solid.size[0] / 2, solid.size[2] / 2, math.radians(solid.yaw_deg)
    )
    return overlap(corners, other)


def bottom_and_top(solid: Box | Cylinder) -> tuple[float, float]:
    height = solid.size[1] if isinstance(solid, Box) else solid.height_m
    low, high = solid.center[1] - height / 2, solid.center[1] + height / 2
    return round(low * 1000) / 1000, round(high * 1000) / 1000


def depth(position: Vector, yaw: float, half: Vector, solid: Box | Cylinder) -> float:
    """How deep the box is in the solid, in metres; negative if they are apart."""
    bottom, top = bottom_and_top(solid)
    upright = min(top - (position[1] - half[1]), position[1] + half[1] - bottom)
    return min(upright, outline_depth(position, yaw, half, solid))


def yaw_of(rotation: tuple[float, float, float, float]) -> float:
    _, y, _, w = levelled(rotation)
    return 2 * math.atan2(y, w)


# --- random throws in random worlds ----------------------------------------------------------


@dataclasses.dataclass
class Throw:
    position_m: Vector
    rotation: tuple[float, float, float, float]
    velocity_m_s: Vector
    half_m: Vector

    def launch(self, flights: Flights, key: bytes) -> None:
        flights.launch(key, self.position_m, self.rotation, self.velocity_m_s, self.half_m)


def unit(parts: tuple[float, ...]) -> tuple[float, float, float, float]:
    length = math.hypot(*parts)
    x, y, z, w = (part / length for part in parts) if length > 0.1 else UPRIGHT
    return x, y, z, w


places = st.integers(-15_000, 15_000).map(lambda mm: mm / 1000)
sizes = st.integers(10, 6_000).map(lambda mm: mm / 1000)
yaws = st.one_of(st.sampled_from([0.0, 45.0, 90.0, -90.0, 180.0]), st.floats(-360, 360))
heights = st.sampled_from([0.01, 0.3, 0.5, 0.8, 2.0, 4.0])
centers = st.tuples(places, st.sampled_from([0.0, 0.2, 1.0, 2.5]), places)
boxes = st.builds(Box, st.just("b"), centers, st.tuples(sizes, heights, sizes), yaws)
cylinders = st.builds(Cylinder, st.just("c"), centers, sizes, heights)
solids = st.one_of(boxes, cylinders)
worlds = st.lists(solids, max_size=12).map(lambda many: world_of(*many))
speeds = st.floats(-15, 15)
halves = st.floats(0.01, 0.8)
rotations = st.tuples(*[st.floats(-1, 1)] * 4).map(unit)
throws = st.builds(
    Throw, st.tuples(st.floats(-22, 22), st.floats(-3, 9), st.floats(-22, 22)), rotations,
    st.tuples(speeds, speeds, speeds), st.tuples(halves, halves, halves),
)
crowds = st.lists(throws, min_size=1, max_size=6)
rates = st.sampled_from(RATES_HZ)


class Watched:
    """Flights that are looked at after each step."""

    def __init__(self, world: Manifest, thrown: list[Throw], rate_hz: int) -> None:
        self.world = world
        self.flights = flights_in(world)
        self.dt_s = 1 / rate_hz
        self.thrown = {key_of(n): throw for n, throw in enumerate(thrown)}
        for key, throw in self.thrown.items():
            throw.launch(self.flights, key)
        self.energy = {one.key: energy_of(one) for one in self.flights.present()}
        self.told: dict[bytes, tuple[Segment, int]] = {}
        self.lies: dict[bytes, Rested] = {}
        self.steps = 0

    def run(self) -> None:
        while len(self.flights):
            self.step()

    def step(self) -> None:
        flew = {one.key for one in self.flights.present()}
        result = self.flights.step(self.dt_s)
        self.steps += 1
        assert self.steps * self.dt_s < limits.FLIGHT_S_MAX + self.dt_s
        for segment in result.segments:
            self.told[segment.key] = segment, self.steps
        for rested in result.rested:
            self.rest(rested)
        present = {one.key: one for one in self.flights.present()}
        assert flew == present.keys() | {rested.key for rested in result.rested}
        for key, segment in present.items():
            self.look(key, segment)

    def look(self, key: bytes, now: Segment) -> None:
        """One that flies is where its segment says, in nothing, and has no more energy."""
        told, since = self.told[key]
        t = (self.steps - since) * self.dt_s
        assert math.dist(place_after(told, t), now.position_m) < 1e-6
        if not told.is_sliding:
            x, y, z = (
                p + v * t for p, v in zip(told.position_m, told.velocity_m_s, strict=True)
            )
            assert math.dist((x, y - G * t * t / 2, z), now.position_m) < 1e-6
        self.is_free(now.position_m, self.thrown[key])
        assert energy_of(now) <= self.energy[key] + 1e-4
        self.energy[key] = energy_of(now)

    def rest(self, rested: Rested) -> None:
        throw = self.thrown[rested.key]
        assert rested.key not in self.lies
        self.lies[rested.key] = rested
        self.is_free(rested.position_m, throw)
        assert G * rested.position_m[1] <= self.energy[rested.key] + 1e-4
        assert rested.rotation == levelled(throw.rotation)
        assert self.support(rested.position_m, throw) == pytest.approx(
            rested.position_m[1] - throw.half_m[1], abs=1e-6
        )

    def solids(self) -> tuple[Box | Cylinder, ...]:
        return *self.world.boxes, *self.world.cylinders

    def is_free(self, position: Vector, throw: Throw) -> None:
        yaw, half = yaw_of(throw.rotation), throw.half_m
        for solid in self.solids():
            assert depth(position, yaw, half, solid) < TINY_M
        assert position[1] - half[1] > self.world.floor_m - 1e-9
        corners = outline(position, half[0], half[2], yaw)
        low, high = self.world.extent.min_m, self.world.extent.max_m
        assert min(corner.real for corner in corners) > low[0] - TINY_M
        assert max(corner.real for corner in corners) < high[0] + TINY_M
        assert min(-corner.imag for corner in corners) > low[2] - TINY_M
        assert max(-corner.imag for corner in corners) < high[2] + TINY_M
        assert position[1] + half[1] < high[1] + TINY_M

    def support(self, position: Vector, throw: Throw) -> float:
        """The highest top under a prop, or the floor."""
        yaw, bottom = yaw_of(throw.rotation), position[1] - throw.half_m[1]
        tops = [
            bottom_and_top(solid)[1] for solid in self.solids()
            if outline_depth(position, yaw, throw.half_m, solid) > 0
        ]
        return max([self.world.floor_m, *(top for top in tops if top < bottom + 1e-5)])


def energy_of(segment: Segment) -> float:
    """Of one kilogramme, in joules."""
    return G * segment.position_m[1] + math.hypot(*segment.velocity_m_s) ** 2 / 2


@settings(max_examples=400)
@given(worlds, crowds, rates)
def test_throws_obey_the_world_and_come_to_rest(
    world: Manifest, thrown: list[Throw], rate_hz: int
):
    watched = Watched(world, thrown, rate_hz)
    watched.run()
    assert watched.lies.keys() == watched.thrown.keys()


@settings(max_examples=400)
@given(st.lists(solids, max_size=8), throws)
def test_a_contact_is_when_the_oracle_says(many: list[Box | Cylinder], throw: Throw):
    """One long step: what touches nothing is on its parabola to the last digit, and only that."""
    world = world_of(*many)
    flights = flights_in(world)
    throw.launch(flights, key_of(1))
    (start,) = flights.present()
    dt_s, samples = 0.25, 250
    (x, y, z), (vx, vy, vz) = start.position_m, start.velocity_m_s
    spacing = (math.hypot(vx, vy, vz) + G * dt_s) * dt_s / samples
    yaw, half, deepest = yaw_of(throw.rotation), throw.half_m, -math.inf
    for t in np.linspace(0, dt_s, samples + 1).tolist():
        at = (x + vx * t, y + vy * t - G * t * t / 2, z + vz * t)
        inside = [depth(at, yaw, half, solid) for solid in many]
        corners = outline(at, half[0], half[2], yaw)
        reach = max(max(abs(corner.real), abs(corner.imag)) for corner in corners)
        deepest = max(deepest, *inside, half[1] - at[1], reach - 20, at[1] + half[1] - 20)
    result = flights.step(dt_s)
    is_on_it = bool(result.segments) and math.dist(result.segments[0].position_m, at) < 1e-9
    if deepest > TINY_M:
        assert not is_on_it
    elif deepest < -spacing:
        assert is_on_it
        assert result.segments[0].velocity_m_s == pytest.approx((vx, vy - G * dt_s, vz))


@settings(max_examples=60)
@given(worlds, crowds, rates, st.randoms(use_true_random=False))
def test_what_becomes_of_a_prop_does_not_depend_on_its_row(world, thrown, rate_hz, random):
    one, other = flights_in(world), flights_in(world)
    keys = [key_of(n) for n in range(len(thrown))]
    for key, throw in zip(keys, thrown, strict=True):
        throw.launch(one, key)
    extra = [key_of(100 + n) for n in range(3)]
    mixed = [*zip(keys, thrown, strict=True), *((key, thrown[0]) for key in extra)]
    random.shuffle(mixed)
    for key, throw in mixed:
        throw.launch(other, key)
    for key in extra:
        other.cancel(key)
    while len(one):
        assert one.step(1 / rate_hz) == other.step(1 / rate_hz)
        assert one.present() == other.present()
    assert not len(other)


@settings(max_examples=60)
@given(worlds, crowds, rates, st.integers(0, 30))
def test_a_restored_flight_cannot_be_told_from_the_one_that_went_on(
    world, thrown, rate_hz, steps
):
    flights = flights_in(world)
    for n, throw in enumerate(thrown):
        throw.launch(flights, key_of(n))
    for _ in range(steps):
        flights.step(1 / rate_hz)
    twin = flights_in(world)
    twin.launch(key_of(77), (0.0, 1.0, 0.0), UPRIGHT, (0.0, 0.0, 0.0), (0.1, 0.1, 0.1))
    twin.restore(flights.save())
    assert twin.present() == flights.present()
    while len(flights):
        assert twin.step(1 / rate_hz) == flights.step(1 / rate_hz)
        assert twin.save() == flights.save()
    assert key_of(77) not in twin


@given(worlds, crowds, rates)
@settings(max_examples=30)
def test_the_same_calls_leave_the_same_bytes(world, thrown, rate_hz):
    runs: list[list[bytes]] = []
    for _ in range(2):
        flights, saved = flights_in(world), []
        for n, throw in enumerate(thrown):
            throw.launch(flights, key_of(n))
        while len(flights):
            flights.step(1 / rate_hz)
            saved.append(flights.save())
        runs.append(saved)
    assert runs[0] == runs[1]


# --- nothing is too thin ---------------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", range(5, 61))
def test_the_thinnest_wall_stops_the_fastest_throw(rate_hz: int):
    for yaw_deg in (0.0, 0.001, 30.0, 89.999):
        wall = Box("thin", (0.0, 10.0, 0.0), (0.01, 20.0, 60.0), yaw_deg)
        turn = complex(math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg)))
        flights = flights_in(world_of(wall))
        for n in range(40):  # from many distances, so that a contact falls anywhere in a tick
            start, way = -(0.3 + n * 0.05) * turn, 15 * turn
            flights.launch(
                key_of(n), (start.real, 2.0, -start.imag), turned(n * 11.0),
                (way.real, 0.0, -way.imag), (0.05, 0.01, 0.02),
            )
        while len(flights):
            result = flights.step(1 / rate_hz)
            for one in (*result.segments, *result.rested):
                at = complex(one.position_m[0], -one.position_m[2])
                assert (at / turn).real < -0.015


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize(
    "plate",
    [
        Box("plate", (0.0, 1.0, 0.0), (8.0, 0.01, 8.0), 20.0),
        Cylinder("plate", (0.0, 1.0, 0.0), 4.0, 0.01),
    ],
)
def test_the_thinnest_plate_carries_and_covers(rate_hz: int, plate: Box | Cylinder):
    flights = flights_in(world_of(plate))
    half = (0.01, 0.01, 0.01)
    for n in range(60):
        x, z = (n % 8) * 0.4 - 1.4, (n // 8) * 0.4 - 1.4
        height = 1.2 + n * 0.21
        flights.launch(key_of(n), (x, height, z), UPRIGHT, (0.0, -15.0, 0.0), half)
        below = (x, 0.1 + n * 0.014, z)
        flights.launch(key_of(100 + n), below, UPRIGHT, (0.0, 15.0, 0.0), half)
    while len(flights):
        result = flights.step(1 / rate_hz)
        for one in (*result.segments, *result.rested):
            is_above = int.from_bytes(one.key, "big") < 100
            assert (one.position_m[1] > 1.005) is is_above
        for one in result.rested:
            is_above = int.from_bytes(one.key, "big") < 100
            assert one.position_m[1] == pytest.approx(1.015 if is_above else 0.01, abs=1e-9)


@pytest.mark.parametrize("yaw_deg", [45.0, 135.0, 225.0, 315.0])
def test_a_pole_as_thin_as_can_be_is_met_by_each_corner(yaw_deg: float):
    pole = Cylinder("pole", (0.0, 5.0, 0.0), 0.01, 10.0)
    throw = Throw((-1.0, 1.0, 0.0), turned(yaw_deg), (15.0, 0.0, 0.0), (0.02, 0.02, 0.02))
    (told,) = thrown_in(world_of(pole), throw).step(0.1).segments
    contact = -0.01 - 0.02 * math.sqrt(2)
    t_contact = (contact + 1.0) / 15
    # The corner meets it, and 0.3 of the speed is left.
    assert told.velocity_m_s[0] == pytest.approx(-4.5)
    assert told.position_m[0] == pytest.approx(contact - 4.5 * (0.1 - t_contact), abs=TINY_M)


# --- bounces, slides, rest -------------------------------------------------------------------


def thrown_in(world: Manifest, throw: Throw) -> Flights:
    flights = flights_in(world)
    throw.launch(flights, key_of(1))
    return flights


def until_rest(flights: Flights, dt_s: float = 0.05) -> tuple[Rested, list[Segment], float]:
    told: list[Segment] = []
    t = 0.0
    while True:
        result = flights.step(dt_s)
        t += dt_s
        told += result.segments
        if result.rested:
            return result.rested[0], told, t


CUBE = (0.1, 0.1, 0.1)


def test_a_bounce_keeps_three_tenths_of_the_speed():
    flights = thrown_in(EMPTY, Throw((0.0, 2.1, 0.0), UPRIGHT, (0.0, 0.0, 0.0), CUBE))
    at_impact = math.sqrt(2 * G * 2.0)
    t_impact = at_impact / G
    flights.step(t_impact - 0.01)
    (told,) = flights.step(0.02).segments
    assert told.velocity_m_s[1] == pytest.approx(0.3 * at_impact - G * 0.01, abs=1e-3)


def test_an_upright_fall_ends_where_it_should():
    throw = Throw((3.0, 2.1, -4.0), turned(30.0), (0.0, 0.0, 0.0), CUBE)
    rested, told, _ = until_rest(thrown_in(EMPTY, throw))
    assert rested.position_m == (3.0, 0.1, -4.0)
    assert rested.rotation == pytest.approx(turned(30.0))
    assert 2 <= len(told) <= 4, "a launch and a few bounces are all that is told"


def test_a_slide_gets_slower_evenly_and_is_told_once():
    throw = Throw((-10.0, 0.1, 0.0), UPRIGHT, (6.0, 0.0, 0.0), CUBE)
    rested, told, t = until_rest(thrown_in(EMPTY, throw), 0.05)
    assert [one.is_sliding for one in told] == [True]
    assert t == pytest.approx(6 / (0.5 * G), abs=0.06)
    assert rested.position_m[0] == pytest.approx(-10 + 36 / G, abs=1e-3)
    assert rested.position_m[1] == 0.1
    assert place_after(told[0], 60.0) == pytest.approx(rested.position_m, abs=1e-6)


def test_what_slides_over_an_edge_falls():
    table = Box("table", (0.0, 0.5, 0.0), (4.0, 1.0, 4.0), 0.0)
    throw = Throw((1.0, 1.1, 0.0), UPRIGHT, (5.0, 0.0, 0.0), CUBE)
    rested, told, _ = until_rest(thrown_in(world_of(table), throw))
    assert [one.is_sliding for one in told][:2] == [True, False]
    # It leaves when nothing of it lies on the table any more.
    assert told[1].position_m[0] > 2.1
    assert told[1].velocity_m_s[0] == pytest.approx(math.sqrt(25 - G * 1.1), abs=1e-3)
    assert rested.position_m[1] == pytest.approx(0.1)


def test_a_slide_goes_on_over_a_seam_but_not_over_a_kerb():
    half = (0.05, 0.05, 0.05)
    floor = [Box(f"tile{n}", (n * 1.0, 0.25, 0.0), (1.0, 0.5, 4.0), 0.0) for n in range(6)]
    kerb = Box("kerb", (4.5, 0.25, 0.0), (0.1, 0.502, 4.0), 0.0)
    throw = Throw((0.0, 0.55, 0.0), UPRIGHT, (6.0, 0.0, 0.0), half)
    rested, _, _ = until_rest(thrown_in(world_of(*floor), throw), 1 / 60)
    assert rested.position_m == pytest.approx((36 / G, 0.55, 0.0), abs=1e-3)
    throw = Throw((2.0, 0.55, 0.0), UPRIGHT, (6.0, 0.0, 0.0), half)
    rested, told, _ = until_rest(thrown_in(world_of(*floor, kerb), throw), 1 / 60)
    assert max(one.position_m[0] for one in told) <= 4.4 + TINY_M
    # What is left of the speed goes back: 0.3 of it.
    speed = math.sqrt(36 - G * 2.4)
    assert rested.position_m[0] == pytest.approx(4.4 - (0.3 * speed) ** 2 / G, abs=0.01)


def test_a_slide_goes_down_the_lowest_of_steps():
    floor = [Box("high", (0.0, 0.25, 0.0), (2.0, 0.5, 4.0), 0.0),
             Box("low", (2.0, 0.24, 0.0), (2.0, 0.48, 4.0), 0.0)]
    throw = Throw((0.0, 0.55, 0.0), UPRIGHT, (4.0, 0.0, 0.0), (0.05, 0.05, 0.05))
    rested, told, _ = until_rest(thrown_in(world_of(*floor), throw), 1 / 60)
    assert [one.is_sliding for one in told] == [True, False, True]
    assert rested.position_m[1] == pytest.approx(0.53)


def test_a_prop_in_a_gap_comes_to_rest_between_the_walls():
    walls = [Box(f"w{x}", (x, 1.0, 0.0), (0.2, 2.0, 4.0), yaw) for x, yaw in ((-0.3, 4), (0.3, -4))]
    throw = Throw((0.0, 3.0, 0.3), UPRIGHT, (0.0, 0.0, -9.0), (0.08, 0.08, 0.08))
    watched = Watched(world_of(*walls), [throw], 20)
    watched.run()
    assert len(watched.lies) == 1


def test_what_begins_in_a_wall_is_put_out_of_it_on_the_nearer_side():
    wall = Box("wall", (0.0, 1.0, 0.0), (0.4, 2.0, 10.0), 0.0)
    throw = Throw((-0.15, 1.0, 0.0), UPRIGHT, (0.0, 0.0, 0.0), CUBE)
    flights = thrown_in(world_of(wall), throw)
    assert flights.position(key_of(1)) == pytest.approx((-0.3, 1.0, 0.0), abs=1e-6)


def test_what_begins_where_there_is_no_way_out_is_put_on_top():
    cell = [Box(f"b{n}", (0.0, 2.0, 0.0), (3.0, 4.0, 3.0), n * 15.0) for n in range(5)]
    flights = thrown_in(
        world_of(*cell), Throw((0.0, 1.0, 0.0), UPRIGHT, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    )
    watched_half = (1.0, 1.0, 1.0)
    at = flights.position(key_of(1))
    assert all(depth(at, 0.0, watched_half, one) < TINY_M for one in cell)


@given(st.lists(solids, min_size=1, max_size=12), throws)
def test_nothing_begins_inside_of_anything(many: list[Box | Cylinder], throw: Throw):
    flights = thrown_in(world_of(*many), throw)
    at = flights.position(key_of(1))
    yaw = yaw_of(throw.rotation)
    assert all(depth(at, yaw, throw.half_m, solid) < TINY_M for solid in many)
    assert at[1] >= throw.half_m[1]


def test_what_does_not_come_to_rest_is_set_down_on_what_is_below():
    table = Box("table", (0.0, 0.5, 0.0), (4.0, 1.0, 4.0), 0.0)
    tall = Extent((-20.0, -2.0, -20.0), (20.0, 60.0, 20.0))
    world = replace(world_of(table), extent=tall)
    for x, height in ((0.0, 1.1), (5.0, 0.1)):
        flights = thrown_in(world, Throw((x, 50.0, 0.0), UPRIGHT, (0.0, 0.0, 0.0), CUBE))
        flights.step(0.1)
        flights._rows[0, fc.AGE] = limits.FLIGHT_S_MAX - 0.1
        (rested,) = flights.step(0.1).rested
        assert rested.position_m == (x, height, 0.0)
        assert not len(flights)


def test_a_stall_of_the_server_is_one_long_step():
    """However long a step is, it ends in the world."""
    flights = thrown_in(EMPTY, Throw((0.0, 5.0, 0.0), UPRIGHT, (9.0, 9.0, 0.0), CUBE))
    (rested,) = flights.step(1e6).rested
    assert rested.position_m[1] == 0.1
    assert -20 <= rested.position_m[0] <= 20


def test_the_ceiling_of_the_world_holds():
    flights = thrown_in(EMPTY, Throw((0.0, 19.0, 0.0), UPRIGHT, (0.0, 15.0, 0.0), CUBE))
    (told,) = flights.step(0.1).segments
    assert told.position_m[1] < 19.9
    assert told.velocity_m_s[1] < 0


@pytest.mark.parametrize(
    ("rotation", "level"),
    [
        (turned(70.0), turned(70.0)),
        (unit((0.3, 0.5, -0.2, 0.7)), unit((0.0, 0.5, 0.0, 0.7))),
        ((1.0, 0.0, 0.0, 0.0), UPRIGHT),  # upside down: no yaw to keep
        ((0.0, 0.0, 0.0, -1.0), (0.0, 0.0, 0.0, -1.0)),
    ],
)
def test_what_lies_is_level_and_keeps_its_yaw(rotation, level):
    rested, told, _ = until_rest(
        thrown_in(EMPTY, Throw((0.0, 1.0, 0.0), rotation, (1.0, 0.0, 0.0), CUBE))
    )
    assert rested.rotation == pytest.approx(level)
    assert all(one.rotation == rotation for one in told), "it does not turn in flight"


# --- the table -------------------------------------------------------------------------------


def test_a_full_table_refuses_the_next():
    flights = flights_in(EMPTY)
    throw = Throw((0.0, 5.0, 0.0), UPRIGHT, (0.0, 0.0, 0.0), CUBE)
    for n in range(limits.FLIGHTS_MAX):
        throw.launch(flights, key_of(n))
    with pytest.raises(RequestRefused, match="Try again") as refused:
        throw.launch(flights, key_of(999))
    assert refused.value.code is ErrorCode.WORLD_FULL
    assert key_of(999) not in flights
    assert len(flights) == limits.FLIGHTS_MAX
    flights.cancel(key_of(17))
    throw.launch(flights, key_of(999))
    assert key_of(999) in flights


def test_what_is_too_large_is_refused():
    flights = flights_in(EMPTY)
    with pytest.raises(RequestRefused, match="too large") as refused:
        flights.launch(key_of(1), (0.0, 5.0, 0.0), UPRIGHT, (0.0, 0.0, 0.0), (0.1, 5.1, 0.1))
    assert refused.value.code is ErrorCode.OUT_OF_RANGE
    assert not len(flights)


@pytest.mark.parametrize("velocity", [(30.0, 40.0, 0.0), (0.0, 0.0, -1e9), (15.0, 0.0, 0.0)])
def test_a_throw_has_a_greatest_speed(velocity: Vector):
    flights = thrown_in(EMPTY, Throw((0.0, 9.0, 0.0), UPRIGHT, velocity, CUBE))
    (now,) = flights.present()
    length = math.hypot(*velocity)
    assert now.velocity_m_s == pytest.approx([15 * v / length for v in velocity])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("which", range(4))
def test_what_is_not_finite_is_a_bug_of_the_caller(bad: float, which: int):
    arguments = [(0.0, 5.0, 0.0), UPRIGHT, (0.0, 0.0, 0.0), CUBE]
    arguments[which] = (bad, *arguments[which][1:])
    flights = flights_in(EMPTY)
    with pytest.raises(AssertionError):
        flights.launch(key_of(1), *arguments)
    assert not len(flights)


def test_who_catches_a_prop_gets_it_where_it_is():
    rotation = unit((0.3, 0.5, -0.2, 0.7))
    throw = Throw((0.0, 3.0, 0.0), rotation, (2.0, 1.0, 0.0), CUBE)
    flights = thrown_in(EMPTY, throw)
    throw.launch(flights, key_of(2))
    flights.step(0.1)
    position, turn = flights.cancel(key_of(1))
    assert position == pytest.approx((0.2, 3.1 - G * 0.005, 0.0))
    assert turn == rotation
    assert [one.key for one in flights.present()] == [key_of(2)]
    with pytest.raises(KeyError):
        flights.cancel(key_of(1))


def test_flying_props_and_those_at_rest_do_not_meet():
    throw = Throw((0.0, 1.0, 0.0), UPRIGHT, (0.0, 0.0, 0.0), CUBE)
    flights = thrown_in(EMPTY, throw)
    throw.launch(flights, key_of(2))
    result = flights.step(0.05)
    assert [one.position_m for one in result.segments] == [result.segments[0].position_m] * 2
    first, _, _ = until_rest(flights)
    throw.launch(flights, key_of(3))
    second, _, _ = until_rest(flights)
    assert second.position_m == first.position_m


def test_results_come_in_the_order_of_the_keys():
    flights = flights_in(EMPTY)
    for n in (5, 3, 9, 1):
        flights.launch(key_of(n), (n * 1.0, 1.0, 0.0), UPRIGHT, (0.0, 0.0, 0.0), CUBE)
    flights.cancel(key_of(5))
    assert [one.key for one in flights.step(0.05).segments] == [key_of(n) for n in (1, 3, 9)]
    assert [one.key for one in flights.present()] == [key_of(n) for n in (1, 3, 9)]
    rested: list[bytes] = []
    while len(flights):
        rested += [one.key for one in flights.step(0.05).rested]
    assert rested == [key_of(n) for n in (1, 3, 9)]


@pytest.mark.parametrize("dt_s", [0.0, -0.1, math.nan, math.inf])
def test_time_goes_forward_only(dt_s: float):
    with pytest.raises(ValueError, match="forward"):
        flights_in(EMPTY).step(dt_s)


def test_a_step_of_nothing_tells_nothing():
    assert flights_in(EMPTY).step(0.05) == ([], [])


# --- checkpoints -----------------------------------------------------------------------------


def saved_with(column: int, value: float) -> bytes:
    flights = thrown_in(EMPTY, Throw((0.0, 3.0, 0.0), UPRIGHT, (2.0, 1.0, 0.0), CUBE))
    flights._rows[0, column] = value
    return flights.save()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        *((column, bad) for column in range(fc.FLIGHT_COLUMNS) for bad in (math.nan, math.inf)),
        (fc.X, 1e11), (fc.SPEED_Y, -1e9), (fc.WIDE, 0.0), (fc.HIGH, -5.0), (fc.DEEP, 1e7),
        (fc.YAW_COS, 0.5), (fc.AGE, -1.0), (fc.AGE, 1e9), (fc.MODE, 2.0), (fc.MODE, 0.5),
        (fc.IS_CHANGED, 3.0),
    ],
)
def test_numbers_that_cannot_be_are_not_restored(column: int, value: float):
    flights = thrown_in(EMPTY, Throw((0.0, 4.0, 0.0), UPRIGHT, (2.0, 1.0, 0.0), CUBE))
    before = flights.save()
    with pytest.raises(ValueError, match="cannot be"):
        flights.restore(saved_with(column, value))
    assert flights.save() == before


def encoded(keys: bytes, rows: bytes) -> bytes:
    return msgspec.msgpack.encode({"keys": keys, "rows": rows})


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\xc0", encoded(b"", b"1"), encoded(b"12345678", b""), encoded(key_of(1), b""),
        encoded(key_of(1), bytes(8 * fc.FLIGHT_COLUMNS)),
        encoded(bytes(16 * 257), bytes(257 * 8 * fc.FLIGHT_COLUMNS)),
    ],
)
def test_what_is_no_checkpoint_is_not_restored(data: bytes):
    with pytest.raises(ValueError, match="flights"):
        flights_in(EMPTY).restore(data)


def test_a_prop_is_not_restored_twice():
    one = msgspec.msgpack.decode(saved_with(fc.AGE, 1.0))
    with pytest.raises(ValueError, match="twice"):
        flights_in(EMPTY).restore(encoded(one["keys"] * 2, one["rows"] * 2))


@given(st.binary(max_size=400))
def test_any_bytes_are_restored_or_refused(data: bytes):
    flights = flights_in(EMPTY)
    try:
        flights.restore(data)
    except ValueError:
        assert not len(flights)


@settings(max_examples=150)
@given(st.lists(st.floats(-1e9, 1e9), min_size=9, max_size=9), worlds, st.integers(0, 1))
def test_what_is_restored_can_be_flown(numbers: list[float], world: Manifest, mode: int):
    """Whatever numbers get through the check: a step ends, and ends in the world."""
    flights = flights_in(world)
    row = np.zeros((1, fc.FLIGHT_COLUMNS))
    row[0, : fc.WIDE] = numbers[:6]
    row[0, fc.WIDE : fc.YAW_COS] = np.clip(np.abs(numbers[6:]), 10, 5_000)
    row[0, fc.YAW_COS], row[0, fc.MODE] = 1.0, mode
    row[0, fc.SPEED_X : fc.WIDE] = np.clip(row[0, fc.SPEED_X : fc.WIDE], -1e5, 1e5)
    row[0, : fc.SPEED_X] = np.clip(row[0, : fc.SPEED_X], -1e7, 1e7)
    flights.restore(encoded(key_of(1), row.astype("<f8").tobytes()))
    steps = 0
    while len(flights):
        flights.step(0.2)
        steps += 1
    assert steps <= 50


def test_a_world_smaller_than_the_prop_holds_it_all_the_same():
    closet = replace(EMPTY, extent=Extent((-0.5, 0.0, -0.5), (0.5, 1.0, 0.5)))
    throw = Throw((0.3, 0.5, 0.0), turned(20.0), (7.0, 7.0, -9.0), (5.0, 5.0, 5.0))
    rested, _, _ = until_rest(thrown_in(closet, throw))
    assert rested.position_m == pytest.approx((0.0, 5.0, 0.0), abs=TINY_M)
