"""Whether a version in use keeps to its budget. PURE, driven by `now_s`.

What became of each batch is counted in a window of WINDOW_S, which moves by a sixth at a time. A
version breaks its budget when too many of its rows failed or were late, or when its batches take
too long at the 95th percentile; with fewer than `rows_min` rows nothing is said, so that one bad
batch after a quiet night demotes nobody. Run times are counted in bins that grow by a quarter, so
the percentile is exact to within that.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

WINDOW_S: Final = 60.0
_PIECES: Final = 6
_PIECE_S: Final = WINDOW_S / _PIECES
_BINS: Final = 64
_GROWTH: Final = 1.25
_LEAST_MS: Final = 0.05


@dataclass(frozen=True, slots=True)
class Budget:
    """What a version may take."""

    run_ms_max: float = 50.0
    """Of a batch, at the 95th percentile."""
    failed_share_max: float = 0.02
    late_share_max: float = 0.2
    rows_min: int = 200


BUDGETS: Final[Mapping[str, Budget]] = {
    "embed": Budget(run_ms_max=500.0, late_share_max=0.5, rows_min=50),
    "pictures": Budget(run_ms_max=250.0, late_share_max=0.5, rows_min=50),
}
"""Of models whose batches are few and slow, by name."""


def budget_of(name: str) -> Budget:
    """What the versions of a model may take."""
    return BUDGETS.get(name, Budget())


@dataclass(slots=True)
class _Piece:
    begun_s: float
    rows: int = 0
    failed: int = 0
    late: int = 0
    run_ms: list[int] = field(default_factory=lambda: [0] * _BINS)


@dataclass(frozen=True, slots=True)
class Batch:
    """What became of one."""

    rows: int
    failed: int = 0
    late: int = 0
    run_s: float = 0.0
    """0 for one that did not run."""


class Watch:
    """Counts what becomes of the batches of one version. One owner."""

    def __init__(self, label: str, budget: Budget | None = None) -> None:
        self._label = label
        self._budget = budget or Budget()
        self._pieces: deque[_Piece] = deque()

    def note(self, batch: Batch, now_s: float) -> None:
        """A batch has ended."""
        self._forget(now_s)
        if not self._pieces or now_s >= self._pieces[-1].begun_s + _PIECE_S:
            self._pieces.append(_Piece(now_s))
        piece = self._pieces[-1]
        piece.rows += batch.rows
        piece.failed += batch.failed
        piece.late += batch.late
        if batch.run_s > 0:
            piece.run_ms[_bin_of(batch.run_s * 1_000)] += 1

    def broken(self, now_s: float) -> str | None:
        """Why the version should not be used any more, as a sentence; None while it may be."""
        self._forget(now_s)
        rows = sum(piece.rows for piece in self._pieces)
        if rows < self._budget.rows_min:
            return None
        for count, most, what in (
            (sum(piece.failed for piece in self._pieces), self._budget.failed_share_max, "failed"),
            (sum(piece.late for piece in self._pieces), self._budget.late_share_max, "were late"),
        ):
            if count > most * rows:
                return (f"Of {rows:,} rows that {self._label} was asked in the last"
                        f" {WINDOW_S:.0f} s {count:,} {what}; at most {most:.0%} may.")
        slow_ms = self._percentile()
        if slow_ms > self._budget.run_ms_max:
            return (f"{self._label} takes {slow_ms:.1f} ms for a batch at the 95th percentile and"
                    f" may take {self._budget.run_ms_max:g} ms.")
        return None

    def _percentile(self) -> float:
        """The lower edge of the bin in which the 95th percentile lies."""
        counts = np.sum([piece.run_ms for piece in self._pieces], axis=0)
        total = int(counts.sum())
        if not total:
            return 0.0
        at = int(np.searchsorted(np.cumsum(counts), math.ceil(0.95 * total)))
        return _LEAST_MS * _GROWTH**at if at else 0.0

    def _forget(self, now_s: float) -> None:
        while self._pieces and self._pieces[0].begun_s <= now_s - WINDOW_S:
            self._pieces.popleft()


def _bin_of(ms: float) -> int:
    if ms <= _LEAST_MS:
        return 0
    return min(_BINS - 1, int(math.log(ms / _LEAST_MS, _GROWTH)))
