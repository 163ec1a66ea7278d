"""Words and phrases that are known to be bad, found in the hard form of texts. PURE.

Theory of operation
-------------------
A list says of which category its entries are and how bad. Entries are folded like texts are, so
one spelling finds all disguises; and they are found by hash: at the begin of each word one hash
grows by a character at a time, and where a word ends (an entry may be of PHRASE_WORDS_MAX words),
or where an entry may go on in any way (`*`), it is looked up in a table. In scripts without spaces
every character begins a word and ends one. So the work is linear in the text, whatever the lists'
size.

The hard form writes repeated letters once and says how often they were there. An entry is found
only where those numbers agree with its own: "as" is not "ass". A letter that is there three times
or more is stretched and agrees with any; twice agrees with once where the entry is too long to be
meant as another word.

What an entry of the category `allow` covers is not found, and of what overlaps the worst is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from atrium_server.jit import kernel, kernel_inline
from atrium_server.moderation.findings import Category, Finding
from atrium_server.moderation.fold import Folded, fold
from atrium_server.moderation.fold_table import fold_table

FOLDER: Final = Path(__file__).parent / "data" / "words"
PHRASE_WORDS_MAX: Final = 8
ENTRY_CHARS_MAX: Final = 64
STRETCHED: Final = 3
DOUBLED_CHARS_MIN: Final = 4
MATCHES_PER_TEXT_MAX: Final = 64
LOOKED_LIKE_CHARS_MIN: Final = 4
"""A shorter word in Latin look-alikes may be a word."""
_ALLOW: Final = "allow"
_SEED: Final = np.uint64(0x51ED270B7F2A3D19)
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_SPACE: Final = 32

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]


class WordListError(Exception):
    """A list has a mistake; the message says in which line."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A word or a phrase."""

    text: str
    """In the hard form."""
    runs: bytes
    category: Category | None
    """None for what is allowed."""
    severity: float
    takes_any_ending: bool
    locale: str


@dataclass(frozen=True, slots=True)
class WordLists:
    """All entries and the table by which they are found. `places` is a hash table with open
    addressing: the entry of a hash is at the first place from `hash & (size - 1)` on that has it.
    """

    entries: tuple[Entry, ...]
    hashes: U64
    places: I32
    """Of `entries`; -1 where the table is free."""
    runs: U8
    runs_at: I64
    endless: U8
    """1 for entries that take any ending."""

    def find(self, folded: Folded) -> list[tuple[Finding, ...]]:
        """What is found in each text, the worst of what overlaps."""
        found: list[tuple[Finding, ...]] = [()] * folded.rows
        of_row: dict[int, list[tuple[Entry, int, int]]] = {}
        rows: list[list[int]] = self.matches(folded, MATCHES_PER_TEXT_MAX).tolist()
        for row, number, begin, end in rows:
            match = (
                self.entries[number], int(folded.hard_from[begin]), int(folded.hard_to[end - 1]),
            )
            of_row.setdefault(row, []).append(match)
        for row, matches in of_row.items():
            found[row] = _worst(matches)
            if len(matches) >= MATCHES_PER_TEXT_MAX:
                found[row] = (*found[row], _too_many(folded, row))
        return found

    def matches(self, folded: Folded, per_text_max: int) -> I32:
        """All of them, as rows of: which text, which entry, and from where to where in the hard
        form. In the order of where they begin; of each text the first `per_text_max`.
        """
        table = np.empty((per_text_max * folded.rows, 4), np.int32)
        count = _match(
            folded.hard, folded.hard_runs, folded.hard_offsets, self.hashes, self.places,
            self.runs, self.runs_at, self.endless, per_text_max, table,
        )
        return table[:count]


def _too_many(folded: Folded, row: int) -> Finding:
    """A text with more matches than are looked at: what is behind them is not known, so nothing of
    it is published."""
    last = folded.hard_offsets[row + 1] - 1
    return Finding(Category.SPAM, 1.0, 0, int(folded.hard_to[last]), "list:too many")


