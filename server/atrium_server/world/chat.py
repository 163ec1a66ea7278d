"""Chat: submit, verdict, publish. PURE.

A line that others will read never goes straight to them. It is held, its author sees it pending,
and a judge is asked; the verdict comes back as an ordinary command of a later tick. Lines of one
sender in one channel are published in the order in which they were submitted, however the verdicts
arrive: a decided line waits for those before it.

All lines on their way, judged or not, wait in one queue per channel, in the order of their turns:

* First those whose sender had been quiet for a moment: had neither asked to speak, not even in
  vain, nor had a line on its way. Whoever presses on is behind everybody who does not, so a crowd
  of flooders cannot keep a person from being heard.
* Among these, and among the others, first who got a line into the queue the longest ago, so that
  those who talk much take turns.

When a queue is full the last line in it gives way to one that belongs before it, and is refused.
What a turn depends on only grows while a sender has lines on their way, so those of one sender are
in the order of submission, and order and turn are one sorted list.

Published lines stay in a bounded history with who was told, so that a session that resumes gets
what it missed (the newest lines, as many as fit its queue), and a line can be taken back.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from atrium_server.world.commands import Judged
from atrium_shared import limits
from atrium_shared.messages import ChatChannel, ChatPublished, ChatState, ChatStatus

SINCE_BYTES_MAX = limits.RELIABLE_BYTES_MAX // 4
"""Most bytes of missed lines for one session: its queue has to hold them, and more, at once."""
_LINE_BYTES = 64
"""More than a line has in its message besides text and name."""


class Turn(NamedTuple):
    """When a line is told: the least first, and of equal ones the first that was submitted."""

    pressing: bool
    """Its sender had just asked to speak, or had other lines on their way."""
    silent_since: int
    """The tick in which the last line of its sender was taken, or its sender joined."""


@dataclass(slots=True)
class Claims:
    """What the turns of a session's next lines depend on: ticks by channel."""

    asked: list[int]
    taken: list[int]


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
    turn: Turn
    person: str = ""
    """Of the sender, to the relations."""
    blocked: tuple[str, ...] = ()
    """Whom the sender blocked: the sender may be gone when the line is published."""
    reader: str = ""
    """The person to whom a DIRECT line is said."""
    place: int = 0
    """The slot of `target`, as long as that is there."""
    verdict: bool | None = None
    reason: str = ""
    size_bytes: int = 0
    """What it counts for while it waits."""
    ready_tick: int = -1
    """Since when it waits for nothing but its turn; -1 before that."""


@dataclass(slots=True)
class Queue:
    """Lines of one channel on their way, in the order of their turns."""

    lines: list[Line] = field(default_factory=list[Line])
    size_bytes: int = 0
    ready: int = 0
    """How many wait for nothing but their turn."""

    def add(self, line: Line) -> None:
        insort(self.lines, line, key=_order)
        self.size_bytes += line.size_bytes
        self.ready += line.ready_tick >= 0

    def remove(self, line: Line) -> None:
        del self.lines[bisect_left(self.lines, _order(line), key=_order)]
        self.size_bytes -= line.size_bytes
        self.ready -= line.ready_tick >= 0


def _order(line: Line) -> tuple[Turn, int]:
    return line.turn, line.line_id


def size_of(text: str) -> int:
    """What a line of this text costs for one reader."""
    return limits.LINE_BYTES_MIN + len(text.encode())


@dataclass(frozen=True, slots=True)
class Published:
    """A line that was told, and to whom (None: everybody)."""

    message: ChatPublished
    sessions: tuple[int, ...] | None
    without: tuple[int, ...] = ()
    """Of everybody, those who were not told."""
    person: str = ""
    blocked: tuple[str, ...] = ()
    target: str = ""
    """Of its `Line`: person, blocked, reader."""
    line_id: int = 0


