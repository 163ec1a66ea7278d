"""Who is in a world, kept so that they can come back after the server has started again.

Theory of operation
-------------------
The writer of sessions asks for rows now and then (`numbers`, `row`), and the host tells it what
must not wait: who has begun, has come back, has left. When a world is loaded, those whom its last
owner had are expected: a seat is held for each for as long as for a lost link, and who comes back
with the token has the same name, stands (or sits) where it was, and is told again what became of
its edits. A world in memory has nobody to expect.
"""

from __future__ import annotations

import random
import secrets
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from atrium_server.persistence.history import WorldHistory
from atrium_server.persistence.session_rows import (
    Place,
    SessionRow,
    SessionState,
    SessionStore,
)
from atrium_server.persistence.session_writer import SessionNumbers, SessionWriter
from atrium_server.persistence.store import Claim
from atrium_server.prop_rows import changes_of
from atrium_server.safety import note_on
from atrium_server.seats import Session
from atrium_server.world.commands import Back
from atrium_server.world.past import MadeEdit
from atrium_server.world.relations import Regard
from atrium_server.world.world import World
from atrium_shared import limits, pose
from atrium_shared.messages import Capabilities


class _Client(msgspec.Struct, frozen=True):
    """What a client told us of itself."""

    name: str
    avatar: str
    capabilities: Capabilities
    regards: tuple[Regard, ...] = ()
    """Of a guest: what it does about others."""
    is_safe: bool = False


class Attended(Protocol):
    """The host of the world."""

    @property
    def attending(self) -> dict[int, Session]: ...

    world: World


_NOT_ONES_OWN = ("publish", "restore", "roll_back", "disown", "import")
"""Edits that nobody takes back by an undo."""
_encoder = msgspec.json.Encoder()
_client_decoder = msgspec.json.Decoder(_Client)


@dataclass(slots=True)
class Attendance:
    """The sessions of one world, for the store. Implements `SessionSource`."""

    store: SessionStore
    history: WorldHistory | None
    claim: Claim
    clock: Callable[[], float]
    """Seconds since 1970."""
    resume_s: float
    numbers_of: SessionNumbers = field(default_factory=SessionNumbers)
    host: Attended | None = None
    writer: SessionWriter = field(init=False)

    def __post_init__(self) -> None:
        self.writer = SessionWriter(self, self.store, self.claim, self.clock, self.numbers_of)

    # --- what the host says --------------------------------------------------------------

    def touch(self, session: Session) -> None:
        """It has begun, has come back, or has been given another token."""
        self.writer.touch(session.session_id)

    def over(self, session: Session) -> None:
        """It is over; its avatar is still there."""
        self.writer.over(self._row(session, SessionState.OVER))

    async def run(self) -> None:
        """Write until cancelled. Raises Fenced when the world is lost."""
        await self.writer.run(random.Random(secrets.randbits(64)))

    # --- SessionSource -------------------------------------------------------------------

    def numbers(self) -> list[int]:
        """Those that could come back."""
        assert self.host is not None
        return [
            number for number, session in self.host.attending.items()
            if session.slot >= 0 or session.back is not None
        ]

    def row(self, number: int) -> SessionRow | None:
        """One of them; None when it is over, or not in the world yet."""
        assert self.host is not None
        session = self.host.attending.get(number)
        if session is None or (session.slot < 0 and session.back is None):
            return None
        is_here = session.connection >= 0
        return self._row(session, SessionState.ACTIVE if is_here else SessionState.RESUMABLE)

    def _row(self, session: Session, state: SessionState) -> SessionRow:
        assert self.host is not None
        note_on(session, self.host.world)
        client = _Client(
            session.name, session.avatar, session.capabilities,
            () if session.account else session.regards, session.is_safe,
        )
        place, seat, slot, chat_seq = self._place(session)
        until_s = self.clock() + self.resume_s if state is SessionState.RESUMABLE else None
        return SessionRow(
            uuid.UUID(bytes=session.uuid), session.session_id, session.account,
            None if session.account else session.name, state, place, slot, session.rotation,
            _encoder.encode(client), self._prop_seat(session),
            chair=seat if seat >= 0 else None, last_chat_seq=chat_seq,
            resumable_until_s=until_s, sign_in=session.sign_in,
        )

    def _place(self, session: Session) -> tuple[Place | None, int, int | None, int]:
        """(where, seat, slot, newest line of chat) of a session."""
        assert self.host is not None
        back, world = session.back, self.host.world
        if back is not None:
            return Place((back.x, back.y, back.z), back.yaw), back.seat, None, 0
        slot = session.slot
        if slot < 0:
            return None, -1, None, 0
        row = world.tables.poses.rows[slot]
        y_m = int(row[pose.Y]) * world.manifest.y_unit_mm / 1000
        at = (int(row[pose.X]) / 1000, y_m, int(row[pose.Z]) / 1000)
        place = Place(at, pose.yaw_of(int(row[pose.YAW])))
        return place, world.places.seat_of(slot), slot, world.chat.last_seq

    def _prop_seat(self, session: Session) -> uuid.UUID | None:
        """The prop on which a session sits."""
        assert self.host is not None
        prop_id = session.back.prop if session.back is not None else b""
        if session.slot >= 0:
            prop_id = self.host.world.places.prop_of(session.slot)
        return uuid.UUID(bytes=prop_id) if prop_id else None

    # --- at the start --------------------------------------------------------------------

    async def expected(self) -> list[Session]:
        """Those whom the last owner of the world had, newest first, and that may come back."""
        rows = await self.store.load(self.claim, self.clock())
        known: dict[uuid.UUID, set[int]] = {}
        if self.history is not None and rows:
            known = await self.history.recent_requests(
                [row.id for row in rows], limits.EDITS_REMEMBERED_MAX
            )
        found = [session_of(row, known.get(row.id, set())) for row in rows]
        return [session for session in found if session is not None]

    async def past_of(self, sessions: Iterable[Session]) -> list[tuple[str, str, MadeEdit]]:
        """(author, kind, changes) of the newest edits of those with an account, the oldest first:
        what they can take back.
        """
        accounts = {session.account for session in sessions if session.account is not None}
        past: list[tuple[str, str, MadeEdit]] = []
        for account in sorted(accounts) if self.history is not None else ():
            assert self.history is not None
            edits = await self.history.recent_edits(self.claim.world_id, account)
            for edit in reversed(edits):
                kind = edit.op if edit.op in ("undo", "redo") else "do"
                if edit.op not in _NOT_ONES_OWN:
                    past.append((str(account), kind, tuple(changes_of(edit.before, edit.after))))
        return past


def session_of(row: SessionRow, requests: set[int]) -> Session | None:
    """A session that may come back; None for one that this version cannot understand."""
    try:
        client = _client_decoder.decode(row.client)
    except msgspec.DecodeError:
        return None
    place = row.place or Place((0.0, 0.0, 0.0), 0.0)
    x, y, z = place.position
    seat = -1 if row.chair is None else row.chair
    return Session(
        row.number, -1, client.capabilities, 0, rotation=row.rotation, travelled=True,
        uuid=row.id.bytes, name=client.name, avatar=client.avatar, account=row.account,
        sign_in=row.sign_in, last_chat_seq=row.last_chat_seq,
        back=Back(
            x, y, z, place.yaw_rad, seat, tuple(sorted(requests)),
            row.seat.bytes if row.seat is not None else b"",
        ),
        regards=client.regards, is_safe=client.is_safe,
    )
