"""Where worlds are kept: the server's name and key, and the wait for a world that another has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from atrium_server.persistence.errors import Refused
from atrium_server.persistence.memory import MemoryStore
from atrium_server.persistence.memory_sessions import MemorySessions
from atrium_server.persistence.node import Node, open_node, passing_node
from atrium_server.persistence.open import Place, Stores, claim_world, open_stores
from atrium_server.persistence.store import LEASE_S


def test_a_node_is_the_same_the_next_time(tmp_path: Path) -> None:
    with open_node(tmp_path / "data") as one:
        pass
    with open_node(tmp_path / "data") as again:
        assert again == one
    assert len(one.key) >= 32
    assert one.key.decode() not in repr(one), "a key is not shown"
    folder = tmp_path / "data" / "server"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())


def test_a_folder_has_one_server(tmp_path: Path) -> None:
    with (
        open_node(tmp_path), pytest.raises(Refused, match="in use by another"),
        open_node(tmp_path),
    ):
        pass


@pytest.mark.parametrize("name", ["name", "key"])
def test_damaged_files_are_told(tmp_path: Path, name: str) -> None:
    with open_node(tmp_path):
        pass
    (tmp_path / "server" / name).write_bytes(b"")
    with pytest.raises(Refused, match="damaged"), open_node(tmp_path):
        pass


def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "server").write_text("")
    with pytest.raises(Refused, match="not a folder"), open_node(tmp_path):
        pass


def test_a_folder_that_is_a_link_is_not_believed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    with open_node(elsewhere):
        pass
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "server").symlink_to(elsewhere / "server")
    with pytest.raises(Refused, match="is a link"), open_node(tmp_path / "data"):
        pass


@pytest.mark.parametrize("mode", [0o777, 0o750, 0o701])
def test_a_folder_that_others_can_enter_is_not_believed(tmp_path: Path, mode: int) -> None:
    with open_node(tmp_path):
        pass
    (tmp_path / "server").chmod(mode)
    with pytest.raises(Refused, match=r"by others.*chmod 700"), open_node(tmp_path):
        pass


@pytest.mark.parametrize("what", ["server", "server/key"])
def test_what_somebody_else_made_is_not_believed(
    tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_node(tmp_path):
        pass
    foreign = (tmp_path / what).stat().st_ino
    seen = os.fstat

    def fstat(descriptor: int) -> os.stat_result:
        found = seen(descriptor)
        if found.st_ino != foreign:
            return found
        return os.stat_result([*found[:4], found.st_uid + 1, *found[5:10]])

    monkeypatch.setattr(os, "fstat", fstat)
    with pytest.raises(Refused, match="belongs to another user"), open_node(tmp_path):
        pass


def test_a_key_that_others_can_read_is_not_believed(tmp_path: Path) -> None:
    with open_node(tmp_path):
        pass
    (tmp_path / "server" / "key").chmod(0o644)
    with pytest.raises(Refused, match=r"by others.*chmod 600"), open_node(tmp_path):
        pass


@pytest.mark.parametrize("name", ["name", "key"])
def test_no_link_is_read(tmp_path: Path, name: str) -> None:
    with open_node(tmp_path):
        pass
    path = tmp_path / "server" / name
    (tmp_path / "theirs").write_bytes(path.read_bytes())
    path.unlink()
    path.symlink_to(tmp_path / "theirs")
    with pytest.raises(Refused, match="is a link"), open_node(tmp_path):
        pass


def test_a_pipe_is_no_key_and_holds_nobody_up(tmp_path: Path) -> None:
    with open_node(tmp_path):
        pass
    (tmp_path / "server" / "key").unlink()
    os.mkfifo(tmp_path / "server" / "key", 0o600)
    with pytest.raises(Refused, match="no ordinary file"), open_node(tmp_path):
        pass


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "server"
    folder.mkdir(0o700)
    (folder / "key.part").symlink_to(victim)
    (folder / "name.part").write_text("of a start that was cut off")
    with open_node(tmp_path) as node:
        assert (folder / "key").read_bytes() == node.key
        assert (folder / "name").read_text() == node.name
    assert victim.read_text() == "precious"
    assert sorted(path.name for path in folder.iterdir()) == ["key", "lock", "name"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_ours_is_told(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(Refused, match="cannot be written"), open_node(tmp_path):
        pass


async def test_what_is_kept_in_memory_needs_no_folder(tmp_path: Path) -> None:
    async with open_stores(Place(tmp_path / "data", ephemeral=True)) as stores:
        claim = await claim_world(stores, "hall", "The Hall")
        assert (claim.slug, claim.epoch) == ("hall", 1)
    assert not (tmp_path / "data").exists()


def stores_of(worlds: MemoryStore, node: Node) -> Stores:
    return Stores(node, worlds, MemorySessions())


async def test_a_world_of_a_crashed_server_is_waited_for(autojump_clock: MockClock) -> None:
    worlds = MemoryStore()
    await claim_world(stores_of(worlds, passing_node()), "hall", "Hall")
    began = trio.current_time()
    claim = await claim_world(stores_of(worlds, passing_node()), "hall", "Hall")
    assert claim.epoch == 2
    assert LEASE_S <= trio.current_time() - began <= LEASE_S + 1


async def test_a_world_of_a_living_server_is_not(autojump_clock: MockClock) -> None:
    worlds = MemoryStore()
    claim = await claim_world(stores_of(worlds, passing_node()), "hall", "Hall")

    async def live() -> None:
        while True:
            await worlds.renew(claim)
            await trio.sleep(1)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(live)
        with pytest.raises(Refused, match="belongs to"):
            await claim_world(stores_of(worlds, passing_node()), "hall", "Hall")
        nursery.cancel_scope.cancel()


async def test_a_server_that_starts_again_has_its_world_at_once(autojump_clock: MockClock) -> None:
    worlds, node = MemoryStore(), passing_node()
    await claim_world(stores_of(worlds, node), "hall", "Hall")
    began = trio.current_time()
    assert (await claim_world(stores_of(worlds, node), "hall", "Hall")).epoch == 2
    assert trio.current_time() == began
