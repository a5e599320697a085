"""Power by simulation: what is injected, what comes out, and how it agrees with the formula."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import stats

from ranklift.lift.adjust import Covariate
from ranklift.lift.moments import Moments
from ranklift.lift.planning import minimal_lift, power_at, relative_variance
from ranklift.lift.resampled_power import ResampledPower, resampled_power
from ranklift.lift.values import Unavailable
from ranklift.v1.errors import InvalidRequest


def users(seed: int, count: int = 4_000) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    visits, ctr = 9 * rng.exponential(1, count), rng.beta(4, 6, count)
    pages, pre = 1 + rng.poisson(visits), 1 + rng.poisson(visits)
    clicked = rng.binomial(pages, ctr)
    return pl.DataFrame(
        {
            "pages": pages,
            "clicked_pages": clicked,
            "any": (clicked > 0).astype(float),
            "rate": clicked / pages,
            "dwell_ms": np.round(clicked * rng.lognormal(10, 1, count)).astype(np.int64),
            "pre_pages": pre,
            "pre_clicked_pages": rng.binomial(pre, ctr),
        }
    )


def simulated(*arguments: object, **named: object) -> ResampledPower:
    found = resampled_power(*arguments, **named)  # type: ignore[arg-type]
    assert isinstance(found, ResampledPower)
    return found


@pytest.mark.parametrize(
    ("numerator", "denominator"),
    [("clicked_pages", "pages"), ("any", None), ("rate", None), ("dwell_ms", "pages")],
)
def test_power_is_what_the_formula_says(numerator: str, denominator: str | None) -> None:
    log = users(1)
    names = (numerator, denominator) if denominator else (numerator,)
    variance = relative_variance(Moments.from_frame(log, names), numerator, denominator)
    assert isinstance(variance, float)
    # A third arm, with the rest, is not compared. More units than the log has: a small lift, with
    # which control still varies as the log does.
    shares, units = (0.4, 0.4), 40_000
    lift = minimal_lift(variance, units, shares=shares)
    found = simulated(
        log, numerator, denominator, lift, units=units, shares=shares, replicates=500, seed=5
    )
    expected = power_at(variance, lift, units, shares=shares)
    assert expected == pytest.approx(0.8)
    assert abs(found.power - expected) <= 3.3 * np.sqrt(0.16 / 500) + 0.02
    assert found.power_interval.lower < found.power < found.power_interval.upper
    assert found.type_s == 0
    # Significant lifts are those that came out large.
    assert found.type_m is not None
    assert 1.02 < found.type_m < 1.25


def test_covariates_raise_the_power_as_planned() -> None:
    log = users(2)
    covariates = (Covariate("pre_clicked_pages", "pre_pages"),)
    moments = Moments.from_frame(log, log.columns)
    variance = relative_variance(moments, "clicked_pages", "pages", covariates)
    assert isinstance(variance, float)
    lift = minimal_lift(variance, 4_000)
    plain = simulated(log, "clicked_pages", "pages", lift, replicates=500, seed=6)
    found = simulated(
        log, "clicked_pages", "pages", lift, covariates=covariates, replicates=500, seed=6
    )
    assert abs(found.power - 0.8) <= 3.3 * np.sqrt(0.16 / 500) + 0.02
    assert plain.power < found.power - 0.05


def test_a_lift_of_zero_is_found_as_often_as_alpha() -> None:
    found = simulated(users(3), "clicked_pages", "pages", 0.0, replicates=1_000, seed=7)
    assert found.power <= stats.binom.ppf(0.999, 1_000, 0.05) / 1_000
    assert found.power >= stats.binom.ppf(0.001, 1_000, 0.05) / 1_000
    assert (found.type_s, found.type_m) == (None, None)


def test_with_hardly_any_power_significant_lifts_exaggerate_and_mistake_the_sign() -> None:
    found = simulated(
        users(4), "clicked_pages", "pages", 0.001, units=300, replicates=1_000, seed=8
    )
    assert found.type_s is not None
    assert found.type_m is not None
    assert found.type_s > 0.2
    assert found.type_m > 20


@pytest.mark.parametrize("lift", [0.25, -0.2])
def test_the_injected_lift_is_exact_in_expectation(lift: float) -> None:
    # So many units that every experiment is significant: type M is |mean estimate| / |lift|.
    found = simulated(users(5), "clicked_pages", "pages", lift, units=40_000, replicates=40, seed=9)
    assert found.power == 1
    assert found.type_m == pytest.approx(1, abs=0.02)


def test_the_same_seed_draws_the_same_experiments() -> None:
    log = users(6, 500)
    once = simulated(log, "clicked_pages", "pages", 0.1, replicates=50, seed=1)
    assert simulated(log, "clicked_pages", "pages", 0.1, replicates=50, seed=1) == once
    assert simulated(log, "clicked_pages", "pages", 0.1, replicates=50, seed=2) != once


def test_the_interval_is_wilsons() -> None:
    found = simulated(users(7, 500), "clicked_pages", "pages", 0.1, replicates=80, seed=3)
    hits = round(found.power * 80)
    expected = stats.binomtest(hits, 80).proportion_ci(method="wilson")
    assert found.power_interval.lower == pytest.approx(expected.low, rel=1e-9)
    assert found.power_interval.upper == pytest.approx(expected.high, rel=1e-9)


def test_a_log_without_clicks_has_no_power_to_tell() -> None:
    log = users(8, 100).with_columns(clicked_pages=pl.lit(0))
    found = resampled_power(log, "clicked_pages", "pages", 0.1, replicates=5, seed=1)
    assert isinstance(found, Unavailable)


def test_arguments_out_of_range_are_refused() -> None:
    log = users(9, 100)
    with pytest.raises(InvalidRequest, match=r"^lift"):
        resampled_power(log, "clicked_pages", "pages", -1.0, seed=1)
    with pytest.raises(InvalidRequest, match=r"^units"):
        resampled_power(log, "clicked_pages", "pages", 0.1, units=2, seed=1)
    with pytest.raises(InvalidRequest, match=r"^units"):
        resampled_power(log.clear(), "clicked_pages", "pages", 0.1, seed=1)
    with pytest.raises(InvalidRequest, match=r"^replicates"):
        resampled_power(log, "clicked_pages", "pages", 0.1, replicates=0, seed=1)
