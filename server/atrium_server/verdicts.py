"""The verdicts of a server that can still be put right, in memory. Time is handed in.

Theory of operation
-------------------
What a judge decides on a line is noted here with the line: every verdict that kept it from others,
covered parts of it or took it back, and the last of those that let one pass, so that a moderator
can say which of them should not have. Nothing of it outlives the process or is written down: what
is kept to learn from is a row of feedback (`reviewing`), by other rules.

*Held* lines wait until a moderator has looked at them. At most HELD_MAX wait in a world, and
HELD_PER_PERSON_MAX of one person: one more is refused at once, with a sentence that says so. So
nobody's line is pushed out by those who write much, and a line is never published because too many
waited. What nobody has looked at for KEPT_S is refused as well (`expire`), and forgotten with all
that is as old.

Of the other verdicts the newest stay. What somebody said to one person alone is not shown to
moderators unless it is held or its author appeals; one that was let pass is not even remembered.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NamedTuple

from atrium_server.mailbox import Inbox
from atrium_server.moderation.findings import Action, Decision
from atrium_server.persistence.schema import uuid7
from atrium_server.world.commands import JudgeRequest
from atrium_shared.messages import ChatChannel

HELD_MAX: Final = 256
HELD_PER_PERSON_MAX: Final = 8
KEPT_MAX: Final = 1_024
"""Verdicts of a world besides those that are held."""
PASSED_MAX: Final = 256
"""Lines of a world that were let pass."""
KEPT_S: Final = 24 * 3_600.0
FULL: Final = (
    "This was not published: too many lines wait for a moderator already. Say it differently, or"
    " try again later."
)
YOURS_WAIT: Final = (
    "This was not published: too many of your lines wait for a moderator already."
)


class Standing(StrEnum):
    """Where a line is."""

    HELD = "held"
    """It waits for a moderator."""
    KEPT_BACK = "kept_back"
    """Nobody else reads it (any more)."""
    SHOWN = "shown"
    """Others read it, covered or not."""


class Said(NamedTuple):
    """A line, and where it was said."""

    world: str
    line: JudgeRequest
    inbox: Inbox
    is_shown: bool = False
    """It was let pass before; what is decided now takes it back."""


@dataclass(eq=False, slots=True)
class Verdict:
    """A line and what was decided on it."""

    id: uuid.UUID
    world: str
    line: JudgeRequest
    inbox: Inbox
    """Of the run of the world in which it was said: another run knows nothing of it."""
    decision: Decision
    reason: str
    """What its author was told."""
    at_s: float
    """Seconds since 1970."""
    standing: Standing
    is_retracted: bool = False
    """It was shown, and taken back."""
    corrected: str = ""
    """What a moderator said it should have been; empty before that."""
    is_appealed: bool = False
    appeal: str = ""
    """What its author says to that."""
    may_learn: bool = False
    """Whether its author consents to this line being learnt from."""
    is_thumbed: bool = False

    @property
    def is_private(self) -> bool:
        """Whether it is nobody's business but of the two."""
        return (
            self.line.channel is ChatChannel.DIRECT and self.standing is not Standing.HELD
            and not self.is_appealed
        )


@dataclass(slots=True)
class _Shelf:
    """Those of one world; each dict in the order of time."""

    held: dict[uuid.UUID, Verdict] = field(default_factory=dict[uuid.UUID, Verdict])
    kept: dict[uuid.UUID, Verdict] = field(default_factory=dict[uuid.UUID, Verdict])
    passed: dict[uuid.UUID, Verdict] = field(default_factory=dict[uuid.UUID, Verdict])
    held_of: Counter[str] = field(default_factory=Counter[str])

    def all(self) -> Iterator[Verdict]:
        for part in (self.held, self.kept, self.passed):
            yield from part.values()

    def find(self, id: uuid.UUID) -> Verdict | None:
        return self.held.get(id) or self.kept.get(id) or self.passed.get(id)

    def remove(self, verdict: Verdict) -> None:
        if self.held.pop(verdict.id, None) is not None:
            self.held_of[verdict.line.person] -= 1
            if not self.held_of[verdict.line.person]:
                del self.held_of[verdict.line.person]
        self.kept.pop(verdict.id, None)
        self.passed.pop(verdict.id, None)

    def put(self, verdict: Verdict) -> None:
        if verdict.standing is Standing.HELD:
            self.held[verdict.id] = verdict
            self.held_of[verdict.line.person] += 1
        elif verdict.decision.action is Action.ALLOW and not verdict.corrected:
            _add(self.passed, verdict, PASSED_MAX)
        else:
            _add(self.kept, verdict, KEPT_MAX)


