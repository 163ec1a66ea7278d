"""What a running server uses: as the records say, without a gap, and back when a budget breaks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trio
import trio.testing
from model_samples import SIGNATURE, write_sample

from atrium_server.deployment import BUDGETS_S, DRIFT_PSI, MISSING, Deployment, Hooks
from atrium_server.inference.batcher import Job
from atrium_server.inference.outcomes import LaneError, Outcome, Status
from atrium_server.inference.slots import Loaded, Slots
from atrium_server.inference.worker import BatchRun, Ended, Work
from atrium_server.persistence.memory_models import MemoryModels
from atrium_server.persistence.model_rows import Op, Stage
from atrium_server.registry.builtins import Builtins
from atrium_server.registry.catalogue import Catalogue, Who
from atrium_server.registry.drift import reference_of
from atrium_server.registry.files import ObjectFiles
from atrium_server.registry.packages import Package
from atrium_server.registry.signature import Field, Signature
from atrium_server.registry.stages import Order
from atrium_server.telemetry import Registry

ME = Who("me")


class Still:
    """A model that is never run."""

    signature = SIGNATURE

    def run(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        raise AssertionError


class Server:
    """A deployment with a catalogue and a pretended lane."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.now_s = 0.0
        self.catalogue = Catalogue(
            MemoryModels(lambda: 1_900_000_000.0), ObjectFiles(folder / "models"), Builtins(),
            lambda: 1_900_000_000.0,
        )
        self.slots = Slots()
        self.loads: list[str] = []
        self.retired: list[str] = []
        self.fails: set[str] = set()
        self.while_loading: Any = None
        self.metrics = Registry()
        self.expected = {"sample": SIGNATURE}
        self.deployment = Deployment(
            self.catalogue, self.slots,
            Hooks(self.load, lambda loaded: self.retired.append(loaded.version),
                  lambda: self.now_s),
            self.expected, self.metrics,
        )

    async def load(self, package: Package) -> Loaded:
        await trio.lowlevel.checkpoint()
        version = package.document.version
        if version in self.fails:
            raise LaneError(Status.FAILED)
        if self.while_loading is not None:
            self.while_loading()
        self.loads.append(version)
        return Loaded("sample", version, Still())

    async def order(self, op: Op, version: str = "", **values: Any) -> bool:
        """Do it and follow; whether all is in use."""
        if op is Op.PUBLISH:
            write_sample(self.folder / version, version, **values)
            await self.catalogue.publish(self.folder / version, ME)
        else:
            await self.catalogue.order("sample", Order(op, version, has_passed=True, **values), ME)
        return await self.deployment.follow(await self.catalogue.standing("sample"))

    @property
    def used(self) -> tuple[str | None, ...]:
        slot = self.slots.of("sample")
        return tuple(
            each.version if each else None for each in (slot.live, slot.canary, slot.shadow))

    def ended(self, version: str, status: Status, rows: int = 50, took_s: float = 0.001) -> None:
        """A batch of a version in use came to this."""
        loaded, = (each for each in self.slots.all() if each.version == version)
        job = Job(2, loaded, rows, 0.0, 1.0)
        work = Work(job, loaded, {}, lambda outcome: None)
        batch = BatchRun(loaded.label, 2, rows, took_s, status is Status.FAILED)
        self.deployment.observe(Ended([(work, Outcome(status))], batch))


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


async def two(server: Server) -> None:
    for version in ("1", "2"):
        await server.order(Op.PUBLISH, version)
    await server.order(Op.PROMOTE, "1")


async def test_versions_come_into_use_and_go(server: Server) -> None:
    await two(server)
    assert server.used == ("1", None, None)
    await server.order(Op.SHADOW, "2")
    assert server.used == ("1", None, "2")
    await server.order(Op.CANARY, "2", share=0.3)
    assert server.used == ("1", "2", None)
    assert server.slots.of("sample").canary_share == 0.3
    await server.order(Op.PROMOTE, "2")
    assert server.used == ("2", None, None)
    assert server.slots.of("sample").canary_share == 0
    assert server.loads == ["1", "2"], "a version that changes its stage is not loaded again"
    assert server.retired == ["1"]
    await server.order(Op.ROLLBACK)
    assert server.used == ("1", None, None)
    assert server.loads == ["1", "2", "1"]
    assert server.retired == ["1", "2"]


