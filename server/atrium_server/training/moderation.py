"""How the moderation model is made: its data, its labels, its thresholds.

Labels from people: toxic (hate or offensive) and hate, from the votes on Davidson's tweets.
Harmless are lines of chitchat. GoEmotions is neither: its lines are taken as harmless where no weak
rule finds anything, at a lower weight. Insult, threat, sexual and spam have no labels of people:
weak rules (`weak_labels`) and patterns (`generated`) stand in for them, and the card says so.

Thresholds come from validation lines alone, and become one half by calibration: for each label the
one that at most LABEL_SHARE of harmless chat reaches, and at most TWEET_SHARES of harmless tweets
as well. Those were collected by the words that they have in
common with toxic ones, so they are the harder half of the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch

from atrium_server.inference.models.text_head import TextHead, calibrate
from atrium_server.training import generated, weak_labels
from atrium_server.training.scores import recall, roc_auc, threshold_at
from atrium_server.training.sources import conversations, feelings, tweets
from atrium_server.training.text_training import ALONE, Held, Means, Measure, Plan, logits_of
from atrium_server.training.texts import (
    F32,
    Labelled,
    joined,
    labelled,
    near_keys,
    split,
)
from atrium_server.training.together import train

LABELS: Final[tuple[str, ...]] = ("toxic", "hate", "insult", "threat", "sexual", "spam")
SHARES: Final = (0.75, 0.10, 0.15)
"""Of what trains, what compares epochs and sets thresholds, and what is only measured on."""
CHAT_LINES_MAX: Final = 90_000
LABEL_SHARE: Final = 0.0007
"""Of harmless chat that each label may find: six of them together stay below 0.5 %."""
TWEET_SHARES: Final = (0.04, 0.005, 0.005, 0.005, 0.005, 0.005)
"""Of harmless tweets that each label may find."""
GENERATED: Final = {"threat": 3_000, "insult": 3_000, "sexual": 1_200, "spam": 3_000,
                    "benign": 16_000}
VENTING: Final = 0.05
"""How toxic it is to swear at nobody: word lists cover that."""
NAN: Final = float("nan")
PLAN: Final = Plan()


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything, in the three parts; `chat` and `tweets` are the measured part of each alone."""

    train: Labelled
    validation: Labelled
    chat_validation: Labelled
    tweet_validation: Labelled
    chat: Labelled
    tweets: Labelled


@dataclass(frozen=True, slots=True)
class Made:
    """A model and what was measured."""

    head: TextHead
    metrics: dict[str, Any]
    epochs: int


def prepare(data: Path, seed: int, feedback: Labelled | None = None) -> Parts:
    """Read and split everything. Raises DataAbsentError."""
    votes = _tweets(data)
    tweet_parts = [votes.part(rows) for rows in split(near_keys(votes.texts), SHARES, seed)]
    chat_parts = _chat(seed)
    reddit = _reddit(data)
    made = _generated(seed)
    train_parts = [tweet_parts[0], chat_parts[0], reddit, made]
    if feedback is not None:
        train_parts.append(feedback)
    return Parts(
        joined(train_parts), joined([tweet_parts[1], chat_parts[1]]), chat_parts[1],
        tweet_parts[1], chat_parts[2], tweet_parts[2],
    )


def make(parts: Parts, plan: Plan = PLAN, means: Means = ALONE) -> Made:
    """Train, calibrate and measure."""
    trained = train(parts.train, held(parts), plan, means)
    return Made(trained.head, finished(trained.head, parts), trained.epochs)


def held(parts: Parts) -> Held:
    """By what heads are compared."""
    return Held(parts.validation, _measure(parts.validation))


def finished(head: TextHead, parts: Parts) -> dict[str, Any]:
    """Calibrate a trained head, and measure it."""
    calibrate(head, _thresholds(head, parts))
    return measured(head, parts)


def _thresholds(head: TextHead, parts: Parts) -> list[float]:
    chat, tweets = (
        _sigmoid(logits_of(head, part.features()))
        for part in (parts.chat_validation, parts.tweet_validation)
    )
    harmless = tweets[parts.tweet_validation.targets[:, 0] < 0.5]
    return [
        max(threshold_at(chat[:, label], LABEL_SHARE),
            threshold_at(harmless[:, label], TWEET_SHARES[label]))
        for label in range(len(LABELS))
    ]


