"""Tokens: who shows one is signed in, so it is drawn from chance and kept nowhere as it is.

A token is 32 random bytes with a word before them by which programs that look for leaked secrets
can tell what it is. The database has its SHA-256 alone. No slow hash is needed: nobody can try
2^256 of them. The word also says whether it was made for a guest; it is hashed with the rest, so
that a changed word makes an unknown token.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from typing import Final

TOKEN_BYTES: Final = 32
OF_ACCOUNT: Final = "atrium_a_"
OF_GUEST: Final = "atrium_g_"

_TOKEN: Final = re.compile(r"atrium_[ag]_[A-Za-z0-9_-]{43}")


def new_token(*, is_guest: bool) -> str:
    """A token that nobody has seen."""
    return (OF_GUEST if is_guest else OF_ACCOUNT) + secrets.token_urlsafe(TOKEN_BYTES)


def hash_of(token: str) -> bytes | None:
    """What the database knows a token by; None for what cannot be a token of ours."""
    if _TOKEN.fullmatch(token) is None:
        return None
    return hashlib.sha256(token.encode()).digest()


def is_of_guest(token: str) -> bool:
    """Whether the token was made for somebody without an account."""
    return token.startswith(OF_GUEST)
