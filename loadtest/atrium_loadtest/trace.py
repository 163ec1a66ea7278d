"""The send trace: which sizes the server handed to its sockets, tick by tick. PURE.

Little-endian: ``b"ATRTRACE" | u32 version = 1 | u32 reserved``, then for each tick
``f64 seconds since start | u32 count | u32 size * count``. Sizes count everything that went into
one send: snapshot and reliable messages with their WebSocket headers. The C floor replays it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

MAGIC: Final = b"ATRTRACE"
VERSION: Final = 1
SENDS_PER_TICK_MAX: Final = 1 << 20
_HEAD: Final = struct.Struct("<8sII")
_TICK: Final = struct.Struct("<dI")


class TraceError(ValueError):
    """The bytes are not a send trace."""


@dataclass(frozen=True)
class TraceTick:
    """The sends of one tick."""

    seconds: float
    sizes: npt.NDArray[np.uint32]


def parse_trace(data: bytes) -> list[TraceTick]:
    """The ticks of a trace. Raises TraceError for anything that is not one.

    A tick that the writer did not finish (it was killed) ends the trace before it.
    """
    if len(data) < _HEAD.size:
        raise TraceError("a send trace has a header of 16 bytes")
    magic, version, _ = _HEAD.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        raise TraceError(f"not a send trace of version {VERSION}")
    ticks: list[TraceTick] = []
    at, before = _HEAD.size, -1.0
    while at + _TICK.size <= len(data):
        seconds, count = _TICK.unpack_from(data, at)
        if not before <= seconds < 1e9 or count > SENDS_PER_TICK_MAX:
            raise TraceError(f"byte {at}: a tick's time or number of sends makes no sense")
        at += _TICK.size
        if at + 4 * count > len(data):
            break
        ticks.append(TraceTick(seconds, np.frombuffer(data, "<u4", count, at)))
        at, before = at + 4 * count, seconds
    return ticks


def build_trace(ticks: list[TraceTick]) -> bytes:
    """The bytes of a trace."""
    pieces = [_HEAD.pack(MAGIC, VERSION, 0)]
    for tick in ticks:
        pieces += [_TICK.pack(tick.seconds, len(tick.sizes)), tick.sizes.astype("<u4").tobytes()]
    return b"".join(pieces)


def full_load(ticks: list[TraceTick], clients: int, share: float = 0.95) -> list[TraceTick]:
    """The trace from the first to the last tick that served nearly all `clients`, from second 0.

    Thin ticks (fewer than `share` of the clients) before and after are those of joining and
    leaving; thin ticks between are kept, for a stalled socket is part of what happened.
    Raises TraceError when no tick served so many.
    """
    served = np.array([len(tick.sizes) >= share * clients for tick in ticks], bool)
    if not served.any():
        raise TraceError(f"at no tick of the trace were {clients} clients served")
    first = int(np.argmax(served))
    last = len(served) - int(np.argmax(served[::-1]))
    start = ticks[first].seconds
    return [TraceTick(tick.seconds - start, tick.sizes) for tick in ticks[first:last]]


def bytes_per_tick(ticks: list[TraceTick]) -> float:
    """Mean bytes handed to sockets in one tick."""
    return float(np.mean([tick.sizes.sum() for tick in ticks])) if ticks else 0.0
