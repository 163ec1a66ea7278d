"""Absolute deadlines on a mock clock, and the real timer against the real one."""

from __future__ import annotations

import sys

import pytest
import trio
from trio.testing import MockClock

from atrium_server import ticker
from atrium_server.ticker import Ticks, TimerfdSleeper, TrioSleeper, best_sleeper
from atrium_shared.limits import CATCH_UP_TICKS_MAX

PERIOD_S = 0.05


async def run(
    work: list[float], clock: MockClock
) -> list[tuple[float, int, float]]:
    """(deadline, skipped, began) of one tick per entry of `work`, the seconds that it takes."""
    start = trio.current_time()
    seen: list[tuple[float, int, float]] = []
    async for deadline, skipped in Ticks(PERIOD_S, TrioSleeper()):
        seen.append((deadline - start, skipped, trio.current_time() - start))
        if len(seen) == len(work):
            return seen
        clock.jump(work[len(seen) - 1])
    raise AssertionError("it ticks for ever")


async def test_deadlines_do_not_drift(autojump_clock: MockClock) -> None:
    """Work of any length below a period changes nothing."""
    seen = await run([0.0, 0.03, 0.049, 0.01] * 250, autojump_clock)
    for n, (deadline, skipped, began) in enumerate(seen, 1):
        assert deadline == pytest.approx(n * PERIOD_S, abs=1e-9)
        assert began == pytest.approx(deadline, abs=1e-6)
        assert skipped == 0


async def test_a_short_delay_is_caught_up_without_a_skip(autojump_clock: MockClock) -> None:
    seen = await run([0.0, 0.12, 0.0, 0.0, 0.0], autojump_clock)
    assert [skipped for _, skipped, _ in seen] == [0] * 5
    assert [round(deadline / PERIOD_S) for deadline, _, _ in seen] == [1, 2, 3, 4, 5]
    assert seen[2][2] == seen[3][2], "two ticks back to back"


@pytest.mark.parametrize("stall_s", [0.2, 1.0, 3_600.0])
async def test_after_a_stall_few_ticks_run_at_once_and_the_others_never(
    stall_s: float, autojump_clock: MockClock
) -> None:
    seen = await run([0.0, stall_s, 0.0, 0.0, 0.0, 0.0, 0.0], autojump_clock)
    stalled_until = seen[2][2]
    at_once = [entry for entry in seen if entry[2] == stalled_until]
    assert len(at_once) <= CATCH_UP_TICKS_MAX
    due = stalled_until / PERIOD_S - 2  # after the two that came before
    assert sum(skipped for _, skipped, _ in seen) == pytest.approx(due - len(at_once), abs=1)
    deadlines = [round(deadline / PERIOD_S) for deadline, _, _ in seen]
    assert deadlines == sorted(set(deadlines)), "no deadline is met twice"
    assert seen[-1][2] == pytest.approx(seen[-1][0], abs=1e-6), "and the pace is the old one"


async def test_a_tick_that_always_takes_too_long_lets_others_run(
    autojump_clock: MockClock,
) -> None:
    """The world loses time; it does not take the whole thread."""
    others = 0
    async with trio.open_nursery() as nursery:
        @nursery.start_soon
        async def other() -> None:
            nonlocal others
            while True:
                others += 1
                await trio.sleep(PERIOD_S)

        seen = await run([3 * PERIOD_S] * 50, autojump_clock)
        nursery.cancel_scope.cancel()
    assert others >= 20
    assert sum(skipped for _, skipped, _ in seen) > 50
    late = [began - deadline for deadline, _, began in seen]
    assert max(late) <= (CATCH_UP_TICKS_MAX + 1) * PERIOD_S, "lateness does not grow"


@pytest.mark.skipif(sys.platform != "linux", reason="timerfd is Linux")
async def test_the_timer_waits_until_its_deadline_and_not_past_the_next_one() -> None:
    sleeper = TimerfdSleeper()
    try:
        for ahead_s in (0.0, 0.003, 0.01, -1.0):
            deadline = trio.current_time() + ahead_s
            with trio.fail_after(20):
                await sleeper.until(deadline)
            assert trio.current_time() >= deadline - 1e-4
    finally:
        sleeper.close()


@pytest.mark.skipif(sys.platform != "linux", reason="timerfd is Linux")
async def test_a_timer_that_was_cancelled_can_be_used_again() -> None:
    sleeper = TimerfdSleeper()
    try:
        with trio.move_on_after(0.01) as scope:
            await sleeper.until(trio.current_time() + 3_600)
        assert scope.cancelled_caught
        with trio.fail_after(20):
            await sleeper.until(trio.current_time() + 0.01)
    finally:
        sleeper.close()


def test_the_best_sleeper_is_the_portable_one_where_there_is_no_timer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Missing(TimerfdSleeper):
        def __init__(self) -> None:
            raise OSError("none here")

    monkeypatch.setattr(ticker, "TimerfdSleeper", Missing)
    assert isinstance(best_sleeper(), TrioSleeper)
    monkeypatch.setattr(ticker.sys, "platform", "win32")
    assert isinstance(best_sleeper(), TrioSleeper)
