"""Verdicts put right: what moderators and authors say of them, what follows, what is learnt.

Theory of operation
-------------------
::

    judge -> Desk (verdicts) <- routes: list, correct, appeal, thumb
                                  |
              deed and row of feedback, in one transaction
                                  |
              LateLine / Withdraw: an input of a later tick; a Notice to the author

*A line that is let pass after all* is said now: behind everything that was said meanwhile, with
a mark that it is late, to those who may hear it now (the one whom it was said to, those near its
author, everybody). That is what people know from elsewhere, and no line is overtaken. *A line that
should not have been shown* is taken back. Which words should have been covered nobody says, so
`mask` of a line that is shown whole takes it back, too. If the world began anew meanwhile, nothing
changes there, and the answer says so.

*What is learnt from.* A row of feedback has the words of a person, so it is kept only for somebody
with an account, whose export shows it and whose deletion removes it, and who consented: by the
preference CONSENT of the account, or for one line with an appeal. Guests' words are never kept: a
guest is nobody whom one could ask, or who could take them back. Without consent a correction has
its effect, and the audit log has the deed without the words.

*An appeal* makes moderators look; it is kept as a row because its author asks for that, and is not
learnt from before a moderator agrees, which makes a row of its own. Nor are thumbs.
"""

from __future__ import annotations

import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

import msgspec
import trio

from atrium_server.accounts.errors import NotFound, Taken, TooOften
from atrium_server.accounts.person import Identity
from atrium_server.accounts.rates import Buckets
from atrium_server.accounts.service import Accounts
from atrium_server.host import WorldHost
from atrium_server.hosts import Hosts
from atrium_server.http.verdict_routes import (
    Appeal,
    Corrected,
    Correction,
    Kept,
    ShouldBe,
    Thumb,
    VerdictEntry,
)
from atrium_server.moderation.findings import Action
from atrium_server.moderator import LABELS, MODEL
from atrium_server.persistence.audit_rows import AuditRow
from atrium_server.persistence.errors import Refused
from atrium_server.persistence.feedback import FeedbackSource, FeedbackStore, NewFeedback
from atrium_server.persistence.schema import uuid7
from atrium_server.safety import account_of
from atrium_server.verdicts import Desk, Standing, Verdict
from atrium_server.world.commands import LateLine, Withdraw

CONSENT: Final = "learn_from_my_lines"
"""The preference of an account by which it consents; anything but true is no."""
RIGHT: Final = "right"
"""The label of what somebody thinks of a verdict, which is none of any model."""
APPEALS_PER_S: Final = 1 / 120
APPEALS_BURST: Final = 5
LOOK_S: Final = 60.0
PASSED: Final = "A moderator has looked at your line: it is told now, marked as late."
UNCOVERED: Final = "A moderator has looked at your line and found nothing to cover in it."
STAYS: Final = "A moderator has looked at your line: it stays unpublished."
TAKEN_BACK: Final = "A moderator has taken a line of yours back. {}"
UNSEEN: Final = "No moderator has looked at your line in time, so it stays unpublished."
_BEGUN_ANEW: Final = "The world began anew meanwhile, so nothing changes there."
_DECIDED: Final = "A moderator has decided on this line already."
_NO_VERDICT: Final = "There is no such verdict (any more): they are known for a day at most."
_ASKED: Final = "You have said what you think of this line already."


