"""What a line looks like, and the two hashes by which its like is known again. PURE.

One kernel reads all lines of a batch as UTF-32, in one pass, and counts for each what floods and
advertising have more of than talk has: links, at-signs, words that lure, money, capitals, signs of
exclamation, emoji, letters in a row, marks piled on letters, and the share of stretches of four
characters that were there before in the same line ("lol lol lol ...").

The hashes are of the letters alone, in lower case, each run of a letter as one, all digits alike:
so "FREE 500 coins!!!" and "free 700 coins" are the same line. `exact` is equal for equal lines;
`near` is a simhash (each stretch of three letters votes on each of 64 bits), so that lines which
differ in a few words differ in a few bits.

No line is read beyond READ_CHARS; the rest of a longer one counts in its length alone.
"""

# Kernels are compiled for the types of their signature; pyright would want annotations that
# numba does not read.
# pyright: reportMissingParameterType=false, reportUnknownParameterType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUntypedFunctionDecorator=false

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np
import numpy.typing as npt

from atrium_server.jit import kernel, kernel_inline
from atrium_server.moderation.pii_vocabulary import words

READ_CHARS: Final = 2_000


class Feature(IntEnum):
    """The columns of what is counted."""

    LENGTH = 0
    LETTERS = 1
    """And digits, of all scripts."""
    LINKS = 2
    AT_SIGNS = 3
    LURES = 4
    """Words of advertising."""
    MONEY = 5
    """Signs and names of currencies."""
    CAPITALS = 6
    CASED = 7
    """Letters that could be capitals."""
    EXCLAMATIONS = 8
    EMOJI = 9
    LONGEST_RUN = 10
    """Of one character; stretches of it count for nothing below."""
    PILED_MARKS = 11
    """Marks on a letter beyond its second."""
    REPEATED = 12
    """Stretches of four characters that were there before in the line."""
    STRETCHES = 13
    """Of four characters, altogether."""


_TOP_DOMAINS: Final = words(
    "com net org io gg ru me ly xyz top info biz shop club online site tk cn de fr es it nl pl tr"
    " in kr jp br uk co gl app link live vip win store pro ai to cc tv eu"
)
_LURES: Final = words(
    "free giveaway click cheap discount sale buy selling prize claim earn income"
    " guaranteed profit followers subscribe sub bonus casino betting jackpot crypto bitcoin btc eth"
    " airdrop invest investment robux vbucks viagra pills deals promo limited visit loan onlyfans"
    " selling delivery whatsapp inbox"
    " gratis gewinnspiel gewinn verdienen klicken geld rabatt kaufen abonnieren gewinnen"
    " gratuit gratuits gagnez gagner cliquez argent promotion abonnez achetez"
    " gratis gana ganar dinero clic seguidores oferta suscríbete compra regalo"
    " vinci guadagna clicca gratuito offerta premi iscriviti sconto ganhe clique grátis dinheiro"
    " renda promoção verdien klik korting gratis darmowy darmowe zarób kliknij zarobek promocja"
    " бесплатно бесплатный бесплатная заработок заработай жми вложений скидка приз выиграй"
    " подпишись bedava tıkla kazan ücretsiz kampanya indirim takipçi ödül"
    " مجانا مجاني اربح اضغط اكسب عرض خصم"
    " मुफ़्त मुफ्त क्लिक कमाओ इनाम फ्री"
)
_CURRENCY_NAMES: Final = words(
    "usd eur gbp euro euros dollar dollars bucks zł zloty рублей руб lira rupees rupien реал reais"
    " pesos دولار रुपये रुपए"
)
_LURES_INSIDE: Final = (
    "免费", "点击", "领取", "兼职", "日赚", "赚钱", "优惠", "折扣", "中奖",
    "抽奖", "代练", "返利", "無料", "配布", "稼げ", "副業", "当選", "クリ",
    "今す", "무료", "클릭", "벌기", "당첨", "이벤", "부업",
)
_LETTER, _SPACE, _MARK, _EMOJI, _OTHER, _UNSEEN = range(6)
_TABLE_SIZE: Final = 0x20000
_LOWER_SIZE: Final = 0x600
_SEEN_SLOTS: Final = 4_096
_WORD_SLOTS: Final = 1 << 12
_CURRENCIES: Final = "$€£¥₽₹₺₩₿"
assert _SEEN_SLOTS >= 2 * READ_CHARS


def _fill(table: npt.NDArray[np.uint8], kind: int, ranges: Sequence[tuple[int, int]]) -> None:
    for first, last in ranges:
        table[first : last + 1] = kind


