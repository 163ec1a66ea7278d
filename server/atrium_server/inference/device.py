"""Where models run: the processor, or a graphics card, through torch.

Theory of operation
-------------------
This is the lane's only way to torch, and it is imported only when the brain is on: importing torch
takes seconds and a hundred megabytes.

*Processor.* Batches run as they come, without padding. torch's own threads are one fewer than there
are processors, so that the tick keeps one.

*Graphics card.* Inputs are staged in page-locked memory, go over in a stream of the lane's own and
come back; the thread waits for that stream and nothing else. With `graphs`, batches
of a fixed shape are recorded once for each size of SHAPE_ROWS and replayed, the rows that are
missing being whatever was there before; their outputs are cut off. Bags have no fixed shape and run
as they come. A card that has failed once with an error that is not for want of memory is lost: its
context cannot be used again in this process.

*How.* `eager` runs modules as they are written, which needs no compiler; `compiled` has torch
compile them when they are first run, which is while they are warmed; `graphs` records them
(graphics cards only).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, Final, Literal, Protocol, cast

import numpy as np
import torch

from atrium_server.inference.rows import Array
from atrium_server.inference.worker import Device
from atrium_server.registry.signature import Signature

SHAPE_ROWS: Final = (8, 16, 32, 64, 128, 256, 512, 1024)
How = Literal["eager", "compiled", "graphs"]


class DeviceError(Exception):
    """The device that was asked for is not there; the message is a sentence."""


class Module(Protocol):
    """What each of `inference.models` makes: a network with named inputs and outputs."""

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        ...

    def run(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """All rows of a batch."""
        ...

    def to(self, device: torch.device) -> Any:
        """Move it there."""
        ...


class TorchDevice(Device):
    """A processor or a graphics card."""

    def __init__(self, name: str = "auto", how: How = "eager") -> None:
        """Args:
            name: `auto` (a graphics card if there is one), `cpu`, `cuda` or `cuda:N`.

        Raises DeviceError.
        """
        self.torch_device = _choose(name)
        self.is_card = self.torch_device.type == "cuda"
        self.shares_memory = not self.is_card
        if how == "graphs" and not self.is_card:
            raise DeviceError(
                "Recorded graphs are for graphics cards: leave --inference at eager or compiled."
            )
        self.how: How = how
        self._stream = torch.cuda.Stream(self.torch_device) if self.is_card else None
        if not self.is_card:
            torch.set_num_threads(max(1, processors() - 1))

    @property
    def name(self) -> str:
        """For people: `cpu`, or the card's own name."""
        if self.is_card:
            return f"{self.torch_device} ({torch.cuda.get_device_name(self.torch_device)})"
        return "cpu"

    def allocate(self, shape: tuple[int, ...], dtype: str) -> Array:
        """Memory to stage inputs in; page-locked where a card fetches from it."""
        if not self.is_card:
            return np.zeros(shape, dtype)
        pinned = torch.zeros(shape, dtype=getattr(torch, dtype), pin_memory=True)
        return pinned.numpy()

    def is_lost(self, error: BaseException) -> bool:
        """Whether the card cannot be used any more after such an error."""
        if not self.is_card or isinstance(error, torch.OutOfMemoryError):
            return False
        return "CUDA error" in str(error) or "device-side assert" in str(error)

    def recover(self, error: BaseException) -> None:
        """Give back what torch keeps for later: the next batch may need another size."""
        if self.is_card and isinstance(error, torch.OutOfMemoryError):
            torch.cuda.empty_cache()

    def place(self, module: Module) -> TorchModel:
        """Move a module here, and make it runnable."""
        module.to(self.torch_device)
        return TorchModel(module, self, self._stream)


