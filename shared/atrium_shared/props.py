"""The things that people put into a world: what they are, where they stand, what one may say.

Theory of operation
-------------------
A *prop* is an id, a transform, and *properties*: one of the kinds below, each with the fields that
it has and no others. The same definition serves MessagePack (edits on the wire), JSON (the
database, the scene over HTTP) and glTF (extras of an exported node), so what one of them accepts
the others hold as well. msgspec checks names, types and bounds while it decodes; what it cannot say
(a quaternion that can be normalised) is checked here. `PropError` carries a sentence for the person
who typed the value.

Axes and units are those of the manifest: metres, +Y up, -Z forward. Colours are `#rrggbb`. Fields
are told by name, so a kind may get more of them; a value that equals its default is left out.
"""

from __future__ import annotations

import enum
import functools
import math
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from atrium_shared import limits

# `$` alone would let a newline at the end pass.
Colour = Annotated[str, Meta(pattern="^#[0-9a-f]{6}$", max_length=7)]
AssetHash = Annotated[str, Meta(pattern="^[0-9a-f]{64}$", max_length=64)]
"""SHA-256 of an asset's bytes, in hexadecimal."""
WorldName = Annotated[str, Meta(max_length=limits.WORLD_NAME_CHARS_MAX)]
Title = Annotated[str, Meta(max_length=limits.PROP_TITLE_CHARS_MAX)]
SignText = Annotated[str, Meta(max_length=limits.SIGN_CHARS_MAX)]
_Coordinate = Annotated[float, Meta(ge=-limits.WORLD_EXTENT_M_MAX, le=limits.WORLD_EXTENT_M_MAX)]
_Component = Annotated[float, Meta(ge=-1.0e6, le=1.0e6)]
_Scale = Annotated[float, Meta(ge=limits.PROP_SCALE_MIN, le=limits.PROP_SCALE_MAX)]
_Share = Annotated[float, Meta(ge=0.0, le=1.0)]
_Speed = Annotated[float, Meta(ge=-limits.RELEASE_M_PER_S_MAX, le=limits.RELEASE_M_PER_S_MAX)]
Position = tuple[_Coordinate, _Coordinate, _Coordinate]
Rotation = tuple[_Component, _Component, _Component, _Component]
Scale = tuple[_Scale, _Scale, _Scale]
Velocity = tuple[_Speed, _Speed, _Speed]
GRAVITY_M_PER_S2 = 9.81
SLIDE_M_PER_S2 = 4.905
"""What a prop that slides loses of its speed in a second."""
_QUATERNION_LENGTH_MIN = 1e-3
_QUATERNION_DIGITS = 7
"""What is kept after the point of a component: what a 32-bit float gives back."""
_LENGTH_ERROR_MAX = 5e-7
"""A quaternion that was rounded is no further from length 1 than this."""
_SCALE_DIGITS = 6
"""What is kept of a scale, in digits that count: what a 32-bit float gives back."""


class PropError(ValueError):
    """A value that no prop may have; the text is a sentence for the person who gave it."""


class ShapeForm(enum.StrEnum):
    BOX = "box"
    SPHERE = "sphere"
    CYLINDER = "cylinder"
    CONE = "cone"
    PLANE = "plane"


class LightForm(enum.StrEnum):
    POINT = "point"
    SPOT = "spot"


class ZoneMeaning(enum.StrEnum):
    STAGE = "stage"
    GARDEN = "garden"
    QUIET = "quiet"
    TRIGGER = "trigger"
    """Tells scripts who comes and goes, and means nothing else."""


class _Properties(
    msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True, omit_defaults=True,
    tag_field="kind",
):
    """Base of all kinds."""

    title: Title = ""
    """What a list of props and a screen reader call it."""


class Model(_Properties, tag="model", frozen=True):
    """A glTF asset of the content-addressed store."""

    asset: AssetHash = "0" * 64
    tint: Colour = "#ffffff"
    collides: bool = False
    """Whether bodies stop at its bounding box."""
    portable: bool = False
    """Whether anybody may take it in the hand, carry and throw it."""


class Shape(_Properties, tag="shape", frozen=True):
    """A simple solid, one metre in each direction before scale."""

    form: ShapeForm = ShapeForm.BOX
    colour: Colour = "#cccccc"
    roughness: _Share = 0.8
    metalness: _Share = 0.0
    collides: bool = True
    portable: bool = False
    """Whether anybody may take it in the hand, carry and throw it."""


class Sign(_Properties, tag="sign", frozen=True):
    """A text that others read once the judge has let it pass."""

    text: SignText = ""
    colour: Colour = "#222222"
    background: Colour = "#f4f1e8"