def _kind_table() -> npt.NDArray[np.uint8]:
    table = np.full(_TABLE_SIZE, _LETTER, np.uint8)
    _fill(table, _OTHER, [
        (0x21, 0x2F), (0x3A, 0x40), (0x5B, 0x60), (0x7B, 0x7E), (0xA1, 0xA9), (0xAB, 0xB4),
        (0xB6, 0xB9), (0xBB, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7), (0x2010, 0x205E), (0x20A0, 0x20CF),
        (0x2190, 0x22FF), (0x2400, 0x25FF), (0x2900, 0x2AFF), (0x3001, 0x3004), (0x3008, 0x3020),
        (0xFF01, 0xFF0F), (0xFF1A, 0xFF20), (0xFF3B, 0xFF40), (0xFF5B, 0xFF65),
        (0x60C, 0x60C), (0x61B, 0x61B), (0x61F, 0x61F), (0x964, 0x965),
    ])  # fmt: skip
    _fill(table, _SPACE, [(0x9, 0xD), (0x20, 0x20), (0xA0, 0xA0), (0x2000, 0x200A),
                          (0x2028, 0x2029), (0x202F, 0x202F), (0x3000, 0x3000)])  # fmt: skip
    _fill(table, _MARK, [(0x300, 0x36F), (0x483, 0x489), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF),
                         (0x20D0, 0x20FF), (0xFE20, 0xFE2F)])  # fmt: skip
    _fill(table, _EMOJI, [(0x2300, 0x23FF), (0x2600, 0x27BF), (0x2B00, 0x2BFF),
                          (0x1F000, 0x1FAFF)])  # fmt: skip
    _fill(table, _UNSEEN, [(0x0, 0x8), (0xE, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x200B, 0x200F),
                           (0x202A, 0x202E), (0x2060, 0x206F), (0xFE00, 0xFE0F),
                           (0xFEFF, 0xFEFF), (0x1F3FB, 0x1F3FF)])  # fmt: skip
    return table


def _lower_table() -> npt.NDArray[np.uint32]:
    return np.array([ord(chr(code).lower()[0]) for code in range(_LOWER_SIZE)], np.uint32)


_KIND: Final = _kind_table()
_LOWER: Final = _lower_table()
_MONEY: Final = np.array(sorted(map(ord, _CURRENCIES)), np.uint32)


