"""Over whole links: what every client shows is what the world was in the tick that it names."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import trio
from harness import open_house, write_world
from trio.testing import MockClock
from walkers import Ledger, Walker, crowd_of

from atrium_server.net.memory_io import Conditions
from atrium_shared import messages as m


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_views_agree_with_the_world_over_bad_links(
    seed: int, tmp_path: Path, autojump_clock: MockClock
) -> None:
    """Delays, jitter, narrow and stalling links, cuts with a resume, leaves and new joins."""
    chance = random.Random(seed)
    world = write_world(tmp_path, "hall", capacity=24)
    async with open_house(worlds=[world], seed=seed) as house:
        ledger = Ledger(house)
        walkers = await crowd_of(house, ledger, 5)
        troubled = [Walker(house, f"troubled {n}", ledger) for n in range(4)]
        for walker in troubled:
            await walker.join(
                m.Capabilities(64, chance.choice([4_000, 20_000, 1_000_000]), 3),
                up=Conditions(chance.random() * 0.2, 0.05, random=random.Random(seed)),
                down=Conditions(
                    chance.random() * 0.2, 0.05, chance.choice([0.0, 8_000.0, 30_000.0]),
                    chance.choice([1_500, 65_536]), random.Random(seed),
                ),
            )
            walker.start()
        for _ in range(12):
            await trio.sleep(chance.random())
            walker = chance.choice(troubled)
            match chance.randrange(3):
                case 0:
                    walker.pipe.stall(True)
                    await trio.sleep(chance.random() * 2)
                    walker.pipe.stall(False)
                case 1:
                    walker.peer.stream.cut()
                    await trio.sleep(chance.random() * 2)
                    welcome = await walker.join(resume=True)
                    assert welcome.resumed
                    walker.start()
                case _:
                    await walkers[0].peer.say(m.Bye())
                    await trio.sleep(0.2)
                    walkers[0] = Walker(house, "again", ledger)
                    await walkers[0].join()
                    walkers[0].start()
        await trio.sleep(4.0)
        everybody = [*walkers, *troubled]
        ids = {walker.welcome.entity_id for walker in everybody}
        for walker in everybody:
            assert walker.ended is None
            assert walker.compared > 100
            assert set(walker.entity.values()) == ids - {walker.welcome.entity_id}
            assert ledger.tick - walker.newest_tick <= 15
        await check_present(ledger, walkers[1:])


async def check_present(ledger: Ledger, walkers: list[Walker]) -> None:
    """On good links nothing that moves is older than a few ticks."""
    await trio.sleep(0.0)
    for walker in walkers:
        behind = [walker.newest_tick - int(walker.view.tick[index]) for index in walker.entity]
        assert max(behind) <= 8, "of the coarsest level, with one turn missed"
        assert ledger.tick - walker.newest_tick <= 1


async def test_a_resume_is_a_new_epoch(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_house(worlds=[write_world(tmp_path, "hall")]) as house:
        ledger = Ledger(house)
        await crowd_of(house, ledger, 3)
        walker = Walker(house, "back", ledger)
        first = await walker.join()
        walker.start()
        await trio.sleep(1.0)
        walker.peer.stream.cut()
        await trio.sleep(1.0)
        flags = next(iter(ledger.truth.values()))
        assert flags is not None
        row = ledger.truth[ledger.tick].rows[first.entity_id]
        assert row[4] & 16, "the others see that the link is lost"
        second = await walker.join(resume=True)
        assert (second.entity_id, second.session_id) == (first.entity_id, first.session_id)
        assert second.resume_token != first.resume_token
        walker.start()
        await trio.sleep(1.0)
        assert len(walker.entity) == 3
        assert not ledger.truth[ledger.tick].rows[first.entity_id][4] & 16


async def test_everybody_far_away_is_not_shown(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    world = write_world(tmp_path, "hall", extent_m=100.0)
    text = world.read_text() + "[interest]\nradius_m = 5.0\nhysteresis_m = 1.0\ncap = 8\n"
    world.write_text(text + "[movement]\nteleport_range_m_max = 200.0\n")
    async with open_house(worlds=[world]) as house:
        ledger = Ledger(house)
        walkers = await crowd_of(house, ledger, 2)
        await trio.sleep(0.5)
        assert len(walkers[0].entity) == 1
        jump = m.Teleport(1, m.TeleportTarget.POINT, 0, 80.0, 0.0, 80.0, 0.0)
        house.nursery.cancel_scope.shield = False
        await walkers[1].peer.say(jump)
        await trio.sleep(0.2)
        assert walkers[0].entity == walkers[1].entity == {}
