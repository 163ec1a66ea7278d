"""Who decides whether a line may be published: a Protocol, and the judge that allows everything.

The judge gets the requests of a tick and answers into the world's inbox, whenever it is done; the
verdict is an ordinary command of a later tick. A judge that thinks (a model, a person) is a lane
and must never be waited for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from atrium_server.mailbox import Inbox
from atrium_server.world.commands import Judged, JudgeRequest, SignJudged, SignRequest


class Judge(Protocol):
    """Decides about lines of chat and the texts of signs."""

    def consider(self, requests: Sequence[JudgeRequest], inbox: Inbox) -> None:
        """Take these requests; answer each with one `Judged` into `inbox`. Must not block."""
        ...

    def consider_signs(self, requests: Sequence[SignRequest], inbox: Inbox) -> None:
        """The same for signs; answer each with one `SignJudged`."""
        ...


class AllowAll:
    """Publishes every text as it is, one tick later."""

    def consider(self, requests: Sequence[JudgeRequest], inbox: Inbox) -> None:
        for request in requests:
            inbox.must(Judged(request.line_id, publish=True, text=request.text, reason=""))

    def consider_signs(self, requests: Sequence[SignRequest], inbox: Inbox) -> None:
        for request in requests:
            inbox.must(SignJudged(
                request.prop_id, request.text, publish=True, text=request.text, reason=""
            ))
