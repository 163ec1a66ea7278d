"""The two ways to move bytes between the pump and real sockets, behind one interface.

`KernelIO` keeps all sockets in one epoll, whose own descriptor trio waits for, and uses the compiled
loops of `atrium_server.net.kernels`. `PortableIO` does the same one call at a time, for systems
without epoll and for tests. `atrium_server.net.memory_io.MemoryIO` is the third implementation, over
in-process links with a virtual clock. One contract suite runs on all three.

A *slot* is a small integer the gateway gives to each connection; all arrays are indexed by it.
"""

from __future__ import annotations

import errno
import select
import selectors
import socket
import sys
from typing import Protocol

import numpy as np
import numpy.typing as npt
import trio

from atrium_server.net.frame_kernels import Chunks
from atrium_shared.limits import RECEIVE_BYTES_MAX

ARENA_BYTES = 4 * 1024 * 1024
"""Room for one pump pass; sockets that do not fit wait for the next."""

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

    def close(self) -> None: ...


def is_retry(result: int) -> bool:
    """Whether a negative result of a send means 'later' rather than 'never'."""
    return -result in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR, errno.ENOBUFS)


class _Received:
    """The arena of one pump pass and the arrays that describe it."""

    def __init__(self, slots_max: int) -> None:
        self.arena = np.zeros(ARENA_BYTES, np.uint8)
        self.slots = np.zeros(slots_max, np.int32)
        self.offsets = np.zeros(slots_max, np.int64)
        self.lengths = np.zeros(slots_max, np.int64)

    def chunks(self, count: int) -> Chunks:
        return Chunks(self.arena, self.slots, self.offsets, self.lengths, count)


class KernelIO:
    """One nested epoll and compiled loops over system calls (Linux)."""

    def __init__(self, slots_max: int) -> None:
        from atrium_server.net import kernels  # compiled or loaded only where it is used

        self._kernels = kernels
        self._epoll = select.epoll()
        self._received = _Received(slots_max)
        self._events = np.zeros((min(slots_max, 4096), kernels.EVENT_WORDS), np.int32)
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
            got.arena.ctypes.data, len(got.arena), RECEIVE_BYTES_MAX,
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

    def close(self) -> None:
        self._epoll.close()


class PortableIO:
    """The plain-Python twin: the same answers, one system call at a time."""

    POLL_S = 0.005
    """Selectors of other systems cannot be nested in trio's loop: they are polled."""

    def __init__(self, slots_max: int) -> None:
        self._selector = selectors.DefaultSelector()
        self._received = _Received(slots_max)
        self._sockets: dict[int, socket.socket] = {}

    def add(self, slot: int, endpoint: Endpoint) -> None:
        assert isinstance(endpoint, socket.socket)
        self._sockets[slot] = endpoint
        self._selector.register(endpoint, selectors.EVENT_READ, slot)

    def remove(self, slot: int) -> None:
        self._selector.unregister(self._sockets.pop(slot))

    async def wait_readable(self) -> None:
        while not (self._sockets and self._selector.select(0)):
            await trio.sleep(self.POLL_S)

    def receive(self) -> Chunks:
        got, used, count = self._received, 0, 0
        view = memoryview(got.arena)
        ready = self._selector.select(0) if self._sockets else []
        for key, _ in ready:
            if used + RECEIVE_BYTES_MAX > len(got.arena):
                break
            try:
                length = self._sockets[key.data].recv_into(view[used : used + RECEIVE_BYTES_MAX])
            except (BlockingIOError, InterruptedError):
                continue
            except OSError as error:
                length = -(error.errno or errno.EIO)
            got.slots[count], got.offsets[count], got.lengths[count] = key.data, used, length
            used += max(length, 0)
            count += 1
        return got.chunks(count)

    def send(
        self, slots: Slots, arena: npt.NDArray[np.uint8], offsets: Sizes, lengths: Sizes
    ) -> Sizes:
        view = memoryview(arena)
        results = np.zeros(len(slots), np.int64)
        for k, slot in enumerate(slots.tolist()):
            at = int(offsets[k])
            results[k] = _send(self._sockets[slot], view[at : at + int(lengths[k])])
        return results

    def send_one(self, slot: int, data: bytes | memoryview) -> int:
        return _send(self._sockets[slot], data)

    def close(self) -> None:
        self._selector.close()


def _send(endpoint: socket.socket, data: bytes | memoryview) -> int:
    try:
        return endpoint.send(data, getattr(socket, "MSG_NOSIGNAL", 0))
    except OSError as error:
        return -(error.errno or errno.EIO)


def open_socket_io(kind: str, slots_max: int) -> SocketIO:
    """`kernel`, `portable`, or `auto`: the kernel one wherever epoll exists."""
    if kind == "auto":
        kind = "kernel" if sys.platform == "linux" else "portable"
    return KernelIO(slots_max) if kind == "kernel" else PortableIO(slots_max)
