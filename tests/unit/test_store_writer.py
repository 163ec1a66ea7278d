"""The writer's pace, patience and end, on a mock clock and before a store that does as told."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from atrium_server.persistence import world_writer
from atrium_server.persistence.errors import Fenced, Refused, Unavailable
from atrium_server.persistence.journal import Answer, Journal, Outcome, StoreState
from atrium_server.persistence.memory import MemoryStore
from atrium_server.persistence.store import LEASE_S, Batch, Claim, EditKey, EditRow, EntityRow
from atrium_server.persistence.world_writer import PERIOD_S, WorldWriter, WriterNumbers
from atrium_server.telemetry import Registry

SESSION = uuid.UUID(int=1)


class LongestPauses(random.Random):
    """Draws the upper end of every range."""

    def uniform(self, a: float, b: float) -> float:
        return b


class TestStore(MemoryStore):
    """Fails while `gone` says so, and notes when it was asked."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__()
        self.gone: Callable[[], bool] = lambda: False
        self.slow_s = 0.0
        self.asked: list[float] = []
        self.renewed: list[float] = []

    async def commit(self, claim: Claim, batch: Batch) -> frozenset[EditKey]:
        self.asked.append(trio.current_time())
        await trio.sleep(self.slow_s)
        if self.gone():
            raise Unavailable("gone")
        return await super().commit(claim, batch)

    async def renew(self, claim: Claim) -> None:
        self.renewed.append(trio.current_time())
        if self.gone():
            raise Unavailable("gone")
        await super().renew(claim)


class House:
    """A claimed world with its journal and writer."""

    def __init__(self, store: TestStore, claim: Claim) -> None:
        self.store = store
        self.claim = claim
        self.answers: list[Answer] = []
        self.journal = Journal(claim.version, trio.current_time())
        self.registry = Registry()
        self.writer = WorldWriter(
            self.journal, store, claim, self.answers.extend,
            WriterNumbers.of(self.registry, claim.slug),
        )

    def edit(self, number: int) -> None:
        row = EntityRow(
            uuid.UUID(int=number), "box", (0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)
        )
        assert self.journal.edit(EditRow(SESSION, number, "create", entity_id=row.id), [row])

    async def run(self) -> None:
        await self.writer.run(LongestPauses())

    def told(self) -> list[tuple[int, Outcome]]:
        return [(answer.request_id, answer.outcome) for answer in self.answers]


async def house(store: TestStore | None = None) -> House:
    store = store or TestStore()
    await store.create("hall", "The hall")
    return House(store, await store.claim("hall", "here"))


@asynccontextmanager
async def running(home: House) -> AsyncGenerator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(home.run)
        yield
        home.writer.close()


async def test_what_is_marked_is_written_once_in_each_period(autojump_clock: MockClock) -> None:
    home = await house()
    async with running(home):
        for number in range(4):
            home.edit(number)
            await trio.sleep(PERIOD_S / 2)
    assert len(home.store.asked) == 2
    assert home.store.asked[1] - home.store.asked[0] == pytest.approx(PERIOD_S)
    assert home.told() == [(number, Outcome.DURABLE) for number in range(4)]


async def test_what_a_tick_has_marked_is_written_right_after_it(autojump_clock: MockClock) -> None:
    home = await house()
    # Of 20 Hz, longer and shorter ones, and some in which nothing was marked.
    due = [0.05, 0.107, 0.15, 0.3, 0.351, 0.5]
    async with running(home):
        began = trio.current_time()
        for number, seconds in enumerate(due):
            await trio.sleep_until(began + seconds)
            home.edit(number)
            home.writer.hurry()
        await trio.sleep(PERIOD_S / 2)
    assert [at - began for at in home.store.asked] == pytest.approx(due)
    assert home.told() == [(number, Outcome.DURABLE) for number in range(6)]


async def test_hurried_commits_keep_a_distance(autojump_clock: MockClock) -> None:
    home = await house()
    async with running(home):
        for number in range(20):
            home.edit(number)
            home.writer.hurry()
            await trio.sleep(0.01)
    pauses = [b - a for a, b in zip(home.store.asked, home.store.asked[1:], strict=False)]
    assert min(pauses[:-1]) >= world_writer.GAP_S - 1e-9  # the last one is the end's
    assert home.told() == [(number, Outcome.DURABLE) for number in range(20)]


async def test_what_came_during_a_slow_commit_is_written_next(autojump_clock: MockClock) -> None:
    home = await house()
    home.store.slow_s = 0.2
    async with running(home):
        home.edit(1)
        home.writer.hurry()
        await trio.sleep(0.1)
        home.edit(2)
        home.writer.hurry()
        await trio.sleep(0.5)
    first, second = home.store.asked
    assert second - first == pytest.approx(0.2)


async def test_what_no_tick_has_told_of_is_found(autojump_clock: MockClock) -> None:
    home = await house()
    async with running(home):
        home.writer.hurry()
        await trio.sleep(1.0)
        home.edit(1)
        await trio.sleep(2.1 * PERIOD_S)
        assert home.told() == [(1, Outcome.DURABLE)]


