"""A scenario in which a full house comes back after a crash, each to where it was."""

from __future__ import annotations

import math
from dataclasses import dataclass

import trio

from atrium_client.body import root_of
from atrium_server.world.manifest import parse_manifest
from atrium_shared import pose
from chaos.clients import TRACK_S, Builder, Crowd
from chaos.memory import Habits
from chaos.servers import Server
from chaos.stage import IN_S_MAX, REST_S_MAX, Stage, open_house

GUESTS = 300
SITTERS = 40
EDITS_PER_S = 0.5
AVATARS_MAX = 16
SEEN_SHARE_MIN = 0.9
"""Names that somebody has seen again, of all."""
AWAY_M_MAX = 1.0
SIT_S_MAX = 20.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody was, by what the client said itself."""

    seat: tuple[float, float, float] | None
    track: list[tuple[float, float]]

    def is_near(self, x: float, z: float) -> bool:
        """Whether somebody was there in the last seconds."""
        spots = [(self.seat[0], self.seat[2])] if self.seat else self.track
        return any(math.dist(spot, (x, z)) <= AWAY_M_MAX for spot in spots)


async def resume(stage: Stage) -> None:
    """kill -9 a server with GUESTS people in it: they sit, walk and build."""
    habits = Habits(edits_per_s=EDITS_PER_S, walks=True, avatars_max=AVATARS_MAX)
    async with open_house(stage, habits) as (server, crowd):
        await stage.begin(server, crowd, GUESTS)
        seats = parse_manifest((stage.folder / "yard.toml").read_text(), "yard.toml").seats
        await _sit(stage, crowd, crowd.builders[:SITTERS])
        stage.say(0, 2, f"{GUESTS} people walk, sit and build")
        await trio.sleep(TRACK_S + stage.chance.uniform(1, 3))
        crowd.where.tell(None)
        places = [
            Place(
                seats[number].position if one.sits else None,
                [(x, z) for _, x, z in one.track],
            )
            for number, one in enumerate(crowd.builders)
        ]
        open_before = sum(len(memory.open) for memory in crowd.memories())
        await server.kill()
        stage.kills = 1
        stage.say(1, 2, "the server was killed")
        began = trio.current_time()
        await _come_back(server, crowd, began, stage)
        stage.notes.append(f"{open_before} edits were not answered yet")
        _check_places(stage, crowd, places)
        await crowd.rest(REST_S_MAX)
        _check_names(stage, crowd)
        await stage.audit(server.dsn, crowd)
        stage.check(stage.unresumed == 0, f"{stage.unresumed} sessions could not be resumed")


async def _come_back(server: Server, crowd: Crowd, began: float, stage: Stage) -> None:
    crowd.where.tell(await server.start())
    up_s = trio.current_time() - began
    await crowd.all_in(IN_S_MAX)
    back_s = trio.current_time() - began
    stage.notes.append(f"up after {up_s:.1f} s, everybody back after {back_s:.1f} s")


async def _sit(stage: Stage, crowd: Crowd, sitters: list[Builder]) -> None:
    """Each takes the seat of its own number."""
    for number, one in enumerate(sitters):
        one.sits = True
        await one.sit(number)
    await crowd.bell.until(
        lambda: all(number + 1 in one.results for number, one in enumerate(sitters)), SIT_S_MAX
    )
    for number, one in enumerate(sitters):
        one.sits = one.results[number + 1] == 0
    count = sum(one.sits for one in sitters)
    stage.check(count == len(sitters), f"{count} of {len(sitters)} could sit down")


def _check_places(stage: Stage, crowd: Crowd, places: list[Place]) -> None:
    for one, place in zip(crowd.builders, places, strict=True):
        assert one.welcome is not None
        row = root_of(one.welcome.body)
        x, z = int(row[pose.X]) / 1000, int(row[pose.Z]) / 1000
        stage.check(one.welcome.resumed, f"{one.name} did not come back to its session")
        stage.check(place.is_near(x, z), f"{one.name} is at {x}, {z}, where it never was")
        is_seated = bool(int(row[pose.FLAGS]) & pose.Flags.SEATED)
        stage.check(is_seated == one.sits, f"{one.name} sits: {is_seated}, and not {one.sits}")


def _check_names(stage: Stage, crowd: Crowd) -> None:
    """Everybody is seen by the others under the name of before."""
    names = {one.welcome.entity_id: one.name for one in crowd.builders if one.welcome}
    seen: dict[int, str] = {}
    for one in crowd.builders:
        seen |= one.seen
    odd = {entity: name for entity, name in seen.items() if names.get(entity) != name}
    stage.check(not odd, f"some are seen by other names: {list(odd.items())[:3]}")
    share = len(seen) / len(names)
    stage.check(share >= SEEN_SHARE_MIN, f"only {share:.0%} are seen by somebody")


