"""Teaches a small head what a teacher says, on labelled lines and on many that nobody labelled.

A teacher is slow and better; what it says of a line is a number between 0 and 1 for each label,
which tells more than a person's yes or no: how sure, and what else it might be. So the small head
learns a mean of both where people labelled, and the teacher alone where nobody did. The rows that
choose and the rows that are measured on stay people's alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from atrium_server.training.texts import F32, Labelled, joined, near_keys

Judge = Callable[[Sequence[str]], F32]
"""A teacher: probabilities of texts, (texts, labels)."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """How much the teacher counts."""

    share: float = 0.7
    """Of the target of a labelled row; people have the rest."""
    weight: float = 1.0
    """Of a row that only the teacher labelled, beside 1 for others."""


LESSON: Final = Lesson()


def taught(
    data: Labelled, judge: Judge, lines: Sequence[str] = (), lesson: Lesson = LESSON
) -> Labelled:
    """What a small head learns from.

    Args:
        data: labelled rows; unknown labels (NaN) become the teacher's.
        judge: the teacher.
        lines: more, that nobody labelled.
        lesson: how much the teacher counts.
    """
    said = judge(data.texts)
    mixed = np.where(
        np.isnan(data.targets), said, (1 - lesson.share) * data.targets + lesson.share * said
    ).astype(np.float32)
    parts = [replace(data, targets=mixed)]
    if lines:
        weights = np.full(len(lines), lesson.weight, np.float32)
        parts.append(Labelled(tuple(lines), judge(lines), weights))
    return joined(parts)


def unseen(lines: Sequence[str], *others: Labelled) -> list[str]:
    """Those that are nearly none of the others, each once: a teacher's lesson on a line that is
    measured on later would be a leak."""
    known = {key for other in others for key in near_keys(other.texts)}
    kept: list[str] = []
    for line, key in zip(lines, near_keys(lines), strict=True):
        if key not in known:
            known.add(key)
            kept.append(line)
    return kept
