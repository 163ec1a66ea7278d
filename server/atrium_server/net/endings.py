"""How connections end: by whom, what the peer hears, and what becomes of its seat.

A session ends in two steps. `close` sends what is queued and our close frame; from then on nothing
is sent and what comes is ignored. `drop` frees the connection: when both close frames have passed
and the socket has taken everything, when the peer's stream has ended, or when CLOSE_S are over.

Whose link ends without a goodbye keeps the seat for a while (`link_lost`); who breaks the protocol
or says Bye gives it up at once (`leave`).
"""

from __future__ import annotations

import logging
from typing import Protocol

import trio
from websockets.exceptions import PayloadTooBig
from websockets.protocol import State

from atrium_server.doors import Directory
from atrium_server.frames import binary_frame
from atrium_server.net.addresses import Addresses
from atrium_server.net.connection import Connection, Ending
from atrium_server.net.connections import Connections
from atrium_server.net.outgoing import Outgoing
from atrium_server.net.session_state import SessionState
from atrium_server.net.socket_io import SocketIO
from atrium_server.telemetry import Counter
from atrium_shared import codec, limits
from atrium_shared import messages as m
from atrium_shared.errors import (
    CLOSE_CODE_OF,
    CloseCode,
    ErrorCode,
    Overload,
    ProtocolError,
    RequestRefused,
)

logger = logging.getLogger(__name__)

CLOSE_S = 2.0
"""How long a closed peer has for its answer."""
_KEEPS_SEAT = frozenset(
    {ErrorCode.REPLACED, ErrorCode.INTERNAL, ErrorCode.SLOW, ErrorCode.TIMEOUT}
)
"""Ends of a link that do not end the session: the world has seen to it, or its owner may return."""


class CounterOf(Protocol):
    """The counter for one value of a label."""

    def __call__(self, value: str, /) -> Counter: ...


