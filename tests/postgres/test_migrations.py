"""The tables: the same by both ways, made once by several servers, kept by every upgrade."""

from __future__ import annotations

import asyncio
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence import audit, dump, migrate, partitions, schema, tools
from atrium_server.persistence.database import open_database
from atrium_server.persistence.errors import Ahead, Behind, Refused

NOW = datetime(2031, 12, 31, 23, 59, tzinfo=UTC)
ROWS = sorted(Path(__file__).parent.glob("rows_*.py"))
"""What databases of past revisions held."""
EMPTY_HASH = bytes(32)


def at(url: str, work: Callable[[AsyncConnection], Awaitable[Any]]) -> Any:
    """Do something in a database, and commit."""

    async def connected() -> Any:
        async with migrate.connected(url) as connection:
            result = await work(connection)
            await connection.commit()
            return result

    return asyncio.run(connected())


def in_months_of(now: datetime) -> Callable[[AsyncConnection], Awaitable[partitions.Made]]:
    return lambda connection: partitions.ensure_partitions(connection, now)


def schema_of(url: str, programs: Path) -> str:
    """What pg_dump says of the tables, without what differs from run to run."""
    done = subprocess.run(
        [programs / "pg_dump", "--schema-only", "--no-owner", "--exclude-table=alembic_version"],
        env=tools.tool_environment(url), capture_output=True, text=True, check=True,
    )
    kept = [
        line for line in done.stdout.splitlines()
        # The last is a mark that newer servers put on each column, and older tools do not hide.
        if line and not re.match(r"--|SET |SELECT pg_catalog.set_config|\\|.*\(pg_attver=", line)
    ]
    return "\n".join(kept)


@pytest.fixture
def more_migrations(tmp_path, monkeypatch) -> Path:
    """A program that is one revision newer."""
    folder = tmp_path / "migrations"
    shutil.copytree(migrate.migrations_folder(), folder)
    head = migrate.head()
    (folder / "versions" / "9999_later.py").write_text(
        "from alembic import op\n"
        f"revision, down_revision = '9999', '{head}'\n"
        "branch_labels = depends_on = None\n"
        "def upgrade():\n    op.execute('ALTER TABLE role ADD COLUMN later text')\n"
    )
    monkeypatch.setattr(migrate, "migrations_folder", lambda: folder)
    return folder


# --- the same by both ways ---------------------------------------------------------------


def test_autogenerate_finds_nothing_to_add(database_url) -> None:
    def differences(connection: Connection) -> list[Any]:
        options = {
            "compare_type": True,
            "compare_server_default": True,
            "include_name": lambda name, kind, _: (
                kind != "table" or not schema.PARTITION_NAME.fullmatch(name)
            ),
        }
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, schema.metadata)

    assert at(database_url, lambda connection: connection.run_sync(differences)) == []


def test_migrations_and_metadata_make_the_same_database(
    postgres, database_url, empty_database_url
) -> None:
    async def create(connection: AsyncConnection) -> None:
        await connection.run_sync(schema.metadata.create_all)
        await partitions.ensure_partitions(connection, datetime.now(UTC))

    at(empty_database_url, create)
    programs = postgres.binaries.folder
    migrated, created = (schema_of(url, programs) for url in (database_url, empty_database_url))
    assert "chain_audit_log" in migrated
    assert "chat_default" in migrated
    assert migrated == created


# --- upgrades ----------------------------------------------------------------------------


def test_two_servers_may_upgrade_an_empty_database_at_once(
    empty_database_url, monkeypatch
) -> None:
    monkeypatch.delenv("ATRIUM_TEST_DATABASE_URL", raising=False)  # it is no setting
    command = [sys.executable, "-m", "atrium_server", "db", "upgrade",
               "--database-url", empty_database_url]
    servers = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [server.communicate(timeout=60) for server in servers]
    assert [server.returncode for server in servers] == [0, 0], answers
    assert all(f"revision {migrate.head()}" in out for out, _ in answers)
    at(empty_database_url, migrate.check)


