"""Scenarios in which Postgres is away for half a minute, and more waits than there is room for."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import trio

from atrium_server.persistence.journal import DIRTY_ROWS_MAX, READ_ONLY_S
from atrium_shared import edits, limits
from atrium_shared.errors import ErrorCode
from atrium_shared.messages import EditState, SaveState
from atrium_shared.props import Group, Shape, Transform
from chaos.clients import Builder, Crowd
from chaos.servers import Server, open_server
from chaos.stage import IN_S_MAX, REST_S_MAX, Stage, open_foreign, open_house
from chaos.wire import LinkLost

HOARDERS = 60
"""So many that one copy of each, and another one, are more than there is room for."""
SHELVES = 15
BOOKS = 15
"""A hoard is a group of SHELVES groups of BOOKS shapes: one copy of it changes 241 props."""
HOARD_PROPS = 1 + SHELVES * (1 + BOOKS)
assert DIRTY_ROWS_MAX < 2 * HOARDERS * HOARD_PROPS
PROPS_PER_S = 0.8 * limits.EDIT_PROPS_PER_S_MAX
"""As quick as one person may be, and a little slower."""
TRY_S = 0.5
READ_ONLY_S_MAX = READ_ONLY_S + 10.0
RECOVERY_S_MAX = 60.0
STATES = {SaveState.DEGRADED, SaveState.READ_ONLY, SaveState.RW}


async def freeze(stage: Stage) -> None:
    """Freeze the whole of the server's Postgres, and fill what may wait for it."""
    async with open_house(stage) as (server, crowd):
        await stage.begin(server, crowd)
        hoarders = stage.crowd(crowd.nursery)
        hoarders.where = crowd.where
        hoarders.add(HOARDERS, "Hoarder")
        await hoarders.all_in(IN_S_MAX)
        hoards = {one.name: stage.chance.randbytes(16) for one in hoarders.builders}
        async with trio.open_nursery() as nursery:
            for one in hoarders.builders:
                nursery.start_soon(_make_hoard, one, hoards[one.name])
        await hoarders.rest(REST_S_MAX)
        stage.check(not hoarders.heard[EditState.REFUSED], "a hoard could not be made")
        frozen = _freeze(server)
        began = trio.current_time()
        try:
            stage.say(0, 2, "Postgres is frozen")
            async with trio.open_nursery() as nursery:
                for one in hoarders.builders:
                    nursery.start_soon(_copy_until_full, one, hoards[one.name])
            filled_s = trio.current_time() - began
            await _see_it_out(stage, crowd, began)
        finally:
            for pid in frozen:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)
        stage.kills = 1
        await _see_it_back(stage, crowd, hoarders)
        _check_room(stage, hoarders, hoards, filled_s)
        await stage.audit(server.dsn, crowd, hoarders)
        _check_nothing_is_lost(stage)


async def stop(stage: Stage) -> None:
    """Stop somebody else's Postgres in order, and start it again."""
    async with (
        open_foreign(stage) as (foreign, nursery),
        open_server(stage.folder, "house", foreign.url) as server,
    ):
        crowd = stage.crowd(nursery)
        await stage.begin(server, crowd)
        began = trio.current_time()
        stage.say(0, 2, "Postgres is stopped")
        await foreign.stop()
        await _see_it_out(stage, crowd, began)
        await foreign.start()
        stage.kills = 1
        await _see_it_back(stage, crowd)
        await stage.audit(foreign.url, crowd)
        _check_nothing_is_lost(stage)


def _freeze(server: Server) -> list[int]:
    """The first process first: it can then make no others."""
    head = server.postmaster()
    assert head is not None
    os.kill(head, signal.SIGSTOP)
    for pid in server.family()[1:]:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
    return server.family()


async def _see_it_out(stage: Stage, crowd: Crowd, began: float) -> None:
    """Until the end of the outage, in which people build on for as long as they are let."""
    await crowd.all_hear(SaveState.READ_ONLY, READ_ONLY_S_MAX)
    stage.notes.append(f"read-only after {trio.current_time() - began:.1f} s")
    stage.say(1, 2, "the world is read-only")
    await trio.sleep_until(began + stage.outage_s)


async def _see_it_back(stage: Stage, *crowds: Crowd) -> None:
    began = trio.current_time()
    for crowd in crowds:
        await crowd.all_hear(SaveState.RW, RECOVERY_S_MAX)
    stage.notes.append(f"all is well {trio.current_time() - began:.1f} s after it was back")
    await crowds[0].more_durable(stage.builders, RECOVERY_S_MAX)
    stage.check(
        crowds[0].savings >= STATES, f"people were told {crowds[0].savings} and not all states"
    )
    for crowd in crowds:
        await crowd.rest(REST_S_MAX)


def _check_nothing_is_lost(stage: Stage) -> None:
    """The server never ended, so whatever it has accepted it must have saved."""
    stage.check(stage.verdict.reverted == 0, f"{stage.verdict.reverted} edits were reverted")
    stage.check(stage.verdict.unanswered == 0, f"{stage.verdict.unanswered} have no answer")


# --- to fill what may wait -----------------------------------------------------------------


async def _make_hoard(one: Builder, hoard: bytes) -> None:
    """Ask for a group of this id and all that is in it."""
    shelf, here = one.chance.randbytes(16), Transform()
    plan: list[tuple[edits.Edit, int]] = [
        (edits.Create(hoard, b"", here, Group()), 1),
        (edits.Create(shelf, hoard, here, Group()), 1),
    ]
    for number in range(BOOKS):
        place = Transform((float(number), 0.0, 0.0))
        plan.append((edits.Create(one.chance.randbytes(16), shelf, place, Shape()), 1))
    for number in range(1, SHELVES):
        place = Transform((0.0, float(number), 0.0))
        plan.append((edits.Duplicate(shelf, one.chance.randbytes(16), place), 1 + BOOKS))
    for edit, props in plan:
        await one.ask(edit)
        await trio.sleep(props / PROPS_PER_S)


async def _copy_until_full(one: Builder, hoard: bytes) -> None:
    """Copy a hoard, as often as one may, until the server has no room for another one."""
    with suppress(LinkLost), trio.move_on_after(READ_ONLY_S_MAX):
        while not any(asked.code == ErrorCode.NOT_SAVED for asked in one.memory.asked.values()):
            place = Transform((0.0, 0.0, 10.0))
            await one.ask(edits.Duplicate(hoard, one.chance.randbytes(16), place))
            await trio.sleep(TRY_S)


def _check_room(
    stage: Stage, hoarders: Crowd, hoards: dict[str, bytes], filled_s: float
) -> None:
    whole = set(hoards.values())
    asked = [
        asked for memory in hoarders.memories() for asked in memory.asked.values()
        if isinstance(asked.edit, edits.Duplicate) and asked.edit.prop_id in whole
    ]
    full = [one for one in asked if one.state is EditState.REFUSED and "Too much" in one.reason]
    taken = sum(one.state is EditState.DURABLE for one in asked) * HOARD_PROPS
    stage.notes.append(f"full after {filled_s:.1f} s, with {taken:,} changes of theirs")
    stage.check(bool(full), "nobody was refused for lack of room")
