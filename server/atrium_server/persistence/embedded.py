"""A private Postgres below the data directory: made, started, watched and ended by us.

Theory of operation
-------------------
::

    async with open_embedded(data_dir, find_binaries()) as cluster:
        ... connect to cluster.dsn ...

*Making it.* `initdb` and the creation of our database happen in `data.init`, without a care for the
disk's cache. All of it is then put on the disk at once, which is quicker, and becomes `data`: a
cluster is whole or it is not there. It is reached through a socket in a
folder that only its user can enter; it listens on no network. The files are bound to the major
version of the programs, so another version is refused before anything is touched.

*Its end.* Postgres is a direct child that is told to shut down when the thread that started it
ends, however that comes about (`launcher`); call `open_embedded` in a thread that lasts, such as
the main one. An orderly end asks for a fast shutdown, then for an immediate one, then kills. Each
is safe, as what was committed is in the log that the next start reads; they differ in how long
that takes.

*Between.* When Postgres ends by itself it is started again, at most RESTARTS_MAX times in
RESTARTS_WINDOW_S and then as soon as that allows, for as long as we run: a disk that was full may
have space again. Whoever uses the database sees an outage, and it is theirs to bridge it. Before
a restart all processes of the old one must have ended; Postgres relies on that.

Settings are given on the command line and win over those in the folder: what a version of ours
needs does not depend on which one made the cluster.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT, SIGTERM, Signals
from types import MappingProxyType
from typing import Final

import trio

from atrium_server.persistence import cluster_folder as folders
from atrium_server.persistence.binaries import Binaries
from atrium_server.persistence.child import Child, Identity, Inherited, told
from atrium_server.persistence.cluster_folder import DATABASE, ROLE, Layout, OwnerLock, layout_of
from atrium_server.persistence.cluster_log import ClusterLog
from atrium_server.persistence.errors import Refused, StoreError, Unavailable

logger = logging.getLogger(__name__)

INITDB_S_MAX: Final = 120.0
START_S_MAX: Final = 300.0
"""Reading the log after a crash takes seconds; on a very slow disk, minutes."""
TELL_AFTER_S: Final = 5.0
READY_POLL_S: Final = 0.01
FAST_S_MAX: Final = 3.0
IMMEDIATE_S_MAX: Final = 1.0
KILL_S_MAX: Final = 1.0
FAMILY_S_MAX: Final = 10.0
RESTARTS_MAX: Final = 3
RESTARTS_WINDOW_S: Final = 60.0

INSISTED: Final[Mapping[str, str]] = MappingProxyType({
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "logging_collector": "off",
    "log_destination": "stderr",
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_checkpoints": "off",
})
"""What the rest of this module relies on, and what keeps people's words out of the log."""

SMALL_MACHINE: Final[Mapping[str, str]] = MappingProxyType({
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "wal_compression": "on",
    "shared_buffers": "64MB",
    "max_connections": "40",
    "min_wal_size": "80MB",
    "max_wal_size": "512MB",
    "checkpoint_timeout": "5min",
    "autovacuum_max_workers": "2",
    "max_parallel_workers_per_gather": "0",  # the other cores are for the worlds
    "jit": "off",
})
"""One server beside one Atrium, on a machine with little memory."""

CREATE_DATABASE: Final = (
    f"CREATE DATABASE {DATABASE} TEMPLATE template0 STRATEGY FILE_COPY\n".encode()
)


