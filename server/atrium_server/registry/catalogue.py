"""The models of a server: records and files together, and how they change.

Theory of operation
-------------------
::

    atrium models ...        a server
         |                      |  looks every POLL_S
         v                      v
      Catalogue ----------- Catalogue          decide (stages) on what was read
         |                      |
         +---- ModelStore ------+              numbered changes: one of two writes
         +---- ObjectFiles -----+              files by hash

An order is decided on the stages as they were read, and written with the number that follows them.
If somebody else was faster it is read and decided again, at most TRIES_MAX times: what was allowed
before may not be now.

A running server does not hear of changes; it asks for the numbers of the newest ones every POLL_S,
which is one small question, and reads the stages of those models whose number is another. So it
makes no difference who made a change, and none is missed.

Files are published before the record that names them, so a record never names what is not there on
the server where it was published. On another server with the same database it may: that is told
when the version is loaded, and what is in use there stays in use.

*What came with the program* is published at the start. The newest built-in version of a model goes
live when nothing is, or when it is new and an older built-in one is live; whoever has promoted a
version of their own, or rolled a built-in one back, is left alone.
"""

from __future__ import annotations

import logging
import math
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import trio

from atrium_server.persistence.errors import StoreError, Unavailable
from atrium_server.persistence.model_rows import (
    Change,
    Evaluation,
    ModelRow,
    ModelStore,
    Move,
    NewChange,
    NewEvaluation,
    NewModel,
    Op,
    Outdated,
)
from atrium_server.persistence.schema import uuid7
from atrium_server.registry import builtins
from atrium_server.registry.builtins import Builtins, version_key
from atrium_server.registry.documents import Document, read_document
from atrium_server.registry.errors import ModelError
from atrium_server.registry.files import ObjectFiles
from atrium_server.registry.packages import Package, load_package, unpack
from atrium_server.registry.signature import Signature
from atrium_server.registry.sources import open_source
from atrium_server.registry.stages import Order, Standing, decide, standing_of
from atrium_shared import limits

POLL_S: Final = 2.0
"""So long it takes at most until a server notices a change."""
TRIES_MAX: Final = 5
SERVER: Final = "server"
"""Who adopts and demotes."""
PUBLISHED: Final = "published"
AGAIN_S: Final = 30.0
"""So long until what could not be put to use is told once more."""
Told = Callable[[Standing], Awaitable[bool]]
"""Whether it could be done."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Who:
    """Who makes a change, and why; `figures` is what it was decided by."""

    actor: str
    why: str = ""
    figures: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was told of a model, and when it is to be told again."""

    sequence: int
    again_s: float


