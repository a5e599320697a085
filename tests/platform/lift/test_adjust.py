"""Covariates from before the experiment: against peers, regression, and what they must not do."""

from __future__ import annotations

import dataclasses

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
import tea_tasting
from hypothesis import given, settings
from hypothesis import strategies as st

from ranklift.lift.adjust import Adjusted, Covariate, compare_adjusted
from ranklift.lift.moments import Floats, Moments
from ranklift.lift.ratio import Comparison, LiftInterval, compare
from ranklift.lift.values import Unavailable

COLUMNS = ("clicks", "pages", "pre_clicks", "pre_pages", "missing", "noise", "constant", "copy")


def draw_units(seed: int, units: int, lift: float = 0.05, unseen: float = 0.0) -> pl.DataFrame:
    """Draw users with a pre-period alike, every other one in the arm (variant 1).

    A share `unseen` of them has no pre-period: 0 and a flag.
    """
    rng = np.random.default_rng(seed)
    variant = np.arange(units) % 2
    taste, rate = rng.beta(4, 6, units), rng.gamma(4, 2.5, units)
    pages, before = 1 + rng.poisson(rate), 1 + rng.poisson(rate)
    missing = rng.random(units) < unseen
    pre_clicks = np.where(missing, 0, rng.binomial(before, taste))
    return pl.DataFrame(
        {
            "variant": variant,
            "clicks": rng.binomial(pages, np.minimum(taste * (1 + lift * variant), 1)),
            "pages": pages,
            "pre_clicks": pre_clicks,
            "pre_pages": np.where(missing, 0, before),
            "missing": missing.astype(float),
            "noise": rng.normal(5, 3, units),
            "constant": np.full(units, 0.1),
            "copy": 3.0 * pre_clicks + 7,
        }
    )


def arms(units: pl.DataFrame) -> tuple[Moments, Moments]:
    control, arm = (
        Moments.from_frame(units.filter(pl.col("variant") == variant), COLUMNS)
        for variant in (0, 1)
    )
    return control, arm


def adjusted(
    units: pl.DataFrame,
    numerator: str,
    denominator: str | None,
    *covariates: Covariate,
    level: float = 0.95,
    kind: LiftInterval = LiftInterval.LOG_RATIO,
) -> Adjusted:
    found = compare_adjusted(
        *arms(units),
        numerator,
        denominator,
        covariates,
        confidence_level=level,
        lift_interval=kind,
    )
    assert isinstance(found, Adjusted)
    return found


def plain(units: pl.DataFrame, numerator: str, denominator: str | None) -> Comparison:
    found = compare(*arms(units), numerator, denominator)
    assert isinstance(found, Comparison)
    return found


