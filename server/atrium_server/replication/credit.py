"""How much each client may have outstanding: credit from acknowledged ticks. PURE.

Theory of operation
-------------------
What a kernel or a peer's buffer has swallowed is out of our hands: a client that stops reading takes
150 kB before a socket refuses anything, and then shows the past for seconds. So the client's
`ack_tick`, in every pose, is the credit. For each viewer we remember the bytes sent up to each of
the last CREDIT_RING_TICKS ticks; an ack turns into bytes acknowledged, and a snapshot is built only
while::

    sent - acked + one snapshot  <=  max(one snapshot, CREDIT_S * rate)

`rate` is what we believe the link carries. It starts low and grows by a quarter with each ack while
the acks come back without extra delay; when they come late (a queue is building up somewhere) it
falls to what was really delivered in the last half second. It never needs to exceed eight times what
we send. The delay is counted in ticks against the least one seen in the last ten seconds, so it needs
no clock of the client's.
"""

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

from atrium_server.replication.state import F64, I32, I64
from atrium_shared.limits import BYTES_PER_S_MAX, CREDIT_RING_TICKS, CREDIT_S

_RING = CREDIT_RING_TICKS
_RATE_START = 16_000.0
_RATE_MIN = 2_000.0
_QUEUE_S = 0.1
"""A round trip this much longer than the shortest one means a queue."""
_WINDOW_S = 0.5
_SHORTEST_S = 10.0


class Credit(NamedTuple):
    """By viewer."""

    sent: I64
    acked: I64
    acked_tick: I32
    last_size: I64
    """Bytes of the last snapshot sent."""
    ring_tick: I32
    ring_sent: I64
    rate: F64
    """Bytes per second that the link is believed to carry."""
    rate_max: F64
    """What the client declared."""
    round_trip: F64
    """Shortest seen in this period and in the one before, in seconds."""
    round_trip_before: F64
    round_trip_from: F64
    """When this period began."""
    window_from: F64
    window_acked: I64


def make_credit(viewers: int) -> Credit:
    return Credit(
        sent=np.zeros(viewers, np.int64), acked=np.zeros(viewers, np.int64),
        acked_tick=np.full(viewers, -1, np.int32), last_size=np.zeros(viewers, np.int64),
        ring_tick=np.full((viewers, _RING), -1, np.int32),
        ring_sent=np.zeros((viewers, _RING), np.int64),
        rate=np.full(viewers, _RATE_START), rate_max=np.full(viewers, _RATE_START),
        round_trip=np.full(viewers, np.inf), round_trip_before=np.full(viewers, np.inf),
        round_trip_from=np.zeros(viewers), window_from=np.zeros(viewers),
        window_acked=np.zeros(viewers, np.int64),
    )


@nb.njit(cache=True)
def reset_credit(credit: Credit, v, now, bytes_per_s):
    """A new client sits at `v`, who declared `bytes_per_s`."""
    credit.sent[v] = 0
    credit.acked[v] = 0
    credit.acked_tick[v] = -1
    credit.last_size[v] = 0
    credit.ring_tick[v, :] = -1
    credit.rate_max[v] = min(bytes_per_s, BYTES_PER_S_MAX)
    credit.rate[v] = min(_RATE_START, bytes_per_s)
    credit.round_trip[v] = np.inf
    credit.round_trip_before[v] = np.inf
    credit.round_trip_from[v] = now
    credit.window_from[v] = now
    credit.window_acked[v] = 0


@nb.njit(inline="always")
def _shortest(credit, v, sample, now):
    if now - credit.round_trip_from[v] > _SHORTEST_S:
        credit.round_trip_before[v] = credit.round_trip[v]
        credit.round_trip[v] = sample
        credit.round_trip_from[v] = now
    credit.round_trip[v] = min(credit.round_trip[v], sample)
    return min(credit.round_trip[v], credit.round_trip_before[v])


@nb.njit(cache=True)
def take_acks(credit: Credit, which, ticks, now, tick, tick_s):
    """Acks of the viewers `which` (-1 skips): `ticks[k]` is the newest tick that one decoded.

    Acks of ticks that were never sent, are too old or go backwards are ignored.
    """
    for k in range(which.shape[0]):
        v = which[k]
        acked_tick = np.int64(ticks[k])
        if v < 0 or acked_tick > tick or acked_tick <= credit.acked_tick[v]:
            continue
        at = acked_tick % _RING
        if credit.ring_tick[v, at] != acked_tick:
            continue
        credit.acked_tick[v] = acked_tick
        credit.acked[v] = credit.ring_sent[v, at]
        sample = (tick - acked_tick) * tick_s
        delay = sample - _shortest(credit, v, sample, now)
        elapsed = now - credit.window_from[v]
        if delay <= _QUEUE_S:
            useful = 8.0 * credit.last_size[v] / tick_s
            ceiling = min(credit.rate_max[v], max(useful, _RATE_START))
            credit.rate[v] = max(credit.rate[v], min(credit.rate[v] * 1.25, ceiling))
        elif elapsed >= _WINDOW_S:
            delivered = (credit.acked[v] - credit.window_acked[v]) / elapsed
            credit.rate[v] = max(min(credit.rate[v], delivered), _RATE_MIN)
        if elapsed >= _WINDOW_S:
            credit.window_from[v] = now
            credit.window_acked[v] = credit.acked[v]


@nb.njit(cache=True)
def has_credit(credit: Credit, which, answers):
    """`answers[k]` = 1 where viewer `which[k]` may be sent another snapshot."""
    for k in range(which.shape[0]):
        v = which[k]
        outstanding = credit.sent[v] - credit.acked[v]
        expected = outstanding + credit.last_size[v]
        answers[k] = expected <= max(credit.last_size[v], CREDIT_S * credit.rate[v])


@nb.njit(cache=True)
def note_sent(credit: Credit, which, lengths, accepted, tick):
    """Snapshots (and what went before them in the same send) were accepted for `which`."""
    for k in range(which.shape[0]):
        if accepted[k] == 0:
            continue
        v = which[k]
        credit.sent[v] += lengths[k]
        credit.last_size[v] = lengths[k]
        credit.ring_tick[v, tick % _RING] = tick
        credit.ring_sent[v, tick % _RING] = credit.sent[v]
