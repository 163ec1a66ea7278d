"""Whether a name belongs to an account: what guests, who have none, may not call themselves.

Who asks learns which handles there are, as whoever signs up does. So names that prove taken have
the same rate by address as sign-ups, counted apart so that guests can come when a class has just
signed up; who has used it up is told nothing, not even of a free name, before it is filled again.
Other questions have a rate that is generous, as each guest who comes in asks one; a few are asked
of the store at once, and the answers are believed for a moment.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import trio

from atrium_server.accounts.errors import NotAcceptable
from atrium_server.accounts.handles import fold
from atrium_server.accounts.rules import Rates
from atrium_server.persistence.accounts import AccountStore
from atrium_shared.limits import NAMES_KEPT_MAX, NAMES_KEPT_S

ASKED_AT_ONCE: Final = 4
Refusal = Callable[[str], Awaitable[str]]
"""Why nobody may be called so; empty if one may."""


async def may_all(name: str) -> str:
    """Where nobody moderates."""
    return ""


class Names:
    """Names through a small memory."""

    def __init__(
        self, store: AccountStore, rates: Rates, refusal: Refusal = may_all
    ) -> None:
        self._store, self._rates = store, rates
        self.refusal = refusal
        self._kept: dict[str, tuple[bool, float]] = {}
        self._changes = 0
        self._limiter: Final = trio.CapacityLimiter(ASKED_AT_ONCE)

    def forget(self) -> None:
        """Somebody has another handle now."""
        self._changes += 1
        self._kept.clear()

    async def check(self, name: str) -> None:
        """Raises NotAcceptable for a name that others should not have to read."""
        if refusal := await self.refusal(name):
            raise NotAcceptable(f"{refusal[0].upper()}{refusal[1:]}.")

    async def is_taken(self, name: str, place: str) -> bool:
        """Whether an account has it, or one that looks like it. Raises TooOften, StoreError."""
        key = fold(name)
        self._rates.may_try_names(place, trio.current_time())
        self._rates.name(place, trio.current_time())
        kept = self._kept.get(key)
        if kept is not None and trio.current_time() < kept[1]:
            await trio.lowlevel.checkpoint()
            is_taken = kept[0]
        else:
            is_taken = await self._ask(key)
        if is_taken:
            self._rates.taken_name(place, trio.current_time())
        return is_taken

    async def _ask(self, key: str) -> bool:
        async with self._limiter:
            changes = self._changes
            is_taken = await self._store.account_by_key(key) is not None
        if changes == self._changes:
            self._kept.pop(key, None)
            while len(self._kept) >= NAMES_KEPT_MAX:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = (is_taken, trio.current_time() + NAMES_KEPT_S)
        return is_taken
