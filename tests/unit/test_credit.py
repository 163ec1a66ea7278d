"""Flow control on simulated links: what is outstanding, what is learned, what lies gain.

A link has a rate, a round trip and stalls; the sender asks `Credit` before each snapshot and sends
at most what its rate allows. All of it is arithmetic: a minute of traffic takes a moment.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest

from atrium_server.replication import credit as credits
from atrium_server.replication.state import make_viewers
from atrium_shared.limits import (
    BANDWIDTH_SHARE,
    CREDIT_RING_TICKS,
    CREDIT_S,
    OUTGOING_BYTES_MAX,
)

UNDECLARED = 1_000_000.0


@dataclass
class Link:
    """One viewer and the way to it and back. Times in seconds, rates in bytes per second."""

    rate: float
    round_trip_s: float
    demand: float
    declared: float = UNDECLARED
    rate_hz: int = 20
    stall: tuple[float, float] = (0.0, 0.0)
    tick: int = 0
    acks_claim: int | None = None
    """What the client claims in place of the tick it has seen."""
    sizes: list[int] = field(default_factory=list[int])
    outstanding: list[int] = field(default_factory=list[int])
    """Bytes sent that the client has not read, by tick."""
    ages: list[int] = field(default_factory=list[int])
    """Ticks by which what the client shows is behind, by tick."""

    def __post_init__(self) -> None:
        self.credit = credits.make_credit(3)
        self.viewers = make_viewers(3, 1).rows
        self.which = np.array([1], np.int32)
        credits.reset_credit(self.credit, 1, 0, self.declared)
        self._flying: deque[tuple[float, int, int]] = deque()
        self._acks: deque[tuple[float, int]] = deque()
        self._free_at = self._tokens = 0.0
        self._sent = self._read = 0
        self._seen = -1

    @property
    def rate_now(self) -> float:
        """What is believed."""
        return float(self.credit.rows["rate"][1])

    @property
    def now(self) -> float:
        return self.tick / self.rate_hz

    def run(self, seconds: float) -> Link:
        for _ in range(round(seconds * self.rate_hz)):
            self.step()
        return self

    def step(self) -> None:
        self.tick += 1
        if not self.stall[0] <= self.now < self.stall[1]:
            while self._flying and self._flying[0][0] <= self.now:
                _, self._seen, size = self._flying.popleft()
                self._read += size
        if self._seen >= 0:
            claim = self._seen if self.acks_claim is None else self.acks_claim
            self._acks.append((self.now + self.round_trip_s / 2, claim))
        while self._acks and self._acks[0][0] <= self.now:
            self.ack(self._acks.popleft()[1])
        size = self.offer()
        self.sizes.append(size)
        self.outstanding.append(self._sent - self._read)
        self.ages.append(self.tick - self._seen)

    def ack(self, tick: int) -> None:
        credits.take_acks(
            *self.credit, self.which, np.array([tick], np.int64), self.tick - 1,
            1 / self.rate_hz,
        )

    def has_credit(self) -> bool:
        answers: npt.NDArray[np.bool_] = np.zeros(1, np.bool_)
        room = np.zeros(1, np.int32)
        credits.has_credit(
            self.credit.rows, self.viewers, self.which, 1 / self.rate_hz, answers, room
        )
        share = min(self.rate_now, BANDWIDTH_SHARE * float(self.credit.rows["rate_max"][1]))
        assert self.viewers["bytes_per_tick"][1] == np.float32(share / self.rate_hz)
        unread = int(self.credit.rows["sent"][1] - self.credit.rows["acked"][1])
        left = CREDIT_S * self.rate_now - unread - int(self.credit.rows["last_size"][1])
        assert room[0] == np.int32(min(max(left, 0), OUTGOING_BYTES_MAX))
        return bool(answers[0])

    def offer(self) -> int:
        """Send a snapshot if there is credit; returns its bytes."""
        if not self.has_credit():
            return 0
        share = float(self.viewers["bytes_per_tick"][1])
        self._tokens = min(self._tokens + share, max(4 * share, 1024))
        size = round(26 + max(min(self.demand / self.rate_hz, self._tokens - 26), 64))
        self._tokens -= size
        self.send(size)
        return size

    def send(self, size: int) -> None:
        credits.note_sent(
            *self.credit, self.viewers, self.which, np.array([size], np.int64),
            np.ones(1, np.uint8), self.tick,
        )
        start = max(self._free_at, self.now)
        if self.stall[0] <= self.now < self.stall[1]:
            start = max(start, self.stall[1])
        self._free_at = start + size / self.rate
        self._flying.append((self._free_at + self.round_trip_s / 2, self.tick, size))
        self._sent += size

    def between(self, values: list[int], start_s: float, end_s: float) -> npt.NDArray[np.int64]:
        return np.array(values[round(start_s * self.rate_hz) : round(end_s * self.rate_hz)])

    def bound(self) -> float:
        """What may be outstanding: the largest snapshot, or CREDIT_S of the link."""
        return max(max(self.sizes), CREDIT_S * self.rate)


@pytest.mark.parametrize("round_trip_s", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("demand", [3_000.0, 30_000.0, 90_000.0])
@pytest.mark.parametrize("rate", [8_000.0, 30_000.0])
def test_a_declared_link_never_has_more_outstanding_than_promised(
    rate: float, demand: float, round_trip_s: float
) -> None:
    link = Link(rate, round_trip_s, demand, declared=rate).run(30)
    assert max(link.outstanding) <= link.bound()
    assert link.rate_now <= rate


@pytest.mark.parametrize("round_trip_s", [0.02, 0.1, 0.3])
@pytest.mark.parametrize("rate", [8_000.0, 30_000.0, 60_000.0])
def test_an_undeclared_link_is_found_out(rate: float, round_trip_s: float) -> None:
    link = Link(rate, round_trip_s, 90_000.0).run(40)
    # While it is being found out, and then: what the module says.
    assert max(link.outstanding) <= max(max(link.sizes), 0.6 * rate)
    settled = link.between(link.outstanding, 5, 40)
    assert settled.max() <= max(max(link.sizes), 0.4 * rate)
    assert np.quantile(settled, 0.9) <= max(max(link.sizes), 0.37 * rate)
    # And it is used: at least two thirds of it arrive.
    assert link.between(link.sizes, 5, 40).sum() / 35 >= 0.66 * rate


@pytest.mark.parametrize("declared", [8_000.0, UNDECLARED])
def test_a_link_of_64_kbit_converges(declared: float) -> None:
    link = Link(8_000.0, 0.05, 30_000.0, declared).run(30)
    rates: list[float] = []
    for _ in range(400):
        link.step()
        rates.append(link.rate_now)
    assert 5_000 <= min(rates) <= max(rates) <= 14_000
    assert np.quantile(link.between(link.ages, 10, 50), 0.95) <= 8, "0.4 s behind at most"


def test_a_round_trip_of_300_ms_does_not_spiral_down() -> None:
    for demand in (5_000.0, 30_000.0, 90_000.0):
        link = Link(10_000_000.0, 0.3, demand).run(25)
        settled = link.between(link.sizes, 5, 25)
        assert (settled > 0).mean() * 20 >= 19
        assert settled.sum() / 20 >= demand


@pytest.mark.parametrize("rate_hz", [5, 20, 60])
def test_a_fast_link_is_never_held_back_for_long(rate_hz: int) -> None:
    link = Link(10_000_000.0, 0.01, 60_000.0, rate_hz=rate_hz).run(20)
    assert link.between(link.sizes, 6, 20).sum() / 14 >= 60_000
    assert (link.between(link.sizes, 6, 20) > 0).all(), "a snapshot every tick"


def test_a_reader_that_stops_gets_nothing_once_its_credit_is_spent() -> None:
    link = Link(200_000.0, 0.05, 30_000.0, stall=(10.0, 1e9)).run(60)
    held = link.outstanding[-1]
    assert held <= CREDIT_S * link.rate_now
    assert held <= link.bound()
    assert not link.between(link.sizes, 12, 60).any()


@pytest.mark.parametrize("seconds", [1.0, 5.0, 25.0])
@pytest.mark.parametrize(("rate", "declared"), [
    (8_000.0, 8_000.0), (8_000.0, UNDECLARED), (200_000.0, UNDECLARED)
])
def test_who_reads_again_is_current_within_half_a_second(
    seconds: float, rate: float, declared: float
) -> None:
    end = 10.0 + seconds
    link = Link(rate, 0.05, 20_000.0, declared, stall=(10.0, end)).run(end + 5)
    assert link.ages[round((end - 0.1) * 20)] >= 0.8 * seconds * 20
    soon = link.between(link.ages, end + 0.5, end + 5)
    assert soon.max() <= 10, "never more than half a second behind from then on"


def test_a_longer_route_is_noticed() -> None:
    link = Link(10_000_000.0, 0.04, 30_000.0).run(10)
    link.round_trip_s = 0.4
    link.run(20)
    assert (link.between(link.sizes, 20, 30) > 0).mean() * 20 >= 19


def test_an_ack_gives_back_exactly_the_bytes_up_to_its_tick() -> None:
    link = Link(1e9, 0.0, 0.0)
    for link.tick in range(1, 6):
        link.send(100)
    link.ack(3)
    assert (link.credit.rows["sent"][1], link.credit.rows["acked"][1]) == (500, 300)
    link.ack(4)
    assert link.credit.rows["acked"][1] == 400


@pytest.mark.parametrize("claim", [2, 3, 6, 7, 10_000, 2**32 - 1, -1, 5 + CREDIT_RING_TICKS])
def test_forged_acks_gain_nothing(claim: int) -> None:
    """Ticks that were skipped (6), not yet there, older than the newest ack, or out of range."""
    link = Link(1e9, 0.0, 0.0)
    for link.tick in (1, 2, 3, 4, 5, 7):
        if link.tick != 7:
            link.send(100)
    link.ack(3)
    before = [array.copy() for array in link.credit]
    link.ack(claim)
    for now, then in zip(link.credit, before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_a_liar_gets_no_more_than_honest_bytes() -> None:
    """Who always claims the newest tick of the world is only sent what its declared rate allows."""
    link = Link(8_000.0, 0.05, 90_000.0, declared=8_000.0)
    for _ in range(400):
        link.acks_claim = link.tick
        link.step()
    assert sum(link.sizes) / 20 <= 8_000


def test_other_viewers_are_left_alone() -> None:
    link = Link(8_000.0, 0.05, 30_000.0).run(5)
    fresh = credits.make_credit(3)
    for now, then in zip(link.credit, fresh, strict=True):
        np.testing.assert_array_equal(now[..., [0, 2]], then[..., [0, 2]])
    credits.reset_credit(link.credit, 1, link.tick, 50_000.0)
    assert link.has_credit()
    assert link.credit.rows["sent"][1] == link.credit.rows["acked"][1] == 0
    link.ack(link.tick - 1)  # of the client before
    assert link.credit.rows["acked"][1] == 0


def test_nobody_is_named_by_minus_one() -> None:
    link = Link(8_000.0, 0.05, 30_000.0).run(1)
    before = [array.copy() for array in link.credit]
    credits.take_acks(
        *link.credit, np.array([-1], np.int32), np.array([link.tick], np.int64), link.tick, 0.05
    )
    for now, then in zip(link.credit, before, strict=True):
        np.testing.assert_array_equal(now, then)
