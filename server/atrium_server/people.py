"""Who comes in: guests by their word, accounts by their token, and what ends when a token ends.

Theory of operation
-------------------
`People` is what the gateway asks who a client is. Without a token everybody is who they say, as
long as no name of the staff is claimed; with one the account says the name and the permissions.
Who is banned is turned away with the reason. When a sign-in ends, or all of an account, the
sessions that stand on it end as well; when an account is deleted, the props that it made stay and
have no owner any more.
"""

from __future__ import annotations

import logging
import uuid

import msgspec
import trio

from atrium_server.accounts.errors import AccountError
from atrium_server.accounts.handles import is_of_staff
from atrium_server.accounts.person import Ended, News
from atrium_server.accounts.service import Accounts
from atrium_server.host import WorldHost
from atrium_server.hosts import Hosts
from atrium_server.net.requests import Identity
from atrium_server.persistence.conduct_rows import ConductStore
from atrium_server.persistence.errors import StoreError, Unavailable
from atrium_server.seats import Session
from atrium_server.world.props import Change
from atrium_server.world.text import clean_name
from atrium_shared import messages as m
from atrium_shared.errors import ErrorCode, Overload, ProtocolError, RequestRefused

logger = logging.getLogger(__name__)
DELETED_MAX = 1_000
RETRY_MS = 1_000


class People:
    """Implements `net.requests.Identifier`."""

    def __init__(self, accounts: Accounts, conduct: ConductStore) -> None:
        self._accounts = accounts
        self._conduct = conduct
        self._hosts: Hosts | None = None
        self._deleted, self._deletions = trio.open_memory_channel[uuid.UUID](DELETED_MAX)

    async def run(self, hosts: Hosts) -> None:
        """Look after the worlds' share of it, for ever; nobody is identified before."""
        self._hosts = hosts
        async for account in self._deletions:
            for host in hosts:
                await _disown(host, str(account))

    # --- coming in -----------------------------------------------------------------------

    async def identify(self, hello: m.Hello, address: str) -> Identity:
        """Who it is. See `Identifier.identify`."""
        try:
            host = self._host(hello.world)
            who = await self._who(hello, host.name)
            world_id = host.parts.keeper.claim.world_id
            ban = await self._conduct.active_ban(who.account, address, world_id)
        except Unavailable:
            raise Overload(
                "The accounts cannot be reached just now: try again in a moment.", RETRY_MS
            ) from None
        except (AccountError, StoreError) as error:
            raise RequestRefused(ErrorCode.NOT_ALLOWED, str(error)) from None
        if ban is not None:
            raise RequestRefused(ErrorCode.NOT_ALLOWED, f"You may not come in: {ban.reason}")
        return who

    async def _who(self, hello: m.Hello, world: str) -> Identity:
        if not hello.auth_token:
            name = clean_name(hello.name)
            if is_of_staff(name):
                raise ProtocolError(ErrorCode.BAD_NAME, "that name is for who runs this server")
            return Identity(name)
        found = await self._accounts.identify(hello.auth_token, world)
        anywhere = await self._accounts.identify(hello.auth_token)
        return Identity(
            found.name, found.account, found.permissions, anywhere.permissions, found.sign_in
        )

    def _host(self, name: str) -> WorldHost:
        if self._hosts is not None:
            for host in self._hosts:
                if not name or host.name == name:
                    return host
        raise RequestRefused(ErrorCode.NOT_FOUND, "There is no such world here.")

    # --- what ends -----------------------------------------------------------------------

    def hear(self, news: News) -> None:
        """Something about accounts has ended or changed. In trio's thread, between two awaits."""
        for host in self._hosts or ():
            for session in list(host.state.sessions.values()):
                if isinstance(news, Ended):
                    if _is_over(session, news):
                        host.expel(session.session_id, "Your sign-in has ended.")
                elif session.account == news.account:
                    host.expel(session.session_id, "What you may do has changed: join again.")
        if isinstance(news, Ended) and news.is_deleted and news.account is not None:
            try:
                self._deleted.send_nowait(news.account)
            except trio.WouldBlock:  # the ids of deleted accounts stay where nobody knows them
                logger.warning("props of a deleted account keep its id")


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
    host.world.building.editor.forget(owner)
    if changes:
        await host.amendments.make("disown", "", changes)
