"""What people were told, compared with what the database has. PURE.

Theory of operation
-------------------
The history of a world (`world_edit`) is read in the order of its ids, which is the order in which
edits were made, and done again from nothing. That must lead exactly to the entities that the
database has. Each edit must begin where the one before it has left the props: so an edit that was
done twice, or done and forgotten, breaks the chain even where its row is there once.

    lost    DURABLE, and not in the history
    twice   in the history more than once; or it begins from a state that never was
    wrong   everything else that must not be: REFUSED or REVERTED and there all the same, never
            asked for, not what was asked for, entities that differ from their history, versions
            that are not one for each commit

An edit without a last answer may be there or not, once.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from atrium_server.prop_rows import changes_of
from atrium_server.world.props import Change, Prop
from atrium_shared import edits
from atrium_shared.messages import EditState
from atrium_shared.props import checked_transform

Key = tuple[uuid.UUID, int]
SHOWN_MAX = 5
"""Differences of each kind that are told."""


@dataclass(frozen=True, slots=True)
class Told:
    """One edit as its author knows of it. `state` is None where no answer came."""

    key: Key
    edit: edits.Edit
    state: EditState | None


@dataclass(frozen=True, slots=True)
class Line:
    """One row of the history."""

    id: int
    version: int
    key: Key
    op: str
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class Kept:
    """A world as the database has it."""

    version: int
    lines: Sequence[Line]
    """In the order of their ids."""
    entities: dict[bytes, Prop]


@dataclass(slots=True)
class Verdict:
    """What the comparison has found."""

    asked: int = 0
    durable: int = 0
    refused: int = 0
    reverted: int = 0
    unanswered: int = 0
    rows: int = 0
    lost: list[str] = field(default_factory=list[str])
    twice: list[str] = field(default_factory=list[str])
    late: list[str] = field(default_factory=list[str])
    """Written by a past owner; found by who knows when it was one."""
    wrong: list[str] = field(default_factory=list[str])

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.twice or self.late or self.wrong)

    def differences(self) -> Iterator[str]:
        """The first ones of each kind, for people."""
        for name in ("lost", "twice", "late", "wrong"):
            found: list[str] = getattr(self, name)
            yield from (f"{name}: {one}" for one in found[:SHOWN_MAX])
            if len(found) > SHOWN_MAX:
                yield f"{name}: and {len(found) - SHOWN_MAX:,} more"

    def add(self, other: Verdict) -> None:
        """Both together."""
        for name in ("asked", "durable", "refused", "reverted", "unanswered", "rows"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("lost", "twice", "late", "wrong"):
            getattr(self, name).extend(getattr(other, name))


def compare(told: Iterable[Told], kept: Kept) -> Verdict:
    """Every answer with the history, and the history with the entities."""
    by_key = {one.key: one for one in told}
    verdict = Verdict(asked=len(by_key), rows=len(kept.lines))
    _count(verdict, by_key.values())
    _compare_answers(verdict, by_key, kept.lines)
    _replay(verdict, kept)
    _compare_versions(verdict, kept)
    return verdict


def _count(verdict: Verdict, told: Iterable[Told]) -> None:
    counted = Counter(one.state for one in told)
    verdict.durable = counted[EditState.DURABLE]
    verdict.refused = counted[EditState.REFUSED]
    verdict.reverted = counted[EditState.REVERTED]
    verdict.unanswered = counted[None] + counted[EditState.ACCEPTED]


def _compare_answers(
    verdict: Verdict, told: dict[Key, Told], lines: Sequence[Line]
) -> None:
    times = Counter(line.key for line in lines)
    verdict.twice += [f"{_shown(key)} {count} times" for key, count in times.items() if count > 1]
    for key, one in told.items():
        if one.state is EditState.DURABLE and key not in times:
            verdict.lost.append(f"{_shown(key)} {type(one.edit).__name__} was told DURABLE")
        if one.state in (EditState.REFUSED, EditState.REVERTED) and key in times:
            verdict.wrong.append(f"{_shown(key)} was told {one.state.name} and is there")
    for line in lines:
        asked = told.get(line.key)
        if asked is None:
            verdict.wrong.append(f"{_shown(line.key)} {line.op} was never asked for")
        elif not _is_what_was_asked(asked.edit, line):
            verdict.wrong.append(f"{_shown(line.key)} {line.op} is not {asked.edit}")


def _is_what_was_asked(edit: edits.Edit, line: Line) -> bool:
    if line.op != type(edit).__name__.lower():
        return False
    changes = changes_of(line.before, line.after)
    match edit:
        case edits.Create() | edits.Place():
            return len(changes) == 1 and _leads_to(changes[0], edit)
        case edits.Delete():
            return any(one.prop_id == edit.prop_id and one.after is None for one in changes)
        case edits.Duplicate():
            return any(one.prop_id == edit.copy_id and one.before is None for one in changes)
        case _:
            return True


def _leads_to(change: Change, edit: edits.Create | edits.Place) -> bool:
    return (
        change.prop_id == edit.prop_id and change.after is not None
        and change.after.transform == checked_transform(edit.transform)
    )


def _replay(verdict: Verdict, kept: Kept) -> None:
    now: dict[bytes, Prop] = {}
    for line in kept.lines:
        for change in changes_of(line.before, line.after):
            if now.get(change.prop_id) != change.before:
                verdict.twice.append(
                    f"{_shown(line.key)} {line.op} (row {line.id}) begins from a state of"
                    f" {change.prop_id.hex()} that is not there"
                )
            if change.after is None:
                now.pop(change.prop_id, None)
            else:
                now[change.prop_id] = change.after
    for prop_id in now.keys() | kept.entities.keys():
        if now.get(prop_id) != kept.entities.get(prop_id):
            verdict.wrong.append(
                f"the prop {prop_id.hex()} is {kept.entities.get(prop_id)} in the database, and"
                f" {now.get(prop_id)} by its history"
            )


def _compare_versions(verdict: Verdict, kept: Kept) -> None:
    """Each commit moves the version by one and writes edits, in order."""
    versions = [line.version for line in kept.lines]
    if versions != sorted(versions):
        verdict.wrong.append("later edits have earlier versions")
    missing = set(range(1, kept.version + 1)) ^ set(versions)
    if missing:
        verdict.wrong.append(
            f"the version is {kept.version}, and these are not of one commit each:"
            f" {sorted(missing)[:SHOWN_MAX]}"
        )


def late_writes(kept: Kept, takeover: int, past: Iterable[uuid.UUID]) -> list[str]:
    """What sessions of the past owner have written behind the version of the takeover."""
    strangers = set(past)
    return [
        f"{_shown(line.key)} {line.op} in version {line.version}, after {takeover}"
        for line in kept.lines if line.version > takeover and line.key[0] in strangers
    ]


def _shown(key: Key) -> str:
    return f"request {key[1]} of {key[0]}"
