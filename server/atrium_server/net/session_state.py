"""The states of a session and what may be said in each. PURE.

::

    HELLO --hello--> AUTH --identity known--> JOINING --welcome--> ACTIVE --> CLOSING
                                                 ^----- travel ------'

What is not in the table is a protocol error by itself: no handler has to check. Poses and acks that
were under way during a `travel` are legal in JOINING and mean nothing.
"""

from __future__ import annotations

import enum

from atrium_shared import limits
from atrium_shared import messages as m
from atrium_shared.errors import ErrorCode, ProtocolError


class SessionState(enum.Enum):
    HELLO = "hello"
    AUTH = "auth"
    JOINING = "joining"
    ACTIVE = "active"
    CLOSING = "closing"


_ALWAYS: frozenset[type[m.Message]] = frozenset({m.ClockPing, m.Bye})

ALLOWED: dict[SessionState, frozenset[type[m.Message]]] = {
    SessionState.HELLO: frozenset({m.Hello}),
    SessionState.AUTH: _ALWAYS,
    SessionState.JOINING: _ALWAYS | {m.Pose, m.Ack},
    SessionState.ACTIVE: _ALWAYS | {
        m.Pose, m.Ack, m.ChatSubmit, m.EmoteSubmit, m.Teleport, m.Travel, m.EditSubmit, m.Grab,
        m.Release, m.AvatarSubmit, m.Sit, m.Relate, m.Report, m.SafeZone, m.MarkerSubmit,
        m.RtcSignal, m.VoiceSet, m.Drag,
    },
    # What the peer sent before it saw our close is nobody's fault.
    SessionState.CLOSING: frozenset(m.CLIENT_MESSAGES),
}


def check(state: SessionState, message: m.Message) -> None:
    """Raises ProtocolError(UNEXPECTED) unless `message` may be said in `state`."""
    if type(message) not in ALLOWED[state]:
        raise ProtocolError(
            ErrorCode.UNEXPECTED,
            f"{type(message).__name__} may not be sent in the state {state.value}",
        )


class Bucket:
    """A token bucket: `rate` per second, at most `burst` saved up."""

    __slots__ = ("_burst", "_rate", "_tokens", "_when")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._when = burst, now

    def empty(self) -> None:
        """Forget what was saved up."""
        self._tokens = 0.0

    def take(self, now: float) -> bool:
        """Take one token; False when there is none."""
        self._tokens = min(self._burst, self._tokens + (now - self._when) * self._rate)
        self._when = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


_RATES: dict[type[m.Message], tuple[float, float]] = {
    m.ChatSubmit: (limits.CHAT_PER_S_MAX, limits.CHAT_BURST_MAX),
    m.EmoteSubmit: (limits.EMOTE_PER_S_MAX, limits.EMOTE_BURST_MAX),
    m.Teleport: (limits.REQUEST_PER_S_MAX, limits.REQUEST_BURST_MAX),
    m.Travel: (limits.REQUEST_PER_S_MAX, limits.REQUEST_BURST_MAX),
    m.ClockPing: (limits.CLOCK_PER_S_MAX, limits.CLOCK_BURST_MAX),
    m.Grab: (limits.GRAB_PER_S_MAX, limits.GRAB_BURST_MAX),
    m.Drag: (limits.DRAG_PER_S_MAX, limits.DRAG_BURST_MAX),
    m.EditSubmit: (limits.EDIT_PER_S_MAX, limits.EDIT_BURST_MAX),
    m.AvatarSubmit: (limits.REQUEST_PER_S_MAX, limits.REQUEST_BURST_MAX),
    m.Sit: (limits.REQUEST_PER_S_MAX, limits.REQUEST_BURST_MAX),
    m.Relate: (limits.REQUEST_PER_S_MAX, limits.REQUEST_BURST_MAX),
    m.Report: (limits.REPORT_PER_S_MAX, limits.REPORT_BURST_MAX),
    m.SafeZone: (limits.REQUEST_PER_S_MAX, limits.REQUEST_BURST_MAX),
    m.MarkerSubmit: (limits.EMOTE_PER_S_MAX, limits.EMOTE_BURST_MAX),
    m.VoiceSet: (limits.REQUEST_PER_S_MAX, limits.REQUEST_BURST_MAX),
    m.RtcSignal: (limits.SIGNAL_PER_S_MAX, limits.SIGNAL_BURST_MAX),
}

_COUNTED_AS: dict[type[m.Message], type[m.Message]] = {
    m.Release: m.EditSubmit,
}


class Rates:
    """What one session may still say, by class and in all. Buckets are made when first needed."""

    __slots__ = ("_all", "_buckets")

    def __init__(self, now: float) -> None:
        self._all = Bucket(limits.MESSAGES_PER_S_MAX, limits.MESSAGES_BURST_MAX, now)
        self._buckets: dict[type[m.Message], Bucket] | None = None

    def take_frame(self, now: float) -> None:
        """Count one frame of any kind, control frames included.

        Raises ProtocolError(TOO_FAST) when the session is over its rate as a whole.
        """
        if not self._all.take(now):
            raise ProtocolError(
                ErrorCode.TOO_FAST,
                f"more than {limits.MESSAGES_PER_S_MAX} messages a second",
            )

    def take(self, kind: type[m.Message], now: float) -> bool:
        """Count one message; False when its class is over its rate."""
        kind = _COUNTED_AS.get(kind, kind)
        return kind not in _RATES or self._bucket(kind, now).take(now)

    def forget_bursts(self, now: float) -> None:
        """The session is older than this link: what others hear of it has had its bursts, or links
        that break at will would give a new one each time.
        """
        for kind in (m.ChatSubmit, m.EmoteSubmit, m.MarkerSubmit, m.Report, m.Drag):
            self._bucket(kind, now).empty()

    def _bucket(self, kind: type[m.Message], now: float) -> Bucket:
        if self._buckets is None:
            self._buckets = {}
        bucket = self._buckets.get(kind)
        if bucket is None:
            bucket = self._buckets[kind] = Bucket(*_RATES[kind], now)
        return bucket
