"""Sessions and last places in memory: for --ephemeral, and for tests of what stands on them.

It keeps the promises of `sessions` but the one: nothing outlives the process. It does not know the
worlds, so a claim is fenced by the first call that comes with a newer one.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final

import msgspec
import trio

from atrium_server.persistence.errors import Fenced
from atrium_server.persistence.session_rows import (
    RESTART_S_MAX,
    Place,
    SessionRow,
    SessionState,
)
from atrium_server.persistence.store import Claim
from atrium_shared.limits import SESSIONS_PER_WORLD_MAX

PLACES_MAX: Final = 100_000


class MemorySessions:
    """A `session_rows.SessionStore` in memory. Sessions that are over are forgotten."""

    def __init__(self) -> None:
        self._epochs: dict[int, int] = {}
        self._rows: dict[int, dict[uuid.UUID, SessionRow]] = {}
        self._places: dict[tuple[uuid.UUID, int], Place] = {}

    async def save(self, claim: Claim, rows: Sequence[SessionRow], now_s: float) -> int:
        await trio.lowlevel.checkpoint()
        kept = self._owned(claim)
        for row in rows:
            if row.account is not None and row.place is not None:
                # Those that have not moved for the longest are forgotten first.
                self._places.pop((row.account, claim.world_id), None)
                self._places[row.account, claim.world_id] = row.place
            if row.state is SessionState.OVER:
                kept.pop(row.id, None)
            else:
                kept[row.id] = msgspec.structs.replace(row, saved_at_s=now_s)
        while len(self._places) > PLACES_MAX:
            del self._places[next(iter(self._places))]
        return 0

    async def end_unseen(self, claim: Claim, since_s: float) -> int:
        await trio.lowlevel.checkpoint()
        kept = self._owned(claim)
        gone = [row.id for row in kept.values() if row.saved_at_s < since_s]
        for id in gone:
            del kept[id]
        return len(gone)

    async def load(self, claim: Claim, now_s: float) -> list[SessionRow]:
        await trio.lowlevel.checkpoint()
        kept = self._owned(claim)
        newest = sorted(kept.values(), key=lambda row: (row.saved_at_s, row.id), reverse=True)
        alive = [row for row in newest if row.saved_at_s >= now_s - RESTART_S_MAX]
        del alive[SESSIONS_PER_WORLD_MAX:]
        self._rows[claim.world_id] = {row.id: row for row in alive}
        return alive

    async def place_of(self, account: uuid.UUID, world_id: int) -> Place | None:
        await trio.lowlevel.checkpoint()
        return self._places.get((account, world_id))

    def _owned(self, claim: Claim) -> dict[uuid.UUID, SessionRow]:
        newest = self._epochs.setdefault(claim.world_id, claim.epoch)
        if claim.epoch < newest:
            raise Fenced(f"the world {claim.slug!r} has another owner now")
        self._epochs[claim.world_id] = claim.epoch
        return self._rows.setdefault(claim.world_id, {})
