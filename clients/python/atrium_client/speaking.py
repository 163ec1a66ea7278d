"""What a client says in one session, and when it may: the half of `session` that speaks. Pure.

Each call gives bytes to send; none sends. Clock pings and acknowledgements are `due` at their time,
edits when `next_edit` gives them, poses as often as the application likes.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import msgspec

from atrium_client.clock import ServerClock
from atrium_client.edits import Edits
from atrium_client.events import Event
from atrium_client.lines import Lines
from atrium_client.requests import Requests
from atrium_shared import codec, limits, messages
from atrium_shared.edits import Edit
from atrium_shared.errors import ErrorCode, ProtocolError, RequestRefused
from atrium_shared.messages import (
    ChatChannel,
    ClientKind,
    EnterEntry,
    Message,
    TeleportTarget,
    Welcome,
)
from atrium_shared.props import PropError, Transform
from atrium_shared.snapshot import View

CLOCK_FIRST_PINGS: Final = 5
CLOCK_FIRST_S: Final = 0.3
"""Between the first pings: slow enough for the server's limit, quick enough to be right soon."""
CLOCK_PERIOD_S: Final = 5.0
ACK_PERIOD_S: Final = 0.1
"""A newer tick is acknowledged at least this often, by a pose or by an `Ack`."""


class State(enum.Enum):
    NEW = "new"
    JOINING = "joining"
    ACTIVE = "active"
    LOST = "lost"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who joins, where, and what it can take."""

    name: str
    avatar: str = ""
    world: str = ""
    """Empty for the server's first world."""
    kind: ClientKind = ClientKind.BOT
    capabilities: messages.Capabilities = field(default_factory=messages.Capabilities)
    auth_token: str = ""
    rejoin: bool = False
    """When a resume is refused, the next hello joins anew instead of ending the session."""


