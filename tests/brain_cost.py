"""What judging texts costs, and how long a verdict takes.

    python tests/brain_cost.py [--lines 2000] [--seconds 10]

Lines come as ticks bring them, twenty times a second, to the moderator of a server with the
built-in models; the lines of training conversations are not part of Atrium, so they are made from
patterns, each different. Told are the times from a line being handed over to its verdict, alone and
under load, and how many rows a second the lane runs beside calling the model directly on full
batches, in turn, so that a busy machine slows down both.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
import trio
from brain_loaded_server import WIDTH, Products

from atrium_server.config import resolve_process
from atrium_server.deployment import Deployment, Hooks
from atrium_server.inference.classes import RULES, WorkClass
from atrium_server.inference.device import TorchDevice
from atrium_server.inference.lane import Lane
from atrium_server.inference.outcomes import Outcome
from atrium_server.inference.rows import Bag, Rows
from atrium_server.inference.slots import Loaded
from atrium_server.inference.staging import Staging
from atrium_server.models import Models
from atrium_server.moderation.features import bags
from atrium_server.moderation.fold import fold
from atrium_server.moderation.policy import POLICIES, PolicyName
from atrium_server.moderation.rules import TextRules
from atrium_server.moderator import MODEL, Answer, Case, Moderator
from atrium_server.reader import Reader
from atrium_server.registry.opening import adopt, open_catalogue
from atrium_server.training import generated

TICK_S = 0.05
ROUNDS = 7
ROWS = 524_288
TEXTS = 8_192
PEOPLE = 8_000
"""So many that nobody floods, and is refused before the model is asked."""
JOBS_MAX = 16_384
JOBS_ROWS = (1_024, 256, 64, 1)
STANDARD = POLICIES[PolicyName.STANDARD]


def steal() -> int:
    """Ticks that other guests of this machine have taken from it, since it was started."""
    line = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
    return int(line[8])


def texts(count: int) -> list[str]:
    """Different lines, harmless ones for the most part."""
    made = generated.lines("benign", 4_000, 1) + generated.lines("insult", 400, 1)
    return [f"{made[k % len(made)]} {k}" for k in range(count)]


async def alone(moderator: Moderator, lines: list[str]) -> list[float]:
    """Milliseconds to the verdict of one line with nothing else to do."""
    took: list[float] = []
    for line in lines:
        began = time.perf_counter()
        await moderator.check(line, STANDARD)
        took.append(1000 * (time.perf_counter() - began))
        await trio.sleep(0.02)
    return took


async def loaded(moderator: Moderator, lines: list[str], per_tick: int) -> list[float]:
    """Milliseconds to each verdict with so many lines in each tick."""
    took: list[float] = []
    is_done = trio.Event()
    due = trio.current_time()
    for first in range(0, len(lines), per_tick):
        began = time.perf_counter()

        def told(answer: Answer, began: float = began) -> None:
            if not answer.is_late:
                took.append(1000 * (time.perf_counter() - began))
                if len(took) == len(lines):
                    is_done.set()

        moderator.consider([
            Case(line, STANDARD, told, f"person {k % PEOPLE}", f"place {k % PEOPLE}")
            for k, line in enumerate(lines[first : first + per_tick], first)
        ])
        due += TICK_S
        await trio.sleep_until(due)
    await is_done.wait()
    return took


def parts_of(rows: Rows, job_rows: int) -> list[Rows]:
    """All rows, in parts of so many."""
    return [
        {name: given.part(first, first + job_rows) if isinstance(given, Bag)
         else given[first : first + job_rows] for name, given in rows.items()}
        for first in range(0, TEXTS, job_rows)
    ]


def direct(version: Loaded, rows: Rows, count: int) -> float:
    """Rows a second, calling the model on full batches that lie ready in memory."""
    size = RULES[WorkClass.MODERATION].rows_max
    batches = [Staging().join(version.model.signature, [(part, 0, size)])
               for part in parts_of(rows, size)]
    began = time.perf_counter()
    for k in range(count // size):
        version.model.run(batches[k % len(batches)])
    return count / (time.perf_counter() - began)


async def by_lane(lane: Lane, version: Loaded, parts: list[Rows], jobs: int) -> float:
    """Rows a second, handed to the lane in jobs of so many, with always some of them waiting."""
    begun, ended, is_done = itertools.count(), itertools.count(1), trio.Event()

    def begin() -> None:
        part = parts[next(begun) % len(parts)]
        lane.submit(version, part, done, work=WorkClass.MODERATION, deadline_s=60.0)

    def done(outcome: Outcome) -> None:
        assert outcome.is_done, outcome.status
        if (told := next(ended)) == jobs:
            is_done.set()
        elif told + ahead <= jobs:
            begin()

    began = time.perf_counter()
    ahead = min(jobs, max(len(parts) // 2, 2))
    for _ in range(ahead):
        begin()
    await is_done.wait()
    return jobs * (TEXTS // len(parts)) / (time.perf_counter() - began)


async def compared(lane: Lane, version: Loaded, rows: Rows, count: int) -> None:
    """Print what the lane makes of a model, beside calling it, in turn."""
    for job_rows in JOBS_ROWS:
        parts = parts_of(rows, job_rows)
        jobs = min(count // job_rows, JOBS_MAX)
        with torch.inference_mode():
            pairs = [
                (direct(version, rows, count), await by_lane(lane, version, parts, jobs))
                for _ in range(ROUNDS)
            ]
        ratio = statistics.median(lane_s / own_s for own_s, lane_s in pairs)
        own = statistics.median(own_s for own_s, _ in pairs)
        print(f"{version.label}: directly {own:,.0f} rows a second; by the lane in jobs of"
              f" {job_rows:,}: {100 * ratio:.0f} % of that")


def shown(name: str, took: list[float]) -> None:
    p50, p95, p99 = np.percentile(took, [50, 95, 99])
    print(f"{name:<34} p50 {p50:6.2f}  p95 {p95:6.2f}  p99 {p99:6.2f}  max {max(took):6.2f} ms")


async def main(rate: int, seconds: float) -> None:
    """Measure and print."""
    reader = Reader(TextRules())
    device = TorchDevice("cpu")
    lane = Lane(device)
    async with trio.open_nursery() as nursery:
        await nursery.start(reader.run)
        await nursery.start(lane.run)
        models, catalogue = Models(lane, device), await open_catalogue(Path("unused"), None)
        await adopt(catalogue, "this one")
        deployment = Deployment(catalogue, lane.slots, Hooks(models.load, models.retire))
        await deployment.follow(await catalogue.standing(MODEL))
        moderator = Moderator(reader, lane)
        nursery.start_soon(moderator.run)
        stolen = steal()
        shown("one line alone", await alone(moderator, texts(200)))
        lines = texts(round(rate * seconds))[::-1]
        shown(f"{rate:,} lines a second", await loaded(moderator, lines, round(rate * TICK_S)))
        version = lane.slots.of(MODEL).live
        assert version is not None
        made = bags(fold(texts(TEXTS)))
        await compared(lane, version, {"ids": Bag(made.ids, made.offsets)}, ROWS)
        products = Loaded("products", "1", device.place(Products()))
        await lane.warm(products)
        x = np.random.default_rng(1).standard_normal((TEXTS, WIDTH), dtype=np.float32)
        await compared(lane, products, {"x": x}, ROWS // 16)
        print(f"(medians of {ROUNDS} rounds; steal moved by {steal() - stolen})")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=2_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    sys.setswitchinterval(resolve_process({}).switch_interval_ms / 1000)  # as the server does
    trio.run(main, arguments.lines, arguments.seconds)
