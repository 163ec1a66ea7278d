"""Moments as people type them: `2026-11-20T12:00`, with a zone or without, or `2h` ago. PURE.

A time without its zone is in UTC. How long ago something is, is counted from the clock of whoever
is asked (the database), so a moment of that kind is resolved only there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

_AGO: Final = re.compile(r"(\d{1,6})(s|m|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Mistake(ValueError):
    """An argument that cannot be; the text is a sentence for who typed it."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time, or how long ago one is."""

    at: datetime | None
    ago_s: int = 0

    def on(self, now: datetime) -> datetime:
        """The point in time, in UTC."""
        return now - timedelta(seconds=self.ago_s) if self.at is None else self.at


def moment_of(text: str) -> Moment:
    """The moment that somebody typed. Raises Mistake."""
    ago = _AGO.fullmatch(text.strip())
    if ago is not None:
        return Moment(None, int(ago[1]) * _SECONDS[ago[2]])
    try:
        at = datetime.fromisoformat(text.strip())
        return Moment((at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC))
    except (ValueError, OverflowError):
        raise Mistake(
            f"{text[:40]!r} is no moment: say 2026-11-20T12:00 (in UTC, unless a zone follows), or"
            " 90m, 2h, 3d for so long ago."
        ) from None
