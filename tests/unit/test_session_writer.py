"""The sweep over a world's people, on a mock clock and before a store that does as told."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from atrium_server.persistence.errors import Fenced, Unavailable
from atrium_server.persistence.memory_sessions import MemorySessions
from atrium_server.persistence.session_rows import SESSION_AGE_S_MAX, SessionRow, SessionState
from atrium_server.persistence.session_writer import (
    STEP_S,
    SWEEP_S,
    TOUCH_S,
    SessionNumbers,
    SessionWriter,
)
from atrium_server.persistence.store import Claim
from atrium_server.persistence.world_store import SLICE_ROWS_MAX
from atrium_server.persistence.world_writer import FLUSH_S_MAX
from atrium_server.telemetry import Registry
from atrium_shared.limits import SESSIONS_PER_WORLD_MAX

CLAIM = Claim(1, "hall", "The hall", 1, 0)
CLOCK_S = 1_000_000.0


class TestStore(MemorySessions):
    """Fails while `gone` says so, and notes what was written."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__()
        self.gone: Callable[[], bool] = lambda: False
        self.slow_s = 0.0
        self.saved: list[tuple[float, tuple[SessionRow, ...]]] = []
        self.tries = 0
        self.ended = 0

    async def save(self, claim: Claim, rows: Sequence[SessionRow], now_s: float) -> int:
        self.tries += 1
        await trio.sleep(self.slow_s)
        if self.gone():
            raise Unavailable("gone")
        assert len({row.id for row in rows}) == len(rows)
        self.saved.append((trio.current_time(), tuple(rows)))
        return await super().save(claim, rows, now_s)

    async def end_unseen(self, claim: Claim, since_s: float) -> int:
        if self.gone():
            raise Unavailable("gone")
        count = await super().end_unseen(claim, since_s)
        self.ended += count
        return count

    def times(self, number: int) -> list[float]:
        """When a session was written."""
        return [at for at, rows in self.saved for row in rows if row.number == number]

    def numbers(self) -> set[int]:
        return {row.number for row in self._rows.get(1, {}).values()}


class Crowd:
    """A world's people, and the writer of them."""

    def __init__(self, count: int) -> None:
        self.rows = {number: session(number) for number in range(count)}
        self.store = TestStore()
        self.registry = Registry()
        self.writer = SessionWriter(
            self, self.store, CLAIM, lambda: CLOCK_S + trio.current_time(),
            SessionNumbers.of(self.registry, "hall"),
        )

    def numbers(self) -> Sequence[int]:
        return [*self.rows]

    def row(self, number: int) -> SessionRow | None:
        return self.rows.get(number)

    def leave(self, number: int, tells: bool = True) -> None:
        row = self.rows.pop(number)
        if tells:
            self.writer.over(session(row.number, SessionState.OVER))

    async def run(self) -> None:
        await self.writer.run(random.Random(1))


def session(number: int, state: SessionState = SessionState.ACTIVE) -> SessionRow:
    return SessionRow(uuid.UUID(int=number), number, None, "A guest", state)


@asynccontextmanager
async def running(crowd: Crowd) -> AsyncGenerator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(crowd.run)
        yield
        crowd.writer.close()


async def test_everybody_is_written_often_enough_and_never_all_at_once(
    autojump_clock: MockClock,
) -> None:
    crowd = Crowd(SESSIONS_PER_WORLD_MAX)
    async with running(crowd):
        await trio.sleep(4 * SWEEP_S)
        assert max(len(rows) for _, rows in crowd.store.saved) <= SLICE_ROWS_MAX
        last: dict[int, float] = dict.fromkeys(crowd.rows, 0.0)
        for at, rows in crowd.store.saved:
            for row in rows:
                assert at - last[row.number] <= SESSION_AGE_S_MAX
                last[row.number] = at
        assert min(last.values()) >= 2 * SWEEP_S


async def test_what_was_touched_is_written_in_the_next_step(autojump_clock: MockClock) -> None:
    crowd = Crowd(1_000)
    async with running(crowd):
        await trio.sleep(SWEEP_S / 2)
        crowd.rows[5_000] = session(5_000)
        crowd.writer.touch(5_000)
        crowd.leave(3)
        await trio.sleep(1.5 * STEP_S)
        assert 5_000 in crowd.store.numbers()
        assert 3 not in crowd.store.numbers()


async def test_who_comes_is_written_sooner_than_the_next_tick(
    autojump_clock: MockClock,
) -> None:
    crowd = Crowd(0)
    async with running(crowd):
        await trio.sleep(SWEEP_S + 0.3 * STEP_S)
        for number in (1, 2):
            crowd.rows[number] = session(number)
            crowd.writer.touch(number)
        before = crowd.store.tries
        await trio.sleep(1.1 * TOUCH_S)
        assert crowd.store.numbers() == {1, 2}
        assert crowd.store.tries == before + 1