def test_an_upgrade_of_what_is_up_to_date_changes_nothing(database_url) -> None:
    done = asyncio.run(migrate.upgrade_at(database_url))
    assert not done.changed
    assert done.before == done.after == migrate.head()


def test_an_empty_database_is_refused_with_a_sentence(empty_database_url) -> None:
    with pytest.raises(Behind, match="empty: run `atrium db upgrade`"):
        at(empty_database_url, migrate.check)


@pytest.mark.usefixtures("more_migrations")
def test_a_database_that_is_behind_is_refused_and_then_upgraded(database_url) -> None:
    with pytest.raises(Behind, match=r"revision 0003 .* needs 9999: save it .* `atrium db upgr"):
        at(database_url, migrate.check)
    assert asyncio.run(migrate.upgrade_at(database_url)).after == "9999"
    at(database_url, migrate.check)


def test_a_database_that_is_ahead_is_refused(postgres, database_url) -> None:
    postgres.run(database_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Ahead, match=r"revision 9999 .* newer Atrium"):
        at(database_url, migrate.check)
    with pytest.raises(Ahead, match=r"newer Atrium"):
        asyncio.run(migrate.upgrade_at(database_url))


def test_the_tables_of_others_are_left_alone(postgres, empty_database_url) -> None:
    postgres.run(empty_database_url, "CREATE TABLE account (id int)")
    with pytest.raises(Refused, match=r"\(account\): give Atrium a database of its own"):
        asyncio.run(migrate.upgrade_at(empty_database_url))


def test_other_encodings_are_refused(postgres) -> None:
    name = postgres.template.replace("template", "latin")
    postgres.administer(
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    url = tools.with_database(postgres.url, name)
    try:
        with pytest.raises(Refused, match="LATIN1: create it with the encoding UTF8"):
            asyncio.run(migrate.upgrade_at(url))
    finally:
        postgres.drop(url)


def test_a_step_that_fails_leaves_nothing_behind(
    postgres, database_url, more_migrations
) -> None:
    step = more_migrations / "versions" / "9999_later.py"
    step.write_text(step.read_text() + "    op.execute('SELECT 1 / 0')\n")
    with pytest.raises(Refused, match=r"cannot be upgraded as it is .*division by zero"):
        asyncio.run(migrate.upgrade_at(database_url))
    assert asyncio.run(migrate.current_at(database_url)) == "0003"
    assert postgres.value(database_url, "SELECT count(*) FROM pg_locks"
                                        " WHERE locktype = 'advisory'") == 0


@pytest.mark.parametrize("path", ROWS, ids=lambda path: path.stem)
def test_an_upgrade_keeps_the_rows_of_past_revisions(postgres, empty_database_url, path) -> None:
    url, revision = empty_database_url, path.stem.removeprefix("rows_")
    at(url, lambda connection: migrate.upgrade(connection, revision))
    postgres.run(url, *runpy.run_path(str(path))["ROWS"])
    tables = [
        row for row in at(url, lambda connection: connection.run_sync(_tables))
        if not schema.PARTITION_NAME.fullmatch(row) and row != "alembic_version"
    ]
    before = {table: postgres.value(url, f"SELECT count(*) FROM {table}") for table in tables}
    assert all(before.values()), "a table without an example"
    asyncio.run(migrate.upgrade_at(url))
    after = {table: postgres.value(url, f"SELECT count(*) FROM {table}") for table in tables}
    assert after == before
    assert at(url, audit.verify).rows == before["audit_log"]


def _tables(connection: Connection) -> list[str]:
    return [*connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
                                     " ORDER BY 1")).scalars()]


async def test_a_private_database_is_saved_before_its_upgrade(
    postgres, database_url, more_migrations, tmp_path, nursery
) -> None:
    backups = migrate.Backups(tmp_path / "backups", postgres.binaries)
    parts: list[float] = []
    async with open_database(nursery, database_url) as database:
        done = await migrate.bring_up_to_date(database, backups, parts.append)
        assert (done.before, done.after) == ("0003", "9999")
        assert done.backup is not None
        assert await dump.tables_in(postgres.binaries, done.backup) > 20
        assert done.backup.stat().st_mode & 0o777 == 0o600
        assert parts == sorted(parts)
        assert parts[-1] == 1.0
        again = await migrate.bring_up_to_date(database, backups)
        assert not again.changed
        assert again.backup is None
    assert [*backups.folder.iterdir()] == [done.backup]