@pytest.mark.parametrize(
    ("numerator", "denominator", "covariate"),
    [
        pytest.param("clicks", None, Covariate("pre_clicks"), id="mean"),
        pytest.param("clicks", None, Covariate("noise"), id="mean-noise"),
        pytest.param("clicks", None, Covariate("pre_clicks", "pre_pages"), id="mean-by-ratio"),
        pytest.param("clicks", "pages", Covariate("pre_clicks", "pre_pages"), id="ratio"),
        pytest.param("clicks", "pages", Covariate("pre_clicks"), id="ratio-by-mean"),
    ],
)
@pytest.mark.parametrize(
    ("seed", "units", "level"), [(1, 30, 0.95), (2, 300, 0.9), (3, 20_000, 0.99)]
)
def test_one_covariate_is_tea_tastings_cuped(
    numerator: str,
    denominator: str | None,
    covariate: Covariate,
    seed: int,
    units: int,
    level: float,
) -> None:
    data = draw_units(seed, units)
    theirs = tea_tasting.RatioOfMeans(
        numerator,
        denominator,
        covariate.numerator,
        covariate.denominator,
        confidence_level=level,
    ).analyze(data, 0, 1, variant="variant")
    found = dataclasses.asdict(
        adjusted(data, numerator, denominator, covariate, level=level).comparison
    )
    expected = {
        "control_value": theirs.control,
        "arm_value": theirs.treatment,
        "difference": theirs.effect_size,
        "difference_lower": theirs.effect_size_ci_lower,
        "difference_upper": theirs.effect_size_ci_upper,
        "relative_lift": theirs.rel_effect_size,
        "relative_lift_lower": theirs.rel_effect_size_ci_lower,
        "relative_lift_upper": theirs.rel_effect_size_ci_upper,
        "p_value": theirs.pvalue,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("seed", [4, 5])
def test_several_covariates_of_a_mean_are_least_squares(seed: int) -> None:
    data = draw_units(seed, 20_000, unseen=0.3)
    names = ("pre_clicks", "pre_pages", "missing", "noise")
    found = adjusted(data, "clicks", None, *map(Covariate, names))
    regression = sm.OLS(
        data["clicks"].to_numpy().astype(float),
        sm.add_constant(data.select("variant", *names).to_numpy().astype(float)),
    ).fit()
    assert found.comparison.difference == pytest.approx(regression.params[1], rel=1e-3)
    assert found.comparison.standard_error == pytest.approx(regression.bse[1], rel=1e-3)
    assert found.coefficients == pytest.approx(tuple(regression.params[2:]), 1e-2, 1e-3)


def test_a_covariate_may_share_the_metrics_denominator() -> None:
    data = draw_units(14, 500)
    shared = adjusted(data, "clicks", "pages", Covariate("pre_clicks", "pages"))
    apart = adjusted(
        data.with_columns(noise="pages"), "clicks", "pages", Covariate("pre_clicks", "noise")
    )
    assert dataclasses.asdict(shared.comparison) == pytest.approx(
        dataclasses.asdict(apart.comparison), rel=1e-9
    )


def test_a_ratios_covariates_are_least_squares_on_the_linearised_residuals() -> None:
    data = draw_units(6, 5_000, lift=0.0, unseen=0.2)

    def residual(frame: pl.DataFrame, numerator: str, denominator: str) -> Floats:
        c, n = (frame[name].to_numpy().astype(float) for name in (numerator, denominator))
        residuals: Floats = (c - c.mean() / n.mean() * n) / n.mean()
        return residuals

    found = adjusted(
        data, "clicks", "pages", Covariate("pre_clicks", "pre_pages"), Covariate("noise")
    )
    regression = sm.OLS(
        residual(data, "clicks", "pages"),
        sm.add_constant(
            np.column_stack([residual(data, "pre_clicks", "pre_pages"), data["noise"].to_numpy()])
        ),
    ).fit()
    assert found.coefficients == pytest.approx(tuple(regression.params[1:]), rel=1e-9)


def test_the_variance_falls_by_what_the_covariate_explains() -> None:
    data = draw_units(7, 40_000, lift=0.0)
    found = adjusted(data, "clicks", None, Covariate("pre_clicks"))
    correlation = np.corrcoef(data["clicks"], data["pre_clicks"])[0, 1]
    assert found.variance_ratio == pytest.approx(1 - correlation**2, rel=1e-3)
    error = plain(data, "clicks", None).standard_error
    assert found.comparison.standard_error == pytest.approx(
        error * np.sqrt(found.variance_ratio), rel=1e-12
    )


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6), units=st.integers(1_000, 5_000))
@pytest.mark.parametrize("denominator", [None, "pages"])
def test_pure_noise_widens_the_interval_by_less_than_one_per_cent(
    denominator: str | None, seed: int, units: int
) -> None:
    data = draw_units(seed, units)
    without = plain(data, "clicks", denominator)
    found = adjusted(data, "clicks", denominator, Covariate("noise"))
    assert found.variance_ratio < 1.02
    assert (found.comparison.relative_lift_upper - found.comparison.relative_lift_lower) < 1.01 * (
        without.relative_lift_upper - without.relative_lift_lower
    )


