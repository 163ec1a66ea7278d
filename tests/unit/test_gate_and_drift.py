"""The gate, drift and budgets: figures in, words out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atrium_server.registry.drift import (
    PSI_LARGE,
    PSI_NOTABLE,
    ROWS_HALVED,
    SCORE_BINS,
    SIZE_BINS,
    Histograms,
    ks,
    psi,
    read_reference,
)
from atrium_server.registry.errors import ModelError
from atrium_server.registry.gate import Measured, Rule, Rules, Scored, Timed, judge, rules_of
from atrium_server.registry.watch import WINDOW_S, Batch, Budget, Watch

RULES = Rules(
    (Rule("auc", 0.01, 0.8), Rule("recall", 0.0), Rule("blocked", 0.001, 0.005, is_cost=True)),
    rows=64, run_ms_max=10.0,
)


def measured(
    label: str, auc: float, recall: float = 0.8, blocked: float = 0.002, dataset: str = "aa"
) -> Measured:
    figures = {"auc": auc, "recall": recall, "blocked": blocked}
    return Measured(label, Scored("fixed", dataset, figures), Timed("cpu", 64, 4.0))


# --- the gate ----------------------------------------------------------------------------


def test_as_good_and_fast_enough_may_go_live() -> None:
    verdict = judge(measured("m@2", 0.9), measured("m@1", 0.9), RULES)
    assert verdict.has_passed
    assert verdict.figures["candidate"]["figures"]["auc"] == 0.9
    assert verdict.figures["live"]["run_ms"] == 4.0
    assert verdict.figures["rules"]["figures"]["auc"] == {"margin": 0.01, "bound": 0.8}
    assert judge(measured("m@2", 0.891), measured("m@1", 0.9), RULES).has_passed
    assert judge(measured("m@1", 0.8), None, RULES).has_passed


@pytest.mark.parametrize(("candidate", "live", "said"), [
    (measured("m@2", 0.889), measured("m@1", 0.9), "must be at least 0.8900 (m@1 has 0.9"),
    (measured("m@2", 0.95, 0.799), measured("m@1", 0.9), "recall of m@2 is 0.7990"),
    (measured("m@2", 0.79), measured("m@1", 0.79), "auc of m@2 is 0.7900 and must"),
    (measured("m@2", 0.79), None, "must be at least 0.8000."),
    (measured("m@2", 0.95, blocked=0.0031), measured("m@1", 0.9), "must be at most 0.0030"),
    (measured("m@2", 0.95, blocked=0.0055), measured("m@1", 0.9, blocked=0.0052), "most 0.0050."),
    (measured("m@2", math.nan), None, "no figure auc"),
    (measured("m@2", 0.95, dataset="bb"), measured("m@1", 0.9), "not evaluated on the same set"),
    (measured("m@2", 0.95), Measured("m@1"), "not evaluated on the same set"),
    (Measured("m@2", timed=Timed("cpu", 64, 1.0)), None, "was not evaluated"),
    (Measured("m@2", measured("m@2", 0.9).scored), None, "run time of m@2"),
    (Measured("m@2", measured("m@2", 0.9).scored, Timed("cpu", 8, 1.0)), None, "run time of m@2"),
    (Measured("m@2", measured("m@2", 0.9).scored, Timed("cpu", 64, 10.1)), None, "10.1 ms"),
    (Measured("m@2", measured("m@2", 0.9).scored, Timed("cpu", 64, math.nan)), None, "run time"),
])
def test_what_is_missing_worse_or_slow_may_not(
    candidate: Measured, live: Measured | None, said: str
) -> None:
    verdict = judge(candidate, live, RULES)
    assert not verdict.has_passed
    assert said in " ".join(verdict.failures)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.2))
def test_nothing_worse_by_more_than_the_margin_passes(
    candidate: float, live: float, margin: float
) -> None:
    rules = Rules((Rule("auc", margin),), rows=64, run_ms_max=10.0)
    passed = judge(measured("m@2", candidate), measured("m@1", live), rules).has_passed
    assert passed == (candidate >= live - margin)


def test_what_is_measured_on_a_set_of_lines_has_rules_of_its_own() -> None:
    def on(label: str, recall: float) -> Measured:
        figures = {"roc_auc": 0.9, "recall": recall, "blocked": 0.01}
        return Measured(label, Scored("lines", "cc", figures, is_held_out=False),
                        Timed("cpu", 64, 4.0))

    assert judge(on("m@2", 0.79), on("m@1", 0.8), RULES).has_passed
    assert not judge(on("m@2", 0.77), on("m@1", 0.8), RULES).has_passed


def test_models_have_rules() -> None:
    assert rules_of("moderation").figures[0].figure == "roc_auc_toxic_with_chat"
    assert rules_of("of a world's own").figures[0].figure == "score"


# --- drift -------------------------------------------------------------------------------


def counted(seed: int, shape: float = 2.0, rows: int = 5_000, size: int = 40) -> Histograms:
    chance = np.random.default_rng(seed)
    made = Histograms()
    made.count_scores(chance.beta(shape, 5.0, (rows, 3)).astype(np.float32))
    made.count_sizes(chance.poisson(size, rows))
    return made


def reference(made: Histograms) -> Any:
    return read_reference({"reference": made.as_json()})


def test_the_same_kind_of_rows_does_not_drift() -> None:
    found = counted(2).against(reference(counted(1)))
    assert [each.field for each in found] == ["sizes", "0", "1", "2"]
    assert all(each.psi < PSI_NOTABLE / 2 and each.ks < 0.05 for each in found)


def test_other_scores_and_longer_rows_drift() -> None:
    found = counted(2, shape=6.0, size=400).against(reference(counted(1)))
    assert all(each.is_large and each.psi > PSI_LARGE and each.ks > 0.2 for each in found)


def test_nothing_is_said_of_few_rows() -> None:
    assert counted(2, rows=900).against(reference(counted(1))) == []
    assert counted(2).against(reference(counted(1, rows=900))) == []


def test_the_window_forgets() -> None:
    made = Histograms()
    for _ in range(30):
        made.count_scores(np.full((1_000, 1), 0.1, np.float32))
    for _ in range(10 * ROWS_HALVED // 1_000):
        made.count_scores(np.full((1_000, 1), 0.9, np.float32))
    (counts,) = made.as_json()["scores"]
    assert counts[2] < 0.02 * counts[18]
    assert sum(counts) < 2 * ROWS_HALVED
    assert made.rows < 2 * ROWS_HALVED


def test_odd_numbers_are_counted_at_the_ends() -> None:
    made = Histograms()
    odd = np.array([[np.nan, np.inf, -np.inf, 1.0, 0.0, 3e38]], np.float32)
    made.count_scores(odd)
    made.count_sizes(np.array([-1, 0, 2**40]))
    told = made.as_json()
    assert [row.index(1) for row in told["scores"]] == [0, 19, 0, 19, 0, 19]
    assert (told["sizes"][0], told["sizes"][-1]) == (2, 1)


HISTOGRAMS = st.lists(st.integers(0, 10_000), min_size=SCORE_BINS, max_size=SCORE_BINS).map(
    lambda counts: np.array(counts, np.float64))


@given(HISTOGRAMS, HISTOGRAMS)
def test_measures_are_bounded_and_nothing_against_themselves(p: Any, q: Any) -> None:
    assert psi(p, p) == 0
    assert ks(p, p) == 0
    assert 0 <= psi(p, q) < 40
    assert 0 <= ks(p, q) <= 1 + 1e-9
    assert psi(p, q) == pytest.approx(psi(q, p))


def test_psi_and_ks_are_those_of_the_books() -> None:
    p, q = np.array([500.0, 500.0]), np.array([700.0, 300.0])
    assert psi(p, q) == pytest.approx(0.2 * math.log(1.4) - 0.2 * math.log(0.6), rel=0.01)
    assert ks(p, q) == pytest.approx(0.2)


@pytest.mark.parametrize("raw", [
    5, [], {"rows": 1}, {"rows": True, "scores": [], "sizes": [0] * SIZE_BINS},
    {"rows": 1, "scores": [[1]], "sizes": [0] * SIZE_BINS},
    {"rows": 1, "scores": [[-1.0] * SCORE_BINS], "sizes": [0] * SIZE_BINS},
    {"rows": 1, "scores": [[0.0] * SCORE_BINS] * 65, "sizes": [0] * SIZE_BINS},
    {"rows": 1, "scores": "abc", "sizes": [0] * SIZE_BINS},
    {"rows": 1, "scores": [], "sizes": ["x"] * SIZE_BINS},
    {"rows": 1, "scores": [[1, 2], [3]], "sizes": [0] * SIZE_BINS},
])
def test_references_that_are_none_are_refused(raw: Any) -> None:
    if raw == []:
        assert read_reference({"reference": raw}) is None
        return
    with pytest.raises(ModelError, match="reference"):
        read_reference({"reference": raw})


def test_a_version_without_a_reference_has_none() -> None:
    assert read_reference({}) is None


# --- budgets -----------------------------------------------------------------------------


def watched(batch: Batch, times: int = 100, budget: Budget | None = None) -> str | None:
    watch = Watch("m@2", budget)
    for number in range(times):
        watch.note(batch, number * 0.1)
    return watch.broken(times * 0.1)


def test_who_keeps_to_the_budget_is_left_alone() -> None:
    assert watched(Batch(32, run_s=0.005)) is None
    assert watched(Batch(1, failed=1), times=199) is None


@pytest.mark.parametrize(("batch", "said"), [
    (Batch(32, failed=1), "failed; at most 2%"),
    (Batch(32, late=8, run_s=0.005), "were late; at most 20%"),
    (Batch(32, run_s=0.08), "ms for a batch at the 95th percentile and may take 50 ms"),
])
def test_who_breaks_it_is_told_why(batch: Batch, said: str) -> None:
    told = watched(batch)
    assert told is not None
    assert said in told
    assert "m@2" in told


def test_few_slow_batches_break_nothing_and_old_ones_are_forgotten() -> None:
    watch = Watch("m@2")
    for number in range(100):
        watch.note(Batch(32, run_s=0.2 if number % 25 == 0 else 0.005), number * 0.1)
    assert watch.broken(10.0) is None
    for number in range(100):
        watch.note(Batch(32, failed=32), 10.0 + number * 0.1)
    assert watch.broken(20.0) is not None
    assert watch.broken(20.0 + WINDOW_S) is None


@pytest.mark.parametrize("run_s", [1e-9, 0.0001, 0.0101, 1.0, 1e6])
def test_the_percentile_is_exact_to_a_bin(run_s: float) -> None:
    ms = min(run_s * 1_000, 0.05 * 1.25**63)
    batch = Batch(32, run_s=run_s)
    assert watched(batch, budget=Budget(run_ms_max=max(ms, 0.05))) is None
    if ms > 0.1:
        assert watched(batch, budget=Budget(run_ms_max=ms / 1.3)) is not None
