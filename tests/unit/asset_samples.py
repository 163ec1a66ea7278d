"""Small files of every kind that is taken, made here: nothing of anybody's is in them."""

from __future__ import annotations

import base64
import copy
import functools
import io
import json
import math
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

RATE_HZ = 24_000


@functools.cache
def png(width: int = 8, height: int = 4) -> bytes:
    file = io.BytesIO()
    Image.new("RGBA", (width, height), (200, 100, 50, 255)).save(file, "PNG")
    return file.getvalue()


@functools.cache
def jpeg(width: int = 16, height: int = 8, *, progressive: bool = False) -> bytes:
    file = io.BytesIO()
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    image.save(file, "JPEG", progressive=progressive)
    return file.getvalue()


def jpeg_with_place() -> bytes:
    """A photograph that says where it was taken."""
    exif = Image.Exif()
    exif[0x8825] = {1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (16.0, 22.0, 23.0)}
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "JPEG", exif=exif)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG, with a true checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    """Few bytes that unpack to a huge image, all of it well formed."""
    rows = zlib.compress(b"\0" * 100_000, 9)
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg_bomb() -> bytes:
    """A JPEG whose head was changed to say 65,500 x 65,500."""
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", 65_500, 65_500)
    return bytes(data)


def _descriptor(model: int) -> bytes:
    block = struct.pack("<IHHBBBB", 0, 2, 40, model, 1, 1, 0) + bytes(8) + bytes(4) + bytes(16)
    return struct.pack("<I", 4 + len(block)) + block


@functools.cache
def ktx2(width: int = 8, height: int = 8, level_count: int = 1) -> bytes:
    """A UASTC texture, not packed further."""
    descriptor = _descriptor(166)
    index_end = 80 + 24 * level_count
    at = index_end + len(descriptor)
    levels, body = [], b""
    for level in range(level_count):
        blocks = math.ceil(max(1, width >> level) / 4) * math.ceil(max(1, height >> level) / 4)
        levels.append(struct.pack("<3Q", at + len(body), 16 * blocks, 16 * blocks))
        body += bytes(16 * blocks)
    head = b"\xabKTX 20\xbb\r\n\x1a\n" + struct.pack(
        "<9I4I2Q", 0, 1, width, height, 0, 0, 1, level_count, 0,
        index_end, len(descriptor), 0, 0, 0, 0,
    )
    return head + b"".join(levels) + descriptor + body


@functools.cache
def sound(kind: str, subtype: str | None = None, seconds: float = 0.5, channels: int = 1) -> bytes:
    """A tone, as OGG (VORBIS or OPUS) or MP3."""
    count = round(RATE_HZ * seconds)
    wave = 0.3 * np.sin(np.arange(count) / 20)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tone"
        with soundfile.SoundFile(
            path, "w", RATE_HZ, channels, format=kind, subtype=subtype
        ) as file:
            for start in range(0, count, RATE_HZ):
                file.write(np.stack([wave[start : start + RATE_HZ]] * channels, 1))
        return path.read_bytes()


def ogg() -> bytes:
    return sound("OGG", "VORBIS")


def opus() -> bytes:
    return sound("OGG", "OPUS")


def mp3() -> bytes:
    return sound("MP3")


# --- models ------------------------------------------------------------------------------

POSITIONS = np.array([(0, 0, 0), (1, 0, 0), (0, 2, 0)], "<f4").tobytes()
INDICES = np.array([0, 1, 2, 0], "<u2").tobytes()  # the last one is padding
BINARY = POSITIONS + INDICES

TRIANGLE: dict[str, Any] = {
    "asset": {"version": "2.0", "generator": "a test"},
    "scene": 0,
    "scenes": [{"nodes": [0]}],
    "nodes": [{"mesh": 0}],
    "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, "indices": 1, "material": 0}]}],
    "materials": [{"pbrMetallicRoughness": {"baseColorFactor": [1, 0, 0, 1]}}],
    "accessors": [
        {"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3",
         "min": [0, 0, 0], "max": [1, 2, 0]},
        {"bufferView": 1, "componentType": 5123, "count": 3, "type": "SCALAR"},
    ],
    "bufferViews": [
        {"buffer": 0, "byteOffset": 0, "byteLength": 36},
        {"buffer": 0, "byteOffset": 36, "byteLength": 6},
    ],
    "buffers": [{"byteLength": len(BINARY)}],
}


def triangle() -> dict[str, Any]:
    """The document of a model of one triangle, to be changed; its binary part is BINARY."""
    return copy.deepcopy(TRIANGLE)


def glb(document: dict[str, Any] | bytes | None = None, binary: bytes = BINARY) -> bytes:
    """A GLB; the document may be JSON already, however broken."""
    text = document if isinstance(document, bytes) else json.dumps(
        triangle() if document is None else document
    ).encode()
    text += b" " * (-len(text) % 4)
    binary += bytes(-len(binary) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    if binary:
        chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def data_uri(data: bytes, media_type: str = "application/octet-stream") -> str:
    return f"data:{media_type};base64," + base64.b64encode(data).decode()


def gltf(document: dict[str, Any] | None = None, binary: bytes = BINARY) -> bytes:
    """The same as JSON with everything embedded."""
    document = triangle() if document is None else document
    document["buffers"][0].setdefault("uri", data_uri(binary))
    return json.dumps(document).encode()


def with_data(document: dict[str, Any], data: bytes) -> tuple[int, bytes]:
    """Append bytes to the binary part of a triangle: the number of their view, and all bytes."""
    document["bufferViews"].append(
        {"buffer": 0, "byteOffset": len(BINARY), "byteLength": len(data)}
    )
    document["buffers"][0]["byteLength"] = len(BINARY) + len(data)
    return len(document["bufferViews"]) - 1, BINARY + data


def textured(image: bytes, media_type: str) -> bytes:
    """A triangle with an embedded image."""
    document = triangle()
    view, binary = with_data(document, image)
    document["images"] = [{"bufferView": view, "mimeType": media_type}]
    document["textures"] = [{"source": 0}]
    document["materials"][0]["pbrMetallicRoughness"] = {"baseColorTexture": {"index": 0}}
    return glb(document, binary)


SAMPLES = {
    "model/gltf-binary": glb, "model/gltf+json": gltf, "image/png": png, "image/jpeg": jpeg,
    "image/ktx2": ktx2, "audio/ogg": ogg, "audio/mpeg": mp3,
}
"""One of each, by media type."""
