"""Connections inside one process, on trio's clock, with a seeded link conditioner.

A whole server and its clients run in one test process over these links: with `MockClock` an hour
of delays and stalls takes no time, and a failure repeats from its seed. `MemoryIO` gives the
server's ends to the pump through the same interface as real sockets; the client's end is a
`trio.abc.Stream`.

A `Pipe` is one direction: a bounded queue of pieces, each with the time at which it arrives. The
bound stands for the socket's send buffer: a writer that is not read from gets 'would block', so
flow control is exercised as on a real link.
"""

from __future__ import annotations

import errno
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import trio

from atrium_server.net.frame_kernels import Chunks, chunks_of
from atrium_server.net.socket_io import Endpoint, Sizes, Slots
from atrium_shared.limits import RECEIVE_BYTES_MAX


@dataclass(slots=True)
class Conditions:
    """How a link misbehaves. All times in seconds of trio's clock."""

    delay_s: float = 0.0
    jitter_s: float = 0.0
    bytes_per_s: float = 0.0
    """0 for a link without a limit."""
    buffer_bytes: int = 65_536
    random: random.Random = field(default_factory=lambda: random.Random(0))


class Pipe:
    """One direction of a link."""

    def __init__(self, conditions: Conditions) -> None:
        self.conditions = conditions
        self._pieces: deque[tuple[float, bytes]] = deque()
        self._bytes = 0
        self._free_at = 0.0
        self._eof = False
        self._broken = False
        self._stalled = False
        self._changed = trio.Event()
        self.bytes_passed = 0
        self.on_change: Callable[[], None] | None = None
        """Called whenever there may be an answer to `next_arrival` other than before."""

    def _notify(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
        if self.on_change is not None:
            self.on_change()

    def room(self) -> int:
        """Bytes that can be written now."""
        return max(0, self.conditions.buffer_bytes - self._bytes)

    def write(self, data: bytes | memoryview) -> int:
        """Bytes taken; raises BrokenPipeError after a cut or after the reader has closed."""
        if self._broken or self._eof:
            raise BrokenPipeError(errno.EPIPE, "the link is gone")
        piece = bytes(data[: self.room()])
        if piece:
            c = self.conditions
            now = trio.current_time()
            self._free_at = max(self._free_at, now)
            if c.bytes_per_s:
                self._free_at += len(piece) / c.bytes_per_s
            arrives = self._free_at + c.delay_s + c.random.random() * c.jitter_s
            if self._pieces:
                arrives = max(arrives, self._pieces[-1][0])
            self._pieces.append((arrives, piece))
            self._bytes += len(piece)
            self._notify()
        return len(piece)

    def end(self) -> None:
        """The writer has closed: the reader sees the end after what is under way."""
        self._eof = True
        self._notify()

    def cut(self) -> None:
        """The link is gone at once, with what was under way."""
        self._broken = True
        self._pieces.clear()
        self._notify()

    def stall(self, stalled: bool) -> None:
        """While stalled nothing arrives; what was sent waits."""
        self._stalled = stalled
        self._notify()

    def next_arrival(self) -> float | None:
        """When a reader can get something (bytes, the end, an error); None while nothing is due."""
        if self._broken:
            return 0.0
        if self._stalled:
            return None
        if self._pieces:
            return self._pieces[0][0]
        return 0.0 if self._eof else None

    def read(self, bytes_max: int) -> bytes | None:
        """Bytes that have arrived, b'' at the end, None when there is nothing yet."""
        if self._broken:
            raise ConnectionResetError(errno.ECONNRESET, "the link was cut")
        due = self.next_arrival()
        if due is None or due > trio.current_time():
            return None
        taken = bytearray()
        while self._pieces and len(taken) < bytes_max:
            arrives, piece = self._pieces[0]
            if arrives > trio.current_time():
                break
            want = bytes_max - len(taken)
            taken += piece[:want]
            self._pieces.popleft()
            if len(piece) > want:
                self._pieces.appendleft((arrives, piece[want:]))
        self._bytes -= len(taken)
        self.bytes_passed += len(taken)
        self._notify()
        return bytes(taken)

    async def wait_arrival(self) -> None:
        """Sleep until `read` has an answer."""
        while True:
            due = self.next_arrival()
            if due is not None and due <= trio.current_time():
                return
            with trio.move_on_at(due if due is not None else float("inf")):
                await self._changed.wait()

    async def wait_room(self) -> None:
        while not (self._broken or self._eof or self.room()):
            await self._changed.wait()


class MemoryStream(trio.abc.Stream):
    """One end of a link, as a trio stream."""

    def __init__(self, incoming: Pipe, outgoing: Pipe, peer_address: str) -> None:
        self.incoming, self.outgoing = incoming, outgoing
        self.peer_address = peer_address
        """Where the other end claims to be, for the limits per address."""

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        rest = memoryview(bytes(data))
        while rest:
            try:
                rest = rest[self.outgoing.write(rest) :]
            except OSError as error:
                raise trio.BrokenResourceError from error
            if rest:
                await self.outgoing.wait_room()

    async def wait_send_all_might_not_block(self) -> None:
        await self.outgoing.wait_room()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        while True:
            await self.incoming.wait_arrival()
            try:
                data = self.incoming.read(max_bytes or 65_536)
            except OSError as error:
                raise trio.BrokenResourceError from error
            if data is not None:
                return data

    def close(self) -> None:
        """Close both directions, as closing a socket does."""
        self.outgoing.end()
        self.incoming.end()

    def cut(self) -> None:
        """Break the link both ways: what was under way is lost."""
        self.outgoing.cut()
        self.incoming.cut()

    async def aclose(self) -> None:
        self.close()
        await trio.lowlevel.checkpoint()


def memory_link(
    up: Conditions | None = None, down: Conditions | None = None, address: str = "127.0.0.1"
) -> tuple[MemoryStream, MemoryStream]:
    """(client's end, server's end) of a new link; the client is at `address`."""
    to_server, to_client = Pipe(up or Conditions()), Pipe(down or Conditions())
    return (
        MemoryStream(to_client, to_server, "server"),
        MemoryStream(to_server, to_client, address),
    )


class MemoryIO:
    """`SocketIO` over the server's ends of memory links."""

    def __init__(self) -> None:
        self._links: dict[int, MemoryStream] = {}
        self._changed = trio.Event()

    def _wake(self) -> None:
        self._changed.set()

    def add(self, slot: int, endpoint: Endpoint) -> None:
        assert isinstance(endpoint, MemoryStream)
        self._links[slot] = endpoint
        endpoint.incoming.on_change = self._wake
        self._wake()

    def remove(self, slot: int) -> None:
        self._links.pop(slot).incoming.on_change = None

    async def wait_readable(self) -> None:
        await trio.lowlevel.checkpoint()
        while True:
            self._changed = trio.Event()
            due = [link.incoming.next_arrival() for link in self._links.values()]
            first = min((at for at in due if at is not None), default=float("inf"))
            if first <= trio.current_time():
                return
            with trio.move_on_at(first):
                await self._changed.wait()

    def receive(self) -> Chunks:
        pieces: list[tuple[int, int, bytes]] = []
        for slot in sorted(self._links):
            try:
                data = self._links[slot].incoming.read(RECEIVE_BYTES_MAX)
            except OSError as error:
                pieces.append((slot, -(error.errno or errno.EIO), b""))
                continue
            if data is not None:
                pieces.append((slot, len(data), data))
        return chunks_of(pieces)

    def send(
        self, slots: Slots, arena: npt.NDArray[np.uint8], offsets: Sizes, lengths: Sizes
    ) -> Sizes:
        results = np.zeros(len(slots), np.int64)
        for k, slot in enumerate(slots.tolist()):
            piece = arena[int(offsets[k]) : int(offsets[k] + lengths[k])]
            results[k] = self.send_one(slot, piece.tobytes())
        return results

    def send_one(self, slot: int, data: bytes | memoryview) -> int:
        try:
            taken = self._links[slot].outgoing.write(data)
        except OSError as error:
            return -(error.errno or errno.EIO)
        return taken if taken or not data else -errno.EAGAIN

    def end_output(self, slot: int) -> None:
        self._links[slot].outgoing.end()

    def close(self) -> None:
        self._links.clear()
