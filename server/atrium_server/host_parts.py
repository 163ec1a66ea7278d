"""What a host is given, and what others may see of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from atrium_server.attendance import Attendance
from atrium_server.doors import ClientSink
from atrium_server.judge import Judge
from atrium_server.keeper import Keeper
from atrium_server.recording import Recorder
from atrium_server.safety import SafetyLanes
from atrium_server.scenes import Scenes
from atrium_server.scribe import Scribe
from atrium_server.seats import Session
from atrium_server.telemetry import Counter, Histogram
from atrium_server.ticker import Sleeper
from atrium_server.tokens import TokenSigner
from atrium_server.voice_relay import IceSettings


@dataclass(frozen=True, slots=True)
class HostMetrics:
    """Where a host counts."""

    tick_seconds: Histogram
    late_seconds: Histogram
    collect_seconds: Histogram
    poses: Counter
    snapshots: Counter
    snapshot_bytes: Counter
    skipped_credit: Counter
    skipped_tail: Counter
    skipped_broken: Counter
    ticks_skipped: Counter
    restarts: Counter
    signals_dropped: Counter
    correction: Callable[[str], Counter]


@dataclass(frozen=True, slots=True)
class HostParts:
    """What a host is given."""

    sink: ClientSink
    judge: Judge
    signer: TokenSigner
    metrics: HostMetrics
    recorder: Recorder
    collect: Callable[[], None]
    """Brings in what the sockets have, just before a tick."""
    dump: Callable[[str, bytes], None]
    """Keeps the inputs of a world that failed."""
    sleeper: Callable[[], Sleeper]
    epoch: float
    """The clock's time at which the wire's milliseconds are 0."""
    seed: int
    resume_s: float
    keeper: Keeper
    attendance: Attendance
    scenes: Scenes
    scribe: Scribe | None = None
    """None when lines are not kept."""
    safety: SafetyLanes = field(default_factory=SafetyLanes)
    ice: IceSettings = field(default_factory=IceSettings)
    send_trace: Callable[[float, npt.NDArray[np.int64]], None] | None = None


@dataclass(slots=True)
class HostState:
    """What outsiders may read of a host's health."""

    last_tick_at: float = -1.0
    restarts: int = 0
    failed: bool = False
    is_lost: bool = False
    """Another server has the world."""
    sessions: dict[int, Session] = field(default_factory=dict[int, Session])
    number_of: dict[bytes, int] = field(default_factory=dict[bytes, int])
    """The session of each id that lasts."""
    of_author: dict[str, list[Session]] = field(default_factory=dict[str, list[Session]])
    """All sessions of each person."""
