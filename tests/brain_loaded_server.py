"""A server whose lane can be kept busy in many ways, for `brain_load`.

    python tests/brain_loaded_server.py serve ...

It is the server as it is, with all its settings, and beside it a task that reads words from
standard input: each names the work that the lane is given from then on. The work comes from within
the process, so nothing is measured but what it costs the ticks.

    quiet     none
    chat      2,000 lines of chat each second
    lines     as many lines as can be judged: folding, word lists and n-grams, and Python for each
    matrix    products of matrices, always more than the lane can do
    python    a model that computes in Python, always more than the lane can do
    overload  twice of what the lane can do, in equal parts of all classes
    swaps     chat as above, and a new version of the model twice a second
"""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import trio

from atrium_server import app
from atrium_server.__main__ import main
from atrium_server.brain import Brain, open_brain
from atrium_server.config import Config
from atrium_server.inference.classes import RULES, WorkClass
from atrium_server.inference.device import TorchDevice
from atrium_server.inference.lane import Lane
from atrium_server.inference.loading import load
from atrium_server.inference.outcomes import Outcome
from atrium_server.inference.rows import Array, Rows
from atrium_server.inference.slots import Loaded
from atrium_server.moderation.policy import POLICIES, PolicyName
from atrium_server.moderator import MODEL, Case
from atrium_server.persistence.database import Database
from atrium_server.registry.opening import adopt, open_catalogue
from atrium_server.registry.packages import Package
from atrium_server.registry.signature import Field, Signature
from atrium_server.telemetry import Registry
from atrium_server.training import generated

STANDARD: Final = POLICIES[PolicyName.STANDARD]
CHAT_PER_S: Final = 2_000
PULSE_S: Final = 0.05
PEOPLE: Final = 50_000
"""So many that nobody says much: who floods a channel is refused before the model is asked."""
AHEAD_LINES: Final = 512
AHEAD_JOBS: Final = 16
JOB_ROWS: Final = 256
WIDTH: Final = 512
OVERLOAD_PER_S: Final = 2.0
SWAP_S: Final = 0.5
_SPINS: Final = 400
"""Of Python, for each row: about 20 microseconds."""
SIGNATURE: Final = Signature((Field("x", "float32", (WIDTH,)),), (Field("y", "float32"),))


