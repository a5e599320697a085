"""Lifts and their significance, against peers and closed forms."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
import tea_tasting
from numpy.typing import NDArray
from scipy import stats

from ranklift.lift.moments import Floats, Moments
from ranklift.lift.ratio import (
    Comparison,
    Difference,
    Estimate,
    LiftInterval,
    compare,
    compare_estimates,
    design_effect,
    difference,
    estimate,
    t_quantile,
)
from ranklift.lift.values import Unavailable
from ranklift.v1.errors import InvalidRequest

COLUMNS = ("pages", "clicked_pages", "clicked", "dwell_ms", "dwell_count")


def draw_units(seed: int, units: int, lift: float = 0.0) -> pl.DataFrame:
    """Draw per-unit sums of users that differ, every other one in the arm (variant 1)."""
    rng = np.random.default_rng(seed)
    variant = np.arange(units) % 2
    pages = 1 + rng.poisson(9, units)
    clicked_pages = rng.binomial(pages, np.minimum(rng.beta(4, 6, units) * (1 + lift * variant), 1))
    dwell_count = rng.binomial(clicked_pages, 0.9)
    dwell_ms = np.round(1000 * dwell_count * rng.lognormal(3, 0.7, units)).astype(np.int64)
    return pl.DataFrame(
        {
            "variant": variant,
            "pages": pages,
            "clicked_pages": clicked_pages,
            "clicked": (clicked_pages > 0).astype(np.int64),
            "dwell_ms": dwell_ms,
            "dwell_count": dwell_count,
        }
    )


def arms(units: pl.DataFrame) -> tuple[Moments, Moments]:
    control, arm = (
        Moments.from_frame(units.filter(pl.col("variant") == variant), COLUMNS)
        for variant in (0, 1)
    )
    return control, arm


def compared(
    units: pl.DataFrame, numerator: str, denominator: str | None, level: float = 0.95
) -> Comparison:
    found = compare(*arms(units), numerator, denominator, confidence_level=level)
    assert isinstance(found, Comparison)
    return found


def reason(found: object) -> str:
    assert isinstance(found, Unavailable)
    return found.reason


@pytest.mark.parametrize(
    ("numerator", "denominator"),
    [
        ("clicked_pages", "pages"),
        ("clicked", None),
        ("dwell_ms", "dwell_count"),
        ("dwell_ms", "pages"),
        ("dwell_ms", None),
    ],
)
@pytest.mark.parametrize(
    ("seed", "units", "level"), [(1, 12, 0.95), (2, 300, 0.9), (3, 20_000, 0.99)]
)
def test_equals_tea_tasting(
    numerator: str, denominator: str | None, seed: int, units: int, level: float
) -> None:
    data = draw_units(seed, units, lift=0.1)
    ours = compared(data, numerator, denominator, level)
    theirs = tea_tasting.RatioOfMeans(numerator, denominator, confidence_level=level).analyze(
        data, 0, 1, variant="variant"
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
    found = dataclasses.asdict(ours)
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-9)


def test_a_mean_is_welchs_t_test() -> None:
    data = draw_units(4, 400, lift=0.2)
    a, b = (data.filter(pl.col("variant") == v)["dwell_ms"].to_numpy() for v in (0, 1))
    scipy = stats.ttest_ind(b, a, equal_var=False)
    interval = scipy.confidence_interval(0.95)
    ours = compared(data, "dwell_ms", None)
    assert (
        ours.p_value,
        ours.degrees_of_freedom,
        ours.difference_lower,
        ours.difference_upper,
    ) == pytest.approx((scipy.pvalue, scipy.df, interval.low, interval.high), rel=1e-10)


# The values that numpy's seed 42 gives and that three engines agree on.
def oracle() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    rng = np.random.default_rng(42)
    pages = 1 + rng.poisson(9, 2000)
    likely = rng.beta(4, 6, 2000)
    return pages, rng.binomial(pages, likely), np.arange(2000) % 2


def test_the_oracle_experiment() -> None:
    pages, clicked, variant = oracle()
    assert (clicked[variant == 0].sum(), pages[variant == 0].sum()) == (4074, 9993)
    assert (clicked[variant == 1].sum(), pages[variant == 1].sum()) == (4032, 9955)
    units = pl.DataFrame({"variant": variant, "pages": pages, "clicked_pages": clicked})
    control, arm = (
        Moments.from_frame(units.filter(pl.col("variant") == v), ("pages", "clicked_pages"))
        for v in (0, 1)
    )
    found = compare(control, arm, "clicked_pages", "pages")
    assert isinstance(found, Comparison)
    assert found.difference == pytest.approx(-0.0026627780581514587, rel=1e-12)
    assert found.standard_error == pytest.approx(0.00972298827713953, rel=1e-12)


@pytest.mark.parametrize("seed", [42, 7])
def test_the_standard_error_is_that_of_clustered_regression(seed: int) -> None:
    if seed == 42:
        pages, clicked, variant = oracle()
    else:
        data = draw_units(seed, 1_500, lift=0.1)
        pages, clicked, variant = (
            data[name].to_numpy() for name in ("pages", "clicked_pages", "variant")
        )
    unit = np.repeat(np.arange(len(pages)), pages)
    start = np.repeat(np.cumsum(pages) - pages, pages)
    click = (np.arange(pages.sum()) - start < clicked[unit]).astype(float)
    regression = sm.OLS(click, sm.add_constant(variant[unit].astype(float)))
    clustered = regression.fit(cov_type="cluster", cov_kwds={"groups": unit})
    units = pl.DataFrame({"variant": variant, "pages": pages, "clicked_pages": clicked})
    control, arm = (
        Moments.from_frame(units.filter(pl.col("variant") == v), ("pages", "clicked_pages"))
        for v in (0, 1)
    )
    found = compare(control, arm, "clicked_pages", "pages")
    assert isinstance(found, Comparison)
    assert found.difference == pytest.approx(clustered.params[1], rel=1e-9)
    assert found.standard_error == pytest.approx(clustered.bse[1], rel=1e-3)


def test_swapping_the_arms_mirrors_the_lift() -> None:
    control, arm = arms(draw_units(5, 200, lift=0.3))
    there = compare(control, arm, "clicked_pages", "pages")
    back = compare(arm, control, "clicked_pages", "pages")
    assert isinstance(there, Comparison)
    assert isinstance(back, Comparison)
    assert math.log1p(back.relative_lift) == pytest.approx(-math.log1p(there.relative_lift))
    assert math.log1p(back.relative_lift_lower) == pytest.approx(
        -math.log1p(there.relative_lift_upper)
    )
    assert back.p_value == pytest.approx(there.p_value)


def of(rows: Sequence[tuple[float, float]]) -> Moments:
    values: Floats = np.array(rows, dtype=np.float64).reshape(-1, 2)
    return Moments.of(("c", "n"), values)


FINE = [(1.0, 2.0), (2.0, 2.0), (0.0, 1.0)]


@pytest.mark.parametrize(
    ("control", "arm", "expected"),
    [
        pytest.param([], FINE, "control: 0 exposed units, at least 2", id="empty-control"),
        pytest.param(FINE, [(1, 2)], "arm: 1 exposed units, at least 2", id="one-unit"),
        pytest.param(FINE, [(0, 0), (0, 0)], "arm: n is 0", id="denominator-0"),
        pytest.param([(0, 1), (0, 2)], FINE, "the value in control is 0", id="control-0"),
        pytest.param(FINE, [(0, 1), (0, 2)], "the value in the arm is 0", id="arm-0"),
        pytest.param([(1, 1), (2, 2)], [(2, 2), (7, 7)], "no variance in either", id="constant"),
        pytest.param(FINE, [(1, 1), (math.inf, 2)], "not finite", id="infinite"),
        pytest.param([(1, 1), (math.nan, 2)], FINE, "not finite", id="nan"),
        pytest.param([(1000, 1), (0, 1)], [(1, 1), (0, 1)], "no upper end", id="unbounded"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
def test_what_cannot_be_computed_is_a_reason(
    control: list[tuple[float, float]], arm: list[tuple[float, float]], expected: str
) -> None:
    level = 0.95 if expected != "no upper end" else 0.999
    assert expected in reason(compare(of(control), of(arm), "c", "n", confidence_level=level))


def test_one_arm_without_variance_is_enough() -> None:
    found = compare(of([(1, 1), (1, 1), (1, 1)]), of(FINE), "c", "n")
    assert isinstance(found, Comparison)
    assert found.degrees_of_freedom == pytest.approx(2)


def test_rounding_is_not_variance() -> None:
    # Every page is clicked, so R = 1 exactly; the three terms of the variance only nearly cancel.
    pages = np.random.default_rng(6).integers(1, 50, 1_000).astype(np.float64)
    found = estimate(Moments.of(("c", "n"), np.column_stack([3 * pages, 7 * pages])), "c", "n")
    assert isinstance(found, Estimate)
    assert found.variance == 0


def planted(zero: Estimate, one: Estimate, kind: LiftInterval) -> Comparison:
    found = compare_estimates(zero, one, confidence_level=0.95, lift_interval=kind)
    assert isinstance(found, Comparison)
    return found


def test_the_ends_of_fiellers_interval_are_the_lifts_that_a_t_test_just_rejects() -> None:
    zero, one = Estimate(2.0, 0.3**2, 40), Estimate(3.0, 0.2**2, 60)
    found = planted(zero, one, LiftInterval.FIELLER)
    # Satterthwaite's degrees of freedom of R1 - 1.5 R0.
    a, b = 1.5**2 * zero.variance, one.variance
    q = stats.t.ppf(0.975, (a + b) ** 2 / (a**2 / 39 + b**2 / 59))
    for lift in (found.relative_lift_lower, found.relative_lift_upper):
        error = math.sqrt(one.variance + (1 + lift) ** 2 * zero.variance)
        assert abs(one.value - (1 + lift) * zero.value) / error == pytest.approx(q, rel=1e-12)
    assert found.relative_lift_lower < 0.5 < found.relative_lift_upper


def test_the_delta_interval_is_symmetric_and_its_formula() -> None:
    # Many units, so that q = 1.96: L +- q sqrt(V1 / R0^2 + V0 R1^2 / R0^4).
    found = planted(Estimate(2.0, 0.04, 10**9), Estimate(3.0, 0.01, 10**9), LiftInterval.DELTA)
    half = stats.norm.ppf(0.975) * math.sqrt(0.01 / 4 + 0.04 * 9 / 16)
    assert found.relative_lift == 0.5
    assert (found.relative_lift_lower, found.relative_lift_upper) == pytest.approx(
        (0.5 - half, 0.5 + half), rel=1e-8
    )


def test_all_intervals_agree_when_control_is_precise() -> None:
    data = draw_units(8, 200_000, lift=0.02)
    found = [
        compare(*arms(data), "clicked_pages", "pages", lift_interval=kind) for kind in LiftInterval
    ]
    ends = [
        (f.relative_lift_lower, f.relative_lift_upper) for f in found if isinstance(f, Comparison)
    ]
    assert len(ends) == 3
    assert ends[1:] == [pytest.approx(ends[0], abs=5e-5)] * 2


def test_fieller_has_no_end_when_control_may_be_zero() -> None:
    noisy, precise = of([(0, 1), (5, 1), (0, 1)]), of(FINE)
    found = compare(noisy, precise, "c", lift_interval=LiftInterval.FIELLER)
    assert "no end" in reason(found)


@pytest.mark.parametrize("kind", [LiftInterval.FIELLER, LiftInterval.DELTA])
def test_only_the_log_interval_needs_an_arm_above_zero(kind: LiftInterval) -> None:
    control, arm = of([(10, 1), (11, 1), (12, 1)]), of([(-1, 1), (1, 1), (0, 1)])
    found = compare(control, arm, "c", lift_interval=kind)
    assert isinstance(found, Comparison)
    assert found.relative_lift_lower < -1 < found.relative_lift_upper
    empty = of([(0, 1), (0, 1)])
    assert "every unit of the arm has 0" in reason(compare(control, empty, "c", lift_interval=kind))


@pytest.mark.parametrize("kind", LiftInterval)
def test_intervals_cover_a_planted_lift(kind: LiftInterval) -> None:
    # Means of 300 units with coefficient of variation 1 in control: 4,000 experiments at once.
    rng = np.random.default_rng(9)
    covered = 0
    for zero, one in zip(
        rng.exponential(2.0, (4_000, 300)), rng.exponential(2.4, (4_000, 300)), strict=True
    ):
        control, arm = (Moments.of(("c",), x[:, None]) for x in (zero, one))
        found = compare(control, arm, "c", lift_interval=kind)
        assert isinstance(found, Comparison)
        covered += found.relative_lift_lower <= 0.2 <= found.relative_lift_upper
    assert 0.938 < covered / 4_000 < 0.962


def test_the_design_effect_of_independent_pages_is_one_and_of_like_pages_their_number() -> None:
    rng = np.random.default_rng(10)
    pages = np.full(20_000, 10.0)
    independent = Moments.of(("c", "n"), np.column_stack([rng.binomial(10, 0.4, 20_000), pages]))
    alike = Moments.of(("c", "n"), np.column_stack([10 * rng.binomial(1, 0.4, 20_000), pages]))
    assert design_effect(independent, "c", "n") == pytest.approx(1, abs=0.03)
    assert design_effect(alike, "c", "n") == pytest.approx(10, rel=0.001)


def test_there_is_no_design_effect_without_rows_of_0_or_1() -> None:
    dwell = of([(30, 2), (10, 3), (70, 2)])
    assert design_effect(dwell, "c", "n") is None
    assert design_effect(of(FINE), "c", None) is None
    assert design_effect(of([]), "c", "n") is None


@pytest.mark.parametrize("level", [0, 1, 95, -0.5, math.nan])
def test_a_confidence_level_lies_between_0_and_1(level: float) -> None:
    with pytest.raises(InvalidRequest, match="confidence_level: is"):
        compare(of(FINE), of(FINE), "c", "n", confidence_level=level)


@pytest.mark.parametrize("freedom", [1.5, 3, 20.7, 1e3, 1e7])
def test_t_quantiles_are_scipys(freedom: float) -> None:
    assert t_quantile(0.95, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-12)


def test_tiny_variances_do_not_underflow() -> None:
    found = difference(Estimate(1.0, 1e-200, 10), Estimate(1.0, 1e-200, 10), 0.95)
    assert isinstance(found, Difference)
    assert found.degrees_of_freedom == pytest.approx(18)
    assert found.p_value == 1


def test_sums_beyond_all_measure_are_a_reason() -> None:
    huge = of([(1e150, 1e-150), (2e150, 1e-150), (3e150, 2e-150)])
    assert "too large" in reason(compare(huge, huge, "c", "n"))
