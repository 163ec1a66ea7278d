"""Vectors of texts: the encoder, how its rows are run, and the weights that are not part of Atrium.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import torch
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from atrium_server.embedding import MODEL, Embedder
from atrium_server.inference.lane import Lane
from atrium_server.inference.models import sentence_encoder
from atrium_server.inference.models.sentence_encoder import SIZES, SentenceEncoder
from atrium_server.inference.outcomes import LaneError, Status
from atrium_server.inference.rows import Array, Bag, Rows
from atrium_server.inference.slots import Loaded
from atrium_server.inference.worker import Device
from atrium_server.training.sources import DataAbsentError

WORDS, PLACES, WIDTH = 50, 24, 64


def tiny(seed: int = 1) -> SentenceEncoder:
    torch.manual_seed(seed)
    return SentenceEncoder(WORDS, PLACES, WIDTH, 2).eval()


def vectors(model: SentenceEncoder, rows: Sequence[Sequence[int]]) -> Array:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    ids = np.array([each for row in rows for each in row], np.int64)
    with torch.inference_mode():
        return model.run({
            "ids": torch.from_numpy(ids), "ids_offsets": torch.from_numpy(offsets)
        })["vector"].numpy()


def tensors(model: SentenceEncoder) -> dict[str, Array]:
    return {name: each.numpy() for name, each in model.state_dict().items()}


# --- the encoder -----------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, WORDS - 1), max_size=40), min_size=1, max_size=6))
def test_a_row_gives_among_others_what_it_gives_alone(rows: list[list[int]]) -> None:
    model = tiny()
    together = vectors(model, rows)
    assert together.shape == (len(rows), WIDTH)
    assert np.abs(np.linalg.norm(together, axis=1) - 1).max() < 1e-5
    for row, found in zip(rows, together, strict=True):
        assert np.abs(vectors(model, [row])[0] - found).max() < 1e-5
        # What lies behind the last place is not seen.
        assert np.abs(vectors(model, [row[:PLACES]])[0] - found).max() < 1e-5


def test_the_order_of_tokens_counts_and_others_rows_do_not() -> None:
    model = tiny()
    one, other, again = vectors(model, [[1, 2, 3], [3, 2, 1], [1, 2, 3]])
    assert np.abs(one - again).max() < 1e-6
    assert np.abs(one - other).max() > 1e-3


def test_it_is_built_from_its_tensors_and_from_no_others() -> None:
    model = tiny()
    again = sentence_encoder.from_tensors(tensors(model), {})
    assert np.array_equal(vectors(again, [[1, 2, 3]]), vectors(model, [[1, 2, 3]]))
    assert again.signature == model.signature
    for spoilt in (
        {}, {"words.weight": np.zeros((3, 64), np.float32)},
        {name: each for name, each in tensors(model).items() if name != "norm.bias"},
        tensors(model) | {"more": np.zeros(3, np.float32)},
        tensors(model) | {"places.weight": np.zeros((PLACES, 32), np.float32)},
        tensors(model) | {"layers.1.up.weight": np.zeros((3, 3), np.float32)},
    ):
        with pytest.raises(ValueError, match="encoder"):
            sentence_encoder.from_tensors(spoilt, {})


def test_without_the_package_that_cuts_texts_there_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="pip install --no-deps tokenizers"):
        tiny().with_tokens({})


def test_tokens_that_are_none_are_refused() -> None:
    pytest.importorskip("tokenizers", reason="Texts are cut by the package tokenizers.")
    for described in ({}, {"model": {"type": "WordPiece"}}, {"version": "9"}):
        with pytest.raises(ValueError, match="tokens"):
            tiny().with_tokens(described)


def test_the_weights_of_the_package_say_what_the_book_says() -> None:
    from atrium_server.training import minilm
    from atrium_server.training.teacher import package_folder, renamed

    try:
        folder = package_folder()
    except DataAbsentError as error:
        pytest.skip(str(error))
    import json

    weights = minilm.load_file(folder / "model.safetensors")
    described = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    ours = sentence_encoder.from_tensors(renamed(weights), {}).with_tokens(described)
    lines = ["A cat sat on the mat.", "", "héllo wörld 你好", "x " * 400]
    assert minilm.least_cosine(ours, weights, lines) > 0.9999
    bag = ours.rows_of(lines)["ids"]
    assert isinstance(bag, Bag)
    assert np.diff(bag.offsets).tolist()[3] == sentence_encoder.TOKENS_MAX
    cat, kitten, stocks = vectors(ours, [
        ours.rows_of([line])["ids"].values.tolist()  # type: ignore[union-attr]
        for line in ("a cat sat on the mat", "the kitten rested on the rug", "stocks fell today")
    ])
    assert cat @ kitten > 0.5 > 0.2 > cat @ stocks


# --- as a server runs it ---------------------------------------------------------------------


class Lengths:
    """Gives how long a row is; keeps the lengths of each batch."""

    def __init__(self) -> None:
        self.signature = tiny().signature
        self.batches: list[list[int]] = []

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        lengths = np.diff(inputs["ids_offsets"])
        self.batches.append(lengths.tolist())
        return {"vector": np.tile(lengths[:, None], (1, WIDTH)).astype(np.float32)}


def rows_of(texts: Sequence[str]) -> Rows:
    offsets = np.concatenate([[0], np.cumsum([len(text) for text in texts])]).astype(np.int64)
    return {"ids": Bag(np.zeros(int(offsets[-1]), np.int64), offsets)}


def loaded(model: Any, version: str = "1") -> Loaded:
    return Loaded(MODEL, version, model, rows_of=rows_of, sizes=SIZES)


async def test_rows_of_like_size_are_run_together_and_come_back_in_order() -> None:
    lane, model = Lane(Device()), Lengths()
    embedder = Embedder(lane)
    assert (embedder.is_there, embedder.label_for("")) == (False, "")
    with pytest.raises(LaneError) as caught:
        await embedder.embed(["a"], deadline_s=60)
    assert caught.value.status is Status.ABSENT
    async with trio.open_nursery() as nursery:
        await nursery.start(lane.run)
        lane.slots.of(MODEL).live = loaded(model)
        assert (embedder.is_there, embedder.label_for("")) == (True, "embed@1")
        lengths = [(37 * k) % 128 + 1 for k in range(64)]
        found = await embedder.embed(["x" * length for length in lengths], deadline_s=60)
        assert found[:, 0].tolist() == lengths
        for batch in model.batches:
            sizes = {next(size for size in SIZES if size >= length) for length in batch}
            assert len(sizes) == 1, batch
        nursery.cancel_scope.cancel()


async def test_who_is_answered_by_a_canary_is_told_so() -> None:
    lane = Lane(Device())
    slot = lane.slots.of(MODEL)
    slot.live, slot.canary, slot.canary_share = loaded(Lengths()), loaded(Lengths(), "2"), 0.5
    told = {Embedder(lane).label_for(f"key {k}") for k in range(50)}
    assert told == {"embed@1", "embed@2"}


async def test_what_fails_for_one_size_fails_the_whole() -> None:
    class Half(Lengths):
        def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
            if np.diff(inputs["ids_offsets"]).max() > 32:
                raise ValueError("it cannot")
            return super().run(inputs)

    lane = Lane(Device())
    async with trio.open_nursery() as nursery:
        await nursery.start(lane.run)
        lane.slots.of(MODEL).live = loaded(Half())
        with pytest.raises(LaneError) as caught:
            await Embedder(lane).embed(["x", "x" * 100], deadline_s=60)
        assert caught.value.status is Status.FAILED
        nursery.cancel_scope.cancel()


async def test_each_size_is_warmed() -> None:
    lane, model = Lane(Device()), Lengths()
    async with trio.open_nursery() as nursery:
        await nursery.start(lane.run)
        await lane.warm(loaded(model))
        seen = {length for batch in model.batches for length in batch}
        assert seen == set(SIZES)
        assert all(len(set(batch)) == 1 for batch in model.batches)
        nursery.cancel_scope.cancel()
