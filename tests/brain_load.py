"""What a busy lane costs the ticks of a world: `make bench-brain`.

    python tests/brain_load.py [--bots 500] [--rounds 5] [--seconds 10]

A server with models, 500 walking bots in one of its worlds, and windows in turn in which its lane
is kept busy in one way or another (`brain_loaded_server` says how). All windows are of one server
and one crowd, so what differs between them is what the lane does. The server may use both cores of
a machine that has two; the crowd is kept on the second, which the lane then shares with it.

Told are, for each kind of window, the median over the rounds of the 99th percentile of how late
ticks begin, the latest hundredth of all ticks together, and what became of the lane's work. Windows
with a doubt (others used the machine) do not count; they are told at the end.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter, validators
from rich.console import Console
from rich.table import Table

from atrium_loadtest.build_report import (
    Figures,
    Measured,
    figures_of,
    histogram_ms,
    pooled,
)
from atrium_loadtest.metrics import Samples, histogram
from atrium_loadtest.report import LATE_METRIC
from atrium_loadtest.runner import WORLDS, RunError, target_of
from atrium_loadtest.scenarios import Walk
from atrium_loadtest.server_process import ServerError, ServerProcess, default_pins, pinned
from atrium_loadtest.yard import SETTLE_S, Yard, open_yard

app = App(help=__doc__, help_format="plaintext")
SERVER: Final = Path(__file__).with_name("brain_loaded_server.py")
KINDS: Final = ("quiet", "chat", "lines", "matrix", "python", "swaps", "overload")
JOBS: Final = "atrium_lane_jobs_total"
VERDICTS: Final = "atrium_moderation_verdict_seconds"
CLASSES: Final = (
    "animation", "npc", "moderation", "perception", "language", "service", "pictures", "shadow",
    "warming",
)


def jobs_between(before: Samples, after: Samples) -> dict[tuple[str, str], float]:
    """Jobs of the lane that ended between two scrapes, by class and outcome."""
    found: dict[tuple[str, str], float] = {}
    for (name, labels), value in after.items():
        if name == JOBS:
            of = dict(labels)
            gained = value - before.get((name, labels), 0.0)
            if gained:
                found[of["class"], of["outcome"]] = gained
    return found


def outcomes(measured: list[Measured]) -> dict[tuple[str, str], float]:
    """Those of some windows together."""
    total: dict[tuple[str, str], float] = {}
    for one in measured:
        for key, value in jobs_between(one.before.metrics, one.after.metrics).items():
            total[key] = total.get(key, 0.0) + value
    return total


def late(measured: list[Measured]) -> tuple[float | None, float | None]:
    """How late the latest hundredth of the ticks of some windows began, and the latest, in ms."""
    of_all = histogram_ms(pooled([
        histogram(one.after.metrics, LATE_METRIC).since(histogram(one.before.metrics, LATE_METRIC))
        for one in measured
    ]))
    return of_all.p99, of_all.max


def verdict_ms(measured: list[Measured]) -> float | None:
    """The 95th percentile of the time to a verdict in some windows."""
    return histogram_ms(pooled([
        histogram(one.after.metrics, VERDICTS).since(histogram(one.before.metrics, VERDICTS))
        for one in measured
    ])).p95


def table(measured: list[Measured], figures: list[Figures]) -> Table:
    """One line for each kind of window."""
    shown = Table(title="tick lateness beside the lane, ms")
    for name in ("lane", "n", "late p99", "more", "all: p99 / max", "tick p99", "verdict p95",
                 "jobs/s", "cores"):
        shown.add_column(name, justify="left" if name == "lane" else "right", no_wrap=True)
    base = _median([one.tick_late_ms.p99 for one in figures if one.kind == KINDS[0]])
    for kind in dict.fromkeys(one.kind for one in figures):
        those = [one for one in measured if one.kind == kind]
        chosen = [one for one in figures if one.kind == kind]
        p99 = _median([one.tick_late_ms.p99 for one in chosen])
        more = "" if kind == KINDS[0] else f"{(p99 or 0) - (base or 0):+.2f}"
        jobs = sum(outcomes(those).values()) / sum(one.seconds for one in chosen)
        all_p99, worst = late(those)
        shown.add_row(
            kind, str(len(chosen)), _text(p99), more,
            f"{_text(all_p99)} / {_text(worst)}",
            _text(_median([one.tick_ms.p99 for one in chosen])), _text(verdict_ms(those)),
            f"{jobs:,.0f}", _text(_median([one.server_cores for one in chosen])),
        )
    return shown


def shed(measured: list[Measured]) -> list[str]:
    """By class what did not become of its jobs, in windows with too many of all."""
    total = outcomes([one for one in measured if one.kind == "overload"])
    lines: list[str] = []
    for each in CLASSES:
        asked = sum(value for (work, _), value in total.items() if work == each)
        if asked:
            missed = asked - total.get((each, "done"), 0.0)
            how = ", ".join(f"{outcome} {value:,.0f}" for (work, outcome), value
                            in sorted(total.items()) if work == each and outcome != "done")
            lines.append(f"{each:<12} {missed / asked:6.1%} of {asked:,.0f} missed   {how}")
    return lines


def swapped(measured: list[Measured]) -> list[str]:
    """What became of the lines that were judged while versions were swapped."""
    total = outcomes([one for one in measured if one.kind == "swaps"])
    asked = sum(value for (work, _), value in total.items() if work == "moderation")
    done = total.get(("moderation", "done"), 0.0)
    return [f"swaps: of {asked:,.0f} jobs {asked - done:,.0f} were not done"] if asked else []


def _median(values: list[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return statistics.median(found) if found else None


def _text(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"


class LoadedServer(ServerProcess):
    """It is told by a word what its lane is to do."""

    def tell(self, word: str) -> None:
        """From now on."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.write(word + "\n")
        process.stdin.flush()


