"""Where models run. What needs a graphics card is tried where there is one."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from lane_stands import BAGS, NUMBERS, bags, numbers

from atrium_server.inference.device import DeviceError, TorchDevice, processors
from atrium_server.inference.rows import Array
from atrium_server.inference.staging import Staging
from atrium_server.registry.signature import Signature

CARD = torch.cuda.is_available()


class Sums(torch.nn.Module):
    """Adds up the numbers of each row."""

    def __init__(self, signature: Signature = NUMBERS) -> None:
        super().__init__()
        self.signature = signature
        self.weight = torch.nn.Parameter(torch.ones(()))

    def run(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        if "x" in inputs:
            return {"sum": (inputs["x"] * self.weight).sum(1)}
        offsets = inputs["ids_offsets"]
        totals = torch.zeros(len(offsets) - 1, device=offsets.device)
        rows = torch.repeat_interleave(offsets.diff())
        return {"sum": totals.index_add(0, rows, inputs["ids"].float() * self.weight)}


def joined(device: TorchDevice, rows: int) -> Mapping[str, Array]:
    staging = Staging(device.allocate)
    return staging.join(NUMBERS, [(numbers(*((k, 1) for k in range(rows))), 0, rows)])


def test_a_module_runs_on_the_processor() -> None:
    device = TorchDevice("cpu")
    assert (device.name, device.is_card) == ("cpu", False)
    model = device.place(Sums())
    assert model.run(joined(device, 3))["sum"].tolist() == [1, 2, 3]
    bag = device.place(Sums(BAGS))
    inputs = Staging(device.allocate).join(BAGS, [(bags([1, 2], [], [5]), 0, 3)])
    assert bag.run(inputs)["sum"].tolist() == [3, 0, 5]


def test_the_tick_keeps_a_processor() -> None:
    TorchDevice("cpu")
    assert torch.get_num_threads() == max(1, processors() - 1)


@pytest.mark.parametrize("name", ["", "gpu", "cuda:", "cuda:-1", "cuda:1;", "CPU", "cuda:999"])
def test_a_device_that_there_is_not_is_told(name: str) -> None:
    with pytest.raises(DeviceError, match="no device"):
        TorchDevice(name)


@pytest.mark.skipif(CARD, reason="There is a graphics card.")
def test_a_card_that_is_not_there_is_told_and_auto_does_without() -> None:
    with pytest.raises(DeviceError, match="--device cpu"):
        TorchDevice("cuda")
    assert not TorchDevice("auto").is_card
    with pytest.raises(DeviceError, match="graphics cards"):
        TorchDevice("auto", "graphs")


def test_an_error_of_the_processor_loses_nothing() -> None:
    device = TorchDevice("cpu")
    assert not device.is_lost(RuntimeError("CUDA error: an illegal memory access"))
    device.recover(RuntimeError("not enough memory"))


@pytest.mark.skipif(not CARD, reason="No graphics card here: its ways were not tried.")
@pytest.mark.parametrize("how", ["eager", "graphs"])
def test_a_card_gives_what_the_processor_gives(how: str) -> None:
    card = TorchDevice("cuda", "graphs" if how == "graphs" else "eager")
    model = card.place(Sums())
    for rows in (1, 8, 9, 200, 3):
        found = model.run(joined(card, rows))["sum"]
        assert np.allclose(found, np.arange(rows) + 1)
    assert card.is_lost(RuntimeError("CUDA error: device-side assert triggered"))
    assert not card.is_lost(torch.OutOfMemoryError("CUDA out of memory"))
