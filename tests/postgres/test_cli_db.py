"""`atrium db`: what is saved comes back whole, what cannot be done changes nothing and is told."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
import trio

from atrium_server import cli_db, cli_place
from atrium_server.persistence import audit, dump, migrate, tools
from atrium_server.persistence.database import open_database
from atrium_server.persistence.errors import Refused

Answer = tuple[int, str, str]

BESIDE = """SELECT count(*) FROM pg_database
    WHERE starts_with(datname, left(current_database(), 40) || '_')"""
"""Databases that a restore has left; other tests make and drop some of other names meanwhile."""


@pytest.fixture
def atrium_db(capsys, monkeypatch) -> Callable[..., Answer]:
    """`atrium db ARGUMENTS`: status, what it said, and what it complained about."""
    for name in [name for name in os.environ if name.startswith("ATRIUM_")]:
        monkeypatch.delenv(name)

    def run(*arguments: object) -> Answer:
        with pytest.raises(SystemExit) as caught:
            cli_db.app([str(argument) for argument in arguments])
        status = caught.value.code
        assert isinstance(status, int)
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def with_a_world(postgres, database_url) -> str:
    """A database with something in it, texts that need care among it."""
    postgres.run(
        database_url,
        "INSERT INTO world (slug, title) VALUES ('plaza', E'It''s \\\\ \"ä\" \\n; DROP TABLE')",
        "INSERT INTO audit_log (action) SELECT 'do' FROM generate_series(1, 100)",
    )
    return database_url


@pytest.fixture
def data_dir(postgres) -> Iterator[Path]:
    """A data directory that an ordinary user can enter."""
    made = Path(tempfile.mkdtemp(prefix="atrium-test-", dir="/tmp"))
    made.chmod(0o711)
    yield made / "data"
    shutil.rmtree(made)


async def verified(url: str) -> int:
    """How many rows the audit log has, if it is whole."""
    async with migrate.connected(url) as connection:
        return (await audit.verify(connection)).rows


def test_a_backup_is_restored_whole(postgres, with_a_world, atrium_db, tmp_path) -> None:
    url, file = with_a_world, tmp_path / "saved.dump"
    title = postgres.value(url, "SELECT title FROM world")
    assert atrium_db("backup", file, "--database-url", url)[0] == 0
    assert file.stat().st_mode & 0o777 == 0o600
    postgres.run(url, "UPDATE world SET title = 'ruined'", "DROP TABLE role_grant")
    status, out, err = atrium_db("restore", file, "--replace", "--database-url", url)
    assert (status, err) == (0, ""), err
    assert str(file) in out
    assert postgres.value(url, "SELECT title FROM world") == title
    assert asyncio.run(verified(url)) == 100
    assert atrium_db("check", "--database-url", url)[0] == 0
    assert postgres.value(url, BESIDE) == 0


def test_a_backup_replaces_no_file(with_a_world, atrium_db, tmp_path) -> None:
    file = tmp_path / "there.dump"
    file.write_text("precious")
    status, _, err = atrium_db("backup", file, "--database-url", with_a_world)
    assert (status, file.read_text()) == (1, "precious")
    assert "exists: name another one" in err


def test_a_backup_that_cannot_be_written_leaves_nothing(with_a_world, atrium_db, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    status, _, err = atrium_db(
        "backup", tmp_path / "file" / "below.dump", "--database-url", with_a_world
    )
    assert status == 1
    assert "cannot be written" in err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_database_with_something_in_it_is_not_replaced_unasked(
    postgres, with_a_world, atrium_db, tmp_path
) -> None:
    file = tmp_path / "saved.dump"
    atrium_db("backup", file, "--database-url", with_a_world)
    postgres.run(with_a_world, "UPDATE world SET title = 'newer'")
    status, _, err = atrium_db("restore", file, "--database-url", with_a_world)
    assert status == 1
    assert "say --replace" in err
    assert postgres.value(with_a_world, "SELECT title FROM world") == "newer"


def test_a_backup_fills_an_empty_database(
    postgres, with_a_world, empty_database_url, atrium_db, tmp_path
) -> None:
    file = tmp_path / "saved.dump"
    atrium_db("backup", file, "--database-url", with_a_world)
    assert atrium_db("restore", file, "--database-url", empty_database_url)[0] == 0
    assert postgres.value(empty_database_url, "SELECT count(*) FROM world") == 1


@pytest.mark.parametrize("content", [None, b"", b"no backup", b"PGDMP" + bytes(1000)])
def test_what_is_no_backup_changes_nothing(
    postgres, with_a_world, atrium_db, tmp_path, content
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    status, _, err = atrium_db("restore", file, "--replace", "--database-url", with_a_world)
    assert status == 1
    assert "no backup" in err or "no file" in err
    assert postgres.value(with_a_world, "SELECT count(*) FROM world") == 1


def test_half_a_backup_changes_nothing(postgres, with_a_world, atrium_db, tmp_path) -> None:
    file = tmp_path / "saved.dump"
    atrium_db("backup", file, "--database-url", with_a_world)
    file.write_bytes(file.read_bytes()[:-3_000])
    status, _, err = atrium_db("restore", file, "--replace", "--database-url", with_a_world)
    assert status == 1, err
    assert postgres.value(with_a_world, "SELECT count(*) FROM audit_log") == 100
    # Only those named after this one: other tests make and drop databases at the same time.
    assert postgres.value(with_a_world, BESIDE) == 0


def test_a_database_in_use_is_not_replaced(postgres, with_a_world, atrium_db, tmp_path) -> None:
    file = tmp_path / "saved.dump"
    atrium_db("backup", file, "--database-url", with_a_world)

    async def hold() -> Answer:
        connection = await asyncpg.connect(with_a_world)
        try:
            return await asyncio.to_thread(
                atrium_db, "restore", file, "--replace", "--database-url", with_a_world
            )
        finally:
            await connection.close()

    status, _, err = asyncio.run(hold())
    assert status == 1
    assert "in use: stop the servers" in err
    assert postgres.value(with_a_world, "SELECT count(*) FROM world") == 1


def test_check_says_what_is_missing(empty_database_url, atrium_db) -> None:
    status, _, err = atrium_db("check", "--database-url", empty_database_url)
    assert status == 1
    assert "`atrium db upgrade`" in err


def test_a_wrong_address_is_a_sentence_without_the_password(atrium_db) -> None:
    url = "postgresql://ada:secret@127.0.0.1:1/atrium"
    status, _, err = atrium_db("check", "--database-url", url)
    assert status == 1
    assert err.startswith("atrium: Nothing listens")
    assert "secret" not in err


def test_the_private_database_is_made_saved_and_looked_at(
    postgres, data_dir, atrium_db, tmp_path
) -> None:
    where = ("--data-dir", data_dir, "--pg-bin", postgres.binaries.folder)
    status, _, err = atrium_db("check", *where)
    assert status == 1
    assert "There is no database" in err
    assert not data_dir.exists()
    assert atrium_db("upgrade", *where)[:2] == (
        0, "The database has the revision 0003 now; it had no tables.\n"
    )
    assert atrium_db("check", *where)[0] == 0
    assert atrium_db("backup", tmp_path / "saved.dump", *where)[0] == 0
    assert (tmp_path / "saved.dump").stat().st_size > 10_000


def test_psql_gets_the_password_in_a_file(monkeypatch, with_a_world, atrium_db) -> None:
    seen: dict[str, Any] = {}

    def run(command: list[Any], check: bool) -> Any:
        seen["command"] = [str(word) for word in command]
        passwords = seen["command"][1].partition("passfile=")[2]
        seen["passwords"] = Path(passwords).read_text()
        seen["mode"] = Path(passwords).stat().st_mode & 0o777
        return type("Done", (), {"returncode": 3})

    monkeypatch.setattr(cli_db.subprocess, "run", run)
    monkeypatch.setattr(cli_place, "find_binaries", lambda chosen: _Programs())
    url = re.sub(r"//(\w+)(:\w+)?@", r"//\1:se%3Acret@", with_a_world)
    assert atrium_db("shell", "--database-url", url)[0] == 3
    assert "cret" not in " ".join(seen["command"])
    assert seen["passwords"] == "*:*:*:*:se\\:cret\n"
    assert seen["mode"] == 0o600


class _Programs:
    def program(self, name: str) -> Path:
        return Path("/programs") / name


def test_the_tools_get_the_address_in_their_environment() -> None:
    given = tools.tool_environment(
        "postgresql://a%40b:p%3Aw@db.example:5433/world?sslmode=require&application_name=x"
    )
    assert {name: value for name, value in given.items() if name.startswith("PG")} == {
        "PGHOST": "db.example", "PGPORT": "5433", "PGUSER": "a@b", "PGPASSWORD": "p:w",
        "PGDATABASE": "world", "PGSSLMODE": "require",
    }


async def test_progress_is_told_table_by_table(
    postgres, with_a_world, empty_database_url, tmp_path, nursery
) -> None:
    file = tmp_path / "saved.dump"
    saving: list[float] = []
    loading: list[float] = []
    async with open_database(nursery, with_a_world) as database:
        await dump.back_up(database, postgres.binaries, file, saving.append)
        await dump.load(empty_database_url, postgres.binaries, file, loading.append)
    for told in (saving, loading):
        assert len(told) > 20
        assert told == sorted(told)
        assert (told[0], told[-1]) == (0.0, 1.0)


async def test_only_what_atrium_saved_is_restored(
    postgres, empty_database_url, tmp_path
) -> None:
    file = tmp_path / "strange.dump"
    command = [postgres.binaries.program("pg_dump"), "--format=custom", f"--file={file}"]
    await trio.run_process(command, env=tools.tool_environment(empty_database_url))
    with pytest.raises(Refused, match="Atrium did not make"):
        await dump.tables_in(postgres.binaries, file)
