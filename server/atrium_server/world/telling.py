"""What people are told of a world's props: the newest state of each, within a budget. PURE.

A change is noted by the id of its prop. Once a tick, as far as the budget goes, those that were
noted first are told as they stand *now*: somebody who drags a prop through ten places in a busy
tick costs one message, and nobody is ever behind by more than the budget makes them. What was only
moved is told without its properties.

Each message has a `revision`. A scene that was made between two ticks holds all messages up to the
present revision, and maybe changes that are told later: states are absolute, so that does no harm.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Sized

import msgspec

from atrium_server.world.budget import Budget
from atrium_server.world.props import Change, Prop, Props, is_only_moved
from atrium_shared import limits
from atrium_shared.edits import PropMove, PropState
from atrium_shared.messages import Message, PropsChanged

_MOVE_BYTES = 128
_STATE_BYTES = 240
"""A message costs so much for each prop, besides its properties."""

_size_encoder = msgspec.msgpack.Encoder()


class News(enum.IntEnum):
    """How much of a prop is news."""

    MOVED = 0
    CHANGED = 1


class Telling:
    """What is still to be told of the props of one world."""

    def __init__(self, props: Props, tick_rate_hz: int, readers: Sized) -> None:
        self.revision = 0
        self.reader = Budget(limits.PROPS_BYTES_PER_S_MAX, tick_rate_hz)
        """What one reader is told."""
        self.all = Budget(limits.PROPS_DELIVERED_BYTES_PER_S_MAX, tick_rate_hz)
        """What all readers together are told."""
        self.hands = (
            Budget(limits.HANDS_BYTES_PER_S_MAX, tick_rate_hz),
            Budget(limits.HANDS_DELIVERED_BYTES_PER_S_MAX, tick_rate_hz),
        )
        """The same for what is in hands and in the air, so that it holds up nothing else."""
        self.untold: dict[bytes, News] = {}
        """In the order in which they were noted."""
        self._props = props
        self._readers = readers
        self.hidden: Container[bytes] = ()
        """Props that are told otherwise for now: they wait until they are not in it any more."""
        self.tick = 0
        """In which all is told."""

    def note(self, changes: tuple[Change, ...]) -> None:
        """These have happened."""
        for change in changes:
            news = News.MOVED if _is_move(change) else News.CHANGED
            self.untold[change.prop_id] = max(news, self.untold.get(change.prop_id, news))

    def charge_hands(self, size_bytes: int) -> None:
        """A message about hands or flights was told to all."""
        one, all_ = self.hands
        one.take(self.tick, size_bytes)
        all_.take(self.tick, size_bytes * len(self._readers))

    @property
    def has_room_for_hands(self) -> bool:
        """Whether something may be grabbed in this tick."""
        return all(budget.has_room(self.tick) for budget in self.hands)

    @property
    def has_room(self) -> bool:
        """Whether something may be told in this tick."""
        return self.reader.has_room(self.tick) and self.all.has_room(self.tick)

    def next(self) -> PropsChanged | None:
        """The message of this tick, if there is anything to tell and room for it."""
        if not self.untold or not self.has_room:
            return None
        states: list[PropState] = []
        moves: list[PropMove] = []
        gone: list[bytes] = []
        size_bytes = 0
        told: list[bytes] = []
        for prop_id, news in self.untold.items():
            if size_bytes >= limits.PROPS_MESSAGE_BYTES_MAX:
                break
            if prop_id in self.hidden:
                continue
            told.append(prop_id)
            prop = self._props.get(prop_id)
            if prop is None:
                gone.append(prop_id)
                size_bytes += _MOVE_BYTES
            elif news is News.MOVED:
                moves.append(PropMove(prop_id, prop.transform))
                size_bytes += _MOVE_BYTES
            else:
                states.append(state_of(prop_id, prop))
                size_bytes += _STATE_BYTES + len(_size_encoder.encode(prop.properties))
        if not told:
            return None
        for prop_id in told:
            del self.untold[prop_id]
        self.reader.take(self.tick, size_bytes)
        self.all.take(self.tick, size_bytes * len(self._readers))
        self.revision += 1
        return PropsChanged(self.revision, tuple(states), tuple(moves), tuple(gone))


def state_of(prop_id: bytes, prop: Prop) -> PropState:
    """A prop as everybody may know it."""
    return PropState(
        prop_id, prop.group, prop.transform, prop.properties, prop.owner, prop.is_locked
    )


def _is_move(change: Change) -> bool:
    before, after = change.before, change.after
    return before is not None and after is not None and is_only_moved(before, after)


def size_of(message: Message) -> int:
    """Bytes of a message."""
    return len(_size_encoder.encode(message))
