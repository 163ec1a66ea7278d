"""`make bench`: Atrium and the C floor in turn on the same bytes, and the ratio of their cost.

Theory of operation
-------------------
For each case (a scenario and a number of clients) and each round: Atrium runs and records the
sizes of what it sends; then the floor replays those sizes to the same crowd three times, each
time with another way of receiving (`floor.Receive`). The round's ratio is Atrium's CPU per client
and second over that of the cheapest floor. Both halves of a ratio are measured within minutes on
the same CPUs, because the speed of a shared machine drifts by more than what is to be shown. A
round in which any run was not valid is void and says why; the result of a case is the median of
the rounds that are left. Where the floor cannot be built, Atrium is measured alone: there is then
no ratio, and a sentence says why.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, get_args

import msgspec
from cyclopts import App, Parameter, validators
from rich.console import Console
from rich.table import Table

from atrium_loadtest import floor, runner, trace
from atrium_loadtest.crowd import Extent
from atrium_loadtest.report import Report
from atrium_loadtest.runner import RunError, Settings
from atrium_loadtest.scenarios import ScenarioName
from atrium_loadtest.server_process import ServerError, default_pins

app = App(name="bench", help="Compare Atrium with the machine's floor for the same bytes.")

CASES: Final[tuple[tuple[ScenarioName, int], ...]] = (
    ("plaza", 500), ("plaza", 2000), ("arena", 200),
)
QUICK_CASES: Final[tuple[tuple[ScenarioName, int], ...]] = (("plaza", 200),)
CACHE: Final = Path(tempfile.gettempdir()) / "atrium-floor"
_TICK_RATE_HZ: Final = 20
_FLOOR_EXTENT: Final = Extent(-200.0, 200.0, -200.0, 200.0)


class Round(msgspec.Struct, frozen=True):
    """One Atrium run and the floors after it, by their way of receiving."""

    atrium: Report
    floors: dict[str, Report]
    trace_bytes_per_client_s: float | None
    ratio: float | None
    """To the cheapest floor; None when the round is void or had no floor."""
    ratios: dict[str, float]
    """To each floor, by its way of receiving; none when the round is void."""
    void_reasons: list[str]


class Case(msgspec.Struct, frozen=True):
    """All rounds of one case and the medians of the valid ones."""

    scenario: str
    clients: int
    rounds: list[Round]
    ratio: float | None
    ratios: dict[str, float]
    atrium_us: float | None
    floor_us: float | None
    pose_age_ms_p99: float | None
    snapshots_per_client_s: float | None


@dataclass(frozen=True)
class Bench:
    """How long and how often."""

    rounds: int
    seconds: float
    warmup_s: float
    folder: Path
    program: Path | None
    """The floor; None where it cannot be built."""

    def case(self, scenario: ScenarioName, clients: int, say: Callable[[str], None]) -> Case:
        """Measure one case; `say` is told what runs."""
        rounds: list[Round] = []
        for number in range(self.rounds):
            say(f"{scenario} {clients}, round {number + 1} of {self.rounds}")
            rounds.append(self._round(scenario, clients, number))
        return summarise(scenario, clients, rounds)

    def _round(self, scenario: ScenarioName, clients: int, number: int) -> Round:
        server_cpu, generator_cpu = default_pins()
        recorded = None if self.program is None else self.folder / "sends.trace"
        settings = Settings(
            scenario, clients, self.seconds, warmup_s=self.warmup_s, seed=number + 1,
            pin_server=server_cpu, pin_generator=generator_cpu, trace=recorded,
        )
        atrium = runner.run(settings)
        if self.program is None or recorded is None:
            return judge(atrium, {}, None)
        ticks = trace.full_load(trace.parse_trace(recorded.read_bytes()), clients)
        clipped, welcome = self.folder / "floor.trace", self.folder / "welcome"
        clipped.write_bytes(trace.build_trace(ticks))
        welcome.write_bytes(floor.canned_welcome(_FLOOR_EXTENT, _TICK_RATE_HZ))
        floors: dict[str, Report] = {}
        for receive in get_args(floor.Receive):
            command = floor.floor_command(self.program, clipped, welcome, clients, receive)
            floors[receive] = floor.run_floor(settings, command, _FLOOR_EXTENT)
        ticks_per_s = len(ticks) / max(1e-9, ticks[-1].seconds + 1 / _TICK_RATE_HZ)
        return judge(atrium, floors, trace.bytes_per_tick(ticks) * ticks_per_s / clients)


def judge(
    atrium: Report, floors: dict[str, Report], trace_bytes_per_client_s: float | None
) -> Round:
    """The ratio of a round, or why it is void. Without floors there is no ratio to take."""
    reasons = [f"atrium: {reason}" for reason in atrium.reasons]
    for name, report in floors.items():
        reasons += [f"floor ({name}): {reason}" for reason in report.reasons]
        apart = report.bytes_per_client_s / max(1.0, atrium.bytes_per_client_s)
        if not 0.95 <= apart <= 1.05:
            reasons.append(f"floor ({name}): sent {apart:.0%} of Atrium's bytes")
    own = atrium.server_cpu_us_per_client_s
    costs = {
        name: cost for name, report in floors.items()
        if (cost := report.server_cpu_us_per_client_s) is not None
    }
    if own is None or len(costs) < len(floors):
        reasons.append("the CPU of a server could not be read")
    ratios: dict[str, float] = {}
    if own is not None and not reasons:
        ratios = {name: round(own / cost, 4) for name, cost in costs.items()}
    sent = None if trace_bytes_per_client_s is None else round(trace_bytes_per_client_s, 1)
    return Round(atrium, floors, sent, max(ratios.values(), default=None), ratios, reasons)


def summarise(scenario: str, clients: int, rounds: list[Round]) -> Case:
    """Medians over the rounds that are not void."""
    valid = [one for one in rounds if not one.void_reasons]
    return Case(
        scenario, clients, rounds,
        _median([one.ratio for one in valid]),
        {
            name: round(statistics.median(one.ratios[name] for one in valid), 4)
            for name in (valid[0].ratios if valid else {})
        },
        _median([one.atrium.server_cpu_us_per_client_s for one in valid]),
        _median([_cheapest(one) for one in valid]),
        _median([one.atrium.pose_age_ms.p99 for one in valid]),
        _median([one.atrium.snapshots_per_client_s for one in valid]),
    )


def table(cases: list[Case]) -> Table:
    """The comparison for a person; void rounds are named below their case."""
    shown = Table(title="CPU of the server in us per client and second; ratios to each floor")
    ways = get_args(floor.Receive)
    for name in ("case", "Atrium", "floor", *ways, "age p99, ms", "rounds"):
        shown.add_column(name, justify="left" if name == "case" else "right", no_wrap=True)
    for case in cases:
        valid = sum(not one.void_reasons for one in case.rounds)
        shown.add_row(
            f"{case.scenario} {case.clients}", _text(case.atrium_us, 1), _text(case.floor_us, 1),
            *(_text(case.ratios.get(way), 2) for way in ways),
            _text(case.pose_age_ms_p99, 1), f"{valid} of {len(case.rounds)}",
        )
    return shown


@app.default
def bench(
    *,
    rounds: Annotated[int, Parameter(validator=validators.Number(gte=1, lte=20))] = 3,
    seconds: Annotated[float, Parameter(validator=validators.Number(gte=1, lte=600))] = 8.0,
    warmup: Annotated[float, Parameter(validator=validators.Number(gte=0, lte=60))] = 5.0,
    quick: Annotated[bool, Parameter(negative="")] = False,
    json: Path | None = None,
) -> None:
    """Run all cases.

    Parameters
    ----------
    rounds
        Rounds of each case; the result is their median.
    seconds
        Length of each measured window.
    warmup
        Seconds between the last join and the window.
    quick
        One short round of one small case: shows that all parts work.
    json
        Write everything here as JSON.
    """
    console = Console()
    if quick:
        rounds, seconds, warmup = 1, min(seconds, 3.0), min(warmup, 1.0)
    cases: list[Case] = []
    try:
        program = _build(console.print)
        with tempfile.TemporaryDirectory(prefix="atrium-bench-") as folder:
            job = Bench(rounds, seconds, warmup, Path(folder), program)
            for scenario, clients in QUICK_CASES if quick else CASES:
                cases.append(job.case(scenario, clients, console.print))
    except (floor.FloorError, RunError, ServerError, trace.TraceError) as error:
        console.print(f"The bench could not run: {error}", style="bold red", markup=False)
        sys.exit(1)
    console.print(table(cases))
    for case in cases:
        for number, one in enumerate(case.rounds):
            for reason in one.void_reasons:
                console.print(f"void: {case.scenario} {case.clients} round {number + 1}: {reason}")
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(cases), indent=2) + b"\n")
    sys.exit(0 if all(case.atrium_us is not None for case in cases) else 1)


def _build(say: Callable[[str], None]) -> Path | None:
    """The floor, or None after saying why there is none."""
    try:
        return floor.compile_floor(CACHE)
    except floor.FloorMissing as missing:
        say(f"Atrium is measured alone, without a ratio: {missing}.")
        return None


def _cheapest(one: Round) -> float | None:
    costs = [r.server_cpu_us_per_client_s for r in one.floors.values()]
    return min((cost for cost in costs if cost is not None), default=None)


def _median(values: list[float | None]) -> float | None:
    found = [value for value in values if value is not None]
    return round(statistics.median(found), 4) if found else None


def _text(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


if __name__ == "__main__":
    app()
