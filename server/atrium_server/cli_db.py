"""The commands `atrium db ...`: what one does to a database beside serving worlds from it.

Theory of operation
-------------------
`cli_place` finds the database and says how they end. What a running server forbids (to restore,
and mostly to upgrade) fails with a sentence, and changes nothing.
"""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated

import trio
from cyclopts import App, Parameter

from atrium_server.cli_place import Place, Where, bar, run, say
from atrium_server.persistence import dump, migrate, tools
from atrium_server.persistence.errors import Refused

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


app = App(name="db", help=HELP, help_format="plaintext")


@app.command(name="upgrade", help=UPGRADE_HELP)
def upgrade(where: Where | None = None) -> int:
    """Upgrade; returns the exit status."""

    async def work(place: Place) -> int:
        with bar("saving") as tell:
            backups = None
            if place.backups is not None:
                backups = migrate.Backups(place.backups, await place.binaries())
            done = await migrate.bring_up_to_date(place.database, backups, tell)
        if done.backup is not None:
            say(f"The database was saved to {done.backup}.")
        if done.changed:
            say(f"The database has the revision {done.after} now; it had"
                 f" {done.before or 'no tables'}.")
        else:
            say(f"The database has the revision {done.after}, as it should.")
        return 0

    return run(where, work, makes=True)


@app.command(name="check", help=CHECK_HELP)
def check(where: Where | None = None) -> int:
    """Compare revisions; returns the exit status."""

    async def work(place: Place) -> int:
        await place.database.call(migrate.check_at, place.database.address.url)
        say(f"The database has the revision {migrate.head()}, as it should.")
        return 0

    return run(where, work)


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
        with bar("saving") as tell:
            await dump.back_up(place.database, await place.binaries(), target.absolute(), tell)
        say(f"The database was saved to {target}.")
        return 0

    return run(where, work)


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
        with bar("loading") as tell:
            await dump.restore(place.database, await place.binaries(), file.absolute(), tell)
        say(f"The database is what {file} holds.")
        url = place.database.address.url
        if await place.database.call(migrate.current_at, url) != migrate.head():
            say("Its tables are of an older version: run `atrium db upgrade`.")
        return 0

    return run(where, work, makes=True)


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

    return run(where, work)


@contextmanager
def _interrupts_are_for_others() -> Generator[None]:
    """The terminal is psql's meanwhile: Ctrl-C ends a statement there, and not us."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
