"""How long a version takes on this device: what the gate is told."""

from __future__ import annotations

import time
from typing import Final

import numpy as np

from atrium_server.inference.device import TorchDevice
from atrium_server.inference.loading import load
from atrium_server.inference.rows import example_rows
from atrium_server.inference.staging import Staging
from atrium_server.registry.gate import Timed
from atrium_server.registry.packages import Package

WARM_RUNS: Final = 5
RUNS: Final = 60


def time_version(package: Package, rows: int, device_name: str = "auto") -> Timed:
    """The 95th percentile of the time of a batch. Blocks for as long as RUNS batches take.

    Raises ModelError, and DeviceError where there is no such device.
    """
    device = TorchDevice(device_name)
    model = load(package, device).model
    inputs = Staging().join(model.signature, [(example_rows(model.signature, rows), 0, rows)])
    for _ in range(WARM_RUNS):
        model.run(inputs)
    took_ms: list[float] = []
    for _ in range(RUNS):
        began = time.perf_counter()
        model.run(inputs)
        took_ms.append((time.perf_counter() - began) * 1_000)
    return Timed(device.name, rows, round(float(np.percentile(took_ms, 95)), 3))
