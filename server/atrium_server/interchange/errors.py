"""What can be wrong with a file, and what is worth to be told of one that is not. PURE."""

from __future__ import annotations

from collections import Counter

from atrium_shared import limits


class InterchangeError(ValueError):
    """A file that cannot be taken, or a world that cannot be written: a sentence for a person."""


class Warnings:
    """Sentences about what was left out or changed; the same one is told once, with a count."""

    def __init__(self) -> None:
        self._told: Counter[str] = Counter()
        self._more = 0

    def add(self, sentence: str) -> None:
        """Tell this."""
        if sentence in self._told or len(self._told) < limits.IMPORT_WARNINGS_MAX:
            self._told[sentence] += 1
        else:
            self._more += 1

    def told(self) -> list[str]:
        """All of them, in the order of their first time."""
        lines = [
            sentence if count == 1 else f"{sentence} ({count:,} times)"
            for sentence, count in self._told.items()
        ]
        return [*lines, f"... and {self._more:,} more."] if self._more else lines
