"""`Accounts`: sign up, sign in, be known by a token, sign out, leave.

Theory of operation
-------------------
::

    HTTP routes, the hello, the command line ─► Accounts ─► AccountStore (Postgres or memory)
                                                   │
         handles, passwords, tokens, rates, identities, roles, leaving, administration

Who signs in gets one token, which is good everywhere until it runs out or is exchanged for a
fresh one (`refresh`). Whoever shows a token that was exchanged has copied it, or was copied from:
the whole sign-in ends, and both must sign in again, however often either has exchanged it since
(`tokens` says how that is known). Guests get tokens of the same kind, without
an account behind them.

Whatever ends here ends at once in this process: what tokens stand for is forgotten, and `told`
says so to those who hold sessions; `changes` counts it for who was just asking. Other processes
notice within IDENTITIES_KEPT_S, and ask about the sessions that they hold by `look_after`.

Sentences never tell whether it was the handle or the password that was wrong. That a handle is
taken cannot be hidden from who wants to sign up with it; so that is limited by address.

Every method may raise StoreError, and those that ask something of a person AccountError.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

import msgspec
import trio

from atrium_server.accounts import leaving, tokens
from atrium_server.accounts.administration import TAKEN, Administration, new_account, new_handle
from atrium_server.accounts.errors import (
    NotAcceptable,
    NotPermitted,
    NotSignedIn,
    Taken,
    TooOften,
)
from atrium_server.accounts.handles import RESERVED, fold, is_of_staff
from atrium_server.accounts.identities import Identities
from atrium_server.accounts.names import Names, Refusal, may_all
from atrium_server.accounts.passwords import Passwords, check_new
from atrium_server.accounts.person import Ended, Identity, News, Person
from atrium_server.accounts.rates import Guess, Guesses
from atrium_server.accounts.roles import BUILT_IN, OF_GUESTS
from atrium_server.accounts.rules import Origin, Prefs, Rates, clean_prefs, clean_world
from atrium_server.accounts.tokens import SignedIn
from atrium_server.persistence.accounts import (
    ACTIVE,
    ACTOR_GUEST,
    ACTOR_SERVER,
    DELETING,
    AccountRow,
    AccountStore,
    Ask,
    Exchange,
    Held,
    NewSignIn,
    SignInRow,
)
from atrium_server.persistence.errors import StoreError
from atrium_server.world.text import clean_name
from atrium_shared.errors import ProtocolError
from atrium_shared.limits import (
    GUEST_S_MAX,
    GUEST_WHOLE_S_MAX,
    SIGN_IN_KEPT_S,
    SIGN_IN_S_MAX,
    SIGN_IN_WHOLE_S_MAX,
    SIGN_INS_LOOKED_AFTER_MAX,
    SIGN_INS_PER_ACCOUNT_MAX,
)

SWEEP_S: Final = 600.0
SWEPT_ROWS_MAX: Final = 1_000
WRONG: Final = "The handle or the password is wrong."
OVER: Final = "You are not signed in any more: sign in again."
COPIED: Final = (
    "This token was exchanged for another one before. Somebody may have copied it, so this sign-in"
    " has ended: sign in again, and change the password if that was not you."
)
SUSPENDED: Final = "This account is suspended: ask who runs this server."
_NO_ACCOUNT: Final = uuid.UUID(int=0)

_log = logging.getLogger("atrium.accounts")


class Accounts:
    """What the server knows of people. `open` it, and let `run` look after it.

    Args:
        told: called with what ends or changes, in trio's thread; it must not raise.
    """

    def __init__(
        self,
        store: AccountStore,
        passwords: Passwords | None = None,
        told: Callable[[News], None] = lambda news: None,
        refusal: Refusal = may_all,
    ) -> None:
        self._store = store
        self._passwords = passwords or Passwords()
        self._told = told
        self._identities = Identities(store)
        self._rates = Rates()
        self.names = Names(store, self._rates, refusal)
        self._guesses = Guesses()
        self._changes = 0
        self.administration = Administration(store, self._passwords, self._tell)
        """What those do who look after others' accounts."""

    async def open(self) -> None:
        """Write the built-in roles; call once before anything else."""
        await self._store.seed_roles(BUILT_IN)
        await self._passwords.prepare()

    async def run(self) -> None:
        """Forget what is long over, and finish deletions that were left in the middle; for ever."""
        while True:
            try:
                await self.sweep()
            except StoreError as error:
                _log.warning("accounts were not swept: %s", error)
            await trio.sleep(SWEEP_S)

    async def sweep(self) -> None:
        """One round of `run`."""
        while await self._store.purge(SIGN_IN_KEPT_S, SWEPT_ROWS_MAX) == SWEPT_ROWS_MAX:
            pass
        await leaving.finish_begun(self._store)

    @property
    def changes(self) -> int:
        """Raised with everything that `told` is told: has anything ended while I asked?"""
        return self._changes

    # --- who it is -----------------------------------------------------------------------

    async def identify(self, token: str, world: str = "") -> Identity:
        """Who shows this token, and what they may do in a world (by its name) or in all.

        Raises:
            NotSignedIn: the token is none, or holds no more.
            NotPermitted: the account is suspended.
        """
        held = await self._held(tokens.read(token), clean_world(world))
        if held.status != ACTIVE:
            raise NotPermitted(SUSPENDED)
        return Identity(held.account, held.name, _words(held), held.sign_in)

    async def look_after(
        self, asks: Sequence[tuple[uuid.UUID, str]]
    ) -> list[frozenset[str] | None]:
        """What sign-ins, each by its id and a world, allow there; None where one holds no more.

        One question for up to SIGN_INS_LOOKED_AFTER_MAX, past all that is remembered here, so
        that what another process has changed is seen. Raises StoreError.
        """
        told: list[frozenset[str] | None] = []
        for start in range(0, len(asks), SIGN_INS_LOOKED_AFTER_MAX):
            some = asks[start : start + SIGN_INS_LOOKED_AFTER_MAX]
            found = await self._store.held([
                Ask(one, None, clean_world(world)) for one, world in some
            ])
            told += [None if held is None or held.status != ACTIVE else _words(held)
                     for held in found]
        return told

    async def is_taken_name(self, name: str, origin: Origin) -> bool:
        """Whether an account has this name, or one that looks like it: no guest may have it then.

        Raises TooOften, also when names of accounts were tried too often from there; StoreError.
        """
        return await self.names.is_taken(name, origin.place)

    # --- coming --------------------------------------------------------------------------

    async def sign_up(self, handle: str, password: str, origin: Origin) -> SignedIn:
        """Make an account and sign in. Raises NotAcceptable, Taken, TooOften."""
        self._rates.sign_up(origin.place, trio.current_time())
        await self.names.check(handle)
        with self._passwords.share(origin.place):
            made = await new_account(self._store, self._passwords, handle, password)
        self.names.forget()
        row = NewSignIn(
            _NO_ACCOUNT, b"", SIGN_IN_S_MAX, account=made.id, password_hash=made.password_hash
        )
        return await self._signed_in(row, made.handle, origin)

    async def sign_in(self, handle: str, password: str, origin: Origin) -> SignedIn:
        """Sign in with a password. Raises NotSignedIn, NotPermitted, TooOften."""
        self._rates.sign_in(origin.place, trio.current_time())
        key = fold(handle)
        row = await self._store.account_by_key(key)
        if row is not None and row.status == DELETING:
            row = None
        await self._check_password(key, row, password, origin)
        if row is None:
            raise NotSignedIn(WRONG)
        if row.status != ACTIVE:
            raise NotPermitted(SUSPENDED)
        made = NewSignIn(
            _NO_ACCOUNT, b"", SIGN_IN_S_MAX, account=row.id, password_hash=row.password_hash
        )
        done = await self._signed_in(made, row.handle, origin)
        if self._passwords.is_outdated(row.password_hash):
            renewed = await self._passwords.hash(password)
            await self._store.rehash(row.id, row.password_hash, renewed)
        return done

    async def guest(self, name: str, origin: Origin) -> SignedIn:
        """Sign in without an account. Raises NotAcceptable, Taken, TooOften."""
        self._rates.sign_in(origin.place, trio.current_time())
        try:
            shown = clean_name(name)
        except ProtocolError as error:
            raise NotAcceptable(f"This cannot be a name: {error}.") from None
        if is_of_staff(shown):
            raise NotAcceptable(RESERVED)
        await self.names.check(shown)
        if await self.is_taken_name(shown, origin):
            raise Taken("Somebody with an account has this name: choose another one.")
        made = NewSignIn(_NO_ACCOUNT, b"", GUEST_S_MAX, guest_name=shown)
        return await self._signed_in(made, shown, origin)

    async def refresh(self, token: str) -> SignedIn:
        """Exchange a token for a fresh one. Raises NotSignedIn, TooOften."""
        old = tokens.read(token)
        held = await self._held(old, "")  # a copy is found before it is counted
        self._rates.refresh(str(held.sign_in), trio.current_time())
        fresh = tokens.next_token(token)
        new = tokens.read(fresh)
        assert old is not None
        assert new is not None
        lasts = (GUEST_S_MAX, GUEST_WHOLE_S_MAX) if tokens.is_of_guest(token) else (
            SIGN_IN_S_MAX, SIGN_IN_WHOLE_S_MAX)
        try:
            done = await self._store.rotate(
                Exchange(old.sign_in, old.token_hash, new.token_hash, *lasts)
            )
        finally:
            self._identities.forget(old.sign_in)
        if done is None:
            raise NotSignedIn(OVER)
        if done.is_copied:
            self._tell(Ended(done.account, done.sign_in))
            raise NotSignedIn(COPIED)
        held = await self._held(new, "")  # somebody may have signed out everywhere by now
        return SignedIn(fresh, done.expires_in_s, done.account, held.name, done.sign_in)

    # --- going ---------------------------------------------------------------------------

    async def sign_out(self, who: Identity) -> None:
        """End the sign-in that was shown."""
        await self._store.end_sign_in(who.sign_in, _actor(who))
        self._tell(Ended(who.account, who.sign_in))

    async def sign_out_everywhere(self, who: Person) -> int:
        """End all sign-ins of an account; returns how many."""
        ended = await self._store.end_sign_ins(who.account, str(who.account))
        self._tell(Ended(who.account, None))
        return ended

    async def delete_me(self, who: Person, password: str, origin: Origin) -> None:
        """End the account for good; what stays of it has no name. Raises NotPermitted, TooOften."""
        self._rates.confirm(str(who.account), trio.current_time())
        await self._confirm(who, password, origin)
        if await self._store.begin_deletion(who.account, str(who.account)):
            self._tell(Ended(who.account, None, is_deleted=True))
            await leaving.finish(self._store, who.account)

    # --- one's own -----------------------------------------------------------------------

    async def account(self, who: Person) -> AccountRow:
        """What is kept of the account itself. Raises NotSignedIn when it has just gone."""
        row = await self._store.account(who.account)
        if row is None or row.status == DELETING:
            raise NotSignedIn(OVER)
        return row

    async def change(self, who: Person, handle: str | None, prefs: Prefs | None) -> None:
        """Change the handle, the preferences (all of them) or both; None leaves what is.

        Raises NotAcceptable and Taken before anything has changed.
        """
        kept = None if prefs is None else clean_prefs(prefs)
        if kept is not None:
            self._rates.prefs(str(who.account), trio.current_time())
        if handle is not None:
            shown, key = new_handle(handle)
            self._rates.sign_up(str(who.account), trio.current_time())
            await self.names.check(shown)
            if not await self._store.rename(who.account, shown, key):
                raise Taken(TAKEN)
            self._identities.forget()
            self.names.forget()
        if kept is not None:
            await self._store.set_prefs(who.account, kept)

    async def change_password(
        self, who: Person, keep: uuid.UUID, passwords: tuple[str, str], origin: Origin
    ) -> None:
        """From the old password to the new one; all sign-ins but `keep` end.

        Raises NotPermitted (the old one is wrong), NotAcceptable, TooOften.
        """
        old, new = passwords
        check_new(new, who.handle)
        self._rates.confirm(str(who.account), trio.current_time())
        await self._confirm(who, old, origin)
        with self._passwords.share(origin.place):
            renewed = await self._passwords.hash(new)
        await self._store.set_password(who.account, renewed, keep, str(who.account))
        self._tell(Ended(who.account, None, but=keep))

    async def sign_ins(self, who: Person) -> list[SignInRow]:
        """The sign-ins that hold, the newest first."""
        return await self._store.sign_ins(who.account)

    async def export_me(self, who: Person) -> AsyncGenerator[bytes]:
        """All that is kept about the person, as pieces of one JSON object. Raises TooOften."""
        self._rates.export(str(who.account), trio.current_time())
        return leaving.export(self._store, await self.account(who))

    # --- inside --------------------------------------------------------------------------

    def _tell(self, news: News) -> None:
        self._changes += 1
        self._identities.forget()
        self.names.forget()
        self._told(news)

    async def _held(self, shown: tokens.Shown | None, world: str) -> Held:
        """What a token stands for; a copied one ends its sign-in. Raises NotSignedIn."""
        held = None if shown is None else await self._identities.find(shown, world)
        if held is None:
            raise NotSignedIn(OVER)
        if held.is_spent:
            await self._store.end_sign_in(held.sign_in, ACTOR_SERVER)
            self._tell(Ended(held.account, held.sign_in))
            raise NotSignedIn(COPIED)
        return held

    async def _signed_in(self, row: NewSignIn, name: str, origin: Origin) -> SignedIn:
        """Draw a token and keep the sign-in, whose id the token says."""
        token = tokens.new_token(time.time(), is_guest=row.account is None)
        shown = tokens.read(token)
        assert shown is not None
        row = msgspec.structs.replace(
            row, id=shown.sign_in, token_hash=shown.token_hash,
            address=origin.place or None, device=origin.told or None,
        )
        if not await self._store.sign_in(row, SIGN_INS_PER_ACCOUNT_MAX):
            raise NotSignedIn(WRONG)  # the password was changed in this moment
        return SignedIn(token, row.lasts_s, row.account, name, row.id)

    async def _check_password(
        self, key: str, row: AccountRow | None, password: str, origin: Origin
    ) -> None:
        """The same steps, and as long, whether there is such an account or not."""
        account = _NO_ACCOUNT if row is None else row.id
        is_known = bool(origin.place) and await self._store.knows_address(account, origin.place)
        guess = Guess(key, origin.place, is_known)
        self._guesses.begin(guess, trio.current_time())
        try:
            with self._passwords.share(origin.place):
                is_right = await self._passwords.matches(row and row.password_hash, password)
        except TooOften:
            self._guesses.was_not_checked(guess, trio.current_time())
            raise
        if not is_right:
            raise NotSignedIn(WRONG)
        self._guesses.was_right(guess, trio.current_time())

    async def _confirm(self, who: Person, password: str, origin: Origin) -> None:
        """Ask for the password of somebody who is signed in."""
        row = await self.account(who)
        try:
            await self._check_password(row.handle_key, row, password, origin)
        except NotSignedIn:
            raise NotPermitted("The password is wrong.") from None


def _words(held: Held) -> frozenset[str]:
    return OF_GUESTS if held.account is None else held.permissions


def _actor(who: Identity) -> str:
    return ACTOR_GUEST if who.account is None else str(who.account)
