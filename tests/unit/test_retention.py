"""When old records are forgotten, and what happens when that fails. On a mock clock."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from atrium_server.persistence import retention
from atrium_server.persistence.errors import Behind, Refused, Unavailable
from atrium_server.persistence.retention import (
    BUSY_S,
    DAY_S,
    RETRY_S,
    Chore,
    Retention,
    RetentionNumbers,
    Run,
    Schedule,
    always,
)
from atrium_server.telemetry import Registry

NOW_S = 1_790_000_000.0


def test_it_is_due_at_once_and_then_every_day() -> None:
    schedule = Schedule(5.0)
    assert schedule.due == 5.0
    schedule.ran(Run({}), 6.0)
    assert schedule.due == 6.0 + DAY_S


def test_failures_are_tried_again_with_patience() -> None:
    schedule = Schedule(0.0)
    waits: list[float] = []
    for _ in range(14):
        schedule.ran(Run({}, ("chat",)), 0.0)
        waits.append(schedule.due)
    assert waits[:3] == [RETRY_S, 2 * RETRY_S, 4 * RETRY_S]
    assert waits[-1] == DAY_S
    schedule.ran(Run({}), 0.0)
    schedule.ran(Run({}, ("chat",)), 0.0)
    assert schedule.due == RETRY_S, "a good run begins anew"


def test_who_was_not_first_looks_again_soon() -> None:
    schedule = Schedule(0.0)
    schedule.ran(Run({}, is_busy=True), 10.0)
    assert schedule.due == 10.0 + BUSY_S


class Attic:
    """Old things, and who forgets them."""

    def __init__(
        self, turn: Callable[[], AbstractAsyncContextManager[bool]] = always
    ) -> None:
        self.left = {"chat": 0, "sessions": 0}
        self.errors: dict[str, Exception] = {}
        self.calls: list[float] = []
        self.registry = Registry()
        self.retention = Retention(
            [Chore(name, self.slice_of(name)) for name in self.left], turn, lambda: NOW_S,
            RetentionNumbers.of(self.registry),
        )

    def slice_of(self, name: str) -> Callable[[], object]:
        async def remove() -> int:
            await trio.lowlevel.checkpoint()
            self.calls.append(trio.current_time())
            if name in self.errors:
                raise self.errors[name]
            count = min(self.left[name], 1_000)
            self.left[name] -= count
            return count

        return remove


async def test_all_of_it_is_removed_in_slices_and_told_in_one_line(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    attic = Attic()
    attic.left.update(chat=2_500, sessions=1)
    with caplog.at_level(logging.INFO, retention.__name__):
        run = await attic.retention.attempt()
    assert run == Run({"chat": 2_500, "sessions": 1})
    assert attic.left == {"chat": 0, "sessions": 0}
    assert len(attic.calls) == 6
    assert caplog.messages == ["old records were removed: chat 2500, sessions 1"]
    text = attic.registry.render()
    assert 'atrium_retention_forgotten_total{chore="chat"} 2500' in text
    assert f"atrium_retention_done_seconds {NOW_S:.0f}" in text


@pytest.mark.parametrize("error", [Unavailable("gone"), Refused("no"), Behind("old")])
async def test_a_chore_that_fails_holds_up_no_other(
    error: Exception, autojump_clock: MockClock
) -> None:
    attic = Attic()
    attic.left.update(chat=10, sessions=10)
    attic.errors["chat"] = error
    assert await attic.retention.attempt() == Run({"chat": 0, "sessions": 10}, ("chat",))
    text = attic.registry.render()
    assert 'atrium_retention_failures_total{chore="chat"} 1' in text
    assert "atrium_retention_done_seconds 0" in text


async def test_it_goes_on_for_days(autojump_clock: MockClock) -> None:
    attic = Attic()
    attic.left.update(chat=10)
    with trio.move_on_after(3.5 * DAY_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(attic.retention.run)
            await trio.sleep(DAY_S / 2)
            assert attic.left["chat"] == 0
            attic.errors["chat"] = Unavailable("gone")
            attic.left.update(chat=10)
            await trio.sleep(DAY_S / 2 + 200.0)
            assert attic.left["chat"] == 10
            del attic.errors["chat"]
            await trio.sleep(10 * RETRY_S)
            assert attic.left["chat"] == 0
            await trio.sleep_forever()


async def test_a_bug_is_raised_as_it_is(autojump_clock: MockClock) -> None:
    attic = Attic()
    attic.errors["chat"] = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        await attic.retention.attempt()


async def test_a_database_that_is_gone_is_waited_for(autojump_clock: MockClock) -> None:
    @asynccontextmanager
    async def gone() -> AsyncGenerator[bool]:
        await trio.lowlevel.checkpoint()
        raise Unavailable("gone")
        yield True

    attic = Attic(gone)
    assert (await attic.retention.attempt()).failed == ("turn",)
    assert attic.calls == []


async def test_who_is_not_first_does_nothing(autojump_clock: MockClock) -> None:
    @asynccontextmanager
    async def others() -> AsyncGenerator[bool]:
        await trio.lowlevel.checkpoint()
        yield False

    attic = Attic(others)
    assert (await attic.retention.attempt()).is_busy
    assert attic.calls == []
