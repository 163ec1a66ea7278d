"""The props of a world as they are told: what there is, and where each is seen. Pure.

Theory of operation
-------------------
A scene has all props up to its revision; each `PropsChanged` has the next revision and says how
some props are now, whatever they were before. So a view is a scene and all changes of a higher
revision. Changes also come before the scene has been fetched: they are kept by prop, the newest
word of each, and laid over the scene when it is there. Only so many are kept; when older ones had
to give way, a scene that does not have them is refused, and a newer one must be fetched.

Where a prop is seen follows from the newest word of it: in the hand of its holder, on the curve of
its flight, or where its state says, within the groups that hold it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import Meta

from atrium_client import view
from atrium_shared import limits
from atrium_shared.edits import Flight, OwnerId, PropMove, PropState
from atrium_shared.errors import ErrorCode, ProtocolError
from atrium_shared.messages import U32, PropHeld, PropsChanged
from atrium_shared.props import Position, Properties, Rotation, Transform

GRAVITY_M_PER_S2: Final = 9.81
SLIDE_M_PER_S2: Final = 4.905
"""By how much what slides gets slower."""
EARLY_MAX: Final = 10_000
"""Props whose changes are kept while there is no scene."""

Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]
Hands = Callable[[int, int], view.Transform | None]
"""(entity id, hand) -> that hand in the world, or None where it is not known."""


class _SceneProp(msgspec.Struct, frozen=True):
    id: UUID
    position_m: Position
    rotation: Rotation
    scale: tuple[float, float, float]
    properties: Properties
    group: UUID | None = None
    owner: OwnerId = ""
    locked: bool = False


class Scene(msgspec.Struct, frozen=True):
    """The part of a scene that is about props."""

    revision: U32 = 0
    props: Annotated[
        tuple[_SceneProp, ...], Meta(max_length=limits.PROPS_PER_WORLD_MAX)
    ] = ()


_scene_decoder = msgspec.json.Decoder(Scene)


def decode_scene(data: bytes) -> Scene:
    """The props in the JSON of a scene. Raises ProtocolError."""
    try:
        return _scene_decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProtocolError(ErrorCode.MALFORMED, f"not a scene: {error}") from None


@dataclass(frozen=True, slots=True)
class _Word:
    """The newest that was told of a prop before the scene came."""

    revision: int
    state: PropState | None = None
    moved: Transform | None = None


class PropsView:
    """What we know of the props of the world we are in."""

    def __init__(self) -> None:
        self.scene_url = ""
        """The path of the scene that the newest welcome named."""
        self.needs_scene = True
        """Whether the scene is still to be fetched and given to `load`."""
        self.revision = 0
        """Of the newest change that is in here."""
        self._states: dict[bytes, PropState] = {}
        self._early: dict[bytes, _Word] = {}
        self._forgotten = 0
        """The newest revision of a change that had to give way."""
        self._held: dict[bytes, PropHeld] = {}
        self._flying: dict[bytes, tuple[float, Flight]] = {}
        self._dragged: dict[int, tuple[float, dict[bytes, Transform]]] = {}
        """By entity: since when, and where to."""

    def __len__(self) -> int:
        return len(self._states)

    def __contains__(self, prop_id: bytes) -> bool:
        return prop_id in self._states

    # --- what is told --------------------------------------------------------------------

    def welcomed(self, scene_url: str) -> None:
        """A welcome: what is held and flies is told again, and with the same scene all the changes
        since. What is known of that scene stays.
        """
        self._held.clear()
        self._flying.clear()
        self._dragged.clear()
        if self.needs_scene or scene_url != self.scene_url:
            self._states.clear()
            self._early.clear()
            self.revision = self._forgotten = 0
            self.needs_scene = True
        self.scene_url = scene_url

    def load(self, scene: Scene) -> bool:
        """Take the scene; False when it is too old, and a newer one is needed."""
        if scene.revision < self._forgotten:
            return False
        early, self._early = self._early, {}
        self._states = {prop.id.bytes: _state_of(prop) for prop in scene.props}
        for prop_id, word in early.items():
            if word.revision > scene.revision:
                self._say(prop_id, word)
        self.revision = max(self.revision, scene.revision)
        self.needs_scene = False
        return True

    def update(self, changed: PropsChanged) -> None:
        """Props were changed. Raises ProtocolError when they become too many."""
        if not self.needs_scene and changed.revision <= self.revision:
            return  # told again after a resume
        self.revision = changed.revision
        for state in changed.states:
            self._take(state.prop_id, _Word(changed.revision, state))
        for move in changed.moves:
            self._take(move.prop_id, _Word(changed.revision, moved=move.transform))
        for prop_id in changed.gone:
            self._take(prop_id, _Word(changed.revision))
            self._held.pop(prop_id, None)
        self._needs_few(len(self._states))

    def hold(self, held: PropHeld) -> None:
        """A prop is in a hand from now on, or in none. Raises ProtocolError for too many."""
        self._flying.pop(held.prop_id, None)
        self._held.pop(held.prop_id, None)
        if held.entity_id:
            self._held[held.prop_id] = held
        self._needs_few(len(self._held))

    def fly(self, server_s: float, flights: tuple[Flight, ...]) -> None:
        """Props fly or slide from here on. Raises ProtocolError for too many."""
        for flight in flights:
            self._held.pop(flight.prop_id, None)
            self._flying[flight.prop_id] = server_s, flight
        self._needs_few(len(self._flying))

    def _take(self, prop_id: bytes, word: _Word) -> None:
        self._flying.pop(prop_id, None)
        self._undrag(prop_id)
        if not self.needs_scene:
            self._say(prop_id, word)
            return
        before = self._early.pop(prop_id, None)
        if word.moved is not None and before is not None and before.state is not None:
            state = msgspec.structs.replace(before.state, transform=word.moved)
            word = _Word(word.revision, state)
        self._early[prop_id] = word
        if len(self._early) > EARLY_MAX:
            oldest = next(iter(self._early))
            self._forgotten = self._early.pop(oldest).revision

    def _say(self, prop_id: bytes, word: _Word) -> None:
        before = self._states.get(prop_id)
        if word.state is not None:
            self._states[prop_id] = word.state
        elif word.moved is None:
            self._states.pop(prop_id, None)
        elif before is not None:
            self._states[prop_id] = msgspec.structs.replace(before, transform=word.moved)

    @staticmethod
    def _needs_few(count: int) -> None:
        if count > limits.PROPS_PER_WORLD_MAX:
            raise ProtocolError(ErrorCode.MALFORMED, "more props than a world can have")

    # --- what there is -------------------------------------------------------------------

    def drag(self, server_s: float, entity_id: int, drags: tuple[PropMove, ...]) -> None:
        """All that an entity drags from now on; others' drags of these are over, so there are never
        more than props. Raises ProtocolError when they become too many all the same.
        """
        moved = {move.prop_id: move.transform for move in drags}
        for one, (_, dragged) in list(self._dragged.items()):
            for prop_id in dragged.keys() & moved.keys():
                del dragged[prop_id]
            if not dragged or one == entity_id:
                del self._dragged[one]
        if moved:
            self._dragged[entity_id] = (server_s, moved)
        self._needs_few(len(self._dragged))

    def _undrag(self, prop_id: bytes) -> None:
        for _, dragged in self._dragged.values():
            dragged.pop(prop_id, None)

    def _shown(self, state: PropState, server_s: float) -> Transform:
        """Where it is in its group at a moment: its state, or where it is dragged to."""
        for start_s, dragged in self._dragged.values():
            if state.prop_id in dragged and server_s - start_s <= limits.DRAG_S_MAX:
                return dragged[state.prop_id]
        return state.transform

    def get(self, prop_id: bytes) -> PropState | None:
        """A prop as it was told; None when it is not there."""
        return self._states.get(prop_id)

    def states(self) -> Iterator[PropState]:
        """All props."""
        return iter(list(self._states.values()))

    def holder(self, prop_id: bytes) -> tuple[int, int] | None:
        """(entity id, hand) of who holds a prop; None when nobody does."""
        held = self._held.get(prop_id)
        return None if held is None else (held.entity_id, held.hand)

    def is_flying(self, prop_id: bytes) -> bool:
        """Whether it was thrown and does not lie anywhere yet."""
        return prop_id in self._flying

    def where(self, prop_id: bytes, server_s: float, hands: Hands) -> Transform | None:
        """Where a prop is seen at a moment of the server's time; None when it is not to be seen:
        not there, in a hand that is not known, or in a group that is not there.
        """
        state = self._states.get(prop_id)
        if state is None:
            return None
        held = self._held.get(prop_id)
        if held is not None:
            hand = hands(held.entity_id, held.hand)
            return None if hand is None else _in_hand(hand, held, state)
        if prop_id in self._flying:
            start_s, flight = self._flying[prop_id]
            at = place_after(flight, server_s - start_s)
            return Transform(at, flight.rotation, state.transform.scale)
        seen = self._shown(state, server_s)
        for _ in range(limits.GROUP_DEPTH_MAX + 1):
            if not state.group:
                return seen
            state = self._states.get(state.group)
            if state is None:
                return None
            seen = compose(self._shown(state, server_s), seen)
        return None


def place_after(flight: Flight, t_s: float) -> Vector:
    """Where a prop is `t_s` seconds after it was told that it flies or slides so."""
    (x, y, z), (vx, vy, vz) = flight.position_m, flight.velocity_m_per_s
    t_s = max(0.0, t_s)
    if not flight.is_sliding:
        return x + vx * t_s, y + vy * t_s - GRAVITY_M_PER_S2 * t_s * t_s / 2, z + vz * t_s
    speed = math.hypot(vx, vy, vz)
    if speed == 0.0:
        return flight.position_m
    t_s = min(t_s, speed / SLIDE_M_PER_S2)
    share = t_s - SLIDE_M_PER_S2 * t_s * t_s / (2 * speed)
    return x + vx * share, y + vy * share, z + vz * share


def hand_in_world(position: Vector, yaw: float, hand: view.Transform) -> view.Transform:
    """A hand that is tracked in the frame of a root at `position` and `yaw`, in the world."""
    turn = (0.0, math.sin(yaw / 2), 0.0, math.cos(yaw / 2))
    return view.Transform(
        _added(position, rotate(turn, hand.position)), multiply(turn, hand.rotation)
    )


def compose(outer: Transform, inner: Transform) -> Transform:
    """`inner`, given in the frame of a group at `outer`, in the frame that `outer` is given in."""
    size = outer.scale[0]
    moved = rotate(outer.rotation, _scaled(inner.position_m, size))
    return Transform(
        _added(outer.position_m, moved), multiply(outer.rotation, inner.rotation),
        _scaled(inner.scale, size),
    )


def multiply(a: Quaternion, b: Quaternion) -> Quaternion:
    """The rotation that first does `b`, then `a` (Hamilton product, x y z w)."""
    ax, ay, az, aw = a
    bx, by, bz, bw = b
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )


def rotate(q: Quaternion, v: Vector) -> Vector:
    """A vector turned by a quaternion of length 1."""
    x, y, z, _ = multiply(multiply(q, (*v, 0.0)), (-q[0], -q[1], -q[2], q[3]))
    return x, y, z


def _in_hand(hand: view.Transform, held: PropHeld, state: PropState) -> Transform:
    return Transform(
        _added(hand.position, rotate(hand.rotation, held.position_m)),
        multiply(hand.rotation, held.rotation), state.transform.scale,
    )


def _state_of(prop: _SceneProp) -> PropState:
    return PropState(
        prop.id.bytes, prop.group.bytes if prop.group is not None else b"",
        Transform(prop.position_m, prop.rotation, prop.scale), prop.properties, prop.owner,
        prop.locked,
    )


def _scaled(v: Vector, by: float) -> Vector:
    return v[0] * by, v[1] * by, v[2] * by


def _added(a: Vector, b: Vector) -> Vector:
    return a[0] + b[0], a[1] + b[1], a[2] + b[2]
