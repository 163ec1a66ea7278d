"""Who wants whom near: the one table that says what may pass between two people. PURE.

Theory of operation
-------------------
What somebody does about somebody else is a `Regard`. It belongs to the person (the owner id of an
account, or of a guest's session), so it holds for all their sessions, and for those who come back.
A world knows the regards of those who are in it. From them, and from who is in the safe zone,
follows what may pass between two avatars, and nothing else may decide it:

* `may_hear`: lines, emotes, markers and voice of the one may reach the other.
* `may_know`: name, looks and tracked points of the one may reach the other. Who may not know
  somebody is shown a silhouette: where they stand and how they face.
* `may_see`: the one may be shown to the other at all.

MUTE takes the first, HIDE the second, BLOCK both, in both directions. The safe zone takes all
three, in both directions. One's own sessions are never kept apart.

What replication needs in every tick is kept ready for it: `veils` has one bit for each (viewer,
entity) that may not be known, set when people come, go, or change their mind; `apart` says of each
viewer whether there is any. All is by slot, and nothing here is looked at while nobody does
anything about anybody.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

import msgspec
import numpy as np
import numpy.typing as npt

from atrium_server.frame import ALONE, VEILED, Apart
from atrium_shared import limits
from atrium_shared.social import Relation

_DEAF = int(Relation.MUTE | Relation.BLOCK)
_BLIND = int(Relation.HIDE | Relation.BLOCK)
_BLOCK = int(Relation.BLOCK)


class Regard(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What one does about another person."""

    person: str
    """The other one, as the owner of props."""
    name: str
    """As it was when this was decided."""
    relation: int
    """Bits of `Relation`."""