def _worst(matches: list[tuple[Entry, int, int]]) -> tuple[Finding, ...]:
    taken = [(begin, end) for entry, begin, end in matches if entry.category is None]

    def badness(match: tuple[Entry, int, int]) -> tuple[float, int]:
        return -match[0].severity, match[1] - match[2]

    ranked = sorted(matches, key=badness)
    findings: list[Finding] = []
    for entry, begin, end in ranked:
        if entry.category is None or any(begin < b and a < end for a, b in taken):
            continue
        taken.append((begin, end))
        findings.append(
            Finding(entry.category, entry.severity, begin, end, f"list:{entry.locale}")
        )
    return tuple(sorted(findings, key=lambda finding: finding.start))


def read_list(text: str, locale: str) -> list[Entry]:
    """The entries of a list. Raises WordListError."""
    entries: list[Entry] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith("#"):
            entries.extend(_read_line(line, number, locale))
    return entries


def _read_line(line: str, number: int, locale: str) -> Iterable[Entry]:
    head, colon, words = line.partition(":")
    name, _, how_bad = head.partition(" ")
    try:
        category = None if name == _ALLOW else Category(name)
        severity = float(how_bad)
    except ValueError:
        raise WordListError(f"{locale}, line {number}: no category and severity.") from None
    if not colon or not 0 <= severity <= 1:
        raise WordListError(f"{locale}, line {number}: a severity from 0 to 1 and a colon.")
    for word in words.split("|"):
        entry = entry_of(word.strip(), category, severity, (locale, f"{locale}, line {number}"))
        yield entry
        mixed = mixed_form(entry.text)
        if mixed != entry.text:
            yield replace(entry, text=mixed)


def mixed_form(hard: str) -> str:
    """The hard form of a word of which some letters are typed as the Latin ones that they look
    like: folding makes all of those Latin then, and leaves the rest. The same text if none is left
    or none can be changed.
    """
    table = fold_table()

    def looks(letter: str) -> str:
        code = ord(letter)
        plain = int(table.looks[int(table.looks_of_block[code >> 8]) << 8 | code & 255])
        return chr(plain) if plain and code > 127 else letter

    words = [(word, "".join(map(looks, word))) for word in hard.split(" ")]
    return " ".join(
        mixed if any(each.isascii() for each in mixed)
        and (not mixed.isascii() or len(mixed) >= LOOKED_LIKE_CHARS_MIN) else word
        for word, mixed in words
    )


def entry_of(
    plain: str, category: Category | None, severity: float, about: tuple[str, str]
) -> Entry:
    """The entry of a word as it is written in a list; `about` is its locale, and where it is.
    Raises WordListError."""
    locale, where = about
    folded = fold([plain.removesuffix("*")])
    hard = folded.hard_text(0)
    if not hard or len(hard) > ENTRY_CHARS_MAX:
        raise WordListError(f"{where}: {plain[:40]!r} is empty or too long.")
    if hard.count(" ") >= PHRASE_WORDS_MAX:
        raise WordListError(f"{where}: {plain!r} has too many words.")
    return Entry(hard, folded.hard_runs.tobytes(), category, severity, plain.endswith("*"), locale)


def build(entries: Sequence[Entry]) -> WordLists:
    """The table of some entries; of those with the same text and runs the worst counts."""
    best: dict[tuple[str, bytes, bool], Entry] = {}
    for entry in entries:
        key = entry.text, entry.runs, entry.takes_any_ending
        if key not in best or best[key].severity < entry.severity or entry.category is None:
            best[key] = entry
    kept = tuple(best.values())
    size = 1 << max(4, (4 * len(kept)).bit_length())
    hashes, places = np.zeros(size, np.uint64), np.full(size, -1, np.int32)
    for number, entry in enumerate(kept):
        value = _hash_of(np.frombuffer(entry.text.encode("utf-32-le"), np.uint32).copy())
        at = int(value) & (size - 1)
        while places[at] >= 0:
            at = (at + 1) & (size - 1)
        hashes[at], places[at] = value, number
    runs_at = np.zeros(len(kept) + 1, np.int64)
    np.cumsum([len(entry.runs) for entry in kept], out=runs_at[1:])
    runs = np.frombuffer(b"".join(entry.runs for entry in kept) + b"\0", np.uint8).copy()
    endless = np.array([entry.takes_any_ending for entry in kept] + [False], np.uint8)
    return WordLists(kept, hashes, places, runs, runs_at, endless)


