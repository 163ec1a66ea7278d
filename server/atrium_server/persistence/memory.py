"""A store that forgets: for a demo without a database, and for tests of what stands on a store.

It keeps the same promises as `world_store` but the one: nothing outlives the process. Epochs
fence, leases run out, the same batch may be committed twice, an edit is known by its session and
request id. All is done at once, in trio's thread, and on trio's clock.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import trio

from atrium_server.persistence.errors import Fenced, Refused
from atrium_server.persistence.store import (
    LEASE_S,
    Batch,
    Claim,
    EditKey,
    EditRow,
    EntityRow,
)

EDITS_KEPT_MAX: Final = 100_000
"""The newest edits, by which a repeated one is known; Postgres keeps all."""


@dataclass(slots=True)
class _World:
    world_id: int
    title: str
    version: int = 0
    epoch: int = 0
    node: str | None = None
    lease_until: float | None = None
    entities: dict[uuid.UUID, EntityRow] = field(default_factory=dict[uuid.UUID, EntityRow])


class MemoryStore:
    """A `store.WorldStore` in memory."""

    def __init__(self) -> None:
        self._worlds: dict[str, _World] = {}
        self._edits: dict[EditKey, EditRow] = {}

    async def create(self, slug: str, title: str) -> bool:
        await trio.lowlevel.checkpoint()
        if slug in self._worlds:
            return False
        self._worlds[slug] = _World(len(self._worlds) + 1, title)
        return True

    async def claim(self, slug: str, node: str) -> Claim:
        await trio.lowlevel.checkpoint()
        world = self._worlds.get(slug)
        if world is None:
            raise Refused(f"There is no world {slug!r}.")
        now = trio.current_time()
        if world.lease_until is not None and world.lease_until >= now and world.node != node:
            raise Refused(f"The world {slug!r} belongs to the server {world.node!r}.")
        world.epoch += 1
        world.node = node
        world.lease_until = now + LEASE_S
        return Claim(world.world_id, slug, world.title, world.epoch, world.version)

    async def renew(self, claim: Claim) -> None:
        await trio.lowlevel.checkpoint()
        self._owned(claim).lease_until = trio.current_time() + LEASE_S

    async def release(self, claim: Claim) -> None:
        await trio.lowlevel.checkpoint()
        world = self._worlds[claim.slug]
        if world.epoch == claim.epoch:
            world.node = world.lease_until = None

    async def load(self, claim: Claim) -> list[EntityRow]:
        await trio.lowlevel.checkpoint()
        return [*self._owned(claim).entities.values()]

    async def read(self, claim: Claim, ids: Sequence[uuid.UUID]) -> list[EntityRow]:
        await trio.lowlevel.checkpoint()
        entities = self._owned(claim).entities
        return [entities[one] for one in ids if one in entities]

    async def commit(self, claim: Claim, batch: Batch) -> frozenset[EditKey]:
        await trio.lowlevel.checkpoint()
        keys = {edit.key for edit in batch.edits}
        known = frozenset(keys & self._edits.keys())
        try:
            world = self._owned(claim)
        except Fenced as error:
            raise Fenced(str(error), known) from None
        if world.version == batch.version:
            return frozenset()  # written by an earlier attempt
        if world.version != batch.version - 1:
            raise Fenced(f"the world {claim.slug!r} was changed by other hands", known)
        world.version = batch.version
        world.lease_until = trio.current_time() + LEASE_S
        for row in batch.rows:
            world.entities[row.id] = msgspec.structs.replace(row, changed_in=batch.version)
        for entity_id in batch.removed:
            world.entities.pop(entity_id, None)
        for edit in batch.edits:
            self._edits.setdefault(edit.key, edit)
        while len(self._edits) > EDITS_KEPT_MAX:
            del self._edits[next(iter(self._edits))]
        return known

    async def known_edits(
        self, session: uuid.UUID, request_ids: Sequence[int]
    ) -> frozenset[int]:
        await trio.lowlevel.checkpoint()
        return frozenset(each for each in request_ids if (session, each) in self._edits)

    def _owned(self, claim: Claim) -> _World:
        world = self._worlds[claim.slug]
        if world.epoch != claim.epoch:
            raise Fenced(f"the world {claim.slug!r} has another owner now")
        return world
