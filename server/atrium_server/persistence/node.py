"""What makes this server the same one when it starts again: its name and its key.

Theory of operation
-------------------
Below the data directory, in `server/`: a lock that is held as long as the process lives, the name
under which worlds are leased, and the key of resume tokens. A server that crashed and starts again
has its worlds back at once, because it has the same name, and two servers never share it, because
of the lock. Several servers that are to honour each other's tokens are given one key by the
settings. Nobody else on the machine can read these files.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from atrium_server.persistence.cluster_folder import sentence
from atrium_server.persistence.errors import Refused

FOLDER: Final = "server"
KEY_BYTES: Final = 32
NAME_CHARS_MAX: Final = 96


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

    Raises Refused when another process is it, or the folder cannot be used.
    """
    folder = data_dir / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        lock = os.open(folder / "lock", flags, 0o600)
    except OSError as error:
        raise sentence(error, folder) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(
                f"The data directory {data_dir} is in use by another server. Stop that one, or"
                " give this one a folder of its own with --data-dir."
            ) from None
        try:
            host = "".join(c for c in socket.gethostname() if c.isalnum() or c in "-.")[:48]
            name = _kept(folder / "name", f"{host or 'server'}-{secrets.token_hex(8)}".encode())
            key = _kept(folder / "key", secrets.token_hex(KEY_BYTES).encode())
        except OSError as error:
            raise sentence(error, folder) from None
        if not name.isascii() or not 0 < len(name) <= NAME_CHARS_MAX or len(key) < 2 * KEY_BYTES:
            raise Refused(
                f"The files in {folder} are damaged: remove `name` and `key`. Clients whose link"
                " is lost in that moment have to join anew."
            )
        yield Node(name.decode(), key)
    finally:
        os.close(lock)


def _kept(path: Path, fresh: bytes) -> bytes:
    """What a file says, written now if it is not there; a file is whole or it is not there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        pass
    part = path.with_suffix(".part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(fresh)
        file.flush()
        os.fsync(file.fileno())
    part.rename(path)
    return fresh
