"""The two ways to move bytes between the pump and real sockets, behind one interface.

`KernelIO` keeps all sockets in one epoll, whose own descriptor trio waits for, and uses the
compiled loops of `atrium_server.net.kernels`. `PortableIO` does the same one call at a time, for
systems without epoll and for tests. `atrium_server.net.memory_io.MemoryIO` is the third
implementation, over in-process links with a virtual clock. One contract suite runs on all three.

A *slot* is a small integer the gateway gives to each connection; all arrays are indexed by it.
"""

from __future__ import annotations

import bisect
import contextlib
import errno
import select
import selectors
import socket
import sys
from typing import Protocol

import numpy as np
import numpy.typing as npt
import trio

from atrium_server.jit import COPY_BYTES
from atrium_server.net.frame_kernels import Chunks, chunks_of
from atrium_shared.limits import RECEIVE_BYTES_MAX

SOCKETS_PER_PASS_MAX = 4_096
"""Sockets read in one pump pass; the others are first in the next. The arena has room for all of
them at their largest, so that those who send much cannot crowd out the rest."""

Slots = npt.NDArray[np.int32]
Sizes = npt.NDArray[np.int64]


class Endpoint(Protocol):
    """The server's end of one connection: a non-blocking socket or a memory link."""

    def close(self) -> None: ...


class SocketIO(Protocol):
    """Bulk input and output over the endpoints that were added."""

    def add(self, slot: int, endpoint: Endpoint) -> None: ...

    def remove(self, slot: int) -> None:
        """Forget the slot; the endpoint stays open. Must precede closing it."""
        ...

    async def wait_readable(self) -> None:
        """Return when at least one endpoint may have bytes, has ended, or has failed."""
        ...

    def receive(self) -> Chunks:
        """At most RECEIVE_BYTES_MAX from each ready endpoint. Valid until the next call."""
        ...

    def send(
        self, slots: Slots, arena: npt.NDArray[np.uint8], offsets: Sizes, lengths: Sizes
    ) -> Sizes:
        """Offer one piece of the arena to each slot: bytes taken, or -errno, of each."""
        ...

    def send_one(self, slot: int, data: bytes | memoryview) -> int:
        """Bytes taken of `data`, or -errno."""
        ...

    def end_output(self, slot: int) -> None:
        """Tell the peer that nothing will follow; what it sends can still be received."""
        ...

    def close(self) -> None: ...


def is_retry(result: int) -> bool:
    """Whether a negative result of a send means 'later' rather than 'never'."""
    return -result in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR, errno.ENOBUFS)


class _Received:
    """The arena of one pump pass and the arrays that describe it."""

    def __init__(self, slots_max: int) -> None:
        n = min(slots_max, SOCKETS_PER_PASS_MAX)
        # Zeroed pages cost memory only once they are used, and the first ones serve most passes.
        self.arena = np.zeros(n * RECEIVE_BYTES_MAX + COPY_BYTES, np.uint8)
        self.slots = np.zeros(n, np.int32)
        self.offsets = np.zeros(n, np.int64)
        self.lengths = np.zeros(n, np.int64)

    def chunks(self, count: int) -> Chunks:
        return Chunks(self.arena, self.slots, self.offsets, self.lengths, count)


