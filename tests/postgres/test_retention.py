"""What a real Postgres forgets, and what it keeps; by one server at a time."""

from __future__ import annotations

import sys
import uuid
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio

sys.path.insert(0, str(Path(__file__).parent))

from records import audited, claim_world, execute, fetch, make_account

from atrium_server.persistence import retention_chores
from atrium_server.persistence.database import Database, open_database
from atrium_server.persistence.partitions import ensure_partitions
from atrium_server.persistence.retention import (
    Chore,
    Retention,
    RetentionNumbers,
    Run,
    database_turn,
)
from atrium_server.persistence.retention_chores import Chores, Days
from atrium_server.persistence.sql_accounts import SqlAccounts
from atrium_server.telemetry import Registry

NOW = datetime(2031, 12, 15, 12, 0, tzinfo=UTC)


@pytest.fixture
async def database(database_url: str, nursery: trio.Nursery) -> AsyncGenerator[Database]:
    async with open_database(nursery, database_url) as opened:
        yield opened


def retention(
    database: Database, *others: Chore, now: datetime = NOW, days: Days | None = None
) -> Retention:
    chores = Chores(database, days or Days(), now.timestamp)
    return Retention(
        chores.all(SqlAccounts(database), others), lambda: database_turn(database),
        now.timestamp, RetentionNumbers.of(Registry()),
    )


async def say(database: Database, *ages_days: float) -> None:
    for age in ages_days:
        await execute(
            database, "INSERT INTO chat (at, id, world_id, channel, session, sender_name, body)"
            " VALUES (:at, gen_random_uuid(), 1, 'world', gen_random_uuid(), 'Ada', :body)",
            at=NOW - timedelta(days=age), body=f"{age}",
        )


async def bodies(database: Database) -> list[str]:
    return [row[0] for row in await fetch(database, "SELECT body FROM chat ORDER BY at DESC")]


async def test_whole_months_of_chat_are_forgotten(database: Database) -> None:
    await database.tx(ensure_partitions, NOW - timedelta(days=92))  # October and two more
    await say(database, 0, 29, 31, 44, 46, 85)
    run = await retention(database).attempt()
    assert run.forgotten["chat"] > 0
    # November is not over for 30 days yet, so all of it stays.
    assert await bodies(database) == ["0", "29", "31", "44"]
    made = await fetch(database, "SELECT to_regclass('chat_p203202') IS NOT NULL,"
                                 " to_regclass('audit_log_p203202') IS NOT NULL")
    assert made == [(True, True)]


async def test_lines_without_a_month_are_forgotten_in_slices(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_chores, "SLICE_MAX", 2)
    await say(database, 29.9, 30.1, 4_000, 4_001, 4_002, 4_003)
    run = await retention(database).attempt()
    assert run.forgotten["chat_default"] == 5
    assert await bodies(database) == ["29.9"]


async def test_the_audit_log_keeps_its_chain(database: Database) -> None:
    long_ago = NOW - timedelta(days=500)
    await database.tx(ensure_partitions, long_ago)
    for at in (long_ago, long_ago, NOW - timedelta(days=399), NOW):
        await execute(database, "INSERT INTO audit_log (at, action) VALUES (:at, 'do')", at=at)
    run = await retention(database).attempt()
    assert run.forgotten["audit"] > 0
    assert await audited(database) == ["do", "do"]


async def session(database: Database, number: int, state: str, age_days: float) -> None:
    at = NOW - timedelta(days=age_days)
    await execute(
        database, "INSERT INTO session (id, guest_name, world_id, number, state, saved_at,"
        " ended_at) VALUES (:id, 'A guest', 1, :number, :state, :at,"
        " CASE WHEN CAST(:state AS text) = 'over' THEN CAST(:at AS timestamptz) END)",
        id=uuid.UUID(int=number), number=number, state=state, at=at,
    )


