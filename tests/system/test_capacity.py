"""A world holds exactly as many as it says, however many come at once."""

from __future__ import annotations

from pathlib import Path

import trio
from harness import Ended, House, Peer, hello, open_house, write_world
from trio.testing import MockClock

from atrium_server.seats import SeatState
from atrium_shared import limits
from atrium_shared import messages as m
from atrium_shared.errors import CloseCode, ErrorCode


async def race(house: House, count: int) -> tuple[list[Peer], list[Ended]]:
    """Who got in and how it ended for the others, when `count` clients come at the same time."""
    inside: list[Peer] = []
    refused: list[Ended] = []

    async def come(number: int) -> None:
        peer = house.peer(address=f"10.0.{number}.1")
        try:
            await peer.join(f"racer {number}")
            inside.append(peer)
        except Ended as ended:
            refused.append(ended)

    async with trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(come, number)
    return inside, refused


async def test_fifty_race_for_ten_seats(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_house(worlds=[write_world(tmp_path, "hall", capacity=10)]) as house:
        inside, refused = await race(house, 50)
        assert len(inside) == 10
        assert len(refused) == 40
        for ended in refused:
            assert ended.code == CloseCode.FULL
            assert ended.error is not None
            assert ended.error.code == ErrorCode.FULL
            assert ended.error.retry_ms > 0
        host = house.host()
        assert len(host.seats) == host.seats.count(SeatState.ACTIVE) == 10
        await trio.sleep(1.0)
        assert int(host.world.tables.alive.sum()) == 10


async def test_seats_change_hands_at_full_capacity(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """In a full world people leave and others come in the same moment, over and over."""
    async with open_house(worlds=[write_world(tmp_path, "hall", capacity=4)]) as house:
        inside, _ = await race(house, 4)
        for _ in range(10):
            for peer in inside:
                await peer.say(m.Bye())
            inside, refused = await race(house, 6)
            assert len(inside) == 4
            assert len(refused) == 2
        assert house.host().state.restarts == 0


async def test_a_lost_link_keeps_its_seat_for_a_while(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_house(worlds=[write_world(tmp_path, "hall", capacity=1)]) as house:
        ann = house.peer()
        welcome = await ann.join()
        ann.stream.cut()  # type: ignore[attr-defined] -- a memory stream
        await trio.sleep(1.0)
        _, refused = await race(house, 2)
        assert len(refused) == 2, "the seat is hers"
        assert house.host().seats.count(SeatState.RESUMABLE) == 1
        back = await house.peer().join(resume_token=welcome.resume_token)
        assert (back.resumed, back.entity_id) == (True, welcome.entity_id)


async def test_a_seat_that_nobody_comes_back_to_is_given_up(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_house(worlds=[write_world(tmp_path, "hall", capacity=1)]) as house:
        ann = house.peer()
        welcome = await ann.join()
        ann.stream.cut()  # type: ignore[attr-defined] -- a memory stream
        await trio.sleep(welcome.resume_s + 2)
        assert len(house.host().seats) == 0
        inside, _ = await race(house, 1)
        assert len(inside) == 1
        late = house.peer()
        assert await late.upgrade() == 101
        await late.say(hello(resume_token=welcome.resume_token))
        assert (await late.ending()).code == CloseCode.RESUME_INVALID


async def test_a_token_is_good_once(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with open_house(worlds=[write_world(tmp_path, "hall", capacity=1)]) as house:
        ann = house.peer()
        welcome = await ann.join()
        second = house.peer()
        again = await second.join(resume_token=welcome.resume_token)
        assert (await ann.ending()).code == CloseCode.REPLACED
        # Until an ack shows that the welcome with the next one has arrived, it might be needed.
        for _ in range(3):
            await second.expect(m.Snapshot)
        third = house.peer()
        assert await third.upgrade() == 101
        await third.say(hello(resume_token=welcome.resume_token))
        assert (await third.ending()).code == CloseCode.RESUME_INVALID
        assert again.resume_token != welcome.resume_token
        assert len(house.host().seats) == 1
        await second.expect(m.Snapshot)


async def test_who_never_finishes_joining_takes_no_seat(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_house(worlds=[write_world(tmp_path, "hall", capacity=2)]) as house:
        for _ in range(5):
            await house.peer().upgrade()
        inside, refused = await race(house, 2)
        assert (len(inside), refused) == (2, [])
        await trio.sleep(limits.JOIN_S_MAX + 2)
        assert house.host().seats.count(SeatState.ACTIVE) == len(house.host().seats)


async def test_a_full_world_is_not_travelled_to(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    worlds = [write_world(tmp_path, "hall"), write_world(tmp_path, "closet", capacity=1)]
    async with open_house(worlds=worlds) as house:
        inside = await house.joined("Ann", world="closet")
        bob = await house.joined("Bob")
        await bob.say(m.Travel(9, "closet"))
        result = await bob.expect(m.Result)
        assert (result.request_id, result.code) == (9, ErrorCode.WORLD_FULL)
        await bob.expect(m.Snapshot)
        await inside.say(m.Bye())
        await trio.sleep(0.5)
        await bob.say(m.Travel(10, "closet"))
        assert (await bob.expect(m.Welcome)).world == "closet"
        assert [len(host.seats) for host in house.server.hosts] == [0, 1]
