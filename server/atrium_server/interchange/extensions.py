"""The glTF extensions that Atrium writes and reads, as typed records. PURE.

- KHR_lights_punctual (Khronos, ratified): point, spot and directional lights.
- OMI_spawn_point (Open Metaverse Interoperability Group, draft of stage 1): title, team, group.
- OMI_seat (OMI, stage 2): back, foot and knee in the frame of the node.
- OMI_link (OMI, draft of stage 1): uri, title.
- OMI_physics_shape (OMI, stage 1): the list of shapes of the document.
- OMI_physics_body (OMI, stage 1, in the form with motion, collider and trigger).

Those of OMI are as their repository (github.com/omigroup/gltf-extensions, extensions/2.0) had them
in November 2026; they have names and no version numbers. What Atrium has beyond a standard stands
in `extras.atrium` of the node, as a `Tag`, which is also what makes a way out and back exact.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta

from atrium_server.interchange.errors import InterchangeError
from atrium_server.interchange.gltf import Bytes, Index, Offset, Vector3
from atrium_shared import limits
from atrium_shared.props import AssetHash, Properties

LIGHTS: Final = "KHR_lights_punctual"
SPAWN: Final = "OMI_spawn_point"
SEAT: Final = "OMI_seat"
LINK: Final = "OMI_link"
SHAPE: Final = "OMI_physics_shape"
BODY: Final = "OMI_physics_body"

MATERIALS: Final = frozenset({
    "KHR_materials_anisotropy", "KHR_materials_clearcoat", "KHR_materials_dispersion",
    "KHR_materials_emissive_strength", "KHR_materials_ior", "KHR_materials_iridescence",
    "KHR_materials_sheen", "KHR_materials_specular", "KHR_materials_transmission",
    "KHR_materials_unlit", "KHR_materials_volume",
})
"""Of materials; they name nothing but textures."""
TEXTURE_INFOS: Final = frozenset({"KHR_texture_transform"})
TEXTURES: Final = frozenset({"KHR_texture_basisu"})
"""Of textures: another `source`."""
QUANTISATION: Final = "KHR_mesh_quantization"
COPIED: Final = MATERIALS | TEXTURE_INFOS | TEXTURES | {QUANTISATION}
"""Those that go with a model into a file of its own."""
UNDERSTOOD: Final = COPIED | {LIGHTS, SPAWN, SEAT, LINK, SHAPE, BODY}
"""Those that a file may need."""

FORMAT: Final = 1


class _Extension(msgspec.Struct, omit_defaults=True, rename="camel"):
    """Base of all; what is not named here is ignored."""


class Spot(_Extension):
    inner_cone_angle: float = 0.0
    outer_cone_angle: float = 0.7853981633974483


class PunctualLight(_Extension):
    type: str
    color: Vector3 = (1.0, 1.0, 1.0)
    intensity: float = 1.0
    range: float | None = None
    spot: Spot | None = None
    name: str = ""


class Lights(_Extension):
    lights: Annotated[list[PunctualLight], Meta(max_length=limits.IMPORT_PARTS_MAX)]


class LightOf(_Extension):
    light: Index


class SpawnPoint(_Extension):
    title: str | None = None
    team: str | None = None
    group: str | None = None


class SeatPoints(_Extension):
    back: Vector3
    foot: Vector3
    knee: Vector3
    angle: float = 1.5707963267948966


class Link(_Extension):
    uri: str
    title: str | None = None


class ShapeSize(_Extension):
    """The sizes of all types: each type has those that it needs."""

    size: Vector3 | None = None
    radius: float | None = None
    radius_bottom: float | None = None
    radius_top: float | None = None
    height: float | None = None
    mesh: Index | None = None


class PhysicsShape(_Extension):
    type: str
    box: ShapeSize | None = None
    sphere: ShapeSize | None = None
    capsule: ShapeSize | None = None
    cylinder: ShapeSize | None = None
    convex: ShapeSize | None = None
    trimesh: ShapeSize | None = None


class Shapes(_Extension):
    shapes: Annotated[list[PhysicsShape], Meta(max_length=limits.IMPORT_PARTS_MAX)]


class Motion(_Extension):
    type: str = "static"


class ShapeOf(_Extension):
    shape: int = -1


class Body(_Extension):
    motion: Motion | None = None
    collider: ShapeOf | None = None
    trigger: ShapeOf | None = None


class Tag(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """`extras.atrium` of a node that is a prop."""

    id: str
    properties: Properties
    owner: str = ""
    locked: bool = False
    pending: str = ""


class Part(msgspec.Struct, frozen=True):
    """`extras.atrium` of a node that only shows a prop, or stands for its body."""

    part: str = ""


class Embedded(msgspec.Struct, frozen=True):
    """Where the whole file of a model lies in buffer 0."""

    offset: Offset
    bytes: Bytes


class About(msgspec.Struct, frozen=True):
    """`extras.atrium` of the file."""

    format: int = FORMAT
    files: Annotated[
        dict[AssetHash, Embedded], Meta(max_length=limits.PROPS_PER_WORLD_MAX)
    ] = {}


class Extras(msgspec.Struct, frozen=True):
    """The extras of anything, of which only ours are looked at."""

    atrium: msgspec.Raw = msgspec.Raw()


_Wanted = TypeVar("_Wanted")


def decoded(raw: msgspec.Raw, kind: type[_Wanted], what: str) -> _Wanted:
    """An extension or extras as a typed record. Raises InterchangeError.

    Other programs write a number where we had a truth, so types are not taken too strictly.
    """
    try:
        return msgspec.json.decode(bytes(raw), type=kind, strict=False)
    except RecursionError:
        raise InterchangeError(f"{what} is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InterchangeError(f"{what} is broken: {error}.") from None


def raw(value: Any) -> msgspec.Raw:
    """A record as part of a file."""
    return msgspec.Raw(msgspec.json.encode(value))


def extras(value: Tag | Part | About) -> msgspec.Raw:
    """Our extras."""
    return raw({"atrium": value})
