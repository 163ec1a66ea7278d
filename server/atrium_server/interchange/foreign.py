"""What nodes of other programs come to: lights, spawn points, seats, portals and zones. PURE.

An extension that is understood becomes a prop of the kind that does the same; values beyond what
Atrium allows come to the nearest allowed one, and that is told.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

import msgspec
import numpy as np

from atrium_server.interchange import gltf as g
from atrium_server.interchange.errors import InterchangeError, Warnings
from atrium_server.interchange.extensions import (
    BODY,
    LIGHTS,
    LINK,
    SEAT,
    SHAPE,
    SPAWN,
    Body,
    LightOf,
    Lights,
    Link,
    PhysicsShape,
    PunctualLight,
    SeatPoints,
    Shapes,
    ShapeSize,
    SpawnPoint,
    decoded,
)
from atrium_server.interchange.space import Matrix, colour_of
from atrium_shared import limits
from atrium_shared.props import (
    Light,
    LightForm,
    Portal,
    PropError,
    Properties,
    Seat,
    Spawn,
    Zone,
    checked_properties,
    decode_properties,
    encode_properties,
)

RANGE_M_DEFAULT: Final = 10.0
"""Of a light that says none."""
Found = tuple[Properties, Matrix]
"""Properties, and where they are."""


def titled(name: str) -> str:
    """A node's name as a title."""
    shown = "".join(letter for letter in name if letter.isprintable())
    return shown.encode(errors="ignore").decode()[: limits.PROP_TITLE_CHARS_MAX]


def made(properties: Properties, what: str) -> Properties:
    """The same after all checks. Raises InterchangeError."""
    try:
        return checked_properties(decode_properties(encode_properties(properties)))
    except PropError as error:
        raise InterchangeError(f"{what}: {error}") from None


class Specials:
    """The props that the extensions of nodes come to."""

    def __init__(self, gltf: g.Gltf, warnings: Warnings) -> None:
        self._warnings = warnings
        empty = msgspec.Raw(b'{"lights":[],"shapes":[]}')
        found = gltf.extensions
        self._lights = decoded(found.get(LIGHTS, empty), Lights, "The list of lights").lights
        self._shapes = decoded(found.get(SHAPE, empty), Shapes, "The list of shapes").shapes
        self._readers: dict[str, Callable[[g.Node, Matrix], Found | None]] = {
            LIGHTS: self._light, SPAWN: self._spawn, SEAT: self._seat, LINK: self._portal,
            BODY: self._zone,
        }

    def of(self, node: g.Node, matrix: Matrix) -> list[Found]:
        """What a node at `matrix` is besides what it shows."""
        found = [
            read(node, matrix) for name, read in self._readers.items() if name in node.extensions
        ]
        return [one for one in found if one is not None]

    def is_solid(self, node: g.Node) -> bool:
        """Whether bodies stop at it."""
        return BODY in node.extensions and (
            decoded(node.extensions[BODY], Body, "A body").collider is not None
        )

    def _light(self, node: g.Node, matrix: Matrix) -> Found | None:
        number = decoded(node.extensions[LIGHTS], LightOf, "The light of a node").light
        if number >= len(self._lights):
            raise InterchangeError(f"A node has the light {number}, which is not in the file.")
        light = self._lights[number]
        if light.type not in ("point", "spot"):
            self._warnings.add("A light that is neither a point nor a spot was left out.")
            return None
        title = titled(node.name or light.name)
        asked = (light.intensity, light.range or RANGE_M_DEFAULT, _degrees(light))
        lowest = (0.0, 0.1, 1.0)
        highest = (limits.LIGHT_CD_MAX, limits.LIGHT_RANGE_M_MAX, 179.0)
        bright, far, wide = (
            min(max(value, low), high)
            for value, low, high in zip(asked, lowest, highest, strict=True)
        )
        if (bright, far, wide) != asked:
            self._warnings.add("A light was brought within the bounds of this server.")
        form = LightForm.SPOT if light.type == "spot" else LightForm.POINT
        return Light(title, form, colour_of(light.color), bright, far, wide), matrix

    def _spawn(self, node: g.Node, matrix: Matrix) -> Found | None:
        point = decoded(node.extensions[SPAWN], SpawnPoint, "A spawn point")
        return Spawn(titled(point.title or node.name)), matrix

    def _seat(self, node: g.Node, matrix: Matrix) -> Found | None:
        """The root of who sits is on the ground below the back, facing from back to knee."""
        points = decoded(node.extensions[SEAT], SeatPoints, "A seat")
        back, foot, knee = (
            np.array(point) for point in (points.back, points.foot, points.knee)
        )
        forward, up = knee - back, knee - foot
        right = np.cross(forward, up)
        if not np.isfinite(right).all() or np.linalg.norm(right) < 1e-6:
            raise InterchangeError("The points of a seat lie on a line: no one could sit on it.")
        inner = np.eye(4)
        upright = np.cross(right, forward)
        for axis, vector in enumerate((right, upright, -forward)):
            inner[:3, axis] = vector / np.linalg.norm(vector)
        inner[:3, 3] = back + foot - knee
        return Seat(titled(node.name)), matrix @ inner

    def _portal(self, node: g.Node, matrix: Matrix) -> Found | None:
        link = decoded(node.extensions[LINK], Link, "A link")
        world = unquote(link.uri.removeprefix("./"))
        if link.uri.startswith("#"):
            world = ""
        elif ":" in world or "/" in world or len(world) > limits.WORLD_NAME_CHARS_MAX:
            self._warnings.add("A link leads to another server: its portal leads nowhere.")
            world = ""
        return Portal(titled(link.title or node.name), titled(world)), matrix

    def _zone(self, node: g.Node, matrix: Matrix) -> Found | None:
        trigger = decoded(node.extensions[BODY], Body, "A body").trigger
        if trigger is None or trigger.shape < 0 or {SEAT, LINK} & node.extensions.keys():
            return None  # a seat or a portal is entered by itself
        if trigger.shape >= len(self._shapes):
            raise InterchangeError("A volume has a shape that is not in the file.")
        size = _box_around(self._shapes[trigger.shape])
        if size is None:
            self._warnings.add("A volume whose shape is a mesh was left out.")
            return None
        return Zone(titled(node.name)), matrix @ np.diag([*size, 1.0])


def _degrees(light: PunctualLight) -> float:
    """The whole angle of a cone."""
    return 2 * math.degrees(light.spot.outer_cone_angle) if light.spot else 60.0


def _box_around(shape: PhysicsShape) -> g.Vector3 | None:
    """The size of the box around a shape, with the defaults that the extension gives."""
    nothing = ShapeSize()
    match shape.type:
        case "box":
            return (shape.box or nothing).size or (1.0, 1.0, 1.0)
        case "sphere":
            wide = 2 * _or((shape.sphere or nothing).radius, 0.5)
            return wide, wide, wide
        case "capsule" | "cylinder":
            size = (shape.capsule if shape.type == "capsule" else shape.cylinder) or nothing
            low, high = _or(size.radius_bottom, 0.5), _or(size.radius_top, 0.5)
            caps, tall = (low + high, 1.0) if shape.type == "capsule" else (0.0, 2.0)
            wide = 2 * max(low, high)
            return wide, _or(size.height, tall) + caps, wide
        case _:
            return None


def _or(value: float | None, default: float) -> float:
    return default if value is None else value
