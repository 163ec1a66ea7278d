"""The numbers of a text's n-grams: what models of text are given. PURE.

Theory of operation
-------------------
Words and pieces of words are not looked up but hashed: each n-gram falls into one of BUCKETS
numbered buckets, several into one now and then, which a model learns to live with (Weinberger et
al., Feature Hashing for Large Scale Multitask Learning, 2009). So no vocabulary is kept, every
language has features, and an unknown disguise still shares pieces with what it hides.

Of the soft form of a text: its words, its pairs of words, and the runs of 3 to 5 characters in each
word between marks for its beginning and end (as in Bojanowski et al., Enriching Word Vectors with
Subword Information, 2017). A sign, an emoji, and a character of a script that is written without
spaces are words. Of the hard form: its words and pairs of words. Each sort has a seed of its own,
so they do not fall together.

VERSION changes whenever a text would get other numbers; a model is made for one version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from atrium_server.jit import kernel, kernel_inline
from atrium_server.moderation.fold import Folded
from atrium_server.moderation.fold_table import Kind

VERSION: Final = 1
BUCKETS: Final = 1 << 16
ROW_MAX: Final = 4_096
"""A text has no more n-grams than this; what is behind is not looked at."""
_PER_CHARACTER: Final = 8
"""More than the n-grams that one more character can bring."""
_SPACED: Final = int(Kind.SPACE)
_UNSPACED, _SYMBOL, _MARK = int(Kind.UNSPACED), int(Kind.SYMBOL), int(Kind.MARK)
_WORD, _PAIR, _PIECE, _HARD_WORD, _HARD_PAIR = 1, 2, 3, 4, 5
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
_FINAL: Final = np.uint64(0xD6E8FEB86659FD93)

U32 = npt.NDArray[np.uint32]
U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bags:
    """The n-grams of some texts."""

    ids: I64
    """From 0 to below BUCKETS."""
    offsets: I64
    """Where each text's begin, and where the last one's end."""

    def row(self, k: int) -> I64:
        """Those of one text."""
        return self.ids[self.offsets[k]:self.offsets[k + 1]]


def bags(folded: Folded) -> Bags:
    """The n-grams of each text."""
    room = _PER_CHARACTER * (len(folded.soft) + len(folded.hard) + folded.rows)
    ids = np.empty(room, np.int64)
    offsets = np.zeros(folded.rows + 1, np.int64)
    count = _hash(
        folded.soft, folded.soft_kinds, folded.soft_offsets, folded.hard, folded.hard_offsets,
        ids, offsets,
    )
    return Bags(ids[:count].copy(), offsets)


def joined(many: Sequence[Bags]) -> Bags:
    """All rows of several, in order."""
    sizes = np.concatenate([np.diff(each.offsets) for each in many])
    offsets = np.zeros(len(sizes) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    return Bags(np.concatenate([each.ids for each in many]), offsets)


@kernel_inline
def _bucket(h: np.uint64) -> np.int64:
    """The last mixing (after xxHash's), so that the low bits depend on all of them."""
    h ^= h >> np.uint64(32)
    h *= _FINAL
    h ^= h >> np.uint64(32)
    return np.int64(h & np.uint64(BUCKETS - 1))


@kernel_inline
def _more(h: np.uint64, c: np.uint64 | np.uint32) -> np.uint64:
    return (h ^ np.uint64(c)) * _MIX + np.uint64(c)


@kernel_inline
def _is_whole(kind: Any) -> bool:
    """Whether one character of this kind is a word."""
    return kind in (_UNSPACED, _SYMBOL, _MARK)


@kernel(
    "int64(uint32[::1], uint8[::1], int64[::1], uint32[::1], int64[::1], int64[::1], int64[::1])",
    nogil=True,
)
def _hash(
    soft: U32, kinds: U8, soft_offsets: I64, hard: U32, hard_offsets: I64, ids: I64, offsets: I64,
) -> int:
    """Write the buckets of all texts; returns how many there are."""
    at = 0
    for row in range(len(soft_offsets) - 1):
        limit = at + ROW_MAX
        before = np.uint64(0)
        k = soft_offsets[row]
        end = soft_offsets[row + 1]
        while k < end and at < limit:
            if kinds[k] == _SPACED:
                k += 1
                continue
            stop = k + 1
            if not _is_whole(kinds[k]):
                while stop < end and kinds[stop] != _SPACED and not _is_whole(kinds[stop]):
                    stop += 1
            word = np.uint64(_WORD)
            for j in range(k, stop):
                word = _more(word, soft[j])
            ids[at] = _bucket(word)
            at += 1
            if before and at < limit:
                ids[at] = _bucket(_more(_more(np.uint64(_PAIR), before), word))
                at += 1
            before = word
            if stop - k > 1:
                # Pieces: the marks for beginning and end are characters at k - 1 and at stop.
                for first in range(k - 1, stop - 1):
                    piece = np.uint64(_PIECE)
                    for j in range(first, min(first + 5, stop + 1)):
                        c = np.uint32(60) if j < k else np.uint32(62) if j == stop else soft[j]
                        piece = _more(piece, c)
                        if j - first >= 2 and at < limit:
                            ids[at] = _bucket(piece)
                            at += 1
            k = stop
        word, before = np.uint64(_HARD_WORD), np.uint64(0)
        for k in range(hard_offsets[row], hard_offsets[row + 1] + 1):
            is_end = k == hard_offsets[row + 1]
            if is_end or hard[k] == 32:
                if word != np.uint64(_HARD_WORD) and at < limit:
                    ids[at] = _bucket(word)
                    at += 1
                    if before and at < limit:
                        ids[at] = _bucket(_more(_more(np.uint64(_HARD_PAIR), before), word))
                        at += 1
                    before = word
                word = np.uint64(_HARD_WORD)
            else:
                word = _more(word, hard[k])
        offsets[row + 1] = at
    return at
