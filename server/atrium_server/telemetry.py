"""Counters, gauges and histograms, and the text in which Prometheus reads them.

Theory of operation
-------------------
There are no globals: `app` makes one Registry and hands single instruments down to the parts
that use them, so that a test can look at exactly what it caused. An instrument is cheap enough
for the tick: a counter is one addition, a histogram is one binary search over fixed edges and
one addition. Whoever updates an instrument and whoever renders it run in the same thread; the
exception is the collector of gc pauses, which runs wherever the collection was triggered and for
which a lost addition is no harm.

This module is pure: it reads no clock. What is measured about the process itself, and with a
clock, is in `process_metrics`.

The buckets of a histogram of seconds grow by 12 % from 0.02 ms to 10 s: a quantile read from
them is at most 12 % above the truth, from the noise of a fast tick up to a stall.

A metric is made with `Registry.counter(name, help, labels...)`; asking again with the same name
and labels returns the same instrument. Label values are few and known (worlds, reasons, codes):
never an address, a name or anything else that a peer can choose.
"""

from __future__ import annotations

import bisect
import functools
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

TICK_SECONDS: Final = "atrium_tick_seconds"
"""Histogram {world}: time that one tick took, from draining the inbox to handing over bytes."""
TICK_LATE_SECONDS: Final = "atrium_tick_late_seconds"
"""Histogram {world}: how long after its deadline a tick began."""
COLLECT_SECONDS: Final = "atrium_collect_seconds"
"""Histogram {world}: time that the receiving right before a tick took, for all connections."""
SESSIONS: Final = "atrium_sessions"
"""Gauge {world, state}: sessions by state (joining, active, resumable)."""
CONNECTIONS: Final = "atrium_connections"
"""Gauge: open connections of all kinds."""
POSES_TOTAL: Final = "atrium_poses_total"
SNAPSHOTS_TOTAL: Final = "atrium_snapshots_total"
SNAPSHOT_BYTES_TOTAL: Final = "atrium_snapshot_bytes_total"
SNAPSHOTS_SKIPPED_TOTAL: Final = "atrium_snapshots_skipped_total"
"""Counter {reason}: snapshots that were not built or not sent (credit, full, ...)."""
REFUSED_TOTAL: Final = "atrium_refused_total"
"""Counter {reason}: connections, handshakes and requests that were refused."""
TLS_HANDSHAKES_TOTAL: Final = "atrium_tls_handshakes_total"
"""Counter {version}: TLS handshakes that were finished."""
TLS_FAILURES_TOTAL: Final = "atrium_tls_handshake_failures_total"
"""Counter {reason}: those that came to nothing (plain, slow, left, distrusted, ...)."""
TLS_HANDSHAKE_SECONDS: Final = "atrium_tls_handshake_seconds"
"""Histogram: time that a finished handshake kept the event loop."""
TLS_CERTIFICATE_ENDS: Final = "atrium_tls_certificate_not_after_seconds"
"""Gauge: when the certificate in force expires, in seconds since 1970."""
PROTOCOL_ERRORS_TOTAL: Final = "atrium_protocol_errors_total"
"""Counter {code}: sessions ended because the peer broke the protocol."""
CORRECTIONS_TOTAL: Final = "atrium_corrections_total"
"""Counter {reason}: poses that the movement rules changed."""
WORLD_RESTARTS_TOTAL: Final = "atrium_world_restarts_total"
"""Counter {world}: restarts after a failure inside a world's tick."""
GC_PAUSE_SECONDS: Final = "atrium_gc_pause_seconds"
"""Histogram {generation}: pauses of the garbage collector."""

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

BUCKET_GROWTH: Final = 1.12
BUCKET_LOWEST_S: Final = 20e-6
BUCKET_HIGHEST_S: Final = 10.0


def _seconds_edges() -> tuple[float, ...]:
    steps = math.ceil(math.log(BUCKET_HIGHEST_S / BUCKET_LOWEST_S) / math.log(BUCKET_GROWTH))
    growth = (BUCKET_HIGHEST_S / BUCKET_LOWEST_S) ** (1 / steps)
    edges = [BUCKET_LOWEST_S * growth**step for step in range(steps + 1)]
    # Three digits are shorter to send and to read, and move no edge by more than half a percent.
    return tuple(float(f"{edge:.3g}") for edge in edges)


SECONDS_EDGES: Final = _seconds_edges()
"""Upper edges of the buckets, in seconds; a last bucket takes all that is above."""

_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")

Labels = tuple[tuple[str, str], ...]


class Counter:
    """A number that only grows; made with `read`, one that is kept elsewhere and read here."""

    __slots__ = ("_read", "_value")

    def __init__(self, read: Callable[[], float] | None = None) -> None:
        self._read = read
        self._value: float = 0

    @property
    def value(self) -> float:
        return self._value if self._read is None else self._read()

    def add(self, amount: float = 1) -> None:
        """Count `amount` more; it must not be negative."""
        if amount < 0:
            raise ValueError(f"a counter cannot go down by {-amount}")
        if self._read is not None:
            raise ValueError("this counter is read from a callback and cannot be added to")
        self._value += amount


class Gauge:
    """A number that goes up and down; made with `read`, one that is kept elsewhere."""

    __slots__ = ("_read", "_value")

    def __init__(self, read: Callable[[], float] | None = None) -> None:
        self._read = read
        self._value: float = 0

    @property
    def value(self) -> float:
        return self._value if self._read is None else self._read()

    def set(self, value: float) -> None:
        """Set the value; a gauge made with `read` has none of its own."""
        if self._read is not None:
            raise ValueError("this gauge is read from a callback and cannot be set")
        self._value = value


