"""The server's clock through delays, drift, jumps and the wrap of 32-bit milliseconds."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from atrium_client.clock import PINGS_OUTSTANDING_MAX, Extended, ServerClock


def exchange(
    clock: ServerClock, now_s: float, offset_s: float, up_s: float, down_s: float
) -> float:
    """One ping and its pong over ways of the given lengths; returns when it ended."""
    client_ms = clock.ping(now_s)
    server_ms = round((now_s + up_s + offset_s) * 1000) % 2**32
    assert clock.pong(client_ms, server_ms, now_s + up_s + down_s)
    return now_s + up_s + down_s


def test_equal_ways_give_the_exact_offset() -> None:
    clock = ServerClock()
    assert not clock.synced
    now_s = exchange(clock, 10.0, 500.0, 0.04, 0.04)
    assert clock.synced
    assert clock.rtt_s == pytest.approx(0.08)
    assert clock.now(now_s) == pytest.approx(now_s + 500.0, abs=1e-3)


def test_the_shortest_round_trip_wins() -> None:
    clock, draw, now_s = ServerClock(), random.Random(4), 0.0
    for _ in range(40):
        queue_s = draw.choice([0.0, 0.1, 0.4])
        now_s = exchange(clock, now_s + 1.0, 7.0, 0.02 + queue_s, 0.02)
    assert clock.now(now_s + 30) == pytest.approx(now_s + 30 + 7.0, abs=2e-3)


def test_drift_is_followed() -> None:
    clock, now_s = ServerClock(), 0.0
    for _ in range(200):
        now_s = exchange(clock, now_s + 5.0, 3.0 + 1e-4 * now_s, 0.03, 0.03)
    assert clock.now(now_s) == pytest.approx(now_s * (1 + 1e-4) + 3.0, abs=0.01)


def test_time_neither_stops_nor_runs_back_while_it_is_corrected() -> None:
    clock = ServerClock()
    exchange(clock, 0.0, 100.0, 0.2, 0.0)
    exchange(clock, 1.0, 100.0, 0.0, 0.0)  # says that we were 100 ms ahead
    times = [clock.now(1.0 + step / 100) for step in range(400)]
    steps = [after - before for before, after in pairwise(times)]
    assert min(steps) > 0.009
    assert max(steps) < 0.011
    assert times[-1] == pytest.approx(100.0 + 1.0 + 3.99, abs=2e-3)


def test_a_large_difference_is_taken_at_once() -> None:
    clock = ServerClock()
    clock.guess(50_000, 1.0)
    assert clock.now(1.0) == pytest.approx(50.0)
    now_s = exchange(clock, 2.0, 900.0, 0.01, 0.01)
    assert clock.now(now_s) == pytest.approx(now_s + 900.0, abs=1e-3)


def test_pongs_that_nobody_asked_for_are_ignored() -> None:
    clock = ServerClock()
    assert not clock.pong(5, 1_000, 1.0)
    client_ms = clock.ping(1.0)
    assert clock.pong(client_ms, 1_000, 1.1)
    assert not clock.pong(client_ms, 900_000, 1.2)
    assert clock.rtt_s == pytest.approx(0.1)


def test_pings_that_stay_unanswered_are_forgotten() -> None:
    clock = ServerClock()
    first = clock.ping(0.0)
    for number in range(1, PINGS_OUTSTANDING_MAX + 1):
        clock.ping(float(number))
    assert not clock.pong(first, 0, 20.0)


def test_milliseconds_go_on_past_their_wrap() -> None:
    extended = Extended()
    assert extended.take(2**32 - 10) == 2**32 - 10
    assert extended.take(5) == 2**32 + 5
    assert extended.take(2**32 - 1) == 2**32 - 1  # a little older than the one before
    assert extended.take(100) == 2**32 + 100
