"""What each code point becomes when a text is folded, in two stages. PURE but for reading its file.

`becomes`, `kinds` and `looks` have an entry for every code point: the block of a code point is
`NAME_of_block[code >> 8]`, its entry `NAME[block << 8 | code & 255]`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

CODES: Final = 0x110000
BLOCK: Final = 256
TABLE: Final = Path(__file__).parent / "data" / "fold.npz"


class Kind(IntEnum):
    """What a folded code point is."""

    MARK = 0
    """Punctuation, and whatever is nothing else."""
    LATIN = 1
    CASED = 2
    """A letter of an alphabet that is used to disguise Latin words: Cyrillic, Greek and so on."""
    LETTER = 3
    UNSPACED = 4
    """Of a script that is written without spaces: each is taken for a word."""
    DIGIT = 5
    SPACE = 6
    SYMBOL = 7
    """An emoji, an arrow, a currency: a word of its own."""


@dataclass(frozen=True, slots=True)
class FoldTable:
    """The arrays of the file."""

    becomes_of_block: npt.NDArray[np.uint16]
    becomes: npt.NDArray[np.int32]
    """0: itself; else where in `sequences` the length and the code points stand."""
    sequences: npt.NDArray[np.uint32]
    kinds_of_block: npt.NDArray[np.uint16]
    kinds: npt.NDArray[np.uint8]
    """Of `Kind`."""
    looks_of_block: npt.NDArray[np.uint16]
    looks: npt.NDArray[np.uint8]
    """The Latin letter that it looks like; 0 for none."""


@cache
def fold_table() -> FoldTable:
    """That of the package, read once."""
    with np.load(TABLE, allow_pickle=False) as arrays:
        return FoldTable(**{
            name: np.ascontiguousarray(arrays[name]) for name in FoldTable.__dataclass_fields__
        })
