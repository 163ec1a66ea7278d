"""What accounts do about each other: kept, loaded in time, and gone with the account."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.accounts import ExportKind, NewAccount
from atrium_server.persistence.database import Database, open_database
from atrium_server.persistence.errors import Refused
from atrium_server.persistence.relations import (
    MemoryRelations,
    RelationRow,
    RelationStore,
    SqlRelations,
)
from atrium_server.persistence.sql_accounts import SqlAccounts

ADA, GRACE = (uuid.UUID(int=0x01900000_0000_7000_8000_000000000000 + n) for n in (1, 2))
ONE = RelationRow(str(GRACE), "Grace", 4)
TWO = RelationRow(f"guest:{uuid.UUID(int=9)}", "", 1)


@asynccontextmanager
async def accounts_at(url: str) -> AsyncGenerator[tuple[Database, SqlAccounts]]:
    async with trio.open_nursery() as nursery, open_database(nursery, url) as database:
        store = SqlAccounts(database)
        await store.seed_roles({"member": frozenset()})
        for account, handle in ((ADA, "Ada"), (GRACE, "Grace")):
            new = NewAccount(account, handle, handle.lower(), "a hash", ())
            assert await store.create_account(new, str(account))
        yield database, store


async def keeps(store: RelationStore) -> None:
    """The promises of both stores."""
    assert await store.of(ADA) == []
    await store.save(ADA, [ONE])
    await store.save(ADA, [TWO])
    assert await store.of(ADA) == [ONE, TWO]
    assert await store.of(GRACE) == []
    changed = RelationRow(ONE.person, "Grace", 1)
    await store.save(ADA, [changed, RelationRow(TWO.person, "", 0)])
    assert await store.of(ADA) == [changed]
    await store.save(ADA, [RelationRow(ONE.person, "", 0)])
    assert await store.of(ADA) == []


async def test_the_memory_keeps_what_it_is_told(autojump_clock: trio.testing.MockClock) -> None:
    await keeps(MemoryRelations())


async def test_postgres_keeps_what_it_is_told(database_url: str) -> None:
    async with accounts_at(database_url) as (database, _):
        await keeps(SqlRelations(database))


async def test_who_has_no_account_keeps_nothing(database_url: str) -> None:
    async with accounts_at(database_url) as (database, _):
        with pytest.raises(Refused):
            await SqlRelations(database).save(uuid.uuid4(), [ONE])


async def test_guests_of_long_ago_are_forgotten(database_url: str) -> None:
    async with accounts_at(database_url) as (database, _):
        store = SqlRelations(database)
        await store.save(ADA, [ONE, TWO])
        await run(database, "UPDATE relation SET at = now() - interval '3 days'")
        assert await store.of(ADA) == [ONE]
        await store.save(ADA, [ONE])
        assert await run(database, "SELECT count(*) FROM relation") == [(1,)]


async def test_relations_go_with_either_account_and_are_exported(database_url: str) -> None:
    async with accounts_at(database_url) as (database, accounts):
        store = SqlRelations(database)
        await store.save(ADA, [ONE, TWO])
        await store.save(GRACE, [RelationRow(str(ADA), "Ada", 2)])
        page = await accounts.export_page(ADA, ExportKind.RELATIONS, None)
        assert [json.loads(row)["name"] for row in page.rows] == ["Grace", ""]
        await run(
            database,
            "INSERT INTO moderation_case (id, subject_account, reporter_account, subject_name,"
            f" category, summary, evidence) VALUES (gen_random_uuid(), '{ADA}', '{GRACE}', 'Ada',"
            " 'spam', '', '{\"reported\": {\"name\": \"Ada\", \"person\": \"x\", \"way\": []},"
            " \"reporter\": {\"name\": \"Grace\", \"person\": \"y\"}}')",
        )
        await accounts.begin_deletion(ADA, str(ADA))
        while await accounts.erase_some(ADA):
            pass
        await accounts.finish_deletion(ADA)
        assert await run(database, "SELECT count(*) FROM relation") == [(0,)]
        ((evidence,),) = await run(database, "SELECT evidence FROM moderation_case")
        assert evidence == {"reported": {"way": []}, "reporter": {"name": "Grace", "person": "y"}}
        await accounts.begin_deletion(GRACE, str(GRACE))
        while await accounts.erase_some(GRACE):
            pass
        ((evidence,),) = await run(database, "SELECT evidence FROM moderation_case")
        assert evidence["reporter"] == {}


async def run(database: Database, statement: str) -> list[Any]:
    """A statement, and the rows that it returns."""

    async def execute(connection: AsyncConnection) -> list[Any]:
        result = await connection.execute(text(statement.replace(":", "\\:")))
        return [tuple(row) for row in result] if result.returns_rows else []

    return await database.tx(execute)
