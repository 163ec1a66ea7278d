"""Hands and what they hold: one holder at most, whatever is asked in whatever order."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from atrium_server.world.holding import LEFT, RIGHT, Hold, Holds
from atrium_shared.errors import ErrorCode, RequestRefused
from atrium_shared.props import Transform

GRIP = Transform((0.1, 0.0, -0.05))
OTHER = Transform((0.0, 0.2, 0.0))
BALL, CUP = b"ball" * 4, b"cup " * 4


def test_a_prop_goes_into_a_hand_and_out_of_it():
    holds = Holds()
    assert holds.held_by(BALL) is None
    assert holds.hold_of(BALL) is None
    holds.grab(3, RIGHT, BALL, GRIP)
    holds.grab(3, LEFT, CUP, OTHER)
    assert holds.held_by(BALL) == 3
    assert holds.of(3) == [(LEFT, CUP), (RIGHT, BALL)]
    assert holds.of(4) == []
    assert holds.hold_of(BALL) == Hold(3, RIGHT, BALL, GRIP)
    assert holds.release(3, BALL) == Hold(3, RIGHT, BALL, GRIP)
    assert holds.held_by(BALL) is None
    assert holds.of(3) == [(LEFT, CUP)]


def refusal(code: ErrorCode):
    return pytest.raises(RequestRefused, check=lambda refused: refused.code is code)


def test_what_somebody_holds_is_taken():
    holds = Holds()
    holds.grab(3, RIGHT, BALL, GRIP)
    with refusal(ErrorCode.TAKEN):
        holds.grab(4, RIGHT, BALL, OTHER)
    assert list(holds) == [Hold(3, RIGHT, BALL, GRIP)]


def test_a_full_hand_takes_nothing_more():
    holds = Holds()
    holds.grab(3, RIGHT, BALL, GRIP)
    with refusal(ErrorCode.TAKEN):
        holds.grab(3, RIGHT, CUP, OTHER)
    assert list(holds) == [Hold(3, RIGHT, BALL, GRIP)]


def test_a_prop_goes_from_one_hand_to_the_other():
    holds = Holds()
    holds.grab(3, RIGHT, BALL, GRIP)
    holds.grab(3, LEFT, BALL, OTHER)
    assert list(holds) == [Hold(3, LEFT, BALL, OTHER)]
    holds.grab(3, RIGHT, CUP, GRIP)
    with refusal(ErrorCode.TAKEN):  # the other hand is full by now
        holds.grab(3, RIGHT, BALL, GRIP)
    assert holds.of(3) == [(LEFT, BALL), (RIGHT, CUP)]


@pytest.mark.parametrize("hand", [-1, 2, 255])
def test_a_third_hand_is_refused(hand: int):
    holds = Holds()
    with refusal(ErrorCode.OUT_OF_RANGE):
        holds.grab(3, hand, BALL, GRIP)
    assert not len(holds)


def test_only_the_holder_lets_go():
    holds = Holds()
    with refusal(ErrorCode.NOT_FOUND):
        holds.release(3, BALL)
    holds.grab(3, RIGHT, BALL, GRIP)
    with refusal(ErrorCode.NOT_FOUND):
        holds.release(4, BALL)
    assert holds.held_by(BALL) == 3


def test_of_many_who_reach_for_it_the_first_has_it():
    for order in permutations(range(4)):
        holds = Holds()
        for slot in order:
            try:
                holds.grab(slot, slot % 2, BALL, GRIP)
            except RequestRefused:
                assert slot != order[0]
        assert holds.held_by(BALL) == order[0]
        assert len(holds) == 1


def test_who_leaves_drops_everything():
    holds = Holds()
    holds.grab(3, RIGHT, BALL, GRIP)
    holds.grab(3, LEFT, CUP, GRIP)
    holds.grab(4, LEFT, b"lamp" * 4, GRIP)
    assert holds.drop_all(3) == [(LEFT, CUP), (RIGHT, BALL)]
    assert holds.drop_all(3) == []
    assert [hold.slot for hold in holds] == [4]
    holds.grab(4, RIGHT, BALL, GRIP)


def test_holds_come_in_the_same_order_however_they_were_made():
    made = [(4, LEFT, BALL), (3, RIGHT, CUP), (3, LEFT, b"lamp" * 4)]
    for order in permutations(made):
        holds = Holds()
        for slot, hand, prop_id in order:
            holds.grab(slot, hand, prop_id, GRIP)
        assert [hold[:3] for hold in holds] == sorted(made)


@pytest.mark.parametrize(
    "saved",
    [
        [(1, LEFT, BALL, GRIP), (2, LEFT, BALL, GRIP)],
        [(1, LEFT, BALL, GRIP), (1, RIGHT, BALL, GRIP)],
        [(1, LEFT, BALL, GRIP), (1, LEFT, CUP, GRIP)],
        [(1, 7, BALL, GRIP)],
    ],
)
def test_what_cannot_be_is_not_restored(saved: list[tuple[int, int, bytes, Transform]]):
    holds = Holds()
    holds.grab(9, LEFT, CUP, GRIP)
    with pytest.raises(ValueError, match="hand"):
        holds.restore(saved)
    assert list(holds) == [Hold(9, LEFT, CUP, GRIP)]


slots = st.integers(0, 4)
hands = st.integers(0, 1)
props = st.integers(0, 5).map(lambda n: bytes([n]) * 16)
grips = st.sampled_from([GRIP, OTHER])


class HoldsMachine(RuleBasedStateMachine):
    """Against a plain list of holds, searched from end to end."""

    def __init__(self) -> None:
        super().__init__()
        self.holds = Holds()
        self.model: list[Hold] = []

    @rule(slot=slots, hand=hands, prop_id=props, grip=grips)
    def grab(self, slot: int, hand: int, prop_id: bytes, grip: Transform) -> None:
        is_others = any(h.prop_id == prop_id and h.slot != slot for h in self.model)
        is_full = any(
            (h.slot, h.hand) == (slot, hand) and h.prop_id != prop_id for h in self.model
        )
        if is_others or is_full:
            with refusal(ErrorCode.TAKEN):
                self.holds.grab(slot, hand, prop_id, grip)
        else:
            self.holds.grab(slot, hand, prop_id, grip)
            self.model = [h for h in self.model if h.prop_id != prop_id]
            self.model.append(Hold(slot, hand, prop_id, grip))

    @rule(slot=slots, prop_id=props)
    def release(self, slot: int, prop_id: bytes) -> None:
        found = [h for h in self.model if (h.slot, h.prop_id) == (slot, prop_id)]
        if found:
            assert self.holds.release(slot, prop_id) == found[0]
            self.model.remove(found[0])
        else:
            with refusal(ErrorCode.NOT_FOUND):
                self.holds.release(slot, prop_id)

    @rule(slot=slots)
    def drop_all(self, slot: int) -> None:
        dropped = self.holds.drop_all(slot)
        assert dropped == sorted((h.hand, h.prop_id) for h in self.model if h.slot == slot)
        self.model = [h for h in self.model if h.slot != slot]

    @rule()
    def crash(self) -> None:
        """Through bytes, as a checkpoint does it, into new holds."""
        data = msgspec.msgpack.encode(self.holds.save())
        kind = list[tuple[int, int, bytes, Transform]]
        self.holds = Holds()
        self.holds.restore(msgspec.msgpack.decode(data, type=kind))

    @invariant()
    def holds_what_the_model_holds(self) -> None:
        assert list(self.holds) == sorted(self.model, key=lambda h: (h.slot, h.hand))
        assert len(self.holds) == len(self.model)
        for slot in range(5):
            of = self.holds.of(slot)
            assert of == sorted((h.hand, h.prop_id) for h in self.model if h.slot == slot)
            assert len(of) <= 2
        for n in range(6):
            prop_id = bytes([n]) * 16
            holders = [h for h in self.model if h.prop_id == prop_id]
            assert len(holders) <= 1
            assert self.holds.held_by(prop_id) == (holders[0].slot if holders else None)


TestHoldsMachine = HoldsMachine.TestCase
