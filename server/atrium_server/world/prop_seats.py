"""Props to sit on: who sits on which, and who has to stand up because it is gone. PURE.

The root of who sits is where the prop is. When the prop, or a group that it is in, is moved or
deleted, its sitter stands up. Props are frozen records, so whether anything of that has changed is
seen by comparing references, and only in ticks in which any prop changed.
"""

from __future__ import annotations

from atrium_server.world.movement import Spot
from atrium_server.world.props import Prop, Props, yaw_of
from atrium_shared.props import Seat, Transform


class PropSeats:
    """Seats that people have built in one world."""

    def __init__(self, props: Props) -> None:
        self.prop_of: dict[int, bytes] = {}
        """By slot of who sits."""
        self.slot_of: dict[bytes, int] = {}
        self._props = props
        self._at: dict[int, tuple[tuple[Prop, ...], Transform]] = {}
        """By slot: the seat and its groups as they were, and where that was seen."""
        self._version = 0

    def spot(self, prop_id: bytes) -> Spot | None:
        """Where one sits on a prop; None when it is no seat, or not there."""
        prop = self._props.get(prop_id)
        if prop is None or not isinstance(prop.properties, Seat):
            return None
        seen = self._props.seen_at(prop_id)
        return Spot(*seen.position_m, yaw_of(seen.rotation))

    def take(self, slot: int, prop_id: bytes) -> None:
        """Somebody sits there now; it must be a seat on which nobody sits."""
        assert prop_id not in self.slot_of
        self.prop_of[slot], self.slot_of[prop_id] = prop_id, slot
        self._at[slot] = self._chain(prop_id), self._props.seen_at(prop_id)

    def free(self, slot: int) -> None:
        """Somebody stands up, if that one sits here."""
        prop_id = self.prop_of.pop(slot, None)
        if prop_id is not None:
            del self.slot_of[prop_id], self._at[slot]

    def lost(self) -> list[int]:
        """Slots of those whose seat has been moved or deleted since this was asked last."""
        if self._version == self._props.version:
            return []
        self._version = self._props.version
        return [slot for slot, prop_id in self.prop_of.items() if not self._stands(slot, prop_id)]

    def _stands(self, slot: int, prop_id: bytes) -> bool:
        chain, seen = self._at[slot]
        if self._props.get(prop_id) is None:
            return False
        now = self._chain(prop_id)
        if len(now) == len(chain) and all(a is b for a, b in zip(now, chain, strict=True)):
            return True
        self._at[slot] = now, seen
        at = self._props.seen_at(prop_id)
        return (at.position_m, at.rotation) == (seen.position_m, seen.rotation)

    def _chain(self, prop_id: bytes) -> tuple[Prop, ...]:
        """A prop and the groups around it."""
        found: list[Prop] = []
        while prop_id and (prop := self._props.get(prop_id)) is not None:
            found.append(prop)
            prop_id = prop.group
        return tuple(found)

    def save(self) -> list[tuple[int, bytes]]:
        """Who sits where, for a checkpoint."""
        return [*self.prop_of.items()]

    def restore(self, saved: list[tuple[int, bytes]]) -> None:
        """What `save` has told. Raises ValueError when there is no such seat."""
        for slot, prop_id in saved:
            if self.spot(prop_id) is None or prop_id in self.slot_of or slot in self.prop_of:
                raise ValueError("the checkpoint has somebody on a seat that is not there")
            self.take(slot, prop_id)
        self._version = self._props.version
