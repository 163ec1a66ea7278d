"""What accounts need of a store, and the rows that pass between them. PURE.

Two things keep `AccountStore`: `sql_accounts.SqlAccounts` (Postgres) and
`memory_accounts.MemoryAccounts` (for --ephemeral). The rules (what a handle or a password may
be, who may grant what, how often one may guess) are `atrium_server.accounts`' and not here.

Every change writes its row of the audit log in the same transaction. Such a row names accounts,
sign-ins and roles by their ids and words, and holds nothing that a person wrote, no address and
no hash: so it can stay when the person is gone. `actor` is who did it: the id of an account, or
`server`, `guest` or `cli`.

Time is the store's own: lengths go in, moments come out, and whether something has run out is
decided where it is kept.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

import msgspec

ACTOR_SERVER: Final = "server"
ACTOR_GUEST: Final = "guest"
ACTOR_CLI: Final = "cli"

ACTIVE: Final = "active"
SUSPENDED: Final = "suspended"
DELETING: Final = "deleting"

NOBODY: Final = "(deleted)"
"""The name that is left on what somebody wrote who has deleted their account."""
PAGE_ROWS_MAX: Final = 500
"""Rows that one step of an export or a deletion looks at."""


class AccountRow(msgspec.Struct, frozen=True):
    """An account as it is kept."""

    id: uuid.UUID
    handle: str
    handle_key: str
    password_hash: str
    status: str
    created_at: datetime
    password_changed_at: datetime
    last_seen_at: datetime | None = None
    prefs: bytes = b"{}"
    """A JSON object."""

    def __repr__(self) -> str:
        return f"AccountRow({self.id})"


class NewAccount(msgspec.Struct, frozen=True):
    """What an account begins with. `roles` are granted in all worlds."""

    id: uuid.UUID
    handle: str
    handle_key: str
    password_hash: str
    roles: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"NewAccount({self.id})"


class NewSignIn(msgspec.Struct, frozen=True):
    """A sign-in of an account, or (account None) of a guest.

    `password_hash` is the one that was shown to match: if it is another one by now, the sign-in
    is not made.
    """

    id: uuid.UUID
    token_hash: bytes
    lasts_s: float
    account: uuid.UUID | None = None
    password_hash: str = ""
    guest_name: str | None = None
    address: str | None = None
    device: str | None = None

    def __repr__(self) -> str:
        return f"NewSignIn({self.id})"


class SignInRow(msgspec.Struct, frozen=True):
    """A sign-in that holds, as its owner may see it."""

    id: uuid.UUID
    created_at: datetime
    expires_at: datetime
    last_seen_at: datetime
    address: str
    device: str


class Ask(NamedTuple):
    """A sign-in that is asked about, by who shows a token of it (its hash) or (None) by ourselves.

    `world` is the one whose grants count beside those for all worlds; "" is none.
    """

    sign_in: uuid.UUID
    token_hash: bytes | None
    world: str


class Exchange(NamedTuple):
    """A token for a fresh one, both by their hashes.

    `lasts_s` counts from now, `lasts_s_max` from when the sign-in was made.
    """

    sign_in: uuid.UUID
    old_hash: bytes
    new_hash: bytes
    lasts_s: float
    lasts_s_max: float


class Held(msgspec.Struct, frozen=True):
    """What a sign-in stands for.

    Attributes:
        is_spent: the token is not the present one of its sign-in, so it was copied.
        permissions: by grants for all worlds and for the one that was asked about.
    """

    sign_in: uuid.UUID
    account: uuid.UUID | None
    name: str
    status: str
    expires_in_s: float
    is_spent: bool
    permissions: frozenset[str]


class Rotated(msgspec.Struct, frozen=True):
    """A token was exchanged; or (`is_copied`) it had been before, and the sign-in was ended."""

    sign_in: uuid.UUID
    account: uuid.UUID | None
    is_copied: bool
    expires_in_s: float = 0.0


class RoleRow(msgspec.Struct, frozen=True):
    """A role by its name."""

    name: str
    permissions: frozenset[str]


class GrantRow(msgspec.Struct, frozen=True):
    """A role that somebody has in one world, or (world "") in all."""

    role: str
    world: str
    granted_at: datetime


class ExportKind(StrEnum):
    """What is kept about a person, in the order in which it is exported."""

    SIGN_INS = "sign_ins"
    GRANTS = "grants"
    SESSIONS = "sessions"
    POSES = "poses"
    INVENTORY = "inventory"
    CHAT_SENT = "chat_sent"
    CHAT_RECEIVED = "chat_received"
    EDITS = "edits"
    PROPS = "props"
    ASSETS = "assets"
    RELATIONS = "relations"
    MEMORIES = "memories_of_characters"
    BANS = "bans"
    CASES = "cases"
    ACTIONS = "actions_of_moderators"
    KEYS = "keys_of_apps"
    FEEDBACK = "feedback"
    AUDIT = "audit"


class ExportPage(msgspec.Struct, frozen=True):
    """JSON objects, one a row, and where the next page begins (None: there is none)."""

    rows: tuple[bytes, ...]
    after: str | None


class AccountStore(Protocol):
    """All that accounts ask of a store. Every call may raise Unavailable."""

    async def seed_roles(self, roles: Mapping[str, frozenset[str]]) -> None:
        """Let there be these roles with these permissions, and leave others alone."""
        ...

    async def roles(self) -> list[RoleRow]:
        """All roles."""
        ...

    # --- accounts ------------------------------------------------------------------------

    async def create_account(self, new: NewAccount, actor: str) -> bool:
        """Make an account; False when its handle, folded, is taken."""
        ...

    async def account(self, account: uuid.UUID) -> AccountRow | None: ...

    async def account_by_key(self, handle_key: str) -> AccountRow | None: ...

    async def accounts(self, after_key: str, rows_max: int) -> list[AccountRow]:
        """Accounts by their folded handles, those after `after_key`."""
        ...

    async def knows_address(self, account: uuid.UUID, address: str) -> bool:
        """Whether somebody who knew the password came from there lately."""
        ...

    async def rename(self, account: uuid.UUID, handle: str, handle_key: str) -> bool:
        """Change the handle; False when it is taken."""
        ...

    async def set_prefs(self, account: uuid.UUID, prefs: bytes) -> None:
        """Keep a JSON object. Raises Refused when the database does not take it."""
        ...

    async def set_password(
        self, account: uuid.UUID, password_hash: str, keep: uuid.UUID | None, actor: str
    ) -> bool:
        """Change the password and end all sign-ins but `keep`; False for no such account."""
        ...

    async def rehash(self, account: uuid.UUID, old_hash: str, new_hash: str) -> None:
        """The same password hashed anew, unless it was changed meanwhile."""
        ...

    # --- sign-ins ------------------------------------------------------------------------

    async def sign_in(self, new: NewSignIn, newest_max: int) -> bool:
        """Keep a sign-in, and of the account's others the newest.

        False when the account is not active, or has another password now.
        """
        ...

    async def held(self, asks: Sequence[Ask]) -> list[Held | None]:
        """What each sign-in stands for in a world; None where it holds no more."""
        ...

    async def rotate(self, exchange: Exchange) -> Rotated | None:
        """Exchange a token, or end the sign-in whose present one it is not; None: it held not."""
        ...

    async def end_sign_in(self, sign_in: uuid.UUID, actor: str) -> bool:
        """Let a sign-in hold no longer; False when it had ended before."""
        ...

    async def end_sign_ins(self, account: uuid.UUID, actor: str) -> int:
        """End all of an account; returns how many."""
        ...

    async def sign_ins(self, account: uuid.UUID) -> list[SignInRow]:
        """Those that hold, the newest first."""
        ...

    async def purge(self, kept_s: float, rows_max: int) -> int:
        """Forget sign-ins that ended more than `kept_s` ago; returns how many."""
        ...

    # --- grants --------------------------------------------------------------------------

    async def grants(self, account: uuid.UUID) -> list[GrantRow]: ...

    async def grant(self, account: uuid.UUID, role: str, world: str, actor: str) -> bool:
        """Give a role; False when it was given before.

        Raises Refused when there is no such account, role or world.
        """
        ...

    async def revoke(self, account: uuid.UUID, role: str, world: str, actor: str) -> bool:
        """Take a role; False when it was not given."""
        ...

    # --- leaving -------------------------------------------------------------------------

    async def export_page(
        self, account: uuid.UUID, kind: ExportKind, after: str | None
    ) -> ExportPage:
        """At most PAGE_ROWS_MAX of what is kept about somebody."""
        ...

    async def begin_deletion(self, account: uuid.UUID, actor: str) -> bool:
        """Take the name and all sign-ins at once; False when there is no such account."""
        ...

    async def erase_some(self, account: uuid.UUID) -> bool:
        """Take the name off some of what others may keep; False when nothing is left to do."""
        ...

    async def finish_deletion(self, account: uuid.UUID) -> None:
        """Remove the row, and with it what is only the person's."""
        ...

    async def deleting(self, rows_max: int) -> list[uuid.UUID]:
        """Accounts whose deletion was begun and not finished."""
        ...
