"""Puts the rows of many jobs together into the inputs of one batch.

The rows are copied once, into buffers that are kept: for each input of each signature one that is
as large as the largest batch was, to the next power of two. So no memory is asked for while batches
of known sizes run, and a graphics card can fetch from the same pages every time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from atrium_server.inference.rows import Array, Bag, Rows
from atrium_server.registry.signature import Field, Signature

Part = tuple[Rows, int, int]
"""Rows of a job, from a first to before a last one."""
Allocate = Callable[[tuple[int, ...], str], Array]


class Staging:
    """The buffers of one worker. What `join` returns is good until it is called again."""

    def __init__(self, allocate: Allocate = np.zeros) -> None:
        self._allocate = allocate
        self._buffers: dict[tuple[str, str, tuple[int, ...]], Array] = {}

    def join(self, signature: Signature, parts: Sequence[Part]) -> Mapping[str, Array]:
        """The inputs of a batch; a bag becomes NAME, its values, and NAME_offsets."""
        inputs: dict[str, Array] = {}
        for field in signature.inputs:
            if field.is_bag:
                self._join_bags(field, parts, inputs)
            else:
                inputs[field.name] = self._join_arrays(field, parts)
        return inputs

    def _join_arrays(self, field: Field, parts: Sequence[Part]) -> Array:
        count = sum(stop - start for _, start, stop in parts)
        buffer = self._buffer(field.name, field.dtype, count, field.shape)
        at = 0
        for rows, start, stop in parts:
            array = rows[field.name]
            assert not isinstance(array, Bag)
            buffer[at:at + stop - start] = array[start:stop]
            at += stop - start
        return buffer[:count]

    def _join_bags(
        self, field: Field, parts: Sequence[Part], inputs: dict[str, Array]
    ) -> None:
        bags: list[Bag] = []
        for rows, start, stop in parts:
            whole = rows[field.name]
            assert isinstance(whole, Bag)
            bags.append(whole.part(start, stop))
        count = sum(stop - start for _, start, stop in parts)
        size = sum(bag.values.size for bag in bags)
        values = self._buffer(field.name, field.dtype, size, ())
        offsets = self._buffer(f"{field.name}_offsets", "int64", count + 1, ())
        row = at = 0
        for bag in bags:
            rows_here, size_here = bag.offsets.size - 1, bag.values.size
            values[at:at + size_here] = bag.values
            offsets[row:row + rows_here] = bag.offsets[:-1] + at
            row, at = row + rows_here, at + size_here
        offsets[count] = at
        inputs[field.name] = values[:size]
        inputs[f"{field.name}_offsets"] = offsets[:count + 1]

    def _buffer(self, name: str, dtype: str, count: int, shape: tuple[int, ...]) -> Array:
        key = name, dtype, shape
        buffer = self._buffers.get(key)
        if buffer is None or buffer.shape[0] < count:
            room = 1 << max(count - 1, 63).bit_length()
            buffer = self._buffers[key] = self._allocate((room, *shape), dtype)
        return buffer
