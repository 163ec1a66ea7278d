"""Makes the built-in profanity model out of the package alt-profanity-check, once:

    pip install --no-deps alt-profanity-check==1.9.1 && pip install scikit-learn
    python -m atrium_server.training.profanity FOLDER

The package keeps its model as a pickle, which runs whatever it says when it is opened. So it is
opened here alone, by whoever makes the model and never by a server, and only if it is, byte for
byte, the file of that release.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from atrium_server.inference.models import profanity
from atrium_server.registry.documents import Document
from atrium_server.registry.writing import Card, write_version
from atrium_server.training import generated
from atrium_server.training.sources import DataAbsentError

VERSION: Final = "1.9.1"
CREATED: Final = "2026-11-23"
_PICKLES: Final = {
    "vectorizer.joblib": "19c5200dc6a41f026e0558e2f164f5fe8d8f58e502b46b37e4385037fcfa4831",
    "model.joblib": "aeafc04849d4d93db4721cf30a86ebf22085595294b8a07d51918e7fa98f538b",
}
_NOTES: Final = (
    "The weights of alt-profanity-check 1.9.1, unchanged. English, words alone: no n-grams, no"
    " disguises, no other language. It was trained by its authors on Davidson's tweets and on"
    " comments of Wikipedia, so figures on these are no figures of its quality."
)
_LICENCE: Final = """MIT License

Copyright (c) 2018 Victor Zhou, 2021 Menelaos Kotoglou, and Dimitrios Mistriotis

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE."""


def originals() -> tuple[Any, Any]:
    """The package's vectorizer and model, in scikit-learn. Raises DataAbsentError."""
    for name in ("profanity_check", "sklearn", "joblib"):
        if importlib.util.find_spec(name) is None:
            raise DataAbsentError(
                f"The package of {name} is missing: pip install scikit-learn, and pip install"
                f" --no-deps alt-profanity-check=={VERSION}"
            )
    spec = importlib.util.find_spec("profanity_check")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).with_name("data")
    for name, expected in _PICKLES.items():
        if hashlib.sha256((folder / name).read_bytes()).hexdigest() != expected:
            raise DataAbsentError(
                f"{name} is not the one of alt-profanity-check {VERSION}, so it is not opened:"
                f" pip install --force-reinstall --no-deps alt-profanity-check=={VERSION}"
            )
    joblib: Any = importlib.import_module("joblib")
    with warnings.catch_warnings():
        # It was pickled by another release of scikit-learn; the parity test is what counts.
        warnings.simplefilter("ignore")
        vectorizer, model = (joblib.load(folder / name) for name in _PICKLES)
    return vectorizer, model


def convert(folder: Path) -> Document:
    """Write the version into a folder. Raises DataAbsentError and ModelError."""
    vectorizer, model = originals()
    vocabulary = sorted(vectorizer.vocabulary_, key=vectorizer.vocabulary_.__getitem__)
    members = model.calibrated_classifiers_
    sigmoids = [member.calibrators[0] for member in members]
    tensors = profanity.to_tensors(vocabulary, {
        "rarity": vectorizer.idf_,
        "weight": np.stack([member.estimator.coef_[0] for member in members], axis=1),
        "bias": np.array([member.estimator.intercept_[0] for member in members]),
        # scikit-learn's sigmoid is 1 / (1 + exp(a x + b)).
        "slope": np.array([-each.a_ for each in sigmoids]),
        "shift": np.array([-each.b_ for each in sigmoids]),
    })
    ours = profanity.from_tensors(tensors, {})
    lines = [line for kind in generated.KINDS for line in generated.lines(kind, 400, 7)]
    theirs = model.predict_proba(vectorizer.transform(lines))[:, 1]
    return write_version(folder, Card(
        name="profanity", version=VERSION, kind=profanity.KIND, signature=ours.signature,
        created=CREATED,
        settings={"labels": ["profane"], "language": "en"},
        metrics={"largest_difference_from_the_original": round(
            float(np.abs(scores(ours, lines) - theirs).max()), 8), "lines": len(lines)},
        data={"sources": [{"name": f"alt-profanity-check {VERSION} (PyPI)", "licence": "MIT",
                           "what": "weights, made by its authors"}],
              "split": "unknown: trained by its authors", "pickles_sha256": _PICKLES},
        licence={"weights": "MIT", "notice": _LICENCE}, notes=_NOTES,
    ), tensors)


def scores(model: profanity.Profanity, texts: Sequence[str]) -> npt.NDArray[np.float32]:
    """What the ported model says of texts."""
    rows = model.words.rows(texts)
    inputs = {name: torch.from_numpy(bag.values) for name, bag in rows.items()}
    inputs |= {f"{name}_offsets": torch.from_numpy(bag.offsets) for name, bag in rows.items()}
    with torch.inference_mode():
        return model.run(inputs)[profanity.OUTPUT][:, 0].numpy()


if __name__ == "__main__":
    made = convert(Path(sys.argv[1]))
    sys.stdout.write(f"{made.label} {made.id}\n")
