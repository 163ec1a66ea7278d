"""What the rules and the models are given of a text, and what the rules say of it. PURE.

`Text` goes in, `Read` comes out: the stretches that the rules found, the text in normal form (by
which scores of models are remembered: whoever writes the same insult in ten disguises asks the
model once), and the numbers of its n-grams, which models take.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from atrium_server.moderation.findings import Finding


@dataclass(frozen=True, slots=True)
class Text:
    """Something that somebody wants others to read."""

    text: str
    who: str = ""
    """The person who wrote it, for what they have been doing lately; empty for nobody."""
    at_s: float = 0.0
    """When, by a clock that only goes forward."""
    channel: str = ""
    """Where it is to be read, whatever names that: the same line in many places is spam."""


@dataclass(frozen=True, slots=True)
class Read:
    """What is known of a text without a model."""

    findings: tuple[Finding, ...]
    normal: str
    ids: npt.NDArray[np.int64]
    """Of its n-grams; as long as it has of them."""


class Rules(Protocol):
    """What reads texts. One owner, which may be a thread of its own."""

    def read(self, texts: Sequence[Text]) -> list[Read]:
        """Each text's findings and features. Must not fail, whatever is in them."""
        ...

    def forget(self, who: str) -> None:
        """Remember nothing of somebody."""
        ...

    def forget_before(self, now_s: float) -> None:
        """Remember nothing of those of whom nothing counts any more."""
        ...
