"""The manifest of a world: what `worlds/*.toml` may say, checked and frozen.

Theory of operation
-------------------
A manifest is the whole static description of a world: how fast it ticks, how many it holds, how
far its people see, which rules their movement follows, and what stands in it. `parse_manifest`
turns the text into frozen dataclasses or raises `ManifestError` with every mistake and its line;
it reads no file, so that a test, the server and an upload check use the same function.

Axes are those of OpenXR: metres, +Y up, -Z forward. A yaw is in degrees, counter-clockwise seen
from above. Boxes are given by their centre and full size and may be turned about Y; cylinders
stand upright. A zone is a box along the axes.

What a client has to know of it is `scene_json`: canonical JSON, so that the same scene always has
the same bytes and `scene_version` can stand in an immutable URL.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Final

from atrium_server.world.manifest_reader import (
    ManifestError,
    Mistakes,
    TableReader,
)
from atrium_server.world.scene import (
    BODY_HEIGHT_M,
    STEP_UP_M,
    Box,
    Cylinder,
    Extent,
    Interest,
    Movement,
    Numbers3,
    Seat,
    Spawn,
    VoiceRules,
    Zone,
)
from atrium_server.world.toml_lines import TomlLines
from atrium_shared import limits
from atrium_shared.messages import Rights

TITLE_CHARS_MAX: Final = 80
NAME_CHARS_MAX: Final = 32
ZONE_KINDS: Final = ("stage", "garden", "quiet")
BUILDERS: Final = ("nobody", "granted", "members", "everyone")
"""Nobody but moderators; those who were granted it; all who have an account; guests as well."""
POLICIES: Final = ("open", "standard", "strict")
"""Of moderation: grown-ups among themselves, everybody, children."""
SOLID_SIZE_M_MIN: Final = 0.01
SEED_MAX: Final = 2**63 - 1
_Y_M_MAX: Final = 2 * limits.Y_EXTENT_MM_UNITS_MAX / 1000
_XZ_M_MAX: Final = limits.WORLD_EXTENT_M_MAX
_TOML_PLACE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One world, as its manifest describes it. Build it with `parse_manifest`."""

    name: str
    title: str
    tick_rate_hz: int
    capacity: int
    seed: int
    extent: Extent
    floor_m: float
    interest: Interest
    movement: Movement
    boxes: tuple[Box, ...]
    cylinders: tuple[Cylinder, ...]
    spawns: tuple[Spawn, ...]
    seats: tuple[Seat, ...]
    zones: tuple[Zone, ...]
    nearby_m: float
    """How far a line of chat to those nearby carries."""
    builders: str = "granted"
    """Who may build: one of BUILDERS."""
    voice: VoiceRules = field(default_factory=VoiceRules)
    moderation: str = "standard"
    """What may be said here: one of POLICIES."""

    def rights_of(self, has_account: bool, permissions: frozenset[str]) -> Rights:
        """What somebody may do here who has these permissions in this world."""
        rights = Rights(0)
        if "moderate" in permissions:
            rights |= Rights.BUILD | Rights.MODERATE
        if self.builders == "nobody":
            return rights
        may_all = self.builders == "everyone" or (self.builders == "members" and has_account)
        return rights | Rights.BUILD if may_all or "build" in permissions else rights

    @property
    def y_unit_mm(self) -> int:
        """Millimetres of one unit of y on the wire: 2 where 16 bits of 1 mm do not reach."""
        low, high = self.extent_mm
        return 1 if max(-low[1], high[1]) <= limits.Y_EXTENT_MM_UNITS_MAX else 2

    @property
    def extent_mm(self) -> tuple[tuple[int, int, int], tuple[int, int, int]]:
        """Smallest and largest root position in whole millimetres, rounded inwards."""
        low = tuple(math.ceil(round(m * 1000, 6)) for m in self.extent.min_m)
        high = tuple(math.floor(round(m * 1000, 6)) for m in self.extent.max_m)
        return (low[0], low[1], low[2]), (high[0], high[1], high[2])

    def scene_json(self) -> bytes:
        """Canonical JSON (ASCII, sorted keys, no spaces) of what a client needs to know."""
        scene = {
            "name": self.name,
            "title": self.title,
            "y_unit_mm": self.y_unit_mm,
            "extent": asdict(self.extent),
            "floor_m": self.floor_m,
            "interest_radius_m": self.interest.radius_m,
            "nearby_m": self.nearby_m,
            "movement": asdict(self.movement),
            "boxes": [asdict(box) for box in self.boxes],
            "cylinders": [asdict(cylinder) for cylinder in self.cylinders],
            "spawns": [asdict(spawn) for spawn in self.spawns],
            "seats": [asdict(seat) for seat in self.seats],
            "zones": [asdict(zone) for zone in self.zones],
        }
        text = json.dumps(scene, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return text.encode("ascii")

    @property
    def scene_version(self) -> str:
        """12 hexadecimal digits that change with the scene."""
        return hashlib.sha256(self.scene_json()).hexdigest()[:12]


def parse_manifest(text: str, source: str) -> Manifest:
    """The manifest that the TOML `text` describes; `source` is what mistakes call the file.

    Raises ManifestError with all mistakes, or with the one that keeps the text from being TOML.
    """
    if len(text) > limits.MANIFEST_BYTES_MAX:
        raise ManifestError(
            [f"{source}:1: a manifest has at most {limits.MANIFEST_BYTES_MAX} characters"]
        )
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError([_syntax_mistake(error, text, source)]) from None
    mistakes = Mistakes(source, TomlLines(text))
    root = TableReader(mistakes, (), values, "the manifest")
    manifest = _read(root)
    root.finish()
    mistakes.check()
    return manifest


def _syntax_mistake(error: ValueError | RecursionError, text: str, source: str) -> str:
    if isinstance(error, RecursionError):
        return f"{source}:1: arrays and tables are nested too deeply"
    sentence = str(error)
    place = _TOML_PLACE.search(sentence)
    line = text.count("\n") + 1
    if place is None:
        line = 1
    elif place[1]:
        line = int(place[1])
    return f"{source}:{line}: this is not TOML: {_TOML_PLACE.sub('', sentence)}"


def _read(root: TableReader) -> Manifest:
    world, floor, chat = root.table("world"), root.table("floor"), root.table("chat")
    building, moderation = root.table("building"), root.table("moderation")
    name = world.slug("name", limits.WORLD_NAME_CHARS_MAX)
    extent = _extent(root.table("extent"))
    floor_m = floor.number("height_m", -_Y_M_MAX, _Y_M_MAX, 0.0)
    if floor.is_sound and extent and not extent.min_m[1] <= floor_m <= extent.max_m[1]:
        floor.complain("height_m", "height_m must lie within the extent's y")
    movement = _movement(root.table("movement"))
    boxes, cylinders = _solids(root)
    manifest = Manifest(
        name=name,
        title=world.line_of_text("title", TITLE_CHARS_MAX, name or "untitled"),
        tick_rate_hz=world.integer(
            "tick_rate_hz", limits.TICK_RATE_HZ_MIN, limits.TICK_RATE_HZ_MAX,
            limits.TICK_RATE_HZ_DEFAULT,
        ),
        capacity=world.integer("capacity", 1, limits.SESSIONS_PER_WORLD_MAX, 1024),
        seed=world.integer("seed", 0, SEED_MAX, 0),
        extent=extent or Extent((0.0, 0.0, 0.0), (0.0, 0.0, 0.0)),
        floor_m=floor_m,
        interest=_interest(root.table("interest")),
        movement=movement,
        boxes=boxes,
        cylinders=cylinders,
        spawns=_spawns(root, extent, movement.body_radius_m, (*boxes, *cylinders)),
        seats=_seats(root, extent),
        zones=_zones(root),
        nearby_m=chat.number("nearby_m", 0.0, 2 * _XZ_M_MAX, 20.0),
        builders=building.choice("builders", BUILDERS, "granted"),
        voice=_voice(root.table("voice")),
        moderation=moderation.choice("policy", POLICIES, "standard"),
    )
    for table in (world, floor, chat, building, moderation):
        table.finish()
    return manifest


def _voice(table: TableReader) -> VoiceRules:
    rules = VoiceRules(
        table.truth("enabled", default=True), table.number("radius_m", 1.0, 100.0, 15.0)
    )
    table.finish()
    return rules


def _extent(table: TableReader) -> Extent | None:
    low = table.vector("min", -_XZ_M_MAX, _XZ_M_MAX)
    high = table.vector("max", -_XZ_M_MAX, _XZ_M_MAX)
    if table.is_sound:
        for key, corner in (("min", low), ("max", high)):
            if abs(corner[1]) > _Y_M_MAX:
                table.complain(key, f"the y of {key} must be within {-_Y_M_MAX} to {_Y_M_MAX}")
        if any(a + 1.0 > b for a, b in zip(low, high, strict=True)):
            table.complain("max", "max must be at least 1 m above min on each axis")
    table.finish()
    return Extent(low, high) if table.is_sound else None


def _interest(table: TableReader) -> Interest:
    radius_m = table.number("radius_m", 1.0, 4 * _XZ_M_MAX, 30.0)
    full_m = table.number("full_rate_radius_m", 0.0, 4 * _XZ_M_MAX, radius_m)
    half_m = table.number("half_rate_radius_m", 0.0, 4 * _XZ_M_MAX, radius_m)
    if table.is_sound and not full_m <= half_m <= radius_m:
        table.complain(
            "full_rate_radius_m",
            "full_rate_radius_m must not exceed half_rate_radius_m, nor that one radius_m",
        )
    interest = Interest(
        radius_m=radius_m,
        hysteresis_m=table.number("hysteresis_m", 0.0, radius_m, min(2.0, radius_m)),
        cap=table.integer("cap", 1, limits.INDEXES_MAX, 64),
        full_rate_radius_m=full_m,
        half_rate_radius_m=half_m,
    )
    table.finish()
    return interest


def _movement(table: TableReader) -> Movement:
    movement = Movement(
        speed_m_per_s_max=table.number("speed_m_per_s_max", 0.1, 50.0, 6.0),
        acceleration_m_per_s2_max=table.number("acceleration_m_per_s2_max", 0.1, 500.0, 20.0),
        jump_m_max=table.number("jump_m_max", 0.0, 20.0, 1.2),
        body_radius_m=table.number("body_radius_m", 0.05, 1.0, 0.25),
        reach_m_max=table.number("reach_m_max", 0.1, 10.0, 1.3),
        teleport_range_m_max=table.number("teleport_range_m_max", 0.0, 2 * _XZ_M_MAX, 30.0),
        teleport_cooldown_s=table.number("teleport_cooldown_s", 0.0, 60.0, 0.5),
    )
    table.finish()
    return movement


def _solids(root: TableReader) -> tuple[tuple[Box, ...], tuple[Cylinder, ...]]:
    box_tables = root.tables("box", limits.COLLIDERS_MAX)
    cylinder_tables = root.tables("cylinder", limits.COLLIDERS_MAX)
    if len(box_tables) + len(cylinder_tables) > limits.COLLIDERS_MAX:
        cylinder_tables[-1].complain(
            "", f"there may be at most {limits.COLLIDERS_MAX} boxes and cylinders together"
        )
    boxes = [
        Box(name, *_center_and_size(table), _yaw_deg(table)) for name, table in _named(box_tables)
    ]
    cylinders = [
        Cylinder(
            name, table.vector("center", -_XZ_M_MAX, _XZ_M_MAX),
            table.number("radius_m", SOLID_SIZE_M_MIN, _XZ_M_MAX),
            table.number("height_m", SOLID_SIZE_M_MIN, _XZ_M_MAX),
        )
        for name, table in _named(cylinder_tables)
    ]
    for table in (*box_tables, *cylinder_tables):
        table.finish()
    return (
        tuple(box for box, table in zip(boxes, box_tables, strict=True) if table.is_sound),
        tuple(one for one, table in zip(cylinders, cylinder_tables, strict=True)
              if table.is_sound),
    )


def _seats(root: TableReader, extent: Extent | None) -> tuple[Seat, ...]:
    seats: list[Seat] = []
    for name, table in _named(root.tables("seat", limits.SEATS_MAX)):
        seat = Seat(name, table.vector("position", -_XZ_M_MAX, _XZ_M_MAX), _yaw_deg(table))
        if table.is_sound and extent and not _is_within(extent, seat.position, 0.0):
            table.complain("position", "a seat must lie within the extent")
        table.finish()
        seats.append(seat)
    return tuple(seats)


def _zones(root: TableReader) -> tuple[Zone, ...]:
    zones: list[Zone] = []
    for name, table in _named(root.tables("zone", limits.ZONES_MAX)):
        zones.append(Zone(name, table.choice("kind", ZONE_KINDS), *_center_and_size(table)))
        table.finish()
    return tuple(zones)


def _spawns(
    root: TableReader, extent: Extent | None, body_radius_m: float,
    solids: tuple[Box | Cylinder, ...],
) -> tuple[Spawn, ...]:
    tables = root.tables("spawn", limits.SPAWNS_MAX)
    if not tables:
        root.complain("spawn", "a world needs at least one [[spawn]] where people arrive")
    spawns: list[Spawn] = []
    for table in tables:
        spawn = Spawn(
            table.vector("position", -_XZ_M_MAX, _XZ_M_MAX), _yaw_deg(table),
            table.number("radius_m", 0.0, _XZ_M_MAX, 1.0),
        )
        spawns.append(spawn)
        table.finish()
        if not table.is_sound:
            continue
        if extent and not _is_within(extent, spawn.position, spawn.radius_m):
            table.complain("position", "a spawn and its radius must lie within the extent")
        for solid in solids:
            if _is_inside(solid, spawn.position, body_radius_m):
                table.complain("position", f"this spawn lies inside of '{solid.name}'")
    return tuple(spawns)


def _named(tables: list[TableReader]) -> Iterator[tuple[str, TableReader]]:
    """Each table with its name, which no other table of the same kind may have."""
    seen: set[str] = set()
    for table in tables:
        name = table.slug("name", NAME_CHARS_MAX)
        if name and name in seen:
            table.complain("name", f"the name '{name}' is taken; give each a name of its own")
        seen.add(name)
        yield name, table


def _center_and_size(table: TableReader) -> tuple[Numbers3, Numbers3]:
    center = table.vector("center", -_XZ_M_MAX, _XZ_M_MAX)
    return center, table.vector("size", SOLID_SIZE_M_MIN, 2 * _XZ_M_MAX)


def _yaw_deg(table: TableReader) -> float:
    return table.number("yaw_deg", -360.0, 360.0, 0.0)


def _is_within(extent: Extent, position: Numbers3, radius_m: float) -> bool:
    (x, y, z), low, high = position, extent.min_m, extent.max_m
    return (
        low[0] + radius_m <= x <= high[0] - radius_m
        and low[1] <= y <= high[1]
        and low[2] + radius_m <= z <= high[2] - radius_m
    )


def _is_inside(solid: Box | Cylinder, position: Numbers3, body_radius_m: float) -> bool:
    """Whether a body at `position` would meet `solid`; edges it may step on do not count."""
    x, z = position[0] - solid.center[0], position[2] - solid.center[2]
    if isinstance(solid, Box):
        half_height_m = solid.size[1] / 2
        cos, sin = math.cos(math.radians(solid.yaw_deg)), math.sin(math.radians(solid.yaw_deg))
        across, along = abs(cos * x - sin * z), abs(sin * x + cos * z)
        distance_m = math.hypot(
            max(0.0, across - solid.size[0] / 2), max(0.0, along - solid.size[2] / 2)
        )
    else:
        half_height_m = solid.height_m / 2
        distance_m = max(0.0, math.hypot(x, z) - solid.radius_m)
    step_m = 0.0 if distance_m == 0.0 else STEP_UP_M
    return (
        distance_m < body_radius_m
        and solid.center[1] - half_height_m < position[1] + BODY_HEIGHT_M
        and solid.center[1] + half_height_m > position[1] + step_m
    )
