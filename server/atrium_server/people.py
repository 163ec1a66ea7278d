"""Who comes in: guests by their word, accounts by their token, and what ends when a token ends.

Theory of operation
-------------------
`People` is what the gateway asks who a client is. Without a token everybody is who they say, as
long as no name of the staff is claimed; with one the account says the name and the permissions.
Who is banned is turned away with the reason. When a sign-in ends, or all of an account, the
sessions that stand on it end as well; when an account is deleted, the props that it made stay and
have no owner any more, and what is remembered of what it said is forgotten.
"""

from __future__ import annotations

import dataclasses
import logging
import uuid
from collections.abc import Callable, Generator
from contextlib import contextmanager

import msgspec
import trio

from atrium_server.accounts.errors import AccountError
from atrium_server.accounts.handles import is_of_staff
from atrium_server.accounts.person import Ended, News
from atrium_server.accounts.rules import Origin
from atrium_server.accounts.service import Accounts
from atrium_server.doors import Who
from atrium_server.host import WorldHost
from atrium_server.hosts import Hosts
from atrium_server.net.requests import Identity
from atrium_server.persistence.conduct_rows import ConductStore
from atrium_server.persistence.errors import StoreError, Unavailable
from atrium_server.persistence.relations import RelationWriter
from atrium_server.safety import regards_of
from atrium_server.seats import Session
from atrium_server.world.commands import Forget
from atrium_server.world.props import Change
from atrium_server.world.text import clean_name
from atrium_shared import messages as m
from atrium_shared.errors import ErrorCode, Overload, ProtocolError, RequestRefused

logger = logging.getLogger(__name__)
DELETED_MAX = 1_000
LOOK_S = 5.0
"""What another process ends or grants is known here after this."""
ASKED_MAX = 500
OVER = "Your sign-in has ended."
RENAME = "Your name is not used here any more: change it in your account, then come in."
LOOKS_MAX = 20
RETRY_MS = 1_000


