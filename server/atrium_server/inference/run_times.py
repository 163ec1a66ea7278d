"""How long a batch will take, learned from those that have run. PURE.

A run costs a fixed part and a part for each row. Both are fitted to what was measured by recursive
least squares (Haykin, Adaptive Filter Theory, chapter on RLS) that forgets: of a measurement that
is `MEMORY` runs old about a third still counts. Runs of one size only say nothing about how the two
parts divide, which does no harm: the estimate is asked mostly for such sizes then.
"""

from __future__ import annotations

import math
from typing import Final

MEMORY: Final = 40
SURPRISE: Final = 4.0
"""A run that was held up, by the system, counts as so many times longer."""
FIRST_RUNS: Final = 3
"""These are believed as they are: what was expected before was a guess."""
_KEEPS: Final = 1 - 1 / MEMORY
_FIXED_DOUBT: Final = 100.0
_ROW_DOUBT: Final = 100_000.0
"""Variance of what is believed at first, in units of the measurements' own, and the most that it
ever is: without an end to it, runs of a single size would make the other direction explode. That of
a row is so much larger that two batches of a few slow rows tell what a row takes."""
_SCALE_ROWS: Final = 64.0
"""Rows are counted in such units, so that both parts are of one size."""


class RunTimes:
    """The estimate for one model on one device, and one shape."""

    __slots__ = ("_fixed_s", "_pff", "_pfr", "_prr", "_scaled_s", "runs")

    def __init__(self, fixed_s: float = 0.001, row_s: float = 0.00002) -> None:
        self._fixed_s = fixed_s
        self._scaled_s = row_s * _SCALE_ROWS
        self._pff: float = _FIXED_DOUBT
        self._pfr: float = 0.0
        self._prr: float = _ROW_DOUBT
        self.runs = 0

    def run_s(self, rows: int) -> float:
        """What a batch of so many rows is expected to take."""
        return max(self._fixed_s + self._scaled_s * rows / _SCALE_ROWS, 0.0)

    @property
    def row_s(self) -> float:
        """What one row more is expected to take."""
        return max(self._scaled_s / _SCALE_ROWS, 0.0)

    def rows_within(self, s: float, rows_max: int) -> int:
        """How many rows fit into so many seconds: at least one, at most `rows_max`.

        Where the fixed part alone takes more than half of that, rows may take as long as it does:
        smaller batches would hardly be shorter, and much less would be done.
        """
        if self.run_s(rows_max) <= s:
            return rows_max
        fixed_s = max(self._fixed_s, 0.0)
        if self.row_s <= 0:
            return rows_max
        return max(1, min(rows_max, int(max(s - fixed_s, fixed_s) / self.row_s)))

    def learn(self, rows: int, took_s: float) -> None:
        """A batch of so many rows took so long."""
        self.runs += 1
        x = rows / _SCALE_ROWS
        along_f = self._pff + self._pfr * x
        along_r = self._pfr + self._prr * x
        weight = _KEEPS + along_f + x * along_r
        gain_f, gain_r = along_f / weight, along_r / weight
        expected_s = self._fixed_s + self._scaled_s * x
        error_s = took_s - expected_s
        if self.runs > FIRST_RUNS:
            error_s = min(error_s, SURPRISE * max(expected_s, 0.001))
        self._fixed_s += gain_f * error_s
        self._scaled_s += gain_r * error_s
        self._pff = min((self._pff - gain_f * along_f) / _KEEPS, _FIXED_DOUBT)
        self._pfr = (self._pfr - gain_f * along_r) / _KEEPS
        self._prr = min((self._prr - gain_r * along_r) / _KEEPS, _ROW_DOUBT)
        bound = 0.99 * math.sqrt(self._pff * self._prr)
        self._pfr = min(max(self._pfr, -bound), bound)
