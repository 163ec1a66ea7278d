"""Chat: submit, verdict, publish. PURE.

A line that others will read never goes straight to them. It is held, its author sees it pending,
and a judge is asked; the verdict comes back as an ordinary command of a later tick. Lines of one
sender in one channel are published in the order in which they were submitted, however the verdicts
arrive: a decided line waits for those before it.

Published lines stay in a bounded history with who was told, so that a session that resumes gets
what it missed (the newest lines, as many as fit its queue), and a line can be taken back.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from atrium_shared import limits
from atrium_shared.messages import ChatChannel, ChatPublished, ChatState, ChatStatus

SINCE_BYTES_MAX = limits.RELIABLE_BYTES_MAX // 4
"""Most bytes of missed lines for one session: its queue has to hold them, and more, at once."""
_LINE_BYTES = 64
"""More than a line has in its message besides text and name."""


@dataclass(slots=True)
class Line:
    """A line on its way."""

    line_id: int
    session_id: int
    request_id: int
    channel: ChatChannel
    target: int
    sender_id: int
    sender_name: str
    text: str
    verdict: bool | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Published:
    """A line that was told, and to whom (None: everybody)."""

    message: ChatPublished
    sessions: tuple[int, ...] | None


class ChatRules:
    """Held lines and the history of one world."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, ChatChannel], deque[Line]] = {}
        self._by_id: dict[int, Line] = {}
        self._history: deque[Published] = deque(maxlen=limits.CHAT_HISTORY_MAX)
        self.decided: deque[Line] = deque()
        """Lines with a verdict, in their order, that have not been told yet."""
        self._next_line = 1
        self._next_seq = 1

    @property
    def last_seq(self) -> int:
        """The number of the newest published line, 0 before the first."""
        return self._next_seq - 1

    @property
    def is_full(self) -> bool:
        """So many decided lines wait to be told that no more are taken."""
        return len(self.decided) >= limits.CHAT_WAITING_MAX

    def submit(self, line: Line) -> bool:
        """Hold a line for its verdict and give it its id; False when the sender has too many."""
        queue = self._held.setdefault((line.session_id, line.channel), deque())
        if len(queue) >= limits.CHAT_HELD_PER_SESSION_MAX:
            return False
        line.line_id = self._next_line
        self._next_line += 1
        queue.append(line)
        self._by_id[line.line_id] = line
        return True

    def judge(self, line_id: int, publish: bool, text: str, reason: str) -> None:
        """Take a verdict: the lines that are decided with it join `decided`, in their order.

        Verdicts on lines that nobody waits for any more are ignored.
        """
        line = self._by_id.get(line_id)
        if line is None or line.verdict is not None:
            return
        line.verdict, line.text, line.reason = publish, text, reason
        queue = self._held[line.session_id, line.channel]
        while queue and queue[0].verdict is not None:
            self.decided.append(queue.popleft())
            del self._by_id[self.decided[-1].line_id]
        if not queue:
            del self._held[line.session_id, line.channel]

    def publish(
        self, line: Line, sessions: tuple[int, ...] | None, server_ms: int
    ) -> tuple[ChatPublished, ChatStatus]:
        """Number a decided line and remember it; returns what others and the author are told."""
        message = ChatPublished(
            self._next_seq, line.channel, line.sender_id, line.sender_name, line.text, server_ms
        )
        self._next_seq += 1
        self._history.append(Published(message, sessions))
        status = ChatStatus(line.request_id, ChatState.PUBLISHED, message.chat_seq, "")
        return message, status

    def retract(self, chat_seq: int) -> Published | None:
        """Forget a published line; returns who must be told, None when it is not known."""
        for published in self._history:
            if published.message.chat_seq == chat_seq:
                self._history.remove(published)
                return published
        return None

    def since(self, session_id: int, chat_seq: int) -> list[ChatPublished]:
        """What this session would have been told after `chat_seq`, as far as it is remembered.

        The newest lines within SINCE_BYTES_MAX, in their order.
        """
        missed: list[ChatPublished] = []
        room = SINCE_BYTES_MAX
        for published in reversed(self._history):
            message = published.message
            if message.chat_seq <= chat_seq:
                break
            if published.sessions is not None and session_id not in published.sessions:
                continue
            room -= len(message.text.encode()) + len(message.sender_name.encode()) + _LINE_BYTES
            if room < 0:
                break
            missed.append(message)
        return missed[::-1]
