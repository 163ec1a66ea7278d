"""What all scenarios have: a folder, chance, a crowd, and a verdict at the end."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import trio

from chaos.audit import Told, Verdict, compare
from chaos.clients import Crowd
from chaos.memory import Habits
from chaos.servers import Foreign, Server, kept_at, open_server, write_world

IN_S_MAX = 40.0
"""Until everybody is in (again) after the server is ready."""
AT_LAST_S_MAX = 30.0
REST_S_MAX = 60.0
"""Until everybody knows the fate of all that was asked."""


def _nobody_listens(done: int, of: int, words: str) -> None:
    return None


@dataclass
class Stage:
    """One scenario that is being tried."""

    name: str
    seed: int
    builders: int = 80
    rounds: int = 20
    """How often something is broken."""
    outage_s: float = 30.0
    say: Callable[[int, int, str], None] = _nobody_listens
    """(rounds done, of how many, words): how far it is."""
    kills: int = 0
    resumes: int = 0
    unresumed: int = 0
    seconds: float = 0.0
    verdict: Verdict = field(default_factory=Verdict)
    notes: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.chance = random.Random(f"{self.seed}/{self.name}")
        self.folder = Path()
        self._is_audited = False
        self._crowds: list[Crowd] = []

    def check(self, holds: bool, sentence: str) -> None:
        """Something that must hold besides the audit; `sentence` says what does not."""
        if not holds:
            self.verdict.wrong.append(sentence)

    @asynccontextmanager
    async def open_folder(self) -> AsyncGenerator[Path]:
        """For servers and databases; whoever Postgres runs as can pass through it."""
        self.folder = Path(tempfile.mkdtemp(prefix="atrium-chaos-", dir="/tmp"))
        self.folder.chmod(0o711)
        write_world(self.folder, seats=40)
        began = trio.current_time()
        is_over = False
        try:
            yield self.folder
            is_over = True
        finally:
            self.seconds = trio.current_time() - began
            if is_over and self.verdict.is_good:
                shutil.rmtree(self.folder)
            else:
                self.notes.append(f"data and logs are in {self.folder}")

    def crowd(self, nursery: trio.Nursery, habits: Habits | None = None) -> Crowd:
        """Nobody yet; its people come and build as chance has it."""
        self._crowds.append(Crowd(nursery, random.Random(self.chance.getrandbits(64)), habits))
        return self._crowds[-1]

    async def begin(self, server: Server, crowd: Crowd, builders: int | None = None) -> None:
        """The server runs, everybody is in and builds, and something is saved."""
        crowd.where.tell(await server.start())
        crowd.add(self.builders if builders is None else builders)
        await crowd.all_in(IN_S_MAX)
        crowd.build()
        await crowd.more_durable(1, IN_S_MAX)

    async def audit(self, url: str, *crowds: Crowd) -> None:
        """Compare all that these were told with the database; once."""
        self._is_audited = True
        told = (
            Told((memory.uuid, number), asked.edit, asked.state)
            for crowd in crowds for memory in crowd.memories()
            for number, asked in memory.asked.items()
        )
        self.verdict.add(compare(told, await kept_at(url)))
        for crowd in crowds:
            self.verdict.wrong += crowd.contradictions
            self.resumes += crowd.resumes
            self.unresumed += crowd.unresumed

    async def audit_at_last(self, url: str) -> None:
        """After a scenario that broke off: what was told by then must hold all the same."""
        if not self._is_audited:
            with trio.move_on_after(AT_LAST_S_MAX, shield=True):
                try:
                    await self.audit(url, *self._crowds)
                except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                    self.notes.append(f"nothing could be audited: {error!r}")


@asynccontextmanager
async def open_house(
    stage: Stage, habits: Habits | None = None
) -> AsyncGenerator[tuple[Server, Crowd]]:
    """A server with a Postgres of its own, and a crowd."""
    async with stage.open_folder() as folder, trio.open_nursery() as nursery:
        async with open_server(folder, "house") as server:
            try:
                yield server, stage.crowd(nursery, habits)
            finally:
                await stage.audit_at_last(server.dsn)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_foreign(stage: Stage) -> AsyncGenerator[tuple[Foreign, trio.Nursery]]:
    """A Postgres that is not the server's, up and with tables."""
    async with stage.open_folder() as folder, trio.open_nursery() as nursery:
        foreign = Foreign(folder / "foreign", nursery)
        await foreign.start()
        try:
            yield foreign, nursery
        finally:
            await stage.audit_at_last(foreign.url)
        nursery.cancel_scope.cancel()
