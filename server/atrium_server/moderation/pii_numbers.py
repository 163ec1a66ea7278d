"""Phone numbers, payment cards and bank accounts in plain lines. PURE.

Each check takes a plain line (`pii_plain`) and yields stretches of it. All are linear in its
length: expressions take what they can and never give back (possessive), and what has to be
computed for each candidate is done TRIES_MAX times for a line; after that, what begins like a phone
number or has the form of a card or an account is taken for one, for nobody says so many in one line
that are none.

*Phone.* `phonenumbers` says whether a number exists in a region, and is no service's in any (nobody
is to hide a helpline). Its own search over text takes milliseconds on hostile lines, so candidates
are cut out here: runs of digits with what people put between them, without dates, thousands and
countings. Without `+` or `00` a number must begin as numbers of its region do when dialled (0 in
most), so that a score or a price is none.

*Card.* 13 to 19 digits of a known network's prefix and length that pass Luhn's check, in groups.

*IBAN.* Country, its length, and the check digits modulo 97.
"""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Final, NamedTuple

import phonenumbers

from atrium_server.moderation.pii_vocabulary import DIGIT_OF_WORD, HAN_DIGITS


class Stretch(NamedTuple):
    """A part of a plain line."""

    kind: str
    start: int
    end: int
    severity: float


TRIES_MAX: Final = 12
_PHONE_DIGITS_MIN: Final = 7
_PHONE_DIGITS_MAX: Final = 15

_BETWEEN: Final = r"[ ./()_*~|\u2190-\u27bf\U0001f000-\U0001faff-]"
"""What people put between digits; pictures are put there to hide them."""
_RUN: Final = re.compile(rf"\+?\(?[0-9](?:{_BETWEEN}{{0,3}}+[0-9])*+")
_ALIKE: Final = "[0-9OoОоΟοQlIІSsB]"
_LOOKALIKE: Final = re.compile(
    rf"(?<!\w){_ALIKE}++(?!\w)(?:[ ./()+-]{{1,2}}+{_ALIKE}++(?!\w))*+"
)
_LOOKALIKES: Final = str.maketrans("OoОоΟοQlIІSsB", "0000000111558")
_DATE: Final = re.compile(
    r"(?<![0-9])(?:(?:19|20)[0-9]{2}[-/.][01]?[0-9][-/.][0-3]?[0-9]"
    r"|[0-3]?[0-9][-/.][0-3]?[0-9][-/.](?:19|20)[0-9]{2})(?![0-9])"
)
_THOUSANDS: Final = re.compile(r"(?<![0-9])[0-9]{1,3}(?:\.[0-9]{3})++(?![0-9.])|[0-9 ]*000\Z")
_GROUP: Final = re.compile(r"[0-9]++")
_POINTS: Final = re.compile(
    r"(?<![0-9.])[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?![0-9]|\.[0-9])|(?<![0-9.])[-+]?[0-9]{1,3}\.[0-9]{4,}+"
    r"(?![0-9]|[ .-][0-9])"
)
"""Network addresses, versions, decimals: not phone numbers."""
_DIAL: Final = re.compile(r"[^0-9+]")
_WIDE_GAP: Final = re.compile(r" {2,}| [/|~*-] | (?=\+)")


def lookalikes(text: str) -> str:
    """Letters among digits that stand for digits, as digits ("O176 l23")."""

    def digits(match: re.Match[str]) -> str:
        run = match[0]
        count = sum("0" <= each <= "9" for each in run)
        letters = sum(map(str.isalpha, run))
        return run.translate(_LOOKALIKES) if count >= 5 and count >= 2 * letters else run

    return _LOOKALIKE.sub(digits, text)


_MOBILES_WITHOUT_TRUNK: Final = {"CN": 11, "IN": 10, "RU": 10, "KZ": 10, "TR": 10, "BR": 11}
"""Regions in which mobile numbers of so many digits are said without what is dialled first."""


