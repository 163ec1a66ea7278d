"""What goes into a tick and what comes out of it, besides poses. PURE.

Commands are what the network, lanes and admins ask of a world; they are tagged structs, so that a
recording of them is a file and a replay of it is the same world again. Outputs are addressed
messages of the wire and requests to the judge: the world says what is to be told to whom, and the
host tells it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from atrium_shared.messages import ChatChannel, Message, TeleportTarget


class Command(msgspec.Struct, frozen=True, array_like=True):
    """Base of all commands."""


class Join(Command, tag="join", frozen=True):
    """A session with a reserved seat wants its avatar. Answered with `Joined`."""

    session_id: int
    name: str
    avatar: str


class Leave(Command, tag="leave", frozen=True):
    """The session is over; its avatar goes."""

    session_id: int


class LinkChange(Command, tag="link", frozen=True):
    """The session's link was lost, or is back with a new connection."""

    session_id: int
    lost: bool


class Say(Command, tag="say", frozen=True):
    session_id: int
    request_id: int
    channel: ChatChannel
    target: int
    text: str


class Judged(Command, tag="judged", frozen=True):
    """The verdict on a line that was sent to the judge."""

    line_id: int
    publish: bool
    text: str
    """What may be published; the judge may have masked parts of it."""
    reason: str


class Retract(Command, tag="retract", frozen=True):
    """Take back a published line."""

    chat_seq: int


class Gesture(Command, tag="gesture", frozen=True):
    session_id: int
    emote: int


class Jump(Command, tag="jump", frozen=True):
    """A teleport request, as in `messages.Teleport`."""

    session_id: int
    request_id: int
    kind: TeleportTarget
    target: int
    x: float
    y: float
    z: float
    yaw: float


AnyCommand = Join | Leave | LinkChange | Say | Judged | Retract | Gesture | Jump


@dataclass(frozen=True, slots=True)
class Tell:
    """A message for the sessions listed; None means everybody in the world."""

    sessions: tuple[int, ...] | None
    message: Message


@dataclass(frozen=True, slots=True)
class Joined:
    """The avatar of a session exists now."""

    session_id: int
    slot: int
    entity_id: int


@dataclass(frozen=True, slots=True)
class JudgeRequest:
    """A line waits for its verdict: answer with `Judged`."""

    line_id: int
    sender_id: int
    channel: ChatChannel
    text: str


@dataclass(slots=True)
class TickOutput:
    """All that one tick has to say."""

    tells: list[Tell] = field(default_factory=list[Tell])
    joined: list[Joined] = field(default_factory=list[Joined])
    judge: list[JudgeRequest] = field(default_factory=list[JudgeRequest])
    corrections: dict[str, int] = field(default_factory=dict[str, int])
    """Broken movement rules by name."""
    lines: int = 0
    """Lines that were cleaned, whether taken or not."""
    emotes: int = 0
    poses_taken: int = 0
