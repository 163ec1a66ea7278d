"""The folder of assets: whole files under true names, and nothing else, whatever goes wrong."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from atrium_server.assets.store import AssetStore, StorageError, StorageFull
from atrium_server.config import AtriumStartError
from atrium_shared.limits import ASSETS_DISK_FREE_BYTES_MIN

DATA = b"some bytes" * 100
DIGEST = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[AssetStore]:
    made = AssetStore(tmp_path / "assets")
    yield made
    made.close()


def put(store: AssetStore, data: bytes = DATA) -> str:
    file = store.begin(len(data))
    try:
        file.write(data)
        store.keep(file)
        return file.digest
    finally:
        file.close()


def files(store: AssetStore) -> list[Path]:
    return [path for path in store.root.rglob("*") if path.is_file() and path.name != "lock"]


def test_a_file_is_found_by_the_hash_of_its_bytes(store: AssetStore) -> None:
    assert put(store) == DIGEST
    path = store.root / DIGEST[:2] / DIGEST[2:4] / DIGEST
    assert files(store) == [path]
    assert path.read_bytes() == DATA
    assert store.read(DIGEST, 5, 20) == DATA[5:25]
    assert store.has(DIGEST, len(DATA))
    assert not store.has(DIGEST, len(DATA) - 1)
    assert [*store.hashes()] == [DIGEST]
    assert store.bytes_stored == len(DATA)


def test_nobody_else_may_read_it(store: AssetStore) -> None:
    put(store)
    for path in (store.root, *store.root.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


def test_the_same_bytes_are_kept_once(store: AssetStore) -> None:
    put(store)
    before = store.path_of(DIGEST).stat().st_ino
    put(store)
    assert store.path_of(DIGEST).stat().st_ino == before
    assert store.bytes_stored == len(DATA)
    assert [*store.incoming.iterdir()] == []


def test_a_damaged_file_is_replaced(store: AssetStore) -> None:
    put(store)
    store.path_of(DIGEST).write_bytes(b"half")
    put(store)
    assert store.read(DIGEST, 0, 5_000) == DATA


def test_what_is_not_kept_leaves_nothing(store: AssetStore) -> None:
    file = store.begin(len(DATA))
    file.write(DATA[:300])
    file.close()
    file.close()
    assert files(store) == []
    assert put(store) == DIGEST, "its room is free again"


def test_no_more_is_written_than_was_announced(store: AssetStore) -> None:
    file = store.begin(10)
    file.write(b"0123456789")
    with pytest.raises(ValueError, match="room was taken"):
        file.write(b"x")
    file.close()


def test_a_file_has_its_name_only_when_it_is_durable(
    store: AssetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes first, then the name, then the folders that hold the name."""
    steps: list[str] = []
    fsync, rename = os.fsync, Path.rename

    def seen_fsync(fd: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        fsync(fd)

    def seen_rename(path: Path, target: Path) -> Path:
        steps.append("rename")
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", seen_fsync)
    monkeypatch.setattr(Path, "rename", seen_rename)
    put(store)
    assert steps == ["file", "rename", "folder", "folder", "folder"]


def test_what_a_crash_left_is_removed_at_the_start(tmp_path: Path) -> None:
    first = AssetStore(tmp_path)
    put(first)
    (first.incoming / "half").write_bytes(b"half a file")
    (first.empty / "left").write_bytes(b"")
    first.close()
    again = AssetStore(tmp_path)
    assert [*again.incoming.iterdir(), *again.empty.iterdir()] == []
    assert [*again.hashes()] == [DIGEST]
    assert again.bytes_stored == len(DATA)
    again.close()


def test_a_folder_has_one_owner(store: AssetStore) -> None:
    with pytest.raises(AtriumStartError, match="Another server uses the folder"):
        AssetStore(store.root)


@pytest.mark.parametrize(
    "name",
    ["", "..", "../lock", "lock", "incoming", "/etc/passwd", DIGEST[:-1], DIGEST + "0",
     DIGEST.upper(), "../" * 20 + "etc/passwd", DIGEST[:-1] + "/", DIGEST[:-1] + "\0",
     DIGEST[:-2] + "..", DIGEST + "\n"],
)
def test_only_a_hash_becomes_a_path(store: AssetStore, name: str) -> None:
    for reach in (store.path_of, store.remove, lambda name: store.read(name, 0, 9)):
        with pytest.raises(ValueError, match="no hash"):
            reach(name)


def test_a_link_is_not_followed(store: AssetStore, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    path = store.path_of(DIGEST)
    path.parent.mkdir(parents=True)
    path.symlink_to(secret)
    with pytest.raises(StorageError):
        store.read(DIGEST, 0, 100)


def test_removing_frees_the_room(store: AssetStore) -> None:
    put(store)
    store.remove(DIGEST)
    store.remove(DIGEST)
    assert store.bytes_stored == 0
    assert files(store) == []
    with pytest.raises(FileNotFoundError):
        store.read(DIGEST, 0, 10)


def test_the_whole_store_has_a_cap(tmp_path: Path) -> None:
    store = AssetStore(tmp_path, bytes_max=1_500)
    file = store.begin(800)
    with pytest.raises(StorageFull, match="no room"):
        store.begin(800)  # the first one holds its room already
    file.close()
    put(store, b"a" * 800)
    with pytest.raises(StorageFull, match="no room"):
        store.begin(800)
    store.close()


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def test_a_reserve_of_the_disk_stays_free(
    store: AssetStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = Usage(1 << 40, 0, ASSETS_DISK_FREE_BYTES_MIN + 999)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StorageFull, match="no room"):
        store.begin(1_000)
    file = store.begin(900)
    with pytest.raises(StorageFull):
        store.begin(100)
    file.close()


@pytest.mark.parametrize(
    ("number", "kind", "words"),
    [
        (errno.ENOSPC, StorageFull, "no room"),
        (errno.EDQUOT, StorageFull, "no room"),
        (errno.EACCES, StorageError, "may not write"),
        (errno.EROFS, StorageError, "may not write"),
        (errno.EIO, StorageError, "does not work"),
    ],
)
@pytest.mark.parametrize("where", ["write", "fsync", "open"])
def test_what_the_disk_cannot_do_is_a_sentence(
    store: AssetStore, monkeypatch: pytest.MonkeyPatch, where: str, number: int,
    kind: type[StorageError], words: str,
) -> None:
    def fail(*arguments: Any) -> int:
        raise OSError(number, os.strerror(number), "/secret/path")

    with monkeypatch.context() as patched:
        patched.setattr(os, where, fail)
        with pytest.raises(kind, match=words) as failed:
            put(store)
    assert "secret" not in failed.value.sentence
    assert files(store) == []
    assert put(store) == DIGEST, "nothing stays reserved"


def test_a_folder_that_cannot_be_used_is_told_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(AtriumStartError, match="cannot be used"):
        AssetStore(tmp_path / "file" / "assets")
