"""A client's side of `atrium.1` without any I/O: bytes in, events out; calls in, bytes out. Pure.

Theory of operation
-------------------
The session knows its state, what it has seen and what it has asked for; it owns no socket, no
task and no clock. The application (or `driver`, or a load test) carries the bytes and says what
time it is, in seconds of any monotonic clock::

    session = ClientSession(Identity(name="Ada"))
    send(session.hello(now))
    for data in received:
        for event in session.receive(data, now): ...
    for data in session.due(now): send(data)            # clock pings and acknowledgements
    send(session.pose(body, now))

`ALLOWED` is the whole state machine: state -> message -> next state. What is not in it is a
ProtocolError by the server, without a line of code. ::

    NEW --hello--> JOINING --Welcome--> ACTIVE --link_lost--> LOST --hello--> JOINING ...
                      |                    |
                      +------- Error ------+--> ENDED, or LOST when the code can be resumed

A welcome begins a new *index epoch*: view and roster are empty again. Requests (`requests`) survive
a lost link, but no travel. A resume that leads into another world is the end of a travel whose
welcome was lost.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from atrium_client import events
from atrium_client.body import root_of
from atrium_client.clock import ServerClock
from atrium_client.events import Event
from atrium_client.requests import Requests
from atrium_shared import codec, limits, messages, pose
from atrium_shared.errors import CLOSE_CODE_OF, ErrorCode, ProtocolError
from atrium_shared.messages import (
    ChatChannel,
    ChatState,
    ClientKind,
    EnterEntry,
    Message,
    TeleportTarget,
    Welcome,
)
from atrium_shared.snapshot import View

CLOCK_FIRST_PINGS: Final = 5
CLOCK_FIRST_S: Final = 0.3
"""Between the first pings: slow enough for the server's limit, quick enough to be right soon."""
CLOCK_PERIOD_S: Final = 5.0
ACK_PERIOD_S: Final = 0.1
"""A newer tick is acknowledged at least this often, by a pose or by an `Ack`."""
CHAT_REMEMBERED: Final = 256
RESUMABLE: Final = frozenset(
    {ErrorCode.TIMEOUT, ErrorCode.SLOW, ErrorCode.DRAINING, ErrorCode.INTERNAL}
)
"""Errors after which the same token may be tried again."""
FINAL_CLOSE_CODES: Final = frozenset(
    {int(close) for code, close in CLOSE_CODE_OF.items() if code not in RESUMABLE}
)
"""The same for a close frame whose `Error` got lost on the way."""


class State(enum.Enum):
    NEW = "new"
    JOINING = "joining"
    ACTIVE = "active"
    LOST = "lost"
    ENDED = "ended"


_IN_WORLD: dict[type[Message], State] = dict.fromkeys(messages.SERVER_MESSAGES, State.ACTIVE)
ALLOWED: Final[dict[State, dict[type[Message], State]]] = {
    State.NEW: {},
    State.JOINING: {
        Welcome: State.ACTIVE,
        messages.ClockPong: State.JOINING,
        messages.Notice: State.JOINING,
        messages.Error: State.ENDED,
    },
    State.ACTIVE: {**_IN_WORLD, messages.Error: State.ENDED},
    State.LOST: {},
    State.ENDED: {},
}


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


