"""The C floor compiles, serves the load generator and replays the sizes of a trace."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from atrium_loadtest import floor, trace
from atrium_loadtest.crowd import Extent
from atrium_loadtest.generator import Generator, Plan
from atrium_loadtest.runner import target_of
from atrium_loadtest.scenarios import Walk
from atrium_loadtest.server_process import ServerError, ServerProcess

EXTENT = Extent(-10.0, 10.0, -10.0, 10.0)
SIZES = ([500, 900, 300], [22, 127, 130], [7_000, 1, 65_000])
"""Bytes of each send of three ticks; 1 is less than a frame can have and becomes 22."""

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None, reason="no C compiler (cc) here: the floor cannot be built"
)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A trace of three ticks at 0, 50 and 100 ms, and a welcome."""
    ticks = [trace.TraceTick(0.05 * k, np.array(row, np.uint32)) for k, row in enumerate(SIZES)]
    recorded, welcome = tmp_path / "sends.trace", tmp_path / "welcome"
    recorded.write_bytes(trace.build_trace(ticks))
    welcome.write_bytes(floor.canned_welcome(EXTENT, 20))
    return recorded, welcome


@needs_compiler
@pytest.mark.parametrize("receive", ["event", "batch", "tick"])
def test_the_floor_sends_what_the_trace_says(
    tmp_path: Path, files: tuple[Path, Path], receive: floor.Receive
) -> None:
    program = floor.compile_floor(tmp_path)
    command = [*floor.floor_command(program, *files, 3, receive), "--once"]
    with ServerProcess(command) as server:
        address = target_of(server.url, allow_remote=False).address
        plan = Plan(3, 20.0, EXTENT, 1.0, probes=0)
        with Generator(plan, address, "/ws", Walk()) as generator:
            generator.compile_kernels()
            for bot in range(3):
                generator.join(bot)
            generator.run(30.0, until=lambda: sum(generator.lost.values()) == 3)
            bots = generator.fleet.bots
            assert bots["snapshots"].tolist() == [3, 3, 3]
            assert bots["received_bytes"].sum() == sum(map(sum, SIZES)) + 21
            assert bots["ack_tick"].tolist() == [3, 3, 3]
            assert bots["poses"].sum() > 0
        assert server.stop() == 0
    told = json.loads(server.last_words.splitlines()[-1])
    assert told["sends"] == 9
    assert told["skipped"] == 0
    assert told["receives"] >= 6
    assert told["ticks"] == 3
    if receive == "tick":
        assert told["waits"] == 3, "one pass of receiving for each tick, and none between"


@needs_compiler
def test_the_program_is_built_once(tmp_path: Path) -> None:
    program = floor.compile_floor(tmp_path)
    built_ns = program.stat().st_mtime_ns
    assert floor.compile_floor(tmp_path) == program
    assert program.stat().st_mtime_ns == built_ns
    assert list(tmp_path.iterdir()) == [program]


@needs_compiler
def test_sigterm_ends_it_cleanly(tmp_path: Path, files: tuple[Path, Path]) -> None:
    command = floor.floor_command(floor.compile_floor(tmp_path), *files, 3, "batch")
    with ServerProcess(command) as server:
        assert server.stop() == 0


@needs_compiler
@pytest.mark.parametrize("data", [b"", b"ATRTRACE\x02" + bytes(60), b"x" * 64])
def test_what_is_no_trace_is_refused(
    tmp_path: Path, files: tuple[Path, Path], data: bytes
) -> None:
    files[0].write_bytes(data)
    command = floor.floor_command(floor.compile_floor(tmp_path), *files, 3, "event")
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "trace" in done.stderr


@needs_compiler
def test_a_way_of_receiving_that_it_does_not_know_is_refused(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    command = floor.floor_command(floor.compile_floor(tmp_path), *files, 3, "event")
    done = subprocess.run(
        [*command[:-1], "never"], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 2
    assert "event|batch|tick" in done.stderr


def test_without_a_compiler_a_sentence_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(floor.FloorError, match="C compiler"):
        floor.compile_floor(tmp_path)


def test_a_server_that_does_not_start_shows_its_last_words() -> None:
    with pytest.raises(ServerError, match="no such port"), ServerProcess(
        ["sh", "-c", "echo no such port; exit 3"]
    ):
        pass
