"""Props in hands and in the air: grab, carry, release. PURE.

A prop in a hand has no place of its own: everybody draws it where the holder's hand is, so carrying
costs nothing but the message that began it. Commands come one after the other, so of any number of
people who reach for a prop in the same tick one gets it, and the others are told. Who lets go of it
says where and how fast; the world believes what an arm can do, and lets it fly (`flight`).

The release is an edit of who let go: ACCEPTED at once, and made when the prop lies still, as one
change from where it was taken to where it has come to rest. Until then the store has it where it
was taken, and there it is again when its holder leaves for good, or the server crashes.
"""

from __future__ import annotations

import math

import msgspec

from atrium_server.world import commands as c
from atrium_server.world.building import Building, Person
from atrium_server.world.flight import Flights
from atrium_server.world.holding import Holds
from atrium_server.world.props import Change, Prop, Quaternion, Vector
from atrium_server.world.tables import Tables
from atrium_server.world.telling import size_of
from atrium_shared import limits, pose
from atrium_shared.edits import Flight
from atrium_shared.errors import ErrorCode, RequestRefused
from atrium_shared.messages import (
    EditState,
    EditStatus,
    Message,
    PropHeld,
    PropsFlown,
    Result,
)
from atrium_shared.props import (
    Model,
    PropError,
    Shape,
    Transform,
    checked_transform,
)

MODEL_HALF_M = 0.25
"""Half of the size that a model of scale 1 has in the air; its own is not known here."""
_NOWHERE = (0.0, 0.0, 0.0)
_UPRIGHT = (0.0, 0.0, 0.0, 1.0)


class Throw(msgspec.Struct, frozen=True, array_like=True):
    """A release that has not come to rest: whose edit it will be."""

    session_id: int
    uuid: bytes
    request_id: int
    author: str