class People:
    """Implements `net.requests.Identifier`."""

    def __init__(
        self, accounts: Accounts, conduct: ConductStore, relations: RelationWriter,
        forget: Callable[[str], None] = lambda person: None,
    ) -> None:
        self._accounts = accounts
        self._forget = forget
        self._relations = relations
        self._conduct = conduct
        self._hosts: Hosts | None = None
        self._changed = trio.Event()
        self._deleted, self._deletions = trio.open_memory_channel[uuid.UUID](DELETED_MAX)

    async def run(self, hosts: Hosts) -> None:
        """Look after sessions for ever; nobody is identified before."""
        self._hosts = hosts
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._look_after, hosts)
            async for account in self._deletions:
                for host in hosts:
                    if not host.state.failed:
                        await _disown(host, str(account))

    # --- coming in -----------------------------------------------------------------------

    async def identify(self, hello: m.Hello, address: str) -> Identity:
        """Who it is. See `Identifier.identify`."""
        host = self._host(self._world_of(hello))
        for _ in range(LOOKS_MAX):
            changes = self._accounts.changes
            with _in_sentences():
                who = await self._who(hello, address, host.name)
                await self._check_ban(who.account, address, host)
                if who.account is not None:
                    # Last, so that nothing comes between this and the wish for an avatar.
                    regards = regards_of(await self._relations.of(who.account))
                    who = dataclasses.replace(who, regards=regards)
            if changes == self._accounts.changes:
                return who  # nothing has ended while we looked
        raise Overload("Too much changes in this moment: try again.", RETRY_MS)

    async def _who(self, hello: m.Hello, address: str, world: str) -> Identity:
        if not hello.auth_token:
            name = clean_name(hello.name)
            if is_of_staff(name):
                raise ProtocolError(ErrorCode.BAD_NAME, "that name is for who runs this server")
            if await self._accounts.is_taken_name(name, Origin(address)):
                raise ProtocolError(
                    ErrorCode.BAD_NAME, "that name belongs to an account: sign in, or take another"
                )
            if refusal := await self._accounts.names.refusal(name):
                raise ProtocolError(ErrorCode.BAD_NAME, refusal)
            return Identity(name)
        found = await self._accounts.identify(hello.auth_token, world)
        if await self._accounts.names.refusal(found.name):
            # It was taken before the rules of today.
            raise RequestRefused(ErrorCode.NOT_ALLOWED, RENAME)
        return Identity(found.name, found.account, found.permissions, found.sign_in)

    async def let_into(self, who: Who, address: str, world: str) -> frozenset[str]:
        """What somebody may do in another world. See `Identifier.let_into`."""
        host = self._host(world)
        with _in_sentences():
            await self._check_ban(who.account, address, host)
            if who.sign_in is None:
                return frozenset()
            found, = await self._accounts.look_after([(who.sign_in, host.name)])
        if found is None:
            raise RequestRefused(ErrorCode.NOT_ALLOWED, "Your sign-in has ended.")
        return found

    async def _check_ban(
        self, account: uuid.UUID | None, address: str, host: WorldHost
    ) -> None:
        world_id = host.parts.keeper.claim.world_id
        ban = await self._conduct.active_ban(account, address, world_id)
        if ban is not None:
            raise RequestRefused(ErrorCode.NOT_ALLOWED, f"You may not come in: {ban.reason}")

    def _world_of(self, hello: m.Hello) -> str:
        """Where it will be: who comes back is let in where the session is."""
        if hello.resume_token and self._hosts is not None:
            return self._hosts.world_of(hello.resume_token) or hello.world
        return hello.world

    def _host(self, name: str) -> WorldHost:
        if self._hosts is not None:
            for host in self._hosts:
                if not name or host.name == name:
                    return host
        raise RequestRefused(ErrorCode.NOT_FOUND, "There is no such world here.")

    # --- what ends -----------------------------------------------------------------------

    async def _look_after(self, hosts: Hosts) -> None:
        """What other processes end or grant reaches those who are here, some seconds later."""
        while True:
            with trio.move_on_after(LOOK_S):
                await self._changed.wait()
            self._changed = trio.Event()
            for host in hosts:
                try:
                    await self._look_at(host)
                except StoreError as error:
                    logger.warning("sign-ins could not be looked after: %s", error)

    async def _look_at(self, host: WorldHost) -> None:
        held = [
            (number, session.sign_in) for number, session in host.state.sessions.items()
            if session.sign_in is not None
        ]
        for start in range(0, len(held), ASKED_MAX):
            some = held[start : start + ASKED_MAX]
            found = await self._accounts.look_after([(one, host.name) for _, one in some])
            for (number, sign_in), permissions in zip(some, found, strict=True):
                session = host.state.sessions.get(number)
                if session is None or session.sign_in != sign_in:
                    continue  # it has come back with another one
                if permissions is None:
                    host.expel(number, OVER)
                else:
                    host.entitle(session, permissions)

    def hear(self, news: News) -> None:
        """Something about accounts has ended or changed. In trio's thread, between two awaits."""
        if not isinstance(news, Ended):
            self._changed.set()
            return
        for host in self._hosts or ():
            for session in list(host.state.sessions.values()):
                if _is_over(session, news):
                    host.expel(session.session_id, OVER)
        if news.is_deleted and news.account is not None:
            self._forget(str(news.account))
            try:
                self._deleted.send_nowait(news.account)
            except trio.WouldBlock:  # the ids of deleted accounts stay where nobody knows them
                logger.warning("props of a deleted account keep its id")


@contextmanager
def _in_sentences() -> Generator[None]:
    """Errors of accounts and their store as answers to a request."""
    try:
        yield
    except Unavailable:
        raise Overload(
            "The accounts cannot be reached just now: try again in a moment.", RETRY_MS
        ) from None
    except (AccountError, StoreError) as error:
        raise RequestRefused(ErrorCode.NOT_ALLOWED, str(error)) from None


def _is_over(session: Session, news: Ended) -> bool:
    if news.sign_in is not None:
        return session.sign_in == news.sign_in
    return (
        news.account is not None and session.account == news.account
        and (session.sign_in is None or session.sign_in != news.but)
    )


async def _disown(host: WorldHost, owner: str) -> None:
    """What an account that is gone has made belongs to the world itself."""
    changes = [
        Change(prop_id, prop, msgspec.structs.replace(prop, owner=""))
        for prop_id, prop in host.world.building.props if prop.owner == owner
    ]
    host.inbox.must(Forget(owner))
    try:
        if changes:
            await host.amendments.make("disown", "", changes)
    except Overload as error:
        logger.warning("props of a deleted account keep its id: %s", error.sentence)
