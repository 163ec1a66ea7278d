"""Run by itself, as a script: keeps the Postgres of one test run for as long as somebody uses it.

    python keeper.py FOLDER

It starts a cluster below FOLDER (or takes the server that ATRIUM_TEST_DATABASE_URL names), makes
the template database, and writes both into FOLDER/server.json. Each test process holds a shared
lock on FOLDER/users.lock; when the exclusive one can be had, nobody is left, however they
ended, and the keeper cleans up. It is a process of its own so that several test processes
(pytest-xdist) share one cluster, and so that none of them has to be the last.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import shutil
import sys
import uuid
from contextlib import AsyncExitStack
from pathlib import Path

import asyncpg
import trio

from atrium_server.persistence.binaries import find_binaries
from atrium_server.persistence.embedded import open_embedded
from atrium_server.persistence.migrate import upgrade_at
from atrium_server.persistence.tools import with_database

CLUSTER_SETTINGS = {
    "fsync": "off", "full_page_writes": "off", "synchronous_commit": "off",
    "max_connections": "200", "autovacuum": "off", "max_wal_size": "2GB",
}


async def administer(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def make_template(url: str, name: str) -> None:
    await administer(
        with_database(url, "postgres"),
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'",
    )
    await upgrade_at(with_database(url, name))


def tell(folder: Path, told: dict[str, str]) -> None:
    """Whoever started us waits for a word, all others for that one; the file is whole at once."""
    unfinished = folder / "server.json.unfinished"
    unfinished.write_text(json.dumps(told))
    unfinished.rename(folder / "server.json")
    os.write(1, b"done\n")
    os.close(1)


def wait_until_unused(folder: Path) -> None:
    with (folder / "users.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)


async def keep(folder: Path) -> None:
    chosen = os.environ.get("ATRIUM_PG_BIN")
    binaries = find_binaries(Path(chosen) if chosen else None)
    async with AsyncExitStack() as stack:
        url = os.environ.get("ATRIUM_TEST_DATABASE_URL")
        if not url:
            cluster = await stack.enter_async_context(
                open_embedded(folder / "data", binaries, settings=CLUSTER_SETTINGS)
            )
            url = cluster.dsn
        template = f"atrium_template_{uuid.uuid4().hex[:12]}"
        await trio.to_thread.run_sync(asyncio.run, make_template(url, template))
        tell(folder, {"url": url, "template": template, "binaries": str(binaries.folder)})
        await trio.to_thread.run_sync(wait_until_unused, folder)
        drop = administer(with_database(url, "postgres"), f"DROP DATABASE {template}")
        await trio.to_thread.run_sync(asyncio.run, drop)


def main() -> None:
    folder = Path(sys.argv[1])
    try:
        trio.run(keep, folder)
    except BaseException as error:
        if not (folder / "server.json").exists():
            tell(folder, {"error": repr(error)})  # and leave the folder: the log is in it
            raise
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
