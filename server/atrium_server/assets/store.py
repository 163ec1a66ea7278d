"""The files themselves, each named by the SHA-256 of its bytes.

Theory of operation
-------------------
::

    assets/                     0700
      lock                      held as long as the server runs: one owner
      empty/                    where checks run
      incoming/                 what is being received; emptied at the start
      ab/cd/abcd…               0600, 64 hexadecimal digits

Bytes are received into `incoming` and hashed on the way. A file that is to be kept is made durable
(fsync), renamed to its place, and the folders are made durable, too. A rename is whole or not at
all: under the name of a hash there is never half a file. What a crash leaves behind lies in
`incoming`.

Names are made of checked hashes in one place only (`path_of`), so no word of a request ever becomes
part of a path.

Room is taken before the first byte is written, for the size that was announced: against the cap of
the whole store, and against the disk, where a reserve stays free because the database may lie on
the same one. Everything here blocks, and runs in worker threads; the sums are guarded by a lock.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from atrium_server.config import AtriumStartError
from atrium_shared.limits import ASSETS_BYTES_MAX, ASSETS_DISK_FREE_BYTES_MIN

_HASH: Final = re.compile(r"[0-9a-f]{64}")
_LEVEL_1, _LEVEL_2 = 2, 4
_FOLDER_MODE, _FILE_MODE = 0o700, 0o600
_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_DENIED: Final = {errno.EACCES, errno.EPERM, errno.EROFS}


def is_asset_hash(word: str) -> bool:
    """Whether a word is the name of an asset: 64 hexadecimal digits in lower case."""
    return _HASH.fullmatch(word) is not None


class StorageError(Exception):
    """A file cannot be stored or read now; `sentence` is for the person, the cause for the log."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class StorageFull(StorageError):
    """There is no room for a file."""


@contextmanager
def _in_sentences() -> Generator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull(
                "The server has no room for more files: tell its operator, or try later."
            ) from error
        if error.errno in _DENIED:
            raise StorageError(
                "The server may not write to its own folder of assets: tell its operator."
            ) from error
        raise StorageError("The disk of the server does not work: tell its operator.") from error


ASSETS_FOLDER: Final = "assets"
"""Below the data directory."""


def path_in(root: Path, digest: str) -> Path:
    """Where the file of a hash is below `root`, or would be; for those who only read."""
    if not is_asset_hash(digest):
        raise ValueError("this is no hash of an asset")
    return root / digest[:_LEVEL_1] / digest[_LEVEL_1:_LEVEL_2] / digest


class Incoming:
    """A file that is being received. `digest` is of what came so far."""

    def __init__(self, store: AssetStore, size_max: int) -> None:
        self._store = store
        self.size_max = size_max
        self.path = store.incoming / secrets.token_hex(16)
        self.size = 0
        self._digest = hashlib.sha256()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        self.fd = os.open(self.path, flags, _FILE_MODE)
        self._is_open = True

    @property
    def digest(self) -> str:
        return self._digest.hexdigest()

    def write(self, data: bytes | bytearray) -> None:
        """Hash and write; no more than was announced. Raises StorageError."""
        if self.size + len(data) > self.size_max:
            raise ValueError("more was written than room was taken for")
        rest = memoryview(data)
        self._digest.update(rest)
        with _in_sentences():
            while rest:
                rest = rest[os.write(self.fd, rest) :]
        self.size += len(data)

    def close(self) -> None:
        """Forget it, unless it has been kept, and give its room back."""
        if self._is_open:
            self._is_open = False
            os.close(self.fd)
            with suppress(OSError):  # renamed, or the disk is gone
                self.path.unlink(missing_ok=True)
            self._store.release(self.size_max)


class AssetStore:
    """A folder of assets that this process owns."""

    def __init__(self, root: Path, bytes_max: int = ASSETS_BYTES_MAX) -> None:
        """Make and lock the folder, and measure what is in it.

        Raises:
            AtriumStartError: it cannot be used, or another server uses it.
        """
        self.root = root
        self.empty, self.incoming = root / "empty", root / "incoming"
        self._bytes_max = bytes_max
        self._bytes = self._reserved = 0
        self._sums = threading.Lock()
        try:
            root.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            self._lock = os.open(root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
            self._take_lock()
            for folder in (self.incoming, self.empty):
                if folder.exists():
                    shutil.rmtree(folder)
                folder.mkdir(mode=_FOLDER_MODE)
            self._bytes = sum(self.path_of(each).stat().st_size for each in self.hashes())
        except OSError as error:
            raise AtriumStartError(
                f"The folder of assets {root} cannot be used ({error.strerror}): make it writable"
                " for the user of this server, or name another data directory."
            ) from error

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise AtriumStartError(
                f"Another server uses the folder of assets {self.root}: stop it, or name another"
                " data directory."
            ) from None

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._lock)

    @property
    def bytes_stored(self) -> int:
        return self._bytes

    def path_of(self, digest: str) -> Path:
        """Where the file of a hash is, or would be."""
        return path_in(self.root, digest)

    def begin(self, size: int) -> Incoming:
        """Take room for a file of `size` bytes. Raises StorageError."""
        with _in_sentences():
            free = shutil.disk_usage(self.incoming).free
            with self._sums:
                if (
                    self._bytes + self._reserved + size > self._bytes_max
                    or free - self._reserved - size < ASSETS_DISK_FREE_BYTES_MIN
                ):
                    raise StorageFull(
                        "The server has no room for more files: tell its operator, or try later."
                    )
                self._reserved += size
            try:
                return Incoming(self, size)
            except BaseException:
                self.release(size)
                raise

    def release(self, size: int) -> None:
        """Room that was taken by `begin` is not needed any more."""
        with self._sums:
            self._reserved -= size

    def keep(self, file: Incoming) -> None:
        """Make a received file durable and put it in its place; one that is there is left alone.

        Raises StorageError; then nothing has changed.
        """
        path = self.path_of(file.digest)
        with _in_sentences():
            if path.is_file() and path.stat().st_size == file.size:
                return
            os.fsync(file.fd)
            path.parent.parent.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            path.parent.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            replaced = path.stat().st_size if path.exists() else 0
            file.path.rename(path)
            for folder in (path.parent, path.parent.parent, self.root):
                _sync_folder(folder)
        with self._sums:
            self._bytes += file.size - replaced

    def has(self, digest: str, size: int) -> bool:
        """Whether the file is there, whole."""
        try:
            return self.path_of(digest).stat().st_size == size
        except OSError:
            return False

    def read(self, digest: str, at: int, size: int) -> bytes:
        """A piece of a file; shorter only at its end.

        It is opened anew each time: somebody who reads slowly, or stops, holds nothing of ours.

        Raises:
            FileNotFoundError: it is not there, or not any more.
            StorageError: the disk does not work.
        """
        path = self.path_of(digest)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                return os.pread(fd, size, at)
            finally:
                os.close(fd)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError(
                "The server cannot read this file now: tell its operator, or try later."
            ) from error

    def remove(self, digest: str) -> None:
        """Remove a file; nothing happens if there is none. Raises StorageError."""
        path = self.path_of(digest)
        with _in_sentences():
            try:
                size = path.stat().st_size
                path.unlink()
            except FileNotFoundError:
                return
        with self._sums:
            self._bytes -= size

    def hashes(self) -> Iterator[str]:
        """All files, in no order."""
        for folder in sorted(self.root.glob("[0-9a-f][0-9a-f]/[0-9a-f][0-9a-f]")):
            for path in folder.iterdir():
                if is_asset_hash(path.name) and path == self.path_of(path.name):
                    yield path.name


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