class TorchModel:
    """A module on a device, as the worker runs it."""

    def __init__(
        self, module: Module, device: TorchDevice, stream: torch.cuda.Stream | None
    ) -> None:
        self._module = module
        self._device = device
        self._stream = stream
        self._graphs: dict[int, _Graph] = {}
        self._run = module.run
        self._is_recorded = device.how == "graphs" and not any(
            field.is_bag for field in module.signature.inputs
        )
        if device.how == "compiled":
            self._run = cast("Any", torch.compile)(module.run, dynamic=True)

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return self._module.signature

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """All rows of a batch. The outputs are good until the next one."""
        with torch.inference_mode():
            if self._stream is None:
                outputs = self._run({name: torch.from_numpy(x) for name, x in inputs.items()})
                return {name: _numpy(tensor) for name, tensor in outputs.items()}
            with torch.cuda.stream(self._stream):
                return self._run_on_card(inputs, self._stream)

    def _run_on_card(
        self, inputs: Mapping[str, Array], stream: torch.cuda.Stream
    ) -> Mapping[str, Array]:
        count = _rows(inputs)
        if self._is_recorded and count <= SHAPE_ROWS[-1]:
            outputs = self._graph_of(inputs, count).replay(inputs)
        else:
            device = self._device.torch_device
            outputs = self._run({
                name: torch.from_numpy(x).to(device, non_blocking=True)
                for name, x in inputs.items()
            })
        fetched = {
            name: tensor.to("cpu", non_blocking=True) for name, tensor in outputs.items()
        }
        stream.synchronize()
        return {name: _numpy(tensor)[:count] for name, tensor in fetched.items()}

    def _graph_of(self, inputs: Mapping[str, Array], count: int) -> _Graph:
        room = next(size for size in SHAPE_ROWS if size >= count)
        graph = self._graphs.get(room)
        if graph is None:
            graph = self._graphs[room] = _Graph(self._module, self._device, inputs, room)
        return graph


class _Graph:
    """A batch of one size, recorded on a card."""

    WARM_RUNS: Final = 3
    """Before recording: libraries choose and allocate in their first runs, which cannot be
    recorded (PyTorch documentation, "CUDA Graphs")."""

    def __init__(
        self, module: Module, device: TorchDevice, like: Mapping[str, Array], room: int
    ) -> None:
        self._inputs = {
            name: torch.zeros(
                (room, *x.shape[1:]), dtype=torch.from_numpy(x).dtype, device=device.torch_device
            )
            for name, x in like.items()
        }
        for _ in range(self.WARM_RUNS):
            module.run(self._inputs)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph, stream=torch.cuda.current_stream()):
            self._outputs = module.run(self._inputs)

    def replay(self, inputs: Mapping[str, Array]) -> Mapping[str, torch.Tensor]:
        """Run it on these rows; the rows behind them are those of earlier batches."""
        for name, x in inputs.items():
            self._inputs[name][:len(x)].copy_(torch.from_numpy(x), non_blocking=True)
        self._graph.replay()
        return self._outputs


def processors() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _choose(name: str) -> torch.device:
    match = re.fullmatch(r"auto|cpu|cuda(?::(\d{1,2}))?", name)
    if match is None:
        raise DeviceError(f"There is no device {name!r}: use auto, cpu, cuda or cuda:N.")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not there):
        return torch.device("cpu")
    number = int(match[1] or 0)
    if number >= there:
        why = "this build of torch is for the processor only"
        if torch.version.cuda is not None:
            why = f"torch sees {there} of them" if there else "torch sees none"
        raise DeviceError(
            f"There is no graphics card {number} for {name!r}: {why}. Use --device cpu, or auto to"
            " take a card when there is one."
        )
    return torch.device("cuda", number)


def _rows(inputs: Mapping[str, Array]) -> int:
    for name, x in inputs.items():
        if f"{name}_offsets" in inputs:
            continue
        return len(x) - 1 if name.endswith("_offsets") else len(x)
    raise ValueError("a batch without inputs")


def _numpy(tensor: torch.Tensor) -> Array:
    return tensor.float().numpy() if tensor.is_floating_point() else tensor.numpy()
