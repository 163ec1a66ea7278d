"""TLS as Python's `ssl` does it, between two memory BIOs: for a stream, and then for the pump.

Theory of operation
-------------------
An `ssl.SSLObject` knows no socket. What came from the peer is written into one BIO and read from
the object as plaintext; what is to be said is written into the object and comes out of the other
BIO::

    socket ─► incoming ─► SSLObject ─► plaintext          (decrypt)
    socket ◄─ outgoing ◄─ SSLObject ◄─ plaintext          (encrypt)

`TlsCipher` is that and no more. `TlsStream` puts it on a transport for the front door and the HTTP
service. A WebSocket takes the stream apart again (`detach`), and the gateway goes on with the
cipher and the socket alone.

What lies in the BIOs is bounded: `incoming` gets as much as is received at once and is read
empty before more is received; OpenSSL keeps at most one record, 16 KiB, that is not whole yet. What
is encrypted is taken out at once.

Bytes that carry nothing for us (headers of records, records without content, changes of keys) cost
us about as much as those that do, so a peer who cuts its words into records of one byte could buy
much of our time with few words. `Overhead` measures them: more than any client needs ends the
connection.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import Any, Final

import trio

from atrium_shared.limits import HTTP_SEND_BYTES_MAX

RECORD_BYTES_MAX: Final = 16_384
"""Plaintext in one record of TLS."""
RECEIVE_BYTES: Final = 16_384
"""Asked of a transport at once."""
CLOSE_NOTIFY_S: Final = 1.0
"""How long a peer that does not read may hold up the end of its stream."""
OVERHEAD_BYTES_PER_S_MAX: Final = 16_384
"""A client that sends 60 poses and 60 other messages a second, each in a record of its own, makes
3,500."""
OVERHEAD_BYTES_MAX: Final = 65_536
"""Saved up: a whole record that is under way is four times in it, a handshake as often."""


class Overhead:
    """How many bytes came without a meaning, allowing for so many a second."""

    __slots__ = ("_bytes", "_since")

    def __init__(self, now: float) -> None:
        self._bytes, self._since = 0.0, now

    def is_too_much(self, received: int, plain: int) -> bool:
        """Count what came and what was in it. What is no whole record yet counts until it is.

        An eighth of what was in it is spared: an upload in records of a packet each goes fast.
        The clock is looked at only when there is something to spare.
        """
        self._bytes += received - 1.125 * plain
        if self._bytes <= OVERHEAD_BYTES_MAX:
            if self._bytes < -RECORD_BYTES_MAX:
                self._bytes = -RECORD_BYTES_MAX
            return False
        now = trio.current_time()
        self._bytes = max(self._bytes - (now - self._since) * OVERHEAD_BYTES_PER_S_MAX, 0.0)
        self._since = now
        return self._bytes > OVERHEAD_BYTES_MAX


class TlsCipher:
    """One side of one TLS connection. Implements `net.connection.Cipher`."""

    __slots__ = ("_incoming", "_object", "_outgoing", "_overhead", "is_over")

    def __init__(self, context: ssl.SSLContext) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._overhead = Overhead(trio.current_time())
        self.is_over = False
        """Nothing follows from the peer: it has said so, or what it said was no TLS."""

    # --- handshake -----------------------------------------------------------------------

    def shake(self, data: bytes) -> tuple[bool, bytes]:
        """One step with what the peer sent: (whether the handshake is done, what to answer).

        Raises ssl.SSLError; what there is to answer then is in `last_words`.
        """
        self._incoming.write(data)
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False, self._outgoing.read()
        return True, self._outgoing.read()

    def last_words(self) -> bytes:
        """Whatever OpenSSL still wants to say, such as an alert."""
        return self._outgoing.read()

    @property
    def version(self) -> str:
        return self._object.version() or ""

    @property
    def has_unread(self) -> bool:
        """Whether more has come than the handshake took: the first words behind it, as a rule."""
        return bool(self._incoming.pending)

    # --- the way of bytes ----------------------------------------------------------------

    def decrypt(self, data: bytes | memoryview) -> tuple[bytes, bytes]:
        """See `Cipher.decrypt`."""
        self._incoming.write(data)
        pieces: list[bytes] = []
        try:
            # Asked once more than there are records, OpenSSL would raise; that costs as much as
            # the decryption, and most often what was received is one whole record.
            while self._incoming.pending or self._object.pending():
                piece = self._object.read(RECORD_BYTES_MAX)
                if not piece:  # close_notify: whoever knows how to say it has said everything
                    self.is_over = True
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        except OSError:
            self.is_over = True  # what is right before it counts
        plain = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self._overhead.is_too_much(len(data), len(plain)):
            self.is_over = True
        return plain, self._outgoing.read() if self._outgoing.pending else b""

    def encrypt(self, data: bytes | memoryview) -> bytes:
        """See `Cipher.encrypt`."""
        self._object.write(data)
        return self._outgoing.read()

    def end(self) -> bytes:
        """See `Cipher.end`."""
        with contextlib.suppress(OSError):  # as a rule: the peer has not said close_notify yet
            self._object.unwrap()
        return self._outgoing.read()


class TlsStream(trio.abc.HalfCloseableStream):
    """A stream of plaintext whose handshake is done."""

    def __init__(self, transport: trio.abc.Stream, cipher: TlsCipher) -> None:
        self._transport, self._cipher = transport, cipher
        self._plain = b""
        self._owed = b""
        """Records to be sent before any others: they have their numbers."""
        self._sending = trio.Lock()
        self._has_ended = self._is_broken = False

    @property
    def socket(self) -> Any:
        """The socket below, for those who want its addresses; None where there is none."""
        return getattr(self._transport, "socket", None)

    @property
    def is_secure(self) -> bool:
        return True

    def detach(self) -> tuple[trio.abc.Stream, TlsCipher, bytes]:
        """The transport, what stands between it and the plaintext from now on, and plaintext that
        nobody has asked for yet.
        """
        return self._transport, self._cipher, self._plain

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        if self._plain:
            await trio.lowlevel.checkpoint()
        while not self._plain and not self._cipher.is_over:
            data = b""
            if not self._cipher.has_unread:
                data = await self._transport.receive_some(RECEIVE_BYTES)
                if not data:
                    return b""  # a link that ends without a word; HTTP says lengths by itself
            self._plain, answer = self._cipher.decrypt(bytes(data))
            self._owed += answer
            if self._owed and not self._sending.locked():
                # Else it is the first thing that the sender takes along: nobody waits for it.
                await self._send_owed()
        size = max_bytes or len(self._plain)
        data, self._plain = self._plain[:size], self._plain[size:]
        return data

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        if self._has_ended:
            raise trio.ClosedResourceError("this end of the stream has ended")
        view = memoryview(data)
        for start in range(0, len(view), HTTP_SEND_BYTES_MAX):
            await self._send_plain(view[start : start + HTTP_SEND_BYTES_MAX])

    async def _send_plain(self, piece: memoryview) -> None:
        async with self._sending:
            if self._is_broken:
                raise trio.BrokenResourceError("an earlier piece was sent in part")
            try:
                encrypted = self._cipher.encrypt(piece)
            except OSError as error:
                raise trio.BrokenResourceError from error
            await self._sent(encrypted)

    async def _send_owed(self) -> None:
        async with self._sending:
            if not self._is_broken:
                await self._sent(b"")

    async def _sent(self, encrypted: bytes) -> None:
        """A record of which a part was sent can be followed by nothing else."""
        data, self._owed = self._owed + encrypted, b""
        self._is_broken = True
        await self._transport.send_all(data)
        self._is_broken = False

    async def wait_send_all_might_not_block(self) -> None:
        await self._transport.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Say close_notify, and end our direction of the transport."""
        async with self._sending:
            if not self._has_ended and not self._is_broken:
                self._has_ended = True
                await self._sent(self._cipher.end())
            if isinstance(self._transport, trio.abc.HalfCloseableStream):
                await self._transport.send_eof()

    async def aclose(self) -> None:
        try:
            if not self._sending.locked():
                with trio.move_on_after(CLOSE_NOTIFY_S):
                    await self.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # the peer went away
        finally:
            await self._transport.aclose()
