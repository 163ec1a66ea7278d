"""One port for pages, API and WebSocket: who comes in, and where each is led.

A new connection is counted against its address, shakes hands where TLS is spoken (`tls_door`), and
then its first bytes are read, bounded in size and time. A request for `/ws` becomes a WebSocket and
its socket is handed to the gateway; everything else is handed, with the bytes already read, to the
HTTP service. What a reverse proxy brings is counted against the address of its visitor, as soon as
the headers say which that is.

All this shares one thread with the ticks, and a tick cannot begin before everything has run that
became ready together with its time. So a turn of the event loop takes little: trio accepts one
connection per listener and turn, and one handshake is answered per turn, in the order in which
they came; the HTTP service reads as sparingly.

Origin is checked for every WebSocket: a page of any site can open a socket to a server that its
visitor can reach. Allowed are programs (no Origin header), the origins in the settings, and pages
that this server itself served: their Origin equals Host, and Host is a name of ours (`host_names`
says why both are asked for).

Who is turned away hears an HTTP status and a sentence. A few at a time are given a moment to read
it; in a flood the others are closed without a word.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

import trio
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from atrium_server.net.addresses import VIA_PROXY, Addresses
from atrium_server.net.connection import Arrival, Cipher
from atrium_server.net.forwarded import Forwarding
from atrium_server.net.gateway import Gateway
from atrium_server.net.memory_io import MemoryStream
from atrium_server.net.socket_io import Endpoint
from atrium_server.net.tls_door import NotSecure, TlsDoor
from atrium_server.telemetry import Counter
from atrium_shared import codec
from atrium_shared.errors import CloseCode, Overload
from atrium_shared.limits import HANDSHAKE_S_MAX, HTTP_HEAD_BYTES_MAX, MESSAGE_BYTES_MAX

WEBSOCKET_PATH = "/ws"
LINGERING_MAX = 64
"""Refused peers that are given time to read why, all together."""
LINGER_S = 1.0
_protocol_logger = logging.getLogger(f"{__name__}.protocol")
_protocol_logger.setLevel(logging.WARNING)


@runtime_checkable
class SecureStream(Protocol):
    """A stream of plaintext whose TLS handshake is done, and which can be taken apart."""

    def detach(self) -> tuple[trio.abc.Stream, Cipher, bytes]:
        """The transport below, what stands between it and the plaintext from now on, and plaintext
        that was received and not asked for yet.
        """
        ...


class PrefixedStream(trio.abc.Stream):
    """A stream some of whose first bytes have been read already."""

    def __init__(self, prefix: bytes, stream: trio.abc.Stream) -> None:
        self._prefix = prefix
        self._stream = stream

    @property
    def socket(self) -> Any:
        """The socket below, for those who want its addresses; None where there is none."""
        return getattr(self._stream, "socket", None)

    @property
    def is_secure(self) -> bool:
        """Whether TLS lies below."""
        return getattr(self._stream, "is_secure", False)

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
    serve_http: Callable[[trio.abc.Stream, str], Awaitable[None]]
    allowed_origins: Collection[str]
    knows_host: Callable[[str], bool]
    forwarding: Forwarding
    refused: Callable[[str], Counter]
    tls: TlsDoor | None = None


@dataclass(slots=True)
class _Caller:
    """Who is at the door, and as what it is counted."""

    stream: trio.abc.Stream
    peer: str
    counted_as: str


class _Refused(Exception):
    """A handshake that is understood and not wanted; `reason` is for the counter."""

    def __init__(self, reason: str, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.reason, self.status, self.sentence = reason, status, sentence


class FrontDoor:
    """Leads each new connection to where it belongs."""

    def __init__(self, parts: FrontDoorParts) -> None:
        self._parts = parts
        self._lingering = 0
        self._turn = trio.Lock()

    async def handle(self, stream: trio.abc.Stream) -> None:
        """One connection, from accept until the gateway or the HTTP service has it."""
        peer = _address_of(stream)
        is_proxy = self._parts.forwarding.is_proxy(peer)
        caller = _Caller(stream, peer, VIA_PROXY if is_proxy else peer)
        try:
            self._parts.addresses.enter(caller.counted_as, trio.current_time())
        except Overload as overload:
            self._parts.refused("address").add()
            if self._parts.tls is None:  # with TLS a word would cost a handshake
                await self._linger(stream, _answer(HTTPStatus.TOO_MANY_REQUESTS, overload.sentence))
            await trio.aclose_forcefully(stream)
            return
        adopted = False
        try:
            if await self._is_secured(caller):
                adopted = await self._lead(caller)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the peer went away
        finally:
            if not adopted:
                self._parts.addresses.leave(caller.counted_as)
                await trio.aclose_forcefully(caller.stream)

    async def _is_secured(self, caller: _Caller) -> bool:
        """Put TLS before the stream where that is spoken; False when it cannot be."""
        if self._parts.tls is None:
            return True
        try:
            caller.stream = await self._parts.tls.secured(caller.stream)
        except NotSecure as refused:
            if refused.answer:
                await self._linger(caller.stream, refused.answer)
            return False
        return True

    async def _lead(self, caller: _Caller) -> bool:
        """True when the gateway has taken the connection over."""
        stream, head = caller.stream, bytearray()
        with trio.move_on_after(HANDSHAKE_S_MAX) as reading:
            await _read_until(stream, head, b"\r\n")
            if b"\r\n" not in head or _is_websocket(head):
                await _read_until(stream, head, b"\r\n\r\n")
        if b"\r\n" in head and not _is_websocket(head):
            await self._parts.serve_http(PrefixedStream(bytes(head), stream), caller.peer)
            return False
        end = head.find(b"\r\n\r\n") + 4
        if end < 4:
            await self._refuse_head(stream, len(head), late=reading.cancelled_caught)
            return False
        with trio.move_on_after(HANDSHAKE_S_MAX):
            return await self._upgrade(caller, bytes(head[:end]), bytes(head[end:]))
        self._parts.refused("slow").add()
        return False

    async def _refuse_head(self, stream: trio.abc.Stream, size: int, *, late: bool) -> None:
        """A handshake that is too long, too late, or broken off."""
        if size >= HTTP_HEAD_BYTES_MAX:
            self._parts.refused("handshake").add()
            await self._linger(stream, _answer(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
                f"A handshake has at most {HTTP_HEAD_BYTES_MAX} bytes.",
            ))
        elif late:
            self._parts.refused("slow").add()
            if size:
                await self._linger(stream, _answer(
                    HTTPStatus.REQUEST_TIMEOUT,
                    f"A handshake must be finished within {HANDSHAKE_S_MAX:g} s.",
                ))

    async def _upgrade(self, caller: _Caller, head: bytes, rest: bytes) -> bool:
        stream, reason = caller.stream, "handshake"
        protocol = ServerProtocol(
            subprotocols=[Subprotocol(codec.SUBPROTOCOL)], logger=_protocol_logger
        )
        async with self._turn:
            pass
        protocol.receive_data(head)
        for request in protocol.events_received():
            assert isinstance(request, Request)
            try:
                self._check(caller, request)
                response = protocol.accept(request)
            except _Refused as refused:
                reason = refused.reason
                response = protocol.reject(refused.status, f"{refused.sentence}\n")
            protocol.send_response(response)
        answer = b"".join(protocol.data_to_send())
        if protocol.state is not State.OPEN:
            self._parts.refused(reason).add()
            await self._linger(
                stream, answer or _answer(HTTPStatus.BAD_REQUEST, "This is no handshake.")
            )
            return False
        await stream.send_all(answer)
        # From here on another one: the first keeps the headers of the request, 4 kB a client.
        protocol = ServerProtocol(
            state=State.OPEN, max_size=MESSAGE_BYTES_MAX, logger=_protocol_logger
        )
        if not self._parts.gateway.has_room:
            # Somebody else was faster, or the server has begun to stop.
            self._parts.refused("full").add()
            protocol.send_close(int(CloseCode.TRY_AGAIN_LATER), "no room: try again later")
            await self._linger(stream, b"".join(protocol.data_to_send()))
            return False
        endpoint, cipher, unread = _detach(stream)
        self._parts.gateway.adopt(
            Arrival(endpoint, protocol, caller.counted_as, rest + unread, cipher)
        )
        return True

    def _check(self, caller: _Caller, request: Request) -> None:
        """Count the handshake for its visitor, and look at its origin. Raises _Refused."""
        if not self._parts.gateway.has_room:
            sentence = "There is no room now: try again later."
            raise _Refused("full", HTTPStatus.SERVICE_UNAVAILABLE, sentence)
        if caller.counted_as == VIA_PROXY:
            forwarded = request.headers.get_all("X-Forwarded-For")
            client = self._parts.forwarding.client_of(caller.peer, forwarded)
            try:
                self._parts.addresses.claim(client, trio.current_time())
            except Overload as overload:
                status = HTTPStatus.TOO_MANY_REQUESTS
                raise _Refused("address", status, overload.sentence) from None
            caller.counted_as = client
        origins, hosts = request.headers.get_all("Origin"), request.headers.get_all("Host")
        if len(origins) > 1 or len(hosts) != 1:
            sentence = "A handshake has one Host and at most one Origin."
            raise _Refused("handshake", HTTPStatus.BAD_REQUEST, sentence)
        origin = origins[0] if origins else None
        if not self._is_allowed(origin, hosts[0], isinstance(caller.stream, SecureStream)):
            sentence = "This page may not connect: its origin is not allowed."
            raise _Refused("origin", HTTPStatus.FORBIDDEN, sentence)

    def _is_allowed(self, origin: str | None, host: str, is_secure: bool) -> bool:
        allowed = self._parts.allowed_origins
        if origin is None or "*" in allowed or origin in allowed:
            return True
        try:
            page = urlsplit(origin)
        except ValueError:
            return False
        # By TLS we serve no page of http://: such a one is somebody's on the way to its visitor.
        is_same = page.netloc.lower() == host.lower() and (
            page.scheme == "https" or not is_secure
        )
        return is_same and self._parts.knows_host(host)

    # --- refusals ------------------------------------------------------------------------

    async def _linger(self, stream: trio.abc.Stream, last_words: bytes) -> None:
        """Say the last words and read on for a moment: a socket that is closed with unread bytes
        sends a reset, which takes the words with it."""
        if self._lingering >= LINGERING_MAX:
            return
        self._lingering += 1
        try:
            with trio.move_on_after(LINGER_S):
                await stream.send_all(last_words)
                if isinstance(stream, trio.abc.HalfCloseableStream):
                    await stream.send_eof()
                while await stream.receive_some(HTTP_HEAD_BYTES_MAX):
                    pass
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the peer went away
        finally:
            self._lingering -= 1


def _answer(status: HTTPStatus, sentence: str) -> bytes:
    """A refusal in plain text."""
    body = sentence.encode() + b"\n"
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n"
        "Retry-After: 10\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


async def _read_until(stream: trio.abc.Stream, head: bytearray, mark: bytes) -> None:
    """Read until `mark` has come, the head is as long as it may be, or the stream has ended."""
    while mark not in head and len(head) < HTTP_HEAD_BYTES_MAX:
        data = await stream.receive_some(HTTP_HEAD_BYTES_MAX - len(head))
        if not data:
            return
        head += data


def _is_websocket(head: bytearray) -> bool:
    """Whether the request line asks for the WebSocket."""
    words = bytes(head).split(b"\r\n", 1)[0].split(b" ")
    return len(words) == 3 and words[1].split(b"?", 1)[0] == WEBSOCKET_PATH.encode()


def _address_of(stream: trio.abc.Stream) -> str:
    if isinstance(stream, MemoryStream):
        return stream.peer_address
    try:
        return str(stream.socket.getpeername()[0])  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return ""


def _detach(stream: trio.abc.Stream) -> tuple[Endpoint, Cipher | None, bytes]:
    """Take the socket out of trio's hands, and off it the cipher and what that has read ahead."""
    cipher: Cipher | None = None
    unread = b""
    if isinstance(stream, SecureStream):
        stream, cipher, unread = stream.detach()
    if isinstance(stream, MemoryStream):
        return stream, cipher, unread
    assert isinstance(stream, trio.SocketStream)
    raw = socket.socket(fileno=stream.socket.detach())
    raw.setblocking(False)
    try:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 16_384)
    except OSError:
        pass  # the peer is gone already: the first read will say so
    return raw, cipher, unread
