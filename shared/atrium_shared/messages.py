"""Every message of `atrium.1`: the one definition that drives encoding, decoding and the hash.

Theory of operation
-------------------
A message is a MessagePack array `[op, field, ...]`; msgspec checks types, bounds and the exact
number of fields while it decodes, so nothing of the wrong shape, depth or size is ever built.
`CLIENT_MESSAGES` is what a client may say and `SERVER_MESSAGES` what the server may; the session's
state table (`atrium_server.net.session_state`) says when. Pose and snapshot have a fixed binary
form as well (`codec`), because they are decoded and built as matrices.

Numbers are never reused. A field is only ever added together with a new op or a feature that the
peer announced in `Capabilities.features`, because the decoder refuses arrays of another length.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from atrium_shared import limits, social
from atrium_shared.edits import Drag as Drag
from atrium_shared.edits import Edit, Flight, OwnerId, PropId, PropMove, PropState
from atrium_shared.edits import PropsDragged as PropsDragged
from atrium_shared.enums import ChatChannel as ChatChannel
from atrium_shared.enums import ChatState as ChatState
from atrium_shared.enums import ClientKind as ClientKind
from atrium_shared.enums import EditState as EditState
from atrium_shared.enums import EntityKind as EntityKind
from atrium_shared.enums import MoveReason as MoveReason
from atrium_shared.enums import Rights as Rights
from atrium_shared.enums import SaveState as SaveState
from atrium_shared.enums import SignState as SignState
from atrium_shared.enums import TeleportTarget as TeleportTarget
from atrium_shared.fields import U8, U16, U32, Avatar, Metres, Radians
from atrium_shared.fields import Message as Message
from atrium_shared.props import Position, Rotation, Transform, Velocity, WorldName
from atrium_shared.social import Appearance as Appearance
from atrium_shared.social import AvatarSubmit as AvatarSubmit
from atrium_shared.social import IceServer as IceServer
from atrium_shared.social import Marker as Marker
from atrium_shared.social import MarkerSubmit as MarkerSubmit
from atrium_shared.social import Relate as Relate
from atrium_shared.social import Relation as Relation
from atrium_shared.social import RelationEntry as RelationEntry
from atrium_shared.social import Relations as Relations
from atrium_shared.social import Report as Report
from atrium_shared.social import ReportReason as ReportReason
from atrium_shared.social import RtcPeer as RtcPeer
from atrium_shared.social import RtcPeers as RtcPeers
from atrium_shared.social import RtcServers as RtcServers
from atrium_shared.social import RtcSignal as RtcSignal
from atrium_shared.social import RtcSignalled as RtcSignalled
from atrium_shared.social import SafeZone as SafeZone
from atrium_shared.social import SignalKind as SignalKind
from atrium_shared.social import Sit as Sit
from atrium_shared.social import VoiceMode as VoiceMode
from atrium_shared.social import VoiceSet as VoiceSet

ChatText = Annotated[str, Meta(min_length=1, max_length=limits.CHAT_CHARS_MAX)]
Token = Annotated[str, Meta(max_length=limits.TOKEN_CHARS_MAX)]
Sentence = Annotated[str, Meta(max_length=limits.SENTENCE_CHARS_MAX)]
Feature = Annotated[str, Meta(max_length=limits.FEATURE_CHARS_MAX)]


class Capabilities(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What a client can take and give. Nested in `Hello` as an array without an op."""

    avatars_max: Annotated[int, Meta(ge=1, le=limits.INDEXES_MAX)] = 64
    bytes_per_s: Annotated[
        int, Meta(ge=limits.BYTES_PER_S_MIN, le=limits.BYTES_PER_S_MAX)
    ] = limits.BYTES_PER_S_DEFAULT
    parts: Annotated[int, Meta(ge=0, le=63)] = 3
    """Parts of others that it wants to receive (`pose.Parts`)."""
    features: Annotated[tuple[Feature, ...], Meta(max_length=limits.FEATURES_MAX)] = ()


# --- client to server --------------------------------------------------------------------


