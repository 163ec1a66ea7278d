"""A version that has learnt what people said of verdicts, made from one that is in use, in seconds.

Theory of operation
-------------------
Few servers have the data that a version was made from, and a handful of corrections is no reason to
wait an hour. So the version is taken as it is and goes on learning: the rows of feedback, and
beside them the *replay*, lines of every kind (patterns, and the authored lines that may be looked
at) with what the version itself says of them. It is held to what it knew while it learns what it
did not. Replay lines that are nearly the same as a row of feedback are left out, as they would
teach the opposite.

Only the table moves, and of it only the buckets that a shown line has n-grams in. The hidden layer,
the bias and the calibration stay, so a policy's thresholds mean what they meant.

It ends when every row of feedback is on its side by MARGIN and next to nothing else was disturbed
(KEPT), or after EPOCHS_MAX (two people may have said opposite things). The card says how many rows
are, and how many lines of the replay are found as before; a version that finds others in more than
LOSS_MAX of them is not written. Whether it may go live is for the gate to say, on a set that
nothing here has looked at.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from torch import nn

from atrium_server.inference.models import text_head
from atrium_server.inference.models.text_head import TextHead
from atrium_server.moderation.features import Bags
from atrium_server.registry.documents import Document
from atrium_server.registry.errors import ModelError
from atrium_server.registry.packages import Package
from atrium_server.registry.writing import Card, write_version
from atrium_server.training import generated
from atrium_server.training.fixed_sets import authored
from atrium_server.training.text_training import logits_of
from atrium_server.training.texts import F32, Labelled, Progress, batches, joined, near_keys

EPOCHS_MAX: Final = 120
MARGIN: Final = 0.1
"""What a label is not must score less than this, and what it is as near to 1."""
LOSS_MAX: Final = 0.02
"""So many lines of the replay may be found, or not, where they were not, or were."""
KEPT: Final = 0.995
RATE: Final = 0.003
BATCH: Final = 256
REPLAY_BATCH: Final = 2_048
GENERATED_LINES: Final = 400
"""Of each kind of pattern."""
AT: Final = 0.5


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is wanted."""

    version: str
    """What it is to be called."""
    folder: Path
    seed: int = 7
    progress: Progress = lambda what, done, total: None
    created: str = ""
    """A date; today's if it is empty."""


def fine_tune(package: Package, feedback: Labelled, lesson: Lesson) -> Document:
    """Teach a version rows of feedback; it is written as a version of its own. Blocks for
    seconds. Raises ModelError.
    """
    old = package.document
    labels = old.content["settings"].get("labels", ())
    if old.kind != text_head.KIND or not labels:
        raise ModelError(f"{old.label} cannot go on learning: only {text_head.KIND} can.")
    if not len(feedback):
        raise ModelError("There is no feedback that may be learnt from yet.")
    head = text_head.from_tensors(package.tensors, old.content)
    replay = _replay(head, feedback, labels, lesson.seed)
    epochs = _teach(head, feedback, replay, lesson)
    tensors = text_head.to_tensors(head)
    rounded = text_head.from_tensors(tensors, old.content)
    figures = {
        "feedback_learnt": round(
            _learnt(_scores(rounded, feedback.features()), feedback.targets), 4
        ),
        "replay_kept": round(_kept(_scores(rounded, replay.features()), replay.targets), 4),
        "replay_lines": len(replay),
    }
    if figures["replay_kept"] < 1 - LOSS_MAX:
        raise ModelError(
            f"What was learnt would change {1 - figures['replay_kept']:.1%} of other verdicts, and"
            f" {LOSS_MAX:.0%} are allowed: look at the corrections, or train from data."
        )
    return _written(old, tensors, lesson, figures, (len(feedback), epochs))


