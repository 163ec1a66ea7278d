"""From the windows of a building run to figures, and what makes them doubtful. PURE.

A window is measured between two looks at the machine and two scrapes of the server; the generator's
own window lies between them, a moment shorter at both ends. `doubts` names
everything that makes its figures worth less; a figure that could not be measured is None.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import numpy as np

from atrium_loadtest.edit_load import EditTally
from atrium_loadtest.evidence import Window
from atrium_loadtest.machine import Look, shares
from atrium_loadtest.metrics import Histogram, Samples, histogram, total
from atrium_loadtest.report import (
    BUSY_RATIO_MAX,
    COLLECT_METRIC,
    LATE_METRIC,
    LATE_MS_P99_MAX,
    STEAL_RATIO_MAX,
    TICK_METRIC,
    Number,
    Quantiles,
)

FOREIGN_CORES_MAX: Final = 0.1
RATE_RATIO_MIN: Final = 0.97
"""Of the edits that were to be sent, those that became durable in the window."""
COMMIT_METRIC: Final = "atrium_store_commit_seconds"
ROWS_METRIC: Final = "atrium_store_rows_total"
EDITS_METRIC: Final = "atrium_store_edits_total"


@dataclass(frozen=True)
class Side:
    """One end of a window."""

    look: Look
    metrics: Samples


@dataclass(frozen=True)
class Measured:
    """What one window left behind."""

    kind: str
    wanted_per_s: float
    """Edits that were to be sent each second; 0 for none, and for a closed loop."""
    before: Side
    after: Side
    crowd: Window
    edits: EditTally
    lost: dict[str, int] = field(default_factory=dict[str, int])
    fetches: list[Fetch] = field(default_factory=list["Fetch"])


@dataclass(frozen=True)
class Fetch:
    """One scene that a newcomer has fetched."""

    seconds: float
    bytes: int


class Figures(msgspec.Struct, frozen=True):
    """One window."""

    kind: str
    seconds: float
    tick_late_ms: Quantiles
    tick_ms: Quantiles
    collect_ms: Quantiles
    edits_sent_per_s: float
    edits_durable_per_s: float
    accepted_ms: Quantiles
    """From the send of an edit to ACCEPTED at its author."""
    durable_ms: Quantiles
    rows_written_per_s: Number
    """As the server counts what it has committed."""
    edits_written_per_s: Number
    commits_per_s: Number
    commit_ms: Quantiles
    fetch_ms: Quantiles
    """Of scenes over HTTP."""
    fetched_bytes: int
    server_cores: float
    database_cores: float
    generator_cores: float
    foreign_cores: float
    steal_ratio: float
    generator_busy: float
    generator_late_ms_p99: Number
    ended: dict[str, int]
    """Edits that did not become durable, by their end."""
    doubts: list[str]


class Summary(msgspec.Struct, frozen=True):
    """All windows of one kind: medians of their figures, and the lateness of all their ticks."""

    kind: str
    windows: int
    tick_late_ms_p50: Number
    tick_late_ms_p99: Number
    pooled_late_ms: Quantiles
    tick_ms_p50: Number
    tick_ms_p99: Number
    edits_durable_per_s: Number
    rows_written_per_s: Number
    accepted_ms_p50: Number
    durable_ms_p50: Number
    durable_ms_p99: Number
    commit_ms_p50: Number
    fetch_ms_p50: Number
    fetch_ms_p99: Number
    server_cores: Number
    database_cores: Number
    generator_cores: Number
    foreign_cores_max: float
    steal_ratio_max: float
    doubtful: int
    """Windows with a doubt."""


def figures_of(one: Measured) -> Figures:
    """The figures of a window."""
    passed_s = one.after.look.at_s - one.before.look.at_s
    had = shares(one.before.look, one.after.look)
    made = Figures(
        kind=one.kind,
        seconds=round(passed_s, 3),
        tick_late_ms=_server_ms(one, LATE_METRIC),
        tick_ms=_server_ms(one, TICK_METRIC),
        collect_ms=_server_ms(one, COLLECT_METRIC),
        edits_sent_per_s=round(one.edits.sent / one.crowd.seconds, 1),
        edits_durable_per_s=round(len(one.edits.durable_ns) / one.crowd.seconds, 1),
        accepted_ms=quantiles_ms([ns / 1e6 for ns in one.edits.accepted_ns]),
        durable_ms=quantiles_ms([ns / 1e6 for ns in one.edits.durable_ns]),
        rows_written_per_s=_gained_per_s(one, ROWS_METRIC),
        edits_written_per_s=_gained_per_s(one, EDITS_METRIC),
        commits_per_s=_gained_per_s(one, f"{COMMIT_METRIC}_count"),
        commit_ms=_server_ms(one, COMMIT_METRIC),
        fetch_ms=quantiles_ms([fetch.seconds * 1e3 for fetch in one.fetches]),
        fetched_bytes=sum(fetch.bytes for fetch in one.fetches),
        server_cores=had.server, database_cores=had.database, generator_cores=had.generator,
        foreign_cores=had.foreign, steal_ratio=had.steal_ratio,
        generator_busy=round(one.crowd.busy, 4),
        generator_late_ms_p99=quantiles_ms([ns / 1e6 for ns in one.crowd.late_ns]).p99,
        ended=dict(one.edits.ended),
        doubts=[],
    )
    return msgspec.structs.replace(made, doubts=[*_doubts(made), *_losses(one)])


def _doubts(one: Figures) -> list[str]:
    doubts: list[str] = []
    if one.steal_ratio > STEAL_RATIO_MAX:
        doubts.append(f"{one.steal_ratio:.1%} of the machine's time was stolen")
    if one.foreign_cores > FOREIGN_CORES_MAX:
        doubts.append(f"other programs had {one.foreign_cores:.2f} cores")
    if one.generator_busy > BUSY_RATIO_MAX:
        doubts.append(f"the generator was busy {one.generator_busy:.0%} of the time")
    late_ms = one.generator_late_ms_p99
    if late_ms is None or late_ms > LATE_MS_P99_MAX:
        doubts.append(f"the generator sent late: p99 {late_ms} ms")
    return doubts


def _losses(one: Measured) -> list[str]:
    """What the load was not, as it was asked for."""
    doubts = [f"{count} clients were lost: {why}" for why, count in one.lost.items()]
    doubts += [f"{count} edits ended as {end}" for end, count in one.edits.ended.items()]
    durable_per_s = len(one.edits.durable_ns) / one.crowd.seconds
    if durable_per_s < RATE_RATIO_MIN * one.wanted_per_s:
        doubts.append(
            f"{durable_per_s:,.0f} edits became durable each second, where"
            f" {one.wanted_per_s:,.0f} were to be"
        )
    if one.edits.dropped:
        doubts.append(f"{one.edits.dropped} edits were due and could not be sent")
    return doubts


def summarise(kind: str, windows: Sequence[Figures], measured: Sequence[Measured]) -> Summary:
    """The windows of one kind together."""
    chosen = [one for one in windows if one.kind == kind]
    late = [_gained(one, LATE_METRIC) for one in measured if one.kind == kind]

    def median(pick: Callable[[Figures], Number]) -> Number:
        found = [value for one in chosen if (value := pick(one)) is not None]
        return round(statistics.median(found), 3) if found else None

    return Summary(
        kind=kind, windows=len(chosen),
        tick_late_ms_p50=median(lambda one: one.tick_late_ms.p50),
        tick_late_ms_p99=median(lambda one: one.tick_late_ms.p99),
        pooled_late_ms=histogram_ms(pooled([one for one in late if one is not None])),
        tick_ms_p50=median(lambda one: one.tick_ms.p50),
        tick_ms_p99=median(lambda one: one.tick_ms.p99),
        edits_durable_per_s=median(lambda one: one.edits_durable_per_s),
        rows_written_per_s=median(lambda one: one.rows_written_per_s),
        accepted_ms_p50=median(lambda one: one.accepted_ms.p50),
        durable_ms_p50=median(lambda one: one.durable_ms.p50),
        durable_ms_p99=median(lambda one: one.durable_ms.p99),
        commit_ms_p50=median(lambda one: one.commit_ms.p50),
        fetch_ms_p50=median(lambda one: one.fetch_ms.p50),
        fetch_ms_p99=median(lambda one: one.fetch_ms.p99),
        server_cores=median(lambda one: one.server_cores),
        database_cores=median(lambda one: one.database_cores),
        generator_cores=median(lambda one: one.generator_cores),
        foreign_cores_max=max((one.foreign_cores for one in chosen), default=0.0),
        steal_ratio_max=max((one.steal_ratio for one in chosen), default=0.0),
        doubtful=sum(bool(one.doubts) for one in chosen),
    )


def pooled(parts: Sequence[Histogram]) -> Histogram:
    """One histogram of what all of them saw. They have the same bounds, or none."""
    counts: dict[float, float] = {}
    for part in parts:
        for bound, count in zip(part.bounds, part.counts, strict=True):
            counts[bound] = counts.get(bound, 0.0) + count
    bounds = tuple(sorted(counts))
    return Histogram(bounds, tuple(counts[bound] for bound in bounds))


def quantiles_ms(values_ms: Sequence[float]) -> Quantiles:
    """Of values in milliseconds."""
    if not len(values_ms):
        return Quantiles()
    found = np.quantile(np.asarray(values_ms), (0.5, 0.95, 0.99, 1.0))
    return Quantiles(*(round(float(value), 3) for value in found))


def histogram_ms(found: Histogram) -> Quantiles:
    """Of a histogram in seconds."""
    parts = (found.quantile(0.5), found.quantile(0.95), found.quantile(0.99), found.maximum())
    return Quantiles(*(None if one is None else round(one * 1e3, 4) for one in parts))


def _server_ms(one: Measured, name: str) -> Quantiles:
    found = _gained(one, name)
    return Quantiles() if found is None else histogram_ms(found)


def _gained(one: Measured, name: str) -> Histogram | None:
    try:
        return histogram(one.after.metrics, name).since(histogram(one.before.metrics, name))
    except ValueError:
        return None


def _gained_per_s(one: Measured, name: str) -> Number:
    before, after = total(one.before.metrics, name), total(one.after.metrics, name)
    if after is None:
        return None
    return round((after - (before or 0.0)) / (one.after.look.at_s - one.before.look.at_s), 1)
