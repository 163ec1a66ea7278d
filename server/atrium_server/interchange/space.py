"""Transforms as matrices and back, and colours as eyes and as renderers count them. PURE.

A colour in Atrium is sRGB, as on the web (`#rrggbb`); in glTF it is linear.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from atrium_server.interchange.errors import InterchangeError
from atrium_server.interchange.gltf import Node, Vector3
from atrium_server.world.props import Quaternion
from atrium_shared import limits
from atrium_shared.props import PropError, Transform, checked_transform

Matrix = npt.NDArray[np.float64]
SHEAR_MAX = 1e-4
"""What may be lost, relative to the size, when a matrix is written as a transform."""
IDENTITY: Matrix = np.eye(4)


def of_rotation(q: Quaternion) -> Matrix:
    """The 3×3 matrix of a quaternion of length 1."""
    x, y, z, w = q
    return np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ])


def matrix_of(node: Node) -> Matrix:
    """The transform of a node in the frame of its parent. Raises InterchangeError."""
    if node.matrix is not None:
        return np.array(node.matrix, np.float64).reshape(4, 4).T
    length = math.hypot(*node.rotation)
    if not math.isfinite(length) or length < 1e-6:
        raise InterchangeError("A rotation in the file has no direction.")
    x, y, z, w = (part / length for part in node.rotation)
    matrix = np.eye(4)
    matrix[:3, :3] = of_rotation((x, y, z, w)) * np.array(node.scale)
    matrix[:3, 3] = node.translation
    return matrix


def decomposed(matrix: Matrix) -> tuple[Transform, bool]:
    """The transform nearest to a matrix, and whether it is the same. It may be out of bounds."""
    axes = matrix[:3, :3]
    scale = np.linalg.norm(axes, axis=0)
    position = _vector(matrix[:3, 3])
    if not np.isfinite(matrix).all() or not ((scale > 1e-9) & (scale < 1e9)).all():
        return Transform(position), False
    turned = axes / scale
    if np.linalg.det(turned) < 0.0:
        return Transform(position, scale=_vector(scale)), False
    rotation = _quaternion(turned)
    error = np.abs(of_rotation(rotation) * scale - axes).max()
    return Transform(position, rotation, _vector(scale)), bool(error <= SHEAR_MAX * scale.max())


def _vector(values: Any) -> Vector3:
    return float(values[0]), float(values[1]), float(values[2])


def _quaternion(m: Matrix) -> Quaternion:
    """The rotation of a matrix that (nearly) only turns."""
    w = math.sqrt(max(0.0, 1 + m[0, 0] + m[1, 1] + m[2, 2])) / 2
    x = math.sqrt(max(0.0, 1 + m[0, 0] - m[1, 1] - m[2, 2])) / 2
    y = math.sqrt(max(0.0, 1 - m[0, 0] + m[1, 1] - m[2, 2])) / 2
    z = math.sqrt(max(0.0, 1 - m[0, 0] - m[1, 1] + m[2, 2])) / 2
    largest = max(w, x, y, z)
    four = 4 * largest
    if largest == w:
        parts = (m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1])
        x, y, z = (float(part) / four for part in parts)
    elif largest == x:
        y, z, w = ((m[0, 1] + m[1, 0]) / four, (m[0, 2] + m[2, 0]) / four,
                   (m[2, 1] - m[1, 2]) / four)
    elif largest == y:
        x, z, w = ((m[0, 1] + m[1, 0]) / four, (m[1, 2] + m[2, 1]) / four,
                   (m[0, 2] - m[2, 0]) / four)
    else:
        x, y, w = ((m[0, 2] + m[2, 0]) / four, (m[1, 2] + m[2, 1]) / four,
                   (m[1, 0] - m[0, 1]) / four)
    length = math.hypot(x, y, z, w) or 1.0
    return float(x) / length, float(y) / length, float(z) / length, float(w) / length


def is_bounded(transform: Transform) -> bool:
    """Whether a prop may have this transform."""
    low, high, far = limits.PROP_SCALE_MIN, limits.PROP_SCALE_MAX, limits.WORLD_EXTENT_M_MAX
    return all(low <= one <= high for one in transform.scale) and all(
        -far <= one <= far for one in transform.position_m
    )


def bounded(transform: Transform, what: str) -> Transform:
    """The same, as props have it. Raises InterchangeError."""
    try:
        checked = checked_transform(transform)
    except PropError as error:
        raise InterchangeError(f"{what}: {error}") from None
    if not is_bounded(checked):
        raise InterchangeError(
            f"{what} is outside of every world, or scaled beyond {limits.PROP_SCALE_MIN} to"
            f" {limits.PROP_SCALE_MAX:g}."
        )
    return checked


def linear_of(colour: str) -> Vector3:
    """`#rrggbb` as glTF counts it, in digits enough to come back."""
    red, green, blue = (_linear(int(colour[place : place + 2], 16)) for place in (1, 3, 5))
    return red, green, blue


def colour_of(linear: Vector3) -> str:
    """The nearest `#rrggbb`."""
    return "#" + "".join(f"{_byte(part):02x}" for part in linear)


def _linear(byte: int) -> float:
    part = byte / 255
    return round(part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4, 7)


def _byte(linear: float) -> int:
    part = min(1.0, max(0.0, linear))
    curved = part * 12.92 if part <= 0.0031308 else 1.055 * part ** (1 / 2.4) - 0.055
    return round(curved * 255)
