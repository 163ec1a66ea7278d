"""KTX2 textures: the header, and levels that lie where they say and are no larger than they can be.

Taken is what glTF's KHR_texture_basisu takes: two-dimensional Basis Universal textures (ETC1S or
UASTC), which every client can turn into a format of its own graphics card. What a level unpacks to
follows from its size in pixels, so a small file cannot ask a client for much memory.
"""

from __future__ import annotations

import struct
from typing import Final

from atrium_server.assets.images import check_size
from atrium_server.assets.verdict import KTX2, ImageFacts, Unfit

_HEAD: Final = struct.Struct("<12s9I4I2Q")
_LEVEL: Final = struct.Struct("<3Q")
_DESCRIPTOR: Final = struct.Struct("<IIHHB")
_BASIS_LZ, _ZSTANDARD, _NOT_PACKED = 1, 2, 0
_ETC1S, _UASTC = 163, 166
_BLOCK_PX, _BLOCK_BYTES = 4, 16
_ZSTANDARD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_SAVE: Final = "save it as a Basis Universal texture (ETC1S or UASTC)"


def check_ktx2(data: bytes) -> ImageFacts:
    """The size of a texture. Raises Unfit."""
    try:
        return _checked(data)
    except struct.error:
        raise Unfit("This KTX2 texture ends too early: upload it again.") from None


def _checked(data: bytes) -> ImageFacts:
    head = _HEAD.unpack_from(data)
    vk_format, _, width, height, depth, layers, faces, level_count, packing = head[1:10]
    descriptor_at, descriptor_bytes, values_at, values_bytes, shared_at, shared_bytes = head[10:]
    check_size(width, height)
    if vk_format != 0 or depth or layers > 1 or faces != 1:
        raise Unfit(f"This KTX2 texture is not one a world can show: {_SAVE}.")
    if level_count > max(width, height).bit_length():
        raise Unfit("This KTX2 texture has more levels than its size has: save it again.")
    model = _model(data, descriptor_at, descriptor_bytes)
    if (packing, model) not in {
        (_BASIS_LZ, _ETC1S), (_NOT_PACKED, _UASTC), (_ZSTANDARD, _UASTC)
    }:
        raise Unfit(f"This KTX2 texture is packed in a way that worlds do not show: {_SAVE}.")
    index_end = _HEAD.size + max(1, level_count) * _LEVEL.size
    for at, size in (
        (descriptor_at, descriptor_bytes), (values_at, values_bytes), (shared_at, shared_bytes)
    ):
        if size and not index_end <= at <= at + size <= len(data):
            raise Unfit("Parts of this KTX2 texture lie outside of it: save it again.")
    if (packing == _BASIS_LZ) != (shared_bytes > 0):
        raise Unfit("This KTX2 texture lacks its table of colours: save it again.")
    for level in range(max(1, level_count)):
        _check_level(data, level, (width, height), packing, index_end)
    return ImageFacts(KTX2, width, height)


def _model(data: bytes, at: int, size: int) -> int:
    """The colour model of the one descriptor."""
    total, vendor, version, block_bytes, model = _DESCRIPTOR.unpack_from(data, at)
    if total != size or vendor != 0 or version != 2 or block_bytes + 4 != total:
        raise Unfit("The description of this KTX2 texture is damaged: save it again.")
    return int(model)


def _check_level(
    data: bytes, level: int, size: tuple[int, int], packing: int, index_end: int
) -> None:
    at, packed, unpacked = _LEVEL.unpack_from(data, _HEAD.size + level * _LEVEL.size)
    if not (packed and index_end <= at <= at + packed <= len(data)):
        raise Unfit(f"Level {level} of this KTX2 texture lies outside of it: save it again.")
    blocks = 1
    for side in size:
        blocks *= -(-max(1, side >> level) // _BLOCK_PX)
    expected = 0 if packing == _BASIS_LZ else blocks * _BLOCK_BYTES
    fits = packed == unpacked if packing == _NOT_PACKED else packed <= blocks * 2 * _BLOCK_BYTES
    if packing == _ZSTANDARD and data[at : at + 4] != _ZSTANDARD_MAGIC:
        fits = False
    if unpacked != expected or not fits:
        raise Unfit(f"Level {level} of this KTX2 texture has a wrong size: save it again.")
