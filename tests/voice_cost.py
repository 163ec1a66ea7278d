"""What choosing the pairs for voice costs one tick of a world in which everybody talks.

No server, no network: a world is filled with people who stand as they do in a hall, in a crowd,
in a queue or all at one point, and wander a little; the part of each tick that chooses pairs is
timed. The worst tick counts, since a tick that is late is late for everybody; half a per cent of
them is left out, for a machine that does something else meanwhile.

    python tests/voice_cost.py --people 2000
"""

from __future__ import annotations

import sys
import time
from typing import Annotated

import numpy as np
import numpy.typing as npt
from cyclopts import App, Parameter

from atrium_server.world import commands as c
from atrium_server.world.manifest import parse_manifest
from atrium_server.world.world import World
from atrium_shared import limits, pose
from atrium_shared.messages import VoiceMode

TICKS = 400
WARM_UP_TICKS = 40
WANDER_MM = 60.0
"""How far people come in a tick."""
MANIFEST = """
[world]
name = "hall"
tick_rate_hz = 20
capacity = {people}
[extent]
min = [-200, -1, -200]
max = [200, 20, 200]
[[spawn]]
position = [0, 0, 0]
[voice]
radius_m = 10
"""
SHAPES = ("hall of 150 m", "hall of 30 m", "crowd", "queue", "one point")

app = App(help=__doc__, help_format="plaintext")


def _places(shape: str, people: int, rng: np.random.Generator) -> npt.NDArray[np.floating]:
    """x and z of everybody, in millimetres."""
    match shape:
        case "hall of 150 m":
            return rng.uniform(-75_000, 75_000, (people, 2))
        case "hall of 30 m":
            return rng.uniform(-15_000, 15_000, (people, 2))
        case "crowd":
            return rng.standard_normal((people, 2)) * 3_000
        case "queue":
            return np.stack([np.zeros(people), np.arange(people) * 60.0], axis=1)
        case _:
            return np.zeros((people, 2))


def measure(shape: str, people: int) -> tuple[float, float, int]:
    """(median and worst milliseconds of a tick, pairs)."""
    world = World(parse_manifest(MANIFEST.format(people=people), "voice_cost"), 1)
    world.step([c.Join(k, f"P{k}", "") for k in range(people)], None, 0)
    voices, rows = world.society.voices, world.tables.poses.rows
    voices.modes[:] = int(VoiceMode.TALK)
    rng = np.random.default_rng(1)
    at, spent_ms = _places(shape, people, rng), list[float]()
    for tick in range(1, TICKS + 1):
        if shape != "one point":
            at += rng.standard_normal(at.shape) * WANDER_MM
        rows[:people, [pose.X, pose.Z]] = at.round()
        began = time.perf_counter()
        voices.choose(tick)
        spent_ms.append((time.perf_counter() - began) * 1000)
        voices.untold[:] = 0
    spent = np.array(spent_ms[WARM_UP_TICKS:])
    worst, median = np.quantile(spent, [0.995, 0.5]).tolist()
    return median, worst, int((voices.peers >= 0).sum()) // 2


@app.default
def main(
    *, people: Annotated[int, Parameter(help="How many talk.")] = 2_000
) -> None:
    """Print a line for each shape of crowd."""
    if not 1 <= people <= limits.SESSIONS_PER_WORLD_MAX:
        sys.exit(f"--people is from 1 to {limits.SESSIONS_PER_WORLD_MAX}.")
    print(f"{'where':<16}{'median ms':>10}{'worst ms':>10}{'pairs':>8}")
    for shape in SHAPES:
        median, worst, pairs = measure(shape, people)
        print(f"{shape:<16}{median:>10.2f}{worst:>10.2f}{pairs:>8}")


if __name__ == "__main__":
    app()