class _Dialling(NamedTuple):
    """How numbers of a region are dialled within it."""

    trunk: str
    """What stands before them; empty if nothing must."""
    lengths: frozenset[int]
    """Digits without the trunk."""

    def may_dial(self, dialled: str) -> bool:
        """Whether so many digits with this beginning are dialled there."""
        return (
            dialled.startswith(self.trunk) and len(dialled) - len(self.trunk) in self.lengths
        )


@cache
def _dialling(region: str) -> _Dialling:
    prefix = phonenumbers.ndd_prefix_for_region(region, True) or ""
    metadata = phonenumbers.PhoneMetadata.metadata_for_region(region, None)
    if metadata is None or metadata.general_desc is None:
        raise ValueError(f"phonenumbers knows no region {region}.")
    lengths = frozenset(metadata.general_desc.possible_length)
    if prefix == "1":  # North America: said or left out
        return _Dialling("", lengths | {length + 1 for length in lengths})
    return _Dialling(prefix, lengths)


_Type = phonenumbers.PhoneNumberType
_SERVICES: Final = frozenset((
    _Type.TOLL_FREE, _Type.PREMIUM_RATE, _Type.SHARED_COST, _Type.UAN, _Type.VOICEMAIL,
))  # fmt: skip
"""Numbers that are nobody's own; helplines are among them."""


def _type_of(digits: str, region: str | None) -> int:
    """What kind of number it is there; UNKNOWN if there is none."""
    try:
        return phonenumbers.number_type(phonenumbers.parse(digits, region))
    except phonenumbers.NumberParseException:
        return _Type.UNKNOWN


def _is_counting(digits: str) -> bool:
    """1234567, 7654321, 1000000, 5050505: what nobody is called by."""
    steps = {ord(b) - ord(a) for a, b in itertools.pairwise(digits)}
    return len(set(digits)) <= 2 or steps in ({1}, {-1}) or digits.startswith("1234567")


def _spans(text: str) -> Iterator[tuple[int, int]]:
    """Runs of digits, parted where the gaps within are wider than between a number's groups."""
    others = [match.span() for each in (_DATE, _POINTS) for match in each.finditer(text)]
    for run in _RUN.finditer(text):
        if any(start < run.end() and run.start() < end for start, end in others):
            continue
        at = run.start()
        for gap in _WIDE_GAP.finditer(text, run.start(), run.end()):
            yield at, gap.start()
            at = gap.end()
        yield at, run.end()


class _Asking:
    """Whether stretches of one line are phone numbers; asks the library TRIES_MAX times."""

    def __init__(self, regions: Sequence[str]) -> None:
        self._regions = regions
        self._tries = 0

    def is_phone(self, text: str) -> bool:
        """Whether this number exists; if there were too many before it, whether it may."""
        dialled = _DIAL.sub("", text)
        digits = dialled.lstrip("+")
        if not _PHONE_DIGITS_MIN <= len(digits) <= _PHONE_DIGITS_MAX + 2:
            return False
        if self._tries >= TRIES_MAX and dialled[0] not in "+0":
            return False
        if _is_counting(digits.lstrip("0")) or _THOUSANDS.match(text):
            return False
        types: set[int] = set()
        for number, region in self._asked(dialled):
            self._tries += 1
            if self._tries > TRIES_MAX:
                return True
            types.add(_type_of(number, region))
        return not types <= {_Type.UNKNOWN} and not types & _SERVICES

    def _asked(self, dialled: str) -> Iterator[tuple[str, str | None]]:
        if dialled.startswith("+"):
            yield dialled, None
        elif dialled.startswith("00") and len(dialled) > 9:
            yield "+" + dialled[2:], None
        else:
            for region in self._regions:
                if _dialling(region).may_dial(dialled):
                    yield dialled, region
                elif len(dialled) == _MOBILES_WITHOUT_TRUNK.get(region):
                    yield f"+{phonenumbers.country_code_for_region(region)}{dialled}", None