def measured(head: TextHead, parts: Parts) -> dict[str, Any]:
    """The figures of the card, all on what was held out."""
    chat, votes = (_scores(head, part) for part in (parts.chat, parts.tweets))
    toxic = parts.tweets.targets[:, 0] > 0.5
    hate = parts.tweets.targets[:, 1] > 0.5
    together = np.concatenate([votes[:, 0], chat[:, 0]])
    truths = np.concatenate([toxic, np.zeros(len(chat), bool)])
    threshold = threshold_at(chat[:, 0], 0.005)
    return {
        # The two that the registry's gate reads: on tweets alone, which is harder than with chat.
        "roc_auc": _rounded(roc_auc(votes[:, 0], toxic)),
        "recall": _rounded(recall(votes[:, 0], toxic, 0.5)),
        "roc_auc_toxic_tweets": _rounded(roc_auc(votes[:, 0], toxic)),
        "roc_auc_toxic_with_chat": _rounded(roc_auc(together, truths)),
        "roc_auc_hate_tweets": _rounded(roc_auc(votes[:, 1], hate)),
        "recall_toxic_at_half_percent_of_chat": _rounded(recall(votes[:, 0], toxic, threshold)),
        "recall_toxic_at_one_half": _rounded(recall(votes[:, 0], toxic, 0.5)),
        "chat_blocked": _rounded(float((chat.max(axis=1) >= 0.5).mean()), 5),
        "neither_tweets_blocked": _rounded(float((votes[~toxic].max(axis=1) >= 0.5).mean())),
        "tweets": len(votes), "chat_lines": len(chat),
    }


def _scores(head: TextHead, part: Labelled) -> F32:
    logits = torch.from_numpy(logits_of(head, part.features()))
    with torch.inference_mode():
        return torch.sigmoid(logits * head.slope + head.shift).numpy()


def _measure(validation: Labelled) -> Measure:
    """How well harmless and toxic are told apart where it matters: at few false alarms."""
    truths = validation.targets[:, 0] > 0.5
    harmless = validation.targets[:, 0] == 0

    def measure(logits: F32) -> float:
        threshold = threshold_at(logits[harmless, 0], 0.005)
        return roc_auc(logits[:, 0], truths) + 0.2 * recall(logits[:, 0], truths, threshold)

    return measure


# --- the data ---------------------------------------------------------------------------------


def _row(weak: Sequence[float], **known: float) -> list[float]:
    row: dict[str, float] = dict(zip(LABELS, weak, strict=True)) | known
    return [row[label] for label in LABELS]


def _tweets(data: Path) -> Labelled:
    return labelled((
        (tweet.text, _row(
            weak_labels.of(tweet.text, is_harmless=tweet.verdict == 2),
            toxic=tweet.hate + tweet.offensive, hate=tweet.hate,
        ), 1.0)
        for tweet in tweets(data)
    ), len(LABELS))


def _chat(seed: int) -> list[Labelled]:
    """By conversation, so that no talk is on two sides; lines that a weak rule finds are left out
    of what trains, and stay in what is measured."""
    chats = conversations()
    keys = [" ".join(chat[:3]) or str(k) for k, chat in enumerate(chats)]
    parts: list[Labelled] = []
    for number, rows in enumerate(split(keys, SHARES, seed)):
        lines = [line for k in rows for line in chats[int(k)]]
        if number == 0:
            lines = [line for line in lines if not weak_labels.finds(line)]
            order = np.random.default_rng(seed).permutation(len(lines))[:CHAT_LINES_MAX]
            lines = [lines[int(k)] for k in order]
        parts.append(labelled(((line, [0.0] * len(LABELS), 1.0) for line in lines), len(LABELS)))
    return parts


def _reddit(data: Path) -> Labelled:
    """Lines in which no weak rule finds anything; and those that swear, but at nobody."""
    rows: list[tuple[str, list[float], float]] = []
    for each in feelings(data, "train"):
        is_plain = not weak_labels.finds(each.text)
        if is_plain or weak_labels.is_venting(each.text):
            weak = weak_labels.of(each.text, is_harmless=True)
            rows.append((each.text, _row(weak, toxic=0.02 if is_plain else VENTING, hate=0.0), 0.5))
    return labelled(rows, len(LABELS))


def _generated(seed: int) -> Labelled:
    rows: list[tuple[str, list[float], float]] = []
    for kind, count in GENERATED.items():
        known: dict[str, float] = dict.fromkeys(LABELS, 0.0)
        if kind != "benign":
            known[kind] = 1.0
            known["toxic"] = 0.0 if kind == "spam" else 0.9
            known["insult"] = {"insult": 1.0, "threat": NAN}.get(kind, 0.0)
        rows.extend((line, [known[label] for label in LABELS], 0.5)
                    for line in generated.lines(kind, count, seed))
    return labelled(rows, len(LABELS))


def _sigmoid(logits: F32) -> F32:
    return torch.sigmoid(torch.from_numpy(logits)).numpy()


def _rounded(figure: float, digits: int = 4) -> float:
    return round(float(figure), digits)
