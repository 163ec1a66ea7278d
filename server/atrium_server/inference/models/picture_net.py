"""How likely a picture is not safe to show: a residual network of the shape of ResNet-50-thin.

A row is a picture of 224 x 224 pixels, red, green, blue, as bytes. The network wants blue first and
the mean colour of its training set taken off, and both are done here, where the picture is: what
travels to the device is a quarter of what floats would be.

The batch normalisations of training are folded into the convolutions. How many stages and blocks
there are, and how wide, is read off the tensors; what cannot be is fixed here: a convolution of
7 x 7 and a pool that halve twice, then stages of blocks (1 x 1, 3 x 3, 1 x 1, added to what came
in), each stage but the first beginning with a half of the size, a mean over what is left, and two
classes, of which the second is the one that is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from atrium_server.registry.signature import Field, Signature

KIND: Final = "picture_net"
INPUT: Final = "pixels"
OUTPUT: Final = "scores"
SIDE_PX: Final = 224
Array = npt.NDArray[Any]
_MEAN_BGR: Final = (104.0, 117.0, 123.0)
_NAME: Final = re.compile(r"stage(\d)\.block(\d{1,2})\.(reduce|middle|widen|shortcut)\.weight")
_STAGES_MAX, _BLOCKS_MAX, _WIDTH_MAX = 4, 16, 2_048
_CLASSES: Final = 2


class _Block(nn.Module):
    """Narrow, look around, widen; added to what came in."""

    def __init__(self, inside: int, width: int, outside: int, stride: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(inside, width, 1, stride)
        self.middle = nn.Conv2d(width, width, 3, padding=1)
        self.widen = nn.Conv2d(width, outside, 1)
        self.shortcut: nn.Conv2d | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        beside = x if self.shortcut is None else self.shortcut(x)
        x = functional.relu(self.reduce(x))
        x = functional.relu(self.middle(x))
        return functional.relu(self.widen(x) + beside)


class PictureNet(nn.Module):
    """See above. Built by `from_tensors`."""

    def __init__(self, stem: int, stages: list[list[_Block]], outside: int) -> None:
        super().__init__()
        self.signature = Signature(
            (Field(INPUT, "uint8", (SIDE_PX, SIDE_PX, 3)),), (Field(OUTPUT, "float32", (1,)),)
        )
        self.stem = nn.Conv2d(3, stem, 7, 2, padding=3)
        for number, blocks in enumerate(stages):
            named = {f"block{k}": block for k, block in enumerate(blocks)}
            self.add_module(f"stage{number}", nn.Sequential())
            for name, block in named.items():
                self.get_submodule(f"stage{number}").add_module(name, block)
        self.stages = len(stages)
        self.classes = nn.Linear(outside, _CLASSES)
        self.register_buffer("mean", torch.tensor(_MEAN_BGR), persistent=False)

    def run(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The probability of each row, (rows, 1)."""
        pixels = inputs[INPUT].flip(-1).to(self.classes.weight.dtype)
        x = (pixels - self.get_buffer("mean").to(pixels.dtype)).permute(0, 3, 1, 2)
        x = functional.relu(self.stem(x))
        # One more row and column behind, as the original has it, of less than anything.
        x = functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)
        for number in range(self.stages):
            x = self.get_submodule(f"stage{number}")(x)
        chances = torch.softmax(self.classes(x.mean(dim=(2, 3))), dim=-1)
        return {OUTPUT: chances[:, 1:2].float()}


def from_tensors(tensors: Mapping[str, Array], document: Mapping[str, Any]) -> PictureNet:
    """The model of a version. Raises ValueError for tensors that are not of this kind."""
    stem, classes = (tensors.get(f"{name}.weight") for name in ("stem", "classes"))
    if stem is None or classes is None or stem.ndim != 4 or classes.ndim != 2:
        raise ValueError("a picture_net has a stem and classes")
    if any(array.dtype != np.float32 for array in tensors.values()):
        raise ValueError("a picture_net is of float32")
    _check_widths(tensors)
    model = PictureNet(stem.shape[0], _stages(tensors, stem.shape[0]), classes.shape[1])
    try:
        model.load_state_dict({name: torch.from_numpy(x) for name, x in tensors.items()})
    except RuntimeError as error:
        raise ValueError(f"the tensors of a picture_net do not fit: {error}") from None
    return model.eval()


def _check_widths(tensors: Mapping[str, Array]) -> None:
    if any(max(array.shape, default=0) > _WIDTH_MAX for array in tensors.values()):
        raise ValueError(f"a layer of a picture_net is wider than {_WIDTH_MAX:,}")


def _stages(tensors: Mapping[str, Array], inside: int) -> list[list[_Block]]:
    """Empty blocks of the sizes that the tensors have."""
    parts = {found.groups() for name in tensors if (found := _NAME.fullmatch(name))}
    numbers = sorted({(int(stage), int(block)) for stage, block, _ in parts})
    counts = [sum(stage == k for stage, _ in numbers) for k in range(_STAGES_MAX)]
    while counts and not counts[-1]:
        counts.pop()
    expected = [(stage, block) for stage, count in enumerate(counts) for block in range(count)]
    if not counts or 0 in counts or max(counts) > _BLOCKS_MAX or numbers != expected:
        raise ValueError("the stages and blocks of a picture_net are not numbered from 0 on")
    made: list[list[_Block]] = [[] for _ in counts]
    for stage, number in numbers:
        where = f"stage{stage}.block{number}"
        reduce, widen = (tensors.get(f"{where}.{part}.weight") for part in ("reduce", "widen"))
        if reduce is None or widen is None or reduce.ndim != 4 or widen.ndim != 4:
            raise ValueError(f"{where} of a picture_net is not whole")
        stride = 2 if stage and not number else 1
        block = _Block(inside, reduce.shape[0], widen.shape[0], stride)
        if f"{where}.shortcut.weight" in tensors:
            block.shortcut = nn.Conv2d(inside, widen.shape[0], 1, stride)
        elif number == 0 or inside != widen.shape[0]:
            raise ValueError(f"{where} of a picture_net needs a shortcut")
        made[stage].append(block)
        inside = widen.shape[0]
    return made
