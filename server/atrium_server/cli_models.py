"""The commands `atrium models ...`: which versions of models there are, and which are in use.

Theory of operation
-------------------
They change records in the database and files in the data directory, and talk to no server: one that
runs sees the change within a few seconds and swaps the versions between two batches. So they work
the same whether a server runs or not, and a roll-back never waits for one.

To promote, the candidate's speed is measured here and now, on this machine's device, which needs
torch; its quality is what was measured of it and of the live version on the same rows. Everything
else needs no torch.

`cli_place` finds the database and says how commands end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import msgspec
import trio
from cyclopts import App, Parameter

from atrium_server.cli_models_words import Shown, say_history, say_moves, say_rows, say_version
from atrium_server.cli_place import EXIT_NOT_DONE, Place, Where, bar, run, say, tell_all
from atrium_server.persistence.model_rows import Move, NewEvaluation, Op
from atrium_server.registry.catalogue import Catalogue, Who
from atrium_server.registry.errors import ModelError
from atrium_server.registry.gate import Measured, Timed, Verdict, judge, rules_of
from atrium_server.registry.opening import open_catalogue
from atrium_server.registry.packages import Package
from atrium_server.registry.stages import CANARY_SHARE_DEFAULT, Order
from atrium_server.registry.trials import Known, scored_pair

ACTOR: Final = "console"
"""Whom the history names: whoever can run this command on this machine."""
HISTORY_ROWS: Final = 50

HELP = """Look after models: list, train, publish, evaluate, try, promote, roll back.

A version begins as a candidate. As a shadow it is asked too, and its answers are only compared; as
a canary it answers a share of the people, always the same ones; live it answers all. For example:

  atrium models publish ./moderation-1.1

  atrium models canary moderation 1.1 --share 0.1

  atrium models promote moderation 1.1

  atrium models rollback moderation

A server that runs notices within seconds.
"""

LIST_HELP = """List the versions of all models, or of one, those in use first.

For example:

  atrium models list

  atrium models list moderation --json
"""

SHOW_HELP = """Show what was done to a model, or all that is known of one version.

For example:

  atrium models show moderation        (its history: when, what, who, why)

  atrium models show moderation 1.0    (its card: data, figures, licence)
"""

PUBLISH_HELP = """Take a version from a folder, a wheel, or the document of one.

For example:

  atrium models publish ./moderation-1.1

  atrium models publish ./models/moderation-1.1.json    (one of several in a folder)

  atrium models publish atrium_models-1.0-py3-none-any.whl

Everything is checked first. Models are .safetensors and .json files; what could run something when
it is opened, such as a pickle, is refused. To publish the same again mends damaged files.
"""

SHADOW_HELP = """Ask a version too, and only compare its answers.

For example:

  atrium models shadow moderation 1.1
"""

CANARY_HELP = """Let a version answer a share of the people, always the same ones.

For example:

  atrium models canary moderation 1.1 --share 0.1
"""

PROMOTE_HELP = """Make a version live, if it passes the gate.

None of the figures that count may be worse than those of the live version by more than a margin, on
the same rows, and a batch must run in time on this machine. The figures are kept with the change.

For example:

  atrium models promote moderation 1.1
"""

ROLLBACK_HELP = """Retire the live version; the one that was live before it is live again.

For example:

  atrium models rollback moderation --why "it blocks the names of plants"
"""

RETIRE_HELP = """Take a version that is not live out of use.

For example:

  atrium models retire moderation 1.1
"""

TRAIN_HELP = """Train a version and write it to a folder; nothing is published.

For example:

  atrium models train moderation --version 1.1 --data ../shared/data

  atrium models train moderation --version 1.2 --with-feedback

  atrium models train moderation --version 1.3 --with-feedback --on live

The last one needs no data and takes seconds: the live version learns what moderators said, and is
held to what it says of other lines. Of the others, what was interrupted goes on where it was, in
the same folder. All need torch.
"""

EVALUATE_HELP = """Measure a version on lines with labels, and keep the figures for the gate.

