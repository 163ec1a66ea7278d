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
welcome was lost. Edits (`edits`) are asked again after each resume, until their fate is known;
`next_edit` says what is to be sent now.
"""

from __future__ import annotations

from typing import Final

import msgspec

from atrium_client import events
from atrium_client.body import root_of
from atrium_client.clock import ServerClock
from atrium_client.events import Event
from atrium_client.speaking import Identity as Identity
from atrium_client.speaking import Speaker
from atrium_client.speaking import State as State
from atrium_shared import codec, limits, messages, pose
from atrium_shared.errors import CLOSE_CODE_OF, ErrorCode, ProtocolError
from atrium_shared.messages import ChatState, EnterEntry, Message, Welcome
from atrium_shared.snapshot import View

ToldAsItIs = (
    messages.ChatRetract | messages.Emote | messages.Notice | messages.PropsChanged
    | messages.PropHeld | messages.PropsFlown | messages.SignStatus | messages.Saving
    | messages.Marker | messages.PropsDragged
)
_OVER: Final = "The session that asked is over: look whether it was done."
_LEFT: Final = "We left the world that was asked: look there whether it was done."
RESUMABLE: Final = frozenset(
    {ErrorCode.TIMEOUT, ErrorCode.SLOW, ErrorCode.DRAINING, ErrorCode.INTERNAL}
)
"""Errors after which the same token may be tried again."""
FINAL_CLOSE_CODES: Final = frozenset(
    {int(close) for code, close in CLOSE_CODE_OF.items() if code not in RESUMABLE}
)
"""The same for a close frame whose `Error` got lost on the way."""

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


class ClientSession(Speaker):
    """One client's session with one server. See the module's docstring for its use.

    `Speaker` has what it says; here is what it hears.
    """

    def link_lost(self, sentence: str, close_code: int | None = None) -> list[Event]:
        """The connection is gone. Returns what the application does not know yet."""
        if self.state in (State.LOST, State.ENDED):
            return []
        if close_code in FINAL_CLOSE_CODES:
            self.state = State.ENDED
            code = next(c for c, close in CLOSE_CODE_OF.items() if close == close_code)
            return [events.Ended(code, sentence, 0), *self.edits.lost(_OVER)]
        self.state = State.NEW if self.welcome is None else State.LOST
        return [] if self.welcome is None else [events.LinkLost(sentence)]

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
                return self._error(message, before)
            case messages.Result():
                return self._result(message)
            case messages.EditStatus():
                return self.edits.answered(message, now_s)
            case messages.ChatStatus():
                return self._chat_status(message)
            case messages.ChatPublished():
                return self._chat_published(message)
            case messages.Appearance():
                return self._looks(message)
            case messages.Relations():
                self.relations = message.entries
                return [events.RelationsTold(message.entries)]
            case messages.RtcSignalled() | messages.RtcPeers() | messages.RtcServers():
                return []  # of a feature that we do not announce
            case _:
                return [self._told(message)]

    def _told(self, message: ToldAsItIs) -> Event:
        """What is passed on as it was said."""
        match message:
            case messages.ChatRetract():
                return events.ChatRetracted(message.chat_seq)
            case messages.Emote():
                return events.Emoted(message.entity_id, message.emote)
            case messages.Notice():
                return events.Noticed(message.code, message.sentence)
            case messages.PropsChanged():
                return events.PropsUpdated(message)
            case messages.PropHeld():
                return events.PropTaken(message)
            case messages.PropsFlown():
                return events.PropsFlew(self.clock.seconds(message.server_ms), message.flights)
            case messages.PropsDragged():
                return events.PropsMoved(
                    self.clock.seconds(message.server_ms), message.entity_id, message.drags
                )
            case messages.SignStatus():
                return events.SignJudged(
                    message.prop_id, message.state, message.text, message.reason
                )
            case messages.Marker():
                return events.MarkerShown(message.entity_id, message.position_m, message.yaw)
            case messages.Saving():
                return events.SavingChanged(message.state, message.sentence)

    def _looks(self, message: messages.Appearance) -> list[Event]:
        """Somebody looks otherwise, in view or not."""
        for index, entity in self.roster.items():
            if entity.entity_id == message.entity_id:
                self.roster[index] = msgspec.structs.replace(entity, avatar=message.avatar)
        return [events.LooksChanged(message.entity_id, message.avatar)]

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
            self._lines.forget()
        # A further welcome on one connection begins another epoch of our poses.
        self._epoch = self._epoch ^ int(pose.Flags.EPOCH) if before is State.ACTIVE else 0
        if before is State.ACTIVE:
            return [
                events.Travelled(message), *self._requests.moved(message), *self.edits.lost(_LEFT)
            ]
        self.clock = ServerClock()
        self.clock.guess(message.server_ms, now_s)
        self._pings, self._ping_due_s = 0, now_s
        if known is None:
            return [events.Joined(message)]
        if not message.resumed:
            ended = [*self._requests.joined_anew(), *self.edits.lost(_OVER)]
            return [events.Resumed(message, True), *ended]
        if moved:
            ended = [*self._requests.moved(message), *self.edits.lost(_LEFT)]
        else:
            ended = self._requests.resumed(now_s)
            self.edits.resumed(now_s)
        return [events.Resumed(message, False), *ended]

    def _correction(self, message: messages.Correction) -> Event:
        row = root_of(message.body)
        assert self.welcome is not None
        y_m = int(row[pose.Y]) * self.welcome.y_unit_mm / 1000
        position = (int(row[pose.X]) / 1000, y_m, int(row[pose.Z]) / 1000)
        yaw = pose.yaw_of(int(row[pose.YAW]))
        return events.Corrected(message.seq, messages.MoveReason(message.reasons), position, yaw)

    def _error(self, message: messages.Error, before: State) -> list[Event]:
        gone = before is State.JOINING and message.code == ErrorCode.RESUME_INVALID
        again = message.code in RESUMABLE or (gone and self.identity.rejoin)
        if self.welcome is not None and again:
            self.state = State.LOST
            self._token = "" if gone else self._token
            return [events.LinkLost(message.sentence, message.retry_ms)]
        ended = events.Ended(message.code, message.sentence, message.retry_ms)
        return [ended, *self.edits.lost(_OVER)]

    def _result(self, message: messages.Result) -> list[Event]:
        if not message.request_id and message.code != ErrorCode.OK:
            return [events.Refused(message.code, message.reason, message.retry_ms)]
        kind = self._requests.kind_of(message.request_id)
        if kind is None or kind is messages.ChatSubmit:
            return []  # the answer to what we have given up waiting for, or none of a line
        # The answer to a travel that is granted is its welcome.
        final = message.code != ErrorCode.OK or kind is not messages.Travel
        return self._requests.answered(message.request_id, message) if final else []

    def _chat_status(self, message: messages.ChatStatus) -> list[Event]:
        if message.state is ChatState.RETRACTED:
            return [events.ChatRetracted(message.chat_seq)]
        final = message.state is not ChatState.PENDING
        ours = self._requests.kind_of(message.request_id) is messages.ChatSubmit
        return self._requests.answered(message.request_id, message) if final and ours else []

    def _chat_published(self, message: messages.ChatPublished) -> list[Event]:
        if not self._lines.is_new(message.chat_seq, message.server_ms):
            return []  # sent again after a resume
        assert self.welcome is not None
        return [events.ChatLine(
            message.chat_seq, message.channel, message.sender_id, message.sender_name,
            message.text, self.clock.seconds(message.server_ms),
            message.sender_id == self.welcome.entity_id,
        )]
