"""The models that can be trained, by name: data in, a version of a model out.

    train("moderation", Order(data, folder, version="1.1"))

What is trained is a candidate: files in a folder, with a document that says how they came about. To
publish, compare and promote it is the registry's (`atrium models`).
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from atrium_server.inference.models import text_head
from atrium_server.inference.models.text_head import TextHead
from atrium_server.moderation.features import BUCKETS, VERSION
from atrium_server.registry.documents import Document
from atrium_server.registry.errors import ModelError
from atrium_server.registry.writing import Card, write_version
from atrium_server.training import emotion, moderation
from atrium_server.training.emotion_lesson import with_teacher
from atrium_server.training.search import Search, search
from atrium_server.training.teacher import PACKAGE, Course
from atrium_server.training.text_training import Held, Means, Plan
from atrium_server.training.texts import Labelled, Progress
from atrium_server.training.usual import usual


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
    has_teacher: bool = False
    """Whether the emotion model learns from a teacher, too: slower, and better."""
    trials: int = 0
    """Of a search for better settings; 0 for those of the built-in model."""

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
_TEACHER: Final = {
    "name": f"{PACKAGE.replace('_', '-')} 0.1.0 (PyPI)", "licence": "Apache-2.0",
    "what": "all-MiniLM-L6-v2, tuned on what trains: the teacher, none of whose weights are here",
}
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


@dataclass(frozen=True, slots=True)
class Recipe:
    """How one model is made; `Any` are its own parts."""

    name: str
    labels: Sequence[str]
    prepare: Callable[[Order], Any]
    held: Callable[[Any], Held]
    make: Callable[[Any, Plan, Means], Any]
    """Trains, calibrates and measures: a head, metrics, epochs."""
    usual: Callable[[Any], Labelled]
    """Texts like those of its use, that did not train it."""
    plan: Plan
    sources: Sequence[Mapping[str, Any]]
    split: str
    notes: str


def _moderation_parts(order: Order) -> moderation.Parts:
    return moderation.prepare(order.data, order.seed, order.feedback)


def _emotion_parts(order: Order) -> emotion.Parts:
    return emotion.prepare(order.data, order.seed)


_MODERATION: Final = Recipe(
    "moderation", moderation.LABELS, _moderation_parts, moderation.held, moderation.make,
    lambda parts: parts.chat, moderation.PLAN, (_DAVIDSON, _CHITCHAT, _GOEMOTIONS, _OWN),
    "75 % trains, 10 % chooses, 15 % is measured on; tweets by near-duplicate key, chat by"
    " conversation", MODERATION_NOTES,
)
_EMOTION: Final = Recipe(
    "emotion", emotion.OUTPUTS, _emotion_parts, emotion.held, emotion.make,
    lambda parts: parts.test, emotion.PLAN, (_GOEMOTIONS,),
    "90 % of the file train trains, 10 % chooses; the file dev, without near duplicates of what"
    " trained, is measured on", EMOTION_NOTES,
)


def train(name: str, order: Order) -> Document:
    """Train a model of RECIPES; returns its document, which is written with its weights.

    Raises KeyError for a name that is not one of RECIPES, DataAbsentError and ModelError.
    """
    return RECIPES[name](order)


def _made(recipe: Recipe, order: Order) -> Document:
    means = order.means(recipe.name)
    if order.has_teacher and recipe is not _EMOTION:
        raise ModelError(f"There is no teacher for {recipe.name}: train it without one.")
    parts, plan = recipe.prepare(order), replace(recipe.plan, seed=order.seed)
    rows, sources = len(parts.train), list(recipe.sources)
    if order.has_teacher:
        parts = with_teacher(parts, order.data, Course(seed=order.seed), means)
        sources += [_TEACHER, _CHITCHAT, _DAVIDSON]
    if order.trials:
        wanted = Search(order.trials, order.seed, means.folder, order.progress)
        plan = search(parts.train, recipe.held(parts), plan, wanted).plan
    made = recipe.make(parts, plan, means)
    return written(made.head, order, Made(
        recipe.name, recipe.labels, made.metrics, made.epochs,
        {"sources": sources, "split": recipe.split, "rows_trained": rows,
         "rows_of_feedback": 0 if order.feedback is None else len(order.feedback),
         "rows_of_the_teacher_alone": len(parts.train) - rows},
        recipe.notes, usual(made.head, recipe.usual(parts)),
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
    reference: Mapping[str, Any]
    """What drift is measured against; empty where it is not known."""


def written(head: TextHead, order: Order, made: Made) -> Document:
    """Write it as a version. Raises ModelError."""
    created = order.created or datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    return write_version(order.folder, Card(
        name=made.name, version=order.version, kind=text_head.KIND, signature=head.signature,
        created=created, seed=order.seed,
        settings={"labels": list(made.labels), "features": VERSION, "buckets": BUCKETS,
                  "epochs": made.epochs},
        metrics=made.metrics, data=made.data, licence={"weights": "Apache-2.0"}, notes=made.notes,
        reference=made.reference,
    ), text_head.to_tensors(head))


RECIPES: Final[Mapping[str, Callable[[Order], Document]]] = {
    recipe.name: partial(_made, recipe) for recipe in (_MODERATION, _EMOTION)
}
