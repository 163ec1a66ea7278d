"""What `atrium models` shows: tables for people and JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from rich.console import Console
from rich.table import Table

from atrium_server.cli_place import say
from atrium_server.persistence.model_rows import Change, Evaluation, ModelRow, Move, Stage
from atrium_server.registry.documents import Document

PIPE_COLUMNS: Final = 200
ID_CHARS: Final = 12
_ORDER: Final = (Stage.LIVE, Stage.CANARY, Stage.SHADOW, Stage.CANDIDATE, Stage.RETIRED)


def say_rows(rows: Sequence[ModelRow], *, as_json: bool) -> None:
    """All versions, those in use first."""
    ordered = sorted(rows, key=lambda row: (row.model.name, _ORDER.index(row.stage)))
    if as_json:
        _say_json([_told(row) for row in ordered])
        return
    if not rows:
        say("There are no models yet: `atrium serve` takes those into use that came with it.")
        return
    table = _table("name", "version", "stage", "kind", "size", "licence", "from", "id")
    for row in ordered:
        model = row.model
        table.add_row(
            model.name, model.version, stage_of(row.stage, row.canary_share), model.kind,
            f"{model.size_bytes / 1e6:.1f} MB", model.licence, model.source,
            model.document.hex()[:ID_CHARS],
        )
    _print(table)


def _told(row: ModelRow) -> dict[str, Any]:
    model = row.model
    return {
        "name": model.name, "version": model.version, "stage": row.stage.value,
        "canary_share": row.canary_share, "kind": model.kind, "size_bytes": model.size_bytes,
        "licence": model.licence, "source": model.source, "id": model.document.hex(),
        "registered_at": row.registered_at.isoformat(),
    }


def stage_of(stage: Stage, share: float) -> str:
    """A stage with the share of a canary."""
    return f"{stage} {share:.1%}" if stage is Stage.CANARY else stage.value


def say_history(history: Sequence[Change], *, as_json: bool) -> None:
    """What was done to a model, newest first."""
    if as_json:
        _say_json([
            {
                "sequence": each.sequence, "at": each.at.isoformat(), "op": each.op.value,
                "version": each.version, "actor": each.actor, "why": each.why,
                "moves": [_moved(move) for move in each.moves],
                "figures": json.loads(each.figures),
            }
            for each in history
        ])
        return
    table = _table("#", "when", "what", "version", "who", "why", "so that")
    for each in history:
        table.add_row(
            str(each.sequence), f"{each.at:%Y-%m-%d %H:%M:%S}", each.op.value, each.version,
            each.actor, each.why, ", ".join(_moved(move) for move in each.moves),
        )
    _print(table)


def _moved(move: Move) -> str:
    return f"{move.version} {move.before or 'new'} > {stage_of(move.after, move.canary_share)}"


@dataclass(frozen=True, slots=True)
class Shown:
    """All that is known of a version."""

    row: ModelRow
    document: Document
    evaluations: Sequence[Evaluation]


def say_version(shown: Shown, *, as_json: bool) -> None:
    """One version: its card, its figures."""
    content = dict(shown.document.content)
    measured = {each.measured.subject: json.loads(each.measured.figures)
                for each in shown.evaluations}
    if as_json:
        _say_json({**_told(shown.row), "document": content, "evaluations": measured})
        return
    table = _table("", "")
    for name, value in _told(shown.row).items():
        table.add_row(name, str(value))
    for key in ("created", "seed", "licence", "metrics", "data", "settings", "notes"):
        _add(table, key, content.get(key))
    for direction, fields in shown.document.signature.as_json().items():
        _add(table, direction, {field["name"]: _field(field) for field in fields})
    for subject, figures in measured.items():
        _add(table, f"measured: {subject}", figures)
    _print(table)


def _field(field: Mapping[str, Any]) -> str:
    shape = "".join(f"[{size}]" for size in field["shape"])
    bound = f" below {field['bound']:,}" if field["bound"] else ""
    return f"{'bag of ' if field['is_bag'] else ''}{field['dtype']}{shape}{bound}"


def _add(table: Table, name: str, value: Any) -> None:
    """A value and, indented, what it holds."""
    if isinstance(value, Mapping):
        table.add_row(name, "")
        for inner, each in cast("Mapping[str, Any]", value).items():
            _add(table, f"  {inner}", each)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        table.add_row(name, ", ".join(_word(each) for each in cast("Sequence[Any]", value)))
    elif value not in (None, ""):
        table.add_row(name, str(value))


def _word(value: Any) -> str:
    """An item of a list, by its name if it has one."""
    if isinstance(value, Mapping):
        return str(cast("Mapping[str, Any]", value).get("name", value))
    return str(value)


def say_moves(name: str, moves: Sequence[Move]) -> None:
    """What an order has changed."""
    for move in moves:
        say(f"{name}@{move.version} is {stage_of(move.after, move.canary_share)} now"
            + (f" (it was {move.before})." if move.before else "."))


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False)


def _print(table: Table) -> None:
    width = None if sys.stdout.isatty() else PIPE_COLUMNS
    Console(width=width, highlight=False, markup=False).print(table)


def _say_json(content: object) -> None:
    say(json.dumps(content, ensure_ascii=False, indent=2))
