"""Makes heads smaller, and measures what that costs; what costs too much is refused.

Theory of operation
-------------------
Each way makes another head of the same one; every one of them is measured by the same figure on the
same held rows, timed on the same batches, and packed as it would lie in a wheel. Rows of the table
that say least (how long they are, times how often their bucket is met) become nothing, which packs
to nothing; columns that say least are taken out, which makes the head faster as well; int8 is how
heads are stored. The ways in float32 and bfloat16 are there to compare with: no version is
stored so.

A way whose figure is further below that of the whole head than `loss_max` is refused, whatever it
saves. Times are medians on this machine and compare only with each other.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import save

from atrium_server.inference.models.text_head import TextHead, from_tensors, to_tensors
from atrium_server.moderation.features import BUCKETS, Bags
from atrium_server.training.text_training import Held, logits_of
from atrium_server.training.texts import batches

LOSS_MAX: Final = 0.005
_TIMED_ROWS: Final = 256
_TIMED_RUNS: Final = 9


class CompressionError(Exception):
    """A way that costs more than is allowed; the message is a sentence."""


@dataclass(frozen=True, slots=True)
class Way:
    """How a head is made smaller."""

    name: str
    rows: float = 1.0
    """The share of the table's rows that are kept."""
    columns: float = 1.0
    """The share of its columns that are kept."""
    dtype: str = "int8"


WHOLE: Final = Way("float32", dtype="float32")
WAYS: Final[tuple[Way, ...]] = (
    WHOLE,
    Way("bfloat16", dtype="bfloat16"),
    Way("int8"),
    Way("int8, 3/4 of the rows", rows=0.75),
    Way("int8, 1/2 of the rows", rows=0.5),
    Way("int8, 1/4 of the rows", rows=0.25),
    Way("int8, 3/4 of the columns", columns=0.75),
    Way("int8, 1/2 of the columns", columns=0.5),
    Way("int8, 1/2 of the rows, 1/2 of the columns", rows=0.5, columns=0.5),
)


@dataclass(frozen=True, slots=True)
class Made:
    """A head made smaller, and what was measured of it."""

    way: Way
    head: TextHead
    figure: float
    line_us: float
    """Of a line in a batch of 256, the head alone."""
    packed_bytes: int

    @property
    def can_be_stored(self) -> bool:
        """Whether a version of it can be written."""
        return self.way.dtype == "int8"


@dataclass(frozen=True, slots=True)
class Table:
    """All ways, the whole head first."""

    made: tuple[Made, ...]
    loss_max: float

    def chosen(self, name: str = "") -> Made:
        """The one of this name, or else the smallest of those whose loss is allowed.

        Raises CompressionError.
        """
        whole = self.made[0]
        fits = [each for each in self.made
                if each.can_be_stored and whole.figure - each.figure <= self.loss_max]
        if not name:
            if not fits:
                raise CompressionError(
                    f"Every way loses more than {self.loss_max:g} of {whole.figure:.4f}: nothing"
                    " was written. Train a head that is smaller to begin with, or allow more."
                )
            return min(fits, key=lambda each: each.packed_bytes)
        for each in self.made:
            if each.way.name == name and each.can_be_stored:
                if each not in fits:
                    raise CompressionError(
                        f"{name} has {each.figure:.4f} where the whole has {whole.figure:.4f}: that"
                        f" is more than {self.loss_max:g} lost, so it was not written."
                    )
                return each
        stored = ", ".join(repr(each.way.name) for each in self.made if each.can_be_stored)
        raise CompressionError(f"There is no way {name!r} that can be stored: use one of {stored}.")

    def lines(self) -> list[tuple[str, str, str, str, str]]:
        """For people: way, figure, what it lost, time of a line, size."""
        whole = self.made[0]
        return [
            (each.way.name, f"{each.figure:.4f}", f"{each.figure - whole.figure:+.4f}",
             f"{each.line_us:.1f} µs", f"{each.packed_bytes / 1e6:.2f} MB")
            for each in self.made
        ]


