"""One choice of the pairs for voice, made over as many ticks as it takes. PURE.

Theory of operation
-------------------
Pairs are chosen by where people stood when the round began. First the nearest few of each person
are gathered, so many people in each tick that looking at them costs about SCANNED_PER_TICK; then
all edges are sorted, in a tick of their own; and in a last one the pairs are made, the nearest
first. Where there are few people all of it is done in the tick in which it begins. So no tick pays
for a whole crowd, and a crowd of thousands waits a little longer for its pairs.

Between the ticks people leave, switch off and block each other. Who is out of it says so
(`leave`), and what may flow between two is asked once more when pairs are made: what is chosen
holds in the tick in which it is chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from atrium_server.world.voice_kernels import (
    NEAREST,
    SLOT_BITS,
    Bytes,
    Ints,
    gather_edges,
    match,
)
from atrium_shared import limits, pose

SCANNED_PER_TICK: Final = 40_000
"""People that are looked at in one tick: 0.2 to 0.3 ms."""
AT_ONCE_MAX: Final = 4_000
"""Edges that are sorted and made pairs of in the tick in which they are complete."""
CROWD_MIN: Final = 500
"""For so many people to be put in order is enough for one tick."""
_EDGES_EACH: Final = NEAREST + limits.VOICE_PEERS_MAX
_COORDINATES: Final = ((pose.X, pose.Y, pose.Z), (pose.Z, pose.Y, pose.X))


@dataclass(frozen=True, slots=True)
class Crowd:
    """What a choice depends on, all by slot; `deaf` is as in `Relations`."""

    rows: Ints
    modes: Bytes
    deaf: npt.NDArray[np.uint8]
    safe: Bytes
    peers: Ints
    radius_mm: int


class SavedRound(msgspec.Struct, frozen=True):
    """For a checkpoint."""

    slots: bytes
    places: bytes
    gone: list[int]
    """Slots that have left the round."""
    edges: bytes
    first: int
    is_sorted: bool


class Round:
    """A choice that is under way."""

    def __init__(self, slots: Ints, places: Ints, capacity: int) -> None:
        self._slots, self._places = slots, places
        self._place_of = np.full(capacity, -1, np.int32)
        self._place_of[slots] = np.arange(len(slots), dtype=np.int32)
        self._edges = np.empty(len(slots) * _EDGES_EACH, np.int64)
        self._count = self._first = 0
        self._is_sorted = False

    @classmethod
    def of(cls, slots: Ints, crowd: Crowd) -> Round:
        """A choice among these, by where they stand now."""
        places = crowd.rows[slots]
        # Along the longer side of the crowd the fewest stand beside each other.
        is_longer = len(slots) > 0 and np.ptp(places[:, pose.Z]) > np.ptp(places[:, pose.X])
        first, *others = _COORDINATES[int(is_longer)]
        order = np.argsort((places[:, first].astype(np.int64) << SLOT_BITS) | slots)
        columns = places[order][:, [first, *others]]
        return cls(slots[order], np.ascontiguousarray(columns), len(crowd.modes))

    @property
    def is_of_crowd(self) -> bool:
        """Whether it had better go on in the next tick."""
        return len(self._slots) >= CROWD_MIN

    def leave(self, slot: int) -> None:
        """Who is in this slot wants no voice any more, or it is somebody else."""
        self._place_of[slot] = -1

    def step(self, crowd: Crowd) -> tuple[Ints, Bytes] | None:
        """What one tick has time for; (peers, flows) when all is done."""
        if self._first < len(self._slots):
            self._gather(crowd)
            if self._first < len(self._slots) or self._count > AT_ONCE_MAX:
                return None
        if not self._is_sorted:
            # Each slice is sorted already, and merging costs little.
            self._edges[: self._count].sort(kind="stable")
            self._is_sorted = True
            if self._count > AT_ONCE_MAX:
                return None
        peers, flows = np.full_like(crowd.peers, -1), np.zeros(crowd.peers.shape, np.uint8)
        match(
            self._edges[: self._count], self._place_of, crowd.modes, crowd.deaf, crowd.safe,
            peers, flows,
        )
        return peers, flows

    def _gather(self, crowd: Crowd) -> None:
        before = self._count
        self._first, self._count = gather_edges(
            self._slots, self._places, self._place_of, crowd.modes, crowd.deaf, crowd.peers,
            crowd.radius_mm, self._first, SCANNED_PER_TICK, self._edges, before,
        )
        self._edges[before : self._count].sort()

    def save(self) -> SavedRound:
        """All of it."""
        gone = self._slots[self._place_of[self._slots] < 0]
        return SavedRound(
            self._slots.astype("<i4").tobytes(), self._places.astype("<i4").tobytes(),
            gone.tolist(), self._edges[: self._count].astype("<i8").tobytes(), self._first,
            self._is_sorted,
        )

    @classmethod
    def restore(cls, saved: SavedRound, capacity: int) -> Round:
        """What `save` has told. Raises ValueError when it cannot be of such a world."""
        slots = np.frombuffer(saved.slots, "<i4").astype(np.int32)
        places = np.frombuffer(saved.places, "<i4").astype(np.int32).reshape(len(slots), 3)
        edges = np.frombuffer(saved.edges, "<i8").astype(np.int64)
        ends = [(edges >> shift) & ((1 << SLOT_BITS) - 1) for shift in (0, SLOT_BITS)]
        if not (
            all(((one >= 0) & (one < capacity)).all() for one in (slots, *ends))
            and (ends[0] > ends[1]).all() and (edges >= 0).all()
            and len(np.unique(slots)) == len(slots) and 0 <= saved.first <= len(slots)
            and len(edges) <= saved.first * _EDGES_EACH and set(saved.gone) <= {*slots.tolist()}
        ):
            raise ValueError("the checkpoint has a choice of voices that cannot be")
        made = cls(slots, places, capacity)
        made._place_of[saved.gone] = -1
        made._edges[: len(edges)], made._count = edges, len(edges)
        made._first, made._is_sorted = saved.first, saved.is_sorted
        return made
