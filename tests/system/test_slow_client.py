"""A slow client, or one that stops reading, costs the others nothing and comes back at once."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from harness import House, open_house, write_world
from trio.testing import MockClock
from walkers import Ledger, Walker, crowd_of

from atrium_server.net.memory_io import Conditions
from atrium_shared import limits
from atrium_shared import messages as m

LINK_BYTES_PER_S = 8_000.0
"""64 kbit/s."""
CROWD = 10


def narrow() -> Conditions:
    return Conditions(delay_s=0.03, bytes_per_s=LINK_BYTES_PER_S)


async def slow_client(house: House, ledger: Ledger, declared: bool) -> Walker:
    """A walker on a narrow link, who may have said so."""
    bytes_per_s = int(LINK_BYTES_PER_S) if declared else limits.BYTES_PER_S_DEFAULT
    walker = Walker(house, "slow", ledger)
    await walker.join(
        m.Capabilities(64, bytes_per_s, 3), up=Conditions(delay_s=0.03), down=narrow()
    )
    walker.start()
    return walker


def under_way(walker: Walker) -> int:
    """Bytes that were sent and not read."""
    return int(walker.pipe._bytes)


@pytest.mark.parametrize("declared", [True, False])
async def test_a_narrow_link_converges_and_nobody_else_notices(
    declared: bool, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_house(worlds=[write_world(tmp_path, "hall")]) as house:
        ledger = Ledger(house)
        others = await crowd_of(house, ledger, CROWD)
        slow = await slow_client(house, ledger, declared)
        await trio.sleep(6.0)
        before = [walker.snapshots for walker in others]
        passed, ticks, peak = slow.pipe.bytes_passed, ledger.tick, 0
        for _ in range(100):
            await trio.sleep(0.05)
            peak = max(peak, under_way(slow))
            assert ledger.tick - slow.newest_tick <= 10, "never half a second behind"
        allowed = limits.CREDIT_S if declared else 0.4
        assert peak <= max(max(slow.sizes) + 64, allowed * LINK_BYTES_PER_S)
        assert slow.pipe.bytes_passed - passed >= 0.5 * 5.0 * LINK_BYTES_PER_S, "it is used"
        assert set(slow.entity.values()) == {w.welcome.entity_id for w in others}
        for walker, count in zip(others, before, strict=True):
            assert walker.snapshots - count >= ledger.tick - ticks - 1


@pytest.mark.parametrize("declared", [True, False])
async def test_who_stops_reading_gets_little_and_is_current_soon_after(
    declared: bool, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_house(worlds=[write_world(tmp_path, "hall")]) as house:
        ledger = Ledger(house)
        others = await crowd_of(house, ledger, CROWD)
        slow = await slow_client(house, ledger, declared)
        await trio.sleep(6.0)
        for seconds in (1.0, 5.0):
            slow.pipe.stall(True)
            before, ticks = [walker.snapshots for walker in others], ledger.tick
            await trio.sleep(1.0)
            held = under_way(slow)
            allowed = limits.CREDIT_S if declared else 0.6
            assert held <= max(max(slow.sizes) + 64, allowed * LINK_BYTES_PER_S)
            await trio.sleep(seconds)
            assert under_way(slow) <= held + 64, "but for the answer to a ping"
            for walker, count in zip(others, before, strict=True):
                assert walker.snapshots - count >= ledger.tick - ticks - 1
            assert ledger.tick - slow.newest_tick >= 20 * seconds
            slow.pipe.stall(False)
            await trio.sleep(0.5)
            for _ in range(20):
                assert ledger.tick - slow.newest_tick <= 10
                await trio.sleep(0.05)
            await trio.sleep(2.0)
            oldest = min(int(slow.view.tick[index]) for index in slow.entity)
            assert ledger.tick - oldest <= 30, "and all that it shows is, too"


async def test_a_fast_link_round_half_the_world_gets_every_tick(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_house(worlds=[write_world(tmp_path, "hall")]) as house:
        ledger = Ledger(house)
        await crowd_of(house, ledger, CROWD)
        far = Walker(house, "far", ledger)
        await far.join(up=Conditions(delay_s=0.15), down=Conditions(delay_s=0.15))
        far.start()
        await trio.sleep(5.0)
        before = far.snapshots
        await trio.sleep(10.0)
        assert far.snapshots - before >= 190


async def test_one_who_acknowledges_nothing_gets_one_snapshot_at_a_time(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_house(worlds=[write_world(tmp_path, "hall")]) as house:
        ledger = Ledger(house)
        await crowd_of(house, ledger, CROWD)
        mute = Walker(house, "mute", ledger)
        await mute.join()
        mute.peer.acks = False
        house.nursery.start_soon(mute.listen)
        await trio.sleep(5.0)
        assert 1 <= mute.snapshots <= 10
        assert sum(mute.sizes) <= limits.CREDIT_S * 8_000 + max(mute.sizes)
