"""Brings a database to the schema of this program, and says whether it is there.

Theory of operation
-------------------
The steps are Alembic revisions in `migrations/`: at the top of a checkout, beside this package in
an installation. They run in this process, on a connection of their own, because those of the
engine end a statement after some seconds and a migration may take minutes. The engine's thread is
where it happens.

Several servers may start together on an empty database: an advisory lock (taken in
`migrations/env.py`) lets one of them work, and the others find that nothing is left to do. Within
one process there is one upgrade at a time, as Alembic keeps what it does in globals. No step waits
for long for the lock of a table, because all others would wait behind it.

A private database is upgraded at the start of the server, after it was saved in the data
directory. A server that belongs to somebody is upgraded by `atrium db upgrade` alone: until then
`check` refuses, and so it does for a database that a newer program has upgraded.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from atrium_server.persistence.binaries import Binaries
from atrium_server.persistence.database import Database, causes, classified, sqlstate
from atrium_server.persistence.dump import Progress, back_up, ignore_progress
from atrium_server.persistence.errors import Ahead, Behind, Refused, Unavailable
from atrium_server.persistence.partitions import ensure_partitions
from atrium_server.persistence.schema import metadata

logger = logging.getLogger(__name__)

BACKUPS_KEPT: Final = 5
CONNECT_S_MAX: Final = 10.0
_LOCK_NOT_AVAILABLE: Final = "55P03"
_BACKUP_NAME: Final = re.compile(r"before-\w+-from-\w+-\d{8}T\d{6}\.dump")


@dataclass(frozen=True, slots=True)
class Upgrade:
    """What was done: the revisions before (None: the database was empty) and after."""

    before: str | None
    after: str
    backup: Path | None = None

    @property
    def changed(self) -> bool:
        return self.before != self.after


@dataclass(frozen=True, slots=True)
class Backups:
    """Where a private database is saved before it is upgraded, and with whose pg_dump."""

    folder: Path
    binaries: Binaries


def migrations_folder() -> Path:
    """Where the steps lie: in an installed package, or at the top of a checkout."""
    here = Path(__file__).resolve()
    candidates = (here.parents[1] / "migrations", here.parents[3] / "migrations")
    for candidate in candidates:
        if (candidate / "env.py").is_file():
            return candidate
    raise Refused(
        f"The migrations of the database are missing: there is no env.py in {candidates[0]}. "
        "Install the package atrium again."
    )


def head() -> str:
    """The revision that this program needs."""
    found = _scripts().get_current_head()
    assert found is not None, "there is no revision at all"
    return found


async def current(connection: AsyncConnection) -> str | None:
    """The revision that a database has; None when it is empty. Raises Refused, Ahead."""
    return await connection.run_sync(_current)


async def check(connection: AsyncConnection) -> None:
    """Raise Behind or Ahead unless the database has the revision of this program."""
    found = await current(connection)
    if found is None:
        raise Behind(
            "The database is empty: run `atrium db upgrade` once, with the same database URL,"
            " to make its tables."
        )
    if found != head():
        raise Behind(
            f"The database has the revision {found} of its tables, and this program needs"
            f" {head()}: save it (`atrium db backup`), stop all servers that use it, and run"
            " `atrium db upgrade`."
        )


async def upgrade(connection: AsyncConnection, target: str = "head") -> Upgrade:
    """Run the steps that are missing, and make the partitions of the next months.

    Each step is a transaction, so what the caller has begun on the connection is committed before.
    """
    before = await current(connection)
    await connection.commit()
    if before != head():
        try:
            await connection.run_sync(_upgrade, target)
        except Exception as error:
            raise _told(error) from error
    await ensure_partitions(connection, datetime.now(UTC))
    await connection.commit()
    return Upgrade(before, head() if target == "head" else target)


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[AsyncConnection]:
    """A connection on which a statement may take its time. For the thread of asyncio."""

    async def connect() -> Any:
        opened = cast(Callable[..., Awaitable[Any]], asyncpg.connect)
        return await opened(
            url, timeout=CONNECT_S_MAX, server_settings={"application_name": "atrium upgrade"}
        )

    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=connect, poolclass=NullPool
    )
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()


async def check_at(url: str) -> None:
    """`check` on a connection of its own. For the thread of asyncio."""
    async with connected(url) as connection:
        await check(connection)


async def current_at(url: str) -> str | None:
    """`current` on a connection of its own. For the thread of asyncio."""
    async with connected(url) as connection:
        return await current(connection)


async def upgrade_at(url: str) -> Upgrade:
    """`upgrade` on a connection of its own. For the thread of asyncio."""
    async with connected(url) as connection:
        return await upgrade(connection)


async def bring_up_to_date(
    database: Database, backups: Backups | None, progress: Progress = ignore_progress
) -> Upgrade:
    """Upgrade from trio, and save what is there before, unless `backups` is None."""
    url = database.address.url
    before = await database.call(current_at, url)
    if before == head():
        return Upgrade(before, head())
    saved = None
    if backups is not None and before is not None:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        saved = backups.folder / f"before-{head()}-from-{before}-{stamp}.dump"
        await back_up(database, backups.binaries, saved, progress)
        logger.info("the database was saved to %s before its upgrade", saved)
        _keep_newest(backups.folder)
    done = await database.call(upgrade_at, url)
    logger.info("the database was upgraded from %s to %s", done.before or "nothing", done.after)
    return Upgrade(done.before, done.after, saved)


def _keep_newest(folder: Path) -> None:
    """Backups that were made by ourselves are thrown away by ourselves."""
    ours = [path for path in folder.iterdir() if _BACKUP_NAME.fullmatch(path.name)]
    ours.sort(key=lambda path: path.stat().st_mtime_ns)
    for path in ours[:-BACKUPS_KEPT]:
        path.unlink()


def _told(error: Exception) -> Exception:
    """Why a step could not be done; what is a bug stays as it is."""
    if sqlstate(error) == _LOCK_NOT_AVAILABLE:
        return Unavailable(
            "The tables of the database are in use, or another server is upgrading them: stop the"
            " servers that use it, and try again."
        )
    ours = classified(error)
    if ours is None or isinstance(ours, Unavailable):
        return ours or error
    said = str([*causes(error)][-1]).partition("\n")[0]
    return Refused(
        f"The database cannot be upgraded as it is ({said}); it has the tables of the last step"
        " that could be done, and nothing was lost."
    )


# --- in Alembic's words ------------------------------------------------------------------


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())


def _upgrade(connection: Connection, target: str) -> None:
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, target)


def _current(connection: Connection) -> str | None:
    encoding = connection.execute(text("SHOW server_encoding")).scalar_one()
    if encoding != "UTF8":
        raise Refused(
            f"The database keeps text as {encoding}: create it with the encoding UTF8"
            " (createdb --encoding UTF8 --template template0)."
        )
    found = MigrationContext.configure(connection).get_current_revision()
    if found is None:
        strangers = metadata.tables.keys() & set(inspect(connection).get_table_names())
        if strangers:
            raise Refused(
                f"The database has tables that Atrium did not make ({', '.join(sorted(strangers))}"
                "): give Atrium a database of its own."
            )
        return None
    known = {script.revision for script in _scripts().walk_revisions()}
    if found not in known:
        raise Ahead(
            f"The database has the revision {found} of its tables, which this program does not"
            f" know (it knows {head()}): a newer Atrium has upgraded it. Install that one, or"
            " restore a backup from before the upgrade (`atrium db restore`)."
        )
    return found
