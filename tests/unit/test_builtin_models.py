"""The models that come with Atrium: whole, small, and of some sense."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import atrium_server.inference
from atrium_server.inference.device import TorchDevice
from atrium_server.inference.loading import load
from atrium_server.inference.rows import Bag
from atrium_server.inference.slots import Loaded
from atrium_server.inference.staging import Staging
from atrium_server.moderation.features import VERSION, bags
from atrium_server.moderation.fold import fold
from atrium_server.moderator import LABELS
from atrium_server.registry.errors import ModelError
from atrium_server.registry.packages import Package, unpack
from atrium_server.registry.signature import Signature
from atrium_server.registry.sources import open_source

FOLDER = Path(atrium_server.inference.__file__).parent / "builtin"
DOCUMENTS = sorted(FOLDER.glob("*.json"))
FILE_BYTES_MAX = 3_000_000


def package(name: str) -> Package:
    path, = FOLDER.glob(f"{name}-*.json")
    with open_source(path) as source:
        return unpack(source.document, source.read)


@pytest.fixture(scope="module")
def moderation() -> Loaded:
    return load(package("moderation"), TorchDevice("cpu"))


def scores(loaded: Loaded, *texts: str) -> np.ndarray:
    made = bags(fold(texts))
    rows = {"ids": Bag(made.ids, made.offsets)}
    inputs = Staging().join(loaded.model.signature, [(rows, 0, len(texts))])
    return loaded.model.run(inputs)["scores"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_each_is_whole_small_and_says_how_it_was_made(path: Path) -> None:
    with open_source(path) as source:
        document = unpack(source.document, source.read).document
    assert document.size < FILE_BYTES_MAX
    if document.kind == "text_head":
        assert document.content["settings"]["features"] == VERSION, "train it anew"
    for key in ("metrics", "data", "licence", "notes"):
        assert document.content[key], key


def test_the_moderation_model_has_the_labels_that_the_moderator_reads() -> None:
    found = package("moderation")
    assert found.document.content["settings"]["labels"] == [str(label) for label in LABELS]


@pytest.mark.parametrize("text", [
    "you are a stupid bitch", "shut up you dumb retard", "i will come to your house and kill you",
    "send me nudes", "free robux click here www.free-gems.win",
])
def test_what_is_meant_to_hurt_is_found(moderation: Loaded, text: str) -> None:
    assert scores(moderation, text).max() >= 0.5


@pytest.mark.parametrize("text", [
    "hello everyone", "kill the boss first", "gg that was close", "you're dead lol try again",
    "where is the fountain?", "my mom made dinner, brb", "trash loot again", "",
])
def test_what_is_harmless_is_let_pass(moderation: Loaded, text: str) -> None:
    assert scores(moderation, text).max() < 0.5


def test_feelings_are_told_apart() -> None:
    loaded = load(package("emotion"), TorchDevice("cpu"))
    labels = package("emotion").document.content["settings"]["labels"]
    found = scores(loaded, "i am so happy, thank you!", "this makes me furious, how dare they",
                   "i miss her so much, i keep crying")
    best = [labels[k] for k in found[:, :7].argmax(axis=1)]
    assert best == ["joy", "anger", "sadness"]
    assert found[0, 7] > found[1, 7]


def test_a_version_of_another_kind_or_signature_is_refused() -> None:
    device, found = TorchDevice("cpu"), package("moderation")
    unknown = replace(found, document=replace(found.document, kind="no_such"))
    with pytest.raises(ModelError, match="newer"):
        load(unknown, device)
    other = Signature(found.document.signature.inputs, found.document.signature.inputs)
    with pytest.raises(ModelError, match="something else"):
        load(replace(found, document=replace(found.document, signature=other)), device)
    few = {name: x for name, x in found.tensors.items() if name != "bias"}
    with pytest.raises(ModelError, match="cannot be built"):
        load(replace(found, tensors=few), device)
