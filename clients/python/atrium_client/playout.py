"""Which moment to show: the server's now, less a delay that follows the link. Pure.

A snapshot's *lateness* is the server's time at which it arrived here less the time that it
carries: the way it travelled, and whatever held it up. Rendering at `now - delay` is smooth when
the snapshot that follows that moment has nearly always arrived, so the delay is the lateness that
95 % of the last snapshots kept, plus one tick. It is changed by at most RATE seconds per second:
motion then runs a little slower or faster for a moment, which nobody sees, but never jumps.
"""

from __future__ import annotations

import math
from collections import deque

WINDOW = 64
SHARE = 0.95
RATE = 0.1
DELAY_S_MAX = 0.5


class Playout:
    """Estimates the delay and gives render times that never run backwards."""

    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._lateness_s: deque[float] = deque(maxlen=WINDOW)
        self._delay_s = min(DELAY_S_MAX, 3 * tick_s)
        self._at_s: float | None = None
        self._shown_s = -math.inf

    @property
    def delay_s(self) -> float:
        """Seconds between the server's now and what is shown."""
        return self._delay_s

    def take(self, snapshot_s: float, server_now_s: float) -> None:
        """A snapshot of the server time `snapshot_s` has arrived."""
        self._lateness_s.append(server_now_s - snapshot_s)
        ordered = sorted(self._lateness_s)
        late_s = ordered[math.ceil(SHARE * len(ordered)) - 1]
        target_s = min(DELAY_S_MAX, max(self._tick_s, late_s + self._tick_s))
        if self._at_s is None:
            self._delay_s = target_s
        else:
            most = RATE * max(0.0, server_now_s - self._at_s)
            self._delay_s += min(most, max(-most, target_s - self._delay_s))
        self._at_s = server_now_s

    def render_s(self, server_now_s: float) -> float:
        """The moment to show now, in server seconds."""
        self._shown_s = max(self._shown_s, server_now_s - self._delay_s)
        return self._shown_s
