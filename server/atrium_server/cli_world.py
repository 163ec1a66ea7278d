"""The commands `atrium world ...`: what is in the worlds, on its way out, in, and back in time.

Theory of operation
-------------------
Reading needs nothing but the database and disturbs nobody. What writes (import, restore, roll-back)
makes a plan and, unless --dry-run is said, carries it out: it owns the world meanwhile, so a server
that runs the world has to be stopped. Everything goes into one commit, the line of the audit log
included; a command that fails at any point has changed nothing.

`cli_place` finds the database and says how commands end.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter, validators

from atrium_server import cli_world_files as files
from atrium_server import world_history
from atrium_server.accounts.handles import fold
from atrium_server.cli_moments import Mistake, Moment, moment_of
from atrium_server.cli_place import EXIT_MISTAKE, Place, Where, bar, run, say, tell_all
from atrium_server.cli_world_files import How
from atrium_server.cli_world_words import say_edits, say_plan, say_worlds
from atrium_server.interchange.export import ExportOptions
from atrium_server.persistence.errors import Refused
from atrium_server.persistence.history import Chosen, EditHead, WorldHistory
from atrium_server.persistence.world_store import SqlWorldStore
from atrium_server.world_history import Planned

ACTOR: Final = "console"
"""Whom the audit log names: whoever can run this command on this machine."""

HELP = """Look after what is in the worlds: list, export, import, history, restore, roll-back.

The database is found as serve finds it: a server of yours that --database-url names, or else the
private one in the data directory. What writes to a world needs the server of that world stopped.
"""

LIST_HELP = """List all worlds, how much is in them and which server has them.

For example:

  atrium world list
"""

EXPORT_HELP = """Write what is in a world to a glTF file, which Blender and others can open.

For example:

  atrium world export plaza

  atrium world export plaza yesterday.glb --at 1d

  atrium world export plaza for-all.gltf --public

What Atrium needs to make the same props again is in the file too.
"""

IMPORT_HELP = """Put what is in a glTF file into a world, as one change.

For example:

  atrium world import plaza.glb plaza --dry-run

  atrium world import plaza.glb plaza --replace   (remove what is not in it)

  atrium world import plaza.glb garden --new-ids  (copies of the originals)

  atrium world import house.glb plaza             (from Blender, as models)

A world that is not there is made. A file that is broken is refused, and
nothing has changed then.
"""

HISTORY_HELP = """List the edits of a world, newest first.

For example:

  atrium world history plaza --by ada --since 2h

  atrium world history plaza --prop 0190f1d2-0000-7000-8000-000000000000 --json

Edits are remembered for 30 days.
"""

RESTORE_HELP = """Make a world what it was at a moment of the last 30 days.

For example:

  atrium world restore plaza --at 2026-11-20T12:00 --dry-run

  atrium world restore plaza --at 2026-11-20T12:00

A time without its zone is in UTC; 90m, 2h or 3d are so long ago. A restore is a change like others:
it can be taken back by restoring a moment before it.
"""

ROLL_BACK_HELP = """Take back what one person did to a world, where it still stands.

For example:

  atrium world roll-back plaza --by mallory --since 2h --dry-run

  atrium world roll-back plaza --session 0190f1d2-0000-7000-8000-000000000000 --since 1d

