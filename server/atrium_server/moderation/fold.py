"""Texts in a form in which disguises of a word are that word. PURE.

Theory of operation
-------------------
All texts of a call go through one buffer of code points, and kernels that let the interpreter go
make two forms of each:

*soft*: what a reader sees, in one way of writing it. Compatible forms, case and decorating marks
are folded, what does not show (zero-width, bidirectional controls, variation selectors) is gone,
all white space is one space. Letters of other alphabets that look like Latin ones become those in
words that are disguised: words that mix the alphabets, or consist of nothing but look-alikes in a
text whose other letters are Latin. A word that is Russian stays so.

*hard*: what the disguise is of. Within words digits and signs that stand for letters become those
(h3llo, @ss), signs between letters are left out (f.u.c.k, don't), letters in a row that are spelled
one by one are one word (f u c k), and a letter that is repeated is written once, with how often it
was (`runs`), so that stretching (fuuuuck) changes nothing but that number.

For each character of both forms it is kept where in the original text it comes from, so that what
is found can be covered there. Lengths: soft is at most SEQUENCE_MAX times the text, hard no longer
than soft.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from atrium_server.jit import Index, kernel, kernel_inline
from atrium_server.moderation.fold_table import Kind, fold_table

U32 = npt.NDArray[np.uint32]
U16 = npt.NDArray[np.uint16]
U8 = npt.NDArray[np.uint8]
I32 = npt.NDArray[np.int32]
I64 = npt.NDArray[np.int64]

SEQUENCE_MAX: Final = 4
RUN_MAX: Final = 255
SPELLED_MIN: Final = 3
"""So many single letters in a row are a word that is spelled."""
_SPACE, _AT, _DOLLAR = 32, 64, 36
_LATIN, _CASED, _LETTER = int(Kind.LATIN), int(Kind.CASED), int(Kind.LETTER)
_UNSPACED, _DIGIT, _SPACED = int(Kind.UNSPACED), int(Kind.DIGIT), int(Kind.SPACE)
_SYMBOL: Final = int(Kind.SYMBOL)

_STANDS_FOR: Final = {
    "4": "a", "@": "a", "3": "e", "1": "i", "!": "i", "0": "o", "5": "s", "$": "s", "7": "t",
    "+": "t", "8": "b", "9": "g", "(": "c", "|": "l", "\u20ac": "e", "\u00a3": "l", "\u00a5": "y",
    "\u00a2": "c", "6": "g", "2": "z",
}
_LEET: Final = np.zeros(256, np.uint8)
for _sign, _plain in _STANDS_FOR.items():
    if ord(_sign) < 256:
        _LEET[ord(_sign)] = ord(_plain)


@dataclass(frozen=True, slots=True)
class Folded:
    """Both forms of some texts. Rows are texts; `*_offsets` say where each begins and the last
    one ends."""

    soft: U32
    soft_kinds: U8
    """Of `Kind`, for each character of `soft`."""
    soft_from: I32
    """Which character of its text each comes from."""
    soft_offsets: I64
    hard: U32
    hard_runs: U8
    """How often in a row the letter was there."""
    hard_from: I32
    """The first character of its text that each comes from ..."""
    hard_to: I32
    """... and the first one after it."""
    hard_offsets: I64

    @property
    def rows(self) -> int:
        """How many texts."""
        return len(self.soft_offsets) - 1

    def soft_text(self, row: int) -> str:
        """The soft form of one text."""
        return _text(self.soft[self.soft_offsets[row]:self.soft_offsets[row + 1]])

    def hard_text(self, row: int) -> str:
        """The hard form of one text."""
        return _text(self.hard[self.hard_offsets[row]:self.hard_offsets[row + 1]])


def _text(codes: U32) -> str:
    return codes.tobytes().decode("utf-32-le", "surrogatepass")


def fold(texts: Sequence[str]) -> Folded:
    """Both forms of each text. Any text can be folded; lone surrogates are left out."""
    table = fold_table()
    encoded = "".join(texts).encode("utf-32-le", "surrogatepass")
    raw = np.frombuffer(encoded, np.uint32).copy()
    offsets = np.zeros(len(texts) + 1, np.int64)
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    room = SEQUENCE_MAX * len(raw) + 1
    soft, soft_kinds = np.empty(room, np.uint32), np.empty(room, np.uint8)
    soft_from, soft_offsets = np.empty(room, np.int32), np.zeros(len(texts) + 1, np.int64)
    size = _soften(
        raw, offsets, table.becomes_of_block, table.becomes, table.sequences,
        table.kinds_of_block, table.kinds, table.looks_of_block, table.looks,
        soft, soft_kinds, soft_from, soft_offsets,
    )
    soft, soft_kinds, soft_from = soft[:size], soft_kinds[:size], soft_from[:size]
    hard, hard_runs = np.empty(size + 1, np.uint32), np.empty(size + 1, np.uint8)
    hard_from, hard_to = np.empty(size + 1, np.int32), np.empty(size + 1, np.int32)
    hard_offsets = np.zeros(len(texts) + 1, np.int64)
    count = _harden(
        soft, soft_kinds, soft_from, soft_offsets, _LEET,
        hard, hard_runs, hard_from, hard_to, hard_offsets,
    )
    return Folded(
        soft, soft_kinds, soft_from, soft_offsets,
        hard[:count], hard_runs[:count], hard_from[:count], hard_to[:count], hard_offsets,
    )


_ROW = "uint32[::1], int64[::1]"


@kernel_inline
def _entry(blocks: U16, c: Any) -> Any:
    """Where a code point's entry is in a table of two stages."""
    block = np.int64(blocks[np.int64(c) >> 8])
    return block << 8 | (np.int64(c) & 255)


