"""Pairs for voice, compiled: the nearest few of each, and the nearest pairs first. PURE.

`voice_round` calls these one after the other, over some ticks.

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
PERSON_WORK: Final = 24
"""What one person costs beside those who are looked at, in numbers of these."""
SENDS: Final = 1
HEARS: Final = 2
_TALK: Final = int(VoiceMode.TALK)
SLOT_BITS: Final = 14
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
    return (length << (2 * SLOT_BITS)) | (low << SLOT_BITS) | high


@kernel("Tuple((int64, int64))(int32[::1], int32[:, ::1], uint8[::1], uint8[:, ::1], int64, int64,"
        " int64[::1], int64)")
def _nearest(
    slots: Ints, places: Ints, modes: Bytes, deaf: Bytes, k: int, radius: int, edges: Longs,
    first: int,
) -> tuple[int, int]:
    """Write the edges of one person's nearest, from `first` on: (where they end, how many people
    were looked at).
    """
    count, looked_at = 0, 0
    for step in (-1, 1):
        j = k + step
        while 0 <= j < slots.shape[0]:
            limit = np.int64(radius) * radius
            if count == NEAREST:
                # Nobody beyond is nearer than these; where all stand at one point, that ends it.
                limit = min(limit, (edges[first + count - 1] >> (2 * SLOT_BITS)) - 1)
            along = np.int64(places[j, 0]) - np.int64(places[k, 0])
            if along * along > limit:
                break
            looked_at += 1
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
    return first + count, looked_at


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


@kernel("Tuple((int64, int64))(int32[::1], int32[:, ::1], int32[::1], uint8[::1],"
        " uint8[:, ::1], int32[:, ::1], int64, int64, int64, int64[::1], int64)")
def gather_edges(
    slots: Ints, places: Ints, place_of: Ints, modes: Bytes, deaf: Bytes, before: Ints,
    radius: int, first: int, work: int, edges: Longs, count: int,
) -> tuple[int, int]:
    """Write the edges of `slots[first:]`, from `edges[count]` on, until `work` people were looked
    at: (who is next, how many edges there are then). Some may be there twice.

    `slots` stand at `places`, in ascending order of the first coordinate. `place_of` is where a
    slot is in these, or -1 for who is in no pair any more; `before` are the pairs so far.
    """
    k = first
    while k < slots.shape[0] and work > 0:
        work -= PERSON_WORK
        if place_of[slots[k]] >= 0:
            count, looked_at = _nearest(slots, places, modes, deaf, k, radius, edges, count)
            work -= looked_at
            for column in range(before.shape[1]):
                other = int(before[slots[k], column])
                if other > slots[k] and place_of[other] >= 0:
                    length = _distance(places, k, place_of[other]) * _KEPT_NUMERATOR >> _KEPT_SHIFT
                    if length <= np.int64(radius) * radius and _flow(modes, deaf, slots[k], other):
                        edges[count] = _edge(length, slots[k], other)
                        count += 1
        k += 1
    return k, count


@kernel("void(int64[::1], int32[::1], uint8[::1], uint8[:, ::1], uint8[::1], int32[:, ::1],"
        " uint8[:, ::1])")
def match(
    edges: Longs, place_of: Ints, modes: Bytes, deaf: Bytes, safe: Bytes, peers: Ints,
    flows: Bytes,
) -> None:
    """Pair whoever has room, in the order of the edges; `peers` is all -1 before it.

    Edges are of some time ago: who is out of it since then is in no pair, nor are two between
    whom nothing may flow any more.
    """
    most = peers.shape[1]
    for edge in edges:
        low = (edge >> SLOT_BITS) & ((1 << SLOT_BITS) - 1)
        high = edge & ((1 << SLOT_BITS) - 1)
        if peers[low, most - 1] >= 0 or peers[high, most - 1] >= 0 or _has(peers, low, high):
            continue
        flow = _flow(modes, deaf, low, high)
        if place_of[low] < 0 or place_of[high] < 0 or safe[low] or safe[high] or not flow:
            continue
        _insert(peers, flows, low, high, flow)
        _insert(peers, flows, high, low, _flow(modes, deaf, high, low))


@kernel("void(int32[:, ::1], uint8[:, ::1], uint8[::1], uint8[:, ::1], uint8[::1], uint8[::1])")
def prune(
    peers: Ints, flows: Bytes, modes: Bytes, deaf: Bytes, safe: Bytes, untold: Bytes
) -> None:
    """End pairs between whom nothing may flow any more, and set right what may; who has other
    peers or flows than before is `untold`.
    """
    for slot in range(peers.shape[0]):
        kept = 0
        for column in range(peers.shape[1]):
            other, before = peers[slot, column], flows[slot, column]
            if other < 0:
                break
            flow = _flow(modes, deaf, slot, other)
            if safe[slot] or safe[other]:
                flow = 0
            if flow != before:
                untold[slot] = 1
            peers[slot, column], flows[slot, column] = -1, 0
            if flow:
                peers[slot, kept], flows[slot, kept] = other, flow
                kept += 1
