"""Prometheus text and what is computed from it: quantiles of one window of time. PURE.

The server's histograms only ever grow. What happened between two scrapes is the difference of
their buckets; a quantile is found by interpolation inside its bucket (buckets lie about 12 %
apart, so that is the error), and the maximum is the upper bound of the topmost bucket used.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

TEXT_BYTES_MAX: Final = 4 * 1024 * 1024
"""Largest page of metrics that is read."""

_SAMPLE: Final = re.compile(r"^([A-Za-z_:][\w:]*)(?:\{(.*)\})?\s+(\S+)(?:\s+-?\d+)?$")
_LABEL: Final = re.compile(r'([A-Za-z_]\w*)="((?:[^"\\]|\\.)*)"')

Labels = frozenset[tuple[str, str]]
Samples = dict[tuple[str, Labels], float]


def parse_prometheus(text: str) -> Samples:
    """Samples by (name, labels). Raises ValueError for a line that is not Prometheus text."""
    samples: Samples = {}
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        match = _SAMPLE.match(line)
        if match is None:
            raise ValueError(f"not a line of Prometheus text: {line[:80]!r}")
        name, labels, value = match.groups()
        samples[name, frozenset(_LABEL.findall(labels or ""))] = float(value)
    return samples


def total(samples: Samples, name: str) -> float | None:
    """The sum of a metric over all its labels; None when it is not there."""
    found = [value for (metric, _), value in samples.items() if metric == name]
    return sum(found) if found else None


@dataclass(frozen=True)
class Histogram:
    """Counts per bucket (not cumulative) and the upper bound of each, the last one infinite."""

    bounds: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def count(self) -> float:
        """All observations."""
        return sum(self.counts)

    def since(self, earlier: Histogram) -> Histogram:
        """What was observed after `earlier`. A bound that only one of them has counts as 0 there.

        Raises ValueError when a count shrank: the two are not from the same process.
        """
        before = dict(zip(earlier.bounds, earlier.counts, strict=True))
        counts = [c - before.get(b, 0.0) for b, c in zip(self.bounds, self.counts, strict=True)]
        if any(count < 0 for count in counts) or set(before) - set(self.bounds):
            raise ValueError("a histogram shrank: was the server restarted during the run?")
        return Histogram(self.bounds, tuple(counts))

    def quantile(self, share: float) -> float | None:
        """The value that `share` (0..1) of the observations do not exceed; None without any."""
        if self.count <= 0:
            return None
        rank, below, low = share * self.count, 0.0, 0.0
        for bound, count in zip(self.bounds, self.counts, strict=True):
            if count > 0 and below + count >= rank:
                if math.isinf(bound):
                    return low
                return low + (bound - low) * max(0.0, (rank - below) / count)
            below += count
            low = low if math.isinf(bound) else bound
        return low

    def maximum(self) -> float | None:
        """Upper bound of the topmost bucket used (the largest finite one for the last bucket)."""
        used = [bound for bound, n in zip(self.bounds, self.counts, strict=True) if n > 0]
        if not used:
            return None
        finite = [bound for bound in self.bounds if math.isfinite(bound)]
        return used[-1] if math.isfinite(used[-1]) else (finite[-1] if finite else None)


def histogram(samples: Samples, name: str, labels: Mapping[str, str] | None = None) -> Histogram:
    """The histogram `name` summed over all series that carry `labels`; empty when there is none."""
    wanted = set((labels or {}).items())
    cumulative: dict[float, float] = {}
    for (metric, found), value in samples.items():
        if metric != f"{name}_bucket" or not wanted <= found:
            continue
        bound = float(dict(found).get("le", "nan"))
        if not math.isnan(bound):
            cumulative[bound] = cumulative.get(bound, 0.0) + value
    bounds = tuple(sorted(cumulative))
    counts: list[float] = []
    for k, bound in enumerate(bounds):
        counts.append(cumulative[bound] - (cumulative[bounds[k - 1]] if k else 0.0))
    return Histogram(bounds, tuple(counts))
