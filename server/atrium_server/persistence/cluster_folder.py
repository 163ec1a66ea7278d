"""The folder of a private cluster: what lies where, to whom it belongs, and who may use it now.

::

    DATA_DIR/postgres/          ours; whoever Postgres runs as may pass through it
        owner.lock              locked by us and by Postgres: free when both have ended
        process.lock            locked by us alone: free when nobody would answer
        data/                   the cluster; belongs to whoever Postgres runs as
        data.init/              a cluster that is being made; thrown away at the next start
        run/                    the socket, or a link to the folder of the socket
        programs-18.6-1a2b3c4d/ a copy of the programs, where the originals cannot be reached
        postgres.log, .log.1    what Postgres and its tools say

Theory of operation
-------------------
*Rights.* Postgres refuses to run as root. As root we therefore run it as another user, who owns
nothing here but `data` and `run`: it cannot change the programs that it runs, nor the locks. No
folder that was there before us gets other rights; if that user cannot pass a folder on the way, a
sentence says so.

*Locks.* A cluster that is started twice is a cluster that is lost, so the lock must live as long
as the last process of Postgres does, even when we do not. A `flock` belongs to the open file:
Postgres inherits the descriptor, and the lock ends with its last copy. To know whether to wait, a
second lock is ours alone. It is free although the first is taken: the owner has been killed, or
is stopping, and Postgres is about to end.

*The socket* has a path of at most SOCKET_BYTES_MAX bytes; that is a limit of the system. If the
folder lies deeper, the socket is put into a folder of its own below /tmp, which only its user can
enter, and `run` becomes a link to it.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import logging
import os
import pwd
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import trio

from atrium_server.persistence.binaries import Binaries
from atrium_server.persistence.child import ENVIRONMENT, Identity
from atrium_server.persistence.errors import Refused, StoreError, Unavailable

logger = logging.getLogger(__name__)

SOCKET_BYTES_MAX: Final = 103
"""The most that Linux (107) and macOS (103) allow."""
SHORT_BASE: Final = "/tmp"
SOCKET_NAME: Final = ".s.PGSQL.5432"
ROLE: Final = "atrium"
DATABASE: Final = "atrium"
OS_USERS: Final = ("postgres", "nobody")
"""Whom root becomes, unless the setting pg_user says otherwise: the first that exists."""
PREDECESSOR_S_MAX: Final = 10.0
LOCK_POLL_S: Final = 0.05

_PLAIN_PATH: Final = re.compile(rb"[A-Za-z0-9_./+@=-]+")
"""Paths that mean themselves in Postgres' list of socket folders."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The paths of the picture above."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def unfinished(self) -> Path:
        return self.root / "data.init"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def log(self) -> Path:
        return self.root / "postgres.log"

    @property
    def owner_lock(self) -> Path:
        return self.root / "owner.lock"

    @property
    def process_lock(self) -> Path:
        return self.root / "process.lock"

    @property
    def dsn(self) -> str:
        """How to connect while the cluster runs; in full, lest PGPORT complete it."""
        return f"postgresql://{ROLE}@/{DATABASE}?host={quote(str(self.run.resolve()))}&port=5432"


def layout_of(data_dir: Path) -> Layout:
    """The layout below a data directory, whether it exists or not."""
    return Layout(data_dir.absolute() / "postgres")


def identity(os_user: str | None = None) -> Identity:
    """Whom to run Postgres as; `os_user` is the setting `pg_user`. Raises Refused."""
    uid = os.geteuid()
    if uid != 0:
        return Identity(uid, os.getegid(), str(uid), dropped=False)
    for name in (os_user,) if os_user else OS_USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Identity(entry.pw_uid, entry.pw_gid, name, dropped=True)
    names = " or ".join(repr(name) for name in ((os_user,) if os_user else OS_USERS))
    raise Refused(
        f"Postgres must not run as root, and there is no ordinary user {names} to run it as. "
        "Start the server as an ordinary user, or name one that exists with --pg-user."
    )


