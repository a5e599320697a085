"""Mann-Whitney: scipy's p-value, a hand-worked probability, coverage and invariance."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from ranklift.lift.moments import Floats
from ranklift.lift.ranks import RankComparison, compare_ranks
from ranklift.lift.values import Unavailable


def compared(control: Floats, arm: Floats, level: float = 0.95) -> RankComparison:
    found = compare_ranks(control, arm, confidence_level=level)
    assert isinstance(found, RankComparison)
    return found


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("seed", "n0", "n1"), [(1, 8, 9), (2, 50, 80), (3, 3_000, 2_000)])
def test_the_p_value_is_scipys(seed: int, n0: int, n1: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    control, arm = rng.normal(10, 2, n0), rng.normal(10.1, 2, n1)
    if ties:
        control, arm = np.round(control), np.round(arm)
    found = compared(control, arm)
    theirs = stats.mannwhitneyu(arm, control, method="asymptotic")
    assert found.p_value == pytest.approx(theirs.pvalue, rel=1e-10)
    assert found.probability == pytest.approx(theirs.statistic / (n0 * n1), rel=1e-12)


def test_the_standard_error_is_brunner_and_munzels() -> None:
    rng = np.random.default_rng(4)
    control, arm = rng.poisson(3, 40).astype(float), rng.poisson(4, 70).astype(float)
    found = compared(control, arm)
    theirs = stats.brunnermunzel(control, arm)
    assert (found.probability - 0.5) / found.standard_error == pytest.approx(
        abs(theirs.statistic), rel=1e-9
    )


def test_a_hand_worked_probability() -> None:
    # Against nine 5s: 5 units above, 2 tie, 1 below. Against the 9: none.
    found = compared(np.append(np.full(9, 5.0), 9.0), np.array([4.0, 5, 5, 6, 6, 7, 7, 7]))
    assert found.probability == pytest.approx((9 * (5 + 2 / 2)) / (10 * 8))


def test_intervals_cover_a_planted_probability() -> None:
    rng = np.random.default_rng(5)
    truth = stats.norm.cdf(0.8 / math.hypot(1, 2))
    covered, runs = 0, 2_000
    for _ in range(runs):
        found = compared(rng.normal(0, 1, 60), rng.normal(0.8, 2, 40))
        covered += found.lower <= truth <= found.upper
    assert 0.935 < covered / runs < 0.965


def test_a_tail_changes_nothing() -> None:
    rng = np.random.default_rng(6)
    control, arm = rng.lognormal(3, 1, 200), rng.lognormal(3.2, 1, 200)
    expected = compared(control, arm)
    assert dataclasses.astuple(compared(np.log(control), np.log(arm))) == pytest.approx(
        dataclasses.astuple(expected), rel=1e-12
    )
    assert compared(control, np.where(arm == arm.max(), 1e12, arm)) == expected


def test_swapping_the_arms_mirrors_the_probability() -> None:
    rng = np.random.default_rng(7)
    control, arm = rng.normal(0, 1, 30), rng.normal(0.5, 1, 50)
    there, back = compared(control, arm), compared(arm, control)
    assert back.probability == pytest.approx(1 - there.probability, rel=1e-12)
    assert (back.lower, back.upper) == pytest.approx((1 - there.upper, 1 - there.lower), rel=1e-9)
    assert back.p_value == pytest.approx(there.p_value, rel=1e-9)


@pytest.mark.parametrize(
    ("control", "arm", "expected"),
    [
        pytest.param(np.empty(0), np.arange(9.0), "control: 0 units, at least 8", id="empty"),
        pytest.param(np.arange(9.0), np.arange(7.0), "arm: 7 units, at least 8", id="few"),
        pytest.param(np.arange(9.0), np.full(9, np.inf), "arm: some values", id="infinite"),
        pytest.param(np.full(9, np.nan), np.arange(9.0), "control: some values", id="nan"),
        pytest.param(np.arange(9.0), np.arange(9.0) + 100, "do not overlap", id="apart"),
        pytest.param(np.full(9, 3.0), np.full(9, 3.0), "all ties", id="equal"),
    ],
)
def test_what_cannot_be_computed_is_a_reason(control: Floats, arm: Floats, expected: str) -> None:
    found = compare_ranks(control, arm)
    assert isinstance(found, Unavailable)
    assert expected in found.reason
