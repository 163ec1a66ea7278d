"""One WebSocket connection of the gateway: what is kept in Python about it.

What the hot path needs lies in the gateway's arrays, by connection number; this object holds the rest:
the RFC 6455 protocol object, the walker beside it, the session, and bytes that could not be sent.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

from websockets.server import ServerProtocol

from atrium_server.doors import WorldDoor
from atrium_server.net.session_state import Rates, SessionState
from atrium_server.net.socket_io import Endpoint
from atrium_server.net.walker import FrameWalker


class Cipher(Protocol):
    """The seam where TLS sits: between the socket's bytes and the frames.

    A connection with a cipher leaves the bulk path: its chunks are decrypted one by one and its
    pieces encrypted one by one, after credit has been checked. `ssl.SSLObject` on two memory BIOs is
    such a thing with a few lines around it.
    """

    def decrypt(self, data: bytes) -> tuple[bytes, bytes]:
        """(plaintext, bytes to send back at once). Raises OSError when the stream is broken."""
        ...

    def encrypt(self, data: bytes) -> bytes: ...


class Connection:
    """One peer, from the end of its handshake on."""

    __slots__ = (
        "address", "cipher", "closing_by", "door", "endpoint", "number", "opened_at", "protocol",
        "rates", "reliable", "reliable_bytes", "session_id", "slot", "state", "strikes", "tail",
        "walker",
    )

    def __init__(
        self, number: int, endpoint: Endpoint, protocol: ServerProtocol, address: str, now: float
    ) -> None:
        self.number = number
        self.endpoint = endpoint
        self.protocol = protocol
        self.address = address
        self.opened_at = now
        self.state = SessionState.HELLO
        self.walker = FrameWalker()
        self.rates = Rates(now)
        self.cipher: Cipher | None = None
        self.tail = b""
        """Bytes that the socket did not take yet; they go before anything else."""
        self.reliable: deque[bytes] = deque()
        """Framed messages that wait for the next snapshot."""
        self.reliable_bytes = 0
        self.session_id = 0
        self.door: WorldDoor | None = None
        self.slot = -1
        self.strikes = 0
        self.closing_by = float("inf")
