"""Training that is honest and can be repeated, on small sets made here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.inference.models.text_head import from_tensors
from atrium_server.registry.drift import read_reference
from atrium_server.registry.packages import unpack
from atrium_server.registry.sources import open_source
from atrium_server.training import (
    emotion,
    generated,
    moderation,
    recipes,
    together,
    weak_labels,
)
from atrium_server.training.peers import Peers
from atrium_server.training.scores import best_threshold, f1, recall, roc_auc, threshold_at
from atrium_server.training.sources import DataAbsentError, cleaned, feelings, tweets
from atrium_server.training.text_training import Held, Means, Plan, logits_of, train
from atrium_server.training.texts import (
    Labelled,
    batches,
    joined,
    labelled,
    near_keys,
    split,
)
from atrium_server.training.usual import usual

PLAN = Plan(width=8, epochs=4, batch=64, rate=0.02, drop=0.2)
NAN = float("nan")


def small(count: int = 300, seed: int = 1) -> Labelled:
    """Threats and harmless lines; the second label is known of every other line only."""
    bad = generated.lines("threat", count, seed)
    good = generated.lines("benign", count, seed)
    rows = [(text, [1.0, 1.0 if k % 2 else NAN], 1.0) for k, text in enumerate(bad)]
    rows += [(text, [0.0, 0.0 if k % 2 else NAN], 1.0) for k, text in enumerate(good)]
    return labelled(rows, 2)


def by_auc(held: Labelled) -> Held:
    return Held(held, lambda logits: roc_auc(logits[:, 0], held.targets[:, 0] > 0.5))


# --- figures ---------------------------------------------------------------------------------


def test_auc_counts_pairs_and_halves_ties() -> None:
    scores, truths = np.array([0.1, 0.4, 0.4, 0.8]), np.array([0, 1, 0, 1])
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[truths == 1] for b in scores[truths == 0]]
    assert roc_auc(scores, truths) == pytest.approx(np.mean(pairs))
    assert np.isnan(roc_auc(scores, np.ones(4)))


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=60))
def test_auc_is_what_the_definition_says(rows: list[tuple[int, bool]]) -> None:
    scores, truths = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    found = roc_auc(scores, truths)
    if truths.all() or not truths.any():
        assert np.isnan(found)
        return
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[truths] for b in scores[~truths]]
    assert found == pytest.approx(np.mean(pairs))


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=200), st.floats(0, 0.5))
def test_no_more_than_the_share_reaches_the_threshold(scores: list[float], share: float) -> None:
    array = np.array(scores, np.float32)
    threshold = threshold_at(array, share)
    assert (array >= threshold).mean() <= share + 1e-9


def test_recall_f1_and_the_best_threshold() -> None:
    scores, truths = np.array([0.9, 0.8, 0.3, 0.2]), np.array([1, 0, 1, 0])
    assert recall(scores, truths, 0.5) == 0.5
    assert f1(scores >= 0.5, truths) == pytest.approx(0.5)
    assert best_threshold(scores, truths) == 0.3
    assert f1(np.zeros(3), np.zeros(3)) == 0


# --- data ------------------------------------------------------------------------------------


def test_what_tells_the_source_is_taken_out() -> None:
    text = '!!! RT @someone: "You &amp; me http://t.co/x #fun [NAME]"'
    assert cleaned(text) == "You & me fun"


def test_what_is_nearly_the_same_falls_on_one_side() -> None:
    texts = ["You idiot!", "you   IDIOT", "y0u 1d1ot", "something else", "another thing"]
    keys = near_keys(texts)
    assert len(set(keys[:3])) == 1
    for seed in range(20):
        sides = [k for row in range(5) for k, part in enumerate(split(keys, (0.5, 0.5), seed))
                 if row in part]
        assert len(set(sides[:3])) == 1


def test_more_data_moves_nothing_that_was_there() -> None:
    keys = [f"key {k}" for k in range(1000)]
    small_parts, large_parts = split(keys[:500], (8, 1, 1), 3), split(keys, (8, 1, 1), 3)
    for few, many in zip(small_parts, large_parts, strict=True):
        assert set(few) == {row for row in many if row < 500}
    assert 700 < len(large_parts[0]) < 900


def test_batches_have_the_features_of_their_rows() -> None:
    data = small(40)
    features = data.features()
    rows = np.array([5, 0, 17, 5])
    (some, ids, offsets), = batches(features, rows, 10)
    assert some.tolist() == rows.tolist()
    for k, row in enumerate(rows):
        assert ids[offsets[k]:offsets[k + 1]].tolist() == features.row(row).tolist()


@pytest.mark.parametrize("kind", generated.KINDS)
def test_lines_of_patterns_are_the_same_for_the_same_seed(kind: str) -> None:
    lines = generated.lines(kind, 200, 4)
    assert lines == generated.lines(kind, 200, 4)
    assert lines != generated.lines(kind, 200, 5)
    assert len(set(lines)) == len(lines) == 200
    assert not any("{" in line for line in lines)


def test_weak_rules_find_what_they_are_for() -> None:
    found = weak_labels.of("I will kill you, you stupid idiot", is_harmless=False)
    by_name = dict(zip(weak_labels.ORDER, found, strict=True))
    assert by_name["insult"] == by_name["threat"] == 1.0
    assert np.isnan(by_name["toxic"])
    assert np.isnan(by_name["sexual"])
    assert not weak_labels.finds("where is the market")


def test_absent_data_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataAbsentError, match="--data"):
        tweets(tmp_path)
    with pytest.raises(DataAbsentError, match="docs/models"):
        feelings(tmp_path, "train")


# --- training --------------------------------------------------------------------------------


def test_it_learns_and_stops_when_it_gets_no_better() -> None:
    data, held = small(seed=1), small(80, seed=2)
    trained = train(data, by_auc(held), replace(PLAN, epochs=30, patience=1))
    assert trained.figure > 0.95
    assert trained.epochs < 30


def test_the_same_seed_gives_the_same_weights_and_another_one_does_not() -> None:
    data = small(100)
    first, second, other = (
        train(data, by_auc(data), replace(PLAN, epochs=2, seed=seed)).head
        for seed in (3, 3, 4)
    )
    assert torch.equal(first.table.weight, second.table.weight)
    assert not torch.equal(first.table.weight, other.table.weight)


def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    data = small(100)
    whole = train(data, by_auc(data), PLAN).head

    class Stop(Exception):
        pass

    def until_the_third(what: str, done: int, total: int) -> None:
        if what.startswith("epoch 3") and done == 2:
            raise Stop

    with pytest.raises(Stop):
        train(data, by_auc(data), PLAN, Means(until_the_third, tmp_path))
    resumed = train(data, by_auc(data), PLAN, Means(folder=tmp_path))
    assert resumed.epochs == PLAN.epochs
    assert torch.equal(whole.table.weight, resumed.head.table.weight)
    assert not list(tmp_path.glob("*.pt"))


def test_a_checkpoint_of_another_plan_is_left_alone(tmp_path: Path) -> None:
    data = small(100)
    train(data, by_auc(data), replace(PLAN, epochs=1), Means(folder=tmp_path))
    plan = replace(PLAN, epochs=2)
    anew = train(data, by_auc(data), plan, Means(folder=tmp_path)).head
    fresh = train(data, by_auc(data), plan).head
    assert torch.equal(anew.table.weight, fresh.table.weight)


def test_two_processes_reach_the_weights_that_one_reaches(tmp_path: Path) -> None:
    data = small(60)
    plan = replace(PLAN, epochs=2, batch=37)
    alone = together.train(data, by_auc(data), plan, Means())
    shared = together.train(data, by_auc(data), plan, Means(folder=tmp_path, processes=2))
    assert shared.epochs == alone.epochs == 2
    difference = logits_of(alone.head, data.features()) - logits_of(shared.head, data.features())
    assert np.abs(difference).max() < 0.02


def test_the_shares_of_a_batch_are_all_of_it() -> None:
    rows, ids = np.arange(5), np.arange(12)
    offsets = np.array([0, 3, 3, 7, 8, 12])
    shares: list[tuple[list[int], list[list[int]]]] = []
    for rank in range(3):
        peers = Peers()
        peers.rank, peers.count = rank, 3
        mine, some, where = peers.part(rows, ids, offsets)
        bags = [some[where[k]:where[k + 1]].tolist() for k in range(len(mine))]
        shares.append((mine.tolist(), bags))
    assert [row for mine, _ in shares for row in mine] == rows.tolist()
    assert [bag for _, bags in shares for bag in bags] == [
        ids[offsets[k]:offsets[k + 1]].tolist() for k in range(5)
    ]


def test_labels_that_nobody_knows_teach_nothing() -> None:
    data = small(100)
    unknown = replace(data, targets=np.where(
        np.arange(2) == 1, np.float32(NAN), data.targets).astype(np.float32))
    head = train(unknown, by_auc(data), replace(PLAN, epochs=1)).head
    assert np.isfinite(logits_of(head, data.features())).all()


def test_the_moderation_recipe_runs_on_a_small_set() -> None:
    rows = [
        (text, [float(label == kind) for label in moderation.LABELS], 1.0)
        for kind in ("threat", "insult", "spam", "benign")
        for text in generated.lines(kind, 120, 9)
    ]
    rows = [(text, [max(target[2:5]), 0.0, *target[2:]], weight) for text, target, weight in rows]
    data = labelled(rows, len(moderation.LABELS))
    harmless = data.part(np.flatnonzero(data.targets.max(axis=1) == 0))
    parts = moderation.Parts(data, data, harmless, data, harmless, data)
    made = moderation.make(parts, replace(PLAN, epochs=3))
    assert made.metrics["roc_auc_toxic_tweets"] > 0.9
    assert made.metrics["chat_blocked"] <= 6 * moderation.LABEL_SHARE + 1e-9


def test_the_emotion_recipe_runs_on_a_small_set() -> None:
    words = ("furious", "gross", "scared", "happy", "table", "crying", "wow")
    rows = [
        (f"{word} {k % 9} {('a', 'the', 'so')[k % 3]}",
         [*(float(j == c) for j in range(7)), 0.5], 1.0)
        for k in range(90) for c, word in enumerate(words)
    ]
    data = labelled(rows, len(emotion.OUTPUTS))
    made = emotion.make(emotion.Parts(data, data, data), replace(PLAN, epochs=6))
    assert made.metrics["macro_f1"] > 0.9
    assert set(made.metrics["f1"]) == set(emotion.EMOTIONS)


def test_a_version_is_written_and_says_the_same_when_it_is_loaded(tmp_path: Path) -> None:
    data = small(60)
    head = train(data, by_auc(data), replace(PLAN, epochs=1)).head
    order = recipes.Order(tmp_path, tmp_path, "1.0", created="2026-11-23")
    made = recipes.Made(
        "moderation", ("a", "b"), {"auc": 0.9}, 1, {"from": "patterns"}, "weak", usual(head, data)
    )
    document = recipes.written(head, order, made)
    reference = read_reference(document.content)
    assert reference is not None
    assert reference.rows == len(data)
    assert reference.scores.sum(axis=1).tolist() == [len(data)] * 2
    assert reference.sizes.sum() == len(data)
    with open_source(tmp_path) as source:
        package = unpack(source.document, source.read)
    assert source.document == document
    again = from_tensors(package.tensors, document.content)
    assert np.abs(logits_of(again, data.features()) - logits_of(head, data.features())).max() < 0.3


def test_parts_are_joined() -> None:
    data = small(10)
    assert joined([data, data]).texts == data.texts * 2
