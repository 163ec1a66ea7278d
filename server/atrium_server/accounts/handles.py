"""Handles: what they may be made of, and the key by which two that look alike are one. PURE.

A handle is shown as it was chosen and known by its key. `fold` is NFKC with case folding, without
accents (a mark on a letter is too small to tell people apart by), without separators, and with
each look-alike replaced by the plain character it resembles (`confusables`). So `Ada_Lovelace`,
`adalovelace`, `Ádá.Lovelace` and a Cyrillic `Аda-Lоvelace` are one handle, and whoever comes
first has it.

Letters and digits of one writing are allowed, joined by single `_`, `-` or `.`. Letters of
several writings in one handle are the usual way to look like somebody else; only Han, Kana,
Hangul and Bopomofo are written together, and Latin beside them.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from atrium_server.accounts.confusables import LUNATE, SKELETON
from atrium_server.accounts.errors import NotAcceptable
from atrium_shared.limits import HANDLE_CHARS_MAX, HANDLE_CHARS_MIN, NAME_BYTES_MAX

SEPARATORS: Final = "_-."
KEY_CHARS_MAX: Final = 256
RULE: Final = (
    f"A handle has {HANDLE_CHARS_MIN} to {HANDLE_CHARS_MAX} letters and digits of one writing,"
    " joined by single `_`, `-` or `.`: choose another one."
)
RESERVED: Final = (
    "This handle is kept for the people who run the server: choose another one."
)

_STAFF_WORDS: Final = (
    "admin", "administrator", "administration", "atrium", "helpdesk", "mod", "moderation",
    "moderator", "official", "operator", "owner", "root", "safety", "security", "server",
    "staff", "superuser", "support", "sysop", "system", "webmaster",
)
_OTHER_WORDS: Final = (
    "all", "anonymous", "ban", "bot", "channel", "console", "daemon", "default", "deleted",
    "everybody", "everyone", "guest", "help", "here", "host", "info", "me", "news", "nobody",
    "none", "npc", "null", "service", "somebody", "someone", "team", "test", "undefined",
    "unknown", "user", "visitor", "world", "you",
)
_EAST_ASIAN: Final = {"CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "HANGUL", "BOPOMOFO"}
_MARK_CLASS_MIN: Final = 200
"""Combining classes from here on sit around a letter: the accents of Latin, Greek and Cyrillic.
The vowel signs of other writings are below, and are part of the spelling."""
_BETWEEN_WORDS: Final = re.compile(rf"[\s{re.escape(SEPARATORS)}]+")
_ALONE: Final = re.compile(rf"[{re.escape(SEPARATORS)}]{{2}}")


def fold(text: str) -> str:
    """The key of any text: equal for texts that look alike; may be empty.

    Folding a key again changes nothing.
    """
    folded = unicodedata.normalize("NFKC", text.translate(LUNATE))
    for _ in range(3):  # case and compatibility can each bring out something of the other
        folded = unicodedata.normalize("NFKD", folded.casefold())
    folded = folded.translate(SKELETON)
    return "".join(c for c in folded if _counts(c))[:KEY_CHARS_MAX]


def clean_handle(raw: str) -> str:
    """The handle as it will be shown. Raises NotAcceptable."""
    if len(raw) > 4 * HANDLE_CHARS_MAX:
        raise NotAcceptable(RULE)
    handle = unicodedata.normalize("NFKC", raw.strip())
    if not HANDLE_CHARS_MIN <= len(handle) <= HANDLE_CHARS_MAX:
        raise NotAcceptable(RULE)
    if len(handle.encode("utf-8", "surrogatepass")) > NAME_BYTES_MAX:
        raise NotAcceptable(RULE)
    if not all(_is_letter(c) or c in SEPARATORS for c in handle) or _ALONE.search(handle):
        raise NotAcceptable(RULE)
    if not (_begins_word(handle[0]) and _is_letter(handle[-1])):
        raise NotAcceptable(RULE)
    if not _is_one_writing(handle) or len(fold(handle)) < HANDLE_CHARS_MIN - 1:
        raise NotAcceptable(RULE)
    return handle


def is_of_staff(text: str) -> bool:
    """Whether a name, or a word of it, is one of those who run the server."""
    words = [text, *_BETWEEN_WORDS.split(text)]
    return any(_without_number(word) & _STAFF_KEYS for word in words)


def is_reserved(text: str) -> bool:
    """Whether nobody may have this handle, with a number behind it or not."""
    return is_of_staff(text) or bool(_without_number(text) & _OTHER_KEYS)


def _without_number(text: str) -> set[str]:
    return {fold(text), fold(text.rstrip("0123456789"))}


def _counts(c: str) -> bool:
    if c in SEPARATORS or c.isspace() or unicodedata.category(c)[0] in "CZ":
        return False
    return unicodedata.combining(c) < _MARK_CLASS_MIN


def _is_letter(c: str) -> bool:
    return unicodedata.category(c) in {"Ll", "Lu", "Lt", "Lo", "Lm", "Nd", "Mn", "Mc"}


def _begins_word(c: str) -> bool:
    return _is_letter(c) and not unicodedata.category(c).startswith("M")


def _is_one_writing(handle: str) -> bool:
    """By the first word of each letter's name, which is its writing: LATIN SMALL LETTER A."""
    writings: set[str] = set()
    for c in handle:
        if unicodedata.category(c)[0] == "L":
            name = unicodedata.name(c, "")
            if not name or "HALFWIDTH" in name or "FILLER" in name:
                return False
            writings.add(name.partition(" ")[0])
    if len(writings) <= 1:
        return True
    return bool(writings & _EAST_ASIAN) and writings <= _EAST_ASIAN | {"LATIN"}


_STAFF_KEYS: Final = frozenset(fold(word) for word in _STAFF_WORDS)
_OTHER_KEYS: Final = frozenset(fold(word) for word in _OTHER_WORDS)