class Cluster:
    """A running cluster, or one that is being started again.

    Attributes:
        dsn: how to connect; the same after each restart.
        binaries: the programs it was made with, for `pg_dump` and the like.
        is_up: whether Postgres took connections when we last heard of it.
        restarts: how often it has ended by itself and was up again.
    """

    def __init__(self, layout: Layout, binaries: Binaries, who: Identity, lock: OwnerLock) -> None:
        self.layout, self.binaries = layout, binaries
        self.is_up = False
        self.restarts = 0
        self._who, self._lock = who, lock
        self._programs = binaries.folder
        self._child: Child | None = None
        self._log = ClusterLog(layout.log)

    @property
    def dsn(self) -> str:
        return self.layout.dsn

    @property
    def pid(self) -> int | None:
        """The process of Postgres, if there is one."""
        return self._child.pid if self._child is not None else None

    async def make(self) -> None:
        """Make the cluster unless it is there. Raises StoreError."""
        data, unfinished = self.layout.data, self.layout.unfinished
        check_data(self.layout, self.binaries, self._who)
        self._programs = await trio.to_thread.run_sync(
            folders.reachable_programs, self.layout, self.binaries, self._who
        )
        if unfinished.exists():
            await trio.to_thread.run_sync(shutil.rmtree, unfinished)
        if data.exists():
            return
        folders.make_owned(unfinished, self._who)
        await self._tool(
            "initdb", "-D", unfinished, "-U", ROLE, "-E", "UTF8", "--no-locale",
            "--auth-local=trust", "--auth-host=reject", "--data-checksums", "--no-instructions",
            "--no-sync",
        )
        await self._tool(
            "postgres", "--single", "-D", unfinished, "-c", "exit_on_error=true",
            "-c", "fsync=off", "-c", "log_checkpoints=off", "template1", text=CREATE_DATABASE,
        )
        await self._tool("initdb", "--sync-only", "-D", unfinished)
        unfinished.rename(data)
        _sync_folder(self.layout.root)

    async def _tool(self, name: str, *arguments: str | Path, text: bytes = b"") -> None:
        """Run a tool to its end. Raises StoreError if it fails."""
        size_before = self._log.size
        with tempfile.TemporaryFile() as stdin:
            stdin.write(text)
            stdin.seek(0)
            # It holds the lock as well: who starts after us must not throw away what it is making.
            gets = Inherited(self._log.descriptor, stdin, (self._lock.shared,))
            child = Child.start([self._programs / name, *arguments], self._who, gets)
        try:
            with trio.move_on_after(INITDB_S_MAX):
                await child.wait_family()
            if child.status != 0:
                raise self._log.why(size_before, f"The program {name}", child.status)
        finally:
            with trio.CancelScope(shield=True):
                await child.end((SIGTERM, 2.0), (SIGKILL, KILL_S_MAX))
            child.close()

    async def start(self, settings: Mapping[str, str]) -> None:
        """Start Postgres and wait until it takes connections. Raises StoreError."""
        size_before = self._log.size
        folders.make_run(self.layout, self._who)
        chosen = {
            **SMALL_MACHINE, **settings, **INSISTED,
            "unix_socket_directories": str(self.layout.run.resolve()),
        }
        options = [f"--{name}={value}" for name, value in chosen.items()]
        command = [self._programs / "postgres", "-D", self.layout.data, *options]
        gets = Inherited(self._log.descriptor, held=(self._lock.shared,))
        child = self._child = Child.start(command, self._who, gets)
        began, has_told = trio.current_time(), False
        while not _is_ready(self.layout.data, child.pid):
            if child.status is not None:
                raise self._log.why(size_before, "Postgres", child.status)
            waited = trio.current_time() - began
            if waited > START_S_MAX:
                raise Unavailable(
                    f"Postgres did not start within {START_S_MAX:g} s. {self._log.see}"
                )
            if waited > TELL_AFTER_S and not has_told:
                logger.warning("Postgres is still starting; it may be recovering from a crash")
                has_told = True
            await trio.sleep(READY_POLL_S)
        self.is_up = True

    async def supervise(self, settings: Mapping[str, str]) -> None:
        """Start Postgres again whenever it has ended, until cancelled."""
        attempts: deque[float] = deque(maxlen=RESTARTS_MAX)
        while self._child is not None:
            status = await self._child.wait()
            self.is_up = False
            logger.error("Postgres has ended (%s); it is started again", told(status))
            while not self.is_up:
                if len(attempts) == RESTARTS_MAX:
                    await self._rest(attempts[0] + RESTARTS_WINDOW_S - trio.current_time())
                attempts.append(trio.current_time())
                await self._start_again(settings)
            self.restarts += 1
            logger.warning("Postgres is up again")

    @staticmethod
    async def _rest(seconds: float) -> None:
        if seconds > 0:
            logger.error(
                "Postgres was started %d times within %g s; the next attempt is in %.0f s",
                RESTARTS_MAX, RESTARTS_WINDOW_S, seconds,
            )
            await trio.sleep(seconds)

    async def _start_again(self, settings: Mapping[str, str]) -> None:
        """One attempt. That it failed is told, and left to the next one."""
        try:
            await self._end_child((SIGQUIT, FAMILY_S_MAX), (SIGKILL, KILL_S_MAX))
            await self.start(settings)
        except StoreError as error:
            logger.error("%s", error)
        except OSError as error:
            logger.error("%s", folders.sentence(error, self.layout.root))

    async def bound_log(self) -> None:
        """Keep what Postgres says within bounds, until cancelled."""
        await self._log.bound()

    async def stop(self) -> None:
        """End Postgres, in FAST_S_MAX + IMMEDIATE_S_MAX + KILL_S_MAX at most."""
        self.is_up = False
        self._lock.stopping()
        await self._end_child(
            (SIGINT, FAST_S_MAX), (SIGQUIT, IMMEDIATE_S_MAX), (SIGKILL, KILL_S_MAX)
        )
        folders.remove_run(self.layout, self._who)

    async def _end_child(self, *steps: tuple[Signals, float]) -> None:
        child = self._child
        if child is None:
            return
        if not await child.end(*steps):
            logger.error("processes of Postgres do not end; the lock stays with them")
        self._child = None
        child.close()

    def close(self) -> None:
        """Let go of the log."""
        self._log.close()


