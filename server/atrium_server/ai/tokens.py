"""What a key of an app looks like. PURE, but for where its letters come from.

    atrium-ai-<43 letters: 256 bits by chance>-<6 letters: their CRC-32>

The CRC is no secret: by it a key that was cut off or mistyped, and what somebody tries by chance,
is refused without asking the database. The beginning lets programs that search code for secrets
find one. Only the SHA-256 of a key is kept; against guessing its 256 bits suffice, so no slow hash
is needed, unlike for passwords.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from typing import Final

BEGINNING: Final = "atrium-ai-"
SECRET_BYTES: Final = 32
_FORM: Final = re.compile(rf"{BEGINNING}([A-Za-z0-9_-]{{43}})-([A-Za-z0-9_-]{{6}})")


def key_of(secret: bytes) -> str:
    """The key with these 32 bytes."""
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a key has {SECRET_BYTES} bytes")
    letters = _letters(secret)
    return f"{BEGINNING}{letters}-{_check(letters)}"


def hash_of(key: str) -> bytes | None:
    """By what a key is kept; None for what cannot be one."""
    match = _FORM.fullmatch(key)
    if match is None or _check(match[1]) != match[2]:
        return None
    return hashlib.sha256(key.encode()).digest()


def _check(letters: str) -> str:
    return _letters(zlib.crc32(letters.encode()).to_bytes(4, "big"))


def _letters(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