def prepare(layout: Layout, who: Identity) -> None:
    """Make the folder if it is new. Raises Refused if it is not ours or cannot be used."""
    root, data_dir = layout.root, layout.root.parent
    mode = 0o711 if who.dropped else 0o700
    try:
        if (data_dir / "PG_VERSION").exists():
            raise Refused(
                f"The folder {data_dir} is itself a Postgres cluster, and not ours. "
                "Choose another folder with --data-dir."
            )
        is_new = not data_dir.exists()
        data_dir.mkdir(parents=True, exist_ok=True)
        if is_new:
            data_dir.chmod(mode)
        if not root.exists():
            root.mkdir()
            root.chmod(mode)
        elif not layout.owner_lock.exists() and any(root.iterdir()):
            raise Refused(
                f"The folder {root} holds something that Atrium did not put there. "
                "Choose another folder with --data-dir."
            )
    except OSError as error:
        raise sentence(error, root) from None
    if who.dropped and not can_enter(root, who):
        raise Refused(
            f"Postgres runs as the user {who.name!r}, who cannot enter the folder {root}. "
            "Choose a folder that everybody can pass through with --data-dir, such as "
            "/var/lib/atrium, or another user with --pg-user."
        )


def can_enter(folder: Path, who: Identity) -> bool:
    """Whether that user can pass through to a folder; asked by trying, for there are ACLs."""
    done = subprocess.run(
        ["/bin/sh", "-c", 'cd -- "$1"', "sh", folder], user=who.uid, group=who.gid,
        extra_groups=[], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, cwd="/", env=ENVIRONMENT, check=False,
    )
    return done.returncode == 0


def sentence(error: OSError, where: Path) -> StoreError:
    """What a person should know about an error of the file system."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return disk_full(where)
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return Refused(
            f"The folder {where} cannot be written or used ({error.strerror}). Give it to the "
            "user who runs the server, or choose another with --data-dir."
        )
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return Refused(f"The path {where} is not a folder. Choose another with --data-dir.")
    return Refused(f"The folder {where} cannot be used: {error.strerror or error}.")


def disk_full(where: Path) -> Unavailable:
    """Told at the start, and while the cluster cannot be restarted."""
    return Unavailable(
        f"There is no space left on the disk of {where}. Free some, or choose a folder on "
        "another disk with --data-dir."
    )


class OwnerLock:
    """The right to run the cluster. `shared` is the descriptor to be inherited."""

    def __init__(self, shared: int, own: int) -> None:
        self.shared = shared
        self._own = own

    @classmethod
    async def take(cls, layout: Layout) -> OwnerLock:
        """Wait for a predecessor that is ending. Raises Refused if another process has it."""
        shared = own = -1
        try:
            shared, own = _open_lock(layout.owner_lock), _open_lock(layout.process_lock)
            _take_own(own, layout)
            await _take_shared(shared, layout)
        except BaseException as error:
            _close_all(shared, own)
            if isinstance(error, OSError):
                raise sentence(error, layout.root) from None
            raise
        return cls(shared, own)

    def stopping(self) -> None:
        """Whoever comes now should wait and not be turned away."""
        fcntl.flock(self._own, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go. The lock is free when Postgres has let go, too."""
        _close_all(self.shared, self._own)


