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


def test_a_tick_never_waits_for_who_passes(patient: None) -> None:
    gate = TickGate()
    assert gate._lock.acquire(timeout=1)  # somebody is passing in this very moment
    with gate.shut():
        pass
    gate._lock.release()
    with gate.shut():
        assert gate._lock.locked()


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
