"""What the messages of clients mean: hello, the clock, requests, goodbye.

`Requests.take` is called with each message that the slow path has decoded, after the state table
and the rates have let it pass. Whatever a client asks for gets exactly one first answer: from the
world where the request could be queued (and is not left before it answers), from here where it
could not. Raises ProtocolError or RequestRefused for what ends the session; the gateway tells the
peer.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Protocol

import trio

from atrium_server.doors import Directory, JoinRequest, TravelRequest, Who
from atrium_server.frames import binary_frame
from atrium_server.net.connection import Connection
from atrium_server.net.endings import Endings
from atrium_server.net.outgoing import Outgoing
from atrium_server.net.session_state import SessionState, check
from atrium_server.world.commands import (
    AnyCommand,
    Build,
    Drag,
    Dress,
    Gesture,
    Jump,
    LetGo,
    PointAt,
    Relate,
    Report,
    Say,
    SetVoice,
    Shelter,
    Signal,
    SitOn,
    Take,
)
from atrium_server.world.relations import Regard
from atrium_server.world.text import clean_name
from atrium_shared import codec
from atrium_shared import messages as m
from atrium_shared.errors import ErrorCode, Overload, ProtocolError, RequestRefused

ACCEPTED_HASHES = frozenset({codec.PROTOCOL_HASH})
"""The present wire table and those before it that this server still speaks."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client is."""

    name: str
    account: uuid.UUID | None = None
    """None for a guest."""
    permissions: frozenset[str] = frozenset()
    """In the world that it wants to join."""
    sign_in: uuid.UUID | None = None
    """What it has shown a token of; when that ends, so does the session."""
    regards: tuple[Regard, ...] = ()
    """What an account does about others."""


class Identifier(Protocol):
    """Says who a client is."""

    async def identify(self, hello: m.Hello, address: str) -> Identity:
        """Who it is. Raises ProtocolError, RequestRefused or Overload.

        What it says holds until the next await of the caller.
        """
        ...

    async def let_into(self, who: Who, address: str, world: str) -> frozenset[str]:
        """What somebody who is here may do in another world. Raises RequestRefused or Overload."""
        ...


class Guests:
    """Everybody is who they say, as long as the name is a proper one and no account is claimed."""

    async def identify(self, hello: m.Hello, address: str) -> Identity:
        if hello.auth_token:
            raise RequestRefused(
                ErrorCode.NOT_ALLOWED, "This server has no accounts: join without a token."
            )
        return Identity(clean_name(hello.name))

    async def let_into(self, who: Who, address: str, world: str) -> frozenset[str]:
        return frozenset()


class Links(Protocol):
    """What the gateway does for a message."""

    def now_ms(self) -> int: ...

    def take_pose(self, connection: Connection, message: m.Pose) -> None: ...

    def take_ack(self, connection: Connection, message: m.Ack) -> None: ...

    def joining(self, connection: Connection) -> bool:
        """Go from AUTH to JOINING; False when the connection is gone or on its way out."""
        ...

    def moving(self, connection: int) -> None: ...


@dataclass(frozen=True, slots=True)
class RequestParts:
    """What the requests need of the others."""

    links: Links
    endings: Endings
    out: Outgoing
    identifier: Identifier
    directory: Directory
    nursery: trio.Nursery


