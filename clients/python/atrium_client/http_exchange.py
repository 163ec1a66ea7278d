"""One request over HTTP/1.1 and its answer: no more of HTTP than the REST API needs.

A connection for each request, closed after it; no redirects, no cookies, no compression. The
protocol is h11's, the bytes are trio's. Every wait and every size has a bound.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import h11
import trio

from atrium_client.errors import ConnectionFailed
from atrium_client.link import Dialer, unreached

ANSWER_S_MAX = 30.0
"""From dialling to the head of the answer, and from one piece of the body to the next."""
RECEIVE_BYTES = 65_536
HEAD_BYTES_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a server is, and how to get there."""

    url: str
    """`http://host:8080`; ws://, wss:// and https:// name the same server."""
    dial: Dialer | None = None
    """None opens a TCP connection."""
    ssl: ssl.SSLContext | None = None
    """None uses the system's certificates for https://."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked. `repr` shows neither headers nor body, which may hold secrets."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"Request({self.method} {self.target.partition('?')[0]})"


@dataclass(frozen=True, slots=True)
class Response:
    """The head of an answer, and its body piece by piece."""

    status: int
    headers: dict[str, str]
    pieces: AsyncGenerator[bytes]

    async def body(self, bytes_max: int) -> bytes:
        """All of the body. Raises ConnectionFailed when there is more."""
        whole = bytearray()
        async for piece in self.pieces:
            whole += piece
            if len(whole) > bytes_max:
                raise ConnectionFailed(
                    f"The server's answer is larger than {bytes_max:,} bytes: is it Atrium?"
                )
        return bytes(whole)


@asynccontextmanager
async def exchange(origin: Origin, request: Request) -> AsyncGenerator[Response]:
    """Send a request; its answer can be read within the block. Raises ConnectionFailed."""
    host, port, is_tls = _address(origin.url)
    try:
        with trio.fail_after(ANSWER_S_MAX):
            stream = await _dialled(origin, host, port, is_tls)
    except (OSError, trio.TooSlowError, trio.BrokenResourceError) as error:
        raise ConnectionFailed(unreached(origin.url, error)) from error
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_BYTES_MAX)
    try:
        with _told(origin.url):
            await _send(stream, connection, request, urlsplit(_with_scheme(origin.url)).netloc)
            head = await _next(stream, connection)
            while isinstance(head, h11.InformationalResponse):
                head = await _next(stream, connection)
        assert isinstance(head, h11.Response)
        headers = {name.decode(): value.decode("latin-1") for name, value in head.headers}
        async with aclosing(_body(stream, connection, origin.url)) as pieces:
            yield Response(head.status_code, headers, pieces)
    finally:
        await trio.aclose_forcefully(stream)


@contextmanager
def _told(url: str) -> Generator[None]:
    """Turns what goes wrong on the way into one sentence."""
    try:
        yield
    except h11.RemoteProtocolError as error:
        raise ConnectionFailed(f"{url} did not answer as an Atrium server: {error}") from error
    except (OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
        raise ConnectionFailed(
            f"The connection to {url} broke off before the answer was there."
        ) from error


async def _dialled(origin: Origin, host: str, port: int, is_tls: bool) -> trio.abc.Stream:
    if origin.dial is not None:
        return await origin.dial()
    stream = await trio.open_tcp_stream(host, port)
    if not is_tls:
        return stream
    context = origin.ssl or ssl.create_default_context()
    secure = trio.SSLStream(stream, context, server_hostname=host, https_compatible=True)
    try:
        await secure.do_handshake()
    except BaseException:
        await trio.aclose_forcefully(stream)
        raise
    return secure


async def _send(
    stream: trio.abc.Stream, connection: h11.Connection, request: Request, host: str
) -> None:
    headers = {
        "host": host, "connection": "close", "accept": "application/json", **request.headers,
        **({"content-length": str(len(request.body))} if request.body else {}),
    }
    head = h11.Request(
        method=request.method, target=request.target, headers=[*headers.items()]
    )
    sent = connection.send(head) or b""
    if request.body:
        sent += connection.send(h11.Data(data=request.body)) or b""
    sent += connection.send(h11.EndOfMessage()) or b""
    with trio.fail_after(ANSWER_S_MAX):
        await stream.send_all(sent)


async def _next(stream: trio.abc.Stream, connection: h11.Connection) -> h11.Event:
    """The next event that the server sent."""
    with trio.fail_after(ANSWER_S_MAX):
        while (event := connection.next_event()) is h11.NEED_DATA:
            connection.receive_data(bytes(await stream.receive_some(RECEIVE_BYTES)))
    assert isinstance(event, h11.Event)
    return event


async def _body(
    stream: trio.abc.Stream, connection: h11.Connection, url: str
) -> AsyncGenerator[bytes]:
    while True:
        with _told(url):
            event = await _next(stream, connection)
        if not isinstance(event, h11.Data):
            return
        yield bytes(event.data)


def _with_scheme(url: str) -> str:
    return url if "://" in url else f"http://{url}"


def _address(url: str) -> tuple[str, int, bool]:
    """Host, port and whether it is TLS. Raises ConnectionFailed."""
    try:
        parts = urlsplit(_with_scheme(url))
        is_tls = {"http": False, "ws": False, "https": True, "wss": True}.get(parts.scheme)
        port = parts.port
    except ValueError:
        parts, is_tls, port = urlsplit(""), None, None
    if is_tls is None or not parts.hostname:
        raise ConnectionFailed(
            f"{url!r} is not the address of a server; it should look like http://host:8080"
        )
    return parts.hostname, port or (443 if is_tls else 80), is_tls
