"""What becomes of an upload by what a network says of its pictures. All of the rules are here.

Theory of operation
-------------------
Assets belong to a server and not to a world, so the strictest of its worlds decides (`rules_for`).
Each policy has two thresholds: above `block` a picture is refused and its refusal remembered, above
`hold` it is kept and shown to nobody until a moderator has decided. And it says what becomes of
pictures on which there is no score:

*Unseen.* The network could not be shown them: KTX2, or more of them than PICTURES_MAX. Where they
passed they would be the way past it.

*Absent.* This server uses no version of the model. A server for everybody goes on as if there were
no such model; one for children lets nobody see what nobody has looked at.

*Failed.* There is a version, and it broke or did not get its turn in time. Whoever keeps the model
busy must not get pictures past it, so they are held, but for grown-ups among themselves; both are
counted.

The thresholds were set so that of pictures without anything in them (flat colours, slopes, noise,
writing, drawn shapes; `training.plain_pictures`) none is refused and hardly one is held: to some
browns and pinks the network gives up to 0.43. What it finds of what it should is not measured.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from atrium_server.assets.pictures import PICTURE_BYTES
from atrium_server.assets.verdict import Verdict
from atrium_server.moderation.policy import NEVER, PolicyName

REFUSED_SENTENCE: Final = (
    "This picture, or one in this model, does not look safe to show to everybody here: choose"
    " another one. If that is wrong, tell a moderator."
)
HELD_SENTENCE: Final = (
    "A moderator looks at this file before others see it: it is kept, and need not be sent again."
)


def refusal_by_person(reason: str) -> str:
    """What an uploader is told of what a moderator has refused."""
    said = f" They say: {reason}" if reason else ""
    return f"A moderator has looked at this file and refused it: choose another one.{said}"


class NotJudged(Exception):
    """There is a network, and it did not say anything of these pictures."""


class ImageJudge(Protocol):
    """Says how likely pictures are not safe to show."""

    @property
    def is_there(self) -> bool:
        """Whether it can be asked; that can change at any time."""
        ...

    async def judge(self, pictures: Sequence[bytes]) -> Sequence[float]:
        """Of each picture, which is PICTURE_BYTES of red, green, blue, 0 to 1. Raises NotJudged."""
        ...


class Showing(enum.Enum):
    """What becomes of an upload."""

    SHOW = "show"
    HOLD = "hold"
    BLOCK = "block"


class Why(enum.Enum):
    """What an answer was given by."""

    NOTHING = "nothing"
    """It has no pictures."""
    SCORE = "score"
    UNSEEN = "unseen"
    ABSENT = "absent"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class PictureRules:
    """Those of one policy."""

    hold: float
    block: float
    unseen: Showing
    absent: Showing
    failed: Showing

    def of_score(self, score: float) -> Showing:
        """What a score asks for. What is no number is held."""
        if score > self.block:
            return Showing.BLOCK
        return Showing.SHOW if score <= self.hold else Showing.HOLD


_S = Showing
PICTURE_RULES: Final[Mapping[PolicyName, PictureRules]] = {
    PolicyName.OPEN: PictureRules(0.9, NEVER, unseen=_S.SHOW, absent=_S.SHOW, failed=_S.SHOW),
    PolicyName.STANDARD: PictureRules(0.6, 0.95, unseen=_S.HOLD, absent=_S.SHOW, failed=_S.HOLD),
    PolicyName.STRICT: PictureRules(0.3, 0.8, unseen=_S.HOLD, absent=_S.HOLD, failed=_S.HOLD),
}


def rules_for(policies: Iterable[str]) -> PictureRules:
    """Those of the strictest of the policies of a server's worlds; standard without any."""
    order = list(PolicyName)
    found = [PolicyName(name) for name in policies] or [PolicyName.STANDARD]
    return PICTURE_RULES[max(found, key=order.index)]


@dataclass(frozen=True, slots=True)
class Judging:
    """Who looks at the pictures of a server, and by which rules."""

    judge: ImageJudge
    rules: PictureRules


@dataclass(frozen=True, slots=True)
class Look:
    """What becomes of an upload, and why."""

    showing: Showing
    why: Why
    score: float | None = None
    """The highest, if there is one."""


async def looked_at(verdict: Verdict, judging: Judging) -> Look:
    """What becomes of a file that has been found sound."""
    assert verdict.facts is not None
    judge, rules = judging.judge, judging.rules
    count = len(verdict.facts.images)
    if count == 0:
        return Look(Showing.SHOW, Why.NOTHING)
    if not judge.is_there:
        return Look(rules.absent, Why.ABSENT)
    seen = [picture for picture in verdict.pictures if len(picture) == PICTURE_BYTES]
    try:
        scores: Sequence[float] = await judge.judge(seen) if seen else ()
    except NotJudged:
        return Look(rules.failed, Why.FAILED)
    # `max` would pass over what is no number, or not, by where it stands.
    worst = max(scores, key=lambda score: score if score == score else 2.0, default=None)
    by_score = Look(Showing.SHOW, Why.SCORE, worst)
    if worst is not None:
        by_score = Look(rules.of_score(worst), Why.SCORE, worst)
    if by_score.showing is Showing.SHOW and len(scores) < count:
        return Look(rules.unseen, Why.UNSEEN, worst)
    return by_score
