"""The Protocols by which the network and the worlds know each other. PURE.

Neither imports the other: `app` hands a directory of worlds to the gateway and the gateway to the
worlds. A *connection* is a small integer of the gateway's; a *slot* is a viewer's row in one world.
All of these calls are made in one thread, between two awaits, and none of them blocks.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from atrium_server.world.commands import AnyCommand
from atrium_server.world.movement import PoseBatch
from atrium_server.world.relations import Regard
from atrium_shared.errors import ErrorCode
from atrium_shared.messages import Capabilities

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U8 = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """A client that has said hello, and whom we know."""

    connection: int
    name: str
    """Cleaned by `atrium_server.world.text.clean_name`."""
    avatar: str
    world: str
    capabilities: Capabilities
    resume_token: str
    last_chat_seq: int
    account: uuid.UUID | None = None
    """None for a guest."""
    permissions: frozenset[str] = frozenset()
    """What the account may do in that world."""
    request_id: int = 0
    """Of the `Travel` that this is, else 0."""
    sign_in: uuid.UUID | None = None
    """Whose end is the end of the session."""
    regards: tuple[Regard, ...] = ()
    """What the account does about others; a guest's is what its session does."""


@dataclass(frozen=True, slots=True)
class TravelRequest:
    """A session that wants to be in another world."""

    connection: int
    session_id: int
    request_id: int
    world: str
    permissions: frozenset[str] = frozenset()
    """What its account may do there."""


class WorldDoor(Protocol):
    """What a connection may do to the world that it is in."""

    @property
    def name(self) -> str: ...

    @property
    def tick_number(self) -> int: ...

    def offer(self, command: AnyCommand) -> bool:
        """Queue a command for the next tick; False when the inbox is full."""
        ...

    def offer_ack(self, slot: int, tick: int) -> None: ...

    def offer_poses(self, batch: PoseBatch) -> None: ...

    def link_lost(self, session_id: int, connection: int) -> None:
        """The connection is gone without a goodbye: keep the seat for a while."""
        ...

    def leave(self, session_id: int) -> None:
        """The session is over."""
        ...


@dataclass(frozen=True, slots=True)
class Who:
    """On what a session stands."""

    account: uuid.UUID | None
    """None for a guest."""
    sign_in: uuid.UUID | None
    """What it has shown a token of."""


class Directory(Protocol):
    """All worlds, as the gateway sees them."""

    def who(self, session_id: int) -> Who:
        """Whose a session is. Raises ProtocolError when there is none of this number."""
        ...

    def admit(self, request: JoinRequest) -> None:
        """Reserve a seat; `ClientSink.joined` follows after the next tick of that world.

        Raises ProtocolError, RequestRefused or Overload.
        """
        ...

    def travel(self, request: TravelRequest) -> None:
        """Move a session to another world: its new seat is reserved before the old one is left.

        Raises RequestRefused or Overload; the session then stays where it is.
        """
        ...

    def lost(self, connection: int, for_good: bool) -> None:
        """A connection that was joining, coming back or moving is gone; `for_good` by its own will
        or fault: its session is over then, else it is kept where there is one to come back to."""
        ...


class ClientSink(Protocol):
    """The gateway, as a world sees it. Arrays are indexed alike: one element per connection."""

    def joined(self, connection: int, session_id: int, door: WorldDoor, slot: int) -> None:
        """The connection now is `session_id`, in the world behind `door`."""
        ...

    def moving(self, connection: int) -> None:
        """The connection is between two worlds: what is queued from the old one goes out now, and
        poses are ignored until `joined`."""
        ...

    def tell(self, connection: int, frame: bytes, is_talk: bool = False) -> None:
        """Queue a reliable message, already framed. It goes out before the next snapshot; what
        others say (`is_talk`) may have to wait for credit and for a later one.
        """
        ...

    def end(self, connection: int, code: ErrorCode, sentence: str) -> None:
        """Tell the peer why, and close."""
        ...

    def ready(self, connections: I32) -> Bools:
        """Which have nothing half-sent."""
        ...

    def pending(self, connections: I32, room: I32) -> I32:
        """Bytes of the whole reliable messages that go out now: those that are no talk, and talk as
        far as `room` holds both, or one message of it.
        """
        ...

    def send(
        self, connections: I32, prefixes: I32, arena: U8, offsets: I64, lengths: I64
    ) -> U8:
        """Fill the gaps with what waits, offer each piece to its socket: 1 where it was accepted.

        What a socket does not take is kept and sent first; only a broken one accepts nothing.
        """
        ...
