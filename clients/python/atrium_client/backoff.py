"""How long to wait before each new attempt to reach a server. Pure.

Delays double up to a cap. Each is shortened by a random part, so that the clients of a server
that restarts do not all come back in the same instant; the seed makes a run repeatable.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

START_S_MAX: Final = 10.0
"""What a server may need to start, before the time of its seats begins to run."""


@dataclass(frozen=True, slots=True)
class ReconnectPolicy:
    """When to try again after a lost link, and when to stop."""

    first_s: float = 0.2
    cap_s: float = 5.0
    jitter: float = 0.5
    """Part of each delay that is left to chance, 0 to 1."""
    give_up_s: float | None = None
    """Seconds without a link after which the session is given up. None: when the server has given
    up the seat (`Welcome.resume_s`), and START_S_MAX later, for a server that is started anew."""
    rejoin: bool = False
    """Join anew when the seat is gone, instead of ending the session."""
    seed: int | None = None
    """None takes a seed from the operating system."""

    def __post_init__(self) -> None:
        if not 0 < self.first_s <= self.cap_s:
            raise ValueError("first_s must be positive and not above cap_s")
        if not 0 <= self.jitter <= 1:
            raise ValueError("jitter must lie between 0 and 1")
        if self.give_up_s is not None and self.give_up_s < 0:
            raise ValueError("give_up_s must not be negative")

    def patience_s(self, resume_s: float) -> float:
        """How long to try, when the server keeps the seat for `resume_s`."""
        return resume_s + START_S_MAX if self.give_up_s is None else self.give_up_s

    def delays_s(self, draw: random.Random) -> Iterator[float]:
        """Endless: seconds to wait before the first, second, ... new attempt."""
        delay_s = self.first_s
        while True:
            yield delay_s * (1 - self.jitter * draw.random())
            delay_s = min(self.cap_s, 2 * delay_s)
