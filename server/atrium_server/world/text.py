"""What names and lines may look like. PURE.

Control and format characters are how text is made to lie: they hide, reverse or overlay what
others read. Names refuse them; chat lines lose them. Joiners that scripts and emoji need stay.
"""

from __future__ import annotations

import unicodedata

from atrium_shared.errors import ErrorCode, ProtocolError
from atrium_shared.limits import NAME_BYTES_MAX, NAME_CHARS_MAX

_JOINERS = {"\u200c", "\u200d"}
"""Zero-width (non-)joiner: spelling in Persian and Indic scripts, and compound emoji."""
_MARKS_MAX = 4
"""Combining marks in a row; more is meant to spill over other lines."""


def clean_name(raw: str) -> str:
    """The name as others will read it.

    Raises ProtocolError(BAD_NAME) when it is empty, too long or has characters one cannot see.
    """
    if len(raw) > 4 * NAME_CHARS_MAX:
        raise _bad_name()
    name = " ".join(unicodedata.normalize("NFC", raw).split())
    if not name or len(name) > NAME_CHARS_MAX or len(name.encode()) > NAME_BYTES_MAX:
        raise _bad_name()
    if _hidden(name) or not any(unicodedata.category(c)[0] in "LNSP" for c in name):
        raise _bad_name()
    return name


def clean_line(raw: str) -> str:
    """A chat line without characters one cannot see; may be empty."""
    text = unicodedata.normalize("NFC", raw).replace("\n", " ").replace("\t", " ")
    kept: list[str] = []
    marks = 0
    for c in text:
        category = unicodedata.category(c)
        marks = marks + 1 if category[0] == "M" else 0
        if marks <= _MARKS_MAX and (category[0] != "C" or c in _JOINERS):
            kept.append(c)
    return "".join(kept).strip()


def _hidden(text: str) -> bool:
    marks = 0
    for c in text:
        category = unicodedata.category(c)
        marks = marks + 1 if category[0] == "M" else 0
        if marks > _MARKS_MAX or (category[0] == "C" and c not in _JOINERS):
            return True
    return False


def _bad_name() -> ProtocolError:
    return ProtocolError(
        ErrorCode.BAD_NAME,
        f"a name has 1 to {NAME_CHARS_MAX} visible characters (at most {NAME_BYTES_MAX} bytes)",
    )
