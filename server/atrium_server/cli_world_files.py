"""Worlds into files and out of them: what `atrium world export` and `import` do.

The heavy work is done in a thread, where it holds up neither the lease of a world nor Ctrl-C. An
export is complete or not there; an import hands the models of a file to the store first, which
does no harm if the rest fails, and then is one commit.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import trio
from cyclopts import Parameter

from atrium_server.assets.store import ASSETS_FOLDER, path_in
from atrium_server.assets.uploads import Offer, UploadRefused, Uploads, open_uploads
from atrium_server.cli_place import Place, bar, say
from atrium_server.config import AtriumStartError
from atrium_server.interchange.errors import InterchangeError
from atrium_server.interchange.export import Exported, ExportOptions, export_world, needed_models
from atrium_server.interchange.files import GLB, AssetFiles
from atrium_server.interchange.importing import Imported, ImportOptions, import_world
from atrium_server.persistence.assets import SqlAssetRecords
from atrium_server.persistence.database import Database
from atrium_server.persistence.errors import Refused
from atrium_server.persistence.history import WorldHistory
from atrium_server.persistence.store import WorldStore
from atrium_server.telemetry import Registry
from atrium_server.world.props import Prop
from atrium_server.world_history import check_new, present_props
from atrium_shared import limits

PIECE_BYTES: Final = 65_536
_SLUG: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?")


@Parameter(name="*")
@dataclass(frozen=True)
class How:
    """How a file is read."""

    replace: Annotated[
        bool, Parameter(help="Remove what is in the world and not in the file.", negative=())
    ] = False
    new_ids: Annotated[
        bool, Parameter(help="Make copies: props get other ids.", negative=())
    ] = False
    whole: Annotated[
        bool, Parameter(help="Take what others made as one model.", negative=())
    ] = False
    title: Annotated[str | None, Parameter(help="Title of a world that is made.")] = None


class Files:
    """The folder of assets. Reading needs no right to it; writing needs it alone."""

    def __init__(self, root: Path, database: Database, stack: AsyncExitStack) -> None:
        self._root, self._database, self._stack = root, database, stack
        self._uploads: Uploads | None = None

    async def get(self, asset: str) -> bytes | None:
        """A file. Raises InterchangeError: it is not what its name says."""
        path = trio.Path(path_in(self._root, asset))
        try:
            data = await path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise InterchangeError(
                f"The asset {asset} cannot be read ({error.strerror}): run this as the user of the"
                " server."
            ) from None
        if hashlib.sha256(data).hexdigest() != asset:
            raise InterchangeError(f"The asset {asset} is damaged: restore it from a backup.")
        return data

    async def put(self, data: bytes, media_type: str) -> str:
        """Check and keep a file. Raises InterchangeError; Refused: a server runs here."""
        if self._uploads is None:
            try:
                self._uploads = await self._stack.enter_async_context(
                    open_uploads(self._root, SqlAssetRecords(self._database), Registry())
                )
            except AtriumStartError as error:
                raise Refused(str(error)) from None
        try:
            asset, _ = await self._uploads.receive(Offer(len(data), media_type), _pieces(data))
        except UploadRefused as error:
            raise InterchangeError(str(error)) from None
        return asset.digest


async def _pieces(data: bytes) -> AsyncGenerator[bytes]:
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]


@asynccontextmanager
async def open_files(place: Place) -> AsyncGenerator[AssetFiles]:
    """Where the models of this server are kept, for the length of the block."""
    async with AsyncExitStack() as stack:
        yield Files(place.config.data_dir / ASSETS_FOLDER, place.database, stack)


# --- out ---------------------------------------------------------------------------------


async def props_at(place: Place, world: str, at: datetime | None) -> dict[bytes, Prop]:
    """What is in a world, or was in it."""
    with bar("reading") as tell:
        _, props = await present_props(WorldHistory(place.database), world, tell, at)
    return props


async def write_file(
    place: Place, props: dict[bytes, Prop], target: Path, options: ExportOptions, models: bool
) -> Exported:
    """Write a new file. Raises Refused."""
    files: dict[str, bytes] = {}
    if models:
        async with open_files(place) as store:
            wanted = needed_models(props)
            with bar("models") as tell:
                for number, asset in enumerate(wanted, 1):
                    data = await store.get(asset)
                    if data is not None:
                        files[asset] = data
                    tell(number / len(wanted))
    with bar("writing", is_measured=False):
        try:
            exported = await trio.to_thread.run_sync(
                partial(export_world, props, files, options), abandon_on_cancel=True
            )
            await trio.to_thread.run_sync(_write_new, target, exported.data)
        except InterchangeError as error:
            raise Refused(str(error)) from None
        except FileExistsError:
            raise Refused(f"The file {target} exists: name another one.") from None
        except OSError as error:
            raise Refused(f"The file {target} cannot be written: {error.strerror}.") from None
    return exported


def _write_new(target: Path, data: bytes) -> None:
    """A file that is whole or not there; only its owner reads it."""
    unfinished = target.with_name(f"{target.name}.unfinished-{os.getpid()}")
    try:
        with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, target)  # which replaces nothing
    finally:
        with suppress(OSError):
            unfinished.unlink()


# --- in ----------------------------------------------------------------------------------


async def read_file(place: Place, file: Path, world: str, how: How) -> Imported:
    """What is in a file; its models are not kept yet. Raises Refused."""
    options = ImportOptions(world, how.whole, how.new_ids)
    async with open_files(place) as store:

        def has_file(asset: str) -> bool:
            return trio.from_thread.run(store.get, asset) is not None

        with bar("reading the file", is_measured=False):
            try:
                data = await trio.to_thread.run_sync(_read, file, abandon_on_cancel=True)
                imported = await trio.to_thread.run_sync(
                    partial(import_world, data, options, has_file), abandon_on_cancel=True
                )
            except InterchangeError as error:
                raise Refused(f"{file}: {error}") from None
            except OSError as error:
                raise Refused(f"{file} cannot be read: {error.strerror}.") from None
    for warning in imported.warnings:
        say(f"Note: {warning}")
    if not imported.props:
        raise Refused(f"There is nothing in {file} that could be in a world.")
    return imported


def _read(file: Path) -> bytes:
    with file.open("rb") as opened:
        data = opened.read(limits.IMPORT_BYTES_MAX + 1)
    return data  # too large is what `import_world` says


async def keep_models(place: Place, imported: Imported) -> None:
    """Hand the models of a file to the store. Raises Refused."""
    if not imported.files:
        return
    async with open_files(place) as store:
        with bar("models") as tell:
            for number, data in enumerate(imported.files.values(), 1):
                try:
                    await store.put(data, GLB)
                except InterchangeError as error:
                    raise Refused(f"A model of the file is not taken: {error}") from None
                tell(number / len(imported.files))


async def is_new(past: WorldHistory, world: str, imported: Imported, wanted: How) -> bool:
    """Whether the world is still to be made. Raises Refused where the file can be no world, so that
    a refusal leaves nothing behind.
    """
    if not any(one.slug == world for one in await past.worlds()):
        await check_new(past, imported.props)
        return True
    if wanted.title:
        say(f"Note: the world {world} is there, and keeps its title: --title is for new ones.")
    return False


async def ensure_world(store: WorldStore, history: WorldHistory, world: str, title: str) -> None:
    """Make the world if it is not there. Raises Refused."""
    if any(one.slug == world for one in await history.worlds()):
        return
    check_name(world)
    if await store.create(world, title or world):
        say(f"The world {world} was made.")


def check_name(world: str) -> None:
    """Raise Refused for what no world can be called."""
    if len(world) > limits.WORLD_NAME_CHARS_MAX or not _SLUG.fullmatch(world):
        raise Refused(
            f"A world is called by up to {limits.WORLD_NAME_CHARS_MAX} small letters, digits and"
            " hyphens between them."
        )