class Carrying:
    """Who holds what in one world, and what flies."""

    def __init__(
        self, building: Building, tables: Tables, flights: Flights, y_unit_mm: int,
        tick_rate_hz: int,
    ) -> None:
        self.holds = Holds()
        self.flights = flights
        self.throws: dict[bytes, Throw] = {}
        self._just_let_go: set[bytes] = set()
        """Those of this tick: nobody has been told yet that they are in no hand any more."""
        self._building = building
        self._tables = tables
        self._y_unit_mm = y_unit_mm
        self._tick_s = 1.0 / tick_rate_hz
        building.busy = self
        building.telling.hidden = self.throws

    def __contains__(self, prop_id: bytes) -> bool:
        """Whether it is in a hand or in the air."""
        return self.holds.held_by(prop_id) is not None or prop_id in self.throws

    # --- into the hand -------------------------------------------------------------------

    def take(self, command: c.Take, slot: int, out: c.TickOutput) -> None:
        """A prop into the hand of an avatar, or the reason why not."""
        person = self._building.people[command.session_id]
        answer = Result(command.request_id, ErrorCode.OK, "", 0)
        try:
            self._take(person, command, slot, out)
        except RequestRefused as refused:
            answer = Result(
                command.request_id, refused.code, refused.sentence, refused.retry_ms
            )
        out.tells.append(c.Tell((command.session_id,), answer))

    def _take(self, person: Person, command: c.Take, slot: int, out: c.TickOutput) -> None:
        prop_id = command.prop_id
        prop = self._portable(person, prop_id)
        if not math.dist(command.position_m, _NOWHERE) <= limits.GRIP_M_MAX:
            raise RequestRefused(ErrorCode.OUT_OF_RANGE, "A hand does not reach around that far.")
        if prop_id in self.throws:
            at = self.flights.position(prop_id)
        else:
            at = prop.transform.position_m
        self._needs_reach(slot, at)
        try:
            grip = checked_transform(Transform(command.position_m, command.rotation))
        except PropError as error:
            raise RequestRefused(ErrorCode.BAD_EDIT, str(error)) from None
        if (command.hand, prop_id) in self.holds.of(slot):
            return  # asked again
        if not self._building.telling.has_room_for_hands:
            raise RequestRefused(
                ErrorCode.RATE_LIMITED, "Too much goes from hand to hand: wait a moment.", 500
            )
        if len(self.holds) >= limits.HELD_PROPS_MAX:
            raise RequestRefused(ErrorCode.WORLD_FULL, "Too many things are in hands already.")
        self.holds.grab(slot, command.hand, prop_id, grip)
        if prop_id in self.throws:
            self.flights.cancel(prop_id)
            self._caught(prop_id, self.throws.pop(prop_id), out)
        self._tell(self._held(slot, command.hand, prop_id, grip), out)

    def _portable(self, person: Person, prop_id: bytes) -> Prop:
        """The prop, if this person may take it in the hand."""
        prop = self._building.props.get(prop_id)
        if prop is None:
            raise RequestRefused(ErrorCode.NOT_FOUND, "It is not there (any more).")
        if not isinstance(prop.properties, Model | Shape):
            raise RequestRefused(ErrorCode.NOT_ALLOWED, "This is nothing to be carried.")
        is_own = prop.owner == person.author.account and person.author.may_build
        if not (prop.properties.portable or is_own or person.author.may_moderate):
            raise RequestRefused(ErrorCode.NOT_ALLOWED, "It is not meant to be carried.")
        if prop.is_locked:
            raise RequestRefused(ErrorCode.NOT_ALLOWED, "It is locked: unlock it first.")
        if prop.group:
            raise RequestRefused(ErrorCode.BAD_EDIT, "It is part of a group: take it out first.")
        return prop

    def _needs_reach(self, slot: int, at: Vector) -> None:
        row = self._tables.poses.rows[slot]
        root = (
            int(row[pose.X]) / 1000, int(row[pose.Y]) * self._y_unit_mm / 1000,
            int(row[pose.Z]) / 1000,
        )
        if not math.dist(root, at) <= limits.GRAB_RANGE_M_MAX:
            raise RequestRefused(ErrorCode.OUT_OF_RANGE, "That is out of your reach.")

    def _caught(self, prop_id: bytes, throw: Throw, out: c.TickOutput) -> None:
        """A throw ends in a hand: nothing was changed, so there is nothing to save."""
        self._answer(throw, EditState.DURABLE, "It was caught.", out)

    # --- out of the hand -----------------------------------------------------------------

    def let_go(self, command: c.LetGo, slot: int, out: c.TickOutput) -> None:
        """A prop out of the hand: it falls or flies."""
        person = self._building.people[command.session_id]
        if self._building.is_answered(person, command.request_id, out):
            return
        try:
            self._building.needs_store(person)
            self._let_go(person, command, slot)
        except RequestRefused as refused:
            self._building.refuse(person, command.request_id, refused, out)
        else:
            status = EditStatus(command.request_id, EditState.ACCEPTED, 0, "", 0)
            self._building.tell(person, status, out)

    def _let_go(self, person: Person, command: c.LetGo, slot: int) -> None:
        prop_id = command.prop_id
        prop = self._building.props.get(prop_id)
        if prop is None or self.holds.held_by(prop_id) != slot:
            raise RequestRefused(ErrorCode.NOT_FOUND, "It is not in your hand.")
        try:
            transform = checked_transform(
                msgspec.structs.replace(command.transform, scale=prop.transform.scale)
            )
        except PropError as error:
            raise RequestRefused(ErrorCode.BAD_EDIT, str(error)) from None
        self._needs_reach(slot, transform.position_m)
        if not all(map(math.isfinite, command.velocity_m_per_s)):
            raise RequestRefused(ErrorCode.BAD_EDIT, "A speed has finite numbers only.")
        self.flights.launch(
            prop_id, transform.position_m, transform.rotation, command.velocity_m_per_s,
            half_size_m(prop),
        )
        self.holds.release(slot, prop_id)
        self.throws[prop_id] = Throw(
            person.session_id, person.uuid, command.request_id, person.author.account
        )
        self._just_let_go.add(prop_id)

    def leave(self, slot: int, out: c.TickOutput) -> None:
        """An avatar goes for good: what it held is where it was taken."""
        for _, prop_id in self.holds.drop_all(slot):
            self._put_back(prop_id, out)

    def give_up(self, prop_id: bytes, out: c.TickOutput) -> None:
        """The house takes a prop out of a hand, or out of the air, to where it was."""
        slot = self.holds.held_by(prop_id)
        if slot is not None:
            self.holds.release(slot, prop_id)
            self._put_back(prop_id, out)
        elif prop_id in self.throws:
            self.flights.cancel(prop_id)
            throw = self.throws.pop(prop_id)
            self._answer(throw, EditState.REVERTED, "It was put back where it was.", out)
            self._put_back(prop_id, out)

    def _put_back(self, prop_id: bytes, out: c.TickOutput) -> None:
        prop = self._building.props.get(prop_id)
        self._tell(PropHeld(prop_id, 0, 0, _NOWHERE, _UPRIGHT), out)
        self._building.telling.note((Change(prop_id, prop, prop),))

    # --- in the air ----------------------------------------------------------------------

    def step(self, tick: int, server_ms: int, out: c.TickOutput) -> None:
        """One tick of all that flies."""
        if not self.throws:
            return
        done = self.flights.step(self._tick_s)
        if done.segments:
            flights = tuple(Flight(*segment) for segment in done.segments)
            self._tell(PropsFlown(tick, server_ms, flights), out)
        for prop_id, position_m, rotation in done.rested:
            if prop_id in self._just_let_go:  # laid down: it never flew, so no flight tells it
                self._tell(PropHeld(prop_id, 0, 0, _NOWHERE, _UPRIGHT), out)
            self._rest(prop_id, position_m, rotation, out)
        self._just_let_go.clear()

    def _rest(
        self, prop_id: bytes, position_m: Vector, rotation: Quaternion, out: c.TickOutput
    ) -> None:
        """A prop lies still: that is the edit of who let go of it."""
        throw = self.throws.pop(prop_id)
        prop = self._building.props.get(prop_id)
        assert prop is not None, "what flies is not deleted"
        at = checked_transform(Transform(position_m, rotation, prop.transform.scale))
        change = Change(prop_id, prop, msgspec.structs.replace(prop, transform=at))
        try:
            self._building.come_to_rest(c.Accepted(
                throw.uuid, throw.request_id, "throw", throw.author, (change,)
            ), out)
        except RequestRefused as refused:
            self._answer(throw, EditState.REVERTED, refused.sentence, out)
            self._put_back(prop_id, out)

    def _answer(
        self, throw: Throw, state: EditState, sentence: str, out: c.TickOutput
    ) -> None:
        person = self._building.people.get(throw.session_id)
        if person is not None and person.uuid == throw.uuid:
            code = ErrorCode.OK if state is EditState.DURABLE else ErrorCode.CONFLICT
            self._building.tell(
                person, EditStatus(throw.request_id, state, code, sentence, 0), out
            )

    # --- what is told --------------------------------------------------------------------

    def news(self, tick: int, server_ms: int) -> list[Message]:
        """What a newcomer is to know of hands and flights."""
        news: list[Message] = [
            self._held(slot, hand, prop_id, grip) for slot, hand, prop_id, grip in self.holds
        ]
        flights = tuple(Flight(*segment) for segment in self.flights.present())
        return [*news, PropsFlown(tick, server_ms, flights)] if flights else news

    def _held(self, slot: int, hand: int, prop_id: bytes, grip: Transform) -> PropHeld:
        entity_id = int(self._tables.entity_ids[slot])
        return PropHeld(prop_id, entity_id, hand, grip.position_m, grip.rotation)

    def _tell(self, message: Message, out: c.TickOutput) -> None:
        out.tells.append(c.Tell(None, message))
        self._building.telling.charge_hands(size_of(message))


def half_size_m(prop: Prop) -> Vector:
    """Half the sides of the box around a prop, before it is turned."""
    half = MODEL_HALF_M if isinstance(prop.properties, Model) else 0.5
    x, y, z = (max(half * one, limits.THROWN_HALF_SIZE_M_MIN) for one in prop.transform.scale)
    return x, y, z