@dataclass(frozen=True, slots=True)
class Reviewing:
    """Implements `http.verdict_routes.Reviewer`."""

    hosts: Hosts
    desk: Desk
    store: FeedbackStore
    accounts: Accounts
    days: int
    """So long rows are kept."""
    _appeals: Buckets = field(default_factory=lambda: Buckets(APPEALS_PER_S, APPEALS_BURST))

    async def run(self) -> None:
        """Refuse what nobody has looked at, for ever."""
        while True:
            await trio.sleep(LOOK_S)
            self.expire()

    def expire(self) -> None:
        """Forget what is too old, and tell those whose lines waited."""
        for verdict in self.desk.expire():
            self._notify(verdict, UNSEEN)

    # --- looking ----------------------------------------------------------------------------

    def verdicts(
        self, world: str, standing: Standing | None, before: uuid.UUID | None, most: int
    ) -> list[VerdictEntry]:
        """For a moderator, newest first. Raises NotFound."""
        self._host(world)
        found = [
            each for each in self.desk.of(world)
            if standing in (None, each.standing) and (before is None or each.id < before)
        ]
        return [_entry(each) for each in found[:most]]

    def mine(self, world: str, who: Identity) -> list[VerdictEntry]:
        """For who was judged, newest first. Raises NotFound."""
        host = self._host(world)
        return [_entry(each) for each in self.desk.of_person(world, _persons(host, who))]

    # --- moderators -------------------------------------------------------------------------

    async def correct(
        self, world: str, id: uuid.UUID, order: Correction, actor: uuid.UUID
    ) -> Corrected:
        """A moderator says what it should have been. Raises NotFound, Taken, StoreError."""
        host = self._host(world)
        verdict = self.desk.find(world, id)
        if verdict is None or verdict.is_private:
            raise NotFound(_NO_VERDICT)
        if verdict.corrected:
            raise Taken(_DECIDED)
        if order.action is not ShouldBe.ALLOW and order.category is None:
            raise Refused("Say of which category the line is, or that it should be allowed.")
        verdict.corrected = order.action.value  # nobody else decides meanwhile
        try:
            is_learnt_from = await self._keep(verdict, order, actor)
        except BaseException:
            verdict.corrected = ""
            raise
        standing, sentence = self._take_effect(host, verdict, order)
        if self.desk.find(world, id) is verdict:  # and was not forgotten meanwhile
            self.desk.settle(verdict, order.action.value, standing)
        return Corrected(standing, is_learnt_from, sentence)

    async def _keep(self, verdict: Verdict, order: Correction, actor: uuid.UUID) -> bool:
        """The deed, and what is to be learnt; whether there is anything of that."""
        deed = AuditRow(
            str(actor), "verdict.correct", "verdict", str(verdict.id), f"correct {verdict.id}",
            {"world": verdict.world, "who": verdict.line.person, "was": _was(verdict),
             "now": order.action.value,
             "category": order.category.value if order.category is not None else ""},
        )
        row = None
        if await self._consents(verdict):
            row = self._row(verdict, _source(verdict, order), _labels(order), has_consent=True)
        try:
            return await self.store.decide(deed, row)
        except Refused:
            if row is None:
                raise
            return await self.store.decide(deed)  # the account is gone meanwhile

    def _take_effect(
        self, host: WorldHost, verdict: Verdict, order: Correction
    ) -> tuple[Standing, str]:
        """Returns where the line is then, and what the moderator is told."""
        is_allowed = order.action is ShouldBe.ALLOW
        is_shown = verdict.standing is Standing.SHOWN
        was_masked = verdict.decision.action is Action.MASK
        if is_shown and (is_allowed or (was_masked and order.action is ShouldBe.MASK)):
            if was_masked and is_allowed:
                self._notify(verdict, UNCOVERED)
            return Standing.SHOWN, "The line stays as it is."
        if not is_shown and not is_allowed:
            if verdict.standing is Standing.HELD or verdict.is_appealed:
                self._notify(verdict, STAYS)
            return Standing.KEPT_BACK, "The line stays unpublished."
        if host.inbox is not verdict.inbox:
            return verdict.standing, _BEGUN_ANEW
        if is_allowed:
            host.inbox.must(_late(verdict))
            self._notify(verdict, PASSED)
            return Standing.SHOWN, "The line is told now, marked as late."
        host.inbox.must(Withdraw(verdict.line.line_id, order.reason))
        self._notify(verdict, TAKEN_BACK.format(order.reason).strip())
        return Standing.KEPT_BACK, "The line is taken back from those who read it."

    # --- who was judged ---------------------------------------------------------------------

    async def appeal(
        self, world: str, id: uuid.UUID, appeal: Appeal, who: Identity
    ) -> Kept:
        """Its author asks for another look. Raises NotFound, Taken, TooOften, StoreError."""
        verdict = self._own(world, id, who)
        if verdict.corrected:
            raise Taken(_DECIDED)
        if verdict.is_appealed:
            raise Taken("You have appealed already: a moderator will look at it.")
        left_s = self._appeals.take(verdict.line.person, trio.current_time())
        if left_s > 0:
            raise TooOften(f"Too many appeals: wait {max(1, round(left_s)):,} s.", left_s)
        verdict.is_appealed, verdict.appeal = True, appeal.why
        verdict.may_learn = appeal.may_learn
        deed = AuditRow(
            str(who.account) if who.account is not None else "guest", "verdict.appeal", "verdict",
            str(id), f"appeal {id}", {"world": world, "was": _was(verdict)},
        )
        row = None
        if who.account is not None:
            row = self._row(
                verdict, FeedbackSource.APPEAL, {RIGHT: 0.0}, has_consent=appeal.may_learn
            )
        with suppress(Refused):  # the account goes away in this moment
            is_kept = await self.store.decide(deed, row)
            return Kept(is_kept, "A moderator will look at your line.")
        return Kept(False, "A moderator will look at your line.")

    async def thumb(self, world: str, id: uuid.UUID, thumb: Thumb, who: Identity) -> Kept:
        """Its author finds it right, or wrong. Raises NotFound, Taken, StoreError."""
        verdict = self._own(world, id, who)
        if verdict.is_thumbed:
            raise Taken(_ASKED)
        verdict.is_thumbed = True
        is_kept = await self._consents(verdict) and await self.store.add(self._row(
            verdict, FeedbackSource.THUMB, {RIGHT: float(thumb.is_right)}, has_consent=True
        ))
        return Kept(is_kept, "Thank you." if is_kept else "Thank you. Your words are not kept.")

    async def withdraw(self, account: uuid.UUID) -> int:
        """Nothing is learnt any more from somebody's words. Raises StoreError."""
        return await self.store.withdraw(account)

    # --- inside -----------------------------------------------------------------------------

    async def _consents(self, verdict: Verdict) -> bool:
        account = account_of(verdict.line.person)
        if account is None:
            return False
        try:
            row = await self.accounts.administration.find_by_id(account)
        except NotFound:
            return False
        return verdict.may_learn or msgspec.json.decode(row.prefs).get(CONSENT) is True

    def _row(
        self, verdict: Verdict, source: FeedbackSource, labels: dict[str, float], *,
        has_consent: bool,
    ) -> NewFeedback:
        return NewFeedback(
            uuid7(time.time()), source, MODEL, verdict.line.text, labels, _was(verdict),
            verdict.decision.model, account_of(verdict.line.person), has_consent, self.days,
        )

    def _own(self, world: str, id: uuid.UUID, who: Identity) -> Verdict:
        host = self._host(world)
        for verdict in self.desk.of_person(world, _persons(host, who)):
            if verdict.id == id:
                return verdict
        raise NotFound(_NO_VERDICT)

    def _host(self, world: str) -> WorldHost:
        host = self.hosts.find(world)
        if host is None or host.state.failed:
            raise NotFound("There is no such world here, or it does not run.")
        return host

    def _notify(self, verdict: Verdict, sentence: str) -> None:
        for host in self.hosts:
            host.notify(verdict.line.person, sentence)