class Light(_Properties, tag="light", frozen=True):
    form: LightForm = LightForm.POINT
    colour: Colour = "#ffffff"
    intensity_cd: Annotated[float, Meta(ge=0.0, le=limits.LIGHT_CD_MAX)] = 60.0
    range_m: Annotated[float, Meta(ge=0.1, le=limits.LIGHT_RANGE_M_MAX)] = 10.0
    angle_deg: Annotated[float, Meta(ge=1.0, le=179.0)] = 60.0
    """Of the whole cone of a spot light."""


class Seat(_Properties, tag="seat", frozen=True):
    """A place for one to sit; the root of who sits there is the prop's position."""


class Portal(_Properties, tag="portal", frozen=True):
    """Takes who walks into it to another world of this server."""

    world: WorldName = ""


class Spawn(_Properties, tag="spawn", frozen=True):
    """Where people arrive: anywhere on the disc around it."""

    radius_m: Annotated[float, Meta(ge=0.0, le=limits.SPAWN_RADIUS_M_MAX)] = 1.0


class Zone(_Properties, tag="zone", frozen=True):
    """A part of the world with a meaning: a box of the prop's scale around its position."""

    meaning: ZoneMeaning = ZoneMeaning.TRIGGER


class NpcPost(_Properties, tag="npc_post", frozen=True):
    """Where an NPC of this name stands."""

    npc: Title = ""


class Group(_Properties, tag="group", frozen=True):
    """Holds others together: they move, turn, scale and go with it."""


Properties = Model | Shape | Sign | Light | Seat | Portal | Spawn | Zone | NpcPost | Group
KINDS: tuple[type[_Properties], ...] = (
    Model, Shape, Sign, Light, Seat, Portal, Spawn, Zone, NpcPost, Group,
)


class Transform(
    msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True
):
    """Where a prop stands, in its world or in the group that holds it."""

    position_m: Position = (0.0, 0.0, 0.0)
    rotation: Rotation = (0.0, 0.0, 0.0, 1.0)
    """Quaternion x, y, z, w; `checked_transform` makes it one of length 1."""
    scale: Scale = (1.0, 1.0, 1.0)


_Checked = TypeVar("_Checked")
_json_decoder = msgspec.json.Decoder(Properties)
_json_encoder = msgspec.json.Encoder(order="sorted")


def kind_of(properties: Properties) -> str:
    """The name of the kind, as it stands in every encoding."""
    tag = properties.__struct_config__.tag
    assert isinstance(tag, str)
    return tag


def encode_properties(properties: Properties) -> bytes:
    """Canonical JSON: sorted names, no defaults, so equal properties have equal bytes."""
    return _json_encoder.encode(properties)


def decode_properties(data: bytes | str) -> Properties:
    """Properties from JSON. Raises PropError with a sentence."""
    if len(data) > limits.PROP_BYTES_MAX:
        raise PropError(f"Properties take at most {limits.PROP_BYTES_MAX:,} bytes.")
    try:
        return _json_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PropError(f"These properties cannot be: {error}.") from None


def checked_properties(properties: Properties) -> Properties:
    """The same, after what their types cannot say. Raises PropError.

    Texts keep no control or surrogate characters; their size is that of the encoding.
    """
    for name in ("title", "text", "npc"):
        text = getattr(properties, name, "")
        if any((ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 for c in text):
            raise PropError(f"The {name} has characters that cannot be shown.")
    try:
        size = len(encode_properties(properties))
    except UnicodeEncodeError:
        raise PropError("A text has characters that cannot be written.") from None
    if size > limits.PROP_BYTES_MAX:
        raise PropError(f"Properties take at most {limits.PROP_BYTES_MAX:,} bytes.")
    return properties


def checked_transform(transform: Transform) -> Transform:
    """The same with a rotation of length 1, rounded so that it is stored as it is.

    What has been through it stays as it is, also by way of 32-bit floats. Raises PropError when
    a number is not finite, or the rotation has no direction.
    """
    numbers = (*transform.position_m, *transform.rotation, *transform.scale)
    if not math.isfinite(sum(numbers)) and not all(map(math.isfinite, numbers)):
        raise PropError("A transform has finite numbers only.")
    length = math.hypot(*transform.rotation)
    if length < _QUATERNION_LENGTH_MIN:
        raise PropError("A rotation needs a direction: its quaternion is (nearly) zero.")
    if abs(length - 1.0) < _LENGTH_ERROR_MAX:
        length = 1.0  # or the last digit would move each time
    x, y, z, w = transform.rotation
    rotation = (
        round(x / length, _QUATERNION_DIGITS), round(y / length, _QUATERNION_DIGITS),
        round(z / length, _QUATERNION_DIGITS), round(w / length, _QUATERNION_DIGITS),
    )
    return Transform(transform.position_m, rotation, _rounded_scale(transform.scale))


@functools.lru_cache(maxsize=1024)  # what is moved keeps its scale, and formatting is slow
def _rounded_scale(scale: Scale) -> Scale:
    wide, high, deep = (float(f"{part:.{_SCALE_DIGITS}g}") for part in scale)
    return wide, high, deep
