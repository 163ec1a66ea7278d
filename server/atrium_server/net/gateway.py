"""The gateway: all WebSocket connections, and the pump that reads them.

Theory of operation
-------------------
The pump waits until any socket has bytes, lets more gather for a moment, and then makes one pass:

    receive all -> decode poses as a matrix -> offer them to their worlds -> the rest, one by one

A world also asks for a pass right before its tick (`collect`), so that a pose waits for no tick
longer than it must. A chunk whose every byte was a pose costs no Python at all; anything else goes
to the connection's protocol object, which speaks all of RFC 6455, and each message that it yields
through the rates and the state table to `Requests`. `_on_frame` is the one boundary where errors of
a peer end: the peer is told a code and a sentence, and closed; nobody else notices.

How connections end is in `endings`, what messages mean in `requests`, what goes out in `outgoing`,
and the way of poses in `poses`; the gateway is what they share and what the worlds see of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import trio
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from atrium_server.doors import I32, I64, U8, Bools, Directory, WorldDoor
from atrium_server.frames import binary_frame
from atrium_server.net import route_kernels
from atrium_server.net.addresses import Addresses
from atrium_server.net.connection import Arrival, Connection
from atrium_server.net.connections import Connections
from atrium_server.net.endings import CounterOf, Endings
from atrium_server.net.frame_kernels import Chunks, chunks_of
from atrium_server.net.outgoing import Outgoing
from atrium_server.net.plain_frames import whole_messages
from atrium_server.net.poses import Poses
from atrium_server.net.requests import Identifier, RequestParts, Requests
from atrium_server.net.session_state import SessionState
from atrium_server.net.socket_io import SocketIO
from atrium_shared import codec, limits, pose
from atrium_shared import messages as m
from atrium_shared.errors import CloseCode, ErrorCode, ProtocolError

GATHER_S = 0.06
"""After a busy pass the pump leaves its sockets alone for this long. Worlds collect right before
their ticks, and no pose can matter sooner; at 20 Hz the pump itself then makes no pass at all."""
GATHER_IDLE_S = 0.002
_BUSY_CHUNKS = 16


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """What the gateway is given."""

    io: SocketIO
    identifier: Identifier
    addresses: Addresses
    protocol_errors: CounterOf
    epoch: float
    """The clock's time at which the wire's milliseconds are 0."""
    connections_max: int = limits.CONNECTIONS_MAX


class Gateway:
    """All connections of this process. Implements `ClientSink` and `Links`."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts
        self._io = parts.io
        self._all = Connections(parts.connections_max)
        self._out = Outgoing(parts.io, self._all)
        self._poses = Poses(self._all)
        self._endings = Endings(
            parts.io, self._all, self._out, parts.addresses, parts.protocol_errors
        )
        self._requests: Requests | None = None
        self._draining = False
        self._busy_until = 0.0

    # --- life ----------------------------------------------------------------------------

    async def run(
        self, directory: Directory, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Pump for ever."""
        self._endings.directory = directory
        async with trio.open_nursery() as nursery:
            self._requests = Requests(RequestParts(
                links=self, endings=self._endings, out=self._out,
                identifier=self._parts.identifier, directory=directory, nursery=nursery,
            ))
            nursery.start_soon(self._housekeeping)
            task_status.started()
            while True:
                gathering_s = self._busy_until - trio.current_time()
                if gathering_s > 0:
                    await trio.sleep(gathering_s)
                    continue
                await self._io.wait_readable()
                self.collect()
                await trio.sleep(GATHER_IDLE_S)

    @property
    def has_room(self) -> bool:
        """Whether `adopt` may be called."""
        return self._all.has_room and not self._draining

    def adopt(self, arrival: Arrival) -> None:
        """Take over a connection whose handshake is done. There must be room."""
        assert not self._draining
        connection = self._all.add(arrival, trio.current_time())
        self._io.add(connection.number, arrival.endpoint)
        if arrival.rest:
            self._feed(connection, arrival.rest)
        if arrival.cipher is not None and arrival.cipher.is_over and self._all.has(connection):
            self._endings.drop(connection)

    def now_ms(self) -> int:
        """The wire's clock."""
        return int((trio.current_time() - self._parts.epoch) * 1000) & 0xFFFFFFFF

    async def drain(self, seconds: float) -> None:
        """Tell everybody that the server stops, close with 1001, wait at most `seconds`."""
        self._draining = True
        notice = binary_frame(codec.encode(m.Notice(
            ErrorCode.DRAINING, "The server is going down; come back in a moment."
        )))
        for connection in self._all:
            if connection.state is SessionState.ACTIVE:
                self._out.send_last(connection, notice)
            self._endings.close(connection, CloseCode.GOING_AWAY, "the server is going down")
        with trio.move_on_after(seconds):
            while len(self._all):
                self.collect()
                await trio.sleep(GATHER_S)
        for connection in self._all:
            self._endings.drop(connection)

    # --- the pump ------------------------------------------------------------------------

    def collect(self) -> int:
        """One pass over all ready sockets; returns how many there were."""
        chunks = self._io.receive()
        if chunks.count:
            self._take(chunks)
        if chunks.count >= _BUSY_CHUNKS:
            self._busy_until = trio.current_time() + GATHER_S
        if self._all.has_tail.any():
            self._out.flush_tails()
        self._endings.end_failed()
        return chunks.count

    def _take(self, chunks: Chunks) -> None:
        if self._all.ciphers and self._all.ciphered[chunks.slots[: chunks.count]].any():
            chunks = self._decrypted(chunks)
        consumed = self._poses.decode(chunks)
        unfinished = np.empty(len(consumed), np.int64)
        found = route_kernels.note_heard(
            chunks.slots, chunks.lengths, consumed, chunks.count, trio.current_time(),
            self._all.heard_at, unfinished,
        )
        for k in unfinished[:found].tolist():
            connection = self._all.find(int(chunks.slots[k]))
            if connection is None:
                continue
            if chunks.lengths[k] <= 0:
                self._endings.drop(connection)
                continue
            start = int(chunks.offsets[k])
            rest = slice(start + int(consumed[k]), start + int(chunks.lengths[k]))
            self._feed(connection, chunks.arena[rest].tobytes())
        self._poses.offer()

    def _decrypted(self, chunks: Chunks) -> Chunks:
        """The same pass with the plaintext of those who encrypt."""
        pieces: list[tuple[int, int, bytes | memoryview]] = []
        count, view = chunks.count, chunks.arena.data
        ciphered = self._all.ciphered[chunks.slots[:count]].tolist()
        for number, at, length, is_ciphered in zip(
            chunks.slots[:count].tolist(), chunks.offsets[:count].tolist(),
            chunks.lengths[:count].tolist(), ciphered, strict=True,
        ):
            data: bytes | memoryview = view[at : at + max(length, 0)]
            if length > 0 and is_ciphered:
                data = self._decrypt(self._all.at(number), data)
                length = len(data)
                if not length:
                    continue  # not a whole record yet, or nothing for us in it
            pieces.append((number, length, data))
        return chunks_of(pieces)

    def _decrypt(self, connection: Connection, data: memoryview) -> bytes:
        """Plaintext. Whose stream is over is dropped when this pass has been taken in."""
        assert connection.cipher is not None
        plain, answer = connection.cipher.decrypt(data)
        if answer:
            self._out.send_raw(connection, answer)
        if connection.cipher.is_over:
            self._out.broken.append(connection.number)
        return plain

    # --- the slow path -------------------------------------------------------------------

    def _feed(self, connection: Connection, data: bytes) -> None:
        """Bytes that are not exactly poses."""
        if connection.walker.at_boundary and connection.protocol.state is State.OPEN:
            data = self._feed_plain(connection, data)
            if not data:
                return
        protocol = connection.protocol
        if connection.state is SessionState.CLOSING:
            connection.ignored_bytes += len(data)
            if connection.ignored_bytes > limits.MESSAGE_BYTES_MAX:
                return  # no close frame in all this: CLOSE_S will end it
        connection.walker.feed(data)
        protocol.receive_data(data)
        for frame in protocol.events_received():
            assert isinstance(frame, Frame)
            self._on_frame(connection, frame)
        if protocol.state is not State.OPEN:
            self._endings.on_protocol_end(connection)
        self._out.send_protocol(connection)
        self._open_fast_path(connection)

    def _feed_plain(self, connection: Connection, data: bytes) -> bytes:
        """Whole messages of the most usual form; returns what is left for the protocol object."""
        state = connection.state
        if state is SessionState.CLOSING:
            return data
        payloads, used = whole_messages(data)
        for payload in payloads:
            if connection.state is not SessionState.CLOSING:
                self._on_message(connection, payload)
        if connection.state is not state:
            self._open_fast_path(connection)
        return data[used:]

    def _open_fast_path(self, connection: Connection) -> None:
        """Let exact poses pass, from where the stream stands now, if they may be said at all."""
        self._all.fast_open[connection.number] = (
            connection.state in (SessionState.JOINING, SessionState.ACTIVE)
            and connection.protocol.state is State.OPEN
            and connection.walker.at_boundary
            and self._all.has(connection)
        )

    def _on_frame(self, connection: Connection, frame: Frame) -> None:
        """One frame of the peer. Errors of the peer end here."""
        if connection.state is SessionState.CLOSING or frame.opcode is Opcode.CLOSE:
            return  # the protocol object answers
        if frame.opcode is Opcode.BINARY and frame.fin:
            self._on_message(connection, bytes(frame.data))
            return
        try:
            connection.rates.take_frame(trio.current_time())
            if frame.opcode not in (Opcode.PING, Opcode.PONG):
                raise ProtocolError(
                    ErrorCode.MALFORMED, "messages are binary and come in one frame"
                )
        except ProtocolError as error:
            self._endings.refuse(connection, error)

    def _on_message(self, connection: Connection, data: bytes) -> None:
        """One message of the peer. Errors of the peer end here."""
        now = trio.current_time()
        try:
            connection.rates.take_frame(now)
            message = codec.decode_client(data)
            assert self._requests is not None
            self._requests.take(connection, message, now)
        except ProtocolError as error:
            self._endings.refuse(connection, error)

    # --- Links ---------------------------------------------------------------------------

    def joining(self, connection: Connection) -> bool:
        """See `Links.joining`."""
        if not self._all.has(connection) or connection.state is not SessionState.AUTH:
            return False
        connection.state = SessionState.JOINING
        self._open_fast_path(connection)
        return True

    def take_pose(self, connection: Connection, message: m.Pose) -> None:
        """See `Links.take_pose`."""
        self._poses.take(connection, message)

    def take_ack(self, connection: Connection, message: m.Ack) -> None:
        """See `Links.take_ack`."""
        if connection.door is not None and not self._all.acks_void[connection.number]:
            connection.door.offer_ack(connection.slot, message.ack_tick)

    # --- ClientSink ----------------------------------------------------------------------

    def joined(self, connection: int, session_id: int, door: WorldDoor, slot: int) -> None:
        """See `ClientSink.joined`."""
        one = self._all.find(connection)
        if one is None or one.state is SessionState.CLOSING:
            return
        if one.session_id:  # it was in another world: what is under way from there is void
            self._all.epoch[connection] ^= int(pose.Flags.EPOCH)
            self._all.acks_void[connection] = True
        one.state = SessionState.ACTIVE
        one.session_id, one.door, one.slot = session_id, door, slot
        self._all.door_of[connection] = self._poses.index_of(door)
        self._all.slot_of[connection] = slot

    def moving(self, connection: int) -> None:
        """See `ClientSink.moving`."""
        one = self._all.at(connection)
        # Behind the next welcome it would seem to be of the other world.
        self._out.flush_reliable(one)
        one.state, one.door, one.slot = SessionState.JOINING, None, -1
        one.since = trio.current_time()
        self._all.door_of[connection] = self._all.slot_of[connection] = -1

    def tell(self, connection: int, frame: bytes, is_talk: bool = False) -> None:
        """See `ClientSink.tell`."""
        one = self._all.find(connection)
        if one is not None and one.state is not SessionState.CLOSING:
            self._out.queue(one, frame, is_talk)

    def ready(self, connections: I32) -> Bools:
        """See `ClientSink.ready`."""
        return self._out.ready(connections)

    def pending(self, connections: I32, room: I32) -> I32:
        """See `ClientSink.pending`."""
        return self._out.waiting(connections, room)

    def send(
        self, connections: I32, prefixes: I32, arena: U8, offsets: I64, lengths: I64
    ) -> U8:
        """See `ClientSink.send`."""
        return self._out.send(connections, prefixes, arena, offsets, lengths)

    def end(self, connection: int, code: ErrorCode, sentence: str) -> None:
        """See `ClientSink.end`."""
        one = self._all.find(connection)
        if one is not None:
            self._endings.end(one, code, sentence)

    # --- once a second -------------------------------------------------------------------

    async def _housekeeping(self) -> None:
        while True:
            before = trio.current_time()
            await trio.sleep(1.0)
            now = trio.current_time()
            # While the whole process stood still nobody was listened to: that is no silence.
            self._all.heard_at += max(0.0, now - before - 1.0)
            for connection in self._all.to_look_after(now):
                self._endings.look_after(connection, now)
            self._endings.end_failed()
