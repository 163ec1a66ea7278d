"""Pictures in which there is nothing: what a network for pictures must let pass.

A virtual world is full of flat colours, slopes, patterns and writing, and a network that was taught
photographs may see skin in brown. These are made by arithmetic from a seed, the same everywhere, so
they are a fixed set of which anybody can tell what is right. Skin is over-represented on purpose.

What a network finds of what it should find is measured by no such set, and is not measured at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

SIDE_PX: Final = 224
SEED: Final = 1
BLOCKED_FROM: Final = 0.8
HELD_FROM: Final = 0.6
"""Where the strict policy refuses, and where the standard policy holds."""
_OF_EACH: Final = 24
_SKIN: Final = ((224, 172, 150), (198, 134, 66), (141, 85, 36), (255, 219, 172), (92, 56, 30))
Array = npt.NDArray[Any]
Pictures = npt.NDArray[np.uint8]
"""(rows, SIDE_PX, SIDE_PX, 3): red, green, blue."""


def plain_pictures(seed: int = SEED) -> Pictures:
    """All of them."""
    chance = np.random.default_rng(seed)
    steps = range(0, 256, 51)
    flat = [(red, green, blue) for red in steps for green in steps for blue in steps]
    made = [_flat(np.array(colour)) for colour in (*flat, *_SKIN)]
    for draw in _KINDS:
        made += [draw(chance) for _ in range(_OF_EACH)]
    return np.stack(made).astype(np.uint8)


def figures_of(scores: npt.NDArray[np.floating[Any]]) -> dict[str, float]:
    """What is asked of a version, by its scores of `plain_pictures`."""
    return {
        "plain_blocked": float((scores > BLOCKED_FROM).mean()),
        "plain_held": float((scores > HELD_FROM).mean()),
        "plain_highest": float(scores.max()),
    }


def hash_of(pictures: Pictures) -> str:
    """By which they are known as a set."""
    return hashlib.sha256(pictures.tobytes()).hexdigest()


# --- kinds -------------------------------------------------------------------------------


def _flat(colour: Array) -> Array:
    return np.broadcast_to(colour, (SIDE_PX, SIDE_PX, 3))


def _two_colours(chance: np.random.Generator) -> tuple[Array, Array]:
    """One of them of skin, every second time."""
    first, second = chance.integers(0, 256, (2, 3))
    if chance.random() < 0.5:
        first = np.array(_SKIN[int(chance.integers(0, len(_SKIN)))])
    return first, second


def _mixed(chance: np.random.Generator, share: Array) -> Array:
    first, second = _two_colours(chance)
    return first * share[..., None] + second * (1 - share[..., None])


def _slope(chance: np.random.Generator) -> Array:
    share = np.broadcast_to(np.linspace(0, 1, SIDE_PX), (SIDE_PX, SIDE_PX))
    return _mixed(chance, share if chance.random() < 0.5 else share.T)


def _round(chance: np.random.Generator) -> Array:
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX] - SIDE_PX / 2
    return _mixed(chance, np.minimum(np.hypot(rows, columns) / (SIDE_PX / 2), 1))


def _board(chance: np.random.Generator) -> Array:
    side = int(chance.integers(7, 112))
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX] // side
    return _mixed(chance, ((rows + columns) % 2).astype(np.float64))


def _noise(chance: np.random.Generator) -> Array:
    side = int(chance.choice([3, 6, 16, 64, SIDE_PX]))
    small = Image.fromarray(chance.integers(0, 256, (side, side, 3)).astype(np.uint8))
    return np.asarray(small.resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC))


def _colour(chance: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = _two_colours(chance)[0].tolist()
    return red, green, blue


def _writing(chance: np.random.Generator) -> Array:
    image = Image.new("RGB", (SIDE_PX, SIDE_PX), _colour(chance))
    draw = ImageDraw.Draw(image)
    for line in range(9):
        letters = "".join(chr(each) for each in chance.integers(97, 123, 22).tolist())
        draw.text((8, 8 + 24 * line), letters, fill=_colour(chance))
    return np.asarray(image)


def _shapes(chance: np.random.Generator) -> Array:
    image = Image.new("RGB", (SIDE_PX, SIDE_PX), _colour(chance))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, width, height = (*chance.integers(0, SIDE_PX, 2).tolist(),
                               *chance.integers(5, 120, 2).tolist())
        shape = draw.ellipse if chance.random() < 0.5 else draw.rectangle
        shape((x, y, x + width, y + height), fill=_colour(chance))
    return np.asarray(image)


_KINDS: Final[tuple[Callable[[np.random.Generator], Array], ...]] = (
    _slope, _round, _board, _noise, _writing, _shapes,
)
