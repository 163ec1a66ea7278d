"""The gateway: all WebSocket connections, the pump that reads them, and what their messages mean.

Theory of operation
-------------------
The pump waits until any socket has bytes, lets more gather for a moment, and then makes one pass:

    receive all -> decode poses as a matrix -> offer them to their worlds -> the rest, one by one

A world also asks for a pass right before its tick (`collect`), so that a pose waits for no tick longer
than it must. A chunk whose every byte was a pose costs no Python at all; anything else goes to the
connection's protocol object, which speaks all of RFC 6455, and each message that it yields through the
state table, the rate limits and `_handle`. That is the one boundary where errors of a peer end: the
peer is told a code and a sentence, and closed; nobody else notices.

Connections are numbered; all arrays are indexed by that number. A number is reused, but never within the
pass in which it was freed.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import trio
from websockets.frames import Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from atrium_server.doors import I32, I64, U8, Bools, Directory, JoinRequest, WorldDoor
from atrium_server.frames import binary_frame
from atrium_server.net import frame_kernels
from atrium_server.net.addresses import Addresses
from atrium_server.net.connection import Connection
from atrium_server.net.outgoing import Outgoing
from atrium_server.net.session_state import SessionState, check
from atrium_server.net.socket_io import Endpoint, SocketIO
from atrium_server.telemetry import Counter
from atrium_server.world.commands import AnyCommand, Gesture, Jump, Say
from atrium_server.world.movement import PoseBatch
from atrium_server.world.text import clean_name
from atrium_shared import codec, limits
from atrium_shared import messages as m
from atrium_shared.errors import (
    CLOSE_CODE_OF, CloseCode, ErrorCode, Overload, ProtocolError, RequestRefused,
)

logger = logging.getLogger(__name__)

GATHER_S = 0.02
"""After a busy pass the pump lets bytes gather for this long; ticks collect by themselves."""
GATHER_IDLE_S = 0.002
_BUSY_CHUNKS = 16
CLOSE_S = 2.0
"""How long a closed peer has for its answer."""


class Identifier(Protocol):
    """Says who a client is; the seam where accounts come in."""

    async def identify(self, hello: m.Hello) -> str:
        """The name the client goes by. Raises ProtocolError or RequestRefused."""
        ...


class Guests:
    """Everybody is who they say, as long as the name is a proper one and no account is claimed."""

    async def identify(self, hello: m.Hello) -> str:
        if hello.auth_token:
            raise RequestRefused(
                ErrorCode.NOT_ALLOWED, "This server has no accounts: join without a token."
            )
        return clean_name(hello.name)


@dataclass(frozen=True, slots=True)
class GatewayParts:
    """What the gateway is given."""

    io: SocketIO
    identifier: Identifier
    addresses: Addresses
    protocol_errors: "CounterOf"
    epoch: float
    """The clock's time at which the wire's milliseconds are 0."""
    connections_max: int = limits.CONNECTIONS_MAX


class CounterOf(Protocol):
    """The counter for one value of a label."""

    def __call__(self, value: str) -> Counter: ...


class Gateway:
    """All connections of this process. Implements `ClientSink`."""

    def __init__(self, parts: GatewayParts) -> None:
        self._parts = parts
        self._io = parts.io
        n = parts.connections_max
        self._connections: list[Connection | None] = [None] * n
        self._free = deque(range(n))
        self._freed: list[int] = []
        self._out = Outgoing(parts.io, self._connections)
        self._fast_open = np.zeros(n, np.uint8)
        self._slot_of = np.full(n, -1, np.int32)
        self._door_of = np.full(n, -1, np.int32)
        self._heard_at = np.zeros(n, np.float64)
        self._poses_in_window = np.zeros(n, np.int32)
        self._doors: list[WorldDoor] = []
        self._buffer = frame_kernels.PoseBuffer(max(4096, n))
        self._directory: Directory | None = None
        self._nursery: trio.Nursery | None = None
        self._draining = False

    # --- life ----------------------------------------------------------------------------

    async def run(
        self, directory: Directory, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Pump for ever."""
        self._directory = directory
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._housekeeping)
            task_status.started()
            while True:
                await self._io.wait_readable()
                await trio.sleep(GATHER_S if self.collect() >= _BUSY_CHUNKS else GATHER_IDLE_S)

    def adopt(
        self, endpoint: Endpoint, protocol: ServerProtocol, address: str, rest: bytes
    ) -> None:
        """Take over a connection whose handshake is done; `rest` is what followed it.

        Raises Overload, and leaves the endpoint alone, when all numbers are taken.
        """
        if not self._free or self._draining:
            raise Overload("The server has no room for more connections.", 10_000)
        now = trio.current_time()
        connection = Connection(self._free.popleft(), endpoint, protocol, address, now)
        self._connections[connection.number] = connection
        self._heard_at[connection.number] = now
        self._fast_open[connection.number] = 1
        self._io.add(connection.number, endpoint)
        if rest:
            self._feed(connection, rest)

    @property
    def open(self) -> int:
        """Connections there are."""
        return sum(1 for connection in self._connections if connection is not None)

    def now_ms(self) -> int:
        """The wire's clock."""
        return int((trio.current_time() - self._parts.epoch) * 1000) & 0xFFFFFFFF

    async def drain(self, seconds: float) -> None:
        """Tell everybody that the server stops, close with 1001, wait at most `seconds`."""
        self._draining = True
        notice = binary_frame(codec.encode(m.Notice(
            ErrorCode.DRAINING, "The server is going down; come back in a moment."
        )))
        for connection in self._all():
            if connection.state is SessionState.ACTIVE:
                self._out.queue(connection, notice)
            self._close(connection, CloseCode.GOING_AWAY, "the server is going down")
        with trio.move_on_after(seconds):
            while any(self._all()):
                self.collect()
                await trio.sleep(0.02)
        for connection in self._all():
            self._drop(connection)

    def _all(self) -> list[Connection]:
        return [connection for connection in self._connections if connection is not None]

    # --- the pump ------------------------------------------------------------------------

    def collect(self) -> int:
        """One pass over all ready sockets; returns how many there were."""
        self._free.extend(self._freed)
        self._freed.clear()
        chunks = self._io.receive()
        if chunks.count:
            self._take(chunks)
        if self._out.has_tail.any():
            self._out.flush_tails()
        self._end_failed()
        return chunks.count

    def _take(self, chunks: frame_kernels.Chunks) -> None:
        slots, lengths = chunks.slots[: chunks.count], chunks.lengths[: chunks.count]
        self._heard_at[slots] = trio.current_time()
        buffer = self._buffer
        consumed = frame_kernels.decode_poses(chunks, self._fast_open, buffer)[: chunks.count]
        for k in np.flatnonzero((consumed < lengths) | (lengths <= 0)).tolist():
            connection = self._connections[int(slots[k])]
            if connection is None:
                continue
            if lengths[k] <= 0:
                self._drop(connection)
                continue
            start = int(chunks.offsets[k] + consumed[k])
            self._feed(
                connection, chunks.arena[start : int(chunks.offsets[k] + lengths[k])].tobytes()
            )
        if buffer.count:
            self._offer_poses()

    def _offer_poses(self) -> None:
        """Give the decoded poses to the worlds of their connections."""
        buffer, n = self._buffer, self._buffer.count
        numbers = buffer.slots[:n]
        self._poses_in_window += np.bincount(
            numbers, minlength=len(self._poses_in_window)
        ).astype(np.int32)
        doors = self._door_of[numbers]
        for index in np.unique(doors).tolist():
            if index < 0:
                continue  # between two worlds, or not in one yet
            which = np.flatnonzero(doors == index) if (doors != index).any() else slice(0, n)
            batch = PoseBatch(
                self._slot_of[numbers[which]], buffer.seqs[:n][which], buffer.rows[:n][which],
                buffer.parts[:n][which], buffer.extras[:n][which],
            )
            self._doors[index].offer_poses(batch, buffer.ack_ticks[:n][which])
        buffer.count = 0

    def _feed(self, connection: Connection, data: bytes) -> None:
        """The slow path: bytes that are not exactly poses."""
        if connection.cipher is not None:
            try:
                data, answer = connection.cipher.decrypt(data)
            except OSError:
                self._drop(connection)
                return
            self._out.send_raw(connection, answer)
        protocol = connection.protocol
        connection.walker.feed(data)
        protocol.receive_data(data)
        for event in protocol.events_received():
            self._on_frame(connection, event)
            if self._connections[connection.number] is not connection:
                return
        self._send_protocol_bytes(connection)
        open_ = protocol.state is State.OPEN and connection.walker.at_boundary
        self._fast_open[connection.number] = open_ and connection.cipher is None
        if protocol.close_expected() and protocol.state is not State.OPEN:
            # Both close frames have passed, or the stream is broken: nothing more will come.
            connection.closing_by = min(connection.closing_by, trio.current_time() + CLOSE_S)
            if protocol.state is State.CLOSED or protocol.close_rcvd is not None:
                self._drop(connection)

    def _send_protocol_bytes(self, connection: Connection) -> None:
        data = b"".join(connection.protocol.data_to_send())
        if data:
            self._out.send_now(connection, data)

    # --- messages ------------------------------------------------------------------------

    def _on_frame(self, connection: Connection, event: object) -> None:
        """One frame of the peer. Errors of the peer end here."""
        opcode, data = event.opcode, bytes(event.data)  # type: ignore[attr-defined]
        if opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):
            return  # the protocol object answers
        try:
            if opcode is not Opcode.BINARY or not event.fin:  # type: ignore[attr-defined]
                raise ProtocolError(
                    ErrorCode.MALFORMED, "messages are binary and come in one frame"
                )
            self._on_message(connection, codec.decode_client(data))
        except ProtocolError as error:
            self._parts.protocol_errors(error.code.name).add()
            self.end(connection.number, error.code, error.sentence)
        except RequestRefused as refused:
            self.end(connection.number, refused.code, refused.sentence)

    def _on_message(self, connection: Connection, message: m.ClientMessage) -> None:
        check(connection.state, message)
        now = trio.current_time()
        in_rate = connection.rates.take(type(message), now)
        if connection.state is SessionState.CLOSING:
            return
        match message:
            case m.Pose():
                self._on_pose(connection, message)
            case m.Ack():
                if connection.door is not None:
                    connection.door.offer_ack(connection.slot, message.ack_tick)
            case m.ClockPing():
                if in_rate:
                    pong = m.ClockPong(message.client_ms, self.now_ms(), 0)
                    self._out.send_now(connection, binary_frame(codec.encode(pong)))
            case m.Hello():
                self._on_hello(connection, message)
            case m.Bye():
                self._leave(connection)
                self._close(connection, CloseCode.GOING_AWAY, "goodbye")
            case _:
                self._on_request(connection, message, in_rate)

    def _on_pose(self, connection: Connection, message: m.Pose) -> None:
        try:
            frame_kernels.append_body(self._buffer, connection.number, message)
        except ValueError as error:
            raise ProtocolError(ErrorCode.MALFORMED, str(error)) from None

    def _on_hello(self, connection: Connection, hello: m.Hello) -> None:
        if hello.protocol_hash not in ACCEPTED_HASHES:
            raise ProtocolError(
                ErrorCode.VERSION,
                f"this server speaks {codec.SUBPROTOCOL} {codec.PROTOCOL_HASH}: update the client",
            )
        connection.state = SessionState.AUTH
        assert self._nursery is not None
        self._nursery.start_soon(self._admit, connection, hello, name="admit")

    async def _admit(self, connection: Connection, hello: m.Hello) -> None:
        """Find out who it is, then ask the directory for a seat."""
        number = connection.number
        try:
            name = await self._parts.identifier.identify(hello)
            if self._connections[number] is not connection or (
                connection.state is not SessionState.AUTH
            ):
                return
            connection.state = SessionState.JOINING
            assert self._directory is not None
            self._directory.admit(JoinRequest(
                number, name, hello.avatar, hello.world, hello.capabilities, hello.resume_token,
                hello.last_chat_seq,
            ))
        except ProtocolError as error:
            self._parts.protocol_errors(error.code.name).add()
            self.end(number, error.code, error.sentence)
        except RequestRefused as refused:
            self.end(number, refused.code, refused.sentence)
        except Overload as overload:
            self.end(number, ErrorCode.FULL, overload.sentence, overload.retry_ms)

    def _on_request(
        self, connection: Connection, message: m.ClientMessage, in_rate: bool
    ) -> None:
        """What gets exactly one first answer, and only an ACTIVE session may ask."""
        assert connection.door is not None
        if not in_rate:
            self._refuse(connection, message, ErrorCode.RATE_LIMITED, "Not so fast.", 1_000)
            return
        if isinstance(message, m.RtcSignal):
            self._refuse(connection, message, ErrorCode.RESERVED, "Voice is not here yet.", 0)
            return
        if isinstance(message, m.Travel):
            self._on_travel(connection, message)
            return
        if not connection.door.offer(_command_of(connection.session_id, message)):
            self._refuse(
                connection, message, ErrorCode.RATE_LIMITED, "The world is very busy.", 1_000
            )

    def _on_travel(self, connection: Connection, message: m.Travel) -> None:
        assert self._directory is not None
        try:
            self._directory.travel(
                connection.number, connection.session_id, message.request_id, message.world
            )
        except RequestRefused as refused:
            self._refuse(connection, message, refused.code, refused.sentence, refused.retry_ms)
        except Overload as overload:
            self._refuse(
                connection, message, ErrorCode.WORLD_FULL, overload.sentence, overload.retry_ms
            )
        else:
            self.moving(connection.number)

    def _refuse(
        self, connection: Connection, message: m.ClientMessage, code: ErrorCode, sentence: str,
        retry_ms: int,
    ) -> None:
        if isinstance(message, m.ChatSubmit):
            answer: m.Message = m.ChatStatus(
                message.request_id, m.ChatState.REJECTED, 0, sentence
            )
        else:
            request_id = getattr(message, "request_id", 0)
            answer = m.Result(request_id, code, sentence, retry_ms)
        self._out.queue(connection, binary_frame(codec.encode(answer)))

    # --- ClientSink ----------------------------------------------------------------------

    def joined(self, connection: int, session_id: int, door: WorldDoor, slot: int) -> None:
        """See `ClientSink.joined`."""
        one = self._connections[connection]
        if one is None or one.state is SessionState.CLOSING:
            return
        one.state = SessionState.ACTIVE
        one.session_id, one.door, one.slot = session_id, door, slot
        if door not in self._doors:
            self._doors.append(door)
        self._door_of[connection] = self._doors.index(door)
        self._slot_of[connection] = slot

    def moving(self, connection: int) -> None:
        """See `ClientSink.moving`."""
        one = self._connections[connection]
        if one is not None:
            one.state, one.door, one.slot = SessionState.JOINING, None, -1
            one.opened_at = trio.current_time()
            self._door_of[connection] = self._slot_of[connection] = -1

    def tell(self, connection: int, frame: bytes) -> None:
        """See `ClientSink.tell`."""
        one = self._connections[connection]
        if one is not None and one.state is not SessionState.CLOSING:
            self._out.queue(one, frame)

    def ready(self, connections: I32) -> Bools:
        """See `ClientSink.ready`."""
        return self._out.ready(connections)

    def pending(self, connections: I32) -> I32:
        """See `ClientSink.pending`."""
        return self._out.pending[connections]

    def send(
        self, connections: I32, prefixes: I32, arena: U8, offsets: I64, lengths: I64
    ) -> U8:
        """See `ClientSink.send`."""
        return self._out.send(connections, prefixes, arena, offsets, lengths)

    def end(self, connection: int, code: ErrorCode, sentence: str, retry_ms: int = 0) -> None:
        """See `ClientSink.end`."""
        one = self._connections[connection]
        if one is None or one.state is SessionState.CLOSING:
            return
        error = m.Error(code, sentence[: limits.SENTENCE_CHARS_MAX], retry_ms)
        self._out.queue(one, binary_frame(codec.encode(error)))
        if code not in (ErrorCode.REPLACED, ErrorCode.INTERNAL):
            self._leave(one)
        self._close(one, CLOSE_CODE_OF.get(code, CloseCode.UNEXPECTED), sentence)

    # --- endings -------------------------------------------------------------------------

    def _leave(self, connection: Connection) -> None:
        """The session is over, not only the link."""
        door, connection.door = connection.door, None
        self._door_of[connection.number] = -1
        if door is not None:
            door.leave(connection.session_id)
        elif connection.state in (SessionState.AUTH, SessionState.JOINING):
            assert self._directory is not None
            self._directory.lost(connection.number)

    def _close(self, connection: Connection, code: CloseCode, reason: str) -> None:
        """Start the closing handshake, after everything that is queued."""
        if connection.state is SessionState.CLOSING:
            return
        if connection.door is not None and not self._draining:
            connection.door.link_lost(connection.session_id, connection.number)
        connection.door = None
        self._door_of[connection.number] = -1
        connection.state = SessionState.CLOSING
        connection.closing_by = trio.current_time() + CLOSE_S
        self._out.flush_reliable(connection)
        if connection.protocol.state is State.OPEN:
            connection.protocol.send_close(int(code), _reason(reason))
        self._send_protocol_bytes(connection)

    def _drop(self, connection: Connection) -> None:
        """The connection is gone: free all that it had."""
        if self._connections[connection.number] is not connection:
            return
        number = connection.number
        if connection.door is not None:
            connection.door.link_lost(connection.session_id, number)
        elif connection.state in (SessionState.AUTH, SessionState.JOINING):
            assert self._directory is not None
            self._directory.lost(number)
        self._io.remove(number)
        connection.endpoint.close()
        self._connections[number] = None
        self._door_of[number] = self._slot_of[number] = -1
        self._fast_open[number] = 0
        self._poses_in_window[number] = 0
        self._out.forget(number)
        self._freed.append(number)
        self._parts.addresses.leave(connection.address)

    def _end_failed(self) -> None:
        """Drop whose sockets failed, end those who do not read."""
        for number in self._take_all(self._out.broken):
            connection = self._connections[number]
            if connection is not None:
                self._drop(connection)
        for number in self._take_all(self._out.overflowed):
            connection = self._connections[number]
            if connection is not None:
                # Nothing that we say would be read: the rest of the queue goes with the link.
                connection.reliable.clear()
                logger.info("a client was dropped because it does not read")
                self._drop(connection)

    @staticmethod
    def _take_all(numbers: list[int]) -> list[int]:
        taken = sorted(set(numbers))
        numbers.clear()
        return taken

    # --- once a second -------------------------------------------------------------------

    async def _housekeeping(self) -> None:
        while True:
            await trio.sleep(1.0)
            now = trio.current_time()
            for connection in self._all():
                self._look_after(connection, now)
            self._poses_in_window[:] = 0
            self._end_failed()

    def _look_after(self, connection: Connection, now: float) -> None:
        silent_s = now - self._heard_at[connection.number]
        if now >= connection.closing_by or silent_s > limits.SILENCE_S_MAX:
            self._drop(connection)
            return
        waiting = connection.state in (
            SessionState.HELLO, SessionState.AUTH, SessionState.JOINING
        )
        if waiting and now - connection.opened_at > limits.JOIN_S_MAX:
            self.end(connection.number, ErrorCode.TIMEOUT, "Joining took too long.")
        elif silent_s > limits.SILENCE_PING_S and connection.protocol.state is State.OPEN:
            connection.protocol.send_ping(b"")
            self._send_protocol_bytes(connection)
        elif self._poses_in_window[connection.number] > limits.MESSAGES_PER_S_MAX:
            connection.strikes += 1
            if connection.strikes > 2:
                self.end(connection.number, ErrorCode.TOO_FAST, "Too many poses a second.")
        else:
            connection.strikes = 0


ACCEPTED_HASHES = frozenset({codec.PROTOCOL_HASH})
"""The present wire table and those before it that this server still speaks."""


def _command_of(session_id: int, message: m.ClientMessage) -> AnyCommand:
    match message:
        case m.ChatSubmit():
            return Say(
                session_id, message.request_id, message.channel, message.target, message.text
            )
        case m.EmoteSubmit():
            return Gesture(session_id, message.emote)
        case m.Teleport():
            return Jump(
                session_id, message.request_id, message.kind, message.target,
                message.x, message.y, message.z, message.yaw,
            )
        case _:
            raise AssertionError(f"{type(message).__name__} is no request")


def _reason(sentence: str) -> str:
    """A close reason: at most 123 bytes of UTF-8."""
    return sentence.encode()[:120].decode(errors="ignore")
