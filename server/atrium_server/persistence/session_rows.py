"""Who is in a world, as rows, and what is asked of a store of them. PURE.

Two things keep a `SessionStore`: `sessions.SqlSessions` (Postgres) and
`memory_sessions.MemorySessions` (for --ephemeral). What is here may be SESSION_AGE_S_MAX old after
a crash, on purpose: it is written again and again for thousands of people, and what must not be
lost (edits, lines) is not here. So who compares a resume token with its row must take a rotation
that is *newer* than the row's, too.

A session that travels takes its id along: the row of the next world replaces that of the one
before, and the old world does not say that it is over.

Moments are seconds since 1970 by the clock of who calls, and the same clock in all calls.
"""

from __future__ import annotations

import enum
import math
import uuid
from collections.abc import Sequence
from typing import Final, Protocol

import msgspec

from atrium_server.persistence.store import Claim

SESSION_AGE_S_MAX: Final = 10.0
"""What a crash may take of poses and sessions."""
RESTART_S_MAX: Final = 300.0
"""Sessions that were seen this long before a claim, at most, can still be resumed after it."""
CLIENT_BYTES_MAX: Final = 8_192


class SessionState(enum.StrEnum):
    """As `seats.SeatState`, but that JOINING ones are not kept and those that ended are."""

    ACTIVE = "active"
    RESUMABLE = "resumable"
    OVER = "over"


class Place(msgspec.Struct, frozen=True, gc=False):
    """Where somebody stands: the root of a pose."""

    position: tuple[float, float, float]
    yaw_rad: float
    """Counter-clockwise about +Y; 0 looks along -Z."""

    @property
    def rotation(self) -> tuple[float, float, float, float]:
        """The yaw as a unit quaternion: x, y, z, w."""
        return (0.0, math.sin(self.yaw_rad / 2), 0.0, math.cos(self.yaw_rad / 2))

    @classmethod
    def of(
        cls,
        position: tuple[float, float, float],
        rotation: tuple[float, float, float, float],
    ) -> Place:
        """The place of a root that is turned about +Y."""
        return cls(position, math.remainder(2 * math.atan2(rotation[1], rotation[3]), math.tau))


class SessionRow(msgspec.Struct, frozen=True, gc=False):
    """One session in one world. It belongs to an account or has a guest's name, never both."""

    id: uuid.UUID
    """Names this session for ever: edits and lines refer to it."""
    number: int
    """The session id on the wire, unique among those of its world that are not over."""
    account: uuid.UUID | None
    guest_name: str | None
    state: SessionState
    place: Place | None = None
    slot: int | None = None
    rotation: int = 0
    """That of its resume token."""
    client: bytes = b"{}"
    """A JSON object: name, avatar, capabilities."""
    seat: uuid.UUID | None = None
    """The prop that it sits on."""
    chair: int | None = None
    """The seat of the manifest that it sits on."""
    last_chat_seq: int = 0
    last_request_id: int = 0
    resumable_until_s: float | None = None
    """When its seat is given up; of RESUMABLE ones only."""
    sign_in: uuid.UUID | None = None
    saved_at_s: float = 0.0
    """When it was written; known of rows that were loaded."""


class SessionStore(Protocol):
    """All that a world's owner asks about its people. Every call may raise Unavailable."""

    async def save(self, claim: Claim, rows: Sequence[SessionRow], now_s: float) -> int:
        """Write rows, and the places of those with an account.

        No two rows have the same id. A session that is over stays so.

        Returns:
            How many rows the store would not take: their account is gone, say.

        Raises:
            Fenced: the world has another owner, and nothing more was written.
        """
        ...

    async def end_unseen(self, claim: Claim, since_s: float) -> int:
        """All that were not saved since then are over; returns how many. Raises Fenced."""
        ...

    async def load(self, claim: Claim, now_s: float) -> list[SessionRow]:
        """Those that the last owner had and that can be resumed, newest first.

        They were saved within RESTART_S_MAX, and are no more than a world takes. All others are
        over from now on. Raises Fenced.
        """
        ...

    async def place_of(self, account: uuid.UUID, world_id: int) -> Place | None:
        """Where an account was last in a world."""
        ...
