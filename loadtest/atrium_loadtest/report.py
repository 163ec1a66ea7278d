"""From what was measured to a report: figures, validity and JSON. PURE.

Theory of operation
-------------------
A figure is only worth something when the run was sound, so validity is part of the report:
`reasons` names everything that makes it unsound, and `valid` is true when there is nothing to
name. A figure that could not be measured is None (`null` in JSON), never 0.
"""

from __future__ import annotations

import itertools
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from atrium_loadtest.evidence import Evidence, Sample
from atrium_loadtest.metrics import Histogram, Samples, histogram

STEAL_RATIO_MAX: Final = 0.02
ACTIVE_RATIO_MIN: Final = 0.98
"""Mean share of the bots that were connected, where no scenario sends them away."""
UNMATCHED_RATIO_MAX: Final = 0.05
"""Of the decoded records: with more, the pose age is that of a selection."""
DELAYED_RATIO_MAX: Final = 0.05
"""Of the generator: more means that other programs ran on its CPU."""
BUSY_RATIO_MAX: Final = 0.90
LATE_MS_P99_MAX: Final = 10.0
"""A generator whose slots are later than this at p99 measures itself."""

TICK_METRIC: Final = "atrium_tick_seconds"
LATE_METRIC: Final = "atrium_tick_late_seconds"
COLLECT_METRIC: Final = "atrium_collect_seconds"
GC_METRIC: Final = "atrium_gc_pause_seconds"
SKIPPED_METRIC: Final = "atrium_snapshots_skipped_total"
AGE_BINS: Final = 60

Number = float | None


class Quantiles(msgspec.Struct, frozen=True):
    """Milliseconds; None when there was nothing to measure."""

    p50: Number = None
    p95: Number = None
    p99: Number = None
    max: Number = None


class Point(msgspec.Struct, frozen=True):
    """One second or so of the window, for the plots."""

    at_s: float
    server_cpu: Number
    """Share of one core."""
    generator_cpu: float
    received_bytes_per_s: float
    server_rss_bytes: int | None
    tick_ms_p99: Number
    tick_late_ms_p99: Number
    collect_ms_p99: Number


class Report(msgspec.Struct, frozen=True):
    """One run. The first fields are the contract of `--json`; docs/BENCHMARKS.md defines each."""

    scenario: str
    clients: int
    seconds: float
    rate_hz: float
    pose_age_ms: Quantiles
    snapshots_per_client_s: float
    updates_seen_ratio: Number
    bytes_per_client_s: float
    bytes_per_avatar_update: Number
    server_cpu_us_per_client_s: Number
    server_rss_bytes: int | None
    tick_ms: Quantiles
    tick_late_ms: Quantiles
    generator_busy: float
    steal_ratio: float
    valid: bool
    reasons: list[str]
    seed: int
    clients_active: float
    """Mean over the window; the figures per client are over this number."""
    collect_ms: Quantiles
    records_with_hands_ratio: Number
    """Of the decoded records, those that carry the head and both hands."""
    stale_ratio: Number
    """Pairs within the radius whose last record was over a second old."""
    unmatched_ratio: Number
    records_per_snapshot: Number
    snapshots_skipped: dict[str, float]
    gc_pause_ms: Quantiles
    poses_per_client_s: float
    poses_blocked: int
    corrections: int
    join_ms: Quantiles
    lost: dict[str, int]
    generator_late_ms: Quantiles
    generator_cpu_us_per_client_s: Number
    generator_delayed_ratio: float
    """Share of the window in which it was ready to run and something else had its CPU."""
    server_delayed_ratio: Number
    scenario_figures: dict[str, float | int | None]
    age_bins_ms: list[float]
    """Edges of `age_counts`."""
    age_counts: list[int]
    series: list[Point]


