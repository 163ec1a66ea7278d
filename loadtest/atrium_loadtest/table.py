"""The report as lines of name and value, for a terminal and for the page. PURE.

A figure that could not be measured is shown as "-", never as 0.
"""

from __future__ import annotations

from rich.table import Table

from atrium_loadtest.report import Number, Quantiles, Report


def table(report: Report) -> Table:
    """The report for a person at a terminal."""
    shown = Table(title=f"{report.scenario}: {report.clients} clients at {report.rate_hz:g} Hz")
    shown.add_column("figure")
    shown.add_column("value", justify="right")
    for name, value in rows(report):
        shown.add_row(name, value)
    return shown


def rows(report: Report) -> list[tuple[str, str]]:
    """Name and value of everything worth a line in a table."""
    rss = report.server_rss_bytes
    lines = [
        ("clients active", f"{report.clients_active:,.1f} of {report.clients:,}"),
        ("pose age p50 / p95 / p99, ms", _join(report.pose_age_ms, "p50", "p95", "p99")),
        ("snapshots per client and s", f"{report.snapshots_per_client_s:.2f}"),
        ("updates seen", _percent(report.updates_seen_ratio)),
        ("older than 1 s", _percent(report.stale_ratio)),
        ("bytes per client and s", f"{report.bytes_per_client_s:,.0f}"),
        ("bytes per avatar update", _number(report.bytes_per_avatar_update, 2)),
        ("records with head and hands", _percent(report.records_with_hands_ratio)),
        ("records per snapshot", _number(report.records_per_snapshot, 1)),
        ("server CPU per client and s, us", _number(report.server_cpu_us_per_client_s, 1)),
        ("server memory, MB", "-" if rss is None else f"{rss / 1e6:.1f}"),
        ("tick p50 / p99, ms", _join(report.tick_ms, "p50", "p99")),
        ("tick late p50 / p99 / max, ms", _join(report.tick_late_ms, "p50", "p99", "max")),
        ("collect p50 / p99, ms", _join(report.collect_ms, "p50", "p99")),
        ("garbage collection pause max, ms",
         "none" if report.gc_pause_ms.max == 0 else _join(report.gc_pause_ms, "max")),
        ("join p50 / p99, ms", _join(report.join_ms, "p50", "p99")),
        ("corrections", str(report.corrections)),
        ("generator busy", f"{report.generator_busy:.1%}"),
        ("generator late p50 / p99, ms", _join(report.generator_late_ms, "p50", "p99")),
        ("generator CPU per client and s, us", _number(report.generator_cpu_us_per_client_s, 1)),
        ("generator / server waited for a CPU",
         f"{report.generator_delayed_ratio:.1%} / {_percent(report.server_delayed_ratio)}"),
        ("steal", f"{report.steal_ratio:.2%}"),
    ]
    lines += [
        (name.replace("_", " "), _number(value, 2) if isinstance(value, float) else str(value))
        for name, value in report.scenario_figures.items()
    ]
    return [*lines, ("valid", "yes" if report.valid else "no: " + "; ".join(report.reasons))]


def _number(value: Number, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _percent(value: Number) -> str:
    return "-" if value is None else f"{value:.2%}"


def _join(quantiles: Quantiles, *names: str) -> str:
    return " / ".join(_number(getattr(quantiles, name), 2) for name in names)