class Someone(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Who an entity is, or was."""

    person: str
    name: str
    blocked: tuple[str, ...] = ()
    """Whom it blocked as it went: these were not told its name, and are not later."""


class SavedRelations(msgspec.Struct, frozen=True):
    """For a checkpoint."""

    people: list[str]
    """Of the slots below the highest that is taken."""
    safe: list[int]
    """Slots."""
    regards: dict[str, list[Regard]]
    left: list[tuple[int, Someone]]
    version: int


class Relations:
    """What the people of one world do about each other."""

    def __init__(self, capacity: int) -> None:
        self.people = [""] * capacity
        """The person of each slot; empty for a free one."""
        self.regards: dict[str, dict[str, Regard]] = {}
        """Of those who are here, and do anything about anybody: by person, then by the other."""
        self.safe = np.zeros(capacity, np.uint8)
        """By slot: 1 for who is in the safe zone."""
        self.left: OrderedDict[int, Someone] = OrderedDict()
        """Who went lately, by entity: they can still be muted and reported."""
        self.version = 0
        """Counts the changes of what may pass between those who are here."""
        self._veils = np.zeros((capacity, (capacity + 7) // 8), np.uint8)
        self.deaf = np.zeros_like(self._veils)
        """As `_veils`, one bit for each (listener, speaker) that may not be heard, for voice."""
        self._apart = np.zeros(capacity, np.uint8)
        self._slots: dict[str, list[int]] = {}
        self._about: dict[str, set[str]] = {}
        """Who of those here does something about a person."""

    # --- what may pass -------------------------------------------------------------------

    def may_hear(self, listener: int, speaker: int) -> bool:
        """Whether lines, emotes, markers and voice of one slot's avatar may reach another's."""
        if listener == speaker:
            return True
        if self.safe[listener] or self.safe[speaker]:
            return False
        return self.is_open_to(self.people[listener], self.people[speaker])

    def may_know(self, viewer: int, seen: int) -> bool:
        """Whether name, looks and points of one slot's avatar may reach another's."""
        return viewer == seen or (
            self.may_see(viewer, seen)
            and not self.is_veiled(self.people[viewer], self.people[seen])
        )

    def may_see(self, viewer: int, seen: int) -> bool:
        """Whether one slot's avatar may be shown to another's."""
        return viewer == seen or not (self.safe[viewer] or self.safe[seen])

    def is_open_to(self, listener: str, speaker: str) -> bool:
        """`may_hear` for two persons, the safe zone apart."""
        return not (
            self.relation(listener, speaker) & _DEAF or self.relation(speaker, listener) & _BLOCK
        )

    def is_veiled(self, viewer: str, seen: str) -> bool:
        """Not `may_know` for two persons, the safe zone apart."""
        return bool(
            self.relation(viewer, seen) & _BLIND or self.relation(seen, viewer) & _BLOCK
        )

    def relation(self, person: str, other: str) -> int:
        """What one person, who is here, does about another: bits of `Relation`."""
        regard = self.regards.get(person, _NONE).get(other)
        return 0 if regard is None else regard.relation

    def blocked_by(self, person: str) -> tuple[str, ...]:
        """Whom somebody blocks."""
        return tuple(
            one.person for one in self.regards.get(person, _NONE).values()
            if one.relation & _BLOCK
        )

    def deaf_to(self, person: str, blocked: Iterable[str] = ()) -> list[int]:
        """Slots that hear nothing of a person, in order; those in the safe zone are among them.

        `blocked` are more people whom that person blocked, if it is not here any more.
        """
        deaf = set(np.flatnonzero(self.safe).tolist()) if self._has_safe else set[int]()
        others = {
            *(one for one in self._about.get(person, ())
              if self.relation(one, person) & _DEAF),
            *self.blocked_by(person), *blocked,
        }
        for other in others:
            deaf.update(self._slots.get(other, ()))
        return sorted(deaf)

    def blind_to(self, slot: int) -> list[int]:
        """Slots that may not know the avatar of one, in order."""
        veiled = self._veils[:, slot >> 3] >> (slot & 7) & 1
        return np.flatnonzero(veiled | self.safe).tolist()

    @property
    def _has_safe(self) -> bool:
        return bool(self.safe.any())

    def apart(self) -> Apart:
        """All of it, as replication wants it."""
        return Apart(self._apart, self._veils, self.version)

    # --- coming and going ----------------------------------------------------------------

    def enter(self, slot: int, person: str, regards: Iterable[Regard], is_safe: bool) -> None:
        """A person has an avatar in this slot. Whoever is here already keeps what is known."""
        self.people[slot] = person
        known = self._slots.setdefault(person, [])
        known.append(slot)
        known.sort()
        if len(known) == 1:
            self._know(person, regards)
        self.safe[slot] = is_safe
        self._veil_all(person)
        self._mark([slot])

    def leave(self, slot: int, entity_id: int, name: str) -> None:
        """The avatar of this slot is gone."""
        person = self.people[slot]
        self.left[entity_id] = Someone(person, name, self.blocked_by(person))
        while len(self.left) > limits.LEFT_REMEMBERED_MAX:
            self.left.popitem(last=False)
        self.people[slot] = ""
        slots = self._slots[person]
        slots.remove(slot)
        self.safe[slot] = 0
        viewers: list[int] = []
        if self._veils[slot].any() or self.deaf[slot].any() or person in self._about:
            viewers = np.flatnonzero(self._veils[:, slot >> 3] >> (slot & 7) & 1).tolist()
            for bits in (self._veils, self.deaf):
                bits[slot] = 0
                bits[:, slot >> 3] &= np.uint8(255 ^ (1 << (slot & 7)))
        self._mark([slot, *viewers])
        if not slots:
            del self._slots[person]
            self._know(person, ())

    def slots_of(self, person: str) -> list[int]:
        """The avatars of a person."""
        return self._slots.get(person, [])

    def concerned(self, person: str) -> list[int]:
        """Slots of those who do something about a person, in order."""
        return sorted(
            slot for one in self._about.get(person, ()) for slot in self._slots.get(one, ())
        )

    # --- what changes --------------------------------------------------------------------

    def set(self, person: str, regard: Regard) -> None:
        """Somebody who is here does this about another from now on; 0 takes all back."""
        other = regard.person
        regards = self.regards.setdefault(person, {})
        if regards.pop(other, None) is not None:
            self._forget(person, other)
        if regard.relation and other != person:
            regards[other] = regard
            self._about.setdefault(other, set()).add(person)
        if not regards:
            del self.regards[person]
        self._veil(person, other)

    def replace(self, person: str, regards: Iterable[Regard]) -> None:
        """All that somebody who is here does about others from now on."""
        before = [*self.regards.get(person, _NONE)]
        self._know(person, regards)
        for other in before:
            self._veil(person, other)
        self._veil_all(person)

    def shelter(self, slot: int, is_on: bool) -> None:
        """Somebody goes into the safe zone, or comes out of it."""
        self.safe[slot] = is_on
        self._mark([slot])
        self.version += 1

    def save(self, high: int) -> SavedRelations:
        """All of it."""
        return SavedRelations(
            self.people[:high], np.flatnonzero(self.safe).tolist(),
            {person: [*regards.values()] for person, regards in self.regards.items()},
            [*self.left.items()], self.version,
        )

    def restore(self, saved: SavedRelations) -> None:
        """What `save` has told. Raises ValueError when it is of a larger world."""
        if len(saved.people) > len(self.people):
            raise ValueError("the checkpoint has people in slots that are not there")
        for slot, person in enumerate(saved.people):
            if person:
                is_safe = slot in saved.safe
                self.enter(slot, person, saved.regards.get(person, ()), is_safe)
        self.left.update(saved.left)
        self.version = saved.version

    def _know(self, person: str, regards: Iterable[Regard]) -> None:
        for other in self.regards.pop(person, _NONE):
            self._forget(person, other)
        known = {one.person: one for one in regards if one.relation and one.person != person}
        if known:
            self.regards[person] = known
        for other in known:
            self._about.setdefault(other, set()).add(person)

    def _forget(self, person: str, other: str) -> None:
        """One does nothing about the other any more."""
        about = self._about[other]
        about.discard(person)
        if not about:
            del self._about[other]

    def _veil_all(self, person: str) -> None:
        """Set all bits between a person and the others."""
        for other in {*self.regards.get(person, _NONE), *self._about.get(person, ())}:
            self._veil(person, other)

    def _veil(self, one: str, other: str) -> None:
        """Set the bits between two people, if both are here."""
        if one not in self._slots or other not in self._slots:
            return
        has_changed = False
        for viewer, seen in ((one, other), (other, one)):
            is_blind, is_deaf = self.is_veiled(viewer, seen), not self.is_open_to(viewer, seen)
            for row in self._slots[viewer]:
                for slot in self._slots[seen]:
                    has_changed |= _set_bit(self._veils, row, slot, is_blind)
                    has_changed |= _set_bit(self.deaf, row, slot, is_deaf)
        if has_changed:
            self._mark([*self._slots[one], *self._slots[other]])
            self.version += 1

    def _mark(self, slots: Iterable[int]) -> None:
        for slot in slots:
            self._apart[slot] = (
                (VEILED if self._veils[slot].any() else 0) | (ALONE if self.safe[slot] else 0)
            )


def _set_bit(bits: npt.NDArray[np.uint8], row: int, slot: int, is_on: bool) -> bool:
    """Whether it was another one before."""
    before, bit = int(bits[row, slot >> 3]), 1 << (slot & 7)
    after = before | bit if is_on else before & ~bit
    bits[row, slot >> 3] = after
    return after != before


_NONE: dict[str, Regard] = {}
