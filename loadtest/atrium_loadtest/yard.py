"""A server with a database and a crowd that is in it, for as many windows as are wanted.

Theory of operation
-------------------
The server is pinned to one CPU. Its private Postgres is moved to that of the generator as soon as
the server is ready, so that what the tick loses is lost to the server's own threads and not to a
database that a larger machine would have on another core. All windows of a run are measured on the
same server, the same crowd and the same props, one after the other, because what is to be shown is
the difference between them.

A window is bounded by two looks. The scrape of the metrics costs the server a few milliseconds
between two ticks, once in each window, whatever its kind.
"""

from __future__ import annotations

import gc
import shutil
import tempfile
import time
from collections.abc import Callable
from collections.abc import Generator as Iterates
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from atrium_loadtest import machine
from atrium_loadtest.build_report import Measured, Side
from atrium_loadtest.edit_load import EditLoad, EditTally
from atrium_loadtest.generator import Generator, Plan
from atrium_loadtest.runner import WORLDS, RunError, Target, find_extent, target_of
from atrium_loadtest.scenarios import RADIUS_M, Walk
from atrium_loadtest.server_process import (
    ServerProcess,
    atrium_command,
    default_pins,
    pinned,
)

WORLD: Final = WORLDS / "building_bench.toml"
WORLD_NAME: Final = "building-bench"
SLICE_S: Final = 0.0025
"""So often the builders' load is asked whether something is due."""
SETTLE_S: Final = 2.0
"""After a change of the load, before a window begins."""
JOIN_S_MAX: Final = 60.0
_REST_S: Final = 0.3


@contextmanager
def data_folder() -> Iterates[Path]:
    """A folder for a server's data; the user of its Postgres can pass through."""
    folder = Path(tempfile.mkdtemp(prefix="atrium-building-"))
    try:
        folder.chmod(0o755)
        yield folder / "data"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Started:
    """A server that runs, and how long it took to be ready."""

    server: ServerProcess
    target: Target
    ready_s: float
    moved: int
    """Processes of its database that were put on the generator's CPU."""


@contextmanager
def started(data_dir: Path | None, world: Path = WORLD) -> Iterates[Started]:
    """A server with a database, pinned, for the length of the block; this thread is pinned too."""
    server_cpu, generator_cpu = default_pins()
    with ExitStack() as stack:
        stack.enter_context(pinned(generator_cpu))
        began_s = time.monotonic()
        server = stack.enter_context(
            ServerProcess(atrium_command(world, None, data_dir=data_dir), server_cpu)
        )
        ready_s = time.monotonic() - began_s
        moved = machine.move_children(server.pid, generator_cpu)
        target = replace(target_of(server.url, allow_remote=False), pid=server.pid)
        try:
            yield Started(server, target, ready_s, moved)
        except RunError as error:
            raise RunError(f"{error}; the server's last words were:\n{server.last_words}") from None


class Yard:
    """A crowd at a server."""

    def __init__(self, generator: Generator, target: Target, scenario: Walk) -> None:
        self.generator = generator
        self.target = target
        self._load = scenario if isinstance(scenario, EditLoad) else None
        self._lost: dict[str, int] = {}

    def bring_in(self, bots: range, seconds_max: float = JOIN_S_MAX) -> None:
        """Have these bots join. Raises RunError when one does not."""
        for bot in bots:
            self.generator.join(bot)
        self.drive(seconds_max, lambda: not self.generator.joiner.pending)
        if self.generator.lost or self.generator.joiner.pending:
            why = "; ".join(self.generator.lost) or "the server is too slow"
            raise RunError(f"not all bots could join ({why}); look at the server's log")

    def drive(self, seconds: float, until: Callable[[], bool] = lambda: False) -> None:
        """Let time pass, or until something holds, with all that is due sent."""
        end_ns = time.monotonic_ns() + int(seconds * 1e9)
        while (now_ns := time.monotonic_ns()) < end_ns and not until():
            if self._load is not None:
                self._load.pump(now_ns)
            self.generator.run(min(SLICE_S, (end_ns - now_ns) / 1e9))

    def window(self, kind: str, seconds: float, wanted_per_s: float = 0.0) -> Measured:
        """Measure for so long what goes on."""
        before = self._side()
        self.generator.begin_window()
        if self._load is not None:
            self._load.take_tally()
        self.drive(seconds)
        crowd = self.generator.end_window()
        tally = EditTally() if self._load is None else self._load.take_tally()
        after = self._side()
        lost = {
            why: count - self._lost.get(why, 0) for why, count in self.generator.lost.items()
            if count > self._lost.get(why, 0)
        }
        self._lost = dict(self.generator.lost)
        return Measured(kind, wanted_per_s, before, after, crowd, tally, lost)

    def _side(self) -> Side:
        assert self.target.pid is not None
        try:
            metrics = machine.scrape(self.target.base_url)
        except (OSError, ValueError) as error:
            raise RunError(f"the server's metrics cannot be read ({error})") from None
        look = machine.look(self.target.pid)
        self.drive(_REST_S)  # what the scrape held up is not of the window
        return Side(look, metrics)


@contextmanager
def open_yard(
    target: Target, bots: int, scenario: Walk, joins_per_s: float = 200.0
) -> Iterates[Yard]:
    """A generator for so many bots, none of which is there yet."""
    plan = Plan(
        clients=bots, rate_hz=20.0, extent=find_extent(target, ""), radius_m=RADIUS_M["plaza"],
        probes=0, joins_per_s=joins_per_s,
    )
    with Generator(plan, target.address, "/ws", scenario) as generator:
        generator.compile_kernels()
        gc.collect()
        gc.freeze()
        try:
            yield Yard(generator, target, scenario)
        finally:
            gc.unfreeze()
