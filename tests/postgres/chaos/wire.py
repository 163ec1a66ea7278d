"""A WebSocket client with as little in it as will do: a crowd of hundreds lives in one thread."""

from __future__ import annotations

import os
import struct
from base64 import b64encode

import trio

from atrium_shared import codec

CONNECT_S_MAX = 15.0
READ_BYTES = 65_536
_BINARY, _CLOSE, _PING, _PONG = 0x82, 0x88, 0x89, 0x8A
_NO_MASK = bytes(4)
"""A mask of zeros leaves the bytes as they are, and is as good as any other to a server."""


class LinkLost(Exception):
    """The connection is gone; the words say how, and `code` is that of a close frame."""

    def __init__(self, sentence: str, code: int = 1006) -> None:
        super().__init__(sentence)
        self.code = code


class Wire:
    """One open WebSocket."""

    def __init__(self, stream: trio.SocketStream, rest: bytes) -> None:
        self._stream = stream
        self._buffer = bytearray(rest)
        self._sending = trio.Lock()

    @classmethod
    async def open(cls, host: str, port: int) -> Wire:
        """Connect and shake hands. Raises LinkLost."""
        with trio.move_on_after(CONNECT_S_MAX):
            try:
                stream = await trio.open_tcp_stream(host, port)
            except OSError as error:
                raise LinkLost(f"nobody listens ({error})") from None
            try:
                return cls(stream, await _handshake(stream, f"{host}:{port}"))
            except BaseException:
                await trio.aclose_forcefully(stream)
                raise
        raise LinkLost("the handshake took too long")

    async def send(self, data: bytes) -> None:
        """One binary message. Raises LinkLost."""
        await self._frame(_BINARY, data)

    async def receive(self, silence_s: float) -> bytes:
        """The next binary message; pings are answered on the way. Raises LinkLost."""
        while True:
            while (frame := self._parsed()) is None:
                with trio.move_on_after(silence_s) as patience:
                    self._buffer += await _read(self._stream)
                if patience.cancelled_caught:
                    raise LinkLost("the server is silent")
            kind, data = frame
            if kind == _BINARY:
                return data
            if kind == _PING:
                await self._frame(_PONG, data)
            elif kind == _CLOSE:
                code = int.from_bytes(data[:2]) if len(data) >= 2 else 1005
                raise LinkLost(data[2:].decode(), code)

    async def aclose(self) -> None:
        """Break the connection off."""
        await trio.aclose_forcefully(self._stream)

    async def _frame(self, kind: int, data: bytes) -> None:
        size = len(data)
        if size < 126:
            head = bytes((kind, 0x80 | size))
        else:
            assert size < 65_536
            head = struct.pack(">BBH", kind, 0x80 | 126, size)
        async with self._sending:
            try:
                await self._stream.send_all(head + _NO_MASK + data)
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise LinkLost(f"it broke off ({error.__cause__ or error})") from None

    def _parsed(self) -> tuple[int, bytes] | None:
        """The next frame, if all of it is there: its kind and its content."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, start = buffer[1], 2
        if size == 126:
            size, start = int.from_bytes(buffer[2:4]), 4
        elif size == 127:
            size, start = int.from_bytes(buffer[2:10]), 10
        end = start + size
        if len(buffer) < end:
            return None
        frame = buffer[0], bytes(buffer[start:end])
        del buffer[:end]
        return frame


async def _read(stream: trio.SocketStream) -> bytes:
    try:
        data = await stream.receive_some(READ_BYTES)
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise LinkLost(f"it broke off ({error.__cause__ or error})") from None
    if not data:
        raise LinkLost("it ended without a word")
    return bytes(data)


async def _handshake(stream: trio.SocketStream, host: str) -> bytes:
    """Returns what came behind the answer."""
    key = b64encode(os.urandom(16)).decode()
    asked = (
        f"GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Protocol: {codec.SUBPROTOCOL}\r\n\r\n"
    )
    try:
        await stream.send_all(asked.encode())
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        raise LinkLost("it broke off in the handshake") from None
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += await _read(stream)
    head, _, rest = answer.partition(b"\r\n\r\n")
    status = head.split(b"\r\n")[0].decode()
    if " 101 " not in status:
        raise LinkLost(f"the handshake was answered {status!r}")
    return rest
