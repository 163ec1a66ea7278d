"""Accounts that are forgotten with the process: for --ephemeral, and for tests of what is above.

It keeps the same promises as `sql_accounts` but the one. All is done at once, in trio's thread
and on trio's clock. The number of accounts and of sign-ins is bounded, as nothing else would bound
what strangers can fill the memory with.
"""

from __future__ import annotations

import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import trio

from atrium_server.persistence.accounts import (
    ACTIVE,
    ACTOR_GUEST,
    ACTOR_SERVER,
    DELETING,
    AccountRow,
    Ask,
    Exchange,
    ExportKind,
    ExportPage,
    GrantRow,
    Held,
    NewAccount,
    NewSignIn,
    RoleRow,
    Rotated,
    SignInRow,
)
from atrium_server.persistence.errors import Refused
from atrium_server.persistence.memory_sign_ins import MemorySignIns, SignIn

ACCOUNTS_MAX: Final = 10_000
AUDIT_KEPT_MAX: Final = 10_000


@dataclass(frozen=True, slots=True)
class Told:
    """A row of what would be the audit log."""

    actor: str
    action: str
    account: uuid.UUID | None = None
    data: Mapping[str, object] = field(default_factory=dict[str, object])


class MemoryAccounts:
    """An `accounts.AccountStore` in memory. `worlds` are those that roles can be granted in."""

    def __init__(self, worlds: Sequence[str] = ()) -> None:
        self._worlds = frozenset(worlds)
        self._accounts: dict[uuid.UUID, AccountRow] = {}
        self._keys: dict[str, uuid.UUID] = {}
        self._sign_ins = MemorySignIns()
        self._roles: dict[str, frozenset[str]] = {}
        self._grants: dict[tuple[uuid.UUID, str, str], datetime] = {}
        self._began: tuple[float, float] | None = None
        self.audit: deque[Told] = deque(maxlen=AUDIT_KEPT_MAX)
        self.feedback_of: Callable[[uuid.UUID], Sequence[object]] = lambda account: ()
        """Rows of somebody that another store keeps, for the export."""

    async def seed_roles(self, roles: Mapping[str, frozenset[str]]) -> None:
        await trio.lowlevel.checkpoint()
        changed = [name for name in sorted(roles) if self._roles.get(name) != roles[name]]
        self._roles.update(roles)
        if changed:
            self._tell(ACTOR_SERVER, "role.seed", None, roles=changed)

    async def roles(self) -> list[RoleRow]:
        await trio.lowlevel.checkpoint()
        return [RoleRow(name, self._roles[name]) for name in sorted(self._roles)]

    # --- accounts ------------------------------------------------------------------------

    async def create_account(self, new: NewAccount, actor: str) -> bool:
        await trio.lowlevel.checkpoint()
        if new.handle_key in self._keys:
            return False
        if len(self._accounts) >= ACCOUNTS_MAX:
            raise Refused("This server keeps no more accounts in memory: come in as a guest.")
        for role in new.roles:
            self._check_role(role, "")
        now = self._moment(self._now_s())
        self._accounts[new.id] = AccountRow(
            new.id, new.handle, new.handle_key, new.password_hash, ACTIVE, now, now
        )
        self._keys[new.handle_key] = new.id
        for role in new.roles:
            self._grants[new.id, role, ""] = now
        self._tell(actor or str(new.id), "account.create", new.id, roles=[*new.roles])
        return True

    def knows(self, account: uuid.UUID) -> bool:
        """Whether there is such an account, one that is being deleted not included."""
        row = self._accounts.get(account)
        return row is not None and row.status != DELETING

    async def account(self, account: uuid.UUID) -> AccountRow | None:
        await trio.lowlevel.checkpoint()
        return self._accounts.get(account)

    async def account_by_key(self, handle_key: str) -> AccountRow | None:
        await trio.lowlevel.checkpoint()
        found = self._keys.get(handle_key)
        return None if found is None else self._accounts[found]

    async def accounts(self, after_key: str, rows_max: int) -> list[AccountRow]:
        await trio.lowlevel.checkpoint()
        keys = sorted(key for key in self._keys if key > after_key)[:rows_max]
        return [self._accounts[self._keys[key]] for key in keys]

    async def knows_address(self, account: uuid.UUID, address: str) -> bool:
        await trio.lowlevel.checkpoint()
        return any(each.address == address for each in self._sign_ins.of(account))

    async def rename(self, account: uuid.UUID, handle: str, handle_key: str) -> bool:
        await trio.lowlevel.checkpoint()
        row = self._accounts.get(account)
        if row is None or row.status != ACTIVE:
            return False
        if self._keys.get(handle_key, account) != account:
            return False
        del self._keys[row.handle_key]
        self._keys[handle_key] = account
        self._replace(row, handle=handle, handle_key=handle_key)
        self._tell(str(account), "account.rename", account)
        return True

    async def set_prefs(self, account: uuid.UUID, prefs: bytes) -> None:
        await trio.lowlevel.checkpoint()
        if row := self._accounts.get(account):
            self._replace(row, prefs=prefs)

    async def set_password(
        self, account: uuid.UUID, password_hash: str, keep: uuid.UUID | None, actor: str
    ) -> bool:
        await trio.lowlevel.checkpoint()
        row = self._accounts.get(account)
        if row is None or row.status == DELETING:
            return False
        changed_at = self._moment(self._now_s())
        self._replace(row, password_hash=password_hash, password_changed_at=changed_at)
        self._sign_ins.end_all(account, keep, self._now_s())
        self._tell(actor, "account.password", account)
        return True

    async def rehash(self, account: uuid.UUID, old_hash: str, new_hash: str) -> None:
        await trio.lowlevel.checkpoint()
        row = self._accounts.get(account)
        if row is not None and row.password_hash == old_hash:
            self._replace(row, password_hash=new_hash)
            self._tell(ACTOR_SERVER, "account.rehash", account)

    # --- sign-ins ------------------------------------------------------------------------

    async def sign_in(self, new: NewSignIn, newest_max: int) -> bool:
        await trio.lowlevel.checkpoint()
        now_s = self._now_s()
        name = new.guest_name or ""
        if new.account is not None:
            row = self._accounts.get(new.account)
            if row is None or row.status != ACTIVE or row.password_hash != new.password_hash:
                return False
            name = row.handle
            self._replace(row, last_seen_at=self._moment(now_s))
        self._sign_ins.add(SignIn(
            new.id, new.account, name, new.token_hash, now_s, now_s, now_s + new.lasts_s,
            new.address or "", new.device or "",
        ))
        if new.account is not None:
            for each in self._sign_ins.live(new.account, now_s)[newest_max:]:
                each.ended_s = now_s
        actor = ACTOR_GUEST if new.account is None else str(new.account)
        self._tell(actor, "sign_in", new.account, sign_in=str(new.id))
        return True

    async def held(self, asks: Sequence[Ask]) -> list[Held | None]:
        await trio.lowlevel.checkpoint()
        return [self._held(ask) for ask in asks]

    async def rotate(self, exchange: Exchange) -> Rotated | None:
        await trio.lowlevel.checkpoint()
        now_s = self._now_s()
        found = self._sign_ins.get(exchange.sign_in)
        if found is None or found.over_s <= now_s:
            return None
        if found.token_hash != exchange.old_hash:
            found.ended_s = now_s
            self._tell(ACTOR_SERVER, "sign_in.copied", found.account, sign_in=str(found.id))
            return Rotated(found.id, found.account, True)
        if found.created_s + exchange.lasts_s_max <= now_s:
            return None
        found.token_hash, found.seen_s = exchange.new_hash, now_s
        found.expires_s = min(now_s + exchange.lasts_s, found.created_s + exchange.lasts_s_max)
        self._tell(ACTOR_SERVER, "sign_in.refresh", found.account, sign_in=str(found.id))
        return Rotated(found.id, found.account, False, found.expires_s - now_s)

    async def end_sign_in(self, sign_in: uuid.UUID, actor: str) -> bool:
        await trio.lowlevel.checkpoint()
        found = self._sign_ins.get(sign_in)
        if found is None or found.ended_s is not None:
            return False
        found.ended_s = self._now_s()
        self._tell(actor, "sign_in.end", None, sign_in=str(sign_in))
        return True

    async def end_sign_ins(self, account: uuid.UUID, actor: str) -> int:
        await trio.lowlevel.checkpoint()
        ended = self._sign_ins.end_all(account, None, self._now_s())
        if ended:
            self._tell(actor, "sign_in.end_all", account)
        return ended

    async def sign_ins(self, account: uuid.UUID) -> list[SignInRow]:
        await trio.lowlevel.checkpoint()
        return [
            SignInRow(
                each.id, self._moment(each.created_s), self._moment(each.expires_s),
                self._moment(each.seen_s), each.address, each.device,
            )
            for each in self._sign_ins.live(account, self._now_s())
        ]

    async def purge(self, kept_s: float, rows_max: int) -> int:
        await trio.lowlevel.checkpoint()
        gone = self._sign_ins.purge(self._now_s() - kept_s, rows_max)
        if gone:
            self._tell(ACTOR_SERVER, "sign_in.purge")
        return gone

    # --- grants --------------------------------------------------------------------------

    async def grants(self, account: uuid.UUID) -> list[GrantRow]:
        await trio.lowlevel.checkpoint()
        return [GrantRow(role, world, self._grants[key]) for key in sorted(self._grants)
                for owner, role, world in [key] if owner == account]

    async def grant(self, account: uuid.UUID, role: str, world: str, actor: str) -> bool:
        await trio.lowlevel.checkpoint()
        row = self._accounts.get(account)
        if row is None or row.status == DELETING:
            raise Refused("There is no such account.")
        self._check_role(role, world)
        if (account, role, world) in self._grants:
            return False
        self._grants[account, role, world] = self._moment(self._now_s())
        self._tell(actor, "role.grant", account, role=role, world=world)
        return True

    async def revoke(self, account: uuid.UUID, role: str, world: str, actor: str) -> bool:
        await trio.lowlevel.checkpoint()
        if self._grants.pop((account, role, world), None) is None:
            return False
        self._tell(actor, "role.revoke", account, role=role, world=world)
        return True

    # --- leaving -------------------------------------------------------------------------

    async def export_page(
        self, account: uuid.UUID, kind: ExportKind, after: str | None
    ) -> ExportPage:
        rows: Sequence[object] = ()
        if kind is ExportKind.SIGN_INS:
            rows = await self.sign_ins(account)
        elif kind is ExportKind.GRANTS:
            rows = await self.grants(account)
        elif kind is ExportKind.FEEDBACK:
            rows = self.feedback_of(account)
        return ExportPage(tuple(msgspec.json.encode(row) for row in rows), None)

    async def begin_deletion(self, account: uuid.UUID, actor: str) -> bool:
        await trio.lowlevel.checkpoint()
        row = self._accounts.get(account)
        if row is None or row.status == DELETING:
            return False
        del self._keys[row.handle_key]
        mark = f"deleted-{account.hex}"
        self._keys[mark] = account
        self._replace(row, status=DELETING, handle=mark, handle_key=mark, password_hash="",
                      prefs=b"{}", last_seen_at=None)
        self._sign_ins.end_all(account, None, self._now_s())
        self._tell(actor, "account.delete", account)
        return True

    async def erase_some(self, account: uuid.UUID) -> bool:
        await trio.lowlevel.checkpoint()
        return False

    async def finish_deletion(self, account: uuid.UUID) -> None:
        await trio.lowlevel.checkpoint()
        row = self._accounts.get(account)
        if row is None or row.status != DELETING:
            return
        del self._accounts[account], self._keys[row.handle_key]
        for key in [key for key in self._grants if key[0] == account]:
            del self._grants[key]
        for each in self._sign_ins.of(account):
            self._sign_ins.forget(each)
        self._tell(ACTOR_SERVER, "account.deleted", account)

    async def deleting(self, rows_max: int) -> list[uuid.UUID]:
        await trio.lowlevel.checkpoint()
        begun = [row.id for row in self._accounts.values() if row.status == DELETING]
        return begun[:rows_max]

    # --- inside --------------------------------------------------------------------------

    def _now_s(self) -> float:
        """Unix time, which passes as trio's does."""
        if self._began is None:
            self._began = (time.time(), trio.current_time())
        return self._began[0] + trio.current_time() - self._began[1]

    def _moment(self, unix_s: float) -> datetime:
        return datetime.fromtimestamp(0, UTC) + timedelta(seconds=unix_s)

    def _tell(
        self, actor: str, action: str, account: uuid.UUID | None = None, **data: object
    ) -> None:
        self.audit.append(Told(actor, action, account, data))

    def _check_role(self, role: str, world: str) -> None:
        if role not in self._roles:
            raise Refused(f"There is no role {role!r}.")
        if world and world not in self._worlds:
            raise Refused(f"There is no world {world!r}.")

    def _replace(self, row: AccountRow, **changes: object) -> None:
        self._accounts[row.id] = msgspec.structs.replace(row, **changes)

    def _held(self, ask: Ask) -> Held | None:
        found = self._sign_ins.get(ask.sign_in)
        if found is None or found.over_s <= self._now_s():
            return None
        name, status = found.name, ACTIVE
        if found.account is not None:
            row = self._accounts[found.account]
            name, status = row.handle, row.status
        words = frozenset[str]().union(*(
            self._roles[role] for owner, role, where in self._grants
            if owner == found.account and where in {"", ask.world}
        ))
        return Held(found.id, found.account, name, status, found.expires_s - self._now_s(),
                    ask.token_hash not in {None, found.token_hash}, words)
