"""A world is claimed as soon as its last owner can write no more, whatever that one left behind."""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncGenerator

import pytest
import trio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from trio.testing import MockClock

from atrium_server.persistence.database import Database, open_database
from atrium_server.persistence.errors import Refused, StoreError, Unavailable
from atrium_server.persistence.memory import MemoryStore
from atrium_server.persistence.memory_sessions import MemorySessions
from atrium_server.persistence.node import passing_node
from atrium_server.persistence.open import CLAIM_MARGIN_S, Stores, claim_world
from atrium_server.persistence.store import LEASE_S, Claim
from atrium_server.persistence.world_store import SqlWorldStore

PATIENCE_S = 2.0


@pytest.fixture
async def database(database_url: str, nursery: trio.Nursery) -> AsyncGenerator[Database]:
    async with open_database(nursery, database_url) as opened:
        yield opened


async def test_an_owner_that_froze_in_a_commit_is_not_waited_for(database: Database) -> None:
    """Its transaction holds the row of the world for as long as Postgres lets it."""
    store = SqlWorldStore(database)
    assert await store.create("hall", "The Hall")
    claim = await store.claim("hall", "here")
    is_held, may_end = trio.Event(), trio.Event()

    async def freeze(connection: AsyncConnection) -> None:
        await connection.execute(
            text("UPDATE world SET version = version + 1 WHERE id = :id"), {"id": claim.world_id}
        )
        token.run_sync_soon(is_held.set)
        while not may_end.is_set():
            await connection.execute(text("SELECT pg_sleep(0.01)"))

    token = trio.lowlevel.current_trio_token()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(database.tx, freeze)
        await is_held.wait()
        with trio.fail_after(PATIENCE_S):
            assert not await store.create("hall", "Another Hall")
            with pytest.raises(Refused, match="belongs to the server 'here'"):
                await store.claim("hall", "there")
        may_end.set()


class Busy(MemoryStore):
    """Says no for a while, each time for another reason."""

    def __init__(self, *errors: StoreError) -> None:
        super().__init__()
        self.errors = list(errors)

    async def claim(self, slug: str, node: str) -> Claim:
        if self.errors:
            raise self.errors.pop(0)
        return await super().claim(slug, node)


def stores_with(worlds: MemoryStore) -> Stores:
    made = Stores.__new__(Stores)
    object.__setattr__(made, "node", passing_node())
    object.__setattr__(made, "worlds", worlds)
    object.__setattr__(made, "sessions", MemorySessions())
    return made


async def test_a_database_that_answers_late_is_waited_for(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    busy = Busy(Unavailable("the database does not answer (TimeoutError)"), Refused("It is held."))
    with caplog.at_level(logging.WARNING):
        claim = await claim_world(stores_with(busy), f"hall-{uuid.UUID(int=1)}", "The Hall")
    assert claim.epoch == 1
    assert caplog.messages == [
        "The database does not answer (TimeoutError). It is waited for."
    ]


@pytest.mark.parametrize("error", [Unavailable("it does not answer"), Refused("It is held.")])
async def test_nothing_is_waited_for_for_ever(
    error: StoreError, autojump_clock: MockClock
) -> None:
    began = trio.current_time()
    with pytest.raises(type(error)):
        await claim_world(stores_with(Busy(*[error] * 1_000)), "hall", "The Hall")
    assert LEASE_S < trio.current_time() - began < LEASE_S + CLAIM_MARGIN_S + 1
