"""Sign-ins in memory, by their ids and by account: a part of `memory_accounts`."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Final

from atrium_server.persistence.errors import Refused

SIGN_INS_MAX: Final = 50_000


@dataclass(slots=True)
class SignIn:
    """One sign-in; times in seconds of the store's clock."""

    id: uuid.UUID
    account: uuid.UUID | None
    name: str
    token_hash: bytes
    created_s: float
    seen_s: float
    expires_s: float
    address: str
    device: str
    ended_s: float | None = None

    @property
    def over_s(self) -> float:
        """When it ended or will end."""
        return self.expires_s if self.ended_s is None else min(self.expires_s, self.ended_s)


class MemorySignIns:
    """All sign-ins that are not forgotten yet."""

    def __init__(self) -> None:
        self._by_id: dict[uuid.UUID, SignIn] = {}
        self._owned: dict[uuid.UUID, dict[uuid.UUID, SignIn]] = {}

    def add(self, sign_in: SignIn) -> None:
        """Keep one. Raises Refused when there is no room."""
        if len(self._by_id) >= SIGN_INS_MAX:
            raise Refused("Too many are signed in: try again later.")
        self._by_id[sign_in.id] = sign_in
        if sign_in.account is not None:
            self._owned.setdefault(sign_in.account, {})[sign_in.id] = sign_in

    def get(self, sign_in: uuid.UUID) -> SignIn | None:
        """One by its id."""
        return self._by_id.get(sign_in)

    def of(self, account: uuid.UUID) -> list[SignIn]:
        """All of an account, those that ended included."""
        return [*self._owned.get(account, {}).values()]

    def live(self, account: uuid.UUID, now_s: float) -> list[SignIn]:
        """Those of an account that hold, those seen last first."""
        live = [each for each in self.of(account) if each.over_s > now_s]
        return sorted(live, key=lambda each: (each.seen_s, each.id), reverse=True)

    def end_all(self, account: uuid.UUID, but: uuid.UUID | None, now_s: float) -> int:
        """End those of an account; returns how many."""
        ended = [each for each in self.live(account, now_s) if each.id != but]
        for each in ended:
            each.ended_s = now_s
        return len(ended)

    def purge(self, before_s: float, rows_max: int) -> int:
        """Forget those that were over before a moment; returns how many."""
        gone = [each for each in self._by_id.values() if each.over_s < before_s][:rows_max]
        for each in gone:
            self.forget(each)
        return len(gone)

    def forget(self, sign_in: SignIn) -> None:
        """Remove one."""
        del self._by_id[sign_in.id]
        if sign_in.account is not None:
            owned = self._owned[sign_in.account]
            del owned[sign_in.id]
            if not owned:
                del self._owned[sign_in.account]
