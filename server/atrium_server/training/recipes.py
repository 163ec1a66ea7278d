"""The models that can be trained, by name: data in, a version of a model out.

    train("moderation", Order(data, folder, version="1.1"))

What is trained is a candidate: files in a folder, with a document that says how they came about. To
publish, compare and promote it is the registry's (`atrium models`).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from atrium_server.inference.models import text_head
from atrium_server.inference.models.text_head import TextHead
from atrium_server.moderation.features import BUCKETS, VERSION
from atrium_server.registry.documents import Document
from atrium_server.registry.writing import Card, write_version
from atrium_server.training import emotion, moderation
from atrium_server.training.text_training import Means
from atrium_server.training.texts import Labelled, Progress


@dataclass(frozen=True, slots=True)
class Order:
    """What is wanted."""

    data: Path
    """The folder of training data."""
    folder: Path
    """Where the version is written, and the checkpoints below it."""
    version: str
    seed: int = 7
    feedback: Labelled | None = None
    """Rows that people of this server have labelled, for models that learn from them."""
    progress: Progress = lambda what, done, total: None
    created: str = ""
    """A date; today's if it is empty."""
    processes: int = 1
    """That share the work."""

    def means(self, name: str) -> Means:
        """What its training has at hand."""
        return Means(self.progress, self.folder / f"checkpoint-{name}", self.processes)


_DAVIDSON: Final = {
    "name": "Davidson et al., Automated Hate Speech Detection, 2017", "licence": "MIT",
    "what": "tweets with three votes or more each for hate, offensive, neither",
}
_CHITCHAT: Final = {
    "name": "chitchat-dataset 0.9.0 (PyPI)", "licence": "MIT",
    "what": "7,168 conversations; lines taken as harmless, never labelled by people",
}
_GOEMOTIONS: Final = {
    "name": "Demszky et al., GoEmotions, 2020", "licence": "Apache-2.0",
    "what": "Reddit comments with emotions, in seven classes",
}
_OWN: Final = {"name": "patterns of this repository", "licence": "Apache-2.0",
               "what": "generated threats, insults, sexual lines, spam, talk of games"}
MODERATION_NOTES: Final = (
    "toxic and hate are learned from people's votes; insult, threat, sexual and spam from weak"
    " rules and patterns, so their figures are unknown. English only: other languages are the word"
    " lists' part. The toxic lines are tweets of 2017 that were collected by words, most of them"
    " offensive rather than hateful; the harmless ones are friendly talk. Irony, quotation and"
    " reclaimed words are often taken for the thing itself."
)
EMOTION_NOTES: Final = (
    "Reddit comments in English, labelled by crowd workers who often disagree. Disgust is the"
    " weakest class. Valence is computed from the classes and was never labelled."
)


def train(name: str, order: Order) -> Document:
    """Train a model of RECIPES; returns its document, which is written with its weights.

    Raises KeyError for a name that is not one of RECIPES, DataAbsentError and ModelError.
    """
    return RECIPES[name](order)


def _moderation(order: Order) -> Document:
    parts = moderation.prepare(order.data, order.seed, order.feedback)
    made = moderation.make(parts, moderation.with_seed(order.seed), order.means("moderation"))
    sources: list[Mapping[str, Any]] = [_DAVIDSON, _CHITCHAT, _GOEMOTIONS, _OWN]
    feedback = 0 if order.feedback is None else len(order.feedback)
    return written(made.head, order, Made(
        "moderation", moderation.LABELS, made.metrics, made.epochs,
        {"sources": sources, "split": "75 % trains, 10 % chooses, 15 % is measured on; tweets by"
         " near-duplicate key, chat by conversation", "rows_trained": len(parts.train),
         "rows_of_feedback": feedback},
        MODERATION_NOTES,
    ))


def _emotion(order: Order) -> Document:
    parts = emotion.prepare(order.data, order.seed)
    made = emotion.make(parts, emotion.with_seed(order.seed), order.means("emotion"))
    return written(made.head, order, Made(
        "emotion", emotion.OUTPUTS, made.metrics, made.epochs,
        {"sources": [_GOEMOTIONS], "split": "90 % of the file train trains, 10 % chooses; the file"
         " dev, without near duplicates of what trained, is measured on",
         "rows_trained": len(parts.train)},
        EMOTION_NOTES,
    ))


@dataclass(frozen=True, slots=True)
class Made:
    """What a recipe says of what it made."""

    name: str
    labels: Sequence[str]
    metrics: Mapping[str, Any]
    epochs: int
    data: Mapping[str, Any]
    notes: str


def written(head: TextHead, order: Order, made: Made) -> Document:
    """Write it as a version. Raises ModelError."""
    created = order.created or datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    return write_version(order.folder, Card(
        name=made.name, version=order.version, kind=text_head.KIND, signature=head.signature,
        created=created, seed=order.seed,
        settings={"labels": list(made.labels), "features": VERSION, "buckets": BUCKETS,
                  "epochs": made.epochs},
        metrics=made.metrics, data=made.data, licence={"weights": "Apache-2.0"}, notes=made.notes,
    ), text_head.to_tensors(head))


RECIPES: Final[Mapping[str, Callable[[Order], Document]]] = {
    "moderation": _moderation, "emotion": _emotion,
}
