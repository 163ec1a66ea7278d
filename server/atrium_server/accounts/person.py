"""Who asks, as the rest of the server sees it: never a password, a token or an address."""

from __future__ import annotations

import uuid
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account.

    Attributes:
        permissions: what the roles allow, in all worlds or in the one that was asked about.
    """

    account: uuid.UUID
    handle: str
    permissions: frozenset[str]

    def may(self, permission: str) -> bool:
        """Whether a role of theirs allows it."""
        return permission in self.permissions


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody who showed a token that holds: with an account, or (account None) a guest.

    Attributes:
        name: the handle, or the name that a guest gave.
        sign_in: what ends when they sign out; told in `Ended`.
    """

    account: uuid.UUID | None
    name: str
    permissions: frozenset[str]
    sign_in: uuid.UUID


@dataclass(frozen=True, slots=True)
class Ended:
    """A sign-in, or (sign_in None) all of an account, holds no longer.

    Attributes:
        but: of all sign-ins of the account, this one goes on.
        is_deleted: the account itself is gone, and what it made has no owner any more.
    """

    account: uuid.UUID | None
    sign_in: uuid.UUID | None
    but: uuid.UUID | None = None
    is_deleted: bool = False


@dataclass(frozen=True, slots=True)
class Regranted:
    """What somebody may do has changed: whoever remembers permissions asks again."""

    account: uuid.UUID


News = Ended | Regranted
"""What concerns those who hold sessions of people."""
