"""Whether a model meets what it was made for: what it is given and says now, against then. PURE.

Theory of operation
-------------------
When a version is made its document gets a reference: for each input how large its rows were, for
each output a histogram of the numbers that came out on the held-out set. In use the same histograms
are counted, over a window that forgets (all counts are halved when the window is full, so it always
holds the last one to two times `ROWS_HALVED`). Two measures compare them:

- *PSI*, the population stability index, sums (p - q) ln(p / q) over the bins. By custom below 0.1
  nothing has changed, and above 0.25 a model should be looked at.
- *KS* is the largest distance between the two cumulative shares, from 0 to 1.

Scores lie in bins of equal width between 0 and 1, sizes in powers of two. Counts are smoothed by
half a row in each bin, so an empty bin is no infinity. Nothing here keeps what anybody wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from atrium_server.registry.errors import ModelError

SCORE_BINS: Final = 20
SIZE_BINS: Final = 18
"""Powers of two from 0 up to the largest row of a bag."""
COLUMNS_MAX: Final = 64
"""Of an output that are watched."""
ROWS_HALVED: Final = 10_000
ROWS_MIN: Final = 1_000
"""With fewer rows nothing is said."""
PSI_NOTABLE: Final = 0.1
PSI_LARGE: Final = 0.25

Counts = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Drift:
    """How far one figure has gone from its reference."""

    field: str
    """`sizes`, or the number of a column of the output."""
    psi: float
    ks: float

    @property
    def is_large(self) -> bool:
        """Whether a person should look."""
        return self.psi > PSI_LARGE


def psi(reference: Counts, current: Counts) -> float:
    """The population stability index of two histograms with the same bins."""
    p, q = _shares(reference), _shares(current)
    return float(np.sum((q - p) * np.log(q / p)))


def ks(reference: Counts, current: Counts) -> float:
    """The largest distance of the cumulative shares."""
    totals = reference.sum(), current.sum()
    if not all(totals):
        return 0.0
    distance = np.cumsum(reference) / totals[0] - np.cumsum(current) / totals[1]
    return float(np.abs(distance).max())


def _shares(counts: Counts) -> Counts:
    smooth = counts + 0.5
    return smooth / smooth.sum()


class Histograms:
    """What was counted of a version. One owner."""

    def __init__(self) -> None:
        self.rows = 0
        self._scores: Counts | None = None
        self._sizes: Counts = np.zeros(SIZE_BINS)

    def count_scores(self, scores: npt.NDArray[np.floating[Any]]) -> None:
        """Rows of an output, (rows, columns); numbers outside of 0 to 1 go to the last bins."""
        table = scores.reshape(len(scores), -1)[:, :COLUMNS_MAX]
        if self._scores is None or len(self._scores) != table.shape[1]:
            self._scores = np.zeros((table.shape[1], SCORE_BINS))
        parts = np.clip(np.nan_to_num(table), 0, 1) * SCORE_BINS
        bins = np.minimum(parts.astype(np.int64), SCORE_BINS - 1)
        bins += np.arange(table.shape[1], dtype=np.int64) * SCORE_BINS
        counts = np.bincount(bins.ravel(), minlength=self._scores.size)
        self._scores += counts.reshape(self._scores.shape)
        self.rows += len(table)
        if self.rows >= 2 * ROWS_HALVED:
            self.rows //= 2
            self._scores *= 0.5
            self._sizes *= 0.5

    def count_sizes(self, sizes: npt.NDArray[np.int64]) -> None:
        """How many numbers rows of a bag have."""
        bins = np.ceil(np.log2(np.maximum(sizes, 0) + 1.0)).astype(np.int64)
        self._sizes += np.bincount(np.minimum(bins, SIZE_BINS - 1), minlength=SIZE_BINS)

    def as_json(self) -> dict[str, Any]:
        """As a document keeps it."""
        scores = np.zeros((0, SCORE_BINS)) if self._scores is None else self._scores
        return {"rows": self.rows, "scores": scores.tolist(), "sizes": self._sizes.tolist()}

    def against(self, reference: Reference) -> list[Drift]:
        """How far each figure has gone; nothing before enough was seen."""
        if self.rows < ROWS_MIN or reference.rows < ROWS_MIN:
            return []
        found: list[Drift] = []
        if self._sizes.sum() and reference.sizes.sum():
            found.append(_compared("sizes", reference.sizes, self._sizes))
        if self._scores is not None and self._scores.shape == reference.scores.shape:
            found.extend(
                _compared(str(column), then, now) for column, (then, now)
                in enumerate(zip(reference.scores, self._scores, strict=True))
            )
        return found


def reference_of(
    scores: npt.NDArray[np.floating[Any]], sizes: npt.NDArray[np.int64]
) -> dict[str, Any]:
    """The reference of a document, from what a version says of usual rows and their sizes."""
    counted = Histograms()
    counted.count_sizes(sizes)
    counted.count_scores(scores)
    return counted.as_json()


def _compared(name: str, reference: Counts, current: Counts) -> Drift:
    return Drift(name, psi(reference, current), ks(reference, current))


@dataclass(frozen=True, slots=True)
class Reference:
    """What a version was like when it was made."""

    rows: int
    scores: Counts
    """(columns, SCORE_BINS)"""
    sizes: Counts


def read_reference(content: Mapping[str, Any]) -> Reference | None:
    """The reference of a document; None if it has none. Raises ModelError."""
    raw = content.get("reference")
    if not raw:
        return None
    try:
        item = cast("Mapping[str, Any]", raw)
        rows, scores, sizes = item["rows"], _table(item["scores"]), _table([item["sizes"]])[0]
    except (KeyError, TypeError, ValueError, IndexError):
        raise _no_reference() from None
    if type(rows) is not int or rows < 0 or scores.shape[0] > COLUMNS_MAX or (
        sizes.shape != (SIZE_BINS,) or (scores.size and scores.shape[1] != SCORE_BINS)
    ):
        raise _no_reference()
    return Reference(rows, scores, sizes)


def _table(raw: Sequence[Sequence[float]]) -> Counts:
    table = np.array(raw, dtype=np.float64)
    if table.size == 0:
        return np.zeros((0, SCORE_BINS))
    if table.ndim != 2 or not np.isfinite(table).all() or (table < 0).any():
        raise ValueError
    return table


def _no_reference() -> ModelError:
    return ModelError(
        "The reference of the model's document is not what drift can be measured against: make"
        " the version anew."
    )