def _open_lock(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def _close_all(*descriptors: int) -> None:
    for descriptor in descriptors:
        if descriptor >= 0:
            os.close(descriptor)


def _take_own(own: int, layout: Layout) -> None:
    """Whoever has it may wait for the other lock; everybody else is turned away at once."""
    if _take(own):
        os.ftruncate(own, 0)
        os.pwrite(own, str(os.getpid()).encode(), 0)
        return
    pid = os.pread(own, 32, 0).decode("ascii", "replace")
    raise Refused(
        f"The data directory {layout.root.parent} is in use by another server"
        + (f" (process {pid})" if pid.isdecimal() else "")
        + ". Stop that one or choose another folder with --data-dir; several servers "
        "together need a Postgres of their own, named with --database-url."
    )


async def _take_shared(shared: int, layout: Layout) -> None:
    until = trio.current_time() + PREDECESSOR_S_MAX
    has_told = False
    while not _take(shared):
        if trio.current_time() >= until:
            raise Refused(
                f"The Postgres of an earlier server still runs in {layout.root.parent} and does "
                f"not end (process {_postmaster(layout)}). End it with SIGINT and start again."
            )
        if not has_told:
            logger.warning("waiting for the database of the last run to end in %s", layout.root)
            has_told = True
        await trio.sleep(LOCK_POLL_S)


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _postmaster(layout: Layout) -> str:
    try:
        return (layout.data / "postmaster.pid").read_text().split("\n", 1)[0]
    except OSError:
        return "unknown"


def make_owned(folder: Path, who: Identity) -> None:
    """An empty folder that only Postgres' user can enter."""
    folder.mkdir(mode=0o700)
    if who.dropped:
        os.chown(folder, who.uid, who.gid)


def make_run(layout: Layout, who: Identity) -> None:
    """A fresh place for the socket; what a killed run left is removed. Raises OSError."""
    remove_run(layout, who)
    if _is_good_place(layout.run):
        make_owned(layout.run, who)
        return
    short = Path(tempfile.mkdtemp(prefix="atrium-", dir=SHORT_BASE))  # mode 0700
    if who.dropped:
        os.chown(short, who.uid, who.gid)
    layout.run.symlink_to(short)


def _is_good_place(folder: Path) -> bool:
    path = os.fsencode(folder / SOCKET_NAME)
    return len(path) <= SOCKET_BYTES_MAX and _PLAIN_PATH.fullmatch(path) is not None


def remove_run(layout: Layout, who: Identity) -> None:
    """Remove the place of the socket, and the folder that it links to if that is ours."""
    if layout.run.is_symlink():
        target = Path(os.readlink(layout.run))
        layout.run.unlink()
        if not target.name.startswith("atrium-"):
            return
        try:
            info = target.lstat()
        except OSError:
            return  # gone, as such folders are after a new start of the machine
        if info.st_uid == who.uid:
            shutil.rmtree(target, ignore_errors=True)
    elif layout.run.exists():
        shutil.rmtree(layout.run)


def reachable_programs(layout: Layout, binaries: Binaries, who: Identity) -> Path:
    """The folder of programs that Postgres' user can start; a copy if need be. Raises Refused."""
    if not who.dropped or can_enter(binaries.folder, who):
        return binaries.folder
    if not binaries.movable:
        raise Refused(
            f"Postgres runs as the user {who.name!r}, who cannot enter {binaries.folder}. "
            "Name programs that everybody can reach with --pg-bin, or another user with --pg-user."
        )
    info = (binaries.folder / "postgres").stat()
    source = f"{binaries.folder} {info.st_mtime_ns} {info.st_size}".encode()
    name = f"programs-{binaries.version}-{hashlib.sha256(source).hexdigest()[:8]}"
    base = Path(os.path.commonpath([part.parent for part in binaries.movable]))
    copy = layout.root / name
    if not copy.exists():
        _copy_programs(layout.root, copy, binaries, base)
    return copy / binaries.folder.relative_to(base)


def _copy_programs(root: Path, copy: Path, binaries: Binaries, base: Path) -> None:
    """Whole or not at all, and no other copy besides it."""
    logger.info("copying the programs of Postgres to %s, once", copy)
    for old in root.glob("programs-*"):
        shutil.rmtree(old)
    unfinished = root / "programs-unfinished"
    for part in binaries.movable:
        shutil.copytree(part, unfinished / part.relative_to(base), symlinks=True)
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
    unfinished.rename(copy)


def owner_name(path: Path) -> tuple[int, str]:
    """Who owns a file: number, and name for people."""
    uid = path.stat().st_uid
    try:
        return uid, pwd.getpwuid(uid).pw_name
    except KeyError:
        return uid, str(uid)
