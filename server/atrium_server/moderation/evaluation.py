"""How well decisions agree with what people would decide, on lines with expected decisions. PURE.

A case is a line, and the actions that a moderator of a world with the standard policy would accept
for it; where people would differ there are several. Of each line it is counted whether the decision
is one of them (*right*), and two things that weigh differently:

- *missed*: something had to be done, and the line was let pass;
- *false alarm*: nothing was to be done, and something was. It is *kept back* if nobody could read
  it (held or blocked), which costs more than a word masked in vain.

Lines of which both are acceptable count as right or wrong and as nothing else.

Precision of a category is the share of its decisions, other than to allow, on lines that were not
to be left alone; recall the share of its lines on which something was done, whatever it was called,
for who is protected does not care for the name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from atrium_server.moderation.findings import Action, Category, Decision

COLUMNS: Final = ("split", "locale", "category", "expected", "tag", "text", "note")
SPLITS: Final = ("dev", "test")
BENIGN: Final = "benign"
_ESCAPE: Final = re.compile(r"\\u([0-9a-fA-F]{4})")
_ACTIONS: Final = {action.name.lower(): action for action in Action}


class CaseError(Exception):
    """A file of cases that is none; the message says which line and why."""


@dataclass(frozen=True, slots=True)
class Case:
    """One line and what may be decided on it."""

    split: str
    """`dev` may be looked at while rules are written and models trained, `test` not."""
    locale: str
    category: Category | None
    """None if it is harmless."""
    expected: frozenset[Action]
    tag: str
    """What it tries: gaming, scunthorpe, obfuscated, ..."""
    text: str
    note: str = ""

    @property
    def is_to_be_left_alone(self) -> bool:
        """Whether anything but letting it pass is wrong."""
        return self.expected == frozenset((Action.ALLOW,))

    @property
    def is_to_be_acted_on(self) -> bool:
        """Whether letting it pass is wrong."""
        return Action.ALLOW not in self.expected


def parse(document: str) -> list[Case]:
    """The cases of a file: tab-separated, the names of COLUMNS first, `#` before remarks."""
    cases: list[Case] = []
    is_named = False
    for number, line in enumerate(document.split("\n"), 1):
        if not line or line.startswith("#"):
            continue
        cells = line.split("\t")
        if len(cells) != len(COLUMNS):
            raise CaseError(f"Line {number} has {len(cells)} cells instead of {len(COLUMNS)}.")
        if is_named:
            cases.append(_case(number, cells))
        elif tuple(cells) != COLUMNS:
            raise CaseError(f"Line {number} must name the columns: {', '.join(COLUMNS)}.")
        is_named = True
    return cases


def _case(number: int, cells: Sequence[str]) -> Case:
    split, locale, category, expected, tag, text, note = cells
    if split not in SPLITS:
        raise CaseError(f"Line {number}: the split is {split!r} and not dev or test.")
    if not text.strip():
        raise CaseError(f"Line {number} has no text.")
    actions = expected.split("|")
    if unknown := [each for each in actions if each not in _ACTIONS]:
        raise CaseError(f"Line {number}: {unknown[0]!r} is no action.")
    try:
        meant = None if category == BENIGN else Category(category)
    except ValueError:
        raise CaseError(f"Line {number}: {category!r} is no category.") from None
    plain = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), text)
    accepted = frozenset(_ACTIONS[each] for each in actions)
    return Case(split, locale, meant, accepted, tag, plain, note)


@dataclass(slots=True)
class Tally:
    """What became of some of the cases."""

    lines: int = 0
    right: int = 0
    to_act_on: int = 0
    acted_on: int = 0
    """Of `to_act_on`."""
    to_leave: int = 0
    false_alarms: int = 0
    """Of `to_leave`."""
    kept_back: int = 0
    """Of `false_alarms`: held or blocked."""
    decided: int = 0
    """Decisions of this category other than to allow; of a category only."""
    decided_right: int = 0
    """Of `decided`: on lines that were not to be left alone."""

    def count(self, case: Case, decision: Decision) -> None:
        """Add one line."""
        acted = decision.action is not Action.ALLOW
        self.lines += 1
        self.right += decision.action in case.expected
        self.to_act_on += case.is_to_be_acted_on
        self.acted_on += case.is_to_be_acted_on and acted
        self.to_leave += case.is_to_be_left_alone
        self.false_alarms += case.is_to_be_left_alone and acted
        self.kept_back += case.is_to_be_left_alone and decision.action >= Action.HOLD

    @property
    def accuracy(self) -> float | None:
        """The share of decisions that a moderator would accept."""
        return _share(self.right, self.lines)

    @property
    def recall(self) -> float | None:
        """The share of what had to be acted on that was."""
        return _share(self.acted_on, self.to_act_on)

    @property
    def precision(self) -> float | None:
        """The share of what was done that was not done in vain."""
        return _share(self.decided_right, self.decided)

    @property
    def false_alarm_share(self) -> float | None:
        """The share of harmless lines on which something was done."""
        return _share(self.false_alarms, self.to_leave)

    @property
    def kept_back_share(self) -> float | None:
        """The share of harmless lines that nobody could read."""
        return _share(self.kept_back, self.to_leave)

    def as_json(self) -> dict[str, Any]:
        """Counts and shares; a share of nothing is null."""
        return {
            "lines": self.lines, "right": self.right, "to_act_on": self.to_act_on,
            "acted_on": self.acted_on, "to_leave": self.to_leave,
            "false_alarms": self.false_alarms, "kept_back": self.kept_back,
            "accuracy": self.accuracy, "recall": self.recall, "precision": self.precision,
            "false_alarm_share": self.false_alarm_share, "kept_back_share": self.kept_back_share,
        }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


_Judged = tuple[Case, Decision]


@dataclass(slots=True)
class Report:
    """What became of all cases: together, and by category, locale and tag."""

    overall: Tally = field(default_factory=Tally)
    categories: dict[str, Tally] = field(default_factory=lambda: dict[str, Tally]())
    locales: dict[str, Tally] = field(default_factory=lambda: dict[str, Tally]())
    tags: dict[str, Tally] = field(default_factory=lambda: dict[str, Tally]())
    self_harm_blocked: int = 0
    """People in despair whose line was refused: must be none."""
    wrong: list[_Judged] = field(default_factory=lambda: list[_Judged]())

    def as_json(self) -> dict[str, Any]:
        """Without the lines that were judged wrong."""
        return {
            "overall": self.overall.as_json(),
            "categories": _told(self.categories),
            "locales": _told(self.locales),
            "tags": _told(self.tags),
            "self_harm_blocked": self.self_harm_blocked,
        }


def _told(tallies: Mapping[str, Tally]) -> dict[str, Any]:
    return {name: tallies[name].as_json() for name in sorted(tallies)}


def score(cases: Iterable[Case], decisions: Iterable[Decision]) -> Report:
    """Compare each case with its decision; as many of one as of the other."""
    report = Report()
    for case, decision in zip(cases, decisions, strict=True):
        _count(report, case, decision)
    return report


def _count(report: Report, case: Case, decision: Decision) -> None:
    category = BENIGN if case.category is None else str(case.category)
    for tallies, name in (
        (report.categories, category), (report.locales, case.locale), (report.tags, case.tag),
    ):
        tallies.setdefault(name, Tally()).count(case, decision)
    report.overall.count(case, decision)
    if decision.action is not Action.ALLOW:
        named = [report.overall, report.locales[case.locale]]
        if decision.category is not None:
            named.append(report.categories.setdefault(str(decision.category), Tally()))
        for tally in named:
            tally.decided += 1
            tally.decided_right += not case.is_to_be_left_alone
    if case.category is Category.SELF_HARM and decision.action is Action.BLOCK:
        report.self_harm_blocked += 1
    if decision.action not in case.expected:
        report.wrong.append((case, decision))


def table(report: Report) -> str:
    """The report as lines of text, for a terminal or a card."""
    lines = [f"{'':14}{'lines':>7}{'right':>8}{'recall':>8}{'precis.':>8}{'alarms':>8}{'kept':>8}"]
    parts = (("all", {"all": report.overall}), ("category", report.categories),
             ("locale", report.locales), ("tag", report.tags))
    for title, tallies in parts:
        if title != "all":
            lines.append(title)
        for name in sorted(tallies):
            tally = tallies[name]
            shares = (tally.accuracy, tally.recall, tally.precision, tally.false_alarm_share,
                      tally.kept_back_share)
            lines.append(f"  {name:12}{tally.lines:>7}" + "".join(map(_percent, shares)))
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return f"{'-':>8}" if share is None else f"{100 * share:>7.1f}%"
