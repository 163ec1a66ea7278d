"""What is known of one version of a model: its document. PURE.

Theory of operation
-------------------
A version of a model is a JSON document and the files that it names by hash. The document says which
kind of network it is, what that takes and gives (`signature`), which arrays of weights there are
(`tensors`), what it was trained on and how good it is. It is written in one canonical form (keys
sorted, no spaces, UTF-8), and the SHA-256 of that form is the version's *id*: two servers that have
the same id run the same numbers.

Nothing of a document is trusted. Every word of it that becomes part of a path or of a module's name
has a narrow form, every size has a bound, and unknown keys are refused, because a key that is
misspelled would otherwise be one that is left out.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import msgspec
import numpy as np

from atrium_server.registry.errors import ModelError
from atrium_server.registry.signature import Signature, SignatureError, read_signature
from atrium_shared import limits

FORMAT: Final = "atrium-model-1"
TENSORS_SUFFIX: Final = ".safetensors"
WORDS_SUFFIX: Final = ".json"
TENSOR_DTYPES: Final = {
    "F32": "float32", "F16": "float16", "I8": "int8", "U8": "uint8", "I16": "int16",
    "U16": "uint16", "I32": "int32", "I64": "int64",
}
"""Types of weights, as safetensors and as numpy name them."""

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+){0,7}")
_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+]{0,31}")
_KIND: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")
_FILE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_+-]*(\.[A-Za-z0-9_+-]+)*\.(safetensors|json)")
_TENSOR: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.]{0,127}")
_HASH: Final = re.compile(r"[0-9a-f]{64}")
_NAME_CHARS_MAX: Final = 48
_FILE_CHARS_MAX: Final = 100
_TENSOR_DIMENSIONS_MAX: Final = 8

KEYS: Final = frozenset({
    "format", "name", "version", "kind", "files", "tensors", "signature", "settings", "metrics",
    "data", "licence", "seed", "created",
})
KEYS_MORE: Final = frozenset({"reference", "notes"})
"""Those that may be left out: figures to compare with in use (`drift`), and words for people."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """A file that belongs to a version."""

    name: str
    sha256: str
    size: int

    @property
    def has_tensors(self) -> bool:
        """Whether it holds weights; others hold words, as JSON."""
        return self.name.endswith(TENSORS_SUFFIX)


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """An array of weights."""

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A version of a model, read and checked."""

    name: str
    version: str
    kind: str
    files: tuple[FileEntry, ...]
    tensors: Mapping[str, TensorEntry]
    signature: Signature
    content: Mapping[str, Any]
    """All of it, as modules of `inference.models` get it."""
    data: bytes
    """Its canonical form."""

    @property
    def id(self) -> str:
        """The SHA-256 of the canonical form, as hexadecimal digits."""
        return hashlib.sha256(self.data).hexdigest()

    @property
    def label(self) -> str:
        """As people and verdicts name it."""
        return f"{self.name}@{self.version}"

    @property
    def size(self) -> int:
        """Of all its files, in bytes."""
        return sum(file.size for file in self.files)


def canonical(content: Mapping[str, Any]) -> bytes:
    """The one form in which a document is hashed and kept. Raises ModelError."""
    try:
        return json.dumps(
            content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        ).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelError(f"The document of the model cannot be written as JSON: {error}.") from None


