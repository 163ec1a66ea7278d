"""The files of models on disk, each named by the SHA-256 of its bytes.

Theory of operation
-------------------
::

    models/                     0700
      objects/abcd…             0600, 64 hexadecimal digits: documents and weights
      incoming/                 what is being written

A file is written under a name drawn by chance, made durable (fsync) and renamed to its place, and
the folder is made durable, too. So under the name of a hash there is never half a file, and two who
publish the same one at once both end with it there. What a crash leaves in `incoming` is removed a
day later, when nobody can be writing it any more.

Files that came with the program (`builtin`) are not copied: they are read where they lie.

What is read is hashed before it is used. The name of a hash says what the bytes must be, so a file
that was changed, by a failing disk or by somebody, is noticed and never used. Links are not
followed. Everything here blocks, and runs in worker threads.
"""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import stat
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from atrium_server.registry.documents import is_hash
from atrium_server.registry.errors import ModelError

STALE_S: Final = 86_400.0
"""What has been in `incoming` for so long was left there by a crash."""
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class ObjectFiles:
    """The files of one server. Several processes may use them at once."""

    def __init__(self, root: Path, builtin: Mapping[str, Path] | None = None) -> None:
        """Args:
            root: the folder of models; made when something is first written.
            builtin: where files lie that came with the program, by their hash.
        """
        self._objects = root / "objects"
        self._incoming = root / "incoming"
        self._builtin = dict(builtin or {})

    def path_of(self, digest: str) -> Path:
        """Where the file of a hash is, or would be. Raises ModelError."""
        if not is_hash(digest):
            raise ModelError("A record of the registry names a file by what is no hash: restore"
                             " the database, or publish the model again.")
        return self._builtin.get(digest, self._objects / digest)

    def has(self, digest: str) -> bool:
        """Whether there is such a file; whole or not is found when it is read."""
        return self.path_of(digest).is_file()

    def read(self, digest: str, size_max: int, what: str) -> bytes:
        """All bytes of a file, which are those of its hash. `what` is for the sentence.

        Raises ModelError.
        """
        path = self.path_of(digest)
        with _in_sentences(what):
            data = read_plainly(path, size_max, what)
        if hashlib.sha256(data).hexdigest() != digest:
            raise ModelError(
                f"{what} is not what it was when it was published (its SHA-256 differs): remove"
                f" {path} and publish the model again."
            )
        return data

    def keep(self, data: bytes) -> str:
        """Write a file to where its hash says, unless it is there; returns the hash.

        Raises ModelError; then nothing has changed.
        """
        digest = hashlib.sha256(data).hexdigest()
        if digest in self._builtin:
            return digest
        path = self._objects / digest
        with _in_sentences("The file of the model"):
            if self._is_whole(path, len(data), digest):
                return digest
            for folder in (self._objects, self._incoming):
                folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            self._sweep()
            waiting = self._incoming / secrets.token_hex(16)
            try:
                _write_durably(waiting, data)
                waiting.rename(path)
            finally:
                with suppress(OSError):  # it was renamed, or the disk is gone
                    waiting.unlink(missing_ok=True)
            _sync_folder(self._objects)
        return digest

    @staticmethod
    def _is_whole(path: Path, size: int, digest: str) -> bool:
        """One that is there and damaged is written anew: to publish again mends it."""
        try:
            if path.stat(follow_symlinks=False).st_size != size:
                return False
            return hashlib.sha256(read_plainly(path, size, path.name)).hexdigest() == digest
        except (OSError, ModelError):
            return False

    def _sweep(self) -> None:
        for path in self._incoming.iterdir():
            with suppress(FileNotFoundError):  # somebody else's, who has just finished
                if path.stat().st_mtime < time.time() - STALE_S:
                    path.unlink()


def read_plainly(path: Path, size_max: int, what: str) -> bytes:
    """A file that is no link and no device, up to a size. Raises ModelError or OSError."""
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with open(os.open(path, flags), "rb") as file:
        about = os.fstat(file.fileno())
        if not stat.S_ISREG(about.st_mode):
            raise ModelError(f"{what} is no plain file: {path.name}.")
        if about.st_size > size_max:
            raise ModelError(
                f"{what} has {about.st_size:,} bytes and may have {size_max:,}: get it anew."
            )
        return file.read(size_max)


def _write_durably(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(path, flags, _FILE_MODE), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def _in_sentences(what: str) -> Generator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ModelError(
            f"{what} is missing: publish the model again on this server (`atrium models publish"
            " PATH`), or copy the folder `models` from where it was published."
        ) from error
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ModelError(f"{what} is a link, which is not followed: publish the model again."
                             ) from error
        if error.errno in _FULL:
            raise ModelError("There is no room on the disk for the model: free some.") from error
        raise ModelError(
            f"{what} cannot be used ({error.strerror}): let the folder `models` of the data"
            " directory belong to the user of this server."
        ) from error


