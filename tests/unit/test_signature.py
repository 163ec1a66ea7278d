"""What models take and give, and rows that fit or do not."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.inference.rows import Bag, count_rows, example_rows
from atrium_server.registry.signature import Field, Signature, SignatureError, read_signature

TOKENS = Field("tokens", "int64", is_bag=True, bound=100)
POSE = Field("pose", "float32", (3, 4))
SIGNATURE = Signature((TOKENS, POSE), (Field("scores", "float32", (6,)),))


def bag(values: list[int], offsets: list[int]) -> Bag:
    return Bag(np.array(values, np.int64), np.array(offsets, np.int64))


def poses(count: int) -> Any:
    return np.zeros((count, 3, 4), np.float32)


def test_a_signature_survives_its_document() -> None:
    assert read_signature(SIGNATURE.as_json()) == SIGNATURE


def changed(path: tuple[Any, ...], value: object) -> dict[str, Any]:
    document = SIGNATURE.as_json()
    inner: Any = document
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return document


@pytest.mark.parametrize(("document", "said"), [
    (None, "object"),
    ({}, "inputs and outputs"),
    ({**SIGNATURE.as_json(), "extra": 1}, "nothing else"),
    (changed(("inputs",), []), "1 to"),
    (changed(("inputs",), "abc"), "list"),
    (changed(("inputs", 0), 5), "object"),
    (changed(("inputs", 0, "name"), "No such!"), "name"),
    (changed(("inputs", 0, "dtype"), "object"), "dtype"),
    (changed(("inputs", 0, "is_bag"), 1), "true or false"),
    (changed(("inputs", 0, "bound"), -1), "bound"),
    (changed(("inputs", 0, "bound"), True), "bound"),
    (changed(("inputs", 0, "shape"), [2]), "no shape"),
    (changed(("inputs", 1, "shape"), [0]), "above 0"),
    (changed(("inputs", 1, "shape"), "12"), "list"),
    (changed(("inputs", 1, "shape"), [2**20, 2**20]), "larger"),
    (changed(("inputs", 1, "name"), "tokens"), "same name"),
    (changed(("outputs", 0), {**SIGNATURE.as_json()["inputs"][0]}), "output"),
])
def test_a_broken_document_is_told_in_a_sentence(document: object, said: str) -> None:
    with pytest.raises(SignatureError, match=said):
        read_signature(document)


@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["inputs", "outputs", "name", "dtype", "shape", "is_bag", "bound"]),
        inner, max_size=5),
    max_leaves=20,
))
def test_any_document_is_read_or_refused(document: object) -> None:
    with contextlib.suppress(SignatureError):
        assert isinstance(read_signature(document), Signature)


def test_rows_that_fit_are_counted() -> None:
    rows = {"tokens": bag([1, 2, 99], [0, 2, 2, 3]), "pose": poses(3)}
    assert count_rows(rows, SIGNATURE) == 3
    assert count_rows(example_rows(SIGNATURE, 5), SIGNATURE) == 5


@pytest.mark.parametrize(("rows", "said"), [
    ({"pose": poses(3)}, "inputs"),
    ({"tokens": bag([1], [0, 1]), "pose": poses(2)}, "same number"),
    ({"tokens": bag([100], [0, 1]), "pose": poses(1)}, "beyond"),
    ({"tokens": bag([-1], [0, 1]), "pose": poses(1)}, "beyond"),
    ({"tokens": bag([1], [0, 2]), "pose": poses(1)}, "offsets"),
    ({"tokens": bag([1, 2], [0, 2, 1, 2]), "pose": poses(3)}, "offsets"),
    ({"tokens": bag([1] * 70_000, [0, 70_000]), "pose": poses(1)}, "more than"),
    ({"tokens": np.zeros(1, np.int64), "pose": poses(1)}, "a bag"),
    ({"tokens": bag([1], [0, 1]), "pose": bag([1], [0, 1])}, "not a bag"),
    ({"tokens": bag([1], [0, 1]), "pose": poses(1).astype(np.float64)}, "float64"),
    ({"tokens": bag([1], [0, 1]), "pose": np.zeros((1, 12), np.float32)}, "shape"),
])
def test_rows_that_do_not_fit_are_refused(rows: Any, said: str) -> None:
    with pytest.raises(SignatureError, match=said):
        count_rows(rows, SIGNATURE)


@given(st.lists(st.lists(st.integers(0, 99), max_size=5), min_size=1, max_size=8), st.data())
def test_a_part_of_a_bag_is_those_rows(lines: list[list[int]], data: st.DataObject) -> None:
    whole = bag([value for line in lines for value in line],
                [0, *np.cumsum([len(line) for line in lines])])
    start = data.draw(st.integers(0, len(lines)))
    stop = data.draw(st.integers(start, len(lines)))
    part = whole.part(start, stop)
    assert part.offsets[0] == 0
    rows = [part.values[low:high].tolist()
            for low, high in zip(part.offsets[:-1], part.offsets[1:], strict=True)]
    assert rows == lines[start:stop]


def test_examples_of_two_bags_are_of_one_size_in_each_row() -> None:
    counts = Field("counts", "float32", is_bag=True)
    made = example_rows(Signature((TOKENS, counts), SIGNATURE.outputs), 9)
    tokens, weights = made["tokens"], made["counts"]
    assert isinstance(tokens, Bag)
    assert isinstance(weights, Bag)
    assert np.array_equal(tokens.offsets, weights.offsets)
    assert tokens.values.size == weights.values.size == tokens.offsets[-1] > 0
