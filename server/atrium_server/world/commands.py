"""What goes into a tick and what comes out of it, besides poses. PURE.

Commands are what the network, lanes and admins ask of a world; they are tagged structs, so that a
recording of them is a file and a replay of it is the same world again. Outputs are addressed
messages of the wire and requests to the judge: the world says what is to be told to whom, and the
host tells it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from atrium_server.world.props import Change, Prop
from atrium_server.world.relations import Regard
from atrium_server.world.social_commands import SOCIAL_COMMANDS as SOCIAL_COMMANDS
from atrium_server.world.social_commands import Command as Command
from atrium_server.world.social_commands import Dress as Dress
from atrium_server.world.social_commands import PointAt as PointAt
from atrium_server.world.social_commands import Regards as Regards
from atrium_server.world.social_commands import Relate as Relate
from atrium_server.world.social_commands import Related as Related
from atrium_server.world.social_commands import Report as Report
from atrium_server.world.social_commands import Reported as Reported
from atrium_server.world.social_commands import SetVoice as SetVoice
from atrium_server.world.social_commands import Shelter as Shelter
from atrium_server.world.social_commands import Signal as Signal
from atrium_server.world.social_commands import SocialCommand as SocialCommand
from atrium_shared.edits import Edit, PropMove
from atrium_shared.messages import ChatChannel, Message, SaveState, TeleportTarget
from atrium_shared.props import Position, Rotation, Transform, Velocity


class Back(msgspec.Struct, frozen=True, array_like=True):
    """What a session was before the server began again."""

    x: float
    y: float
    z: float
    yaw: float
    seat: int = -1
    requests: tuple[int, ...] = ()
    """Of its edits, those that are saved."""
    prop: bytes = b""
    """The prop on which it sat."""


class Join(Command, tag="join", frozen=True):
    """A session with a reserved seat wants its avatar. Answered with `Joined`."""

    session_id: int
    name: str
    avatar: str
    uuid: bytes = bytes(16)
    """Of the session, the same for ever: by it and a request's id an edit is done once."""
    author: str = ""
    """Who it is as the owner of props; nobody, and so without any right to build, when empty."""
    rights: int = 0
    """Bits of `messages.Rights`."""
    back: Back | None = None
    floor: int = -1
    """No request for an edit up to this number is a new one: it was asked in another world."""
    regards: tuple[Regard, ...] = ()
    """What it does about others, from its first tick on."""
    is_safe: bool = False
    """Whether it is in the safe zone."""

    @property
    def person(self) -> str:
        """Who it is to the relations; one of its own where nobody knows."""
        return self.author or f"session:{self.session_id}"


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


class Withdraw(Command, tag="withdraw", frozen=True):
    """A line is not to be read after all: its verdict has changed, if need be after it was told."""

    line_id: int
    reason: str


class LateLine(Command, tag="late line", frozen=True):
    """A line that was kept back is told after all, behind all that was said meanwhile."""

    session_id: int
    request_id: int
    channel: ChatChannel
    target: int
    sender_id: int
    sender_name: str
    text: str
    person: str
    blocked: tuple[str, ...] = ()


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


class SitOn(Command, tag="sit", frozen=True):
    """To a seat that somebody has built, as in `messages.Sit`."""

    session_id: int
    request_id: int
    prop_id: bytes


class Entitle(Command, tag="entitle", frozen=True):
    """What a session may do has changed."""

    session_id: int
    rights: int
    """Bits of `messages.Rights`."""


class Build(Command, tag="build", frozen=True):
    """An edit, as in `messages.EditSubmit`."""

    session_id: int
    request_id: int
    edit: Edit


class Take(Command, tag="take", frozen=True):
    """A prop into the hand, as in `messages.Grab`."""

    session_id: int
    request_id: int
    prop_id: bytes
    hand: int
    position_m: Position
    rotation: Rotation


class LetGo(Command, tag="let go", frozen=True):
    """Out of the hand, as in `messages.Release`."""

    session_id: int
    request_id: int
    prop_id: bytes
    transform: Transform
    velocity_m_per_s: Velocity


class Drag(Command, tag="drag", frozen=True):
    """What is dragged and not edited yet, as in `messages.Drag`."""

    session_id: int
    drags: tuple[PropMove, ...]


