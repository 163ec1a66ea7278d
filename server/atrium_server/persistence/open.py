"""Where worlds are kept, as the server chooses at its start: our Postgres, somebody's, or nowhere.

Theory of operation
-------------------
::

    node -> cluster (ours only) -> database -> tables up to date -> stores

Opened in this order and closed in the opposite one. Tables of our own Postgres are brought up to
date here, after they were saved; those of somebody's server are only looked at, because other
servers may use them. A world is claimed for this node; a claim that another node holds is waited
for as long as a crashed one may keep it, and no longer.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from atrium_server.persistence.binaries import find_binaries
from atrium_server.persistence.database import Database, open_database
from atrium_server.persistence.embedded import Cluster, open_embedded
from atrium_server.persistence.errors import Refused, Unavailable
from atrium_server.persistence.memory import MemoryStore
from atrium_server.persistence.memory_sessions import MemorySessions
from atrium_server.persistence.migrate import Backups, bring_up_to_date, check_at
from atrium_server.persistence.node import Node, open_node, passing_node
from atrium_server.persistence.session_rows import SessionStore
from atrium_server.persistence.sessions import SqlSessions
from atrium_server.persistence.store import LEASE_S, Claim, WorldStore
from atrium_server.persistence.world_store import SqlWorldStore

logger = logging.getLogger(__name__)

CLAIM_POLL_S: Final = 0.5
CLAIM_MARGIN_S: Final = 2.0
BACKUPS: Final = "backups"


@dataclass(frozen=True, slots=True)
class Place:
    """Where to keep worlds; see the settings of these names."""

    data_dir: Path
    url: str | None = None
    ephemeral: bool = False
    pg_bin: Path | None = None
    pg_user: str | None = None


@dataclass(frozen=True, slots=True)
class Stores:
    """What the server keeps its things in."""

    node: Node
    worlds: WorldStore
    sessions: SessionStore
    database: Database | None = None
    """None when everything is in memory."""
    cluster: Cluster | None = None
    """Our own Postgres, if it is ours."""


@asynccontextmanager
async def open_stores(place: Place) -> AsyncGenerator[Stores]:
    """The stores, for the length of the block. Raises StoreError at its start, in a group or not;
    later only for a crash of the database's thread.
    """
    if place.ephemeral:
        yield Stores(passing_node(), MemoryStore(), MemorySessions())
        return
    async with AsyncExitStack() as stack:
        cluster, url = None, place.url
        if url is None:
            cluster = await stack.enter_async_context(open_embedded(
                place.data_dir, find_binaries(place.pg_bin), os_user=place.pg_user
            ))
            url = cluster.dsn
        node = stack.enter_context(open_node(place.data_dir))
        nursery = await stack.enter_async_context(trio.open_nursery())
        database = await stack.enter_async_context(open_database(nursery, url))
        if cluster is None:
            await database.call(check_at, url)
        else:
            backups = Backups(place.data_dir / BACKUPS, cluster.binaries)
            await bring_up_to_date(database, backups)
        yield Stores(
            node, SqlWorldStore(database), SqlSessions(database), database, cluster
        )
        nursery.cancel_scope.cancel()


async def claim_world(stores: Stores, slug: str, title: str) -> Claim:
    """Become the owner of a world, which is made if there is none of this name.

    Raises Refused: another server holds it, and does so even after the longest time for which a
    crashed one could. Raises Unavailable when the database does not answer for as long.
    """
    until = trio.current_time() + LEASE_S + CLAIM_MARGIN_S
    has_told = False
    while True:
        try:
            await stores.worlds.create(slug, title)
            return await stores.worlds.claim(slug, stores.node.name)
        except (Refused, Unavailable) as error:
            if trio.current_time() >= until:
                raise
            if not has_told:
                logger.warning("%s It is waited for.", _sentence(error))
                has_told = True
        await trio.sleep(CLAIM_POLL_S)


def _sentence(error: Refused | Unavailable) -> str:
    """What went wrong, as a sentence."""
    text = str(error)
    return text if text.endswith(".") else f"{text[0].upper()}{text[1:]}."
