"""Tokens: who shows one is signed in, so it is drawn from chance and kept nowhere as it is.

A token is a word by which programs that look for leaked secrets can tell what it is, and behind it
two parts. The *family* is the same in all tokens of one sign-in, and says which that is: its id is
made of the family's hash, so that who knows the id, from a log or a list, cannot name the family.
The *secret*, 33 random bytes, is another one after each exchange. So who shows a token of a sign-in
that holds, and not its present one, has a copy, be it of many exchanges ago.

The database has the SHA-256 of the whole alone. No slow hash is needed: nobody can try 2^256 of
them. The word also says whether it was made for a guest; it is hashed with the rest, so that a
changed word makes another token.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
import uuid
from dataclasses import dataclass
from typing import Final

from atrium_server.persistence.schema import uuid7

TIME_BYTES: Final = 6
FAMILY_BYTES: Final = TIME_BYTES + 18
SECRET_BYTES: Final = 33
"""Both are multiples of three, so that each is a whole number of characters."""
FAMILY_CHARS: Final = FAMILY_BYTES // 3 * 4
TOKEN_CHARS: Final = FAMILY_CHARS + SECRET_BYTES // 3 * 4
"""Without the word."""
OF_ACCOUNT: Final = "atrium_a_"
OF_GUEST: Final = "atrium_g_"

_TOKEN: Final = re.compile(rf"atrium_[ag]_[A-Za-z0-9_-]{{{TOKEN_CHARS}}}")


@dataclass(frozen=True, slots=True)
class Shown:
    """What can be told from a token: whose it claims to be, and what the database knows it by."""

    sign_in: uuid.UUID
    token_hash: bytes


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A new token and what it stands for. `repr` shows no token, as logs show reprs."""

    token: str
    expires_in_s: float
    account: uuid.UUID | None
    name: str
    sign_in: uuid.UUID

    def __repr__(self) -> str:
        return f"SignedIn({self.sign_in})"


def new_token(unix_s: float, *, is_guest: bool) -> str:
    """A token that nobody has seen, of a family of its own."""
    family = int(unix_s * 1000).to_bytes(TIME_BYTES) + secrets.token_bytes(
        FAMILY_BYTES - TIME_BYTES
    )
    word = OF_GUEST if is_guest else OF_ACCOUNT
    return word + base64.urlsafe_b64encode(family).decode() + _secret()


def next_token(token: str) -> str:
    """Another one of the same family."""
    return token[: len(OF_ACCOUNT) + FAMILY_CHARS] + _secret()


def read(token: str) -> Shown | None:
    """What a token says; None for what cannot be one of ours."""
    if _TOKEN.fullmatch(token) is None:
        return None
    start = len(OF_ACCOUNT)
    family = base64.urlsafe_b64decode(token[start : start + FAMILY_CHARS])
    unix_s = int.from_bytes(family[:TIME_BYTES]) / 1000
    sign_in = uuid7(unix_s, hashlib.sha256(family).digest()[:10])
    return Shown(sign_in, hashlib.sha256(token.encode()).digest())


def is_of_guest(token: str) -> bool:
    """Whether the token was made for somebody without an account."""
    return token.startswith(OF_GUEST)


def _secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)
