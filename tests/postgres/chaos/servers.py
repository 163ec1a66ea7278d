"""The processes: servers and Postgres, started, killed, frozen, and ended whatever happens."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import trio

from atrium_server.persistence.binaries import Binaries, find_binaries
from atrium_server.persistence.cluster_folder import layout_of
from atrium_server.persistence.embedded import open_embedded
from atrium_server.persistence.migrate import upgrade_at
from atrium_server.persistence.world_store import ENTITIES, entity_of
from atrium_server.prop_rows import prop_of
from chaos.audit import Kept, Line

READY_S_MAX = 150.0
"""The first server of all may have to compile its kernels."""
END_S_MAX = 30.0
CONNECT_S_MAX = 20.0
POLL_S = 0.02
LOG_CHARS_SHOWN = 4_000
WORLD = """
[world]
name = "yard"
tick_rate_hz = 10
capacity = 512
[extent]
min = [-60.0, -1.0, -60.0]
max = [60.0, 20.0, 60.0]
[[spawn]]
position = [0.0, 0.0, 0.0]
radius_m = 8.0
[building]
builders = "everyone"
"""
"""Ten ticks a second: half the load of the crowd, which lives in one thread on a small machine."""
SEAT = '[[seat]]\nname = "seat-{0}"\nposition = [{1}.0, 0.4, {2}.0]\n'


class ServerFailed(Exception):
    """A server did what it must not, or not what it must, in time."""


def chosen_binaries() -> Binaries:
    """Those that ATRIUM_PG_BIN names, else those that come with Atrium."""
    folder = os.environ.get("ATRIUM_PG_BIN")
    return find_binaries(Path(folder) if folder else None)


def write_world(folder: Path, seats: int = 0) -> Path:
    """The manifest of the world that all servers of a scenario have."""
    path = folder / "yard.toml"
    chairs = [SEAT.format(k, 2 * (k % 10) - 10, 2 * (k // 10) - 10) for k in range(seats)]
    path.write_text(WORLD + "".join(chairs))
    return path


class Server:
    """One `atrium serve`, again and again: the same data directory, another process each time."""

    def __init__(self, folder: Path, name: str, url: str | None = None, key: str = "") -> None:
        self.data_dir = folder / name
        self.log = folder / f"{name}.log"
        self.starts = 0
        self._world = folder / "yard.toml"
        self._url, self._key = url, key
        self._process: trio.Process | None = None
        self._address = ""

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        parts = urlsplit(self._address)
        return parts.hostname or "", parts.port or 0

    @property
    def dsn(self) -> str:
        """Of its database."""
        return self._url or layout_of(self.data_dir).dsn

    async def launch(self) -> None:
        """Begin to start; `ready` tells when it has."""
        assert self._process is None or self._process.returncode is not None
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ATRIUM_")}
        if self._key:
            environment["ATRIUM_SECRET_KEY"] = self._key
        command: list[str | Path] = [
            sys.executable, "-m", "atrium_server", "serve", "--port", "0", "--brain", "off",
            "--data-dir", self.data_dir, "--world", self._world,
        ]
        if self._url:
            environment["ATRIUM_DATABASE_URL"] = self._url
        elif "ATRIUM_PG_BIN" in os.environ:
            command += ["--pg-bin", os.environ["ATRIUM_PG_BIN"]]
        self.starts += 1
        with self.log.open("ab") as log:
            self._process = await trio.lowlevel.open_process(
                command, stdout=subprocess.PIPE, stderr=log, env=environment,
            )

    async def ready(self) -> tuple[str, int]:
        """Wait until it serves. Raises ServerFailed when it ends instead."""
        process = self._running()
        assert process.stdout is not None
        said = b""
        with trio.move_on_after(READY_S_MAX):
            while b"\n" not in said.partition(b"ready ")[2]:
                more = await process.stdout.receive_some()
                if not more:
                    raise ServerFailed(f"a server ended at its start: {self.last_words()}")
                said += more
            self._address = said.partition(b"ready ")[2].split()[0].decode()
            return self.address
        raise ServerFailed(f"a server was not ready in {READY_S_MAX:g} s: {self.last_words()}")

    async def start(self) -> tuple[str, int]:
        """Start and wait until it serves."""
        await self.launch()
        return await self.ready()

    def send(self, number: signal.Signals) -> None:
        """A signal to the process."""
        self._running().send_signal(number)

    async def ended(self, seconds: float = END_S_MAX) -> int:
        """Wait for its end. Raises ServerFailed when it does not come."""
        process = self._running()
        with trio.move_on_after(seconds):
            status = await process.wait()
            assert process.stdout is not None
            await process.stdout.aclose()
            return status
        raise ServerFailed(f"a server did not end within {seconds:g} s: {self.last_words()}")

    async def kill(self) -> None:
        """End it without a warning."""
        self.send(signal.SIGKILL)
        await self.ended()

    async def stop(self) -> None:
        """End it in order."""
        self.send(signal.SIGTERM)
        status = await self.ended()
        if status != 0:
            raise ServerFailed(f"a server ended with status {status}: {self.last_words()}")

    async def end(self) -> None:
        """End whatever is left of it, its Postgres included."""
        process = self._process
        family = self.family()
        if process is not None and process.returncode is None:
            process.kill()
            await self.ended()
        for pid in family:  # one that was frozen must be let go, or it stays for good
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        with suppress(TimeoutError, trio.TooSlowError):
            await until(lambda: not any(map(is_alive, family)), END_S_MAX)

    def _running(self) -> trio.Process:
        assert self._process is not None, "not launched yet"
        return self._process

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-LOG_CHARS_SHOWN:]

    # --- its Postgres --------------------------------------------------------------------

    def postmaster(self) -> int | None:
        """The process of its Postgres, if there is one now."""
        try:
            lines = (layout_of(self.data_dir).data / "postmaster.pid").read_text().splitlines()
            pid = int(lines[0])
        except (FileNotFoundError, IndexError, ValueError):
            return None
        return pid if is_alive(pid) and is_postgres(pid) else None

    def family(self) -> list[int]:
        """All processes of its Postgres, the first one first."""
        head = self.postmaster()
        return [] if head is None else [head, *children_of(head)]

    async def retries(self) -> int:
        """How often a commit or a renewal had to be tried again, in this run."""
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{self._address}/metrics")
        found = re.findall(r"^atrium_store_retries_total\{.*\} (\d+)", answer.text, re.MULTILINE)
        return sum(map(int, found))


@asynccontextmanager
async def open_server(
    folder: Path, name: str, url: str | None = None, key: str = ""
) -> AsyncGenerator[Server]:
    """A server that has not been started yet; nothing of it is left behind the block."""
    server = Server(folder, name, url, key)
    try:
        yield server
    finally:
        with trio.CancelScope(shield=True):
            await server.end()


_upgrading = trio.Lock()
"""Alembic keeps what it is doing in its modules: one upgrade at a time in one process."""


class Foreign:
    """A Postgres that belongs to somebody else, who starts and stops it at will."""

    def __init__(self, folder: Path, nursery: trio.Nursery) -> None:
        self._folder, self._nursery = folder, nursery
        self._stopping = trio.Event()
        self._stopped = trio.Event()
        self.url = layout_of(folder).dsn

    async def start(self) -> None:
        """Start it, and make the tables if it is new."""
        is_new = not layout_of(self._folder).data.exists()
        self._stopping, self._stopped = trio.Event(), trio.Event()
        await self._nursery.start(self._serve)
        if is_new:
            async with _upgrading:
                await trio.to_thread.run_sync(asyncio.run, upgrade_at(self.url))

    async def stop(self) -> None:
        """A fast shutdown, as by `pg_ctl stop`."""
        self._stopping.set()
        await self._stopped.wait()

    async def _serve(self, task_status: trio.TaskStatus[None]) -> None:
        try:
            async with open_embedded(self._folder, chosen_binaries()):
                task_status.started()
                await self._stopping.wait()
        finally:
            self._stopped.set()


# --- processes ---------------------------------------------------------------------------


def is_alive(pid: int) -> bool:
    """Also false for one that has ended and that nobody has asked about yet."""
    return _state_and_parent(pid)[0] not in ("", "Z")


def is_postgres(pid: int) -> bool:
    """Whether the number does not belong to somebody else by now."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip() == "postgres"
    return False


