"""System calls for many sockets at once: bulk receive with a frame walk, bulk send.

Theory of operation
-------------------
A load generator that spent 50 us of Python on each frame would measure itself. Here one call
waits for readiness, receives from every ready socket and walks the frames in what came; another
sends one prepared frame to each bot of a group. Both release the interpreter lock.

The walk keeps no state but the bytes of an unfinished frame: those are carried over and put
before what arrives next. A snapshot for an ordinary bot is read as far as its tick and counted.
Everything that Python has to see (all frames of a probe; closings, pings, corrections, errors,
answers) is copied to the *spill*, with a line in its index.

libc is called through `numba.types.ExternalFunction`, which, unlike a ctypes pointer, can be
cached on disk. Addresses travel as integers. `struct epoll_event` is packed on x86-64 only.
"""

from __future__ import annotations

import platform
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import carray, types  # pyright: ignore[reportPrivateImportUsage]  # documented there

from atrium_loadtest.fleet import ACTIVE, CARRY_BYTES, FRAME_BYTES, HISTORY
from atrium_loadtest.jit import Integer, kernel
from atrium_shared import messages

_word = types.uintp
_epoll_wait = types.ExternalFunction(
    "epoll_wait", types.int32(types.int32, _word, types.int32, types.int32)
)
_recv = types.ExternalFunction("recv", types.intp(types.int32, _word, _word, types.int32))
_send = types.ExternalFunction("send", types.intp(types.int32, _word, _word, types.int32))
_errno_location = types.ExternalFunction("__errno_location", types.CPointer(types.int32)())
_clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, _word))

_PACKED: Final = platform.machine().lower() in ("x86_64", "amd64")
EPOLL_EVENT_BYTES: Final = 12 if _PACKED else 16
_EPOLL_DATA: Final = 4 if _PACKED else 8
_MSG_DONTWAIT, _MSG_NOSIGNAL = 0x40, 0x4000
_EINTR, _EAGAIN = 4, 11
_CLOCK_MONOTONIC: Final = 1

ENDED, FAULTY = -1, -2
"""Opcodes in the spill index that are no frames: the socket ended; what came is no frame."""
SPILL_BYTES: Final = 1 << 21
SPILL_LINES: Final = CARRY_BYTES // 2 + 4_096
WALK_LINES: Final = 256

_BINARY: Final = 2
_SNAPSHOT_HEAD_BYTES: Final = 20
_FIXARRAY_5, _UINT_32 = 0x95, 0xCE
_SNAPSHOT: Final = messages.op_of(messages.Snapshot)
_ENTER, _LEAVE = messages.op_of(messages.Enter), messages.op_of(messages.Leave)
_PUBLISHED: Final = messages.op_of(messages.ChatPublished)
_EMOTE, _PONG = messages.op_of(messages.Emote), messages.op_of(messages.ClockPong)
_PROPS: Final = messages.op_of(messages.PropsChanged)


@kernel()
def _now_ns(timespec: npt.NDArray[np.int64]) -> Integer:
    _clock_gettime(_CLOCK_MONOTONIC, timespec.ctypes.data)
    return timespec[0] * 1_000_000_000 + timespec[1]


@kernel()
def _errno() -> int:
    return carray(_errno_location(), 1)[0]


@kernel()
def walk_frames(
    data: npt.NDArray[np.uint8], start: Integer, end: Integer, lines: npt.NDArray[np.int64]
) -> tuple[Integer, Integer]:
    """Find the whole frames in `data[start:end]`, as many as `lines` has room for.

    A line is (opcode, first byte of the payload, length of the payload). Returns the number of
    lines and where the first frame that is not whole (or has no line) begins. The number is
    -1 - lines when the next frame is masked, fragmented, uses reserved bits or can never fit.
    """
    found, at = 0, start
    while found < len(lines) and at + 2 <= end:
        first, length, header = data[at], np.int64(data[at + 1]), 2
        if first & 0xF0 != 0x80 or length > 127:
            return -1 - found, at
        if length >= 126:
            header = 4 if length == 126 else 10
            if at + header > end:
                break
            length = 0
            for k in range(2, header):
                if length >= CARRY_BYTES:
                    return -1 - found, at
                length = (length << 8) | np.int64(data[at + k])
        if header + length > CARRY_BYTES:
            return -1 - found, at
        if at + header + length > end:
            break
        lines[found, 0], lines[found, 1], lines[found, 2] = first & 15, at + header, length
        found += 1
        at += header + length
    return found, at


@kernel()
def _is_ordinary(
    bots: npt.NDArray[np.void], bot: Integer, data: npt.NDArray[np.uint8],
    line: npt.NDArray[np.int64],
) -> bool:
    """Count a frame that needs no Python; False when Python has to see it."""
    at, length = line[1], line[2]
    if line[0] != _BINARY or length < 2 or data[at] & 0xF0 != 0x90:
        return False
    op = data[at + 1]
    if op == _SNAPSHOT:
        plain = data[at] == _FIXARRAY_5 and data[at + 2] == _UINT_32
        if length < _SNAPSHOT_HEAD_BYTES or not plain:
            return False
        tick = 0
        for k in range(3, 7):
            tick = (tick << 8) | np.int64(data[at + k])
        bots[bot]["ack_tick"] = tick
        bots[bot]["snapshots"] += 1
    elif op == _PUBLISHED:
        bots[bot]["chat_lines"] += 1
    elif op in (_ENTER, _LEAVE, _EMOTE, _PONG, _PROPS):
        bots[bot]["other_frames"] += 1
    else:
        return False
    return bots[bot]["probe"] == 0


