"""Saves a database to a file and brings it back, with the tools of Postgres: whole or not at all.

Theory of operation
-------------------
A backup is what `pg_dump` writes in its own compressed format, from one snapshot, while everybody
goes on working. It is written beside its place and renamed when it is whole and on disk.

To restore is to load the file into a new database beside the one in use, and then to give the two
each other's names in one transaction. So the old one is untouched until the new one is complete,
and the renaming fails as long as anybody is connected, a running server above all. The old one is
dropped last.

What the tools say about each table as they go is the progress.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, cast

import asyncpg
import trio
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.binaries import Binaries
from atrium_server.persistence.child import ENVIRONMENT
from atrium_server.persistence.database import Database
from atrium_server.persistence.errors import Refused, StoreError, Unavailable
from atrium_server.persistence.tools import (
    end_of,
    ignore_line,
    run_tool,
    started,
    with_database,
)

Progress = Callable[[float], None]
"""Told what part is done, from 0 to 1."""

_NEW_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_LAST_SETTING: Final = b"SET row_security = "
_NEW_SETTING: Final = b"SET transaction_timeout = 0;\n"
HEAD_BYTES_MAX: Final = 65_536
ADMINISTER_S_MAX: Final = 10.0

_DUMPS: Final = re.compile(r'dumping contents of table "[^".]+\.([^"]+)"')
_LOADS: Final = re.compile(r"processing data for table ")
_TABLE_SIZES: Final = """
    SELECT c.relname, pg_table_size(c.oid) + 8192 AS size
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname = 'public'
"""
_TABLES: Final = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
_USERS: Final = """
    SELECT count(*) FROM pg_stat_activity WHERE datname = $1 AND backend_type = 'client backend'