class KernelIO:
    """One nested epoll and compiled loops over system calls (Linux)."""

    def __init__(self, slots_max: int) -> None:
        from atrium_server.net import kernels  # compiled or loaded only where it is used

        self._kernels = kernels
        self._epoll = select.epoll()
        self._received = _Received(slots_max)
        self._events = np.zeros((len(self._received.slots), kernels.EVENT_WORDS), np.int32)
        self._sockets: dict[int, socket.socket] = {}
        self._fd_of_slot = np.full(slots_max, -1, np.int32)
        self._slot_of_fd = np.full(1024, -1, np.int32)

    def add(self, slot: int, endpoint: Endpoint) -> None:
        assert isinstance(endpoint, socket.socket)
        fd = endpoint.fileno()
        if fd >= len(self._slot_of_fd):
            more = np.full(max(fd + 1, 2 * len(self._slot_of_fd)), -1, np.int32)
            more[: len(self._slot_of_fd)] = self._slot_of_fd
            self._slot_of_fd = more
        self._sockets[slot] = endpoint
        self._fd_of_slot[slot] = fd
        self._slot_of_fd[fd] = slot
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLRDHUP)

    def remove(self, slot: int) -> None:
        endpoint = self._sockets.pop(slot)
        self._epoll.unregister(endpoint.fileno())
        self._slot_of_fd[endpoint.fileno()] = -1
        self._fd_of_slot[slot] = -1

    async def wait_readable(self) -> None:
        await trio.lowlevel.wait_readable(self._epoll.fileno())

    def receive(self) -> Chunks:
        got = self._received
        count = self._kernels.receive_ready(
            self._epoll.fileno(), self._events, self._events.ctypes.data, self._slot_of_fd,
            got.arena.ctypes.data, len(got.arena) - COPY_BYTES, RECEIVE_BYTES_MAX,
            got.slots, got.offsets, got.lengths,
        )
        return got.chunks(int(count))

    def send(
        self, slots: Slots, arena: npt.NDArray[np.uint8], offsets: Sizes, lengths: Sizes
    ) -> Sizes:
        results = np.zeros(len(slots), np.int64)
        fds = self._fd_of_slot[slots]
        self._kernels.send_all(fds, arena.ctypes.data, offsets, lengths, results)
        return results

    def send_one(self, slot: int, data: bytes | memoryview) -> int:
        return _send(self._sockets[slot], data)

    def end_output(self, slot: int) -> None:
        _end_output(self._sockets[slot])

    def close(self) -> None:
        self._epoll.close()


class PortableIO:
    """The plain-Python twin: the same answers, one system call at a time."""

    POLL_S = 0.005
    """Selectors of other systems cannot be nested in trio's loop: they are polled."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._last = -1
        """The slot that was read last, when there were too many for one pass."""
        self._sockets: dict[int, socket.socket] = {}

    def add(self, slot: int, endpoint: Endpoint) -> None:
        assert isinstance(endpoint, socket.socket)
        self._sockets[slot] = endpoint
        self._selector.register(endpoint, selectors.EVENT_READ, slot)

    def remove(self, slot: int) -> None:
        self._selector.unregister(self._sockets.pop(slot))

    async def wait_readable(self) -> None:

        while not (self._sockets and self._selector.select(0)):  # noqa: ASYNC110
            await trio.sleep(self.POLL_S)

    def receive(self) -> Chunks:
        pieces: list[tuple[int, int, bytes]] = []
        for slot in self._next_ready():
            try:
                data = self._sockets[slot].recv(RECEIVE_BYTES_MAX)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError as error:
                pieces.append((slot, -(error.errno or errno.EIO), b""))
            else:
                pieces.append((slot, len(data), data))
        return chunks_of(pieces)

    def _next_ready(self) -> list[int]:
        """At most SOCKETS_PER_PASS_MAX slots that can be read, in turn."""
        ready = sorted(key.data for key, _ in self._selector.select(0)) if self._sockets else []
        if len(ready) > SOCKETS_PER_PASS_MAX:
            start = bisect.bisect_right(ready, self._last) % len(ready)
            ready = (ready[start:] + ready[:start])[:SOCKETS_PER_PASS_MAX]
            self._last = ready[-1]
        return ready

    def send(
        self, slots: Slots, arena: npt.NDArray[np.uint8], offsets: Sizes, lengths: Sizes
    ) -> Sizes:
        results = np.zeros(len(slots), np.int64)
        for k, slot in enumerate(slots.tolist()):
            piece = arena[int(offsets[k]) : int(offsets[k] + lengths[k])]
            results[k] = _send(self._sockets[slot], piece.tobytes())
        return results

    def send_one(self, slot: int, data: bytes | memoryview) -> int:
        return _send(self._sockets[slot], data)

    def end_output(self, slot: int) -> None:
        _end_output(self._sockets[slot])

    def close(self) -> None:
        self._selector.close()


def _send(endpoint: socket.socket, data: bytes | memoryview) -> int:
    try:
        return endpoint.send(data, getattr(socket, "MSG_NOSIGNAL", 0))
    except OSError as error:
        return -(error.errno or errno.EIO)


def _end_output(endpoint: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the peer is gone: the next read will say so
        endpoint.shutdown(socket.SHUT_WR)


def open_socket_io(kind: str, slots_max: int) -> SocketIO:
    """`kernel`, `portable`, or `auto`: the kernel one wherever epoll exists."""
    if kind == "auto":
        kind = "kernel" if sys.platform == "linux" else "portable"
    return KernelIO(slots_max) if kind == "kernel" else PortableIO()