What others have changed since stays as they made it, and is counted. A guest has no account: name
the session, which the history shows.
"""

World = Annotated[str, Parameter(help="The name of the world.")]
AsJson = Annotated[bool, Parameter(name="--json", help="As JSON, for programs.", negative=())]
Limit = Annotated[int, Parameter(help="How many at most.", validator=validators.Number(gte=1))]
DryRun = Annotated[bool, Parameter(help="Only say what would be done.", negative=())]
Plan = Callable[[WorldHistory, Callable[[float], None]], Awaitable[Planned]]

app = App(name="world", help=HELP, help_format="plaintext")


@Parameter(name="*")
@dataclass(frozen=True)
class Whose:
    """Whose edits."""

    by: Annotated[str | None, Parameter(help="Of this account: its handle or id.")] = None
    session: Annotated[str | None, Parameter(help="Of this session, by its id.")] = None


@Parameter(name="*")
@dataclass(frozen=True)
class Which(Whose):
    """Which edits are listed."""

    prop: Annotated[str | None, Parameter(help="Of this prop, by its id.")] = None
    since: Annotated[str | None, Parameter(help="Not before this moment.")] = None
    until: Annotated[str | None, Parameter(help="Not after this moment.")] = None


# --- reading -----------------------------------------------------------------------------


@app.command(name="list", help=LIST_HELP)
def list_worlds(*, as_json: AsJson = False, where: Where | None = None) -> int:
    """List worlds; returns the exit status."""

    async def work(place: Place) -> int:
        worlds = await WorldHistory(place.database).worlds()
        say_worlds(worlds, as_json=as_json)
        return 0

    return run(where, work)


@app.command(name="history", help=HISTORY_HELP)
def history(
    world: World,
    *,
    which: Which | None = None,
    limit: Limit = 50,
    as_json: AsJson = False,
    where: Where | None = None,
) -> int:
    """List edits; returns the exit status."""
    asked = which or Which()
    try:
        since, until = _moment(asked.since), _moment(asked.until)
        session, prop = _id(asked.session), _id(asked.prop)
    except Mistake as error:
        return _mistake(error)

    async def work(place: Place) -> int:
        past = WorldHistory(place.database)
        now = await past.now()
        chosen = Chosen(
            await _account(past, asked.by), session, prop,
            since.on(now) if since else None, until.on(now) if until else None,
        )
        say_edits(await _edits(past, world, chosen, limit), as_json=as_json)
        return 0

    return run(where, work)


async def _edits(
    past: WorldHistory, world: str, chosen: Chosen, most: int
) -> list[EditHead]:
    world_id = (await past.world(world)).world_id
    edits: list[EditHead] = []
    while len(edits) < most:
        place = edits[-1].place if edits else None
        page = await past.page(world_id, chosen, place, most - len(edits))
        edits += page
        if not page:
            break
    return edits


@Parameter(name="*")
@dataclass(frozen=True)
class What:
    """What is written."""

    public: Annotated[
        bool,
        Parameter(help="Without who made what and texts not let pass yet.", negative=()),
    ] = False
    no_models: Annotated[
        bool, Parameter(help="Without the files of models.", negative=())
    ] = False


@app.command(name="export", help=EXPORT_HELP)
def export(
    world: World,
    file: Annotated[
        Path | None, Parameter(help="A new file, .glb or .gltf; WORLD.glb unless said.")
    ] = None,
    *,
    at: Annotated[str | None, Parameter(help="As it was at this moment.")] = None,
    what: What | None = None,
    where: Where | None = None,
) -> int:
    """Write a file; returns the exit status."""
    target = file or Path(f"{world}.glb")
    wanted = what or What()
    try:
        moment = _moment(at)
        if target.suffix not in (".glb", ".gltf"):
            raise Mistake(f"The file {target} must end in .glb or .gltf.")
    except Mistake as error:
        return _mistake(error)

    async def work(place: Place) -> int:
        if target.exists():
            raise Refused(f"The file {target} exists: name another one.")
        now = await WorldHistory(place.database).now()
        props = await files.props_at(place, world, moment.on(now) if moment else None)
        options = ExportOptions(target.suffix == ".gltf", not wanted.public)
        written = await files.write_file(place, props, target, options, not wanted.no_models)
        for warning in written.warnings:
            say(f"Note: {warning}")
        say(f"{len(props):,} props of {world} were written to {target}.")
        return 0

    return run(where, work)


# --- writing -----------------------------------------------------------------------------


@app.command(name="import", help=IMPORT_HELP)
def import_(
    file: Annotated[Path, Parameter(help="A .glb or .gltf.")],
    world: World,
    *,
    how: How | None = None,
    dry_run: DryRun = False,
    where: Where | None = None,
) -> int:
    """Put a file into a world; returns the exit status."""
    wanted = how or How()

    async def work(place: Place) -> int:
        files.check_name(world)
        imported = await files.read_file(place, file, world, wanted)

        async def plan(past: WorldHistory, tell: Callable[[float], None]) -> Planned:
            return await world_history.plan_import(
                past, world, imported.props, tell, replace=wanted.replace
            )

        past = WorldHistory(place.database)
        if await files.is_new(past, world, imported, wanted) and dry_run:
            say(f"The world {world} would be made, with {len(imported.props):,} props.")
            return 0
        if not dry_run:
            await files.keep_models(place, imported)
            store = SqlWorldStore(place.database)
            await files.ensure_world(store, past, world, wanted.title or "")
        return await _change(place, world, "import", plan, dry_run)

    return run(where, work)


@app.command(name="restore", help=RESTORE_HELP)
def restore(
    world: World,
    *,
    at: Annotated[str, Parameter(help="The moment.")],
    dry_run: DryRun = False,
    where: Where | None = None,
) -> int:
    """Bring a moment back; returns the exit status."""
    try:
        moment = moment_of(at)
    except Mistake as error:
        return _mistake(error)

    async def work(place: Place) -> int:
        then = await _on(place, moment)

        async def plan(past: WorldHistory, tell: Callable[[float], None]) -> Planned:
            return await world_history.plan_restore(past, world, then, tell)

        say(f"The world {world} as it was at {then:%Y-%m-%d %H:%M:%S} UTC:")
        return await _change(place, world, "restore", plan, dry_run)

    return run(where, work)


@app.command(name="roll-back", help=ROLL_BACK_HELP)
def roll_back(
    world: World,
    *,
    whose: Whose | None = None,
    since: Annotated[str, Parameter(help="From this moment on.")],
    dry_run: DryRun = False,
    where: Where | None = None,
) -> int:
    """Take one person's edits back; returns the exit status."""
    asked = whose or Whose()
    try:
        moment, session = moment_of(since), _id(asked.session)
        if (asked.by is None) == (session is None):
            raise Mistake("Say whose edits: --by an account, or --session of a guest.")
    except Mistake as error:
        return _mistake(error)

    async def work(place: Place) -> int:
        then = await _on(place, moment)
        chosen = Chosen(await _account(WorldHistory(place.database), asked.by), session)

        async def plan(past: WorldHistory, tell: Callable[[float], None]) -> Planned:
            return await world_history.plan_roll_back(past, world, then, chosen, tell)

        return await _change(place, world, "roll_back", plan, dry_run)

    return run(where, work)


