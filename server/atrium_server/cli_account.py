"""The commands `atrium account ...`: what who runs the server does about accounts.

Theory of operation
-------------------
`cli_place` finds the database and says how they end. They may be used while a server runs; it
notices within a few seconds. This is also how the first account that may give roles comes about.

A password is never an argument, where other users of the machine and the shell's history would
see it: it is asked for twice at a terminal, and is the first line of what is piped in otherwise.
"""

from __future__ import annotations

import getpass
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Final

from cyclopts import App, Parameter

from atrium_server.accounts.administration import Administration
from atrium_server.accounts.errors import AccountError
from atrium_server.accounts.handles import fold
from atrium_server.accounts.passwords import Passwords
from atrium_server.accounts.roles import BUILT_IN
from atrium_server.cli_ai_keys import app as keys_app
from atrium_server.cli_place import EXIT_MISTAKE, EXIT_NOT_DONE, Place, Where, run, say, tell_all
from atrium_server.persistence.accounts import AccountRow
from atrium_server.persistence.sql_accounts import SqlAccounts
from atrium_shared.limits import HANDLE_CHARS_MAX

ROWS_AT_ONCE: Final = 200

HELP = """Look after accounts: make one, give and take roles, reset a password.

For example, the first one who may give roles to others:

  atrium account create ada --role admin

Roles are admin, moderator, builder and member. A server that runs notices within seconds.
"""

CREATE_HELP = """Make an account.

For example:

  atrium account create ada --role admin

  pwgen 20 1 | atrium account create ada      (the password from another program)

The password is asked for, or is the first line of the input. Every account is a member.
"""

GRANT_HELP = """Give a role, in one world or in all.

For example:

  atrium account grant ada moderator

  atrium account grant ada builder --world plaza
"""

REVOKE_HELP = """Take a role that was given.

For example:

  atrium account revoke ada builder --world plaza
"""

LIST_HELP = """List accounts with their roles, by handle.

For example:

  atrium account list

  atrium account list --after m        (those behind m)
"""

RESET_HELP = """Set another password and end all sign-ins.

For example:

  atrium account reset-password ada
"""

app = App(name="account", help=HELP, help_format="plaintext")
app.command(keys_app)
Task = Callable[[Administration], Awaitable[None]]
Handle = Annotated[str, Parameter(help="The handle; case does not count.")]
World = Annotated[str, Parameter(help="Only in this world.", metavar="NAME")]


@app.command(name="create", help=CREATE_HELP)
def create(
    handle: Handle,
    *,
    role: Annotated[
        list[str] | None, Parameter(help="Give this role; may be repeated.", negative=())
    ] = None,
    where: Where | None = None,
) -> int:
    """Make an account; returns the exit status."""
    password = _password()
    if password is None:
        return EXIT_MISTAKE

    async def task(administration: Administration) -> None:
        account = await administration.create(handle, password, role or [])
        say(f"The account {handle} was made ({account}).")

    return _run(where, task)


@app.command(name="grant", help=GRANT_HELP)
def grant(handle: Handle, role: str, *, world: World = "", where: Where | None = None) -> int:
    """Give a role; returns the exit status."""

    async def task(administration: Administration) -> None:
        given = await administration.grant(None, handle, role, world)
        say(f"{handle} is {role} in {world or 'all worlds'}{' now' if given else ' already'}.")

    return _run(where, task)


@app.command(name="revoke", help=REVOKE_HELP)
def revoke(handle: Handle, role: str, *, world: World = "", where: Where | None = None) -> int:
    """Take a role; returns the exit status."""

    async def task(administration: Administration) -> None:
        await administration.revoke(None, handle, role, world)
        say(f"{handle} is {role} in {world or 'all worlds'} no more.")

    return _run(where, task)


@app.command(name="list", help=LIST_HELP)
def show(
    *,
    after: Annotated[str, Parameter(help="Begin behind this handle.", metavar="HANDLE")] = "",
    where: Where | None = None,
) -> int:
    """List accounts; returns the exit status."""

    async def task(administration: Administration) -> None:
        key = fold(after)
        while rows := await administration.accounts(key, ROWS_AT_ONCE):
            for row in rows:
                say(await _line(administration, row))
            key = rows[-1].handle_key

    return _run(where, task)


@app.command(name="reset-password", help=RESET_HELP)
def reset_password(handle: Handle, *, where: Where | None = None) -> int:
    """Set another password; returns the exit status."""
    password = _password()
    if password is None:
        return EXIT_MISTAKE

    async def task(administration: Administration) -> None:
        row = await administration.find(handle)
        await administration.reset_password(row.id, row.handle, password)
        say(f"{row.handle} has another password, and is signed in nowhere.")

    return _run(where, task)


def _run(where: Where | None, task: Task) -> int:
    async def work(place: Place) -> int:
        store = SqlAccounts(place.database)
        administration = Administration(store, Passwords(), lambda news: None)
        try:
            await store.seed_roles(BUILT_IN)
            await task(administration)
        except AccountError as error:
            tell_all([error.sentence])
            return EXIT_NOT_DONE
        return 0

    return run(where, work)


async def _line(administration: Administration, row: AccountRow) -> str:
    grants = await administration.grants(row.id)
    roles = [each.role + (f"@{each.world}" if each.world else "") for each in grants]
    made = f"{row.created_at:%Y-%m-%d}"
    return f"{row.handle:<{HANDLE_CHARS_MAX}}  {row.status:<10} {made}  {' '.join(roles)}".rstrip()


def _password() -> str | None:
    """What is typed or piped in; None, and a sentence, when that is nothing."""
    if not sys.stdin.isatty():
        password = sys.stdin.readline().rstrip("\r\n")
        return password or _nothing(["There is no password in the first line of the input."])
    try:
        password = getpass.getpass("Password: ")
        again = getpass.getpass("The same again: ")
    except EOFError:
        return _nothing(["There is no password."])
    return password if password == again else _nothing(["These are two different passwords."])


def _nothing(sentences: Sequence[str]) -> None:
    tell_all(sentences)