class SignJudged(Command, tag="sign", frozen=True):
    """The verdict on the text of a sign."""

    prop_id: bytes
    asked: str
    """The text that was judged; another one may be pending by now."""
    publish: bool
    text: str
    """What may be published; the judge may have masked parts of it."""
    reason: str


class Store(Command, tag="store", frozen=True):
    """How it stands with the saving of this world, and how much more may wait for it."""

    state: SaveState
    edits: int
    rows: int
    bytes: int


class Saved(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What became of one edit that was accepted."""

    uuid: bytes
    request_id: int
    is_durable: bool
    sentence: str = ""


class EditsSaved(Command, tag="saved", frozen=True):
    answers: tuple[Saved, ...]


class Reread(Command, tag="reread", frozen=True):
    """These are as the store has them: what was made of them could not be saved."""

    props: tuple[tuple[bytes, Prop | None], ...]


class Forget(Command, tag="forget", frozen=True):
    """An author is gone for good: nothing of it is undone any more."""

    author: str


class Amend(Command, tag="amend", frozen=True):
    """Changes that are nobody's edit: a roll-back, a restore. Each is made where the prop still is
    as the change says. Answered with `Amended`.
    """

    number: int
    op: str
    author: str
    changes: tuple[Change, ...]


SessionCommand = (
    Leave | LinkChange | Say | Gesture | Jump | Entitle | Build | Take | LetGo | Drag | SitOn
    | SocialCommand
)
SESSION_COMMANDS = (
    Leave, LinkChange, Say, Gesture, Jump, Entitle, Build, Take, LetGo, Drag, SitOn,
    *SOCIAL_COMMANDS,
)
HouseCommand = (
    Judged | Withdraw | LateLine | Retract | SignJudged | Store | EditsSaved | Reread | Forget
    | Amend | Regards
)
AnyCommand = Join | SessionCommand | HouseCommand | Signal


@dataclass(frozen=True, slots=True)
class Tell:
    """A message for the sessions listed; None means everybody in the world."""

    sessions: tuple[int, ...] | None
    message: Message
    without: tuple[int, ...] = ()
    """Sessions that are not told although everybody is."""


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
    person: str = ""
    """Of the sender, as relations know it; for what the judge remembers of them."""
    session_id: int = 0
    request_id: int = 0
    target: int = 0
    sender_name: str = ""
    blocked: tuple[str, ...] = ()
    """The rest of what is needed to tell the line later (`LateLine`)."""


@dataclass(frozen=True, slots=True)
class SignRequest:
    """The text of a sign waits for its verdict: answer with `SignJudged`."""

    prop_id: bytes
    text: str
    is_published: bool = False
    """It was judged before, and stays as it is without a verdict."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """An edit that was made and is to be saved, with all that it changed."""

    uuid: bytes
    """Of the session that asked, or of the world's own run."""
    request_id: int
    op: str
    author: str
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True)
class Amended:
    """What became of an `Amend`: so many changes were made, so many props left alone."""

    number: int
    made: int
    left_alone: int


@dataclass(slots=True)
class TickOutput:
    """All that one tick has to say."""

    tells: list[Tell] = field(default_factory=list[Tell])
    joined: list[Joined] = field(default_factory=list[Joined])
    judge: list[JudgeRequest] = field(default_factory=list[JudgeRequest])
    signs: list[SignRequest] = field(default_factory=list[SignRequest])
    edits: list[Accepted] = field(default_factory=list[Accepted])
    amended: list[Amended] = field(default_factory=list[Amended])
    reports: list[Reported] = field(default_factory=list[Reported])
    related: list[Related] = field(default_factory=list[Related])
    dressed: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    """Sessions and their new avatars."""
    voiced: list[int] = field(default_factory=list[int])
    """Sessions that have switched voice on."""
    corrections: dict[str, int] = field(default_factory=dict[str, int])
    """Broken movement rules by name."""
    lines: int = 0
    """Lines that were cleaned, whether taken or not."""
    emotes: int = 0
    markers: int = 0
    drags: int = 0
    """Props whose drags were looked at."""
    relations: int = 0
    """Lists that were told to those who changed theirs."""
    poses_taken: int = 0
