"""Pairs for voice, compiled: the nearest few of each, and the nearest pairs first. PURE.

An edge is one number: its length squared, then the lower slot, then the higher one. So sorting
the numbers sorts the edges by length, and no two orders are possible.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from atrium_server.jit import kernel
from atrium_shared.messages import VoiceMode

NEAREST: Final = 16
"""So many of the nearest of each are looked at: more than VOICE_PEERS_MAX, as others may have no
room."""
SENDS: Final = 1
HEARS: Final = 2
_TALK: Final = int(VoiceMode.TALK)
_SLOT_BITS: Final = 14
_KEPT_NUMERATOR: Final = 9
_KEPT_SHIFT: Final = 4
"""A pair that exists counts as (3 / 4)² = 9 / 16 of its length squared."""

Ints = npt.NDArray[np.int32]
Longs = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


@kernel("int64(uint8[::1], uint8[:, ::1], int64, int64)")
def _flow(modes: Bytes, deaf: Bytes, slot: int, other: int) -> int:
    """What may flow between the two, as `slot` sees it."""
    flow = 0
    if modes[other] == _TALK and not deaf[slot, other >> 3] >> (other & 7) & 1:
        flow |= SENDS
    if modes[slot] == _TALK and not deaf[other, slot >> 3] >> (slot & 7) & 1:
        flow |= HEARS
    return flow


@kernel("int64(int32[:, ::1], int64, int64)")
def _distance(places: Ints, a: int, b: int) -> int:
    """Squared, in mm²."""
    x = int(places[a, 0]) - int(places[b, 0])
    y = int(places[a, 1]) - int(places[b, 1])
    z = int(places[a, 2]) - int(places[b, 2])
    return x * x + y * y + z * z


@kernel("int64(int64, int64, int64)")
def _edge(length: int, slot: int, other: int) -> int:
    low, high = min(slot, other), max(slot, other)
    return (length << (2 * _SLOT_BITS)) | (low << _SLOT_BITS) | high


@kernel("int64(int32[::1], int32[:, ::1], uint8[::1], uint8[:, ::1], int64, int64, int64[::1],"
        " int64)")
def _nearest(
    slots: Ints, places: Ints, modes: Bytes, deaf: Bytes, k: int, radius: int, edges: Longs,
    first: int,
) -> int:
    """Write the edges of one person's nearest, from `first` on; returns where they end."""
    count = 0
    for step in (-1, 1):
        j = k + step
        while 0 <= j < slots.shape[0]:
            limit = np.int64(radius) * radius
            if count == NEAREST:
                limit = min(limit, edges[first + count - 1] >> (2 * _SLOT_BITS))
            along = np.int64(places[j, 0]) - np.int64(places[k, 0])
            if along * along > limit:
                break
            length = _distance(places, k, j)
            if length <= limit and _flow(modes, deaf, slots[k], slots[j]):
                edge = _edge(length, slots[k], slots[j])
                at = count
                if count == NEAREST:
                    at = count - 1
                if count < NEAREST or edge < edges[first + at]:
                    while at > 0 and edges[first + at - 1] > edge:
                        edges[first + at] = edges[first + at - 1]
                        at -= 1
                    edges[first + at] = edge
                    count = min(count + 1, NEAREST)
            j += step
    return first + count


@kernel("void(int32[:, ::1], uint8[:, ::1], int64, int64, int64)")
def _insert(peers: Ints, flows: Bytes, slot: int, other: int, flow: int) -> None:
    """Add a peer to a row that has room, ascending."""
    at = 0
    while peers[slot, at] >= 0:
        at += 1
    while at > 0 and peers[slot, at - 1] > other:
        peers[slot, at], flows[slot, at] = peers[slot, at - 1], flows[slot, at - 1]
        at -= 1
    peers[slot, at], flows[slot, at] = other, flow


@kernel("boolean(int32[:, ::1], int64, int64)")
def _has(peers: Ints, slot: int, other: int) -> bool:
    found = False
    for k in range(peers.shape[1]):
        found = found or peers[slot, k] == other
    return found


@kernel("int64(int32[::1], int32[:, ::1], int32[::1], uint8[::1], uint8[:, ::1],"
        " int32[:, ::1], int64, int64[::1])")
def gather_edges(
    slots: Ints, places: Ints, place_of: Ints, modes: Bytes, deaf: Bytes, before: Ints,
    radius: int, edges: Longs,
) -> int:
    """Write the edges between `slots`, which stand at `places` in ascending order of x.

    `place_of` is where a slot is in these, or -1; `before` are the pairs so far. Returns how many
    edges there are; some may be there twice.
    """
    count = 0
    for k in range(slots.shape[0]):
        count = _nearest(slots, places, modes, deaf, k, radius, edges, count)
        for column in range(before.shape[1]):
            other = int(before[slots[k], column])
            if other > slots[k] and place_of[other] >= 0:
                length = _distance(places, k, place_of[other]) * _KEPT_NUMERATOR >> _KEPT_SHIFT
                if length <= np.int64(radius) * radius and _flow(modes, deaf, slots[k], other):
                    edges[count] = _edge(length, slots[k], other)
                    count += 1
    return count


@kernel("void(int64[::1], uint8[::1], uint8[:, ::1], int32[:, ::1], uint8[:, ::1])")
def match(edges: Longs, modes: Bytes, deaf: Bytes, peers: Ints, flows: Bytes) -> None:
    """Pair whoever has room, in the order of the edges; `peers` is all -1 before it."""
    most = peers.shape[1]
    for edge in edges:
        low = (edge >> _SLOT_BITS) & ((1 << _SLOT_BITS) - 1)
        high = edge & ((1 << _SLOT_BITS) - 1)
        if peers[low, most - 1] >= 0 or peers[high, most - 1] >= 0 or _has(peers, low, high):
            continue
        _insert(peers, flows, low, high, _flow(modes, deaf, low, high))
        _insert(peers, flows, high, low, _flow(modes, deaf, high, low))
