"""The solids that props can be, as triangles: one metre in each direction, around the origin. PURE.

Front faces are counter-clockwise. A plane stands upright and faces +Z, towards who looks along -Z;
so does a sign. A cylinder and a cone stand on the Y axis, the cone's tip up.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

from atrium_server.interchange.gltf import Vector3
from atrium_shared.props import ShapeForm

SEGMENTS = 32
RINGS = 16


@dataclass
class Triangles:
    """Corners, their normals, and three corners for each triangle."""

    positions: list[Vector3] = field(default_factory=list[Vector3])
    normals: list[Vector3] = field(default_factory=list[Vector3])
    corners: list[int] = field(default_factory=list[int])

    def add(self, position: Vector3, normal: Vector3) -> int:
        """One corner; returns its number."""
        self.positions.append(_as_float32(position))
        self.normals.append(_as_float32(normal))
        return len(self.positions) - 1

    def face(self, corners: list[Vector3], normal: Vector3) -> None:
        """A flat convex face, counter-clockwise."""
        first, *others = [self.add(corner, normal) for corner in corners]
        for second, third in pairwise(others):
            self.corners += [first, second, third]

    def strip(self, lower: list[int], upper: list[int]) -> None:
        """What lies between two rows of corners."""
        pairs = list(zip(lower, upper, strict=True))
        for (a, d), (b, c) in pairwise(pairs):
            self.corners += [a, b, c, a, c, d]


@cache
def triangles_of(form: ShapeForm) -> Triangles:
    """The solid of a form; always the same one, which nobody changes."""
    return {
        ShapeForm.BOX: _box, ShapeForm.SPHERE: _sphere, ShapeForm.CYLINDER: _cylinder,
        ShapeForm.CONE: _cone, ShapeForm.PLANE: _plane,
    }[form]()


def _as_float32(vector: Vector3) -> Vector3:
    x, y, z = struct.unpack("<3f", struct.pack("<3f", *vector))
    return x + 0.0, y + 0.0, z + 0.0  # no negative zeros


def _circle() -> list[tuple[float, float]]:
    """Cosine and sine all around, the last like the first."""
    angles = [math.tau * step / SEGMENTS for step in range(SEGMENTS)]
    around = [(round(math.cos(angle), 7), round(math.sin(angle), 7)) for angle in angles]
    return [*around, around[0]]


def _plane() -> Triangles:
    made = Triangles()
    half = 0.5
    made.face(
        [(-half, -half, 0.0), (half, -half, 0.0), (half, half, 0.0), (-half, half, 0.0)],
        (0.0, 0.0, 1.0),
    )
    return made


def _box() -> Triangles:
    made = Triangles()
    for axis in range(3):
        for side in (-0.5, 0.5):
            square = [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]
            corners = [_on_side(axis, side, u, v) for u, v in square]
            if side < 0:
                corners.reverse()
            made.face(corners, _on_side(axis, 2 * side, 0.0, 0.0))
    return made


def _on_side(axis: int, side: float, u: float, v: float) -> Vector3:
    """A point of a side of the box; u, v and the axis are right-handed."""
    return [(side, u, v), (v, side, u), (u, v, side)][axis]


def _sphere() -> Triangles:
    made = Triangles()
    rows: list[list[int]] = []
    for ring in range(RINGS + 1):
        angle = math.pi * (ring / RINGS - 0.5)
        wide, high = round(math.cos(angle), 7), round(math.sin(angle), 7)
        normals = [(cos * wide, high, -sin * wide) for cos, sin in _circle()]
        rows.append([made.add((x / 2, y / 2, z / 2), (x, y, z)) for x, y, z in normals])
    for lower, upper in pairwise(rows):
        made.strip(lower, upper)
    return made


def _cylinder() -> Triangles:
    made = Triangles()
    around = [(cos / 2, -sin / 2, (cos, 0.0, -sin)) for cos, sin in _circle()]
    lower = [made.add((x, -0.5, z), normal) for x, z, normal in around]
    upper = [made.add((x, 0.5, z), normal) for x, z, normal in around]
    made.strip(lower, upper)
    made.face([(x, 0.5, z) for x, z, _ in around[:-1]], (0.0, 1.0, 0.0))
    made.face([(x, -0.5, z) for x, z, _ in reversed(around[:-1])], (0.0, -1.0, 0.0))
    return made


def _cone() -> Triangles:
    made = Triangles()
    steep = math.hypot(1.0, 0.5)
    out, up = 1.0 / steep, 0.5 / steep
    around = [(cos / 2, -sin / 2, (cos * out, up, -sin * out)) for cos, sin in _circle()]
    lower = [made.add((x, -0.5, z), normal) for x, z, normal in around]
    upper = [made.add((0.0, 0.5, 0.0), normal) for _, _, normal in around]
    for a, b, tip in zip(lower, lower[1:], upper, strict=False):
        made.corners += [a, b, tip]
    made.face([(x, -0.5, z) for x, z, _ in reversed(around[:-1])], (0.0, -1.0, 0.0))
    return made
