"""The commands `atrium account key ...`: keys by which apps ask the models of a server.

They may be used while a server runs. A key is told once, on standard output, where a program can
take it; all that is kept of it is a hash.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Awaitable, Callable
from typing import Annotated, Final

from cyclopts import App, Parameter, validators

from atrium_server.accounts.administration import Administration
from atrium_server.accounts.errors import AccountError
from atrium_server.accounts.passwords import Passwords
from atrium_server.ai.tokens import SECRET_BYTES, hash_of, key_of
from atrium_server.cli_place import EXIT_NOT_DONE, Place, Where, run, say, tell_all
from atrium_server.persistence.accounts import AccountRow
from atrium_server.persistence.ai_keys import KeyRow, KeyStore, NewKey, SqlKeys
from atrium_server.persistence.sql_accounts import SqlAccounts
from atrium_shared.limits import AI_KEY_NAME_CHARS_MAX, AI_ROWS_PER_DAY_MAX

ACTOR: Final = "operator"

HELP = """Keys by which apps ask the models of a server (POST /api/ai/...).

For example:

  atrium account key create ada "greeter bot" --per-minute 600

  atrium account key list ada
"""

app = App(name="key", help=HELP, help_format="plaintext")
Task = Callable[[KeyStore, AccountRow], Awaitable[int]]
Handle = Annotated[str, Parameter(help="Whose; case does not count.")]
Rows = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=AI_ROWS_PER_DAY_MAX))]


@app.command
def create(
    handle: Handle, name: str, *, per_minute: Rows = 600, per_day: Rows = 100_000,
    where: Where | None = None,
) -> int:
    """Make a key and print it, this once.

    Parameters
    ----------
    name
        By which its owner tells it from others.
    per_minute
        Texts that it may ask a minute.
    per_day
        Texts that it may ask a day.
    """
    key = key_of(secrets.token_bytes(SECRET_BYTES))
    key_hash = hash_of(key)
    assert key_hash is not None

    async def task(keys: KeyStore, owner: AccountRow) -> int:
        await keys.create(NewKey(uuid.uuid4(), key_hash, owner.id, name, per_minute, per_day))
        say(key)
        return 0

    return _run(where, handle, task)


@app.command(name="list")
def show(handle: Handle, *, where: Where | None = None) -> int:
    """List the keys of an account, oldest first; those that were revoked for a while, too."""

    async def task(keys: KeyStore, owner: AccountRow) -> int:
        for row in await keys.of(owner.id):
            say(_line(row))
        return 0

    return _run(where, handle, task)


@app.command
def revoke(handle: Handle, key: uuid.UUID, *, where: Where | None = None) -> int:
    """End a key; a server that runs may go on taking it for some seconds.

    Parameters
    ----------
    key
        Its number, as `list` shows it.
    """

    async def task(keys: KeyStore, owner: AccountRow) -> int:
        if await keys.revoke(key, owner.id, ACTOR):
            say("It may be used no more.")
            return 0
        tell_all([f"{owner.handle} has no such key, or it was revoked before."])
        return EXIT_NOT_DONE

    return _run(where, handle, task)


def _run(where: Where | None, handle: str, task: Task) -> int:
    async def work(place: Place) -> int:
        administration = Administration(
            SqlAccounts(place.database), Passwords(), lambda news: None
        )
        try:
            return await task(SqlKeys(place.database), await administration.find(handle))
        except AccountError as error:
            tell_all([error.sentence])
            return EXIT_NOT_DONE

    return run(where, work)


def _line(row: KeyRow) -> str:
    key = row.key
    used = f"{row.last_used_at:%Y-%m-%d %H:%M}" if row.last_used_at else "never"
    state = f"revoked {row.revoked_at:%Y-%m-%d}" if row.revoked_at else f"used {used}"
    return (f"{key.id}  {key.name:<{AI_KEY_NAME_CHARS_MAX}}  {key.rows_per_minute}/min"
            f"  {key.rows_per_day}/day  made {row.created_at:%Y-%m-%d}  {state}")
