"""The send trace: what is written is read, what is not a trace is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_loadtest.trace import (
    TraceError,
    TraceTick,
    build_trace,
    bytes_per_tick,
    full_load,
    parse_trace,
)


def make(sizes: list[list[int]]) -> list[TraceTick]:
    return [TraceTick(0.05 * k, np.array(row, np.uint32)) for k, row in enumerate(sizes)]


sizes = st.lists(st.lists(st.integers(0, 2**32 - 1), max_size=5), max_size=6)


@given(sizes, st.data())
def test_a_trace_is_read_back_up_to_where_it_ends(
    rows: list[list[int]], data: st.DataObject
) -> None:
    written = build_trace(make(rows))
    cut = data.draw(st.integers(16, len(written)))
    found = parse_trace(written[:cut])
    assert [tick.sizes.tolist() for tick in found] == rows[: len(found)]
    whole = 16 + sum(12 + 4 * len(row) for row in rows[: len(found) + 1])
    assert len(found) == len(rows) or cut < whole


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_are_a_trace_or_a_trace_error(data: bytes, headed: bool) -> None:
    head = build_trace([]) if headed else b""
    try:
        ticks = parse_trace(head + data)
    except TraceError:
        return
    assert headed or data.startswith(build_trace([])[:12])
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(ticks))


def test_only_the_loaded_part_is_kept_and_begins_at_zero() -> None:
    ticks = make([[1], [1, 1], [9] * 4, [9], [8] * 4, [1, 1]])
    kept = full_load(ticks, 4)
    assert [len(tick.sizes) for tick in kept] == [4, 1, 4]
    assert [round(tick.seconds, 6) for tick in kept] == [0.0, 0.05, 0.1]
    assert bytes_per_tick(kept) == pytest.approx((36 + 9 + 32) / 3)
    with pytest.raises(TraceError, match="5 clients"):
        full_load(ticks, 5)
