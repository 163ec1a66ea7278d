"""What holds for every request, whatever route it takes.

Theory of operation
-------------------
The guard stands between Hypercorn and Litestar, both of which speak ASGI to it.

* *Who asks.* Behind a reverse proxy that is the address that the proxy was called from. What is
  called the client from here on is that address.
* *Rate.* HTTP shares one thread with the ticks, so the requests of each address have a rate. Who
  asks too often hears so after HTTP_REFUSAL_S: a client that repeats each request as soon as it
  is answered would cost as much with refusals as with pages. The same holds for who is told by a
  route that it was asked too often. A file of the page counts less, as
  one page is made of many, and a browser does not ask again for a module that was refused.
* *Names.* A request must name this server by one of its names, so that a foreign name that was
  made to resolve to it (DNS rebinding) shows a foreign page nothing. Probes come by whatever name
  their network gives, so theirs is taken; but who does not know a name of ours is told only
  whether all is well, and no name of a world (see `routes`).
* *Bodies.* A request that announces a body has it read here, whole, within HTTP_BODY_BYTES_MAX
  and HTTP_BODY_S_MAX, before a handler sees it. So a handler never waits for a peer, and
  Hypercorn's short queue of body events cannot fill up behind a handler that does not read: that
  would block the connection for good.
* *Uploads* are the exception: the bodies of a few named routes reach their handler piece by piece
  (see `uploads`), with bounds of their own.
* *Headers.* Every answer, errors included, carries the security headers that mean something for
  it, and is not to be kept unless the route says otherwise.
* *HEAD* is GET without the body, which Hypercorn leaves out. A handler for whom a body is much work
  finds IS_HEAD in the scope.
* *WebSocket* belongs to the front door; what gets here asked for a wrong path and is refused. It
  comes as a request like any other (`service` sees to that), and so it has a rate like any other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Container, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import trio

from atrium_server.http.uploads import (
    AsgiApp,
    Message,
    Receive,
    Refused,
    Scope,
    Send,
    Upload,
    announced_bytes,
)
from atrium_shared.limits import (
    HTTP_BODY_BYTES_MAX,
    HTTP_BODY_S_MAX,
    HTTP_REFUSAL_S,
    HTTP_REFUSALS_HELD_MAX,
)

PROBES: Final = frozenset({"/healthz", "/readyz"})
UPLOADS: Final = frozenset({("POST", "/api/assets")})
"""Methods and paths whose bodies are handed on piece by piece."""
IS_HEAD: Final = "atrium.is_head"
_SLASHES: Final = re.compile(r"//+")

Headers = Iterable[tuple[bytes, bytes]]

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; connect-src 'self' ws: wss: blob: data:; img-src 'self' data: blob:; "
    "media-src 'self' blob:; worker-src 'self' blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Code comes from here and nowhere else. A model carries its pictures and sounds inside of it, and
three.js fetches them from there under addresses that are blob: or data:; a decoder of pictures may
run in a worker that is made of our own code."""

PERMISSIONS_POLICY: Final = (
    "camera=(), fullscreen=(self), gamepad=(self), geolocation=(), microphone=(self), "
    "xr-spatial-tracking=(self)"
)
"""What the page may ask people for, and no frame within it."""

DEFAULT_HEADERS: Final = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"permissions-policy", PERMISSIONS_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
"""Added to each answer that does not have a header of that name, but for scripts and styles."""
NO_DOCUMENTS: Final = (b"text/javascript", b"text/css")
FEW_HEADERS: Final = tuple(
    each for each in DEFAULT_HEADERS if each[0] in {b"x-content-type-options", b"cache-control"}
)
"""What scripts and styles get: the rest binds documents, and who opens one of these as a document
is shown a text. A page has more than a hundred of them, and pays for each header as often."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may ask, as those parts say that know the names and count the addresses.

    Addresses are text, "" when unknown.

    Attributes:
        knows_host: whether the value of a Host header means this server.
        client_of: whose request it is, by the peer's address and all X-Forwarded-For headers.
        trusts: whether this client may see the metrics.
        take_request: called with the client, the time in seconds, and whether a file of the page
            is asked for; False when this client has asked too often.
        refused: told a word for each refusal.
        allowed_origins: of pages that are served elsewhere, as in the settings; "*" is all.
        is_secure: pages of our own came by TLS.
    """

    knows_host: Callable[[str], bool]
    client_of: Callable[[str, Sequence[str]], str]
    trusts: Callable[[str], bool]
    take_request: Callable[[str, float, bool], bool]
    refused: Callable[[str], None]
    allowed_origins: Collection[str] = ()
    is_secure: bool = False

    def is_named(self, headers: Headers) -> bool:
        """Whether a request names this server, by one name and one of ours."""
        hosts = _values(headers, b"host")
        return len(hosts) == 1 and self.knows_host(hosts[0])

    def is_of_ours(self, origin: str, host: str) -> bool:
        """Whether a page of `origin` may ask `host`: a page of that very host, or an allowed one.

        A page of this machine on another port is a foreign one, as it is for the WebSocket.
        """
        if "*" in self.allowed_origins or origin in self.allowed_origins:
            return True
        try:
            page = urlsplit(origin)
        except ValueError:
            return False
        # By TLS we serve no page of http://: such a one is somebody's on the way to its visitor.
        is_same = page.netloc.lower() == host.lower() != ""
        is_same = is_same and (page.scheme == "https" or not self.is_secure)
        return is_same and self.knows_host(host)