@kernel_inline
def _mix(value):
    """splitmix64's finish: every bit of the result depends on every bit."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@kernel_inline
def _joined(value, code):
    return value * np.uint64(0x100000001B3) + np.uint64(code) + np.uint64(1)


@kernel_inline
def _meaning(table, value):
    """The bits of a word in the table of words; 0 of one that is not in it."""
    slot = np.int64(value & np.uint64(_WORD_SLOTS - 1))
    while table[slot, 0] != np.uint64(0) and table[slot, 0] != value:
        slot = (slot + 1) & (_WORD_SLOTS - 1)
    return np.int64(table[slot, 1]) if table[slot, 0] == value else np.int64(0)


_LURE, _TOP_DOMAIN, _LURE_INSIDE, _CURRENCY = 1, 2, 4, 8


def _word_table() -> npt.NDArray[np.uint64]:
    """Hash and bits of each word, at the first free place from its hash on."""
    table = np.zeros((_WORD_SLOTS, 2), np.uint64)
    kinds = ((_LURE, _LURES), (_TOP_DOMAIN, _TOP_DOMAINS), (_LURE_INSIDE, _LURES_INSIDE),
             (_CURRENCY, _CURRENCY_NAMES))  # fmt: skip
    for bit, texts in kinds:
        for text in sorted(texts):
            value = _word_hash(text)
            slot = value & (_WORD_SLOTS - 1)
            while table[slot, 0] not in (0, value):
                slot = (slot + 1) & (_WORD_SLOTS - 1)
            table[slot] = value, int(table[slot, 1]) | bit
    return table


def _word_hash(text: str) -> int:
    value = 0
    for character in text:
        value = (value * 0x100000001B3 + ord(character) + 1) & ((1 << 64) - 1)
    return value


_WORDS: Final = _word_table()

# Kernels cannot read members of an enumeration.
(_LENGTH, _LETTERS, _LINKS, _AT_SIGNS, _LURE_WORDS, _MONEY_SIGNS, _CAPITALS, _CASED, _EXCLAMATIONS,
 _EMOJIS, _LONGEST_RUN, _PILED, _REPEATED, _STRETCHES) = map(int, Feature)  # fmt: skip


@kernel(
    "void(uint32[::1], int64[::1], uint8[::1], uint32[::1], uint64[:,::1], uint32[::1],"
    " uint64[::1], int32[::1], int32[:,::1], uint64[::1], uint64[::1])",
    nogil=True,
)
def _read(buffer, starts, kinds, lower, table, money, seen, votes, counts, exact, near):
    """One pass over all lines; `seen` and `votes` are scratch."""
    for row in range(starts.size - 1):
        seen[:] = np.uint64(0)
        votes[:] = 0
        first = starts[row]
        last = min(starts[row + 1], first + READ_CHARS)
        count = counts[row]
        count[:] = 0
        count[_LENGTH] = starts[row + 1] - first
        word = np.uint64(0)
        in_word = 0
        after_dot = False
        is_link = False
        whole = np.uint64(0)
        gram = 0
        c1 = c2 = c3 = 0  # the characters before, in lower case, without unseen ones
        l1 = l2 = 0  # the letters before, for the hashes
        run = 0
        marks = 0
        kept = 0
        for k in range(first, last + 1):
            # One step beyond the end, to finish the last word.
            code = int(buffer[k]) if k < last else 32
            kind = int(kinds[code]) if code < _TABLE_SIZE else _LETTER
            if 0xE0000 <= code < 0xE1000 or kind == _UNSEEN:
                continue
            if kind == _MARK:
                marks += 1
                count[_PILED] += int(marks > 2)
                continue
            marks = 0
            c = int(lower[code]) if code < _LOWER_SIZE else code
            if kind == _LETTER:
                count[_LETTERS] += 1
                if code < _LOWER_SIZE and code > 64 and not (48 <= code <= 57):
                    upper = c != code
                    count[_CAPITALS] += int(upper)
                    count[_CASED] += 1
                word = _joined(word, c)
                in_word += 1
                if c >= 0x2E80:
                    found = _meaning(table, _joined(_joined(np.uint64(0), c1), c))
                    count[_LURE_WORDS] += int(found & _LURE_INSIDE != 0)
                letter = 48 if 48 <= c <= 57 else c
                if letter != l1:
                    whole = _joined(whole, letter)
                    bits = _mix(_joined(_joined(_joined(np.uint64(0), l2), l1), letter))
                    for bit in range(64):
                        votes[bit] += 2 * np.int32((bits >> np.uint64(bit)) & np.uint64(1)) - 1
                    kept += 1
                    l2, l1 = l1, letter
            else:
                if in_word > 0:
                    found = _meaning(table, word)
                    count[_LURE_WORDS] += int(found & _LURE != 0)
                    count[_MONEY_SIGNS] += int(found & _CURRENCY != 0)
                    is_domain = after_dot and found & _TOP_DOMAIN != 0 and c != 46 and c != 64
                    is_link = is_link or is_domain
                    is_link = is_link or (c == 46 and in_word == 3 and c1 == 119 and c2 == 119
                                          and c3 == 119)
                is_link = is_link or (c == 47 and c1 == 47 and c2 == 58)
                after_dot = c == 46 and in_word > 0
                word = np.uint64(0)
                in_word = 0
                if kind == _SPACE:
                    count[_LINKS] += int(is_link)
                    is_link = False
                elif kind == _EMOJI:
                    count[_EMOJIS] += 1
                elif c == 33 or c == 0xFF01:
                    count[_EXCLAMATIONS] += 1
                elif c == 64:
                    count[_AT_SIGNS] += 1
                else:
                    for each in money:
                        count[_MONEY_SIGNS] += int(each == c)
            if k == last:
                break
            run = run + 1 if c == c1 and kind != _SPACE else 1
            count[_LONGEST_RUN] = max(count[_LONGEST_RUN], run)
            if kind == _SPACE and c1 == 32:
                continue  # a run of spaces is one
            gram += 1
            if gram >= 4 and (c != c1 or c1 != c2 or c2 != c3):
                value = _joined(_joined(_joined(_joined(np.uint64(0), c3), c2), c1), c)
                slot = np.int64(_mix(value) >> np.uint64(52))
                while seen[slot] != np.uint64(0) and seen[slot] != value:
                    slot = (slot + 1) & (_SEEN_SLOTS - 1)
                count[_REPEATED] += int(seen[slot] == value)
                count[_STRETCHES] += 1
                seen[slot] = value
            c3, c2, c1 = c2, c1, (32 if kind == _SPACE else c)
        exact[row] = _mix(whole + np.uint64(kept))
        bits = np.uint64(0)
        for bit in range(64):
            bits |= np.uint64(votes[bit] > 0) << np.uint64(bit)
        near[row] = bits


LONG_STRETCHES: Final = 16


@dataclass(frozen=True, slots=True)
class Lines:
    """What is known of the lines of a batch."""

    counts: npt.NDArray[np.int32]
    """A row of `Feature` each."""
    exact: npt.NDArray[np.uint64]
    near: npt.NDArray[np.uint64]

    @property
    def are_long(self) -> npt.NDArray[np.bool_]:
        """Whether there is enough in each line to be known by: "gg" twice and "hahahaha" for half a
        minute are talk, a sentence twice is not."""
        return are_long(self.counts)


def are_long(counts: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Whether each line has LONG_STRETCHES of four characters that are not the same."""
    return counts[:, Feature.STRETCHES] - counts[:, Feature.REPEATED] >= LONG_STRETCHES


def read(texts: Sequence[str]) -> Lines:
    """Count and hash each line. Linear in the characters that are read."""
    starts = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)), out=starts[1:])
    joined = "".join(texts).encode("utf-32-le", "surrogatepass")
    buffer = np.frombuffer(joined, "<u4").astype(np.uint32, copy=True)
    counts = np.empty((len(texts), len(Feature)), np.int32)
    exact = np.empty(len(texts), np.uint64)
    near = np.empty(len(texts), np.uint64)
    seen = np.empty(_SEEN_SLOTS, np.uint64)
    votes = np.empty(64, np.int32)
    _read(buffer, starts, _KIND, _LOWER, _WORDS, _MONEY, seen, votes, counts, exact, near)
    return Lines(counts, exact, near)
