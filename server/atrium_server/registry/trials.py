"""Which figures of two versions can be compared: those of the same set of rows. PURE.

A set is known by its hash. What was measured later on a set of its own (`Evaluation`) is preferred,
the newest first, because anybody can measure it again. Otherwise there are the figures in the
document, of the part of the data that was held out when the version was made. That part is the same
for two versions that were made from the same sources, split in the same way, with the same seed;
rows of feedback are only ever trained on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from atrium_server.persistence.model_rows import Evaluation
from atrium_server.registry.documents import Document, canonical
from atrium_server.registry.gate import Scored

HELD_OUT: Final = "what was held out of its data"

Known = tuple[Document, Sequence[Evaluation]]
"""A version and what was measured of it."""


def scored_pair(candidate: Known, live: Known | None) -> tuple[Scored | None, Scored | None]:
    """Figures of both that can be compared, or the best there are of each."""
    mine = scored_of(candidate)
    if live is None:
        return (mine[0] if mine else None), None
    others = {each.dataset_hash: each for each in reversed(scored_of(live))}
    for each in mine:
        if each.dataset_hash in others:
            return each, others[each.dataset_hash]
    return (mine[0] if mine else None), next(iter(others.values()), None)


def scored_of(known: Known) -> list[Scored]:
    """All figures of a version: those measured later, the newest first, then its document's."""
    document, evaluations = known
    newest = sorted(evaluations, key=lambda each: each.at, reverse=True)
    found = [
        Scored(each.measured.subject, each.measured.subject_hash,
               _numbers(msgspec.json.decode(each.measured.figures)), is_held_out=False)
        for each in newest if each.measured.subject_hash
    ]
    figures = _numbers(document.content["metrics"])
    if figures:
        found.append(Scored(HELD_OUT, held_out_hash(document), figures))
    return found


def held_out_hash(document: Document) -> str:
    """What is equal for versions whose held-out rows are the same."""
    data = document.content["data"]
    part = {"name": document.name, "seed": document.content["seed"],
            "sources": data.get("sources"), "split": data.get("split")}
    return hashlib.sha256(canonical(part)).hexdigest()


def _numbers(figures: Mapping[str, Any]) -> dict[str, float]:
    return {
        name: float(value) for name, value in figures.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
