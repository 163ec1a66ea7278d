"""Passwords: what they may be, and how they are kept.

Theory of operation
-------------------
*Rules* are those of NIST SP 800-63B: a length, no demand for kinds of characters, no expiry, and
a refusal of what everybody tries first (`common_passwords`). What was typed on one keyboard must
match what is typed on another, so a password is normalised (NFKC) before it is counted and hashed.

*Hashing* is argon2id with 64 MiB and three passes, as the low-memory profile of RFC 9106 has it,
but in one lane instead of four. That asks no less of who guesses (the same memory, held for
longer) and leaves the other cores to the ticks: the library lets the interpreter go while it
computes, and with one lane at a time a tick is as punctual beside it as without. So few are
computed at once, a bounded number waits, and more are refused. Of those places nobody has more than
a share (`Passwords.share`), so no one address can keep everybody else from signing in.

An unknown handle costs the same time as a known one: then the password is checked against a hash
of nothing in particular. A hash with parameters of the past still matches; `is_outdated` tells.
"""

from __future__ import annotations

import os
import secrets
import unicodedata
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import trio
from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from atrium_server.accounts.common_passwords import is_common
from atrium_server.accounts.errors import NotAcceptable, TooOften
from atrium_shared.limits import (
    PASSWORD_CHARS_MAX,
    PASSWORD_CHARS_MIN,
    PASSWORDS_WAITING_EACH_MAX,
    PASSWORDS_WAITING_MAX,
)

BUSY_S: Final = 5.0
CORES_PER_HASH: Final = 4

_T = TypeVar("_T")
Run = Callable[[Callable[[], _T]], Awaitable[_T]]


@dataclass(frozen=True, slots=True)
class Cost:
    """Parameters of argon2id."""

    passes: int = 3
    memory_kib: int = 65_536
    lanes: int = 1


class Passwords:
    """Hashes and checks, a few at a time.

    Args:
        at_once: how many are computed at the same time; by default one for every four cores.
    """

    def __init__(self, cost: Cost | None = None, at_once: int | None = None) -> None:
        cost = cost or Cost()
        self._hasher = PasswordHasher(
            time_cost=cost.passes, memory_cost=cost.memory_kib, parallelism=cost.lanes,
            type=Type.ID,
        )
        cores = os.cpu_count() or 1
        self._limiter = trio.CapacityLimiter(at_once or max(1, cores // CORES_PER_HASH))
        self._of_nobody: str | None = None
        self._shares: Counter[str] = Counter()

    @contextmanager
    def share(self, place: str) -> Generator[None]:
        """For the length of the block, one of the few that a place may have. Raises TooOften."""
        if self._shares[place] >= PASSWORDS_WAITING_EACH_MAX:
            raise TooOften(
                "Many are signing in from your address just now: try again in a moment.", BUSY_S
            )
        self._shares[place] += 1
        try:
            yield
        finally:
            self._shares[place] -= 1
            if not self._shares[place]:
                del self._shares[place]

    async def hash(self, password: str) -> str:
        """What is kept of a password. Raises TooOften."""
        return await self._run(lambda: self._hasher.hash(normal(password)))

    async def matches(self, password_hash: str | None, password: str) -> bool:
        """Whether it is the password; as long for the hash of nobody (None). Raises TooOften."""
        return await self._run(lambda: self._matches(password_hash, normal(password)))

    def is_outdated(self, password_hash: str) -> bool:
        """Whether a hash was made with other parameters than those of now."""
        return self._hasher.check_needs_rehash(password_hash)

    def _matches(self, password_hash: str | None, password: str) -> bool:
        if not password_hash:
            if self._of_nobody is None:
                self._of_nobody = self._hasher.hash(secrets.token_urlsafe())
            self._verify(self._of_nobody, password)
            return False
        return self._verify(password_hash, password)

    def _verify(self, password_hash: str, password: str) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except (VerificationError, InvalidHashError):
            return False

    async def prepare(self) -> None:
        """Compute the hash of nobody, so that not even the first check takes longer."""
        await self.matches(None, "")

    async def _run(self, work: Callable[[], _T]) -> _T:
        if self._limiter.statistics().tasks_waiting >= PASSWORDS_WAITING_MAX:
            raise TooOften("Many are signing in just now: try again in a moment.", BUSY_S)
        return await trio.to_thread.run_sync(work, limiter=self._limiter)


def normal(password: str) -> str:
    """The same characters for the same keys."""
    # Half of a surrogate pair, which JSON can bring, is no character and cannot be hashed.
    return unicodedata.normalize("NFKC", password).encode("utf-8", "replace").decode()


def check_new(password: str, handle: str) -> None:
    """Whether it may become somebody's password. Raises NotAcceptable."""
    plain = normal(password)
    if not PASSWORD_CHARS_MIN <= len(plain) <= PASSWORD_CHARS_MAX:
        raise NotAcceptable(
            f"A password has {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters: several"
            " words that do not belong together are good, and easy to remember."
        )
    if is_common(plain, handle, "atrium"):
        raise NotAcceptable(
            "This password is one of the first that are guessed: choose another one, for example"
            " several words that do not belong together."
        )
