"""The lane: work goes to a thread, outcomes come back, and what breaks is mended."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import pytest
import trio
from lane_stands import Adds, Breaks, loaded, numbers
from trio.testing import MockClock

from atrium_server.inference import lane as lanes
from atrium_server.inference.classes import RULES, WorkClass
from atrium_server.inference.lane import Lane
from atrium_server.inference.outcomes import LaneError, Outcome, Status
from atrium_server.inference.rows import Array
from atrium_server.inference.slots import Loaded, Slot
from atrium_server.inference.worker import Device
from atrium_server.registry.signature import SignatureError

CHAT = WorkClass.MODERATION
AT_ONCE = WorkClass.ANIMATION
"""Its rows wait for nobody, so they run while the clock stands still."""
LONG_S = 100.0


@asynccontextmanager
async def running(lane: Lane) -> AsyncGenerator[Lane]:
    async with trio.open_nursery() as nursery:
        await nursery.start(lane.run)
        yield lane
        nursery.cancel_scope.cancel()


async def ask(lane: Lane, version: Loaded, *rows: tuple[float, float]) -> list[float]:
    outcome = await lane.ask(version, numbers(*rows), work=CHAT, deadline_s=LONG_S)
    return outcome.outputs["sum"].tolist()


async def status_of(lane: Lane, version: Loaded | None) -> Status:
    try:
        return (await lane.ask(version, numbers((1, 1)), work=CHAT, deadline_s=LONG_S)).status
    except LaneError as error:
        return error.status


async def until_started(model: Adds) -> None:
    assert await trio.to_thread.run_sync(model.started.wait, 20)
    model.started.clear()


async def test_rows_go_in_and_their_outputs_come_back() -> None:
    async with running(Lane(Device())) as lane:
        version = loaded()
        assert await ask(lane, version, (1, 2), (3, 4)) == [3, 7]
        assert lane.waiting == [0] * len(WorkClass)


async def test_many_at_once_share_batches() -> None:
    async with running(Lane(Device())) as lane:
        version, got = loaded(), dict[int, list[float]]()
        version.model.may_end.clear()

        async def one(k: int) -> None:
            # Of a class whose batches are not cut short when one took long.
            outcome = await lane.ask(version, numbers((k, 1)), work=AT_ONCE, deadline_s=LONG_S)
            got[k] = outcome.outputs["sum"].tolist()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(one, 0)
            await until_started(version.model)  # the others come while the device is busy
            for k in range(1, 50):
                nursery.start_soon(one, k)
            await trio.testing.wait_all_tasks_blocked()
            version.model.may_end.set()
        assert got == {k: [k + 1] for k in range(50)}
        assert version.model.batches == [1, 49]


async def test_no_model_and_no_lane_are_told_a_moment_later() -> None:
    lane = Lane(Device())
    assert await status_of(lane, loaded()) is Status.ABSENT
    async with running(lane):
        assert await status_of(lane, None) is Status.ABSENT
        told: list[Outcome] = []
        lane.submit(None, numbers((1, 1)), told.append, work=CHAT)
        assert told == []


async def test_rows_that_do_not_fit_are_the_callers_fault() -> None:
    async with running(Lane(Device())) as lane:
        with pytest.raises(SignatureError):
            await lane.ask(loaded(), {"y": numbers((1, 1))["x"]}, work=CHAT)


async def test_more_than_may_wait_is_refused_at_the_door() -> None:
    async with running(Lane(Device())) as lane:
        version, told = loaded(), list[Outcome]()
        version.model.may_end.clear()
        room = RULES[WorkClass.SERVICE].queue_rows_max
        for _ in range(room + 5):
            lane.submit(version, numbers((1, 1)), told.append, work=WorkClass.SERVICE,
                        deadline_s=LONG_S)
        await trio.testing.wait_all_tasks_blocked()
        assert [each.status for each in told] == [Status.SHED] * 5
        version.model.may_end.set()


async def test_who_is_cancelled_abandons_the_work() -> None:
    async with running(Lane(Device())) as lane:
        version = loaded()
        version.model.may_end.clear()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, lane, version, (1, 1))
            await until_started(version.model)
            with trio.CancelScope() as scope:
                scope.cancel()
                await ask(lane, version, (2, 2))
            version.model.may_end.set()
        assert await ask(lane, version, (3, 3)) == [6]
        assert sum(version.model.batches) == 2


async def test_at_the_end_all_that_is_under_way_is_told() -> None:
    told: list[Outcome] = []
    version = loaded()
    version.model.may_end.clear()
    async with running(Lane(Device())) as lane:
        lane.submit(version, numbers((1, 1)), told.append, work=CHAT, deadline_s=LONG_S)
        await until_started(version.model)
    assert [each.status for each in told] == [Status.FAILED]
    version.model.may_end.set()


async def test_the_end_waits_for_the_batch_that_runs() -> None:
    """A process that ends while a thread is within torch is aborted."""
    lane, is_through = Lane(Device()), list[bool]()

    class Slow(Adds):
        def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
            self.started.set()
            while lane.is_up:
                pass
            outputs = super().run(inputs)
            is_through.append(sum(range(500_000)) > 0)
            return outputs

    slow = Slow()
    async with running(lane):
        lane.submit(Loaded("slow", "1", slow), numbers((1, 1)), lambda outcome: None, work=CHAT)
        await until_started(slow)
    assert is_through == [True]


async def test_a_version_that_fails_is_loaded_anew_and_serves_again(
    autojump_clock: MockClock,
) -> None:
    lane, fresh, reloads = Lane(Device()), loaded(), list[Loaded]()
    version = lane.slots.of("adds").live = loaded()
    version.model.error = ValueError("no")
    mended = trio.Event()

    async def reload(old: Loaded) -> Loaded:
        reloads.append(old)
        if len(reloads) < 3:
            raise OSError("the disk is away")
        mended.set()
        return fresh

    lane.reload = reload
    async with running(lane):
        began = trio.current_time()
        assert await status_of(lane, version) is Status.FAILED
        assert await status_of(lane, version) is Status.ABSENT
        await mended.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert trio.current_time() - began >= lanes.RELOAD_S * (1 + 2 + 4)
        assert lane.slots.of("adds").live is fresh
        assert await ask(lane, fresh, (1, 2)) == [3]


async def test_the_pauses_grow_for_a_version_that_fails_on_real_rows_alone(
    mock_clock: MockClock,
) -> None:
    lane, reloads, began = Lane(Device()), list[Loaded](), list[Loaded]()
    version = lane.slots.of("adds").live = loaded()
    warmed = trio.Event()

    async def reload(old: Loaded) -> Loaded:
        began.append(old)
        fresh = loaded()
        await lane.ask(fresh, numbers((1, 1)), work=WorkClass.WARMING, deadline_s=LONG_S)
        reloads.append(fresh)
        warmed.set()
        return fresh

    lane.reload = reload
    async with running(lane):
        for pause_s in (lanes.RELOAD_S, 2 * lanes.RELOAD_S, 4 * lanes.RELOAD_S):
            warmed, before = trio.Event(), len(began)
            version.model.error = ValueError("not these")
            assert await status_of(lane, version) is Status.FAILED
            await trio.testing.wait_all_tasks_blocked()
            mock_clock.jump(0.9 * pause_s)
            await trio.testing.wait_all_tasks_blocked()
            assert len(began) == before
            mock_clock.jump(0.2 * pause_s)
            await warmed.wait()
            await trio.testing.wait_all_tasks_blocked()
            version = reloads[-1]
            assert lane.slots.of("adds").live is version


async def test_what_was_loaded_anew_for_nobody_is_let_go() -> None:
    lane, fresh = Lane(Device()), loaded(version="1")
    version = lane.slots.of("adds").live = loaded(version="1")
    version.model.error = ValueError("no")
    asked = trio.Event()

    async def reload(old: Loaded) -> Loaded:
        lane.slots.of("adds").live = loaded(version="2")
        asked.set()
        return fresh

    lane.reload = reload
    async with running(lane):
        assert await status_of(lane, version) is Status.FAILED
        await asked.wait()
        await trio.testing.wait_all_tasks_blocked()
        live = lane.slots.of("adds").live
        assert live is not None
        assert (live.version, fresh.is_retired) == ("2", True)


async def test_a_batch_that_never_comes_back_is_left_behind(mock_clock: MockClock) -> None:
    lane, fresh = Lane(Device(), clock=mock_clock.current_time), loaded()
    stuck = lane.slots.of("adds").live = loaded()
    stuck.model.may_end.clear()

    async def reload(old: Loaded) -> Loaded:
        return fresh

    lane.reload = reload
    async with running(lane):
        told: list[Outcome] = []
        lane.submit(stuck, numbers((1, 1)), told.append, work=AT_ONCE, deadline_s=LONG_S)
        await until_started(stuck.model)
        mock_clock.jump(lanes.HANG_S - lanes.WATCH_S)
        await trio.testing.wait_all_tasks_blocked()
        assert told == []
        mock_clock.jump(2 * lanes.WATCH_S)
        await trio.testing.wait_all_tasks_blocked()
        assert [each.status for each in told] == [Status.FAILED]
        assert (lane.hangs, lane.is_up) == (1, True)
        mock_clock.jump(2 * lanes.RELOAD_S)
        await trio.testing.wait_all_tasks_blocked()
        assert lane.slots.of("adds").live is fresh
        stuck.model.may_end.set()  # what it says now is not heard
        mock_clock.rate = 1.0
        assert await ask(lane, fresh, (1, 2)) == [3]
        assert len(told) == 1
        assert lane.waiting == [0] * len(WorkClass)


async def test_after_too_many_hangs_it_stays_down(mock_clock: MockClock) -> None:
    lane = Lane(Device(), clock=mock_clock.current_time)
    stuck: list[Adds] = []
    async with running(lane):
        for _ in range(lanes.HANGS_MAX):
            model = Adds()
            model.may_end.clear()
            stuck.append(model)
            lane.submit(loaded(model), numbers((1, 1)), lambda outcome: None, work=AT_ONCE,
                        deadline_s=LONG_S)
            await until_started(model)
            mock_clock.jump(lanes.HANG_S + lanes.WATCH_S)
            await trio.testing.wait_all_tasks_blocked()
        assert not lane.is_up
        assert await status_of(lane, loaded()) is Status.ABSENT
    for model in stuck:
        model.may_end.set()


async def test_when_the_device_is_lost_all_goes_on_elsewhere(autojump_clock: MockClock) -> None:
    lane, asked = Lane(Breaks()), list[str]()
    version = lane.slots.of("adds").live = loaded()
    version.model.error = RuntimeError("the card is gone")
    fresh, mended = loaded(), trio.Event()

    def other() -> Device:
        asked.append("cpu")
        return Device()

    async def reload(old: Loaded) -> Loaded:
        assert asked == ["cpu"]
        mended.set()
        return fresh

    lane.device_lost, lane.reload = other, reload
    async with running(lane):
        assert await status_of(lane, version) is Status.FAILED
        await mended.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert await ask(lane, fresh, (1, 2)) == [3]


async def test_a_version_is_swapped_between_two_batches_and_nothing_is_dropped() -> None:
    async with running(Lane(Device())) as lane:
        slot = lane.slots.of("adds")
        old = slot.live = loaded(version="1")
        old.model.may_end.clear()
        told: list[Outcome] = []

        def submit() -> None:
            lane.submit(slot.live, numbers((1, 1)), told.append, work=CHAT, deadline_s=LONG_S)

        submit()
        await until_started(old.model)
        submit()
        slot.live = loaded(version="2")
        lane.retire(old)
        submit()
        old.model.may_end.set()
        assert await ask(lane, slot.live, (1, 2)) == [3]
        while len(told) < 3:
            await trio.testing.wait_all_tasks_blocked()
        assert sorted(each.version for each in told) == ["adds@1", "adds@1", "adds@2"]
        assert all(each.is_done for each in told)


async def test_a_version_is_warmed_in_the_sizes_of_batches() -> None:
    async with running(Lane(Device())) as lane:
        version = loaded()
        took = await lane.warm(version)
        assert set(took) == set(lanes.WARM_ROWS)
        assert sum(version.model.batches) == 3 * sum(lanes.WARM_ROWS)


async def test_sizes_that_would_never_run_as_one_batch_are_not_warmed() -> None:
    added_s = [0.0]

    class Slow(Adds):
        def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
            added_s[0] += lanes.WARM_S_MAX / 4 * len(inputs["x"])
            return super().run(inputs)

    lane = Lane(Device(), clock=lambda: time.perf_counter() + added_s[0])
    async with running(lane):
        assert set(await lane.warm(loaded(Slow()))) == {1, 8}


async def test_between_some_outcomes_and_the_next_the_loop_has_its_turn() -> None:
    async with running(Lane(Device())) as lane:
        version, told, turns = loaded(), list[tuple[int, int]](), 0
        version.model.may_end.clear()
        count = 10 * lanes.SETTLED_ROWS_MAX
        for k in range(count):
            def done(outcome: Outcome, k: int = k) -> None:
                told.append((k, turns))

            lane.submit(version, numbers((k, 1)), done, work=CHAT, deadline_s=LONG_S)
        version.model.may_end.set()
        while len(told) < count:
            turns += 1
            await trio.lowlevel.checkpoint()
        assert [k for k, _ in told] == list(range(count))
        at_once = Counter(turn for _, turn in told)
        assert max(at_once.values()) <= 2 * lanes.SETTLED_ROWS_MAX  # of one batch, and of the next


def test_a_canary_answers_its_share_and_always_the_same_people() -> None:
    live, canary = loaded(version="1"), loaded(version="2")
    slot = Slot(live, canary, canary_share=0.25)
    people = [f"person {k}" for k in range(2000)]
    chosen = [who for who in people if slot.choose(who) is canary]
    assert 400 < len(chosen) < 600
    assert chosen == [who for who in people if slot.choose(who) is canary]
    assert slot.choose() is live
    canary.is_broken = True
    assert all(slot.choose(who) is live for who in people)
