"""What is kept on disk between runs is bounded: dumps of failed worlds, and compiled kernels."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from atrium_server import host_maker, kernel_cache


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def dumps(folder: Path) -> list[bytes]:
    """Their contents, the oldest first."""
    found = sorted(folder.glob("*.ticks"), key=lambda path: path.stat().st_mtime_ns)
    return [path.read_bytes() for path in found]


def dump(folder: Path, world: str, number: int) -> None:
    """A dump at a time of its own."""
    before = set(folder.iterdir())
    host_maker.dump_inputs(world, b"%d" % number)
    (new,) = set(folder.iterdir()) - before
    assert new.stat().st_mode & 0o777 == 0o600
    os.utime(new, ns=(number, number))


def test_the_newest_dumps_of_each_world_are_kept(folder: Path) -> None:
    for number in range(1, 7):
        dump(folder, "hall", number)
    assert dumps(folder) == [b"4", b"5", b"6"]
    dump(folder, "hall-2", 7)
    dump(folder, "all", 8)
    assert len(dumps(folder)) == 5, "a world whose name begins alike is another one"


def test_what_is_no_dump_of_ours_is_left_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [
        "atrium-hall-notes.ticks", "atrium-hall-20200101T000000-abc.ticks.bak",
        "atrium-hall-20200101T000000-.ticks", "my-atrium-hall-20200101T000000-abc.ticks",
    ]
    for name in others:
        (folder / name).write_text("mine")
        os.utime(folder / name, ns=(1, 1))
    (folder / "atrium-hall-20200101T000000-link.ticks").symlink_to(folder / others[0])
    (folder / "atrium-hall-20200101T000000-folder.ticks").mkdir()
    for number in range(2, 8):
        host_maker.dump_inputs("hall", b"%d" % number)
    left = set(os.listdir(folder))
    assert left >= {*others, "atrium-hall-20200101T000000-link.ticks"}
    assert "atrium-hall-20200101T000000-folder.ticks" in left
    assert len(left) == len(others) + 2 + host_maker.DUMPS_PER_WORLD_MAX


def test_kernels_of_old_sources_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    base = tmp_path / "atrium" / "kernels"
    (base / "notes").mkdir(parents=True)
    hashes = [f"{number:012x}" for number in range(kernel_cache.FOLDERS_MAX + 2)]

    def use(source: str, second: int) -> None:
        monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
        monkeypatch.setattr(kernel_cache, "source_hash", lambda: source)
        kernel_cache.use_kernel_cache()
        assert os.environ["NUMBA_CACHE_DIR"] == str(base / source)
        (base / source / "a.nbc").touch()
        os.utime(base / source, (second, second))

    for second, source in enumerate(hashes[:-2]):
        use(source, second)
    assert {path.name for path in base.iterdir()} == {"notes", *hashes[:-2]}
    use(hashes[0], 100)
    use(hashes[-2], 101)
    use(hashes[-1], 102)
    assert {path.name for path in base.iterdir()} == {
        "notes", hashes[0], *hashes[3:]
    }, "those that were used last are kept"
    monkeypatch.delenv("NUMBA_CACHE_DIR")
