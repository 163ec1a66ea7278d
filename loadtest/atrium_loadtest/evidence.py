"""What one run leaves behind, before anything is computed from it. PURE.

Three witnesses: the generator (a `Window` of counters and the probes' tally), the observer
(`Sample`s of the server, the machine and the metrics), and the runner, which puts them together
as `Evidence`. `report` turns that into figures.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from atrium_loadtest.metrics import Samples
from atrium_loadtest.probe import Tally


@dataclass
class Window:
    """The generator's side of one measured window; times are CLOCK_MONOTONIC in ns."""

    started_ns: int
    base: dict[str, int]
    """Totals of the fleet's counters at the start."""
    tally: Tally = field(default_factory=Tally)
    waited_ns: int = 0
    late_ns: list[int] = field(default_factory=list[int])
    """How late each slot of poses was served."""
    actives: list[int] = field(default_factory=list[int])
    """Bots connected, ten times a second."""
    ended_ns: int = 0
    counts: dict[str, int] = field(default_factory=dict[str, int])
    """What the counters gained in the window."""

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return (self.ended_ns - self.started_ns) / 1e9

    @property
    def active(self) -> float:
        """Mean number of connected bots."""
        return sum(self.actives) / max(1, len(self.actives))

    @property
    def busy(self) -> float:
        """The share of the window that the loop did not spend waiting for sockets."""
        return 1.0 - self.waited_ns / max(1, self.ended_ns - self.started_ns)


@dataclass(frozen=True)
class Sample:
    """One moment of the server and the machine. None where it could not be read."""

    at_s: float
    """CLOCK_MONOTONIC."""
    generator_cpu_s: float
    generator_delayed_s: float
    """For how long the generator's thread was ready to run while others had its CPU."""
    server_cpu_s: float | None
    server_delayed_s: float | None
    """The same of the server's main thread."""
    server_rss_bytes: int | None
    host_ticks: int
    """Jiffies of all CPUs, in all states."""
    steal_ticks: int
    received_bytes: int
    """What all bots have received so far."""
    metrics: Samples
    """Empty when the server has none or did not answer."""


@dataclass(frozen=True)
class Evidence:
    """All that one run left behind."""

    scenario: str
    clients: int
    rate_hz: float
    seed: int
    window: Window
    samples: list[Sample]
    join_s: list[float]
    corrections: int
    lost: dict[str, int]
    scenario_figures: dict[str, float | int | None]
    exit_status: int | None
    """Of a server that was our child; None when it was not."""
    died: bool
    expects_probes: bool = True
    """False against the floor, whose frames carry no records."""
    expects_metrics: bool = True
    """False against the floor, which has none."""
    joins_pending: int = 0
    """Bots that were neither let in nor refused when the window opened."""
    world_labels: dict[str, str] = field(default_factory=dict[str, str])
