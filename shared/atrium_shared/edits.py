"""What one may ask to be done to props: the operations of editing, as they stand on the wire.

An operation names props by ids that the client makes (UUIDs, 16 bytes), so that a client can show
its own edit at once and say it again after a lost link without doing it twice. Each is taken or
refused as a whole; what became of it is told by its request id. What is only dragged so far is no
edit: `Drag` shows it to others, and is forgotten.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from atrium_shared import limits
from atrium_shared.fields import U32, Message
from atrium_shared.props import Position, Properties, Rotation, Transform, Velocity

PropId = Annotated[bytes, Meta(min_length=16, max_length=16)]
GroupId = Annotated[bytes, Meta(max_length=16)]
"""Of a group, or empty for none."""
PropIds = Annotated[tuple[PropId, ...], Meta(min_length=1, max_length=limits.EDIT_PROPS_MAX)]


OwnerId = Annotated[str, Meta(max_length=limits.OWNER_CHARS_MAX)]
"""Who made a prop: the id of an account, `guest:` and the id of a session, or empty for the world
itself. `Welcome.author` says who one is."""


class _Edit(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """Base of all operations."""


class Create(_Edit, tag=1, frozen=True):
    prop_id: PropId
    group: GroupId
    transform: Transform
    properties: Properties


class Place(_Edit, tag=2, frozen=True):
    """Move, turn or scale; the transform is in the prop's group, if it is in one."""

    prop_id: PropId
    transform: Transform


class Describe(_Edit, tag=3, frozen=True):
    """Give it other properties, of the same kind."""

    prop_id: PropId
    properties: Properties


class Duplicate(_Edit, tag=4, frozen=True):
    """A copy, with all that is in it when it is a group."""

    prop_id: PropId
    copy_id: PropId
    transform: Transform


class Delete(_Edit, tag=5, frozen=True):
    """Away with it, and with all that is in it when it is a group."""

    prop_id: PropId


class Attach(_Edit, tag=6, frozen=True):
    """Put props into a group, or (group empty) out of theirs; they stay where they are seen."""

    prop_ids: PropIds
    group: GroupId


class Lock(_Edit, tag=7, frozen=True):
    """Nobody changes a locked prop before it is unlocked."""

    prop_id: PropId
    is_locked: bool


class Undo(_Edit, tag=8, frozen=True):
    """Take back my newest edit, where what it wrote still stands."""


class Redo(_Edit, tag=9, frozen=True):
    """Do again what I took back last."""


Edit = Create | Place | Describe | Duplicate | Delete | Attach | Lock | Undo | Redo
EDITS: tuple[type[_Edit], ...] = (
    Create, Place, Describe, Duplicate, Delete, Attach, Lock, Undo, Redo,
)


# --- what the others are told ------------------------------------------------------------


class PropState(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """All of a prop as everybody may know it."""

    prop_id: PropId
    group: GroupId
    transform: Transform
    properties: Properties
    owner: OwnerId
    is_locked: bool


class PropMove(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A prop that was only moved, turned or scaled."""

    prop_id: PropId
    transform: Transform


class Flight(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A thrown prop from here on, until the next word of it, with t since the tick of the message:
    in the air p(t) = position + velocity t + g t^2 / 2 with g = -9.81 m/s^2 upwards; on a support
    it slides on, slower by SLIDE_M_PER_S2 each second, until it stands.
    """

    prop_id: PropId
    position_m: Position
    rotation: Rotation
    velocity_m_per_s: Velocity
    is_sliding: bool


# --- what is not done yet ----------------------------------------------------------------

FEATURE_DRAGS = "drags"
"""PropsDragged."""
Drags = Annotated[tuple[PropMove, ...], Meta(max_length=limits.EDIT_PROPS_MAX)]


class Drag(Message, tag=19, frozen=True):
    """All that I drag just now, and where to; nothing any more when empty. Not answered."""

    drags: Drags


class PropsDragged(Message, tag=86, frozen=True):
    """All that an entity drags just now: what it dragged before and does not any more stands where
    its state says, as it does when nothing was told for DRAG_S_MAX."""

    entity_id: U32
    server_ms: U32
    drags: tuple[PropMove, ...]
