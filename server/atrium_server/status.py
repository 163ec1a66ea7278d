"""What the HTTP service may know: implements `http.status.ServerStatus` over the hosts."""

from __future__ import annotations

import trio

from atrium_server.host import WorldHost
from atrium_server.hosts import Hosts
from atrium_server.http.status import WorldStatus

ALIVE_S = 1.0
"""A world whose last tick is older than this (or than ten of its ticks) is not alive."""


class Status:
    """The server, as the outside sees it."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._started = False
        self._stopping = False
        self._scenes = {host.name: host.parts.scenes for host in hosts}

    def started(self) -> None:
        """The listeners are open."""
        self._started = True

    def stop(self) -> None:
        """The server goes down."""
        self._stopping = True

    def worlds(self) -> list[WorldStatus]:
        return [self._world(host) for host in self._hosts]

    def _world(self, host: WorldHost) -> WorldStatus:
        age = trio.current_time() - host.state.last_tick_at
        allowed = max(ALIVE_S, 10 / host.manifest.tick_rate_hz)
        return WorldStatus(
            name=host.name, title=host.manifest.title, tick=host.world.tick,
            tick_rate_hz=host.manifest.tick_rate_hz,
            alive=not host.state.failed and host.world.tick > 0 and age <= allowed,
            failed=host.state.failed, last_tick_age_s=age, sessions=len(host.seats),
            capacity=host.manifest.capacity, restarts=host.state.restarts,
        )

    def ready(self) -> bool:
        left = [world for world in self.worlds() if not world.failed]
        is_alive = bool(left) and all(world.alive for world in left)
        return self._started and not self._stopping and is_alive

    def draining(self) -> bool:
        return self._stopping

    def scene(self, world: str, version: str) -> bytes | None:
        scenes = self._scenes.get(world)
        scene = scenes.get(version) if scenes is not None else None
        return scene.compressed if scene is not None else None

    def scene_version(self, world: str) -> str:
        scenes = self._scenes.get(world)
        return scenes.newest.version if scenes is not None else ""
