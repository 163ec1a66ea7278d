"""Pictures made by arithmetic, the same everywhere, and small networks by chance for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from atrium_server.inference.models.picture_net import SIDE_PX

Array = npt.NDArray[Any]


def pictures() -> npt.NDArray[np.uint8]:
    """Noise, a slope of colours, a board of squares, grey, and round forms like skin."""
    rows, columns = np.mgrid[0:SIDE_PX, 0:SIDE_PX]
    noise = np.random.default_rng(5).integers(0, 256, (SIDE_PX, SIDE_PX, 3))
    slope = np.stack([rows, columns, (rows + columns) // 2], axis=-1)
    board = np.repeat(((rows // 16 + columns // 16) % 2 * 255)[..., None], 3, axis=-1)
    grey = np.full((SIDE_PX, SIDE_PX, 3), 128)
    made = [noise, slope, board, grey]
    for radius in (60, 90):
        far = (rows - 112) ** 2 // 2 + (columns - 112) ** 2
        shade = np.clip(255 - far * 120 // radius**2, 0, 255)[..., None]
        made.append(np.where(far[..., None] < radius**2, shade * [224, 172, 150] // 255, 40))
    return np.stack(made).astype(np.uint8)


def small_net(seed: int = 1) -> dict[str, Array]:
    """The tensors of a network of two stages with two and one blocks, of 4 to 12 channels."""
    chance = np.random.default_rng(seed)
    tensors: dict[str, Array] = {}

    def layer(name: str, outside: int, inside: int, side: int) -> None:
        scale = 1.2 / np.sqrt(inside * side * side)
        shape = (outside, inside, side, side)
        tensors[f"{name}.weight"] = (chance.standard_normal(shape) * scale).astype(np.float32)
        tensors[f"{name}.bias"] = (chance.standard_normal(outside) * 0.1).astype(np.float32)

    layer("stem", 4, 3, 7)
    tensors["stem.weight"] /= 64
    for where, inside, width, outside in (
        ("stage0.block0", 4, 3, 8), ("stage0.block1", 8, 3, 8), ("stage1.block0", 8, 4, 12),
    ):
        layer(f"{where}.reduce", width, inside, 1)
        layer(f"{where}.middle", width, width, 3)
        layer(f"{where}.widen", outside, width, 1)
        if where.endswith("block0"):
            layer(f"{where}.shortcut", outside, inside, 1)
    layer("classes", 2, 12, 1)
    tensors["classes.weight"] = tensors["classes.weight"][:, :, 0, 0]
    return tensors
