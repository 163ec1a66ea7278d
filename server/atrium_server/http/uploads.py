"""The body of an upload on its way from the peer to a handler.

Theory of operation
-------------------
Hypercorn hands a body on in pieces, through a short queue: who does not read makes the peer wait.
`Upload` stands between that queue and the handler. It lets through as much as was announced and no
more. A peer must not fall silent for longer than UPLOAD_PIECE_S_MAX, and must be as fast as
UPLOAD_BYTES_PER_S_MIN on the whole, so no number of slow peers can hold what an upload holds for
long. The time in which the handler does not ask does not count.

An answer before the end of a body (no permission, the disk is full) is the last of its connection.
If the server closed it at once, what the peer still sends would be answered by a reset, which takes
the answer with it. So the answer is sent whole, and for a moment the rest of the body is read and
thrown away; a peer that reads stops sending then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

import msgspec
import trio

from atrium_shared.limits import (
    ASSET_BYTES_MAX,
    UPLOAD_BYTES_PER_S_MIN,
    UPLOAD_LINGER_S_MAX,
    UPLOAD_PIECE_S_MAX,
)

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_DIGITS_MAX: Final = 18


class Refused(Exception):
    """The request cannot be taken; carries the HTTP status, a code and a sentence."""

    def __init__(self, status: HTTPStatus, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.code, self.sentence = status, code, sentence

    async def answer(self, send: Send, *headers: tuple[bytes, bytes]) -> None:
        """Send it as the whole answer to a request."""
        content = msgspec.json.encode({"code": self.code, "sentence": self.sentence})
        described = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
        ]
        await send({
            "type": "http.response.start", "status": int(self.status),
            "headers": [*described, *headers],
        })
        await send({"type": "http.response.body", "body": content})


def announced_bytes(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """How long the body will be, by its one Content-Length. Raises Refused."""
    values = [value for name, value in headers if name == b"content-length"]
    if len(values) != 1 or any(name == b"transfer-encoding" for name, _ in headers):
        sentence = "Say in a Content-Length header how many bytes the file has."
        raise Refused(HTTPStatus.LENGTH_REQUIRED, "no_length", sentence)
    if not values[0].isdigit() or len(values[0]) > _DIGITS_MAX or int(values[0]) == 0:
        sentence = "The Content-Length of a file is a number of bytes above 0."
        raise Refused(HTTPStatus.BAD_REQUEST, "bad_request", sentence)
    size = int(values[0])
    if size > ASSET_BYTES_MAX:
        sentence = f"A file may have at most {ASSET_BYTES_MAX:,} bytes: make it smaller."
        raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", sentence)
    return size


class Upload:
    """`receive` and `send` of one request with a large body, bounded."""

    def __init__(self, receive: Receive, send: Send, size: int) -> None:
        self._receive, self._send = receive, send
        self._rest = size
        self._left_s = UPLOAD_PIECE_S_MAX + size / UPLOAD_BYTES_PER_S_MIN
        self._is_whole = False

    async def receive(self) -> Message:
        """The next piece. Raises Refused when the peer is too slow, or sends too much."""
        if self._is_whole:
            return await self._receive()
        began = trio.current_time()
        message: Message | None = None
        with trio.move_on_after(min(UPLOAD_PIECE_S_MAX, self._left_s)):
            message = await self._receive()
        self._left_s -= trio.current_time() - began
        if message is None:
            raise Refused(
                HTTPStatus.REQUEST_TIMEOUT, "timeout",
                "The file comes too slowly: try again over a faster connection.",
            )
        if message["type"] == "http.request":
            self._rest -= len(message.get("body", b""))
            if self._rest < 0:
                sentence = "More came than was announced."
                raise Refused(HTTPStatus.BAD_REQUEST, "bad_request", sentence)
        self._is_whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Send a part of the answer; the last one of its connection if the body is not whole."""
        if self._is_whole:
            await self._send(message)
        elif message["type"] == "http.response.start":
            headers = [each for each in message["headers"] if each[0].lower() != b"connection"]
            headers.append((b"connection", b"close"))
            await self._send({**message, "headers": headers})
        elif message.get("more_body", False):
            await self._send(message)
        else:
            await self._send_last(message)

    async def _send_last(self, message: Message) -> None:
        """Send the last part of the answer, and end the connection a moment later."""
        ended = trio.Event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._discard, ended)
            await self._send({**message, "more_body": True})
            with trio.move_on_after(UPLOAD_LINGER_S_MAX):
                await ended.wait()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
            nursery.cancel_scope.cancel()

    async def _discard(self, ended: trio.Event) -> None:
        while (await self._receive()).get("more_body", False):
            pass
        ended.set()
        while True:  # what Hypercorn says when the answer has been sent
            await self._receive()
