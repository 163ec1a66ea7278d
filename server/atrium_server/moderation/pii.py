"""Personal data in lines of text: who or where somebody is, and their secrets. PURE.

Theory of operation
-------------------
`find` takes a batch. One kernel (`pii_plain`) makes all lines plain and says of each what it has:
digits, an @, words that go with an address or a secret. Only where these call for it does a check
in Python run on a line; most lines of a chat cost a microsecond. The checks are in
`pii_numbers` (phones, cards, bank accounts), `pii_places` (network addresses, coordinates,
streets), `pii_words` (e-mail, secrets) and `pii_handles` (accounts elsewhere).

A check costs at most some tenths of a millisecond for a line of chat, and is linear in its length.
A longer text is read in pieces of PIECE_CHARS that overlap by PIECE_OVERLAP, so whatever is found
is found wherever it stands, as long as it is no longer than the overlap.

Findings are stretches of the original text, in its own characters: what was spelled with zero-width
characters or foreign digits is masked with them. No finding holds the data that it found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final

from atrium_server.moderation import pii_handles, pii_numbers, pii_places, pii_words
from atrium_server.moderation.findings import Category, Finding
from atrium_server.moderation.pii_numbers import Stretch
from atrium_server.moderation.pii_plain import Plain, read
from atrium_server.moderation.pii_vocabulary import Sign

PIECE_CHARS: Final = 600
"""A line of chat is read in one piece."""
PIECE_OVERLAP: Final = 100
REGIONS: Final = ("US", "GB", "DE", "FR", "ES", "IT", "BR", "IN", "CN", "RU")
"""Where a phone number without + may be dialled, unless told otherwise. Each region costs
microseconds for each number-like stretch."""
_REGIONS_OF_LANGUAGE: Final[Mapping[str, tuple[str, ...]]] = {
    "en": ("US", "GB", "AU"), "de": ("DE", "AT", "CH"), "fr": ("FR", "BE", "CH"),
    "es": ("ES", "MX", "AR"), "it": ("IT",), "pt": ("BR", "PT"), "nl": ("NL", "BE"),
    "ru": ("RU", "KZ"), "pl": ("PL",), "tr": ("TR",), "ar": ("EG", "SA", "AE"), "hi": ("IN",),
    "zh": ("CN", "TW", "HK"), "ja": ("JP",), "ko": ("KR",), "uk": ("UA",), "sv": ("SE",),
}
_Check = Callable[[str], Iterator[Stretch]]


def regions_of(languages: Sequence[str]) -> tuple[str, ...]:
    """The regions whose numbers people of these languages write without +."""
    found = [region for each in languages for region in _REGIONS_OF_LANGUAGE.get(each[:2], ())]
    return tuple(dict.fromkeys(found)) or REGIONS


def find(
    texts: Sequence[str], regions: Sequence[str] = REGIONS
) -> list[tuple[Finding, ...]]:
    """What each line gives away, in order of its place; () for most.

    `regions` (ISO 3166) are those whose phone numbers may be written without +.
    """
    plain = read(texts)
    found: list[tuple[Finding, ...]] = [()] * len(texts)
    for row in plain.rows_with(_ANY):
        found[row] = _findings(plain, row, regions)
    return found


def warm(regions: Sequence[str] = REGIONS) -> None:
    """Read what `phonenumbers` knows of the regions, which it does when first asked."""
    for region in regions:
        for _ in pii_numbers.phones("0176 12345678 +4917612345678 202 555 0143", (region,)):
            pass


_ANY: Final = (
    Sign.DIGITS | Sign.AT | Sign.SECRET | Sign.KEY | Sign.PLATFORM | Sign.STREET
    | Sign.NUMBER_WORDS | Sign.COLONS | Sign.DOTS | Sign.HASH | Sign.SPELLED_DOT
)


def _checks(signs: Sign, regions: Sequence[str]) -> Iterator[_Check]:
    """The checks that a line with these signs needs."""
    if Sign.DIGITS in signs:
        yield pii_numbers.cards
        yield pii_numbers.ibans
        yield partial(pii_numbers.phones, regions=regions)
        yield pii_places.coordinates
    if Sign.NUMBER_WORDS in signs:
        yield partial(pii_numbers.spelled_phones, regions=regions)
    if Sign.AT in signs:
        yield pii_words.mails
    if Sign.SPELLED_DOT in signs or Sign.SPELLED_AT in signs:
        yield pii_words.spelled_mails
    if signs & (Sign.SECRET | Sign.KEY):
        yield pii_words.secrets
    if Sign.DOTS in signs:
        yield pii_places.ipv4
    if Sign.COLONS in signs:
        yield pii_places.ipv6
    if Sign.STREET in signs and Sign.DIGIT in signs:
        yield pii_places.streets
    if signs & (Sign.PLATFORM | Sign.HASH):
        yield pii_handles.handles


def _findings(plain: Plain, row: int, regions: Sequence[str]) -> tuple[Finding, ...]:
    text = plain.text(row)
    signs = Sign(int(plain.signs[row]))
    stretches: dict[Stretch, None] = {}
    for start in _pieces(len(text)):
        piece = text[start : start + PIECE_CHARS]
        if Sign.DIGIT in signs:
            piece = pii_numbers.lookalikes(piece)
        for check in _checks(signs, regions):
            for each in check(piece):
                moved = each._replace(start=each.start + start, end=each.end + start)
                stretches[moved] = None
    return tuple(_finding(plain, row, each) for each in _outermost(stretches))


def _pieces(length: int) -> range:
    return range(0, max(length - PIECE_OVERLAP, 1), PIECE_CHARS - PIECE_OVERLAP)


def _outermost(stretches: Mapping[Stretch, None]) -> list[Stretch]:
    """Without those that lie within the farthest one before them, if that is as severe."""
    kept: list[Stretch] = []
    farthest = Stretch("", 0, 0, 0.0)
    for each in sorted(stretches, key=lambda each: (each.start, -each.end, -each.severity)):
        if farthest.end >= each.end and farthest.severity >= each.severity:
            continue
        kept.append(each)
        farthest = max(farthest, each, key=lambda each: each.end)
    return kept


def _finding(plain: Plain, row: int, stretch: Stretch) -> Finding:
    start, end = plain.origin(row, stretch.start, stretch.end)
    category = Category.CONTACT if stretch.kind == "handle" else Category.PII
    return Finding(category, stretch.severity, start, end, f"pii:{stretch.kind}")
