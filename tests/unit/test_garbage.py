"""Garbage is searched for between two ticks, and nowhere else."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncGenerator

import pytest
import trio
from trio.testing import MockClock

from atrium_server import garbage


class Ring:
    """Refers to itself: only a search finds it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
async def searching(autojump_clock: MockClock) -> AsyncGenerator[None]:
    """Searched only between ticks, for the length of a test."""
    async with trio.open_nursery() as nursery:
        await nursery.start(garbage.search_between_ticks)
        yield
        nursery.cancel_scope.cancel()


def rings(count: int) -> list[weakref.ref[Ring]]:
    """So many rings that nobody has any more."""
    return [weakref.ref(Ring()) for _ in range(count)]


async def test_nothing_is_searched_in_the_middle_of_work(searching: None) -> None:
    lost = rings(4 * garbage.YOUNG_OBJECTS)
    assert all(one() is not None for one in lost)


async def test_a_look_after_a_tick_finds_what_was_lost_in_it(searching: None) -> None:
    lost = rings(garbage.YOUNG_OBJECTS + 1)
    garbage.look()
    # The last few may have been made after the interpreter began to count anew.
    assert sum(one() is not None for one in lost) <= 1
    assert not gc.isenabled()


async def test_a_look_at_little_costs_nothing(searching: None) -> None:
    gc.collect()
    lost = rings(100)
    garbage.look()
    assert all(one() is not None for one in lost)


async def test_what_is_lost_without_ticks_is_found_too(
    searching: None, autojump_clock: MockClock
) -> None:
    lost = rings(garbage.YOUNG_OBJECTS + 1)
    await trio.sleep(2 * garbage.LOOK_S)
    assert sum(one() is not None for one in lost) <= 1


async def test_while_ticks_come_nobody_else_looks(
    searching: None, autojump_clock: MockClock
) -> None:
    lost = rings(garbage.YOUNG_OBJECTS + 1)
    garbage.look()
    more = rings(garbage.YOUNG_OBJECTS + 1)
    await trio.sleep(1.5 * garbage.LOOK_S)
    assert all(one() is not None for one in more)
    assert sum(one() is not None for one in lost) <= 1


async def test_older_garbage_is_found_in_time(searching: None) -> None:
    old = Ring()
    trace = weakref.ref(old)
    for turn in range(3 * garbage.MIDDLE_EVERY):
        rings(garbage.YOUNG_OBJECTS + 1)
        garbage.look()
        if turn == 2:
            del old  # it has been looked at, and counts among the older ones
    assert trace() is None


async def test_the_oldest_garbage_is_found_in_time(searching: None) -> None:
    """Also what has been looked at twice: it is among all that there is. Of these a quarter must be
    new, so there is a crowd that comes and goes.
    """
    looks = 5 * garbage.ALL_EVERY * garbage.MIDDLE_EVERY
    size = gc.get_freeze_count() // (2 * garbage.ALL_EVERY * garbage.MIDDLE_EVERY)
    kept = [Ring()]
    trace = weakref.ref(kept[0])
    for turn in range(looks):
        kept += [Ring() for _ in range(size)]
        rings(garbage.YOUNG_OBJECTS + 1)
        garbage.look()
        if turn == 2 * garbage.MIDDLE_EVERY + 5:
            kept.clear()
    assert trace() is None


async def test_the_last_of_two_servers_gives_the_search_back(autojump_clock: MockClock) -> None:
    before = gc.get_threshold()
    async with trio.open_nursery() as first:
        await first.start(garbage.search_between_ticks)
        async with trio.open_nursery() as second:
            await second.start(garbage.search_between_ticks)
            second.cancel_scope.cancel()
        assert not gc.isenabled()
        first.cancel_scope.cancel()
    assert gc.isenabled()
    assert gc.get_threshold() == before


async def test_the_interpreter_searches_by_itself_before_and_after(
    autojump_clock: MockClock,
) -> None:
    before = (gc.isenabled(), gc.get_threshold())
    assert before[0]
    async with trio.open_nursery() as nursery:
        await nursery.start(garbage.search_between_ticks)
        assert not gc.isenabled()
        nursery.cancel_scope.cancel()
    assert (gc.isenabled(), gc.get_threshold()) == before


def test_a_look_leaves_an_interpreter_alone_that_searches_by_itself() -> None:
    collections = [one["collections"] for one in gc.get_stats()]
    assert gc.isenabled()
    garbage.look()
    assert [one["collections"] for one in gc.get_stats()] == collections