class Histogram:
    """Counts of observations by size.

    Attributes:
        counts: int64, one per edge and a last one for what is above all edges.
        sum: of all observations, in seconds.
        max: the largest observation, exactly.
    """

    __slots__ = ("_edges", "counts", "max", "sum")

    def __init__(self, edges: Sequence[float] = SECONDS_EDGES) -> None:
        self._edges = edges
        self.counts: npt.NDArray[np.int64] = np.zeros(len(edges) + 1, np.int64)
        self.sum = 0.0
        self.max = 0.0

    @property
    def edges(self) -> Sequence[float]:
        return self._edges

    @property
    def count(self) -> int:
        return int(self.counts.sum())

    def observe(self, seconds: float) -> None:
        """Count one observation; a clock that stepped back counts as zero."""
        seconds = max(seconds, 0.0)
        self.counts[bisect.bisect_left(self._edges, seconds)] += 1
        self.sum += seconds
        self.max = max(self.max, seconds)

    def quantile(self, q: float) -> float:
        """The upper edge of the bucket that holds quantile `q` (0 to 1), never above `max`.

        NaN when nothing was observed.
        """
        if not 0 <= q <= 1:
            raise ValueError(f"a quantile lies from 0 to 1, not {q}")
        cumulative = np.cumsum(self.counts)
        if cumulative[-1] == 0:
            return math.nan
        rank = max(1, math.ceil(q * int(cumulative[-1])))
        bucket = int(np.searchsorted(cumulative, rank))
        return min(self._edges[bucket], self.max) if bucket < len(self._edges) else self.max


Instrument = Counter | Gauge | Histogram
_Instrument = TypeVar("_Instrument", bound=Instrument)


@dataclass(slots=True)
class _Family:
    """All instruments of one metric: one for each set of label values."""

    name: str
    help: str
    kind: type[Instrument]
    label_names: tuple[str, ...]
    instruments: dict[Labels, Instrument] = field(default_factory=dict[Labels, Instrument])


class Registry:
    """The metrics of one server, in the order in which they were first asked for."""

    def __init__(self) -> None:
        self._families: dict[str, _Family] = {}

    def counter(self, name: str, help: str, **labels: str) -> Counter:
        """The counter of this name and these label values; made when it is new."""
        return self._get(self._family(name, help, Counter, labels), Counter, labels)

    def gauge(self, name: str, help: str, **labels: str) -> Gauge:
        """The gauge of this name and these label values; made when it is new."""
        return self._get(self._family(name, help, Gauge, labels), Gauge, labels)

    def histogram(self, name: str, help: str, **labels: str) -> Histogram:
        """The histogram of this name and these label values; made when it is new."""
        return self._get(self._family(name, help, Histogram, labels), Histogram, labels)

    def counter_read(
        self, name: str, help: str, read: Callable[[], float], **labels: str
    ) -> None:
        """A counter whose value is what `read` returns at the time of rendering."""
        self._family(name, help, Counter, labels).instruments[_key(labels)] = Counter(read)

    def gauge_read(
        self, name: str, help: str, read: Callable[[], float], **labels: str
    ) -> None:
        """A gauge whose value is what `read` returns at the time of rendering."""
        self._family(name, help, Gauge, labels).instruments[_key(labels)] = Gauge(read)

    def _family(
        self, name: str, help: str, kind: type[Instrument], labels: dict[str, str]
    ) -> _Family:
        label_names = tuple(sorted(labels))
        family = self._families.get(name)
        if family is None:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name for a metric")
            family = self._families[name] = _Family(name, help, kind, label_names)
        if family.kind is not kind:
            raise ValueError(f"{name} is already a {family.kind.__name__.lower()}")
        if family.label_names != label_names:
            raise ValueError(f"{name} has the labels {family.label_names}, not {label_names}")
        return family

    @staticmethod
    def _get(family: _Family, kind: type[_Instrument], labels: dict[str, str]) -> _Instrument:
        key = _key(labels)
        found = family.instruments.get(key)
        if isinstance(found, kind):
            return found
        made = kind()
        family.instruments[key] = made
        return made

    def render(self) -> str:
        """All metrics in the Prometheus text format 0.0.4."""
        lines: list[str] = []
        for family in self._families.values():
            lines.append(f"# HELP {family.name} {_escape_help(family.help)}")
            lines.append(f"# TYPE {family.name} {family.kind.__name__.lower()}")
            for labels, instrument in family.instruments.items():
                lines.extend(_sample_lines(family.name, labels, instrument))
        return "\n".join(lines) + "\n" if lines else ""


def _sample_lines(name: str, labels: Labels, instrument: Instrument) -> Iterator[str]:
    if not isinstance(instrument, Histogram):
        yield f"{name}{_label_text(labels)} {_number(instrument.value)}"
        return
    cumulative: list[int] = np.cumsum(instrument.counts).tolist()
    for head, count in zip(_bucket_heads(name, labels, tuple(instrument.edges)), cumulative,
                           strict=True):
        yield f"{head}{count}"
    total = cumulative[-1]
    yield f"{name}_sum{_label_text(labels)} {_number(instrument.sum)}"
    yield f"{name}_count{_label_text(labels)} {total}"


@functools.cache
def _bucket_heads(name: str, labels: Labels, edges: tuple[float, ...]) -> list[str]:
    """The lines of a histogram's buckets up to the number: a thousand of them, always the same."""
    texts = [*map(_number, edges), "+Inf"]
    return [f"{name}_bucket{_label_text((*labels, ('le', text)))} " for text in texts]


def _key(labels: dict[str, str]) -> Labels:
    return tuple(sorted(labels.items()))


def _label_text(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape_label(value)}"' for name, value in labels) + "}"


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _escape_label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))
