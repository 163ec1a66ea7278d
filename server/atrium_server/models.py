"""The versions of models that are in use in this server: loaded, warmed, swapped, loaded anew.

A version is read and built in a worker thread, warmed on the lane beside the one that answers, and
put in its place by one assignment; the old one is let go when its last job has run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from atrium_server.inference.lane import Lane
from atrium_server.inference.slots import Loaded
from atrium_server.registry.packages import Package, unpack
from atrium_server.registry.sources import open_source

if TYPE_CHECKING:
    from atrium_server.inference.device import TorchDevice

BUILTIN: Final = Path(__file__).parent / "inference" / "builtin"


def builtin() -> list[Package]:
    """The versions that come with Atrium. Blocks; raises ModelError."""
    packages: list[Package] = []
    for path in sorted(BUILTIN.glob("*.json")):
        with open_source(path) as source:
            packages.append(unpack(source.document, source.read))
    return packages


class Models:
    """Those of one lane."""

    def __init__(self, lane: Lane, device: TorchDevice) -> None:
        self._lane = lane
        self._device = device
        self._packages: dict[str, Package] = {}
        """What is in use, by label, to be built again from."""
        lane.reload = self._load_anew

    async def load(self, package: Package) -> tuple[Loaded, dict[int, float]]:
        """A version, built and warm, and what it takes in seconds by rows; not in use yet.

        Raises ModelError and LaneError.
        """
        # Imported here: with it comes torch.
        from atrium_server.inference.loading import load

        loaded = await trio.to_thread.run_sync(load, package, self._device)
        took = await self._lane.warm(loaded)
        self._packages[loaded.label] = package
        return loaded, took

    async def put_to_use(self, package: Package) -> None:
        """This version answers from now on. Raises ModelError and LaneError."""
        loaded, _ = await self.load(package)
        slot = self._lane.slots.of(loaded.name)
        old, slot.live = slot.live, loaded
        if old is not None:
            self._lane.retire(old)
            if old.label != loaded.label:
                self._packages.pop(old.label, None)

    async def _load_anew(self, old: Loaded) -> Loaded:
        """It failed, or its thread or device is gone."""
        loaded, _ = await self.load(self._packages[old.label])
        return loaded
