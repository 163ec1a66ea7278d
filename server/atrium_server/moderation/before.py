"""What each sender said just before, so that nothing is hidden by breaking a line in several. PURE.

Theory of operation
-------------------
"f", "u", "c", "k", or "you are" and then "worthless": each line is harmless, all of them are not.
Of each sender in each channel the last short lines are kept, for BEFORE_S; a new short line is read
again behind them, and what then reaches from the old ones into the new one is found in the new one.
The old ones have been published and stay; without their end they say little.

Only short lines are kept and read again: a sentence is not broken into sentences. The memory is
bounded in senders, lines and characters; whoever has been silent longest gives way.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from atrium_server.moderation.findings import Finding
from atrium_server.moderation.reading import Text

BEFORE_S: Final = 20.0
LINES_MAX: Final = 7
LINE_CHARS_MAX: Final = 32
CHARS_MAX: Final = 48
"""Of all lines before."""
SENDERS_MAX: Final = 4_096


@dataclass(slots=True)
class _Said:
    at_s: float = 0.0
    lines: deque[str] = field(default_factory=lambda: deque[str](maxlen=LINES_MAX))


class Before:
    """The memory of one thread."""

    def __init__(self, senders_max: int = SENDERS_MAX) -> None:
        self._senders_max = senders_max
        self._said: OrderedDict[tuple[str, str], _Said] = OrderedDict()  # who spoke last is last

    def __len__(self) -> int:
        return len(self._said)

    def seen(self, text: Text) -> str:
        """What its sender said just before this line, with a space behind it; and remember the
        line. Empty if nothing has to be read again."""
        if not text.who or not text.channel:
            return ""
        key = text.who, text.channel
        said = self._said.get(key)
        if len(text.text) > LINE_CHARS_MAX:
            if said is not None:
                del self._said[key]
            return ""
        if said is None or text.at_s - said.at_s > BEFORE_S:
            said = self._said[key] = _Said()
        self._said.move_to_end(key)
        while sum(map(len, said.lines)) > CHARS_MAX:
            said.lines.popleft()
        before = "".join(f"{line} " for line in said.lines)
        said.at_s = text.at_s
        said.lines.append(text.text)
        while len(self._said) > self._senders_max:
            self._said.popitem(last=False)
        return before

    def forget(self, who: str) -> None:
        """Keep nothing of this sender."""
        for key in [key for key in self._said if key[0] == who]:
            del self._said[key]

    def forget_before(self, now_s: float) -> None:
        """Keep nothing of those whose lines do not count any more."""
        for key in [key for key, said in self._said.items() if now_s - said.at_s > BEFORE_S]:
            del self._said[key]


def reaching_in(findings: Sequence[Finding], chars_before: int) -> tuple[Finding, ...]:
    """Of what was found in a line with those before it: what begins before the line and ends in
    it, as findings of the line."""
    return tuple(
        replace(each, start=0, end=each.end - chars_before)
        for each in findings if each.start < chars_before < each.end
    )