@asynccontextmanager
async def open_embedded(
    data_dir: Path,
    binaries: Binaries,
    *,
    os_user: str | None = None,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> AsyncGenerator[Cluster]:
    """A running cluster below `data_dir`.

    Args:
        data_dir: made if it is missing; the cluster lies in its folder `postgres`.
        binaries: see `find_binaries`.
        os_user: whom to run Postgres as where we are root; None for the usual ones.
        settings: of Postgres, over SMALL_MACHINE.

    Raises:
        StoreError: the cluster cannot be started; the sentence says what to do.
    """
    layout, who = layout_of(data_dir), folders.identity(os_user)
    await trio.to_thread.run_sync(folders.prepare, layout, who)
    lock = await OwnerLock.take(layout)
    try:
        cluster = _told_cluster(layout, binaries, who, lock)
        try:
            await _bring_up(cluster, settings)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(cluster.supervise, settings)
                nursery.start_soon(cluster.bound_log)
                yield cluster
                nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                await cluster.stop()
            cluster.close()
    finally:
        lock.close()


def _told_cluster(layout: Layout, binaries: Binaries, who: Identity, lock: OwnerLock) -> Cluster:
    try:
        return Cluster(layout, binaries, who, lock)
    except OSError as error:
        raise folders.sentence(error, layout.root) from None


async def _bring_up(cluster: Cluster, settings: Mapping[str, str]) -> None:
    try:
        await cluster.make()
        await cluster.start(settings)
    except OSError as error:
        raise folders.sentence(error, cluster.layout.root) from None


def check_data(layout: Layout, binaries: Binaries, who: Identity) -> None:
    """Refuse a cluster that these programs, run by this user, cannot start."""
    if not layout.data.exists():
        return
    try:
        recorded = (layout.data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise Refused(
            f"The folder {layout.data} is not a Postgres cluster: it has no PG_VERSION. "
            "Move it away, or choose another folder with --data-dir."
        ) from None
    if recorded != str(binaries.major):
        raise Refused(
            f"The database in {layout.root} was made by PostgreSQL {recorded}, and the programs "
            f"in {binaries.folder} are PostgreSQL {binaries.version}, which cannot read it. "
            f"Point --pg-bin to the programs of PostgreSQL {recorded}; or save it with them "
            "(atrium db backup), move the folder away, and load it with the new ones "
            "(atrium db restore)."
        )
    uid, name = folders.owner_name(layout.data)
    if uid != who.uid:
        raise Refused(
            f"The database in {layout.data} belongs to the user {name!r}, and Postgres would run "
            f"as {who.name!r}. Start the server as that user, or name it with --pg-user as root."
        )


def _is_ready(data: Path, pid: int) -> bool:
    """Whether postmaster.pid says so; its first line must be the one we started."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"


def _sync_folder(folder: Path) -> None:
    """Make a rename in it last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
