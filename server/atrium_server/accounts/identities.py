"""What tokens stand for: many asked in one question, and believed for a moment.

Theory of operation
-------------------
A thousand people may come within a second, after a restart for example. Who asks while a question
is under way is put together with all others who do, and the next question has them all: the
first to get the lock asks for everybody, and the others find their answer there. Whoever is
cancelled meanwhile takes only their own question away. Should the database refuse a question, each
is asked by itself, so that nobody is refused for what somebody else has sent.

An answer is kept for IDENTITIES_KEPT_S, so that a token that is used again and again is seldom
asked for. When anything ends or changes in this process, all answers are forgotten, or those of
one sign-in, and what was asked before that moment is not kept when it arrives: nobody is let in by
what was true before.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import trio

from atrium_server.accounts.tokens import Shown
from atrium_server.persistence.accounts import AccountStore, Ask, Held
from atrium_server.persistence.errors import Refused, StoreError
from atrium_shared.limits import (
    IDENTITIES_ASKED_MAX,
    IDENTITIES_KEPT_MAX,
    IDENTITIES_KEPT_S,
    IDENTITY_WORLDS_KEPT_MAX,
)


@dataclass(eq=False, slots=True)
class _Waiting:
    ask: Ask
    is_answered: bool = False
    held: Held | None = None
    error: StoreError | None = None


class Identities:
    """Tokens through a small memory."""

    def __init__(self, store: AccountStore) -> None:
        self._store = store
        self._kept: dict[uuid.UUID, dict[Ask, tuple[Held, float]]] = {}
        self._waiting: dict[_Waiting, None] = {}
        self._asking = trio.Lock()
        self._changes = 0
        self.questions = 0

    def forget(self, sign_in: uuid.UUID | None = None) -> None:
        """Something ended or changed, of one sign-in or (None) of anybody: ask anew."""
        self._changes += 1
        if sign_in is None:
            self._kept.clear()
        else:
            self._kept.pop(sign_in, None)

    async def find(self, shown: Shown, world: str) -> Held | None:
        """What a token stands for in a world. Raises StoreError."""
        ask = Ask(shown.sign_in, shown.token_hash, world)
        kept = self._kept.get(ask.sign_in, {}).get(ask)
        if kept is not None and trio.current_time() < kept[1]:
            await trio.lowlevel.checkpoint()
            return kept[0]
        own = _Waiting(ask)
        self._waiting[own] = None
        try:
            async with self._asking:
                if not own.is_answered:
                    await self._ask_for_all(own)
        finally:
            self._waiting.pop(own, None)
        if own.error is not None:
            raise own.error
        return own.held

    async def _ask_for_all(self, own: _Waiting) -> None:
        """Answer those who wait, the caller among them."""
        those = [own, *(one for one in self._waiting if one is not own)][:IDENTITIES_ASKED_MAX]
        try:
            await self._ask(those)
        except Refused as error:
            if len(those) == 1:
                _fail(those, error)
            for one in those if len(those) > 1 else ():
                try:
                    await self._ask([one])
                except StoreError as its_error:
                    _fail([one], its_error)
        except StoreError as error:
            _fail(those, error)
        for one in those:
            self._waiting.pop(one, None)

    async def _ask(self, those: Sequence[_Waiting]) -> None:
        changes = self._changes
        self.questions += 1
        answers = await self._store.held([one.ask for one in those])
        for one, held in zip(those, answers, strict=True):
            one.is_answered, one.held = True, held
            if held is not None and not held.is_spent and changes == self._changes:
                self._keep(one.ask, held)

    def _keep(self, ask: Ask, held: Held) -> None:
        own = self._kept.pop(ask.sign_in, {})
        if len(own) >= IDENTITY_WORLDS_KEPT_MAX:
            own.clear()
        while len(self._kept) >= IDENTITIES_KEPT_MAX:
            del self._kept[next(iter(self._kept))]
        kept_s = min(IDENTITIES_KEPT_S, held.expires_in_s)
        own[ask] = (held, trio.current_time() + kept_s)
        self._kept[ask.sign_in] = own


def _fail(those: Sequence[_Waiting], error: StoreError) -> None:
    for one in those:
        # One of its own for each: an exception that is raised twice grows each time.
        one.is_answered, one.error = True, type(error)(str(error))
        one.error.__cause__ = error.__cause__
