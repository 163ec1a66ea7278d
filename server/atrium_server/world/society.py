"""What people do about each other, and how they show themselves: the commands of `social`. PURE.

Theory of operation
-------------------
Each of them is answered here with a `Result`, but for a report, whose answer comes when it is kept,
and a marker, which needs none. What may pass between two people is not decided here: `relations` is
changed, and everything that tells anything asks it.

Somebody is named by an entity that is here or was here lately, or by the person where one does
something about that person already. So nobody can be named whom one has not met.

All that somebody does about others is told again when one of them comes or goes, so that the client
knows which entity is meant: a few lists in each tick, and each of them only now and then.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from atrium_server.world import commands as c
from atrium_server.world.budget import Budget
from atrium_server.world.manifest import Manifest
from atrium_server.world.places import LONG_AGO, Places
from atrium_server.world.relations import Regard, Relations, Someone
from atrium_server.world.stage import Stage
from atrium_server.world.tables import Tables
from atrium_server.world.voice import Voices
from atrium_shared import limits
from atrium_shared.errors import ErrorCode, RequestRefused
from atrium_shared.messages import (
    Appearance,
    Marker,
    Message,
    RelationEntry,
    Result,
)
from atrium_shared.messages import Relations as RelationsTold

_IN_SAFE_ZONE = "You are in your safe zone: nobody sees or hears you, and you see nobody."


@dataclass(frozen=True, slots=True)
class SocietyParts:
    """The parts of a world that this one works on."""

    manifest: Manifest
    tables: Tables
    relations: Relations
    stage: Stage
    places: Places


class Society:
    """What people do about each other in one world."""

    def __init__(self, parts: SocietyParts) -> None:
        self._tables, self._relations = parts.tables, parts.relations
        self._stage, self._places = parts.stage, parts.places
        rate_hz = self._rate_hz = parts.manifest.tick_rate_hz
        self.voices = Voices(parts.manifest, parts.tables, parts.relations)
        self.looks = Budget(limits.LOOKS_BYTES_PER_S_MAX, rate_hz)
        self.markers = Budget(limits.MARKERS_BYTES_PER_S_MAX, rate_hz)
        self.dressed_tick = np.full(parts.manifest.capacity, LONG_AGO, np.int64)
        self.told_tick = np.full(parts.manifest.capacity, LONG_AGO, np.int64)
        """By slot: when its relations were told."""
        self.stale: dict[int, None] = {}
        """Slots whose relations are to be told again, those that wait the longest first."""

    @property
    def _tick(self) -> int:
        return self._stage.tick

    def enter(self, slot: int, command: c.Join) -> None:
        """Somebody has an avatar; what its last owner did is no concern of this one."""
        self.dressed_tick[slot] = self.told_tick[slot] = LONG_AGO
        self._relations.enter(slot, command.person, command.regards, command.is_safe)
        self._stirred(command.person)

    def leave(self, slot: int) -> None:
        """An avatar goes."""
        person, t = self._relations.people[slot], self._tables
        self.stale.pop(slot, None)
        self._relations.leave(slot, int(t.entity_ids[slot]), t.names[slot])
        self._stirred(person)

    def step(self, out: c.TickOutput) -> None:
        """Once a tick: tell again whom one's relations mean here."""
        if not self.stale:
            return
        pause = limits.RELATIONS_TOLD_S * self._rate_hz
        due = [slot for slot in self.stale if self._tick - self.told_tick[slot] >= pause]
        for slot in due[: limits.RELATIONS_TOLD_PER_TICK_MAX]:
            self._tell_relations(slot, out)

    def _stirred(self, person: str) -> None:
        """Somebody came, went, or is not to be seen: those who do something about it hear of it."""
        for slot in self._relations.concerned(person):
            self.stale[slot] = None

    # --- commands ------------------------------------------------------------------------

    def apply(self, command: c.SocialCommand, slot: int, out: c.TickOutput) -> None:
        """Do what is asked for, and say what came of it."""
        try:
            match command:
                case c.PointAt():
                    self._point(command, slot, out)
                    return
                case c.Report():
                    self._report(command, slot, out)
                    return
                case c.Relate():
                    sentence = self._relate(command, slot, out)
                case c.SetVoice():
                    self.voices.set(command, slot, out)
                    return
                case c.Shelter():
                    sentence = self._shelter(command, slot)
                case c.Dress():
                    sentence = self._dress(command, slot, out)
            answer = Result(command.request_id, ErrorCode.OK, sentence, 0)
        except RequestRefused as refused:
            answer = Result(
                getattr(command, "request_id", 0), refused.code, refused.sentence,
                refused.retry_ms,
            )
        out.tells.append(c.Tell((command.session_id,), answer))

    def _meant(self, entity_id: int, slot: int) -> Someone:
        """Who an entity is. Raises RequestRefused when nobody knows, or it is oneself."""
        place = self._stage.slot_of(entity_id)
        known = self._relations.left.get(entity_id)
        if place is not None:
            known = Someone(self._relations.people[place], self._tables.names[place])
        if known is None:
            raise RequestRefused(ErrorCode.NOT_FOUND, "That person is not here (any more).")
        if known.person == self._relations.people[slot]:
            raise RequestRefused(ErrorCode.NOT_ALLOWED, "That is you.")
        return known

    # --- relations -----------------------------------------------------------------------

    def _relate(self, command: c.Relate, slot: int, out: c.TickOutput) -> str:
        person = self._relations.people[slot]
        regards = self._relations.regards.get(person, {})
        if command.entity_id:
            someone = self._meant(command.entity_id, slot)
            known = regards.get(someone.person)
            # A name that is kept from one is not learned by doing something about it.
            is_kept = self._relations.is_veiled(person, someone.person) or person in someone.blocked
            name = "" if is_kept else someone.name
            if known is not None:
                name = known.name
            regard = Regard(someone.person, name, command.relation)
        elif command.person in regards:
            known = regards[command.person]
            regard = Regard(known.person, known.name, command.relation)
        else:
            raise RequestRefused(ErrorCode.NOT_FOUND, "You do nothing about such a person.")
        changed = (*self._room_for(person, regard), regard)
        for one in changed:
            self._relations.set(person, one)
        self._changed(person, changed, out)
        return ""

    def _room_for(self, person: str, regard: Regard) -> tuple[Regard, ...]:
        """What is given up for a new one: what is done about the guest who was met first, because
        guests do not come back. Raises RequestRefused when there is no room.
        """
        regards = self._relations.regards.get(person, {})
        most = limits.GUEST_RELATIONS_MAX if is_guest(person) else limits.RELATIONS_MAX
        if regard.person in regards or not regard.relation or len(regards) < most:
            return ()
        for one in regards.values():
            if is_guest(one.person) and not self._relations.slots_of(one.person):
                return (Regard(one.person, one.name, 0),)
        raise RequestRefused(
            ErrorCode.WORLD_FULL,
            f"You already do something about {most} people: take one of them back first.",
        )

    def regard(self, command: c.Regards, out: c.TickOutput) -> None:
        """Somebody has decided in another world what to do about others."""
        if self._relations.slots_of(command.person):
            self._relations.replace(command.person, command.regards)
            self._changed(command.person, (), out)

    def _changed(self, person: str, changed: tuple[Regard, ...], out: c.TickOutput) -> None:
        regards = tuple(self._relations.regards.get(person, {}).values())
        if changed:
            out.related.append(c.Related(person, changed, regards))
        for slot in self._relations.slots_of(person):
            if out.relations < limits.RELATIONS_ANSWERED_PER_TICK_MAX:
                out.relations += 1
                self._tell_relations(slot, out)
            else:
                self.stale[slot] = None
                self.told_tick[slot] = LONG_AGO

    def _tell_relations(self, slot: int, out: c.TickOutput) -> None:
        self.stale.pop(slot, None)
        self.told_tick[slot] = self._tick
        session = (int(self._tables.sessions[slot]),)
        out.tells.append(c.Tell(session, self.relations_of(slot)))

    def relations_of(self, slot: int) -> Message:
        """All that the owner of an avatar does about others."""
        regards = self._relations.regards.get(self._relations.people[slot], {})
        return RelationsTold(tuple(
            RelationEntry(one.person, one.name, one.relation, self._entity_of(one.person, slot))
            for one in regards.values()
        ))

    def _entity_of(self, person: str, viewer: int) -> int:
        """Who that is here; 0 for nobody who is to be seen."""
        for slot in self._relations.slots_of(person):
            if self._relations.may_see(viewer, slot):
                return int(self._tables.entity_ids[slot])
        return 0

    # --- reports, the safe zone ----------------------------------------------------------

    def _report(self, command: c.Report, slot: int, out: c.TickOutput) -> None:
        someone = self._meant(command.entity_id, slot)
        if len(out.reports) >= limits.REPORTS_PER_TICK_MAX:
            raise RequestRefused(
                ErrorCode.RATE_LIMITED, "Too many reports come in at once: try again in a moment.",
                1_000,
            )
        out.reports.append(c.Reported(
            command.session_id, command.request_id, command.entity_id, someone.person,
            someone.name, command.reason, command.text,
        ))

    def _shelter(self, command: c.Shelter, slot: int) -> str:
        if bool(self._relations.safe[slot]) is not command.is_on:
            self._relations.shelter(slot, command.is_on)
            self._stirred(self._relations.people[slot])
            self.stale[slot] = None
        return _IN_SAFE_ZONE if command.is_on else ""

    # --- looks and markers ---------------------------------------------------------------

    def _dress(self, command: c.Dress, slot: int, out: c.TickOutput) -> str:
        waited = self._tick - int(self.dressed_tick[slot])
        pause = limits.AVATAR_CHANGE_S_MIN * self._rate_hz
        if waited < pause:
            raise RequestRefused(
                ErrorCode.COOLDOWN, "Wait a moment before you change again.",
                math.ceil((pause - waited) * 1000 / self._rate_hz),
            )
        if command.avatar == self._tables.avatars[slot]:
            return ""
        if not self.looks.has_room(self._tick):
            raise RequestRefused(
                ErrorCode.RATE_LIMITED, "Too many people change at once: try again.", 1_000
            )
        self.dressed_tick[slot] = self._tick
        self._tables.dress(slot, command.avatar)
        out.dressed.append((command.session_id, command.avatar))
        blind = [one for one in self._relations.blind_to(slot) if one != slot]
        if self._relations.safe[slot]:
            sessions, without, readers = (command.session_id,), (), 1
        else:
            without = tuple(self._tables.sessions[blind].tolist()) if blind else ()
            sessions, readers = None, int(self._tables.alive.sum()) - len(without)
        self.looks.take(self._tick, (1 + readers) * limits.LINE_BYTES_MIN)
        seen = Appearance(int(self._tables.entity_ids[slot]), command.avatar)
        out.tells.append(c.Tell(sessions, seen, without))
        return ""

    def _point(self, command: c.PointAt, slot: int, out: c.TickOutput) -> None:
        if out.markers >= limits.EMOTES_PER_TICK_MAX or not self.markers.has_room(self._tick):
            return  # as with emotes, one too many is not seen
        out.markers += 1
        distance_m = math.dist(command.position_m, self._places.metres(slot))
        if not (
            distance_m <= limits.MARKER_RANGE_M_MAX and self._places.is_within(command.position_m)
        ):
            raise RequestRefused(ErrorCode.OUT_OF_RANGE, "That is too far to point at.")
        entity_id = int(self._tables.entity_ids[slot])
        marker = Marker(entity_id, command.position_m, command.yaw)
        self._stage.show(slot, marker, self.markers, out)


def is_guest(person: str) -> bool:
    """Whether somebody has no account, and so is another person the next time."""
    return person.startswith(("guest:", "session:"))
