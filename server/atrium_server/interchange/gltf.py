"""The parts of a glTF 2.0 file as typed records, for reading and for writing. PURE.

Names, types and bounds are those of the specification (Khronos glTF 2.0.1); msgspec checks them
while it decodes, and leaves out what is not named here. Extensions and extras stay undecoded
(`Raw`): whoever knows one decodes it with its own type, and nobody builds what nobody knows.
Lists are bounded, so that no file makes more objects than it has a right to.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta

from atrium_shared import limits

ELEMENTS_MAX = 50_000_000
BYTES_MAX = 2**32
NO_RAW = msgspec.Raw()

Index = Annotated[int, Meta(ge=0, lt=limits.IMPORT_PARTS_MAX)]
Count = Annotated[int, Meta(ge=1, le=ELEMENTS_MAX)]
Offset = Annotated[int, Meta(ge=0, le=BYTES_MAX)]
Bytes = Annotated[int, Meta(ge=1, le=BYTES_MAX)]
Weights = Annotated[list[float], Meta(max_length=1_024)]
Attributes = Annotated[dict[str, Index], Meta(max_length=32)]
Extensions = Annotated[dict[str, msgspec.Raw], Meta(max_length=64)]
Names = Annotated[list[str], Meta(max_length=256)]
Vector3 = tuple[float, float, float]
Quaternion4 = tuple[float, float, float, float]
Matrix16 = Annotated[list[float], Meta(min_length=16, max_length=16)]
_Part = TypeVar("_Part")
Parts = Annotated[list[_Part], Meta(max_length=limits.IMPORT_PARTS_MAX)]


class _Record(msgspec.Struct, omit_defaults=True, rename="camel"):
    """Base of all parts."""


class Node(_Record):
    name: str = ""
    translation: Vector3 = (0.0, 0.0, 0.0)
    rotation: Quaternion4 = (0.0, 0.0, 0.0, 1.0)
    scale: Vector3 = (1.0, 1.0, 1.0)
    matrix: Matrix16 | None = None
    """Instead of the three before it."""
    mesh: Index | None = None
    skin: Index | None = None
    weights: Weights = []
    children: Annotated[list[Index], Meta(max_length=limits.IMPORT_NODES_MAX)] = []
    extensions: Extensions = {}
    extras: msgspec.Raw = NO_RAW


class Scene(_Record):
    name: str = ""
    nodes: Annotated[list[Index], Meta(max_length=limits.IMPORT_NODES_MAX)] = []


class Primitive(_Record):
    attributes: Attributes
    indices: Index | None = None
    material: Index | None = None
    mode: Annotated[int, Meta(ge=0, le=6)] = 4
    targets: Annotated[list[Attributes], Meta(max_length=1_024)] = []
    extensions: Extensions = {}


class Mesh(_Record):
    primitives: Annotated[list[Primitive], Meta(min_length=1, max_length=65_536)]
    name: str = ""
    weights: Weights = []


class Sparse(_Record):
    class Indices(_Record):
        buffer_view: Index
        component_type: Literal[5121, 5123, 5125]
        byte_offset: Offset = 0

    class Values(_Record):
        buffer_view: Index
        byte_offset: Offset = 0

    count: Count
    indices: Indices
    values: Values


class Accessor(_Record):
    component_type: Literal[5120, 5121, 5122, 5123, 5125, 5126]
    count: Count
    type: Literal["SCALAR", "VEC2", "VEC3", "VEC4", "MAT2", "MAT3", "MAT4"]
    buffer_view: Index | None = None
    byte_offset: Offset = 0
    normalized: bool = False
    min: Annotated[list[float], Meta(max_length=16)] = []
    max: Annotated[list[float], Meta(max_length=16)] = []
    sparse: Sparse | None = None


class BufferView(_Record):
    buffer: Index
    byte_length: Bytes
    byte_offset: Offset = 0
    byte_stride: Annotated[int, Meta(ge=4, le=252, multiple_of=4)] | None = None
    target: Literal[34962, 34963] | None = None
    extensions: Extensions = {}


class Buffer(_Record):
    byte_length: Bytes
    uri: str | None = None


class Image(_Record):
    name: str = ""
    uri: str | None = None
    mime_type: str | None = None
    buffer_view: Index | None = None


class TextureSampler(_Record):
    mag_filter: int | None = None
    min_filter: int | None = None
    wrap_s: int = 10497
    wrap_t: int = 10497


class Texture(_Record):
    source: Index | None = None
    sampler: Index | None = None
    extensions: Extensions = {}


class Skin(_Record):
    joints: Annotated[list[Index], Meta(min_length=1, max_length=4_096)]
    inverse_bind_matrices: Index | None = None
    skeleton: Index | None = None
    name: str = ""


class AnimationTarget(_Record):
    path: Literal["translation", "rotation", "scale", "weights", "pointer"]
    node: Index | None = None


class AnimationChannel(_Record):
    sampler: Index
    target: AnimationTarget


class AnimationSampler(_Record):
    input: Index
    output: Index
    interpolation: Literal["LINEAR", "STEP", "CUBICSPLINE"] = "LINEAR"


class Animation(_Record):
    channels: Annotated[list[AnimationChannel], Meta(min_length=1, max_length=65_536)]
    samplers: Annotated[list[AnimationSampler], Meta(min_length=1, max_length=65_536)]
    name: str = ""


class About(_Record):
    version: str
    generator: str = ""
    min_version: str = ""


class Gltf(_Record):
    """A whole file."""

    asset: About
    extensions_used: Names = []
    extensions_required: Names = []
    scene: Index | None = None
    scenes: Annotated[list[Scene], Meta(max_length=1_024)] = []
    nodes: Annotated[list[Node], Meta(max_length=limits.IMPORT_NODES_MAX)] = []
    meshes: Parts[Mesh] = []
    materials: Parts[msgspec.Raw] = []
    textures: Parts[Texture] = []
    images: Parts[Image] = []
    samplers: Parts[TextureSampler] = []
    skins: Parts[Skin] = []
    animations: Parts[Animation] = []
    accessors: Parts[Accessor] = []
    buffer_views: Parts[BufferView] = []
    buffers: Annotated[list[Buffer], Meta(max_length=1_024)] = []
    extensions: Extensions = {}
    extras: msgspec.Raw = NO_RAW


COMPONENT_BYTES = {5120: 1, 5121: 1, 5122: 2, 5123: 2, 5125: 4, 5126: 4}
COMPONENTS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}


def element_bytes(accessor: Accessor) -> int:
    """Bytes of one element; the columns of matrices begin at multiples of four."""
    one = COMPONENT_BYTES[accessor.component_type]
    rows = {"MAT2": 2, "MAT3": 3, "MAT4": 4}.get(accessor.type)
    if rows is not None:
        return rows * -(-rows * one // 4) * 4
    return one * COMPONENTS[accessor.type]