class Products:
    """A network as wide as those that move bodies: two matrices for each row."""

    signature = SIGNATURE

    def __init__(self) -> None:
        self._a, self._b = (torch.randn(WIDTH, WIDTH) / WIDTH**0.5 for _ in range(2))

    def run(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """All rows of a batch."""
        return {"y": torch.tanh(torch.tanh(inputs["x"] @ self._a) @ self._b).sum(dim=1)}

    def to(self, device: torch.device) -> Products:
        """It stays where it is."""
        return self


class Spins:
    """What a careless model does: Python, for each row."""

    signature = SIGNATURE

    def run(self, inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """All rows of a batch."""
        count = len(inputs["x"])
        number = 1
        for _ in range(count * _SPINS):
            number = (number * 31 + 7) % 1_000_003
        return {"y": np.full(count, number, np.float32)}


class Work:
    """Keeps a lane as busy as it is told to."""

    def __init__(self, brain: Brain, lane: Lane) -> None:
        self._brain, self._lane = brain, lane
        made = generated.lines("benign", 4_000, 1) + generated.lines("insult", 400, 1)
        self._lines = ((k, f"{line} {k}") for k, line in enumerate(itertools.cycle(made)))
        self._rows: Rows = {
            "x": np.random.default_rng(1).standard_normal((JOB_ROWS, WIDTH), dtype=np.float32)
        }
        self._kinds: dict[str, Callable[[trio.CancelScope], Any]] = {
            "quiet": self._quiet, "chat": self._chat, "lines": self._flood,
            "matrix": self._matrix, "python": self._python, "overload": self._overload,
            "swaps": self._swaps,
        }

    async def run(self) -> None:
        """Until standard input ends."""
        # Built and warm before the first window, as models are before they are used.
        self.products = Loaded("products", "1", TorchDevice("cpu").place(Products()))
        self.spins = Loaded("spins", "1", Spins())
        for each in (self.products, self.spins):
            await self._lane.warm(each)
        self._package = await _package()
        async with trio.open_nursery() as nursery:
            scope = trio.CancelScope()
            words = trio.lowlevel.FdStream(os.dup(0))
            text = b""
            async for data in words:
                *whole, text = (text + data).split(b"\n")
                for word in whole:
                    scope.cancel()
                    scope = trio.CancelScope()
                    nursery.start_soon(self._within, scope, word.decode())

    async def _within(self, scope: trio.CancelScope, kind: str) -> None:
        with scope:
            await self._kinds[kind](scope)

    # --- text --------------------------------------------------------------------------------

    async def _quiet(self, scope: trio.CancelScope) -> None:
        await trio.sleep_forever()

    async def _chat(self, scope: trio.CancelScope) -> None:
        due = trio.current_time()
        while True:
            self._consider(round(CHAT_PER_S * PULSE_S), lambda: None)
            due += PULSE_S
            await trio.sleep_until(due)

    async def _flood(self, scope: trio.CancelScope) -> None:
        """As a line is judged the next one comes; in handfuls, as ticks bring them."""
        wanted = trio.Event()
        under_way = 0

        def judged() -> None:
            nonlocal under_way
            under_way -= 1
            if under_way <= AHEAD_LINES // 2:
                wanted.set()

        while True:
            while under_way < AHEAD_LINES:
                under_way += 32
                self._consider(32, judged)
                await trio.lowlevel.checkpoint()
            wanted = trio.Event()
            await wanted.wait()

    def _consider(self, count: int, judged: Callable[[], None]) -> None:
        self._brain.moderator.consider([
            Case(line, STANDARD, lambda answer: None if answer.is_late else judged(),
                 f"person {k % PEOPLE}", f"place {k % PEOPLE}")
            for k, line in itertools.islice(self._lines, count)
        ])

    # --- numbers -----------------------------------------------------------------------------

    async def _matrix(self, scope: trio.CancelScope) -> None:
        self._saturate(self.products, scope)
        await trio.sleep_forever()

    async def _python(self, scope: trio.CancelScope) -> None:
        self._saturate(self.spins, scope)
        await trio.sleep_forever()

    def _saturate(self, loaded: Loaded, scope: trio.CancelScope) -> None:
        def again(outcome: Outcome) -> None:
            if not scope.cancel_called:
                self._lane.submit(
                    loaded, self._rows, again, work=WorkClass.PERCEPTION, deadline_s=60.0
                )

        for _ in range(AHEAD_JOBS):
            again(Outcome.__new__(Outcome))

    async def _overload(self, scope: trio.CancelScope) -> None:
        """Every class asks for as much as any other, and all together for too much."""
        took_s = (await self._lane.ask(
            self.products, self._rows, work=WorkClass.ANIMATION, deadline_s=60.0
        )).ran_s
        per_class_s = len(WorkClass) * took_s / OVERLOAD_PER_S
        due = trio.current_time()
        while True:
            for work in WorkClass:
                self._lane.submit(
                    self.products, self._rows, lambda outcome: None, work=work,
                    deadline_s=RULES[work].deadline_s,
                )
            due += per_class_s
            await trio.sleep_until(max(due, trio.current_time() + 0.001))

    # --- versions ----------------------------------------------------------------------------

    async def _swaps(self, scope: trio.CancelScope) -> None:
        slot, device = self._lane.slots.of(MODEL), TorchDevice("cpu")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._chat, scope)
            while True:
                await trio.sleep(SWAP_S)
                fresh = await trio.to_thread.run_sync(load, self._package, device)
                await self._lane.warm(fresh)
                old, slot.live = slot.live, fresh
                if old is not None:
                    self._lane.retire(old)


async def _package() -> Package:
    catalogue = await open_catalogue(Path("unused"), None)
    await adopt(catalogue, "this one")
    standing = await catalogue.standing(MODEL)
    assert standing.live is not None
    return await catalogue.load(MODEL, standing.live)


@asynccontextmanager
async def _open_loaded(
    config: Config, registry: Registry, database: Database | None
) -> AsyncGenerator[Brain]:
    async with open_brain(config, registry, database) as brain, trio.open_nursery() as nursery:
        assert brain.lane is not None
        nursery.start_soon(Work(brain, brain.lane).run)
        yield brain
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    app.open_brain = _open_loaded
    sys.exit(main())
