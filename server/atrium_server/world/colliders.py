"""Colliders as arrays with a grid over them, built once from a manifest.

Theory of operation
-------------------
`atrium_server.world.kernels` explains the arrays. The grid covers the extent of the world, for
every body is inside of it. Its cells have about the size of what stands in a plaza, and grow by
doubling until neither the number of cells nor the number of entries (a wall lies in many cells)
exceeds its bound, so that no manifest makes it large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from atrium_server.world import kernels
from atrium_server.world.kernels import Floats, Ints
from atrium_server.world.manifest import Manifest
from atrium_server.world.scene import BODY_HEIGHT_M, STEP_UP_M, Box, Cylinder

CELL_MM_MIN: Final = 4_000.0
CELLS_MAX: Final = 65_536
ENTRIES_MAX: Final = 1_048_576

assert kernels.STEP_UP_MM == STEP_UP_M * 1000
assert kernels.BODY_HEIGHT_MM == BODY_HEIGHT_M * 1000


@dataclass(frozen=True, slots=True, eq=False)
class Colliders:
    """What bodies meet, in mm.

    `shapes` is float64 (n, SHAPE_COLUMNS): boxes first, then cylinders, in the manifest's order.
    `cell_starts` int32 (cells + 1) and `cell_ids` int32 are the grid in CSR form, `grid` float64
    (GRID_ENTRIES) its scalars.
    """

    shapes: Floats
    cell_starts: Ints
    cell_ids: Ints
    grid: Floats

    @property
    def arrays(self) -> tuple[Floats, Ints, Ints, Floats]:
        """The leading arguments of every kernel that looks at colliders."""
        return self.shapes, self.cell_starts, self.cell_ids, self.grid


def build_colliders(manifest: Manifest) -> Colliders:
    """The boxes and cylinders of `manifest` with a grid over its extent."""
    rows = [_box_row(box) for box in manifest.boxes]
    rows += [_cylinder_row(cylinder) for cylinder in manifest.cylinders]
    shapes = np.array(rows, np.float64).reshape(-1, kernels.SHAPE_COLUMNS)
    margin_mm = manifest.movement.body_radius_m * 1000 + kernels.SKIN_MM
    low, high = manifest.extent_mm
    grid = np.zeros(kernels.GRID_ENTRIES)
    grid[kernels.ORIGIN_X], grid[kernels.ORIGIN_Z] = low[0], low[2]
    grid[kernels.BODY_RADIUS] = manifest.movement.body_radius_m * 1000
    side = CELL_MM_MIN
    while True:
        cells_x = math.ceil((high[0] - low[0]) / side)
        cells_z = math.ceil((high[2] - low[2]) / side)
        spans = _cell_spans(shapes, margin_mm, low, side, (cells_x, cells_z))
        entries = int(np.prod(spans[:, 2:] - spans[:, :2] + 1, axis=1).sum())
        if cells_x * cells_z <= CELLS_MAX and entries <= ENTRIES_MAX:
            break
        side *= 2
    grid[kernels.CELL] = side
    grid[kernels.CELLS_X], grid[kernels.CELLS_Z] = cells_x, cells_z
    return Colliders(shapes, *_cells(spans, cells_x, cells_z), grid)


def _box_row(box: Box) -> list[float]:
    yaw = math.radians(box.yaw_deg)
    half_x, half_z = box.size[0] * 500, box.size[2] * 500
    return [
        box.center[0] * 1000, box.center[2] * 1000, half_x, half_z, math.cos(yaw), math.sin(yaw),
        *_bottom_and_top(box.center[1], box.size[1]), 0.0,
    ]


def _cylinder_row(cylinder: Cylinder) -> list[float]:
    radius = cylinder.radius_m * 1000
    return [
        cylinder.center[0] * 1000, cylinder.center[2] * 1000, radius, radius, 1.0, 0.0,
        *_bottom_and_top(cylinder.center[1], cylinder.height_m), 1.0,
    ]


def _bottom_and_top(center_m: float, height_m: float) -> tuple[float, float]:
    """Heights in whole mm, because those who stand on a top say theirs in whole mm."""
    return round((center_m - height_m / 2) * 1000), round((center_m + height_m / 2) * 1000)


def _cell_spans(
    shapes: Floats, margin_mm: float, low: tuple[int, int, int], side: float,
    counts: tuple[int, int],
) -> npt.NDArray[np.int64]:
    """First and last cell of each shape on x and z: int64 (n, 4) as x0, z0, x1, z1."""
    cos, sin = np.abs(shapes[:, kernels.COS]), np.abs(shapes[:, kernels.SIN])
    half_x, half_z = shapes[:, kernels.HALF_X], shapes[:, kernels.HALF_Z]
    reach = np.stack([half_x * cos + half_z * sin, half_x * sin + half_z * cos], axis=1)
    center = shapes[:, [kernels.CENTER_X, kernels.CENTER_Z]] - [low[0], low[2]]
    last = np.array(counts) - 1
    first = np.floor((center - reach - margin_mm) / side).astype(np.int64)
    final = np.floor((center + reach + margin_mm) / side).astype(np.int64)
    return np.concatenate([np.clip(first, 0, last), np.clip(final, 0, last)], axis=1)


def _cells(
    spans: npt.NDArray[np.int64], cells_x: int, cells_z: int
) -> tuple[Ints, Ints]:
    """(cell_starts, cell_ids) of shapes that lie in the cells of `spans`, ids ascending."""
    cells: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)]
    owners: list[npt.NDArray[np.int64]] = [np.zeros(0, np.int64)]
    corners: list[list[int]] = spans.tolist()
    for shape, (x0, z0, x1, z1) in enumerate(corners):
        columns, rows = np.arange(x0, x1 + 1), np.arange(z0, z1 + 1)
        cells.append(np.add.outer(rows * cells_x, columns).reshape(-1))
        owners.append(np.full(cells[-1].size, shape, np.int64))
    cell, owner = np.concatenate(cells), np.concatenate(owners)
    starts = np.zeros(cells_x * cells_z + 1, np.int32)
    starts[1:] = np.cumsum(np.bincount(cell, minlength=cells_x * cells_z))
    return starts, owner[np.argsort(cell, kind="stable")].astype(np.int32)
