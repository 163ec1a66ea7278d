"""A bug in the tick of one world: loud, kept for the report, and nobody else's affair."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest
import trio
from harness import House, hello, open_house, write_world
from trio.testing import MockClock

from atrium_shared import limits
from atrium_shared import messages as m
from atrium_shared.errors import CloseCode, ErrorCode

Dumps = list[tuple[str, bytes]]


def breaks(host: Any, times: int = 1) -> None:
    """The next `times` worlds of this host fail in their next tick."""
    begin: Callable[[Any, Any], None] = type(host).begin

    def step(*_: object) -> None:
        nonlocal times
        times -= 1
        raise ZeroDivisionError("a bug in the tick")

    def begin_again(kept: object) -> None:
        begin(host, kept)
        if times:
            host.world.step = step

    host.world.step = step
    host.begin = begin_again


def collect_dumps(host: Any) -> Dumps:
    dumps: Dumps = []
    object.__setattr__(host.parts, "dump", lambda name, data: dumps.append((name, data)))
    return dumps


async def status_of(house: House, path: str) -> int:
    peer = house.peer()
    await peer.write(f"GET {path} HTTP/1.1\r\nHost: atrium.test\r\n\r\n".encode())
    status = await peer.answer()
    await peer.gone()
    return status


async def test_a_failed_world_begins_again_and_the_others_never_notice(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    worlds = [write_world(tmp_path, "hall"), write_world(tmp_path, "yard")]
    async with open_house(worlds=worlds) as house:
        hall = house.host("hall")
        dumps = collect_dumps(hall)
        witness = await house.witness(world="yard")
        ann = await house.joined("Ann", world="hall")
        joining = house.peer()
        await trio.sleep(2.0)
        tick = hall.world.tick
        breaks(hall)
        ended = await ann.ending()
        assert ended.code == CloseCode.INTERNAL
        assert ended.error is not None
        assert ended.error.code == ErrorCode.INTERNAL
        assert "join again" in ended.error.sentence
        (name, data), = dumps
        header, *records = msgpack.Unpacker(io.BytesIO(data))
        assert (name, header["manifest"]) == ("hall", worlds[0].read_text())
        assert len(records) >= tick
        assert any("world hall failed" in record.getMessage() for record in caplog.records)
        assert len(hall.seats) == 0
        await joining.join("Bob", world="hall")
        assert hall.state.restarts == 1
        await witness.still_served(2.0)
        assert await status_of(house, "/healthz") == 200


async def test_tokens_of_a_failed_world_are_void(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_house(worlds=[write_world(tmp_path, "hall")]) as house:
        collect_dumps(house.host())
        peer = house.peer()
        welcome = await peer.join()
        breaks(house.host())
        await peer.ending()
        again = house.peer()
        assert await again.upgrade() == 101
        await again.say(hello(resume_token=welcome.resume_token))
        assert (await again.ending()).code == CloseCode.RESUME_INVALID


async def test_a_world_that_fails_for_ever_stays_down(
    tmp_path: Path, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    worlds = [write_world(tmp_path, "hall"), write_world(tmp_path, "yard")]
    async with open_house(worlds=worlds) as house:
        hall = house.host("hall")
        dumps = collect_dumps(hall)
        witness = await house.witness(world="yard")
        assert await status_of(house, "/healthz") == 200
        breaks(hall, limits.WORLD_RESTARTS_MAX + 1)
        await trio.sleep(2.0)
        assert hall.state.failed
        assert len(dumps) == limits.WORLD_RESTARTS_MAX + 1
        assert any("stays down" in record.getMessage() for record in caplog.records)
        assert await status_of(house, "/healthz") == 200, "the other worlds live on"
        assert await status_of(house, "/readyz") == 200
        peer = house.peer()
        assert await peer.upgrade() == 101
        await peer.say(hello("Bob", world="hall"))
        ended = await peer.ending()
        assert ended.error is not None
        assert ended.error.code == ErrorCode.NOT_FOUND
        await witness.still_served(2.0)


async def test_a_world_that_fails_now_and_then_uses_up_its_restarts(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with open_house(worlds=[write_world(tmp_path, "hall")]) as house:
        host = house.host()
        collect_dumps(host)
        for restarts in range(1, limits.WORLD_RESTARTS_MAX + 1):
            peer = await house.joined()
            await peer.say(m.ChatSubmit(1, m.ChatChannel.WORLD, 0, "hi"))
            await trio.sleep(1.0)
            breaks(host)
            assert (await peer.ending()).code == CloseCode.INTERNAL
            await trio.sleep(0.5)
            assert (host.state.restarts, host.state.failed) == (restarts, False)
        breaks(host)
        await trio.sleep(0.5)
        assert host.state.failed
        assert await status_of(house, "/healthz") == 503, "no world is left"
        assert await status_of(house, "/readyz") == 503
