"""What holds for every request, whatever route it takes.

Theory of operation
-------------------
The guard stands between Hypercorn and Litestar, both of which speak ASGI to it.

* *Bodies.* A request that announces a body has it read here, whole, within BODY_BYTES_MAX and
  BODY_S_MAX, before a handler sees it. So a handler never waits for a peer, and Hypercorn's short
  queue of body events cannot fill up behind a handler that does not read: that would block the
  connection for good.
* *Headers.* Every answer, errors included, carries the security headers, and is not to be kept
  unless the route says otherwise.
* *HEAD* is GET without the body, which Hypercorn leaves out.
* *WebSocket* belongs to the front door; what gets here asked for a wrong path and is turned away.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec
import trio

BODY_BYTES_MAX: Final = 65_536
BODY_S_MAX: Final = 10.0

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

DEFAULT_HEADERS: Final = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
"""Added to each answer that does not have a header of that name."""


class _BodyRefused(Exception):
    """The body cannot be taken; carries the HTTP status, a code and a sentence."""

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.content = msgspec.json.encode({"code": code, "sentence": sentence})


def guarded(app: AsgiApp) -> AsgiApp:
    """`app` behind the guard."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        send = _adding_headers(send)
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        if _has_body(scope):
            try:
                body = await _read_body(receive)
            except _BodyRefused as refused:
                await _refuse(refused, receive, send)
                return
            if body is None:
                return
            receive = _replaying(body, receive)
        await app(scope, receive, send)

    return guard


def _has_body(scope: Scope) -> bool:
    return any(
        name == b"transfer-encoding" or (name == b"content-length" and value != b"0")
        for name, value in scope["headers"]
    )


async def _read_body(receive: Receive) -> bytes | None:
    """The whole body, or None when the peer left."""
    body = bytearray()
    with trio.move_on_after(BODY_S_MAX):
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            if len(body) > BODY_BYTES_MAX:
                sentence = f"The body of a request may have at most {BODY_BYTES_MAX:,} bytes."
                raise _BodyRefused(413, "too_large", sentence)
            if not message.get("more_body", False):
                return bytes(body)
    sentence = f"The body did not arrive within {BODY_S_MAX:g} seconds."
    raise _BodyRefused(408, "timeout", sentence)


async def _refuse(refused: _BodyRefused, receive: Receive, send: Send) -> None:
    """Answer and let the connection close; meanwhile keep Hypercorn's queue from filling up."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(refused.content)).encode()),
        (b"connection", b"close"),
    ]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_discard, receive)
        await send({"type": "http.response.start", "status": refused.status, "headers": headers})
        await send({"type": "http.response.body", "body": refused.content})
        nursery.cancel_scope.cancel()


async def _discard(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


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
            headers: list[tuple[bytes, bytes]] = list(message.get("headers", []))
            present = {name.lower() for name, _ in headers}
            headers += [header for header in DEFAULT_HEADERS if header[0] not in present]
            message = {**message, "headers": headers}
        await send(message)

    return add
