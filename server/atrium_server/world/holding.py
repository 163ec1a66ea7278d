"""Who holds which prop in which hand. PURE.

Theory of operation
-------------------
A prop is in one hand at most, and a hand holds one prop at most. Commands come one after the other,
so whoever is first has it and everybody after is refused: there is no moment in which two hold the
same. A prop may change from one hand of its holder to the other, for nobody else is concerned.

The holder is the slot of an avatar. A slot is given to somebody else one day, so `drop_all` must be
called when its avatar goes. The grip is where the prop is in the frame of the hand; it is kept
here because it lives as long as the hold does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from atrium_shared.errors import ErrorCode, RequestRefused
from atrium_shared.props import Transform

LEFT, RIGHT = range(2)


class Hold(NamedTuple):
    """One prop in one hand."""

    slot: int
    hand: int
    prop_id: bytes
    grip: Transform
    """The prop in the frame of the hand."""


class Holds:
    """All props of one world that are in a hand."""

    def __init__(self) -> None:
        self._of_prop: dict[bytes, Hold] = {}
        self._of_hand: dict[tuple[int, int], Hold] = {}

    def __len__(self) -> int:
        return len(self._of_prop)

    def __iter__(self) -> Iterator[Hold]:
        """By slot and hand, so that the same holds are always told in the same order."""
        return iter([self._of_hand[key] for key in sorted(self._of_hand)])

    def grab(self, slot: int, hand: int, prop_id: bytes, grip: Transform) -> None:
        """Put a prop into a hand. Raises RequestRefused when the prop or the hand is taken."""
        if not LEFT <= hand <= RIGHT:
            raise RequestRefused(ErrorCode.OUT_OF_RANGE, "There is a left hand and a right one.")
        held, in_hand = self._of_prop.get(prop_id), self._of_hand.get((slot, hand))
        if held is not None and held.slot != slot:
            raise RequestRefused(ErrorCode.TAKEN, "Somebody else holds it.")
        if in_hand is not None and in_hand.prop_id != prop_id:
            raise RequestRefused(
                ErrorCode.TAKEN, "This hand is full: let go of what it holds first."
            )
        if held is not None:
            self._remove(held)
        hold = Hold(slot, hand, prop_id, grip)
        self._of_prop[prop_id] = self._of_hand[slot, hand] = hold

    def release(self, slot: int, prop_id: bytes) -> Hold:
        """Take a prop out of the hand of `slot`; returns how it was held.

        Raises RequestRefused when it is in no hand of that slot.
        """
        hold = self._of_prop.get(prop_id)
        if hold is None or hold.slot != slot:
            raise RequestRefused(ErrorCode.NOT_FOUND, "It is not in your hand.")
        self._remove(hold)
        return hold

    def drop_all(self, slot: int) -> list[tuple[int, bytes]]:
        """The avatar of `slot` goes: both its hands open. Returns (hand, prop) of what was held."""
        dropped = self.of(slot)
        for _, prop_id in dropped:
            self._remove(self._of_prop[prop_id])
        return dropped

    def held_by(self, prop_id: bytes) -> int | None:
        """The slot that holds a prop; None for nobody."""
        hold = self._of_prop.get(prop_id)
        return None if hold is None else hold.slot

    def hold_of(self, prop_id: bytes) -> Hold | None:
        """How a prop is held; None for in no hand."""
        return self._of_prop.get(prop_id)

    def of(self, slot: int) -> list[tuple[int, bytes]]:
        """(hand, prop) of what a slot holds, left before right."""
        hands = ((slot, hand) for hand in (LEFT, RIGHT))
        return [(key[1], self._of_hand[key].prop_id) for key in hands if key in self._of_hand]

    def _remove(self, hold: Hold) -> None:
        del self._of_prop[hold.prop_id]
        del self._of_hand[hold.slot, hold.hand]

    # --- checkpoints ---------------------------------------------------------------------

    def save(self) -> list[tuple[int, int, bytes, Transform]]:
        """All holds as plain data: what `restore` takes."""
        return [(slot, hand, prop_id, grip) for slot, hand, prop_id, grip in self]

    def restore(self, saved: Iterable[tuple[int, int, bytes, Transform]]) -> None:
        """Begin with these. Raises ValueError, and changes nothing, when one hand or prop has two.

        That the slots are those of avatars is for the caller to check.
        """
        fresh = Holds()
        try:
            for hold in saved:
                if fresh.held_by(hold[2]) is not None:
                    raise ValueError("a prop is in two hands")
                fresh.grab(*hold)
        except RequestRefused as refused:
            raise ValueError(f"these holds cannot be: {refused.sentence}") from None
        self._of_prop, self._of_hand = fresh._of_prop, fresh._of_hand