async def test_what_cannot_be_loaded_leaves_what_answers(server: Server) -> None:
    await two(server)
    server.fails.add("2")
    assert not await server.order(Op.CANARY, "2")
    assert server.used == ("1", None, None)
    assert not await server.order(Op.PROMOTE, "2")
    assert server.used == ("1", None, None)
    assert f'{MISSING}{{model="sample"}} 1' in server.metrics.render()
    server.fails.clear()
    assert await server.deployment.follow(await server.catalogue.standing("sample"))
    assert server.used == ("2", None, None)
    assert server.retired == ["1"]


async def test_a_version_with_another_signature_is_not_used(server: Server) -> None:
    await two(server)
    server.expected["sample"] = Signature(
        SIGNATURE.inputs, (Field("scores", "float32", (7,)),))
    assert not await server.order(Op.SHADOW, "2")
    assert server.used == ("1", None, None)
    assert server.loads == ["1"]


async def test_what_the_lane_mended_meanwhile_stays(server: Server) -> None:
    await two(server)
    broken = server.slots.of("sample").live
    assert broken is not None
    mended = Loaded("sample", "1", Still())
    server.while_loading = lambda: server.slots.replace(broken, mended)
    await server.order(Op.CANARY, "2")
    assert server.slots.of("sample").live is mended


async def test_a_broken_budget_takes_a_canary_back_for_all(
    server: Server, autojump_clock: trio.testing.MockClock
) -> None:
    await two(server)
    await server.order(Op.CANARY, "2")
    for number in range(20):
        server.now_s = number * 0.1
        server.ended("1", Status.DONE)
        server.ended("2", Status.FAILED)
    await watched(server)
    standing = await server.catalogue.standing("sample")
    assert (standing.live, standing.at(Stage.CANARY)) == ("1", None)
    (change,) = await server.catalogue.history("sample", 1)
    assert (change.op, change.actor, change.version) == (Op.DEMOTE, "server", "2")
    assert "Of 1,000 rows that sample@2 was asked" in change.why


async def test_a_live_version_is_rolled_back_and_the_last_one_stays(
    server: Server, autojump_clock: trio.testing.MockClock
) -> None:
    await two(server)
    await server.order(Op.PROMOTE, "2")
    for _ in range(10):
        server.ended("2", Status.LATE)
    await watched(server)
    standing = await server.catalogue.standing("sample")
    assert standing.live == "1"
    await server.deployment.follow(standing)
    for _ in range(30):
        server.ended("1", Status.DONE, took_s=0.5)
    await watched(server)
    assert (await server.catalogue.standing("sample")).live == "1"


async def watched(server: Server) -> None:
    """Long enough for two looks."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.deployment.keep_budgets)
        await trio.sleep(2.5 * BUDGETS_S)
        nursery.cancel_scope.cancel()


async def test_versions_that_are_not_in_use_count_against_nobody(server: Server) -> None:
    loaded = Loaded("sample", "9", Still())
    work = Work(Job(6, loaded, 500, 0.0, 1.0), loaded, {}, lambda outcome: None)
    server.deployment.observe(
        Ended([(work, Outcome(Status.FAILED))], BatchRun(loaded.label, 6, 500, 9.0, True)))
    server.deployment.saw(loaded, np.zeros((5, 6), np.float32), np.zeros(5, np.int64))
    assert server.slots.all() == []


async def test_drift_is_told(server: Server, autojump_clock: trio.testing.MockClock) -> None:
    chance = np.random.default_rng(1)
    sizes = chance.integers(20, 200, 2_000)
    then = reference_of(chance.beta(1, 9, (2_000, 6)).astype(np.float32), sizes)
    await server.order(Op.PUBLISH, "1", reference=then)
    await server.order(Op.PROMOTE, "1")
    live = server.slots.of("sample").live
    assert live is not None
    server.deployment.saw(live, chance.beta(9, 1, (2_000, 6)).astype(np.float32), sizes)
    await watched(server)
    told = [line for line in server.metrics.render().splitlines() if line.startswith(DRIFT_PSI)]
    assert len(told) == 7
    psi = {line.split('field="')[1].split('"')[0]: float(line.split()[-1]) for line in told}
    assert psi.pop("sizes") < 0.01
    assert all(each > 1 for each in psi.values())