def _written(
    old: Document, tensors: dict[str, Any], lesson: Lesson, figures: dict[str, Any],
    counts: tuple[int, int],
) -> Document:
    rows, epochs = counts
    content = old.content
    created = lesson.created or datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    return write_version(lesson.folder, Card(
        name=old.name, version=lesson.version, kind=old.kind, signature=old.signature,
        created=created, seed=lesson.seed,
        settings={**content["settings"], "epochs": epochs},
        metrics=figures,
        data={**content["data"], "fine_tuned_from": old.label, "rows_of_feedback": rows},
        licence=content["licence"], reference=content.get("reference", {}),
        notes=content.get("notes", ""),
    ), tensors)


def _replay(head: TextHead, feedback: Labelled, labels: Any, seed: int) -> Labelled:
    """Lines with what the head says of them."""
    texts = [
        line for kind in ("threat", "insult", "sexual", "spam", "benign")
        for line in generated.lines(kind, GENERATED_LINES, seed)
    ]
    texts += authored()
    taught = set(near_keys(feedback.texts))
    texts = [
        text for text, key in zip(texts, near_keys(texts), strict=True) if key not in taught
    ]
    shown = Labelled(
        tuple(texts), np.zeros((len(texts), len(labels)), np.float32),
        np.ones(len(texts), np.float32),
    )
    return Labelled(shown.texts, _scores(head, shown.features()), shown.weights)


def _teach(head: TextHead, feedback: Labelled, replay: Labelled, lesson: Lesson) -> int:
    """Returns after how many epochs all was learnt."""
    for each in head.parameters():
        each.requires_grad_(False)
    table = head.table.weight.requires_grad_(True)
    optimizer = torch.optim.Adam([table], lr=RATE)
    both = joined([feedback, replay])
    features = both.features()
    chance = np.random.default_rng(lesson.seed)
    for epoch in range(EPOCHS_MAX):
        lesson.progress("learning", epoch, EPOCHS_MAX)
        scores = _scores(head, features)
        is_learnt = _learnt(scores[: len(feedback)], feedback.targets) == 1
        if is_learnt and _kept(scores[len(feedback) :], replay.targets) >= KEPT:
            return epoch
        for first in range(0, len(feedback), BATCH):
            mine = np.arange(first, min(first + BATCH, len(feedback)))
            others = len(feedback) + chance.choice(
                len(replay), min(REPLAY_BATCH, len(replay)), replace=False
            )
            rows = np.concatenate([mine, others]).astype(np.int64)
            (_, ids, offsets), = batches(features, rows, len(rows))
            logits = head.logits(torch.from_numpy(ids), torch.from_numpy(offsets))
            loss = _loss(logits * head.slope + head.shift, both.targets[rows], len(mine))
            optimizer.zero_grad()
            cast("Any", loss).backward()
            optimizer.step()
    return EPOCHS_MAX


def _loss(logits: torch.Tensor, targets: F32, taught: int) -> torch.Tensor:
    """The mean over what is taught, and that over what is held to: as much of each."""
    is_known = torch.from_numpy(~np.isnan(targets)).float()
    losses = is_known * nn.functional.binary_cross_entropy_with_logits(
        logits, torch.from_numpy(np.nan_to_num(targets)), reduction="none"
    )
    parts = (slice(0, taught), slice(taught, None))
    return sum(
        (losses[part].sum() / is_known[part].sum().clamp(min=1) for part in parts),
        torch.zeros(()),
    )


def _scores(head: TextHead, features: Bags) -> F32:
    """Calibrated, as whoever asks the version gets them."""
    logits = logits_of(head, features)
    with torch.inference_mode():
        return torch.sigmoid(torch.from_numpy(logits) * head.slope + head.shift).numpy()


def _learnt(scores: F32, targets: F32) -> float:
    """The share of rows of which all that is known is on its side."""
    with np.errstate(invalid="ignore"):
        wrong = ((targets < AT) & (scores > MARGIN)) | ((targets > AT) & (scores < 1 - MARGIN))
    return float((~wrong.any(axis=1)).mean())


def _kept(scores: F32, before: F32) -> float:
    """The share of lines in which the same is found."""
    return float(((scores >= AT) == (before >= AT)).all(axis=1).mean())
