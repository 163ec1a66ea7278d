"""A glTF 2.0 document: its bytes as JSON, and the JSON as typed and bounded structures.

Theory of operation
-------------------
The JSON is decoded once, as plain values, and walked without recursion: how deep and how much it
is has a bound, and no `uri`, wherever it stands, leads out of the file. Only then it is made into
the structures below, which name all that a client uses of it, with types and bounds. What they do
not name (extras, optional extensions) stays unread, as in a client that does not know it.

Meshes that are packed by an extension could hold more than can be seen here, and so could a mesh
that an extension repeats; files with those are refused, whether or not they also carry it plainly,
and whether or not they name it in `extensionsUsed`: many a client looks only at where it stands.
"""

from __future__ import annotations

import binascii
import struct
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec

from atrium_server.assets.verdict import Unfit
from atrium_shared import limits

_HEAD: Final = struct.Struct("<4sII")
_CHUNK: Final = struct.Struct("<I4s")
_MAGIC: Final = b"glTF"
_MISTAKE_CHARS_MAX: Final = 120

EXTENSIONS_REQUIRED: Final = frozenset({
    "KHR_lights_punctual", "KHR_materials_anisotropy", "KHR_materials_clearcoat",
    "KHR_materials_dispersion", "KHR_materials_emissive_strength", "KHR_materials_ior",
    "KHR_materials_iridescence", "KHR_materials_sheen", "KHR_materials_specular",
    "KHR_materials_transmission", "KHR_materials_unlit", "KHR_materials_volume",
    "KHR_mesh_quantization", "KHR_texture_basisu", "KHR_texture_transform",
})
"""What a file may ask of every client."""
EXTENSIONS_REFUSED: Final = frozenset({
    "EXT_mesh_gpu_instancing", "EXT_meshopt_compression", "KHR_draco_mesh_compression",
    "KHR_meshopt_compression",
})
"""What may not even be offered; see above."""

Index = Annotated[int, msgspec.Meta(ge=0, lt=1 << 24)]
Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 31)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]
Triple = Annotated[list[float], msgspec.Meta(min_length=3, max_length=3)]
Quadruple = Annotated[list[float], msgspec.Meta(min_length=4, max_length=4)]
Matrix = Annotated[list[float], msgspec.Meta(min_length=16, max_length=16)]
Bounds = Annotated[list[float], msgspec.Meta(max_length=16)]
Attributes = Annotated[dict[str, Index], msgspec.Meta(max_length=32)]
Word = Annotated[str, msgspec.Meta(max_length=64)]


class _Part(msgspec.Struct, frozen=True, rename="camel"):
    """A part of the document; what it does not name is not read."""


class Header(_Part, frozen=True):
    """`asset`, which says for which glTF this is."""

    version: Word
    min_version: Word = "2.0"


class Buffer(_Part, frozen=True):
    """Bytes: those of a data URI, or the binary part of a GLB."""

    byte_length: Count
    uri: str | None = None


class BufferView(_Part, frozen=True):
    """A piece of a buffer."""

    buffer: Index
    byte_length: Count
    byte_offset: Size = 0
    byte_stride: Annotated[int, msgspec.Meta(ge=4, le=252, multiple_of=4)] | None = None


class SparseIndices(_Part, frozen=True):
    """Which elements a sparse accessor replaces."""

    buffer_view: Index
    component_type: int
    byte_offset: Size = 0


class SparseValues(_Part, frozen=True):
    """What it puts there."""

    buffer_view: Index
    byte_offset: Size = 0


class Sparse(_Part, frozen=True):
    """Changes to a few elements."""

    count: Count
    indices: SparseIndices
    values: SparseValues


class Accessor(_Part, frozen=True):
    """A view, as an array of numbers."""

    component_type: int
    count: Count
    type: Word
    buffer_view: Index | None = None
    byte_offset: Size = 0
    normalized: bool = False
    min: Bounds | None = None
    max: Bounds | None = None
    sparse: Sparse | None = None


class Primitive(_Part, frozen=True):
    """What is drawn with one call."""

    attributes: Attributes
    indices: Index | None = None
    material: Index | None = None
    mode: Annotated[int, msgspec.Meta(ge=0, le=6)] = 4
    targets: Annotated[list[Attributes], msgspec.Meta(max_length=limits.GLTF_TARGETS_MAX)] = []


