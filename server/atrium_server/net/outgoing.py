"""Bytes on their way out: reliable messages, snapshots, and tails of what was sent in part.

The order on the wire is the order of hand-over: a tail before everything, reliable messages before the
snapshot they were queued for. A snapshot is never queued: a connection with a tail is not `ready`, and
what a socket refuses is forgotten by replication. Queues are bounded; a peer for whom they overflow is
reported in `overflowed`, and the gateway ends it.
"""

from __future__ import annotations

import numpy as np

from atrium_server.doors import I32, I64, U8, Bools
from atrium_server.net.connection import Connection
from atrium_server.net.socket_io import SocketIO, is_retry
from atrium_shared import limits


class Outgoing:
    """The sending half of the gateway."""

    def __init__(self, io: SocketIO, connections: list[Connection | None]) -> None:
        self._io = io
        self._connections = connections
        slots = len(connections)
        self.has_tail = np.zeros(slots, np.bool_)
        self.ciphered = np.zeros(slots, np.bool_)
        self.pending = np.zeros(slots, np.int32)
        self.broken: list[int] = []
        """Connections whose socket failed; the gateway drops them."""
        self.overflowed: list[int] = []

    def forget(self, number: int) -> None:
        """The connection is gone."""
        self.has_tail[number] = self.ciphered[number] = False
        self.pending[number] = 0

    def queue(self, connection: Connection, frame: bytes) -> None:
        """A reliable message, to go out with the next snapshot."""
        connection.reliable.append(frame)
        connection.reliable_bytes += len(frame)
        self.pending[connection.number] = connection.reliable_bytes
        if (
            connection.reliable_bytes > limits.RELIABLE_BYTES_MAX
            or len(connection.reliable) > limits.RELIABLE_MESSAGES_MAX
        ):
            self.overflowed.append(connection.number)

    def send_now(self, connection: Connection, data: bytes) -> None:
        """Bytes that go out at once (handshake, pong, close), after the tail if there is one."""
        if connection.cipher is not None:
            data = connection.cipher.encrypt(data)
        self.send_raw(connection, data)

    def send_raw(self, connection: Connection, data: bytes) -> None:
        """As `send_now`, for bytes that are encrypted already or must not be."""
        if connection.tail:
            self._keep_tail(connection, connection.tail + data)
            return
        taken = self._io.send_one(connection.number, data) if data else 0
        if taken < 0:
            if not is_retry(taken):
                self.broken.append(connection.number)
                return
            taken = 0
        if taken < len(data):
            self._keep_tail(connection, data[taken:])

    def flush_reliable(self, connection: Connection) -> None:
        """Send all that is queued without waiting for a snapshot: before a close."""
        if connection.reliable:
            data = b"".join(connection.reliable)
            self._clear_reliable(connection)
            self.send_now(connection, data)

    def flush_tails(self) -> None:
        """Offer the tails again."""
        for number in np.flatnonzero(self.has_tail).tolist():
            connection = self._connections[number]
            assert connection is not None
            data, connection.tail = connection.tail, b""
            self.has_tail[number] = False
            self.send_raw(connection, data)

    def ready(self, connections: I32) -> Bools:
        return ~self.has_tail[connections]

    def send(
        self, connections: I32, prefixes: I32, arena: U8, offsets: I64, lengths: I64
    ) -> U8:
        """Fill the gaps and offer all pieces in one call. See `ClientSink.send`."""
        waiting = np.flatnonzero(prefixes)
        for k in waiting.tolist():
            self._fill_gap(int(connections[k]), int(prefixes[k]), arena, int(offsets[k]))
        if self.ciphered[connections].any():
            results = self._send_ciphered(connections, arena, offsets, lengths)
        else:
            results = self._io.send(connections, arena, offsets, lengths)
        accepted = (results > 0).astype(np.uint8)
        for k in np.flatnonzero(results != lengths).tolist():
            self._partly(int(connections[k]), int(results[k]), arena,
                         int(offsets[k]), int(lengths[k]))
        for k in waiting[accepted[waiting] == 1].tolist():
            connection = self._connections[int(connections[k])]
            assert connection is not None
            self._clear_reliable(connection)
        return accepted

    def _fill_gap(self, number: int, prefix: int, arena: U8, at: int) -> None:
        connection = self._connections[number]
        assert connection is not None
        assert prefix == connection.reliable_bytes
        arena[at : at + prefix] = np.frombuffer(b"".join(connection.reliable), np.uint8)

    def _clear_reliable(self, connection: Connection) -> None:
        connection.reliable.clear()
        connection.reliable_bytes = 0
        self.pending[connection.number] = 0

    def _partly(self, number: int, result: int, arena: U8, at: int, length: int) -> None:
        connection = self._connections[number]
        assert connection is not None
        if result > 0:
            self._keep_tail(connection, arena[at + result : at + length].tobytes())
        elif result < 0 and not is_retry(result):
            self.broken.append(number)

    def _send_ciphered(self, connections: I32, arena: U8, offsets: I64, lengths: I64) -> I64:
        """One by one: what is encrypted must be sent, so its rest becomes a tail at once."""
        results = np.zeros(len(connections), np.int64)
        for k, number in enumerate(connections.tolist()):
            connection = self._connections[number]
            assert connection is not None
            piece = arena[int(offsets[k]) : int(offsets[k] + lengths[k])].tobytes()
            self.send_now(connection, piece)
            results[k] = lengths[k]
        return results

    def _keep_tail(self, connection: Connection, data: bytes) -> None:
        connection.tail = data
        self.has_tail[connection.number] = True
        if len(data) > limits.RELIABLE_BYTES_MAX + limits.OUTGOING_BYTES_MAX:
            self.overflowed.append(connection.number)
