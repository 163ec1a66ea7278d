"""Reports: the figures, the reasons that void a run, JSON, table and page."""

from __future__ import annotations

import dataclasses
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np
import pytest
from rich.console import Console

from atrium_loadtest import bench, floor, html, report, runner, table, trace
from atrium_loadtest.evidence import Evidence, Sample, Window
from atrium_loadtest.metrics import parse_prometheus
from atrium_loadtest.probe import Tally

CONTRACT = {
    "clients", "seconds", "rate_hz", "pose_age_ms", "snapshots_per_client_s",
    "updates_seen_ratio", "bytes_per_client_s", "bytes_per_avatar_update",
    "server_cpu_us_per_client_s", "server_rss_bytes", "tick_ms", "tick_late_ms",
    "generator_busy", "steal_ratio", "valid", "reasons", "clients_active", "collect_ms",
    "records_with_hands_ratio",
}


HISTOGRAMS = (report.TICK_METRIC, report.LATE_METRIC, report.COLLECT_METRIC)


def metrics(ticks: int, names: tuple[str, ...] = HISTOGRAMS) -> str:
    lines = []
    for name in names:
        lines.append(f'{name}_bucket{{world="w",le="0.002"}} {ticks}')
        lines.append(f'{name}_bucket{{world="w",le="+Inf"}} {ticks}')
    return "\n".join([*lines, f'atrium_snapshots_skipped_total{{reason="credit"}} {ticks // 10}'])


