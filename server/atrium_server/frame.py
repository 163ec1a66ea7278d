"""The published frame: all that anyone outside a world may know of one tick. PURE.

This is the seam between a world and those who show it to clients. In one process it is a view of
the world's own tables, valid until the next tick; the same arrays can lie in shared memory for
gateway processes, or be sent to other nodes. Replication reads nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from atrium_shared import limits
from atrium_shared.messages import EntityKind

ENTER_TAIL_BYTES_MAX = 5 + 1 + 2 + 4 * limits.NAME_CHARS_MAX + 3 + 4 * limits.AVATAR_CHARS_MAX
"""Room for an entity's entry in an `enter` message, less its index."""


VEILED, ALONE = 1, 2
"""Bits of `Apart.state`: there are entities that this viewer may not know; it is to see nobody."""


@dataclass(frozen=True, slots=True)
class Apart:
    """Between whom not everything may pass, by slot (viewers have the slot of their entity)."""

    state: npt.NDArray[np.uint8]
    """Bits of each viewer."""
    veils: npt.NDArray[np.uint8]
    """Shape (slots, slots / 8): bit `e & 7` of `veils[v, e >> 3]` is set where v is shown a
    silhouette of e. Looked at for VEILED viewers only."""
    version: int
    """Another one whenever anything of this has changed."""


@dataclass(frozen=True, slots=True)
class PublishedFrame:
    """Tables of one world after one tick; arrays are indexed by entity slot."""

    tick: int
    high: int
    """All slots in use are below this."""
    alive: npt.NDArray[np.uint8]
    entity_ids: npt.NDArray[np.uint32]
    """Never used twice in a world, so a slot with a new owner is told by its id."""
    rows: npt.NDArray[np.int32]
    """Quantised poses, shape (slots, pose.COLUMNS)."""
    extras: npt.NDArray[np.uint8]
    parts: npt.NDArray[np.uint8]
    seqs: npt.NDArray[np.uint32]
    """Newest pose taken of each entity's owner."""
    boost: npt.NDArray[np.float32]
    """Distances to this entity count times this in priorities: below 1 is more important."""
    enter_tails: npt.NDArray[np.uint8]
    """Shape (slots, ENTER_TAIL_BYTES_MAX): each entity's entry of `enter`, after the index."""
    enter_lengths: npt.NDArray[np.int32]
    apart: Apart | None = None
    """None while nobody is kept apart from anybody."""


def enter_tail(entity_id: int, kind: EntityKind, name: str, avatar: str) -> bytes:
    """The MessagePack bytes of an `EnterEntry` that follow its index."""
    fields = (entity_id, int(kind), name, avatar)
    tail = b"".join(msgspec.msgpack.encode(field) for field in fields)
    assert len(tail) <= ENTER_TAIL_BYTES_MAX, "names and avatars are bounded where they come in"
    return tail
