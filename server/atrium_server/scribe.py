"""What is said in a world, on its way to the store: authors hear "published" when it is kept.

Theory of operation
-------------------
Readers hear a line in the tick that publishes it. Its author's "published" is kept back until the
line is in the database, a twentieth of a second later. When no more lines can wait, because the
database does not answer, lines are refused before the world sees them: what people were told is
there is there.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from atrium_server.persistence.chat_log import CHAT_ROWS_MAX, Channel, ChatLog, ChatRow, Told
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

    def told(self, all_told: list[Told]) -> None:
        """The store has these, or never will."""
        for told in all_told:
            found = self._answers.pop(told.id, None)
            if found is not None:
                answer, status = found
                reason = "" if told.is_kept else "It was read, and could not be kept."
                answer(ChatStatus(status.request_id, status.state, status.chat_seq, reason))
