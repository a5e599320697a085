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

from ranklift.lift.metrics import METRICS, Metric
from ranklift.lift.moments import Floats, Moments
from ranklift.lift.ratio import Comparison, Estimate, Unavailable, compare, estimate

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


@pytest.mark.parametrize("metric", METRICS.values(), ids=lambda metric: metric.name)
@pytest.mark.parametrize(
    ("seed", "units", "level"), [(1, 12, 0.95), (2, 300, 0.9), (3, 20_000, 0.99)]
)
def test_equals_tea_tasting(metric: Metric, seed: int, units: int, level: float) -> None:
    data = draw_units(seed, units, lift=0.1)
    ours = compared(data, metric.numerator, metric.denominator, level)
    theirs = tea_tasting.RatioOfMeans(
        metric.numerator, metric.denominator, confidence_level=level
    ).analyze(data, 0, 1, variant="variant")
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
