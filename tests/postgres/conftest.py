"""A real Postgres for tests: one cluster a run, and for each test that asks a database of its own.

Tests ask for `database_url` (a clone of a migrated database, some 60 ms), `empty_database_url` (no
tables) or `postgres` (the server, to make more of them). What is cloned is made once per run.

ATRIUM_PG_BIN names the folder of another Postgres' programs, ATRIUM_TEST_DATABASE_URL a server
that runs already and whose user may create databases. As root it runs as another user.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import select
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from atrium_server.persistence.binaries import Binaries, find_binaries
from atrium_server.persistence.tools import with_database

KEEPER = Path(__file__).with_name("keeper.py")
START_S_MAX = 60.0


@dataclass(frozen=True)
class PostgresServer:
    """A server on which databases come and go.

    Attributes:
        url: of its main database, as a user who may create others.
        template: the migrated database that is cloned.
    """

    url: str
    template: str
    binaries: Binaries

    def create(self, template: str | None = None) -> str:
        """The URL of a new database: a clone of the migrated one, unless said otherwise."""
        name = f"atrium_test_{uuid.uuid4().hex[:16]}"
        self.administer(
            f"CREATE DATABASE {name} TEMPLATE {template or self.template} STRATEGY FILE_COPY"
        )
        return with_database(self.url, name)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is in it."""
        name = url.partition("?")[0].rpartition("/")[2]
        self.administer(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def administer(self, statement: str) -> None:
        """Run a statement outside of transactions."""
        self.run(with_database(self.url, "postgres"), statement)

    def run(self, url: str, *statements: str) -> None:
        """Run statements in a database."""
        asyncio.run(_run(url, statements))

    def value(self, url: str, question: str) -> Any:
        """The first column of the first row."""
        return asyncio.run(_value(url, question))


async def _run(url: str, statements: tuple[str, ...]) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def _value(url: str, question: str) -> Any:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[PostgresServer]:
    """The server of this run, shared with the other test processes."""
    run = tmp_path_factory.getbasetemp()
    folder = _folder(run if worker_id == "master" else run.parent)
    with (folder / "users.lock").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        told = _served(folder)
        yield PostgresServer(told["url"], told["template"], find_binaries(Path(told["binaries"])))


@pytest.fixture
def database_url(postgres: PostgresServer) -> Iterator[str]:
    """A migrated database of this test's own."""
    url = postgres.create()
    yield url
    postgres.drop(url)


@pytest.fixture
def empty_database_url(postgres: PostgresServer) -> Iterator[str]:
    """A database without tables."""
    url = postgres.create("template0")
    yield url
    postgres.drop(url)


def _folder(run: Path) -> Path:
    """The same for all processes of a run; in /tmp, because Postgres may run as somebody else."""
    link = run / "postgres"
    with (run / "postgres.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not link.exists():
            link.unlink(missing_ok=True)
            folder = tempfile.mkdtemp(prefix="atrium-test-", dir="/tmp")
            Path(folder).chmod(0o711)
            link.symlink_to(folder)
    return link.resolve()


def _served(folder: Path) -> dict[str, str]:
    """What the keeper says; the first one to come starts it."""
    answer = folder / "server.json"
    with (folder / "start.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not answer.exists():
            _start_keeper(folder)
            assert answer.exists(), (folder / "keeper.log").read_text()
        told = json.loads(answer.read_text())
    assert "error" not in told, told["error"] + "\n" + (folder / "keeper.log").read_text()
    return told


def _start_keeper(folder: Path) -> None:
    """Start it and wait until it has said something, or has ended.

    It runs in a session of its own, so that Ctrl-C reaches it only through the end of the tests.
    """
    heard, said = os.pipe()
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, said, 1),
        (os.POSIX_SPAWN_OPEN, 2, str(folder / "keeper.log"), os.O_WRONLY | os.O_CREAT, 0o600),
    ]
    command = [sys.executable, str(KEEPER), str(folder)]
    os.posix_spawn(sys.executable, command, os.environ, file_actions=actions, setsid=True)
    os.close(said)
    select.select([heard], [], [], START_S_MAX)
    os.close(heard)
