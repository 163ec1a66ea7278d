"""How good a model is: figures from scores and truths, in numpy alone. PURE."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

F = npt.NDArray[Any]


def roc_auc(scores: F, truths: F) -> float:
    """The chance that a true one scores above a false one; ties count half (Mann and Whitney)."""
    truths = truths.astype(bool)
    positives, negatives = int(truths.sum()), int((~truths).sum())
    if not positives or not negatives:
        return float("nan")
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    ranks = np.empty(len(scores))
    # Equal scores share the mean of their ranks.
    begins = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    ends = np.r_[begins[1:], len(ordered)]
    ranks[order] = np.repeat((begins + ends + 1) / 2, ends - begins)
    return float((ranks[truths].sum() - positives * (positives + 1) / 2) / positives / negatives)


def threshold_at(benign: F, share: float) -> float:
    """The least score that no more than this share of harmless ones reach."""
    if not len(benign):
        return 0.5
    ordered = np.sort(benign)
    allowed = int(np.floor(share * len(ordered)))
    highest = float(ordered[len(ordered) - 1 - allowed])
    return float(np.nextafter(np.float32(highest), np.float32(2)))


def recall(scores: F, truths: F, threshold: float) -> float:
    """The share of true ones that reach the threshold."""
    truths = truths.astype(bool)
    return float((scores[truths] >= threshold).mean()) if truths.any() else float("nan")


def f1(found: F, truths: F) -> float:
    """Of one class: the harmonic mean of precision and recall."""
    found, truths = found.astype(bool), truths.astype(bool)
    both = int((found & truths).sum())
    total = int(found.sum()) + int(truths.sum())
    return 2 * both / total if total else 0.0


def best_threshold(scores: F, truths: F) -> float:
    """The one with the best F1, from what there is."""
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(truths[order].astype(np.int64))
    counts = np.arange(1, len(scores) + 1)
    values = 2 * hits / (counts + max(int(truths.sum()), 1))
    return float(scores[order][int(np.argmax(values))])
