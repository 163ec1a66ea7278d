"""The grid, the search for candidates and the choice under a cap, against brute force."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from atrium_server.replication import interest
from atrium_server.replication.state import (
    DISTANCE,
    ENTITY,
    HELD_COLUMNS,
    Grid,
    Rules,
    make_grid,
)
from atrium_shared import pose

KEEP = np.float32(0.8)


def rules(radius_mm: float = 5_000.0, hysteresis_mm: float = 500.0) -> Rules:
    return Rules(radius_mm, hysteresis_mm, radius_mm, radius_mm, radius_mm, 20, 16_384)


def crowd(
    rng: np.random.Generator, n: int, half_mm: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32]]:
    """(alive, rows) of n slots; some stand beyond the extent, where movement rules have a bug."""
    rows = np.zeros((n, pose.COLUMNS), np.int32)
    rows[:, [pose.X, pose.Z]] = rng.integers(-half_mm - 3_000, half_mm + 3_001, (n, 2))
    return (rng.random(n) < 0.8).astype(np.uint8), rows


@pytest.mark.parametrize("seed", range(8))
def test_the_grid_holds_every_living_entity_once_and_in_its_cell(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, half = int(rng.integers(1, 300)), int(rng.choice([2_000, 20_000, 60_000]))
    alive, rows = crowd(rng, n, half)
    grid = make_grid(rules(), (-half, -half), (half, half), n)
    high = int(rng.integers(0, n + 1))
    interest.fill_grid(grid, high, alive, rows)
    living = np.flatnonzero(alive[:high])
    assert sorted(grid.items[: len(living)].tolist()) == living.tolist()
    assert grid.start[0] == 0
    assert grid.start[-1] == len(living)
    width, depth, side = int(grid.shape[0]), int(grid.shape[1]), float(grid.origin[2])
    for cell in range(width * depth):
        for e in grid.items[grid.start[cell] : grid.start[cell + 1]].tolist():
            x, z = (min(max(int((rows[e, axis] + half) // side), 0), size - 1)
                    for axis, size in ((pose.X, width), (pose.Z, depth)))
            assert x * depth + z == cell


def candidates(
    grid: Grid, rows: npt.NDArray[np.int32], own: int, near_mm: float, stamped: list[int]
) -> dict[int, float]:
    n = len(rows)
    stamps, found = np.zeros(n, np.int32), np.zeros(n, np.int32)
    stamps[stamped] = 7
    scores = np.zeros(n, np.float32)
    yaw = rows[own, pose.YAW] * 2 * np.pi / pose.YAW_STEPS
    count = interest.find_candidates(
        grid.start, grid.items, grid.shape, grid.origin, near_mm**2, own, rows,
        np.ones(n, np.float32), stamps, 7, rows[own, pose.X], rows[own, pose.Z],
        -np.sin(yaw), -np.cos(yaw), found, scores,
    )
    assert len(set(found[:count].tolist())) == count, "nobody is found twice"
    return dict(zip(found[:count].tolist(), scores[:count].tolist(), strict=True))


@pytest.mark.parametrize("seed", range(8))
def test_candidates_are_all_within_the_radius_and_no_others(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, half = 120, int(rng.choice([2_000, 12_000, 40_000]))
    alive, rows = crowd(rng, n, half)
    grid = make_grid(rules(), (-half, -half), (half, half), n)
    interest.fill_grid(grid, n, alive, rows)
    for own in np.flatnonzero(alive)[:20].tolist():
        rows[own, pose.YAW] = rng.integers(pose.YAW_STEPS)
        stamped = rng.choice(n, 5, replace=False).tolist()
        found = candidates(grid, rows, own, 5_000.0, stamped)
        step = (rows[:, [pose.X, pose.Z]] - rows[own, [pose.X, pose.Z]]).astype(np.float64)
        distance = np.hypot(step[:, 0], step[:, 1])
        near = {e for e in np.flatnonzero((distance <= 5_000.0) & (alive == 1)).tolist()
                if e != own and e not in stamped}
        assert set(found) == near
        for e, score in found.items():
            assert score == pytest.approx(distance[e], rel=1e-6) or score == pytest.approx(
                1.5 * distance[e], rel=1e-6
            )


def test_who_is_behind_counts_as_half_as_far_again() -> None:
    rows = np.zeros((3, pose.COLUMNS), np.int32)
    rows[1, pose.Z], rows[2, pose.Z] = -1_000, 1_000  # before the eyes, and behind
    grid = make_grid(rules(), (-9_000, -9_000), (9_000, 9_000), 3)
    interest.fill_grid(grid, 3, np.ones(3, np.uint8), rows)
    assert candidates(grid, rows, 0, 5_000.0, []) == {1: 1_000.0, 2: 1_500.0}
    rows[0, pose.YAW] = pose.YAW_STEPS // 2
    assert candidates(grid, rows, 0, 5_000.0, []) == {1: 1_500.0, 2: 1_000.0}


def chosen(
    held: list[float], new: list[float], cap: int
) -> tuple[list[int], list[int]]:
    """(indexes kept, candidates taken) by the kernel."""
    slots = 64
    table = np.full((slots, HELD_COLUMNS), -1, np.int32)
    table[: len(held), ENTITY] = np.arange(100, 100 + len(held))
    table[: len(held), DISTANCE] = np.array(held, np.float32).view(np.int32)
    found = np.arange(max(len(new), 1), dtype=np.int32)
    scores = np.array(new or [0.0], np.float32)
    count, freed = interest.best_of(
        table, len(held), cap, found, scores, len(new), len(held)
    )
    entity = table[:, ENTITY].tolist()
    assert [scores[k] for k in range(count)] == [np.float32(new[e]) for e in found[:count]]
    kept = [i for i in range(len(held)) if entity[i] >= 0]
    assert all(entity[i] in (-2, 100 + i) for i in range(len(held)))
    assert freed == len(held) - len(kept)
    return kept, found[:count].tolist()


@pytest.mark.parametrize("seed", range(40))
def test_the_cap_goes_to_the_best_as_a_sort_would_choose(seed: int) -> None:
    rng = np.random.default_rng(seed)
    cap = int(rng.integers(1, 12))
    # Few distinct distances in half of the cases, so that ties are everywhere.
    steps = int(rng.choice([4, 10_000]))
    held = rng.integers(1, steps + 1, int(rng.integers(0, cap + 1))).astype(np.float32)
    new = rng.integers(1, steps + 1, int(rng.integers(cap - len(held) + 1, 30))).astype(np.float32)
    new *= KEEP  # so that held and new ones tie, too
    kept, taken = chosen(held.tolist(), new.tolist(), cap)
    keys = [*(held * KEEP).tolist(), *new.tolist()]
    best = sorted(keys)[:cap]
    result = sorted([*(float(held[i] * KEEP) for i in kept), *(float(new[e]) for e in taken)])
    assert result == best
    # Among equals those already seen stay.
    limit = best[-1]
    if any(float(new[e]) == limit for e in taken):
        assert all(i in kept for i in range(len(held)) if float(held[i] * KEEP) == limit)


def test_one_that_is_seen_must_be_beaten_by_a_fifth() -> None:
    assert chosen([1_000.0], [801.0], 1) == ([0], [])
    assert chosen([1_000.0], [799.0], 1) == ([], [0])


def test_many_equals_never_push_out_one_who_is_nearer() -> None:
    assert chosen([], [5.0, 5.0, 3.0], 2) == ([], [0, 2])
    assert chosen([10.0, 10.0], [5.0, 8.0, 8.0], 2) == ([0], [0])
