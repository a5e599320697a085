"""Dwell laws against scipy's distributions and integrals, and their fits with censoring."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import integrate, stats

from ranklift.simulator.dwell import (
    GAMMA_DWELL,
    HEAVY_DWELL,
    SATISFIED_DWELL,
    UNSATISFIED_DWELL,
    WEIBULL_DWELL,
    DwellShifts,
    Gamma,
    LogNormal,
    Weibull,
)
from ranklift.simulator.dwell_fit import DwellFit, Law, fit
from ranklift.v1.errors import InvalidRequest

LAWS = [LogNormal(2.3, 1.1), Weibull(0.75, 16.3), Weibull(1.28, 115.6), Gamma(1.43, 76.3)]
IDS = ["log-normal", "weibull-heavy", "weibull", "gamma"]


def peer(law: Law) -> Any:
    if isinstance(law, LogNormal):
        return stats.lognorm(law.sigma, scale=np.exp(law.mu))
    if isinstance(law, Weibull):
        return stats.weibull_min(law.shape, scale=law.scale)
    return stats.gamma(law.shape, scale=law.scale)


@pytest.mark.parametrize("law", LAWS, ids=IDS)
def test_a_law_is_that_of_scipy(law: Law) -> None:
    x = np.geomspace(0.1, 3_000, 40)
    u = np.linspace(0.01, 0.99, 40)
    np.testing.assert_allclose(law.quantile(u, np.zeros(40)), peer(law).ppf(u), rtol=1e-9)
    np.testing.assert_allclose(law.log_density(x), peer(law).logpdf(x), rtol=1e-9)
    np.testing.assert_allclose(law.log_survival(x), peer(law).logsf(x), rtol=1e-7)


@pytest.mark.parametrize("law", LAWS, ids=IDS)
@given(cap=st.floats(1, 3_000), shift=st.floats(-1, 1))
def test_the_capped_mean_is_the_integral_of_survival(law: Law, cap: float, shift: float) -> None:
    factor = np.exp(shift)

    def survival(x: float) -> float:
        return float(np.exp(law.log_survival(np.array([x / factor]))[0]))

    area, _ = integrate.quad(survival, 1e-12, cap, limit=200)
    np.testing.assert_allclose(law.mean_below(cap, shift), area, rtol=1e-6)


@pytest.mark.parametrize("law", LAWS, ids=IDS)
def test_a_shift_multiplies_the_dwell(law: Law) -> None:
    u = np.linspace(0.01, 0.99, 9)
    longer = law.quantile(u, np.full(9, 0.4))
    np.testing.assert_allclose(longer, np.exp(0.4) * law.quantile(u, np.zeros(9)))


@pytest.mark.parametrize("laws", [WEIBULL_DWELL, GAMMA_DWELL], ids=["weibull", "gamma"])
def test_the_alternatives_have_the_moments_of_log_dwell_of_the_default(
    laws: tuple[Law, Law],
) -> None:
    for law, default in zip(laws, (SATISFIED_DWELL, UNSATISFIED_DWELL), strict=True):
        u = (np.arange(200_000) + 0.5) / 200_000
        log_seconds = np.log(law.quantile(u, np.zeros(len(u))))
        assert log_seconds.mean() == pytest.approx(default.mu, abs=0.01)
        assert log_seconds.std() == pytest.approx(default.sigma, abs=0.01)


def test_the_heavy_alternative_has_the_medians_of_the_default() -> None:
    for law, default in zip(HEAVY_DWELL, (SATISFIED_DWELL, UNSATISFIED_DWELL), strict=True):
        half = law.quantile(np.array([0.5]), np.zeros(1))
        assert half == pytest.approx(np.exp(default.mu), rel=0.01)


@pytest.mark.parametrize("share", [0.5, 0.6, 0.7])
def test_who_stayed_for_5_s_leaves_ever_more_slowly(share: float) -> None:
    """The hazard of satisfied and unsatisfied clicks together falls after 5 s, not from 0."""
    seconds = np.geomspace(5, 1_800, 500)
    satisfied, unsatisfied = peer(SATISFIED_DWELL), peer(UNSATISFIED_DWELL)
    density = share * satisfied.pdf(seconds) + (1 - share) * unsatisfied.pdf(seconds)
    survival = share * satisfied.sf(seconds) + (1 - share) * unsatisfied.sf(seconds)
    hazard = density / survival
    assert (np.diff(hazard) < 0).all()
    if share == 0.5:
        at = np.interp([10, 30, 120], seconds, hazard)
        np.testing.assert_allclose(at, [0.028, 0.017, 0.010], atol=6e-4)


def cut_short(law: Law, size: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return dwells of which about a third are censored by an independent time."""
    rng = np.random.default_rng(seed)
    seconds = law.quantile(rng.uniform(size=size), np.zeros(size))
    until = rng.exponential(2 * np.median(seconds), size)
    return np.minimum(seconds, until), until < seconds


