"""What people ask of a world about each other, and what comes of it. PURE.

These are commands like those of `commands`, which names them all.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from atrium_server.world.relations import Regard
from atrium_shared.messages import ReportReason, SignalKind, VoiceMode
from atrium_shared.props import Position


class Command(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Base of all commands."""


class Relate(Command, tag="relate", frozen=True):
    """What one does about somebody, as in `messages.Relate`."""

    session_id: int
    request_id: int
    entity_id: int
    person: str
    relation: int


class Report(Command, tag="report", frozen=True):
    """Somebody did wrong, as in `messages.Report`. Answered by the host, with `Reported`."""

    session_id: int
    request_id: int
    entity_id: int
    reason: ReportReason
    text: str


class Shelter(Command, tag="shelter", frozen=True):
    """Into the safe zone or out of it, as in `messages.SafeZone`."""

    session_id: int
    request_id: int
    is_on: bool


class Dress(Command, tag="dress", frozen=True):
    """Other looks, as in `messages.AvatarSubmit`."""

    session_id: int
    request_id: int
    avatar: str


class PointAt(Command, tag="point", frozen=True):
    """A marker, as in `messages.MarkerSubmit`."""

    session_id: int
    position_m: Position
    yaw: float


class SetVoice(Command, tag="voice", frozen=True):
    """What one wants of voice, as in `messages.VoiceSet`."""

    session_id: int
    request_id: int
    mode: VoiceMode


class Signal(Command, tag="signal", frozen=True):
    """As in `messages.RtcSignal`: relayed by the host, and never seen by a world or a recording,
    for it tells addresses.
    """

    session_id: int
    target: int
    kind: SignalKind
    data: bytes


class Regards(Command, tag="regards", frozen=True):
    """All that a person does about others, as decided in another world or by another session."""

    person: str
    regards: tuple[Regard, ...]


SocialCommand = Relate | Report | Shelter | Dress | PointAt | SetVoice
SOCIAL_COMMANDS = (Relate, Report, Shelter, Dress, PointAt, SetVoice)


@dataclass(frozen=True, slots=True)
class Reported:
    """Somebody was reported: keep a case with its evidence, and answer."""

    session_id: int
    request_id: int
    entity_id: int
    """Of who is reported."""
    person: str
    name: str
    reason: ReportReason
    text: str


@dataclass(frozen=True, slots=True)
class Related:
    """Somebody has changed what is done about these; relation 0 is nothing any more."""

    person: str
    changed: tuple[Regard, ...]
    regards: tuple[Regard, ...]
    """All of them, as they are now."""
