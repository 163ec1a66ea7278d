"""How often one may ask, and how fast one may guess. PURE but for its memory.

Theory of operation
-------------------
`Buckets` are token buckets by key, of which a bounded number is remembered: when there are more,
the one that was used the longest ago is forgotten, which is full again by then in all but attacks.

`Guesses` slows down who tries passwords. After PASSWORD_GUESSES_FREE_MAX wrong ones the wait
doubles with each, by *handle and address together*: so an attacker slows down nobody else, and the
owner at home signs in as ever. Who has many addresses is bounded by a second count, of wrong
passwords for a handle from all addresses that its owner never signed in from. While that is used
up, only addresses that the owner has signed in from before may try: there is no way to lock
somebody out of where they usually are.

A guess is counted before it is checked and given back when it was right, or a hundred at once
would all come before the first was found wrong.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

from atrium_server.accounts.errors import TooOften
from atrium_shared.limits import (
    ACCOUNT_RATES_KEPT_MAX,
    PASSWORD_GUESSES_FREE_MAX,
    PASSWORD_STRANGERS_BURST_MAX,
    PASSWORD_STRANGERS_PER_S_MAX,
    PASSWORD_WAIT_S_MAX,
)

FORGIVEN_S = 4 * PASSWORD_WAIT_S_MAX
"""Wrong passwords of so long ago count no more."""


def place_of(address: str) -> str:
    """What counts as one place: an IPv4 address, the /64 of an IPv6 address, "" if unknown."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((int(parsed) >> 64 << 64, 64)).network_address)
    return str(parsed)


class Buckets:
    """A bucket for each key; `now_s` never goes back."""

    def __init__(
        self, per_s: float, burst: float, kept_max: int = ACCOUNT_RATES_KEPT_MAX
    ) -> None:
        self._per_s, self._burst, self._kept_max = per_s, burst, kept_max
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, key: str, now_s: float) -> float:
        """Take one; returns 0, or the seconds until there is one again."""
        level = self._level(key, now_s)
        taken = level >= 1
        self._levels[key] = (level - taken, now_s)
        self._levels.move_to_end(key)
        while len(self._levels) > self._kept_max:
            self._levels.popitem(last=False)
        return 0.0 if taken else (1 - level) / self._per_s

    def left_s(self, key: str, now_s: float) -> float:
        """The seconds until there is one; 0 for now. Takes none."""
        return max(0.0, (1 - self._level(key, now_s)) / self._per_s)

    def give_back(self, key: str, now_s: float) -> None:
        """Put one back."""
        if key in self._levels:
            self._levels[key] = (min(self._level(key, now_s) + 1, self._burst), now_s)

    def _level(self, key: str, now_s: float) -> float:
        level, then_s = self._levels.get(key, (self._burst, now_s))
        return min(level + (now_s - then_s) * self._per_s, self._burst)

    def __len__(self) -> int:
        return len(self._levels)


@dataclass(frozen=True, slots=True)
class Guess:
    """An attempt that was counted as wrong until it proves right."""

    handle_key: str
    place: str
    is_known: bool


class Guesses:
    """Wrong passwords, by handle and place."""

    def __init__(self, kept_max: int = ACCOUNT_RATES_KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._wrong: OrderedDict[tuple[str, str], tuple[int, float]] = OrderedDict()
        self._strangers = Buckets(
            PASSWORD_STRANGERS_PER_S_MAX, PASSWORD_STRANGERS_BURST_MAX, kept_max
        )

    def begin(self, guess: Guess, now_s: float) -> None:
        """Count an attempt. Raises TooOften when it comes too early."""
        key = (guess.handle_key, guess.place)
        count, then_s = self._wrong.get(key, (0, now_s))
        if now_s - then_s > FORGIVEN_S:
            count = 0
        left_s = then_s + _wait_s(count) - now_s
        if left_s > 0:
            raise TooOften(_slower(left_s), left_s)
        if not guess.is_known:
            left_s = self._strangers.take(guess.handle_key, now_s)
            if left_s > 0:
                raise TooOften(_slower(left_s), left_s)
        self._wrong[key] = (count + 1, now_s)
        self._wrong.move_to_end(key)
        while len(self._wrong) > self._kept_max:
            self._wrong.popitem(last=False)

    def was_right(self, guess: Guess, now_s: float) -> None:
        """Forget the wrong ones before it, from this place."""
        self._wrong.pop((guess.handle_key, guess.place), None)
        if not guess.is_known:
            self._strangers.give_back(guess.handle_key, now_s)

    def was_not_checked(self, guess: Guess, now_s: float) -> None:
        """Take one attempt back."""
        key = (guess.handle_key, guess.place)
        count, then_s = self._wrong.get(key, (0, now_s))
        if count > 1:
            self._wrong[key] = (count - 1, then_s)
        else:
            self._wrong.pop(key, None)
        if not guess.is_known:
            self._strangers.give_back(guess.handle_key, now_s)

    def __len__(self) -> int:
        return len(self._wrong)


def _wait_s(count: int) -> float:
    """How long to wait after so many wrong ones in a row."""
    if count < PASSWORD_GUESSES_FREE_MAX:
        return 0.0
    return float(min(2 ** min(count - PASSWORD_GUESSES_FREE_MAX, 30), PASSWORD_WAIT_S_MAX))


def _slower(left_s: float) -> str:
    return f"Too many wrong passwords: wait {max(1, round(left_s)):,} s before you try again."
