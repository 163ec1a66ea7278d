"""Writes the table by which texts are folded: `data/fold.npz`.

    python -m atrium_server.moderation.make_fold_table path/to/confusables.json

What a code point becomes follows from Unicode (this Python's `unicodedata`) and from its list of
characters that look alike, which the package `confusable-homoglyphs` has as JSON. The table is part
of the repository, so that every server folds alike, whatever Python it runs on; it is written anew
only to take up a newer Unicode, and models are trained anew then.
"""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import numpy as np

from atrium_server.moderation.fold_table import BLOCK, CODES, TABLE, Kind

SEQUENCE_MAX: Final = 4
"""A code point becomes no more than these; ligatures that spell whole phrases are cut."""
_MARKS: Final = (
    range(0x300, 0x370), range(0x483, 0x48A), range(0x591, 0x5C8), range(0x610, 0x61B),
    range(0x64B, 0x660), range(0x670, 0x671), range(0x6D6, 0x6DD), range(0x1AB0, 0x1B00),
    range(0x1DC0, 0x1E00), range(0x20D0, 0x2100), range(0xFE00, 0xFE10), range(0xFE20, 0xFE30),
    range(0xE0100, 0xE01F0),
)
"""Marks that decorate or vowel a letter, and can be left out of a word that stays readable. Vowel
signs of Indic scripts and the voicing of kana are not among them: those spell."""
_LOOKS: Final = (
    "LATIN ", "CYRILLIC ", "GREEK ", "COPTIC ", "ARMENIAN ", "CHEROKEE ", "LISU ", "ROMAN NUMERAL",
    "SQUARED ", "NEGATIVE ", "CIRCLED ", "PARENTHESIZED ", "MATHEMATICAL ", "SMALL ROMAN",
    "DOUBLE-STRUCK ", "SCRIPT ", "BLACK-LETTER ", "TURNED ", "ESTIMATED ", "INCREMENT",
    "GOTHIC ", "DESERET ", "CANADIAN SYLLABICS ",
)
"""Names of what is used as a disguise for Latin letters. Letters of other alphabets that happen to
look like one (an Arabic heh like an o) are not."""
_CASED: Final = ("CYRILLIC ", "GREEK ", "COPTIC ", "ARMENIAN ", "CHEROKEE ")
"""Alphabets of their own: disguises only beside Latin letters."""
_SQUARED: Final = {0x1F130: 26, 0x1F150: 26, 0x1F170: 26}
"""First code points of three alphabets in squares and circles that Unicode does not decompose."""


def folded(code: int) -> str:
    """What one code point becomes, by Unicode alone."""
    character = chr(code)
    category = unicodedata.category(character)
    if category in ("Cf", "Cc", "Cs", "Co", "Cn") and not character.isspace():
        return ""
    for first, count in _SQUARED.items():
        if first <= code < first + count:
            return chr(ord("a") + code - first)
    if character.isspace() or category in ("Zs", "Zl", "Zp"):
        return " "
    text = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", character).casefold())
    text = "".join(each for each in text if not any(ord(each) in marks for marks in _MARKS))
    return unicodedata.normalize("NFC", text)[:SEQUENCE_MAX].replace("\u0131", "i")


def kind_of(code: int) -> Kind:
    """What a folded code point is to the rules."""
    character = chr(code)
    category = unicodedata.category(character)
    if character == " ":
        return Kind.SPACE
    if category == "Nd":
        return Kind.DIGIT
    if category[0] in "LM":
        name = unicodedata.name(character, "")
        if name.startswith("LATIN"):
            return Kind.LATIN
        if name.startswith(_CASED):
            return Kind.CASED
        if name.startswith(("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")):
            return Kind.UNSPACED
        return Kind.LETTER
    return Kind.SYMBOL if category[0] == "S" and code > 127 else Kind.MARK


def alike(confusables: Mapping[str, list[dict[str, str]]]) -> dict[int, int]:
    """Code points outside ASCII that look like a letter of it, in lower case."""
    found: dict[int, int] = {}
    for character, others in confusables.items():
        if len(character) != 1 or ord(character) < 128:
            continue
        if not unicodedata.name(character, "").startswith(_LOOKS):
            continue
        letters = sorted(
            each["c"].lower() for each in others
            if len(each["c"]) == 1 and each["c"].isascii() and each["c"].isalpha()
        )
        # What looks like I, l and 1 stands for the letter that words have more often.
        plain = "i" if letters and set(letters) <= {"i", "l"} else "".join(letters[:1])
        if plain:
            found[ord(character)] = ord(plain)
    return found


def _varied(name: str) -> int:
    """Of a Latin letter with a hook, a stroke or the like, or a small capital: the plain one."""
    match = re.fullmatch(
        r"LATIN SMALL LETTER ([A-Z]) WITH .*|LATIN LETTER SMALL CAPITAL ([A-Z])", name
    )
    return ord((match[1] or match[2]).lower()) if match else 0


def make(confusables: Mapping[str, list[dict[str, str]]]) -> dict[str, np.ndarray]:
    """The arrays of the table; see `fold_table`."""
    sequences, starts = [0], dict[str, int]()
    becomes, kinds = np.zeros(CODES, np.int32), np.zeros(CODES, np.uint8)
    looks = np.zeros(CODES, np.uint8)
    for code in range(CODES):
        text = folded(code)
        if text != chr(code):
            if text not in starts:
                starts[text] = len(sequences)
                sequences.extend([len(text), *map(ord, text)])
            becomes[code] = starts[text]
        kinds[code] = kind_of(code)
    for code, plain in alike(confusables).items():
        looks[code] = plain
    for code in range(128, 0x2000):
        if not looks[code] and (plain := _varied(unicodedata.name(chr(code), ""))):
            looks[code] = plain
    # What a look-alike becomes by folding looks like it too.
    for code in np.flatnonzero(looks):
        text = folded(int(code))
        if len(text) == 1 and ord(text) > 127 and not looks[ord(text)]:
            looks[ord(text)] = looks[code]
    table: dict[str, np.ndarray] = {"sequences": np.array(sequences, np.uint32)}
    for name, flat in (("becomes", becomes), ("kinds", kinds), ("looks", looks)):
        table[f"{name}_of_block"], table[name] = _blocks(flat)
    return table


def _blocks(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A table in two stages: blocks that are equal are kept once."""
    blocks, index = np.unique(flat.reshape(-1, BLOCK), axis=0, return_inverse=True)
    return index.reshape(-1).astype(np.uint16), blocks.reshape(-1)


def main(arguments: Iterable[str]) -> None:
    """Write the table. Wants the path of the list of look-alikes."""
    source, = arguments
    table = make(json.loads(Path(source).read_text(encoding="utf-8")))
    np.savez_compressed(TABLE, allow_pickle=False, **table)


if __name__ == "__main__":
    main(sys.argv[1:])
