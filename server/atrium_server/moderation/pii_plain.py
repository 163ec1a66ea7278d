"""Lines made plain for finding personal data, and which checks each of them needs. PURE.

Theory of operation
-------------------
Most lines hold no number, no @ and no word like "password", and must cost next to nothing. One
kernel reads all lines of a batch as UTF-32, in one pass, and does two things.

*Plain.* Characters that cannot be seen (zero-width, direction marks, variation selectors,
combining marks) are left out; digits of every script, circled, raised and full-width ones become
0-9; full-width letters and signs, exotic spaces, dashes and full stops become those of ASCII. Each
plain character remembers its place in the original line, so that what is found can be masked there.

*Signs.* For each line a set of bits: are there digits, seven of them, an @, a word that goes with
an address or a secret. Words are looked up by hash in a table of bits; a collision costs a check in
vain and nothing else. `pii` runs a check in Python only on lines whose bits call for it.

The tables are made here from the ranges of Unicode below, and from no library's: what is found does
not depend on the version of Python.
"""

# Kernels are compiled for the types of their signature; pyright would want annotations that
# numba does not read.
# pyright: reportMissingParameterType=false, reportUnknownParameterType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedFunctionDecorator=false

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from atrium_server.jit import kernel, kernel_inline
from atrium_server.moderation.pii_vocabulary import INNER, PARTS, WORDS, Sign

_ZEROS: Final = (
    0x660, 0x6F0, 0x7C0, 0x966, 0x9E6, 0xA66, 0xAE6, 0xB66, 0xBE6, 0xC66, 0xCE6, 0xD66, 0xDE6,
    0xE50, 0xED0, 0xF20, 0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50,
    0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0, 0xAA50, 0xABF0, 0xFF10,
    0x104A0, 0x10D30, 0x10D40, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0,
    0x11650, 0x116C0, 0x116D0, 0x116DA, 0x11730, 0x118E0, 0x11950, 0x11BF0, 0x11C50, 0x11D50,
    0x11DA0, 0x11F50, 0x16A60, 0x16AC0, 0x16B50, 0x16D70, 0x1CCF0, 0x1D7CE, 0x1D7D8, 0x1D7E2,
    0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0, 0x1E4F0, 0x1E5F1, 0x1E950, 0x1FBF0,
)
"""The zero of each script that has digits (general category Nd of Unicode 16)."""
_ONES: Final = (
    0x2460, 0x2474, 0x2488, 0x24F5, 0x2776, 0x2780, 0x278A, 0x3220, 0x3280, 0x2080 + 1, 0x2070 + 1,
)
"""The one of each row of circled, bracketed, dotted, lowered and raised digits, up to nine."""
_SINGLE: Final = {
    0x24EA: "0", 0x24FF: "0", 0x1F10B: "0", 0x1F10C: "0", 0x2070: "0", 0x2080: "0",
    0xB9: "1", 0xB2: "2", 0xB3: "3",
    0x3002: ".", 0xFF61: ".", 0xB7: ".", 0x2022: ".", 0x2024: ".", 0xFE52: ".", 0x30FB: ".",
    0x3001: ",", 0xFE6B: "@", 0x2039: "<", 0x203A: ">", 0x3010: "[", 0x3011: "]",
    0x2212: "-", 0xFE63: "-", 0xFE58: "-", 0x30FC: "-",
    0xA0: " ", 0x1680: " ", 0x202F: " ", 0x205F: " ", 0x3000: " ",
    0x9: " ", 0xA: " ", 0xD: " ", 0x2028: " ", 0x2029: " ", 0x2044: "/",
    0x2018: "'", 0x2019: "'", 0x2032: "'", 0x201C: '"', 0x201D: '"', 0x2033: '"',
}
_UNSEEN: Final = (
    (0x0, 0x8), (0xE, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x300, 0x36F), (0x61C, 0x61C),
    (0x115F, 0x1160), (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F),
    (0x20D0, 0x20FF), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFE20, 0xFE2F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x1D173, 0x1D17A),
)
_DROPPED: Final = 0xFFFFFFFF
_TABLE_SIZE: Final = 0x20000
_LOWER_SIZE: Final = 0x600
_HASH_BITS: Final = 14
_DIGITS_MANY: Final = 7
_NUMBER_WORDS_MANY: Final = 6
_DOTS_MANY: Final = 3
_HAN_DIGITS: Final = "〇零一二三四五六七八九"

