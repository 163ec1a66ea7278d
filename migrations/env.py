"""Runs the migrations: on a connection that was handed in, or on one made from `-x url=...`.

The server hands one in (see `atrium_server.persistence.migrate`); the command line of Alembic,
which is for who writes a revision, names a URL. Several may run this at once on the same database:
one works, the others wait for the advisory lock and then find nothing left to do.
"""

from __future__ import annotations

import asyncio
from typing import Any

from alembic import context
from sqlalchemy import Connection, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from atrium_server.persistence.schema import PARTITION_NAME, metadata

LOCK_KEY = 0x61747269756D00
LOCK_WAIT_S = 60
"""How long to wait for another one that is migrating."""
TABLE_LOCK_WAIT_S = 5
"""How long a step waits for a table, while all others wait behind it."""


def include_name(name: str | None, kind: str, parents: Any) -> bool:
    """Partitions are made at run time."""
    table = name if kind == "table" else parents.get("table_name")
    return table is None or PARTITION_NAME.fullmatch(table) is None


def migrate(connection: Connection) -> None:
    """Run what is to be run, alone. Each revision is a transaction of its own."""
    connection.execute(text(f"SET lock_timeout = '{LOCK_WAIT_S}s'"))
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": LOCK_KEY})
    connection.execute(text(f"SET lock_timeout = '{TABLE_LOCK_WAIT_S}s'"))
    connection.commit()
    try:
        context.configure(
            connection=connection,
            target_metadata=metadata,
            include_name=include_name,
            compare_type=True,
            compare_server_default=True,
            transaction_per_migration=True,
        )
        with context.begin_transaction():
            context.run_migrations()
    finally:
        # After an error the transaction may still be open, and nothing else would be heard.
        if not connection.invalidated:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK_KEY})
            connection.execute(text("RESET lock_timeout"))
            connection.commit()


async def migrate_at(url: str) -> None:
    """On a connection of our own."""
    engine = create_async_engine(
        make_url(url).set(drivername="postgresql+asyncpg"), poolclass=NullPool
    )
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


if context.is_offline_mode():
    raise SystemExit("Migrations need a database: there is no offline mode.")
handed_in = context.config.attributes.get("connection")
if handed_in is not None:
    migrate(handed_in)
else:
    asyncio.run(migrate_at(context.get_x_argument(as_dictionary=True)["url"]))
