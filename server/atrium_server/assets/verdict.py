"""What a check of a file finds out, and the kinds of files that are taken.

These types pass between the worker process and the server as JSON, so they import little.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

CHECK_VERSION: Final = 1
"""To be raised with every change of what is refused: what was refused before is checked again."""

GLB: Final = "model/gltf-binary"
GLTF: Final = "model/gltf+json"
PNG: Final = "image/png"
JPEG: Final = "image/jpeg"
KTX2: Final = "image/ktx2"
OGG: Final = "audio/ogg"
MP3: Final = "audio/mpeg"

SUFFIXES: Final[Mapping[str, str]] = {
    GLB: ".glb", GLTF: ".gltf", PNG: ".png", JPEG: ".jpg", KTX2: ".ktx2", OGG: ".ogg",
    MP3: ".mp3",
}
"""All that is taken, with the end of a file's name."""

_SAME: Final[Mapping[str, str]] = {
    "image/jpg": JPEG, "image/pjpeg": JPEG, "audio/mp3": MP3, "audio/x-mp3": MP3,
    "application/ogg": OGG, "audio/vorbis": OGG, "audio/opus": OGG,
    "model/gltf.binary": GLB,
}
WITH_PICTURES: Final = "--with-pictures"
"""Asks a worker for what a network is shown, too."""
NO_CLAIM: Final = "application/octet-stream"
"""What programs say that do not know what a file is."""

TAKEN: Final = "GLB or glTF models, PNG, JPEG or KTX2 images, and OGG or MP3 sounds"


def claimed_type(content_type: str) -> str | None:
    """What a Content-Type claims: one of ours, "" for no claim, None for what is not taken."""
    name = content_type.partition(";")[0].strip().lower()
    if name in {"", NO_CLAIM}:
        return ""
    name = _SAME.get(name, name)
    return name if name in SUFFIXES else None


class Unfit(Exception):
    """A file may not be shown here; `sentence` says why, to the person who brought it."""

    def __init__(self, sentence: str, *, is_of_wrong_type: bool = False) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.is_of_wrong_type = is_of_wrong_type


Vector = tuple[float, float, float]


class ImageFacts(msgspec.Struct, frozen=True):
    """One image; of a model, one that is inside of it."""

    media_type: str
    width_px: int
    height_px: int


class Facts(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What is known of a file that is taken.

    Attributes:
        triangles: of a model, as drawn: each mesh counts for every node that shows it.
        vertices: the same.
        bounds: of a model's scene at rest, least and greatest x, y and z in metres.
        animation_s: the longest animation.
        duration_s: of a sound.
    """

    media_type: str
    size_bytes: int
    triangles: int = 0
    vertices: int = 0
    draws: int = 0
    materials: int = 0
    joints: int = 0
    animations: int = 0
    animation_s: float = 0.0
    bounds: tuple[Vector, Vector] | None = None
    images: tuple[ImageFacts, ...] = ()
    duration_s: float = 0.0
    rate_hz: int = 0
    channels: int = 0


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The worker's answer: `facts`, or a `refusal` in a sentence.

    `is_certain` when the same bytes would be refused again, whatever else the machine does then.
    `bug` names an error that the worker did not expect, for the log. Its file is refused.
    `pictures` are what a network is shown of it, where one is to be (`pictures.prepared`).
    """

    facts: Facts | None = None
    refusal: str = ""
    is_of_wrong_type: bool = False
    is_certain: bool = False
    bug: str = ""
    pictures: tuple[bytes, ...] = ()
