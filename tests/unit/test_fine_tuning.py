"""A version that goes on learning: what it was told it knows, what it knew it keeps."""

from __future__ import annotations

from pathlib import Path

import pytest

from atrium_server.inference.device import TorchDevice
from atrium_server.inference.loading import load
from atrium_server.registry.builtins import FOLDER, find_builtins
from atrium_server.registry.errors import ModelError
from atrium_server.registry.packages import Package, unpack
from atrium_server.registry.sources import open_source
from atrium_server.training import fine_tuning
from atrium_server.training.fine_tuning import Lesson, fine_tune
from atrium_server.training.fixed_sets import AUTHORED, authored, measure, read_set
from atrium_server.training.texts import Labelled, labelled

LABELS = ("toxic", "hate", "insult", "threat", "sexual", "spam")
NAN = float("nan")
HARMLESS, INSULTING = "Dick Van Dyke was amazing in that film", "you are such a wet sock"


def package(path: Path) -> Package:
    with open_source(path) as source:
        return unpack(source.document, source.read)


@pytest.fixture(scope="module")
def built_in() -> Package:
    newest = [each for each in find_builtins().documents if each.name == "moderation"][-1]
    return package(FOLDER / f"moderation-{newest.version}.json")


def feedback(*rows: tuple[str, list[float]]) -> Labelled:
    return labelled(((text, target, 50.0) for text, target in rows), len(LABELS))


BOTH = feedback(
    (HARMLESS, [0.0] * 6), (INSULTING, [NAN, NAN, 1.0, NAN, NAN, NAN]),
)


def test_it_learns_what_it_was_told_and_keeps_what_it_knew(
    built_in: Package, tmp_path: Path
) -> None:
    document = fine_tune(built_in, BOTH, Lesson("9.1", tmp_path, created="2026-01-01"))
    figures = document.content["metrics"]
    assert figures["feedback_learnt"] == 1
    assert figures["replay_kept"] >= 1 - fine_tuning.LOSS_MAX
    data = document.content["data"]
    assert data["fine_tuned_from"] == built_in.document.label
    assert data["rows_of_feedback"] == 2
    made = load(package(tmp_path), TorchDevice("cpu"))
    fixed = read_set(AUTHORED, LABELS)
    before = measure(load(built_in, TorchDevice("cpu")), LABELS, fixed)
    after = measure(made, LABELS, fixed)
    assert after["roc_auc"] >= before["roc_auc"] - 0.005
    assert after["blocked"] <= before["blocked"] + 0.005
    # The same lesson makes the same version.
    again = fine_tune(built_in, BOTH, Lesson("9.1", tmp_path / "again", created="2026-01-01"))
    assert again.id == document.id


def test_what_would_change_too_many_other_verdicts_is_not_written(
    built_in: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fine_tuning, "LOSS_MAX", -0.1)
    with pytest.raises(ModelError, match="other verdicts"):
        fine_tune(built_in, BOTH, Lesson("9.1", tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_people_who_say_opposite_things_do_not_keep_it_learning_for_ever(
    built_in: Package, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fine_tuning, "EPOCHS_MAX", 3)
    both = feedback((HARMLESS, [0.0] * 6), (HARMLESS, [NAN] * 4 + [1.0, NAN]))
    document = fine_tune(built_in, both, Lesson("9.1", tmp_path))
    assert document.content["settings"]["epochs"] == 3
    assert document.content["metrics"]["feedback_learnt"] < 1


def test_without_feedback_there_is_nothing_to_learn(built_in: Package, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no feedback"):
        fine_tune(built_in, feedback(), Lesson("9.1", tmp_path))


def test_only_the_half_that_may_be_looked_at_is_replayed() -> None:
    held_back = set(read_set(AUTHORED, LABELS).lines.texts)
    assert len(authored()) > 300
    assert not held_back & set(authored())
