"""The ledger of seats against a model that does nothing but count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from atrium_server.seats import Seats, SeatState
from atrium_shared.errors import Overload

CAPACITY, JOIN_S, RESUME_S = 4, 10.0, 30.0


class Ledger(RuleBasedStateMachine):
    """Everything that can happen to seats, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.seats = Seats(CAPACITY, JOIN_S, RESUME_S)
        self.model: dict[int, tuple[SeatState, float]] = {}
        self.now = 0.0
        self.next_session = 1

    @rule(count=st.integers(1, 6))
    def join(self, count: int) -> None:
        """Several at the same moment."""
        for _ in range(count):
            session, self.next_session = self.next_session, self.next_session + 1
            if len(self.model) >= CAPACITY:
                with pytest.raises(Overload) as caught:
                    self.seats.reserve(session, self.now)
                assert caught.value.retry_ms > 0
                assert self.seats.state(session) is None
            else:
                self.seats.reserve(session, self.now)
                self.model[session] = (SeatState.JOINING, self.now + JOIN_S)

    @rule(data=st.data())
    def activate(self, data: st.DataObject) -> None:
        if self.model:
            session = data.draw(st.sampled_from(sorted(self.model)))
            self.seats.activate(session)
            self.model[session] = (SeatState.ACTIVE, float("inf"))

    @rule(data=st.data())
    def suspend(self, data: st.DataObject) -> None:
        active = [s for s, (state, _) in self.model.items() if state is SeatState.ACTIVE]
        if active:
            session = data.draw(st.sampled_from(active))
            self.seats.suspend(session, self.now)
            self.model[session] = (SeatState.RESUMABLE, self.now + RESUME_S)

    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        session = data.draw(st.integers(0, self.next_session))
        self.seats.release(session)
        self.model.pop(session, None)

    @rule(seconds=st.sampled_from([0.0, 0.5, JOIN_S - 0.5, JOIN_S, RESUME_S - JOIN_S, RESUME_S]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        late = [s for s, (_, until) in self.model.items() if until <= self.now]
        assert sorted(self.seats.expired(self.now)) == sorted(late)
        for session in late:
            self.seats.release(session)
            del self.model[session]

    @invariant()
    def agrees(self) -> None:
        assert len(self.seats) == len(self.model) <= CAPACITY
        for session, (state, _) in self.model.items():
            assert self.seats.state(session) is state
        for state in SeatState:
            expected = sum(1 for held, _ in self.model.values() if held is state)
            assert self.seats.count(state) == expected


TestLedger = Ledger.TestCase


@given(st.integers(0, 20), st.integers(0, 60))
def test_any_number_of_simultaneous_joins_fills_the_world_exactly(
    capacity: int, joins: int
) -> None:
    seats = Seats(capacity, JOIN_S, RESUME_S)
    refused = 0
    for session in range(joins):
        try:
            seats.reserve(session, 0.0)
        except Overload:
            refused += 1
    assert len(seats) == min(capacity, joins)
    assert refused == max(0, joins - capacity)
