"""What makes this server the same one when it starts again: its name and its key.

Theory of operation
-------------------
Below the data directory, in `server/`: a lock that is held as long as the process lives, the name
under which worlds are leased, and the key of resume tokens. A server that crashed and starts again
has its worlds back at once, because it has the same name, and two servers never share it, because
of the lock. Several servers that are to honour each other's tokens are given one key by the
settings.

Nobody else on the machine can read these files, and nobody else may have made them: who knows the
key can take over any session. So a folder or a file that is a link, belongs to somebody else, or
is open to others is not believed, and everything is done through the descriptor of the folder that
was looked at.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import socket
import stat
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from atrium_server.persistence.cluster_folder import sentence
from atrium_server.persistence.errors import Refused

FOLDER: Final = "server"
KEY_BYTES: Final = 32
NAME_CHARS_MAX: Final = 96
FILE_BYTES_MAX: Final = 4_096


@dataclass(frozen=True, slots=True)
class Node:
    """This server."""

    name: str
    key: bytes = field(repr=False)
    """Secret."""


def passing_node() -> Node:
    """One that is nobody the next time."""
    return Node(f"passing-{secrets.token_hex(8)}", secrets.token_bytes(KEY_BYTES))


@contextmanager
def open_node(data_dir: Path) -> Generator[Node]:
    """The server of this data directory, for the length of the block.

    Raises Refused when another process is it, or the folder cannot be used or trusted.
    """
    path = data_dir / FOLDER
    with ExitStack() as stack:
        try:
            folder = _opened(path)
            stack.callback(os.close, folder)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            lock = os.open("lock", flags, 0o600, dir_fd=folder)
        except OSError as error:
            raise sentence(error, path) from None
        stack.callback(os.close, lock)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"The data directory {data_dir} is in use by another server. Stop that one, or"
                " give this one a folder of its own with --data-dir."
            ) from None
        try:
            host = "".join(c for c in socket.gethostname() if c.isalnum() or c in "-.")[:48]
            name = _kept(folder, path / "name", f"{host or 'server'}-{secrets.token_hex(8)}")
            key = _kept(folder, path / "key", secrets.token_hex(KEY_BYTES))
        except OSError as error:
            raise sentence(error, path) from None
        if not name.isascii() or not 0 < len(name) <= NAME_CHARS_MAX or len(key) < 2 * KEY_BYTES:
            raise Refused(
                f"The files in {path} are damaged: remove `name` and `key`. Clients whose link"
                " is lost in that moment have to join anew."
            )
        yield Node(name.decode(), key)


def _opened(path: Path) -> int:
    """A descriptor of the folder, made if it is not there. Raises Refused and OSError."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.is_symlink():
        raise Refused(
            f"The folder {path} is a link, and what it leads to could be anybody's: put the folder"
            " itself there, or choose another data directory with --data-dir."
        )
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        _check_private(os.fstat(folder), path, "700")
    except BaseException:
        os.close(folder)
        raise
    return folder


def _check_private(found: os.stat_result, path: Path, mode: str) -> None:
    """Raise Refused for what somebody else has made, or could have read or written."""
    if found.st_uid != os.geteuid():
        raise Refused(
            f"{path} belongs to another user, who would know the key of this server: run the"
            " server as that user, or choose another data directory with --data-dir."
        )
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise Refused(
            f"{path} can be read or written by others, who may know the key of this server."
            f" Remove `key` in {path if path.name == FOLDER else path.parent}, and then run"
            f" chmod {mode} {path}."
        )


def _kept(folder: int, path: Path, fresh: str) -> bytes:
    """What a file of the folder says, written now if it is not there.

    A file is whole or it is not there. Nothing here follows a link: who could once write into
    the folder must not choose which file is read as the key, or is written over with it.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path.name, flags, dir_fd=folder)
    except FileNotFoundError:
        return _written(folder, path.name, fresh.encode())
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Refused(f"{path} is a link: remove it, and start the server again.") from None
        raise
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Refused(f"{path} is no ordinary file: remove it, and start the server again.")
        _check_private(found, path, "600")
        return file.read(FILE_BYTES_MAX)


def _written(folder: int, name: str, fresh: bytes) -> bytes:
    part = f"{name}.part"
    with suppress(FileNotFoundError):
        os.unlink(part, dir_fd=folder)  # of a start that was cut off; a link goes, not its target
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(part, flags, 0o600, dir_fd=folder), "wb") as file:
        file.write(fresh)
        file.flush()
        os.fsync(file.fileno())
    os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)
    return fresh
