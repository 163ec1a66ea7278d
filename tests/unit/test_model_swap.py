"""Versions are swapped while everybody asks: each question is answered, by the version it was for.

With torch, files, records and the lane as a server has them; what ends a test is what was answered,
and never a time.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
import trio

pytest.importorskip("torch")

import torch

from atrium_server.deployment import Deployment, Hooks
from atrium_server.inference.classes import WorkClass
from atrium_server.inference.device import TorchDevice
from atrium_server.inference.lane import Lane
from atrium_server.inference.loading import load
from atrium_server.inference.models.text_head import KIND, TextHead, to_tensors
from atrium_server.inference.rows import example_rows
from atrium_server.inference.slots import Loaded
from atrium_server.persistence.memory_models import MemoryModels
from atrium_server.persistence.model_rows import Op
from atrium_server.registry.builtins import Builtins
from atrium_server.registry.catalogue import Catalogue, Who
from atrium_server.registry.files import ObjectFiles
from atrium_server.registry.packages import Package
from atrium_server.registry.stages import Order
from atrium_server.registry.writing import Card, write_version

ME = Who("me")
LONG_S = 600.0
ASKERS = 8
LABELS = 2


def write(folder: Path, version: str, score: float) -> Path:
    """A version that gives everything the same score."""
    head = TextHead(LABELS, LABELS, has_hidden=False)
    with torch.no_grad():
        head.table.weight.zero_()
        head.bias.fill_(float(torch.logit(torch.tensor(score))))
    write_version(folder / version, Card(
        "sample", version, KIND, head.signature, "2031-01-02", settings={"labels": ["a", "b"]},
    ), to_tensors(head))
    return folder / version


class Server:
    """What a server has of models, and people who ask all the time."""

    def __init__(self, folder: Path) -> None:
        self.catalogue = Catalogue(
            MemoryModels(lambda: 1_900_000_000.0), ObjectFiles(folder / "models"), Builtins(),
            lambda: 1_900_000_000.0,
        )
        self.device = TorchDevice("cpu")
        self.lane = Lane(self.device)
        self.deployment = Deployment(
            self.catalogue, self.lane.slots, Hooks(self.load, self.lane.retire))
        self.answers: list[tuple[str, str, float]] = []
        """Who asked, which version answered, and what it said."""
        self.heard = trio.Event()

    async def load(self, package: Package) -> Loaded:
        loaded = await trio.to_thread.run_sync(load, package, self.device)
        await self.lane.warm(loaded)
        return loaded

    async def order(self, op: Op, version: str = "", share: float = 0.05) -> None:
        await self.catalogue.order("sample", Order(op, version, share, has_passed=True), ME)
        assert await self.deployment.follow(await self.catalogue.standing("sample"))

    async def asker(self, who: str) -> None:
        slot = self.lane.slots.of("sample")
        while True:
            loaded = slot.choose(who)
            assert loaded is not None
            rows = example_rows(loaded.model.signature, 3)
            # Raises for what is dropped, late, shed or failed, which ends the test.
            outcome = await self.lane.ask(
                loaded, rows, work=WorkClass.MODERATION, deadline_s=LONG_S)
            assert outcome.version == loaded.label
            self.answers.append((who, loaded.version, float(outcome.outputs["scores"].mean())))
            self.heard.set()
            self.heard = trio.Event()

    async def until_everybody_asked(self) -> dict[str, str]:
        """Who is answered by which version from now on."""
        start = len(self.answers) + ASKERS  # what was under way may be of before
        while True:
            found = {who: version for who, version, _ in self.answers[start:]}
            if len(found) == ASKERS:
                return found
            await self.heard.wait()


@asynccontextmanager
async def asked(server: Server) -> AsyncGenerator[None]:
    async with trio.open_nursery() as nursery:
        await nursery.start(server.lane.run)
        await server.order(Op.PROMOTE, "1")
        for number in range(ASKERS):
            nursery.start_soon(server.asker, f"person {number}")
        yield
        nursery.cancel_scope.cancel()


async def test_versions_are_swapped_while_everybody_asks(tmp_path: Path) -> None:
    server = Server(tmp_path)
    scores = {"1": 0.25, "2": 0.75}
    for version, score in scores.items():
        await server.catalogue.publish(write(tmp_path, version, score), ME)
    async with asked(server):
        assert set((await server.until_everybody_asked()).values()) == {"1"}
        await server.order(Op.CANARY, "2", share=0.5)
        canary = await server.until_everybody_asked()
        assert set(canary.values()) == {"1", "2"}
        assert await server.until_everybody_asked() == canary, "always the same people"
        await server.order(Op.PROMOTE, "2")
        assert set((await server.until_everybody_asked()).values()) == {"2"}
        await server.order(Op.ROLLBACK)
        assert set((await server.until_everybody_asked()).values()) == {"1"}
    for _, version, score in server.answers:
        assert np.isclose(score, scores[version], atol=1e-3)
    assert server.lane.restarts == 0
