"""The moderator as the judge of one world: requests in, commands of a later tick out.

Each verdict on a line is noted on the desk (`verdicts`), where moderators and authors find it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from atrium_server.mailbox import Inbox
from atrium_server.moderation.findings import Action
from atrium_server.moderation.policy import Policy
from atrium_server.moderator import Answer, Case, Moderator
from atrium_server.verdicts import Desk, Said
from atrium_server.world.commands import (
    Judged,
    JudgeRequest,
    SignJudged,
    SignRequest,
    Withdraw,
)


class WorldJudge:
    """A `Judge` that asks the moderator, by the policy of its world."""

    def __init__(self, moderator: Moderator, policy: Policy, world: str, desk: Desk) -> None:
        self._moderator = moderator
        self._policy = policy
        self._world = world
        self._desk = desk

    def consider(self, requests: Sequence[JudgeRequest], inbox: Inbox) -> None:
        """Lines of chat."""
        self._moderator.consider([
            self._case(
                request.text, partial(self._judged, request, inbox), request.person,
                f"{self._world}:{request.sender_id}:{request.channel}",
            )
            for request in requests
        ])

    def consider_signs(self, requests: Sequence[SignRequest], inbox: Inbox) -> None:
        """The texts of signs."""
        self._moderator.consider([
            self._case(request.text, partial(_sign_judged, request, inbox))
            for request in requests
        ])

    def _judged(self, request: JudgeRequest, inbox: Inbox, answer: Answer) -> None:
        decision = answer.decision
        said = Said(self._world, request, inbox, answer.is_late)
        reason = self._desk.take(said, decision, answer.reason)
        if answer.is_late:
            inbox.must(Withdraw(request.line_id, reason))
            return
        publish = decision.action <= Action.MASK
        text = decision.text if publish else request.text
        inbox.must(Judged(request.line_id, publish, text, "" if publish else reason))

    def _case(
        self, text: str, told: Callable[[Answer], None], who: str = "", place: str = ""
    ) -> Case:
        return Case(text, self._policy, told, who, place)


def _sign_judged(request: SignRequest, inbox: Inbox, answer: Answer) -> None:
    decision = answer.decision
    if request.is_published and decision.action is Action.BLOCK and decision.category is None:
        return  # nobody has judged it, so it stays as it was judged before
    publish = decision.action <= Action.MASK and not answer.is_late
    text = decision.text if publish else request.text
    inbox.must(SignJudged(
        request.prop_id, request.text, publish, text, "" if publish else answer.reason
    ))