@kernel(nogil=True)
def receive(
    epoll_fd: int,
    timeout_ms: int,
    events: npt.NDArray[np.uint8],
    bot_of_fd: npt.NDArray[np.int32],
    bots: npt.NDArray[np.void],
    carry: npt.NDArray[np.uint8],
    scratch: npt.NDArray[np.uint8],
    spill: npt.NDArray[np.uint8],
    index: npt.NDArray[np.int64],
) -> tuple[int, int, int]:
    """Wait up to `timeout_ms`, then receive once from every ready bot and walk what came.

    `events` holds EPOLL_EVENT_BYTES for each event wanted; `scratch` has CARRY_BYTES; `spill`
    SPILL_BYTES; `index` (SPILL_LINES, 4) gets (bot, opcode, offset in the spill, length).
    Returns how many descriptors were ready (less than 0: -errno), lines in the index, and the
    nanoseconds spent waiting. Bots that no room is left for stay ready for the next call.
    """
    timespec = np.zeros(2, np.int64)
    lines = np.zeros((WALK_LINES, 3), np.int64)
    before = _now_ns(timespec)
    ready = _epoll_wait(
        epoll_fd, events.ctypes.data, len(events) // EPOLL_EVENT_BYTES, timeout_ms
    )
    waited = int(_now_ns(timespec) - before)
    if ready < 0:
        return (0 if _errno() == _EINTR else -_errno()), 0, waited
    spilled, used = 0, 0
    for event in range(ready):
        if used + CARRY_BYTES > len(spill) or spilled + CARRY_BYTES // 2 > len(index):
            break
        at = event * EPOLL_EVENT_BYTES + _EPOLL_DATA
        fd = np.int64(events[at]) | np.int64(events[at + 1]) << 8
        fd |= np.int64(events[at + 2]) << 16 | np.int64(events[at + 3]) << 24
        bot = np.int64(bot_of_fd[fd])
        if bot < 0:
            continue
        start, end = 0, np.int64(bots[bot]["carried"])
        scratch[:end] = carry[bot, :end]
        count = _recv(fd, scratch.ctypes.data + end, CARRY_BYTES - end, _MSG_DONTWAIT)
        if count <= 0:
            if count == 0 or (_errno() != _EAGAIN and _errno() != _EINTR):
                index[spilled, 0], index[spilled, 1] = bot, ENDED
                index[spilled, 2], index[spilled, 3] = 0, 0
                spilled += 1
            continue
        bots[bot]["received_bytes"] += count
        end += count
        while True:
            found, start = walk_frames(scratch, start, end, lines)
            faulty = found < 0
            if faulty:
                found = -1 - found
            for k in range(found):
                if _is_ordinary(bots, bot, scratch, lines[k]):
                    continue
                first, length = lines[k, 1], lines[k, 2]
                spill[used : used + length] = scratch[first : first + length]
                index[spilled, 0], index[spilled, 1] = bot, lines[k, 0]
                index[spilled, 2], index[spilled, 3] = used, length
                spilled += 1
                used += length
            if faulty:
                index[spilled, 0], index[spilled, 1] = bot, FAULTY
                index[spilled, 2], index[spilled, 3] = 0, 0
                spilled += 1
                start = end
            if faulty or found < WALK_LINES:
                break
        carry[bot, : end - start] = scratch[start:end]
        bots[bot]["carried"] = end - start
    return ready, spilled, waited


@kernel(nogil=True)
def send_frames(
    chosen: npt.NDArray[np.int32],
    frames: npt.NDArray[np.uint8],
    bots: npt.NDArray[np.void],
    tails: npt.NDArray[np.uint8],
    stamps: npt.NDArray[np.int64],
) -> int:
    """Send `frames[k]` (FRAME_BYTES) to bot `chosen[k]`; returns how many a socket took.

    A frame taken in part is finished before the next one (`tails`); one not taken at all is
    dropped and counted as blocked, because a newer pose follows. An error leaves the socket to
    `receive`, which finds its end. The time of each send goes to `stamps` (as in `Fleet`).
    """
    timespec = np.zeros(2, np.int64)
    flags = _MSG_DONTWAIT | _MSG_NOSIGNAL
    taken = 0
    for k in range(len(chosen)):
        bot = chosen[k]
        if bots[bot]["state"] != ACTIVE or bots[bot]["muted"] != 0:
            continue
        fd, tail = bots[bot]["fd"], np.int64(bots[bot]["tail"])
        if tail > 0:
            count = _send(fd, tails[bot].ctypes.data + FRAME_BYTES - tail, tail, flags)
            if count > 0:
                bots[bot]["tail"] = tail - count
            if count != tail:
                bots[bot]["blocked"] += 1
                continue
        now = _now_ns(timespec)
        count = _send(fd, frames[k].ctypes.data, FRAME_BYTES, flags)
        if count <= 0:
            bots[bot]["blocked"] += 1
            continue
        if count < FRAME_BYTES:
            tails[bot, :] = frames[k]
            bots[bot]["tail"] = FRAME_BYTES - count
        seq = np.int64(bots[bot]["seq"]) + 1
        bots[bot]["seq"] = seq
        bots[bot]["poses"] += 1
        stamps[bot, seq % HISTORY] = now
        taken += 1
    return taken
