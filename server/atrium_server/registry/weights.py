"""Weights from bytes: safetensors, and nothing that could be executed. PURE.

The header of a safetensors file (its length, then names, types, shapes and places as JSON) comes
from whoever made the file. Its length and what it announces are bounded here before the library
looks at it; the library then checks that the arrays lie one after the other and fill the file. What
came out must be what the document announced, to the last number of the last shape, and each number
must be finite: one NaN among the weights makes every answer NaN.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load

from atrium_server.registry.documents import TENSOR_DTYPES, TensorEntry, from_json
from atrium_server.registry.errors import ModelError
from atrium_shared import limits

Tensors = dict[str, npt.NDArray[Any]]

_LENGTH: Final = struct.Struct("<Q")
_METADATA: Final = "__metadata__"


def read_tensors(data: bytes, name: str) -> Tensors:
    """The arrays of a file called `name`. Raises ModelError."""
    if _is_executable(data):
        raise ModelError(
            f"The file {name} is a pickle or an archive and not safetensors: it could run anything"
            " when it is opened, so it is never opened. Ask whoever made it for safetensors."
        )
    _check_header(data, name)
    try:
        tensors = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError) as error:
        raise _broken(name, str(error)) from None
    for key, array in tensors.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ModelError(
                f"The file {name} has numbers in {key} that are infinite or none: the training"
                " went wrong, so use another version."
            )
    return tensors


def check_declared(tensors: Mapping[str, npt.NDArray[Any]],
                   declared: Mapping[str, TensorEntry], label: str) -> None:
    """Whether a version's weights are those that its document announces. Raises ModelError."""
    found = {
        name: TensorEntry(str(array.dtype), array.shape) for name, array in tensors.items()
    }
    for name in sorted(found.keys() | declared.keys()):
        if found.get(name) != declared.get(name):
            raise ModelError(
                f"The weights of {label} are not those that its document announces"
                f" ({name}: {_shown(found.get(name))}, announced {_shown(declared.get(name))}):"
                " document and weights are of two versions, so get both anew."
            )


def _shown(entry: TensorEntry | None) -> str:
    if entry is None:
        return "missing"
    return f"{entry.dtype} {' x '.join(map(str, entry.shape)) or 'one number'}"


def _is_executable(data: bytes) -> bool:
    """Pickles begin so, and so do the archives in which torch keeps them."""
    return data[:2] in {b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK"}


def _check_header(data: bytes, name: str) -> None:
    if len(data) < _LENGTH.size:
        raise _broken(name, "it ends before its header")
    (length,) = _LENGTH.unpack_from(data)
    if length > limits.MODEL_HEADER_BYTES_MAX:
        raise _broken(name, f"its header would be {length:,} bytes long")
    if _LENGTH.size + length > len(data):
        raise _broken(name, "it ends within its header")
    header = from_json(memoryview(data)[_LENGTH.size : _LENGTH.size + length],
                       f"The file {name} is no whole safetensors file: its header")
    if not isinstance(header, Mapping):
        raise _broken(name, "its header is no object")
    entries = {
        key: entry for key, entry in cast("Mapping[str, object]", header).items()
        if key != _METADATA
    }
    if len(entries) > limits.MODEL_TENSORS_MAX:
        raise _broken(name, f"it has more than {limits.MODEL_TENSORS_MAX:,} arrays")
    for key, entry in entries.items():
        dtype = cast("Mapping[str, object]", entry).get("dtype") if isinstance(
            entry, Mapping) else None
        if not isinstance(dtype, str) or dtype not in TENSOR_DTYPES:
            raise _broken(name, f"{key[:60]!r} has a type that is none of "
                                f"{', '.join(TENSOR_DTYPES)}")


def _broken(name: str, how: str) -> ModelError:
    return ModelError(f"The file {name} is no whole safetensors file ({how}): get it anew.")