class Guard:
    """`app` behind the guard. `static_paths` are those of the files of the page."""

    def __init__(self, app: AsgiApp, admission: Admission, static_paths: Container[str]) -> None:
        self._app = app
        self._admission = admission
        self._static_paths = static_paths
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        send = _adding_headers(send)
        peer, port = scope["client"] or ("", 0)
        client = self._admission.client_of(peer, _values(scope["headers"], b"x-forwarded-for"))
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        is_head = scope["method"] == "HEAD"
        scope = {**scope, "method": method, "client": (client, port), IS_HEAD: is_head}
        is_upload = (method, _plain_path(scope["path"])) in UPLOADS
        try:
            self._admit(scope, client)
            if not is_upload and _has_body(scope):
                body = await _read_body(receive)
                if body is None:
                    return
                receive = _replaying(body, receive)
        except Refused as refused:
            await self._refuse(refused, receive, send)
            return
        if is_upload:
            await self._upload(scope, receive, send)
        else:
            await self._app(scope, receive, self._holding(receive, send))

    def _holding(self, receive: Receive, send: Send) -> Send:
        """Let who asked a route too often wait for the answer, as `_refuse` does."""

        async def hold(message: Message) -> None:
            if message.get("status") == HTTPStatus.TOO_MANY_REQUESTS:
                gone = trio.Event()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(_discard, receive, gone)
                    await self._hold(gone)
                    nursery.cancel_scope.cancel()
            await send(message)

        return hold

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            size = announced_bytes(scope["headers"])
        except Refused as refused:
            self._admission.refused(refused.code)
            await refused.answer(Upload(receive, send, 0).send)
            return
        upload = Upload(receive, send, size)
        await self._app(scope, upload.receive, upload.send)

    def _admit(self, scope: Scope, client: str) -> None:
        is_static = scope["path"] in self._static_paths
        if not self._admission.take_request(client, trio.current_time(), is_static):
            sentence = "Too many requests come from your address: ask less often."
            raise Refused(HTTPStatus.TOO_MANY_REQUESTS, "too_many", sentence)
        if is_websocket(scope["headers"]):
            sentence = "There is no WebSocket at this address; it is at /ws."
            raise Refused(HTTPStatus.BAD_REQUEST, "no_websocket", sentence)
        if scope["path"] not in PROBES and not self._admission.is_named(scope["headers"]):
            sentence = (
                "This server does not go by this name: use its IP address, or add the origin of "
                "the page (such as https://example.org) to the setting allowed_origins."
            )
            raise Refused(HTTPStatus.MISDIRECTED_REQUEST, "wrong_host", sentence)

    async def _refuse(self, refused: Refused, receive: Receive, send: Send) -> None:
        """Answer and let the connection close; meanwhile keep Hypercorn's queue from filling up."""
        self._admission.refused(refused.code)
        headers: list[tuple[bytes, bytes]] = [(b"connection", b"close")]
        gone = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_discard, receive, gone)
            if refused.status is HTTPStatus.TOO_MANY_REQUESTS:
                headers.append((b"retry-after", str(math.ceil(HTTP_REFUSAL_S)).encode()))
                await self._hold(gone)
            await refused.answer(send, *headers)
            nursery.cancel_scope.cancel()

    async def _hold(self, gone: trio.Event) -> None:
        """Let the peer wait, unless it has gone or too many wait already."""
        if self._held >= HTTP_REFUSALS_HELD_MAX:
            return
        self._held += 1
        try:
            with trio.move_on_after(HTTP_REFUSAL_S):
                await gone.wait()
        finally:
            self._held -= 1


def is_websocket(headers: Headers) -> bool:
    """Whether a request asks for a WebSocket, be it a whole handshake or not."""
    return any(
        protocol.strip().lower() == "websocket"
        for value in _values(headers, b"upgrade")
        for protocol in value.split(",")
    )


def _plain_path(path: str) -> str:
    """The path as the routes understand it, to whom slashes at the end or in a row say nothing."""
    return _SLASHES.sub("/", path).rstrip("/") or "/"


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1") for known, value in headers if known == name]


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body, or None when the peer left."""
    body = bytearray()
    with trio.move_on_after(HTTP_BODY_S_MAX):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > HTTP_BODY_BYTES_MAX:
                sentence = f"The body of a request may have at most {HTTP_BODY_BYTES_MAX:,} bytes."
                raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", sentence)
            if not message.get("more_body", False):
                return bytes(body)
    sentence = f"The body did not arrive within {HTTP_BODY_S_MAX:g} seconds."
    raise Refused(HTTPStatus.REQUEST_TIMEOUT, "timeout", sentence)


async def _discard(receive: Receive, gone: trio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()


def _replaying(body: bytes, receive: Receive) -> Receive:
    waiting = [body]

    async def replay() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return replay


def _adding_headers(send: Send) -> Send:
    async def add(message: Message) -> None:
        if message["type"] == "http.response.start":
            present: dict[bytes, bytes] = {
                name.lower(): value for name, value in message.get("headers", [])
            }
            is_text = present.get(b"content-type", b"").startswith(NO_DOCUMENTS)
            wanted = FEW_HEADERS if is_text else DEFAULT_HEADERS
            added = [header for header in wanted if header[0] not in present]
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await send(message)

    return add
