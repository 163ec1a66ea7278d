"""What a model takes and gives: the names, types and shapes of its inputs and outputs. PURE.

A model works on rows: one line of chat, one avatar, one picture. Each input and output is an array
with rows first, and a field of the signature tells the rest: the type of its numbers and the shape
of one row. An input may also be a bag: so many numbers for each row as it happens to have (the
n-grams of a line), which travel as one flat array of values and an array of where each row begins.

A signature is part of a model's document and is checked when the model is loaded: a version whose
signature is not the one that its kind has never runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np

from atrium_shared import limits

DTYPES: Final = ("float32", "int64", "int32", "uint8")
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")


class SignatureError(Exception):
    """A signature, or rows that do not fit one; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Field:
    """One input or output."""

    name: str
    dtype: str
    shape: tuple[int, ...] = ()
    """Of one row; () for a single number. A bag has none."""
    is_bag: bool = False
    bound: int = 0
    """Whole numbers are from 0 to below this; 0 for any."""


@dataclass(frozen=True, slots=True)
class Signature:
    """All that a model takes and gives."""

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]

    def as_json(self) -> dict[str, Any]:
        """As a model's document has it."""
        return {"inputs": [_told(each) for each in self.inputs],
                "outputs": [_told(each) for each in self.outputs]}


def _told(field: Field) -> dict[str, Any]:
    return {"name": field.name, "dtype": field.dtype, "shape": list(field.shape),
            "is_bag": field.is_bag, "bound": field.bound}


def read_signature(raw: object) -> Signature:
    """The signature of a document. Raises SignatureError."""
    if not isinstance(raw, Mapping):
        raise SignatureError("A signature is an object with inputs and outputs.")
    content = cast("Mapping[str, object]", raw)
    if set(content) != {"inputs", "outputs"}:
        raise SignatureError("A signature has inputs and outputs, and nothing else.")
    inputs, outputs = (_read_fields(name, content[name]) for name in ("inputs", "outputs"))
    if any(field.is_bag for field in outputs):
        raise SignatureError("An output of a signature cannot be a bag.")
    return Signature(inputs, outputs)


def _read_fields(where: str, raw: object) -> tuple[Field, ...]:
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        raise SignatureError(f"The {where} of a signature are a list.")
    items = cast("Sequence[object]", raw)
    if not 1 <= len(items) <= limits.MODEL_FIELDS_MAX:
        raise SignatureError(f"A signature has 1 to {limits.MODEL_FIELDS_MAX} {where}.")
    fields = tuple(_read_field(where, item) for item in items)
    if len({field.name for field in fields}) < len(fields):
        raise SignatureError(f"Two {where} of a signature have the same name.")
    return fields


def _read_field(where: str, raw: object) -> Field:
    if not isinstance(raw, Mapping):
        raise SignatureError(f"Each of the {where} of a signature is an object.")
    item = cast("Mapping[str, object]", raw)
    if set(item) != {"name", "dtype", "shape", "is_bag", "bound"}:
        raise SignatureError(f"Each of the {where} has a name, dtype, shape, is_bag and bound.")
    name, dtype, is_bag, bound = (item[key] for key in ("name", "dtype", "is_bag", "bound"))
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SignatureError(f"A name among the {where} is not one: small letters, digits and _.")
    if dtype not in DTYPES:
        raise SignatureError(f"The dtype of {name} is none of {', '.join(DTYPES)}.")
    if not isinstance(is_bag, bool):
        raise SignatureError(f"is_bag of {name} is true or false.")
    if type(bound) is not int or not 0 <= bound <= 2**31:
        raise SignatureError(f"The bound of {name} is a whole number from 0 to 2**31.")
    shape = _read_shape(name, item["shape"])
    if is_bag and shape:
        raise SignatureError(f"The bag {name} can have no shape.")
    return Field(name, str(dtype), shape, is_bag, bound)


def _read_shape(name: str, raw: object) -> tuple[int, ...]:
    if not isinstance(raw, Sequence) or isinstance(raw, str):
        raise SignatureError(f"The shape of {name} is a list of whole numbers.")
    sizes: list[int] = []
    for size in cast("Sequence[object]", raw):
        if type(size) is not int or size < 1:
            raise SignatureError(f"The shape of {name} is a list of whole numbers above 0.")
        sizes.append(size)
    if len(sizes) > limits.MODEL_DIMENSIONS_MAX or np.prod(
        np.array(sizes, dtype=np.float64)
    ) > limits.MODEL_ROW_NUMBERS_MAX:
        raise SignatureError(
            f"A row of {name} is larger than {limits.MODEL_ROW_NUMBERS_MAX:,} numbers."
        )
    return tuple(sizes)
