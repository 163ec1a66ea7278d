"""Turns of phrase: what is bad by how words are put together, found in the hard form. PURE.

Theory of operation
-------------------
"you are", "worthless" and "they should be" are harmless words, and so are most that name a people.
What is bad is the sentence that they make. A file of phrases names sets of words, and patterns of
sets with room for other words between them::

    you  = you | u | ya
    are  = are | r
    low  = trash | garbage | a joke
    insult 0.5: you are ~2 low

`~2` lets two other words stand before what follows; a set with `?` may be left out; `"word"` is a
set of that one (with _ for a space). In scripts without spaces each character counts as a word.

All words of all sets are found by one table as word lists are (`word_lists`), so that disguises of
them are found too; a second kernel then walks the matches of each text in order, and keeps what has
been found so far of each pattern. It is linear in the matches, with a bounded number of beginnings.

Four sorts of patterns are not findings themselves:

- `allow`: what it covers is harmless, whatever else finds something there ("kill the boss");
- `own`: somebody speaks of themselves: a slur that it covers is covered and no more;
- `report`: somebody tells what another one said: words are covered, the line is not refused;
- `play`: the line is about a game: threats in it are not meant.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from atrium_server.jit import kernel
from atrium_server.moderation.findings import Category, Finding
from atrium_server.moderation.fold import Folded
from atrium_server.moderation.word_lists import (
    Entry,
    WordListError,
    WordLists,
    build,
    entry_of,
    is_unspaced,
)

FOLDER: Final = Path(__file__).parent / "data" / "phrases"
MATCHES_PER_TEXT_MAX: Final = 512
BEGUN_PER_TEXT_MAX: Final = 512
FOUND_PER_TEXT_MAX: Final = 64
ELEMENTS_MAX: Final = 8
GAP_MAX: Final = 16
COVERED: Final = 0.65
"""A slur of somebody about themselves, or told of somebody else: covered in a standard world."""
HELD: Final = 0.75
"""A threat that is told of somebody else."""
_ALLOW, _OWN, _REPORT, _PLAY = "allow", "own", "report", "play"
_SORTS: Final = (_ALLOW, _OWN, _REPORT, _PLAY)

I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]
U32 = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Pattern:
    """A sequence of sets, each with how many other words may stand before it."""

    sort: str
    """A category, or one of the four that are no findings."""
    severity: float
    sets: tuple[int, ...]
    gaps: tuple[int, ...]
    locale: str


@dataclass(frozen=True, slots=True)
class Found:
    """What the patterns say of one text."""

    findings: tuple[Finding, ...] = ()
    harmless: tuple[tuple[int, int], ...] = ()
    own: tuple[tuple[int, int], ...] = ()
    is_report: bool = False
    is_play: bool = False


NOTHING: Final = Found()


@dataclass(frozen=True, slots=True)
class Phrases:
    """All patterns, and the table of the words of their sets."""

    words: WordLists
    patterns: tuple[Pattern, ...]
    sets: I32
    """The sets that the words are of, one word after the other ..."""
    sets_at: I64
    """... and where those of each begin."""
    elements: I32
    """A row for each pattern: its length, then a set and a gap for each element."""
    starting: I32
    """The patterns by their first set ..."""
    starting_at: I64
    """... and where those of each set begin."""

    def find(self, folded: Folded) -> list[Found]:
        """What is found in each text."""
        matches = self.words.matches(folded, MATCHES_PER_TEXT_MAX)
        said = [NOTHING] * folded.rows
        if not len(matches):
            return said
        table = np.empty((FOUND_PER_TEXT_MAX * folded.rows, 4), np.int32)
        begun = np.empty((BEGUN_PER_TEXT_MAX, 4), np.int32)
        count = _follow(
            folded.hard, matches, self.sets, self.sets_at, self.elements, self.starting,
            self.starting_at, begun, table,
        )
        of_row: dict[int, list[tuple[Pattern, int, int]]] = {}
        rows: list[list[int]] = table[:count].tolist()
        for row, number, begin, end in rows:
            at = int(folded.hard_from[begin]), int(folded.hard_to[end - 1])
            of_row.setdefault(row, []).append((self.patterns[number], *at))
        for row, found in of_row.items():
            said[row] = _sorted_out(found)
        return said


def _sorted_out(found: Iterable[tuple[Pattern, int, int]]) -> Found:
    findings: list[Finding] = []
    spans: dict[str, list[tuple[int, int]]] = {sort: [] for sort in _SORTS}
    for pattern, begin, end in found:
        if pattern.sort in spans:
            spans[pattern.sort].append((begin, end))
        else:
            findings.append(Finding(
                Category(pattern.sort), pattern.severity, begin, end, f"phrase:{pattern.locale}"
            ))
    return Found(
        tuple(findings), tuple(spans[_ALLOW]), tuple(spans[_OWN]), bool(spans[_REPORT]),
        bool(spans[_PLAY]),
    )


_SPOKEN: Final = frozenset((
    Category.INSULT, Category.HATE, Category.TOXIC, Category.SEXUAL, Category.PROFANITY,
))


def weighed(words: Sequence[Finding], found: Found) -> tuple[Finding, ...]:
    """What word lists and phrases say of one text together."""
    if found is NOTHING:
        return tuple(words)
    kept: list[Finding] = []
    for each in (*words, *found.findings):
        if any(begin < each.end and each.start < end for begin, end in found.harmless):
            continue
        if found.is_play and each.category is Category.THREAT:
            continue
        severity_max = 1.0
        if each.category in _SPOKEN and (found.is_report or any(
            begin < each.end and each.start < end for begin, end in found.own
        )):
            severity_max = COVERED
        elif found.is_report and each.category is Category.THREAT:
            severity_max = HELD
        kept.append(replace(each, severity=min(each.severity, severity_max)))
    return tuple(kept)


# --- reading ----------------------------------------------------------------------------------


class _Reading:
    """One file after the other; sets are those of their file."""

    def __init__(self) -> None:
        self.of_word: dict[tuple[str, bytes, bool], tuple[Entry, set[int]]] = {}
        self.patterns: list[Pattern] = []
        self.sets = 0

    def read(self, document: str, locale: str) -> None:
        """Add those of a file. Raises WordListError."""
        names: dict[str, int] = {}
        patterns: list[tuple[str, str, str]] = []
        for number, line in enumerate(document.splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            where = f"{locale}, line {number}"
            name, is_set, words = line.partition("=")
            head, colon, elements = line.partition(":")
            if is_set and ":" not in name:
                self._add(self._set(names, name.strip(), where), words.split("|"), locale, where)
            elif colon:
                patterns.append((head, elements, where))
            else:
                raise WordListError(f"{where}: neither a set (=) nor a pattern (:).")
        for head, elements, where in patterns:  # a set may stand behind the patterns that use it
            self._pattern(names, head.split(), elements.split(), (locale, where))

    def _set(self, names: dict[str, int], name: str, where: str) -> int:
        if not name.isidentifier():
            raise WordListError(f"{where}: {name[:40]!r} is no name of a set.")
        if name not in names:
            names[name] = self.sets
            self.sets += 1
        return names[name]

    def _add(self, number: int, words: Iterable[str], locale: str, where: str) -> None:
        for word in words:
            entry = entry_of(word.strip(), None, 0.0, (locale, where))
            key = entry.text, entry.runs, entry.takes_any_ending
            self.of_word.setdefault(key, (entry, set()))[1].add(number)

    def _pattern(
        self, names: dict[str, int], head: list[str], elements: list[str], about: tuple[str, str]
    ) -> None:
        locale, where = about
        try:
            sort = head[0] if head[0] in _SORTS else str(Category(head[0]))
            severity = 0.0 if sort in _SORTS else float(head[1])
        except (ValueError, IndexError):
            raise WordListError(f"{where}: a category and a severity, or {', '.join(_SORTS)}.")\
                from None
        if not 0 <= severity <= 1 or len(head) > 2:
            raise WordListError(f"{where}: a severity from 0 to 1.")
        parts: list[tuple[int, int, bool]] = []
        gap = 0
        for element in elements:
            if element.startswith("~") and element[1:].isdigit() and int(element[1:]) <= GAP_MAX:
                gap = int(element[1:])
                continue
            plain = element.removesuffix("?")
            if plain.startswith('"') and plain.endswith('"'):
                number = self._set(names, f"_word_{len(self.of_word)}_{len(names)}", where)
                self._add(number, [plain[1:-1].replace("_", " ")], locale, where)
            elif plain in names:
                number = names[plain]
            else:
                raise WordListError(f"{where}: there is no set {plain[:40]!r}.")
            parts.append((number, gap, plain != element))
            gap = 0
        for sets, gaps in _without_optional(parts, where):
            self.patterns.append(Pattern(sort, severity, sets, gaps, locale))


def _without_optional(
    parts: Sequence[tuple[int, int, bool]], where: str
) -> Iterable[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Each way to leave out what may be; the room before it is then that of what follows."""
    if not 1 <= len(parts) <= ELEMENTS_MAX or all(part[2] for part in parts):
        raise WordListError(f"{where}: 1 to {ELEMENTS_MAX} sets, one of them without a '?'.")
    for is_left_out in itertools.product(*((False, True) if part[2] else (False,)
                                           for part in parts)):
        sets: list[int] = []
        gaps: list[int] = []
        room = 0
        for (number, gap, _), is_out in zip(parts, is_left_out, strict=True):
            room = max(room, gap)
            if not is_out:
                sets.append(number)
                gaps.append(room)
                room = 0
        yield tuple(sets), tuple(gaps)