def measure(console: Console, bots: int, rounds: int, seconds: float) -> list[Measured]:
    """All windows, in turn. Raises RunError and ServerError."""
    command = [
        sys.executable, str(SERVER), "serve", "--ephemeral", "--host", "127.0.0.1",
        "--port", "0", "--brain", "on", "--device", "cpu",
        "--world", str(WORLDS / "plaza_bench.toml"),
    ]
    measured: list[Measured] = []
    _, generator_cpu = default_pins()
    with LoadedServer(command, stdin=subprocess.PIPE) as server, pinned(generator_cpu):
        target = target_of(server.url, allow_remote=False)
        target = type(target)(target.address, target.base_url, server.pid)
        with open_yard(target, bots, Walk()) as yard:
            yard.bring_in(range(bots))
            for number in range(rounds):
                for kind in KINDS:
                    console.print(f"round {number + 1} of {rounds}: {kind}", style="dim")
                    measured.append(_window(yard, server, kind, seconds))
    return measured


def _window(yard: Yard, server: LoadedServer, kind: str, seconds: float) -> Measured:
    server.tell(kind)
    yard.drive(SETTLE_S)
    return yard.window(kind, seconds)


@app.default
def main(
    *,
    bots: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=5000))] = 500,
    rounds: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=50))] = 5,
    seconds: Annotated[float, Parameter(validator=validators.Number(gte=1, lte=120))] = 10.0,
) -> None:
    """Run all kinds of windows.

    Parameters
    ----------
    bots
        Walking in the world.
    rounds
        Windows of each kind.
    seconds
        Length of each.
    """
    console = Console(width=100)
    try:
        measured = measure(console, bots, rounds, seconds)
    except (RunError, ServerError) as error:
        console.print(f"The bench could not run: {error}", style="bold red", markup=False)
        sys.exit(1)
    figures = [figures_of(one) for one in measured]
    clear = [one for one, found in zip(measured, figures, strict=True) if not found.doubts]
    console.print(table(clear, [one for one in figures if not one.doubts]))
    for line in [*shed(clear), *swapped(clear)]:
        console.print(line, markup=False)
    for number, one in enumerate(figures, 1):
        for doubt in one.doubts:
            console.print(f"doubt: window {number} ({one.kind}): {doubt}", markup=False)


if __name__ == "__main__":
    app()
