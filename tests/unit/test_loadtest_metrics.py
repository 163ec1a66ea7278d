"""Prometheus text, histograms of a window, and what is read from /proc."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_loadtest.metrics import Histogram, histogram, parse_prometheus, total
from atrium_loadtest.observer import parse_delay, parse_host_cpu, parse_process_cpu, parse_rss

EDGES = tuple(0.001 * 1.12**k for k in range(60))

TEXT = """\
# HELP atrium_tick_seconds How long a tick took.
# TYPE atrium_tick_seconds histogram
atrium_tick_seconds_bucket{world="plaza",le="0.001"} 10
atrium_tick_seconds_bucket{world="plaza",le="0.002"} 30
atrium_tick_seconds_bucket{world="plaza",le="+Inf"} 31
atrium_tick_seconds_bucket{world="arena",le="0.001"} 1
atrium_tick_seconds_bucket{world="arena",le="0.002"} 1
atrium_tick_seconds_bucket{world="arena",le="+Inf"} 1
atrium_snapshots_skipped_total{reason="credit"} 4
atrium_snapshots_skipped_total{reason="a \\"quoted\\" one"} 3
process_cpu_seconds_total 12.5 1700000000000
"""


def test_samples_are_read_with_their_labels() -> None:
    samples = parse_prometheus(TEXT)
    assert total(samples, "atrium_snapshots_skipped_total") == 7
    assert total(samples, "process_cpu_seconds_total") == 12.5
    assert total(samples, "absent") is None
    assert histogram(samples, "atrium_tick_seconds", {"world": "plaza"}).counts == (10, 20, 1)
    assert histogram(samples, "atrium_tick_seconds").counts == (11, 20, 1)
    assert histogram(samples, "absent").quantile(0.5) is None


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        samples = parse_prometheus(text)
    except ValueError:
        return
    assert all(isinstance(value, float) for value in samples.values())


def observed(values: list[float]) -> Histogram:
    counts = [0.0] * (len(EDGES) + 1)
    for value in values:
        counts[next((k for k, edge in enumerate(EDGES) if value <= edge), len(EDGES))] += 1
    return Histogram((*EDGES, math.inf), tuple(counts))


seconds = st.floats(0.0011, EDGES[-1] * 0.99)


@given(st.lists(seconds, min_size=1, max_size=80), st.lists(seconds, max_size=80),
       st.floats(0.01, 1.0))
def test_a_quantile_of_a_window_is_within_one_bucket(
    inside: list[float], before: list[float], share: float
) -> None:
    window = observed(before + inside).since(observed(before))
    exact = sorted(inside)[max(0, math.ceil(share * len(inside)) - 1)]
    found = window.quantile(share)
    assert found is not None
    assert exact / 1.1201 <= found <= exact * 1.1201
    highest = window.maximum()
    assert highest is not None
    assert max(inside) <= highest <= max(inside) * 1.1201


def test_what_is_above_all_edges_counts_as_the_last_edge() -> None:
    window = observed([1e9])
    assert window.quantile(0.5) == EDGES[-1]
    assert window.maximum() == EDGES[-1]


def test_a_restarted_server_is_noticed() -> None:
    with pytest.raises(ValueError, match="restarted"):
        observed([0.002]).since(observed([0.002, 0.002]))


def test_proc_is_read() -> None:
    assert parse_host_cpu("cpu  10 1 5 80 2 0 1 7 3 0\ncpu0 1 1 1\n") == (106, 7)
    stat = "42 (a ) (b) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 5 0 100 1 1"
    assert parse_process_cpu(stat, 100) == 3.0
    assert parse_rss("Name:\tx\nVmRSS:\t   2048 kB\n") == 2_097_152
    assert parse_rss("Name:\tx\n") is None
    assert parse_delay("1000 2500000000 7\n") == 2.5