def from_json(data: bytes | memoryview, where: str) -> Any:
    """What JSON of strangers says. Raises ModelError, and nothing else."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ModelError(f"{where} is not JSON, or is cut off: get it anew.") from None


def is_hash(word: str) -> bool:
    """Whether a word is the SHA-256 of something."""
    return _HASH.fullmatch(word) is not None


def is_name(word: str) -> bool:
    """Whether a model may be called so."""
    return len(word) <= _NAME_CHARS_MAX and _NAME.fullmatch(word) is not None


def is_version(word: str) -> bool:
    """Whether a version may be called so."""
    return _VERSION.fullmatch(word) is not None


def read_document(data: bytes, where: str = "The document of the model") -> Document:
    """What a document says. `where` is how sentences begin. Raises ModelError."""
    if len(data) > limits.MODEL_DOCUMENT_BYTES_MAX:
        raise ModelError(
            f"{where} is larger than {limits.MODEL_DOCUMENT_BYTES_MAX:,} bytes: it is no document"
            " of a model, or has data in it that belongs into a file of its own."
        )
    content = from_json(data, where)
    reader = _Reader(where)
    return reader.document(reader.mapping("it", content))


class _Reader:
    """Reads one document; sentences begin with where it was found."""

    def __init__(self, where: str) -> None:
        self._where = where

    def document(self, content: Mapping[str, Any]) -> Document:
        keys = set(content)
        self.need(content.get("format") == FORMAT, f"does not have the format {FORMAT!r}")
        for key in sorted(KEYS - keys):
            self.need(False, f"has no {key!r}")
        for key in sorted(keys - KEYS - KEYS_MORE):
            self.need(False, f"has {key[:40]!r}, which is not known")
        for key in ("settings", "metrics", "data", "licence", "reference"):
            self.mapping(f"its {key}", content.get(key, {}))
        name, version, kind = (self.text(content, key) for key in ("name", "version", "kind"))
        self.need(is_name(name), "has a name that is none: small letters, digits and -")
        self.need(is_version(version), "has a version that is none: letters, digits and . _ +")
        self.need(_KIND.fullmatch(kind) is not None, "has a kind that is none")
        self.need(type(content["seed"]) is int, "has a seed that is no whole number")
        self.text(content, "created")
        return Document(
            name, version, kind, self.files(content["files"]), self.tensors(content["tensors"]),
            self.signature(content["signature"]), content, canonical(content),
        )

    def files(self, raw: object) -> tuple[FileEntry, ...]:
        items = self.sequence("its files", raw, limits.MODEL_FILES_MAX)
        files = tuple(self.file(item) for item in items)
        self.need(
            len({file.name.lower() for file in files}) == len(files), "names one file twice"
        )
        self.need(any(file.has_tensors for file in files), f"names no {TENSORS_SUFFIX} file")
        self.need(
            sum(file.size for file in files) <= limits.MODEL_BYTES_MAX,
            f"names files of more than {limits.MODEL_BYTES_MAX:,} bytes",
        )
        return files

    def file(self, raw: object) -> FileEntry:
        item = self.mapping("each of its files", raw)
        self.need(
            set(item) == {"name", "sha256", "size"}, "names a file without name, sha256 and size"
        )
        name, sha256, size = self.text(item, "name"), self.text(item, "sha256"), item["size"]
        self.need(
            len(name) <= _FILE_CHARS_MAX and _FILE.fullmatch(name) is not None,
            f"names the file {name[:60]!r}; only plain names of .safetensors and .json files are"
            " taken",
        )
        self.need(is_hash(sha256), f"has a sha256 of {name} that is none")
        self.need(
            type(size) is int and 0 <= size <= limits.MODEL_FILE_BYTES_MAX,
            f"has a size of {name} that is none or above {limits.MODEL_FILE_BYTES_MAX:,} bytes",
        )
        return FileEntry(name, sha256, size)

    def tensors(self, raw: object) -> Mapping[str, TensorEntry]:
        items = self.mapping("its tensors", raw)
        self.need(
            1 <= len(items) <= limits.MODEL_TENSORS_MAX,
            f"has not 1 to {limits.MODEL_TENSORS_MAX:,} tensors",
        )
        return {name: self.tensor(name, item) for name, item in items.items()}

    def tensor(self, name: str, raw: object) -> TensorEntry:
        self.need(_TENSOR.fullmatch(name) is not None, "has a tensor whose name is none")
        item = self.mapping(f"the tensor {name}", raw)
        self.need(set(item) == {"dtype", "shape"}, f"has the tensor {name} without dtype, shape")
        dtype = self.text(item, "dtype")
        self.need(
            dtype in TENSOR_DTYPES.values(),
            f"has the tensor {name} with a dtype that is none of "
            f"{', '.join(TENSOR_DTYPES.values())}",
        )
        shape = self.sequence(f"the shape of {name}", item["shape"], _TENSOR_DIMENSIONS_MAX)
        numbers = 1
        for size in shape:
            self.need(type(size) is int and size >= 0, f"has a shape of {name} that is none")
            numbers *= cast("int", size)
        self.need(
            numbers * np.dtype(dtype).itemsize <= limits.MODEL_FILE_BYTES_MAX,
            f"has the tensor {name}, which is too large",
        )
        return TensorEntry(dtype, tuple(cast("Sequence[int]", shape)))

    def signature(self, raw: object) -> Signature:
        try:
            return read_signature(raw)
        except SignatureError as error:
            raise ModelError(f"{self._where} has no good signature. {error}") from None

    # --- its parts --------------------------------------------------------------------------

    def need(self, is_so: bool, otherwise: str) -> None:
        if not is_so:
            raise ModelError(f"{self._where} {otherwise}: make it anew with `atrium models train`,"
                             " or get another version.")

    def mapping(self, what: str, raw: object) -> Mapping[str, Any]:
        self.need(isinstance(raw, Mapping), f"is wrong: {what} should be an object")
        return cast("Mapping[str, Any]", raw)

    def sequence(self, what: str, raw: object, most: int) -> Sequence[object]:
        is_list = isinstance(raw, Sequence) and not isinstance(raw, str)
        self.need(is_list, f"is wrong: {what} should be a list")
        items = cast("Sequence[object]", raw)
        self.need(len(items) <= most, f"is wrong: {what} should be at most {most}")
        return items

    def text(self, item: Mapping[str, Any], key: str) -> str:
        value = item[key]
        self.need(isinstance(value, str), f"has a {key} that is no text")
        return cast("str", value)
