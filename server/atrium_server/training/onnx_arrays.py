"""The weights of an ONNX file: its initializers, by name, and nothing else of it.

Theory of operation
-------------------
An ONNX file is one message of Protocol Buffers: pairs of a number and a value, where a value may be
a message again. Weights lie three steps down (model 7: graph, graph 5: initializer), so some lines
of code read them, and whoever makes a version needs neither the package `onnx` nor its compiled
parser. Everything that is not looked for is stepped over by its length, nothing nests beyond those
three steps, and an array is taken only when its bytes are as many as its shape says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt

_GRAPH: Final = 7
_INITIALIZER: Final = 5
_DIMS, _TYPE, _NAME, _RAW = 1, 2, 8, 9
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_DTYPES: Final = {1: np.dtype("<f4"), 7: np.dtype("<i8")}
_VARINT_BYTES_MAX: Final = 10
_DIMENSIONS_MAX: Final = 8
_NAME_BYTES_MAX: Final = 1_024
ARRAYS_MAX: Final = 4_096
Array = npt.NDArray[Any]


class OnnxError(Exception):
    """A file that is no ONNX, or not of the form that is read here; the message is a sentence."""


def read_arrays(data: bytes) -> dict[str, Array]:
    """All initializers that are float32 or int64 and written as raw bytes. Raises OnnxError."""
    found: dict[str, Array] = {}
    for graph in _messages(memoryview(data), _GRAPH):
        for initializer in _messages(graph, _INITIALIZER):
            name, array = _array(initializer)
            if name in found or len(found) >= ARRAYS_MAX:
                raise OnnxError("This ONNX file has a weight twice, or too many.")
            found[name] = array
    if not found:
        raise OnnxError("This file has no weights in it, or is no ONNX file.")
    return found


def _messages(data: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, value in _fields(data):
        if number == wanted:
            if isinstance(value, int):
                raise OnnxError("A number is where a part of the ONNX file should be.")
            yield value


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview | int]]:
    """The fields of one message, in order: whole numbers, or bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in {_FIXED32, _FIXED64}:
            size = 4 if kind == _FIXED32 else 8
        else:
            raise OnnxError("This is no ONNX file: a part is of no known kind.")
        if size > len(data) - at:
            raise OnnxError("This ONNX file ends too early.")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for k in range(_VARINT_BYTES_MAX):
        if at + k >= len(data):
            raise OnnxError("This ONNX file ends too early.")
        byte = data[at + k]
        value |= (byte & 0x7F) << (7 * k)
        if byte < 0x80:
            return value, at + k + 1
    raise OnnxError("This is no ONNX file: a number in it is too long.")


def _array(data: memoryview) -> tuple[str, Array]:
    shape: list[int] = []
    kind, name, raw = 0, "", memoryview(b"")
    for number, value in _fields(data):
        if number == _DIMS:
            shape += [value] if isinstance(value, int) else _packed(value)
        elif number == _TYPE and isinstance(value, int):
            kind = value
        elif number == _NAME and not isinstance(value, int):
            name = _text(value)
        elif number == _RAW and not isinstance(value, int):
            raw = value
    dtype = _DTYPES.get(kind)
    if dtype is None or len(shape) > _DIMENSIONS_MAX:
        raise OnnxError("A weight of this ONNX file is neither float32 nor int64, or too deep.")
    if math.prod(shape) * dtype.itemsize != len(raw):
        raise OnnxError("A weight of this ONNX file has not the bytes that its shape says.")
    try:
        return name, np.frombuffer(raw, dtype).reshape(shape).copy()
    except ValueError:  # a size of 0 beside sizes that no array can have
        raise OnnxError("A weight of this ONNX file has a shape that is none.") from None


def _packed(data: memoryview) -> list[int]:
    values: list[int] = []
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        values.append(value)
        if len(values) > _DIMENSIONS_MAX:
            raise OnnxError("A weight of this ONNX file has too many dimensions.")
    return values


def _text(data: memoryview) -> str:
    if len(data) > _NAME_BYTES_MAX:
        raise OnnxError("The name of a weight of this ONNX file is too long.")
    try:
        return bytes(data).decode()
    except UnicodeDecodeError:
        raise OnnxError("The name of a weight of this ONNX file is no text.") from None
