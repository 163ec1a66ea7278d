"""Vectors of texts, by the version of the model `embed` that is in use.

Its weights are not part of Atrium, so there may be none; one can be published and taken back while
the server runs. Texts are cut into tokens in a worker thread, a few at a time, and go to the lane
in one job for each size of row, so that little is padded and the lane knows how long a batch takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import trio

from atrium_server.inference.classes import WorkClass
from atrium_server.inference.lane import Lane
from atrium_server.inference.outcomes import LaneError, Status
from atrium_server.inference.rows import Bag, Rows
from atrium_server.inference.slots import Loaded

MODEL: Final = "embed"
INPUT: Final = "ids"
OUTPUT: Final = "vector"
PIECE_TEXTS: Final = 8
"""So many are cut at once, in one thread."""


class Embedder:
    """Makes vectors of texts."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self._cutting = trio.CapacityLimiter(1)

    @property
    def is_there(self) -> bool:
        """Whether a version is in use."""
        return self._lane.slots.of(MODEL).live is not None

    def label_for(self, who: str) -> str:
        """Which version answers somebody, as `name@version`; empty without one. Vectors of one
        version cannot be compared with those of another."""
        loaded = self._lane.slots.of(MODEL).choose(who)
        return "" if loaded is None else loaded.label

    async def embed(
        self, texts: Sequence[str], *, deadline_s: float, who: str = "",
        work: WorkClass = WorkClass.LANGUAGE,
    ) -> npt.NDArray[np.float32]:
        """A vector of length 1 for each text, (texts, size). Raises LaneError."""
        loaded = self._lane.slots.of(MODEL).choose(who)
        if loaded is None or loaded.rows_of is None:
            raise LaneError(Status.ABSENT)
        end_s = trio.current_time() + deadline_s
        bags: list[Bag] = []
        for first in range(0, len(texts), PIECE_TEXTS):
            piece = texts[first : first + PIECE_TEXTS]
            bag = (await trio.to_thread.run_sync(
                loaded.rows_of, piece, limiter=self._cutting
            ))[INPUT]
            assert isinstance(bag, Bag)
            bags.extend(bag.part(row, row + 1) for row in range(len(piece)))
        return await self._run(loaded, bags, end_s, work)

    async def _run(
        self, loaded: Loaded, bags: Sequence[Bag], end_s: float, work: WorkClass
    ) -> npt.NDArray[np.float32]:
        by_size: dict[int, list[int]] = {}
        for k, bag in enumerate(bags):
            by_size.setdefault(loaded.size_of({INPUT: bag}), []).append(k)
        width = loaded.model.signature.outputs[0].shape[0]
        vectors = np.zeros((len(bags), width), np.float32)
        failed: list[Status] = []

        async def run(places: list[int]) -> None:
            try:
                outcome = await self._lane.ask(
                    loaded, _joined([bags[k] for k in places]), work=work,
                    deadline_s=end_s - trio.current_time(),
                )
            except LaneError as error:
                failed.append(error.status)
                nursery.cancel_scope.cancel()
            else:
                vectors[places] = outcome.outputs[OUTPUT]

        async with trio.open_nursery() as nursery:
            for places in by_size.values():
                nursery.start_soon(run, places)
        if failed:
            raise LaneError(failed[0])
        return vectors


def _joined(bags: Sequence[Bag]) -> Rows:
    offsets = np.zeros(len(bags) + 1, np.int64)
    np.cumsum([bag.values.size for bag in bags], out=offsets[1:])
    return {INPUT: Bag(np.concatenate([bag.values for bag in bags]), offsets)}
