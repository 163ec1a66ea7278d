"""How much an app may still ask: so many rows a minute, and so many a day. PURE.

A minute's rows are a bucket that fills evenly and holds one minute's worth, so an app that was
quiet may send a batch at once. A day is a window of 24 hours that begins with the first row; both
are counted by this process since its start, because what counts is the load on this server.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DAY_S: Final = 86_400.0
MINUTE_S: Final = 60.0


@dataclass(slots=True)
class Quota:
    """That of one key."""

    rows_per_minute: int
    rows_per_day: int
    left: float
    """Rows in the bucket."""
    at_s: float
    """When that was so."""
    day_began_s: float
    day_rows: int = 0

    @classmethod
    def full(cls, rows_per_minute: int, rows_per_day: int, now_s: float) -> Quota:
        """Of a key that has asked nothing yet."""
        return cls(rows_per_minute, rows_per_day, float(rows_per_minute), now_s, now_s)

    def take(self, rows: int, now_s: float) -> float:
        """Take so many rows; 0 if they may be asked, else seconds until they may, and none is
        taken. Infinity for more rows than ever may be asked at once.
        """
        self._pass(now_s)
        if rows > self.rows_per_minute:
            return float("inf")
        if self.day_rows + rows > self.rows_per_day:
            return max(self.day_began_s + DAY_S - now_s, 1.0)
        if rows > self.left:
            return max((rows - self.left) * MINUTE_S / self.rows_per_minute, 0.001)
        self.left -= rows
        self.day_rows += rows
        return 0.0

    def give_back(self, rows: int) -> None:
        """Rows that were taken and not answered."""
        self.left = min(self.left + rows, float(self.rows_per_minute))
        self.day_rows = max(self.day_rows - rows, 0)

    def _pass(self, now_s: float) -> None:
        passed_s = max(now_s - self.at_s, 0.0)
        self.left = min(
            self.left + passed_s * self.rows_per_minute / MINUTE_S, float(self.rows_per_minute)
        )
        self.at_s = max(self.at_s, now_s)
        if now_s >= self.day_began_s + DAY_S:
            self.day_began_s, self.day_rows = now_s, 0
