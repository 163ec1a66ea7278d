"""HTTP/1.1 on streams that somebody else accepted.

Theory of operation
-------------------
The front door accepts, looks at the first bytes, and hands every stream that is not for the
real-time gateway to `serve_stream`, which returns when the connection is over::

    front door ─► serve_stream ─► Hypercorn's TCPServer ─► guard ─► Litestar ─► routes

Hypercorn shields its sends from cancellation, so one reader that stops reading would hold up a
shutdown for good. `_Link` stands between it and the stream for that reason: each piece of a send
has HTTP_SEND_S_MAX seconds, and is given up at once when `serve_stream` is cancelled. It also
answers for streams without a socket (memory streams).

Hypercorn would also change over to HTTP/2 in the middle of a connection, where the peer asks for
it. `_Http1` does not: one more parser for strangers, with limits of its own, gains a server of a
few small files nothing. What begins as HTTP/2 is refused with status 400; `Upgrade: h2c` is
ignored, as HTTP/1.1 allows. Nor does it change over to a WebSocket: after a broken handshake
Hypercorn would wait for ever for an end of the connection. To the guard it is one more request, to
be refused.

A tick cannot begin before everything has run that became ready together with its time. So in each
turn of the event loop one connection is set up and one piece of what peers sent is looked at, in
the order in which they came: a flood on many connections makes its own requests wait.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypedDict, Unpack, cast

import h11
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config as HypercornConfig
from hypercorn.events import Closed, Event, Updated
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import LifespanState

from atrium_server.accounts.service import Accounts
from atrium_server.ai.keys import AiKeys
from atrium_server.ai.service import AiService
from atrium_server.assets.uploads import Uploads
from atrium_server.http.assets import WebAssets, load_assets, web_root
from atrium_server.http.guard import Admission, Guard, is_websocket
from atrium_server.http.routes import Service, make_app
from atrium_server.http.static_files import StaticFiles
from atrium_server.http.status import ServerStatus, Trouble
from atrium_server.http.verdict_routes import Reviewer
from atrium_server.http.world_routes import Rewinder
from atrium_server.telemetry import Registry
from atrium_shared.limits import (
    HTTP_HEAD_BYTES_MAX,
    HTTP_IDLE_S_MAX,
    HTTP_REQUESTS_PER_CONNECTION_MAX,
    HTTP_SEND_BYTES_MAX,
    HTTP_SEND_S_MAX,
)

_log = logging.getLogger("atrium.http")


class ServeStream(Protocol):
    """What `open_http_service` yields."""

    async def __call__(self, stream: trio.abc.Stream, peer: str = "") -> None: ...


class Lanes(TypedDict, total=False):
    """What a server may have or not; see `routes.Service`."""

    accounts: Accounts | None
    uploads: Uploads | None
    rewinder: Rewinder | None
    ai: AiService | None
    ai_keys: AiKeys | None
    reviewer: Reviewer | None
    trouble: Callable[[], Trouble]


@asynccontextmanager
async def open_http_service(
    status: ServerStatus,
    registry: Registry,
    admission: Admission,
    assets: WebAssets | None = None,
    **lanes: Unpack[Lanes],
) -> AsyncGenerator[ServeStream]:
    """Open the HTTP service; yields `serve_stream`, to be called once per connection.

    Args:
        status: where the answers come from.
        registry: what /metrics shows.
        admission: who may ask.
        assets: the page; read from `web_root()` when not given.
        lanes: what is opened already; the routes of the others answer that there are none.

    Raises:
        AtriumStartError: the files of the page are missing or cannot be served.
    """
    assets = assets or load_assets(web_root())
    app = make_app(Service(status, registry, assets, admission, **lanes))
    guarded = StaticFiles(cast(Any, app), assets)
    wrapper = ASGIWrapper(cast(Any, Guard(guarded, admission, assets.paths())))
    config = _hypercorn_config()
    context = WorkerContext(None)
    turn = trio.Lock()

    async def serve_stream(stream: trio.abc.Stream, peer: str = "") -> None:
        """Serve HTTP/1.1 with keep-alive until either side ends it; always closes `stream`.

        `peer` is the address of a stream that has no socket to ask for it.
        """
        try:
            async with turn:
                pass
            async with trio.open_nursery() as nursery:
                address = _Address(stream, peer)
                kind = _SecureLink if getattr(stream, "is_secure", False) else _Link
                link = kind(stream, address, turn, on_lost=nursery.cancel_scope.cancel)
                server = _Connection(wrapper, config, context, LifespanState({}), cast(Any, link))
                nursery.start_soon(link.abort_when_cancelled)
                await server.run()
                nursery.cancel_scope.cancel()
        except* Exception as errors:
            # The one boundary of an HTTP connection: a bug ends it, and not the server.
            _log.error("an HTTP connection failed", exc_info=errors)
        finally:
            await trio.aclose_forcefully(stream)

    async with app.lifespan():
        yield serve_stream


def _hypercorn_config() -> HypercornConfig:
    config = HypercornConfig()
    config.accesslog = None
    config.errorlog = _log
    config.include_server_header = False
    config.h11_max_incomplete_size = HTTP_HEAD_BYTES_MAX
    config.keep_alive_timeout = HTTP_IDLE_S_MAX
    config.keep_alive_max_requests = HTTP_REQUESTS_PER_CONNECTION_MAX
    return config


class _OtherVersion(Exception):
    """A request is of another version than HTTP/1.0 or 1.1."""


class _Http1(H11Protocol):
    """Hypercorn's HTTP/1.1, from which no request leads to anything else."""

    async def handle(self, event: Event) -> None:
        try:
            await super().handle(event)
        except _OtherVersion:
            # As Hypercorn does with what is no request at all.
            await self._send_error_response(400)
            await self.send(Closed())

    async def _check_protocol(self, event: Any) -> None:
        if event.http_version not in {b"1.0", b"1.1"}:
            raise _OtherVersion

    async def _create_stream(self, request: Any) -> None:
        if is_websocket(list(request.headers)):
            # Without this header it is a request that may be answered and ended as any other.
            request = h11.Request(
                method=request.method, target=request.target, http_version=request.http_version,
                headers=[each for each in request.headers if each[0] != b"connection"],
            )
        await super()._create_stream(request)


