"""A head on hashed n-grams: what it computes, and how it is stored."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from atrium_server.inference.models.text_head import (
    TextHead,
    calibrate,
    from_tensors,
    to_tensors,
)
from atrium_server.moderation.features import BUCKETS, bags
from atrium_server.moderation.fold import fold


def made(width: int = 8, labels: int = 3, *, has_hidden: bool = True) -> TextHead:
    torch.manual_seed(5)
    return TextHead(width, labels, has_hidden=has_hidden).eval()


def inputs(*texts: str) -> dict[str, torch.Tensor]:
    rows = bags(fold(texts))
    return {"ids": torch.from_numpy(rows.ids), "ids_offsets": torch.from_numpy(rows.offsets)}


def scores(head: TextHead, *texts: str) -> np.ndarray:
    with torch.inference_mode():
        return head.run(inputs(*texts))["scores"].numpy()


def test_rows_do_not_touch_each_other() -> None:
    head = made()
    together = scores(head, "one line", "", "and another one")
    for k, text in enumerate(("one line", "", "and another one")):
        assert np.allclose(together[k], scores(head, text)[0], atol=1e-6)
    assert np.isfinite(together).all()


@pytest.mark.parametrize("has_hidden", [True, False])
def test_what_is_stored_and_loaded_says_nearly_the_same(has_hidden: bool) -> None:
    head = made(8 if has_hidden else 3, has_hidden=has_hidden)
    tensors = to_tensors(head)
    again = from_tensors(tensors, {})
    texts = [f"some words and number {k}" for k in range(50)]
    assert np.abs(scores(head, *texts) - scores(again, *texts)).max() < 0.01
    assert tensors["table"].nbytes == BUCKETS * (8 if has_hidden else 3)


def test_the_threshold_comes_out_as_one_half() -> None:
    head = made()
    before = scores(head, "a line")[0]
    calibrate(head, before.tolist())
    assert np.allclose(scores(head, "a line"), 0.5, atol=1e-3)
    assert (scores(head, "a line") < 0.5).all()


@pytest.mark.parametrize("spoil", [
    lambda t: t.pop("bias"),
    lambda t: t.update(extra=t["bias"]),
    lambda t: t.update(table=t["table"].astype(np.float32)),
    lambda t: t.update(table=t["table"][:-1]),
    lambda t: t.update(scale=t["scale"][:-1]),
    lambda t: t.update(bias=t["bias"][:-1]),
    lambda t: t.update(hidden_weight=t["hidden_weight"].T.copy()),
])
def test_tensors_of_something_else_are_refused(spoil: Any) -> None:
    tensors = to_tensors(made())
    spoil(tensors)
    with pytest.raises(ValueError, match="text head"):
        from_tensors(tensors, {})