def phrases(documents: Iterable[tuple[str, str]]) -> Phrases:
    """Those of some files, each with its locale. Raises WordListError."""
    reading = _Reading()
    for locale, document in documents:
        reading.read(document, locale)
    of_word = list(reading.of_word.values())
    sets_at = np.zeros(len(of_word) + 1, np.int64)
    np.cumsum([len(numbers) for _, numbers in of_word], out=sets_at[1:])
    sets = np.array([each for _, numbers in of_word for each in sorted(numbers)], np.int32)
    elements = np.zeros((len(reading.patterns) + 1, 1 + 2 * ELEMENTS_MAX), np.int32)
    by_set: list[list[int]] = [[] for _ in range(reading.sets)]
    for number, pattern in enumerate(reading.patterns):
        size = len(pattern.sets)
        elements[number, 0] = size
        elements[number, 1 : 1 + size] = pattern.sets
        elements[number, 1 + ELEMENTS_MAX : 1 + ELEMENTS_MAX + size] = pattern.gaps
        by_set[pattern.sets[0]].append(number)
    starting_at = np.zeros(reading.sets + 1, np.int64)
    np.cumsum([len(each) for each in by_set], out=starting_at[1:])
    starting = np.array([number for each in by_set for number in each] + [0], np.int32)
    words = build([entry for entry, _ in of_word])
    assert len(words.entries) == len(of_word), "words are in the order of their sets"
    return Phrases(words, tuple(reading.patterns), sets, sets_at, elements, starting, starting_at)


