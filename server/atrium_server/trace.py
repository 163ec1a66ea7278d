"""The sizes of all snapshot sends, for the benchmark that replays them with no server behind them.

Little-endian: `ATRTRACE`, u32 version, u32 reserved; then per tick f64 seconds since the start,
u32 count, u32 size * count. Kept in memory and written at the end, so that it costs the run
nothing.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt

MAGIC = b"ATRTRACE"
VERSION = 1
TICKS_MAX = 200_000


class SendTrace:
    """Collects sizes and writes them when closed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ticks: list[bytes] = []

    def take(self, seconds: float, sizes: npt.NDArray[np.int64]) -> None:
        """The sizes sent in one tick; ticks beyond TICKS_MAX are not kept."""
        if len(self._ticks) < TICKS_MAX:
            head = struct.pack("<dI", seconds, len(sizes))
            self._ticks.append(head + sizes.astype("<u4").tobytes())

    def close(self) -> None:
        """Write the file."""
        with self._path.open("wb") as file:
            file.write(struct.pack("<8sII", MAGIC, VERSION, 0))
            file.writelines(self._ticks)
