"""Scenarios in which something dies, or a word gets lost, again and again."""

from __future__ import annotations

import os
import signal

import trio
from records import open_proxy

from atrium_server.persistence import embedded
from chaos.clients import Crowd
from chaos.servers import Server, open_server, until
from chaos.stage import IN_S_MAX, REST_S_MAX, Stage, open_foreign, open_house

LIFE_S_MIN, LIFE_S_MAX = 0.1, 1.2
"""How long all is well between two blows."""
EARLY_SHARE = 0.25
"""Blows that fall before the last one is got over."""
START_S = 2.5
"""What a start takes, about: an early blow falls within it."""
RECOVERY_S_MAX = 60.0


async def kill_server(stage: Stage) -> None:
    """kill -9 the server; its Postgres ends with it."""
    async with open_house(stage) as (server, crowd):
        await stage.begin(server, crowd)
        while stage.kills < stage.rounds:
            stage.say(stage.kills, stage.rounds, _words(crowd))
            await trio.sleep(stage.chance.uniform(LIFE_S_MIN, LIFE_S_MAX))
            crowd.where.tell(None)
            await server.kill()
            stage.kills += 1
            while stage.kills < stage.rounds and stage.chance.random() < EARLY_SHARE:
                await server.launch()
                await trio.sleep(stage.chance.uniform(0, START_S))
                await server.kill()
                stage.kills += 1
            crowd.where.tell(await server.start())
            await crowd.all_in(IN_S_MAX)
        await crowd.rest(REST_S_MAX)
        await stage.audit(server.dsn, crowd)


async def kill_postgres(stage: Stage) -> None:
    """kill -9 the server's own Postgres, which the server starts again.

    It does so RESTARTS_MAX times in a minute, so then the server itself is stopped in order, under
    load, and started again.
    """
    async with open_house(stage) as (server, crowd):
        await stage.begin(server, crowd)
        while stage.kills < stage.rounds:
            stage.say(stage.kills, stage.rounds, _words(crowd))
            if stage.kills and stage.kills % embedded.RESTARTS_MAX == 0:
                crowd.where.tell(None)
                await server.stop()
                crowd.where.tell(await server.start())
                await crowd.all_in(IN_S_MAX)
            await trio.sleep(stage.chance.uniform(LIFE_S_MIN, LIFE_S_MAX))
            await _kill_postmaster(server)
            stage.kills += 1
            if stage.chance.random() >= EARLY_SHARE:
                await crowd.more_durable(1, RECOVERY_S_MAX)
        await crowd.rest(REST_S_MAX)
        await stage.audit(server.dsn, crowd)


async def _kill_postmaster(server: Server) -> None:
    """And wait until there is another one."""
    pid = server.postmaster()
    assert pid is not None, "it was awaited after the blow before"
    os.kill(pid, signal.SIGKILL)
    await until(lambda: server.postmaster() not in (None, pid), RECOVERY_S_MAX)


async def cut(stage: Stage) -> None:
    """Cut the connection to Postgres at a COMMIT: as a rule it is done, and nobody is told so."""
    async with (
        open_foreign(stage) as (foreign, nursery),
        open_proxy(foreign.url) as (proxy, url),
        open_server(stage.folder, "house", url) as server,
    ):
        crowd = stage.crowd(nursery)
        await stage.begin(server, crowd)
        for number in range(stage.rounds):
            stage.say(number, stage.rounds, _words(crowd))
            proxy.drop = stage.chance.choice(("after", "after", "before"))
            await until(lambda: not proxy.drop, RECOVERY_S_MAX)
            await crowd.more_durable(1, RECOVERY_S_MAX)
            await trio.sleep(stage.chance.uniform(0, LIFE_S_MIN))
        await crowd.rest(REST_S_MAX)
        stage.kills = proxy.dropped
        stage.notes.append(f"{await server.retries()} commits were tried again")
        await stage.audit(foreign.url, crowd)


def _words(crowd: Crowd) -> str:
    told = ", ".join(f"{count:,} {state.name.lower()}" for state, count in crowd.heard.items())
    return f"{told}; {crowd.resumes:,} resumes"
