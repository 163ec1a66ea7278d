"""Writes what was trained as a version of a model: a document and its weights.

The document says all that somebody has to know who is to trust the weights: their hash, what they
take and give, what they were trained on and under which licence, the figures, the weaknesses.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from safetensors.numpy import save

from atrium_server.inference.models import text_head
from atrium_server.inference.models.text_head import TextHead
from atrium_server.moderation.features import BUCKETS, VERSION

FORMAT: Final = "atrium-model-1"


@dataclass(frozen=True, slots=True)
class About:
    """What is said of a version."""

    name: str
    version: str
    seed: int
    created: str
    """A date."""
    metrics: Mapping[str, Any]
    data: Mapping[str, Any]
    licence: Mapping[str, Any]
    settings: Mapping[str, Any]
    notes: str


def write_text_head(head: TextHead, about: About, folder: Path) -> Path:
    """Write `NAME-VERSION.json` and `.safetensors`; returns the document's path."""
    tensors = text_head.to_tensors(head)
    data = save(tensors)
    stem = f"{about.name}-{about.version}"
    document = {
        "format": FORMAT, "name": about.name, "version": about.version, "kind": text_head.KIND,
        "files": [{"name": f"{stem}.safetensors", "sha256": hashlib.sha256(data).hexdigest(),
                   "size": len(data)}],
        "tensors": {name: {"dtype": str(x.dtype), "shape": list(x.shape)}
                    for name, x in tensors.items()},
        "signature": head.signature.as_json(),
        "settings": {"features": VERSION, "buckets": BUCKETS, **about.settings},
        "metrics": dict(about.metrics), "data": dict(about.data), "licence": dict(about.licence),
        "seed": about.seed, "created": about.created, "notes": about.notes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stem}.safetensors").write_bytes(data)
    path = folder / f"{stem}.json"
    path.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path
