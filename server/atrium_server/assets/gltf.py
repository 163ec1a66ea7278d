"""glTF 2.0, as GLB or as JSON with everything embedded: what it is and what it costs to show.

Theory of operation
-------------------
`gltf_document` reads the JSON, `gltf_geometry` makes sure of every number, `gltf_tree` of the tree
of nodes and what moves it. Here is what they are used for: images and materials, and how much is
drawn. What counts is what a client draws: a mesh that a hundred nodes show counts a hundred times.

Images are looked at in two passes. The first reads their sizes; only when all of them together are
within the cap does the second decode them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, cast

import numpy as np

from atrium_server.assets.gltf_document import (
    Document,
    Image,
    Mesh,
    Primitive,
    decode_data_uri,
    parse_document,
    split_glb,
)
from atrium_server.assets.gltf_geometry import FLOAT, UNSIGNED, Geometry
from atrium_server.assets.gltf_tree import Box, Tree, animation_s, check_skins
from atrium_server.assets.images import Look, decode_image, image_facts
from atrium_server.assets.ktx2 import check_ktx2
from atrium_server.assets.sniff import media_type_of
from atrium_server.assets.verdict import GLB, JPEG, KTX2, PNG, Facts, ImageFacts, Unfit
from atrium_shared import limits

_IMAGE_TYPES: Final = (PNG, JPEG, KTX2)
_QUANTIZED: Final = "KHR_mesh_quantization"
_POSITIONS_QUANTIZED: Final = {5120, 5121, 5122, 5123, FLOAT}
_LIGHTS: Final = "KHR_lights_punctual"
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
"""What a primitive draws; points and lines are the other modes."""
_EXPORT: Final = "export it again"


class Cost(NamedTuple):
    """Of one mesh, each time that it is drawn."""

    triangles: int
    vertices: int
    draws: int
    box: Box | None


def check_gltf(data: bytes, media_type: str, look: Look = None) -> Facts:
    """The facts of a model; `look` is shown its pictures. Raises Unfit."""
    text, binary = split_glb(data) if media_type == GLB else (memoryview(data), memoryview(b""))
    document = parse_document(text)
    geometry = Geometry(document, binary)
    costs = [_mesh_cost(mesh, document, geometry) for mesh in document.meshes]
    tree = Tree(document)
    check_skins(document, geometry)
    _check_textures(document)
    _check_lights(document)
    shown = [
        (number, costs[node.mesh])
        for number, node in enumerate(document.nodes)
        if node.mesh is not None
    ]
    facts = Facts(
        media_type=media_type, size_bytes=len(data),
        triangles=sum(cost.triangles for _, cost in shown),
        vertices=sum(cost.vertices for _, cost in shown),
        draws=sum(cost.draws for _, cost in shown),
        materials=len(document.materials),
        joints=sum(len(skin.joints) for skin in document.skins),
        animations=len(document.animations),
        animation_s=animation_s(document, geometry),
        bounds=tree.bounds({number: cost.box for number, cost in shown if cost.box is not None}),
        images=_check_images(document, geometry, look),
    )
    _check_caps(facts)
    return facts


def _check_caps(facts: Facts) -> None:
    for what, count, most in (
        ("triangles", facts.triangles, limits.GLTF_TRIANGLES_MAX),
        ("vertices", facts.vertices, limits.GLTF_VERTICES_MAX),
        ("parts to draw", facts.draws, limits.GLTF_DRAWS_MAX),
    ):
        if count > most:
            raise Unfit(f"This model has {count:,} {what}; it may have {most:,}. Simplify it.")


# --- meshes ------------------------------------------------------------------------------


def _mesh_cost(mesh: Mesh, document: Document, geometry: Geometry) -> Cost:
    triangles = vertices = 0
    boxes: list[Box] = []
    for primitive in mesh.primitives:
        if primitive.material is not None and primitive.material >= len(document.materials):
            raise Unfit(f"This model uses a material that it does not have: {_EXPORT}.")
        count = _check_attributes(primitive, document, geometry)
        vertices += count
        if "POSITION" not in primitive.attributes:
            continue
        drawn = _drawn(primitive, count, geometry)
        if primitive.mode == _TRIANGLES:
            triangles += drawn // 3
        elif primitive.mode in {_STRIP, _FAN}:
            triangles += max(0, drawn - 2)
        boxes.append(_box(primitive, geometry))
    box = None
    if boxes:
        box = (
            np.minimum.reduce([low for low, _ in boxes]),
            np.maximum.reduce([high for _, high in boxes]),
        )
    return Cost(triangles, vertices, len(mesh.primitives), box)


def _check_attributes(primitive: Primitive, document: Document, geometry: Geometry) -> int:
    """How many vertices there are; each attribute must have as many."""
    counts: set[int] = set()
    for attributes in (primitive.attributes, *primitive.targets):
        for name, index in attributes.items():
            accessor = geometry.accessor(index)
            counts.add(accessor.count)
            if name != "POSITION":
                continue
            small = accessor.component_type in _POSITIONS_QUANTIZED
            is_allowed = small and _QUANTIZED in document.extensions_required
            if accessor.type != "VEC3" or not (accessor.component_type == FLOAT or is_allowed):
                raise Unfit(f"The positions of this model are of a wrong type: {_EXPORT}.")
    if len(counts) != 1:
        raise Unfit(f"The parts of a mesh of this model do not fit together: {_EXPORT}.")
    return counts.pop()


def _drawn(primitive: Primitive, vertices: int, geometry: Geometry) -> int:
    """How many vertices are sent to be drawn, each as often as an index names it."""
    if primitive.indices is None:
        return vertices
    accessor = geometry.accessor(primitive.indices)
    if accessor.type != "SCALAR" or accessor.component_type not in UNSIGNED:
        raise Unfit(f"The indices of this model are of a wrong type: {_EXPORT}.")
    if int(geometry.range(primitive.indices)[1][0]) >= vertices:
        raise Unfit(f"This model uses a vertex that it does not have: {_EXPORT}.")
    return accessor.count


def _box(primitive: Primitive, geometry: Geometry) -> Box:
    """Least and greatest position in the mesh's own space."""
    index = primitive.attributes["POSITION"]
    geometry.check_declared_range(index)
    low, high = (each.astype(np.float64) for each in geometry.range(index))
    accessor = geometry.accessor(index)
    if accessor.normalized and accessor.component_type != FLOAT:
        most = float((1 << {5120: 7, 5121: 8, 5122: 15, 5123: 16}[accessor.component_type]) - 1)
        low, high = np.maximum(low / most, -1.0), np.maximum(high / most, -1.0)
    return low, high


