"""Scenes are unpacked on their way, with little in hand, for a few at a time."""

from __future__ import annotations

import gzip
import random

import pytest

from atrium_server.http.scene_pieces import PACKED_BYTES, PIECE_BYTES_MAX, Unpacking
from atrium_shared import limits


def scene(size: int) -> bytes:
    """Text that packs to about a quarter."""
    chance = random.Random(size)
    return "".join(f"{chance.randrange(10**6):8d},name" for _ in range(size // 13)).encode()


@pytest.mark.parametrize("size", [0, 1_000, PIECE_BYTES_MAX, 3_000_000])
async def test_it_comes_out_as_it_was(size: int) -> None:
    whole = scene(size)
    packed = gzip.compress(whole)
    assert size < 1_000_000 or len(packed) > 20 * PACKED_BYTES
    pieces = [piece async for piece in Unpacking().pieces(packed)]
    assert b"".join(pieces) == whole
    assert all(0 < len(piece) <= PIECE_BYTES_MAX for piece in pieces)


async def test_what_packs_very_well_comes_in_pieces_too() -> None:
    whole = bytes(20 * PIECE_BYTES_MAX + 7)
    pieces = [piece async for piece in Unpacking().pieces(gzip.compress(whole))]
    assert b"".join(pieces) == whole
    assert len(pieces) >= 20
    assert max(map(len, pieces)) <= PIECE_BYTES_MAX


async def test_there_is_room_again_when_a_reader_is_gone() -> None:
    unpacking = Unpacking()
    packed = gzip.compress(scene(3_000_000))
    readers = [unpacking.pieces(packed) for _ in range(limits.SCENES_UNPACKED_AT_ONCE_MAX)]
    for reader in readers:
        assert unpacking.has_room
        await anext(reader)
    assert not unpacking.has_room
    await readers[0].aclose()
    assert unpacking.has_room
    for reader in readers[1:]:
        await reader.aclose()
