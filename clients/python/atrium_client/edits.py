"""What we have asked to be done to props, until its fate is known. Pure.

Theory of operation
-------------------
An edit waits here from the moment that it is asked for until the server says DURABLE, REVERTED or
REFUSED. Those that wait are kept in the order of their request ids, with their bytes. After each
resume all of them are asked again, with the same ids: the server does each at most once, says what
became of those that it has done, and does those that a crash has swallowed. Only when the session
itself is gone can nobody tell any more (`lost`).

*Pace.* The server takes EDIT_PER_S_MAX edits, grabs and releases a second, and EDIT_BURST_MAX at
once, but none at once after a resume. `next` keeps to less than that, so that none is refused for
coming too fast; edits are asked one after the other, in their order.

*An edit that is asked again and then refused for coming too fast* has a fate that this answer does
not tell. It is asked again, AGAIN_MAX times at most.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from atrium_client import events
from atrium_client.events import Event
from atrium_shared.errors import ErrorCode, RequestRefused
from atrium_shared.limits import EDIT_BURST_MAX, EDIT_PER_S_MAX, EDITS_UNANSWERED_MAX
from atrium_shared.messages import EditState, EditStatus

ASKED_PER_S: Final = 0.9 * EDIT_PER_S_MAX
"""Less than the server takes, for clocks are not equally fast."""
AGAIN_MAX: Final = 8
_ROUNDING: Final = 1e-6
"""So that who has waited for as long as was said finds it to be time."""


@dataclass(slots=True)
class _Waiting:
    data: bytes
    times: int = 0
    """How often it was asked for."""
    state: EditState | None = None


class Edits:
    """The edits of one session that wait for their last answer."""

    def __init__(self) -> None:
        self._waiting: dict[int, _Waiting] = {}
        """By request id, and so in the order in which they were asked for."""
        self._to_ask: deque[int] = deque()
        self._tokens = float(EDIT_BURST_MAX)
        self._at_s = 0.0
        self._not_before_s = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def needs_room(self) -> None:
        """Raises RequestRefused when one more may not wait."""
        if len(self._waiting) >= EDITS_UNANSWERED_MAX:
            raise RequestRefused(
                ErrorCode.RATE_LIMITED,
                f"{EDITS_UNANSWERED_MAX} edits wait to be saved; wait for some of them.",
            )

    def add(self, request_id: int, data: bytes) -> None:
        """An edit is wanted; `next` will say when. There must be room, and ids must rise."""
        assert len(self._waiting) < EDITS_UNANSWERED_MAX
        self._waiting[request_id] = _Waiting(data)
        self._to_ask.append(request_id)

    # --- asking --------------------------------------------------------------------------

    @property
    def is_asking(self) -> bool:
        """Whether some are still to be asked for."""
        return bool(self._to_ask)

    def wait_s(self, now_s: float) -> float | None:
        """How long until `next` has something; None when there is nothing to ask."""
        if not self._to_ask:
            return None
        self._refill(now_s)
        missing = 1.0 - self._tokens
        if missing <= _ROUNDING and self._not_before_s - now_s <= _ROUNDING:
            return 0.0
        return max(missing / ASKED_PER_S, self._not_before_s - now_s)

    def next(self, now_s: float) -> bytes | None:
        """The bytes of the next edit to be asked for now, if there is one."""
        if self.wait_s(now_s) != 0.0:
            return None
        waiting = self._waiting[self._to_ask.popleft()]
        waiting.times += 1
        self._tokens -= 1.0
        return waiting.data

    def note_grab(self, now_s: float) -> None:
        """A grab, which counts like an edit, was asked for."""
        self._refill(now_s)
        self._tokens -= 1.0

    def _refill(self, now_s: float) -> None:
        gained = max(0.0, now_s - self._at_s) * ASKED_PER_S
        self._tokens = min(float(EDIT_BURST_MAX), self._tokens + gained)
        self._at_s = now_s

    # --- ends ----------------------------------------------------------------------------

    def answered(self, status: EditStatus, now_s: float) -> list[Event]:
        """The server told of an edit. What is no news, or of none that waits, is no event."""
        waiting = self._waiting.get(status.request_id)
        if waiting is None or waiting.state is status.state:
            return []
        if self._tells_nothing(waiting, status):
            return self._again(status, waiting, now_s)
        waiting.state = status.state
        if status.state is not EditState.ACCEPTED:
            del self._waiting[status.request_id]
            if status.request_id in self._to_ask:
                self._to_ask.remove(status.request_id)
        return [events.EditAnswered(status)]

    @staticmethod
    def _tells_nothing(waiting: _Waiting, status: EditStatus) -> bool:
        is_too_fast = status.code == ErrorCode.RATE_LIMITED and status.retry_ms > 0
        return waiting.times > 1 and status.state is EditState.REFUSED and is_too_fast

    def _again(self, status: EditStatus, waiting: _Waiting, now_s: float) -> list[Event]:
        if waiting.times >= AGAIN_MAX:
            return [self._gone(status.request_id, "The server did not take it again in time.")]
        if status.request_id not in self._to_ask:
            self._to_ask = deque(sorted((*self._to_ask, status.request_id)))
        self._not_before_s = max(self._not_before_s, now_s + status.retry_ms / 1000)
        return []

    def resumed(self, now_s: float) -> None:
        """The session has a new link: ask for everything again, in order."""
        self._to_ask = deque(self._waiting)
        self._tokens, self._at_s, self._not_before_s = 0.0, now_s, 0.0

    def lost(self, sentence: str) -> list[Event]:
        """No answer can come any more."""
        self._to_ask.clear()
        return [self._gone(request_id, sentence) for request_id in list(self._waiting)]

    def _gone(self, request_id: int, sentence: str) -> Event:
        del self._waiting[request_id]
        if request_id in self._to_ask:
            self._to_ask.remove(request_id)
        return events.EditUnresolved(request_id, sentence)
