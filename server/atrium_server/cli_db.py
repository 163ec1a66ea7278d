"""The commands `atrium db ...`: what one does to a database beside serving worlds from it.

Theory of operation
-------------------
All of them find the database as `serve` does: a server that --database-url names, or the private
one below the data directory. If a server of Atrium runs that one, they connect to it; otherwise
they start it and stop it again. What a running server forbids (to restore, and mostly to upgrade)
fails with a sentence, and changes nothing.

Exit status as for `atrium`: 0 done, 1 it could not be done (one sentence), 2 mistakes in the
arguments, 130 interrupted.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import trio
from cyclopts import App, Parameter
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from atrium_server.config import Config, ConfigError, resolve_process
from atrium_server.persistence import dump, migrate, tools
from atrium_server.persistence.binaries import SYSTEM_FOLDER, Binaries, find_binaries
from atrium_server.persistence.cluster_folder import SOCKET_NAME, layout_of
from atrium_server.persistence.database import Database, open_database
from atrium_server.persistence.embedded import open_embedded
from atrium_server.persistence.errors import Refused, StoreError

EXIT_NOT_DONE: Final = 1
EXIT_MISTAKE: Final = 2
EXIT_INTERRUPTED: Final = 130

HELP = """Look after the database: its tables, its backups.

Which one is found as serve finds it: a server of yours that --database-url names, or else the
private one in the data directory.
"""

UPGRADE_HELP = """Bring the tables to what this program needs.

For example:

  atrium db upgrade --database-url postgresql://atrium@db.example/atrium

The private database is saved in the folder backups of its data directory before; save yours
yourself (atrium db backup), and stop the servers that use it. Nothing happens if nothing is
missing.
"""

CHECK_HELP = """Say whether the tables are what this program needs.

For example, before a new version is started:

  atrium db check || atrium db upgrade

Exit status 1 when they are older or newer, or when the database does not answer.
"""

BACKUP_HELP = """Save the database to a file, while servers go on using it.

For example:

  atrium db backup                      (a file with the time in its name, here)

  atrium db backup /backups/monday.dump

Passwords and tokens are in it only as hashes; what people wrote is in it as it is.
"""

RESTORE_HELP = """Put what is in a backup in the place of the whole database.

For example:

  atrium db restore monday.dump --replace

Stop the servers that use it first. What is there now is kept until all of the file has been read,
and then removed; if anything fails, nothing has changed.
"""

SHELL_HELP = """Open psql on the database.

For example:

  atrium db shell

The private database is started for it, and stopped afterwards, unless a server runs it.
"""


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


app = App(name="db", help=HELP, help_format="plaintext")
Work = Callable[[Place], Awaitable[int]]


@app.command(name="upgrade", help=UPGRADE_HELP)
def upgrade(where: Where | None = None) -> int:
    """Upgrade; returns the exit status."""

    async def work(place: Place) -> int:
        with _bar("saving") as tell:
            backups = None
            if place.backups is not None:
                backups = migrate.Backups(place.backups, await place.binaries())
            done = await migrate.bring_up_to_date(place.database, backups, tell)
        if done.backup is not None:
            _say(f"The database was saved to {done.backup}.")
        if done.changed:
            _say(f"The database has the revision {done.after} now; it had"
                 f" {done.before or 'no tables'}.")
        else:
            _say(f"The database has the revision {done.after}, as it should.")
        return 0

    return _run(where, work, makes=True)


@app.command(name="check", help=CHECK_HELP)
def check(where: Where | None = None) -> int:
    """Compare revisions; returns the exit status."""

    async def work(place: Place) -> int:
        await place.database.call(migrate.check_at, place.database.address.url)
        _say(f"The database has the revision {migrate.head()}, as it should.")
        return 0

    return _run(where, work)


@app.command(name="backup", help=BACKUP_HELP)
def backup(
    file: Annotated[Path | None, Parameter(help="Where to; it must not exist yet.")] = None,
    *,
    where: Where | None = None,
) -> int:
    """Save; returns the exit status."""
    target = file or Path(datetime.now(UTC).strftime("atrium-%Y%m%dT%H%M%S.dump"))

    async def work(place: Place) -> int:
        if target.exists():
            raise Refused(f"The file {target} exists: name another one.")
        with _bar("saving") as tell:
            await dump.back_up(place.database, await place.binaries(), target.absolute(), tell)
        _say(f"The database was saved to {target}.")
        return 0

    return _run(where, work)


@app.command(name="restore", help=RESTORE_HELP)
def restore(
    file: Annotated[Path, Parameter(help="A backup.")],
    *,
    replace: Annotated[
        bool, Parameter(help="Remove what is in the database now.", negative=())
    ] = False,
    where: Where | None = None,
) -> int:
    """Bring back; returns the exit status."""

    async def work(place: Place) -> int:
        if not replace and not await dump.is_empty(place.database):
            raise Refused(
                "The database is not empty: say --replace if what is in it may be removed."
            )
        with _bar("loading") as tell:
            await dump.restore(place.database, await place.binaries(), file.absolute(), tell)
        _say(f"The database is what {file} holds.")
        url = place.database.address.url
        if await place.database.call(migrate.current_at, url) != migrate.head():
            _say("Its tables are of an older version: run `atrium db upgrade`.")
        return 0

    return _run(where, work, makes=True)


@app.command(name="shell", help=SHELL_HELP)
def shell(where: Where | None = None) -> int:
    """Run psql; returns its exit status."""

    async def work(place: Place) -> int:
        binaries = await place.binaries()
        address, password = tools.address_and_password(place.database.address.url)
        with tempfile.NamedTemporaryFile("w", prefix="atrium-", suffix=".pgpass") as passwords:
            passwords.write(password)
            passwords.flush()
            command = [binaries.program("psql"), f"{address}&passfile={passwords.name}"]
            with _interrupts_are_for_others():
                done = await trio.to_thread.run_sync(partial(subprocess.run, command, check=False))
        return done.returncode

    return _run(where, work)


# --- finding it --------------------------------------------------------------------------


def _run(where: Where | None, work: Work, *, makes: bool = False) -> int:
    """Open the database and do the work; returns the exit status."""
    flags = {name: value for name, value in asdict(where or Where()).items() if value is not None}
    try:
        config = resolve_process(flags)
    except ConfigError as error:
        _tell_all(error.mistakes)
        return EXIT_MISTAKE
    status = EXIT_NOT_DONE
    try:
        status = trio.run(_work, config, work, makes)
    except* StoreError as group:
        _tell_all(_sentences(group))
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
        yield Place(database, config.pg_bin, backups)


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
def _bar(what: str) -> Generator[Callable[[float], None]]:
    """A progress bar, where somebody sees it."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
               TimeElapsedColumn())
    shown = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    with shown:
        task = shown.add_task(what, total=1.0)
        yield lambda part: shown.update(task, completed=part)


@contextmanager
def _interrupts_are_for_others() -> Generator[None]:
    """The terminal is psql's meanwhile: Ctrl-C ends a statement there, and not us."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _sentences(group: BaseExceptionGroup[StoreError]) -> list[str]:
    found: list[str] = []
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            found.extend(_sentences(error))
        else:
            found.append(str(error))
    return found


def _tell_all(sentences: Sequence[str]) -> None:
    for sentence in sentences:
        sys.stderr.write(f"atrium: {sentence}\n")


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
