"""How the emotion model is made: seven classes and valence from a line of text.

Classes from people: GoEmotions (2020) in the seven classes of Ekman and neutral; a line may be of
several. Valence has no labels of people: it is what the classes of a line say on the whole, joy +1,
anger, disgust, fear and sadness -1, surprise and neutral 0, brought to 0..1 like all outputs.

A part of the training file chooses the epoch and the thresholds; the file `dev` is measured on once
and learned from never.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from atrium_server.inference.models.text_head import TextHead, calibrate
from atrium_server.training.scores import best_threshold, f1
from atrium_server.training.sources import EMOTIONS, feelings
from atrium_server.training.text_training import ALONE, Held, Means, Plan, logits_of
from atrium_server.training.texts import F32, Labelled, labelled, near_keys, split
from atrium_server.training.together import train

OUTPUTS: Final = (*EMOTIONS, "valence")
SHARES: Final = (0.9, 0.1)
PLAN: Final = Plan(width=32, epochs=14, rate=0.004, drop=0.5, patience=3)
_VALENCE: Final = np.array([-1, -1, -1, 1, 0, -1, 0], np.float32)
_CLASSES: Final = len(EMOTIONS)


@dataclass(frozen=True, slots=True)
class Parts:
    """What trains, what chooses, and what is only measured on."""

    train: Labelled
    validation: Labelled
    test: Labelled


@dataclass(frozen=True, slots=True)
class Made:
    """A model and what was measured."""

    head: TextHead
    metrics: dict[str, Any]
    epochs: int


def prepare(data: Path, seed: int) -> Parts:
    """Read and split. Raises DataAbsentError."""
    whole, test = (_labelled(data, part) for part in ("train", "dev"))
    learned, chosen = split(near_keys(whole.texts), SHARES, seed)
    # A line of the test that is nearly one of the training would be remembered, not understood.
    known = set(near_keys([whole.texts[int(k)] for k in learned]))
    fresh = np.array([key not in known for key in near_keys(test.texts)])
    return Parts(whole.part(learned), whole.part(chosen), test.part(np.flatnonzero(fresh)))


def make(parts: Parts, plan: Plan = PLAN, means: Means = ALONE) -> Made:
    """Train, calibrate and measure."""
    trained = train(parts.train, held(parts), plan, means)
    return Made(trained.head, finished(trained.head, parts), trained.epochs)


def held(parts: Parts) -> Held:
    """By what heads are compared: the mean of the classes' F1, each at its best threshold."""
    truths = parts.validation.targets[:, :_CLASSES] > 0.5

    def measure(logits: F32) -> float:
        return float(np.mean([
            f1(logits[:, k] >= best_threshold(logits[:, k], truths[:, k]), truths[:, k])
            for k in range(_CLASSES)
        ]))

    return Held(parts.validation, measure)


def finished(head: TextHead, parts: Parts) -> dict[str, Any]:
    """Calibrate a trained head, and measure it."""
    truths = parts.validation.targets[:, :_CLASSES] > 0.5
    chosen = _sigmoid(logits_of(head, parts.validation.features()))
    thresholds = [best_threshold(chosen[:, k], truths[:, k]) for k in range(_CLASSES)]
    calibrate(head, [*thresholds, 0.5])
    return measured(head, parts.test)


def measured(head: TextHead, test: Labelled) -> dict[str, Any]:
    """The figures of the card."""
    logits = torch.from_numpy(logits_of(head, test.features()))
    with torch.inference_mode():
        scores = torch.sigmoid(logits * head.slope + head.shift).numpy()
    truths = test.targets[:, :_CLASSES] > 0.5
    each = {
        name: round(f1(scores[:, k] >= 0.5, truths[:, k]), 4) for k, name in enumerate(EMOTIONS)
    }
    best = scores[:, :_CLASSES].argmax(axis=1)
    return {
        "macro_f1": round(float(np.mean(list(each.values()))), 4), "f1": each,
        "top_1_hit": round(float(truths[np.arange(len(truths)), best].mean()), 4),
        "lines": len(test),
    }


def _labelled(data: Path, part: str) -> Labelled:
    rows: list[tuple[str, list[float], float]] = []
    for each in feelings(data, part):
        classes = np.zeros(_CLASSES, np.float32)
        classes[list(each.classes)] = 1
        valence = float((classes @ _VALENCE) / classes.sum())
        rows.append((each.text, [*classes.tolist(), (valence + 1) / 2], 1.0))
    return labelled(rows, len(OUTPUTS))


def _sigmoid(logits: F32) -> F32:
    return torch.sigmoid(torch.from_numpy(logits)).numpy()
