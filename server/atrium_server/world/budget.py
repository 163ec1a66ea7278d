"""How much may be published in a second: budgets that remember their debts. PURE.

A budget is one integer: the moment up to which all that was taken is paid, in ticks times bytes
per second. Time pays by passing, so nothing has to be done in ticks in which nobody takes. One tick
may take what one tick pays, or begin to: whatever it takes beyond that is debt, and until time has
paid it there is no room. Hence in any span of time a budget gives what the span pays, one tick's
worth and one overdraft, however large what is taken at once and however short the ticks.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Budget:
    """So many bytes per second of world time."""

    bytes_per_s: int
    tick_rate_hz: int
    paid_to: int = 0

    def has_room(self, tick: int) -> bool:
        """Whether something may be taken in this tick, of whatever size."""
        return self.paid_to < (tick + 1) * self.bytes_per_s

    def take(self, tick: int, size_bytes: int) -> None:
        """Take what there is room for, or more: then the rest is debt."""
        now = tick * self.bytes_per_s
        self.paid_to = max(self.paid_to, now) + size_bytes * self.tick_rate_hz
