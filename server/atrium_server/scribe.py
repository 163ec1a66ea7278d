"""What is said in a world, on its way to the store: authors hear "published" when it is kept.

Theory of operation
-------------------
Readers hear a line in the tick that publishes it. Its author's "published" is kept back until the
line is in the database, a twentieth of a second later. When no more lines can wait, because the
database does not answer, lines are refused before the world sees them: what people were told is
there is there.

A line that is taken back later is marked in the store, so that who reads the history there does not
find it. Marks that have no room wait here, and go first when there is some.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from atrium_server.persistence.chat_log import (
    CHAT_ROWS_MAX,
    Channel,
    ChatLog,
    ChatRow,
    LineState,
    Told,
)
from atrium_server.persistence.schema import uuid7
from atrium_server.seats import Session
from atrium_shared.errors import Overload
from atrium_shared.messages import ChatChannel, ChatPublished, ChatStatus

MARGIN_ROWS = 500
"""Lines that may still be published of those that were taken before there was no more room."""
_CHANNELS = {
    ChatChannel.WORLD: Channel.WORLD, ChatChannel.NEARBY: Channel.NEARBY,
    ChatChannel.DIRECT: Channel.DIRECT,
}

WRITTEN_MAX = 20_000
"""Lines whose ids are remembered, the newest: more than all worlds of a server can take back."""

Answer = Callable[[ChatStatus], None]
"""Tells an author what became of a line."""


@dataclass(slots=True)
class Scribe:
    """Keeps what is said on one server."""

    log: ChatLog
    clock: Callable[[], float]
    """Seconds since 1970."""
    _answers: dict[uuid.UUID, tuple[Answer, ChatStatus]] = field(
        default_factory=dict[uuid.UUID, tuple[Answer, ChatStatus]]
    )
    _written: OrderedDict[tuple[int, int], uuid.UUID] = field(
        default_factory=OrderedDict[tuple[int, int], uuid.UUID]
    )
    """By world and number."""
    _unmarked: deque[uuid.UUID] = field(default_factory=deque[uuid.UUID])

    @property
    def has_room(self) -> bool:
        """Whether lines may be taken in this tick."""
        return self.log.waiting < CHAT_ROWS_MAX - MARGIN_ROWS

    def take(
        self, world_id: int, author: Session, line: ChatPublished, answer: Answer,
        status: ChatStatus,
    ) -> None:
        """A line was published. `answer` is called when it is kept, or never will be."""
        line_id = uuid7(self.clock())
        self._answers[line_id] = (answer, status)
        try:
            self.log.take(ChatRow(
                line_id, world_id, _CHANNELS[line.channel], uuid.UUID(bytes=author.uuid),
                line.sender_name, line.text, line.sender_id, line.chat_seq, author.account,
            ))
        except Overload as error:
            self.told([Told(line_id, False, error.sentence)])
            return
        self._written[world_id, line.chat_seq] = line_id
        if len(self._written) > WRITTEN_MAX:
            self._written.popitem(last=False)

    def retract(self, world_id: int, chat_seq: int) -> None:
        """A line was taken back."""
        line_id = self._written.pop((world_id, chat_seq), None)
        if line_id is not None:
            self._unmarked.append(line_id)
            self._mark()

    def _mark(self) -> None:
        with suppress(Overload):
            while self._unmarked:
                self.log.mark(self._unmarked[0], LineState.RETRACTED)
                self._unmarked.popleft()

    def told(self, all_told: list[Told]) -> None:
        """The store has these, or never will."""
        self._mark()
        for told in all_told:
            found = self._answers.pop(told.id, None)
            if found is not None:
                answer, status = found
                reason = "" if told.is_kept else "It was read, and could not be kept."
                answer(ChatStatus(status.request_id, status.state, status.chat_seq, reason))
