"""The server's clock as seen from here. Pure: local time enters as an argument.

Theory of operation
-------------------
Each `ClockPing` carries the local time t0; the pong brings it back with the server's time ts and
arrives at t1. If both ways took equally long, the server's clock was `ts` at `(t0 + t1) / 2`.
Queues only ever make one way longer, so among the last pings the one with the shortest round trip
errs least: its offset is taken. Samples older than `SAMPLE_S_MAX` are dropped, because crystals
drift. A new estimate is not jumped to but approached at `SLEW` seconds per second, so that time
neither stands still nor runs backwards for those who render by it; only a difference above
`STEP_S` (the first estimate, a machine that slept) is taken at once.

Server times on the wire are milliseconds modulo 2**32, which wrap after 49.7 days: `Extended`
continues the count beyond that.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

SAMPLES_MAX = 8
SAMPLE_S_MAX = 60.0
PINGS_OUTSTANDING_MAX = 8
SLEW = 0.05
STEP_S = 0.25
_WRAP = 2**32


class Extended:
    """Continues a 32-bit counter past its wrap, given steps of less than half its range."""

    def __init__(self) -> None:
        self._last: int | None = None

    def take(self, value: int) -> int:
        """The count that `value` stands for, nearest to the one before it."""
        if self._last is None:
            self._last = value
        else:
            step = (value - self._last) % _WRAP
            self._last += step if step < _WRAP // 2 else step - _WRAP
        return self._last


@dataclass(frozen=True, slots=True)
class _Sample:
    offset_s: float
    rtt_s: float
    at_s: float


class ServerClock:
    """Estimates the server's time from pings and pongs."""

    def __init__(self) -> None:
        self._server_ms = Extended()
        self._sent: dict[int, float] = {}
        self._samples: deque[_Sample] = deque(maxlen=SAMPLES_MAX)
        self._offset_s = 0.0
        self._target_s = 0.0
        self._at_s = 0.0

    @property
    def synced(self) -> bool:
        """Whether at least one pong has come; before that the welcome's time is a first guess."""
        return bool(self._samples)

    @property
    def rtt_s(self) -> float | None:
        """Shortest round trip among the samples in use; None before the first pong."""
        return min((sample.rtt_s for sample in self._samples), default=None)

    def guess(self, server_ms: int, now_s: float) -> None:
        """First estimate, from a welcome: too early by the time that it travelled."""
        self._offset_s = self._target_s = self.seconds(server_ms) - now_s
        self._at_s = now_s

    def seconds(self, server_ms: int) -> float:
        """A server time of the wire as seconds that never wrap."""
        return self._server_ms.take(server_ms) / 1000

    def ping(self, now_s: float) -> int:
        """The `client_ms` of a ping that is sent now."""
        while len(self._sent) >= PINGS_OUTSTANDING_MAX:
            del self._sent[next(iter(self._sent))]
        client_ms = round(now_s * 1000) % _WRAP
        self._sent[client_ms] = now_s
        return client_ms

    def pong(self, client_ms: int, server_ms: int, now_s: float) -> bool:
        """Take an answer; False when no ping of ours is behind it."""
        sent_s = self._sent.pop(client_ms, None)
        if sent_s is None:
            return False
        first = not self._samples
        offset_s = self.seconds(server_ms) - (sent_s + now_s) / 2
        self._samples.append(_Sample(offset_s, now_s - sent_s, now_s))
        while now_s - self._samples[0].at_s > SAMPLE_S_MAX:
            self._samples.popleft()
        best = min(self._samples, key=lambda sample: sample.rtt_s)
        self._offset_s, self._at_s = self._applied(now_s), now_s
        self._target_s = best.offset_s
        if first or abs(self._target_s - self._offset_s) > STEP_S:
            self._offset_s = self._target_s
        return True

    def now(self, now_s: float) -> float:
        """The server's time in seconds at the local time `now_s`."""
        return now_s + self._applied(now_s)

    def _applied(self, now_s: float) -> float:
        most = SLEW * max(0.0, now_s - self._at_s)
        return self._offset_s + min(most, max(-most, self._target_s - self._offset_s))