class Catalogue:
    """All models of a server. `clock` gives seconds since 1970."""

    def __init__(
        self, store: ModelStore, files: ObjectFiles, came_with: Builtins,
        clock: Callable[[], float],
    ) -> None:
        self.store = store
        self._files = files
        self._came_with = came_with
        self._clock = clock

    # --- reading ----------------------------------------------------------------------------

    async def rows(self, name: str | None = None) -> list[ModelRow]:
        """All versions, of one model or of all. Raises StoreError."""
        return await self.store.models(name)

    async def standing(self, name: str) -> Standing:
        """Where the versions of a model stand. Raises StoreError.

        The number is read first: a change that comes in between makes what is decided outdated,
        and is never missed.
        """
        sequence = (await self.store.sequences()).get(name, 0)
        return standing_of(name, await self.store.models(name), sequence)

    async def row(self, name: str, version: str) -> ModelRow:
        """One version. Raises ModelError and StoreError."""
        rows = await self.store.models(name)
        if not rows:
            raise ModelError(f"There is no model {name[:60]!r}: see `atrium models list`.")
        for row in rows:
            if row.model.version == version:
                return row
        raise ModelError(
            f"There is no version {version[:40]!r} of {name}: see `atrium models show {name}`."
        )

    async def document(self, row: ModelRow) -> Document:
        """What is known of a version. Raises ModelError."""
        label = f"The document of {row.model.name}@{row.model.version}"
        data = await trio.to_thread.run_sync(
            self._files.read, row.model.document.hex(), limits.MODEL_DOCUMENT_BYTES_MAX, label
        )
        return read_document(data, label)

    async def load(
        self, name: str, version: str, expected: Signature | None = None
    ) -> Package:
        """A version with its weights, read and checked in a thread. Raises ModelError, StoreError.
        """
        row = await self.row(name, version)
        package = await trio.to_thread.run_sync(
            load_package, self._files, row.model.document.hex(), expected
        )
        if (package.document.name, package.document.version) != (name, version):
            raise ModelError(
                f"The record of {name}@{version} names the document of {package.document.label}:"
                " restore the database, or publish the version again under another number."
            )
        return package

    async def history(self, name: str, rows_max: int) -> list[Change]:
        """What was done to a model, newest first. Raises StoreError."""
        return await self.store.history(name, rows_max)

    async def evaluations(self, name: str, version: str) -> list[Evaluation]:
        """What was measured of a version. Raises StoreError."""
        return await self.store.evaluations(name, version)

    # --- changing ---------------------------------------------------------------------------

    async def publish(self, path: Path, who: Who) -> Document:
        """Take a version from a folder, a wheel or a document: it is a candidate then.

        The same one again is no mistake, and mends its files. Raises ModelError and StoreError.
        """
        document = await trio.to_thread.run_sync(self._take, path)
        await self._register(document, who, PUBLISHED)
        return document

    def _take(self, path: Path) -> Document:
        """Check everything, then keep it: the document last."""
        with open_source(path) as source:
            unpack(source.document, source.read)
            for file in source.document.files:
                self._files.keep(source.read(file))
            self._files.keep(source.document.data)
            return source.document

    async def _register(self, document: Document, who: Who, source: str) -> bool:
        names = {row.model.name for row in await self.store.models()}
        if document.name not in names and len(names) >= limits.MODEL_NAMES_MAX:
            raise ModelError(f"There are {limits.MODEL_NAMES_MAX} models already: publish it as a"
                             " version of one of them.")
        known = [row for row in await self.store.models(document.name)
                 if row.model.version == document.version]
        if known and known[0].model.document.hex() == document.id:
            return False
        new = NewModel(
            self._id(), document.name, document.version, document.kind,
            bytes.fromhex(document.id), document.size, _licence(document), source,
        )
        await self.order(document.name, Order(Op.PUBLISH, document.version), who, new)
        return True

    async def order(
        self, name: str, order: Order, who: Who, new: NewModel | None = None
    ) -> tuple[Move, ...]:
        """Do it, or raise ModelError or StoreError; what was changed."""
        if not name:
            raise ModelError("Name the model.")
        id = self._id()
        for _ in range(TRIES_MAX):
            standing = await self.standing(name)
            if new is None and not standing.places:
                raise ModelError(f"There is no model {name[:60]!r}: see `atrium models list`.")
            moves = decide(standing, order)
            change = NewChange(
                id, name, standing.sequence + 1, order.op, moves[-1].version, who.actor, who.why,
                moves, msgspec.json.encode(who.figures or {}), new,
            )
            try:
                await self.store.change(change)
            except Outdated:
                continue
            return moves
        raise Outdated

    async def keep_evaluation(self, measured: NewEvaluation) -> None:
        """Keep figures of a version. Raises StoreError."""
        await self.store.keep_evaluation(measured)

    async def adopt(self, release: str) -> list[str]:
        """Take what came with the program into use; what went wrong, as sentences.

        Raises StoreError.
        """
        problems: list[str] = []
        who = Who(SERVER, f"It came with Atrium {release}.")
        new: set[str] = set()
        for document in self._came_with.documents:
            try:
                if await self._register(document, who, builtins.SOURCE):
                    new.add(document.id)
            except ModelError as error:
                problems.append(error.sentence)
        newest = {document.name: document for document in self._came_with.documents}
        for document in newest.values():
            try:
                if await self._is_to_go_live(document, document.id in new):
                    await self.order(document.name, Order(Op.ADOPT, document.version), who)
            except ModelError as error:
                problems.append(error.sentence)
        return problems

    async def _is_to_go_live(self, document: Document, is_new: bool) -> bool:
        rows = {row.model.version: row for row in await self.store.models(document.name)}
        live = (await self.standing(document.name)).live
        mine = rows.get(document.version)
        if mine is None or mine.model.document.hex() != document.id:
            return False
        if live is None:
            return True
        return (
            is_new and rows[live].model.source == builtins.SOURCE
            and version_key(live) < version_key(document.version)
        )

    # --- watching ---------------------------------------------------------------------------

    async def run(self, told: Told) -> None:
        """Tell how models stand: all at first, and then each that changes, for ever.

        What `told` could not put to use is told again after AGAIN_S.
        """
        seen: dict[str, _Seen] = {}
        while True:
            try:
                await self._look(seen, told)
            except Unavailable:
                pass  # the store says so itself; what is in use stays in use
            except StoreError as error:
                logger.warning("stages of models could not be read: %s", error)
            await trio.sleep(POLL_S)

    async def _look(self, seen: dict[str, _Seen], told: Told) -> None:
        for name, sequence in (await self.store.sequences()).items():
            known = seen.get(name)
            if known is None or known.sequence != sequence or known.again_s <= trio.current_time():
                standing = await self.standing(name)
                is_done = await told(standing)
                again_s = math.inf if is_done else trio.current_time() + AGAIN_S
                seen[name] = _Seen(standing.sequence, again_s)

    def _id(self) -> uuid.UUID:
        return uuid7(self._clock())


def _licence(document: Document) -> str:
    """A word or two for the list."""
    licence = document.content["licence"]
    for key in ("weights", "name", "licence"):
        if isinstance(licence.get(key), str):
            return licence[key][:100]
    return "not said"


