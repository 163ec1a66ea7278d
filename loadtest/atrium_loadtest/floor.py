"""The C floor: compiled when there is a C compiler, started with the trace of an Atrium run.

`loadtest/floor.c` explains what it is. Here it is built into a cache folder (named by the hash of
its source, so a change builds anew), given a welcome of the size of Atrium's, and run by the same
runner as Atrium, with the same crowd.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

import numpy as np

from atrium_loadtest.crowd import Extent
from atrium_loadtest.report import Report
from atrium_loadtest.runner import Settings, Stage, measure, target_of
from atrium_loadtest.server_process import ServerProcess, pinned
from atrium_shared import codec, messages, pose

SOURCE: Final = Path(__file__).resolve().parents[1] / "floor.c"
Receive = Literal["event", "batch", "tick"]


class FloorError(RuntimeError):
    """The floor cannot be measured; the message says why."""


class FloorMissing(FloorError):
    """Here is no compiler or no source: Atrium alone can still be measured."""


def compile_floor(folder: Path) -> Path:
    """The program, built in `folder` when it is not there yet.

    Raises FloorMissing without `cc` or source, FloorError when the source does not compile.
    """
    compiler = shutil.which("cc")
    if compiler is None:
        raise FloorMissing("there is no C compiler (cc); install one to measure the floor")
    if not SOURCE.is_file():
        raise FloorMissing(f"{SOURCE} is missing; run the bench from a checkout of Atrium")
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    program = folder / f"floor-{digest}"
    if not program.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        unfinished = program.with_suffix(f".{os.getpid()}")
        built = subprocess.run(
            [compiler, "-O2", "-std=c11", "-o", str(unfinished), str(SOURCE)],
            capture_output=True, text=True, check=False,
        )
        if built.returncode:
            raise FloorError(f"floor.c does not compile:\n{built.stderr}")
        unfinished.rename(program)
    return program


def canned_welcome(extent: Extent, tick_rate_hz: int) -> bytes:
    """A welcome of about the size of Atrium's, at the middle of `extent`."""
    row = np.zeros((1, pose.COLUMNS), np.int32)
    row[0, pose.X] = round((extent.x_min + extent.x_max) * 500)
    row[0, pose.Z] = round((extent.z_min + extent.z_max) * 500)
    body = pose.encode_bodies(row, np.zeros((1, pose.EXTRA_BYTES), np.uint8), 0)[0].tobytes()
    return codec.encode(
        messages.Welcome(
            1, "t" * 96, 1, "floor", 1, tick_rate_hz, 0, 64, 1_000_000, 3, 1, False, 30,
            "/api/worlds/floor/scene@0", body, 0, "", 0,
        )
    )


def floor_command(
    program: Path, trace: Path, welcome: Path, clients: int, receive: Receive
) -> list[str]:
    """How to start the floor."""
    return [
        str(program), "--trace", str(trace), "--welcome", str(welcome),
        "--clients", str(clients), "--receive", receive,
    ]


def run_floor(
    settings: Settings, command: list[str], extent: Extent, stage: Stage | None = None
) -> Report:
    """Drive the crowd of `settings` at the floor started by `command`."""
    with (
        pinned(settings.pin_generator),
        ServerProcess(command, settings.pin_server) as server,
    ):
        target = replace(
            target_of(server.url, allow_remote=False),
            pid=server.pid, metrics=False, probes=False, extent=extent,
        )
        return measure(settings, target, stage or Stage(), server)
