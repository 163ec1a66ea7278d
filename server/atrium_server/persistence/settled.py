"""What statements on asyncpg's own connection share, and how a durable transaction ends.

Rows in bulk go as arrays through the driver's own connection, inside SQLAlchemy's transaction, at
most SLICE_ROWS_MAX in a statement: the encoder keeps the interpreter to itself for as long as it
encodes one statement, and the tick waits in another thread.

`settled` is for transactions that find out by themselves whether they were done before (each by
the id of what it was asked). Such a one is simply asked again when the answer to its COMMIT was
lost: what is still under way on the lost connection holds its locks until it is decided, so the
second attempt waits for it and then sees what became of it. A caller that is cancelled waits until
all is known, for at most SETTLE_TRIES_MAX times what the database allows for a statement.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Concatenate, Final, ParamSpec, TypeVar

import trio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from atrium_server.persistence.database import Database
from atrium_server.persistence.errors import Ambiguous
from atrium_server.persistence.world_store import SLICE_ROWS_MAX

SETTLE_TRIES_MAX: Final = 4
SETTLE_PAUSE_S: Final = 0.1

_P = ParamSpec("_P")
_T = TypeVar("_T")

# A user or a whole server may have been set to answer commits before they are on disk.
_ON_DISK: Final = text("""
    SELECT CASE WHEN current_setting('synchronous_commit') = 'off'
        THEN set_config('synchronous_commit', 'on', true) END
""")


async def make_durable(connection: AsyncConnection) -> None:
    """Let the commit of this transaction be answered when it is on disk, and not before."""
    await connection.execute(_ON_DISK)


async def settled(
    database: Database,
    function: Callable[Concatenate[AsyncConnection, _P], Awaitable[_T]],
    *args: _P.args,
    **kwargs: _P.kwargs,
) -> _T:
    """Run a transaction that may be asked twice, and return when it is on disk.

    Raises:
        Ambiguous: nobody could be asked what became of it; the caller may ask again later.
        StoreError: nothing was written.
    """

    async def durable(connection: AsyncConnection) -> _T:
        await make_durable(connection)
        return await function(connection, *args, **kwargs)

    result: list[_T] = []
    with trio.CancelScope(shield=True):
        for attempt in range(1, SETTLE_TRIES_MAX + 1):
            try:
                result.append(await database.tx(durable))
                break
            except Ambiguous:
                if attempt == SETTLE_TRIES_MAX:
                    raise
                await trio.sleep(SETTLE_PAUSE_S * attempt)
    return result[0]


def slices(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """The items, as many at a time as one statement takes."""
    for start in range(0, len(items), SLICE_ROWS_MAX):
        yield items[start : start + SLICE_ROWS_MAX]
