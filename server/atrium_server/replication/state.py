"""What replication remembers: of entities the last ticks, of each viewer what it holds. PURE.

All state is in arrays, grouped in named tuples. A *viewer* is one client that receives
snapshots of one world; a viewer's *index* is the byte by which the wire names an entity to it.

Index state is kept twice. The kernels read and change the `next_*` rows of the viewers they build
for; only when the send was accepted are these copied over the committed rows (`commit`). A send
that the socket refused leaves no trace, so that what we believe a client holds is what it was sent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from atrium_shared import limits, pose

AGES = (1, 2, 4)
"""Ages in ticks for which deltas are made."""
RING = limits.RING_TICKS + 1
POINTS_DELTA_BYTES = 6 * pose.POINTS_MAX
FULL_BYTES = 1 + pose.ROOT_BYTES + pose.POINT_BYTES * pose.POINTS_MAX
DELTA_BYTES = 4 + POINTS_DELTA_BYTES
WIDE_BYTES = 8 + POINTS_DELTA_BYTES
RECORD_STRIDE = 336
"""Bytes per entity in `Entities.records`: a full record, then a delta and a wide one per age."""
DELTA_AT = 72
"""Where the delta of the first age begins; each age takes DELTA_BYTES + WIDE_BYTES."""

LAST_CHANGE, CHANGE_BEFORE, PARTS, FIT = 0, 1, 2, 3
BRIEF_COLUMNS = FIT + len(AGES)
"""Columns of `Entities.brief`; see there."""

assert FULL_BYTES <= DELTA_AT
assert DELTA_AT + len(AGES) * (DELTA_BYTES + WIDE_BYTES) <= RECORD_STRIDE

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


class Rules(NamedTuple):
    """Interest and detail of one world; distances in millimetres."""

    radius_mm: float
    hysteresis_mm: float
    full_rate_mm: float
    """Effective distance up to which everything is told every tick; ..."""
    half_rate_mm: float
    """... every second tick; ..."""
    quarter_rate_mm: float
    """... and every fourth. Beyond are fewer parts, which only a narrow link makes necessary."""
    age_ticks_max: int
    """Nothing visible may be older than this."""
    enter_bytes_max: int
    """Most bytes of new entries in one tick for one viewer."""


class Entities(NamedTuple):
    """Recent quantised state and the encoded records of this tick, by entity slot."""

    ring: I32
    """(RING, slots, COLUMNS): tick t lies at t % RING."""
    ids: U32
    records: U8
    """One flat array; entity e has RECORD_STRIDE bytes at e * RECORD_STRIDE."""
    brief: I32
    """(slots, BRIEF_COLUMNS), what the choice of a record needs: the tick of the last change, the
    same as it was one tick ago, the parts, and for each age `form << 6 | parts whose points fit`,
    where form 0 means that there is no delta."""


class Viewers(NamedTuple):
    """Index state by (viewer, index), and one row of budget state by viewer."""

    entity: I32
    """Entity slot, -1 for a free index."""
    ids: U32
    last_tick: I32
    """Tick of the last accepted record; before the first one -1 - (tick of the enter)."""
    last_parts: U8
    distance: F32
    """Effective distance in millimetres, from the last pass over interest. Only a priority: it is
    kept once, and a refused send leaves it as it is."""
    next_entity: I32
    next_ids: U32
    next_last_tick: I32
    next_last_parts: U8
    high: I32
    """All indexes in use are below this."""
    next_high: I32
    self_slot: I32
    """The viewer's own entity, which it is never told of; -1 for none."""
    cap: I32
    parts: U8
    scale: F32
    """Demotion: 1 = every one in full detail, smaller brings the coarser levels nearer."""
    tokens: F32
    """Bytes that may be sent now."""
    bytes_per_tick: F32


class Grid(NamedTuple):
    """Entities by cell: those of cell c are `items[start[c] : start[c + 1]]`."""

    start: I32
    items: I32
    cell_of: I32
    shape: I32
    """(cells along x, cells along z)."""
    origin: F64
    """x, z of the corner and the side of a cell, in millimetres."""


class Scratch(NamedTuple):
    """Work space of one viewer, made once."""

    stamps: I32
    """By entity slot: the pass that last saw it."""
    pass_number: I64
    found: I32
    scores: F32
    due: I32
    """Indexes that get a record."""
    due_code: U8
    """Section code of each."""
    due_from: I32
    """Where each one's record begins in an entity's bytes."""
    counts: I32
    """Records by section code; zero between viewers."""


class Shown(NamedTuple):
    """The arrays of a published frame that are needed here."""

    alive: U8
    ids: U32
    rows: I32
    extras: U8
    boost: F32
    seqs: U32
    enter_tails: U8
    enter_lengths: I32


def make_entities(slots: int) -> Entities:
    brief = np.zeros((slots, BRIEF_COLUMNS), np.int32)
    brief[:, LAST_CHANGE] = brief[:, CHANGE_BEFORE] = -1
    return Entities(
        ring=np.zeros((RING, slots, pose.COLUMNS), np.int32),
        ids=np.zeros(slots, np.uint32),
        records=np.zeros(slots * RECORD_STRIDE, np.uint8),
        brief=brief,
    )


def make_viewers(viewers: int, cap: int) -> Viewers:
    shape = (viewers, cap)
    return Viewers(
        entity=np.full(shape, -1, np.int32), ids=np.zeros(shape, np.uint32),
        last_tick=np.full(shape, -1, np.int32), last_parts=np.zeros(shape, np.uint8),
        distance=np.zeros(shape, np.float32),
        next_entity=np.full(shape, -1, np.int32), next_ids=np.zeros(shape, np.uint32),
        next_last_tick=np.full(shape, -1, np.int32), next_last_parts=np.zeros(shape, np.uint8),
        high=np.zeros(viewers, np.int32), next_high=np.zeros(viewers, np.int32),
        self_slot=np.full(viewers, -1, np.int32), cap=np.zeros(viewers, np.int32),
        parts=np.zeros(viewers, np.uint8), scale=np.ones(viewers, np.float32),
        tokens=np.zeros(viewers, np.float32), bytes_per_tick=np.zeros(viewers, np.float32),
    )


def make_grid(rules: Rules, low_mm: tuple[int, int], high_mm: tuple[int, int], slots: int) -> Grid:
    """A grid over the extent (x, z) whose cells are as wide as the farthest interest."""
    side = max(rules.radius_mm + rules.hysteresis_mm, 1000.0)
    width = max(1, int(np.ceil((high_mm[0] - low_mm[0]) / side)))
    depth = max(1, int(np.ceil((high_mm[1] - low_mm[1]) / side)))
    return Grid(
        start=np.zeros(width * depth + 1, np.int32), items=np.zeros(slots, np.int32),
        cell_of=np.zeros(slots, np.int32), shape=np.array([width, depth], np.int32),
        origin=np.array([low_mm[0], low_mm[1], side], np.float64),
    )


def make_scratch(slots: int) -> Scratch:
    return Scratch(
        stamps=np.zeros(slots, np.int32), pass_number=np.zeros(1, np.int64),
        found=np.zeros(slots, np.int32), scores=np.zeros(slots, np.float32),
        due=np.zeros(256, np.int32), due_code=np.zeros(256, np.uint8),
        due_from=np.zeros(256, np.int32), counts=np.zeros(256, np.int32),
    )
