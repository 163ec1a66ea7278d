"""Where the database of a command is, and how the command speaks: shared by those that need one.

Theory of operation
-------------------
A command finds the database as `serve` does: a server that --database-url names, or the private
one below the data directory. If a server of Atrium runs that one, it connects to it; otherwise it
starts it and stops it again.

Exit status as for `atrium`: 0 done, 1 it could not be done (one sentence), 2 mistakes in the
arguments, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import trio
from cyclopts import Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from atrium_server.config import Config, ConfigError, resolve_process
from atrium_server.persistence import dump
from atrium_server.persistence.binaries import SYSTEM_FOLDER, Binaries, find_binaries
from atrium_server.persistence.cluster_folder import SOCKET_NAME, layout_of
from atrium_server.persistence.database import Database, open_database
from atrium_server.persistence.embedded import open_embedded
from atrium_server.persistence.errors import Refused, StoreError

EXIT_NOT_DONE: Final = 1
EXIT_MISTAKE: Final = 2
EXIT_INTERRUPTED: Final = 130


@Parameter(name="*")
@dataclass(frozen=True)
class Where:
    """Which database."""

    database_url: Annotated[
        str | None,
        Parameter(help="A Postgres of yours. [ATRIUM_DATABASE_URL]", metavar="URL"),
    ] = None
    data_dir: Annotated[
        str | None,
        Parameter(help="Where the private database lies. [ATRIUM_DATA_DIR]", metavar="FOLDER"),
    ] = None
    pg_bin: Annotated[
        str | None,
        Parameter(help="The programs of Postgres. [ATRIUM_PG_BIN]", metavar="FOLDER"),
    ] = None
    pg_user: Annotated[
        str | None,
        Parameter(help="Whom root runs the private Postgres as. [ATRIUM_PG_USER]",
                  metavar="NAME"),
    ] = None


@dataclass(frozen=True)
class Place:
    """An open database. `backups` is where it is saved before an upgrade, if it is private."""

    config: Config
    database: Database
    pg_bin: Path | None
    backups: Path | None

    async def binaries(self) -> Binaries:
        """The tools; not every command needs them. Raises Refused.

        Those of the server's own version are best: others may not know what a security release
        has added to it, and then what they save is good for that server only.
        """
        same = SYSTEM_FOLDER / str(await dump.server_major(self.database)) / "bin"
        if self.pg_bin is None and self.backups is None and await trio.Path(same).exists():
            return find_binaries(same)
        return find_binaries(self.pg_bin)


Work = Callable[[Place], Awaitable[int]]


# --- finding it --------------------------------------------------------------------------


def run(where: Where | None, work: Work, *, makes: bool = False) -> int:
    """Open the database and do the work; returns the exit status."""
    flags = {name: value for name, value in asdict(where or Where()).items() if value is not None}
    try:
        config = resolve_process(flags)
    except ConfigError as error:
        tell_all(error.mistakes)
        return EXIT_MISTAKE
    status = EXIT_NOT_DONE
    try:
        status = trio.run(_work, config, work, makes)
    except* StoreError as group:
        tell_all(_sentences(group))
    except* KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    return status


async def _work(config: Config, work: Work, makes: bool) -> int:
    status = EXIT_NOT_DONE
    async with trio.open_nursery() as nursery, _opened(config, nursery, makes) as place:
        status = await work(place)
    return status


@asynccontextmanager
async def _opened(config: Config, nursery: trio.Nursery, makes: bool) -> AsyncGenerator[Place]:
    if config.ephemeral:
        raise Refused("The setting ephemeral keeps nothing: there is no database.")
    async with AsyncExitStack() as stack:
        url, backups = config.database_url, None
        if url is None:
            url, backups = await _private(config, stack, makes), config.data_dir / "backups"
        database = await stack.enter_async_context(open_database(nursery, url))
        yield Place(config, database, config.pg_bin, backups)


async def _private(config: Config, stack: AsyncExitStack, makes: bool) -> str:
    """The address of the private database, which is started unless it runs."""
    layout = layout_of(config.data_dir)
    if not makes and not await trio.Path(layout.data).exists():
        raise Refused(
            f"There is no database in {config.data_dir} yet: `atrium serve` makes one. Name"
            " another folder with --data-dir, or a server of yours with --database-url."
        )
    try:
        await (await trio.open_unix_socket(str(layout.run / SOCKET_NAME))).aclose()
    except (OSError, RuntimeError):
        binaries = find_binaries(config.pg_bin)
        opening = open_embedded(config.data_dir, binaries, os_user=config.pg_user or "")
        return (await stack.enter_async_context(opening)).dsn
    return layout.dsn


# --- the terminal ------------------------------------------------------------------------


@contextmanager
def bar(what: str, *, is_measured: bool = True) -> Generator[Callable[[float], None]]:
    """A progress bar, where somebody sees it; without a measure it only shows that it goes on."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
               TimeElapsedColumn())
    shown = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with shown:
        task = shown.add_task(what, total=1.0 if is_measured else None)
        yield lambda part: shown.update(task, completed=part)


def _sentences(group: BaseExceptionGroup[StoreError]) -> list[str]:
    found: list[str] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            found.extend(_sentences(error))
        else:
            found.append(str(error))
    return found


def tell_all(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        sys.stderr.write(f"atrium: {sentence}\n")


def say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
