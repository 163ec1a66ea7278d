"""Messages about people: how they look, whom they want near, what they show each other, voice.

All of them are switched on by a feature that the client names in `Capabilities.features`; the
server says none of them to who did not. `Relate`, `Report` and `SafeZone` are for a person's own
safety: what they ask for is enforced by the server before anything is sent, so that no other client
can get round it.
"""

from __future__ import annotations

import enum
from typing import Annotated

import msgspec
from msgspec import Meta

from atrium_shared import limits
from atrium_shared.edits import OwnerId, PropId
from atrium_shared.fields import U8, U32, Avatar, Message, Name, Radians
from atrium_shared.props import Position

FEATURE_AVATARS = "avatars"
"""Appearance."""
FEATURE_RELATIONS = "relations"
"""Relations."""
FEATURE_MARKERS = "markers"
"""Marker."""
FEATURE_VOICE = "voice"
"""RtcSignalled, RtcPeers and RtcServers."""
FEATURE_HISTORY = "history"
"""The last lines of the world after a join, as ChatPublished."""


class Relation(enum.IntFlag):
    """What one does about another person."""

    MUTE = 1
    """Their lines, emotes, markers and voice do not reach me."""
    HIDE = 2
    """I see where they are and nothing else of them."""
    BLOCK = 4
    """MUTE and HIDE, in both directions."""


class ReportReason(enum.IntEnum):
    """What somebody is reported for."""

    OTHER = 0
    HARASSMENT = 1
    HATE = 2
    SEXUAL = 3
    SPAM = 4
    CHILD_SAFETY = 5
    IMPERSONATION = 6


class VoiceMode(enum.IntEnum):
    """What one wants of voice."""

    OFF = 0
    LISTEN = 1
    TALK = 2


class SignalKind(enum.IntEnum):
    """What the bytes of an RtcSignal are: UTF-8 text, of which the server knows no more."""

    OFFER = 0
    """The SDP of an offer."""
    ANSWER = 1
    """The SDP of an answer."""
    CANDIDATE = 2
    """JSON of an RTCIceCandidateInit; empty at the end of candidates."""


# --- client to server --------------------------------------------------------------------


class AvatarSubmit(Message, tag=13, frozen=True):
    """I look like this from now on. Answered with `Result`."""

    request_id: U32
    avatar: Avatar


class Sit(Message, tag=14, frozen=True):
    """Let me sit on a prop that is a seat. Answered with `Result`, and a Correction."""

    request_id: U32
    prop_id: PropId


class Relate(Message, tag=15, frozen=True):
    """What I do about a person. Answered with `Result` and a new `Relations`."""

    request_id: U32
    entity_id: U32
    """Somebody in this world, or 0: then `person` says who."""
    person: OwnerId
    """As in `Relations`; empty unless `entity_id` is 0."""
    relation: Annotated[int, Meta(ge=0, le=7)]
    """Bits of `Relation`; 0 takes all back."""


class Report(Message, tag=16, frozen=True):
    """Somebody did wrong; moderators see what was said and done. Answered with `Result`."""

    request_id: U32
    entity_id: U32
    reason: ReportReason
    text: Annotated[str, Meta(max_length=limits.REPORT_CHARS_MAX)]


class SafeZone(Message, tag=17, frozen=True):
    """Everybody gone at once: I see nobody and nobody sees me. Answered with `Result`."""

    request_id: U32
    is_on: bool


class MarkerSubmit(Message, tag=18, frozen=True):
    """Look here: a place and a direction, shown to those nearby for a moment."""

    position_m: Position
    yaw: Radians


class RtcSignal(Message, tag=48, frozen=True):
    """To somebody with whom the server has paired me."""

    target: U32
    kind: SignalKind
    data: Annotated[bytes, Meta(max_length=limits.SIGNAL_BYTES_MAX)]


class VoiceSet(Message, tag=49, frozen=True):
    """What I want of voice. Answered with `Result`, then `RtcServers` and `RtcPeers`."""

    request_id: U32
    mode: VoiceMode


# --- server to client --------------------------------------------------------------------


class Appearance(Message, tag=83, frozen=True):
    """Somebody looks otherwise now; also told about somebody not in view."""

    entity_id: U32
    avatar: str


class RelationEntry(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What you do about one person."""

    person: OwnerId
    name: Name
    """As it was when this was decided."""
    relation: U8
    """Bits of `Relation`."""
    entity_id: U32
    """Who that is in this world just now, or 0."""


class Relations(Message, tag=84, frozen=True):
    """All that you do about people, after each Welcome and each change; what is not in it is 0."""

    entries: tuple[RelationEntry, ...]


class Marker(Message, tag=85, frozen=True):
    """Somebody nearby shows a place and a direction."""

    entity_id: U32
    position_m: Position
    yaw: Radians


class RtcSignalled(Message, tag=112, frozen=True):
    """From somebody with whom you are paired."""

    sender_id: U32
    kind: SignalKind
    data: bytes


class RtcPeer(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Somebody to be connected with."""

    entity_id: U32
    is_polite: bool
    """Whether you are the one of the two who gives way when both make an offer at once; the other
    one makes the first."""
    sends: bool
    """Whether that one may be heard: it wants to talk, and nobody has muted it for you."""
    hears: bool
    """Whether that one may hear you."""


class RtcPeers(Message, tag=113, frozen=True):
    """All with whom you are paired; a connection to anybody else is to be closed."""

    peers: tuple[RtcPeer, ...]


class IceServer(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A STUN or TURN server, as an RTCIceServer."""

    url: str
    username: str
    credential: str


class RtcServers(Message, tag=114, frozen=True):
    """By which servers connections can be found; before the first RtcPeers."""

    servers: tuple[IceServer, ...]


CLIENT_MESSAGES: tuple[type[Message], ...] = (
    AvatarSubmit, Sit, Relate, Report, SafeZone, MarkerSubmit, RtcSignal, VoiceSet,
)
SERVER_MESSAGES: tuple[type[Message], ...] = (
    Appearance, Relations, Marker, RtcSignalled, RtcPeers, RtcServers,
)