def test_units_without_a_pre_period_cost_only_their_own_share_of_the_gain() -> None:
    # Half the units explained: the mean of what each half leaves, between all and nothing.
    data = draw_units(8, 40_000, unseen=0.5)
    covariates = (Covariate("pre_clicks"), Covariate("missing"))
    whole = adjusted(draw_units(8, 40_000), "clicks", None, covariates[0]).variance_ratio
    halved = adjusted(data, "clicks", None, *covariates)
    assert halved.variance_ratio == pytest.approx((1 + whole) / 2, abs=0.03)
    # Without the flag, 0 passes for few clicks and spoils the coefficient.
    assert adjusted(data, "clicks", None, covariates[0]).variance_ratio > (
        halved.variance_ratio + 0.05
    )


@pytest.mark.parametrize("denominator", [None, "pages"])
def test_constant_and_collinear_covariates_change_nothing(denominator: str | None) -> None:
    data = draw_units(9, 2_000)
    one = adjusted(data, "clicks", denominator, Covariate("pre_clicks"))
    more = adjusted(
        data,
        "clicks",
        denominator,
        Covariate("pre_clicks"),
        Covariate("constant"),
        Covariate("copy"),
        Covariate("missing"),  # 0 for all
        Covariate("pre_clicks", "missing"),  # nothing to divide by
        Covariate("pages", "pages"),  # 1 for all
    )
    assert dataclasses.asdict(more.comparison) == pytest.approx(
        dataclasses.asdict(one.comparison), rel=1e-9
    )
    assert more.coefficients[1] == 0
    assert more.coefficients[3:] == (0, 0, 0)


def test_without_a_usable_covariate_the_comparison_is_the_plain_one() -> None:
    data = draw_units(10, 200)
    for covariates in ((), (Covariate("constant"),)):
        found = adjusted(data, "clicks", "pages", *covariates)
        assert found == Adjusted(plain(data, "clicks", "pages"), 1.0, (0.0,) * len(covariates))


def test_too_few_units_are_not_adjusted() -> None:
    data = draw_units(11, 59)
    three = [Covariate(name) for name in ("pre_clicks", "pre_pages", "noise")]
    assert adjusted(data, "clicks", None, *three).variance_ratio == 1
    assert adjusted(data, "clicks", None, *three[:2]).variance_ratio < 1


def test_the_lifts_interval_is_the_one_asked_for() -> None:
    data = draw_units(12, 300)
    found = adjusted(data, "clicks", "pages", Covariate("pre_clicks"), kind=LiftInterval.DELTA)
    lift = found.comparison
    assert lift.relative_lift_upper - lift.relative_lift == pytest.approx(
        lift.relative_lift - lift.relative_lift_lower, rel=1e-9
    )


def test_what_cannot_be_computed_is_a_reason() -> None:
    data = draw_units(13, 100)
    control, arm = arms(data)
    copied = compare_adjusted(control, arm, "clicks", None, [Covariate("clicks")])
    assert copied == Unavailable("with covariates: no variance in either arm: nothing to test")
    with np.errstate(invalid="ignore"):
        infinite = arms(data.with_columns(noise=pl.lit(float("inf"))))
    assert compare_adjusted(*infinite, "clicks", None, [Covariate("noise")]) == Unavailable(
        "the sums of the covariate noise are not finite"
    )
    # A column that no covariate names does no harm.
    assert isinstance(
        compare_adjusted(*infinite, "clicks", None, [Covariate("pre_clicks")]), Adjusted
    )
    empty = Moments.of(COLUMNS, np.empty((0, len(COLUMNS))))
    assert compare_adjusted(control, empty, "clicks", None, [Covariate("noise")]) == Unavailable(
        "arm: 0 exposed units, at least 2 are needed"
    )
