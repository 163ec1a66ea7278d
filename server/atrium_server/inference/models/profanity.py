"""The model of alt-profanity-check, exactly: how likely a line of English is profane.

What it computes is scikit-learn's: how often each word of a vocabulary occurs in the line, times
how rare the word is (tf-idf), divided by the length of that vector; five linear classifiers, each
with a sigmoid of its own, and the mean of the five. Here the five are the columns of one embedding
table, so that a batch is one bag of words.

Its inputs are two bags with the same rows: which words of the vocabulary a line has, each once, and
how often each of them. `Words` makes them from texts, and cuts texts into words as scikit-learn
does: two or more letters, digits or underscores, in small letters. The vocabulary travels with the
weights. No output is calibrated to the policy's one half: it is the very number of the original.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from atrium_server.inference.rows import Bag
from atrium_server.registry.signature import Field, Signature

KIND: Final = "profanity"
OUTPUT: Final = "scores"
Array = npt.NDArray[Any]
_TOKEN: Final = re.compile(r"\b\w\w+\b")
_NAMES: Final = {"vocabulary", "rarity", "weight", "bias", "slope", "shift"}


class Words:
    """Cuts texts into the words that a vocabulary has."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self._number = {word: k for k, word in enumerate(vocabulary)}

    def rows(self, texts: Sequence[str]) -> dict[str, Bag]:
        """The inputs of the model."""
        ids: list[int] = []
        counts: list[int] = []
        offsets = np.zeros(len(texts) + 1, np.int64)
        for row, text in enumerate(texts):
            of_line: dict[int, int] = {}
            for token in _TOKEN.findall(text.lower()):
                number = self._number.get(token)
                if number is not None:
                    of_line[number] = of_line.get(number, 0) + 1
            ids.extend(of_line)
            counts.extend(of_line.values())
            offsets[row + 1] = len(ids)
        return {"ids": Bag(np.array(ids, np.int64), offsets),
                "counts": Bag(np.array(counts, np.float32), offsets)}


class Profanity(nn.Module):
    """See above."""

    def __init__(self, vocabulary: Sequence[str], members: int) -> None:
        super().__init__()
        self.signature = Signature(
            (Field("ids", "int64", is_bag=True, bound=len(vocabulary)),
             Field("counts", "float32", is_bag=True)),
            (Field(OUTPUT, "float32", (1,)),),
        )
        self.words = Words(vocabulary)
        self.table = nn.EmbeddingBag(
            len(vocabulary), members, mode="sum", include_last_offset=True
        )
        self.rarity = nn.Parameter(torch.ones(len(vocabulary)), requires_grad=False)
        for name in ("bias", "slope", "shift"):
            setattr(self, name, nn.Parameter(torch.zeros(members), requires_grad=False))

    def run(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The probability of each row, (rows, 1)."""
        ids, offsets = inputs["ids"], inputs["ids_offsets"]
        weights = inputs["counts"] * self.rarity[ids]
        row = torch.repeat_interleave(
            torch.arange(len(offsets) - 1, device=ids.device), offsets.diff(),
            output_size=len(ids),
        )
        squares = torch.zeros(len(offsets) - 1, device=ids.device, dtype=weights.dtype)
        length = squares.index_add(0, row, weights * weights).sqrt().clamp(min=1e-12)
        mixed = self.table(ids, offsets, per_sample_weights=weights / length[row])
        each = torch.sigmoid((mixed + self.bias) * self.slope + self.shift)
        return {OUTPUT: each.mean(dim=1, keepdim=True)}


def to_tensors(
    vocabulary: Sequence[str], weights: Mapping[str, Array]
) -> dict[str, Array]:
    """As it is stored: `rarity`, `weight` (words, members), `bias`, `slope` and `shift`."""
    words = np.frombuffer("\n".join(vocabulary).encode(), np.uint8)
    return {"vocabulary": words.copy(),
            **{name: np.asarray(x, np.float32) for name, x in weights.items()}}


def from_tensors(tensors: Mapping[str, Array], document: Mapping[str, Any]) -> Profanity:
    """The model of a version. Raises ValueError for tensors that are not of this kind."""
    if set(tensors) != _NAMES:
        raise ValueError(f"a profanity model has {', '.join(sorted(_NAMES))}")
    raw, weight = tensors["vocabulary"], tensors["weight"]
    if raw.dtype != np.uint8 or raw.ndim != 1 or weight.ndim != 2:
        raise ValueError("a profanity model has its vocabulary as bytes and a table of weights")
    try:
        vocabulary = raw.tobytes().decode().split("\n")
    except UnicodeDecodeError:
        raise ValueError("the vocabulary of a profanity model is not UTF-8") from None
    if len(set(vocabulary)) != len(vocabulary):
        raise ValueError("a word of a profanity model is there twice")
    model = Profanity(vocabulary, weight.shape[1])
    state = {name: tensors[name] for name in ("rarity", "bias", "slope", "shift")}
    try:
        model.load_state_dict({
            "table.weight": torch.from_numpy(weight),
            **{name: torch.from_numpy(x) for name, x in state.items()},
        })
    except RuntimeError as error:
        raise ValueError(f"the tensors of a profanity model do not fit: {error}") from None
    return model.eval()