class Endings:
    """Ends the connections of the gateway."""

    def __init__(
        self, io: SocketIO, connections: Connections, out: Outgoing, addresses: Addresses,
        protocol_errors: CounterOf,
    ) -> None:
        self._io, self._connections, self._out = io, connections, out
        self._addresses, self._protocol_errors = addresses, protocol_errors
        self._closed: list[Connection] = []
        """Those of `Ending.CLOSED` whose last bytes the socket has not taken yet."""
        self.directory: Directory | None = None
        """Who hears of connections that end while they join; set when the gateway runs."""

    # --- with a reason -------------------------------------------------------------------

    def refuse(
        self, connection: Connection, error: ProtocolError | RequestRefused | Overload
    ) -> None:
        """End a session for what its peer did or asked, or for want of room."""
        if not self._connections.has(connection):
            return
        match error:
            case ProtocolError():
                self._protocol_errors(error.code.name).add()
                self.end(connection, error.code, error.sentence)
            case RequestRefused():
                self.end(connection, error.code, error.sentence)
            case Overload():
                self.end(connection, ErrorCode.FULL, error.sentence, error.retry_ms)

    def end(
        self, connection: Connection, code: ErrorCode, sentence: str, retry_ms: int = 0
    ) -> None:
        """Tell the peer why, and close."""
        if connection.state is SessionState.CLOSING:
            return
        error = m.Error(code, sentence[: limits.SENTENCE_CHARS_MAX], retry_ms)
        self._out.send_last(connection, binary_frame(codec.encode(error)))
        if code not in _KEEPS_SEAT:
            self._leave(connection)
        self.close(connection, CLOSE_CODE_OF.get(code, CloseCode.UNEXPECTED), sentence)

    def goodbye(self, connection: Connection) -> None:
        """The peer leaves for good."""
        self._leave(connection)
        self.close(connection, CloseCode.GOING_AWAY, "goodbye")

    def on_protocol_end(self, connection: Connection) -> None:
        """We have closed, or the peer has, or it has broken RFC 6455."""
        protocol = connection.protocol
        if protocol.parser_exc is not None and connection.state is not SessionState.CLOSING:
            too_large = isinstance(protocol.parser_exc, PayloadTooBig)
            code = ErrorCode.TOO_LARGE if too_large else ErrorCode.MALFORMED
            self.refuse(connection, ProtocolError(
                code, f"this is not WebSocket as it should be: {protocol.parser_exc}"
            ))
        self.close(connection, CloseCode.GOING_AWAY, "")
        is_over = protocol.close_rcvd is not None or protocol.parser_exc is not None
        if is_over and connection.ending is not Ending.CLOSED:
            connection.ending = Ending.CLOSED
            self._closed.append(connection)

    # --- steps ---------------------------------------------------------------------------

    def close(self, connection: Connection, code: CloseCode, reason: str) -> None:
        """Send all that is queued, then our close frame if there was none yet."""
        if connection.state is SessionState.CLOSING:
            return
        self._unlink(connection)
        connection.state, connection.ending = SessionState.CLOSING, Ending.CLOSING
        connection.closing_by = trio.current_time() + CLOSE_S
        self._connections.closing[connection.number] = True
        self._connections.fast_open[connection.number] = 0
        self._out.flush_reliable(connection)
        if connection.protocol.state is State.OPEN:
            connection.protocol.send_close(int(code), _reason(reason))
        self._out.send_protocol(connection)

    def drop(self, connection: Connection) -> None:
        """The connection is gone: free all that it had."""
        self._unlink(connection)
        connection.state = SessionState.CLOSING
        self._out.send_end(connection)
        self._io.remove(connection.number)
        connection.endpoint.close()
        self._connections.remove(connection)
        self._addresses.leave(connection.address)
        # Its generator refers to the protocol object, which has it: a ring with all that a peer has
        # sent of a frame, and nobody would search for it for a long time.
        connection.protocol.parser.close()

    def _leave(self, connection: Connection) -> None:
        """The session is over, not only the link."""
        door, connection.door = connection.door, None
        if door is not None:
            door.leave(connection.session_id)
        elif connection.state is SessionState.JOINING:
            assert self.directory is not None
            self.directory.lost(connection.number, for_good=True)

    def _unlink(self, connection: Connection) -> None:
        """The world that it is in, or was joining, must do without this connection."""
        door, connection.door = connection.door, None
        self._connections.door_of[connection.number] = -1
        if door is not None:
            door.link_lost(connection.session_id, connection.number)
        elif connection.state is SessionState.JOINING:
            assert self.directory is not None
            self.directory.lost(connection.number, for_good=False)

    # --- what the pump and the clock find ------------------------------------------------

    def end_failed(self) -> None:
        """Drop whose sockets failed or who are done, end those who do not read."""
        broken, self._out.broken = set(self._out.broken), []
        overflowed, self._out.overflowed = set(self._out.overflowed), []
        closed, self._closed = self._closed, []
        for number in sorted(broken):
            if (connection := self._connections.find(number)) is not None:
                self.drop(connection)
        for number in sorted(overflowed):
            if (connection := self._connections.find(number)) is not None:
                self._end_slow(connection)
        for connection in closed:
            if self._connections.has(connection):
                self._end_closed(connection)

    def _end_closed(self, connection: Connection) -> None:
        if connection.tail:
            self._closed.append(connection)
        elif connection.protocol.parser_exc is None:
            self.drop(connection)
        else:
            # More may be on its way, and a socket closed with unread bytes sends a reset, which
            # would take our words with it: wait for the peer to end its stream as well.
            self._out.send_end(connection)
            self._io.end_output(connection.number)

    def _end_slow(self, connection: Connection) -> None:
        logger.info("a client was closed because it does not read")
        if connection.state is SessionState.CLOSING:
            self.drop(connection)
        else:
            # What is queued would not be read either. It hears why, should it ever read on.
            self._out.forget_reliable(connection)
            self.end(connection, ErrorCode.SLOW, "You do not read what you are sent.")

    def look_after(self, connection: Connection, now: float) -> None:
        """Once a second: end who is silent, late or too fast; ping who is nearly silent."""
        silent_s = now - self._connections.heard_at[connection.number]
        if now >= connection.closing_by or silent_s > limits.SILENCE_S_MAX:
            self.drop(connection)
            return
        joining = connection.state not in (SessionState.ACTIVE, SessionState.CLOSING)
        if joining and now - connection.since > limits.JOIN_S_MAX:
            self.end(connection, ErrorCode.TIMEOUT, "Joining took too long.")
        elif silent_s > limits.SILENCE_PING_S and connection.protocol.state is State.OPEN:
            connection.protocol.send_ping(b"")
            self._out.send_protocol(connection)
        elif self._connections.strikes[connection.number] > 2:
            self.refuse(connection, ProtocolError(ErrorCode.TOO_FAST, "too many poses"))


def _reason(sentence: str) -> str:
    """A close reason: at most 123 bytes of UTF-8."""
    return sentence.encode()[:120].decode(errors="ignore")