class Speaker:
    """The state of a session, and all that may be said in it."""

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.state = State.NEW
        self.welcome: Welcome | None = None
        self.clock = ServerClock()
        self.view = View()
        self.roster: dict[int, EnterEntry] = {}
        """Who is behind each index."""
        self.tick: int | None = None
        """Tick of the newest snapshot of this epoch: what is acknowledged."""
        self.seq = 0
        """Of the newest pose sent; it goes on counting across resumes."""
        self.ack_seq = 0
        """Of the newest pose that a snapshot of the server has taken."""
        self.edits = Edits()
        self._token = ""
        self._lines = Lines()
        self._requests = Requests()
        self._pings = 0
        self._ping_due_s = 0.0
        self._acked_tick: int | None = None
        self.relations: tuple[messages.RelationEntry, ...] = ()
        """All that we do about others, as the server has told last."""
        self._epoch = 0
        """`pose.Flags.EPOCH` of the poses that count in the present world."""
        self._acked_s = 0.0

    # --- what we say ---------------------------------------------------------------------

    def hello(self) -> bytes:
        """Opens a connection, the first or, with the token of the last welcome, a new one.

        Raises RuntimeError when the session is neither NEW nor LOST.
        """
        if self.state not in (State.NEW, State.LOST):
            raise RuntimeError(f"a session that is {self.state.value} cannot say hello")
        self.state = State.JOINING
        who = self.identity
        return codec.encode(messages.Hello(
            codec.PROTOCOL_HASH, who.kind, who.name, who.avatar,
            who.world if self.welcome is None else self.welcome.world, who.capabilities,
            who.auth_token, self._token, self._lines.newest_seq,
        ))

    def pose(self, body: bytes, now_s: float) -> bytes:
        """Where we are, as a pose body (`atrium_shared.pose`); acknowledges the newest tick."""
        self._must_be_active()
        self.seq += 1
        self._acked_tick, self._acked_s = self.tick, now_s
        body = bytes((body[0], body[1] | self._epoch)) + body[2:]
        return codec.encode_pose(self.seq, round(now_s * 1000) % 2**32, self.tick or 0, body)

    def emote(self, emote: int) -> bytes:
        """Show an emote, 0 to 255."""
        self._must_be_active()
        return codec.encode(messages.EmoteSubmit(emote))

    def bye(self) -> bytes:
        """We leave for good."""
        self._must_be_active()
        return codec.encode(messages.Bye())

    def chat(
        self, text: str, channel: ChatChannel, target: int, now_s: float
    ) -> tuple[int, bytes]:
        """(request id, bytes) of a chat line; `target` is an entity id for DIRECT, else 0."""
        if not 1 <= len(text) <= limits.CHAT_CHARS_MAX:
            raise ValueError(f"a chat line has 1 to {limits.CHAT_CHARS_MAX} characters")
        request_id = self._ask(messages.ChatSubmit, now_s)
        return request_id, codec.encode(messages.ChatSubmit(request_id, channel, target, text))

    def teleport(
        self, kind: TeleportTarget, place: tuple[float, float, float, float] | int, now_s: float
    ) -> tuple[int, bytes]:
        """(request id, bytes) of a jump to `place`: x, y, z in metres and yaw, or a seat."""
        request_id = self._ask(messages.Teleport, now_s)
        seat, at = (place, (0.0,) * 4) if isinstance(place, int) else (0, place)
        request = messages.Teleport(request_id, kind, seat, *(float(value) for value in at))
        return request_id, codec.encode(request)

    def travel(self, world: str, now_s: float) -> tuple[int, bytes]:
        """(request id, bytes) of a change of world; its answer is a Welcome or a Result."""
        request_id = self._ask(messages.Travel, now_s)
        return request_id, codec.encode(messages.Travel(request_id, world))

    def grab(self, grab: messages.Grab, now_s: float) -> tuple[int, bytes]:
        """(request id, bytes) of a `grab`, whose own request id does not count. Raises PropError
        for what no server takes.
        """
        _checked(grab)
        request_id = self._ask(messages.Grab, now_s)
        self.edits.note_grab(now_s)
        return request_id, codec.encode(msgspec.structs.replace(grab, request_id=request_id))

    def social(self, message: Message, now_s: float) -> tuple[int, bytes]:
        """(request id, bytes) of a request about people, whose own request id does not count.

        Raises PropError for what no server takes.
        """
        _checked(message)
        request_id = self._ask(type(message), now_s)
        return request_id, codec.encode(msgspec.structs.replace(message, request_id=request_id))

    def edit(self, edit: Edit) -> int:
        """The request id of an edit, which is asked for when `next_edit` gives it.

        Between two links it waits for the next. Raises RequestRefused when too many wait, or during
        a travel, and PropError for what no server takes.
        """
        return self._keep(lambda request_id: messages.EditSubmit(request_id, edit))

    def release(
        self, prop_id: bytes, transform: Transform, velocity_m_per_s: tuple[float, float, float]
    ) -> int:
        """The same for letting go of a prop."""
        return self._keep(
            lambda request_id: messages.Release(request_id, prop_id, transform, velocity_m_per_s)
        )

    def _keep(self, made: Callable[[int], Message]) -> int:
        if self.welcome is None or self.state is State.ENDED:
            self._must_be_active()
        if self.is_travelling:
            raise RequestRefused(ErrorCode.NOT_ALLOWED, "Wait until the travel has ended.")
        self.edits.needs_room()
        request_id = self._requests.new_id()
        self.edits.add(request_id, _checked(made(request_id)))
        return request_id

    def next_edit(self, now_s: float) -> bytes | None:
        """The edit to be sent now, on the present link, if there is one: call until it is None, and
        again after `edits.wait_s` and after each message.
        """
        if self.state is not State.ACTIVE or self.is_travelling:
            return None
        return self.edits.next(now_s)

    @property
    def is_travelling(self) -> bool:
        """Whether a travel waits for its answer: until then nothing else may be asked."""
        return self._requests.is_travelling

    def due(self, now_s: float) -> list[bytes]:
        """What is to be sent by now besides poses: clock pings and acknowledgements."""
        if self.state is not State.ACTIVE:
            return []
        said: list[bytes] = []
        if now_s >= self._ping_due_s:
            self._pings += 1
            wait_s = CLOCK_FIRST_S if self._pings < CLOCK_FIRST_PINGS else CLOCK_PERIOD_S
            self._ping_due_s = now_s + wait_s
            said.append(codec.encode(messages.ClockPing(self.clock.ping(now_s))))
        stale = self.tick is not None and self.tick != self._acked_tick
        if stale and now_s - self._acked_s >= ACK_PERIOD_S:
            self._acked_tick, self._acked_s = self.tick, now_s
            said.append(codec.encode(messages.Ack(self.tick or 0)))
        return said

    def expire(self, now_s: float) -> list[Event]:
        """Requests whose time is up by now."""
        return self._requests.expire(now_s)

    def _must_be_active(self) -> None:
        if self.state is not State.ACTIVE:
            raise RuntimeError(f"a session that is {self.state.value} cannot say this")

    def _ask(self, kind: type[Message], now_s: float) -> int:
        self._must_be_active()
        return self._requests.ask(kind, now_s)


def _checked(message: Message) -> bytes:
    """The bytes of a message that the server will understand. Raises PropError where it would end
    the session instead.
    """
    try:
        data = codec.encode(message)
        codec.decode_client(data)
    except (ProtocolError, msgspec.EncodeError, UnicodeEncodeError, OverflowError) as error:
        raise PropError(f"No server takes this: {error}") from None
    return data