class Hello(Message, tag=1, frozen=True):
    """First message of a connection."""

    protocol_hash: Annotated[str, Meta(max_length=64)]
    kind: ClientKind
    name: Annotated[str, Meta(max_length=limits.MESSAGE_BYTES_MAX)]
    """Bounded by the message only, so that a name too long gets its own answer."""
    avatar: Avatar
    world: WorldName
    """Empty for the server's first world."""
    capabilities: Capabilities
    auth_token: Token
    """Empty for a guest."""
    resume_token: Token
    """Empty for a fresh session."""
    last_chat_seq: U32


class ClockPing(Message, tag=2, frozen=True):
    client_ms: U32


class Pose(Message, tag=3, frozen=True):
    """Where I am. `body` is as in `atrium_shared.pose`; `ack_tick` is the newest tick I decoded."""

    seq: U32
    client_ms: U32
    ack_tick: U32
    body: Annotated[bytes, Meta(min_length=12, max_length=512)]


class Ack(Message, tag=4, frozen=True):
    """`ack_tick` for those who send no poses."""

    ack_tick: U32


class ChatSubmit(Message, tag=5, frozen=True):
    request_id: U32
    channel: ChatChannel
    target: U32
    """Entity id for DIRECT, else 0."""
    text: ChatText


class EmoteSubmit(Message, tag=6, frozen=True):
    emote: U8


class Teleport(Message, tag=7, frozen=True):
    request_id: U32
    kind: TeleportTarget
    target: U32
    x: Metres
    y: Metres
    z: Metres
    yaw: Radians


class Travel(Message, tag=8, frozen=True):
    """Take me to another world of this server."""

    request_id: U32
    world: WorldName


class Bye(Message, tag=9, frozen=True):
    """I leave for good: do not keep my seat."""


class EditSubmit(Message, tag=10, frozen=True):
    """Change props. Answered with `EditStatus`; asked again with the same id it is done once."""

    request_id: U32
    edit: Edit


class Grab(Message, tag=11, frozen=True):
    """Take a prop in the hand. Answered with `Result`."""

    request_id: U32
    prop_id: PropId
    hand: Annotated[int, Meta(ge=0, le=limits.HANDS_MAX - 1)]
    """0 left, 1 right."""
    position_m: Position
    """Of the prop, in the frame of the hand."""
    rotation: Rotation


class Release(Message, tag=12, frozen=True):
    """Let go of a prop: it falls, or flies. An edit, answered with `EditStatus`."""

    request_id: U32
    prop_id: PropId
    transform: Transform
    """In the world."""
    velocity_m_per_s: Velocity


# --- server to client --------------------------------------------------------------------


class Welcome(Message, tag=64, frozen=True):
    """You are in; also sent when a `Travel` has succeeded. A new index epoch: forget everybody."""

    session_id: U32
    resume_token: str
    entity_id: U32
    world: str
    tick: U32
    tick_rate_hz: U8
    server_ms: U32
    cap: U8
    """Most entities you will see at once."""
    bytes_per_s: U32
    parts: U8
    y_unit_mm: U8
    resumed: bool
    resume_s: U16
    """How long your seat is kept after a lost link."""
    scene_url: str
    """`path@version` of the static scene, over HTTP, immutable."""
    body: bytes
    """Where you stand, as a root-only pose body."""
    request_id: U32
    """Of the `Travel` this answers, else 0."""
    author: OwnerId
    """Who one is as the owner of props."""
    rights: U8
    """Bits of `Rights`."""


class ClockPong(Message, tag=65, frozen=True):
    client_ms: U32
    server_ms: U32
    tick: U32


class Snapshot(Message, tag=66, frozen=True):
    tick: U32
    server_ms: U32
    ack_seq: U32
    """Newest pose of yours that this tick has taken."""
    body: bytes


