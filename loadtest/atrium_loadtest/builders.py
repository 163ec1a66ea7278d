"""`make bench-building`: what building costs those who walk, and how soon it is safe.

Theory of operation
-------------------
Five parts, each with a server and a private Postgres of its own; docs/BENCHMARKS.md defines the
figures:

    lateness   windows with and without edits in turn: how much later do ticks begin
    groups     the same rows by few edits, each of a whole group
    large      lateness in a large world, whose scene is made anew all the time
    rate       a closed loop (one edit of each builder under way), then an open one
    scene      a large world: how long it takes to load, and what newcomers cost those who are in
"""

from __future__ import annotations

import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec
from cyclopts import App, Parameter, validators
from rich.console import Console
from rich.table import Table

from atrium_loadtest import scene_load
from atrium_loadtest.build_report import (
    Figures,
    Measured,
    Summary,
    figures_of,
    summarise,
)
from atrium_loadtest.edit_load import EditLoad, Kind, Site
from atrium_loadtest.runner import RunError
from atrium_loadtest.scene_load import Newcomers, SceneSize
from atrium_loadtest.server_process import ServerError
from atrium_loadtest.yard import (
    SETTLE_S,
    WORLD_NAME,
    Yard,
    data_folder,
    open_yard,
    started,
)
from atrium_shared import limits

app = App(name="bench-building", help="Measure building and saving.")

PartName = Literal["lateness", "groups", "large", "rate", "scene"]
QUIET: Final = "quiet"
WALKERS: Final = 100
BUILDERS: Final = 250
BUILDER_PROPS: Final = 8
GROUP_PROPS: Final = 64
GROUP_BUILDERS: Final = 50
ROWS_PER_S: Final = 5_000.0
IN_FLIGHT: Final = 400
OPEN_PER_S: Final = 500.0
WORLD_PROPS: Final = 50_000
NEWCOMERS: Final = 100
NEWCOMERS_S: Final = 5.0
_MAKE_S_MAX: Final = 120.0

assert ROWS_PER_S < 0.9 * GROUP_BUILDERS * limits.EDIT_PROPS_PER_S_MAX


class Start(msgspec.Struct, frozen=True):
    """How long a server took from its start to `ready`, without and with a large world."""

    empty_s: list[float]
    full_s: list[float]
    load_s: float
    """The difference of the medians."""
    import_s: float
    scene: SceneSize


class Part(msgspec.Struct, frozen=True):
    """One part of the bench."""

    name: str
    summaries: list[Summary]
    windows: list[Figures]
    late_ms_p99_more: float | None = None
    """How much later the latest hundredth of ticks begins than in quiet windows, of all ticks."""
    start: Start | None = None


