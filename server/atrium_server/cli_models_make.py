"""The commands of `atrium models` that make versions and measure them.

They need torch and the training data, which most who run a server have not; what is missing is said
in a sentence. What is trained is written to a folder and published by nobody but its reader: to
train is not to use.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec
import trio
from cyclopts import Parameter, validators
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from atrium_server.cli_models import Name, Version, run_task
from atrium_server.cli_place import EXIT_NOT_DONE, Place, Where, bar, run, say, tell_all
from atrium_server.persistence.feedback import SqlFeedback
from atrium_server.persistence.model_rows import NewEvaluation
from atrium_server.registry.catalogue import Catalogue
from atrium_server.registry.errors import ModelError
from atrium_server.registry.opening import open_catalogue

if TYPE_CHECKING:
    from atrium_server.registry.packages import Package
    from atrium_server.training.texts import Labelled

DATA_DEFAULT: Final = Path(__file__).parents[3] / "shared" / "data"
"""Beside the repository."""
NEEDS: Final = (
    'This needs torch, which is not installed: pip install "atrium[brain]", as the README says.'
)
SET_HELP: Final = "Lines with labels, .tsv or .jsonl; those that came with Atrium if none are said."
_LABELS: Final = "labels"


@Parameter(name="*")
@dataclass(frozen=True)
class How:
    """How to train."""

    data: Annotated[
        Path, Parameter(help="The folder of training data.", metavar="DIR")
    ] = DATA_DEFAULT
    out: Annotated[
        Path, Parameter(help="Where the version and checkpoints are written.", metavar="DIR")
    ] = Path("trained")
    seed: Annotated[int, Parameter(help="The same seed makes the same version.")] = 7
    with_feedback: Annotated[
        bool, Parameter(help="Learn from what people said of verdicts, too.", negative=())
    ] = False
    on: Annotated[str, Parameter(
        help="Go on from this version (or `live`) with feedback alone: no data, and seconds.",
        metavar="VERSION",
    )] = ""
    teacher: Annotated[
        bool, Parameter(help="Learn from a larger model, too (emotion only).", negative=())
    ] = False
    trials: Annotated[int, Parameter(
        help="Search for better settings, so many trials.", validator=validators.Number(gte=0)
    )] = 0
    processes: Annotated[int, Parameter(
        help="That share the work.", validator=validators.Number(gte=1, lte=64)
    )] = 1


def train(
    name: Name,
    *,
    version: Annotated[str, Parameter(help="What the version is to be called.")],
    how: How | None = None,
    where: Where | None = None,
) -> int:
    """Train a version; returns the exit status."""
    wanted = how or How()
    if wanted.on and not wanted.with_feedback:
        tell_all(["--on goes on from a version with feedback: say --with-feedback, too."])
        return EXIT_NOT_DONE
    if not wanted.with_feedback:
        return _trained(name, version, wanted, None)
    read: list[tuple[Labelled, Package | None]] = []

    async def work(place: Place) -> int:
        try:
            feedback = await _feedback(SqlFeedback(place.database), name)
            read.append((feedback, await _version(place, name, wanted.on)))
        except ModelError as error:
            tell_all([error.sentence])
            return EXIT_NOT_DONE
        return 0

    status = run(where, work)  # the database is not kept open for the hours that training takes
    return status or _trained(name, version, wanted, read[0])


async def _version(place: Place, name: str, on: str) -> Package | None:
    """What is gone on from, if anything."""
    if not on:
        return None
    catalogue = await open_catalogue(place.config.data_dir, place.database)
    if on == "live":
        on = (await catalogue.standing(name)).live or on
    return await catalogue.load(name, on)


def _trained(
    name: str, version: str, how: How, read: tuple[Labelled, Package | None] | None
) -> int:
    try:
        document = _train(name, version, how, read or (None, None))
    except ModelError as error:
        tell_all([error.sentence])
        return EXIT_NOT_DONE
    path = how.out / f"{document.name}-{document.version}.json"
    say(f"{document.label} was trained ({document.size / 1e6:.1f} MB). Of what was held out:")
    for figure, value in document.content["metrics"].items():
        say(f"  {figure:<40} {value}")
    say(f"To publish it: atrium models publish {path}")
    return 0


def _train(
    name: str, version: str, how: How, read: tuple[Labelled | None, Package | None]
) -> Any:
    with _in_sentences():
        from atrium_server.training import fine_tuning, recipes
        from atrium_server.training.sources import DataAbsentError
    if name not in recipes.RECIPES:
        raise ModelError(
            f"There is no recipe for {name[:60]!r}: there are {', '.join(sorted(recipes.RECIPES))}."
        )
    shown = Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn(),
        console=(console := Console(stderr=True)), transient=True,
        disable=not console.is_terminal,
    )
    with shown:
        tasks: dict[str, Any] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = shown.add_task(what, total=total)
            shown.update(tasks[what], completed=done, total=total)

        feedback, base = read
        order = recipes.Order(
            how.data, how.out, version, how.seed, feedback, progress,
            processes=how.processes, has_teacher=how.teacher, trials=how.trials,
        )
        try:
            if base is not None and feedback is not None:
                lesson = fine_tuning.Lesson(version, how.out, how.seed, progress)
                return fine_tuning.fine_tune(base, feedback, lesson)
            return recipes.train(name, order)
        except DataAbsentError as error:
            raise ModelError(str(error)) from None
        except OSError as error:
            raise ModelError(f"{how.out} cannot be written: {error.strerror}.") from None


async def _feedback(store: SqlFeedback, name: str) -> Labelled:
    with _in_sentences():
        from atrium_server.training import from_feedback, moderation
    if name != "moderation":
        raise ModelError(f"{name} does not learn from feedback: leave --with-feedback out.")
    texts = from_feedback.as_texts(await from_feedback.read_all(store, name), moderation.LABELS)
    say(f"{len(texts):,} rows of feedback are learnt from.")
    return texts


def evaluate(
    name: Name,
    version: Version,
    *,
    rows: Annotated[Path | None, Parameter(name="--set", help=SET_HELP, metavar="FILE")] = None,
    where: Where | None = None,
) -> int:
    """Measure a version on a fixed set; returns the exit status."""

    async def task(catalogue: Catalogue) -> None:
        new, figures = await measured(catalogue, name, version, rows)
        say(f"{name}@{version} on {new.subject} ({new.subject_hash[:12]}):")
        for figure, value in figures.items():
            say(f"  {figure:<40} {value}")

    return run_task(where, task)


async def measured(
    catalogue: Catalogue, name: str, version: str, rows: Path | None = None
) -> tuple[NewEvaluation, dict[str, Any]]:
    """Measure a version on a fixed set, and keep that. Raises ModelError and StoreError."""
    package = await catalogue.load(name, version)
    with bar("measuring", is_measured=False):
        fixed, figures = await trio.to_thread.run_sync(_measured, package, rows)
    new = NewEvaluation(name, version, fixed.name, fixed.sha256, msgspec.json.encode(figures))
    await catalogue.keep_evaluation(new)
    return new, figures


@Parameter(name="*")
@dataclass(frozen=True)
class Smaller:
    """What is made of a version."""

    version: Annotated[str, Parameter(name="--as", help="What it is to be called.",
                                      metavar="VERSION")]
    rows: Annotated[Path | None, Parameter(name="--set", help=SET_HELP, metavar="FILE")] = None
    out: Annotated[Path, Parameter(help="Where it is written.", metavar="DIR")] = Path("trained")
    way: Annotated[str, Parameter(help="One of the ways in the table.")] = ""
    loss_max: Annotated[float, Parameter(help="So much of the mean area may be lost.")] = 0.005


def compress(name: Name, version: Version, *, how: Smaller, where: Where | None = None) -> int:
    """Make a smaller version; returns the exit status."""

    async def task(catalogue: Catalogue) -> None:
        package = await catalogue.load(name, version)
        with bar("trying", is_measured=False):
            table, document = await trio.to_thread.run_sync(_smaller, package, how)
        for line in (("way", "area", "lost", "a line", "size"), *table.lines()):
            say("{:<44}{:>8}{:>9}{:>11}{:>10}".format(*line))
        path = how.out / f"{document.name}-{document.version}.json"
        say(f"{document.label} is {document.content['settings']['way']}.")
        say(f"To publish it: atrium models publish {path}")

    return run_task(where, task)


def _smaller(package: Any, how: Smaller) -> Any:
    with _in_sentences():
        from atrium_server.training.fixed_sets import AUTHORED
        from atrium_server.training.smaller import Wanted, make_smaller
    wanted = Wanted(how.version, how.rows or AUTHORED, how.out, how.loss_max, how.way)
    return make_smaller(package, wanted)


def _measured(package: Any, path: Path | None) -> Any:
    with _in_sentences():
        from atrium_server.inference.device import TorchDevice
        from atrium_server.inference.loading import load
        from atrium_server.training.fixed_sets import AUTHORED, measure, read_set
    labels = package.document.content["settings"].get(_LABELS)
    if not labels or len(package.document.signature.inputs) != 1:
        raise ModelError(f"{package.document.label} has no labels, so no lines can be compared.")
    fixed = read_set(path or AUTHORED, labels)
    return fixed, measure(load(package, TorchDevice("cpu")), labels, fixed)


@contextmanager
def _in_sentences() -> Generator[None]:
    """Around imports of what may not be installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise ModelError(NEEDS) from error
