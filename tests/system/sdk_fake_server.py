"""A server in a test's own process: the wire of `atrium.1` over memory streams, and no world.

It answers hellos and clock pings by itself, and GET from `files`; everything else is said by the
test. It shares the codec with the SDK but none of its logic, and uses websockets' Sans-I/O server
for the frames.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import trio
import trio.testing
from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from atrium_shared import codec, messages, pose
from atrium_shared.errors import CLOSE_CODE_OF, ErrorCode

Said = TypeVar("Said", bound=messages.Message)
CLOCK_AHEAD_MS = 5_000_000
"""The server's clock is this far ahead of the client's."""
OUR_ENTITY = 500


def root_body(x: float, z: float, yaw_steps: int = 0, flags: int = 0) -> bytes:
    """A root-only pose body at metres x, z."""
    row = np.zeros((1, pose.COLUMNS), np.int32)
    row[0, :5] = [round(1000 * x), 0, round(1000 * z), yaw_steps, flags]
    return pose.encode_bodies(row, np.zeros((1, pose.EXTRA_BYTES), np.uint8), 0).tobytes()


def full_at(index: int, x: float, flags: int = 0) -> bytes:
    """A snapshot body: `index` stands at x."""
    return bytes((0, 1, index, flags)) + root_body(x, 0)[2:]


def step_of(index: int, millimetres: int) -> bytes:
    """A snapshot body: `index` moves along x."""
    return bytes((1 << 6, 1, index, millimetres & 255, 0, 0, 0))


def welcome(**changes: object) -> messages.Welcome:
    """A welcome with everything usual."""
    values: dict[str, object] = {
        "session_id": 7, "resume_token": "first", "entity_id": OUR_ENTITY, "world": "plaza",
        "tick": 100, "tick_rate_hz": 20, "server_ms": server_ms(), "cap": 64,
        "bytes_per_s": 1_000_000, "parts": 3, "y_unit_mm": 1, "resumed": False, "resume_s": 30,
        "scene_url": "/scenes/plaza@1", "body": root_body(1.0, -2.0), "request_id": 0,
        "author": "guest:ada", "rights": messages.Rights.BUILD,
    }
    return messages.Welcome(**{**values, **changes})  # pyright: ignore[reportArgumentType]


def server_ms() -> int:
    """The server's clock, as it goes over the wire."""
    return (round(trio.current_time() * 1000) + CLOCK_AHEAD_MS) % 2**32


@dataclass
class Peer:
    """The server's end of one connection."""

    stream: trio.abc.Stream
    heard: trio.MemorySendChannel[messages.Message]
    hearing: trio.MemoryReceiveChannel[messages.Message]
    protocol: ServerProtocol = field(
        default_factory=lambda: ServerProtocol(subprotocols=[Subprotocol(codec.SUBPROTOCOL)])
    )
    poses: list[messages.Pose] = field(default_factory=list)
    hello: messages.Hello | None = None
    gone: trio.Event = field(default_factory=trio.Event)
    close_code: int | None = None
    sending: trio.StrictFIFOLock = field(default_factory=trio.StrictFIFOLock)

    async def say(self, *what: messages.Message) -> None:
        """Send messages, in one go."""
        for message in what:
            self.protocol.send_binary(codec.encode(message))
        await self.flush()

    async def snapshot(self, tick: int, body: bytes) -> None:
        """A snapshot of `tick`, stamped with the time now."""
        seq = self.poses[-1].seq if self.poses else 0
        await self.say(messages.Snapshot(tick, server_ms(), seq, body))

    async def expect(self, kind: type[Said]) -> Said:
        """The next message that is neither a pose, a clock ping nor an acknowledgement."""
        message = await self.hearing.receive()
        assert isinstance(message, kind), message
        return message

    async def refuse(self, code: ErrorCode, sentence: str, retry_ms: int = 0) -> None:
        """End the session as the protocol says: an error, then a close frame."""
        self.protocol.send_binary(codec.encode(messages.Error(code, sentence, retry_ms)))
        self.protocol.send_close(CLOSE_CODE_OF[code], "")
        await self.flush()

    async def cut(self) -> None:
        """The wire breaks: no close frame."""
        await self.stream.aclose()

    async def flush(self) -> None:
        """Hand what the protocol wrote to the stream; the test and the answers take turns."""
        async with self.sending:
            for data in self.protocol.data_to_send():
                if data:
                    await self.stream.send_all(data)


Greeter = Callable[[messages.Hello], messages.Welcome | tuple[ErrorCode, str]]


class FakeServer:
    """Give `dial` to `connect(stream=...)`; `peers` has one entry for each connection."""

    def __init__(self, nursery: trio.Nursery, greet: Greeter | None = None) -> None:
        self._nursery = nursery
        self.greet: Greeter = greet or (lambda hello: welcome(resumed=bool(hello.resume_token)))
        self.peers: list[Peer] = []
        self.reachable = True
        self.files: dict[str, bytes] = {}
        """Whole answers of HTTP by their path; what is not there is 404."""
        self.fetched: list[str] = []
        self.dialled_s: list[float] = []

    @property
    def peer(self) -> Peer:
        """The newest connection."""
        return self.peers[-1]

    async def dial(self) -> trio.abc.Stream:
        """The client's end of a new connection."""
        await trio.lowlevel.checkpoint()
        self.dialled_s.append(trio.current_time())
        if not self.reachable:
            raise ConnectionRefusedError("nobody listens")
        ours, theirs = trio.testing.memory_stream_pair()
        heard, hearing = trio.open_memory_channel[messages.Message](math.inf)
        self._nursery.start_soon(self._serve, Peer(ours, heard, hearing))
        return theirs

    async def _serve(self, peer: Peer) -> None:
        try:
            while data := await peer.stream.receive_some():
                peer.protocol.receive_data(data)
                for event in peer.protocol.events_received():
                    if isinstance(event, Request) and "Upgrade" not in event.headers:
                        self.fetched.append(event.path)
                        missing = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
                        await peer.stream.send_all(self.files.get(event.path, missing))
                        return
                    if isinstance(event, Request):
                        self.peers.append(peer)
                        peer.protocol.send_response(peer.protocol.accept(event))
                    elif event.opcode is Opcode.BINARY:
                        await self._answer(peer, codec.decode_client(bytes(event.data)))
                await peer.flush()
            peer.protocol.receive_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            peer.close_code = peer.protocol.close_code
            peer.heard.close()
            peer.gone.set()
            await trio.aclose_forcefully(peer.stream)

    async def _answer(self, peer: Peer, message: messages.ClientMessage) -> None:
        match message:
            case messages.Hello():
                peer.hello = message
                answer = self.greet(message)
                if isinstance(answer, messages.Welcome):
                    await peer.say(answer)
                else:
                    await peer.refuse(*answer)
            case messages.ClockPing():
                await peer.say(messages.ClockPong(message.client_ms, server_ms(), 0))
            case messages.Pose():
                peer.poses.append(message)
            case messages.Ack():
                pass
            case _:
                await peer.heard.send(message)
