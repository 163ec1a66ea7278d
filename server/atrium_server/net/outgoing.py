"""Bytes on their way out: reliable messages, snapshots, and tails of what was sent in part.

A tail goes before everything. Reliable messages wait for the next snapshot, in two queues that
each keep their order. The *urgent* one holds what concerns the client itself (welcome, corrections,
results, what became of its lines); it is short, for it is bounded by the client's own rates, and
goes before the next snapshot whole: what a snapshot acknowledges has been answered. The *talk* of
others (lines, emotes) comes after it, as much as the client's credit allows.

A snapshot is never queued behind another: a connection with a tail is not `ready`. Queues are
bounded; a peer for whom they overflow gets no snapshot any more, is reported in `overflowed`, and
the gateway ends it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from atrium_server.doors import I32, I64, U8, Bools
from atrium_server.net.connection import Connection
from atrium_server.net.connections import Connections
from atrium_server.net.socket_io import SocketIO, is_retry
from atrium_shared import limits

SNAPSHOT_BYTES_MAX = 2 * limits.OUTGOING_BYTES_MAX
"""More than one tick of replication is for one viewer: leaves, enters, and a snapshot whose body
has a length of 16 bits."""
TAIL_BYTES_MAX = (
    limits.RELIABLE_BYTES_MAX + SNAPSHOT_BYTES_MAX  # a piece of which one byte was taken
    + limits.RELIABLE_BYTES_MAX  # both queues, full again, flushed by a close or a travel
    + limits.OUTGOING_BYTES_MAX  # pongs and other answers that go out at once
)
"""Most that may wait for a socket to take it."""


class Outgoing:
    """The sending half of the gateway."""

    def __init__(self, io: SocketIO, connections: Connections) -> None:
        self._io = io
        self._connections = connections
        self.broken: list[int] = []
        """Connections whose socket failed; the gateway drops them."""
        self.overflowed: list[int] = []
        """Connections that do not read what they are sent."""

    def queue(self, connection: Connection, frame: bytes, is_talk: bool = False) -> None:
        """A reliable message, to go out with the next snapshot, or a later one if it is talk."""
        waiting = len(connection.urgent or ()) + len(connection.talk or ())
        if (
            connection.reliable_bytes + len(frame) > limits.RELIABLE_BYTES_MAX
            or waiting >= limits.RELIABLE_MESSAGES_MAX
        ):
            self.overflowed.append(connection.number)
            # Nothing may be sent as if this message had been: it may be a welcome.
            self._connections.closing[connection.number] = True
            return
        if is_talk:
            if connection.talk is None:
                connection.talk = deque()
            connection.talk.append(frame)
        else:
            if connection.urgent is None:
                connection.urgent = deque()
            connection.urgent.append(frame)
            connection.urgent_bytes += len(frame)
        connection.reliable_bytes += len(frame)
        self._connections.pending[connection.number] = connection.reliable_bytes

    def forget_reliable(self, connection: Connection) -> None:
        """Drop what is queued: it has been sent, or will not be."""
        connection.urgent = connection.talk = None
        connection.urgent_bytes = connection.reliable_bytes = 0
        self._connections.pending[connection.number] = 0

    def send_now(self, connection: Connection, data: bytes) -> None:
        """Bytes that go out at once (handshake, pong, close), after the tail if there is one."""
        self.send_raw(connection, bytes(self._encrypted(connection, data)) if data else b"")

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

    def send_protocol(self, connection: Connection) -> None:
        """Whatever the protocol object wants to say (pong, ping, close)."""
        data = b"".join(connection.protocol.data_to_send())
        if data:
            self.send_now(connection, data)

    def flush_reliable(self, connection: Connection) -> None:
        """Send all that is queued without waiting for a snapshot: before a close or a travel."""
        if connection.reliable_bytes:
            data = b"".join(_waiting_frames(connection, connection.reliable_bytes))
            self.forget_reliable(connection)
            self.send_now(connection, data)

    def send_last(self, connection: Connection, frame: bytes) -> None:
        """Send a message after all that is queued, without waiting for a snapshot."""
        self.flush_reliable(connection)
        self.send_now(connection, frame)

    def flush_tails(self) -> None:
        """Offer the tails again."""
        for number in np.flatnonzero(self._connections.has_tail).tolist():
            connection = self._connections.at(number)
            data, connection.tail = connection.tail, b""
            self._connections.has_tail[number] = False
            self.send_raw(connection, data)

    def waiting(self, connections: I32, room: I32) -> I32:
        """Bytes of the whole messages that may go out now. See `ClientSink.pending`."""
        bytes_ = self._connections.pending[connections]
        for k in np.flatnonzero(bytes_ > room).tolist():
            connection = self._connections.at(int(connections[k]))
            fits = connection.urgent_bytes
            for frame in connection.talk or ():
                if fits > connection.urgent_bytes and fits + len(frame) > room[k]:
                    break
                fits += len(frame)
            bytes_[k] = fits
        return bytes_

    def ready(self, connections: I32) -> Bools:
        """Which may be sent a snapshot: nothing half-sent, and no close frame sent."""
        all_ = self._connections
        return ~(all_.has_tail[connections] | all_.closing[connections])

    def send(
        self, connections: I32, prefixes: I32, arena: U8, offsets: I64, lengths: I64
    ) -> U8:
        """Fill the gaps and offer all pieces in one call. See `ClientSink.send`."""
        waiting = np.flatnonzero(prefixes)
        for k in waiting.tolist():
            self._fill_gap(int(connections[k]), int(prefixes[k]), arena, int(offsets[k]))
        if self._connections.ciphers and self._connections.ciphered[connections].any():
            arena, offsets, lengths = self._ciphered(connections, arena, offsets, lengths)
        results = self._io.send(connections, arena, offsets, lengths)
        accepted = np.ones(len(connections), np.uint8)
        for k in np.flatnonzero(results != lengths).tolist():
            end = int(offsets[k] + lengths[k])
            accepted[k] = self._partly(
                int(connections[k]), int(results[k]), arena[int(offsets[k]) : end]
            )
        for k in waiting[accepted[waiting] == 1].tolist():
            self._forget_first(self._connections.at(int(connections[k])), int(prefixes[k]))
        return accepted

    def _fill_gap(self, number: int, prefix: int, arena: U8, at: int) -> None:
        frames = b"".join(_waiting_frames(self._connections.at(number), prefix))
        arena[at : at + prefix] = np.frombuffer(frames, np.uint8, prefix)

    def _forget_first(self, connection: Connection, prefix: int) -> None:
        """The urgent messages and the first of the talk, `prefix` bytes, are on their way."""
        if prefix == connection.reliable_bytes:
            self.forget_reliable(connection)
            return
        assert connection.talk is not None
        talk_bytes = prefix - connection.urgent_bytes
        connection.urgent, connection.urgent_bytes = None, 0
        connection.reliable_bytes -= prefix
        self._connections.pending[connection.number] = connection.reliable_bytes
        while talk_bytes > 0:
            talk_bytes -= len(connection.talk.popleft())

    def _partly(self, number: int, result: int, piece: U8) -> bool:
        """Keep what the socket did not take; False when it never will."""
        if result < 0 and not is_retry(result):
            self.broken.append(number)
            return False
        self._keep_tail(self._connections.at(number), piece[max(result, 0) :].tobytes())
        return True

    def _ciphered(
        self, connections: I32, arena: U8, offsets: I64, lengths: I64
    ) -> tuple[U8, I64, I64]:
        """The pieces as they go to the sockets, still to be offered in one call.

        What is encrypted must be sent; whatever is not taken of it becomes a tail.
        """
        view, pieces = arena.data, list[bytes | memoryview]()
        for number, at, length in zip(
            connections.tolist(), offsets.tolist(), lengths.tolist(), strict=True
        ):
            piece = view[at : at + length]
            pieces.append(self._encrypted(self._connections.at(number), piece))
        sizes = np.array([len(piece) for piece in pieces], np.int64)
        joined = np.frombuffer(b"".join(pieces), np.uint8)
        return joined, np.cumsum(sizes) - sizes, sizes

    def _encrypted(
        self, connection: Connection, data: bytes | memoryview
    ) -> bytes | memoryview:
        """As it goes to the socket; empty when nothing can be said to this peer any more."""
        if connection.cipher is None:
            return data
        try:
            return connection.cipher.encrypt(data)
        except OSError:
            self.broken.append(connection.number)
            return b""

    def send_end(self, connection: Connection) -> None:
        """Say that nothing follows, where there are words for it below the WebSocket's.

        Whether the socket takes them makes no difference any more.
        """
        if connection.cipher is not None and not connection.tail:
            self._io.send_one(connection.number, connection.cipher.end())

    def _keep_tail(self, connection: Connection, data: bytes) -> None:
        connection.tail = data
        self._connections.has_tail[connection.number] = True
        if len(data) > TAIL_BYTES_MAX:
            self.overflowed.append(connection.number)


def _waiting_frames(connection: Connection, size_bytes: int) -> Iterator[bytes]:
    """The first of what is queued, in the order in which it goes out: whole frames, so many bytes
    of them.
    """
    yield from connection.urgent or ()
    left = size_bytes - connection.urgent_bytes
    for frame in connection.talk or ():
        if left <= 0:
            return
        left -= len(frame)
        yield frame
