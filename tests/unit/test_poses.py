"""A flood of poses on one connection leaves room for those of all others."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.net.connections import Connections
from atrium_server.net.poses import POSES_PER_PASS_MAX, Poses, too_old

runs = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 12)), min_size=1, max_size=8)


def unfolded(pieces: list[tuple[int, int]]) -> list[int]:
    return [number for number, count in pieces for _ in range(count)]


def expected(numbers: list[int]) -> list[int]:
    """Those that have as many of the same behind them as are handed on."""
    most = POSES_PER_PASS_MAX
    return [k for k, number in enumerate(numbers) if numbers[k + 1 :].count(number) >= most]


@given(st.permutations(range(4)), st.lists(st.integers(0, 20), min_size=4, max_size=4), runs)
def test_exactly_the_newest_of_each_connection_are_kept(
    order: list[int], counts: list[int], slow: list[tuple[int, int]]
) -> None:
    """One chunk for each connection, then whatever came on the slow path."""
    chunks = unfolded(list(zip(order, counts, strict=True)))
    padding = [9] * POSES_PER_PASS_MAX  # the guard is for more poses than these
    numbers = np.array(padding + chunks, np.int32)
    assert sorted(too_old(numbers, mixed=False).tolist()) == expected(numbers.tolist())
    numbers = np.array(padding + chunks + unfolded(slow), np.int32)
    assert sorted(too_old(numbers, mixed=True).tolist()) == expected(numbers.tolist())


def test_nothing_collected_is_nothing_offered() -> None:
    Poses(Connections(1)).offer()