async def test_a_storm_of_newcomers_is_written_a_few_times_a_second(
    autojump_clock: MockClock,
) -> None:
    crowd = Crowd(0)
    async with running(crowd):
        await trio.sleep(SWEEP_S)
        before = crowd.store.tries
        for number in range(1_000):
            crowd.rows[number] = session(number)
            crowd.writer.touch(number)
            await trio.sleep(0.001)
        assert crowd.store.tries - before <= 1.0 / TOUCH_S + 1.0 / STEP_S
        await trio.sleep(STEP_S)
        assert len(crowd.store.numbers()) == 1_000


async def test_nothing_stays_that_nobody_told_of(autojump_clock: MockClock) -> None:
    crowd = Crowd(100)
    async with running(crowd):
        await trio.sleep(1.5 * SWEEP_S)
        assert crowd.store.numbers() == set(range(100))
        crowd.leave(7, tells=False)
        await trio.sleep(3 * SWEEP_S)
        assert crowd.store.numbers() == {*crowd.rows}


async def test_an_outage_loses_neither_ends_nor_beginnings(autojump_clock: MockClock) -> None:
    crowd = Crowd(10)
    async with running(crowd):
        await trio.sleep(SWEEP_S)
        is_gone = True
        crowd.store.gone = lambda: is_gone
        tries = crowd.store.tries
        crowd.leave(3)
        crowd.rows[50] = session(50)
        crowd.writer.touch(50)
        await trio.sleep(30.0)
        assert 60 < crowd.store.tries - tries < 200, "with patience"
        is_gone = False
        await trio.sleep(1.0)
        assert {3, 50} & crowd.store.numbers() == {50}
        await trio.sleep(3 * SWEEP_S)
        assert crowd.store.numbers() == {*crowd.rows}
    assert 'atrium_session_retries_total{world="hall"}' in crowd.registry.render()


async def test_who_ends_while_being_written_is_over(autojump_clock: MockClock) -> None:
    crowd = Crowd(1)
    crowd.store.slow_s = 1.0
    async with running(crowd):
        crowd.writer.touch(0)
        await trio.sleep(STEP_S + 0.5)
        crowd.leave(0)
        await trio.sleep(5.0)
        assert crowd.store.numbers() == set()


async def test_a_clock_that_steps_back_ends_nobody(autojump_clock: MockClock) -> None:
    crowd = Crowd(20)
    steps = iter([0.0, 0.0, -3_600.0])
    step = 0.0

    def clock() -> float:
        nonlocal step
        step = next(steps, step)
        return CLOCK_S + step + trio.current_time()

    crowd.writer = SessionWriter(crowd, crowd.store, CLAIM, clock, SessionNumbers())
    async with running(crowd):
        await trio.sleep(4 * SWEEP_S)
        assert crowd.store.numbers() == {*crowd.rows}
    assert crowd.store.ended == 0


async def test_who_has_just_travelled_is_not_over(autojump_clock: MockClock) -> None:
    """The next world has to write the session before the old one may say that it is over."""
    crowd = Crowd(100)
    async with running(crowd):
        await trio.sleep(1.5 * SWEEP_S)
        crowd.leave(99, tells=False)  # its turn in this sweep has not come
        await trio.sleep(SWEEP_S)
        assert 99 in crowd.store.numbers()
        await trio.sleep(SWEEP_S)
        assert 99 not in crowd.store.numbers()


async def test_a_lost_world_ends_the_writer(autojump_clock: MockClock) -> None:
    crowd = Crowd(10)
    await crowd.store.load(Claim(1, "hall", "The hall", 2, 0), CLOCK_S)
    with pytest.raises(Fenced, match="another owner"):
        await crowd.run()


@pytest.mark.parametrize("cancels", [False, True])
async def test_the_end_writes_everybody_once_more(
    autojump_clock: MockClock, cancels: bool
) -> None:
    crowd = Crowd(1_000)
    with trio.move_on_after(1.0 if cancels else 1_000.0):
        async with running(crowd):
            await trio.sleep(0.5)
            crowd.leave(7)
            if cancels:
                await trio.sleep(100.0)
    assert crowd.store.numbers() == {*crowd.rows}
    assert all(crowd.store.times(number)[-1] >= 0.5 for number in crowd.rows)


async def test_the_end_does_not_wait_for_ever(autojump_clock: MockClock) -> None:
    crowd = Crowd(10)
    crowd.store.gone = lambda: True
    async with running(crowd):
        await trio.sleep(1.0)
    assert trio.current_time() <= 1.0 + FLUSH_S_MAX + 0.01
