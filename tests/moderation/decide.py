"""How well the whole decision does on the authored lines: rules, model and policy together.

    python tests/moderation/decide.py [--split dev|test] [--rules] [--wrong] [--model DOCUMENT]

Each line is judged by itself as a server judges it (`moderator`): what the rules find and what the
newest built-in model says become one decision by the standard policy. Printed are, for all lines
and by category, locale and tag: how many there are and how many decisions a moderator would accept;
how many had to be acted on and were let pass (missed); how many had to be left alone and were not
(alarms), and of those how many nobody could read (kept). `--wrong` prints the lines behind them,
of the dev half only: what is printed of the test half is figures, so that nobody writes rules for
its lines. `--json` prints all as JSON.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from atrium_server.inference.device import TorchDevice
from atrium_server.inference.loading import load
from atrium_server.inference.rows import Bag
from atrium_server.inference.slots import Loaded
from atrium_server.inference.staging import Staging
from atrium_server.moderation.evaluation import Case, Report, Tally, parse, score
from atrium_server.moderation.findings import Decision, Finding
from atrium_server.moderation.policy import POLICIES, Policy, PolicyName, decide
from atrium_server.moderation.reading import Read, Text
from atrium_server.moderation.rules import TextRules
from atrium_server.moderator import MODEL, findings_of
from atrium_server.registry.builtins import FOLDER, find_builtins
from atrium_server.registry.packages import unpack
from atrium_server.registry.sources import open_source

LINES = Path(__file__).with_name("chat_lines.tsv")
STANDARD = POLICIES[PolicyName.STANDARD]


def built_in(name: str = MODEL) -> Path:
    """The document of the newest version that comes with Atrium."""
    newest = [each for each in find_builtins().documents if each.name == name][-1]
    return FOLDER / f"{newest.name}-{newest.version}.json"


def model_of(document: Path) -> Loaded:
    """A version that can run, from its document with its files beside it."""
    with open_source(document) as source:
        return load(unpack(source.document, source.read), TorchDevice("cpu"))


def read(texts: Sequence[str]) -> list[Read]:
    """What the rules say of lines that nobody said before."""
    return TextRules().read([Text(text) for text in texts])


def said(loaded: Loaded, texts: Sequence[str], reads: Sequence[Read]) -> list[list[Finding]]:
    """What a version says of the lines."""
    ends = np.cumsum([0, *(len(each.ids) for each in reads)])
    ids = np.concatenate([each.ids for each in reads])
    rows = {loaded.model.signature.inputs[0].name: Bag(ids, ends)}
    inputs = Staging().join(loaded.model.signature, [(rows, 0, len(texts))])
    scores = loaded.model.run(inputs)["scores"]
    return [findings_of(row, len(text), loaded) for row, text in zip(scores, texts, strict=True)]


def decisions(
    texts: Sequence[str], loaded: Loaded | None, policy: Policy = STANDARD
) -> list[Decision]:
    """What a server decides on each line."""
    reads = read(texts)
    scored: Sequence[Sequence[Finding]] = [()] * len(texts)
    if loaded is not None:
        scored = said(loaded, texts, reads)
    return [
        decide(text, [*each.findings, *more], policy)
        for text, each, more in zip(texts, reads, scored, strict=True)
    ]


def judged(split: str, loaded: Loaded | None) -> Report:
    """The report on one half."""
    cases = [each for each in parse(LINES.read_text(encoding="utf-8")) if each.split == split]
    return score(cases, decisions([case.text for case in cases], loaded))


def table(report: Report) -> str:
    """The counts, for a terminal."""
    lines = [f"{'':16}{'lines':>7}{'right':>7}{'':>8}{'missed':>8}{'of':>5}{'alarms':>8}{'of':>5}"
             f"{'kept':>6}", _row("all", report.overall)]
    parts: tuple[tuple[str, Mapping[str, Tally]], ...] = (
        ("category", report.categories), ("locale", report.locales), ("tag", report.tags),
    )
    for title, tallies in parts:
        lines += [title, *(_row(f"  {name}", tallies[name]) for name in sorted(tallies))]
    return "\n".join(lines)


def _row(name: str, tally: Tally) -> str:
    share = f"{100 * tally.accuracy:.1f}%" if tally.accuracy is not None else "-"
    return (
        f"{name:16}{tally.lines:>7}{tally.right:>7}{share:>8}"
        f"{tally.to_act_on - tally.acted_on:>8}{tally.to_act_on:>5}"
        f"{tally.false_alarms:>8}{tally.to_leave:>5}{tally.kept_back:>6}"
    )


def _told(case: Case, decision: Decision) -> str:
    expected = "|".join(each.name.lower() for each in sorted(case.expected))
    return (
        f"{case.locale:3} {case.category or 'benign':10} {case.tag:12} {expected:16} but"
        f" {decision.action.name.lower():6} {decision.category or '-':10} {decision.source:20}"
        f" {case.text}"
    )


def main() -> None:
    """Print the report."""
    parser = argparse.ArgumentParser(description="How well the whole decision does.")
    parser.add_argument("--split", choices=("dev", "test"), default="dev")
    parser.add_argument("--rules", action="store_true", help="rules and policy alone")
    parser.add_argument("--wrong", action="store_true", help="the lines behind the figures, of dev")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--model", type=Path, help="the document of a version; the newest built in")
    asked = parser.parse_args()
    loaded = None if asked.rules else model_of(asked.model or built_in())
    report = judged(asked.split, loaded)
    if asked.json:
        print(json.dumps(report.as_json(), indent=2))
        return
    by = "rules alone" if loaded is None else f"rules and {loaded.label}"
    print(f"{LINES.name}, {asked.split} half: {by}")
    print(table(report))
    if asked.wrong and asked.split == "dev":
        for case, decision in report.wrong:
            print(_told(case, decision))


if __name__ == "__main__":
    main()