class Mesh(_Part, frozen=True):
    """Primitives that belong together."""

    primitives: Annotated[list[Primitive], msgspec.Meta(min_length=1)]


class Node(_Part, frozen=True):
    """A place in the tree, and what is there."""

    children: list[Index] = []
    mesh: Index | None = None
    skin: Index | None = None
    camera: Index | None = None
    matrix: Matrix | None = None
    translation: Triple | None = None
    rotation: Quadruple | None = None
    scale: Triple | None = None
    extensions: dict[str, Any] = {}


class Scene(_Part, frozen=True):
    """The roots of what is shown together."""

    nodes: list[Index] = []


class Skin(_Part, frozen=True):
    """Bones, as nodes."""

    joints: Annotated[
        list[Index], msgspec.Meta(min_length=1, max_length=limits.GLTF_JOINTS_MAX)
    ]
    inverse_bind_matrices: Index | None = None
    skeleton: Index | None = None


class Target(_Part, frozen=True):
    """What an animation moves."""

    path: Word
    node: Index | None = None


class Channel(_Part, frozen=True):
    """One thing that an animation moves."""

    sampler: Index
    target: Target


class AnimationSampler(_Part, frozen=True):
    """Times and values."""

    input: Index
    output: Index
    interpolation: Word = "LINEAR"


class Animation(_Part, frozen=True):
    """Channels that run together."""

    channels: Annotated[list[Channel], msgspec.Meta(min_length=1)]
    samplers: Annotated[list[AnimationSampler], msgspec.Meta(min_length=1)]


class Image(_Part, frozen=True):
    """An image: a data URI, or a buffer view."""

    uri: str | None = None
    mime_type: Word | None = None
    buffer_view: Index | None = None


class Texture(_Part, frozen=True):
    """An image and how it is sampled."""

    sampler: Index | None = None
    source: Index | None = None
    extensions: dict[str, Any] = {}


def _most(count: int) -> msgspec.Meta:
    return msgspec.Meta(max_length=count)


class Document(_Part, frozen=True):
    """All of a file."""

    asset: Header
    scene: Index | None = None
    scenes: Annotated[list[Scene], _most(64)] = []
    nodes: Annotated[list[Node], _most(limits.GLTF_NODES_MAX)] = []
    meshes: Annotated[list[Mesh], _most(limits.GLTF_MESHES_MAX)] = []
    accessors: Annotated[list[Accessor], _most(limits.GLTF_ACCESSORS_MAX)] = []
    buffer_views: Annotated[list[BufferView], _most(limits.GLTF_ACCESSORS_MAX)] = []
    buffers: Annotated[list[Buffer], _most(limits.GLTF_BUFFERS_MAX)] = []
    images: Annotated[list[Image], _most(limits.GLTF_IMAGES_MAX)] = []
    textures: Annotated[list[Texture], _most(limits.GLTF_TEXTURES_MAX)] = []
    samplers: Annotated[list[dict[str, Any]], _most(limits.GLTF_TEXTURES_MAX)] = []
    materials: Annotated[list[dict[str, Any]], _most(limits.GLTF_MATERIALS_MAX)] = []
    skins: Annotated[list[Skin], _most(limits.GLTF_SKINS_MAX)] = []
    animations: Annotated[list[Animation], _most(limits.GLTF_ANIMATIONS_MAX)] = []
    cameras: Annotated[list[dict[str, Any]], _most(64)] = []
    extensions: dict[str, Any] = {}
    extensions_used: Annotated[list[Word], _most(64)] = []
    extensions_required: Annotated[list[Word], _most(64)] = []


def split_glb(data: bytes) -> tuple[memoryview, memoryview]:
    """The JSON and the binary part of a GLB, which may be empty. Raises Unfit."""
    view = memoryview(data)
    try:
        _, version, length = _HEAD.unpack_from(data)
        if version != 2:
            raise Unfit("This model is of another glTF than 2.0: export it again.")
        if length != len(data):
            raise Unfit(
                f"This GLB says that it has {length:,} bytes, and has {len(data):,}: upload or"
                " export it again."
            )
        text, at = _chunk(view, _HEAD.size, b"JSON")
        if at == len(data):
            return text, view[:0]
        binary, at = _chunk(view, at, b"BIN\0")
    except struct.error:
        raise Unfit("This GLB ends too early: upload it again.") from None
    if at != len(data):
        raise Unfit("This GLB has more parts than a JSON and a binary one: export it again.")
    return text, binary


