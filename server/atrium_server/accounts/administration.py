"""What those do who look after others' accounts: make them, give and take roles, reset passwords.

Nobody gives or takes more than they have: a role can be granted, and revoked, only by somebody
whose own permissions, in the same world, include all of the role's. The first one who may grant
is made by whoever can reach the database (`atrium account`).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from typing import Final

from atrium_server.accounts.errors import NotAcceptable, NotFound, NotPermitted, Taken
from atrium_server.accounts.handles import RESERVED, clean_handle, fold, is_reserved
from atrium_server.accounts.passwords import Passwords, check_new
from atrium_server.accounts.person import Ended, News, Person, Regranted
from atrium_server.accounts.roles import GRANT, MEMBER
from atrium_server.persistence.accounts import (
    ACTOR_CLI,
    DELETING,
    AccountRow,
    AccountStore,
    GrantRow,
    NewAccount,
)
from atrium_server.persistence.errors import Refused
from atrium_server.persistence.schema import uuid7

TAKEN: Final = "This handle, or one that looks like it, is taken: choose another one."
SHOWN_CHARS_MAX: Final = 64
"""How much of a name that was asked for is repeated in an answer."""


def new_handle(handle: str, *, is_staff: bool = False) -> tuple[str, str]:
    """A handle as it is shown, and its key. Raises NotAcceptable."""
    shown = clean_handle(handle)
    if is_reserved(shown) and not is_staff:
        raise NotAcceptable(RESERVED)
    return shown, fold(shown)


async def new_account(
    store: AccountStore,
    passwords: Passwords,
    handle: str,
    password: str,
    roles: Sequence[str] | None = None,
) -> NewAccount:
    """Make an account; `roles` are given by who runs the server, who may have reserved handles.

    Raises NotAcceptable, Taken, TooOften, StoreError.
    """
    shown, key = new_handle(handle, is_staff=roles is not None)
    check_new(password, shown)
    if await store.account_by_key(key) is not None:
        raise Taken(TAKEN)  # before the work of hashing
    granted = tuple(dict.fromkeys((MEMBER, *(roles or ()))))
    new = NewAccount(uuid7(time.time()), shown, key, await passwords.hash(password), granted)
    actor = str(new.id) if roles is None else ACTOR_CLI
    if not await store.create_account(new, actor):
        raise Taken(TAKEN)
    return new


class Administration:
    """Accounts of others. Every method may raise StoreError."""

    def __init__(
        self, store: AccountStore, passwords: Passwords, tell: Callable[[News], None]
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._tell = tell

    async def find(self, handle: str) -> AccountRow:
        """The account of a handle. Raises NotFound."""
        row = await self._store.account_by_key(fold(handle))
        if row is None or row.status == DELETING:
            raise NotFound(f"There is no account {handle[:SHOWN_CHARS_MAX]!r}.")
        return row

    async def find_by_id(self, account: uuid.UUID) -> AccountRow:
        """An account by its id, one that is being deleted included. Raises NotFound."""
        row = await self._store.account(account)
        if row is None:
            raise NotFound("There is no account of this id (any more).")
        return row

    async def accounts(self, after_key: str, rows_max: int) -> list[AccountRow]:
        """Accounts by their keys, those after `after_key`."""
        return await self._store.accounts(after_key, rows_max)

    async def grants(self, account: uuid.UUID) -> list[GrantRow]:
        """The roles that somebody has."""
        return await self._store.grants(account)

    async def create(self, handle: str, password: str, roles: Sequence[str]) -> uuid.UUID:
        """Make an account. Raises NotAcceptable, Taken, NotFound (a role)."""
        for role in roles:
            await self._check(None, role)
        try:
            made = await new_account(self._store, self._passwords, handle, password, roles)
        except Refused as error:
            raise NotFound(str(error)) from error
        return made.id

    async def reset_password(self, account: uuid.UUID, handle: str, password: str) -> None:
        """Set another password and end all sign-ins. Raises NotAcceptable, NotFound."""
        check_new(password, handle)
        renewed = await self._passwords.hash(password)
        if not await self._store.set_password(account, renewed, None, ACTOR_CLI):
            raise NotFound("There is no such account any more.")
        self._tell(Ended(account, None))

    async def grant(self, by: Person | None, handle: str, role: str, world: str) -> bool:
        """Give a role in a world, or ("") in all; False when it was given before.

        Args:
            by: who gives it, with the permissions they have in that world; None is who runs
                the server.

        Raises:
            NotPermitted: they may not give this role.
            NotFound: there is no such account, role or world.
        """
        row = await self.find(handle)
        await self._check(by, role)
        try:
            given = await self._store.grant(row.id, role, world, _actor(by))
        except Refused as error:
            raise NotFound(str(error)) from error
        self._tell(Regranted(row.id))
        return given

    async def revoke(self, by: Person | None, handle: str, role: str, world: str) -> None:
        """Take a role. Raises NotPermitted, NotFound; see `grant`."""
        row = await self.find(handle)
        await self._check(by, role)
        if not await self._store.revoke(row.id, role, world, _actor(by)):
            raise NotFound("They do not have this role there.")
        self._tell(Regranted(row.id))

    async def _check(self, by: Person | None, role: str) -> None:
        permissions = {each.name: each.permissions for each in await self._store.roles()}
        if role not in permissions:
            raise NotFound(
                f"There is no role {role[:SHOWN_CHARS_MAX]!r}; there are"
                f" {', '.join(permissions)}."
            )
        if by is not None and not (by.may(GRANT) and permissions[role] <= by.permissions):
            raise NotPermitted(
                "You can give and take only roles that allow no more than you may do yourself."
            )


def _actor(by: Person | None) -> str:
    return ACTOR_CLI if by is None else str(by.account)