"""


def ignore_progress(part: float) -> None:
    """For who need not know."""


async def back_up(
    database: Database, binaries: Binaries, target: Path, progress: Progress = ignore_progress
) -> None:
    """Save the database in a file that only its owner can read; `target` is absolute.

    Raises StoreError.
    """
    sizes = await database.tx(_sizes)
    all_bytes = max(sum(sizes.values()), 1)
    done_bytes = coming_bytes = 0

    def tell(line: str) -> None:
        nonlocal done_bytes, coming_bytes
        if (found := _DUMPS.search(line)) is not None:
            done_bytes += coming_bytes
            coming_bytes = sizes.get(found[1], 0)
            progress(min(done_bytes / all_bytes, 1.0))

    unfinished = target.with_name(f"{target.name}.unfinished")
    command = [binaries.program("pg_dump"), "--format=custom", f"--file={unfinished}",
               "--no-owner", "--no-privileges", "--lock-wait-timeout=10s", "--verbose"]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(unfinished, _NEW_FILE, 0o600))  # pg_dump keeps the rights, and syncs it
        await run_tool(command, database.address.url, tell)
        unfinished.replace(target)
    except OSError as error:
        raise _cannot_write(target, error) from None
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
    progress(1.0)


async def load(
    url: str, binaries: Binaries, source: Path, progress: Progress = ignore_progress
) -> None:
    """Fill an empty database from a file, named in full. Raises StoreError: it is half filled."""
    tables = max(await tables_in(binaries, source), 1)
    begun = 0

    def tell(line: str) -> None:
        nonlocal begun
        if _LOADS.search(line):
            progress(min(begun / tables, 1.0))
            begun += 1

    restoring = [binaries.program("pg_restore"), "--file=-", "--no-owner", "--no-privileges",
                 "--verbose", source]
    loading = [binaries.program("psql"), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1"]
    failed: dict[str, StoreError | None] = {}

    async def hear(name: str, tool: trio.Process, tell: Callable[[str], None]) -> None:
        failed[name] = await end_of(name, tool, tell)

    async with (
        started(loading, url, stdin=subprocess.PIPE) as psql,
        started(restoring, url, stdout=subprocess.PIPE) as pg_restore,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(hear, "psql", psql, ignore_line)
        nursery.start_soon(hear, "pg_restore", pg_restore, tell)
        # Whoever stopped first knows why; the other one only misses it.
        order = ["pg_restore", "psql"] if await _pass_on(pg_restore, psql) else ["psql"]
    for name in order:
        if (error := failed[name]) is not None:
            raise error
    progress(1.0)


async def tables_in(binaries: Binaries, source: Path) -> int:
    """How many tables a backup has rows of. Raises Refused if it is no backup."""
    if not await trio.Path(source).is_file():
        raise Refused(f"There is no file {source}.")
    done = await trio.run_process(
        [binaries.program("pg_restore"), "--list", source],
        capture_stdout=True, capture_stderr=True, check=False, env=ENVIRONMENT,
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise Refused(f"The file {source} is no backup of a database: {' '.join(said)}.")
    listed = done.stdout.decode(errors="replace").splitlines()
    ours = [line for line in listed if " TABLE public alembic_version " in line]
    if not ours:
        raise Refused(f"The file {source} is a backup of something that Atrium did not make.")
    return sum(1 for line in listed if " TABLE DATA " in line)


async def is_empty(database: Database) -> bool:
    """Whether there is no table in it."""

    async def ask(connection: AsyncConnection) -> bool:
        return not (await connection.exec_driver_sql(_TABLES)).scalar_one()

    return await database.tx(ask)


async def server_major(database: Database) -> int:
    """The number that tells the format of its files and its tools."""

    async def ask(connection: AsyncConnection) -> int:
        found = await connection.exec_driver_sql("SHOW server_version_num")
        return int(found.scalar_one()) // 10_000

    return await database.tx(ask)


async def restore(
    database: Database, binaries: Binaries, source: Path, progress: Progress = ignore_progress
) -> None:
    """Put what is in a file in the place of the whole database. Raises StoreError.

    The connections of `database` are closed, and come again.
    """
    await tables_in(binaries, source)  # before anything is made
    url, name = database.address.url, database.address.name
    stamp = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
    new, old = f"{name[:40]}_new_{stamp}", f"{name[:40]}_old_{stamp}"
    await database.dispose()
    await database.call(_refuse_if_used, url, name)
    await database.call(
        _administer, url, f"CREATE DATABASE {_quoted(new)} TEMPLATE template0 ENCODING 'UTF8'"
    )
    try:
        await load(with_database(url, new), binaries, source, progress)
        await database.dispose()
        await database.call(_swap, url, (name, new, old))
    except BaseException:
        with trio.CancelScope(shield=True), trio.move_on_after(ADMINISTER_S_MAX):
            await database.call(
                _administer, url, f"DROP DATABASE IF EXISTS {_quoted(new)} WITH (FORCE)"
            )
        raise
    await database.call(_administer, url, f"DROP DATABASE {_quoted(old)} WITH (FORCE)")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


async def _pass_on(source: trio.Process, sink: trio.Process) -> bool:
    """What one tool writes another one reads; returns False if that one ended before.

    Newer tools begin with a setting that older servers do not know and nobody needs.
    """
    assert source.stdout is not None
    assert sink.stdin is not None
    head: bytes | None = b""
    async with source.stdout, sink.stdin:
        async for chunk in source.stdout:
            if head is not None:
                head += chunk
                if _LAST_SETTING not in head and len(head) < HEAD_BYTES_MAX:
                    continue
                chunk, head = head.replace(_NEW_SETTING, b"", 1), None
            try:
                await sink.stdin.send_all(chunk)
            except trio.BrokenResourceError:
                return False
    return True


def _cannot_write(target: Path, error: OSError) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable(f"There is no space left on the disk of {target}: free some.")
    return Refused(f"The file {target} cannot be written: {error.strerror or error}.")


# --- in the thread of asyncio ------------------------------------------------------------


async def _sizes(connection: AsyncConnection) -> dict[str, int]:
    found = await connection.exec_driver_sql(_TABLE_SIZES)
    return {str(row.relname): int(row.size) for row in found}


async def _administer(url: str, statement: str) -> None:
    """Run a statement in the database `postgres`, outside of a transaction."""
    connection = await _connect(with_database(url, "postgres"))
    try:
        await connection.execute(statement)
    except asyncpg.InsufficientPrivilegeError:
        raise Refused(
            "The user of the database URL may not create databases, which a restore needs: name"
            " one that may, or load the file with pg_restore into an empty database."
        ) from None
    finally:
        await connection.close()


async def _swap(url: str, names: tuple[str, str, str]) -> None:
    """Rename two databases as one, if nobody is in them."""
    name, new, old = names
    connection = await _connect(with_database(url, "postgres"))
    try:
        async with connection.transaction():
            await connection.execute(
                f"ALTER DATABASE {_quoted(name)} RENAME TO {_quoted(old)}"
            )
            await connection.execute(
                f"ALTER DATABASE {_quoted(new)} RENAME TO {_quoted(name)}"
            )
    except asyncpg.ObjectInUseError:
        raise _in_use(name) from None
    finally:
        await connection.close()


async def _refuse_if_used(url: str, name: str) -> None:
    """Early, before a long file is loaded; `_swap` finds out who came meanwhile."""
    connection = await _connect(with_database(url, "postgres"))
    try:
        if await connection.fetchval(_USERS, name):
            raise _in_use(name)
    finally:
        await connection.close()


def _in_use(name: str) -> Refused:
    return Refused(
        f"The database {name!r} is in use: stop the servers that use it. Nothing was changed."
    )


async def _connect(url: str) -> Any:
    connect = cast(Callable[..., Awaitable[Any]], asyncpg.connect)
    return await connect(url, timeout=ADMINISTER_S_MAX)