async def _on(place: Place, moment: Moment) -> datetime:
    return moment.on(await WorldHistory(place.database).now())


def _moment(text: str | None) -> Moment | None:
    return None if text is None else moment_of(text)


async def _account(past: WorldHistory, named: str | None) -> uuid.UUID | None:
    """The account of a handle or an id. Raises Refused."""
    if named is None:
        return None
    try:
        return uuid.UUID(named)
    except ValueError:
        account = await past.account(fold(named))
    if account is None:
        raise Refused(f"There is no account {named[:64]!r}.")
    return account


def _id(text: str | None) -> uuid.UUID | None:
    """Raises Mistake, as all mistakes in the arguments do."""
    if text is None:
        return None
    try:
        return uuid.UUID(text)
    except ValueError:
        raise Mistake(f"{text[:40]!r} is no id: ids are in the history.") from None


async def _change(place: Place, world: str, op: str, plan: Plan, dry_run: bool) -> int:
    """Make a plan and, unless it is only to be seen, carry it out."""
    past = WorldHistory(place.database)
    if dry_run:
        with bar("reading") as tell:
            say_plan(await plan(past, tell), "would be")
        return 0
    store = SqlWorldStore(place.database)
    node = f"atrium-world-{secrets.token_hex(8)}"
    async with world_history.held(store, world, node) as claim:
        with bar("reading") as tell:
            planned = await plan(past, tell)
        with bar("writing", is_measured=False):
            version = await world_history.write(place.database, claim, planned, op, ACTOR)
    say_plan(planned, "were")
    say(f"The world {world} has version {version}.")
    return 0


def _mistake(error: Mistake) -> int:
    tell_all([str(error)])
    return EXIT_MISTAKE
