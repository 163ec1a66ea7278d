"""The contents of a batch, and how it is cut when the store will not take all of it. PURE."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from atrium_server.persistence.store import EditKey, EditRow, EntityRow

REMOVED_BYTES: Final = 64
"""What a removed entity costs to hold: its id."""


@dataclass(frozen=True, slots=True)
class Part:
    """Content of a batch, before it has a version."""

    rows: tuple[EntityRow, ...]
    removed: tuple[uuid.UUID, ...]
    edits: tuple[EditRow, ...]
    since: float

    @property
    def bytes(self) -> int:
        held = sum(row.bytes for row in self.rows) + sum(edit.bytes for edit in self.edits)
        return held + REMOVED_BYTES * len(self.removed)


def halves_of(part: Part) -> list[Part]:
    """The part in two, each edit with all that it changes; none when it is about one thing."""
    clusters = _clusters(part)
    if len(clusters) < 2:
        return []
    middle = len(clusters) // 2
    return [_only(part, clusters[:middle]), _only(part, clusters[middle:])]


def _clusters(part: Part) -> list[set[uuid.UUID | EditKey]]:
    """What hangs together: entities that one edit changes, with that edit and all others of
    theirs.
    """
    root: dict[uuid.UUID | EditKey, uuid.UUID | EditKey] = {}

    def find(one: uuid.UUID | EditKey) -> uuid.UUID | EditKey:
        while (above := root.setdefault(one, one)) != one:
            root[one] = one = root[above]  # the way is shorter the next time
        return one

    for edit in part.edits:
        for one in (edit.entity_id, *edit.touched):
            if one is not None:
                root[find(one)] = find(edit.key)
    clusters: dict[uuid.UUID | EditKey, set[uuid.UUID | EditKey]] = {}
    for one in (
        *(edit.key for edit in part.edits), *(row.id for row in part.rows), *part.removed
    ):
        clusters.setdefault(find(one), set()).add(one)
    return list(clusters.values())


def _only(part: Part, clusters: Iterable[set[uuid.UUID | EditKey]]) -> Part:
    wanted = set[uuid.UUID | EditKey]().union(*clusters)
    return Part(
        tuple(row for row in part.rows if row.id in wanted),
        tuple(entity_id for entity_id in part.removed if entity_id in wanted),
        tuple(edit for edit in part.edits if edit.key in wanted),
        part.since,
    )
