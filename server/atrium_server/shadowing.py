"""What a version in the stage `shadow` would have said, beside what the live one said.

Whenever rows have been run on the live version, they are run once more on the shadow, of the least
urgent class but one, so nobody waits for it and under load it is the first to be shed. Its answers
go nowhere: they are compared, and counted.

*Differs* are rows of which a score lies on the other side of one half, which is where policies
begin; *apart* is how far all numbers are from each other on average. A version with other inputs
or outputs than the live one cannot be compared, and is not asked.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from atrium_server.inference.classes import WorkClass
from atrium_server.inference.lane import Lane
from atrium_server.inference.outcomes import Outcome
from atrium_server.inference.slots import Loaded
from atrium_server.inference.worker import Ended
from atrium_server.telemetry import Registry

ROWS_TOTAL: Final = "atrium_model_shadow_rows_total"
"""Counter {model, version, outcome}: rows that a shadow was given: same, differs, or not done."""
APART: Final = "atrium_model_shadow_apart"
"""Gauge {model, version}: mean distance of its numbers from those of the live version."""
SCORES: Final = "scores"
HALF: Final = 0.5
_KEPT: Final = 0.99
"""Of the mean so far, for each job."""
_NOT_AGAIN: Final = frozenset({WorkClass.SHADOW, WorkClass.WARMING})


class Shadowing:
    """Compares the shadows of one lane."""

    def __init__(self, lane: Lane, registry: Registry) -> None:
        self._lane = lane
        self._registry = registry
        self._apart: dict[str, float] = {}

    def observe(self, ended: Ended) -> None:
        """What a turn of the lane came to."""
        slots = self._lane.slots
        if not any(slot.shadow is not None for slot in slots.by_name.values()):
            return
        for work, outcome in ended.outcomes:
            slot = slots.by_name.get(work.loaded.name)
            if slot is None or slot.live is not work.loaded or slot.shadow is None:
                continue
            if outcome.is_done and work.job.work not in _NOT_AGAIN and (
                slot.shadow.model.signature == work.loaded.model.signature
            ):
                self._ask(slot.shadow, work.rows, outcome)

    def _ask(self, shadow: Loaded, rows: Any, said: Outcome) -> None:
        self._lane.submit(
            shadow, rows, lambda outcome: self._compare(shadow, said, outcome),
            work=WorkClass.SHADOW,
        )

    def _compare(self, shadow: Loaded, said: Outcome, would: Outcome) -> None:
        rows = len(next(iter(said.outputs.values())))
        if not would.is_done:
            self._count(shadow, would.status.value, rows)
            return
        differs = np.zeros(rows, np.bool_)
        apart: list[float] = []
        for name, one in said.outputs.items():
            other = would.outputs[name]
            apart.append(float(np.abs(one.astype(np.float64) - other).mean()) if one.size else 0.0)
            if name == SCORES:
                differs |= _sides(one, other, rows)
        self._count(shadow, "differs", int(differs.sum()))
        self._count(shadow, "same", rows - int(differs.sum()))
        mean = float(np.mean(apart))
        before = self._apart.get(shadow.label, mean)
        now = self._apart[shadow.label] = _KEPT * before + (1 - _KEPT) * mean
        self._registry.gauge(
            APART, "How far a shadow's numbers are from those of the live version.",
            model=shadow.name, version=shadow.version,
        ).set(now)

    def _count(self, shadow: Loaded, outcome: str, rows: int) -> None:
        self._registry.counter(
            ROWS_TOTAL, "Rows that shadows were given.", model=shadow.name,
            version=shadow.version, outcome=outcome,
        ).add(rows)


def _sides(
    one: npt.NDArray[Any], other: npt.NDArray[Any], rows: int
) -> npt.NDArray[np.bool_]:
    """The rows of which a score is on the other side of one half."""
    crossed = np.not_equal(one >= HALF, other >= HALF).reshape(rows, -1)
    return np.logical_or.reduce(crossed, axis=1)
