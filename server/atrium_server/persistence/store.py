"""What a world needs of a store, and the rows that pass between them. PURE.

Two things keep `WorldStore`: `world_store.SqlWorldStore` (Postgres) and `memory.MemoryStore`
(for --ephemeral). Upper layers and the writer know the Protocol only.

A world has one owner at a time. `claim` raises the owner's epoch; whoever held the world before
can then commit nothing more, however late its words arrive, because every commit names the epoch
and the version that it follows. Rows are frozen: what was handed over cannot change while it is
being written in another thread. JSON passes as bytes that the world has validated.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

EditKey = tuple[uuid.UUID, int]
"""The session and the request id of an edit: unique for ever, and so applied once."""

LEASE_S: Final = 15.0
"""How long a world stays its owner's after the last sign of it."""
ROW_BYTES_MIN: Final = 200
"""What a row costs beside its text: transform, ids and the objects that hold them."""


class EntityRow(msgspec.Struct, frozen=True, gc=False):
    """One entity as it is kept."""

    id: uuid.UUID
    kind: str
    position: tuple[float, float, float]
    rotation: tuple[float, float, float, float]
    """A unit quaternion: x, y, z, w."""
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    parent: uuid.UUID | None = None
    owner: uuid.UUID | None = None
    """The account that made it."""
    model_hash: bytes | None = None
    props: bytes = b"{}"
    """A JSON object."""
    changed_by: uuid.UUID | None = None
    changed_in: int = 0
    """The version that wrote it; known of rows that were loaded."""

    @property
    def bytes(self) -> int:
        """What it costs to hold."""
        return ROW_BYTES_MIN + len(self.props) + len(self.kind)


class EditRow(msgspec.Struct, frozen=True, gc=False):
    """One edit as its author asked for it: the history, undo and exactly-once."""

    session: uuid.UUID
    request_id: int
    op: str
    actor: uuid.UUID | None = None
    entity_id: uuid.UUID | None = None
    before: bytes | None = None
    """JSON of what it replaced."""
    after: bytes | None = None
    touched: tuple[uuid.UUID, ...] = ()
    """All that it changes, when that is more than `entity_id`: it is written with them or not at
    all. Not kept."""

    @property
    def key(self) -> EditKey:
        return (self.session, self.request_id)

    @property
    def bytes(self) -> int:
        """What it costs to hold."""
        return ROW_BYTES_MIN + len(self.op) + len(self.before or b"") + len(self.after or b"")


class Batch(msgspec.Struct, frozen=True):
    """What one commit writes, and the version that the world then has."""

    version: int
    rows: tuple[EntityRow, ...]
    removed: tuple[uuid.UUID, ...]
    edits: tuple[EditRow, ...]


class Claim(msgspec.Struct, frozen=True):
    """The right to write one world, good until somebody claims it after us."""

    world_id: int
    slug: str
    title: str
    epoch: int
    version: int
    """The version at the time of the claim."""
    settings: bytes = b"{}"


class WorldStore(Protocol):
    """All that a world's owner asks of a store. Every call may raise Unavailable."""

    async def create(self, slug: str, title: str) -> bool:
        """Make an empty world; False when there is one of this name."""
        ...

    async def claim(self, slug: str, node: str) -> Claim:
        """Become the owner. Raises Refused: there is no such world, or another node holds it."""
        ...

    async def renew(self, claim: Claim) -> None:
        """Hold the world for another while. Raises Fenced."""
        ...

    async def release(self, claim: Claim) -> None:
        """Let others claim at once; nothing happens when somebody already has."""
        ...

    async def load(self, claim: Claim) -> list[EntityRow]:
        """All entities. Raises Fenced."""
        ...

    async def read(self, claim: Claim, ids: Sequence[uuid.UUID]) -> list[EntityRow]:
        """Those of these entities that there are. Raises Fenced."""
        ...

    async def commit(self, claim: Claim, batch: Batch) -> frozenset[EditKey]:
        """Write all of the batch or nothing; may be asked again when the outcome is unknown.

        Returns:
            The edits that an earlier session of the same client had written already.

        Raises:
            Fenced: somebody else owns the world.
            Refused: the database will never take this batch as it is.
        """
        ...

    async def known_edits(
        self, session: uuid.UUID, request_ids: Sequence[int]
    ) -> frozenset[int]:
        """Which of these requests of a session are written: what a resumed client asks again."""
        ...
