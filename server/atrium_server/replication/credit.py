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

from atrium_server.jit import kernel
from atrium_server.replication.state import Rows
from atrium_shared.limits import (
    BANDWIDTH_SHARE,
    BYTES_PER_S_MAX,
    CREDIT_RING_TICKS,
    CREDIT_S,
    OUTGOING_BYTES_MAX,
)

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


CREDIT = np.dtype([
    ("sent", np.int64),
    ("acked", np.int64),
    ("window_acked", np.int64),  # bytes that were acknowledged when the window began
    ("rate", np.float64),  # bytes per second that the link is believed to carry
    ("rate_max", np.float64),  # what the client declared
    ("last_size", np.int32),  # bytes of the last snapshot sent
    ("acked_tick", np.int32),
    ("round_trip", np.int32),  # shortest one in ticks
    ("late_tick", np.int32),  # when a late ack came that no queue of ours explains
    ("window_tick", np.int32),  # when the present window began
    ("last_delay", np.int32),  # in ticks, of the window's newest acknowledged snapshot
    ("searching", np.uint8),  # 1 until the first queue is met
    ("refused", np.uint8),  # 1 when credit was wanting for a snapshot of this window
], align=True)
SENT = np.dtype([
    ("bytes", np.int64),  # all bytes sent up to and with that tick
    ("tick", np.int32),
    ("clear", np.int32),  # 1 where (nearly) nothing else was outstanding then
])


class Credit(NamedTuple):
    """One row for each viewer, and what was sent to whom in the last ticks."""

    rows: Rows
    """(viewers,) of CREDIT."""
    ring: Rows
    """(CREDIT_RING_TICKS, viewers) of SENT; what one tick writes lies together."""


def make_credit(viewers: int) -> Credit:
    rows, ring = np.zeros(viewers, CREDIT), np.zeros((_RING, viewers), SENT)
    rows["acked_tick"] = ring["tick"] = -1
    rows["rate"] = rows["rate_max"] = RATE_START
    rows["searching"] = 1
    rows["round_trip"] = rows["late_tick"] = rows["last_delay"] = _NONE
    return Credit(rows, ring)


def reset_credit(credit: Credit, v: int, tick: int, bytes_per_s: float) -> None:
    """A new client sits at `v`, who declared `bytes_per_s`."""
    row = credit.rows[v]
    row["sent"] = row["acked"] = row["window_acked"] = row["last_size"] = 0
    row["acked_tick"] = -1
    row["rate_max"] = min(bytes_per_s, BYTES_PER_S_MAX)
    row["rate"] = min(RATE_START, bytes_per_s)
    row["searching"], row["refused"] = 1, 0
    row["round_trip"] = row["late_tick"] = row["last_delay"] = _NONE
    row["window_tick"] = tick
    credit.ring["tick"][:, v] = -1


@nb.njit(inline="always")
def burst(bytes_per_tick):
    """Most tokens that can be saved up, and most that can be owed."""
    return max(4 * bytes_per_tick, np.float32(1024))


@nb.njit(inline="always")
def _judge(row, elapsed_s, delay, queue_ticks):
    """Set the rate by what the window has shown."""
    delivered = (row.acked - row.window_acked) / elapsed_s
    rate = row.rate
    last = row.last_delay
    if min(delay, last) > queue_ticks:
        row.searching = 0
        drained = _DRAIN * min(rate, delivered)
        row.rate = max(drained, _GIVE_UP_MAX * rate, min(RATE_MIN, rate))
    elif 2 * max(delay, last) <= queue_ticks and (row.refused or delivered >= _TRIED * rate):
        row.rate = min(rate * (_SEARCH if row.searching else _PROBE), row.rate_max)


@nb.njit(inline="always")
def _note_route(row, age, acked_tick, tick, queue_ticks, is_clear):
    """Take a longer round trip for the shortest one when nothing of ours can explain it.

    A stall makes one late as well: only a second one, sent after the first came back, is a route.
    """
    if age - row.round_trip <= queue_ticks:
        row.late_tick = _NONE
    elif is_clear and acked_tick >= row.late_tick:
        row.round_trip = age
        row.searching = 1
        row.late_tick = _NONE
    elif is_clear and row.late_tick == _NONE:
        row.late_tick = tick
    row.round_trip = min(row.round_trip, age)


@kernel()
def take_acks(rows, ring, which, ticks, tick, tick_s):
    """Acks of the viewers `which` (-1 skips): `ticks[k]` is the newest tick that one decoded.

    `tick` is the newest tick of the world. Acks of ticks that were never sent, are too old or go
    backwards are ignored.
    """
    queue_ticks = max(2, int(np.ceil(_QUEUE_S / tick_s - 1e-6)))
    window_ticks = max(2, int(np.ceil(_WINDOW_S / tick_s - 1e-6)))
    for k in range(which.shape[0]):
        v = which[k]
        acked_tick = np.int64(ticks[k])
        if v < 0 or acked_tick > tick:
            continue
        row = rows[v]
        if acked_tick <= row.acked_tick:
            continue
        sent = ring[acked_tick % _RING, v]
        if sent.tick != acked_tick:
            continue
        age = tick - acked_tick
        _note_route(row, age, acked_tick, tick, queue_ticks, sent.clear)
        row.acked_tick = acked_tick
        row.acked = sent.bytes
        if acked_tick < row.window_tick:
            continue
        delay = age - row.round_trip
        elapsed = tick - row.window_tick
        if elapsed >= window_ticks and row.last_delay < _NONE:
            _judge(row, elapsed * tick_s, delay, queue_ticks)
            row.window_tick = tick
            row.window_acked = row.acked
            row.last_delay = _NONE
            row.refused = 0
        else:
            row.last_delay = delay


@kernel()
def has_credit(rows, viewers, which, tick_s, answers, room):
    """`answers[k]` becomes whether viewer `which[k]` may be sent another snapshot.

    `room[k]` becomes how many bytes may go before it: what its credit leaves. The income of
    `viewers` (rows of VIEWER) follows the rate that is believed.
    """
    for k in range(which.shape[0]):
        row = rows[which[k]]
        share = min(row.rate, BANDWIDTH_SHARE * row.rate_max)
        viewers[which[k]].bytes_per_tick = np.float32(share * tick_s)
        credit = CREDIT_S * row.rate
        expected = row.sent - row.acked + row.last_size
        answers[k] = expected <= max(np.float64(row.last_size), credit)
        if not answers[k]:
            row.refused = 1
        room[k] = np.int32(min(max(credit - expected, 0.0), OUTGOING_BYTES_MAX))


@kernel()
def note_sent(rows, ring, viewers, which, lengths, accepted, tick):
    """Snapshots (and what went before them in the same send) were accepted for `which`.

    Their bytes leave the tokens of `viewers` (rows of VIEWER). Reliable messages count as well,
    but a long one must not silence the avatars for long.
    """
    for k in range(which.shape[0]):
        if accepted[k] == 0:
            continue
        row, viewer = rows[which[k]], viewers[which[k]]
        row.sent += lengths[k]
        row.last_size = lengths[k]
        sent = ring[tick % _RING, which[k]]
        sent.bytes = row.sent
        sent.tick = tick
        sent.clear = row.sent - row.acked <= CREDIT_S * RATE_MIN
        debt = -burst(viewer.bytes_per_tick)
        viewer.tokens = max(viewer.tokens - np.float32(lengths[k]), debt)
