"""What we have asked the server for and what has become of it, by request id. Pure.

A request ends in one of three ways: its answer comes, its time is up, or no answer can come any
more. A lost link ends none: after a resume answers may still come, for a while. A travel ends all:
the world that was asked does not know us any more. Each end is an event, and comes once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from atrium_client import events
from atrium_client.events import Event
from atrium_shared.errors import ErrorCode, RequestRefused
from atrium_shared.messages import ChatStatus, Message, Result, Travel, Welcome

ANSWER_S_MAX: Final = 30.0
"""A request without an answer for this long has failed."""
ANSWER_AFTER_RESUME_S: Final = 5.0
REQUESTS_PENDING_MAX: Final = 64
REQUEST_ID_MAX: Final = 2**32 - 1


@dataclass(slots=True)
class _Pending:
    kind: type[Message]
    expires_s: float


class Requests:
    """The requests of one session that wait for their answers."""

    def __init__(self) -> None:
        self._pending: dict[int, _Pending] = {}
        self._newest_id = 0

    def ask(self, kind: type[Message], now_s: float) -> int:
        """The id of a new request. Raises RequestRefused when too many wait."""
        if len(self._pending) >= REQUESTS_PENDING_MAX:
            raise RequestRefused(
                ErrorCode.RATE_LIMITED,
                f"{REQUESTS_PENDING_MAX} requests wait for their answers; wait for some of them.",
            )
        request_id = self.new_id()
        self._pending[request_id] = _Pending(kind, now_s + ANSWER_S_MAX)
        return request_id

    def new_id(self) -> int:
        """An id that this session has not used. They rise for ever: the server knows an edit that
        it has done by that. Raises RequestRefused when there is none left.
        """
        if self._newest_id >= REQUEST_ID_MAX:
            raise RequestRefused(
                ErrorCode.NOT_ALLOWED, "This session has asked too much: connect anew."
            )
        self._newest_id += 1
        return self._newest_id

    def kind_of(self, request_id: int) -> type[Message] | None:
        """What was asked; None for what we do not wait for (any more)."""
        pending = self._pending.get(request_id)
        return None if pending is None else pending.kind

    @property
    def is_travelling(self) -> bool:
        """Whether a travel waits for its answer: until then nothing else may be asked."""
        return any(pending.kind is Travel for pending in self._pending.values())

    def answered(self, request_id: int, answer: Result | ChatStatus | Welcome) -> list[Event]:
        """The final answer to one that waits."""
        del self._pending[request_id]
        return [events.RequestAnswered(request_id, answer)]

    def expire(self, now_s: float) -> list[Event]:
        """Those whose time is up by now."""
        late = [key for key, pending in self._pending.items() if now_s >= pending.expires_s]
        return [self._given_up(key, "The server did not answer in time.") for key in late]

    def resumed(self, now_s: float) -> list[Event]:
        """The link is back, in the same world: no travel can be on its way, and others must hurry.
        """
        for pending in self._pending.values():
            wait_s = 0.0 if pending.kind is Travel else ANSWER_AFTER_RESUME_S
            pending.expires_s = min(pending.expires_s, now_s + wait_s)
        return self.expire(now_s)

    def moved(self, welcome: Welcome) -> list[Event]:
        """A travel has brought us to another world: that is its answer, and the others have none.

        A welcome after a resume names no request: the one that did was lost with its link.
        """
        ended: list[Event] = []
        for request_id, pending in list(self._pending.items()):
            named = request_id == welcome.request_id or not welcome.request_id
            if named and pending.kind is Travel:
                ended += self.answered(request_id, welcome)
            else:
                ended.append(self._given_up(request_id, "We left the world that was asked."))
        return ended

    def joined_anew(self) -> list[Event]:
        """The session that asked is gone."""
        sentence = "The session that asked is over."
        return [self._given_up(request_id, sentence) for request_id in list(self._pending)]

    def _given_up(self, request_id: int, sentence: str) -> Event:
        del self._pending[request_id]
        return events.RequestExpired(request_id, sentence)
