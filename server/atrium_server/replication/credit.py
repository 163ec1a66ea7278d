"""How much each client may have outstanding: credit from acknowledged ticks. PURE.

Theory of operation
-------------------
What a kernel or a peer's buffer has swallowed is out of our hands: a client that stops reading
takes 150 kB before a socket refuses anything, and then shows the past for seconds. So the client's
`ack_tick`, in every pose, is the credit. For each viewer we remember the bytes sent up to each of
the last CREDIT_RING_TICKS ticks; an ack turns into bytes acknowledged, and a snapshot is built only
while::

    sent - acked + one snapshot  <=  max(one snapshot, CREDIT_S * rate)

`rate` is what we believe the link carries; nothing is sent faster. It is found as follows.

*Delay.* An ack's age in ticks is a round trip; what it exceeds the shortest one by is time spent in
a queue. A snapshot that was sent with (nearly) nothing outstanding waits in no queue of ours: when
the round trips of two such, one after the other, are longer than the shortest one known, the route
has changed, and they count from now on.

*Windows.* The rate is judged every `_WINDOW_S` by the delays of the last two acks of snapshots that
were sent in it.

- Both more than `_QUEUE_S`: the link is full. The rate becomes a little less than what was
  delivered, so that the queue drains, but at most half of it is given up at once: a stall is not a
  slow link.
- Both not even half of that, and the rate mattered (three quarters of it were delivered, or a
  snapshot had to wait for credit): more is tried. The rate grows by a half until the first queue is
  met, and by a twelfth from then on.

So a rate is believed at most twice as high as what was tried. While a link of undeclared speed is
being found out (and after a stall, whose backlog may come at once) it may have up to 0.6 s of
itself outstanding for a moment, and up to 0.4 s later on; a declared rate is never exceeded. Acks
cannot tell who shares the link: a queue of others slows us down as well.

*Lies.* An ack of a tick that was not sent to this viewer, or is older than the newest ack, is
ignored. Who claims ticks that are still on their way fills only its own socket, which then refuses.
"""

# Kernels are compiled for the types they are called with; pyright would want annotations that
# numba does not read.
# pyright: reportMissingParameterType=false, reportUnknownParameterType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedFunctionDecorator=false

from __future__ import annotations

from typing import NamedTuple

import numba as nb
import numpy as np

from atrium_server.replication.state import F64, I32, I64, U8
from atrium_shared.limits import BYTES_PER_S_MAX, CREDIT_RING_TICKS, CREDIT_S

RATE_START = 8_000.0
RATE_MIN = 2_000.0
"""No queue makes it less; its credit is what counts as nearly nothing."""
_RING = CREDIT_RING_TICKS
_WINDOW_S = 0.25
_QUEUE_S = 0.1
_DRAIN, _GIVE_UP_MAX = 0.85, 0.5
_TRIED = 0.75
_SEARCH, _PROBE = 1.5, 13.0 / 12.0
_NONE = 1 << 30


class Credit(NamedTuple):
    """By viewer."""

    sent: I64
    acked: I64
    acked_tick: I32
    last_size: I64
    """Bytes of the last snapshot sent."""
    ring_tick: I32
    ring_sent: I64
    ring_clear: U8
    """1 where (nearly) nothing else was outstanding when the snapshot of that tick was sent."""
    rate: F64
    """Bytes per second that the link is believed to carry."""
    rate_max: F64
    """What the client declared."""
    searching: U8
    """1 until the first queue is met."""
    round_trip: I32
    """Shortest one in ticks."""
    late_tick: I32
    """When a late ack came that no queue of ours explains."""
    window_tick: I32
    """When the present window began."""
    window_acked: I64
    """Bytes that were acknowledged by then."""
    last_delay: I32
    """Delay in ticks of the newest acknowledged snapshot of this window."""
    refused: U8
    """1 when a snapshot was refused for want of credit in this window."""


def make_credit(viewers: int) -> Credit:
    return Credit(
        sent=np.zeros(viewers, np.int64), acked=np.zeros(viewers, np.int64),
        acked_tick=np.full(viewers, -1, np.int32), last_size=np.zeros(viewers, np.int64),
        ring_tick=np.full((viewers, _RING), -1, np.int32),
        ring_sent=np.zeros((viewers, _RING), np.int64),
        ring_clear=np.zeros((viewers, _RING), np.uint8),
        rate=np.full(viewers, RATE_START), rate_max=np.full(viewers, RATE_START),
        searching=np.ones(viewers, np.uint8), round_trip=np.full(viewers, _NONE, np.int32),
        late_tick=np.full(viewers, _NONE, np.int32),
        window_tick=np.zeros(viewers, np.int32), window_acked=np.zeros(viewers, np.int64),
        last_delay=np.full(viewers, _NONE, np.int32), refused=np.zeros(viewers, np.uint8),
    )


