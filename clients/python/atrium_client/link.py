"""One WebSocket connection to a server: bytes out, bytes in, and errors that are sentences.

The thin skin around `websockets.trio`: the protocol itself is in `session`. Binary messages only,
no compression, sub-protocol `atrium.1`.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

import trio
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidProxy,
    InvalidStatus,
    InvalidURI,
)
from websockets.trio.client import ClientConnection
from websockets.trio.client import connect as open_websocket
from websockets.typing import Subprotocol

from atrium_client.errors import ConnectionFailed
from atrium_shared.codec import SUBPROTOCOL
from atrium_shared.limits import HANDSHAKE_S_MAX, SILENCE_PING_S

MESSAGE_BYTES_MAX = 1 << 20
"""Largest message taken from a server."""
SILENCE_S_MAX = SILENCE_PING_S
"""An active server says something each tick: a link this silent is dead."""
CLOSE_S_MAX = 1.0

Dialer = Callable[[], Awaitable[trio.abc.Stream]]
"""Opens a new byte stream to the server; called for the first link and for each new one."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server is and how to get there."""

    url: str
    dial: Dialer | None = None
    """None opens a TCP connection to the host and port of `url`."""
    ssl: ssl.SSLContext | None = None
    """None uses the system's certificates for wss://."""


def websocket_url(url: str) -> str:
    """`url` with ws:// or wss:// and a path: `http://host:8080` is `ws://host:8080/ws`.

    Raises ConnectionFailed when it is not such an address.
    """
    parts = urlsplit(url if "://" in url else f"ws://{url}")
    scheme = {"http": "ws", "https": "wss"}.get(parts.scheme, parts.scheme)
    if scheme not in ("ws", "wss") or not parts.netloc:
        raise ConnectionFailed(
            f"{url!r} is not the address of a server; it should look like ws://host:8080"
        )
    path = parts.path if parts.path not in ("", "/") else "/ws"
    return urlunsplit((scheme, parts.netloc, path, parts.query, ""))


def unreached(url: str, error: BaseException) -> str:
    """Why there is no connection to `url`, for a person."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"The certificate of {url} is not trusted: {cause.verify_message}. If it is one of"
                " the server's own, give ssl.create_default_context(cafile=...) with its file."
            )
        cause = cause.__cause__ or cause.__context__
    return f"No server answers at {url}. Is it running? ({error})"


class Link:
    """An open connection."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket

    async def send(self, data: bytes) -> bool:
        """Send one message; False when the connection is gone (`receive` tells why)."""
        try:
            await self._socket.send(data)
        except ConnectionClosed:
            return False
        return True

    async def receive(self) -> bytes | None:
        """The next message, or None when the connection is gone or silent for too long.

        A text message, which `atrium.1` does not have, comes back as its bytes: it is refused by
        the decoder like anything else that is not a message.
        """
        with trio.move_on_after(SILENCE_S_MAX):
            try:
                return await self._socket.recv(decode=False)
            except ConnectionClosed:
                return None
        return None

    @property
    def close_code(self) -> int | None:
        """Of the close frame that the server sent; None when there was none."""
        return self._socket.close_code

    @property
    def close_sentence(self) -> str:
        """Why the connection is gone, for a person."""
        code, reason = self._socket.close_code, self._socket.close_reason
        if code is None:
            return "The server has been silent for too long."
        if code == 1006:
            return "The connection broke off."
        return f"The connection was closed: {reason or 'no reason given'} ({code})."

    async def aclose(self) -> None:
        """Close with 1000 and wait for the answer, for at most CLOSE_S_MAX."""
        await self._socket.aclose()


@asynccontextmanager
async def open_link(address: Address) -> AsyncGenerator[Link]:
    """Connect and shake hands. Raises ConnectionFailed with a sentence."""
    async with AsyncExitStack() as stack:
        try:
            with trio.fail_after(HANDSHAKE_S_MAX):
                stream = await address.dial() if address.dial is not None else None
            socket = await stack.enter_async_context(open_websocket(
                address.url,
                stream=stream,
                ssl=address.ssl,
                subprotocols=[Subprotocol(SUBPROTOCOL)],
                compression=None,
                open_timeout=HANDSHAKE_S_MAX,
                ping_interval=None,  # the server pings; silence is watched in `receive`
                close_timeout=CLOSE_S_MAX,
                max_size=MESSAGE_BYTES_MAX,
            ))
        except InvalidStatus as error:
            status = error.response.status_code
            raise ConnectionFailed(
                f"{address.url} answered with HTTP status {status} instead of a WebSocket."
            ) from error
        except (InvalidHandshake, InvalidProxy, InvalidURI) as error:
            raise ConnectionFailed(
                f"{address.url} did not answer as an Atrium server: {error}"
            ) from error
        except (
            OSError, EOFError, ConnectionClosed, trio.TooSlowError, trio.BrokenResourceError
        ) as error:
            raise ConnectionFailed(unreached(address.url, error)) from error
        if socket.subprotocol != SUBPROTOCOL:
            raise ConnectionFailed(f"{address.url} does not speak {SUBPROTOCOL}.")
        yield Link(socket)
