"""Instruments, their text, and the observers of the process."""

from __future__ import annotations

import gc
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server import process_metrics
from atrium_server.telemetry import SECONDS_EDGES, Counter, Gauge, Histogram, Registry


def test_edges_grow_by_about_12_percent_from_20_us_to_10_s() -> None:
    edges = np.array(SECONDS_EDGES)
    growth = edges[1:] / edges[:-1]
    assert (edges[0], edges[-1]) == (20e-6, 10.0)
    assert growth.min() > 1.10
    assert growth.max() < 1.13


def test_the_text_is_exactly_that_of_prometheus() -> None:
    registry = Registry()
    registry.counter("atrium_poses_total", "Poses.").add(3)
    registry.gauge("atrium_sessions", "By state.", world="plaza", state="active").set(2)
    registry.gauge("atrium_sessions", "By state.", world='a"b\\c\nd', state="joining").set(0.5)
    registry.gauge_read("atrium_connections", "Line one\nand \\ two.", lambda: math.inf)
    registry.counter_read("process_cpu_seconds_total", "CPU.", lambda: 1.25)
    assert registry.render() == (
        "# HELP atrium_poses_total Poses.\n"
        "# TYPE atrium_poses_total counter\n"
        "atrium_poses_total 3\n"
        "# HELP atrium_sessions By state.\n"
        "# TYPE atrium_sessions gauge\n"
        'atrium_sessions{state="active",world="plaza"} 2\n'
        'atrium_sessions{state="joining",world="a\\"b\\\\c\\nd"} 0.5\n'
        "# HELP atrium_connections Line one\\nand \\\\ two.\n"
        "# TYPE atrium_connections gauge\n"
        "atrium_connections +Inf\n"
        "# HELP process_cpu_seconds_total CPU.\n"
        "# TYPE process_cpu_seconds_total counter\n"
        "process_cpu_seconds_total 1.25\n"
    )


def test_the_text_of_a_histogram_is_cumulative() -> None:
    registry = Registry()
    histogram = registry.histogram("atrium_tick_seconds", "Tick.", world="plaza")
    for seconds in (0.0, 20e-6, 21e-6, 0.005, 11.0):
        histogram.observe(seconds)
    lines = registry.render().splitlines()
    buckets = [line for line in lines if "_bucket" in line]
    assert lines[:2] == [
        "# HELP atrium_tick_seconds Tick.",
        "# TYPE atrium_tick_seconds histogram",
    ]
    assert buckets[0] == 'atrium_tick_seconds_bucket{world="plaza",le="2e-05"} 2'
    assert buckets[-2] == 'atrium_tick_seconds_bucket{world="plaza",le="10"} 4'
    assert buckets[-1] == 'atrium_tick_seconds_bucket{world="plaza",le="+Inf"} 5'
    assert lines[-2:] == [
        'atrium_tick_seconds_sum{world="plaza"} 11.005041',
        'atrium_tick_seconds_count{world="plaza"} 5',
    ]
    counts = [int(line.rsplit(" ", 1)[1]) for line in buckets]
    assert counts == sorted(counts)


def test_an_empty_registry_has_an_empty_text() -> None:
    assert Registry().render() == ""


@given(
    st.lists(st.floats(min_value=20e-6, max_value=10.0), min_size=1, max_size=200),
    st.floats(min_value=0, max_value=1),
)
def test_a_quantile_is_at_most_one_bucket_above_the_truth(values: list[float], q: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    truth = sorted(values)[max(1, math.ceil(q * len(values))) - 1]
    assert truth <= histogram.quantile(q) <= truth * 1.13
    assert histogram.max == max(values)
    assert histogram.count == len(values)


def test_what_lies_above_all_edges_is_told_by_the_maximum() -> None:
    histogram = Histogram()
    histogram.observe(25.0)
    assert histogram.quantile(0.5) == 25.0


def test_a_quantile_of_nothing_is_not_a_number() -> None:
    assert math.isnan(Histogram().quantile(0.99))


def test_a_clock_that_stepped_back_counts_as_zero() -> None:
    histogram = Histogram()
    histogram.observe(-1.0)
    assert (histogram.sum, histogram.count, histogram.quantile(1)) == (0.0, 1, 0.0)


def test_the_same_labels_in_any_order_are_the_same_instrument() -> None:
    registry = Registry()
    first = registry.gauge("atrium_sessions", "S.", world="plaza", state="active")
    assert registry.gauge("atrium_sessions", "S.", state="active", world="plaza") is first
    assert registry.gauge("atrium_sessions", "S.", state="joining", world="plaza") is not first


def test_misuse_is_refused() -> None:
    registry = Registry()
    registry.counter("atrium_refused_total", "R.", reason="full")
    with pytest.raises(ValueError, match="is already a counter"):
        registry.gauge("atrium_refused_total", "R.", reason="full")
    with pytest.raises(ValueError, match="has the labels"):
        registry.counter("atrium_refused_total", "R.", code="full")
    with pytest.raises(ValueError, match="no name for a metric"):
        registry.counter("atrium refused", "R.")
    with pytest.raises(ValueError, match="cannot go down"):
        Counter().add(-1)
    with pytest.raises(ValueError, match="cannot be set"):
        Gauge(lambda: 0.0).set(1)
    with pytest.raises(ValueError, match="cannot be added to"):
        Counter(lambda: 0.0).add(1)
    with pytest.raises(ValueError, match="from 0 to 1"):
        Histogram().quantile(99)


def test_collections_are_counted_while_observed_and_not_after() -> None:
    registry = Registry()
    with process_metrics.observe_gc(registry):
        gc.collect(2)
    gc.collect(2)
    full = registry.histogram("atrium_gc_pause_seconds", "", generation="2")
    assert full.count == 1
    assert full.sum > 0


def test_the_process_tells_its_memory_and_cpu_time() -> None:
    registry = Registry()
    process_metrics.add_process_metrics(registry)
    values = {
        line.split()[0]: float(line.split()[1])
        for line in registry.render().splitlines()
        if not line.startswith("#")
    }
    assert 5e6 < values["process_resident_memory_bytes"] < 1e12
    assert values["process_cpu_seconds_total"] > 0


def test_memory_is_told_without_proc(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr("builtins.open", refuse)
    assert process_metrics.resident_bytes() > 5e6
