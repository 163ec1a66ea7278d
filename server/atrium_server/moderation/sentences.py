"""What is said to whoever wrote something that others may not read as it is. PURE."""

from __future__ import annotations

from typing import Final

from atrium_server.moderation.findings import Action, Category, Decision

BUSY: Final = "There is too much to look at just now: try again in a moment."
UNREAD: Final = "This could not be checked, so it was not published: say it differently."
UNSURE: Final = "This could not be checked in time, so it was not published: try again."

_WHY: Final = {
    Category.PROFANITY: "it has words in it that are not used here",
    Category.INSULT: "it reads as an insult",
    Category.THREAT: "it reads as a threat",
    Category.HATE: "it reads as hate against people for what they are",
    Category.SEXUAL: "it is about sex",
    Category.TOXIC: "it reads as meant to hurt",
    Category.SPAM: "it looks like advertising or repetition",
    Category.PII: "it tells what should not be told in public",
    Category.CONTACT: "it is about meeting elsewhere",
    Category.SELF_HARM: "a person will look at it first, because you matter here",
}
_HELP: Final = " If you think of hurting yourself, please talk to somebody you trust, or call your"\
    " local emergency number."


def reason_of(decision: Decision) -> str:
    """For the author: what became of the text, and what they can do."""
    why = _WHY[decision.category] if decision.category is not None else ""
    match decision.action:
        case Action.ALLOW:
            return ""
        case Action.MASK:
            return f"Parts of this were covered: {why}."
        case Action.HOLD:
            told = f"This is held for a moderator to look at: {why}."
            return told + _HELP if decision.category is Category.SELF_HARM else told
        case Action.BLOCK:
            return f"This was not published: {why}. If that is wrong, tell a moderator."


def refusal_of_name(decision: Decision) -> str:
    """For somebody who may not be called so; empty if they may."""
    if decision.action is Action.ALLOW:
        return ""
    why = _WHY[decision.category] if decision.category is not None else "it could not be checked"
    return f"that name cannot be used here: {why}. Take another one"
