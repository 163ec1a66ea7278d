"""Fixed sets: what is read, what is refused, and figures that are what they are called."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atrium_server.inference.slots import Loaded
from atrium_server.moderation.features import BUCKETS, bags
from atrium_server.moderation.fold import fold
from atrium_server.persistence.feedback import (
    ROWS_ASKED_MAX,
    FeedbackSource,
    MemoryFeedback,
    NewFeedback,
)
from atrium_server.persistence.schema import uuid7
from atrium_server.registry.errors import ModelError
from atrium_server.registry.signature import Field, Signature
from atrium_server.training.fixed_sets import measure, read_set
from atrium_server.training.from_feedback import WEIGHT, as_texts, read_all

LABELS = ("toxic", "spam")
CASES = Path(__file__).parents[1] / "moderation" / "chat_lines.tsv"


class Known:
    """A model that finds a label in lines which have one of its n-grams."""

    signature = Signature(
        (Field("ids", "int64", is_bag=True, bound=BUCKETS),), (Field("scores", "float32", (2,)),)
    )

    def __init__(self, toxic: str, spam: str) -> None:
        self._marks = [set(bags(fold([word])).ids.tolist()) for word in (toxic, spam)]

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        ids, offsets = inputs["ids"], inputs["ids_offsets"]
        rows = [set(ids[a:b].tolist()) for a, b in pairwise(offsets)]
        found = [[len(row & mark) / len(mark) for mark in self._marks] for row in rows]
        return {"scores": np.array(found, np.float32)}


def written(folder: Path, *rows: Any) -> Path:
    path = folder / "lines.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path


def line(text: str, **labels: float) -> dict[str, Any]:
    return {"text": text, "labels": labels}


def test_figures_are_what_they_are_called(tmp_path: Path) -> None:
    rows = [line("zzgrumpf", toxic=1), line("hello", toxic=0, spam=0), line("qqbuynow", spam=1),
            line("fine day", toxic=0, spam=0), line("a zzgrumpf", toxic=0, spam=0),
            line("missed", toxic=1), *[line(f"line {n}", toxic=0) for n in range(600)]]
    fixed = read_set(written(tmp_path, *rows), LABELS)
    figures = measure(Loaded("m", "1", Known("zzgrumpf", "qqbuynow")), LABELS, fixed)
    assert figures["lines"] == 606
    assert figures["recall"] == round(2 / 3, 4)
    assert 0 <= figures["blocked"] <= 2 / 603
    assert figures["roc_auc_spam"] == 1.0
    assert 0.6 < figures["roc_auc_toxic"] < 0.8
    assert figures["roc_auc"] == pytest.approx(
        (figures["roc_auc_toxic"] + figures["roc_auc_spam"]) / 2, abs=1e-3)


def test_a_set_is_known_by_its_bytes(tmp_path: Path) -> None:
    first = read_set(written(tmp_path, line("a", toxic=1)), LABELS)
    again = read_set(written(tmp_path, line("a", toxic=1)), LABELS)
    other = read_set(written(tmp_path, line("b", toxic=1)), LABELS)
    assert first.sha256 == again.sha256 != other.sha256


def test_cases_are_read_by_label_and_only_those_for_tests() -> None:
    fixed = read_set(CASES, ("toxic", "hate", "insult", "threat", "sexual", "spam"))
    targets = fixed.lines.targets
    benign = (targets == 0).all(axis=1)
    assert 150 < benign.sum() < 300
    assert (np.nansum(targets[~benign], axis=1) == 1).all()
    assert 150 < (~benign).sum() < 300


@pytest.mark.parametrize(("name", "content", "said"), [
    ("a.jsonl", b"{}", "Line 1"),
    ("a.jsonl", b'{"text": "x", "labels": {"toxic": "yes"}}', "Line 1"),
    ("a.jsonl", b'\n{"text": "x"', "Line 2"),
    ("a.jsonl", b"[" * 100_000, "Line 1"),
    ("a.jsonl", b'{"text": "x", "labels": {"other": 1}}', "no line with a label"),
    ("a.jsonl", b"", "no line with a label"),
    ("a.jsonl", b"\xff", "no text in UTF-8"),
    ("a.tsv", b"x", "no file of cases"),
])
def test_what_is_no_set_is_refused(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=said):
        read_set(tmp_path / name, LABELS)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_set(tmp_path / "gone.jsonl", LABELS)


async def test_feedback_becomes_texts_with_what_is_known() -> None:
    store = MemoryFeedback(lambda: 1_900_000_000.0)
    count = ROWS_ASKED_MAX + 5
    for number in range(count):
        labels = {"toxic": 0.0} if number else {"kind": 1.0}
        await store.add(NewFeedback(
            uuid7(1.0 + number), FeedbackSource.CORRECTION, "moderation", f"line {number}",
            labels, has_consent=True,
        ))
    texts = as_texts(await read_all(store, "moderation"), LABELS)
    assert texts.texts == tuple(f"line {number}" for number in range(1, count))
    assert (texts.targets[:, 0] == 0).all()
    assert np.isnan(texts.targets[:, 1]).all()
    assert (texts.weights == WEIGHT).all()
    assert len(as_texts([], LABELS)) == 0
