"""A version of a model as it comes out of its files: document, weights and words, all checked.

Whoever loads a version gets all of this or a `ModelError`, and nothing in between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from atrium_server.registry.documents import Document, FileEntry, from_json, read_document
from atrium_server.registry.errors import ModelError
from atrium_server.registry.files import ObjectFiles
from atrium_server.registry.signature import Field, Signature
from atrium_server.registry.weights import Tensors, check_declared, read_tensors
from atrium_shared import limits

Read = Callable[[FileEntry], bytes]


@dataclass(frozen=True, slots=True)
class Package:
    """A version of a model, loaded."""

    document: Document
    tensors: Tensors
    words: dict[str, Any]
    """What its JSON files say, by their names."""


def load_package(files: ObjectFiles, id: str, expected: Signature | None = None) -> Package:
    """The version whose document has this hash. Raises ModelError.

    Args:
        files: where documents and weights lie.
        id: of the version, as the records name it.
        expected: what is needed where the model is to be used; None for whatever it has.
    """
    data = files.read(id, limits.MODEL_DOCUMENT_BYTES_MAX, f"The document {id[:12]} of a model")
    document = read_document(data)
    if expected is not None:
        check_signature(document, expected)
    return unpack(
        document,
        lambda file: files.read(file.sha256, file.size, f"The file {file.name} of "
                                                        f"{document.label}"),
    )


def unpack(document: Document, read: Read) -> Package:
    """All files of a document, read one by one and checked. Raises ModelError."""
    tensors: Tensors = {}
    words: dict[str, Any] = {}
    for file in document.files:
        data = read(file)
        if len(data) != file.size or hashlib.sha256(data).hexdigest() != file.sha256:
            raise ModelError(
                f"The file {file.name} is not the one that the document of {document.label} names"
                " (size or SHA-256 differ): it was cut off or changed, so get it anew."
            )
        if not file.has_tensors:
            words[file.name] = from_json(data, f"The file {file.name}")
            continue
        for name, array in read_tensors(data, file.name).items():
            if name in tensors:
                raise ModelError(f"Two files of {document.label} hold the tensor {name}: get the"
                                 " version anew.")
            tensors[name] = array
    check_declared(tensors, document.tensors, document.label)
    return Package(document, tensors, words)



def check_signature(document: Document, expected: Signature) -> None:
    """Whether a version takes and gives what is needed. Raises ModelError."""
    pairs = (
        ("takes", document.signature.inputs, expected.inputs),
        ("gives", document.signature.outputs, expected.outputs),
    )
    for does, has, needs in pairs:
        if has != needs:
            raise ModelError(
                f"{document.label} {does} {_shown(has)} and should be {_shown(needs)}: it was made"
                " for something else or for another release; train or get one that fits."
            )


def _shown(fields: tuple[Field, ...]) -> str:
    return "; ".join(
        f"{field.name}: {'bag of ' if field.is_bag else ''}{field.dtype}"
        f"{list(field.shape) if field.shape else ''}{f' below {field.bound:,}' * bool(field.bound)}"
        for field in fields
    )
