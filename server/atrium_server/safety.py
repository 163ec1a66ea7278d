"""What the host of a world does for the safety of its people, beside the tick.

Theory of operation
-------------------
The world decides and tells; what is to last goes from here to the lanes. What somebody with an
account does about others is written by the writer of relations, and goes to the other worlds where
the same person is. A report is made a case, with the evidence of the last minute, and answered when
it is kept. When so much waits that no more could be kept, it is refused before the world sees it,
as lines are: what people were told holds, holds.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from atrium_server.evidence import Evidence
from atrium_server.persistence.conduct_rows import NewCase
from atrium_server.persistence.relations import RelationRow, RelationWriter
from atrium_server.persistence.schema import uuid7
from atrium_server.reports import Reports
from atrium_server.seats import Session
from atrium_server.world.commands import (
    AnyCommand,
    Regards,
    Relate,
    Related,
    Reported,
    TickOutput,
)
from atrium_server.world.relations import Regard
from atrium_server.world.world import World
from atrium_shared.errors import ErrorCode, Overload
from atrium_shared.messages import Message, Result

THANKS = (
    "Thank you. What you two said and where you were in the last minute is kept now, and those who"
    " look after this place will read your report. You can also block this person: then neither of"
    " you sees or hears the other."
)
_NO_REPORTS = "Nobody reads reports on this server. You can mute, hide or block this person."
_NOT_KEPT = "Your report could not be kept just now: try again in a minute."
_NO_ROOM = "This cannot be saved just now: try again in a moment, or use the safe zone."


@dataclass(frozen=True, slots=True)
class SafetyLanes:
    """What lasts; without lanes relations live as long as their session."""

    relations: RelationWriter | None = None
    reports: Reports | None = None


class Safety:
    """That of one world; `sessions`, also by person, are those of its host, and change."""

    def __init__(
        self, sessions: dict[int, Session], world_id: int, lanes: SafetyLanes,
        answer: Callable[[int, Message], None], of_author: Mapping[str, list[Session]],
    ) -> None:
        self._of_author = of_author
        self._sessions, self._world_id, self._lanes = sessions, world_id, lanes
        self._answer = answer
        self._evidence = Evidence()
        self.spread: Callable[[Related], None] = lambda related: None
        """Tells all worlds what somebody does about others."""

    def before_tick(self, commands: list[AnyCommand]) -> None:
        """Refuse what could not be kept, and take it out of `commands`."""
        writer = self._lanes.relations
        if writer is None or writer.has_room:
            return
        refused = [one for one in commands if isinstance(one, Relate) and self._lasts(one)]
        for one in refused:
            answer = Result(one.request_id, ErrorCode.NOT_SAVED, _NO_ROOM, 1_000)
            self._answer(one.session_id, answer)
        commands[:] = [one for one in commands if one not in refused]

    def _lasts(self, command: Relate) -> bool:
        session = self._sessions.get(command.session_id)
        return session is not None and session.account is not None

    def take(self, output: TickOutput, world: World) -> None:
        """What a tick has brought."""
        self._evidence.note(world)
        for session_id, avatar in output.dressed:
            session = self._sessions.get(session_id)
            if session is not None:
                session.avatar = avatar
        for related in output.related:
            account = account_of(related.person)
            if account is not None and self._lanes.relations is not None:
                self._lanes.relations.take(account, [
                    RelationRow(one.person, one.name, one.relation) for one in related.changed
                ])
            self.spread(related)
        for report in output.reports:
            self._report(report, world)

    def hear(self, related: Related, offer: Callable[[AnyCommand], None], is_own: bool) -> None:
        """Somebody has decided, here (`is_own`) or in another world, what to do about others."""
        own = self._of_author.get(related.person, ())
        for session in own:
            session.regards = related.regards
        # Where it was decided the world knows, but for a session that is still on its way in.
        if own and not (is_own and all(one.slot >= 0 for one in own)):
            offer(Regards(related.person, related.regards))

    # --- reports -------------------------------------------------------------------------

    def _report(self, report: Reported, world: World) -> None:
        session = self._sessions.get(report.session_id)
        if session is None or session.slot < 0:
            return  # gone in the same tick, and nobody is there to be told
        if self._lanes.reports is None:
            self._tell(report, ErrorCode.RESERVED, _NO_REPORTS)
            return

        def kept(is_kept: bool) -> None:
            if is_kept:
                self._tell(report, ErrorCode.OK, THANKS)
            else:
                self._tell(report, ErrorCode.NOT_SAVED, _NOT_KEPT, 60_000)

        try:
            self._lanes.reports.needs_room()  # before its evidence is gathered
            self._lanes.reports.take(self._case(report, session, world), kept)
        except Overload as overload:
            self._tell(report, ErrorCode.RATE_LIMITED, overload.sentence, overload.retry_ms)

    def _case(self, report: Reported, session: Session, world: World) -> NewCase:
        assert self._lanes.reports is not None
        entity_id = int(world.tables.entity_ids[session.slot])
        return NewCase(
            uuid7(self._lanes.reports.clock()), report.reason.name.lower(),
            _written(report.text), report.name, self._world_id, account_of(report.person),
            _guest_of(report.person), session.account,
            self._evidence.of(world, report, (session.author, session.name, entity_id)),
        )

    def _tell(
        self, report: Reported, code: ErrorCode, sentence: str, retry_ms: int = 0
    ) -> None:
        self._answer(report.session_id, Result(report.request_id, code, sentence, retry_ms))


def note_on(session: Session, world: World) -> None:
    """Write on a session what it takes along to another world, or to another run of the server."""
    slot = session.slot
    if slot >= 0:
        person = world.relations.people[slot]
        regards = world.relations.regards.get(person, {})
        session.regards = tuple(regards.values())
        session.is_safe = bool(world.relations.safe[slot])
        session.avatar = world.tables.avatars[slot]


def regards_of(rows: list[RelationRow]) -> tuple[Regard, ...]:
    """Rows as a world wants them."""
    return tuple(Regard(row.person, row.name, row.relation) for row in rows)


def account_of(person: str) -> uuid.UUID | None:
    """The account of a person; None for a guest."""
    try:
        return uuid.UUID(person)
    except ValueError:
        return None


def _guest_of(person: str) -> uuid.UUID | None:
    """The session of a guest; None for an account."""
    kind, _, rest = person.partition(":")
    return uuid.UUID(rest) if kind == "guest" else None


def _written(text: str) -> str:
    """What somebody typed, without characters that a database or a screen cannot show."""
    return "".join(one for one in text if one.isprintable() or one == "\n")
