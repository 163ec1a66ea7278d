"""A head on hashed n-grams: what a line of text is like, in microseconds.

The rows of an embedding table, one for each bucket of n-grams, are added up and divided by the root
of how many there were (so that long lines do not shout), go through one hidden layer or none, and
come out as a probability for each label.

On disk the table is int8 with one scale for each row, which is what keeps such a model below 3 MB;
it is multiplied out when it is loaded. Buckets that no text of the training ever fell into have a
scale of 0, and cost nothing when compressed.

Outputs are calibrated: a label's probability goes through a map that has the model's own threshold
at 0.5, so that one policy fits all versions. The map is linear in the logit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from atrium_server.moderation.features import BUCKETS
from atrium_server.registry.signature import Field, Signature

KIND: Final = "text_head"
OUTPUT: Final = "scores"
ROUNDED: Final = 1e-3
"""Of a logit: more than float32 and int8 weights lose between two loads of the same model."""
Array = npt.NDArray[Any]


def signature_of(labels: int) -> Signature:
    """What a head with so many labels takes and gives."""
    return Signature(
        (Field("ids", "int64", is_bag=True, bound=BUCKETS),),
        (Field(OUTPUT, "float32", (labels,)),),
    )


class TextHead(nn.Module):
    """See above. `hidden` is False for a table that has the labels' logits themselves."""

    def __init__(self, width: int, labels: int, *, has_hidden: bool) -> None:
        super().__init__()
        self.signature = signature_of(labels)
        self.table = nn.EmbeddingBag(BUCKETS, width, mode="sum", include_last_offset=True)
        self.hidden = nn.Linear(width, labels) if has_hidden else None
        self.bias = nn.Parameter(torch.zeros(labels))
        self.slope = nn.Parameter(torch.ones(labels), requires_grad=False)
        self.shift = nn.Parameter(torch.zeros(labels), requires_grad=False)

    def logits(self, ids: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """Before calibration, (rows, labels); what training works on."""
        counts = offsets.diff().clamp(min=1).to(self.bias.dtype)
        mixed = self.table(ids, offsets) / counts.sqrt()[:, None]
        if self.hidden is not None:
            mixed = self.hidden(torch.relu(mixed))
        return mixed + self.bias

    def run(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Calibrated probabilities of each row."""
        logits = self.logits(inputs["ids"], inputs["ids_offsets"])
        return {OUTPUT: torch.sigmoid(logits * self.slope + self.shift)}


def to_tensors(head: TextHead) -> dict[str, Array]:
    """As it is stored."""
    with torch.no_grad():
        table = head.table.weight.detach().cpu().numpy().astype(np.float32)
        scale = np.abs(table).max(axis=1) / 127
        safe = np.where(scale > 0, scale, 1)
        tensors: dict[str, Array] = {
            "table": np.round(table / safe[:, None]).astype(np.int8),
            "scale": scale.astype(np.float32),
            **{name: cast("torch.Tensor", getattr(head, name)).detach().cpu().numpy()
               for name in ("bias", "slope", "shift")},
        }
        if head.hidden is not None:
            tensors["hidden_weight"] = head.hidden.weight.detach().cpu().numpy()
            tensors["hidden_bias"] = head.hidden.bias.detach().cpu().numpy()
    return tensors


def from_tensors(tensors: Mapping[str, Array], document: Mapping[str, Any]) -> TextHead:
    """The head of a version. Raises ValueError for tensors that are none of a head."""
    names = {"table", "scale", "bias", "slope", "shift"}
    has_hidden = "hidden_weight" in tensors
    if has_hidden:
        names |= {"hidden_weight", "hidden_bias"}
    if set(tensors) != names:
        raise ValueError(f"a text head has {', '.join(sorted(names))}")
    table = tensors["table"]
    if table.dtype != np.int8 or table.ndim != 2 or table.shape[0] != BUCKETS:
        raise ValueError(f"the table of a text head has {BUCKETS:,} rows of int8")
    labels = tensors["bias"].shape[0] if tensors["bias"].ndim == 1 else 0
    head = TextHead(table.shape[1], labels, has_hidden=has_hidden)
    if not has_hidden and table.shape[1] != labels:
        raise ValueError("a text head without a hidden layer has one column for each label")
    if tensors["scale"].shape != table.shape[:1]:
        raise ValueError("the table of a text head has one scale for each row")
    state = {
        "table.weight": table.astype(np.float32) * tensors["scale"].astype(np.float32)[:, None],
        **{name: tensors[name] for name in ("bias", "slope", "shift")},
    }
    if has_hidden:
        state["hidden.weight"] = tensors["hidden_weight"]
        state["hidden.bias"] = tensors["hidden_bias"]
    try:
        head.load_state_dict({name: torch.from_numpy(x) for name, x in state.items()})
    except RuntimeError as error:
        raise ValueError(f"the tensors of a text head do not fit: {error}") from None
    return head.eval()


def calibrate(head: TextHead, thresholds: Sequence[float]) -> None:
    """Move the map so that these probabilities come out as 0.5, and what is just below them as
    less, whatever is rounded on the way; slopes stay.
    """
    with torch.no_grad():
        logit = torch.logit(torch.tensor(list(thresholds), dtype=torch.float64), eps=1e-6)
        head.shift.copy_(-(logit + ROUNDED) * head.slope)