def _chunk(view: memoryview, at: int, kind: bytes) -> tuple[memoryview, int]:
    length, found = _CHUNK.unpack_from(view, at)
    begin = at + _CHUNK.size
    if found != kind or length % 4 or begin + length > len(view):
        raise Unfit(f"The part {kind.decode().strip(chr(0))} of this GLB is damaged: export it.")
    return view[begin : begin + length], begin + length


def parse_document(text: memoryview | bytes) -> Document:
    """The document. Raises Unfit."""
    try:
        raw: object = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Unfit("The JSON of this model is damaged: export it again.") from None
    except RecursionError:
        raise Unfit("The JSON of this model is nested too deeply: export it again.") from None
    _walk(raw)
    try:
        document = msgspec.convert(raw, Document)
    except (msgspec.ValidationError, OverflowError) as error:
        mistake = str(error)[:_MISTAKE_CHARS_MAX]
        raise Unfit(f"This model does not follow glTF 2.0: {mistake}. Export it again.") from None
    if document.asset.version.partition(".")[0] != "2" or document.asset.min_version != "2.0":
        raise Unfit("This model is of another glTF than 2.0: export it again.")
    _check_extensions(document)
    return document


def _walk(raw: object) -> None:
    """Bounds on depth and number of all values, no way out of the file, nothing hidden in it."""
    level: list[object] = [raw]
    count = 0
    for _ in range(limits.GLTF_JSON_DEPTH_MAX):
        inner: list[object] = []
        for value in level:
            if isinstance(value, dict):
                _check_uri(value.get("uri"))  # pyright: ignore[reportUnknownArgumentType]
                _check_use(value.get("extensions"))  # pyright: ignore[reportUnknownArgumentType]
                inner += value.values()  # pyright: ignore[reportUnknownArgumentType]
            elif isinstance(value, list):
                inner += value  # pyright: ignore[reportUnknownArgumentType]
        count += len(inner)
        if count > limits.GLTF_JSON_VALUES_MAX:
            raise Unfit("The JSON of this model is too large: simplify it, and export it again.")
        if not inner:
            return
        level = inner
    raise Unfit("The JSON of this model is nested too deeply: export it again.")


def _check_uri(uri: object) -> None:
    if uri is not None and not (isinstance(uri, str) and uri.startswith("data:")):
        raise Unfit(
            "This model asks for other files: export it as one file (GLB, or glTF with everything"
            " embedded)."
        )


def _check_use(extensions: object) -> None:
    """Refuse what a part carries, whether or not the file says that it does."""
    if isinstance(extensions, dict):
        names: set[str] = set(extensions)  # pyright: ignore[reportUnknownArgumentType]
        _refuse(names)


def _refuse(names: set[str]) -> None:
    for name in sorted(names & EXTENSIONS_REFUSED):
        raise Unfit(f"This model uses {name}, which worlds do not show: export it without that.")


def _check_extensions(document: Document) -> None:
    _refuse({*document.extensions_used, *document.extensions_required})
    for name in sorted({*document.extensions_required} - EXTENSIONS_REQUIRED):
        raise Unfit(
            f"This model needs the extension {name!a}, which not every client knows: export"
            " it without that."
        )


def decode_data_uri(uri: str, media_types: Sequence[str]) -> bytes:
    """The bytes of a data URI of one of the types. Raises Unfit."""
    head, comma, body = uri.partition(",")
    media_type, _, coding = head.removeprefix("data:").partition(";")
    if not comma or coding != "base64" or media_type not in media_types:
        raise Unfit(
            "An embedded part of this model is not base64 of a known type: export it as GLB."
        )
    try:
        return binascii.a2b_base64(body, strict_mode=True)
    except (binascii.Error, ValueError):
        raise Unfit("An embedded part of this model is damaged: export it again.") from None
