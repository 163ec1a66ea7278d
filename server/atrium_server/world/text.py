"""What names and lines may look like. PURE.

Control and format characters are how text is made to lie: they hide, reverse or overlay what
others read. Names refuse them; chat lines lose them. Joiners that scripts and emoji need stay.
"""

from __future__ import annotations

import unicodedata

from atrium_shared.errors import ErrorCode, ProtocolError
from atrium_shared.limits import CHAT_CHARS_MAX, NAME_BYTES_MAX, NAME_CHARS_MAX

_JOINERS = {"\u200c", "\u200d"}
"""Zero-width (non-)joiner: spelling in Persian and Indic scripts, and compound emoji."""
_BLANKS = {"\u115f", "\u1160", "\u2800", "\u3164", "\uffa0"}
"""Letters and symbols, by their category, that show nothing: a name of them looks like none."""
_MARKS_MAX = 4
"""Combining marks in a row; more is meant to spill over other lines."""
_MARK_PLANES = (range(0x300, 0x20000), range(0xE0100, 0xE01F0))
"""Where all combining marks lie; a look at every character there is would hold up each start."""
_MARKS = frozenset(
    chr(code) for plane in _MARK_PLANES for code in plane
    if unicodedata.category(chr(code))[0] == "M"
)


def clean_name(raw: str) -> str:
    """The name as others will read it.

    Raises ProtocolError(BAD_NAME) when it is empty, too long or has characters one cannot see.
    """
    if len(raw) > 4 * NAME_CHARS_MAX:
        raise _bad_name()
    name = " ".join(unicodedata.normalize("NFC", raw).split())
    if not name or len(name) > NAME_CHARS_MAX or _hidden(name):
        raise _bad_name()
    if len(name.encode()) > NAME_BYTES_MAX or not _shows(name):
        raise _bad_name()
    return name


def clean_line(raw: str) -> str:
    """A chat line without characters one cannot see, at most CHAT_CHARS_MAX; may be empty."""
    if not raw.isprintable():
        # Only few characters of a line are of this kind, but for attacks.
        odd = {ord(c): _instead_of(c) for c in set(raw) if not c.isprintable()}
        raw = raw.translate(odd)
    # After the translation, which may bring a letter and its marks together.
    line = unicodedata.normalize("NFC", raw)
    if not _MARKS.isdisjoint(line):
        line = _fewer_marks(line)
    if not _shows(line):
        return ""
    # The normal form may be longer than what was sent.
    return line[:CHAT_CHARS_MAX].strip()


def _instead_of(c: str) -> str:
    """What a line has in place of a character that does not print."""
    if c in _JOINERS:
        return c
    return " " if unicodedata.category(c)[0] == "Z" or c in "\n\t\r" else ""


def _fewer_marks(line: str) -> str:
    """The line without the marks that follow _MARKS_MAX others."""
    kept: list[str] = []
    marks = 0
    for c in line:
        marks = marks + 1 if c in _MARKS else 0
        if marks <= _MARKS_MAX:
            kept.append(c)
    return "".join(kept)


def _shows(text: str) -> bool:
    """Whether there is anything to be seen in it."""
    return any(unicodedata.category(c)[0] in "LNSP" and c not in _BLANKS for c in text)


def _hidden(text: str) -> bool:
    marks = 0
    for c in text:
        category = unicodedata.category(c)
        marks = marks + 1 if category[0] == "M" else 0
        if marks > _MARKS_MAX or (category[0] == "C" and c not in _JOINERS) or c in _BLANKS:
            return True
    return False


def _bad_name() -> ProtocolError:
    return ProtocolError(
        ErrorCode.BAD_NAME,
        f"a name has 1 to {NAME_CHARS_MAX} visible characters (at most {NAME_BYTES_MAX} bytes)",
    )
