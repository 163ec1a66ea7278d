"""How `atrium world` says what is in the database, and what a plan comes to."""

from __future__ import annotations

import sys
import uuid
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.table import Table

from atrium_server.cli_place import say
from atrium_server.persistence.history import EditHead, WorldSummary
from atrium_server.world_history import Planned

PIPE_COLUMNS: Final = 200
LISTED_MAX: Final = 20


def say_worlds(worlds: list[WorldSummary], *, as_json: bool) -> None:
    """All worlds."""
    if as_json:
        _say_json(worlds)
        return
    table = Table("world", "title", "props", "version", "server", "saved (UTC)", box=None)
    for one in worlds:
        saved = "" if one.saved_at is None else f"{one.saved_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(one.slug, one.title, f"{one.props:,}", str(one.version), one.owner, saved)
    _say_table(table)


def say_plan(planned: Planned, verb: str) -> None:
    """What a plan comes to: what `would be` or `were` done."""
    came = sum(change.before is None for change in planned.changes)
    went = sum(change.after is None for change in planned.changes)
    changed = len(planned.changes) - came - went
    if not planned.changes:
        say("Nothing is to be changed.")
    else:
        say(f"{came:,} props {verb} added, {changed:,} changed and {went:,} removed.")
    if planned.left:
        say(f"{len(planned.left):,} props were left alone, as others have changed them since:")
        for prop_id in planned.left[:LISTED_MAX]:
            say(f"  {uuid.UUID(bytes=prop_id)}")
        if len(planned.left) > LISTED_MAX:
            say("  ...")


def say_edits(edits: list[EditHead], *, as_json: bool) -> None:
    """Edits, newest first."""
    if as_json:
        _say_json(edits)
        return
    table = Table("when (UTC)", "what", "props", "first prop", "account", "session", box=None)
    for edit in edits:
        table.add_row(
            f"{edit.at:%Y-%m-%d %H:%M:%S}", edit.op, f"{edit.props:,}", str(edit.prop or ""),
            str(edit.actor or ""), str(edit.session),
        )
    _say_table(table)


def _say_json(value: Any) -> None:
    say(msgspec.json.format(msgspec.json.encode(value)).decode())


def _say_table(table: Table) -> None:
    width = None if sys.stdout.isatty() else PIPE_COLUMNS
    Console(width=width, highlight=False, markup=False).print(table)
