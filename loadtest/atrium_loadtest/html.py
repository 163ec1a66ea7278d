"""The report as one HTML page with plots: no scripts, no other files, no network. PURE.

Plots are SVG inside the page. Each is made of the same few parts: a frame, round numbers on both
axes, and one line or a row of bars per series. Colours are told apart by their names as well.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from atrium_loadtest.report import Report
from atrium_loadtest.table import rows

_WIDTH, _HEIGHT = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 12, 34
_COLOURS: Final = ("#1f6feb", "#c2410c", "#15803d", "#7c3aed")
_STYLE: Final = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem;
  color: #1b1f24; background: #fff; }
table { border-collapse: collapse; } td, th { padding: .2rem .8rem; text-align: left; }
td + td { text-align: right; font-variant-numeric: tabular-nums; }
tr:nth-child(odd) td { background: #f3f5f8; }
.bad { color: #b00020; } .plots { display: flex; flex-wrap: wrap; gap: 1.5rem; }
figure { margin: 0; } figcaption { font-weight: 600; } svg { max-width: 100%; height: auto; }
svg text { font: 11px system-ui, sans-serif; fill: #59636e; }
"""


@dataclass(frozen=True)
class Line:
    """One named series; a y of None is a gap."""

    name: str
    xs: Sequence[float]
    ys: Sequence[float | None]


@dataclass(frozen=True)
class Frame:
    """The ranges of a plot. Both start at 0."""

    x_max: float
    y_max: float

    def x(self, value: float) -> float:
        """Pixels from the left."""
        return _LEFT + value / self.x_max * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return _HEIGHT - _BOTTOM - value / self.y_max * (_HEIGHT - _TOP - _BOTTOM)


def page(report: Report) -> str:
    """The whole page."""
    title = f"Atrium load test: {report.scenario}, {report.clients} clients"
    verdict = (
        "<p>The run was valid.</p>" if report.valid
        else f'<p class="bad">Not valid: {html.escape("; ".join(report.reasons))}.</p>'
    )
    body = "\n".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(value)}</td></tr>"
        for name, value in rows(report)
    )
    figures = "\n".join(
        f"<figure><figcaption>{html.escape(caption)}</figcaption>{svg}</figure>"
        for caption, svg in _plots(report)
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{title}</h1>\n<p>{report.seconds:g} s at"
        f" {report.rate_hz:g} Hz, seed {report.seed}.</p>{verdict}\n"
        f'<div class="plots">\n{figures}\n</div>\n<h2>Figures</h2>\n<table>{body}</table>\n'
        "</body></html>\n"
    )


def bars(edges: Sequence[float], counts: Sequence[int], unit: str) -> str:
    """A histogram as SVG: `edges` has one element more than `counts`."""
    if not counts or not any(counts):
        return _empty()
    frame = Frame(edges[-1], _round_up(max(counts)))
    pieces = [
        f'<rect x="{frame.x(low):.1f}" y="{frame.y(count):.1f}"'
        f' width="{max(0.5, frame.x(high) - frame.x(low) - 0.5):.1f}"'
        f' height="{frame.y(0) - frame.y(count):.1f}" fill="{_COLOURS[0]}"/>'
        for low, high, count in zip(edges, edges[1:], counts, strict=False)
    ]
    return _svg(frame, pieces, unit)


def lines(series: Sequence[Line], unit: str) -> str:
    """Lines over seconds as SVG."""
    shown = [line for line in series if any(y is not None for y in line.ys)]
    if not shown:
        return _empty()
    highest = max(y for line in shown for y in line.ys if y is not None)
    frame = Frame(max(1e-9, *(x for line in shown for x in line.xs)), _round_up(highest))
    pieces: list[str] = []
    for number, line in enumerate(shown):
        colour = _COLOURS[number % len(_COLOURS)]
        for stretch in _stretches(line):
            points = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in stretch)
            pieces.append(
                f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>'
            )
        pieces.append(
            f'<text x="{_LEFT + 8 + 130 * number}" y="{_TOP + 12}" style="fill:{colour}">'
            f"{html.escape(line.name)}</text>"
        )
    return _svg(frame, pieces, unit + " over s")


def _plots(report: Report) -> list[tuple[str, str]]:
    points = report.series
    seconds = [point.at_s for point in points]
    late = Line("late p99", seconds, [point.tick_late_ms_p99 for point in points])
    tick = Line("tick p99", seconds, [point.tick_ms_p99 for point in points])
    collect = Line("collect p99", seconds, [point.collect_ms_p99 for point in points])
    server = Line("server", seconds, [point.server_cpu for point in points])
    own = Line("generator", seconds, [point.generator_cpu for point in points])
    down = Line(
        "kB/s", seconds,
        [point.received_bytes_per_s / 1e3 / max(1, report.clients) for point in points],
    )
    memory = Line(
        "resident", seconds,
        [None if p.server_rss_bytes is None else p.server_rss_bytes / 1e6 for p in points],
    )
    return [
        ("Pose age: sent to parsed by another client",
         bars(report.age_bins_ms, report.age_counts, "ms")),
        ("Tick: lateness, receiving before it, itself", lines([tick, late, collect], "ms")),
        ("CPU, in cores", lines([server, own], "cores")),
        ("Bytes down per client", lines([down], "kB/s")),
        ("Server memory", lines([memory], "MB")),
    ]


def _stretches(line: Line) -> list[list[tuple[float, float]]]:
    """The runs of points between gaps."""
    found: list[list[tuple[float, float]]] = [[]]
    for x, y in zip(line.xs, line.ys, strict=True):
        if y is None:
            found.append([])
        else:
            found[-1].append((x, y))
    return [stretch for stretch in found if stretch]


def _svg(frame: Frame, pieces: list[str], unit: str) -> str:
    axes: list[str] = []
    for value in _ticks(frame.y_max):
        y = frame.y(value)
        axes.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"'
            f' stroke="#dfe3e8"/><text x="{_LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">'
            f"{value:g}</text>"
        )
    axes += [
        f'<text x="{frame.x(value):.1f}" y="{_HEIGHT - _BOTTOM + 15}" text-anchor="middle">'
        f"{value:g}</text>"
        for value in _ticks(frame.x_max)
    ]
    label = f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 4}" text-anchor="end">{unit}</text>'
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img">'
        + "".join(axes) + "".join(pieces) + label + "</svg>"
    )


def _empty() -> str:
    return "<p>Nothing was measured.</p>"


def _round_up(value: float) -> float:
    """The next of 1, 2, 2.5, 5 times a power of ten; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 2.5, 5, 10) if value <= step * power * 1.000001)


def _ticks(top: float) -> list[float]:
    """About five round numbers from 0 to `top`."""
    step = _round_up(top / 5)
    return [k * step for k in range(int(top / step + 1.000001))]
