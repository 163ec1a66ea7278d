"""The nodes of a glTF file: a forest, how large it is in metres, and what moves it.

Clients walk the tree by recursion, so it must be one (no node twice, no circle) and not deep. The
bounds of the scene at rest are those of all corners of all boxes of meshes, each moved by the
transforms of its node and those above it.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from atrium_server.assets.gltf_document import Animation, Document, Node
from atrium_server.assets.gltf_geometry import FLOAT, Geometry
from atrium_server.assets.verdict import Unfit, Vector
from atrium_shared import limits

Floats = npt.NDArray[np.float64]
Box = tuple[Floats, Floats]

_EXPORT: Final = "export it again"
_PATHS: Final = {"translation", "rotation", "scale", "weights", "pointer"}
_INTERPOLATIONS: Final = {"LINEAR": 1, "STEP": 1, "CUBICSPLINE": 3}
"""With the number of values for each time."""
_ANIMATION_S_MAX: Final = 3_600.0
_TINY: Final = 1e-12


class Tree:
    """The nodes of a document, each below at most one other."""

    def __init__(self, document: Document) -> None:
        """Check that it is one. Raises Unfit."""
        self._document = document
        nodes = document.nodes
        parents = np.full(len(nodes), -1, np.int64)
        for number, node in enumerate(nodes):
            _check_node(node, document)
            for child in node.children:
                if child >= len(nodes) or parents[child] >= 0:
                    raise Unfit(f"The parts of this model are no tree: {_EXPORT}.")
                parents[child] = number
        roots: list[int] = np.flatnonzero(parents < 0).tolist()
        self._order = self._top_down(roots)
        if len(self._order) != len(nodes):
            raise Unfit(f"The parts of this model go round in a circle: {_EXPORT}.")
        self._parents = parents
        self._shown = self._roots_shown(roots)

    def _top_down(self, roots: list[int]) -> list[int]:
        """All nodes that can be reached, each behind the one above it."""
        order: list[int] = []
        level = roots
        for _ in range(limits.GLTF_NODE_DEPTH_MAX):
            order += level
            level = [child for number in level for child in self._document.nodes[number].children]
            if not level:
                return order
        raise Unfit(
            f"The parts of this model are nested more than {limits.GLTF_NODE_DEPTH_MAX} deep:"
            f" {_EXPORT}."
        )

    def _roots_shown(self, roots: list[int]) -> set[int]:
        scenes, number = self._document.scenes, self._document.scene
        for scene in scenes:
            if len({*scene.nodes}) != len(scene.nodes) or not {*scene.nodes} <= {*roots}:
                raise Unfit(f"A scene of this model shows what is no root: {_EXPORT}.")
        if number is not None and number >= len(scenes):
            raise Unfit(f"This model shows a scene that it does not have: {_EXPORT}.")
        return {*scenes[number or 0].nodes} if scenes else {*roots}

    def bounds(self, boxes: dict[int, Box]) -> tuple[Vector, Vector] | None:
        """Of what is shown at first, from the boxes of the nodes that show a mesh."""
        world: dict[int, Floats] = {}
        is_shown: dict[int, bool] = {}
        low, high = np.full(3, np.inf), np.full(3, -np.inf)
        with np.errstate(all="ignore"):  # what overflows is not finite, and is asked for below
            for number in self._order:
                parent = int(self._parents[number])
                own = _local(self._document.nodes[number])
                world[number] = own if parent < 0 else world[parent] @ own
                is_shown[number] = number in self._shown if parent < 0 else is_shown[parent]
                if not np.isfinite(world[number]).all():
                    raise Unfit(f"A part of this model is at no place: {_EXPORT}.")
                if is_shown[number] and number in boxes:
                    corners = _corners(boxes[number], world[number])
                    low = np.minimum(low, corners.min(axis=0))
                    high = np.maximum(high, corners.max(axis=0))
            if not (low <= high).all():
                return None
            if not max(np.abs(low).max(), np.abs(high).max()) <= limits.GLTF_EXTENT_M_MAX:
                raise Unfit(
                    f"This model reaches further than {limits.GLTF_EXTENT_M_MAX:,.0f} m from its"
                    " origin: make it smaller, or export it in metres."
                )
        return _vector(low), _vector(high)


def _vector(values: Floats) -> Vector:
    x, y, z = (round(float(value), 6) for value in values)
    return x, y, z


def _check_node(node: Node, document: Document) -> None:
    for index, count in (
        (node.mesh, len(document.meshes)), (node.skin, len(document.skins)),
        (node.camera, len(document.cameras)),
    ):
        if index is not None and index >= count:
            raise Unfit(f"A part of this model shows what is not there: {_EXPORT}.")


def _local(node: Node) -> Floats:
    """The transform of a node, as a matrix."""
    if node.matrix is not None:
        return np.array(node.matrix, np.float64).reshape(4, 4).T
    matrix = np.eye(4)
    if node.rotation is not None:
        matrix[:3, :3] = _rotation(np.array(node.rotation, np.float64))
    if node.scale is not None:
        matrix[:3, :3] *= np.array(node.scale, np.float64)
    if node.translation is not None:
        matrix[:3, 3] = node.translation
    return matrix


def _rotation(quaternion: Floats) -> Floats:
    length = float(np.linalg.norm(quaternion))
    if length < _TINY:
        raise Unfit(f"A part of this model has no direction: {_EXPORT}.")
    x, y, z, w = (quaternion / length).tolist()
    return np.array((
        (1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        (2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        (2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    ))


def _corners(box: Box, matrix: Floats) -> Floats:
    low, high = box
    chosen = np.array(np.meshgrid(*zip(low, high, strict=True))).T.reshape(-1, 3)
    return chosen @ matrix[:3, :3].T + matrix[:3, 3]


# --- what moves it -----------------------------------------------------------------------


def check_skins(document: Document, geometry: Geometry) -> None:
    """Bones must be there, and have as many matrices. Raises Unfit."""
    for skin in document.skins:
        named = [*skin.joints, *([] if skin.skeleton is None else [skin.skeleton])]
        if max(named) >= len(document.nodes):
            raise Unfit(f"This model has a bone that is not there: {_EXPORT}.")
        if skin.inverse_bind_matrices is not None:
            accessor = geometry.accessor(skin.inverse_bind_matrices)
            if (accessor.type, accessor.component_type) != ("MAT4", FLOAT) or (
                accessor.count < len(skin.joints)
            ):
                raise Unfit(f"The bones of this model are of a wrong type: {_EXPORT}.")
    for node in document.nodes:
        if node.skin is not None and node.mesh is not None:
            bones = len(document.skins[node.skin].joints)
            for primitive in document.meshes[node.mesh].primitives:
                for name, index in primitive.attributes.items():
                    if name.startswith("JOINTS_") and geometry.range(index)[1].max() >= bones:
                        raise Unfit(f"A mesh of this model hangs on no bone: {_EXPORT}.")


def animation_s(document: Document, geometry: Geometry) -> float:
    """How long the longest animation is, in seconds. Raises Unfit."""
    if sum(len(each.channels) for each in document.animations) > limits.GLTF_CHANNELS_MAX:
        raise Unfit("This model has too much that moves: simplify its animations.")
    longest = 0.0
    for animation in document.animations:
        for channel in animation.channels:
            target = channel.target
            if (
                channel.sampler >= len(animation.samplers)
                or target.path not in _PATHS
                or (target.node is not None and target.node >= len(document.nodes))
            ):
                raise Unfit(f"An animation of this model moves what is not there: {_EXPORT}.")
        longest = max(longest, _length_s(animation, geometry))
    return round(longest, 3)


def _length_s(animation: Animation, geometry: Geometry) -> float:
    longest = 0.0
    for sampler in animation.samplers:
        times, values = geometry.accessor(sampler.input), geometry.accessor(sampler.output)
        per_time = _INTERPOLATIONS.get(sampler.interpolation, 0) * times.count
        if (times.type, times.component_type) != ("SCALAR", FLOAT) or (
            not per_time or values.count % per_time
        ):
            raise Unfit(f"An animation of this model is damaged: {_EXPORT}.")
        moments = geometry.array(sampler.input)[:, 0]
        if moments[0] < 0 or (moments[1:] < moments[:-1]).any():
            raise Unfit(f"The times of an animation of this model run backwards: {_EXPORT}.")
        longest = max(longest, float(moments[-1]))
    if longest > _ANIMATION_S_MAX:
        raise Unfit(
            f"An animation of this model lasts {longest:,.0f} s; it may last"
            f" {_ANIMATION_S_MAX:,.0f} s. Cut it."
        )
    return longest
