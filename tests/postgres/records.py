"""Shared by the tests of records: rows, questions, and a connection that is lost at COMMIT."""

from __future__ import annotations

import struct
import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence import audit
from atrium_server.persistence.database import Database, open_database
from atrium_server.persistence.schema import uuid7
from atrium_server.persistence.store import Claim
from atrium_server.persistence.world_store import SqlWorldStore

NASTY = (
    "'; DROP TABLE ban; --", '" OR 1=1', "%_\\", "$1", ":x", "{0}", "\u202e\u0301", "😀" * 10,
    "a'); DELETE FROM chat; --",
)
"""Text that would do harm if it were ever taken for SQL."""
NOW_S = 1_790_000_000.0


async def fetch(database: Database, query: str, **values: object) -> list[tuple[Any, ...]]:
    """The rows of a query."""

    async def ask(connection: AsyncConnection) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await connection.execute(text(query), values)]

    return await database.tx(ask)


async def execute(database: Database, statement: str, **values: object) -> None:
    """Run a statement."""

    async def do(connection: AsyncConnection) -> None:
        await connection.execute(text(statement), values)

    await database.tx(do)


@asynccontextmanager
async def open_clone(postgres: Any, nursery: trio.Nursery) -> AsyncGenerator[Database]:
    """A migrated database, for a fixture that needs one for some of its parameters only."""
    url = postgres.create()
    try:
        async with open_database(nursery, url) as opened:
            yield opened
    finally:
        postgres.drop(url)


async def make_account(database: Database, number: int) -> uuid.UUID:
    """An account that is known by its number."""
    id = uuid.UUID(int=(1 << 100) + number)
    await execute(
        database,
        "INSERT INTO account (id, handle, handle_key, password_hash)"
        " VALUES (:id, :name, :name, '$')",
        id=id, name=f"person {number}",
    )
    return id


async def claim_world(database: Database, slug: str = "hall") -> Claim:
    """A world that is ours."""
    store = SqlWorldStore(database)
    await store.create(slug, slug)
    return await store.claim(slug, "here")


def line_id(number: int, now_s: float = NOW_S) -> uuid.UUID:
    """A UUIDv7 of `number` milliseconds after a time."""
    return uuid7(now_s + number / 1_000, number.to_bytes(10, "big"))


async def audited(database: Database) -> list[str]:
    """The actions of the audit log, which must be whole."""
    await database.tx(audit.verify)
    rows = await fetch(database, "SELECT action FROM audit_log ORDER BY sequence")
    return [row[0] for row in rows]


class Proxy:
    """Between us and the server; drops the connection at the next COMMIT when told to."""

    def __init__(self, path: str | None, host: str, port: int) -> None:
        self.path, self.host, self.port = path, host, port
        self.drop = ""
        """"before" or "after" the server has done it."""
        self.dropped = 0

    async def serve(self, client: trio.SocketStream) -> None:
        """One connection."""
        if self.path is None:
            server: trio.SocketStream = await trio.open_tcp_stream(self.host, self.port)
        else:
            server = await trio.open_unix_socket(self.path)
        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(self.back, server, client, nursery.cancel_scope)
            with suppress(trio.BrokenResourceError):
                await self.forth(client, server)
            nursery.cancel_scope.cancel()

    async def forth(self, client: trio.SocketStream, server: trio.SocketStream) -> None:
        """What we say."""
        async for data in client:
            if self.drop and b"COMMIT" in data:
                how, self.drop = self.drop, ""
                self.dropped += 1
                if how == "before":
                    return
                # The answer is not read: the server has done it when it closes on our goodbye.
                client.socket.shutdown(trio.socket.SHUT_RDWR)
                await server.send_all(data + b"X" + struct.pack("!I", 4))
                await trio.sleep_forever()
            await server.send_all(data)

    async def back(
        self, server: trio.SocketStream, client: trio.SocketStream, scope: trio.CancelScope
    ) -> None:
        """What the server says."""
        async for data in server:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await client.send_all(data)
        scope.cancel()


@asynccontextmanager
async def open_proxy(url: str) -> AsyncGenerator[tuple[Proxy, str]]:
    """A proxy before the server of `url`, and the URL of the same database through it."""
    parts = urlsplit(url)
    folder = parse_qs(parts.query).get("host", [""])[0]
    port = parts.port or 5432
    path = f"{folder}/.s.PGSQL.{port}" if folder.startswith("/") else None
    proxy = Proxy(path, parts.hostname or folder or "localhost", port)
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    near = listeners[0].socket.getsockname()[1]
    who = (parts.username or parse_qs(parts.query).get("user", [""])[0])
    if parts.password:
        who += f":{parts.password}"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, proxy.serve, listeners)
        yield proxy, f"postgresql://{who}@127.0.0.1:{near}{parts.path}"
        nursery.cancel_scope.cancel()
