"""A whole server in the test's own process, and peers that speak to it byte by byte.

`House` opens the real server (`atrium_server.app.open_server`) over memory links on a mock clock:
nothing waits for real time, and what fails once fails again. `Peer` is a client without manners:
it says whatever a test wants in whatever frames, and parses what comes back by itself, so that an
error in the server's frames cannot hide behind the same error in a library. `Peer.join` is the
well-behaved way in. A `Witness` is the honest neighbour of every attack: it joins, reads,
acknowledges, and `still_served` says whether it gets its snapshots as if nothing were going on.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import trio

from atrium_server import app
from atrium_server.config import Config, resolve
from atrium_server.net.memory_io import Conditions, MemoryIO, MemoryStream, memory_link
from atrium_server.net.socket_io import SocketIO
from atrium_server.ticker import TrioSleeper
from atrium_shared import codec, pose
from atrium_shared import messages as m

Said = TypeVar("Said", bound=m.Message)
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
PATIENCE_S = 60.0
"""Of the mock clock: what has not come by then will not come."""


class Ended(Exception):
    """The server has ended the connection; `code` is of its close frame, None without one."""

    def __init__(self, code: int | None, reason: str, error: m.Error | None) -> None:
        super().__init__(f"closed with {code} {reason!r} after {error}")
        self.code, self.reason, self.error = code, reason, error


def frame(
    payload: bytes = b"", *, opcode: int = BINARY, fin: bool = True, rsv: int = 0,
    masked: bool = True, declared: int | None = None, wide: bool = False,
) -> bytes:
    """A client's frame; `declared` is a length to claim, `wide` asks for the longest form."""
    length = len(payload) if declared is None else declared
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if masked else 0
    if length < 126 and not wide:
        head = bytes((first, bit | length))
    elif length < 65_536 and not wide:
        head = struct.pack(">BBH", first, bit | 126, length)
    else:
        head = struct.pack(">BBQ", first, bit | 127, length)
    if not masked:
        return head + payload
    key = os.urandom(4)
    return head + key + bytes(b ^ key[i & 3] for i, b in enumerate(payload))


def said(message: m.Message) -> bytes:
    """A message in a client's frame."""
    return frame(codec.encode(message))


def root_body(x_m: float = 0.0, z_m: float = 0.0, y_m: float = 0.0) -> bytes:
    """A root-only pose body at a place in a world whose unit of y is 1 mm."""
    row = np.zeros((1, pose.COLUMNS), np.int32)
    row[0, :3] = [round(1000 * x_m), round(1000 * y_m), round(1000 * z_m)]
    return pose.encode_bodies(row, np.zeros((1, pose.EXTRA_BYTES), np.uint8), 0).tobytes()


def hello(name: str = "Ann", **changes: Any) -> m.Hello:
    """A hello with everything usual."""
    fields: dict[str, Any] = {
        "protocol_hash": codec.PROTOCOL_HASH, "kind": m.ClientKind.BOT, "name": name, "avatar": "",
        "world": "", "capabilities": m.Capabilities(), "auth_token": "", "resume_token": "",
        "last_chat_seq": 0,
    }
    return m.Hello(**{**fields, **changes})