class ChatRules:
    """Lines on their way and the history of one world."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, ChatChannel], deque[Line]] = {}
        """Lines that wait for a verdict, their own or that of one before them."""
        self._by_id: dict[int, Line] = {}
        """All held lines."""
        self.queues = {channel: Queue() for channel in ChatChannel}
        self._claims: dict[int, Claims] = {}
        self._history: deque[Published] = deque(maxlen=limits.CHAT_HISTORY_MAX)
        self._next_line = 1
        self._next_seq = 1

    @property
    def last_seq(self) -> int:
        """The number of the newest published line, 0 before the first."""
        return self._next_seq - 1

    def skip_to(self, seq: int) -> None:
        """Number what is published from now on above `seq`."""
        self._next_seq = max(self._next_seq, seq + 1)

    def enter(self, session_id: int, tick: int) -> None:
        """A session may speak; to have come just now is no merit."""
        self._claims[session_id] = Claims([tick] * len(ChatChannel), [tick] * len(ChatChannel))

    def leave(self, session_id: int) -> None:
        """A session is gone; its lines are not."""
        del self._claims[session_id]

    def ask(self, session_id: int, channel: ChatChannel, tick: int, quiet_ticks: int) -> Turn:
        """A session asks to speak, be it in vain, and gets this turn."""
        claims = self._claims[session_id]
        pressing = tick - claims.asked[channel] < quiet_ticks or any(
            line.session_id == session_id for line in self.queues[channel].lines
        )
        claims.asked[channel] = tick
        return Turn(pressing, claims.taken[channel])

    def in_the_way(
        self, channel: ChatChannel, turn: Turn, size_bytes_max: int
    ) -> list[Line] | None:
        """Lines that have to give way to a new one; None when the new one would be the last.

        The queue is full when it has `size_bytes_max`, so it exceeds that by one line at most.
        """
        queue = self.queues[channel]
        excess = queue.size_bytes - size_bytes_max
        last: list[Line] = []
        for line in reversed(queue.lines):
            if excess < 0 or line.turn <= turn:
                break
            last.append(line)
            excess -= line.size_bytes
        return last if excess < 0 else None

    def give_up(self, line: Line) -> None:
        """Forget a line that is in the way: its sender's later ones come after it, and are gone."""
        self.queues[line.channel].remove(line)
        if self._by_id.pop(line.line_id, None) is not None:
            key = line.session_id, line.channel
            self._held[key].pop()
            if not self._held[key]:
                del self._held[key]

    def submit(self, line: Line, tick: int) -> bool:
        """Hold a line for its verdict and give it its id; False when the sender has too many."""
        queue = self._held.setdefault((line.session_id, line.channel), deque())
        if len(queue) >= limits.CHAT_HELD_PER_SESSION_MAX:
            return False
        line.line_id = self._next_line
        line.size_bytes = size_of(line.text)
        self._next_line += 1
        queue.append(line)
        self._by_id[line.line_id] = line
        self._claims[line.session_id].taken[line.channel] = tick
        self.queues[line.channel].add(line)
        return True

    def admit(self, line: Line, tick: int) -> None:
        """Let a line take its turn that was decided already."""
        line.line_id = self._next_line
        line.size_bytes = size_of(line.text)
        line.ready_tick = tick
        self._next_line += 1
        self.queues[line.channel].add(line)

    def judge(self, verdict: Judged, tick: int) -> None:
        """Take a verdict: lines that waited for it are ready now.

        Verdicts on lines that nobody waits for any more are ignored.
        """
        line = self._by_id.get(verdict.line_id)
        if line is None or line.verdict is not None:
            return
        line.verdict, line.text, line.reason = verdict.publish, verdict.text, verdict.reason
        queue = self._held[line.session_id, line.channel]
        while queue and queue[0].verdict is not None:
            ready = queue.popleft()
            ready.ready_tick = tick
            self.queues[line.channel].ready += 1
            del self._by_id[ready.line_id]
        if not queue:
            del self._held[line.session_id, line.channel]

    def publish(
        self, line: Line, sessions: tuple[int, ...] | None, server_ms: int,
        without: tuple[int, ...] = (),
    ) -> tuple[ChatPublished, ChatStatus]:
        """Number a decided line and remember it; returns what others and the author are told."""
        message = ChatPublished(
            self._next_seq, line.channel, line.sender_id, line.sender_name, line.text, server_ms
        )
        self._next_seq += 1
        self._history.append(Published(
            message, sessions, without, line.person, line.blocked, line.reader, line.line_id
        ))
        status = ChatStatus(line.request_id, ChatState.PUBLISHED, message.chat_seq, "")
        return message, status

    def withdraw(self, line_id: int, reason: str) -> Published | None:
        """A verdict has changed: a line that is still on its way is not told, one that was told is
        forgotten; returns the latter, None when there is nothing to take back.
        """
        for queue in self.queues.values():
            for line in queue.lines:
                if line.line_id == line_id:
                    if line.verdict:
                        line.verdict, line.reason = False, reason
                    return None
        for published in self._history:
            if published.line_id == line_id:
                self._history.remove(published)
                return published
        return None

    def retract(self, chat_seq: int) -> Published | None:
        """Forget a published line; returns who must be told, None when it is not known."""
        for published in self._history:
            if published.message.chat_seq == chat_seq:
                self._history.remove(published)
                return published
        return None

    def newest(self, most: int, is_open: Callable[[Published], bool]) -> list[ChatPublished]:
        """The newest WORLD lines that somebody may read, in their order."""
        found: list[ChatPublished] = []
        for published in reversed(self._history):
            if len(found) == most:
                break
            if published.message.channel is ChatChannel.WORLD and is_open(published):
                found.append(published.message)
        return found[::-1]

    def lately(self, server_ms: int, span_ms: float) -> list[Published]:
        """What was published no longer than this before a time of the wire's clock, which wraps."""
        return [
            one for one in self._history
            if (server_ms - one.message.server_ms) % 2**32 <= span_ms
        ]

    def since(
        self, session_id: int, chat_seq: int,
        is_open: Callable[[Published], bool] = lambda _: True,
    ) -> list[ChatPublished]:
        """What this session would have been told after `chat_seq`, as far as it is remembered.

        The newest lines within SINCE_BYTES_MAX, in their order, that it may still read.
        """
        missed: list[ChatPublished] = []
        room = SINCE_BYTES_MAX
        for published in reversed(self._history):
            message = published.message
            if message.chat_seq <= chat_seq:
                break
            if published.sessions is not None and session_id not in published.sessions:
                continue
            if session_id in published.without or not is_open(published):
                continue
            room -= len(message.text.encode()) + len(message.sender_name.encode()) + _LINE_BYTES
            if room < 0:
                break
            missed.append(message)
        return missed[::-1]