@pytest.mark.parametrize("law", LAWS, ids=IDS)
def test_a_fit_is_that_of_scipy(law: Law) -> None:
    seconds, censored = cut_short(law, 3_000, 1)
    data = stats.CensoredData(uncensored=seconds[~censored], right=seconds[censored])
    kind = {LogNormal: stats.lognorm, Weibull: stats.weibull_min, Gamma: stats.gamma}[type(law)]
    shape, _, scale = kind.fit(data, floc=0)
    expected = [np.log(scale), shape] if isinstance(law, LogNormal) else [shape, scale]
    found = fit(seconds, censored, type(law))
    np.testing.assert_allclose(values(found), expected, rtol=1e-4)
    theirs = -kind.nnlf((shape, 0, scale), seconds[~censored])
    theirs += kind(shape, 0, scale).logsf(seconds[censored]).sum()
    assert found.log_likelihood == pytest.approx(theirs, rel=1e-9)


@pytest.mark.parametrize("law", LAWS, ids=IDS)
def test_a_fit_finds_the_law_within_its_errors(law: Law) -> None:
    """Over many logs the errors are right: deviations over errors have variance 1."""
    deviations = []
    for seed in range(60):
        found = fit(*cut_short(law, 400, seed), type(law))
        truth = list(values(DwellFit(law, {}, 0, 0, 0)))
        errors = list(found.errors.values())
        deviations.append((np.array(values(found)) - truth) / errors)
    z = np.array(deviations)
    assert (np.abs(z.mean(axis=0)) < 4 / np.sqrt(60)).all()
    # Variance of 60 standard normals: chi-squared / 59.
    assert (z.var(axis=0, ddof=1) < stats.chi2(59).ppf(1 - 1e-5) / 59).all()
    assert (z.var(axis=0, ddof=1) > stats.chi2(59).ppf(1e-5) / 59).all()


def test_ignoring_censoring_is_wrong() -> None:
    law = LogNormal(4.3, 1.0)
    seconds, censored = cut_short(law, 20_000, 3)
    right, wrong = (fit(seconds, flags, LogNormal) for flags in (censored, np.zeros_like(censored)))
    assert isinstance(right.law, LogNormal)
    assert isinstance(wrong.law, LogNormal)
    assert abs(right.law.mu - 4.3) < 4 * right.errors["mu"]
    assert abs(wrong.law.mu - 4.3) > 10 * wrong.errors["mu"]


def test_the_distance_tells_a_law_that_does_not_fit() -> None:
    seconds, censored = cut_short(LogNormal(2.3, 1.1), 20_000, 5)
    good, bad = fit(seconds, censored, LogNormal), fit(seconds, censored, Weibull)
    assert good.p_value > 0.01
    assert bad.p_value < 1e-6
    assert good.ks < bad.ks


@pytest.mark.parametrize(
    ("seconds", "censored", "field"),
    [
        ([1.0, 2.0], [False], "censored"),
        ([1.0, -2.0], [False, False], "dwell_seconds[1]"),
        ([1.0, float("nan")], [False, False], "dwell_seconds[1]"),
        ([1.0, 2.0], [False, True], "dwell_seconds"),
        ([2.0, 2.0], [False, False], "dwell_seconds"),
    ],
)
def test_a_log_that_teaches_nothing_is_refused(
    seconds: list[float], censored: list[bool], field: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        fit(seconds, censored, LogNormal)
    assert [violation.field for violation in raised.value.violations] == [field]


def test_a_result_shifts_log_dwell_by_grade_and_length() -> None:
    shifts = DwellShifts(by_grade=0.25, mean_grade=1.0, by_log_words=0.1, typical_words=200)
    assert shifts.of_result(1, 200) == 0
    assert shifts.of_result(2, 200) == pytest.approx(0.25)
    assert shifts.of_result(0, 400) == pytest.approx(-0.25 + 0.1 * np.log(2))
    assert shifts.of_result(1, 0) == shifts.of_result(1, 1)


def test_impossible_shifts_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"dwell_shifts\.typical_words"):
        DwellShifts(typical_words=0)


def values(found: DwellFit) -> tuple[float, float]:
    law = found.law
    return (law.mu, law.sigma) if isinstance(law, LogNormal) else (law.shape, law.scale)
