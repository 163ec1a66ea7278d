"""What tokens stand for: many asked in one question, and believed for a moment.

Theory of operation
-------------------
A thousand people may come within a second, after a restart for example. Who asks while a question
is under way is put together with all others who do, and the next question has them all: the
first to get the lock asks for everybody, and the others find their answer there. Whoever is
cancelled meanwhile takes only their own question away.

An answer is kept for IDENTITIES_KEPT_S, so that a token that is used again and again is seldom
asked for. When anything ends or changes in this process, all answers are forgotten, and what was
asked before that moment is not kept when it arrives: nobody is let in by what was true before.
"""

from __future__ import annotations

from dataclasses import dataclass

import trio

from atrium_server.persistence.accounts import AccountStore, Held
from atrium_server.persistence.errors import StoreError
from atrium_shared.limits import IDENTITIES_ASKED_MAX, IDENTITIES_KEPT_MAX, IDENTITIES_KEPT_S

Key = tuple[bytes, str]


@dataclass(eq=False, slots=True)
class _Ask:
    key: Key
    is_answered: bool = False
    held: Held | None = None
    error: StoreError | None = None


class Identities:
    """Tokens by their hashes, through a small memory."""

    def __init__(self, store: AccountStore) -> None:
        self._store = store
        self._kept: dict[Key, tuple[Held, float]] = {}
        self._waiting: dict[_Ask, None] = {}
        self._asking = trio.Lock()
        self._changes = 0
        self.questions = 0

    def forget(self) -> None:
        """Something ended or changed: ask anew."""
        self._changes += 1
        self._kept.clear()

    async def find(self, token_hash: bytes, world: str) -> Held | None:
        """What a token stands for in a world. Raises StoreError."""
        key = (token_hash, world)
        kept = self._kept.get(key)
        if kept is not None and trio.current_time() < kept[1]:
            await trio.lowlevel.checkpoint()
            return kept[0]
        ask = _Ask(key)
        self._waiting[ask] = None
        try:
            async with self._asking:
                if not ask.is_answered:
                    await self._ask_for_all(ask)
        finally:
            self._waiting.pop(ask, None)
        if ask.error is not None:
            raise ask.error
        return ask.held

    async def _ask_for_all(self, own: _Ask) -> None:
        """Answer those who wait, the caller among them."""
        asks = [own, *(ask for ask in self._waiting if ask is not own)][:IDENTITIES_ASKED_MAX]
        changes = self._changes
        self.questions += 1
        try:
            answers = await self._store.held([ask.key for ask in asks])
        except StoreError as error:
            for ask in asks:
                # One of its own for each: an exception that is raised twice grows each time.
                ask.is_answered, ask.error = True, type(error)(str(error))
                self._waiting.pop(ask, None)
            return
        for ask, held in zip(asks, answers, strict=True):
            ask.is_answered, ask.held = True, held
            self._waiting.pop(ask, None)
            if held is not None and not held.is_spent and changes == self._changes:
                self._keep(ask.key, held)

    def _keep(self, key: Key, held: Held) -> None:
        self._kept.pop(key, None)
        while len(self._kept) >= IDENTITIES_KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        kept_s = min(IDENTITIES_KEPT_S, held.expires_in_s)
        self._kept[key] = (held, trio.current_time() + kept_s)
