"""What waits for a moderator: a list of it, and a look at its pictures that does no harm.

The bytes of what is held are given to nobody, moderators included: their browser would be the first
to parse them. Its pictures are decoded where all are, in the process that checks files; of what
that answers, which is plain pixels of a known number, a JPEG is made here. By default it is so
coarse that one sees what kind of picture it is and not what is on it, because nobody should have to
look at such pictures all day; who wants to see more asks for it.
"""

from __future__ import annotations

import io
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import trio
from PIL import Image

from atrium_server.assets.pictures import PICTURE_BYTES, PICTURE_SIDE_PX
from atrium_server.assets.store import AssetStore, is_asset_hash
from atrium_server.assets.validate import Validator
from atrium_server.persistence.assets import HELD, AssetRecords, AssetRow

COARSE_SIDE_PX: Final = 14
"""Of the picture before it is blown up again."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a moderator says of what is held; the reason is told to its uploader if it is refused.
    """

    may_show: bool
    actor: uuid.UUID
    reason: str = ""


class HeldAssets:
    """Those of one server."""

    def __init__(self, store: AssetStore, records: AssetRecords, validator: Validator) -> None:
        self._store, self._records, self._validator = store, records, validator

    async def waiting(self) -> Sequence[AssetRow]:
        """Those that have waited for the longest, at most LISTED_MAX. Raises StoreError."""
        return await self._records.held()

    async def of_account(self, account: uuid.UUID, after: str) -> Sequence[AssetRow]:
        """What somebody has uploaded, whatever became of it. Raises StoreError."""
        return await self._records.of_account(account, after if is_asset_hash(after) else "")

    async def preview(self, digest: str, number: int, *, is_sharp: bool) -> bytes | None:
        """One picture of what is held, as a JPEG; None where there is no such.

        Raises StoreError, and Overload when too many files are being checked.
        """
        row = await self._records.find(digest) if is_asset_hash(digest) else None
        if row is None or row.state != HELD:
            return None
        try:
            verdict = await self._validator.check(
                self._store.path_of(digest), with_pictures=True
            )
        except FileNotFoundError:  # it was decided meanwhile
            return None
        if not 0 <= number < len(verdict.pictures):
            return None
        pixels = verdict.pictures[number]
        if len(pixels) != PICTURE_BYTES:
            return None
        return await trio.to_thread.run_sync(_jpeg, pixels, is_sharp)


def _jpeg(pixels: bytes, is_sharp: bool) -> bytes:
    side = (PICTURE_SIDE_PX, PICTURE_SIDE_PX)
    image = Image.frombytes("RGB", side, pixels)
    if not is_sharp:
        coarse = image.resize((COARSE_SIDE_PX, COARSE_SIDE_PX), Image.Resampling.BOX)
        image = coarse.resize(side, Image.Resampling.BICUBIC)
    written = io.BytesIO()
    image.save(written, "JPEG", quality=85)
    return written.getvalue()