@kernel("void(uint32[::1], uint8[::1], int64, int64, uint16[::1], uint8[::1])")
def _unmask(
    soft: U32, soft_kinds: U8, begin: Index, end: Index, looks_of: U16, looks: U8
) -> None:
    """Letters that look like Latin ones become those, in words that are disguised."""
    latin, others = 0, 0
    for k in range(begin, end):
        latin += soft_kinds[k] == _LATIN
        others += soft_kinds[k] == _CASED
    first = begin
    while first < end:
        last = first
        has_latin, has_cased, all_alike = False, False, True
        while last < end and soft_kinds[last] != _SPACED:
            kind = soft_kinds[last]
            if kind == _LATIN and soft[last] < 128:
                has_latin = True
            elif kind == _CASED:
                has_cased = True
                c = soft[last]
                all_alike = all_alike and looks[_entry(looks_of, c)] != 0
            last += 1
        disguised = has_cased and (has_latin or (all_alike and latin > others))
        for k in range(first, last):
            c = soft[k]
            if c < 128:
                continue
            plain = looks[_entry(looks_of, c)]
            if plain and (soft_kinds[k] != _CASED or disguised):
                soft[k], soft_kinds[k] = plain, _LATIN
        first = last + 1


@kernel_inline
def _between(soft_kinds: U8, j: Index, first: Index, stop: Index) -> Any:
    """Whether a sign stands between letters or digits of its word."""
    return j > first and j + 1 < stop and (
        1 <= soft_kinds[j - 1] <= 5 and 1 <= soft_kinds[j + 1] <= 5
    )


@kernel_inline
def _spelled(soft: U32, soft_kinds: U8, k: Index, end: Index) -> Index:
    """Where single letters end that have the same sign or space between each two, or a sign and a
    space; `k` if there are too few. They begin at the start of a word, and the last one ends one.
    """
    letters, between = 0, np.uint32(0)
    j = last = k
    while j < end and 1 <= soft_kinds[j] <= 3:
        if j + 1 < end and soft_kinds[j + 1] != _SPACED and soft_kinds[j + 1] != 0:
            break  # a longer word
        letters += 1
        last = j + 1
        if last >= end or (letters > 1 and soft[last] != between):
            break
        between = soft[last]
        j = last + 1
        if j < end and soft_kinds[last] == 0 and soft_kinds[j] == _SPACED:
            j += 1
    is_end = last >= end or soft_kinds[last] == _SPACED or soft_kinds[last] == 0
    return last if letters >= SPELLED_MIN and is_end else k


