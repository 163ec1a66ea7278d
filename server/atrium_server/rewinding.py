"""Taking back what was done to a world that is running: roll-backs, restores, and what was done.

What is to be changed is worked out from the history in the database, beside the world; the world
then makes those changes where its props still are as the history says. An edit that was accepted
and is not saved yet is not in the history: it is left alone, and told. Who asked for it and why is
kept before anything is changed.
"""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import datetime

from atrium_server.accounts.errors import NotFound
from atrium_server.hosts import Hosts
from atrium_server.http.world_routes import RewoundWorld
from atrium_server.persistence.conduct_rows import ActionKind, ConductStore, NewAction
from atrium_server.persistence.history import Chosen, EditHead, WorldHistory
from atrium_server.persistence.schema import uuid7
from atrium_server.world_history import Planned, plan_restore, plan_roll_back


@dataclass(frozen=True, slots=True)
class Rewinding:
    """Implements `http.world_routes.Rewinder`."""

    hosts: Hosts
    history: WorldHistory
    conduct: ConductStore

    async def edits(
        self, world: str, chosen: Chosen, before: tuple[datetime, int] | None, most: int
    ) -> list[EditHead]:
        """What was done, newest first. Raises NotFound, StoreError."""
        world_id = self._world_id(world)
        return await self.history.page(world_id, chosen, before, most)

    async def restore(
        self, world: str, at: datetime, actor: uuid.UUID, reason: str
    ) -> RewoundWorld:
        """The world becomes what it was at a moment. Raises NotFound, StoreError."""
        self._world_id(world)
        planned = await plan_restore(self.history, world, at, _silently)
        return await self._make(world, "restore", planned, _Order(actor, reason))

    async def roll_back(
        self, world: str, chosen: Chosen, actor: uuid.UUID, reason: str
    ) -> RewoundWorld:
        """Take back what somebody did since a moment. Raises NotFound, StoreError."""
        self._world_id(world)
        assert chosen.since is not None
        planned = await plan_roll_back(self.history, world, chosen.since, chosen, _silently)
        order = _Order(actor, reason, chosen.actor, chosen.session)
        return await self._make(world, "roll_back", planned, order)

    async def _make(self, world: str, op: str, planned: Planned, order: _Order) -> RewoundWorld:
        await self.conduct.act(NewAction(
            uuid7(time.time()), ActionKind.ROLL_BACK, order.reason, order.actor,
            subject_account=order.account, subject_session=order.session,
            world_id=self._world_id(world),
        ))
        host = self.hosts.find(world)
        assert host is not None
        done = await host.amendments.make(op, str(order.actor), planned.changes)
        return RewoundWorld(done.made, done.left_alone + len(planned.left))

    def _world_id(self, world: str) -> int:
        host = self.hosts.find(world)
        if host is None or host.state.failed:
            raise NotFound("There is no such world here, or it does not run.")
        return host.parts.keeper.claim.world_id


@dataclass(frozen=True, slots=True)
class _Order:
    """Who wants it, why, and whose edits it is about."""

    actor: uuid.UUID
    reason: str
    account: uuid.UUID | None = None
    session: uuid.UUID | None = None


def _silently(share: float) -> None:
    """Nobody watches a bar."""
