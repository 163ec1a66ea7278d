"""Who has a place in a world: the ledger that makes capacity hold exactly. PURE.

A seat is taken from the moment a join is granted until the session is over: JOINING (for a bounded
time), ACTIVE, or RESUMABLE (the link is gone and the owner may come back, for a bounded time). All
three count. Granting and counting happen in one call, so any number of simultaneous joins cannot
pass the limit.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from uuid import UUID

from atrium_server.world.commands import Back
from atrium_server.world.relations import Regard
from atrium_shared.errors import Overload
from atrium_shared.messages import Capabilities


class SeatState(enum.Enum):
    JOINING = "joining"
    ACTIVE = "active"
    RESUMABLE = "resumable"


@dataclass(slots=True)
class Seat:
    state: SeatState
    until: float
    """When a JOINING or RESUMABLE seat is given up; infinite while ACTIVE."""


@dataclass(slots=True)
class Session:
    """What the holder of a seat is to its world."""

    session_id: int
    connection: int
    """-1 while the link is lost."""
    capabilities: Capabilities
    cap: int
    slot: int = -1
    """-1 until the world has made the avatar."""
    rotation: int = 0
    request_id: int = 0
    last_chat_seq: int = 0
    resumed: bool = False
    travelled: bool = False
    """It came from another world, or another run of the server: its client holds a token before
    its first welcome here."""
    uuid: bytes = bytes(16)
    """The same for ever, where `session_id` is a number of this run."""
    name: str = ""
    avatar: str = ""
    account: UUID | None = None
    sign_in: UUID | None = None
    """Whose end is the end of the session."""
    rights: int = 0
    """Bits of `messages.Rights`: what its permissions come to in this world."""
    floor: int = -1
    """No request for an edit up to this number is a new one."""
    back: Back | None = None
    """Of a session of an earlier run that has not come back yet."""
    regards: tuple[Regard, ...] = ()
    """What it does about others as it comes in; from then on the world knows."""
    is_safe: bool = False
    """Whether it comes into the safe zone."""

    @property
    def author(self) -> str:
        """Who it is as the owner of props."""
        return str(self.account) if self.account else f"guest:{UUID(bytes=self.uuid)}"


class Seats:
    """The seats of one world. All times in seconds of one clock."""

    def __init__(self, capacity: int, join_s: float, resume_s: float) -> None:
        self.capacity = capacity
        self._join_s, self._resume_s = join_s, resume_s
        self._seats: dict[int, Seat] = {}

    def __len__(self) -> int:
        return len(self._seats)

    def reserve(self, session_id: int, now: float) -> None:
        """Take a JOINING seat. Raises Overload when all are taken."""
        assert session_id not in self._seats
        if len(self._seats) >= self.capacity:
            raise Overload("This world is full: try again later, or another one.", 5_000)
        self._seats[session_id] = Seat(SeatState.JOINING, now + self._join_s)

    def rejoin(self, session_id: int, now: float) -> None:
        """The owner of a RESUMABLE seat that has no avatar yet is on its way in."""
        seat = self._seats[session_id]
        seat.state, seat.until = SeatState.JOINING, now + self._join_s

    def activate(self, session_id: int) -> None:
        """The session is in, or is back."""
        seat = self._seats[session_id]
        seat.state, seat.until = SeatState.ACTIVE, float("inf")

    def suspend(self, session_id: int, now: float) -> None:
        """The link is gone: keep the seat for a while."""
        seat = self._seats[session_id]
        seat.state, seat.until = SeatState.RESUMABLE, now + self._resume_s

    def release(self, session_id: int) -> None:
        """Give the seat up, if there is one."""
        self._seats.pop(session_id, None)

    def state(self, session_id: int) -> SeatState | None:
        seat = self._seats.get(session_id)
        return seat.state if seat else None

    def expired(self, now: float) -> list[int]:
        """Sessions whose seat has run out of time."""
        return [session for session, seat in self._seats.items() if seat.until <= now]

    def count(self, state: SeatState) -> int:
        return sum(1 for seat in self._seats.values() if seat.state is state)
