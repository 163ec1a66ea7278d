"""Before the front door: TLS handshakes, and people who typed the address without `https`.

Theory of operation
-------------------
A connection is counted against its address before it gets here, so a flood of handshakes has the
limits of any other. The first byte tells what the peer speaks: 22 begins a TLS handshake, and what
looks like the method of a request is plain HTTP, which a browser speaks where nobody told it
otherwise. That gets an answer in plain HTTP that leads to `https://`: a redirect (308) for GET and
HEAD by a name of ours, and otherwise a refusal with a sentence, for what was sent in the open
should not be sent once more without a thought. Anything else is left to OpenSSL, which says what it
is not.

A handshake has HANDSHAKE_S_MAX seconds and HANDSHAKE_BYTES_MAX bytes. Its steps compute with large
numbers, for between a tenth of a millisecond and several (RSA), and a tick cannot begin meanwhile:
so in each turn of the event loop one step is taken, in the order in which they came.

Strict-Transport-Security is not sent: once a browser has heard it, it does not let a person past
the warning about a self-signed certificate any more, nor back to plain HTTP on that name, whatever
else its owner runs there.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

import trio

from atrium_server.net.tls import RECEIVE_BYTES, TlsCipher, TlsStream
from atrium_server.telemetry import (
    TLS_FAILURES_TOTAL,
    TLS_HANDSHAKE_SECONDS,
    TLS_HANDSHAKES_TOTAL,
    Registry,
)
from atrium_shared.limits import HANDSHAKE_S_MAX, HTTP_HEAD_BYTES_MAX

HANDSHAKE_BYTES_MAX: Final = 65_536
"""Of one peer: a ClientHello is at most 16 KiB, and nobody is asked for a certificate."""
_NOTHING_IN_COMMON: Final = frozenset({
    "UNSUPPORTED_PROTOCOL", "VERSION_TOO_LOW", "NO_SHARED_CIPHER", "NO_SUITABLE_KEY_SHARE",
    "NO_SHARED_SIGNATURE_ALGORITHMS", "NO_SUITABLE_SIGNATURE_ALGORITHM", "NO_SHARED_GROUPS",
})
_METHODS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")


class NotSecure(Exception):
    """There will be no TLS with this peer; `reason` is for the counter, `answer` for the peer."""

    def __init__(self, reason: str, answer: bytes = b"") -> None:
        super().__init__(reason)
        self.reason, self.answer = reason, answer


@dataclass(frozen=True, slots=True)
class TlsDoorParts:
    """What it is given."""

    context: Callable[[], ssl.SSLContext]
    """Of the certificate that is in force now."""
    knows_host: Callable[[str], bool]
    registry: Registry


class TlsDoor:
    """Makes secure streams of accepted ones."""

    def __init__(self, parts: TlsDoorParts) -> None:
        self._parts = parts
        self._turn = trio.Lock()
        self._seconds = parts.registry.histogram(
            TLS_HANDSHAKE_SECONDS, "Time that a TLS handshake kept the event loop."
        )

    async def secured(self, stream: trio.abc.Stream) -> TlsStream:
        """The stream of plaintext. Raises NotSecure, and what the transport raises."""
        try:
            with trio.fail_after(HANDSHAKE_S_MAX):
                first = await stream.receive_some(RECEIVE_BYTES)
                if first[:1] and first[0] in _METHODS:
                    raise NotSecure("plain", await self._answer(stream, bytearray(first)))
                cipher = await self._shaken(stream, bytes(first))
        except NotSecure as refused:
            self._count_failure(refused.reason)
            raise
        except trio.TooSlowError:
            self._count_failure("slow")
            raise NotSecure("slow") from None
        except trio.BrokenResourceError:
            self._count_failure("left")
            raise
        self._parts.registry.counter(
            TLS_HANDSHAKES_TOTAL, "TLS handshakes that were finished.", version=cipher.version
        ).add()
        return TlsStream(stream, cipher)

    async def _shaken(self, stream: trio.abc.Stream, data: bytes) -> TlsCipher:
        """Shake hands; `data` has come already."""
        cipher, received, spent_s = TlsCipher(self._parts.context()), 0, 0.0
        while data and received <= HANDSHAKE_BYTES_MAX:
            received += len(data)
            async with self._turn:
                await trio.lowlevel.checkpoint()  # the step before was in another turn of the loop
                began = time.perf_counter()
                try:
                    is_done, answer = cipher.shake(data)
                except ssl.SSLError as error:
                    raise NotSecure(_reason(error), cipher.last_words()) from None
                spent_s += time.perf_counter() - began
            if answer:
                await stream.send_all(answer)
            if is_done:
                self._seconds.observe(spent_s)
                return cipher
            data = bytes(await stream.receive_some(RECEIVE_BYTES))
        raise NotSecure("garbage" if data else "left")

    def _count_failure(self, reason: str) -> None:
        self._parts.registry.counter(
            TLS_FAILURES_TOTAL, "TLS handshakes that came to nothing.", reason=reason
        ).add()

    # --- plain HTTP ----------------------------------------------------------------------

    async def _answer(self, stream: trio.abc.Stream, head: bytearray) -> bytes:
        """What a request in plain HTTP hears, as soon as all of its head is there."""
        while b"\r\n\r\n" not in head and len(head) < HTTP_HEAD_BYTES_MAX:
            data = await stream.receive_some(HTTP_HEAD_BYTES_MAX)
            if not data:
                break
            head += data
        lines = bytes(head[:HTTP_HEAD_BYTES_MAX]).partition(b"\r\n\r\n")[0].split(b"\r\n")
        method, target = _request_line(lines[0])
        hosts = [
            line[5:].strip().decode("latin-1")
            for line in lines[1:] if line[:5].lower() == b"host:"
        ]
        if len(hosts) != 1 or not target or not self._parts.knows_host(hosts[0]):
            return _plain_answer(
                HTTPStatus.BAD_REQUEST,
                "This server speaks HTTPS only: begin the address with https:// (wss:// for"
                " programs).",
            )
        if method not in ("GET", "HEAD") or any(
            line[:8].lower() == b"upgrade:" for line in lines[1:]
        ):
            return _plain_answer(
                HTTPStatus.BAD_REQUEST,
                f"This server speaks HTTPS only: use https://{hosts[0]}{target} (wss:// for a"
                " WebSocket). What you sent was readable by everybody on the way.",
            )
        url = f"https://{hosts[0]}{target}"
        return _plain_answer(
            HTTPStatus.PERMANENT_REDIRECT, f"This server speaks HTTPS: go to {url}", url
        )


def _request_line(line: bytes) -> tuple[str, str]:
    """(method, target), empty when they are not what a browser would say."""
    words = line.split(b" ")
    if len(words) != 3 or not words[1].startswith(b"/"):
        return "", ""
    if not all(0x21 <= byte < 0x7F for byte in words[1]):
        return "", ""
    return words[0].decode("latin-1"), words[1].decode()


def _plain_answer(status: HTTPStatus, sentence: str, location: str = "") -> bytes:
    body = f"{sentence}\n".encode()
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}", "Content-Type: text/plain; charset=utf-8",
        f"Content-Length: {len(body)}", "Connection: close", "Cache-Control: no-store",
        *([f"Location: {location}"] if location else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _reason(error: ssl.SSLError) -> str:
    """One of a few words for why a handshake failed."""
    reason = error.reason or ""
    if "ALERT" in reason:
        # What browsers and programs say that do not trust the certificate.
        is_distrust = "CERTIFICATE" in reason or "UNKNOWN_CA" in reason
        return "distrusted" if is_distrust else "alert"
    return "version" if reason in _NOTHING_IN_COMMON else "garbage"
