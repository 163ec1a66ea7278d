"""What the HTTP service asks of the server behind it, and nothing more.

`app` implements ServerStatus on top of the worlds; tests implement it in a few lines. All of its
methods answer at once from what is already known: a request never waits for a tick.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class WorldStatus:
    """One world as `/api/worlds` and `/healthz` tell of it.

    Attributes:
        tick: number of the last tick.
        tick_rate_hz: ticks per second that the world is meant to run at.
        alive: the last tick is recent enough for its rate.
        failed: failed too often and stays down.
        last_tick_age_s: seconds since the last tick ended.
        sessions: seats taken, counted as the capacity counts them.
        restarts: times that the world was started again after a failure.
    """

    name: str
    title: str
    tick: int
    tick_rate_hz: int
    alive: bool
    failed: bool
    last_tick_age_s: float
    sessions: int
    capacity: int
    restarts: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """What does not work as it should although worlds tick."""

    sentence: str = ""
    """For who looks after the server; empty when all is well."""
    may_come: bool = True
    """Whether clients may come nevertheless."""


class ServerStatus(Protocol):
    """The server as HTTP sees it."""

    def worlds(self) -> list[WorldStatus]:
        """All worlds, in the order of the settings."""
        ...

    def ready(self) -> bool:
        """Clients may come: each world ticks, but for those that stay down, and there is one."""
        ...

    def draining(self) -> bool:
        """The server is shutting down and takes nobody new."""
        ...

    def scene(self, world: str, version: str) -> bytes | None:
        """The scene as JSON by gzip; None for an unknown world or a version that is not served."""
        ...

    def scene_version(self, world: str) -> str:
        """The present version of a world's scene; empty for an unknown world."""
        ...
