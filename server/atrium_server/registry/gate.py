"""Whether a version may go live: at least as good as the live one, and fast enough here. PURE.

Two things are asked, and the answer is kept with the change that it allowed:

*Is it as good?* Both versions were measured on the same fixed set of rows, known by its hash. None
of the figures that count may be worse than the live version's by more than a margin, which allows
for what is chance in a set of that size, and none beyond a bound. Where nothing is live yet the
bounds decide.

*Is it fast enough?* Its run time was measured on this device, at a batch of a stated size. What was
measured on another machine says nothing.

A figure that is missing is a failure and not a pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from atrium_shared import limits


@dataclass(frozen=True, slots=True)
class Rule:
    """What is asked of one figure."""

    figure: str
    margin: float
    """It may be worse than the live version's by so much."""
    bound: float | None = None
    """No version may be worse than this."""
    is_cost: bool = False
    """Lower is better."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of the versions of a model."""

    figures: tuple[Rule, ...] = (Rule("score", 0.01),)
    """Of what was held out of its data."""
    evaluated: tuple[Rule, ...] = (
        Rule("roc_auc", 0.005), Rule("recall", 0.02), Rule("blocked", 0.005, is_cost=True),
    )
    """Of a set that versions are measured on later (`training.fixed_sets`)."""
    rows: int = 64
    """Of the batch whose run time is measured."""
    run_ms_max: float = limits.LANE_SLICE_S_MAX * 1_000
    """At the 95th percentile."""


RULES: Final[Mapping[str, Rules]] = {
    "moderation": Rules((
        Rule("roc_auc_toxic_with_chat", 0.002, 0.97),
        Rule("recall_toxic_at_one_half", 0.02, 0.8),
        Rule("chat_blocked", 0.001, 0.005, is_cost=True),
    )),
    "emotion": Rules((Rule("macro_f1", 0.01, 0.5),)),
    # One text of 128 tokens at a time, and at most one such stands in the way of a line of chat.
    "embed": Rules((Rule("least_cosine", 0.0, 0.9999),), rows=1, run_ms_max=250.0),
    # Nobody may keep a set of what it should find, so only what it must let pass is measured. One
    # picture at a time, and at most one such stands in the way of a line of chat.
    "pictures": Rules((
        Rule("plain_blocked", 0.0, 0.0, is_cost=True), Rule("plain_held", 0.01, 0.02, is_cost=True),
    ), rows=1, run_ms_max=100.0),
}
"""By the name of the model."""


def rules_of(name: str) -> Rules:
    """What is asked of the versions of a model; of one that is not known here, its `score`."""
    return RULES.get(name, Rules())


@dataclass(frozen=True, slots=True)
class Scored:
    """What a version reached on a set."""

    dataset: str
    dataset_hash: str
    figures: Mapping[str, float]
    is_held_out: bool = True
    """Of its own data; else of a set that has nothing to do with how it was made."""


@dataclass(frozen=True, slots=True)
class Timed:
    """How long a version took on a device."""

    device: str
    rows: int
    run_ms: float


@dataclass(frozen=True, slots=True)
class Measured:
    """All that is known of a version."""

    label: str
    scored: Scored | None = None
    timed: Timed | None = None

    def as_json(self) -> dict[str, Any]:
        """As it is kept with a change."""
        told: dict[str, Any] = {"version": self.label}
        if self.scored is not None:
            told |= {"dataset": self.scored.dataset, "dataset_hash": self.scored.dataset_hash,
                     "figures": dict(self.scored.figures)}
        if self.timed is not None:
            told |= {"device": self.timed.device, "rows": self.timed.rows,
                     "run_ms": self.timed.run_ms}
        return told


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it may, and why not."""

    failures: tuple[str, ...]
    """Sentences; none if it may."""
    figures: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What it was decided by, to be kept."""

    @property
    def has_passed(self) -> bool:
        """Whether the version may go live."""
        return not self.failures


def judge(candidate: Measured, live: Measured | None, rules: Rules) -> Verdict:
    """Whether the candidate may take the place of the live version (None: there is none)."""
    failures = [*_quality(candidate, live, rules), *_speed(candidate, rules)]
    figures: dict[str, Any] = {
        "candidate": candidate.as_json(),
        "rules": {
            "figures": {
                rule.figure: {"margin": rule.margin, "bound": rule.bound}
                for rule in _rules(candidate, rules)
            },
            "rows": rules.rows, "run_ms_max": rules.run_ms_max,
        },
    }
    if live is not None:
        figures["live"] = live.as_json()
    return Verdict(tuple(failures), figures)


def _quality(candidate: Measured, live: Measured | None, rules: Rules) -> list[str]:
    scored = candidate.scored
    if scored is None:
        return [f"{candidate.label} was not evaluated: `atrium models evaluate` does that."]
    other = live.scored if live is not None else None
    if live is not None and (other is None or other.dataset_hash != scored.dataset_hash):
        return [f"{candidate.label} and {live.label}, which is live, were not evaluated on the same"
                f" set ({scored.dataset}): evaluate both."]
    failures: list[str] = []
    for rule in _rules(candidate, rules):
        reached = scored.figures.get(rule.figure, math.nan)
        if not math.isfinite(reached):
            failures.append(f"{candidate.label} has no figure {rule.figure}: evaluate it anew.")
            continue
        before = other.figures.get(rule.figure, math.nan) if other is not None else math.nan
        needed = _needed(rule, before)
        if needed is not None and (reached > needed if rule.is_cost else reached < needed):
            than = f" ({live.label} has {before:.4f}; the margin is {rule.margin:g})" if (
                live is not None and needed != rule.bound) else ""
            failures.append(
                f"{rule.figure} of {candidate.label} is {reached:.4f} and must be at"
                f" {'most' if rule.is_cost else 'least'} {needed:.4f}{than}."
            )
    return failures


def _rules(candidate: Measured, rules: Rules) -> tuple[Rule, ...]:
    is_held_out = candidate.scored is None or candidate.scored.is_held_out
    return rules.figures if is_held_out else rules.evaluated


def _needed(rule: Rule, before: float) -> float | None:
    """The least that is enough, or the most of a cost; None where anything is."""
    bounds = [] if rule.bound is None else [rule.bound]
    if math.isfinite(before):
        bounds.append(before + rule.margin if rule.is_cost else before - rule.margin)
    if not bounds:
        return None
    return min(bounds) if rule.is_cost else max(bounds)


def _speed(candidate: Measured, rules: Rules) -> list[str]:
    timed = candidate.timed
    if timed is None or timed.rows != rules.rows or not math.isfinite(timed.run_ms):
        return [f"The run time of {candidate.label} at {rules.rows} rows was not measured on this"
                " device."]
    if timed.run_ms > rules.run_ms_max:
        return [f"{candidate.label} takes {timed.run_ms:.1f} ms for {timed.rows} rows on"
                f" {timed.device} and may take {rules.run_ms_max:g} ms: compress it, or use a"
                " faster device."]
    return []
