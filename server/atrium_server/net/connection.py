"""One WebSocket connection of the gateway: what is kept in Python about it.

What the hot path needs lies in the columns of `atrium_server.net.connections`, by connection
number; this object holds the rest: the RFC 6455 protocol object, the walker beside it, the session,
and bytes that could not be sent.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from websockets.server import ServerProtocol

from atrium_server.doors import WorldDoor
from atrium_server.net.session_state import Rates, SessionState
from atrium_server.net.socket_io import Endpoint
from atrium_server.net.walker import FrameWalker


class Cipher(Protocol):
    """The seam where TLS sits: between the socket's bytes and the frames.

    The front door does the handshake and hands the cipher over with the socket. What the pump
    receives is decrypted before it is decoded; what it sends is encrypted piece by piece, after
    credit has been checked: what is encrypted has its place in the stream and must be sent.
    `tls.TlsCipher` is the one there is.
    """

    is_over: bool
    """Nothing follows from the peer after what `decrypt` has returned."""

    def decrypt(self, data: bytes | memoryview) -> tuple[bytes, bytes]:
        """(plaintext of all whole records, bytes to send back at once)."""
        ...

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """Raises OSError when nothing can be said any more."""
        ...

    def end(self) -> bytes:
        """The bytes that say that nothing follows; empty when they cannot be said."""
        ...


class Ending(enum.Enum):
    """How far the end of a connection has come."""

    NONE = 0
    CLOSING = 1
    """Our close frame is on its way; the peer's answer, or its end of stream, is awaited."""
    CLOSED = 2
    """Nothing that the peer says counts any more: both close frames have passed, or it has broken
    the protocol. Only what the socket has not taken yet is awaited."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A peer whose handshake is done, as the front door hands it over."""

    endpoint: Endpoint
    protocol: ServerProtocol
    address: str
    rest: bytes = b""
    """What followed the handshake."""
    cipher: Cipher | None = None


class Connection:
    """One peer, from the end of its handshake on."""

    __slots__ = (
        "address", "cipher", "closing_by", "door", "ending", "endpoint", "ignored_bytes", "number",
        "protocol", "rates", "reliable_bytes", "session_id", "since", "slot", "state",
        "tail", "talk", "urgent", "urgent_bytes", "walker",
    )

    def __init__(self, number: int, arrival: Arrival, now: float) -> None:
        self.number = number
        self.endpoint = arrival.endpoint
        self.protocol = arrival.protocol
        self.address = arrival.address
        self.cipher = arrival.cipher
        self.since = now
        """When it began to join: after the handshake, or with a `Travel`."""
        self.state = SessionState.HELLO
        self.walker = FrameWalker()
        self.rates = Rates(now)
        self.tail = b""
        """Bytes that the socket did not take yet; they go before anything else."""
        self.urgent: deque[bytes] | None = None
        """Framed messages about this client itself: all of them go before the next snapshot."""
        self.talk: deque[bytes] | None = None
        """What others say, framed: as much as credit allows goes before a snapshot."""
        self.urgent_bytes = 0
        self.reliable_bytes = 0
        """Of both queues together."""
        self.session_id = 0
        self.door: WorldDoor | None = None
        self.slot = -1
        self.ending = Ending.NONE
        self.closing_by = float("inf")
        self.ignored_bytes = 0
        """What came after our close frame."""