class Bench:
    """How long and how often."""

    def __init__(self, console: Console, rounds: int, seconds: float) -> None:
        self._console, self._rounds, self._seconds = console, rounds, seconds

    def run(self, part: PartName) -> Part:
        """Measure one part. Raises RunError or ServerError."""
        match part:
            case "lateness":
                return self._lateness(part, Site(BUILDERS, BUILDER_PROPS), ROWS_PER_S)
            case "groups":
                site = Site(GROUP_BUILDERS, GROUP_PROPS, Kind.ATTACH)
                return self._lateness(part, site, ROWS_PER_S)
            case "large":
                site = Site(BUILDERS, BUILDER_PROPS)
                return self._lateness(part, site, OPEN_PER_S, WORLD_PROPS)
            case "rate":
                return self._rate()
            case "scene":
                return self._scene()

    # --- edits ----------------------------------------------------------------------------

    def _lateness(self, name: str, site: Site, rows_per_s: float, there: int = 0) -> Part:
        """Windows with and without edits, in a world with `there` props of others in it."""
        edits_per_s = rows_per_s / site.rows_per_edit
        load = EditLoad(site)
        measured: list[Measured] = []
        with ExitStack() as stack:
            folder = stack.enter_context(data_folder())
            if there:
                with started(folder):
                    pass  # it makes the database
                self._import(folder, there)
            server = stack.enter_context(started(folder))
            bots = WALKERS + site.builders
            yard = stack.enter_context(open_yard(server.target, bots, load))
            self._make(yard, load)
            for _ in range(self._rounds):
                self._say(f"{name}: quiet")
                load.open_loop(0.0, time.monotonic_ns())
                yard.drive(SETTLE_S)
                measured.append(yard.window(QUIET, self._seconds))
                self._say(f"{name}: {edits_per_s:,.0f} edits/s, {rows_per_s:,.0f} rows/s")
                load.open_loop(edits_per_s, time.monotonic_ns())
                yard.drive(SETTLE_S)
                measured.append(yard.window("edits", self._seconds, edits_per_s))
        return _part(name, measured)

    def _rate(self) -> Part:
        load = EditLoad(Site(IN_FLIGHT, BUILDER_PROPS))
        measured: list[Measured] = []
        with data_folder() as folder, started(folder) as server, open_yard(
            server.target, IN_FLIGHT, load
        ) as yard:
            self._make(yard, load)
            for _ in range(self._rounds):
                self._say(f"rate: {IN_FLIGHT} edits in flight")
                load.closed_loop()
                yard.drive(SETTLE_S)
                measured.append(yard.window("closed", self._seconds))
                self._say(f"rate: {OPEN_PER_S:,.0f} edits/s")
                load.open_loop(OPEN_PER_S, time.monotonic_ns())
                yard.drive(SETTLE_S)
                measured.append(yard.window("open", self._seconds, OPEN_PER_S))
                load.open_loop(0.0, time.monotonic_ns())
                yard.drive(SETTLE_S, lambda: not load.under_way)
        return _part("rate", measured)

    def _make(self, yard: Yard, load: EditLoad) -> None:
        yard.bring_in(range(yard.generator.plan.clients))
        self._say(f"{load.site.builders} builders make {load.to_make:,} props")
        load.make(time.monotonic_ns())
        yard.drive(
            _MAKE_S_MAX,
            lambda: load.made >= load.to_make or bool(load.tally.ended or yard.generator.lost),
        )
        if load.made < load.to_make:
            why = ", ".join([*load.tally.ended, *yard.generator.lost]) or "the server is too slow"
            raise RunError(f"the builders could not make their props ({why})")

    # --- a large world --------------------------------------------------------------------

    def _scene(self) -> Part:
        with data_folder() as folder:
            empty_s = self._starts(folder, "empty")
            import_s = self._import(folder, WORLD_PROPS)
            full_s = self._starts(folder, "full")
            measured: list[Measured] = []
            with started(folder) as server, ThreadPoolExecutor(NEWCOMERS) as pool:
                newcomers = Newcomers(server.target.base_url, pool)
                with open_yard(server.target, WALKERS + NEWCOMERS, newcomers) as yard:
                    yard.bring_in(range(WALKERS))
                    size = scene_load.measure_scene(server.target.base_url, newcomers.scene_url)
                    for _ in range(self._rounds):
                        measured += self._welcome(yard, newcomers)
        load_s = statistics.median(full_s) - statistics.median(empty_s)
        start = Start(
            _rounded(empty_s), _rounded(full_s), round(load_s, 3), round(import_s, 1), size
        )
        return msgspec.structs.replace(_part("scene", measured), start=start)

    def _import(self, folder: Path, count: int) -> float:
        """Put so many props into the world of a database that nobody serves; how long it took."""
        self._say(f"importing {count:,} props")
        file = folder.parent / "world.gltf"
        file.write_bytes(scene_load.to_gltf(scene_load.make_props(count)))
        return scene_load.import_file(file, WORLD_NAME, folder)

    def _starts(self, folder: Path, what: str) -> list[float]:
        """Start the server a few times; the first of all makes the database and does not count."""
        found: list[float] = []
        for number in range(self._rounds + (what == "empty")):
            with started(folder) as server:
                self._say(f"scene: {what}, ready after {server.ready_s:.2f} s")
                if what == "full" or number:
                    found.append(server.ready_s)
        return found

    def _welcome(self, yard: Yard, newcomers: Newcomers) -> list[Measured]:
        """A window without newcomers, and one in which all of them come."""
        self._say(f"scene: {NEWCOMERS} newcomers in {NEWCOMERS_S:.0f} s")
        yard.drive(SETTLE_S)
        quiet = yard.window(QUIET, NEWCOMERS_S)
        yard.generator.joiner.joins_per_s = NEWCOMERS / NEWCOMERS_S
        newcomers.is_open = True
        for bot in range(WALKERS, WALKERS + NEWCOMERS):
            yard.generator.join(bot)
        busy = yard.window("newcomers", NEWCOMERS_S)
        yard.drive(scene_load.FETCH_S_MAX, lambda: newcomers.fetched >= NEWCOMERS)
        newcomers.is_open = False
        fetches = newcomers.take()
        if len(fetches) < NEWCOMERS:
            raise RunError(f"{NEWCOMERS - len(fetches)} newcomers got no scene")
        for bot in range(WALKERS, WALKERS + NEWCOMERS):
            yard.generator.leave(bot)
        return [quiet, replace(busy, fetches=fetches)]

    def _say(self, what: str) -> None:
        self._console.print(what, style="dim")