def _persons(host: WorldHost, who: Identity) -> set[str]:
    """Who somebody is in a world: the account, or a guest's sessions that are there."""
    if who.account is not None:
        return {str(who.account)}
    sessions = host.state.sessions.values()
    return {each.author for each in sessions if each.sign_in == who.sign_in}


def _entry(verdict: Verdict) -> VerdictEntry:
    line, decision = verdict.line, verdict.decision
    is_masked = decision.action is Action.MASK
    shown = decision.text if is_masked else line.text
    return VerdictEntry(
        verdict.id, datetime.fromtimestamp(verdict.at_s, UTC), line.text,
        shown if verdict.standing is Standing.SHOWN else "", line.channel.name.lower(),
        line.person, line.sender_name, decision.action.name.lower(),
        decision.category.value if decision.category is not None else None, decision.source,
        decision.model, verdict.reason, verdict.standing, verdict.is_retracted, verdict.corrected,
        verdict.is_appealed, verdict.appeal,
    )


def _was(verdict: Verdict) -> str:
    """A decision in two words."""
    category = verdict.decision.category
    action = verdict.decision.action.name.lower()
    return f"{action} {category.value}" if category is not None else action


def _source(verdict: Verdict, order: Correction) -> FeedbackSource:
    """Whether a moderator takes a verdict back, or says the same."""
    said = {
        ShouldBe.ALLOW: (Action.ALLOW,), ShouldBe.MASK: (Action.MASK,),
        ShouldBe.BLOCK: (Action.HOLD, Action.BLOCK),
    }[order.action]
    is_same = verdict.decision.action in said and (
        order.action is ShouldBe.ALLOW or order.category == verdict.decision.category
    )
    return FeedbackSource.VERDICT if is_same else FeedbackSource.CORRECTION


def _labels(order: Correction) -> dict[str, float]:
    """A line that is to be let pass is nothing of what a model looks for; of any other only the
    category that was named is known."""
    if order.action is ShouldBe.ALLOW:
        return {str(label): 0.0 for label in LABELS}
    assert order.category is not None
    return {str(order.category): 1.0}


def _late(verdict: Verdict) -> LateLine:
    line = verdict.line
    return LateLine(
        line.session_id, line.request_id, line.channel, line.target, line.sender_id,
        line.sender_name, line.text, line.person, line.blocked,
    )
