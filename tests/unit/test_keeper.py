"""A world always knows how much more its store takes."""

from __future__ import annotations

import uuid

import trio
from trio.testing import MockClock

from atrium_server.keeper import Keeper
from atrium_server.persistence.journal import Bounds
from atrium_server.persistence.memory import MemoryStore
from atrium_server.persistence.world_writer import WriterNumbers
from atrium_server.world import commands as c
from atrium_server.world.props import Change, Prop
from atrium_shared.messages import SaveState
from atrium_shared.props import Shape, Transform

BOUNDS = Bounds(rows=10, edits=10)


async def make_keeper() -> Keeper:
    store = MemoryStore()
    await store.create("hall", "The hall")
    return Keeper(store, await store.claim("hall", "here"), WriterNumbers(), bounds=BOUNDS)


def told(keeper: Keeper) -> list[c.Store]:
    """What the world is told of its store before a tick."""
    commands: list[c.AnyCommand] = []
    keeper.before_tick(commands)
    return [command for command in commands if isinstance(command, c.Store)]


def edit(number: int) -> c.Accepted:
    change = Change(number.to_bytes(16), None, Prop(Transform(), Shape(), owner="guest:x"))
    return c.Accepted(uuid.UUID(int=1).bytes, number, "create", "guest:x", (change,))


async def test_what_a_world_has_used_up_is_given_back_when_it_is_saved(
    autojump_clock: MockClock,
) -> None:
    keeper = await make_keeper()
    plenty = c.Store(SaveState.RW, BOUNDS.edits, BOUNDS.rows, BOUNDS.bytes)
    async with trio.open_nursery() as nursery:
        lost: list[str] = []
        nursery.start_soon(keeper.run, lost.append)
        await trio.sleep(0.01)
        assert told(keeper) == [plenty]
        assert told(keeper) == [], "nothing has changed"
        for number in range(3 * BOUNDS.edits):
            keeper.take([edit(number)])  # the world has counted one down
            await trio.sleep(0.05)
            assert told(keeper) == [plenty], "it is saved already, so it is as it was said to be"
        nursery.cancel_scope.cancel()


async def test_what_waits_leaves_less_room(autojump_clock: MockClock) -> None:
    keeper = await make_keeper()
    keeper.take([edit(1), edit(2)])
    (store,) = told(keeper)
    assert (store.edits, store.rows) == (BOUNDS.edits - 2, BOUNDS.rows - 2)
    assert store.bytes < BOUNDS.bytes


async def test_a_world_that_begins_anew_is_told_again(autojump_clock: MockClock) -> None:
    keeper = await make_keeper()
    first = told(keeper)
    await keeper.load()
    assert told(keeper) == first != []
