"""Versions of models for tests: small, whole, and made by chance that is always the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from atrium_server.registry.documents import Document
from atrium_server.registry.signature import Field, Signature
from atrium_server.registry.writing import Card, write_version

SIGNATURE = Signature(
    (Field("ids", "int64", is_bag=True, bound=64),), (Field("scores", "float32", (6,)),)
)


def weights(seed: int = 0) -> dict[str, Any]:
    chance = np.random.default_rng(seed)
    return {
        "table": chance.integers(-128, 128, (64, 8)).astype(np.int8),
        "scale": chance.random(64, np.float32),
        "bias": chance.random(6, np.float32),
    }


def write_sample(
    folder: Path, version: str = "1.0", seed: int = 0, **values: Any
) -> Document:
    """A version called sample, written into a folder."""
    given: dict[str, Any] = {
        "name": "sample", "version": version, "kind": "bag", "signature": SIGNATURE,
        "created": "2031-01-02T03:04:05Z", "seed": seed, "licence": {"name": "Apache-2.0"},
        **values,
    }
    return write_version(folder, Card(**given), weights(seed))
