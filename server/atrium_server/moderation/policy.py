"""From findings to a decision: what a world lets pass. PURE.

Theory of operation
-------------------
A policy has a row of thresholds for each category: from which severity on a text is masked, held
or blocked. Each finding asks for an action of its own, and the gravest one is what happens. What
rules find has a place in the text and can be masked; a score of a model is of the whole text, so
where a policy would mask by a score nothing is done, and the next threshold decides.

Somebody who speaks of hurting themselves is not punished: their line is held for a person to look
at, in no policy blocked.

While nobody has judged a text yet, what happens is said by `late`: an open or standard world lets
the rules decide alone, a strict one goes on holding (it fails closed).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from atrium_server.moderation.findings import Action, Category, Decision, Finding

MASK_CHARACTER: Final = "•"
NEVER: Final = 2.0
"""A threshold that no severity reaches."""


class PolicyName(StrEnum):
    """The policies that a world's manifest may name."""

    OPEN = "open"
    """Grown-ups among themselves: hate, threats, spam and what endangers people."""
    STANDARD = "standard"
    STRICT = "strict"
    """Children are here: nothing passes that has not been judged."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From which severity on each action is taken."""

    mask: float = NEVER
    hold: float = NEVER
    block: float = NEVER

    def action(self, finding: Finding) -> Action:
        """What one finding asks for."""
        if finding.severity >= self.block:
            return Action.BLOCK
        if finding.severity >= self.hold:
            return Action.HOLD
        if finding.severity >= self.mask and finding.is_certain:
            return Action.MASK
        return Action.ALLOW


@dataclass(frozen=True, slots=True)
class Policy:
    """What one world lets pass."""

    name: PolicyName
    rules: Mapping[Category, Thresholds]
    """For what rules found."""
    scores: Mapping[Category, Thresholds]
    """For what models say."""
    fails_closed: bool
    """Whether a text stays held for as long as no model has judged it."""


_NONE: Final = Thresholds()


def _policy(
    name: PolicyName,
    rules: Mapping[Category, Thresholds],
    scores: Mapping[Category, Thresholds],
    *, fails_closed: bool = False,
) -> Policy:
    return Policy(name, rules, scores, fails_closed)


_C = Category
_T = Thresholds
POLICIES: Final[Mapping[PolicyName, Policy]] = {
    PolicyName.OPEN: _policy(
        PolicyName.OPEN,
        {
            _C.HATE: _T(mask=0.5, block=0.8), _C.THREAT: _T(hold=0.8, block=0.95),
            _C.SEXUAL: _T(mask=0.9), _C.PII: _T(mask=0.5), _C.SPAM: _T(block=0.9),
            _C.SELF_HARM: _T(hold=0.8),
        },
        {_C.HATE: _T(block=0.9), _C.THREAT: _T(hold=0.9), _C.SPAM: _T(block=0.95)},
    ),
    PolicyName.STANDARD: _policy(
        PolicyName.STANDARD,
        {
            _C.PROFANITY: _T(mask=0.4), _C.INSULT: _T(mask=0.4, block=0.9),
            _C.HATE: _T(mask=0.4, block=0.7), _C.THREAT: _T(hold=0.5, block=0.8),
            _C.SEXUAL: _T(mask=0.5, block=0.9), _C.TOXIC: _T(block=0.9),
            _C.PII: _T(mask=0.5), _C.SPAM: _T(hold=0.7, block=0.85),
            _C.SELF_HARM: _T(hold=0.5),
        },
        {
            _C.TOXIC: _T(block=0.5), _C.HATE: _T(block=0.6), _C.THREAT: _T(block=0.9),
            _C.INSULT: _T(block=0.85), _C.SEXUAL: _T(block=0.9), _C.SPAM: _T(block=0.9),
        },
    ),
    PolicyName.STRICT: _policy(
        PolicyName.STRICT,
        {
            _C.PROFANITY: _T(mask=0.2, block=0.6), _C.INSULT: _T(mask=0.2, block=0.5),
            _C.HATE: _T(block=0.3), _C.THREAT: _T(block=0.3), _C.SEXUAL: _T(block=0.3),
            _C.TOXIC: _T(block=0.5), _C.PII: _T(block=0.5), _C.CONTACT: _T(block=0.5),
            _C.SPAM: _T(hold=0.5, block=0.7), _C.SELF_HARM: _T(hold=0.3),
        },
        {
            _C.TOXIC: _T(hold=0.3, block=0.4), _C.HATE: _T(hold=0.3, block=0.4),
            _C.THREAT: _T(hold=0.3, block=0.4), _C.INSULT: _T(hold=0.3, block=0.4),
            _C.SEXUAL: _T(hold=0.3, block=0.4), _C.SPAM: _T(hold=0.5, block=0.6),
        },
        fails_closed=True,
    ),
}
"""Scores are calibrated when a model is made: at 0.5 no more than the stated share of harmless
lines is blocked (see the model's card). What is learned from weak labels only needs to be surer."""


NAMES: Final = _policy(
    PolicyName.STANDARD,
    {
        _C.PROFANITY: _T(block=0.55), _C.INSULT: _T(block=0.4), _C.HATE: _T(block=0.4),
        _C.THREAT: _T(block=0.5), _C.SEXUAL: _T(block=0.5), _C.TOXIC: _T(block=0.9),
        _C.PII: _T(block=0.5), _C.SPAM: _T(block=0.85), _C.SELF_HARM: _T(block=0.5),
    },
    {_C.TOXIC: _T(block=0.95), _C.HATE: _T(block=0.95), _C.SEXUAL: _T(block=0.97)},
)
"""For what people are called, in every world: a name cannot be masked or held, and models know too
little of single words to be asked for more than the worst."""


def decide(text: str, findings: Iterable[Finding], policy: Policy, model: str = "") -> Decision:
    """What becomes of a text, by the gravest of what was found in it."""
    worst: Finding | None = None
    action = Action.ALLOW
    masked: list[Finding] = []
    for finding in findings:
        table = policy.rules if finding.is_certain else policy.scores
        wanted = table.get(finding.category, _NONE).action(finding)
        if wanted is Action.MASK:
            masked.append(finding)
        if wanted > action or (
            wanted is action and worst is not None and finding.severity > worst.severity
        ):
            action, worst = wanted, finding
    if worst is None:
        return Decision(Action.ALLOW, text, model=model)
    shown = masked_text(text, masked) if action is Action.MASK else text
    return Decision(action, shown, worst.category, worst.source, model)


def masked_text(text: str, findings: Iterable[Finding]) -> str:
    """The text with each found stretch covered, spaces left as they are."""
    shown = list(text)
    for finding in findings:
        for k in range(max(finding.start, 0), min(finding.end, len(shown))):
            if not shown[k].isspace():
                shown[k] = MASK_CHARACTER
    return "".join(shown)
