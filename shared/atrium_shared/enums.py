"""The words of the wire that are numbers: kinds, states, reasons, rights.

Numbers are never reused. `atrium_shared.messages` hands all of them on.
"""

from __future__ import annotations

import enum


class ClientKind(enum.IntEnum):
    WEB = 0
    HEADSET = 1
    BOT = 2
    ADMIN = 3


class EntityKind(enum.IntEnum):
    AVATAR = 0
    NPC = 1
    PROP = 2


class ChatChannel(enum.IntEnum):
    WORLD = 0
    NEARBY = 1
    DIRECT = 2


class ChatState(enum.IntEnum):
    """What became of a line, told to its author."""

    PENDING = 0
    PUBLISHED = 1
    REJECTED = 2
    RETRACTED = 3


class TeleportTarget(enum.IntEnum):
    POINT = 0
    """`x, y, z, yaw` of the request."""
    SEAT = 1
    """The seat whose number is in `target`."""
    SPAWN = 2
    """A spawn point of the server's choice."""
    STAND = 3
    """Leave the seat, to its side."""


class EditState(enum.IntEnum):
    """What became of an edit, told to its author."""

    ACCEPTED = 0
    """Everybody sees it; it is not saved yet."""
    DURABLE = 1
    """It is saved, and survives a crash of the server and of the machine."""
    REVERTED = 2
    """It could not be saved, and was taken back."""
    REFUSED = 3


class SignState(enum.IntEnum):
    """What became of a sign's text, told to its author."""

    PENDING = 0
    PUBLISHED = 1
    REJECTED = 2


class SaveState(enum.IntEnum):
    """What may be expected of the place where a world is saved."""

    RW = 0
    DEGRADED = 1
    """Edits are taken; their DURABLE is late."""
    READ_ONLY = 2
    """Edits are refused."""
    FENCED = 3
    """Another server has the world."""


class Rights(enum.IntFlag):
    """What one may do in a world."""

    BUILD = 1
    MODERATE = 2
    """Also change what others have made."""


class MoveReason(enum.IntFlag):
    SPEED = 1
    BOUNDS = 2
    FLOOR = 4
    COLLIDER = 8
    REACH = 16
    TELEPORT = 32
    SEATED = 64
