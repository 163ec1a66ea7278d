"""Runs the scenarios, tells how far they are, and ends with a table; status 1 if one has failed."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import trio

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console
from rich.table import Table

from chaos import breaking, outages, owners, returning
from chaos.stage import Stage

Scenario = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True)
class Plan:
    """How a scenario is tried."""

    run: Scenario
    title: str
    rounds: int = 1
    builders: int = 80


PLANS = {
    "kill-server": Plan(breaking.kill_server, "kill -9 the server", 20),
    "kill-postgres": Plan(breaking.kill_postgres, "kill -9 Postgres", 20),
    "freeze": Plan(outages.freeze, "Postgres frozen, buffer full", builders=40),
    "stop": Plan(outages.stop, "a foreign Postgres stopped", builders=60),
    "two-servers": Plan(owners.two_servers, "a second server, a takeover", builders=60),
    "cut": Plan(breaking.cut, "cut at COMMIT", 30, 60),
    "resume": Plan(returning.resume, "300 people come back"),
}
TOGETHER = (
    ("kill-server",), ("kill-postgres",), ("freeze", "stop", "two-servers", "cut"), ("resume",),
)
"""Those that wait for the most part are run at the same time."""
SCENARIO_S_MAX = 240.0
TOLD_EVERY_S = 5.0
WORDS_MAX = 200


class Teller:
    """A line whenever a scenario is further, and not more often than TOLD_EVERY_S."""

    def __init__(self, name: str) -> None:
        self._name, self._at = name, -TOLD_EVERY_S
        self._began = trio.current_time()

    def __call__(self, done: int, of: int, words: str) -> None:
        now = trio.current_time()
        if now - self._at >= TOLD_EVERY_S or of < 10:
            self._at = now
            print(f"{self._name:14} {now - self._began:5.0f} s  {done:2} of {of}  {words}",
                  flush=True)


async def try_one(name: str, stage: Stage) -> None:
    """Run a scenario; that it broke off is part of its verdict."""
    stage.say = Teller(name)
    try:
        with trio.fail_after(SCENARIO_S_MAX):
            await PLANS[name].run(stage)
    except Exception as error:
        traceback.print_exception(error)
        stage.verdict.wrong.append(f"it broke off: {_innermost(error)!r}"[:WORDS_MAX])
    outcome = "good" if stage.verdict.is_good else "FAILED"
    print(f"{name:14} {stage.seconds:5.0f} s  {outcome}", flush=True)
    for line in (*stage.notes, *stage.verdict.differences()):
        print(f"{'':14} {line}", flush=True)


def _innermost(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def try_all(names: Sequence[str], seed: int, kills: int | None) -> list[Stage]:
    """Run scenarios, some of them together. Ends early when told to by SIGTERM."""
    stages = {
        name: Stage(name, seed, PLANS[name].builders, kills or PLANS[name].rounds)
        for name in names
    }
    async with trio.open_nursery() as watch:
        watch.start_soon(_end_on_signal, watch.cancel_scope)
        for group in TOGETHER:
            async with trio.open_nursery() as nursery:
                for name in group:
                    if name in stages:
                        nursery.start_soon(try_one, name, stages[name])
        watch.cancel_scope.cancel()
    return [stages[name] for name in names]


async def _end_on_signal(scope: trio.CancelScope) -> None:
    """So that nothing is left behind by who is told to end."""
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


def show(stages: Sequence[Stage]) -> None:
    """The table at the end."""
    table = Table(title="Every acknowledgement compared with the database", show_footer=True)
    total = dict.fromkeys(("asked", "durable", "lost", "twice", "late", "wrong"), 0)
    for stage in stages:
        verdict = stage.verdict
        total["asked"] += verdict.asked
        total["durable"] += verdict.durable
        for name in ("lost", "twice", "late", "wrong"):
            total[name] += len(getattr(verdict, name))
    table.add_column("scenario", footer="all")
    for name, footer in (
        ("blows", sum(s.kills for s in stages)), ("resumes", sum(s.resumes for s in stages)),
        ("edits", total["asked"]), ("durable", total["durable"]),
        ("refused", sum(s.verdict.refused for s in stages)),
        ("reverted", sum(s.verdict.reverted for s in stages)),
        ("unknown", sum(s.verdict.unanswered for s in stages)),
        ("lost", total["lost"]), ("twice", total["twice"]), ("late", total["late"]),
        ("wrong", total["wrong"]), ("s", round(sum(s.seconds for s in stages))),
    ):
        table.add_column(name, justify="right", footer=f"{footer:,}")
    for s in stages:
        v = s.verdict
        counts = (
            s.kills, s.resumes, v.asked, v.durable, v.refused, v.reverted, v.unanswered,
            len(v.lost), len(v.twice), len(v.late), len(v.wrong), round(s.seconds),
        )
        table.add_row(PLANS[s.name].title, *(f"{count:,}" for count in counts))
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    print(
        f"{total['lost']} lost / {total['twice']} applied twice / {total['late']} late writes"
        f" / {total['wrong']} other differences, of {total['asked']:,} edits"
    )


def main() -> None:
    """The command."""
    reader = argparse.ArgumentParser(prog="make chaos ARGS=...", description=__doc__)
    reader.add_argument("--seed", type=int, help="of moments and edits; otherwise a new one")
    reader.add_argument("--only", help=f"comma-separated: {', '.join(PLANS)}")
    reader.add_argument("--kills", type=int, help="how often something is broken in each")
    asked = reader.parse_args()
    names = asked.only.split(",") if asked.only else list(PLANS)
    unknown = set(names) - PLANS.keys()
    if unknown:
        reader.error(f"there is no scenario {', '.join(sorted(unknown))}")
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}: try the same again with --seed {seed}", flush=True)
    stages = trio.run(partial(try_all, names, seed, asked.kills))
    show(stages)
    sys.exit(0 if all(stage.verdict.is_good for stage in stages) else 1)


if __name__ == "__main__":
    main()
