"""What a file is, told by its first bytes and by nothing else.

A name or a header is only a claim. What is not taken but well known is called by its name, so that
the person learns what to save it as.
"""

from __future__ import annotations

from typing import Final

from atrium_server.assets import verdict
from atrium_server.assets.mp3 import ID3_MAGIC, is_frame_head
from atrium_server.assets.verdict import TAKEN, Unfit

_MAGIC: Final = (
    (b"glTF", verdict.GLB),
    (b"\x89PNG\r\n\x1a\n", verdict.PNG),
    (b"\xff\xd8\xff", verdict.JPEG),
    (b"\xabKTX 20\xbb\r\n\x1a\n", verdict.KTX2),
    (b"OggS", verdict.OGG),
    (ID3_MAGIC, verdict.MP3),
)
_OTHERS: Final = (
    (b"GIF8", "a GIF image: save it as PNG"),
    (b"BM", "a BMP image: save it as PNG"),
    (b"II*\x00", "a TIFF image: save it as PNG"),
    (b"MM\x00*", "a TIFF image: save it as PNG"),
    (b"\xabKTX 11", "a KTX 1 texture: save it as KTX2"),
    (b"DDS ", "a DDS texture: save it as KTX2 or PNG"),
    (b"fLaC", "a FLAC sound: save it as OGG"),
    (b"Kaydara FBX", "an FBX model: export it as GLB"),
    (b"BLENDER", "a Blender file: export it as GLB"),
    (b"\x28\xb5\x2f\xfd", "a packed file: upload what is in it"),
    (b"\x1f\x8b", "a packed file: upload what is in it"),
    (b"PK\x03\x04", "a ZIP archive: upload what is in it"),
    (b"<", "a web page, an SVG drawing or another text in tags"),
    (b"%PDF", "a PDF document"),
    (b"MZ", "a program"),
    (b"\x7fELF", "a program"),
    (b"#!", "a program"),
)
_RIFF: Final = {b"WEBP": "a WebP image: save it as PNG", b"WAVE": "a WAV sound: save it as OGG"}


def media_type_of(data: bytes) -> str:
    """The media type of what is taken. Raises Unfit for all else."""
    for magic, media_type in _MAGIC:
        if data.startswith(magic):
            return media_type
    if is_frame_head(data[:4]):
        return verdict.MP3
    if data[:256].lstrip(b" \t\r\n").startswith(b"{"):
        return verdict.GLTF
    raise Unfit(f"This is {_called(data)}. Taken are {TAKEN}.", is_of_wrong_type=True)


def _called(data: bytes) -> str:
    if not data:
        return "an empty file"
    if data.startswith(b"RIFF"):
        return _RIFF.get(data[8:12], "a file of an unknown kind")
    for magic, name in _OTHERS:
        if data.startswith(magic):
            return name
    return "a file of an unknown kind"