class Peer:
    """The client's end of one link."""

    def __init__(self, house: House, stream: trio.abc.Stream) -> None:
        self.house, self.stream = house, stream
        self.answers_pings = self.answers_close = self.acks = True
        self.error: m.Error | None = None
        self.pings = 0
        self.status = 0
        self.head = ""
        self._raw = b""
        self._writing = trio.Lock()

    # --- HTTP ----------------------------------------------------------------------------

    async def upgrade(self, **headers: str | None) -> int:
        """Ask for the WebSocket; the status of the answer. A header of None is left out."""
        fields: dict[str, str | None] = {
            "Host": "atrium.test", "Upgrade": "websocket", "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Protocol": codec.SUBPROTOCOL,
        }
        fields |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
        await self.write("\r\n".join(["GET /ws HTTP/1.1", *lines, "", ""]).encode())
        return await self.answer()

    async def answer(self) -> int:
        """The status of an HTTP answer; 0 when the connection ended without one."""
        with trio.fail_after(PATIENCE_S):
            while b"\r\n\r\n" not in self._raw:
                if not await self._fill():
                    return 0
        head, _, self._raw = self._raw.partition(b"\r\n\r\n")
        self.head = head.decode()
        self.status = int(head.split(b" ", 2)[1])
        return self.status

    async def rest(self) -> bytes:
        """All bytes until the end of the stream."""
        with trio.fail_after(PATIENCE_S):
            while await self._fill():
                pass
        data, self._raw = self._raw, b""
        return data

    async def _fill(self) -> bool:
        try:
            data = await self.stream.receive_some(65_536)
        except trio.BrokenResourceError:
            return False
        self._raw += data
        return bool(data)

    # --- bytes and messages --------------------------------------------------------------

    async def write(self, data: bytes) -> None:
        """Send bytes as they are; a link that is gone is no error of the test."""
        try:
            async with self._writing:
                await self.stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass

    async def say(self, message: m.Message) -> None:
        await self.write(said(message))

    async def join(self, name: str = "Ann", **changes: Any) -> m.Welcome:
        """Upgrade, hello, and wait for the welcome. Raises Ended when the server refuses."""
        assert await self.upgrade() == 101
        await self.say(hello(name, **changes))
        return await self.expect(m.Welcome)

    async def read_frame(self) -> tuple[int, bytes]:
        """(opcode, payload) of the next frame. Raises Ended at the end of the stream."""
        while True:
            size = self._frame_bytes()
            if size and len(self._raw) >= size:
                head, data = self._raw[:size], self._raw[size:]
                self._raw = data
                start = {126: 4, 127: 10}.get(head[1], 2)
                assert head[0] & 0x70 == 0, "the server sets no reserved bit"
                assert head[0] & 0x80, "the server does not fragment"
                return head[0] & 15, head[start:]
            if not await self._fill():
                raise Ended(None, "", self.error)

    def _frame_bytes(self) -> int:
        """Length of the frame at the start of the buffer; 0 while it cannot be known."""
        raw = self._raw
        if len(raw) < 2:
            return 0
        assert raw[1] < 128, "a server does not mask"
        if raw[1] < 126:
            return 2 + raw[1]
        wide = 2 if raw[1] == 126 else 8
        if len(raw) < 2 + wide:
            return 0
        return 2 + wide + int.from_bytes(raw[2 : 2 + wide], "big")

    async def hear(self) -> m.Message:
        """The next message; control frames are answered. Raises Ended."""
        with trio.fail_after(PATIENCE_S):
            while True:
                opcode, data = await self.read_frame()
                if opcode == PING:
                    self.pings += 1
                    if self.answers_pings:
                        await self.write(frame(data, opcode=PONG))
                elif opcode == CLOSE:
                    if self.answers_close:
                        await self.write(frame(data, opcode=CLOSE))
                    code = int.from_bytes(data[:2], "big") if data else None
                    raise Ended(code, data[2:].decode(), self.error)
                elif opcode == BINARY:
                    message = codec.decode_server(data)
                    if isinstance(message, m.Error):
                        self.error = message
                    if isinstance(message, m.Snapshot) and self.acks:
                        await self.say(m.Ack(message.tick))
                    return message
                else:
                    assert opcode == PONG, f"the server sent a frame of opcode {opcode}"

    async def expect(self, kind: type[Said]) -> Said:
        """Skip what comes until a message of `kind`. Raises Ended."""
        while True:
            message = await self.hear()
            if isinstance(message, kind):
                return message

    async def ending(self) -> Ended:
        """Read until the server ends the connection; how it did."""
        while True:
            try:
                await self.hear()
            except Ended as ended:
                return ended

    async def gone(self) -> None:
        """Close the client's end without a word."""
        await self.stream.aclose()