def _part(name: str, measured: list[Measured]) -> Part:
    windows = [figures_of(one) for one in measured]
    kinds = list(dict.fromkeys(one.kind for one in windows))
    summaries = [summarise(kind, windows, measured) for kind in kinds]
    by_kind = {one.kind: one.pooled_late_ms.p99 for one in summaries}
    quiet = by_kind.pop(QUIET, None)
    more = None
    if quiet is not None and by_kind:
        loaded = [value for value in by_kind.values() if value is not None]
        more = round(max(loaded) - quiet, 3) if loaded else None
    return Part(name, summaries, windows, more)


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 3) for value in values]


_ROWS: Final[tuple[tuple[str, str, int], ...]] = (
    ("tick late p50, ms", "tick_late_ms_p50", 2), ("tick late p99, ms", "tick_late_ms_p99", 2),
    ("tick p50, ms", "tick_ms_p50", 1), ("tick p99, ms", "tick_ms_p99", 1),
    ("edits durable, per s", "edits_durable_per_s", 0),
    ("rows written, per s", "rows_written_per_s", 0),
    ("accepted p50, ms", "accepted_ms_p50", 1), ("durable p50, ms", "durable_ms_p50", 1),
    ("durable p99, ms", "durable_ms_p99", 1), ("commit p50, ms", "commit_ms_p50", 1),
    ("fetch p50, ms", "fetch_ms_p50", 0), ("fetch p99, ms", "fetch_ms_p99", 0),
    ("server, cores", "server_cores", 2), ("database, cores", "database_cores", 2),
    ("generator, cores", "generator_cores", 2), ("others, cores at most", "foreign_cores_max", 2),
    ("steal at most", "steal_ratio_max", 4), ("windows", "windows", 0),
    ("windows with a doubt", "doubtful", 0),
)


def table(part: Part) -> Table:
    """The summaries of a part for a person: one column for each kind of window."""
    shown = Table(title=f"{part.name}: medians of windows")
    shown.add_column("", no_wrap=True)
    for one in part.summaries:
        shown.add_column(one.kind, justify="right", no_wrap=True)
    for title, name, digits in _ROWS:
        values = [getattr(one, name) for one in part.summaries]
        if any(value is not None for value in values):
            shown.add_row(
                title, *("-" if value is None else f"{value:,.{digits}f}" for value in values)
            )
    pooled = [one.pooled_late_ms.p99 for one in part.summaries]
    shown.add_row(
        "tick late p99 of all ticks, ms",
        *("-" if value is None else f"{value:,.2f}" for value in pooled),
    )
    return shown


def _tell(console: Console, part: Part) -> None:
    console.print(table(part))
    if part.late_ms_p99_more is not None:
        console.print(f"ticks begin {part.late_ms_p99_more:.2f} ms later at p99 of all ticks")
    if part.start is not None:
        size = part.start.scene
        console.print(
            f"{size.props:,} props load in {part.start.load_s:.2f} s; their scene has"
            f" {size.plain_bytes:,} bytes, compressed {size.compressed_bytes:,}"
        )
    for number, one in enumerate(part.windows, 1):
        for doubt in one.doubts:
            console.print(f"doubt: window {number} ({one.kind}): {doubt}", markup=False)


@app.default
def bench_building(
    *,
    part: Annotated[tuple[PartName, ...], Parameter(negative="")] = (
        "lateness", "groups", "large", "rate", "scene",
    ),
    rounds: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=20))] = 3,
    seconds: Annotated[float, Parameter(validator=validators.Number(gte=1, lte=600))] = 20.0,
    quick: Annotated[bool, Parameter(negative="")] = False,
    json: Path | None = None,
) -> None:
    """Run the parts.

    Parameters
    ----------
    part
        What to measure; all of it if not said.
    rounds
        Windows of each kind.
    seconds
        Length of each measured window.
    quick
        One short window of each kind: shows that all parts work.
    json
        Write everything here as JSON.
    """
    console = Console()
    if quick:
        rounds, seconds = 1, min(seconds, 3.0)
    bench = Bench(console, rounds, seconds)
    parts: list[Part] = []
    try:
        for name in part:
            parts.append(bench.run(name))
            _tell(console, parts[-1])
    except (RunError, ServerError, OSError, ValueError) as error:
        console.print(f"The bench could not run: {error}", style="bold red", markup=False)
        sys.exit(1)
    finally:
        if json is not None:
            json.write_bytes(msgspec.json.format(msgspec.json.encode(parts), indent=2) + b"\n")
    sys.exit(1 if any(one.doubts for each in parts for one in each.windows) else 0)


if __name__ == "__main__":
    app()
