"""Who asks the models of a server, and how much they may: keys of apps, as a running server knows
them.

What the store says of a key is believed for KNOWN_S, whether there is one or not; a key that was
revoked works for so long at most. Both the keys that are known and their quotas are bounded, the
ones that were not used for longest go first; a quota that is forgotten so is full again, which
helps nobody who has not got thousands of keys.
"""

from __future__ import annotations

import uuid
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import trio

from atrium_server.ai.quotas import Quota
from atrium_server.ai.tokens import hash_of
from atrium_server.persistence.ai_keys import KeyStore, NewKey
from atrium_server.persistence.errors import StoreError
from atrium_shared.limits import AI_KEYS_KNOWN_MAX

KNOWN_S: Final = 5.0
USED_S: Final = 30.0
"""So often it is written down when keys were used."""


class AiKeys:
    """The keys of one server."""

    def __init__(self, store: KeyStore, wall_clock: Callable[[], float]) -> None:
        """Args:
            wall_clock: seconds since 1970, to note when a key was used.
        """
        self.store = store
        self._wall_clock = wall_clock
        self._known: OrderedDict[bytes, tuple[float, NewKey | None]] = OrderedDict()
        self._quotas: OrderedDict[uuid.UUID, Quota] = OrderedDict()
        self._used: dict[uuid.UUID, datetime] = {}

    async def find(self, secret: str) -> NewKey | None:
        """The key that somebody shows; None if it may not be used. Raises StoreError."""
        key_hash = hash_of(secret)
        if key_hash is None:
            return None
        known = self._known.get(key_hash)
        if known is None or trio.current_time() - known[0] > KNOWN_S:
            row = await self.store.find(key_hash)
            known = trio.current_time(), None if row is None else row.key
            self._known[key_hash] = known
            _bound(self._known)
        self._known.move_to_end(key_hash)
        return known[1]

    def take(self, key: NewKey, rows: int) -> float:
        """Count rows against a key's quota; see `Quota.take`."""
        now_s = trio.current_time()
        quota = self._quotas.get(key.id)
        if quota is None:
            quota = self._quotas[key.id] = Quota.full(key.rows_per_minute, key.rows_per_day, now_s)
            _bound(self._quotas)
        self._quotas.move_to_end(key.id)
        self._used[key.id] = datetime.fromtimestamp(self._wall_clock(), UTC)
        return quota.take(rows, now_s)

    def give_back(self, key: NewKey, rows: int) -> None:
        """Rows that the server could not answer do not count."""
        quota = self._quotas.get(key.id)
        if quota is not None:
            quota.give_back(rows)

    async def run(self) -> None:
        """Write down when keys were used, for ever. What cannot be written is tried again."""
        while True:
            await trio.sleep(USED_S)
            used, self._used = self._used, {}
            if used:
                try:
                    await self.store.used(used)
                except StoreError:
                    self._used = used | self._used


def _bound(known: OrderedDict[bytes, tuple[float, NewKey | None]]
           | OrderedDict[uuid.UUID, Quota]) -> None:
    while len(known) > AI_KEYS_KNOWN_MAX:
        known.popitem(last=False)
