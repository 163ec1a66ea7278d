"""Small rules: how often each thing may be asked for, and what may be kept of what is sent."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from atrium_server.accounts.errors import NotAcceptable, TooOften
from atrium_server.accounts.rates import Buckets, place_of
from atrium_shared.limits import (
    DEVICE_CHARS_MAX,
    EXPORTS_PER_ACCOUNT_BURST_MAX,
    EXPORTS_PER_ACCOUNT_PER_S_MAX,
    NAMES_PER_ADDRESS_BURST_MAX,
    NAMES_PER_ADDRESS_PER_S_MAX,
    PASSWORD_CHANGES_PER_ACCOUNT_BURST_MAX,
    PASSWORD_CHANGES_PER_ACCOUNT_PER_S_MAX,
    PREFS_BYTES_MAX,
    PREFS_MAX,
    PREFS_PER_ACCOUNT_BURST_MAX,
    PREFS_PER_ACCOUNT_PER_S_MAX,
    REFRESHES_PER_SIGN_IN_BURST_MAX,
    REFRESHES_PER_SIGN_IN_PER_S_MAX,
    SIGN_INS_PER_ADDRESS_BURST_MAX,
    SIGN_INS_PER_ADDRESS_PER_S_MAX,
    SIGN_UPS_PER_ADDRESS_BURST_MAX,
    SIGN_UPS_PER_ADDRESS_PER_S_MAX,
    WORLD_NAME_CHARS_MAX,
)

WORLD_PATTERN: Final = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
"""What a world can be called."""
_WORLD: Final = re.compile(WORLD_PATTERN)
PREF_CHARS_MAX: Final = 64
PREF_VALUE_CHARS_MAX: Final = 512

PrefValue = bool | int | float | str | None
Prefs = Mapping[str, PrefValue]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from: the client's address, and what its program says of itself."""

    address: str = ""
    device: str = ""

    @property
    def place(self) -> str:
        """What is counted and kept of the address."""
        return place_of(self.address)

    @property
    def told(self) -> str:
        """What is kept of the program's own words."""
        shown = (c if c.isprintable() else " " for c in self.device)
        return " ".join("".join(shown).split())[:DEVICE_CHARS_MAX]


class Rates:
    """How often each thing may be asked for."""

    def __init__(self) -> None:
        self._sign_ups = Buckets(SIGN_UPS_PER_ADDRESS_PER_S_MAX, SIGN_UPS_PER_ADDRESS_BURST_MAX)
        self._taken = Buckets(SIGN_UPS_PER_ADDRESS_PER_S_MAX, SIGN_UPS_PER_ADDRESS_BURST_MAX)
        self._sign_ins = Buckets(SIGN_INS_PER_ADDRESS_PER_S_MAX, SIGN_INS_PER_ADDRESS_BURST_MAX)
        self._exports = Buckets(EXPORTS_PER_ACCOUNT_PER_S_MAX, EXPORTS_PER_ACCOUNT_BURST_MAX)
        self._names = Buckets(NAMES_PER_ADDRESS_PER_S_MAX, NAMES_PER_ADDRESS_BURST_MAX)
        self._refreshes = Buckets(
            REFRESHES_PER_SIGN_IN_PER_S_MAX, REFRESHES_PER_SIGN_IN_BURST_MAX
        )
        self._prefs = Buckets(PREFS_PER_ACCOUNT_PER_S_MAX, PREFS_PER_ACCOUNT_BURST_MAX)
        self._confirmations = Buckets(
            PASSWORD_CHANGES_PER_ACCOUNT_PER_S_MAX, PASSWORD_CHANGES_PER_ACCOUNT_BURST_MAX
        )

    def sign_up(self, place: str, now_s: float) -> None:
        """Count an account that is asked for. Raises TooOften."""
        _check(self._sign_ups.take(place, now_s), "accounts are made from your address")

    def sign_in(self, place: str, now_s: float) -> None:
        """Count a sign-in that is asked for. Raises TooOften."""
        _check(self._sign_ins.take(place, now_s), "sign-ins come from your address")

    def export(self, account: str, now_s: float) -> None:
        """Count an export. Raises TooOften."""
        _check(self._exports.take(account, now_s), "exports were asked for")

    def may_try_names(self, place: str, now_s: float) -> None:
        """Whether one more taken name would pass; counts nothing. Raises TooOften."""
        _check(self._taken.left_s(place, now_s), "taken names were tried from your address")

    def taken_name(self, place: str, now_s: float) -> None:
        """Count a name that a guest tried and somebody has. Raises TooOften."""
        _check(self._taken.take(place, now_s), "taken names were tried from your address")

    def name(self, place: str, now_s: float) -> None:
        """Count a guest's name that is looked up. Raises TooOften."""
        _check(self._names.take(place, now_s), "guests come from your address")

    def refresh(self, sign_in: str, now_s: float) -> None:
        """Count an exchange of a token. Raises TooOften."""
        _check(self._refreshes.take(sign_in, now_s), "fresh tokens were asked for")

    def prefs(self, account: str, now_s: float) -> None:
        """Count a change of preferences. Raises TooOften."""
        _check(self._prefs.take(account, now_s), "changes of preferences")

    def confirm(self, account: str, now_s: float) -> None:
        """Count a question for the password of who is signed in. Raises TooOften."""
        _check(self._confirmations.take(account, now_s), "changes of the password")


def _check(left_s: float, what: str) -> None:
    if left_s > 0:
        raise TooOften(f"Too many {what}: wait {max(1, round(left_s)):,} s.", left_s)


def clean_world(name: str) -> str:
    """What no world can be called is no world, and does not get as far as the database."""
    return name if len(name) <= WORLD_NAME_CHARS_MAX and _WORLD.fullmatch(name) else ""


def clean_prefs(prefs: Prefs) -> bytes:
    """Preferences as they are kept. Raises NotAcceptable."""
    if len(prefs) > PREFS_MAX:
        raise NotAcceptable(f"There may be {PREFS_MAX} preferences at most.")
    for name, value in prefs.items():
        texts = (name, value) if isinstance(value, str) else (name,)
        if not 1 <= len(name) <= PREF_CHARS_MAX or any(not _is_storable(each) for each in texts):
            raise NotAcceptable(
                f"The name of a preference has 1 to {PREF_CHARS_MAX} characters, a text at most"
                f" {PREF_VALUE_CHARS_MAX}, and neither has control characters."
            )
    encoded = msgspec.json.encode(prefs)
    if len(encoded) > PREFS_BYTES_MAX:
        raise NotAcceptable(f"Preferences may have {PREFS_BYTES_MAX:,} bytes as JSON at most.")
    return encoded


def _is_storable(text: str) -> bool:
    """No control characters, which the database refuses in part, nor halves of surrogate pairs."""
    return len(text) <= PREF_VALUE_CHARS_MAX and all(
        unicodedata.category(c) not in {"Cc", "Cs"} for c in text
    )


