"""Where a connection stands between two frames: the little that the fast path must know. PURE.

`websockets`' protocol object reads all of RFC 6455 but has no public word for 'I am exactly at the
boundary of two messages'. The walker follows the same bytes and counts: headers, payloads, and
whether a fragmented message is open. It judges nothing; a frame that breaks the rules ends the
connection through the protocol object anyway.
"""

from __future__ import annotations


class FrameWalker:
    """Follows the client's bytes of one connection, in pieces of any size."""

    __slots__ = ("_head", "_left", "fragment_open")

    def __init__(self) -> None:
        self._head = b""
        self._left = 0
        self.fragment_open = False

    @property
    def at_boundary(self) -> bool:
        """Nothing of a frame is outstanding and no fragmented message is open."""
        return not self._head and not self._left and not self.fragment_open

    def feed(self, data: bytes) -> None:
        """Follow the next bytes."""
        at = 0
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            need = self._head_bytes()
            step = min(need - len(self._head), len(data) - at)
            self._head += data[at : at + step]
            at += step
            if len(self._head) == self._head_bytes():
                self._end_of_head()

    def _head_bytes(self) -> int:
        """Length of the header that has begun, as far as it can be known yet."""
        if len(self._head) < 2:
            return 2
        length = self._head[1] & 127
        return 2 + {126: 2, 127: 8}.get(length, 0) + (4 if self._head[1] & 128 else 0)

    def _end_of_head(self) -> None:
        first, second = self._head[0], self._head[1]
        length = second & 127
        if length == 126:
            length = int.from_bytes(self._head[2:4], "big")
        elif length == 127:
            length = int.from_bytes(self._head[2:10], "big")
        self._left = length
        if first & 15 < 8:  # control frames may come between fragments
            self.fragment_open = not first & 128
        self._head = b""