# --- what the tables refuse --------------------------------------------------------------


@pytest.mark.parametrize("column", ["px", "qw", "sx"])
@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_no_transform_has_what_is_no_number(postgres, database_url, column, value) -> None:
    numbers = dict.fromkeys(("px", "py", "pz", "qx", "qy", "qz", "qw", "sx", "sy", "sz"), "0.5")
    numbers[column] = f"'{value}'"
    with pytest.raises(asyncpg.CheckViolationError):
        postgres.run(
            database_url,
            "INSERT INTO world (slug, title) VALUES ('w', 'W')",
            f"INSERT INTO entity (id, world_id, kind, changed_in, {', '.join(numbers)})"
            f" VALUES (gen_random_uuid(), 1, 'model', 1, {', '.join(numbers.values())})",
        )


# --- the audit log -----------------------------------------------------------------------


def audited(postgres: Any, url: str) -> None:
    for number in range(5):
        postgres.run(url, "INSERT INTO audit_log (actor, action, data)"
                          f" VALUES ('ä', 'do', '{{\"n\": {number}}}')")
    postgres.run(url, "INSERT INTO audit_log (at, action) VALUES ('1999-01-01', 'long ago')")


@pytest.mark.parametrize("table", ["audit_log", "audit_log_default", "item_ledger"])
@pytest.mark.parametrize("change", ["UPDATE {} SET at = at", "DELETE FROM {}", "TRUNCATE {}"])
def test_what_is_append_only_cannot_be_changed(postgres, database_url, table, change) -> None:
    audited(postgres, database_url)
    postgres.run(database_url, "INSERT INTO item_ledger (request_id, to_inventory, item_kind,"
                               " quantity, reason) VALUES (gen_random_uuid(), gen_random_uuid(),"
                               " 'rose', 1, '')")
    with pytest.raises(asyncpg.RestrictViolationError, match="never changed nor removed"):
        postgres.run(database_url, change.format(table))


def test_months_of_the_audit_log_cannot_be_emptied(postgres, database_url) -> None:
    name = at(database_url, in_months_of(NOW)).names[0]
    assert name == "audit_log_p203112"
    with pytest.raises(asyncpg.RestrictViolationError):
        postgres.run(database_url, f"TRUNCATE {name}")


def test_the_chain_of_the_audit_log_verifies(postgres, database_url) -> None:
    assert at(database_url, audit.verify) == audit.Chain(0, 0, b"")
    audited(postgres, database_url)
    chain = at(database_url, audit.verify)
    assert (chain.rows, chain.sequence) == (6, 6)
    assert chain.hash == postgres.value(database_url, "SELECT hash FROM audit_head")
    first = postgres.value(database_url, "SELECT prev_hash FROM audit_log WHERE sequence = 1")
    assert first == EMPTY_HASH


def test_writers_of_the_audit_log_take_turns(database_url) -> None:
    async def write(connection: AsyncConnection) -> None:
        for _ in range(20):
            await connection.execute(text("INSERT INTO audit_log (action) VALUES ('do')"))
            await connection.commit()

    async def all_at_once() -> None:
        async def one() -> None:
            async with migrate.connected(database_url) as connection:
                await write(connection)

        await asyncio.gather(*(one() for _ in range(5)))

    asyncio.run(all_at_once())
    assert at(database_url, audit.verify).rows == 100


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("UPDATE audit_log SET actor = 'another' WHERE sequence = 3", "Row 3 .* was changed"),
        ("UPDATE audit_log SET hash = sha256('x') WHERE sequence = 3", "Row 3 .* was changed"),
        ("UPDATE audit_log SET at = at + '1 s' WHERE sequence = 3", "Row 3 .* was changed"),
        ("DELETE FROM audit_log WHERE sequence = 3", "row 4 follows row 2"),
        ("DELETE FROM audit_log WHERE sequence > 4", "ends at row 4"),
        ("UPDATE audit_log SET sequence = 9 WHERE sequence = 6", "ends at row 5"),
    ],
)
def test_who_goes_round_the_triggers_is_found_out(
    postgres, database_url, change, sentence
) -> None:
    audited(postgres, database_url)
    postgres.run(database_url, "SET session_replication_role = replica; " + change)
    with pytest.raises(audit.AuditBroken, match=sentence):
        at(database_url, audit.verify)