U16 = npt.NDArray[np.uint16]


def _plain_table() -> npt.NDArray[np.uint32]:
    table = np.arange(_TABLE_SIZE, dtype=np.uint32)
    for zero in _ZEROS:
        table[zero : zero + 10] = np.arange(48, 58)
    for one in _ONES[:-1]:
        table[one : one + 9] = np.arange(49, 58)
    table[0x2074:0x207A] = np.arange(52, 58)
    table[0xFF01:0xFF5F] = np.arange(0x21, 0x7F)
    table[0x2010:0x2016] = ord("-")
    table[0x2000:0x200B] = ord(" ")
    for code, character in _SINGLE.items():
        table[code] = ord(character)
    for first, last in _UNSEEN:
        table[first : last + 1] = _DROPPED
    return table


def _lower_table() -> npt.NDArray[np.uint32]:
    lower = (chr(code).lower() for code in range(_LOWER_SIZE))
    return np.array([ord(each[0]) for each in lower], np.uint32)


def _hash(text: str) -> int:
    value = 0
    for character in text:
        value = (value * 0x01000193 + ord(character) + 1) & 0xFFFFFFFF
    return (value * 0x9E3779B1 & 0xFFFFFFFF) >> (32 - _HASH_BITS)


def _sign_table(words: Mapping[Sign, Iterable[str]]) -> U16:
    table = np.zeros(1 << _HASH_BITS, np.uint16)
    for sign, texts in words.items():
        for text in texts:
            table[_hash(text)] |= np.uint16(sign)
    return table


_PLAIN: Final = _plain_table()
_LOWER: Final = _lower_table()
_WORD_SIGNS: Final = _sign_table(WORDS)
_PART_SIGNS: Final = _sign_table(PARTS)
_INNER_SIGNS: Final = _sign_table(INNER)
_HAN: Final = np.array(sorted(map(ord, _HAN_DIGITS)), np.uint32)

# Kernels cannot read members of an enumeration.
_S_DIGIT, _S_DIGITS, _S_AT, _S_DOTS = (
    int(Sign.DIGIT), int(Sign.DIGITS), int(Sign.AT), int(Sign.DOTS),
)
_S_COLONS, _S_NUMBER_WORDS, _S_HASH = int(Sign.COLONS), int(Sign.NUMBER_WORDS), int(Sign.HASH)


@dataclass(frozen=True, slots=True)
class Plain:
    """The lines of a batch, plain."""

    characters: npt.NDArray[np.uint32]
    origins: npt.NDArray[np.int32]
    """Of each plain character: its place in its original line."""
    starts: npt.NDArray[np.int64]
    """Where each line begins in both, and, at last, the end."""
    lengths: npt.NDArray[np.int64]
    """Of the original lines."""
    signs: U16

    def rows_with(self, signs: Sign) -> list[int]:
        """The lines that have any of these signs."""
        return np.flatnonzero(self.signs & np.uint16(signs)).tolist()

    def text(self, row: int) -> str:
        """The plain line."""
        part = self.characters[self.starts[row] : self.starts[row + 1]]
        return part.astype("<u4").tobytes().decode("utf-32-le", "surrogatepass")

    def origin(self, row: int, start: int, end: int) -> tuple[int, int]:
        """Where in the original line the plain characters from `start` to before `end` stand, with
        the unseen ones that follow them."""
        first = self.starts[row]
        is_last = first + end == self.starts[row + 1]
        last = self.lengths[row] if is_last else self.origins[first + end]
        return int(self.origins[first + start]), int(last)


