"""The port of alt-profanity-check says what the original says, to six digits."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import atrium_server.inference
from atrium_server.inference.device import TorchDevice
from atrium_server.inference.loading import load
from atrium_server.inference.models.profanity import Profanity, Words, from_tensors, to_tensors
from atrium_server.inference.staging import Staging
from atrium_server.registry.packages import Package, unpack
from atrium_server.registry.sources import open_source
from atrium_server.training import generated, profanity
from atrium_server.training.sources import DataAbsentError

GOLDEN: dict[str, float] = json.loads(
    (Path(__file__).parents[1] / "golden" / "profanity.json").read_text(encoding="utf-8")
)
"""Lines, with what scikit-learn 1.9.1 says of them."""
DIFFERENCE_MAX = 1e-6


def shipped() -> Package:
    folder = Path(atrium_server.inference.__file__).parent / "builtin"
    path, = folder.glob("profanity-*.json")
    with open_source(path) as source:
        return unpack(source.document, source.read)


@pytest.fixture(scope="module")
def model() -> Profanity:
    found = shipped()
    return from_tensors(found.tensors, found.document.content)


@pytest.fixture(scope="module")
def original() -> Any:
    try:
        return profanity.originals()
    except DataAbsentError as error:
        pytest.skip(str(error))


def test_it_says_what_the_original_said(model: Profanity) -> None:
    found = profanity.scores(model, list(GOLDEN))
    assert np.abs(found - np.array(list(GOLDEN.values()))).max() <= DIFFERENCE_MAX
    assert found.max() > 0.95
    assert found.min() < 0.05


def test_it_says_what_the_original_says(model: Profanity, original: Any) -> None:
    vectorizer, classifier = original
    lines = [*GOLDEN, *(line for kind in generated.KINDS for line in generated.lines(kind, 300, 3))]
    theirs = classifier.predict_proba(vectorizer.transform(lines))[:, 1]
    assert np.abs(profanity.scores(model, lines) - theirs).max() <= DIFFERENCE_MAX


def test_its_words_are_the_original_s(model: Profanity, original: Any) -> None:
    analyzer = original[0].build_analyzer()
    vocabulary = sorted(original[0].vocabulary_, key=original[0].vocabulary_.__getitem__)

    @given(st.text(max_size=80) | st.sampled_from([line + "\u0130İſß" for line in GOLDEN]))
    def check(text: str) -> None:
        bag = model.words.rows([text])
        ours = {vocabulary[int(k)]: int(n)
                for k, n in zip(bag["ids"].values, bag["counts"].values, strict=True)}
        words = [word for word in analyzer(text) if word in original[0].vocabulary_]
        assert ours == {word: words.count(word) for word in words}

    check()


def test_rows_do_not_touch_each_other(model: Profanity) -> None:
    lines = list(GOLDEN)
    together = profanity.scores(model, lines)
    alone = [float(profanity.scores(model, [line])[0]) for line in lines]
    assert np.abs(together - alone).max() < 1e-6


def test_the_lane_runs_it() -> None:
    loaded = load(shipped(), TorchDevice("cpu"))
    bags = Words(["shit", "day"]).rows(["a day", "", "shit shit"])
    inputs = Staging().join(loaded.model.signature, [(bags, 0, 3)])
    scores = loaded.model.run(inputs)["scores"]
    assert scores.shape == (3, 1)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("spoil", [
    lambda t: t.pop("rarity"),
    lambda t: t.update(extra=t["rarity"]),
    lambda t: t.update(vocabulary=t["vocabulary"].astype(np.int8)),
    lambda t: t.update(vocabulary=np.array([255, 10, 254], np.uint8)),
    lambda t: t.update(vocabulary=np.frombuffer(b"day\nday", np.uint8)),
    lambda t: t.update(vocabulary=np.frombuffer(b"one", np.uint8)),
    lambda t: t.update(weight=t["weight"][0]),
    lambda t: t.update(slope=t["slope"][:1]),
])
def test_tensors_of_something_else_are_refused(spoil: Any) -> None:
    tensors = to_tensors(["day", "night"], {
        "rarity": np.ones(2), "weight": np.ones((2, 3)),
        **{name: np.zeros(3) for name in ("bias", "slope", "shift")},
    })
    assert isinstance(from_tensors(tensors, {}), Profanity)
    spoil(tensors)
    with pytest.raises(ValueError, match=r"profanity model"):
        from_tensors(tensors, {})
