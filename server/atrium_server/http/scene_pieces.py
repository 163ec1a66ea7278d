"""Scenes for clients that do not take gzip: unpacked on their way, a piece at a time.

Scenes are kept packed. Nearly everybody takes them so; for the others a worker thread unpacks one
piece after the other, as fast as it is read. So a slow reader holds one piece and not a scene of
tens of megabytes; and there are at most SCENES_UNPACKED_AT_ONCE_MAX of them at a time, because each
takes more of the processor than a request should.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncGenerator
from typing import Final

import trio

from atrium_server.scenes import GZIP_WBITS
from atrium_shared import limits

PACKED_BYTES: Final = 16_384
PIECE_BYTES_MAX: Final = 131_072


class Unpacking:
    """All that is being unpacked."""

    def __init__(self) -> None:
        self._under_way = 0

    @property
    def has_room(self) -> bool:
        """Whether `pieces` may be called."""
        return self._under_way < limits.SCENES_UNPACKED_AT_ONCE_MAX

    async def pieces(self, packed: bytes) -> AsyncGenerator[bytes]:
        """What gzip has packed."""
        self._under_way += 1
        try:
            inflate = zlib.decompressobj(GZIP_WBITS)
            for start in range(0, len(packed), PACKED_BYTES):
                data = packed[start : start + PACKED_BYTES]
                while data:
                    piece = await trio.to_thread.run_sync(
                        inflate.decompress, data, PIECE_BYTES_MAX
                    )
                    data = inflate.unconsumed_tail
                    if piece:
                        yield piece
            if rest := inflate.flush():
                yield rest
        finally:
            self._under_way -= 1
