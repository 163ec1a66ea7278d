"""A scenario with two servers that want the same world."""

from __future__ import annotations

import asyncio
import signal
import uuid
from typing import Any

import asyncpg
import trio

from atrium_server.persistence.store import LEASE_S
from chaos.audit import late_writes
from chaos.clients import Builder, Crowd
from chaos.memory import Habits, Whereabouts
from chaos.servers import Server, ServerFailed, kept_at, open_server, until
from chaos.stage import IN_S_MAX, REST_S_MAX, Stage, open_foreign

KEY = "a key that both servers were given"
REFUSED_S_MAX = LEASE_S + 60.0
TAKEOVER_S_MAX = LEASE_S + 60.0
LOST_S_MAX = 30.0
LINK_S_MAX = 150.0
"""A link to the frozen server is held for this long: its people wait to see what becomes of it."""
ALONE_S = 3.0
"""How long the second server is alone with the world."""
FREEZES_MAX = 1_000
LOOKS, LOOK_S = 3, 0.05
_IN_A_TRANSACTION = """
    SELECT count(*) FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE relation = 'world'::regclass AND mode = 'RowExclusiveLock' AND granted
        AND state LIKE 'idle in transaction%'
"""


async def two_servers(stage: Stage) -> None:
    """A second server is refused; it takes over from a frozen one, which can write no more."""
    async with (
        open_foreign(stage) as (foreign, nursery),
        open_server(stage.folder, "first", foreign.url, KEY) as first,
        open_server(stage.folder, "second", foreign.url, KEY) as second,
        open_server(stage.folder, "first", foreign.url, KEY) as twin,
    ):
        crowd = stage.crowd(nursery, Habits(silence_s=LINK_S_MAX))
        await stage.begin(first, crowd)
        stage.say(0, 4, "a second server is told to wait")
        await _is_refused(stage, twin, "in use by another server")
        await _is_refused(stage, second, "belongs to the server")
        stage.say(1, 4, "the first one is frozen in the middle of a commit")
        await _freeze_in_a_commit(first, foreign.url)
        stage.kills = 1
        half = len(crowd.builders) // 2
        stayers, movers = crowd.builders[:half], crowd.builders[half:]
        began = trio.current_time()
        with trio.fail_after(TAKEOVER_S_MAX):
            address = await second.start()
        stage.notes.append(f"taken over after {trio.current_time() - began:.1f} s")
        takeover = (await kept_at(foreign.url)).version
        stage.say(2, 4, "the second one has the world")
        await _move(crowd, movers, address)
        await trio.sleep(ALONE_S)
        first.send(signal.SIGCONT)
        try:
            await until(lambda: "is lost" in first.last_words(), LOST_S_MAX)
            await crowd.bell.until(lambda: not any(one.wire for one in stayers), LOST_S_MAX)
        finally:
            late = late_writes(await kept_at(foreign.url), takeover, _sessions_of(stayers))
            stage.verdict.late += late
        stage.say(3, 4, "the first one is fenced, and its people come over")
        crowd.where.tell(address)
        await crowd.all_in(IN_S_MAX)
        await crowd.more_durable(stage.builders, IN_S_MAX)
        await crowd.rest(REST_S_MAX)
        await stage.audit(foreign.url, crowd)
        stage.check(stage.unresumed == 0, f"{stage.unresumed} could not go on at the second one")


async def _is_refused(stage: Stage, server: Server, words: str) -> None:
    with trio.fail_after(REFUSED_S_MAX):
        try:
            await server.start()
        except ServerFailed:
            status = await server.ended()
            said = server.last_words()
            is_told = words in said and "Traceback" not in said
            stage.check(status != 0 and is_told, f"a start was refused with {said!r}")
        else:
            stage.check(False, "two servers run with the same world")
            await server.kill()


async def _freeze_in_a_commit(server: Server, url: str) -> None:
    """Its transaction then holds the row of the world, which the next owner has to wait for."""
    for _ in range(FREEZES_MAX):
        server.send(signal.SIGSTOP)
        looks = 0
        while await trio.to_thread.run_sync(asyncio.run, _value(url, _IN_A_TRANSACTION)):
            looks += 1  # at the first one it may still have a word on its way
            if looks == LOOKS:
                return
            await trio.sleep(LOOK_S)
        server.send(signal.SIGCONT)
        await trio.sleep(0.005)
    raise AssertionError("it was never seen in the middle of a commit")


async def _value(url: str, question: str) -> Any:
    connection: Any = await asyncpg.connect(url, timeout=30)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


async def _move(crowd: Crowd, movers: list[Builder], address: tuple[str, int]) -> None:
    """These give up on the frozen server; the others would find nobody if they did."""
    crowd.where.tell(None)
    there = Whereabouts()
    there.tell(address)
    for one in movers:
        one.where = there
        if one.wire is not None:
            await one.wire.aclose()
    await crowd.bell.until(lambda: all(one.wire and one.resumes for one in movers), IN_S_MAX)


def _sessions_of(builders: list[Builder]) -> set[uuid.UUID]:
    return {memory.uuid for one in builders for memory in one.memories}