@dataclass
class Witness:
    """An honest client beside an attack, read and acknowledged in the background."""

    peer: Peer
    welcome: m.Welcome
    snapshots: int = 0
    heard: list[m.Message] = field(default_factory=list[m.Message])
    """All but snapshots."""
    ended: Ended | None = None

    async def listen(self) -> None:
        try:
            while True:
                message = await self.peer.hear()
                if isinstance(message, m.Snapshot):
                    self.snapshots += 1
                else:
                    self.heard.append(message)
        except Ended as ended:
            self.ended = ended

    async def still_served(self, seconds: float = 1.0) -> None:
        """Assert that it gets a snapshot with (nearly) every tick of the next seconds."""
        before = self.snapshots
        await trio.sleep(seconds)
        assert self.ended is None, self.ended
        due = seconds * self.welcome.tick_rate_hz
        assert self.snapshots - before >= math.floor(due) - 1, "the witness misses snapshots"

    def heard_of(self, kind: type[Said]) -> list[Said]:
        return [message for message in self.heard if isinstance(message, kind)]


class House:
    """A running server and everything a test brings to it."""

    def __init__(self, server: app.Server, config: Config, nursery: trio.Nursery) -> None:
        self.server, self.config, self.nursery = server, config, nursery

    def link(
        self, address: str = "127.0.0.1", up: Conditions | None = None,
        down: Conditions | None = None,
    ) -> MemoryStream:
        """The client's end of a new link, whose other end the front door has."""
        client, server_end = memory_link(up, down, address)
        self.nursery.start_soon(self.server.door.handle, server_end)
        return client

    def peer(
        self, address: str = "127.0.0.1", up: Conditions | None = None,
        down: Conditions | None = None,
    ) -> Peer:
        """A client that has said nothing yet."""
        return Peer(self, self.link(address, up, down))

    async def dial(self) -> MemoryStream:
        """A new link, for clients that bring their own protocol (`atrium_client.connect`)."""
        return self.link()

    async def joined(self, name: str = "Ann", **changes: Any) -> Peer:
        """A client that is in."""
        peer = self.peer()
        await peer.join(name, **changes)
        return peer

    async def witness(self, name: str = "Witness", **changes: Any) -> Witness:
        """An honest client whose link is read in the background."""
        peer = self.peer()
        witness = Witness(peer, await peer.join(name, **changes))
        self.nursery.start_soon(witness.listen)
        return witness

    @property
    def registry(self) -> Any:
        """The metrics."""
        return self.server.registry

    @property
    def gateway(self) -> Any:
        return self.server.gateway

    @property
    def connections(self) -> int:
        """How many connections the gateway has."""
        return len(self.gateway._all)

    def host(self, world: str = "") -> Any:
        """The host of a world; of the first one by default."""
        hosts = list(self.server.hosts)
        return next(host for host in hosts if not world or host.name == world)


@asynccontextmanager
async def open_house(
    io: SocketIO | None = None, *, has_lanes: bool = False, **settings: Any
) -> AsyncGenerator[House]:
    """A server with these settings (by name), on the clock of the test: `worlds=[path]`.

    `has_lanes` brings accounts and assets, which take a moment to open.
    """
    settings = {"ephemeral": True, **settings}
    flags = {"brain": "off", **settings}
    config = resolve({name: _text(value) for name, value in flags.items()}, {})
    async with (
        app.open_server(
            config, io=io or MemoryIO(), sleeper=TrioSleeper, has_lanes=has_lanes
        ) as server,
        trio.open_nursery() as nursery,
    ):
        server.status.started()
        yield House(server, config, nursery)
        nursery.cancel_scope.cancel()


def _text(value: Any) -> Any:
    """A setting as a flag would give it."""
    if isinstance(value, list | tuple):
        return [str(each) for each in value]
    return value if value is None or isinstance(value, bool) else str(value)


def write_world(folder: Path, name: str, extent_m: float = 20.0, **world: Any) -> Path:
    """A small manifest: a bare floor of twice `extent_m`, and `world` as the table of that name."""
    values = {"tick_rate_hz": 20, "capacity": 64, **world}
    lines = ["[world]", f'name = "{name}"', *(f"{key} = {value}" for key, value in values.items())]
    lines += ["[extent]", f"min = [{-extent_m}, -1.0, {-extent_m}]"]
    lines += [f"max = [{extent_m}, 9.0, {extent_m}]"]
    lines += ["[[spawn]]", "position = [0.0, 0.0, 0.0]", "radius_m = 2.0"]
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines) + "\n")
    return path
