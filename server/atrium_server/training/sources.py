"""Where training texts come from, each cleaned of what tells its source instead of its sense.

A model that has to tell toxic tweets from harmless chat learns first of all to tell tweets from
chat: by "RT @", addresses, hashtags, quotation marks, escaped entities. So these are taken out
before anything else is done, and harmless lines come from more than one place.

The files are not part of Atrium (see the cards of the models for where they are from and under
which licence); without them there is no training, and a sentence that says so.
"""

from __future__ import annotations

import csv
import html
import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

EMOTIONS: Final = ("anger", "disgust", "fear", "joy", "neutral", "sadness", "surprise")
_NOISE: Final = (
    (re.compile(r"\bRT\b\s*@?\w*:?"), " "),
    (re.compile(r"@\w+:?"), " "),
    (re.compile(r"https?:\S+|\bt\.co\S*"), " "),
    (re.compile(r"#(\w)"), r"\1"),
    (re.compile(r"\[(NAME|RELIGION)\]"), " "),
    (re.compile(r"^[\s!\"'“”‘’:.,]+"), ""),
    (re.compile(r"[\s\"“”]+$"), ""),
    (re.compile(r"\s+"), " "),
)


class DataAbsentError(Exception):
    """Data that training needs is not there; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Tweet:
    """A line of Davidson et al. (2017) with the votes of three people or more."""

    text: str
    hate: float
    """The share of votes for hate ..."""
    offensive: float
    """... for offensive but not hate; what is left is for neither."""
    verdict: int
    """Of the majority: 0 hate, 1 offensive, 2 neither."""


@dataclass(frozen=True, slots=True)
class Feeling:
    """A line of GoEmotions (2020), in the seven classes of Ekman and neutral."""

    text: str
    classes: tuple[int, ...]
    """Of EMOTIONS; one at least."""


def cleaned(text: str) -> str:
    """What somebody wrote, without the traces of where."""
    text = html.unescape(html.unescape(text))
    for pattern, plain in _NOISE:
        text = pattern.sub(plain, text)
    return text.strip()


def tweets(folder: Path) -> list[Tweet]:
    """`toxicity/davidson_train.csv`. Raises DataAbsentError."""
    with _opened(folder / "toxicity" / "davidson_train.csv").open(encoding="utf-8") as file:
        return [tweet for row in csv.DictReader(file) if (tweet := _tweet(row)).text]


def _tweet(row: dict[str, str]) -> Tweet:
    hate, offensive, neither = (
        int(row[f"{name}_votes"]) for name in ("hate", "offensive", "neither")
    )
    votes = hate + offensive + neither
    return Tweet(cleaned(row["text"]), hate / votes, offensive / votes, int(row["label"]))


def feelings(folder: Path, part: str) -> list[Feeling]:
    """`emotion/goemotions_PART.tsv`, where PART is train or dev. Raises DataAbsentError."""
    path = _opened(folder / "emotion" / f"goemotions_{part}.tsv")
    found: list[Feeling] = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        text, _, rest = line.partition("\t")
        classes = tuple(int(each) for each in rest.partition("\t")[0].split(",") if each)
        if classes and (shown := cleaned(text)):
            found.append(Feeling(shown, classes))
    return found


def conversations() -> list[list[str]]:
    """The chats of the package chitchat-dataset, each as its lines. Raises DataAbsentError."""
    spec = importlib.util.find_spec("chitchat_dataset")
    if spec is None or spec.origin is None:
        raise DataAbsentError(
            "Harmless chat comes from the package chitchat-dataset: pip install chitchat-dataset"
        )
    path = Path(spec.origin).with_name("dataset.json")
    chats = cast("dict[str, Any]", json.loads(path.read_text(encoding="utf-8")))
    return [list(_lines(chat["messages"])) for _, chat in sorted(chats.items())]


def _lines(messages: Any) -> Iterator[str]:
    for turn in cast("list[Any]", messages):
        some = cast("list[dict[str, Any]]", turn if isinstance(turn, list) else [turn])
        for message in some:
            if text := cleaned(str(message["text"])):
                yield text


def _opened(path: Path) -> Path:
    if not path.is_file():
        raise DataAbsentError(
            f"There is no {path}. Say with --data where the training data lies; what it is and"
            " where it is from is told in docs/models."
        )
    return path
