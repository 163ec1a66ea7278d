"""The two forms of a glTF file: GLB (binary) and .gltf (JSON with its bytes inside). PURE.

A file stands for itself: whatever it needs is in it. One that names other files is refused, so
nothing outside is ever opened or fetched because a file says so.
"""

from __future__ import annotations

import base64
import binascii
import struct
from dataclasses import dataclass
from typing import Final

import msgspec

from atrium_server.interchange.errors import InterchangeError
from atrium_server.interchange.gltf import Gltf
from atrium_shared import limits

MAGIC: Final = b"glTF"
_HEADER: Final = struct.Struct("<4sII")
_CHUNK: Final = struct.Struct("<I4s")
_JSON: Final = b"JSON"
_BIN: Final = b"BIN\0"
_decoder = msgspec.json.Decoder(Gltf)
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Loaded:
    """A file in memory."""

    gltf: Gltf
    buffers: list[memoryview]
    binary_start: int = 0
    """Where in the file the bytes of buffer 0 begin; 0 when they are not in it as they are."""


def load(data: bytes) -> Loaded:
    """The parts of a file. Raises InterchangeError."""
    if len(data) > limits.IMPORT_BYTES_MAX:
        raise InterchangeError(
            f"The file is too large: a world is at most {limits.IMPORT_BYTES_MAX >> 20} MiB."
        )
    if data[:4] != MAGIC:
        return _loaded(data, None, 0)
    text, start, length = _chunks(data)
    binary = memoryview(data)[start : start + length] if start else None
    return _loaded(text, binary, start)


def _chunks(data: bytes) -> tuple[bytes, int, int]:
    """The JSON of a GLB, and where its other bytes begin (0: nowhere) and how many they are."""
    if len(data) < _HEADER.size + _CHUNK.size:
        raise InterchangeError("The file ends within its head: it is not whole.")
    _, version, length = _HEADER.unpack_from(data)
    if version != 2:
        raise InterchangeError(f"The file is glTF {version}; Atrium reads glTF 2: export it anew.")
    if length != len(data):
        raise InterchangeError(
            f"The file has {len(data):,} bytes and says that it has {length:,}: it is not whole."
        )
    text, start, size, place = b"", 0, 0, _HEADER.size
    while place < length:
        if place + _CHUNK.size > length:
            raise InterchangeError("The file ends within the head of a chunk: it is not whole.")
        bytes_in, kind = _CHUNK.unpack_from(data, place)
        place += _CHUNK.size
        if place + bytes_in > length:
            raise InterchangeError("A chunk of the file is longer than the file.")
        if kind == _JSON and place == _HEADER.size + _CHUNK.size:
            text = data[place : place + bytes_in]
        elif kind == _BIN and not start:
            start, size = place, bytes_in
        place += bytes_in
    if not text:
        raise InterchangeError("The file does not begin with its JSON, as a GLB has to.")
    return text, start, size


def _loaded(text: bytes, binary: memoryview | None, start: int) -> Loaded:
    if len(text) > limits.IMPORT_JSON_BYTES_MAX:
        raise InterchangeError(
            f"The JSON of the file is too large: {limits.IMPORT_JSON_BYTES_MAX >> 20} MiB are most."
        )
    try:
        gltf = _decoder.decode(text)
    except RecursionError:
        raise InterchangeError("The JSON of the file is nested too deeply.") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InterchangeError(f"The file is no glTF that can be read: {error}.") from None
    if gltf.asset.version.partition(".")[0] != "2":
        raise InterchangeError("The file is not of glTF 2: export it anew.")
    return Loaded(gltf, _buffers(gltf, binary), start)


def _buffers(gltf: Gltf, binary: memoryview | None) -> list[memoryview]:
    found: list[memoryview] = []
    for number, buffer in enumerate(gltf.buffers):
        if buffer.uri is not None:
            data = memoryview(data_of(buffer.uri))
        elif number == 0 and binary is not None:
            data = binary
        else:
            raise InterchangeError(f"The bytes of buffer {number} are not in the file.")
        if len(data) < buffer.byte_length:
            raise InterchangeError(f"Buffer {number} is longer than the bytes that are there.")
        found.append(data[: buffer.byte_length])
    return found


def data_of(uri: str) -> bytes:
    """What a data: URI holds. Raises InterchangeError."""
    if not uri.startswith("data:"):
        raise InterchangeError(
            "The file needs another file beside it: export it as one, as GLB (.glb)."
        )
    head, comma, body = uri.partition(",")
    if not comma or not head.endswith(";base64"):
        raise InterchangeError("A data: address in the file is not in base64.")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise InterchangeError("A data: address in the file is broken.") from None


def to_glb(gltf: Gltf, data: bytes | bytearray) -> bytes:
    """The file in its binary form; `data` becomes buffer 0, which `gltf` names."""
    text = _encoder.encode(gltf)
    text += b" " * (-len(text) % 4)
    chunks = [_CHUNK.pack(len(text), _JSON), text]
    if data:
        padding = bytes(-len(data) % 4)
        chunks += [_CHUNK.pack(len(data) + len(padding), _BIN), bytes(data), padding]
    length = _HEADER.size + sum(map(len, chunks))
    return b"".join([_HEADER.pack(MAGIC, 2, length), *chunks])


def to_json(gltf: Gltf, data: bytes | bytearray) -> bytes:
    """The file as text, its bytes in base64."""
    if data:
        body = base64.b64encode(data).decode()
        gltf.buffers[0].uri = f"data:application/octet-stream;base64,{body}"
    return msgspec.json.format(_encoder.encode(gltf), indent=1)
