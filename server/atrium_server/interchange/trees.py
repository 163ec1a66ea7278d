"""Nodes with all that is in them: copied into another file, and how much room they take. PURE."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from atrium_server.interchange import gltf as g
from atrium_server.interchange.builder import Builder
from atrium_server.interchange.container import Loaded
from atrium_server.interchange.copier import NAME_CHARS_MAX, Copier
from atrium_server.interchange.errors import InterchangeError
from atrium_server.interchange.space import IDENTITY, Matrix, matrix_of
from atrium_shared import limits


class Trees:
    """Copies nodes of one file as often as they are wanted; their meshes are copied once."""

    def __init__(self, source: Loaded, copier: Copier, target: Builder) -> None:
        self._source = source.gltf
        self._copier = copier
        self._target = target

    def copy(self, roots: list[int], skip: Callable[[int], bool]) -> dict[int, int]:
        """Copy trees but for what is to be skipped; returns the new numbers by the old ones."""
        numbers: dict[int, int] = {}
        for root in roots:
            self._copy(root, skip, numbers)
        for old, new in numbers.items():
            skin = self._source.nodes[old].skin
            if skin is not None and self._source.nodes[old].mesh is not None:
                self._target.gltf.nodes[new].skin = self._copier.skin(skin, numbers)
        return numbers

    def _copy(self, number: int, skip: Callable[[int], bool], numbers: dict[int, int]) -> int:
        """Nodes are at most IMPORT_DEPTH_MAX deep, so this may call itself."""
        node = self._source.nodes[number]
        if len(self._target.gltf.nodes) >= limits.IMPORT_NODES_MAX:
            raise InterchangeError(f"The file would have over {limits.IMPORT_NODES_MAX:,} nodes.")
        copied = g.Node(
            node.name[:NAME_CHARS_MAX], node.translation, node.rotation, node.scale, node.matrix,
            None if node.mesh is None else self._copier.mesh(node.mesh), weights=node.weights,
        )
        numbers[number] = self._target.add_node(copied)
        copied.children = [
            self._copy(child, skip, numbers) for child in node.children if not skip(child)
        ]
        return numbers[number]


def roots_of(gltf: g.Gltf) -> list[int]:
    """The nodes that a file shows."""
    if gltf.scenes:
        return gltf.scenes[gltf.scene or 0].nodes
    inside = {child for node in gltf.nodes for child in node.children}
    return [number for number in range(len(gltf.nodes)) if number not in inside]


def box_of(gltf: g.Gltf, roots: list[int]) -> tuple[g.Vector3, g.Vector3] | None:
    """Centre and size of the box around all meshes; None when there are none."""
    corners: list[Matrix] = []
    with np.errstate(all="ignore"):  # what is not finite is found by looking
        for root in roots:
            _collect(gltf, root, IDENTITY, corners)
        if not corners:
            return None
        every = np.concatenate(corners)
        low, high = every.min(axis=0)[:3], every.max(axis=0)[:3]
        centre, size = (low + high) / 2, high - low
    if not (np.isfinite(centre).all() and np.isfinite(size).all()):
        return None
    x, y, z = (round(float(part), 6) for part in centre)
    wide, high_, deep = (round(max(float(part), 1e-3), 6) for part in size)
    return (x, y, z), (wide, high_, deep)


def _collect(gltf: g.Gltf, number: int, outer: Matrix, corners: list[Matrix]) -> None:
    node = gltf.nodes[number]
    matrix = outer @ matrix_of(node)
    if node.mesh is not None:
        for primitive in gltf.meshes[node.mesh].primitives:
            points = gltf.accessors[primitive.attributes["POSITION"]]
            bounds = [points.min, points.max]
            eight = [
                [bounds[i][0], bounds[j][1], bounds[k][2], 1.0]
                for i in (0, 1) for j in (0, 1) for k in (0, 1)
            ]
            corners.append(np.array(eight) @ matrix.T)
    for child in node.children:
        _collect(gltf, child, matrix, corners)
