"""What judging pictures costs, and what it costs lines of chat and the ticks beside it.

    python tests/picture_cost.py [--seconds 10] [--lines 200]

Asked are the packaged weights (docs/models/pictures.md says how to have them), by the judge of a
server, on its lane. Told are milliseconds a picture, calling the network on 1 and on 8 at a time
and by the judge in files of as many, with the pauses that it leaves to others; then the time to the
verdict on a line, and how late a beat of 30 Hz in the server's thread is, in windows in turn:
nobody uploads, and there is always a file of 16 pictures waiting.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
import trio
from brain_cost import loaded, shown, steal, texts

from atrium_server.config import resolve_process
from atrium_server.deployment import Deployment, Hooks
from atrium_server.image_judge import PICTURES_MODEL, LaneImageJudge
from atrium_server.inference.device import TorchDevice
from atrium_server.inference.lane import Lane
from atrium_server.inference.models import picture_net
from atrium_server.inference.slots import Loaded
from atrium_server.models import Models
from atrium_server.moderation.rules import TextRules
from atrium_server.moderator import MODEL, Moderator
from atrium_server.reader import Reader
from atrium_server.registry.opening import adopt, open_catalogue
from atrium_server.telemetry import Registry
from atrium_server.training import open_nsfw
from atrium_server.training.plain_pictures import plain_pictures
from atrium_server.training.sources import DataAbsentError
from atrium_shared.limits import PICTURES_MAX

TICK_S = 0.05
BEAT_S = 1 / 30
ROUNDS = 4
REPEATS = 8
SIZES = (1, 8)


async def beat(late_ms: list[float]) -> None:
    """Note how late each turn of a loop of 30 Hz begins, for ever."""
    due = trio.current_time()
    while True:
        due += BEAT_S
        await trio.sleep_until(due)
        late_ms.append(1000 * (trio.current_time() - due))


async def uploads(judge: LaneImageJudge, pictures: list[bytes], files: list[int]) -> None:
    """Two people who send such files without a pause, for ever; how many in `files`."""

    async def one() -> None:
        while True:
            await judge.judge(pictures)
            files[0] += 1

    async with trio.open_nursery() as nursery:
        nursery.start_soon(one)
        nursery.start_soon(one)


async def compared(judge: LaneImageJudge, version: Loaded) -> None:
    """Milliseconds a picture, directly and by the judge, in turn."""
    pictures = plain_pictures()
    for size in SIZES:
        rows = np.ascontiguousarray(pictures[:size])
        given = [row.tobytes() for row in rows]
        own: list[float] = []
        lane: list[float] = []
        for _ in range(REPEATS):
            began = time.perf_counter()
            with torch.inference_mode():
                version.model.run({picture_net.INPUT: rows})
            between = time.perf_counter()
            await judge.judge(given)
            own.append(1000 * (between - began) / size)
            lane.append(1000 * (time.perf_counter() - between) / size)
        ratio = statistics.median(a / b for a, b in zip(own, lane, strict=True))
        print(f"{size} at a time: {statistics.median(own):.1f} ms a picture directly,"
              f" {statistics.median(lane):.1f} ms by the judge ({100 * ratio:.0f} %)")


async def beside(moderator: Moderator, judge: LaneImageJudge, rate: int, seconds: float) -> None:
    """Verdicts and beats without and with uploads, in turn."""
    took: dict[bool, list[float]] = {False: [], True: []}
    late: dict[bool, list[float]] = {False: [], True: []}
    files = [0]
    pictures = [picture.tobytes() for picture in plain_pictures()[:PICTURES_MAX]]
    lines = texts(round(rate * seconds) * ROUNDS)
    for number in range(2 * ROUNDS):
        is_busy = bool(number % 2)
        part = lines[number // 2 :: ROUNDS]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(beat, late[is_busy])
            if is_busy:
                nursery.start_soon(uploads, judge, pictures, files)
            mine = [f"{line} {number}" for line in part]
            took[is_busy] += await loaded(moderator, mine, round(rate * TICK_S))
            nursery.cancel_scope.cancel()
    for is_busy in (False, True):
        name = "with pictures" if is_busy else "without"
        shown(f"{rate:,} lines a second, {name}", took[is_busy])
        shown(f"  lateness of 30 Hz, {name}", late[is_busy])
    print(f"{files[0] * PICTURES_MAX / (ROUNDS * seconds):.1f} pictures a second meanwhile")


async def main(rate: int, seconds: float) -> None:
    """Measure and print."""
    network = picture_net.from_tensors(open_nsfw.tensors_of(open_nsfw.original()), {})
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
        version = Loaded(PICTURES_MODEL, "1", device.place(network))
        await lane.warm(version)
        lane.slots.of(PICTURES_MODEL).live = version
        moderator, judge = Moderator(reader, lane), LaneImageJudge(lane, Registry())
        nursery.start_soon(moderator.run)
        stolen = steal()
        await compared(judge, version)
        await beside(moderator, judge, rate, seconds)
        print(f"(windows in turn, {ROUNDS} of each; steal moved by {steal() - stolen})")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    sys.setswitchinterval(resolve_process({}).switch_interval_ms / 1000)  # as the server does
    try:
        trio.run(main, arguments.lines, arguments.seconds)
    except* DataAbsentError as errors:
        sys.exit(str(errors.exceptions[0]))
