"""From bytes that somebody sends to an asset that everybody can fetch.

Theory of operation
-------------------
::

    pieces ─► incoming file (hash) ─► known already? ─► check in a process ─► keep ─► record
                                                              └─► judge of pictures, if there is one

Nothing is visible before the last step, and each step can be the last one: what was received is
then removed. The file is kept before its row is written and removed after its row, so a row always
has a file; a file that a crash has left without a row is found by `sweep`.

What the judge of pictures is not sure of is kept and recorded as held: nobody can fetch it, nothing
can name it, and it is not judged again, until `decide` lets others see it or removes it.

What was refused for certain is remembered, so the same bytes cost no second check. Keeping and
sweeping exclude each other: an upload of what is just being removed comes either before or after.

All that touches the disk runs in worker threads, in slices; and in each turn of the event loop at
most one piece is handed on, whichever upload or download it belongs to, because ticks wait for all
that became ready together with them.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar, TypeVarTuple

import msgspec
import trio

from atrium_server.assets.admission import Admission, Reason, UploadRefused
from atrium_server.assets.held import Decision, HeldAssets
from atrium_server.assets.numbers import UploadNumbers
from atrium_server.assets.showing import (
    HELD_SENTENCE,
    REFUSED_SENTENCE,
    Judging,
    Look,
    Showing,
    Why,
    looked_at,
    refusal_by_person,
)
from atrium_server.assets.store import (
    AssetStore,
    Incoming,
    StorageError,
    StorageFull,
    is_asset_hash,
)
from atrium_server.assets.validate import Validator
from atrium_server.assets.verdict import CHECK_VERSION, NO_CLAIM, SUFFIXES, Verdict
from atrium_server.persistence.assets import HELD, READY, REFUSED, AssetRecords, AssetRow
from atrium_server.telemetry import Registry
from atrium_shared.errors import Overload
from atrium_shared.limits import (
    ASSET_BYTES_MAX,
    ASSET_READ_BYTES_MAX,
    ASSET_READS_MAX,
    ASSET_UNUSED_S_MAX,
    ASSETS_BYTES_MAX,
    ASSETS_KNOWN_MAX,
    SENTENCE_CHARS_MAX,
    UPLOAD_SLICE_BYTES_MAX,
    UPLOADS_MAX,
)

_STRAYS_AT_ONCE: Final = 200
_CHECK: Final = "check"
_WRONG_TYPE: Final = "wrong_type"
"""In the row of what was refused: by which version of the checks, and whether for its type."""
HELD_BY: Final = "held_by"
"""In the row of what is held: why, for moderators."""
_log = logging.getLogger("atrium.assets")

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")


@dataclass(frozen=True, slots=True)
class Offer:
    """What somebody wants to upload.

    Attributes:
        size_bytes: how much will come.
        media_type: what it claims to be, "" without a claim.
        uploader: whose it is; None for the server's own, which have no quota and no rate.
    """

    size_bytes: int
    media_type: str = ""
    uploader: uuid.UUID | None = None


@dataclass(frozen=True, slots=True)
class Asset:
    """One asset that everybody can fetch; `meta` are its `verdict.Facts` as plain values."""

    digest: str
    media_type: str
    size_bytes: int
    meta: dict[str, Any]

    @property
    def file_name(self) -> str:
        """A name for who keeps it."""
        return f"{self.digest[:16]}{SUFFIXES.get(self.media_type, '')}"


class Uploads:
    """The assets of one server. Made by `open_uploads`."""

    def __init__(
        self, store: AssetStore, records: AssetRecords, validator: Validator, registry: Registry,
        judging: Judging | None = None,
    ) -> None:
        self._store, self._records, self._validator = store, records, validator
        self._judging = judging
        self.held = HeldAssets(store, records, validator)
        self._admission = Admission()
        self._numbers = UploadNumbers(registry, store)
        self._known: dict[str, Asset] = {}
        self._changing = trio.Lock()
        self._writers = trio.CapacityLimiter(UPLOADS_MAX)
        self._readers = trio.CapacityLimiter(ASSET_READS_MAX)
        self._turn = trio.Lock()

    # --- up ------------------------------------------------------------------------------

    async def receive(self, offer: Offer, pieces: AsyncIterable[bytes]) -> tuple[Asset, bool]:
        """Take a file; returns the asset, and whether it is a new one.

        Raises:
            UploadRefused: it is not taken; nothing of it is left.
            StoreError: the database does not answer.
        """
        try:
            asset, is_new = await self._admitted(offer, pieces)
        except UploadRefused as error:
            self._numbers.refused[error.reason]()
            raise
        (self._numbers.stored if is_new else self._numbers.known)()
        return asset, is_new

    async def _admitted(self, offer: Offer, pieces: AsyncIterable[bytes]) -> tuple[Asset, bool]:
        if not 0 < offer.size_bytes <= ASSET_BYTES_MAX:
            raise UploadRefused(
                Reason.TOO_LARGE,
                f"A file may have 1 to {ASSET_BYTES_MAX:,} bytes: make it smaller.",
            )
        if offer.uploader is None:
            return await self._in_words(offer, pieces)
        with self._admission.upload(offer.uploader, offer.size_bytes, trio.current_time()):
            stored = await self._records.bytes_of_account(offer.uploader)
            self._admission.check_quota(offer.uploader, stored)
            return await self._in_words(offer, pieces)

    async def _in_words(self, offer: Offer, pieces: AsyncIterable[bytes]) -> tuple[Asset, bool]:
        """Receive, with what the machine lacks said as a refusal."""
        try:
            return await self._received(offer, pieces)
        except StorageFull as error:
            _log.error("there is no room for assets", exc_info=error)
            raise UploadRefused(Reason.NO_ROOM, error.sentence) from error
        except StorageError as error:
            _log.error("assets cannot be stored", exc_info=error)
            raise UploadRefused(Reason.NOT_NOW, error.sentence, 60.0) from error
        except Overload as error:
            raise UploadRefused(
                Reason.NOT_NOW, error.sentence, error.retry_ms / 1000
            ) from error

    async def _received(self, offer: Offer, pieces: AsyncIterable[bytes]) -> tuple[Asset, bool]:
        file = await self._write(self._store.begin, offer.size_bytes)
        try:
            await self._take(file, pieces)
            return await self._settled(offer, file)
        finally:
            with trio.CancelScope(shield=True):
                await self._write(file.close)

    async def _take(self, file: Incoming, pieces: AsyncIterable[bytes]) -> None:
        """Hash and write all that comes, a slice at a time; exactly as much as was announced."""
        waiting = bytearray()
        size = 0
        async for piece in pieces:
            size += len(piece)
            if size > file.size_max:
                raise UploadRefused(Reason.BROKEN_OFF, "More came than was announced.")
            waiting += piece
            if len(waiting) >= UPLOAD_SLICE_BYTES_MAX:
                await self._write(file.write, waiting)
                waiting = bytearray()
                async with self._turn:
                    pass
        if size < file.size_max:
            raise UploadRefused(
                Reason.BROKEN_OFF,
                f"{size:,} bytes came of the {file.size_max:,} that were announced: try again.",
            )
        await self._write(file.write, waiting)

    async def _settled(self, offer: Offer, file: Incoming) -> tuple[Asset, bool]:
        """What becomes of a file that has come whole."""
        row = await self._records.find(file.digest)
        if row is not None and row.state == READY:
            _check_claim(offer, row.media_type)
            if await self._write(self._store.has, row.digest, row.size_bytes) and (
                await self._records.touch(row.digest)
            ):
                return _asset(row), False
        if row is not None and row.state == REFUSED and row.meta.get(_CHECK) == CHECK_VERSION:
            raise _refusal(row.sentence, is_of_wrong_type=_WRONG_TYPE in row.meta)
        if row is not None and row.state == HELD:
            raise UploadRefused(Reason.HELD, HELD_SENTENCE)
        verdict, look = await self._checked(offer, file)
        if verdict.facts is None:
            await self._remember_refusal(offer, file, verdict)
            raise _refusal(verdict.refusal, is_of_wrong_type=verdict.is_of_wrong_type)
        _check_claim(offer, verdict.facts.media_type)
        meta: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(verdict.facts))
        del meta["size_bytes"]
        is_held = look.showing is Showing.HOLD
        if is_held:
            meta[HELD_BY] = {"why": look.why.value, "score": look.score}
        row = AssetRow(
            digest=file.digest, media_type=meta.pop("media_type"), size_bytes=file.size,
            uploader=offer.uploader, state=HELD if is_held else READY, meta=meta,
        )
        async with self._changing:
            await self._write(self._store.keep, file)
            await self._records.record(row)
        if is_held:
            raise UploadRefused(Reason.HELD, HELD_SENTENCE)
        return _asset(row), True

    async def _checked(self, offer: Offer, file: Incoming) -> tuple[Verdict, Look]:
        """What the check says, and what becomes of what is sound. The server's own is not judged.
        """
        began = trio.current_time()
        judging = self._judging if offer.uploader is not None else None
        verdict = await self._validator.check(
            file.path, with_pictures=judging is not None and judging.judge.is_there
        )
        self._numbers.check_s.observe(trio.current_time() - began)
        if verdict.facts is None or judging is None:
            return verdict, Look(Showing.SHOW, Why.NOTHING)
        look = await looked_at(verdict, judging)
        if look.why is not Why.NOTHING:
            self._numbers.looked(look)
        if look.showing is Showing.BLOCK:
            return Verdict(refusal=REFUSED_SENTENCE, is_certain=True), look
        return verdict, look

    async def decide(self, digest: str, decision: Decision) -> bool:
        """What a moderator says of an upload that is held; False when none of that hash is.

        Raises StoreError, StorageError.
        """
        if not is_asset_hash(digest):
            return False
        async with self._changing:
            row = await self._records.find(digest)
            if row is None or row.state != HELD:
                return False
            if decision.may_show:
                meta = {name: value for name, value in row.meta.items() if name != HELD_BY}
                row = msgspec.structs.replace(row, state=READY, meta=meta)
            else:
                row = msgspec.structs.replace(
                    row, state=REFUSED, sentence=refusal_by_person(decision.reason),
                    meta={_CHECK: CHECK_VERSION},
                )
            await self._records.decide(row, decision.actor)
            if not decision.may_show:
                await self._remove([digest])
            return True

    async def _remember_refusal(self, offer: Offer, file: Incoming, verdict: Verdict) -> None:
        if not verdict.is_certain:
            return
        meta: dict[str, Any] = {_CHECK: CHECK_VERSION}
        if verdict.is_of_wrong_type:
            meta[_WRONG_TYPE] = True
        await self._records.record(AssetRow(
            digest=file.digest, media_type=offer.media_type or NO_CLAIM, size_bytes=file.size,
            uploader=offer.uploader, state=REFUSED,
            sentence=verdict.refusal[:SENTENCE_CHARS_MAX], meta=meta,
        ))

    async def _write(self, function: Callable[[*_Ts], _T], *arguments: *_Ts) -> _T:
        return await trio.to_thread.run_sync(function, *arguments, limiter=self._writers)

    # --- down ----------------------------------------------------------------------------

    async def find(self, digest: str) -> Asset | None:
        """The asset of a hash; None for what is no hash, or is not there. Raises StoreError."""
        if not is_asset_hash(digest):
            return None
        if digest not in self._known:
            row = await self._records.find(digest)
            if row is None or row.state != READY:
                return None
            if len(self._known) >= ASSETS_KNOWN_MAX:
                del self._known[next(iter(self._known))]
            self._known[digest] = _asset(row)
        return self._known[digest]

    async def touch(self, digest: str) -> bool:
        """An asset is used now, and stays for a while; False when there is none. Ask this before
        something in a world names it.
        """
        return is_asset_hash(digest) and await self._records.touch(digest)

    async def read(self, digest: str, at: int, size: int) -> bytes:
        """At most ASSET_READ_BYTES_MAX of a file, when it is its turn.

        Raises:
            FileNotFoundError: it is not there any more.
            StorageError: the disk does not work.
        """
        data = await trio.to_thread.run_sync(
            self._store.read, digest, at, min(size, ASSET_READ_BYTES_MAX), limiter=self._readers
        )
        async with self._turn:
            return data

    # --- away ----------------------------------------------------------------------------

    async def sweep(self, unused_s: float = ASSET_UNUSED_S_MAX) -> int:
        """Remove what has not been in use for so long, and files that have no row; returns how
        many. To be called once a day. Raises StoreError, StorageError.
        """
        await self._records.mark_used()
        removed = 0
        while True:
            async with self._changing:
                digests = await self._records.forget(unused_s)
                await self._remove(digests)
            removed += len(digests)
            if not digests:
                break
        found = await self._write(lambda: [*self._store.hashes()])
        for first in range(0, len(found), _STRAYS_AT_ONCE):
            batch = found[first : first + _STRAYS_AT_ONCE]
            async with self._changing:
                strays = {*batch} - await self._records.with_files_among(batch)
                await self._remove([*strays])
            removed += len(strays)
        return removed

    async def _remove(self, digests: Sequence[str]) -> None:
        for digest in digests:
            self._known.pop(digest, None)
            await self._write(self._store.remove, digest)


def _asset(row: AssetRow) -> Asset:
    return Asset(row.digest, row.media_type, row.size_bytes, row.meta)


def _refusal(sentence: str, *, is_of_wrong_type: bool) -> UploadRefused:
    return UploadRefused(Reason.WRONG_TYPE if is_of_wrong_type else Reason.BAD_ASSET, sentence)


def _check_claim(offer: Offer, media_type: str) -> None:
    if offer.media_type not in {"", media_type}:
        raise UploadRefused(
            Reason.WRONG_TYPE,
            f"This file says that it is {offer.media_type}, and is {media_type}: send it as what"
            " it is.",
        )


@asynccontextmanager
async def open_uploads(
    root: Path, records: AssetRecords, registry: Registry, bytes_max: int = ASSETS_BYTES_MAX,
    judging: Judging | None = None,
) -> AsyncGenerator[Uploads]:
    """The assets in the folder `root`, for the length of the block; with `judging` pictures are
    looked at.

    Raises:
        AtriumStartError: the folder cannot be used, or another server uses it.
    """
    store = await trio.to_thread.run_sync(AssetStore, root, bytes_max)
    try:
        yield Uploads(store, records, Validator(store.empty), registry, judging)
    finally:
        store.close()