def build_report(evidence: Evidence) -> Report:
    """The figures of a run, and whether they hold."""
    window, tally, samples = evidence.window, evidence.window.tally, evidence.samples
    per_client = 1.0 / (max(1e-9, window.seconds) * max(1.0, window.active))
    ages_ms = tally.ages_ms()
    bins, counts = _age_histogram(ages_ms)
    first, last = (samples[0], samples[-1]) if len(samples) >= 2 else (None, None)
    report = Report(
        scenario=evidence.scenario,
        clients=evidence.clients,
        seconds=round(window.seconds, 3),
        rate_hz=evidence.rate_hz,
        pose_age_ms=_quantiles(ages_ms),
        snapshots_per_client_s=round(window.counts["snapshots"] * per_client, 3),
        updates_seen_ratio=_ratio(tally.seen, tally.expected),
        bytes_per_client_s=round(window.counts["received_bytes"] * per_client, 1),
        bytes_per_avatar_update=_ratio(tally.snapshot_bytes, tally.records),
        server_cpu_us_per_client_s=_server_cpu_us(first, last, window.active),
        server_rss_bytes=last.server_rss_bytes if last else None,
        tick_ms=_server_quantiles(first, last, TICK_METRIC, evidence.world_labels),
        tick_late_ms=_server_quantiles(first, last, LATE_METRIC, evidence.world_labels),
        generator_busy=round(window.busy, 4),
        steal_ratio=_steal(first, last),
        valid=False,
        reasons=[],
        seed=evidence.seed,
        clients_active=round(window.active, 2),
        collect_ms=_server_quantiles(first, last, COLLECT_METRIC, evidence.world_labels),
        records_with_hands_ratio=_ratio(tally.records_with_hands, tally.records),
        stale_ratio=_ratio(tally.pairs_stale, tally.pairs),
        unmatched_ratio=_ratio(tally.unmatched, tally.records),
        records_per_snapshot=_ratio(tally.records, tally.snapshots),
        snapshots_skipped=_skipped(first, last),
        gc_pause_ms=_pauses(first, last),
        poses_per_client_s=round(window.counts["poses"] * per_client, 3),
        poses_blocked=window.counts["blocked"],
        corrections=evidence.corrections,
        join_ms=_quantiles(np.array(evidence.join_s) * 1e3),
        lost=evidence.lost,
        generator_late_ms=_quantiles(np.array(window.late_ns, np.float64) / 1e6),
        generator_cpu_us_per_client_s=_generator_cpu_us(first, last, window.active),
        generator_delayed_ratio=_delayed(first, last, "generator_delayed_s") or 0.0,
        server_delayed_ratio=_delayed(first, last, "server_delayed_s"),
        scenario_figures=evidence.scenario_figures,
        age_bins_ms=bins,
        age_counts=counts,
        series=_series(samples, evidence.world_labels),
    )
    reasons = why_invalid(report, evidence)
    return msgspec.structs.replace(report, valid=not reasons, reasons=reasons)


def why_invalid(report: Report, evidence: Evidence) -> list[str]:
    """A sentence for each thing that makes the figures of a run worthless."""
    return [
        *_why_machine(report), *_why_crowd(report, evidence), *_why_server(report, evidence)
    ]


def _why_machine(report: Report) -> list[str]:
    """Others had the machine, or the generator measured itself."""
    reasons: list[str] = []
    if report.steal_ratio > STEAL_RATIO_MAX:
        reasons.append(
            f"the machine was shared: {report.steal_ratio:.1%} of its time was stolen"
            f" (at most {STEAL_RATIO_MAX:.0%}); run again when it is quiet"
        )
    if report.generator_busy > BUSY_RATIO_MAX:
        reasons.append(
            f"the generator was busy {report.generator_busy:.0%} of the time; use fewer clients"
            " or give it a core of its own"
        )
    if report.generator_delayed_ratio > DELAYED_RATIO_MAX:
        reasons.append(
            f"other programs had the generator's CPU for {report.generator_delayed_ratio:.0%} of"
            " the time; stop them or give it another CPU"
        )
    late_ms = report.generator_late_ms.p99
    if late_ms is None or late_ms > LATE_MS_P99_MAX:
        reasons.append(f"the generator sent poses late: p99 {late_ms} ms")
    return reasons


def _why_crowd(report: Report, evidence: Evidence) -> list[str]:
    """The crowd was not the one that was asked for, or was not seen."""
    reasons: list[str] = []
    if evidence.joins_pending:
        reasons.append(
            f"{evidence.joins_pending} clients were still joining when the window opened; use a"
            " longer --warmup or find out why joining takes so long"
        )
    active_min = ACTIVE_RATIO_MIN * report.clients
    if report.scenario != "churn" and report.clients_active < active_min:
        reasons.append(
            f"only {report.clients_active:,.1f} of {report.clients:,} clients took part"
            f" (at least {ACTIVE_RATIO_MIN:.0%})"
        )
    if report.lost:
        what = "; ".join(f"{count} x {reason}" for reason, count in sorted(report.lost.items()))
        reasons.append(f"clients were lost: {what}")
    unmatched = report.unmatched_ratio
    if unmatched is not None and unmatched > UNMATCHED_RATIO_MAX:
        reasons.append(
            f"{unmatched:.1%} of the decoded records equal no pose that was sent (at most"
            f" {UNMATCHED_RATIO_MAX:.0%}); the pose age would be that of the others"
        )
    if not report.snapshots_per_client_s:
        reasons.append("no snapshot arrived")
    elif evidence.expects_probes and report.pose_age_ms.p50 is None:
        reasons.append("no pose age was measured: the probes decoded nothing that a bot sent")
    return reasons


def _why_server(report: Report, evidence: Evidence) -> list[str]:
    """The server ended badly, or what it spent is not known although it was ours to watch."""
    reasons: list[str] = []
    if evidence.died:
        reasons.append("the server ended before the run did")
    elif evidence.exit_status not in (None, 0):
        reasons.append(f"the server left with status {evidence.exit_status} after SIGTERM")
    if len(evidence.samples) < 2:
        return [*reasons, "the window was too short to sample the machine"]
    if evidence.exit_status is None:
        return reasons
    if report.server_cpu_us_per_client_s is None:
        reasons.append("the CPU time of the server could not be read from /proc")
    if evidence.expects_metrics and report.tick_ms.p50 is None:
        reasons.append("no tick was found in the server's metrics; see whether /metrics answers")
    return reasons


