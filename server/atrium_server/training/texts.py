"""Labelled texts as arrays, and splits that keep what is nearly the same on one side."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from atrium_server.moderation.features import Bags, bags
from atrium_server.moderation.fold import fold

KEY_CHARS: Final = 48
F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Labelled:
    """Texts with what they are."""

    texts: tuple[str, ...]
    targets: F32
    """(texts, labels): from 0 to 1; NaN where nobody knows."""
    weights: F32
    """How much each text counts."""

    def __len__(self) -> int:
        return len(self.texts)

    def part(self, rows: npt.NDArray[Any]) -> Labelled:
        """Some of them, in that order."""
        return Labelled(
            tuple(self.texts[int(k)] for k in rows), self.targets[rows], self.weights[rows]
        )

    def features(self) -> Bags:
        """The n-grams of each text."""
        return bags(fold(self.texts))


def labelled(rows: Iterable[tuple[str, Sequence[float], float]], labels: int) -> Labelled:
    """From texts with their targets and weights."""
    texts: list[str] = []
    targets: list[Sequence[float]] = []
    weights: list[float] = []
    for text, target, weight in rows:
        texts.append(text)
        targets.append(target)
        weights.append(weight)
    return Labelled(
        tuple(texts), np.array(targets, np.float32).reshape(len(texts), labels),
        np.array(weights, np.float32),
    )


def joined(parts: Sequence[Labelled]) -> Labelled:
    """All of several."""
    return Labelled(
        tuple(text for part in parts for text in part.texts),
        np.concatenate([part.targets for part in parts]),
        np.concatenate([part.weights for part in parts]),
    )


def near_keys(texts: Sequence[str]) -> list[str]:
    """Equal for texts that differ in case, signs, disguise, repetition or their ends only."""
    folded = fold(texts)
    return [
        "".join(filter(str.isalnum, folded.hard_text(k)))[:KEY_CHARS] or texts[k]
        for k in range(len(texts))
    ]


def split(
    keys: Sequence[str], shares: Sequence[float], seed: int
) -> list[I64]:
    """Rows in as many parts as there are shares; equal keys fall into the same part.

    Where a key falls follows from it and the seed alone: more data moves nothing that was there, so
    what has been held out once stays so.
    """
    edges = np.cumsum(shares) / np.sum(shares)
    where = np.array([_place(key, seed) for key in keys])
    part = np.searchsorted(edges, where, side="right").clip(max=len(shares) - 1)
    return [np.flatnonzero(part == k).astype(np.int64) for k in range(len(shares))]


def _place(key: str, seed: int) -> float:
    digest = hashlib.blake2b(key.encode(), digest_size=8, salt=seed.to_bytes(8, "little"))
    return int.from_bytes(digest.digest(), "little") / 2**64


def batches(
    features: Bags, rows: I64, size: int
) -> Iterable[tuple[I64, I64, I64]]:
    """Rows in batches: which they are, their n-grams, and where each one's begin."""
    for first in range(0, len(rows), size):
        some = rows[first : first + size]
        sizes = features.offsets[some + 1] - features.offsets[some]
        offsets = np.zeros(len(some) + 1, np.int64)
        np.cumsum(sizes, out=offsets[1:])
        # Each place in the result, minus its row's begin there, plus its row's begin here.
        moved = features.offsets[some] - offsets[:-1]
        places = np.arange(int(offsets[-1])) + np.repeat(moved, sizes)
        yield some, features.ids[places], offsets


Progress = Callable[[str, int, int], None]
"""What is being done, and how far: steps done and steps in all."""
