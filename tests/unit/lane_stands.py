"""Stand-ins for models and devices: what tests of the lane run instead of torch."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from atrium_server.inference.rows import Array, Bag, Rows
from atrium_server.inference.slots import Loaded
from atrium_server.inference.worker import Device
from atrium_server.registry.signature import Field, Signature

NUMBERS = Signature((Field("x", "float32", (2,)),), (Field("sum", "float32"),))
BAGS = Signature((Field("ids", "int64", is_bag=True),), (Field("sum", "float32"),))


class Adds:
    """Adds up the numbers of each row, counts its batches, and fails when it is told to."""

    def __init__(self, signature: Signature = NUMBERS) -> None:
        self.signature = signature
        self.batches: list[int] = []
        self.error: BaseException | None = None
        self.spoils: float | None = None
        """Rows whose sum this is come out as NaN."""
        self.started = threading.Event()
        self.may_end = threading.Event()
        self.may_end.set()

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        self.started.set()
        self.may_end.wait(20)
        if self.error is not None:
            raise self.error
        if "ids" in inputs:
            offsets = inputs["ids_offsets"]
            totals = np.array([
                inputs["ids"][low:high].sum()
                for low, high in itertools.pairwise(offsets)
            ], np.float32)
        else:
            totals = inputs["x"].sum(axis=1)
        self.batches.append(len(totals))
        if self.spoils is not None:
            totals[totals == self.spoils] = np.nan
        return {"sum": totals}


class Breaks(Device):
    """A device that is lost with the first RuntimeError."""

    def is_lost(self, error: BaseException) -> bool:
        return isinstance(error, RuntimeError)


def loaded(model: Any = None, name: str = "adds", version: str = "1") -> Loaded:
    return Loaded(name, version, model or Adds())


def numbers(*rows: tuple[float, float]) -> Rows:
    return {"x": np.array(rows, np.float32).reshape(-1, 2)}


def bags(*rows: list[int]) -> Rows:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return {"ids": Bag(np.array([each for row in rows for each in row], np.int64), offsets)}
