"""The numbers of a glTF file: buffers, views and accessors, as arrays that lie within their bytes.

Theory of operation
-------------------
Every accessor is checked once, whether or not something uses it, because a client may read it all
the same: where it lies, how it is aligned, how many bytes it unpacks to (accessors can share bytes,
so the sum has a cap of its own), and that its floats are finite. After that `array` gives a view
of the bytes, without a copy but for sparse accessors, and nothing can reach outside.

A client believes `min` and `max` of positions when it decides what is in sight. So they must be
true.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from atrium_server.assets.gltf_document import (
    Accessor,
    Buffer,
    BufferView,
    Document,
    Sparse,
    decode_data_uri,
)
from atrium_server.assets.verdict import Unfit
from atrium_shared.limits import GLTF_DECODED_BYTES_MAX

Array = npt.NDArray[Any]

FLOAT: Final = 5126
UNSIGNED: Final = (5121, 5123, 5125)
_DTYPES: Final = {5120: "i1", 5121: "u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", FLOAT: "<f4"}
_SHAPES: Final = {
    "SCALAR": (1, 1), "VEC2": (1, 2), "VEC3": (1, 3), "VEC4": (1, 4),
    "MAT2": (2, 2), "MAT3": (3, 3), "MAT4": (4, 4),
}
"""Columns and rows; each column of a matrix begins at a multiple of four bytes."""
_PADDING_BYTES_MAX: Final = 3
_BUFFER_TYPES: Final = ("application/octet-stream", "application/gltf-buffer")
_CLOSE: Final = 1e-3
_EXPORT: Final = "export it again"


class Geometry:
    """The arrays of one document."""

    def __init__(self, document: Document, binary: memoryview) -> None:
        """Check all of them. Raises Unfit."""
        self._accessors = document.accessors
        self._views = document.buffer_views
        buffers = [
            _buffer_bytes(buffer, binary if number == 0 else None)
            for number, buffer in enumerate(document.buffers)
        ]
        self._pieces = [_view_bytes(view, buffers) for view in document.buffer_views]
        total = 0
        for accessor in self._accessors:
            total += accessor.count * _element_bytes(accessor)
            if total > GLTF_DECODED_BYTES_MAX:
                raise Unfit("This model unpacks to too much data: simplify it.")
        for index in range(len(self._accessors)):
            self._check(index)
        self._ranges: dict[int, tuple[Array, Array]] = {}

    def accessor(self, index: int) -> Accessor:
        """One accessor. Raises Unfit where there is none."""
        if index >= len(self._accessors):
            raise Unfit(f"This model uses an accessor that it does not have: {_EXPORT}.")
        return self._accessors[index]

    def piece(self, index: int) -> memoryview:
        """The bytes of a view."""
        if index >= len(self._pieces):
            raise Unfit(f"This model uses a buffer view that it does not have: {_EXPORT}.")
        return self._pieces[index]

    def array(self, index: int) -> Array:
        """The elements of an accessor, one a row. Matrices of small numbers are not unpadded."""
        accessor = self.accessor(index)
        dense = self._dense(accessor)
        return dense if accessor.sparse is None else self._patched(accessor.sparse, dense)

    def range(self, index: int) -> tuple[Array, Array]:
        """The least and the greatest value of each column."""
        if index not in self._ranges:
            values = self.array(index)
            self._ranges[index] = (values.min(axis=0), values.max(axis=0))
        return self._ranges[index]

    def _check(self, index: int) -> None:
        accessor = self._accessors[index]
        if accessor.buffer_view is None and accessor.sparse is None:
            raise Unfit(f"An accessor of this model has no data: {_EXPORT}.")
        if accessor.component_type == FLOAT and not np.isfinite(self.array(index)).all():
            raise Unfit(f"This model has numbers that are none (NaN or infinity): {_EXPORT}.")
        if accessor.component_type != FLOAT:
            self.array(index)  # for its bounds

    def _dense(self, accessor: Accessor) -> Array:
        dtype, size = np.dtype(_DTYPES[accessor.component_type]), _element_bytes(accessor)
        width = size // dtype.itemsize
        if accessor.buffer_view is None:
            return np.zeros((accessor.count, width), dtype)
        stride = size
        if accessor.buffer_view < len(self._views):
            stride = self._views[accessor.buffer_view].byte_stride or size
        piece = self.piece(accessor.buffer_view)
        return _strided(piece, (accessor.byte_offset, stride), dtype, (accessor.count, width))

    def _patched(self, sparse: Sparse, dense: Array) -> Array:
        kind = sparse.indices.component_type
        if kind not in UNSIGNED or sparse.count > len(dense):
            raise Unfit(f"A sparse accessor of this model is damaged: {_EXPORT}.")
        number = np.dtype(_DTYPES[kind])
        where = _strided(
            self.piece(sparse.indices.buffer_view),
            (sparse.indices.byte_offset, number.itemsize), number, (sparse.count, 1),
        )[:, 0].astype(np.int64)
        if (where[1:] <= where[:-1]).any() or where[-1] >= len(dense):
            raise Unfit(f"A sparse accessor of this model is damaged: {_EXPORT}.")
        width = dense.shape[1]
        values = _strided(
            self.piece(sparse.values.buffer_view),
            (sparse.values.byte_offset, width * dense.itemsize), dense.dtype,
            (sparse.count, width),
        )
        patched = dense.copy()
        patched[where] = values
        return patched

    def check_declared_range(self, index: int) -> None:
        """`min` and `max`, where they are there, must be those of the data."""
        accessor = self.accessor(index)
        for declared, true in zip((accessor.min, accessor.max), self.range(index), strict=True):
            if declared is None:
                continue
            if len(declared) != len(true) or not np.allclose(
                np.array(declared), true.astype(np.float64), rtol=_CLOSE, atol=_CLOSE
            ):
                raise Unfit(f"This model says that it has another size than it has: {_EXPORT}.")


def _buffer_bytes(buffer: Buffer, binary: memoryview | None) -> memoryview:
    if buffer.uri is not None:
        data = memoryview(decode_data_uri(buffer.uri, _BUFFER_TYPES))
    elif binary is not None:
        data = binary
        if len(binary) - buffer.byte_length > _PADDING_BYTES_MAX:
            raise Unfit(f"The binary part of this GLB is longer than it says: {_EXPORT}.")
    else:
        data = memoryview(b"")
    if len(data) < buffer.byte_length:
        raise Unfit(f"A buffer of this model is shorter than it says: {_EXPORT}.")
    return data[: buffer.byte_length]


def _view_bytes(view: BufferView, buffers: list[memoryview]) -> memoryview:
    end = view.byte_offset + view.byte_length
    if view.buffer >= len(buffers) or end > len(buffers[view.buffer]):
        raise Unfit(f"A buffer view of this model lies outside of its buffer: {_EXPORT}.")
    return buffers[view.buffer][view.byte_offset : end]


def _element_bytes(accessor: Accessor) -> int:
    if accessor.component_type not in _DTYPES or accessor.type not in _SHAPES:
        raise Unfit(f"An accessor of this model is of an unknown type: {_EXPORT}.")
    columns, rows = _SHAPES[accessor.type]
    column_bytes = rows * np.dtype(_DTYPES[accessor.component_type]).itemsize
    if columns > 1:
        column_bytes = -(-column_bytes // 4) * 4
    return columns * column_bytes


def _strided(
    piece: memoryview, at_and_stride: tuple[int, int], dtype: np.dtype[Any],
    shape: tuple[int, int],
) -> Array:
    """A view of the bytes, once it is certain that it lies within them."""
    at, stride = at_and_stride
    count, width = shape
    end = at + (count - 1) * stride + width * dtype.itemsize
    if end > len(piece) or stride < width * dtype.itemsize:
        raise Unfit(f"An accessor of this model lies outside of its buffer view: {_EXPORT}.")
    if at % dtype.itemsize or stride % dtype.itemsize:
        raise Unfit(f"An accessor of this model is not aligned: {_EXPORT}.")
    return np.ndarray(shape, dtype, piece, at, (stride, dtype.itemsize))
