"""The database as the rest of the package uses it: an engine, transactions, and plain words.

Theory of operation
-------------------
A SQLAlchemy engine over asyncpg lives in the bridge's thread. `call` runs a coroutine there;
`tx` gives it a connection with a transaction around it. What other processes did at the same
time may end a transaction (serialisation failure, deadlock): it is then tried again, a few
times. It is never tried again once COMMIT was sent and no answer came, for then nobody knows
whether it happened: that is `Ambiguous`, and only who knows the meaning of the data can resolve
it.

Errors are told apart by what is to be done. A server that is gone, starting, stopping, full or
too slow is `Unavailable`; data and requests that it will never take are `Refused`; a table that
is not there is `Behind`; what remains (a syntax error, say) is a bug of ours and passes
unchanged. Sentences name the place of the database and never its password.

Every connection bounds how long a statement may run, and how long the server keeps a transaction
whose owner has fallen silent: the row lock of a machine that froze in the middle of a commit must
not keep its successor from claiming the world.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Concatenate, Final, NoReturn, ParamSpec, TypeVar, cast
from urllib.parse import parse_qs, unquote, urlsplit

import asyncpg
import trio
from asyncpg.exceptions import InternalClientError
from sqlalchemy import exc, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from atrium_server.persistence.bridge import CALLS_MAX, Bridge, open_bridge
from atrium_server.persistence.errors import (
    Ambiguous,
    Behind,
    Refused,
    StoreError,
    Unavailable,
)

SERVER_VERSION_MIN: Final = 150_000
CONNECT_S_MAX: Final = 3.0
COMMAND_S_MAX: Final = 5.0
IDLE_IN_TRANSACTION_S_MAX: Final = 10.0
TRIES_MAX: Final = 5
RETRY_S: Final = 0.01
DISPOSE_S_MAX: Final = 1.0

_RETRIED: Final = {"40001", "40P01"}
"""serialization_failure, deadlock_detected"""
_PASSES_BY: Final = {
    "25006",  # read_only_sql_transaction: a standby that is being promoted, or not
    "25P03",  # idle_in_transaction_session_timeout
    "53000", "53100", "53200", "53300",  # out of disk, memory or connections
    "55P03",  # lock_not_available
    "57014",  # query_canceled: too slow
    "57P01", "57P02", "57P03", "57P05",  # the server stops, crashed, starts
    "58000", "58030",  # input and output errors of the server
}
_SAYS_NO: Final = {
    "22": "its content is not what the database takes",
    "23": "it contradicts what is in the database",
    "28": "the user or the password is not accepted",
    "42501": "the user may not do that: it must own the tables, or have been granted them",
    "54": "it is too large",
}
_SCHEMA: Final = {"3F000", "42703", "42P01"}

_P = ParamSpec("_P")
_T = TypeVar("_T")


class Address:
    """Where a database is. Raises Refused when `url` cannot be one."""

    def __init__(self, url: str) -> None:
        try:
            parts = urlsplit(url)
            port = parts.port or 5432
        except ValueError as error:
            raise Refused(_BAD_URL) from error
        if parts.scheme not in {"postgresql", "postgres"}:
            raise Refused(_BAD_URL)
        asked = parse_qs(parts.query)
        self.url = url
        self.host = parts.hostname or asked.get("host", ["localhost"])[0]
        self.user = unquote(parts.username or "") or asked.get("user", ["(none)"])[0]
        self.name = unquote(parts.path.lstrip("/")) or self.user
        where = self.host if self.host.startswith("/") else f"{self.host}:{port}"
        self.place = f"the database {self.name!r} at {where}"


_BAD_URL: Final = (
    "The database URL is not understood: it must look like"
    " postgresql://user:password@host:5432/name, with special characters in the password"
    " written as %xx."
)


class Database:
    """Transactions from trio. Made by `open_database`."""

    def __init__(self, bridge: Bridge, address: Address, connections_max: int) -> None:
        self.bridge = bridge
        self.address = address
        self.engine: AsyncEngine = create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=connections_max,
            max_overflow=0,
            pool_timeout=COMMAND_S_MAX,
            pool_use_lifo=True,  # few connections are kept busy, and warm
        )

    async def call(
        self, function: Callable[_P, Awaitable[_T]], *args: _P.args, **kwargs: _P.kwargs
    ) -> _T:
        """Await `function` in the database thread; its errors come as ours where they are."""

        async def told() -> _T:
            try:
                return await function(*args, **kwargs)
            except Exception as error:
                reraise(error)

        return await self.bridge.call(told)

    async def tx(
        self,
        function: Callable[Concatenate[AsyncConnection, _P], Awaitable[_T]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        """`function(connection, ...)` within one transaction, again where others were in the way.

        Raises:
            Ambiguous: the connection was lost after COMMIT was sent.
            StoreError: nothing was written.
        """

        async def tried() -> _T:
            for number in range(TRIES_MAX):
                try:
                    return await self._once(function, *args, **kwargs)
                except Exception as error:
                    if sqlstate(error) not in _RETRIED or number + 1 == TRIES_MAX:
                        reraise(error)
                # Who lost twice against the same other waits longer each time.
                await asyncio.sleep(RETRY_S * 2**number)
            raise AssertionError("unreachable: the last try returns or raises")

        return await self.bridge.call(tried)

    async def _once(
        self,
        function: Callable[Concatenate[AsyncConnection, _P], Awaitable[_T]],
        *args: _P.args,
        **kwargs: _P.kwargs,
    ) -> _T:
        async with self.engine.connect() as connection:
            try:
                result = await function(connection, *args, **kwargs)
            except Exception as error:
                if isinstance(classified(error), Unavailable):
                    # A statement on the driver's own connection: SQLAlchemy does not know of it.
                    await connection.invalidate()
                raise
            try:
                await connection.commit()
            except Exception as error:
                if sqlstate(error) not in _RETRIED and isinstance(
                    classified(error), Unavailable
                ):
                    await connection.invalidate()
                    raise Ambiguous(
                        "the connection was lost before the database said whether it saved"
                    ) from error
                raise
            return result

    async def _connect(self) -> Any:
        connect = cast(Callable[..., Awaitable[Any]], asyncpg.connect)
        return await connect(
            self.address.url,
            timeout=CONNECT_S_MAX,
            command_timeout=COMMAND_S_MAX,
            server_settings={
                "application_name": "atrium",
                "idle_in_transaction_session_timeout": str(
                    round(IDLE_IN_TRANSACTION_S_MAX * 1000)
                ),
            },
        )

    async def check(self) -> None:
        """Raise a sentence when this is no server that we can work with."""
        await self.bridge.call(self._check)

    async def _check(self) -> None:
        place = self.address.place
        try:
            async with self.engine.connect() as connection:
                row = await connection.execute(text("SHOW server_version_num"))
                version = int(row.scalar_one())
        except Exception as error:
            raise _at_start(self.address, error) from error
        if version < SERVER_VERSION_MIN:
            raise Refused(
                f"The server of {place} is PostgreSQL {version // 10_000}; Atrium needs"
                f" {SERVER_VERSION_MIN // 10_000} or newer. Upgrade it, or leave the URL out to"
                " use the database that comes with Atrium."
            )

    async def dispose(self) -> None:
        """Close all connections."""
        await self.bridge.call(self.engine.dispose)


@asynccontextmanager
async def open_database(
    nursery: trio.Nursery, url: str, connections_max: int = CALLS_MAX
) -> AsyncGenerator[Database]:
    """The database at `url`, for the length of the block; raises Refused or Unavailable."""
    address = Address(url)
    async with open_bridge(nursery, connections_max) as bridge:
        database = Database(bridge, address, connections_max)
        try:
            await database.check()
            yield database
        finally:
            with trio.move_on_after(DISPOSE_S_MAX, shield=True):
                await database.dispose()


# --- what went wrong ---------------------------------------------------------------------


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what SQLAlchemy has wrapped in it, from the outside in."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        inner = seen.orig if isinstance(seen, exc.DBAPIError) else None
        seen = inner if inner is not None else seen.__cause__


def sqlstate(error: BaseException) -> str:
    """The five letters by which PostgreSQL names an error; empty when it is not one of its."""
    for each in causes(error):
        if isinstance(each, asyncpg.PostgresError):
            return str(getattr(each, "sqlstate", None) or "")
    return ""


def classified(error: BaseException) -> StoreError | None:
    """The error as one of ours; None for what is a bug."""
    for each in causes(error):
        if isinstance(each, StoreError):
            return each
    state = sqlstate(error)
    if state:
        return _by_state(state, error)
    for each in causes(error):
        if isinstance(each, asyncpg.InterfaceError) and isinstance(each, ValueError):
            return Refused(f"the database cannot take this: {_SAYS_NO['22']}")
        if isinstance(each, _GONE):
            return Unavailable(f"the database does not answer ({type(each).__name__})")
    return None


_GONE: Final = (
    OSError,
    TimeoutError,
    EOFError,
    asyncpg.InterfaceError,
    InternalClientError,  # seen when the server goes in the middle of connecting
    exc.TimeoutError,
    exc.PendingRollbackError,
)


def _by_state(state: str, error: BaseException) -> StoreError | None:
    if state in _PASSES_BY or state in _RETRIED or state.startswith("08"):
        return Unavailable(f"the database is not able to do this now (SQLSTATE {state})")
    if state in _SCHEMA:
        return Behind(
            f"The database lacks a table or column that this program needs (SQLSTATE {state}):"
            " run `atrium db upgrade`."
        )
    for each in causes(error):
        if isinstance(each, asyncpg.InvalidCachedStatementError):
            return Unavailable("the tables were changed in this moment")
    why = _SAYS_NO.get(state) or _SAYS_NO.get(state[:2])
    if why is not None:
        return Refused(f"the database cannot take this: {why} (SQLSTATE {state})")
    return None


def reraise(error: Exception) -> NoReturn:
    """Raise `error` as one of ours where it is one, else as it is."""
    ours = classified(error)
    if ours is None or ours is error:
        raise error
    raise ours from error


def _at_start(address: Address, error: Exception) -> Exception:
    """The error of a first connection, as a sentence for whoever started us."""
    place, state = address.place, sqlstate(error)
    found = next((each for each in causes(error) if isinstance(each, OSError)), None)
    if state.startswith("28"):
        return Refused(
            f"The user {address.user!r} is not let into {place}: check the user and the password"
            " in the database URL, and pg_hba.conf on the server."
        )
    if state == "3D000":
        return Refused(
            f"There is no such thing as {place}: create it with"
            f" `createdb {address.name}`, or correct the name at the end of the URL."
        )
    if any(isinstance(each, asyncpg.ClientConfigurationError) for each in causes(error)):
        return Refused(_BAD_URL)
    if isinstance(found, socket.gaierror):
        return Unavailable(
            f"The host of {place} is not known to the name service: check the database URL."
        )
    if isinstance(found, ConnectionRefusedError | FileNotFoundError):
        return Unavailable(
            f"Nothing listens where {place} should be: start the server, or correct the host and"
            " port in the database URL."
        )
    if isinstance(found, PermissionError):
        return Refused(f"This user may not open the socket of {place}.")
    ours = classified(error)
    if isinstance(ours, Unavailable):
        return Unavailable(
            f"{place[0].upper()}{place[1:]} does not answer: it may be starting, stopping or"
            f" behind a firewall ({ours})."
        )
    return ours or error