async def test_what_is_written_is_counted(autojump_clock: MockClock) -> None:
    home = await house()
    async with running(home):
        for number in range(3):
            home.edit(number)
        await trio.sleep(1.0)
        home.journal.remove(uuid.UUID(int=1))
        await trio.sleep(1.0)
    page = home.registry.render()
    assert 'atrium_store_rows_total{world="hall"} 4' in page
    assert 'atrium_store_edits_total{world="hall"} 3' in page


async def test_patience_doubles_up_to_half_a_second(autojump_clock: MockClock) -> None:
    home = await house()
    home.store.gone = lambda: len(home.store.asked) < 8
    async with running(home):
        home.edit(1)
        await trio.sleep(4.0)
        assert home.told() == [(1, Outcome.DURABLE)]
    pauses = [
        round(b - a, 3) for a, b in zip(home.store.asked, home.store.asked[1:], strict=False)
    ]
    assert pauses == [0.05, 0.1, 0.2, 0.4, 0.5, 0.5, 0.5]
    assert 'atrium_store_retries_total{world="hall"} 7' in home.registry.render()


async def test_an_outage_goes_through_all_states_and_back(autojump_clock: MockClock) -> None:
    home = await house()
    is_gone = True
    home.store.gone = lambda: is_gone
    async with running(home):
        home.edit(1)
        await trio.sleep(0.9)
        assert home.journal.state is StoreState.RW
        await trio.sleep(1.0)
        assert home.journal.state is StoreState.DEGRADED
        home.edit(2)
        await trio.sleep(4.0)
        assert home.journal.state is StoreState.READ_ONLY
        assert 'state="read_only",world="hall"} 1' in home.registry.render()
        assert not home.answers
        is_gone = False
        await trio.sleep(0.6)
        assert home.journal.state is StoreState.RW
        assert home.told() == [(1, Outcome.DURABLE), (2, Outcome.DURABLE)]


async def test_a_quiet_world_keeps_its_lease(autojump_clock: MockClock) -> None:
    home = await house()
    async with running(home):
        await trio.sleep(3 * LEASE_S)
        with pytest.raises(Refused, match="'here'"):
            await home.store.claim("hall", "there")
    assert len(home.store.renewed) == pytest.approx(9, abs=1)
    await home.store.claim("hall", "there")  # it was released


async def test_an_outage_is_noticed_in_a_quiet_world_too(autojump_clock: MockClock) -> None:
    home = await house()
    home.store.gone = lambda: True
    async with running(home):
        await trio.sleep(world_writer.RENEW_S + 6.0)
        assert home.journal.state is StoreState.READ_ONLY
        home.store.gone = lambda: False
        await trio.sleep(0.6)
        assert home.journal.state is StoreState.RW


async def test_a_fenced_writer_reverts_what_waits_and_ends(autojump_clock: MockClock) -> None:
    home = await house()
    await home.store.claim("hall", "here")  # the same server, started anew
    home.edit(1)
    with pytest.raises(Fenced, match="another owner"):
        await home.run()
    assert home.told() == [(1, Outcome.REVERTED)]
    assert await home.store.load(await home.store.claim("hall", "here")) == []


async def test_a_commit_under_way_is_not_cut_off(autojump_clock: MockClock) -> None:
    home = await house()
    home.store.slow_s = 2.0
    home.edit(1)
    with trio.move_on_after(1.0):
        await home.run()
    assert home.told() == [(1, Outcome.DURABLE)]
    assert trio.current_time() == pytest.approx(home.store.asked[0] + 2.0)
    assert home.writer.unwritten == 0


async def test_the_end_flushes_what_waits(autojump_clock: MockClock) -> None:
    home = await house()
    async with running(home):
        await trio.sleep(1.01)
        home.edit(1)
    assert home.told() == [(1, Outcome.DURABLE)]


@pytest.mark.parametrize("hangs", [False, True])
async def test_the_end_does_not_wait_for_ever(autojump_clock: MockClock, hangs: bool) -> None:
    home = await house()
    home.store.gone = lambda: True
    if hangs:
        home.store.slow_s = 1_000.0
    home.edit(1)
    with trio.move_on_after(1.0):
        await home.run()
    most_s = 1.0 + world_writer.FLUSH_S_MAX + world_writer.RELEASE_S_MAX
    assert trio.current_time() <= home.store.asked[0] + most_s
    assert home.told() == [], "nobody is told what nobody knows"
    assert home.writer.unwritten == 2


async def test_a_bug_is_raised_as_it_is(autojump_clock: MockClock) -> None:
    home = await house()

    def broken() -> bool:
        raise ZeroDivisionError

    home.store.gone = broken
    home.edit(1)
    with pytest.raises(ZeroDivisionError):
        await home.run()


async def test_what_the_store_refuses_is_reverted_and_the_rest_written(
    autojump_clock: MockClock,
) -> None:
    class Picky(TestStore):
        async def commit(self, claim: Claim, batch: Batch) -> frozenset[EditKey]:
            if any(row.id.int == 3 for row in batch.rows):
                raise Refused("no threes")
            return await super().commit(claim, batch)

    home = await house(Picky())
    async with running(home):
        for number in range(6):
            home.edit(number)
        await trio.sleep(1.0)
    told = dict(home.told())
    assert [number for number in told if told[number] is Outcome.REVERTED] == [3]
    assert len(told) == 6
    assert len(await home.store.load(home.claim)) == 5
