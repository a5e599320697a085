"""Restricted mean dwell: Kaplan-Meier of statsmodels, plain means without censoring, coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from statsmodels.duration.survfunc import SurvfuncRight

from ranklift.lift.moments import Floats, Moments
from ranklift.lift.ratio import Difference, Estimate, estimate
from ranklift.lift.survival import Dwells, compare_restricted_mean, kaplan_meier, restricted_mean
from ranklift.lift.values import Unavailable
from ranklift.v1.errors import InvalidRequest

BETWEEN, WITHIN = 0.6, 0.9  # standard deviations of log dwell, of users and of their clicks


def draw(
    rng: np.random.Generator, units: int, mean_log: float = 4.0, censoring: float = 200.0
) -> Dwells:
    """Draw whole seconds of users that differ, about six clicks each, cut off at random times."""
    codes = np.repeat(np.arange(units), rng.poisson(6, units))
    stay = rng.normal(mean_log, BETWEEN, units)[codes]
    dwell = np.exp(stay + rng.normal(0, WITHIN, len(codes)))
    limit = rng.exponential(censoring, len(codes)) if math.isfinite(censoring) else np.inf
    return Dwells(np.minimum(dwell, limit), dwell <= limit, codes)


def restricted(dwells: Dwells, tau: float) -> Estimate:
    found = restricted_mean(dwells, tau)
    assert isinstance(found, Estimate)
    return found


@pytest.mark.parametrize("whole_seconds", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_curve_is_statsmodels(seed: int, whole_seconds: bool) -> None:
    seconds, observed, _ = draw(np.random.default_rng(seed), 100)
    if whole_seconds:
        seconds = np.floor(seconds / 10)  # many ties, of ends with censored ones too
    ours, theirs = kaplan_meier(seconds, observed), SurvfuncRight(seconds, observed)
    np.testing.assert_array_equal(ours.times, theirs.surv_times)
    np.testing.assert_array_equal(ours.at_risk, theirs.n_risk)
    np.testing.assert_array_equal(ours.ended, theirs.n_events)
    np.testing.assert_allclose(ours.survival, theirs.surv_prob, rtol=1e-12, atol=1e-15)


def test_a_hand_worked_curve() -> None:
    # Ends at 10, 20, 40; one is lost at 20, after the end there. S: 3/4, then 1/2, then 0.
    dwells = Dwells(np.array([10.0, 20, 20, 40]), np.array([True, True, False, True]), np.arange(4))
    assert restricted(dwells, 30).value == pytest.approx(10 + 0.75 * 10 + 0.5 * 10)
    assert restricted(dwells, 100).value == pytest.approx(10 + 0.75 * 10 + 0.5 * 20)


@pytest.mark.parametrize("tau", [20.0, 60.0, 1e6])
@pytest.mark.parametrize("whole_seconds", [False, True])
def test_without_censoring_it_is_the_mean_up_to_tau_and_its_clustered_error(
    whole_seconds: bool, tau: float
) -> None:
    seconds, observed, codes = draw(np.random.default_rng(3), 200, censoring=math.inf)
    assert observed.all()
    if whole_seconds:
        seconds = np.round(seconds)
    sums = np.bincount(codes, weights=np.minimum(seconds, tau))
    counts = np.bincount(codes)
    # A unit without clicks is no unit here.
    by_unit: Floats = np.column_stack([sums, counts])[counts > 0].astype(np.float64)
    expected = estimate(Moments.of(("s", "n"), by_unit), "s", "n")
    assert isinstance(expected, Estimate)
    found = restricted(Dwells(seconds, observed, codes), tau)
    assert found.count == expected.count
    assert found.value == pytest.approx(expected.value, rel=1e-12)
    assert found.variance == pytest.approx(expected.variance, rel=1e-9)


def test_the_variance_of_single_rows_is_the_jackknifes() -> None:
    rng = np.random.default_rng(4)
    seconds, observed, _ = draw(rng, 60)
    seconds, codes = np.round(seconds), np.arange(len(seconds))
    found = restricted(Dwells(seconds, observed, codes), 100)
    keep = ~np.eye(len(seconds), dtype=bool)
    without = [restricted(Dwells(seconds[k], observed[k], codes[k]), 100).value for k in keep]
    jackknife = (len(seconds) - 1) * np.var(without)
    assert found.variance == pytest.approx(jackknife, rel=0.02)


def test_the_clustered_variance_is_the_jackknifes_by_unit() -> None:
    dwells = draw(np.random.default_rng(5), 150)
    found = restricted(dwells, 100)
    units = np.unique(dwells.units)
    without = []
    for unit in units:
        keep = dwells.units != unit
        kept = Dwells(dwells.seconds[keep], dwells.observed[keep], dwells.units[keep])
        without.append(restricted(kept, 100).value)
    assert found.count == len(units)
    assert found.variance == pytest.approx((len(units) - 1) * np.var(without), rel=0.03)


def restricted_lognormal(mean_log: float, tau: float) -> float:
    """Return E min(T, tau) for log T of that mean and the spread that `draw` gives."""
    s = math.hypot(BETWEEN, WITHIN)
    z = (math.log(tau) - mean_log) / s
    return float(math.exp(mean_log + s * s / 2) * stats.norm.cdf(z - s) + tau * stats.norm.sf(z))


def test_intervals_cover_a_planted_difference_under_heavy_censoring() -> None:
    rng = np.random.default_rng(6)
    truth = restricted_lognormal(4.15, 300) - restricted_lognormal(4.0, 300)
    covered, significant, naive_covered, runs = 0, 0, 0, 1_000
    for _ in range(runs):
        control, arm, same = draw(rng, 150), draw(rng, 150, 4.15), draw(rng, 150)
        found = compare_restricted_mean(control, arm)
        assert isinstance(found, Difference)
        covered += found.difference_lower <= truth <= found.difference_upper
        null = compare_restricted_mean(control, same)
        assert isinstance(null, Difference)
        significant += null.p_value < 0.05
        # Negative control: the value with censored dwells left out is far off.
        seconds, observed, _ = control
        half = 1.96 * found.standard_error / math.sqrt(2)
        complete = np.minimum(seconds[observed], 300).mean()
        naive_covered += abs(complete - restricted_lognormal(4.0, 300)) < half
    assert 0.93 < covered / runs < 0.97
    assert 0.03 < significant / runs < 0.07
    assert naive_covered / runs < 0.1


def test_censored_dwells_beyond_tau_need_no_end() -> None:
    dwells = Dwells(np.array([5.0, 9, 30, 50]), np.array([True, True, False, False]), np.arange(4))
    assert restricted(dwells, 20).value == pytest.approx((5 + 9 + 20 + 20) / 4)
    found = restricted_mean(dwells, 60)
    assert found == Unavailable("no dwell is followed beyond 50 s, tau is 60 s; take a shorter one")


def of(seconds: Floats, units: int) -> Dwells:
    return Dwells(seconds, np.ones(len(seconds), dtype=bool), np.arange(len(seconds)) % units)


FINE = of(np.arange(1.0, 41), 20)


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        pytest.param(of(np.empty(0), 1), "control: dwells of 0 units", id="empty"),
        pytest.param(of(np.arange(9.0), 1), "control: dwells of 1 units", id="one-unit"),
        pytest.param(of(np.array([1, np.inf]), 2), "not finite", id="infinite"),
        pytest.param(of(np.array([1, np.nan]), 2), "not finite", id="nan"),
        pytest.param(of(np.array([1, -1.0]), 2), "below 0", id="negative"),
    ],
)
def test_what_cannot_be_computed_is_a_reason(control: Dwells, expected: str) -> None:
    found = compare_restricted_mean(control, FINE)
    assert isinstance(found, Unavailable)
    assert expected in found.reason
    back = compare_restricted_mean(FINE, control)
    assert isinstance(back, Unavailable)
    assert back.reason.startswith("arm: ")


def test_dwells_that_are_all_the_same_have_no_variance() -> None:
    same = of(np.full(40, 7.0), 20)
    assert compare_restricted_mean(same, same) == Unavailable(
        "no variance in either arm: nothing to test"
    )


@pytest.mark.parametrize("tau", [0, -1, math.inf, math.nan])
def test_tau_is_a_number_of_seconds(tau: float) -> None:
    with pytest.raises(InvalidRequest, match="tau: is"):
        compare_restricted_mean(FINE, FINE, tau)