@kernel_inline
def _slot(value):
    return ((value * 0x9E3779B1) & 0xFFFFFFFF) >> (32 - _HASH_BITS)


@kernel_inline
def _mixed(value, code):
    return (value * 0x01000193 + code + 1) & 0xFFFFFFFF


@kernel(
    "void(uint32[::1], int64[::1], uint32[::1], uint32[::1], uint16[::1], uint16[::1],"
    " uint16[::1], uint32[::1], uint32[::1], int32[::1], int64[::1], uint16[::1])",
    nogil=True,
)
def _read(
    buffer, starts, plain, lower, words, parts, inner, han, out, origins, out_starts, signs
):
    """One pass over all lines, as the theory of operation says."""
    at = 0
    for row in range(starts.size - 1):
        out_starts[row] = at
        sign = digits = dots = colons = number_words = 0
        word = 0
        is_in_word = False
        c1 = c2 = c3 = 0  # the characters before, in lower case
        for k in range(starts[row], starts[row + 1]):
            code = int(buffer[k])
            if code < _TABLE_SIZE:
                code = int(plain[code])
            elif 0xE0000 <= code < 0xE1000:  # tags and further variation selectors
                code = _DROPPED
            if code == _DROPPED:
                continue
            out[at] = code
            origins[at] = k - starts[row]
            at += 1
            c = int(lower[code]) if code < _LOWER_SIZE else code
            if 48 <= c <= 57:
                digits += 1
            elif c == 46:
                dots += 1
            elif c == 58:
                colons += 1
            elif c == 64:
                sign |= _S_AT
            elif c == 35:
                sign |= _S_HASH
            elif 0x3007 <= c <= 0x96F6:
                for each in han:
                    number_words += int(each == c)
            if c >= 0x80 or 97 <= c <= 122 or 48 <= c <= 57:
                word = _mixed(word, c)
                is_in_word = True
            elif is_in_word:
                found = int(words[_slot(word)])
                number_words += int(found & _S_NUMBER_WORDS != 0)
                sign |= found & ~_S_NUMBER_WORDS
                word = 0
                is_in_word = False
            if c >= 0x2E80:
                sign |= int(inner[_slot(_mixed(0, c))])
                sign |= int(inner[_slot(_mixed(_mixed(0, c1), c))])
            sign |= int(parts[_slot(_mixed(_mixed(_mixed(_mixed(0, c3), c2), c1), c))])
            c3, c2, c1 = c2, c1, c
        if is_in_word:
            found = int(words[_slot(word)])
            number_words += int(found & _S_NUMBER_WORDS != 0)
            sign |= found & ~_S_NUMBER_WORDS
        sign |= _S_DIGIT * int(digits > 0) | _S_DIGITS * int(digits >= _DIGITS_MANY)
        sign |= _S_DOTS * int(dots >= _DOTS_MANY and digits >= _DOTS_MANY + 1)
        sign |= _S_COLONS * int(colons >= 2)
        sign |= _S_NUMBER_WORDS * int(number_words >= _NUMBER_WORDS_MANY)
        signs[row] = sign
    out_starts[starts.size - 1] = at


def read(texts: Sequence[str]) -> Plain:
    """All lines made plain, with the signs of each. Linear in the characters."""
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    starts = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    joined = "".join(texts).encode("utf-32-le", "surrogatepass")
    buffer = np.frombuffer(joined, "<u4").astype(np.uint32, copy=True)
    out = np.empty(buffer.size, np.uint32)
    origins = np.empty(buffer.size, np.int32)
    out_starts = np.empty(len(texts) + 1, np.int64)
    signs = np.zeros(len(texts), np.uint16)
    _read(
        buffer, starts, _PLAIN, _LOWER, _WORD_SIGNS, _PART_SIGNS, _INNER_SIGNS, _HAN,
        out, origins, out_starts, signs,
    )
    return Plain(out, origins, out_starts, lengths, signs)