class ClientSession:
    """One client's session with one server. See the module's docstring for its use."""

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
        self._token = ""
        self._last_chat_seq = 0
        self._chat_seen: deque[int] = deque(maxlen=CHAT_REMEMBERED)
        self._requests = Requests()
        self._pings = 0
        self._ping_due_s = 0.0
        self._acked_tick: int | None = None
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
            who.auth_token, self._token, self._last_chat_seq,
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

    def link_lost(self, sentence: str, close_code: int | None = None) -> list[Event]:
        """The connection is gone. Returns what the application does not know yet."""
        if self.state in (State.LOST, State.ENDED):
            return []
        if close_code in FINAL_CLOSE_CODES:
            self.state = State.ENDED
            code = next(c for c, close in CLOSE_CODE_OF.items() if close == close_code)
            return [events.Ended(code, sentence, 0)]
        self.state = State.NEW if self.welcome is None else State.LOST
        return [] if self.welcome is None else [events.LinkLost(sentence)]

    def _must_be_active(self) -> None:
        if self.state is not State.ACTIVE:
            raise RuntimeError(f"a session that is {self.state.value} cannot say this")

    def _ask(self, kind: type[Message], now_s: float) -> int:
        self._must_be_active()
        return self._requests.ask(kind, now_s)

    # --- what we hear --------------------------------------------------------------------

    def receive(self, data: bytes, now_s: float) -> list[Event]:
        """Take one message. Raises ProtocolError when the server may not say it (now)."""
        message = codec.decode_server(data)
        following = ALLOWED[self.state].get(type(message))
        if following is None:
            raise ProtocolError(
                ErrorCode.UNEXPECTED,
                f"the server said {type(message).__name__} to a session that is {self.state.value}",
            )
        before, self.state = self.state, following
        match message:
            case messages.Snapshot():
                return [self._snapshot(message)]
            case messages.Enter():
                return [self._enter(entity) for entity in message.entries]
            case messages.Leave():
                return [self._leave(index) for index in message.indexes]
            case messages.ClockPong():
                self.clock.pong(message.client_ms, message.server_ms, now_s)
                return []
            case messages.Welcome():
                return self._welcome(message, before, now_s)
            case messages.Correction():
                return [self._correction(message)]
            case messages.Error():
                return [self._error(message, before)]
            case messages.Result():
                return self._result(message)
            case messages.ChatStatus():
                return self._chat_status(message)
            case messages.ChatPublished():
                return self._chat_published(message)
            case messages.ChatRetract():
                return [events.ChatRetracted(message.chat_seq)]
            case messages.Emote():
                return [events.Emoted(message.entity_id, message.emote)]
            case messages.Notice():
                return [events.Noticed(message.code, message.sentence)]

    def _snapshot(self, message: messages.Snapshot) -> Event:
        if self.tick is not None and message.tick <= self.tick:
            raise ProtocolError(ErrorCode.MALFORMED, "a snapshot is not newer than the one before")
        touched = self.view.apply(message.tick, message.body)
        if not self.roster.keys() >= set(touched.tolist()):
            raise ProtocolError(ErrorCode.MALFORMED, "a record came for an index nobody entered")
        self.tick, self.ack_seq = message.tick, message.ack_seq
        server_s = self.clock.seconds(message.server_ms)
        return events.SnapshotTaken(message.tick, server_s, message.ack_seq, touched)

    def _enter(self, entity: EnterEntry) -> Event:
        if entity.index >= limits.INDEXES_MAX or entity.index in self.roster:
            raise ProtocolError(ErrorCode.MALFORMED, "an entity entered at an index not free")
        self.roster[entity.index] = entity
        self.view.forget(entity.index)
        return events.Entered(entity)

    def _leave(self, index: int) -> Event:
        entity = self.roster.pop(index, None)
        if entity is None:
            raise ProtocolError(ErrorCode.MALFORMED, "an entity left that had not entered")
        self.view.forget(index)
        return events.Left(entity)

    def _welcome(self, message: Welcome, before: State, now_s: float) -> list[Event]:
        if not message.tick_rate_hz or not message.y_unit_mm:
            raise ProtocolError(ErrorCode.MALFORMED, "a welcome has a zero where none may be")
        known, self.welcome, self._token = self.welcome, message, message.resume_token
        moved = known is not None and known.world != message.world
        self.view, self.roster = View(), {}
        self.tick = self._acked_tick = None
        root_of(message.body)  # refuses a malformed one now rather than at its first use
        if before is State.ACTIVE or moved or not message.resumed:
            # Each world counts its lines from 1, and counts anew when it begins again.
            self._chat_seen.clear()
            self._last_chat_seq = 0
        # A further welcome on one connection begins another epoch of our poses.
        self._epoch = self._epoch ^ int(pose.Flags.EPOCH) if before is State.ACTIVE else 0
        if before is State.ACTIVE:
            return [events.Travelled(message), *self._requests.moved(message)]
        self.clock = ServerClock()
        self.clock.guess(message.server_ms, now_s)
        self._pings, self._ping_due_s = 0, now_s
        if known is None:
            return [events.Joined(message)]
        if not message.resumed:
            return [events.Resumed(message, True), *self._requests.joined_anew()]
        ended = self._requests.moved(message) if moved else self._requests.resumed(now_s)
        return [events.Resumed(message, False), *ended]

    def _correction(self, message: messages.Correction) -> Event:
        row = root_of(message.body)
        assert self.welcome is not None
        y_m = int(row[pose.Y]) * self.welcome.y_unit_mm / 1000
        position = (int(row[pose.X]) / 1000, y_m, int(row[pose.Z]) / 1000)
        yaw = pose.yaw_of(int(row[pose.YAW]))
        return events.Corrected(message.seq, messages.MoveReason(message.reasons), position, yaw)

    def _error(self, message: messages.Error, before: State) -> Event:
        gone = before is State.JOINING and message.code == ErrorCode.RESUME_INVALID
        again = message.code in RESUMABLE or (gone and self.identity.rejoin)
        if self.welcome is not None and again:
            self.state = State.LOST
            self._token = "" if gone else self._token
            return events.LinkLost(message.sentence, message.retry_ms)
        return events.Ended(message.code, message.sentence, message.retry_ms)

    def _result(self, message: messages.Result) -> list[Event]:
        if not message.request_id and message.code != ErrorCode.OK:
            return [events.Refused(message.code, message.reason, message.retry_ms)]
        kind = self._requests.kind_of(message.request_id)
        if kind is None or kind is messages.ChatSubmit:
            return []  # the answer to what we have given up waiting for, or none of a line
        final = message.code != ErrorCode.OK or kind is messages.Teleport
        return self._requests.answered(message.request_id, message) if final else []

    def _chat_status(self, message: messages.ChatStatus) -> list[Event]:
        if message.state is ChatState.RETRACTED:
            return [events.ChatRetracted(message.chat_seq)]
        final = message.state is not ChatState.PENDING
        ours = self._requests.kind_of(message.request_id) is messages.ChatSubmit
        return self._requests.answered(message.request_id, message) if final and ours else []

    def _chat_published(self, message: messages.ChatPublished) -> list[Event]:
        if message.chat_seq in self._chat_seen:
            return []  # sent again after a resume
        self._chat_seen.append(message.chat_seq)
        self._last_chat_seq = max(self._last_chat_seq, message.chat_seq)
        assert self.welcome is not None
        return [events.ChatLine(
            message.chat_seq, message.channel, message.sender_id, message.sender_name,
            message.text, self.clock.seconds(message.server_ms),
            message.sender_id == self.welcome.entity_id,
        )]
