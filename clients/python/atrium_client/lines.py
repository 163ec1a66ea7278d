"""Which lines of chat we have heard, so that one that is sent again is heard once. Pure.

After a resume the server sends the lines since the newest that we know, and maybe one of them
twice. A world counts its lines from 1, and counts anew when the server was started anew, which a
resume does not tell us. So a line is known by its number *and* its time, and a number that is not
above the newest, of a line not heard yet, begins a new count.
"""

from __future__ import annotations

from collections import deque
from typing import Final

REMEMBERED: Final = 256


class Lines:
    """The lines of one world that came lately."""

    def __init__(self) -> None:
        self.newest_seq = 0
        """What a hello says, so that the lines since come after a resume."""
        self._heard: deque[tuple[int, int]] = deque(maxlen=REMEMBERED)

    def is_new(self, chat_seq: int, server_ms: int) -> bool:
        """Note a line; False when we have heard it before."""
        if (chat_seq, server_ms) in self._heard:
            return False
        self._heard.append((chat_seq, server_ms))
        self.newest_seq = chat_seq
        return True

    def forget(self) -> None:
        """Another world, or another session: its lines are counted anew."""
        self._heard.clear()
        self.newest_seq = 0