def children_of(pid: int) -> list[int]:
    """Its children that are there now."""
    everybody = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [one for one in everybody if _state_and_parent(one)[1] == pid]


def _state_and_parent(pid: int) -> tuple[str, int]:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return "", 0
    return fields[0], int(fields[1])


async def until(holds: Callable[[], bool], seconds: float) -> None:
    """For what no event tells of. Raises trio.TooSlowError."""
    with trio.fail_after(seconds):
        while True:
            if holds():
                return
            await trio.sleep(POLL_S)


# --- what the database has ---------------------------------------------------------------


async def kept_at(url: str) -> Kept:
    """The world as the database has it, all of the same moment.

    Raises OSError or asyncpg.PostgresError for a database that is not up in CONNECT_S_MAX.
    """
    return await trio.to_thread.run_sync(asyncio.run, _kept(url))


async def _connected(url: str) -> Any:
    """A connection; the last blow may not have been got over yet."""
    until_s = time.monotonic() + CONNECT_S_MAX
    while True:
        try:
            return await asyncpg.connect(url, timeout=CONNECT_S_MAX)
        except (OSError, asyncpg.CannotConnectNowError):
            if time.monotonic() >= until_s:
                raise
        await asyncio.sleep(POLL_S)


async def _kept(url: str) -> Kept:
    connection = await _connected(url)
    try:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            world, version = await connection.fetchrow("SELECT id, version FROM world")
            lines = await connection.fetch(
                "SELECT id, version, session, request_id, op, before::text, after::text"
                " FROM world_edit WHERE world_id = $1 ORDER BY id", world,
            )
            entities = await connection.fetch(ENTITIES, world)
    finally:
        await connection.close()
    props = [entity_of(record) for record in entities]
    return Kept(version, [_line(record) for record in lines], {
        row.id.bytes: prop_of(row) for row in props
    })


def _line(record: Sequence[Any]) -> Line:
    id, version, session, request_id, op, before, after = record
    key = uuid.UUID(int=session.int), request_id
    return Line(id, version, key, op, before.encode(), after.encode())
