"""The rows of a job: arrays with rows first, and bags. PURE.

Rows are handed over, not copied, by who submits them, and copied once at most, when a batch is put
together; whoever submitted them leaves them alone until the outcome is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from atrium_server.registry.signature import Field, Signature, SignatureError
from atrium_shared import limits

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Bag:
    """As many numbers for each row as it has."""

    values: Array
    """All of them, flat, one row after the other."""
    offsets: npt.NDArray[np.int64]
    """Where each row begins, and where the last one ends: one more than there are rows."""

    def part(self, start: int, stop: int) -> Bag:
        """Rows `start` to before `stop`, without a copy of the values."""
        low, high = self.offsets[start], self.offsets[stop]
        if start == 0 and stop == self.offsets.size - 1:
            return self
        return Bag(self.values[low:high], self.offsets[start:stop + 1] - low)


Rows = Mapping[str, Array | Bag]
"""By the name of the input."""


def count_rows(rows: Rows, signature: Signature) -> int:
    """How many there are. Raises SignatureError for rows that do not fit the signature."""
    if rows.keys() ^ {field.name for field in signature.inputs}:
        raise SignatureError(
            f"The inputs are {', '.join(sorted(rows)) or 'missing'}, and should be"
            f" {', '.join(field.name for field in signature.inputs)}."
        )
    counts = [_count(rows[field.name], field) for field in signature.inputs]
    if len(set(counts)) != 1:
        raise SignatureError("The inputs do not have the same number of rows.")
    return counts[0]


def _count(given: Array | Bag, field: Field) -> int:
    if isinstance(given, Bag) != field.is_bag:
        raise SignatureError(f"{field.name} is {'' if field.is_bag else 'not '}a bag.")
    values = given.values if isinstance(given, Bag) else given
    if values.dtype != np.dtype(field.dtype):
        raise SignatureError(f"{field.name} has {values.dtype} in it, and not {field.dtype}.")
    if field.bound and values.size and _largest(values) >= field.bound:
        raise SignatureError(f"{field.name} has numbers beyond 0 to {field.bound - 1:,} in it.")
    if isinstance(given, Bag):
        return _count_bag(given, field)
    if given.ndim == 0 or given.shape[1:] != field.shape:
        raise SignatureError(f"A row of {field.name} has the shape {given.shape[1:]},"
                             f" and should have {field.shape}.")
    return given.shape[0]


def _largest(values: Array) -> int:
    """The largest, with those below 0 as larger than any: they are looked at once, not twice."""
    if values.dtype.kind == "i":
        values = values.view(f"u{values.dtype.itemsize}")
    return int(values.max())


def _count_bag(bag: Bag, field: Field) -> int:
    offsets = bag.offsets
    if (
        bag.values.ndim != 1 or offsets.ndim != 1 or offsets.size < 1 or offsets[0] != 0
        or offsets[-1] != bag.values.size
    ):
        raise SignatureError(f"The offsets of {field.name} do not go from 0 to its end.")
    # A step back is, without its sign, a larger one than any may be.
    longest = _largest(offsets[1:] - offsets[:-1]) if offsets.size > 1 else 0
    if longest >= 1 << 63:
        raise SignatureError(f"The offsets of {field.name} do not go from 0 to its end.")
    if longest > limits.MODEL_BAG_NUMBERS_MAX:
        raise SignatureError(
            f"A row of {field.name} has more than {limits.MODEL_BAG_NUMBERS_MAX:,} numbers."
        )
    return offsets.size - 1


def example_rows(
    signature: Signature, count: int, seed: int = 0, *, size: int = 0
) -> dict[str, Array | Bag]:
    """Rows of numbers by chance that fit, to warm a model with and to time it.

    All bags of a row are of one size (of this one if it is given), since there may be as many
    weights as there are numbers.
    """
    chance = np.random.default_rng(seed)
    offsets = np.zeros(count + 1, np.int64)
    sizes = np.full(count, size) if size else chance.integers(20, 200, count)
    np.cumsum(sizes, out=offsets[1:])
    made: dict[str, Array | Bag] = {}
    for field in signature.inputs:
        if field.is_bag:
            made[field.name] = Bag(_numbers(field, (int(offsets[-1]),), chance), offsets)
        else:
            made[field.name] = _numbers(field, (count, *field.shape), chance)
    return made


def _numbers(field: Field, shape: tuple[int, ...], chance: np.random.Generator) -> Array:
    if field.dtype == "float32":
        return chance.standard_normal(shape, dtype=np.float32)
    bound = field.bound or (256 if field.dtype == "uint8" else 1000)
    return chance.integers(0, bound, shape).astype(field.dtype)