@cache
def packaged() -> Phrases:
    """Those that come with Atrium, read once."""
    return phrases(
        (path.stem, path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.txt"))
    )


# --- the kernel -------------------------------------------------------------------------------


@kernel("int64(uint32[::1], int64, int64, int64)")
def _words_between(hard: U32, first: Any, last: Any, most: Any) -> Any:
    """How many words begin from `first` to before `last`; counts up to `most` and one more."""
    count = 0
    for k in range(first, last):
        if hard[k] != 32 and (hard[k - 1] == 32 or is_unspaced(hard[k])):
            count += 1
            if count > most:
                break
    return count


@kernel(
    "int64(uint32[::1], int32[:,::1], int32[::1], int64[::1], int32[:,::1], int32[::1],"
    " int64[::1], int32[:,::1], int32[:,::1])", nogil=True,
)
def _follow(
    hard: U32, matches: I32, sets: I32, sets_at: I64, elements: I32, starting: I32,
    starting_at: I64, begun: I32, found: I32,
) -> int:
    """Write what patterns are found whole; returns how many. `begun` is scratch: pattern, how many
    of its elements have been found, where the first begins and the last ends."""
    count, open_, of_row = 0, 0, 0
    row = -1
    for m in range(len(matches)):
        if matches[m, 0] != row:
            row, open_, of_row = matches[m, 0], 0, 0
        begin, end = np.int64(matches[m, 2]), np.int64(matches[m, 3])
        # What has been left too far behind goes first, so that there is room.
        kept = 0
        for k in range(open_):
            gap = _words_between(hard, np.int64(begun[k, 3]), begin, GAP_MAX)
            if gap <= GAP_MAX:
                for column in range(4):
                    begun[kept, column] = begun[k, column]
                kept += 1
        open_ = kept
        before = open_
        for at in range(sets_at[matches[m, 1]], sets_at[matches[m, 1] + 1]):
            which = sets[at]
            for k in range(before):
                number, done = begun[k, 0], begun[k, 1]
                if elements[number, 1 + done] != which or begun[k, 3] > begin:
                    continue
                most = np.int64(elements[number, 1 + ELEMENTS_MAX + done])
                if _words_between(hard, np.int64(begun[k, 3]), begin, most) > most:
                    continue
                if done + 1 == elements[number, 0]:
                    if count < len(found) and of_row < FOUND_PER_TEXT_MAX:
                        found[count, 0], found[count, 1] = row, number
                        found[count, 2], found[count, 3] = begun[k, 2], end
                        count, of_row = count + 1, of_row + 1
                elif open_ < len(begun):
                    begun[open_, 0], begun[open_, 1] = number, done + 1
                    begun[open_, 2], begun[open_, 3] = begun[k, 2], end
                    open_ += 1
            for k in range(starting_at[which], starting_at[which + 1]):
                number = starting[k]
                if elements[number, 0] == 1:
                    if count < len(found) and of_row < FOUND_PER_TEXT_MAX:
                        found[count, 0], found[count, 1] = row, number
                        found[count, 2], found[count, 3] = begin, end
                        count, of_row = count + 1, of_row + 1
                elif open_ < len(begun):
                    begun[open_, 0], begun[open_, 1] = number, 1
                    begun[open_, 2], begun[open_, 3] = begin, end
                    open_ += 1
    return count
