"""A stream behind TLS keeps every record that its cipher has made, whoever is sending meanwhile.

Each record has a number: one that is left out makes all that follow unreadable.
"""

from __future__ import annotations

from typing import cast

import trio
import trio.testing

from atrium_server.net.tls import TlsCipher, TlsStream


class Numbered:
    """A cipher whose records say their numbers, and that answers to everything it hears."""

    is_over = False
    has_unread = False

    def __init__(self) -> None:
        self.number = 0

    def _record(self, data: bytes) -> bytes:
        self.number += 1
        return b"<%d %s>" % (self.number, data)

    def encrypt(self, data: bytes | memoryview) -> bytes:
        return self._record(bytes(data))

    def decrypt(self, data: bytes | memoryview) -> tuple[bytes, bytes]:
        return bytes(data), self._record(b"answer")

    def end(self) -> bytes:
        return self._record(b"end")


class Slow(trio.abc.Stream):
    """A transport that takes what is sent only when it may."""

    def __init__(self) -> None:
        self.may_send = trio.Event()
        self.sent = b""
        self.heard = [b"one", b"two"]

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await self.may_send.wait()
        self.sent += data

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        return self.heard.pop(0) if self.heard else b""

    async def aclose(self) -> None:
        await trio.lowlevel.checkpoint()


async def test_an_answer_waits_for_who_is_sending_and_is_not_lost() -> None:
    transport = Slow()
    stream = TlsStream(transport, cast("TlsCipher", Numbered()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stream.send_all, b"page")
        await trio.testing.wait_all_tasks_blocked()
        assert await stream.receive_some() == b"one"
        transport.may_send.set()
    assert transport.sent == b"<1 page>"
    await stream.send_all(b"more")
    assert transport.sent == b"<1 page><2 answer><3 more>"
    assert await stream.receive_some() == b"two"
    assert transport.sent == b"<1 page><2 answer><3 more><4 answer>"
    await stream.aclose()
    assert transport.sent.endswith(b"<4 answer><5 end>")
