"""Small rules: how often each thing may be asked for, and what may be kept of what is sent."""

from __future__ import annotations

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
    PREFS_BYTES_MAX,
    PREFS_MAX,
    SIGN_INS_PER_ADDRESS_BURST_MAX,
    SIGN_INS_PER_ADDRESS_PER_S_MAX,
    SIGN_UPS_PER_ADDRESS_BURST_MAX,
    SIGN_UPS_PER_ADDRESS_PER_S_MAX,
)

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
        self._sign_ins = Buckets(SIGN_INS_PER_ADDRESS_PER_S_MAX, SIGN_INS_PER_ADDRESS_BURST_MAX)
        self._exports = Buckets(EXPORTS_PER_ACCOUNT_PER_S_MAX, EXPORTS_PER_ACCOUNT_BURST_MAX)

    def sign_up(self, place: str, now_s: float) -> None:
        """Count an account that is asked for. Raises TooOften."""
        _check(self._sign_ups.take(place, now_s), "accounts are made from your address")

    def sign_in(self, place: str, now_s: float) -> None:
        """Count a sign-in that is asked for. Raises TooOften."""
        _check(self._sign_ins.take(place, now_s), "sign-ins come from your address")

    def export(self, account: str, now_s: float) -> None:
        """Count an export. Raises TooOften."""
        _check(self._exports.take(account, now_s), "exports were asked for")


def _check(left_s: float, what: str) -> None:
    if left_s > 0:
        raise TooOften(f"Too many {what}: wait {max(1, round(left_s)):,} s.", left_s)


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