class _Connection(TCPServer):
    """Hypercorn's connection, but HTTP/1.1 only and over as soon as the peer has ended it.

    Hypercorn would wait for its idle timer, and until then the connection would count against
    the limit of its address.
    """

    _peer_ended = False

    async def _read_data(self) -> None:
        asked = self.protocol
        asked.protocol = _Http1(
            asked.app, asked.config, asked.context, asked.task_group, asked.state, asked.ssl,
            asked.client, asked.server, asked.send,
        )
        await super()._read_data()
        self._peer_ended = True
        await self.idle_task.stop()

    async def protocol_send(self, event: Event) -> None:
        if not (self._peer_ended and isinstance(event, Updated)):
            await super().protocol_send(event)


class _Address:
    """The little that Hypercorn asks of a socket; without one, only the peer may be known."""

    def __init__(self, stream: trio.abc.Stream, peer: str) -> None:
        self.family = int(socket.AF_UNSPEC)
        self._peer = self._own = ("", 0)
        found = getattr(stream, "socket", None)
        if found is None:
            if peer:
                self.family, self._peer = int(socket.AF_INET), (peer, 0)
            return
        try:
            self._peer, self._own = found.getpeername(), found.getsockname()
            # Read last: without both addresses the family must stay unknown.
            self.family = int(found.family)
        except (OSError, AttributeError):
            # The peer has left already, or this is no real socket.
            return

    def getpeername(self) -> Any:
        return self._peer

    def getsockname(self) -> Any:
        return self._own


class _Link(trio.abc.HalfCloseableStream):
    """A stream as Hypercorn wants it: bounded sends, and a `socket` even when there is none.

    What was received is handed over when it is the stream's `turn`.
    """

    def __init__(
        self, stream: trio.abc.Stream, address: _Address, turn: trio.Lock,
        on_lost: Callable[[], None],
    ) -> None:
        self.socket = address
        self._stream = stream
        self._turn = turn
        self._on_lost = on_lost
        self._sending = trio.CancelScope()
        self._aborted = False

    async def abort_when_cancelled(self) -> None:
        """Run beside the server: when the caller is cancelled, give up a send in progress."""
        try:
            await trio.sleep_forever()
        finally:
            self._aborted = True
            self._sending.cancel()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._aborted:
            raise trio.ClosedResourceError("the connection was given up")
        view = memoryview(data)
        for start in range(0, len(view), HTTP_SEND_BYTES_MAX):
            self._sending = trio.CancelScope(deadline=trio.current_time() + HTTP_SEND_S_MAX)
            with self._sending:
                await self._stream.send_all(view[start : start + HTTP_SEND_BYTES_MAX])
            if self._sending.cancelled_caught:
                # Hypercorn would go on reading from a peer that does not take its answers.
                self._aborted = True
                self._on_lost()
                raise trio.BrokenResourceError("the peer did not take what was sent to it")

    async def wait_send_all_might_not_block(self) -> None:
        await self._stream.wait_send_all_might_not_block()

    async def receive_some(self, max_bytes: int | None = None) -> bytes | bytearray:
        data = await self._stream.receive_some(max_bytes)
        async with self._turn:
            return data

    async def send_eof(self) -> None:
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


class _SecureLink(_Link):
    """A link below which TLS lies: by these names Hypercorn knows that it is `https`."""

    async def do_handshake(self) -> None:
        """It is done already."""

    def selected_alpn_protocol(self) -> str:
        return "http/1.1"

    @property
    def transport_stream(self) -> _SecureLink:
        return self