# --- images, textures, lights ------------------------------------------------------------


def _check_images(
    document: Document, geometry: Geometry, look: Look
) -> tuple[ImageFacts, ...]:
    found: list[tuple[ImageFacts, bytes]] = []
    pixels = 0
    for image in document.images:
        data = _image_bytes(image, geometry)
        media_type = media_type_of(data)
        if media_type not in _IMAGE_TYPES or image.mime_type not in {None, media_type}:
            raise Unfit(f"An image in this model is of another type than it says: {_EXPORT}.")
        facts = check_ktx2(data) if media_type == KTX2 else image_facts(data, media_type)
        pixels += facts.width_px * facts.height_px
        if pixels > limits.IMAGES_PX_MAX:
            raise Unfit(
                f"The images of this model have more than {limits.IMAGES_PX_MAX:,} pixels together:"
                " make them smaller."
            )
        found.append((facts, data))
    for facts, data in found:
        if facts.media_type != KTX2:
            decode_image(data, facts, look)
    return tuple(facts for facts, _ in found)


def _image_bytes(image: Image, geometry: Geometry) -> bytes:
    if (image.uri is None) == (image.buffer_view is None):
        raise Unfit(f"An image of this model is missing: {_EXPORT}.")
    if image.uri is not None:
        return decode_data_uri(image.uri, _IMAGE_TYPES)
    assert image.buffer_view is not None
    return bytes(geometry.piece(image.buffer_view))


def _check_textures(document: Document) -> None:
    for texture in document.textures:
        basis = texture.extensions.get("KHR_texture_basisu", {})
        sources: list[object] = [texture.source]
        if isinstance(basis, dict):
            sources.append(cast(dict[str, object], basis).get("source"))
        sampler = texture.sampler
        if not all(_is_index(source, len(document.images)) for source in sources) or not (
            _is_index(sampler, len(document.samplers))
        ):
            raise Unfit(f"This model uses an image that it does not have: {_EXPORT}.")
    for material in document.materials:
        for index in _textures_of(material):
            if index is None or not _is_index(index, len(document.textures)):
                raise Unfit(f"This model uses a texture that it does not have: {_EXPORT}.")


def _textures_of(material: dict[str, Any]) -> Iterator[object]:
    """What all textures of a material name, those of extensions among them."""
    waiting: list[dict[str, Any]] = [material]
    while waiting:
        for name, value in waiting.pop().items():
            if isinstance(value, dict):
                inner = cast(dict[str, Any], value)
                waiting.append(inner)
                if name.endswith("Texture"):
                    yield inner.get("index")


def _is_index(value: object, count: int) -> bool:
    return value is None or (type(value) is int and 0 <= value < count)


def _check_lights(document: Document) -> None:
    """Each light costs every pixel near it."""
    lights = sum(1 for node in document.nodes if _LIGHTS in node.extensions)
    if lights > limits.GLTF_LIGHTS_MAX:
        raise Unfit(
            f"This model has {lights:,} lights; it may have {limits.GLTF_LIGHTS_MAX}. Remove some."
        )