def compress(
    head: TextHead, held: Held, *, ways: Sequence[Way] = WAYS, loss_max: float = LOSS_MAX
) -> Table:
    """Try all ways of a trained head; the whole one is always tried, and first."""
    features = held.data.features()
    met = np.bincount(features.ids, minlength=BUCKETS)
    made: list[Made] = []
    for way in (WHOLE, *(way for way in ways if way != WHOLE)):
        smaller = _made(head, way, met)
        figure = held.measure(logits_of(smaller, features))
        made.append(Made(
            way, smaller, figure, _line_us(smaller, features), _packed_bytes(smaller, way)
        ))
    return Table(tuple(made), loss_max)


def _made(head: TextHead, way: Way, met: npt.NDArray[Any]) -> TextHead:
    smaller = _of_columns(head, way.columns)
    if way.rows < 1:
        with torch.no_grad():
            length = np.linalg.norm(smaller.table.weight.numpy(), axis=1)
            # A bucket that these rows never met may still be met: it counts a little.
            worth = length * np.sqrt(met + 0.1)
            least = np.argsort(worth, kind="stable")[: round((1 - way.rows) * BUCKETS)]
            smaller.table.weight[least] = 0
    if way.dtype == "bfloat16":
        return smaller.to(torch.bfloat16)
    return from_tensors(to_tensors(smaller), {}) if way.dtype == "int8" else smaller


def _of_columns(head: TextHead, share: float) -> TextHead:
    """A copy with the columns that say most: how long they are, times what the labels make of them.

    The kept columns are the same numbers, so nothing else changes. A head without a hidden layer
    has one column for each label, and keeps them all.
    """
    width = head.table.weight.shape[1]
    kept = torch.arange(width)
    if head.hidden is not None and share < 1:
        with torch.no_grad():
            worth = np.linalg.norm(head.table.weight.numpy(), axis=0)
            worth = worth * np.linalg.norm(head.hidden.weight.numpy(), axis=0)
            most = np.argsort(-worth, kind="stable")[: max(1, round(share * width))]
            kept = torch.from_numpy(np.sort(most))
    smaller = TextHead(len(kept), head.bias.shape[0], has_hidden=head.hidden is not None)
    state = {name: value.clone() for name, value in head.state_dict().items()}
    state["table.weight"] = state["table.weight"][:, kept].contiguous()
    if head.hidden is not None:
        state["hidden.weight"] = state["hidden.weight"][:, kept].contiguous()
    smaller.load_state_dict(state)
    return smaller.eval()


def _packed_bytes(head: TextHead, way: Way) -> int:
    if way.dtype == "int8":
        return len(zlib.compress(save(to_tensors(head))))
    raw = b"".join(
        each.detach().float().numpy().view(np.uint16)[..., 1::2].tobytes()
        if way.dtype == "bfloat16" else each.detach().numpy().tobytes()
        for each in head.parameters()
    )
    return len(zlib.compress(raw))


def _line_us(head: TextHead, features: Bags) -> float:
    rows = np.arange(min(_TIMED_ROWS, len(features.offsets) - 1))
    _, ids, offsets = next(iter(batches(features, rows, _TIMED_ROWS)))
    values, begins = torch.from_numpy(ids), torch.from_numpy(offsets)
    took: list[float] = []
    with torch.inference_mode():
        for _ in range(_TIMED_RUNS):
            began = time.perf_counter()
            head.logits(values, begins)
            took.append(time.perf_counter() - began)
    return float(np.median(took)) / max(len(rows), 1) * 1e6


def figures_of(table: Table) -> list[dict[str, Any]]:
    """As a document has it."""
    return [
        {"way": each.way.name, "figure": round(each.figure, 4),
         "line_us": round(each.line_us, 1), "packed_bytes": each.packed_bytes}
        for each in table.made
    ]
