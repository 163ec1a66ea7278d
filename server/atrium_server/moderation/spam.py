"""How much a line is spam: by how it looks, and by what its sender has been doing. PURE.

Theory of operation
-------------------
Each reason for thinking so has a weight, the probability that a line is spam of which nothing else
is known; a line's score is the probability that at least one of its reasons holds, as if they had
nothing to do with each other (1 - (1-a)(1-b)...). The weights were set by hand on the lines of the
`dev` half of `tests/moderation/chat_lines.tsv`, so that no single thing that people do in joy (many
capitals, many emoji, one link, one stretched word) keeps a line back, and a flood does.

A finding is of the whole line and names the reason that weighs most; the policy of a world says
from which score on it is held or blocked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from atrium_server.moderation.findings import Category, Finding
from atrium_server.moderation.reading import Text
from atrium_server.moderation.senders import Habit, Origins, Senders
from atrium_server.moderation.spam_features import Feature, are_long, read

TOLD_FROM: Final = 0.3
"""Below this score there is no finding."""

_Column = npt.NDArray[np.float64]
_Table = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Verdict:
    """How much one line is spam."""

    score: float
    """From 0 to below 1."""
    reasons: tuple[str, ...] = ()
    """The heaviest first."""


def _steps(values: npt.NDArray[np.generic], *steps: tuple[float, float]) -> _Column:
    """The weight of the last step that a value reaches: (from, weight), rising."""
    weights = np.array([0.0, *(weight for _, weight in steps)])
    return weights[np.searchsorted([start for start, _ in steps], values, side="right")]


def _share(counts: _Table, part: Feature, whole: Feature) -> _Column:
    return counts[:, part] / np.maximum(counts[:, whole], 1)


def _links(counts: _Table, _: _Table) -> _Column:
    return _steps(counts[:, Feature.LINKS], (1, 0.15), (2, 0.5), (3, 0.75), (5, 0.9))


def _lures(counts: _Table, _: _Table) -> _Column:
    return _steps(counts[:, Feature.LURES], (1, 0.15), (2, 0.45), (3, 0.6), (5, 0.8))


def _advert(counts: _Table, _: _Table) -> _Column:
    """A word that lures, with somewhere to go; a free pattern for a hat is not yet one."""
    leads = (counts[:, Feature.LURES] > 0) & (counts[:, Feature.LINKS] > 0)
    return np.where(leads, 0.45, 0.0)


def _hype(counts: _Table, _: _Table) -> _Column:
    """A word that lures, cried out or with money."""
    cried = counts[:, Feature.EXCLAMATIONS] >= 3
    of_money = counts[:, Feature.MONEY] >= 1
    weights = np.where(cried & of_money, 0.7, np.where(cried | of_money, 0.45, 0.0))
    return np.where(counts[:, Feature.LURES] > 0, weights, 0.0)


def _shouting(counts: _Table, _: _Table) -> _Column:
    share = _share(counts, Feature.CAPITALS, Feature.CASED)
    return np.where((share >= 0.7) & (counts[:, Feature.CASED] >= 12), 0.2, 0.0)


def _exclaiming(counts: _Table, _: _Table) -> _Column:
    return _steps(counts[:, Feature.EXCLAMATIONS], (3, 0.1), (10, 0.3), (25, 0.75))


def _stretched(counts: _Table, _: _Table) -> _Column:
    return _steps(counts[:, Feature.LONGEST_RUN], (24, 0.3), (50, 0.5), (80, 0.75), (150, 0.9))


def _repeated(counts: _Table, _: _Table) -> _Column:
    share = _share(counts, Feature.REPEATED, Feature.STRETCHES)
    return np.where(
        counts[:, Feature.STRETCHES] >= 56, _steps(share, (0.6, 0.5), (0.7, 0.75), (0.85, 0.85)), 0
    )


def _emoji(counts: _Table, _: _Table) -> _Column:
    return _steps(counts[:, Feature.EMOJI], (10, 0.3), (20, 0.6), (30, 0.8), (60, 0.9))


def _piled_marks(counts: _Table, _: _Table) -> _Column:
    return _steps(counts[:, Feature.PILED_MARKS], (3, 0.3), (10, 0.75), (40, 0.9))


def _rate(_: _Table, habits: _Table) -> _Column:
    short = _steps(habits[:, Habit.LINES_SHORT], (8, 0.4), (12, 0.75), (18, 0.9))
    return np.maximum(short, _steps(habits[:, Habit.LINES], (25, 0.5), (32, 0.75)))


def _again(counts: _Table, habits: _Table) -> _Column:
    long = _steps(habits[:, Habit.ALIKE], (1, 0.3), (2, 0.6), (3, 0.8), (5, 0.9))
    short = _steps(habits[:, Habit.ALIKE], (4, 0.3), (6, 0.6), (9, 0.8))
    return np.where(are_long(counts), long, short)


def _everywhere(counts: _Table, habits: _Table) -> _Column:
    """The same sentence in several channels."""
    weights = _steps(habits[:, Habit.CHANNELS], (2, 0.35), (3, 0.75), (4, 0.85))
    return np.where(are_long(counts), weights, 0.0)


_REASONS: Final[tuple[tuple[str, Callable[[_Table, _Table], _Column]], ...]] = (
    ("links", _links), ("lures", _lures), ("advert", _advert), ("hype", _hype),
    ("shouting", _shouting), ("exclaiming", _exclaiming), ("stretched", _stretched),
    ("repeated", _repeated), ("emoji", _emoji), ("piled marks", _piled_marks),
    ("rate", _rate), ("again", _again), ("everywhere", _everywhere),
)  # fmt: skip
_NAMES: Final = tuple(name for name, _ in _REASONS)


def weigh(counts: _Table, habits: _Table | None = None) -> list[Verdict]:
    """The verdict on each line; without habits, by how it looks alone."""
    if habits is None:
        habits = np.zeros((len(counts), len(Habit)), np.int32)
    weights = np.stack([weight(counts, habits) for _, weight in _REASONS], axis=1)
    scores = 1.0 - np.prod(1.0 - weights, axis=1)
    verdicts: list[Verdict] = []
    for row, value in enumerate(scores.tolist()):
        if value < TOLD_FROM:
            verdicts.append(Verdict(value))
            continue
        named = sorted(zip(weights[row].tolist(), _NAMES, strict=True), key=lambda each: -each[0])
        verdicts.append(Verdict(value, tuple(name for weight, name in named if weight > 0)))
    return verdicts


class SpamRules:
    """Looks at lines and remembers their senders. One thread's."""

    def __init__(self, senders: Senders | None = None) -> None:
        self.senders = Senders() if senders is None else senders

    def judge(self, texts: Sequence[Text]) -> list[Verdict]:
        """The verdict on each line, which its sender's memory then holds."""
        if not texts:
            return []
        lines = read([text.text for text in texts])
        origins = Origins(
            [text.who for text in texts], [text.channel for text in texts],
            [text.at_s for text in texts],
        )  # fmt: skip
        return weigh(lines.counts, self.senders.seen(lines, origins))

    def find(self, texts: Sequence[Text]) -> list[tuple[Finding, ...]]:
        """A finding for each line that is more than a little like spam."""
        verdicts = zip(texts, self.judge(texts), strict=True)
        return [_findings(text.text, verdict) for text, verdict in verdicts]


def _findings(text: str, verdict: Verdict) -> tuple[Finding, ...]:
    if not verdict.reasons or not text:
        return ()
    source = f"spam:{verdict.reasons[0]}"
    return (Finding(Category.SPAM, verdict.score, 0, len(text), source),)