def phones(text: str, regions: Sequence[str]) -> Iterator[Stretch]:
    """Numbers that exist in one of the regions, or anywhere if they begin with +."""
    asking = _Asking(regions)
    for start, end in _spans(text):
        if end - start < _PHONE_DIGITS_MIN:
            continue
        groups = deque(match.span() for match in _GROUP.finditer(text, start, end))
        at = start
        while groups:
            last = _phone_from(text, at, groups, asking)
            if last is None:
                groups.popleft()
                while groups and text[groups[0][0]] != "0" and text[groups[0][0] - 1] != "+":
                    groups.popleft()  # nobody's number begins there
            else:
                yield Stretch("phone", at, last, 0.9 if text[at] in "+0" else 0.7)
                while groups and groups[0][0] < last:
                    groups.popleft()
            if groups:
                at = groups[0][0] - (text[groups[0][0] - 1] == "+")


def _phone_from(
    text: str, start: int, groups: Iterable[tuple[int, int]], asking: _Asking
) -> int | None:
    """Where a number ends that begins at `start`: the longest that exists."""
    ends: list[int] = []
    count = 0
    for first, end in groups:
        count += end - first
        if count > _PHONE_DIGITS_MAX + 2:
            break
        if count >= _PHONE_DIGITS_MIN:
            ends.append(end)
    for end in reversed(ends):
        if asking.is_phone(text[start:end]):
            return end
    return None


_WORD: Final = re.compile(r"[^\W_]+")
_HAN_RUN: Final = re.compile(r"[〇零一二三四五六七八九壹贰叁肆伍陆柒捌玖0-9 -]{7,}+")
_SPELLED_GAP_MAX: Final = 3
_TIMES: Final = {"double": 2, "triple": 3, "doppel": 2, "doble": 2, "doppio": 2, "dubbel": 2}


def spelled_phones(text: str, regions: Sequence[str]) -> Iterator[Stretch]:
    """Numbers said digit by digit: "zero one seven six ...", "一三九..."."""
    asking = _Asking(regions)
    for match in _HAN_RUN.finditer(text):
        if asking.is_phone(match[0].translate(HAN_DIGITS)):
            yield Stretch("phone", match.start(), match.end(), 0.8)
    for start, end, digits in _said(text):
        if asking.is_phone(digits):
            yield Stretch("phone", start, end, 0.8)


def _said(text: str) -> Iterator[tuple[int, int, str]]:
    """Stretches of words for digits, and the digits; numerals may stand between. "plus" begins a
    number, and "double" says the next digit twice."""
    start, end, digits, times = 0, 0, "", 1
    for match in _WORD.finditer(text):
        word = match[0].lower()
        said = DIGIT_OF_WORD.get(word) or (word if word.isdecimal() else "")
        is_near = match.start() - end <= _SPELLED_GAP_MAX
        if digits and (not is_near or not (said or word in _TIMES)):
            yield start, end, digits
            digits = ""
        if word == "plus":
            start, end, digits, times = match.start(), match.end(), "+", 1
        elif said:
            start = start if digits else match.start()
            end, digits, times = match.end(), digits + said * times, 1
        elif word in _TIMES and digits:
            end, times = match.end(), _TIMES[word]
    if digits:
        yield start, end, digits


_CARD_LENGTHS: Final = (
    (("34", "37"), (15,)),
    (("4",), (16, 19, 13)),
    (tuple(str(k) for k in range(51, 56)), (16,)),
    (tuple(str(k) for k in range(222, 273)), (16,)),
    (("6011", "65", *(str(k) for k in range(644, 650))), (16, 19)),
    (tuple(str(k) for k in range(352, 359)), (16, 19)),
    (("30", "36", "38", "39"), (14, 16)),
    (("62",), (16, 19)),
    (("2200", "2201", "2202", "2203", "2204"), (16, 19)),
    (("5018", "5020", "5038", "5893", "6304", "6759", "6761", "6762", "6763"), (16, 19)),
)
"""Prefixes and lengths of American Express, Visa, Mastercard, Discover, JCB, Diners Club, UnionPay,
Mir and Maestro."""
_CARD_RUN: Final = re.compile(r"[0-9](?:[ .-]{0,2}+[0-9]){12,}+")
_DOUBLED: Final = str.maketrans("0123456789", "0246813579")