For example:

  atrium models evaluate moderation 1.1

Evaluate the live version on the same file: what was measured on the same lines is compared. Without
--set those are the lines that came with Atrium. A line of a .jsonl is
{"text": "...", "labels": {"toxic": 1}}. It needs torch.
"""

COMPRESS_HELP = """Make a smaller version, and print what each way of doing so costs.

For example:

  atrium models compress moderation 1.1 --as 1.1s --set lines.tsv

A way that loses more than --loss-max is refused. Nothing is published. It needs torch.
"""

app = App(name="models", help=HELP, help_format="plaintext")
app.command("atrium_server.cli_models_make:train", name="train", help=TRAIN_HELP)
app.command("atrium_server.cli_models_make:evaluate", name="evaluate", help=EVALUATE_HELP)
app.command("atrium_server.cli_models_make:compress", name="compress", help=COMPRESS_HELP)
Task = Callable[[Catalogue], Awaitable[None]]
Name = Annotated[str, Parameter(help="The name of the model.")]
Version = Annotated[str, Parameter(help="The version.")]
AsJson = Annotated[bool, Parameter(name="--json", help="As JSON, for programs.", negative=())]


@Parameter(name="*")
@dataclass(frozen=True)
class Why:
    """What is kept with a change."""

    why: Annotated[str, Parameter(help="The reason; it is kept with the change.")] = ""

    @property
    def who(self) -> Who:
        """Who makes the change."""
        return Who(ACTOR, self.why)


# --- reading -----------------------------------------------------------------------------


@app.command(name="list", help=LIST_HELP)
def list_models(
    name: Annotated[str | None, Parameter(help="Of this model only.")] = None,
    *,
    as_json: AsJson = False,
    where: Where | None = None,
) -> int:
    """List versions; returns the exit status."""

    async def task(catalogue: Catalogue) -> None:
        say_rows(await catalogue.rows(name), as_json=as_json)

    return run_task(where, task)


@app.command(name="show", help=SHOW_HELP)
def show(
    name: Name,
    version: Annotated[str | None, Parameter(help="The version.")] = None,
    *,
    as_json: AsJson = False,
    where: Where | None = None,
) -> int:
    """Show a model or one version of it; returns the exit status."""

    async def task(catalogue: Catalogue) -> None:
        if version is None:
            if not await catalogue.rows(name):
                raise ModelError(f"There is no model {name[:60]!r}: see `atrium models list`.")
            say_history(await catalogue.history(name, HISTORY_ROWS), as_json=as_json)
            return
        row = await catalogue.row(name, version)
        shown = Shown(row, await catalogue.document(row),
                      await catalogue.evaluations(name, version))
        say_version(shown, as_json=as_json)

    return run_task(where, task)


# --- changing ----------------------------------------------------------------------------


@app.command(name="publish", help=PUBLISH_HELP)
def publish(
    path: Annotated[Path, Parameter(help="A folder, a wheel or a document.")],
    *,
    why: Why | None = None,
    where: Where | None = None,
) -> int:
    """Take a version; returns the exit status."""

    async def task(catalogue: Catalogue) -> None:
        with bar("checking", is_measured=False):
            document = await catalogue.publish(path.absolute(), (why or Why()).who)
        row = await catalogue.row(document.name, document.version)
        say(f"{document.label} is {row.stage} ({document.id[:12]},"
            f" {document.size / 1e6:.1f} MB).")

    return run_task(where, task)


@app.command(name="shadow", help=SHADOW_HELP)
def shadow(
    name: Name, version: Version, *, why: Why | None = None, where: Where | None = None
) -> int:
    """Make a shadow; returns the exit status."""
    return _order(where, name, Order(Op.SHADOW, version), why)


@app.command(name="canary", help=CANARY_HELP)
def canary(
    name: Name,
    version: Version,
    *,
    share: Annotated[
        float, Parameter(help="Of the people, above 0 and at most 0.5.")
    ] = CANARY_SHARE_DEFAULT,
    why: Why | None = None,
    where: Where | None = None,
) -> int:
    """Make a canary; returns the exit status."""
    return _order(where, name, Order(Op.CANARY, version, share), why)


@app.command(name="rollback", help=ROLLBACK_HELP)
def rollback(name: Name, *, why: Why | None = None, where: Where | None = None) -> int:
    """Go back to the version before; returns the exit status."""
    return _order(where, name, Order(Op.ROLLBACK), why)


@app.command(name="retire", help=RETIRE_HELP)
def retire(
    name: Name, version: Version, *, why: Why | None = None, where: Where | None = None
) -> int:
    """Take a version out of use; returns the exit status."""
    return _order(where, name, Order(Op.RETIRE, version), why)


@app.command(name="promote", help=PROMOTE_HELP)
def promote(
    name: Name, version: Version, *, why: Why | None = None, where: Where | None = None
) -> int:
    """Make a version live; returns the exit status."""

    async def task(catalogue: Catalogue) -> None:
        say_moves(name, await go_live(catalogue, name, version, (why or Why()).who))

    return run_task(where, task)


async def go_live(catalogue: Catalogue, name: str, version: str, who: Who) -> tuple[Move, ...]:
    """Promote a version that passes the gate. Raises ModelError and StoreError."""
    verdict = await _verdict(catalogue, name, version)
    if not verdict.has_passed:
        raise ModelError(f"{name}@{version} does not go live. " + " ".join(verdict.failures))
    order = Order(Op.PROMOTE, version, has_passed=True)
    return await catalogue.order(name, order, Who(who.actor, who.why, verdict.figures))


async def _verdict(catalogue: Catalogue, name: str, version: str) -> Verdict:
    """The candidate against the live version, which may be itself."""
    package = await catalogue.load(name, version)
    live = (await catalogue.standing(name)).live
    others = None if live in (None, version) else await _known(catalogue, name, live)
    mine, theirs = scored_pair(await _known(catalogue, name, version), others)
    rules = rules_of(name)
    with bar("measuring the speed", is_measured=False):
        timed = await trio.to_thread.run_sync(_timed, package, rules.rows)
    await catalogue.keep_evaluation(NewEvaluation(
        name, version, f"device {timed.device}"[:128], "",
        msgspec.json.encode({"rows": timed.rows, "run_ms": timed.run_ms}),
    ))
    return judge(
        Measured(package.document.label, mine, timed),
        Measured(others[0].label, theirs) if others is not None else None, rules,
    )


async def _known(catalogue: Catalogue, name: str, version: str) -> Known:
    document = await catalogue.document(await catalogue.row(name, version))
    return document, await catalogue.evaluations(name, version)


def _timed(package: Package, rows: int) -> Timed:
    try:
        from atrium_server.inference.trial import time_version
    except ModuleNotFoundError as error:
        raise ModelError(
            "To measure how fast a model is needs torch, which is not installed:"
            ' pip install "atrium[brain]", as the README says.'
        ) from error
    return time_version(package, rows)


# --- all of them -------------------------------------------------------------------------


def _order(where: Where | None, name: str, order: Order, why: Why | None) -> int:
    async def task(catalogue: Catalogue) -> None:
        say_moves(name, await catalogue.order(name, order, (why or Why()).who))

    return run_task(where, task)


def run_task(where: Where | None, task: Task) -> int:
    """Open the catalogue and do it; returns the exit status."""
    async def work(place: Place) -> int:
        try:
            catalogue = await open_catalogue(place.config.data_dir, place.database)
            await task(catalogue)
        except ModelError as error:
            tell_all([error.sentence])
            return EXIT_NOT_DONE
        return 0

    return run(where, work)
