"""`atrium loadtest`: one subcommand per scenario, a bar while it runs, a table at the end.

Exit status 0 means that the run was valid, 1 that it was not (the table says why) or could not
begin. What a figure means is written in docs/BENCHMARKS.md.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter, validators
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from atrium_loadtest.report import Report
    from atrium_loadtest.runner import Settings, Stage
    from atrium_loadtest.scenarios import ScenarioName

app = App(name="loadtest", help="Drive a crowd of bots at a server and measure what it can hold.")

_POSITIVE = validators.Number(gt=0)


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """What all scenarios share."""

    clients: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=10_000))] = 200
    "Bots that take part."
    seconds: Annotated[float, Parameter(validator=validators.Number(gte=1, lte=86_400))] = 10.0
    "Length of the measured window."
    rate: Annotated[float, Parameter(validator=validators.Number(gte=1, lte=60))] = 20.0
    "Poses per second of each bot."
    warmup: Annotated[float, Parameter(validator=validators.Number(gte=0, lte=3_600))] = 3.0
    "Seconds between the last join and the window."
    url: str | None = None
    "A server that runs already, like http://127.0.0.1:8080. Without it one is started."
    allow_remote: Annotated[bool, Parameter(negative="")] = False
    "Accept a --url that is not on this machine. Only for servers that are yours to load."
    world: str = ""
    "World to join; the server's first one when not given."
    seed: int = 1
    "Same seed, same walks."
    probes: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=64))] = 8
    "Bots that decode everything and measure pose age."
    joins_per_s: Annotated[float, Parameter(validator=_POSITIVE)] = 400.0
    "Pace at which bots arrive."
    radius_m: Annotated[float | None, Parameter(validator=_POSITIVE)] = None
    "The world's interest radius, for the share of updates seen; the scenario's own by default."
    pin_server: int | None = None
    "CPU for the server; by default the first one when there are two or more."
    pin_generator: int | None = None
    "CPU for the bots; by default the second one when there are two or more."
    busy_thread: Annotated[bool, Parameter(negative="")] = False
    "Start the server beside a thread that runs busy Python: what does that do to its ticks?"
    json: Path | None = None
    "Write the report here as JSON."
    html: Path | None = None
    "Write a page with plots here."


_DEFAULTS = Options()


@app.command
def plaza(options: Options = _DEFAULTS) -> None:
    """Bots walk a large square by random waypoints; each sees those within 30 m, at most 64."""
    _run("plaza", options)


@app.command
def arena(options: Options = _DEFAULTS) -> None:
    """Everyone sees everyone; of more than 256 bots each sees the nearest 255."""
    _run("arena", options)


@app.command
def churn(options: Options = _DEFAULTS) -> None:
    """As plaza, while bots leave, return, lose their link and resume."""
    _run("churn", options)


@app.command
def chat(options: Options = _DEFAULTS) -> None:
    """As plaza, while each bot says a line every five seconds or so."""
    _run("chat", options)


def _run(scenario: ScenarioName, options: Options) -> None:
    """Run, show, write, and leave with the status that the run deserves."""
    # numba and the kernels load here, so that --help needs none of them.
    from atrium_loadtest import runner
    from atrium_loadtest.server_process import ServerError

    console = Console(stderr=True)
    stage = runner.Stage()
    try:
        with Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[active]} bots"),
            TimeElapsedColumn(), console=console, auto_refresh=False,
        ) as bar:
            _follow(stage, bar)
            report = runner.run(_settings(scenario, options), stage)
    except (runner.RunError, ServerError) as error:
        console.print(f"The load test could not run: {error}", style="bold red", markup=False)
        sys.exit(1)
    _deliver(report, options)
    sys.exit(0 if report.valid else 1)


def _follow(stage: Stage, bar: Progress) -> None:
    """Draw at each word of the stage: no thread of the bar may wake while the crowd walks."""
    task = bar.add_task("starting", total=1.0, active=0)

    def draw(stage: Stage) -> None:
        bar.update(task, description=stage.name, completed=stage.done, active=stage.active)
        bar.refresh()

    stage.listeners.append(draw)


def _settings(scenario: ScenarioName, options: Options) -> Settings:
    from atrium_loadtest.runner import Settings
    from atrium_loadtest.server_process import default_pins

    server_cpu, generator_cpu = default_pins()
    return Settings(
        scenario=scenario,
        clients=options.clients,
        seconds=options.seconds,
        rate_hz=options.rate,
        warmup_s=options.warmup,
        seed=options.seed,
        probes=options.probes,
        joins_per_s=options.joins_per_s,
        world=options.world,
        url=options.url,
        allow_remote=options.allow_remote,
        pin_server=server_cpu if options.pin_server is None else options.pin_server,
        pin_generator=generator_cpu if options.pin_generator is None else options.pin_generator,
        radius_m=options.radius_m,
        busy_thread=options.busy_thread,
    )


def _deliver(report: Report, options: Options) -> None:
    from atrium_loadtest import html
    from atrium_loadtest.report import to_json
    from atrium_loadtest.table import table

    Console().print(table(report))
    if options.json is not None:
        options.json.write_bytes(to_json(report))
    if options.html is not None:
        options.html.write_text(html.page(report), encoding="utf-8")


if __name__ == "__main__":
    app()
