"""What replication remembers: of entities the last ticks, of each viewer what it holds. PURE.

All state is in arrays, grouped in named tuples. A *viewer* is one client that receives
snapshots of one world; a viewer's *index* is the byte by which the wire names an entity to it.

What is built is sent: who builds for a viewer hands the bytes to its connection, which keeps as a
tail what the socket does not take, and builds nothing for it before that tail is gone. So the
index state says what the client holds, or will hold before it hears anything newer.
"""

from __future__ import annotations

from typing import Any, NamedTuple

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

ENTITY, ID, LAST_TICK, LAST_PARTS, DISTANCE, VEIL = range(6)
HELD_COLUMNS = 6
"""Columns of `Viewers.held`: the entity's slot (-1 for a free index); its id as the bits of an
int32; the tick of the last record (before the first one -1 - (tick of the enter)) and the parts
that it had; the effective distance in millimetres by the last pass over interest, as the bits of a
float32; and 1 where it was entered as a silhouette."""

VIEWER = np.dtype([
    ("high", np.int32),  # all indexes in use are below this
    ("self_slot", np.int32),  # the viewer's own entity, which it is never told of; -1 for none
    ("cap", np.int32),
    ("parts", np.int32),
    ("checked_tick", np.int32),  # when its indexes were last compared with who is there
    ("scale", np.float32),  # demotion: 1 = all in full detail, smaller brings coarser levels near
    ("tokens", np.float32),  # bytes that may be sent now
    ("bytes_per_tick", np.float32),
])
"""One row for each viewer: what one looks at together lies together, in half a cache line."""

assert FULL_BYTES <= DELTA_AT
assert DELTA_AT + len(AGES) * (DELTA_BYTES + WIDE_BYTES) <= RECORD_STRIDE

Rows = Any
"""Structured arrays: their fields are attributes in kernels and keys outside of them."""
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
    """Budget state by viewer, and index state by (viewer, index)."""

    rows: Rows
    """(viewers,) of VIEWER."""
    held: I32
    """(viewers, indexes, HELD_COLUMNS): what the client holds under each index."""


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
    """(indexes, 2): the index that gets a record, and where that begins in `Entities.records`."""
    due_code: U8
    """Section code of each."""
    counts: I32
    """Records by section code; zero between viewers."""


class Parted(NamedTuple):
    """Between whom not everything may pass: `frame.Apart`."""

    state: U8
    veils: U8


class Shown(NamedTuple):
    """The arrays of a published frame that are needed here."""

    alive: U8
    ids: I32
    """As the bits of an int32, like those of `Viewers.held`."""
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
    rows = np.zeros(viewers, VIEWER)
    rows["self_slot"] = -1
    rows["scale"] = 1.0
    held = np.zeros((viewers, cap, HELD_COLUMNS), np.int32)
    held[:, :, (ENTITY, LAST_TICK)] = -1
    return Viewers(rows, held)


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
        due=np.zeros((256, 2), np.int32), due_code=np.zeros(256, np.uint8),
        counts=np.zeros(256, np.int32),
    )
