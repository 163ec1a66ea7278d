"""Versions of models in memory: for --ephemeral, and for tests of what stands on it.

It keeps the promises of `sql_models` but for two: nothing outlives the process, and there is no
audit log. What is kept is bounded by who asks: `registry.stages` bounds versions and names, and of
the history the oldest is forgotten first.
"""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import msgspec
import trio

from atrium_server.persistence.errors import Refused
from atrium_server.persistence.model_rows import (
    NO_VERSION,
    ROWS_ASKED_MAX,
    Change,
    Evaluation,
    ModelRow,
    NewChange,
    NewEvaluation,
    Outdated,
    Stage,
    check_change,
    check_evaluation,
)

HISTORY_KEPT_MAX: Final = 1_000
"""Changes of one model."""


class MemoryModels:
    """A `model_rows.ModelStore` in memory. `clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._models: dict[tuple[str, str], ModelRow] = {}
        self._sequences: dict[str, int] = {}
        self._history: dict[str, deque[tuple[uuid.UUID, Change]]] = {}
        self._evaluations: dict[tuple[str, str], dict[str, Evaluation]] = {}

    async def models(self, name: str | None = None) -> list[ModelRow]:
        await trio.lowlevel.checkpoint()
        found = [row for row in self._models.values() if name in (None, row.model.name)]
        return sorted(found, key=lambda row: row.model.name)

    async def sequences(self) -> dict[str, int]:
        await trio.lowlevel.checkpoint()
        return dict(self._sequences)

    async def change(self, change: NewChange) -> bool:
        check_change(change)
        await trio.lowlevel.checkpoint()
        history = self._history.setdefault(change.name, deque(maxlen=HISTORY_KEPT_MAX))
        if any(id == change.id for id, _ in history):
            return False
        if change.sequence != self._sequences.get(change.name, 0) + 1:
            raise Outdated
        now = datetime.fromtimestamp(self._clock(), UTC)
        if change.model is not None:
            key = change.name, change.model.version
            self._models[key] = ModelRow(change.model, Stage.CANDIDATE, 0.0, 0, now)
        for move in change.moves:
            key = change.name, move.version
            self._models[key] = msgspec.structs.replace(
                self._models[key], stage=move.after, canary_share=move.canary_share,
                live_rank=move.live_rank,
            )
        self._sequences[change.name] = change.sequence
        history.append((change.id, Change(
            change.name, change.sequence, now, change.op, change.version, change.actor, change.why,
            change.moves, change.figures,
        )))
        return True

    async def history(self, name: str, rows_max: int) -> list[Change]:
        await trio.lowlevel.checkpoint()
        found = [change for _, change in self._history.get(name, ())]
        return found[::-1][: min(rows_max, ROWS_ASKED_MAX)]

    async def keep_evaluation(self, measured: NewEvaluation) -> None:
        check_evaluation(measured)
        await trio.lowlevel.checkpoint()
        key = measured.name, measured.version
        if key not in self._models:
            raise Refused(NO_VERSION.format(name=measured.name, version=measured.version))
        kept = self._evaluations.setdefault(key, {})
        kept[measured.subject] = Evaluation(measured, datetime.fromtimestamp(self._clock(), UTC))

    async def evaluations(self, name: str, version: str) -> list[Evaluation]:
        await trio.lowlevel.checkpoint()
        kept = self._evaluations.get((name, version), {})
        return [kept[subject] for subject in sorted(kept)]
