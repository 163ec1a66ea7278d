"""What rules and models say of a text, and what is decided from it. PURE.

A rule finds a stretch of the text, a model scores all of it; both say of which category it is and
how bad. What follows from that is for the policy of a world to say (`policy`), so that the same
findings can be masked in one world and held in another.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Category(StrEnum):
    """Why a text may be kept from others."""

    PROFANITY = "profanity"
    INSULT = "insult"
    THREAT = "threat"
    HATE = "hate"
    SEXUAL = "sexual"
    TOXIC = "toxic"
    """Meant to hurt, without one of the above being certain."""
    SPAM = "spam"
    PII = "pii"
    """What tells who or where somebody is, or gives away what is secret."""
    CONTACT = "contact"
    """A way to meet elsewhere, which worlds for children do not want."""
    SELF_HARM = "self_harm"


class Action(IntEnum):
    """What becomes of a text; the greater, the graver."""

    ALLOW = 0
    MASK = 1
    """Others read it without the stretches that were found."""
    HOLD = 2
    """Nobody else reads it before a moderator has looked at it."""
    BLOCK = 3


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule's or a model's word on one text."""

    category: Category
    severity: float
    """From 0, harmless, to 1. Of a model: the probability that it states."""
    start: int
    """Characters of the original text, from here ..."""
    end: int
    """... to before here."""
    source: str
    """Which rule or model: `list:en`, `pii:email`, `model:moderation`."""
    is_certain: bool = True
    """Of a rule that names a stretch; a score is of the text as a whole and cannot be masked."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided on a text."""

    action: Action
    text: str
    """What others may read; the text itself unless it is masked."""
    category: Category | None = None
    """Of the finding that decided; None if it is allowed."""
    source: str = ""
    """What found it."""
    model: str = ""
    """The version of the model that was asked; empty when only rules decided."""
