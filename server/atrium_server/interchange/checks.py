"""Whether the parts of a glTF file fit together: every number names something, and in bounds. PURE.

After `check` nothing that follows an index, a child or an offset can fail or go on for ever: nodes
are a forest of bounded depth, accessors lie in their views and views in their buffers. What numbers
mean (an index of a triangle, a coordinate) is checked where they are copied (`copier`).
"""

from __future__ import annotations

from collections.abc import Iterable

from atrium_server.interchange.container import Loaded
from atrium_server.interchange.errors import InterchangeError
from atrium_server.interchange.gltf import (
    COMPONENT_BYTES,
    Accessor,
    BufferView,
    Gltf,
    element_bytes,
)
from atrium_shared import limits


def check(loaded: Loaded, understood: frozenset[str]) -> None:
    """Raise InterchangeError for a file that is broken or needs an extension unknown to us."""
    gltf = loaded.gltf
    for name in gltf.extensions_required:
        if name not in understood:
            raise InterchangeError(
                f"The file needs the extension {name[:64]!r}, which Atrium does not have: export it"
                " without (for compression, choose none)."
            )
    _check_references(gltf)
    _check_views(gltf, loaded.buffers)
    for number, accessor in enumerate(gltf.accessors):
        _check_accessor(gltf, number, accessor)
    _check_forest(gltf)


def _in(what: str, indexes: Iterable[int | None], parts: int) -> None:
    for index in indexes:
        if index is not None and index >= parts:
            raise InterchangeError(f"The file names {what} {index}, and has only {parts:,}.")


def _check_references(gltf: Gltf) -> None:
    meshes, accessors, nodes = len(gltf.meshes), len(gltf.accessors), len(gltf.nodes)
    _in("scene", [gltf.scene], len(gltf.scenes))
    for scene in gltf.scenes:
        _in("node", scene.nodes, nodes)
    for node in gltf.nodes:
        _in("node", node.children, nodes)
        _in("mesh", [node.mesh], meshes)
        _in("skin", [node.skin], len(gltf.skins))
        if len(bytes(node.extras)) > limits.IMPORT_EXTRAS_BYTES_MAX:
            raise InterchangeError(
                f"A node has extras of more than {limits.IMPORT_EXTRAS_BYTES_MAX:,} bytes."
            )
    for mesh in gltf.meshes:
        for primitive in mesh.primitives:
            _in("accessor", [primitive.indices, *primitive.attributes.values()], accessors)
            _in("material", [primitive.material], len(gltf.materials))
            for target in primitive.targets:
                _in("accessor", target.values(), accessors)
    for skin in gltf.skins:
        _in("accessor", [skin.inverse_bind_matrices], accessors)
        _in("node", [skin.skeleton, *skin.joints], nodes)
    for animation in gltf.animations:
        for channel in animation.channels:
            _in("sampler", [channel.sampler], len(animation.samplers))
            _in("node", [channel.target.node], nodes)
        for sampler in animation.samplers:
            _in("accessor", [sampler.input, sampler.output], accessors)
    for texture in gltf.textures:
        _in("image", [texture.source], len(gltf.images))
        _in("sampler", [texture.sampler], len(gltf.samplers))
    _in("buffer view", [image.buffer_view for image in gltf.images], len(gltf.buffer_views))


def _check_views(gltf: Gltf, buffers: list[memoryview]) -> None:
    for number, view in enumerate(gltf.buffer_views):
        _in("buffer", [view.buffer], len(buffers))
        if view.byte_offset + view.byte_length > len(buffers[view.buffer]):
            raise InterchangeError(f"Buffer view {number} reaches beyond its buffer.")


def _check_accessor(gltf: Gltf, number: int, accessor: Accessor) -> None:
    one, size = COMPONENT_BYTES[accessor.component_type], element_bytes(accessor)
    views = gltf.buffer_views
    if accessor.buffer_view is not None:
        _in("buffer view", [accessor.buffer_view], len(views))
        view = views[accessor.buffer_view]
        stride = view.byte_stride or size
        end = accessor.byte_offset + stride * (accessor.count - 1) + size
        if stride < size or end > view.byte_length:
            raise InterchangeError(f"Accessor {number} reaches beyond its buffer view.")
        if (accessor.byte_offset + view.byte_offset) % one or stride % one:
            raise InterchangeError(f"Accessor {number} is not aligned to its numbers.")
    sparse = accessor.sparse
    if sparse is None:
        return
    _in("buffer view", [sparse.indices.buffer_view, sparse.values.buffer_view], len(views))
    width = COMPONENT_BYTES[sparse.indices.component_type]
    if sparse.count > accessor.count or not (
        _fits(views[sparse.indices.buffer_view], sparse.indices.byte_offset, sparse.count * width)
        and _fits(views[sparse.values.buffer_view], sparse.values.byte_offset, sparse.count * size)
    ):
        raise InterchangeError(f"The sparse part of accessor {number} reaches beyond its bytes.")


def _fits(view: BufferView, offset: int, size: int) -> bool:
    return offset + size <= view.byte_length


def _check_forest(gltf: Gltf) -> None:
    """Every node has one parent at most, none is in itself, and none is too deep."""
    has_parent = bytearray(len(gltf.nodes))
    for node in gltf.nodes:
        for child in node.children:
            if has_parent[child]:
                raise InterchangeError(f"Node {child} is in two others, or twice in one.")
            has_parent[child] = 1
    for scene in gltf.scenes:
        if any(has_parent[root] for root in scene.nodes):
            raise InterchangeError("A root of a scene is within another node.")
        if len(set(scene.nodes)) != len(scene.nodes):
            raise InterchangeError("A node is twice in a scene.")
    level = [number for number, parent in enumerate(has_parent) if not parent]
    seen = depth = 0
    while level:
        seen, depth = seen + len(level), depth + 1
        if depth > limits.IMPORT_DEPTH_MAX:
            raise InterchangeError(
                f"Nodes are nested too deeply: {limits.IMPORT_DEPTH_MAX} levels are most."
            )
        level = [child for number in level for child in gltf.nodes[number].children]
    if seen != len(gltf.nodes):
        raise InterchangeError("Some nodes are within themselves.")
