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
