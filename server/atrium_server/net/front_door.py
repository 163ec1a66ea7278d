"""One port for pages, API and WebSocket: who comes in, and where each is led.

A new connection is counted against its address, then its first bytes are read, bounded in size and
time. A request for `/ws` becomes a WebSocket and its socket is handed to the gateway; everything else
is handed, with the bytes already read, to the HTTP service.

Origin is checked for every WebSocket: a page of any site can open a socket to a server that its
visitor can reach. Allowed are programs (no Origin header), pages that this server itself served, and
the origins in the settings.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import trio
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from atrium_server.net.addresses import Addresses
from atrium_server.net.gateway import Gateway
from atrium_server.net.memory_io import MemoryStream
from atrium_server.net.socket_io import Endpoint
from atrium_server.telemetry import Counter
from atrium_shared import codec
from atrium_shared.errors import Overload
from atrium_shared.limits import HANDSHAKE_S_MAX, HTTP_HEAD_BYTES_MAX, MESSAGE_BYTES_MAX

WEBSOCKET_PATH = "/ws"
_protocol_logger = logging.getLogger(f"{__name__}.protocol")
_protocol_logger.setLevel(logging.WARNING)


class PrefixedStream(trio.abc.Stream):
    """A stream some of whose first bytes have been read already."""

    def __init__(self, prefix: bytes, stream: trio.abc.Stream) -> None:
        self._prefix = prefix
        self._stream = stream

    @property
    def socket(self) -> Any:
        """The socket below, for those who want its addresses; None where there is none."""
        return getattr(self._stream, "socket", None)

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._prefix:
            await trio.lowlevel.checkpoint()
            size = max_bytes or len(self._prefix)
            data, self._prefix = self._prefix[:size], self._prefix[size:]
            return data
        return bytes(await self._stream.receive_some(max_bytes))

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self._stream.send_all(data)

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def aclose(self) -> None:
        await self._stream.aclose()


@dataclass(frozen=True, slots=True)
class FrontDoorParts:
    """What the front door is given."""

    gateway: Gateway
    addresses: Addresses
    serve_http: Callable[[trio.abc.Stream], Awaitable[None]]
    allowed_origins: Collection[str]
    refused: Callable[[str], Counter]


class FrontDoor:
    """Leads each new connection to where it belongs."""

    def __init__(self, parts: FrontDoorParts) -> None:
        self._parts = parts

    async def handle(self, stream: trio.abc.Stream) -> None:
        """One connection, from accept until the gateway or the HTTP service has it."""
        address = _address_of(stream)
        try:
            self._parts.addresses.enter(address, trio.current_time())
        except Overload as overload:
            self._parts.refused("address").add()
            await _answer(stream, HTTPStatus.TOO_MANY_REQUESTS, overload.sentence)
            return
        adopted = False
        try:
            adopted = await self._lead(stream, address)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the peer went away
        finally:
            if not adopted:
                self._parts.addresses.leave(address)
                await trio.aclose_forcefully(stream)

    async def _lead(self, stream: trio.abc.Stream, address: str) -> bool:
        """True when the gateway has taken the connection over."""
        with trio.move_on_after(HANDSHAKE_S_MAX) as scope:
            head = await _read_until(stream, b"", b"\r\n")
            if not _is_websocket(head):
                scope.deadline = float("inf")
                await self._parts.serve_http(PrefixedStream(head, stream))
                return False
            head = await _read_until(stream, head, b"\r\n\r\n")
            end = head.find(b"\r\n\r\n")
            if end < 0:
                self._parts.refused("handshake").add()
                await _answer(
                    stream, HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                    f"A handshake has at most {HTTP_HEAD_BYTES_MAX} bytes.",
                )
                return False
            return await self._upgrade(stream, address, head[: end + 4], head[end + 4 :])
        self._parts.refused("slow").add()
        return False

    async def _upgrade(
        self, stream: trio.abc.Stream, address: str, head: bytes, rest: bytes
    ) -> bool:
        protocol = ServerProtocol(
            subprotocols=[Subprotocol(codec.SUBPROTOCOL)], max_size=MESSAGE_BYTES_MAX,
            logger=_protocol_logger,
        )
        protocol.receive_data(head)
        events = protocol.events_received()
        if events:
            request = events[0]
            assert isinstance(request, Request)
            origin = request.headers.get("Origin")
            if _is_allowed(origin, request.headers.get("Host", ""), self._parts.allowed_origins):
                response = protocol.accept(request)
            else:
                response = protocol.reject(
                    HTTPStatus.FORBIDDEN, "This page may not connect: its origin is not allowed.\n"
                )
            protocol.send_response(response)
        for data in protocol.data_to_send():
            if data:
                await stream.send_all(data)
        if protocol.state is not State.OPEN:
            self._parts.refused("handshake").add()
            return False
        try:
            self._parts.gateway.adopt(_detach(stream), protocol, address, rest)
        except Overload:
            self._parts.refused("full").add()
            return False
        return True


async def _read_until(stream: trio.abc.Stream, head: bytes, mark: bytes) -> bytes:
    """Read until `mark` has come, the head is as long as it may be, or the stream has ended."""
    while mark not in head and len(head) < HTTP_HEAD_BYTES_MAX:
        data = await stream.receive_some(HTTP_HEAD_BYTES_MAX - len(head))
        if not data:
            break
        head += data
    return head


def _is_websocket(head: bytes) -> bool:
    """Whether the request line asks for the WebSocket."""
    words = head.split(b"\r\n", 1)[0].split(b" ")
    return len(words) == 3 and words[1].split(b"?", 1)[0] == WEBSOCKET_PATH.encode()


def _is_allowed(origin: str | None, host: str, allowed: Collection[str]) -> bool:
    if origin is None or "*" in allowed:
        return True
    if origin in allowed:
        return True
    try:
        return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False


def _address_of(stream: trio.abc.Stream) -> str:
    try:
        return str(stream.socket.getpeername()[0])  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return ""


def _detach(stream: trio.abc.Stream) -> Endpoint:
    """Take the socket out of trio's hands."""
    if isinstance(stream, MemoryStream):
        return stream
    assert isinstance(stream, trio.SocketStream)
    raw = socket.socket(fileno=stream.socket.detach())
    raw.setblocking(False)
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 16_384)
    return raw


async def _answer(stream: trio.abc.Stream, status: HTTPStatus, sentence: str) -> None:
    """A short refusal, as far as the peer takes it within a second."""
    body = sentence.encode() + b"\n"
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: text/plain; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nRetry-After: 10\r\nConnection: close\r\n\r\n"
    )
    with trio.move_on_after(1.0):
        try:
            await stream.send_all(head.encode() + body)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return
    await trio.aclose_forcefully(stream)
