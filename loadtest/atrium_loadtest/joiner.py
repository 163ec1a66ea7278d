"""Brings bots in: connect, upgrade, hello, welcome; many at once and at a chosen pace.

Theory of operation
-------------------
Joining happens beside the running crowd, so nothing here may block: sockets are non-blocking,
each attempt is a small state machine, and `poll` moves all of them as far as they go. At most
`IN_FLIGHT_MAX` attempts are open at a time and at most `joins_per_s` start per second, because a
real crowd does not arrive in one millisecond either.

::

    CONNECTING --writable--> UPGRADING --101--> GREETING --welcome--> joined
         |                       |                  |
         +------ error, refusal, 10 s without progress ------> failed(reason)

All attempts use the example key of RFC 6455. The key guards against confused caches, of which
there are none on the way to a test server, and with a constant key the expected answer is
constant too, so it is checked strictly at no cost.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from atrium_loadtest import frames
from atrium_shared import codec, messages
from atrium_shared.errors import ProtocolError

IN_FLIGHT_MAX: Final = 64
JOIN_S_MAX: Final = 10.0
_RECEIVE_BYTES: Final = 65_536
_HEAD_BYTES_MAX: Final = 16_384
_KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
_ACCEPT: Final = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

Address = tuple[str, int]


@dataclass(frozen=True)
class Joined:
    """A bot that is in. `rest`: bytes that came behind the welcome."""

    bot: int
    connection: socket.socket
    welcome: messages.Welcome
    rest: bytes
    seconds: float


@dataclass(frozen=True)
class Failed:
    """A bot that could not join, and why, in a few words that can be counted."""

    bot: int
    reason: str


@dataclass
class _Attempt:
    bot: int
    hello: bytes
    connection: socket.socket
    started_s: float
    buffer: bytes = b""
    state: str = "CONNECTING"


@dataclass
class Joiner:
    """Joins the bots that `request` names. `key` masks the few frames sent here."""

    address: Address
    path: str
    joins_per_s: float
    key: bytes = b"\x37\xfa\x21\x3d"
    _waiting: deque[tuple[int, messages.Hello]] = field(
        default_factory=deque[tuple[int, messages.Hello]]
    )
    _attempts: dict[int, _Attempt] = field(default_factory=dict[int, _Attempt])
    _epoll: select.epoll = field(default_factory=select.epoll)
    _next_start_s: float = 0.0

    @property
    def pending(self) -> int:
        """Bots requested and neither joined nor failed yet."""
        return len(self._waiting) + len(self._attempts)

    def fileno(self) -> int:
        """Readable when `poll` has something to do (besides starting and timing out)."""
        return self._epoll.fileno()

    def request(self, bot: int, hello: messages.Hello) -> None:
        """Have `bot` join with `hello`, after those requested before."""
        self._waiting.append((bot, hello))

    def close(self) -> None:
        """Give all attempts up."""
        for attempt in list(self._attempts.values()):
            self._end(attempt)
        self._waiting.clear()
        self._epoll.close()

    def poll(self, now_s: float) -> list[Joined | Failed]:
        """Move every attempt on as far as it goes; returns those that came to an end."""
        ended: list[Joined | Failed] = []
        self._start_due(now_s, ended)
        for fd, _ in self._epoll.poll(0, IN_FLIGHT_MAX):
            if attempt := self._attempts.get(fd):
                outcome = self._move(attempt, now_s)
                if outcome is not None:
                    ended.append(outcome)
        late = [a for a in self._attempts.values() if now_s - a.started_s > JOIN_S_MAX]
        ended += [self._fail(a, f"no welcome within {JOIN_S_MAX:.0f} s") for a in late]
        return ended

    def _start_due(self, now_s: float, ended: list[Joined | Failed]) -> None:
        self._next_start_s = max(self._next_start_s, now_s - 0.02)
        while (
            self._waiting and len(self._attempts) < IN_FLIGHT_MAX and self._next_start_s <= now_s
        ):
            bot, hello = self._waiting.popleft()
            self._next_start_s += 1.0 / self.joins_per_s
            try:
                self._start(bot, hello, now_s)
            except OSError as error:
                ended.append(Failed(bot, _reason(error)))

    def _start(self, bot: int, hello: messages.Hello, now_s: float) -> None:
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = connection.connect_ex(self.address)
        if code not in (0, errno.EINPROGRESS):
            connection.close()
            raise OSError(code, os.strerror(code))
        attempt = _Attempt(bot, codec.encode(hello), connection, now_s)
        self._attempts[connection.fileno()] = attempt
        self._epoll.register(connection.fileno(), select.EPOLLOUT)

    def _move(self, attempt: _Attempt, now_s: float) -> Joined | Failed | None:
        try:
            if attempt.state == "CONNECTING":
                return self._upgrade(attempt)
            data = attempt.connection.recv(_RECEIVE_BYTES)
            if not data:
                return self._fail(attempt, f"closed while {attempt.state}")
            attempt.buffer += data
            if attempt.state == "UPGRADING":
                return self._greet(attempt)
            return self._welcomed(attempt, now_s)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            return self._fail(attempt, _reason(error))
        except ProtocolError as error:
            return self._fail(attempt, error.sentence)

    def _upgrade(self, attempt: _Attempt) -> Failed | None:
        code = attempt.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            return self._fail(attempt, os.strerror(code))
        host, port = self.address
        attempt.connection.send(
            f"GET {self.path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {_KEY}\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {codec.SUBPROTOCOL}\r\n\r\n"
            .encode()
        )
        attempt.state = "UPGRADING"
        self._epoll.modify(attempt.connection.fileno(), select.EPOLLIN)
        return None

    def _greet(self, attempt: _Attempt) -> Failed | None:
        head, end, rest = attempt.buffer.partition(b"\r\n\r\n")
        if not end:
            if len(head) > _HEAD_BYTES_MAX:
                return self._fail(attempt, "the answer to the upgrade has no end")
            return None
        status, _, lines = head.decode("latin-1").partition("\r\n")
        if " 101 " not in status + " ":
            return self._fail(attempt, f"the upgrade was answered with {status[:60]!r}")
        fields = {
            name.strip().lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines.split("\r\n"))
        }
        if fields.get("sec-websocket-accept") != _ACCEPT:
            return self._fail(attempt, "the server's Sec-WebSocket-Accept is wrong")
        if fields.get("sec-websocket-protocol") != codec.SUBPROTOCOL:
            return self._fail(attempt, f"the server does not speak {codec.SUBPROTOCOL}")
        attempt.connection.send(frames.client_frame(frames.BINARY, attempt.hello, self.key))
        attempt.buffer, attempt.state = rest, "GREETING"
        return None

    def _welcomed(self, attempt: _Attempt, now_s: float) -> Joined | Failed | None:
        found = frames.server_frame(attempt.buffer)
        if found is None:
            return None
        opcode, payload, rest = found
        if opcode != frames.BINARY:
            return self._fail(attempt, f"closed before the welcome ({_close_code(payload)})")
        message = codec.decode_server(payload)
        if isinstance(message, messages.Error):
            return self._fail(attempt, f"refused: {message.sentence}")
        if not isinstance(message, messages.Welcome):
            return self._fail(attempt, f"{type(message).__name__} came before the welcome")
        self._forget(attempt)
        seconds = now_s - attempt.started_s
        return Joined(attempt.bot, attempt.connection, message, rest, seconds)

    def _fail(self, attempt: _Attempt, reason: str) -> Failed:
        self._end(attempt)
        return Failed(attempt.bot, reason)

    def _end(self, attempt: _Attempt) -> None:
        self._forget(attempt)
        attempt.connection.close()

    def _forget(self, attempt: _Attempt) -> None:
        fd = attempt.connection.fileno()
        del self._attempts[fd]
        with contextlib.suppress(OSError):
            self._epoll.unregister(fd)


def _close_code(payload: bytes) -> int:
    return int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