def to_json(report: Report) -> bytes:
    """The report as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n"


# --- parts --------------------------------------------------------------------------------


def _quantiles(values_ms: npt.NDArray[np.float64]) -> Quantiles:
    if not len(values_ms):
        return Quantiles()
    p50, p95, p99 = (round(float(v), 3) for v in np.quantile(values_ms, (0.5, 0.95, 0.99)))
    return Quantiles(p50, p95, p99, round(float(values_ms.max()), 3))


def _histogram_ms(found: Histogram) -> Quantiles:
    def ms(seconds: float | None) -> Number:
        return None if seconds is None else round(seconds * 1e3, 4)

    return Quantiles(
        ms(found.quantile(0.5)), ms(found.quantile(0.95)), ms(found.quantile(0.99)),
        ms(found.maximum()),
    )


def _difference(
    earlier: Samples, later: Samples, name: str, labels: dict[str, str]
) -> Histogram | None:
    try:
        return histogram(later, name, labels).since(histogram(earlier, name, labels))
    except ValueError:
        return None


def _server_quantiles(
    first: Sample | None, last: Sample | None, name: str, labels: dict[str, str]
) -> Quantiles:
    if first is None or last is None:
        return Quantiles()
    found = _difference(first.metrics, last.metrics, name, labels)
    return Quantiles() if found is None else _histogram_ms(found)


def _pauses(first: Sample | None, last: Sample | None) -> Quantiles:
    """Of the garbage collector: 0 where it never ran, None where nobody counted."""
    if first is None or last is None:
        return Quantiles()
    found = _difference(first.metrics, last.metrics, GC_METRIC, {})
    if found is None or not found.bounds:
        return Quantiles()
    return _histogram_ms(found) if found.count else Quantiles(0.0, 0.0, 0.0, 0.0)


def _server_cpu_us(first: Sample | None, last: Sample | None, active: float) -> Number:
    if first is None or last is None or first.server_cpu_s is None or last.server_cpu_s is None:
        return None
    spent_s, passed_s = last.server_cpu_s - first.server_cpu_s, last.at_s - first.at_s
    return round(spent_s / passed_s / max(1.0, active) * 1e6, 2)


def _generator_cpu_us(first: Sample | None, last: Sample | None, active: float) -> Number:
    if first is None or last is None:
        return None
    spent_s, passed_s = last.generator_cpu_s - first.generator_cpu_s, last.at_s - first.at_s
    return round(spent_s / passed_s / max(1.0, active) * 1e6, 2)


def _delayed(first: Sample | None, last: Sample | None, name: str) -> Number:
    if first is None or last is None:
        return None
    before, after = getattr(first, name), getattr(last, name)
    if before is None or after is None:
        return None
    return round((after - before) / (last.at_s - first.at_s), 5)


def _steal(first: Sample | None, last: Sample | None) -> float:
    if first is None or last is None:
        return 0.0
    passed = max(1, last.host_ticks - first.host_ticks)
    return round((last.steal_ticks - first.steal_ticks) / passed, 5)


def _skipped(first: Sample | None, last: Sample | None) -> dict[str, float]:
    """Snapshots that the server left out, by its reason."""
    if first is None or last is None:
        return {}
    found: dict[str, float] = {}
    for (name, labels), value in last.metrics.items():
        if name == SKIPPED_METRIC:
            reason = dict(labels).get("reason", "")
            found[reason] = found.get(reason, 0.0) + value - first.metrics.get((name, labels), 0.0)
    return found


def _series(samples: list[Sample], labels: dict[str, str]) -> list[Point]:
    points: list[Point] = []
    for before, after in itertools.pairwise(samples):
        passed_s = after.at_s - before.at_s
        if passed_s < 0.2:
            continue
        cpu = None
        if before.server_cpu_s is not None and after.server_cpu_s is not None:
            cpu = (after.server_cpu_s - before.server_cpu_s) / passed_s
        points.append(
            Point(
                after.at_s - samples[0].at_s, cpu,
                (after.generator_cpu_s - before.generator_cpu_s) / passed_s,
                (after.received_bytes - before.received_bytes) / passed_s,
                after.server_rss_bytes,
                _server_quantiles(before, after, TICK_METRIC, labels).p99,
                _server_quantiles(before, after, LATE_METRIC, labels).p99,
                _server_quantiles(before, after, COLLECT_METRIC, labels).p99,
            )
        )
    return points


def _age_histogram(ages_ms: npt.NDArray[np.float64]) -> tuple[list[float], list[int]]:
    if not len(ages_ms):
        return [], []
    top = max(1.0, float(np.quantile(ages_ms, 0.999)))
    counts, edges = np.histogram(np.minimum(ages_ms, top), AGE_BINS, (0.0, top))
    return [round(float(edge), 3) for edge in edges], [int(count) for count in counts]


def _ratio(part: float, whole: float) -> Number:
    return round(part / whole, 5) if whole else None
