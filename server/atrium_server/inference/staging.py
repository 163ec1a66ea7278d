"""Puts the rows of many jobs together into the inputs of one batch.

The rows are copied once, into buffers that are kept: for each input of each signature one that is
as large as the largest batch was, to the next power of two. So no memory is asked for while batches
of known sizes run, and a graphics card can fetch from the same pages every time.

Where models run in the same memory, the rows of a batch that is one job are not copied at all.
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

    def __init__(self, allocate: Allocate = np.zeros, *, always_copies: bool = True) -> None:
        """Args:
            always_copies: False where models can read the memory of whoever submitted the rows.
        """
        self._allocate = allocate
        self._always_copies = always_copies
        self._buffers: dict[tuple[str, str, tuple[int, ...]], Array] = {}

    def join(self, signature: Signature, parts: Sequence[Part]) -> Mapping[str, Array]:
        """The inputs of a batch; a bag becomes NAME, its values, and NAME_offsets."""
        inputs: dict[str, Array] = {}
        is_copied = self._always_copies or len(parts) > 1
        for field in signature.inputs:
            if not is_copied and _take_in_place(field, parts[0], inputs):
                continue
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
        values: list[Array] = []
        lengths: list[Array] = []
        for rows, start, stop in parts:
            bag = rows[field.name]
            assert isinstance(bag, Bag)
            at = bag.offsets[start:stop + 1]
            lengths.append(at[1:] - at[:-1])
            values.append(bag.values[at[0]:at[-1]])
        size = sum(each.size for each in values)
        count = sum(stop - start for _, start, stop in parts)
        joined = self._buffer(field.name, field.dtype, size, ())[:size]
        offsets = self._buffer(f"{field.name}_offsets", "int64", count + 1, ())[:count + 1]
        np.concatenate(values, out=joined)
        np.concatenate(lengths, out=offsets[1:])
        offsets[0] = 0
        np.cumsum(offsets[1:], out=offsets[1:])
        inputs[field.name] = joined
        inputs[f"{field.name}_offsets"] = offsets

    def _buffer(self, name: str, dtype: str, count: int, shape: tuple[int, ...]) -> Array:
        key = name, dtype, shape
        buffer = self._buffers.get(key)
        if buffer is None or buffer.shape[0] < count:
            room = 1 << max(count - 1, 63).bit_length()
            buffer = self._buffers[key] = self._allocate((room, *shape), dtype)
        return buffer


def _take_in_place(field: Field, part: Part, inputs: dict[str, Array]) -> bool:
    """The input of a batch without a copy; False for memory that a model could not read so."""
    rows, start, stop = part
    given = rows[field.name]
    array = given.values if isinstance(given, Bag) else given
    if not (array.flags.c_contiguous and array.flags.writeable and array.flags.aligned):
        return False
    if isinstance(given, Bag):
        bag = given.part(start, stop)
        inputs[field.name] = bag.values
        inputs[f"{field.name}_offsets"] = bag.offsets
    else:
        inputs[field.name] = array[start:stop]
    return True