async def test_sessions_that_are_over_are_forgotten(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_chores, "SLICE_MAX", 2)
    await claim_world(database)
    ages = [6.9, 7.1, 8, 9, 10, 11]
    for number, age in enumerate(ages):
        await session(database, number, "over", age)
    await session(database, 50, "active", 0)
    await session(database, 51, "active", 7.1)  # of a world that nobody has had since
    run = await retention(database).attempt()
    assert (run.forgotten["sessions_left"], run.forgotten["sessions"]) == (1, 6)
    numbers = await fetch(database, "SELECT number FROM session ORDER BY number")
    assert numbers == [(0,), (50,)]


async def test_sign_ins_and_accounts_that_ended_are_forgotten(database: Database) -> None:
    ada, eve = await make_account(database, 1), await make_account(database, 2)
    for number, ago in enumerate(("29 days", "31 days")):
        await execute(
            database, "INSERT INTO sign_in (id, account_id, token_hash, created_at, expires_at)"
            " VALUES (:id, :account, sha256(CAST(:ago AS bytea)), now() - interval '1 year',"
            f" now() - interval '{ago}')", id=uuid.UUID(int=number), account=ada,
            ago=ago.encode(),
        )
    await SqlAccounts(database).begin_deletion(eve, "server")
    run = await retention(database).attempt()
    assert (run.forgotten["sign_ins"], run.forgotten["accounts"]) == (1, 1)
    assert await fetch(database, "SELECT id FROM account") == [(ada,)]
    assert await fetch(database, "SELECT count(*) FROM sign_in") == [(1,)]


async def test_reports_are_forgotten_with_their_evidence(database: Database) -> None:
    """Lines that are gone from the chat must not last in what was reported of them."""
    for opened, closed in ((179, None), (181, None), (300, 179), (300, 181)):
        await execute(
            database, "INSERT INTO moderation_case (id, subject_name, category, summary, evidence,"
            " state, opened_at, closed_at) VALUES (gen_random_uuid(), 'Ben', 'spam', :summary,"
            " CAST('{}' AS jsonb), :state, :opened, :closed)",
            summary=f"{opened} {closed}", state="open" if closed is None else "closed",
            opened=NOW - timedelta(days=opened),
            closed=None if closed is None else NOW - timedelta(days=closed),
        )
    run = await retention(database).attempt()
    assert run.forgotten["reports"] == 2
    left = await fetch(database, "SELECT summary FROM moderation_case ORDER BY summary")
    assert [row[0] for row in left] == ["179 None", "300 179"]


async def test_how_long_is_a_setting(database: Database) -> None:
    await say(database, 1.5, 0.5)
    await retention(database, days=Days(chat=1)).attempt()
    assert await bodies(database) == ["0.5"]


def waiting(at_it: trio.Event, go_on: trio.Event) -> Callable[[], object]:
    async def wait() -> int:
        at_it.set()
        await go_on.wait()
        return 0

    return wait


async def test_of_two_servers_one_does_it(database: Database, nursery: trio.Nursery) -> None:
    at_it, go_on = trio.Event(), trio.Event()
    first = retention(database, Chore("history", waiting(at_it, go_on)))  # type: ignore[arg-type]
    second = retention(database)
    runs: list[Run] = []

    async def run_first() -> None:
        runs.append(await first.attempt())

    nursery.start_soon(run_first)
    with trio.fail_after(20):
        await at_it.wait()
        assert (await second.attempt()).is_busy
        go_on.set()
        while not runs:
            await trio.lowlevel.checkpoint()
        assert runs[0].forgotten["history"] == 0
        assert not (await second.attempt()).is_busy, "the lock was given back"


async def test_who_is_stopped_gives_the_lock_back(
    database: Database, nursery: trio.Nursery
) -> None:
    at_it = trio.Event()
    first = retention(database, Chore("history", waiting(at_it, trio.Event())))  # type: ignore[arg-type]
    async with trio.open_nursery() as inner:
        inner.start_soon(first.attempt)
        await at_it.wait()
        inner.cancel_scope.cancel()
    assert not (await retention(database).attempt()).is_busy
