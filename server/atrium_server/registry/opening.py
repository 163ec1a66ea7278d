"""Opens the catalogue of a server or of a command: which store, which files, what came with it."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Final

import trio

from atrium_server.persistence.database import Database
from atrium_server.persistence.memory_models import MemoryModels
from atrium_server.persistence.sql_models import SqlModels
from atrium_server.registry.builtins import find_builtins
from atrium_server.registry.catalogue import Catalogue
from atrium_server.registry.files import ObjectFiles

MODELS_FOLDER: Final = "models"
"""Below the data directory."""

logger = logging.getLogger(__name__)


async def open_catalogue(data_dir: Path, database: Database | None) -> Catalogue:
    """The catalogue; without a database records are kept in memory. Raises ModelError."""
    came_with = await trio.to_thread.run_sync(find_builtins)
    store = SqlModels(database) if database is not None else MemoryModels(time.time)
    files = ObjectFiles(data_dir / MODELS_FOLDER, came_with.paths)
    return Catalogue(store, files, came_with, time.time)


async def adopt(catalogue: Catalogue, release: str) -> None:
    """Take what came with the program into use; what goes wrong is logged. Raises StoreError."""
    for problem in await catalogue.adopt(release):
        logger.error("%s", problem)
