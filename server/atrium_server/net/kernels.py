"""System calls in bulk: one call from Python moves the bytes of all sockets.

Theory of operation
-------------------
From Python one `recv` or `send` costs a microsecond of interpreter and, worse, lets go of the GIL
and takes it back: beside a thread that runs busy Python each return costs a switch interval. So the
loops over sockets live here, compiled, and let go of the GIL once per batch. Only the two
functions below are `nogil`; a test counts them, because every further one would cost the tick a
switch interval.

libc is called through `ExternalFunction`, whose code numba can keep on disk (a ctypes pointer would
be an address of one process). This module works on Linux; elsewhere
`atrium_server.net.socket_io.PortableIO` does the same work in plain Python.
"""

from __future__ import annotations

import platform

import numpy as np
import numpy.typing as npt
from numba import types

from atrium_server.jit import kernel

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

MSG_DONTWAIT = 0x40
MSG_NOSIGNAL = 0x4000
EINTR, EAGAIN = 4, 11

# struct epoll_event is packed on x86-64 and naturally aligned elsewhere: in 32-bit words the
# fd lies at word 1 of 3, or at word 2 of 4.
EVENT_WORDS = 3 if platform.machine() in {"x86_64", "AMD64"} else 4
_EVENT_FD_WORD = 1 if EVENT_WORDS == 3 else 2

_recv = types.ExternalFunction(
    "recv", types.intp(types.int32, types.intp, types.intp, types.int32)
)
_send = types.ExternalFunction(
    "send", types.intp(types.int32, types.intp, types.intp, types.int32)
)
_epoll_wait = types.ExternalFunction(
    "epoll_wait", types.int32(types.int32, types.intp, types.int32, types.int32)
)
_errno_location = types.ExternalFunction("__errno_location", types.CPointer(types.int32)())


@kernel(
    "int64(int32, int32[:, ::1], intp, int32[::1], intp, int64, int64, int32[::1], int64[::1],"
    " int64[::1])",
    nogil=True,
)
def receive_ready(
    epoll_fd: int, events: I32, events_address: int, slot_of_fd: I32, arena_address: int,
    arena_bytes: int, bytes_max: int, slots: I32, offsets: I64, lengths: I64,
) -> int:
    """Receive once from every ready socket, at most `bytes_max` from each, into one arena.

    Fills `slots`, `offsets` and `lengths` (0 = end of stream, negative = -errno) and returns how
    many sockets were read. Sockets for which the arena had no room stay ready: the poll is level
    triggered.
    """
    ready = _epoll_wait(epoll_fd, events_address, events.shape[0], 0)
    count = 0
    used = 0
    for k in range(ready):
        if used + bytes_max > arena_bytes or count >= slots.shape[0]:
            break
        fd = events[k, _EVENT_FD_WORD]
        slot = slot_of_fd[fd]
        if slot < 0:
            continue
        got = _recv(fd, arena_address + used, bytes_max, MSG_DONTWAIT)
        if got < 0:
            error = _errno_location()[0]
            if error in (EAGAIN, EINTR):
                continue
            got = -error
        slots[count] = slot
        offsets[count] = used
        lengths[count] = got
        if got > 0:
            used += got
        count += 1
    return count


@kernel("void(int32[::1], intp, int64[::1], int64[::1], int64[::1])", nogil=True)
def send_all(
    fds: I32, arena_address: int, offsets: I64, lengths: I64, results: I64
) -> None:
    """Send `lengths[i]` bytes at `offsets[i]` of the arena to `fds[i]`, for all i.

    `results[i]` becomes the bytes taken (possibly fewer) or -errno.
    """
    for k in range(fds.shape[0]):
        sent = _send(
            fds[k], arena_address + offsets[k], lengths[k], MSG_DONTWAIT | MSG_NOSIGNAL
        )
        if sent < 0:
            sent = -_errno_location()[0]
        results[k] = sent
