"""Other threads wait while a tick is under way, and never for long."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from atrium_server import tick_gate
from atrium_server.tick_gate import GatedSelector, TickGate


class Passing:
    """A thread that passes a gate once."""

    def __init__(self, gate: TickGate) -> None:
        self._passed = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(gate,))
        self._thread.start()

    def _run(self, gate: TickGate) -> None:
        gate.wait()
        self._passed.set()

    @property
    def has_passed(self) -> bool:
        return self._passed.is_set()

    def join(self) -> None:
        self._thread.join(10)
        assert self.has_passed


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody loses patience within a test."""
    monkeypatch.setattr(tick_gate, "WAIT_S_MAX", 60.0)


def test_nobody_passes_while_it_is_shut(patient: None) -> None:
    gate = TickGate()
    with gate.shut():
        one, two = Passing(gate), Passing(gate)
        one._passed.wait(0.05)
        assert not one.has_passed
        assert not two.has_passed
    one.join()
    two.join()


def test_it_opens_when_a_tick_fails(patient: None) -> None:
    gate = TickGate()
    with pytest.raises(ZeroDivisionError), gate.shut():
        raise ZeroDivisionError
    Passing(gate).join()


def test_the_next_tick_is_shut_too_for_who_waited_for_the_one_before(patient: None) -> None:
    gate = TickGate()
    with gate.shut():
        first = gate._tick
        one = Passing(gate)
        one._passed.wait(0.05)
    assert first is not None
    with gate.shut():  # at once: it may have been let go, and not have come to run yet
        second = gate._tick
        assert second is not None
        assert second is not first
        assert second.locked()
    one.join()


def test_who_is_let_go_looks_again(patient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = TickGate()
    passed = threading.Event()

    class Tick:
        """Is over when it is waited for, and the next one has begun by then."""

        def acquire(self, timeout: float) -> bool:
            gate._tick = third  # type: ignore[assignment]
            return True

        def release(self) -> None: ...

    class Last(Tick):
        def acquire(self, timeout: float) -> bool:
            gate._tick = None
            passed.set()
            return True

    third = Last()
    gate._tick = Tick()  # type: ignore[assignment]
    gate.wait()
    assert passed.is_set()


def test_where_ticks_take_all_the_time_others_get_their_share(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gate, now, waits = TickGate(), 100.0, 0

    class Endless:
        def acquire(self, timeout: float) -> bool:
            nonlocal now, waits
            waits += 1
            now += timeout
            return False

    monkeypatch.setattr(time, "perf_counter", lambda: now)
    gate._tick = Endless()  # type: ignore[assignment]
    turns = 0
    while now < 101.0:
        gate.wait()
        now += 0.001  # a turn
        turns += 1
    assert waits == pytest.approx(1.0 / (tick_gate.WAIT_S_MAX + tick_gate.FREE_S), abs=1)
    assert turns > 300


def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tick_gate, "WAIT_S_MAX", 0.01)
    gate = TickGate()
    with gate.shut():
        Passing(gate).join()


def test_just_before_a_tick_nobody_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    naps: list[float] = []
    now = 100.0
    monkeypatch.setattr(time, "perf_counter", lambda: now)
    monkeypatch.setattr(time, "sleep", naps.append)
    gate = TickGate()
    gate.expect("near", 0.001)
    gate.expect("nearer", 0.0005)
    gate.expect("far", 1.0)
    gate.wait()
    assert naps == [pytest.approx(0.001 + tick_gate._BEGUN_S)]
    gate.forget("near")
    gate.wait()
    assert naps[1:] == [pytest.approx(0.0005 + tick_gate._BEGUN_S)]
    now = 100.001  # the tick is late: it waits for the interpreter itself
    gate.wait()
    assert len(naps) == 2


def test_a_loop_with_its_selector_turns_only_between_ticks(
    patient: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = TickGate()
    monkeypatch.setattr(tick_gate, "GATE", gate)
    loop = asyncio.SelectorEventLoop(GatedSelector())
    turned = threading.Event()
    thread = threading.Thread(target=loop.run_forever)
    with gate.shut():
        thread.start()
        loop.call_soon_threadsafe(turned.set)
        assert not turned.wait(0.05)
    assert turned.wait(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()
