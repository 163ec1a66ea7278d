"""Changes whole worlds: back to a moment, back without one person's edits, or to a file's content.

Theory of operation
-------------------
The database knows rows and edits as JSON (`persistence.history`), `rewind` knows props and changes
and does the thinking; here they meet. A plan is made from one snapshot of the database and says
which changes are to be made to which version of a world; nothing has happened yet. It is written
as one version, so it happens as a whole or not at all, and not at all if the world has another
version by then. What it changes is history like any other edit, so a restore can be taken back
by another one.

Whoever writes owns the world meanwhile: `held` claims it and renews the lease until the block ends.
A server that has the world is not disturbed; the claim is refused then.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

import msgspec
import trio

from atrium_server.persistence.audit_rows import AuditRow
from atrium_server.persistence.audited import commit_audited
from atrium_server.persistence.database import Database
from atrium_server.persistence.errors import Fenced, Refused
from atrium_server.persistence.history import DISOWN, Chosen, PastEdit, WorldHistory
from atrium_server.persistence.store import LEASE_S, Claim, EntityRow, WorldStore
from atrium_server.prop_rows import batch_of, changes_of, prop_of
from atrium_server.rewind import Departed, Rewind, RollBack, difference, misplaced
from atrium_server.world.props import Change, Prop
from atrium_shared import limits
from atrium_shared.props import PropError

RELEASE_S_MAX: Final = 2.0
_NO_WORLD: Final = 0
"""Worlds are counted from 1."""
Tell = Callable[[float], None]
"""Is told which part is done, from 0 to 1."""


class Planned(msgspec.Struct, frozen=True):
    """What would be changed in a world of `version`."""

    version: int
    changes: list[Change]
    left: list[bytes] = []
    """Ids of props that others have changed since, or that would have no place."""


class _Walk(msgspec.Struct, frozen=True):
    walker: Rewind | RollBack
    tell: Tell
    whose: Chosen = Chosen()


class _Reader:
    """Hands rows to what knows props only."""

    def __init__(self, walk: _Walk, rows_expected: int) -> None:
        self._walk = walk
        self._rows_expected = rows_expected
        self._rows = 0
        self._departed = Departed()

    def present(self, rows: Sequence[EntityRow]) -> None:
        self._walk.walker.present([(row.id.bytes, prop_of(row)) for row in rows])
        self._rows += len(rows)
        self._walk.tell(min(1.0, self._rows / max(1, self._rows_expected)))

    def back(self, edits: Sequence[PastEdit]) -> None:
        walker, whose = self._walk.walker, self._walk.whose
        for edit in edits:
            changes = changes_of(edit.before, edit.after)
            if edit.op == DISOWN:
                self._departed.disowned(changes)
            changes = self._departed.without(changes)
            if isinstance(walker, RollBack) and not _is_of(edit, whose):
                walker.through(changes)
            else:
                walker.back(changes)


def _is_of(edit: PastEdit, whose: Chosen) -> bool:
    return (whose.actor is None or edit.actor == whose.actor) and (
        whose.session is None or edit.session == whose.session
    )


async def plan_restore(
    history: WorldHistory, slug: str, moment: datetime, tell: Tell
) -> Planned:
    """What makes a world what it was at `moment`. Raises Refused."""
    rewind = Rewind()
    version = await _read(history, slug, moment, _Walk(rewind, tell))
    if misplaced(rewind.then):
        raise Refused("The history of this world has a gap: restore a backup (atrium db restore).")
    return Planned(version, rewind.changes())


async def plan_roll_back(
    history: WorldHistory, slug: str, since: datetime, whose: Chosen, tell: Tell
) -> Planned:
    """What takes back the edits of one account or session since a moment, where they stand."""
    assert whose.actor or whose.session, "everybody's edits are taken back by a restore"
    roll_back = RollBack()
    version = await _read(history, slug, since, _Walk(roll_back, tell, whose))
    changes, left = roll_back.changes()
    more = sum((change.before is None) - (change.after is None) for change in changes)
    if len(roll_back.now) + more > limits.PROPS_PER_WORLD_MAX:
        raise Refused(
            f"The world would have more than {limits.PROPS_PER_WORLD_MAX:,} props: make room first."
        )
    return Planned(version, changes, left)


async def plan_import(
    history: WorldHistory, slug: str, props: Mapping[bytes, Prop], tell: Tell, *, replace: bool
) -> Planned:
    """What puts these props into a world, or (`replace`) in the place of all that is in it."""
    world = await history.world(slug)
    await _needs_free(history, world.world_id, props)
    version, now = await present_props(history, slug, tell)
    then = dict(props) if replace else {**now, **props}
    _needs_fitting(then)
    return Planned(version, difference(now, then))


async def check_new(history: WorldHistory, props: Mapping[bytes, Prop]) -> None:
    """Whether these props can be a world that is still to be made. Raises Refused."""
    await _needs_free(history, _NO_WORLD, props)
    _needs_fitting(dict(props))


async def _needs_free(history: WorldHistory, world_id: int, props: Mapping[bytes, Prop]) -> None:
    ids = [uuid.UUID(bytes=prop_id) for prop_id in props]
    if taken := await history.elsewhere(world_id, ids):
        raise Refused(
            f"{taken:,} props of the file are in another world already: say --new-ids to make"
            " copies of them."
        )


def _needs_fitting(props: dict[bytes, Prop]) -> None:
    if len(props) > limits.PROPS_PER_WORLD_MAX:
        raise Refused(f"The world would have over {limits.PROPS_PER_WORLD_MAX:,} props.")
    if misplaced(props):
        raise Refused(
            "Groups of the world and of the file do not fit together: say --replace, or --new-ids."
        )


async def _read(history: WorldHistory, slug: str, since: datetime, walk: _Walk) -> int:
    world = await history.world(slug)
    reader = _Reader(walk, world.props)
    try:
        return await history.read_back(world.world_id, since, reader, walk.whose)
    except PropError as error:
        raise Refused(f"{error} Was it written by a newer version of Atrium?") from None


async def present_props(
    history: WorldHistory, slug: str, tell: Tell, at: datetime | None = None
) -> tuple[int, dict[bytes, Prop]]:
    """The version of a world, and its props now or at a moment."""
    rewind = Rewind()
    version = await _read(history, slug, at or await history.now(), _Walk(rewind, tell))
    return version, rewind.then


@asynccontextmanager
async def held(store: WorldStore, slug: str, node: str) -> AsyncGenerator[Claim]:
    """A world of ours for the length of the block. Raises Refused: a server has it."""
    claim = await store.claim(slug, node)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_renew, store, claim)
            yield claim
            nursery.cancel_scope.cancel()
    finally:
        with trio.move_on_after(RELEASE_S_MAX, shield=True):
            await store.release(claim)


async def _renew(store: WorldStore, claim: Claim) -> None:
    while True:
        await trio.sleep(LEASE_S / 3)
        await store.renew(claim)


async def write(
    database: Database, claim: Claim, planned: Planned, op: str, actor: str
) -> int:
    """Make the planned changes, as one version; returns it. Raises Fenced and Refused."""
    if planned.version != claim.version:
        raise Fenced(f"The world {claim.slug!r} was changed in this moment: try again.")
    if not planned.changes:
        return claim.version
    session = uuid.uuid4()
    batch = batch_of(planned.changes, claim.version + 1, op, session)
    told = {"version": batch.version, "written": len(batch.rows), "removed": len(batch.removed)}
    row = AuditRow(actor, f"world.{op}", "world", claim.slug, str(session), told)
    await commit_audited(database, claim, batch, row)
    return batch.version