@nb.njit(cache=True)
def reset_credit(credit: Credit, v, tick, bytes_per_s):
    """A new client sits at `v`, who declared `bytes_per_s`."""
    credit.sent[v] = 0
    credit.acked[v] = 0
    credit.acked_tick[v] = -1
    credit.last_size[v] = 0
    credit.ring_tick[v, :] = -1
    credit.rate_max[v] = min(bytes_per_s, BYTES_PER_S_MAX)
    credit.rate[v] = min(RATE_START, bytes_per_s)
    credit.searching[v] = 1
    credit.round_trip[v] = credit.late_tick[v] = _NONE
    _open_window(credit, v, tick)


@nb.njit(inline="always")
def _open_window(credit, v, tick):
    credit.window_tick[v] = tick
    credit.window_acked[v] = credit.acked[v]
    credit.last_delay[v] = _NONE
    credit.refused[v] = 0


@nb.njit(inline="always")
def _judge(credit, v, elapsed_s, delay, queue_ticks):
    """Set the rate by what the window has shown."""
    delivered = (credit.acked[v] - credit.window_acked[v]) / elapsed_s
    rate = credit.rate[v]
    last = credit.last_delay[v]
    if min(delay, last) > queue_ticks:
        credit.searching[v] = 0
        drained = _DRAIN * min(rate, delivered)
        credit.rate[v] = max(drained, _GIVE_UP_MAX * rate, min(RATE_MIN, rate))
    elif 2 * max(delay, last) <= queue_ticks and (
        credit.refused[v] or delivered >= _TRIED * rate
    ):
        factor = _SEARCH if credit.searching[v] else _PROBE
        credit.rate[v] = min(rate * factor, credit.rate_max[v])


@nb.njit(inline="always")
def _note_route(v, age, acked_tick, tick, queue_ticks, is_clear, round_trip, late_tick, searching):
    """Take a longer round trip for the shortest one when nothing of ours can explain it.

    A stall makes one late as well: only a second one, sent after the first came back, is a route.
    """
    if age - round_trip[v] <= queue_ticks:
        late_tick[v] = _NONE
    elif is_clear and acked_tick >= late_tick[v]:
        round_trip[v] = age
        searching[v] = 1
        late_tick[v] = _NONE
    elif is_clear and late_tick[v] == _NONE:
        late_tick[v] = tick
    round_trip[v] = min(round_trip[v], age)


@nb.njit(cache=True)
def take_acks(credit: Credit, which, ticks, tick, tick_s):
    """Acks of the viewers `which` (-1 skips): `ticks[k]` is the newest tick that one decoded.

    `tick` is the newest tick of the world. Acks of ticks that were never sent, are too old or go
    backwards are ignored.
    """
    queue_ticks = max(2, int(np.ceil(_QUEUE_S / tick_s - 1e-6)))
    window_ticks = max(2, int(np.ceil(_WINDOW_S / tick_s - 1e-6)))
    # The tuple is taken apart once: handing it to a call for each ack would count 15 references.
    newest, acked, ring_tick = credit.acked_tick, credit.acked, credit.ring_tick
    ring_sent, ring_clear, round_trip = credit.ring_sent, credit.ring_clear, credit.round_trip
    late_tick, searching = credit.late_tick, credit.searching
    window_tick, last_delay = credit.window_tick, credit.last_delay
    for k in range(which.shape[0]):
        v = which[k]
        acked_tick = np.int64(ticks[k])
        if v < 0 or acked_tick > tick or acked_tick <= newest[v]:
            continue
        at = acked_tick % _RING
        if ring_tick[v, at] != acked_tick:
            continue
        age = tick - acked_tick
        _note_route(v, age, acked_tick, tick, queue_ticks, ring_clear[v, at], round_trip, late_tick,
                    searching)
        newest[v] = acked_tick
        acked[v] = ring_sent[v, at]
        if acked_tick < window_tick[v]:
            continue
        delay = age - round_trip[v]
        elapsed = tick - window_tick[v]
        if elapsed >= window_ticks and last_delay[v] < _NONE:
            _judge(credit, v, elapsed * tick_s, delay, queue_ticks)
            _open_window(credit, v, tick)
        else:
            last_delay[v] = delay


@nb.njit(cache=True)
def has_credit(credit: Credit, which, answers):
    """`answers[k]` = 1 where viewer `which[k]` may be sent another snapshot."""
    for k in range(which.shape[0]):
        v = which[k]
        outstanding = credit.sent[v] - credit.acked[v]
        expected = outstanding + credit.last_size[v]
        answers[k] = expected <= max(credit.last_size[v], CREDIT_S * credit.rate[v])
        if not answers[k]:
            credit.refused[v] = 1


@nb.njit(cache=True)
def note_sent(credit: Credit, which, lengths, accepted, tick):
    """Snapshots (and what went before them in the same send) were accepted for `which`."""
    for k in range(which.shape[0]):
        if accepted[k] == 0:
            continue
        v = which[k]
        at = tick % _RING
        credit.sent[v] += lengths[k]
        credit.ring_clear[v, at] = credit.sent[v] - credit.acked[v] <= CREDIT_S * RATE_MIN
        credit.last_size[v] = lengths[k]
        credit.ring_tick[v, at] = tick
        credit.ring_sent[v, at] = credit.sent[v]
