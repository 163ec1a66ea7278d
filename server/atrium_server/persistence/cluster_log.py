"""The log of the private Postgres: bounded, and asked why something failed.

Postgres and its tools write into one file that we opened, without statements and without values,
for these hold what people write. A file that others hold open cannot be exchanged, so one that
has grown to LOG_BYTES_MAX is copied to `postgres.log.1` and cut; all write at the end, wherever
that is.
"""

from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path
from typing import Final

import trio

from atrium_server.persistence.child import told
from atrium_server.persistence.cluster_folder import disk_full
from atrium_server.persistence.errors import StoreError, Unavailable

logger = logging.getLogger(__name__)

LOG_BYTES_MAX: Final = 4_194_304
CHECK_S: Final = 10.0
TAIL_BYTES: Final = 16_384


class ClusterLog:
    """The open file. `descriptor` is for Postgres to write to."""

    def __init__(self, path: Path) -> None:
        """Raises OSError."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
        self.path = path
        self.descriptor = os.open(path, flags, 0o600)

    @property
    def size(self) -> int:
        """In bytes; `why` wants to know what it was before the program was started."""
        return os.fstat(self.descriptor).st_size

    def close(self) -> None:
        os.close(self.descriptor)

    async def bound(self) -> None:
        """Keep it small, until cancelled."""
        while True:
            if self.size > LOG_BYTES_MAX:
                try:
                    await trio.to_thread.run_sync(self._turn_over)
                except OSError as error:
                    logger.warning("the log of Postgres cannot be kept: %s", error.strerror)
                    os.ftruncate(self.descriptor, 0)
            await trio.sleep(CHECK_S)

    def _turn_over(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        kept = os.open(self.path.with_name(self.path.name + ".1"), flags, 0o600)
        with self.path.open("rb") as source, open(kept, "wb") as target:
            shutil.copyfileobj(source, target)
        os.ftruncate(self.descriptor, 0)

    def why(self, size_before: int, who: str, status: int | None) -> StoreError:
        """What was said since by a program that failed, as a sentence."""
        size = self.size
        begin = max(min(size_before, size), size - TAIL_BYTES)
        text = os.pread(self.descriptor, TAIL_BYTES, begin).decode(errors="replace")
        if "No space left on device" in text or "Disk quota exceeded" in text:
            return disk_full(self.path.parent)
        if status is None:
            return Unavailable(f"{who} did not end in time. {self.see}")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        grave = [line for line in lines if any(word in line for word in _GRAVE)]
        said = "".join(f" and said: {line}" for line in (grave or lines)[-1:])
        return Unavailable(f"{who} failed ({told(status)}){said}. {self.see}")

    @property
    def see(self) -> str:
        """Where to read on."""
        return f"The file {self.path} has more."


_GRAVE: Final = ("FATAL:", "PANIC:", "error:")