def _add(part: dict[uuid.UUID, Verdict], verdict: Verdict, most: int) -> None:
    part[verdict.id] = verdict
    if len(part) > most:
        del part[next(iter(part))]


class Desk:
    """The verdicts of all worlds of a server. `clock` gives seconds since 1970."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._shelves: dict[str, _Shelf] = {}

    @property
    def held(self) -> int:
        """How many lines wait for a moderator."""
        return sum(len(shelf.held) for shelf in self._shelves.values())

    def take(self, said: Said, decision: Decision, reason: str) -> str:
        """Note a verdict; returns what the author is to be told: `reason`, but where a line that
        was to wait cannot.
        """
        if decision.action is Action.BLOCK and decision.category is None:
            return reason  # nobody could look at it: that is no verdict
        shelf, line = self._shelves.setdefault(said.world, _Shelf()), said.line
        standing = Standing.SHOWN
        if decision.action >= Action.HOLD:
            standing = Standing.KEPT_BACK
        if decision.action is Action.HOLD:
            refusal = self._no_room(shelf, line.person)
            standing, reason = (standing, refusal) if refusal else (Standing.HELD, reason)
        if standing is Standing.SHOWN and line.channel is ChatChannel.DIRECT:
            return reason
        now_s = self._clock()
        verdict = Verdict(uuid7(now_s), said.world, said.line, said.inbox, decision, reason, now_s,
                          standing)
        if said.is_shown:
            for before in [each for each in shelf.all() if each.line is said.line]:
                shelf.remove(before)
            verdict.is_retracted = True
        shelf.put(verdict)
        return reason

    @staticmethod
    def _no_room(shelf: _Shelf, person: str) -> str:
        if shelf.held_of[person] >= HELD_PER_PERSON_MAX:
            return YOURS_WAIT
        return FULL if len(shelf.held) >= HELD_MAX else ""

    # --- what is asked ----------------------------------------------------------------------

    def find(self, world: str, id: uuid.UUID) -> Verdict | None:
        """One verdict."""
        shelf = self._shelves.get(world)
        return shelf.find(id) if shelf is not None else None

    def of(self, world: str) -> list[Verdict]:
        """What moderators of a world may look at, the newest first."""
        return self._sorted(world, lambda verdict: not verdict.is_private)

    def of_person(self, world: str, persons: set[str]) -> list[Verdict]:
        """What was not let pass of somebody's own lines, the newest first."""
        return self._sorted(world, lambda verdict: (
            verdict.line.person in persons and verdict.decision.action is not Action.ALLOW
        ))

    def _sorted(self, world: str, is_wanted: Callable[[Verdict], bool]) -> list[Verdict]:
        shelf = self._shelves.get(world)
        found = [each for each in shelf.all() if is_wanted(each)] if shelf is not None else []
        return sorted(found, key=lambda verdict: verdict.id, reverse=True)

    # --- what changes -----------------------------------------------------------------------

    def settle(self, verdict: Verdict, corrected: str, standing: Standing) -> None:
        """A moderator has decided."""
        shelf = self._shelves[verdict.world]
        shelf.remove(verdict)
        verdict.corrected, verdict.standing = corrected, standing
        shelf.put(verdict)

    def expire(self) -> list[Verdict]:
        """Forget what is too old; returns the lines that nobody has looked at in time."""
        before_s = self._clock() - KEPT_S
        unseen: list[Verdict] = []
        for shelf in self._shelves.values():
            for verdict in [each for each in shelf.all() if each.at_s <= before_s]:
                if verdict.standing is Standing.HELD:
                    unseen.append(verdict)
                shelf.remove(verdict)
        return unseen

    def forget(self, person: str) -> None:
        """Keep nothing of somebody who is gone for good."""
        for shelf in self._shelves.values():
            for verdict in [each for each in shelf.all() if each.line.person == person]:
                shelf.remove(verdict)