class Requests:
    """The meaning of messages."""

    def __init__(self, parts: RequestParts) -> None:
        self._parts = parts

    def take(self, connection: Connection, message: m.ClientMessage, now: float) -> None:
        """Do what a message asks for. Raises ProtocolError."""
        check(connection.state, message)
        in_rate = connection.rates.take(type(message), now)
        match message:
            case m.Pose():
                self._parts.links.take_pose(connection, message)
            case m.Ack():
                self._parts.links.take_ack(connection, message)
            case m.ClockPing():
                if in_rate:
                    tick = connection.door.tick_number if connection.door is not None else 0
                    pong = m.ClockPong(message.client_ms, self._parts.links.now_ms(), tick)
                    self._parts.out.send_now(connection, binary_frame(codec.encode(pong)))
            case m.Hello():
                self._on_hello(connection, message)
            case m.Bye():
                self._parts.endings.goodbye(connection)
            case _:
                self._on_request(connection, message, in_rate)

    # --- joining -------------------------------------------------------------------------

    def _on_hello(self, connection: Connection, hello: m.Hello) -> None:
        if hello.protocol_hash not in ACCEPTED_HASHES:
            raise ProtocolError(
                ErrorCode.VERSION,
                f"this server speaks {codec.SUBPROTOCOL} {codec.PROTOCOL_HASH}: update the client",
            )
        if not _is_avatar(hello.avatar):
            raise ProtocolError(ErrorCode.MALFORMED, "an avatar is named in printable ASCII")
        connection.state = SessionState.AUTH
        self._parts.nursery.start_soon(self._admit, connection, hello, name="admit")

    async def _admit(self, connection: Connection, hello: m.Hello) -> None:
        """Find out who it is, then ask the directory for a seat."""
        try:
            who = await self._parts.identifier.identify(hello, connection.address)
            if self._parts.links.joining(connection):
                self._parts.directory.admit(JoinRequest(
                    connection.number, who.name, hello.avatar, hello.world, hello.capabilities,
                    hello.resume_token, hello.last_chat_seq, who.account, who.permissions,
                    sign_in=who.sign_in, regards=who.regards,
                ))
                if hello.resume_token:
                    connection.rates.forget_bursts(trio.current_time())
        except (ProtocolError, RequestRefused, Overload) as error:
            self._parts.endings.refuse(connection, error)

    # --- requests ------------------------------------------------------------------------

    def _on_request(
        self, connection: Connection, message: m.ClientMessage, in_rate: bool
    ) -> None:
        """What only an ACTIVE session may ask."""
        assert connection.door is not None
        try:
            if not in_rate and isinstance(message, m.RtcSignal | m.Drag):
                return  # as one that comes when the pair has just ended; the next drag says it all
            if not in_rate:
                raise RequestRefused(ErrorCode.RATE_LIMITED, "Not so fast.", 1_000)
            if isinstance(message, m.AvatarSubmit) and not _is_avatar(message.avatar):
                raise RequestRefused(
                    ErrorCode.TEXT_REJECTED, "An avatar is named in printable ASCII."
                )
            if isinstance(message, m.Travel):
                # Nothing else is asked before the answer, as on the way into the first world.
                connection.state = SessionState.JOINING
                connection.since = trio.current_time()
                self._parts.nursery.start_soon(self._travel, connection, message, name="travel")
            elif not connection.door.offer(_command_of(connection.session_id, message)):
                if isinstance(message, m.Drag):
                    return
                raise RequestRefused(ErrorCode.RATE_LIMITED, "The world is very busy.", 1_000)
        except RequestRefused as refused:
            self._answer(connection, message, refused)

    async def _travel(self, connection: Connection, message: m.Travel) -> None:
        """Ask who may go there, then the directory for a seat."""
        parts, session_id, door = self._parts, connection.session_id, connection.door
        try:
            who = parts.directory.who(session_id)
            permissions = await parts.identifier.let_into(who, connection.address, message.world)
            if connection.door is not door or connection.state is not SessionState.JOINING:
                return  # it is gone in the meantime
            parts.directory.travel(TravelRequest(
                connection.number, session_id, message.request_id, message.world, permissions
            ))
            parts.links.moving(connection.number)
        except Overload as overload:
            self._stay(connection, message, RequestRefused(
                ErrorCode.WORLD_FULL, overload.sentence, overload.retry_ms
            ))
        except RequestRefused as refused:
            self._stay(connection, message, refused)
        except ProtocolError:
            return  # the session ended in this moment

    def _stay(
        self, connection: Connection, message: m.Travel, refused: RequestRefused
    ) -> None:
        """It goes nowhere, and may go on where it is."""
        if connection.state is SessionState.JOINING and connection.door is not None:
            connection.state = SessionState.ACTIVE
        self._answer(connection, message, refused)

    def _answer(
        self, connection: Connection, message: m.ClientMessage, refused: RequestRefused
    ) -> None:
        if connection.state is not SessionState.CLOSING:
            answer = _refusal_of(message, refused)
            self._parts.out.queue(connection, binary_frame(codec.encode(answer)))


def _is_avatar(name: str) -> bool:
    return name.isascii() and name.isprintable()


def _refusal_of(message: m.ClientMessage, refused: RequestRefused) -> m.Message:
    if isinstance(message, m.ChatSubmit):
        return m.ChatStatus(message.request_id, m.ChatState.REJECTED, 0, refused.sentence)
    if isinstance(message, m.EditSubmit | m.Release):
        return m.EditStatus(
            message.request_id, m.EditState.REFUSED, refused.code, refused.sentence,
            refused.retry_ms,
        )
    request_id: int = getattr(message, "request_id", 0)
    return m.Result(request_id, refused.code, refused.sentence, refused.retry_ms)


def _command_of(session_id: int, message: m.ClientMessage) -> AnyCommand:
    match message:
        case m.ChatSubmit():
            return Say(
                session_id, message.request_id, message.channel, message.target, message.text
            )
        case m.EmoteSubmit():
            return Gesture(session_id, message.emote)
        case m.Teleport():
            return Jump(
                session_id, message.request_id, message.kind, message.target,
                message.x, message.y, message.z, message.yaw,
            )
        case m.EditSubmit():
            return Build(session_id, message.request_id, message.edit)
        case m.Drag():
            return Drag(session_id, message.drags)
        case m.Grab():
            return Take(
                session_id, message.request_id, message.prop_id, message.hand,
                message.position_m, message.rotation,
            )
        case m.Release():
            return LetGo(
                session_id, message.request_id, message.prop_id, message.transform,
                message.velocity_m_per_s,
            )
        case _:
            return _social_command_of(session_id, message)


def _social_command_of(session_id: int, message: m.ClientMessage) -> AnyCommand:
    match message:
        case m.AvatarSubmit():
            return Dress(session_id, message.request_id, message.avatar)
        case m.Sit():
            return SitOn(session_id, message.request_id, message.prop_id)
        case m.Relate():
            return Relate(
                session_id, message.request_id, message.entity_id, message.person,
                message.relation,
            )
        case m.Report():
            return Report(
                session_id, message.request_id, message.entity_id, message.reason, message.text
            )
        case m.SafeZone():
            return Shelter(session_id, message.request_id, message.is_on)
        case m.MarkerSubmit():
            return PointAt(session_id, message.position_m, message.yaw)
        case m.VoiceSet():
            return SetVoice(session_id, message.request_id, message.mode)
        case m.RtcSignal():
            return Signal(session_id, message.target, message.kind, message.data)
        case _:
            raise AssertionError(f"{type(message).__name__} is no request")
