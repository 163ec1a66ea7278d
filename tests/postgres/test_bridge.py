"""The bridge to the asyncio thread: outcomes, cancellation, bounds, and its own end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from atrium_server.persistence.bridge import Bridge, BridgeClosed, BridgeCrashed, open_bridge


@pytest.fixture
async def bridge(nursery: trio.Nursery) -> AsyncIterator[Bridge]:
    async with open_bridge(nursery, 2) as opened:
        yield opened


async def double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def test_a_result_comes_back_from_the_other_thread(bridge: Bridge) -> None:
    async def where() -> str:
        return threading.current_thread().name

    assert await bridge.call(double, 21) == 42
    assert await bridge.call(where) == "database"


async def test_an_error_keeps_its_type_and_words(bridge: Bridge) -> None:
    class Peculiar(Exception):
        pass

    async def fail() -> None:
        raise Peculiar("so it is")

    with pytest.raises(Peculiar, match="so it is"):
        await bridge.call(fail)


async def test_a_cancelled_call_waits_for_what_really_happens(bridge: Bridge) -> None:
    steps: list[str] = []
    began = trio.Event()
    token = trio.lowlevel.current_trio_token()

    async def work() -> None:
        try:
            token.run_sync_soon(began.set)
            await asyncio.get_running_loop().create_future()
        finally:
            await asyncio.sleep(0)
            steps.append("cleaned up")

    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(bridge.call, work)
            await began.wait()
            scope.cancel()
    assert scope.cancelled_caught
    assert steps == ["cleaned up"]


async def test_a_call_that_is_cancelled_before_its_first_step_ends(bridge: Bridge) -> None:
    """Start and cancellation find the loop busy, so it meets both of them in one turn."""
    gate = threading.Event()
    blocked = trio.Event()
    token = trio.lowlevel.current_trio_token()

    async def block() -> None:
        token.run_sync_soon(blocked.set)
        assert gate.wait(5)

    async def open_gate() -> None:
        with trio.CancelScope(shield=True):
            await wait_all_tasks_blocked()
            gate.set()

    async with trio.open_nursery() as outer:
        outer.start_soon(bridge.call, block)
        await blocked.wait()
        with trio.fail_after(5), trio.CancelScope() as scope:
            async with trio.open_nursery() as inner:
                inner.start_soon(bridge.call, double, 1)
                await wait_all_tasks_blocked()
                inner.start_soon(open_gate)
                scope.cancel()
    assert scope.cancelled_caught
    assert await bridge.call(double, 1) == 2


async def test_a_result_wins_over_a_cancellation_that_came_too_late(bridge: Bridge) -> None:
    began = trio.Event()
    token = trio.lowlevel.current_trio_token()

    async def stubborn() -> int:
        token.run_sync_soon(began.set)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return 7
        raise AssertionError

    results: list[int] = []
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def ask() -> None:
                results.append(await bridge.call(stubborn))

            await began.wait()
            scope.cancel()
    assert results == [7]


async def test_a_shielded_call_is_not_cancelled(bridge: Bridge) -> None:
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            released = asyncio.Event()
            began = trio.Event()
            token = trio.lowlevel.current_trio_token()
            results: list[str] = []

            async def work() -> str:
                token.run_sync_soon(began.set)
                await released.wait()
                return "whole"

            async def release() -> None:
                released.set()

            @nursery.start_soon
            async def ask() -> None:
                results.append(await bridge.call(work, shield=True))

            await began.wait()
            scope.cancel()
            with trio.CancelScope(shield=True):
                await bridge.call(release)
    assert results == ["whole"]


async def test_as_many_calls_run_at_once_as_there_are_connections(bridge: Bridge) -> None:
    running: list[int] = []
    pair = asyncio.Barrier(2)

    async def work() -> None:
        running.append(1)
        assert len(running) <= 2
        await pair.wait()
        running.pop()

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(bridge.call, work)


async def die() -> None:
    def interrupt() -> None:
        raise SystemExit("the thread dies")

    asyncio.get_running_loop().call_soon(interrupt)
    await asyncio.get_running_loop().create_future()


async def test_the_end_of_the_thread_ends_the_nursery_and_every_call() -> None:
    failed: list[type[BaseException]] = []

    async def main() -> None:
        async with trio.open_nursery() as root, open_bridge(root) as bridge:
            try:
                await bridge.call(die)
            except BaseException as error:
                failed.append(type(error))
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await main()
    assert failed == [BridgeCrashed]
    assert caught.group_contains(BridgeCrashed, match="by itself")


async def test_a_closed_bridge_takes_no_calls(nursery: trio.Nursery) -> None:
    before = threading.active_count()
    async with open_bridge(nursery) as bridge:
        assert await bridge.call(double, 1) == 2
    with pytest.raises(BridgeClosed):
        await bridge.call(double, 1)
    assert not any(each.name == "database" for each in threading.enumerate())
    assert threading.active_count() <= before + 1, "at most trio's own idle worker"


def test_news_after_the_end_of_trio_concern_nobody() -> None:
    """The thread outlives trio where a call is cut off by force; it must still end in order."""
    held: list[Bridge] = []
    ended = threading.Event()

    async def main() -> None:
        bridge = Bridge(1)
        bridge._thread.start()
        held.append(bridge)

    trio.run(main)

    async def late() -> None:
        ended.set()

    loop = held[0]._loop
    asyncio.run_coroutine_threadsafe(late(), loop)
    assert ended.wait(5)
    loop.call_soon_threadsafe(held[0]._stop.set)
    held[0]._thread.join(5)
    assert not held[0]._thread.is_alive()
