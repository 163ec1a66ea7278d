"""Our own body: metres and radians in, pose bodies out. Pure."""

from __future__ import annotations

import math

import numpy as np

from atrium_client.view import Transform
from atrium_shared import pose
from atrium_shared.errors import ErrorCode, ProtocolError
from atrium_shared.pose import Flags

Vector = tuple[float, float, float]
HEAD_HEIGHT_M = 1.6

HEAD, LEFT_HAND, RIGHT_HAND, HIPS, LEFT_FOOT, RIGHT_FOOT = range(pose.POINTS_MAX)


class Body:
    """Where we stand, which way we face, and where head and hands are relative to that."""

    def __init__(self) -> None:
        self.position: Vector = (0.0, 0.0, 0.0)
        self.yaw = 0.0
        self.y_unit_mm = 1
        self.flags = Flags(0)
        """Those of `FLAGS_OF_CLIENT` count; the server ignores the others."""
        self._points: dict[int, Transform] = {}
        self.set_points({HEAD: Transform((0.0, HEAD_HEIGHT_M, 0.0), (0.0, 0.0, 0.0, 1.0))})

    def place(self, position: Vector, yaw: float | None = None) -> None:
        """Stand at `position` (metres) and face `yaw` (radians; None keeps it).

        Raises ValueError for what is not finite or does not fit the wire.
        """
        row = np.zeros((1, pose.COLUMNS), np.int64)
        row[0, :3] = self._quantised(position)
        row[0, pose.YAW] = pose.quantise_yaw(self.yaw if yaw is None else yaw)
        pose.encode_bodies(row.astype(np.int32), _NO_EXTRAS, 0)
        x, y, z = position
        self.position = (float(x), float(y), float(z))
        self.yaw = self.yaw if yaw is None else float(yaw)

    def root(self) -> Vector:
        """The position as the wire rounds it, in metres."""
        x, y, z = self._quantised(self.position)
        return (x / 1000, y * self.y_unit_mm / 1000, z / 1000)

    def set_points(self, points: dict[int, Transform]) -> None:
        """Track these points from now on (HEAD, LEFT_HAND, ...); others stay as they are.

        Raises ValueError for what is not finite or does not fit the wire.
        """
        for at in points.values():
            pose.encode_rotations(np.array([at.rotation]))
            if not all(math.isfinite(v) and abs(v) < 32.767 for v in at.position):
                raise ValueError("a tracked point must be within 32 m of its root")
        self._points.update(points)

    def point(self, point: int) -> Transform | None:
        """A tracked point in the frame of the root; None when it is not tracked."""
        return self._points.get(point)

    def drop_points(self, points: tuple[int, ...]) -> None:
        """No longer track these points."""
        for point in points:
            self._points.pop(point, None)

    def look(self, yaw: float | None, pitch: float) -> None:
        """Face `yaw` (radians; None keeps it) and tilt the head by `pitch` (up is positive)."""
        if not math.isfinite(pitch):
            raise ValueError("a pitch must be a finite number")
        self.place(self.position, yaw)
        head = self._points.get(HEAD)
        at = head.position if head is not None else (0.0, HEAD_HEIGHT_M, 0.0)
        rotation = (math.sin(pitch / 2), 0.0, 0.0, math.cos(pitch / 2))
        self._points[HEAD] = Transform(at, rotation)

    def encode(self) -> bytes:
        """The pose body of now. A part is sent when all of its points are tracked."""
        tracked = self._points.keys()
        parts = sum(
            part for part in sorted(set(pose.POINT_PART))
            if {p for p, of in enumerate(pose.POINT_PART) if of == part} <= tracked
        )
        row = np.zeros((1, pose.COLUMNS), np.int32)
        row[0, :3] = self._quantised(self.position)
        row[0, pose.YAW] = pose.quantise_yaw(self.yaw)
        row[0, pose.FLAGS] = self.flags & pose.FLAGS_OF_CLIENT
        for point, at in self._points.items():
            column = pose.ROOT_COLUMNS + pose.POINT_COLUMNS * point
            row[0, column : column + 3] = [round(v * 1000) for v in at.position]
            row[0, column + 3] = pose.encode_rotations(np.array([at.rotation])).view(np.int32)[0]
        return pose.encode_bodies(row, _NO_EXTRAS, parts).tobytes()

    def _quantised(self, position: Vector) -> list[int]:
        if not all(math.isfinite(v) and abs(v) < 1e6 for v in position):
            raise ValueError("a position must be three finite numbers in metres")
        x, y, z = position
        return [round(x * 1000), round(y * 1000 / self.y_unit_mm), round(z * 1000)]


_NO_EXTRAS = np.zeros((1, pose.EXTRA_BYTES), np.uint8)


def yaw_towards(source: Vector, target: Vector) -> float | None:
    """The yaw that looks from one place to another; None when they are above each other."""
    x, z = target[0] - source[0], target[2] - source[2]
    return None if x == z == 0 else math.atan2(-x, -z)


def root_of(body: bytes) -> pose.IntRows:
    """The row of a pose body, shape (COLUMNS,). Raises ProtocolError when it is malformed."""
    try:
        rows, _ = pose.decode_bodies(np.frombuffer(body, np.uint8)[None])
    except ValueError as error:
        raise ProtocolError(ErrorCode.MALFORMED, str(error)) from None
    return rows[0]
