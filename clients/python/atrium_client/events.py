"""What a session tells its application. Pure values."""

from __future__ import annotations

from dataclasses import dataclass

from atrium_shared.edits import Flight, PropMove
from atrium_shared.messages import (
    ChatChannel,
    ChatStatus,
    EditStatus,
    EnterEntry,
    MoveReason,
    PropHeld,
    PropsChanged,
    RelationEntry,
    Result,
    SaveState,
    SignState,
    Welcome,
)
from atrium_shared.pose import Bytes


@dataclass(frozen=True, slots=True)
class Joined:
    """The first welcome."""

    welcome: Welcome


@dataclass(frozen=True, slots=True)
class LinkLost:
    """The connection is gone; the seat is kept for a while and new attempts are being made."""

    sentence: str
    retry_ms: int = 0
    """The server asks not to come back sooner."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """There is a connection again. Everybody in view enters anew."""

    welcome: Welcome
    fresh: bool
    """The seat was gone: this is a new session, perhaps in another place. Otherwise `welcome` names
    another world than before only when a travel was under way as the link broke."""


@dataclass(frozen=True, slots=True)
class Travelled:
    """We are in another world. Everybody in view enters anew."""

    welcome: Welcome


@dataclass(frozen=True, slots=True)
class SnapshotTaken:
    """A snapshot has been applied to the session's view."""

    tick: int
    server_s: float
    """Server time of the tick, in seconds that never wrap."""
    ack_seq: int
    touched: Bytes
    """Indexes that had a record, shape (n,)."""


@dataclass(frozen=True, slots=True)
class Entered:
    """An entity has come into view; its first record follows."""

    entity: EnterEntry


@dataclass(frozen=True, slots=True)
class Left:
    """An entity has gone out of view."""

    entity: EnterEntry


@dataclass(frozen=True, slots=True)
class Corrected:
    """The server judged the pose `seq` otherwise: that one stood at `position`.

    After TELEPORT or SEATED that is where we are, and `yaw` is where we face. Otherwise our yaw is
    our own, and steps made since the pose are kept; REACH alone moves tracked points only.
    """

    seq: int
    reasons: MoveReason
    position: tuple[float, float, float]
    """Metres."""
    yaw: float
    """Radians."""


@dataclass(frozen=True, slots=True)
class ChatLine:
    """A line that somebody said."""

    chat_seq: int
    channel: ChatChannel
    sender_id: int
    sender_name: str
    text: str
    server_s: float
    mine: bool


@dataclass(frozen=True, slots=True)
class ChatRetracted:
    """A line is to be removed from the screen."""

    chat_seq: int


@dataclass(frozen=True, slots=True)
class Emoted:
    """Somebody shows an emote."""

    entity_id: int
    emote: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The server denied what has no request id, such as an emote."""

    code: int
    reason: str
    retry_ms: int
    """When it may be tried again; 0 if that is of no use."""


@dataclass(frozen=True, slots=True)
class RequestAnswered:
    """The final answer to a request of ours."""

    request_id: int
    answer: Result | ChatStatus | Welcome


@dataclass(frozen=True, slots=True)
class RequestExpired:
    """No answer came in time, or none can come any more."""

    request_id: int
    sentence: str


@dataclass(frozen=True, slots=True)
class EditAnswered:
    """What became of an edit of ours, each time that there is news of it."""

    status: EditStatus


@dataclass(frozen=True, slots=True)
class EditUnresolved:
    """Nobody can tell any more whether an edit of ours was done."""

    request_id: int
    sentence: str


@dataclass(frozen=True, slots=True)
class PropsUpdated:
    """Props were made, changed, moved or removed."""

    changed: PropsChanged


@dataclass(frozen=True, slots=True)
class PropTaken:
    """A prop is in a hand from now on, or in none (entity 0)."""

    held: PropHeld


@dataclass(frozen=True, slots=True)
class PropsFlew:
    """Props fly or slide from here on."""

    server_s: float
    """Server time at which they are where `flights` says."""
    flights: tuple[Flight, ...]


@dataclass(frozen=True, slots=True)
class PropsMoved:
    """All that somebody drags just now; nothing any more when `drags` is empty. No edit yet."""

    server_s: float
    entity_id: int
    drags: tuple[PropMove, ...]


@dataclass(frozen=True, slots=True)
class SignJudged:
    """What became of the text of a sign of ours, or that it waits for its judge."""

    prop_id: bytes
    state: SignState
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class LooksChanged:
    """Somebody has another avatar, whether in view or not."""

    entity_id: int
    avatar: str


@dataclass(frozen=True, slots=True)
class MarkerShown:
    """Somebody nearby shows a place and a direction."""

    entity_id: int
    position: tuple[float, float, float]
    yaw: float


@dataclass(frozen=True, slots=True)
class RelationsTold:
    """All that we do about others."""

    entries: tuple[RelationEntry, ...]


@dataclass(frozen=True, slots=True)
class SavingChanged:
    """How it stands with the saving of this world; the sentence is for the person."""

    state: SaveState
    sentence: str


@dataclass(frozen=True, slots=True)
class Noticed:
    """A sentence from the server for the person."""

    code: int
    sentence: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The server ended the session for good, or never began it."""

    code: int
    sentence: str
    retry_ms: int


PropEvent = PropsUpdated | PropTaken | PropsFlew | PropsMoved
"""What is told of props to everybody."""
Event = (
    Joined | LinkLost | Resumed | Travelled | SnapshotTaken | Entered | Left | Corrected
    | ChatLine | ChatRetracted | Emoted | Refused | RequestAnswered | RequestExpired
    | EditAnswered | EditUnresolved | PropEvent | SignJudged | SavingChanged | LooksChanged
    | MarkerShown | RelationsTold | Noticed | Ended
)