@cache
def packaged() -> WordLists:
    """Those that come with Atrium, read once."""
    entries: list[Entry] = []
    for path in sorted(FOLDER.glob("*.txt")):
        if path.stem != "LICENSE":
            entries.extend(read_list(path.read_text(encoding="utf-8"), path.stem))
    return build(entries)


@kernel_inline
def _grown(value: Any, code: Any) -> Any:
    return (value ^ np.uint64(code)) * _MIX + (value >> np.uint64(29))


@kernel("uint64(uint32[::1])", nogil=True)
def _hash_of(codes: U32) -> Any:
    value = _SEED
    for code in codes:
        value = _grown(value, code)
    return value


@kernel_inline
def is_unspaced(code: Any) -> Any:
    """Of a script without spaces between words: Thai to Khmer, kana, Han and their neighbours."""
    return 0x0E00 <= code < 0x1100 or 0x1780 <= code < 0x1800 or 0x2E80 <= code < 0xA4D0 or (
        code >= 0x20000
    )


@kernel("boolean(uint8[::1], int64, uint8[::1], int64, int64)")
def _agrees(text: U8, at: Any, entry: U8, first: Any, length: Any) -> Any:
    """Whether letters are there as often as in the entry."""
    for k in range(length):
        there, wanted = text[at + k], entry[first + k]
        if there != wanted and there < STRETCHED and not (
            there > wanted and length >= DOUBLED_CHARS_MIN
        ):
            return False
    return True


@kernel(
    "int64(uint32[::1], uint8[::1], int64[::1], uint64[::1], int32[::1], uint8[::1], int64[::1],"
    " uint8[::1], int64, int32[:,::1])", nogil=True,
)
def _match(
    hard: U32, hard_runs: U8, offsets: I64, hashes: U64, places: I32, runs: U8, runs_at: I64,
    endless: U8, per_text_max: Any, table: I32,
) -> int:
    """Write all matches; returns how many there are."""
    mask = len(hashes) - 1
    count = 0
    for row in range(len(offsets) - 1):
        limit = min(count + per_text_max, len(table))
        first, end = offsets[row], offsets[row + 1]
        for begin in range(first, end):
            if hard[begin] == _SPACE or not (
                begin == first or hard[begin - 1] == _SPACE or is_unspaced(hard[begin])
            ):
                continue
            value, words = _SEED, 1
            for k in range(begin, min(end, begin + ENTRY_CHARS_MAX)):
                if hard[k] == _SPACE:
                    words += 1
                    if words > PHRASE_WORDS_MAX:
                        break
                value = _grown(value, hard[k])
                is_end = k + 1 == end or hard[k + 1] == _SPACE or is_unspaced(hard[k])
                at = np.int64(value & np.uint64(mask))
                while places[at] >= 0 and count < limit:
                    number = places[at]
                    if hashes[at] == value and (is_end or endless[number]) and _agrees(
                        hard_runs, begin, runs, runs_at[number],
                        runs_at[number + 1] - runs_at[number],
                    ):
                        stop = k + 1
                        while endless[number] and stop < end and hard[stop] != _SPACE:
                            stop += 1
                        table[count, 0], table[count, 1] = row, number
                        table[count, 2], table[count, 3] = begin, stop
                        count += 1
                    at = (at + 1) & mask
    return count
