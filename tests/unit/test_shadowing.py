"""A version in the stage `shadow` is asked after the live one, and only compared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import trio

from atrium_server.inference.classes import WorkClass
from atrium_server.inference.lane import Lane
from atrium_server.inference.outcomes import Outcome, Status
from atrium_server.inference.rows import Array
from atrium_server.inference.slots import Loaded
from atrium_server.inference.worker import Device, Ended
from atrium_server.registry.signature import Field, Signature
from atrium_server.shadowing import APART, ROWS_TOTAL, Shadowing
from atrium_server.telemetry import Registry

INPUTS = (Field("x", "float32", (2,)),)


class Scores:
    """Says what comes in, moved by so much."""

    def __init__(self, moved: float, width: int = 2) -> None:
        self.signature = Signature(INPUTS, (Field("scores", "float32", (width,)),))
        self.moved, self.rows = moved, 0
        self.error: Exception | None = None

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        self.rows += len(inputs["x"])
        if self.error is not None:
            raise self.error
        return {"scores": inputs["x"] + np.float32(self.moved)}


class Bench:
    """A lane with a live version and a shadow."""

    def __init__(self, shadow: Any) -> None:
        self.observers: list[Any] = []
        self.lane = Lane(Device(), lambda ended: [each(ended) for each in self.observers] and None)
        self.registry = Registry()
        self.observers.append(Shadowing(self.lane, self.registry).observe)
        self.live, self.shadow = Scores(0.0), shadow
        slot = self.lane.slots.of("m")
        slot.live, slot.shadow = Loaded("m", "1", self.live), Loaded("m", "2", shadow)

    async def ask(self, *rows: tuple[float, float], work: WorkClass = WorkClass.ANIMATION) -> Any:
        ended = trio.Event()

        def seen(what: Ended) -> None:
            if any(each.loaded.version == "2" for each, _ in what.outcomes):
                ended.set()

        self.observers.append(seen)
        outcome = await self.lane.ask(
            self.lane.slots.of("m").live, {"x": np.array(rows, np.float32)}, work=work,
            deadline_s=60.0,
        )
        with trio.move_on_after(20 if self.live.signature == self.shadow.signature else 0.2):
            await ended.wait()
        await trio.testing.wait_all_tasks_blocked()
        return outcome.outputs["scores"].tolist()

    def told(self, name: str) -> list[str]:
        return [line for line in self.registry.render().splitlines() if line.startswith(name)]


async def test_answers_are_the_live_ones_and_both_are_compared() -> None:
    bench = Bench(Scores(0.25))
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.lane.run)
        found = await bench.ask((0.1, 0.2), (0.3, 0.9), (0.6, 0.7))
        assert np.allclose(found, [[0.1, 0.2], [0.3, 0.9], [0.6, 0.7]])
        assert bench.shadow.rows == 3
        told = bench.told(ROWS_TOTAL)
        assert any('outcome="differs"' in line and line.endswith(" 1") for line in told), told
        assert any('outcome="same"' in line and line.endswith(" 2") for line in told), told
        (apart,) = bench.told(APART)
        assert abs(float(apart.split()[-1]) - 0.25) < 1e-6
        nursery.cancel_scope.cancel()


async def test_what_is_compared_or_made_up_is_not_compared_again() -> None:
    bench = Bench(Scores(0.0))
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.lane.run)
        slot = bench.lane.slots.of("m")
        for work in (WorkClass.SHADOW, WorkClass.WARMING):
            await bench.lane.ask(
                slot.live, {"x": np.zeros((2, 2), np.float32)}, work=work, deadline_s=60.0
            )
        await trio.testing.wait_all_tasks_blocked()
        assert bench.shadow.rows == 0
        nursery.cancel_scope.cancel()


async def test_a_shadow_that_fails_or_is_another_kind_harms_nobody() -> None:
    failing = Scores(0.0)
    failing.error = ValueError("it cannot")
    bench = Bench(failing)
    async with trio.open_nursery() as nursery:
        await nursery.start(bench.lane.run)
        assert np.allclose(await bench.ask((0.5, 0.25)), [[0.5, 0.25]])
        assert any('outcome="failed"' in line for line in bench.told(ROWS_TOTAL))
        nursery.cancel_scope.cancel()
    other = Bench(Scores(0.0, width=1))
    async with trio.open_nursery() as nursery:
        await nursery.start(other.lane.run)
        slot = other.lane.slots.of("m")
        done: list[Outcome] = []
        other.lane.submit(slot.live, {"x": np.zeros((1, 2), np.float32)}, done.append,
                          work=WorkClass.ANIMATION)
        while not done:
            await trio.testing.wait_all_tasks_blocked()
        assert done[0].status is Status.DONE
        assert other.shadow.rows == 0
        assert not other.told(ROWS_TOTAL)
        nursery.cancel_scope.cancel()