class EnterEntry(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One entity that comes into view."""

    index: U8
    entity_id: U32
    kind: EntityKind
    name: str
    avatar: str


class Enter(Message, tag=67, frozen=True):
    entries: tuple[EnterEntry, ...]


class Leave(Message, tag=68, frozen=True):
    """Indexes that are free again, one byte each."""

    indexes: bytes


class Correction(Message, tag=69, frozen=True):
    """The server moved you: continue from `body` (a root-only pose body)."""

    seq: U32
    """The pose that broke a rule, or the newest one taken."""
    tick: U32
    reasons: U16
    """Bits of `MoveReason`."""
    body: bytes


class ChatStatus(Message, tag=70, frozen=True):
    request_id: U32
    state: ChatState
    chat_seq: U32
    reason: str


class ChatPublished(Message, tag=71, frozen=True):
    chat_seq: U32
    channel: ChatChannel
    sender_id: U32
    sender_name: str
    text: str
    server_ms: U32


class ChatRetract(Message, tag=72, frozen=True):
    chat_seq: U32


class Emote(Message, tag=73, frozen=True):
    entity_id: U32
    emote: U8


class Result(Message, tag=74, frozen=True):
    """The one first answer to a request."""

    request_id: U32
    code: U16
    reason: str
    retry_ms: U32


class Error(Message, tag=75, frozen=True):
    """The session ends; a close frame follows."""

    code: U16
    sentence: str
    retry_ms: U32


class Notice(Message, tag=76, frozen=True):
    """A sentence for the person (and `code` for the program): draining, world restarts, ..."""

    code: U16
    sentence: str


class EditStatus(Message, tag=77, frozen=True):
    """ACCEPTED and then DURABLE or REVERTED; or REFUSED."""

    request_id: U32
    state: EditState
    code: U16
    reason: str
    retry_ms: U32


class PropsChanged(Message, tag=78, frozen=True):
    """These props are so now, whatever they were before."""

    revision: U32
    """Counts these messages; the scene's version tells up to which one it holds them."""
    states: tuple[PropState, ...]
    moves: tuple[PropMove, ...]
    gone: tuple[PropId, ...]


class PropHeld(Message, tag=79, frozen=True):
    """A prop goes with the hand of an entity from now on; entity 0: it lies where it is."""

    prop_id: PropId
    entity_id: U32
    hand: U8
    position_m: Position
    """In the frame of the hand."""
    rotation: Rotation


class PropsFlown(Message, tag=80, frozen=True):
    """Props that were thrown or have bounced in this tick; where they lie at last is told as any
    other change."""

    tick: U32
    server_ms: U32
    flights: tuple[Flight, ...]


class SignStatus(Message, tag=81, frozen=True):
    """What became of the text of a sign of yours; nobody else sees a text that is PENDING."""

    prop_id: PropId
    state: SignState
    text: str
    reason: str


class Saving(Message, tag=82, frozen=True):
    """How it stands with the saving of this world; RW unless something else was said."""

    state: SaveState
    sentence: str


ClientMessage = (
    Hello | ClockPing | Pose | Ack | ChatSubmit | EmoteSubmit | Teleport | Travel | Bye
    | EditSubmit | Grab | Release | AvatarSubmit | Sit | Relate | Report | SafeZone | MarkerSubmit
    | RtcSignal | VoiceSet | Drag
)
ServerMessage = (
    Welcome | ClockPong | Snapshot | Enter | Leave | Correction | ChatStatus | ChatPublished
    | ChatRetract | Emote | Result | Error | Notice | EditStatus | PropsChanged | PropHeld
    | PropsFlown | SignStatus | Saving | Appearance | Relations | Marker | RtcSignalled | RtcPeers
    | RtcServers | PropsDragged
)

CLIENT_MESSAGES: tuple[type[Message], ...] = (
    Hello, ClockPing, Pose, Ack, ChatSubmit, EmoteSubmit, Teleport, Travel, Bye,
    EditSubmit, Grab, Release, *social.CLIENT_MESSAGES, Drag,
)
SERVER_MESSAGES: tuple[type[Message], ...] = (
    Welcome, ClockPong, Snapshot, Enter, Leave, Correction, ChatStatus, ChatPublished,
    ChatRetract, Emote, Result, Error, Notice, EditStatus, PropsChanged, PropHeld,
    PropsFlown, SignStatus, Saving, *social.SERVER_MESSAGES, PropsDragged,
)


def op_of(kind: type[Message]) -> int:
    """The first element of the array."""
    tag = kind.__struct_config__.tag
    assert isinstance(tag, int)
    return tag