# --- partitions --------------------------------------------------------------------------


def test_partitions_are_made_for_the_next_months(database_url) -> None:
    made = at(database_url, in_months_of(NOW))
    assert made == partitions.Made(
        ("audit_log_p203112", "audit_log_p203201", "audit_log_p203202",
         "chat_p203112", "chat_p203201", "chat_p203202"), ()
    )
    assert at(database_url, in_months_of(NOW)) == partitions.Made((), ())


def say(postgres: Any, url: str, *times: str) -> None:
    values = ", ".join(
        f"('{time}', gen_random_uuid(), 1, 'world', gen_random_uuid(), 'Ada', '')"
        for time in times
    )
    postgres.run(url, "INSERT INTO chat (at, id, world_id, channel, session, sender_name, body)"
                      f" VALUES {values}")


def test_rows_go_to_their_month_and_all_others_to_the_default(postgres, database_url) -> None:
    at(database_url, in_months_of(NOW))
    say(postgres, database_url, "2031-12-31 23:59:59.999Z", "2032-01-01Z", "1999-01-01Z")
    for table in ("chat_p203112", "chat_p203201", "chat_default"):
        assert postgres.value(database_url, f"SELECT count(*) FROM {table}") == 1


def test_a_month_whose_rows_are_in_the_default_partition_stays_there(
    postgres, database_url
) -> None:
    say(postgres, database_url, "2032-01-05Z")
    made = at(database_url, in_months_of(NOW))
    assert made.blocked == ("chat_p203201",)
    assert "chat_p203202" in made.names
    assert postgres.value(database_url, "SELECT count(*) FROM chat") == 1


def test_months_that_are_over_are_dropped_whole(postgres, database_url) -> None:
    at(database_url, in_months_of(NOW))
    say(postgres, database_url, "2031-12-31Z", "2032-01-01Z", "1999-01-01Z")
    begin_of_february = datetime(2032, 2, 1, tzinfo=UTC)

    async def drop(connection: AsyncConnection) -> tuple[str, ...]:
        return await partitions.drop_partitions(connection, "chat", begin_of_february)

    dropped = at(database_url, drop)
    assert dropped[-2:] == ("chat_p203112", "chat_p203201")
    assert postgres.value(database_url, "SELECT count(*) FROM chat") == 1


def test_of_several_models_in_use_the_newest_stays(postgres, empty_database_url) -> None:
    url = empty_database_url
    at(url, lambda connection: migrate.upgrade(connection, "0002"))
    postgres.run(url, """
        INSERT INTO model (id, name, revision, task, format, hash, size_bytes, licence, source,
            state, registered_at)
        SELECT gen_random_uuid(), name, day::text, 'text', 'safetensors', sha256('x'), 1, '', '',
            state, make_timestamptz(2031, 1, day, 0, 0, 0)
        FROM (VALUES ('a', 1, 'active'), ('a', 3, 'active'), ('a', 2, 'active'),
            ('a', 4, 'candidate'), ('b', 1, 'active'), ('c', 1, 'retired'))
            AS old (name, day, state)
    """)
    asyncio.run(migrate.upgrade_at(url))
    kept = postgres.value(
        url, "SELECT string_agg(name || revision || state, ' ' ORDER BY name, revision) FROM model"
    )
    assert kept == "a1retired a2retired a3live a4candidate b1live c1retired"