def luhn_holds(digits: str) -> bool:
    """Whether the last digit is the check digit of Luhn's sum."""
    even = digits[-2::-2].translate(_DOUBLED)
    return (sum(map(int, digits[::-2])) + sum(map(int, even))) % 10 == 0


def cards(text: str) -> Iterator[Stretch]:
    """Numbers of payment cards, in one piece, in groups, or digit by digit."""
    for run in _CARD_RUN.finditer(text):
        groups = [match.span() for match in _GROUP.finditer(text, run.start(), run.end())]
        yield from _cards_of(text, groups)


def _cards_of(text: str, groups: list[tuple[int, int]]) -> Iterator[Stretch]:
    tries = 0
    first = 0
    digits = "".join(text[start:end] for start, end in groups)
    at = 0  # of `first` among the digits
    while first < len(groups) and len(digits) - at >= 13:
        start, end = groups[first]
        for length in _lengths(digits[at : at + 4]):
            if end - start < 3 and (first or length < len(digits)):
                continue  # digit by digit: the whole run or nothing, for people count aloud
            last = _last_group(groups, first, length)
            if last is None:
                continue
            tries += 1
            if tries > TRIES_MAX or luhn_holds(digits[at : at + length]):
                yield Stretch("card", start, groups[last][1], 0.95)
                at += sum(b - a for a, b in groups[first:last])
                first, (start, end) = last, groups[last]
                break
        at += end - start
        first += 1


def _lengths(prefix: str) -> tuple[int, ...]:
    for prefixes, lengths in _CARD_LENGTHS:
        if prefix.startswith(prefixes):
            return lengths
    return ()


def _last_group(groups: list[tuple[int, int]], first: int, length: int) -> int | None:
    """The group that ends `length` digits after the beginning of `first`, if one does."""
    for k in range(first, min(first + length, len(groups))):
        length -= groups[k][1] - groups[k][0]
        if length <= 0:
            return k if length == 0 else None
    return None


_IBAN_START: Final = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2} ?[0-9]{2}(?=[ .-]?[A-Za-z0-9])")
_IBAN_LENGTHS: Final = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22,
    "BI": 27, "BR": 29, "BY": 28, "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DJ": 27,
    "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FK": 18, "FO": 18, "FR": 27,
    "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HN": 28, "HR": 21, "HU": 28,
    "IE": 22, "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28,
    "LC": 32, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22,
    "MK": 19, "MN": 20, "MR": 27, "MT": 31, "MU": 30, "NI": 28, "NL": 18, "NO": 15, "OM": 23,
    "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "RU": 33, "SA": 24,
    "SC": 31, "SD": 18, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "SO": 23, "ST": 25, "SV": 28,
    "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24, "XK": 20, "YE": 30,
}


def ibans(text: str) -> Iterator[Stretch]:
    """Numbers of bank accounts, with or without spaces."""
    for tries, match in enumerate(_IBAN_START.finditer(text)):
        length = _IBAN_LENGTHS.get(match[0][:2].upper())
        end = _end_of_iban(text, match.start(), length) if length else None
        if end is None:
            continue
        account = "".join(filter(str.isalnum, text[match.start() : end])).upper()
        if tries > TRIES_MAX or _remainder_97(account) == 1:
            yield Stretch("iban", match.start(), end, 0.9)


def _end_of_iban(text: str, start: int, length: int) -> int | None:
    """Where its `length` letters and digits end, with at most one sign between two of them."""
    gap = 0
    for k in range(start, min(start + 2 * length, len(text))):
        if text[k].isascii() and text[k].isalnum():
            length, gap = length - 1, 0
            if length == 0:
                return k + 1
        else:
            gap += 1
            if gap > 1 or text[k] not in " .-":
                return None
    return None


def _remainder_97(account: str) -> int:
    moved = account[4:] + account[:4]
    return int("".join(str(int(each, 36)) for each in moved)) % 97
