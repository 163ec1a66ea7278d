"""Writes a version of a model into a folder, as it is published: document and weights.

The weights go into one file, arrays in the order of their names, so the same numbers make the same
bytes. `atrium models publish FOLDER` takes what is written here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

from atrium_server.registry.documents import (
    FORMAT,
    TENSORS_SUFFIX,
    WORDS_SUFFIX,
    Document,
    canonical,
    read_document,
)
from atrium_server.registry.packages import unpack
from atrium_server.registry.signature import Signature


def _nothing() -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Card:
    """What a document says beside its files and weights."""

    name: str
    version: str
    kind: str
    """The module of `inference.models` that runs it."""
    signature: Signature
    created: str
    """When, as ISO 8601."""
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=_nothing)
    """What the kind needs to know: sizes, labels, thresholds."""
    metrics: Mapping[str, Any] = field(default_factory=_nothing)
    """By the name of the set: its hash, rows and figures (`gate.Evaluation.as_json`)."""
    data: Mapping[str, Any] = field(default_factory=_nothing)
    """What it was trained on: names, hashes, split, known weaknesses."""
    licence: Mapping[str, Any] = field(default_factory=_nothing)
    reference: Mapping[str, Any] = field(default_factory=_nothing)
    """What drift is measured against (`drift.reference_of`)."""
    notes: str = ""


def write_version(
    folder: Path, card: Card, tensors: Mapping[str, npt.NDArray[Any]],
    words: Mapping[str, bytes] | None = None,
) -> Document:
    """Write NAME-VERSION.json, NAME-VERSION.safetensors and `words` (JSON files by their names).

    What was written is read again as whoever publishes it will. Raises ModelError.
    """
    stem = f"{card.name}-{card.version}"
    weights = save({name: np.ascontiguousarray(tensors[name]) for name in sorted(tensors)})
    files = {f"{stem}{TENSORS_SUFFIX}": weights, **(words or {})}
    content: dict[str, Any] = {
        "format": FORMAT, "name": card.name, "version": card.version, "kind": card.kind,
        "files": [
            {"name": name, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            for name, data in sorted(files.items())
        ],
        "tensors": {
            name: {"dtype": str(array.dtype), "shape": list(array.shape)}
            for name, array in sorted(tensors.items())
        },
        "signature": card.signature.as_json(), "settings": dict(card.settings),
        "metrics": dict(card.metrics), "data": dict(card.data), "licence": dict(card.licence),
        "seed": card.seed, "created": card.created,
    }
    content.update({
        key: value for key, value in (("reference", dict(card.reference)), ("notes", card.notes))
        if value
    })
    document = read_document(canonical(content))
    unpack(document, lambda file: files[file.name])
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    (folder / f"{stem}{WORDS_SUFFIX}").write_bytes(document.data)
    return document
