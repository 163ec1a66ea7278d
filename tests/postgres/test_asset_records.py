"""What is known of assets, in a real Postgres and in memory: one contract, and what SQL adds."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import trio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.assets import (
    FORGOTTEN_MAX,
    HELD,
    READY,
    REFUSED,
    AssetRecords,
    AssetRow,
    MemoryAssetRecords,
    SqlAssetRecords,
)
from atrium_server.persistence.audit_rows import read_audit
from atrium_server.persistence.database import Database, open_database

ANN, BOB = uuid.UUID(int=1), uuid.UUID(int=2)
DAY_S = 86_400.0
NASTY = "Robert'); DROP TABLE asset; -- \\ \" % :hash {} ☃"


def digest(number: int) -> str:
    return f"{number:064x}"


def row(number: int = 1, **changes: Any) -> AssetRow:
    fields: dict[str, Any] = {
        "digest": digest(number), "media_type": "image/png", "size_bytes": 100, "uploader": ANN,
        "state": READY, "meta": {"images": [{"width_px": 8}]},
    }
    return AssetRow(**{**fields, **changes})


async def execute(connection: AsyncConnection, statement: str, values: dict[str, Any]) -> None:
    await connection.execute(text(statement), values)


@pytest.fixture
async def database(database_url: str, nursery: trio.Nursery) -> AsyncGenerator[Database]:
    async with open_database(nursery, database_url) as opened:
        for account, name in ((ANN, "ann"), (BOB, "bob")):
            await opened.tx(
                execute,
                "INSERT INTO account (id, handle, handle_key, password_hash, prefs)"
                " VALUES (:id, :name, :name, '$argon2id$', '{}')",
                {"id": account, "name": name},
            )
        yield opened


@pytest.fixture
def sql(database: Database) -> SqlAssetRecords:
    return SqlAssetRecords(database)


@pytest.fixture(params=["sql", "memory"])
def records(request: pytest.FixtureRequest, sql: SqlAssetRecords) -> AssetRecords:
    return sql if request.param == "sql" else MemoryAssetRecords()


async def test_a_row_is_found_as_it_was_written(records: AssetRecords) -> None:
    assert await records.find(digest(1)) is None
    written = row(sentence=NASTY, meta={"nasty": NASTY, "bounds": [[0.5, -1, 2], [1, 1, 1e9]]})
    await records.record(written)
    found = await records.find(digest(1))
    assert found is not None
    for field in ("digest", "media_type", "size_bytes", "uploader", "state", "sentence", "meta"):
        assert getattr(found, field) == getattr(written, field)
    assert found.created_at == found.last_used_at


async def test_a_ready_row_stays_and_a_refused_one_gives_way(records: AssetRecords) -> None:
    await records.record(row(state=REFUSED, sentence="This is bad."))
    assert not await records.touch(digest(1))
    await records.record(row(uploader=BOB))
    await records.record(row(state=REFUSED, sentence="This is bad."))
    found = await records.find(digest(1))
    assert found is not None
    assert (found.state, found.uploader, found.sentence) == (READY, BOB, "")
    assert await records.touch(digest(1))
    assert not await records.touch(digest(2))


async def test_an_account_is_charged_for_what_is_kept(records: AssetRecords) -> None:
    assert await records.bytes_of_account(ANN) == 0
    await records.record(row(1, size_bytes=5_000_000_000))
    await records.record(row(2, size_bytes=7))
    await records.record(row(3, state=REFUSED))
    await records.record(row(4, uploader=BOB))
    await records.record(row(5, uploader=None))
    assert await records.bytes_of_account(ANN) == 5_000_000_007


async def test_the_assets_of_an_account_come_in_pages(records: AssetRecords) -> None:
    for number in (3, 1, 2, 4):
        await records.record(row(number))
    await records.record(row(9, uploader=BOB))
    first = await records.of_account(ANN, count=3)
    assert [each.digest for each in first] == [digest(1), digest(2), digest(3)]
    rest = await records.of_account(ANN, after=first[-1].digest)
    assert [each.digest for each in rest] == [digest(4)]


async def test_what_is_ready_or_held_has_a_file(records: AssetRecords) -> None:
    await records.record(row(1))
    await records.record(row(2, state=REFUSED))
    await records.record(row(4, state=HELD))
    asked = [digest(1), digest(2), digest(3), digest(4)]
    assert await records.with_files_among(asked) == {digest(1), digest(4)}
    assert await records.with_files_among([]) == frozenset()


async def test_what_is_held_is_of_no_use_until_it_is_ready(records: AssetRecords) -> None:
    await records.record(row(1, state=HELD))
    assert not await records.touch(digest(1))
    await records.record(row(1))
    assert await records.touch(digest(1))
    await records.record(row(1, state=HELD))
    found = await records.find(digest(1))
    assert found is not None
    assert found.state == READY, "and it is not held again"


# --- in Postgres -------------------------------------------------------------------------


async def used_ago(database: Database, number: int, seconds: float) -> None:
    await database.tx(
        execute,
        "UPDATE asset SET last_used_at = now() - make_interval(secs => :s) WHERE hash = :hash",
        {"s": seconds, "hash": bytes.fromhex(digest(number))},
    )


async def place(database: Database, number: int) -> None:
    """Let an entity name an asset."""
    await database.tx(
        execute,
        "INSERT INTO world (slug, title) VALUES ('plaza', '') ON CONFLICT DO NOTHING", {},
    )
    await database.tx(
        execute,
        "INSERT INTO entity (id, world_id, kind, px, py, pz, qx, qy, qz, qw, sx, sy, sz,"
        " model_hash, props, changed_in) SELECT gen_random_uuid(), id, 'model', 0, 0, 0,"
        " 0, 0, 0, 1, 1, 1, 1, :hash, '{}', 1 FROM world",
        {"hash": bytes.fromhex(digest(number))},
    )


async def test_what_no_entity_names_is_forgotten_after_a_while(
    database: Database, sql: SqlAssetRecords
) -> None:
    for number in (1, 2, 3, 4):
        await sql.record(row(number))
    await sql.record(row(5, state=REFUSED))
    for number, days in ((1, 40), (2, 30), (3, 40), (4, 40), (5, 40)):
        await used_ago(database, number, days * DAY_S)
    await place(database, 3)
    await sql.touch(digest(4))
    assert sorted(await sql.forget(35 * DAY_S)) == [digest(1), digest(5)]
    assert await sql.forget(35 * DAY_S) == []
    assert await sql.find(digest(1)) is None
    assert await sql.with_files_among([digest(n) for n in range(6)]) == {
        digest(2), digest(3), digest(4)
    }


async def test_what_was_in_use_until_now_is_kept_for_a_while(
    database: Database, sql: SqlAssetRecords
) -> None:
    """A world may be brought back to when it was."""
    await sql.record(row(1))
    await sql.record(row(2))
    for number in (1, 2):
        await used_ago(database, number, 40 * DAY_S)
        await place(database, number)
    assert await sql.mark_used() == 2
    assert await sql.mark_used() == 0, "a stamp of today is new enough"
    await database.tx(execute, "DELETE FROM entity", {})
    assert await sql.forget(35 * DAY_S) == []
    await used_ago(database, 1, 36 * DAY_S)
    assert await sql.forget(35 * DAY_S) == [digest(1)]


async def test_much_is_forgotten_in_parts(database: Database, sql: SqlAssetRecords) -> None:
    count = FORGOTTEN_MAX + 50
    await database.tx(
        execute,
        "INSERT INTO asset (hash, media_type, size_bytes, state, last_used_at)"
        " SELECT sha256(n::text::bytea), 'image/png', 1, 'ready', '2000-01-01'"
        " FROM generate_series(1, :count) n",
        {"count": count},
    )
    first, second = await sql.forget(DAY_S), await sql.forget(DAY_S)
    assert (len(first), len(second)) == (FORGOTTEN_MAX, 50)
    assert len({*first, *second}) == count


async def test_an_account_that_goes_leaves_its_assets(
    database: Database, sql: SqlAssetRecords
) -> None:
    await sql.record(row(1))
    await database.tx(execute, "DELETE FROM account WHERE id = :id", {"id": ANN})
    found = await sql.find(digest(1))
    assert found is not None
    assert (found.uploader, found.state) == (None, READY)


async def test_what_is_held_is_listed_and_decided_once(records: AssetRecords) -> None:
    for number, state in ((1, READY), (2, HELD), (3, HELD), (4, REFUSED)):
        await records.record(row(number, state=state))
    assert {each.digest for each in await records.held()} == {digest(2), digest(3)}
    await records.decide(row(2, state=REFUSED, sentence=NASTY, meta={}), BOB)
    await records.decide(row(2, state=READY), BOB)
    await records.decide(row(3, state=READY), BOB)
    assert await records.held() == []
    refused, shown = await records.find(digest(2)), await records.find(digest(3))
    assert refused is not None
    assert shown is not None
    assert (refused.state, refused.sentence, refused.meta) == (REFUSED, NASTY, {})
    assert (shown.state, shown.uploader) == (READY, ANN)


async def test_a_decision_is_told_in_the_audit_log_once(
    database: Database, sql: SqlAssetRecords
) -> None:
    await sql.record(row(1, state=HELD))
    for _ in range(2):
        await sql.decide(row(1, state=REFUSED, sentence="They say: an insult."), BOB)
    found = await database.tx(read_audit, "asset", digest(1), 10)
    told, = [each.row for each in found]
    assert (told.actor, told.action) == (str(BOB), "asset.decide")
    assert told.data == {"state": REFUSED, "uploader": str(ANN)}
    assert "insult" not in str(told), "what a person wrote is not in the log"