@kernel(
    f"int64({_ROW}, uint16[::1], int32[::1], uint32[::1], uint16[::1], uint8[::1], uint16[::1],"
    " uint8[::1], uint32[::1], uint8[::1], int32[::1], int64[::1])", nogil=True,
)
def _soften(
    raw: U32, offsets: I64, becomes_of: U16, becomes: I32, sequences: U32,
    kinds_of: U16, kinds: U8, looks_of: U16, looks: U8,
    soft: U32, soft_kinds: U8, soft_from: I32, soft_offsets: I64,
) -> int:
    """Write the soft forms; returns their length together."""
    at = 0
    for row in range(len(offsets) - 1):
        begin = at
        for k in range(offsets[row], offsets[row + 1]):
            code = raw[k]
            if code >= 0x110000:
                continue
            start = becomes[_entry(becomes_of, code)]
            length = 1 if start == 0 else np.int64(sequences[start])
            for part in range(length):
                c = code if start == 0 else sequences[start + 1 + part]
                kind = kinds[_entry(kinds_of, c)]
                if kind == _SPACED and (at == begin or soft_kinds[at - 1] == _SPACED):
                    continue
                soft[at], soft_kinds[at], soft_from[at] = c, kind, k - offsets[row]
                at += 1
        if at > begin and soft_kinds[at - 1] == _SPACED:
            at -= 1
        _unmask(soft, soft_kinds, begin, at, looks_of, looks)
        soft_offsets[row + 1] = at
    return at


@kernel(
    "int64(uint32[::1], uint8[::1], int32[::1], int64[::1], uint8[::1], uint32[::1],"
    " uint8[::1], int32[::1], int32[::1], int64[::1])", nogil=True,
)
def _harden(
    soft: U32, soft_kinds: U8, soft_from: I32, soft_offsets: I64, leet: U8,
    hard: U32, runs: U8, hard_from: I32, hard_to: I32, hard_offsets: I64,
) -> int:
    """Write the hard forms; returns their length together."""
    at = 0
    for row in range(len(soft_offsets) - 1):
        begin, end = soft_offsets[row], soft_offsets[row + 1]
        row_begin = at
        k = begin
        while k < end:
            spelled = _spelled(soft, soft_kinds, k, end)
            stop = k
            if spelled > k:
                stop = spelled
            else:
                while stop < end and soft_kinds[stop] != _SPACED:
                    stop += 1
            if at > row_begin:
                hard[at], runs[at] = _SPACE, 1
                hard_from[at], hard_to[at] = soft_from[k], soft_from[k]
                at += 1
            word_begin = at
            has_letter = False
            for j in range(k, stop):
                has_letter = has_letter or 1 <= soft_kinds[j] <= 4
            for j in range(k, stop):
                c, kind = soft[j], soft_kinds[j]
                if has_letter and c < 256 and leet[c] and (
                    kind == _DIGIT or c in (_AT, _DOLLAR) or _between(soft_kinds, j, k, stop)
                ):
                    c, kind = np.uint32(leet[c]), _LATIN
                if has_letter and kind != _SYMBOL and not (1 <= kind <= 5):
                    continue  # signs between letters, and spaces between spelled ones
                if at > word_begin and hard[at - 1] == c and kind != _DIGIT:
                    runs[at - 1] = min(runs[at - 1] + 1, RUN_MAX)
                    hard_to[at - 1] = soft_from[j] + 1
                    continue
                hard[at], runs[at] = c, 1
                hard_from[at], hard_to[at] = soft_from[j], soft_from[j] + 1
                at += 1
            if at == word_begin and at > row_begin:
                at -= 1  # nothing was left of the word, so the space before it goes too
            k = stop + 1
        hard_offsets[row + 1] = at
    return at


