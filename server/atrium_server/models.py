"""Versions of models made runnable on a lane, and made anew when they fail.

A version is built in a worker thread and warmed on the lane beside those that answer. Which of them
answers is for the `deployment` to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from atrium_server.inference.lane import Lane
from atrium_server.inference.outcomes import LaneError
from atrium_server.inference.slots import Loaded
from atrium_server.registry.packages import Package

if TYPE_CHECKING:
    from atrium_server.inference.device import TorchDevice

class Models:
    """Those of one lane."""

    def __init__(self, lane: Lane, device: TorchDevice) -> None:
        self._lane = lane
        self._device = device
        self._packages: dict[str, Package] = {}
        """What is in use, by label, to be built again from."""
        lane.reload = self._load_anew

    async def load(self, package: Package) -> Loaded:
        """A version, built and warm, not in use yet. Raises ModelError and LaneError."""
        # Imported here: with it comes torch.
        from atrium_server.inference.loading import load

        loaded = await trio.to_thread.run_sync(load, package, self._device)
        try:
            await self._lane.warm(loaded)
        except LaneError:
            self._lane.retire(loaded)
            raise
        self._packages[loaded.label] = package
        return loaded

    def retire(self, loaded: Loaded) -> None:
        """A version is in use no more."""
        self._lane.retire(loaded)
        in_use = {each.label for each in self._lane.slots.all()}
        for label in self._packages.keys() - in_use:
            del self._packages[label]

    async def _load_anew(self, old: Loaded) -> Loaded:
        """It failed, or its thread or device is gone."""
        return await self.load(self._packages[old.label])
