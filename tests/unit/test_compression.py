"""Smaller heads, teachers of heads, and the search for settings, on small sets made here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from atrium_server.inference.models.text_head import TextHead
from atrium_server.registry.errors import ModelError
from atrium_server.training import emotion, emotion_lesson, generated, recipes
from atrium_server.training.compression import (
    WAYS,
    WHOLE,
    CompressionError,
    Way,
    compress,
    figures_of,
)
from atrium_server.training.distillation import Lesson, taught, unseen
from atrium_server.training.scores import roc_auc
from atrium_server.training.search import WIDTHS, Found, Search, search
from atrium_server.training.sources import DataAbsentError, Tweet
from atrium_server.training.text_training import Held, Plan, logits_of, train
from atrium_server.training.texts import Labelled, labelled

PLAN = Plan(width=8, epochs=3, batch=64, rate=0.02, drop=0.2)


def small(count: int = 150, seed: int = 1) -> Labelled:
    rows = [(text, [1.0], 1.0) for text in generated.lines("threat", count, seed)]
    rows += [(text, [0.0], 1.0) for text in generated.lines("benign", count, seed)]
    return labelled(rows, 1)


def by_auc(held: Labelled) -> Held:
    return Held(held, lambda logits: roc_auc(logits[:, 0], held.targets[:, 0] > 0.5))


@pytest.fixture(scope="module")
def head() -> TextHead:
    data = small()
    return train(data, by_auc(data), PLAN).head


# --- compression ------------------------------------------------------------------------------


def test_every_way_is_measured_and_the_smallest_that_is_good_enough_is_chosen(
    head: TextHead,
) -> None:
    table = compress(head, by_auc(small(80, 2)), loss_max=0.05)
    by_name = {each.way.name: each for each in table.made}
    assert [each.way for each in table.made] == list(WAYS)
    assert abs(by_name["int8"].figure - by_name["float32"].figure) < 0.01
    assert by_name["int8"].packed_bytes < 0.4 * by_name["float32"].packed_bytes
    assert by_name["int8"].packed_bytes < by_name["bfloat16"].packed_bytes
    assert by_name["int8, 1/4 of the rows"].packed_bytes < by_name["int8"].packed_bytes
    assert all(each.line_us > 0 for each in table.made)
    chosen = table.chosen()
    assert chosen.can_be_stored
    assert chosen.packed_bytes == min(
        each.packed_bytes for each in table.made
        if each.can_be_stored and each.figure >= by_name["float32"].figure - 0.05
    )
    assert len(table.lines()) == len(figures_of(table)) == len(WAYS)


def test_a_way_that_loses_too_much_is_refused(head: TextHead) -> None:
    nothing = Way("nothing left", rows=0.0)
    table = compress(head, by_auc(small(80, 2)), ways=(nothing, Way("int8")), loss_max=0.01)
    assert table.made[0].way == WHOLE
    with pytest.raises(CompressionError, match="not written"):
        table.chosen("nothing left")
    assert table.chosen("int8").way.name == "int8"
    assert table.chosen().way.name == "int8"
    with pytest.raises(CompressionError, match="'int8'"):
        table.chosen("float32")
    only = compress(head, by_auc(small(80, 2)), ways=(nothing,), loss_max=0.01)
    with pytest.raises(CompressionError, match="nothing was written"):
        only.chosen()


def test_rows_that_say_most_and_columns_that_say_most_are_kept() -> None:
    torch.manual_seed(3)
    head = TextHead(4, 1, has_hidden=True).eval()
    data = small(40)
    ids = np.unique(data.features().ids)
    assert head.hidden is not None
    with torch.no_grad():
        head.table.weight.mul_(0.001)
        head.table.weight[torch.from_numpy(ids), 2] = 1.0
        head.hidden.weight[:] = 1.0
    ways = (Way("a column", columns=0.25, dtype="float32"),
            Way("few rows", rows=len(ids) / len(head.table.weight), dtype="float32"))
    whole, column, rows = compress(head, by_auc(data), ways=ways).made
    expected = logits_of(whole.head, data.features())
    for each in (column, rows):
        assert np.allclose(logits_of(each.head, data.features()), expected, atol=0.1)
    assert column.head.table.weight.shape[1] == 1
    assert int((rows.head.table.weight.abs().sum(1) > 0).sum()) == len(ids)


def test_only_the_emotion_model_has_a_teacher(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no teacher"):
        recipes.train("moderation", recipes.Order(tmp_path, tmp_path, "1.0", has_teacher=True))


# --- distillation -----------------------------------------------------------------------------


def test_a_head_learns_from_what_its_teacher_says_of_lines_that_nobody_labelled() -> None:
    known = small(6)
    lines = [*generated.lines("threat", 150, 8), *generated.lines("benign", 150, 8)]
    threats = {*generated.lines("threat", 150, 8), *known.texts[:6]}

    def judge(texts: Sequence[str]) -> np.ndarray:
        return np.array([[0.9 if text in threats else 0.1] for text in texts], np.float32)

    held = by_auc(small(100, 3))
    plain = train(known, held, replace(PLAN, epochs=1)).figure
    data = taught(known, judge, lines)
    assert train(data, held, PLAN).figure > max(0.95, plain)


def test_people_and_teacher_share_a_target_and_the_teacher_fills_what_is_unknown() -> None:
    data = labelled([("one", [1.0, float("nan")], 1.0), ("two", [0.0, 1.0], 0.5)], 2)
    said = np.array([[0.5, 0.25], [0.5, 0.5]], np.float32)
    more = np.array([[0.1, 0.2]], np.float32)
    mixed = taught(data, lambda texts: said if len(texts) == 2 else more, ["three"],
                   Lesson(share=0.5, weight=0.3))
    assert np.allclose(mixed.targets, [[0.75, 0.25], [0.25, 0.75], [0.1, 0.2]])
    assert np.allclose(mixed.weights, [1.0, 0.5, 0.3])


def test_no_lesson_is_given_on_lines_that_are_measured_on() -> None:
    others = labelled([("You idiot!", [1.0], 1.0)], 1)
    assert unseen(["y0u   IDIOT", "a table", "A  table!", "a chair"], others) == [
        "a table", "a chair"
    ]


def test_lessons_without_labels_are_of_other_lines_than_those_measured_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = emotion.Parts(*(labelled([(f"{name} is a line", [0.0] * 8, 1.0)], 8)
                            for name in ("one", "two", "three")))
    chats = [["Two is a line!!", "short", "a line of its own", "x" * 300], ["three IS a line"]]
    monkeypatch.setattr(emotion_lesson, "conversations", lambda: chats)
    monkeypatch.setattr(emotion_lesson, "tweets", lambda folder: [
        Tweet("a tweet of some length", 0, 1, 1), Tweet("A tweet of some length.", 0, 1, 1)])
    lines = emotion_lesson.more_lines(parts, tmp_path, 7)
    assert sorted(line.lower().rstrip(".") for line in lines) == [
        "a line of its own", "a tweet of some length"]
    assert lines == emotion_lesson.more_lines(parts, tmp_path, 7)


# --- search -----------------------------------------------------------------------------------


def test_the_same_seed_finds_the_same_plan_and_a_search_goes_on(tmp_path: Path) -> None:
    data = small(40)
    told: list[int] = []
    wanted = Search(trials=3, seed=5, progress=lambda what, done, total: told.append(done))
    try:
        found = search(data, by_auc(data), replace(PLAN, epochs=1), wanted)
    except DataAbsentError as error:
        pytest.skip(str(error))
    again = search(data, by_auc(data), replace(PLAN, epochs=1), wanted)
    assert found == again
    assert told == [1, 2, 3] * 2
    assert found.plan.width in WIDTHS
    assert found.figure == max(each["figure"] for each in found.tried)

    kept = replace(wanted, folder=tmp_path, trials=2)
    search(data, by_auc(data), replace(PLAN, epochs=1), kept)
    more = search(data, by_auc(data), replace(PLAN, epochs=1), replace(kept, trials=3))
    assert len(more.tried) == 3


def test_a_recipe_searches_where_it_is_asked_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = labelled([(line, [float(k == j) for j in range(8)], 1.0) for k in range(7)
                     for line in generated.lines(generated.KINDS[k % 5], 12, k)], 8)
    asked: list[Search] = []

    def stand_in(rows: Labelled, held: Held, plan: Plan, wanted: Search) -> Found:
        asked.append(wanted)
        return Found(replace(plan, width=4, epochs=1), 0.0, ())

    monkeypatch.setattr(recipes, "search", stand_in)
    monkeypatch.setattr(emotion, "prepare", lambda folder, seed: emotion.Parts(data, data, data))
    document = recipes.train("emotion", recipes.Order(tmp_path, tmp_path, "1", seed=3, trials=2))
    assert [(each.trials, each.seed) for each in asked] == [(2, 3)]
    assert document.tensors["table"].shape[1] == 4