def sample(at_s: float, **changes: object) -> Sample:
    made = Sample(
        at_s=at_s, generator_cpu_s=0.5 * at_s, generator_delayed_s=0.01 * at_s,
        server_cpu_s=0.2 * at_s, server_delayed_s=0.2 * at_s, server_rss_bytes=80_000_000,
        host_ticks=int(200 * at_s), steal_ticks=0,
        received_bytes=int(1e6 * at_s), metrics=parse_prometheus(metrics(int(20 * at_s))),
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def evidence(**changes: object) -> Evidence:
    tally = Tally(
        ages_ns=[np.arange(1, 101, dtype=np.int64) * 1_000_000], records=1_000, unmatched=50,
        records_with_hands=750,
        snapshots=50, snapshot_bytes=24_000, expected=1_000.0, seen=990.0, pairs=500,
        pairs_stale=0, visible=1_000,
    )
    window = Window(
        started_ns=0, base={}, tally=tally, waited_ns=6 * 10**9, late_ns=[500_000] * 2_000,
        ended_ns=10 * 10**9, actives=[90, 110] * 50,
        counts={"snapshots": 20_000, "received_bytes": 10_000_000, "chat_lines": 0,
                "other_frames": 0, "poses": 20_000, "blocked": 0},
    )
    made = Evidence(
        scenario="plaza", clients=100, rate_hz=20.0, seed=1, window=window,
        samples=[sample(float(at_s)) for at_s in range(11)], join_s=[0.01, 0.02], corrections=3,
        lost={}, scenario_figures={"resumed": 4}, exit_status=0, died=False,
    )
    return dataclasses.replace(made, **changes)  # type: ignore[arg-type]


def test_the_figures_of_a_sound_run() -> None:
    made = report.build_report(evidence())
    assert made.valid
    assert made.reasons == []
    assert made.pose_age_ms == report.Quantiles(50.5, 95.05, 99.01, 100.0)
    assert made.snapshots_per_client_s == 20.0
    assert made.bytes_per_client_s == 10_000.0
    assert made.bytes_per_avatar_update == 24.0
    assert made.updates_seen_ratio == 0.99
    assert made.server_cpu_us_per_client_s == 2_000.0
    assert made.generator_busy == 0.4
    assert made.tick_ms.max == 2.0
    assert (made.collect_ms.p50, made.collect_ms.max) == (1.0, 2.0)
    assert made.clients_active == 100.0
    assert made.records_with_hands_ratio == 0.75
    assert made.unmatched_ratio == 0.05
    assert made.snapshots_skipped == {"credit": 20.0}
    assert made.server_rss_bytes == 80_000_000
    assert (made.generator_delayed_ratio, made.server_delayed_ratio) == (0.01, 0.2)
    assert len(made.series) == 10
    assert made.series[3].collect_ms_p99 == pytest.approx(1.98)
    assert made.series[3].server_cpu == pytest.approx(0.2)


def test_the_json_has_at_least_what_was_promised() -> None:
    found = msgspec.json.decode(report.to_json(report.build_report(evidence())))
    assert set(found) >= CONTRACT
    assert set(found["pose_age_ms"]) >= {"p50", "p95", "p99"}
    assert set(found["tick_ms"]) >= {"p50", "p99"}
    assert set(found["tick_late_ms"]) >= {"p50", "p99", "max"}
    assert set(found["collect_ms"]) >= {"p50", "p99"}


def _window(**changes: object) -> Window:
    return dataclasses.replace(evidence().window, **changes)  # type: ignore[arg-type]


UNSOUND: dict[str, dict[str, object]] = {
    "stolen": {"samples": [sample(0.0), sample(10.0, steal_ticks=60)]},
    "busy": {"window": _window(waited_ns=10**8)},
    "other programs": {"samples": [sample(0.0), sample(10.0, generator_delayed_s=0.6)]},
    "poses late": {"window": _window(late_ns=[50_000_000] * 100)},
    "lost: 2 x closed with 1011": {"lost": {"closed with 1011": 2}},
    "ended before": {"died": True},
    "left with status -9": {"exit_status": -9},
    "no snapshot": {"window": _window(counts=dict.fromkeys(evidence().window.counts, 0))},
    "no pose age": {"window": _window(tally=Tally())},
    "too short": {"samples": [sample(0.0)]},
    "only 97.9 of 100 clients": {"window": _window(actives=[97, 98, 98, 98, 98, 98, 98, 98, 98])},
    "3 clients were still joining": {"joins_pending": 3},
    "5.1% of the decoded records": {
        "window": _window(tally=dataclasses.replace(evidence().window.tally, unmatched=51))
    },
    "CPU time of the server": {
        "samples": [sample(0.0, server_cpu_s=None), sample(10.0, server_cpu_s=None)]
    },
    "no tick was found": {"samples": [sample(0.0, metrics={}), sample(10.0, metrics={})]},
}


@pytest.mark.parametrize("reason", UNSOUND)
def test_what_makes_a_run_worthless_is_said(reason: str) -> None:
    made = report.build_report(evidence(**UNSOUND[reason]))
    assert not made.valid
    assert any(reason in found for found in made.reasons), made.reasons


def test_98_of_100_clients_are_enough_and_in_churn_fewer_are() -> None:
    assert report.build_report(evidence(window=_window(actives=[98]))).valid
    made = report.build_report(evidence(window=_window(actives=[60]), scenario="churn"))
    assert made.valid, made.reasons
    assert made.clients_active == 60.0


def test_the_floor_owes_no_metrics_and_a_server_of_others_no_cpu() -> None:
    bare = [sample(0.0, metrics={}), sample(10.0, metrics={})]
    made = report.build_report(evidence(samples=bare, expects_metrics=False))
    assert made.valid, made.reasons
    unknown = [sample(0.0, server_cpu_s=None), sample(10.0, server_cpu_s=None)]
    made = report.build_report(evidence(samples=unknown, exit_status=None))
    assert made.valid, made.reasons


def test_an_older_server_does_not_say_what_collecting_took() -> None:
    old = [
        sample(at_s, metrics=parse_prometheus(metrics(int(20 * at_s), HISTOGRAMS[:2])))
        for at_s in (0.0, 10.0)
    ]
    made = report.build_report(evidence(samples=old))
    assert made.valid, made.reasons
    assert made.collect_ms == report.Quantiles()
    assert dict(table.rows(made))["collect p50 / p99, ms"] == "- / -"


def test_no_collection_of_garbage_is_told_from_no_metric_of_it() -> None:
    def pause(counts: tuple[int, int] | None) -> tuple[float | None, str]:
        samples = [sample(0.0), sample(10.0)]
        for one, count in zip(samples, counts or (), strict=False):
            one.metrics.update(parse_prometheus(
                f'{report.GC_METRIC}_bucket{{generation="2",le="0.004"}} {count}\n'
                f'{report.GC_METRIC}_bucket{{generation="2",le="+Inf"}} {count}'
            ))
        made = report.build_report(evidence(samples=samples))
        return made.gc_pause_ms.max, dict(table.rows(made))["garbage collection pause max, ms"]

    assert pause(None) == (None, "-")
    assert pause((7, 7)) == (0.0, "none")
    assert pause((7, 8)) == (4.0, "4.00")


def test_what_was_not_measured_is_null_and_not_zero() -> None:
    bare = [sample(0.0, server_cpu_s=None, metrics={}), sample(9.0, server_cpu_s=None, metrics={})]
    made = report.build_report(
        evidence(samples=bare, exit_status=None, window=_window(tally=Tally()),
                 expects_probes=False)
    )
    assert made.valid, made.reasons
    assert made.server_cpu_us_per_client_s is None
    assert made.tick_ms == report.Quantiles()
    assert made.updates_seen_ratio is None
    assert made.pose_age_ms.p99 is None
    assert "Nothing was measured" in html.page(made)


def test_the_table_shows_every_line() -> None:
    made = report.build_report(evidence(lost={"closed": 1}))
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    with console.file:
        console.print(table.table(made))
        shown = console.export_text()
    for name, _ in table.rows(made):
        assert name in shown


def test_the_page_is_whole_and_needs_nothing_else() -> None:
    page = html.page(report.build_report(evidence(lost={"<script>alert(1)</script>": 1})))
    plots = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(plots) == 5
    assert "collect p99" in page
    assert "collect p50 / p99, ms" in page
    for plot in plots:
        ElementTree.fromstring(plot)
    assert "<script" not in page
    assert not re.search(r"https?://|src=|@import|url\(", page)


def test_a_gap_in_a_series_is_a_gap_in_its_line() -> None:
    svg = html.lines([html.Line("a", [0, 1, 2, 3, 4], [1, 2, None, 1, 1])], "ms")
    assert svg.count("<polyline") == 2


@pytest.mark.parametrize("value", [1e-6, 0.3, 1.0, 2.1, 7.0, 99.0, 12_345.0])
def test_bars_reach_no_higher_than_their_frame(value: float) -> None:
    svg = html.bars([0.0, value, 2 * value], [3, 1], "ms")
    heights = [float(found) for found in re.findall(r'height="([\d.]+)" fill', svg)]
    assert 0 < max(heights) <= 220


# --- bench ---------------------------------------------------------------------------------


def cost(us: float, **changes: object) -> report.Report:
    made = report.build_report(evidence())
    return msgspec.structs.replace(made, server_cpu_us_per_client_s=us, **changes)


def test_the_ratio_is_taken_over_the_cheapest_floor() -> None:
    floors = {"event": cost(280.0), "batch": cost(270.0), "tick": cost(250.0)}
    one = bench.judge(cost(300.0), floors, 1_000.0)
    assert one.ratio == 1.2
    assert one.void_reasons == []


def test_a_round_with_an_unsound_run_is_void_and_left_out() -> None:
    good = bench.judge(cost(300.0), {"event": cost(250.0)}, 1_000.0)
    stolen = bench.judge(
        cost(900.0, valid=False, reasons=["the machine was shared"]), {"event": cost(250.0)}, 1.0
    )
    fewer = bench.judge(cost(300.0), {"event": cost(250.0, bytes_per_client_s=5_000.0)}, 1_000.0)
    assert stolen.void_reasons == ["atrium: the machine was shared"]
    assert "50% of Atrium's bytes" in fewer.void_reasons[0]
    case = bench.summarise("plaza", 100, [good, stolen, fewer])
    assert (case.ratio, case.atrium_us, case.floor_us) == (1.2, 300.0, 250.0)
    nothing = bench.summarise("plaza", 100, [stolen])
    assert nothing.ratio is None
    bench.table([case, nothing])


def test_each_round_measures_every_way_of_receiving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def atrium(settings: runner.Settings) -> report.Report:
        assert settings.trace is not None
        ticks = [trace.TraceTick(0.05 * k, np.full(100, 500, np.uint32)) for k in range(3)]
        settings.trace.write_bytes(trace.build_trace(ticks))
        return cost(300.0)

    def bare(settings: runner.Settings, command: list[str], extent: object) -> report.Report:
        return cost({"event": 280.0, "batch": 270.0, "tick": 250.0}[command[-1]])

    monkeypatch.setattr(runner, "run", atrium)
    monkeypatch.setattr(floor, "run_floor", bare)
    job = bench.Bench(1, 1.0, 0.0, tmp_path, Path("floor"))
    case = job.case("plaza", 100, lambda _: None)
    assert set(case.rounds[0].floors) == set(get_args(floor.Receive)) == {"event", "batch", "tick"}
    assert (case.ratio, case.floor_us) == (1.2, 250.0)


def test_without_a_compiler_atrium_is_measured_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured: list[runner.Settings] = []

    def atrium(settings: runner.Settings) -> report.Report:
        measured.append(settings)
        return cost(300.0)

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(runner, "run", atrium)
    written = tmp_path / "bench.json"
    with pytest.raises(SystemExit) as left:
        bench.app(["--quick", "--json", str(written)])
    assert left.value.code == 0
    assert [settings.trace for settings in measured] == [None]
    told = " ".join(capsys.readouterr().out.split())
    assert "Atrium is measured alone, without a ratio: there is no C compiler (cc)" in told
    assert re.search(r"plaza 200 . 300.0 . - . - . - . - . 99.0 . 1 of 1", told), told
    (case,) = msgspec.json.decode(written.read_bytes())
    assert (case["atrium_us"], case["floor_us"], case["ratio"]) == (300.0, None, None)
