"""One metric of one arm against control: as tea-tasting has it, and what is added to that."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import tea_tasting
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.platform.lift.unit_tables import FORMS, declared, draw_units, moments_by_arm, plain

from ranklift.lift.columns import NEWCOMER
from ranklift.lift.comparing import Method, measure, method_for, moments_of, values_of
from ranklift.lift.metrics import DWELL_PER_UNIT, PAGE_CTR, USER_CTR
from ranklift.lift.values import Measured, Unavailable
from ranklift.store.analysis import Form, Metric, ZeroRule


def against_control(units: pl.DataFrame, metric: Metric, method: Method) -> Measured:
    moments = moments_by_arm(units, metric, method)
    found = measure(moments["control"], moments["student"], metric, method)
    assert isinstance(found, Measured)
    return found


def adjusting(units: pl.DataFrame, *metrics: Metric) -> Method:
    return method_for(units, metrics, confidence_level=0.95, covariates=True)


def unit_values(units: pl.DataFrame, metric: Metric, prefix: str = "") -> pl.DataFrame:
    """Return a metric's numerator and denominator, written out once more, without narwhals."""
    n, d = pl.col(f"{prefix}clicks"), pl.col(f"{prefix}pages")
    if metric.cap_quantile is not None:
        n, d = (
            pl.min_horizontal(column, column.quantile(metric.cap_quantile)) for column in (n, d)
        )
    match metric.form:
        case Form.RATIO:
            pair = (n, d)
        case Form.MEAN:
            pair = (n, pl.lit(1))
        case Form.SHARE:
            # Whether it was above zero, adjusted for how much it was.
            pair = ((n > 0).cast(pl.Int64) if not prefix else n, pl.lit(1))
        case Form.UNIT_RATIO:
            dropped = (d > 0).cast(pl.Int64)
            kept = dropped if metric.when_zero is ZeroRule.DROP else pl.lit(1)
            pair = (pl.when(d > 0).then(n / d).otherwise(0), kept)
    return units.select(**{f"{prefix}n": pair[0], f"{prefix}d": pair[1]})


def peer(units: pl.DataFrame, metric: Metric, *, adjusted: bool) -> tuple[float, ...]:
    table = pl.concat(
        [
            units.select(variant=(pl.col("arm") == "student").cast(pl.Int64)),
            unit_values(units, metric),
            unit_values(units, metric, "pre_"),
        ],
        how="horizontal",
    )
    covariate = ("pre_n", "pre_d") if adjusted else (None, None)
    found = tea_tasting.RatioOfMeans("n", "d", *covariate).analyze(table, 0, 1, variant="variant")
    return (
        found.control,
        found.treatment,
        found.effect_size,
        found.effect_size_ci_lower,
        found.effect_size_ci_upper,
        found.pvalue,
    )


def same(found: Measured) -> tuple[float, ...]:
    ends = found.difference_interval
    return (
        found.control_value,
        found.arm_value,
        found.difference,
        ends.lower,
        ends.upper,
        found.p_value,
    )


@pytest.mark.parametrize("metric", FORMS, ids=lambda metric: metric.name)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_each_form_is_what_tea_tasting_finds(metric: Metric, seed: int) -> None:
    units = draw_units(seed, 200)
    found = against_control(units, metric, plain(units, metric))
    assert same(found) == pytest.approx(peer(units, metric, adjusted=False), rel=1e-9, abs=1e-12)
    assert found.variance_ratio == 1


@pytest.mark.parametrize("metric", FORMS, ids=lambda metric: metric.name)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_each_form_adjusted_is_what_tea_tasting_finds(metric: Metric, seed: int) -> None:
    units = draw_units(seed, 200)
    found = against_control(units, metric, adjusting(units, metric))
    assert same(found) == pytest.approx(peer(units, metric, adjusted=True), rel=1e-9, abs=1e-12)
    assert found.variance_ratio < 1


def test_a_value_is_in_the_metrics_unit_and_its_lift_has_none() -> None:
    units = draw_units(3).with_columns(dwell_ms=pl.col("clicks") * 1_000)
    in_seconds = against_control(units, DWELL_PER_UNIT, plain(units))
    as_clicks = against_control(units, declared(Form.MEAN), plain(units))
    assert same(in_seconds) == pytest.approx(same(as_clicks), rel=1e-12)
    assert in_seconds.standard_error == pytest.approx(as_clicks.standard_error, rel=1e-12)
    lifts = [found.relative_lift_interval for found in (in_seconds, as_clicks)]
    assert (lifts[0].lower, lifts[0].upper) == pytest.approx(
        (lifts[1].lower, lifts[1].upper), rel=1e-12
    )


def test_a_share_has_no_parts() -> None:
    units = draw_units(3)
    whole = against_control(units, declared(Form.SHARE), plain(units))
    parts = declared(Form.SHARE, parts_per_unit=1_000)
    assert against_control(units, parts, plain(units)) == whole


def test_the_design_effect_of_pages_is_how_many_times_the_variance_is_that_of_single_pages() -> (
    None
):
    # Ten pages of a user, all alike: each user is worth one page.
    users = 400
    clicks = np.repeat([10, 0], users // 2)
    rng = np.random.default_rng(0)
    units = pl.DataFrame(
        {
            "unit_id": [f"u{i}" for i in range(users)],
            "arm": rng.permutation(["control", "student"] * (users // 2)),
            "clicked_pages": clicks,
            "pages": np.full(users, 10),
        }
    )
    found = against_control(units, PAGE_CTR, plain(units))
    assert found.design_effect == pytest.approx(10 * users / (users - 1), rel=1e-9)


def test_a_metric_that_is_not_of_pages_has_no_design_effect() -> None:
    units = draw_units(4)
    assert against_control(units, USER_CTR, plain(units)).design_effect is None
    assert against_control(units, declared(Form.RATIO), plain(units)).design_effect is None


def test_caps_are_taken_from_all_arms_together() -> None:
    metric = declared(Form.MEAN, cap=0.5)
    units = pl.DataFrame(
        {
            "unit_id": list("abcdef"),
            "arm": ["control"] * 3 + ["student"] * 3,
            "clicks": [1, 2, 3, 10, 20, 30],
        }
    )
    method = plain(units, metric)
    (threshold,) = method.thresholds.values()
    assert threshold == pytest.approx(units["clicks"].quantile(0.5))
    assert values_of(units, metric, method)[:, 0].tolist() == [
        min(value, threshold) for value in units["clicks"]
    ]


def test_a_unit_without_a_time_before_counts_zero_and_says_so() -> None:
    units = draw_units(5, newcomers=0.3)
    metric = declared(Form.RATIO)
    method = adjusting(units, metric)
    assert method.columns(metric) == ("clicks", "pages", "pre_clicks", "pre_pages", NEWCOMER)
    values = values_of(units, metric, method)
    new = units["pre_pages"].is_null().to_numpy()
    assert 0 < new.sum() < len(new)
    assert (values[new, 2:] == [0, 0, 1]).all()
    assert (values[~new, 4] == 0).all()
    assert (values[~new, 2] == units["pre_clicks"].drop_nulls().to_numpy()).all()


def test_a_covariate_of_ones_own_may_be_null_too() -> None:
    units = draw_units(6).drop("pre_pages", "pre_clicks")
    spent = pl.when(pl.int_range(pl.len()) % 3 > 0).then(2.5 * pl.col("clicks"))
    units = units.with_columns(pre_spent=spent)
    metric = declared(Form.MEAN)
    method = adjusting(units, metric)
    assert method.columns(metric) == ("clicks", "pre_spent", NEWCOMER)
    values = values_of(units, metric, method)
    assert values[:, 2].tolist() == units["pre_spent"].is_null().cast(pl.Float64).to_list()
    assert against_control(units, metric, method).variance_ratio < 1


def test_whoever_lacks_one_of_several_covariates_says_so_too() -> None:
    units = draw_units(7, newcomers=0.2)
    spent = pl.when(pl.int_range(pl.len()) % 3 > 0).then(2.5 * pl.col("clicks"))
    units = units.with_columns(pre_spent=spent)
    metric = declared(Form.RATIO)
    method = adjusting(units, metric)
    flag = values_of(units, metric, method)[:, method.columns(metric).index(NEWCOMER)]
    lacking = units["pre_spent"].is_null() | units["pre_pages"].is_null()
    assert flag.tolist() == lacking.cast(pl.Float64).to_list()


def test_a_declared_sum_of_before_is_one_covariate_not_two() -> None:
    units = draw_units(8).rename({"clicks": "orders", "pre_clicks": "pre_orders"})
    metric = Metric("orders", "Orders", "orders", "Orders.", numerator="orders", form=Form.MEAN)
    assert adjusting(units, metric).columns(metric) == ("orders", "pre_orders")


def test_metrics_without_a_time_before_are_not_adjusted() -> None:
    units = draw_units(9).drop("pre_pages")
    ratio, mean = declared(Form.RATIO), declared(Form.MEAN)
    method = adjusting(units, ratio, mean)
    assert method.columns(ratio) == ("clicks", "pages")
    assert method.columns(mean) == ("clicks", "pre_clicks")


def test_newcomers_do_not_bias_the_lift() -> None:
    """The arm has no effect, yet newcomers click twice as often: the mean error stays small."""
    metric = declared(Form.RATIO)
    z = []
    for seed in range(200):
        units = draw_units(seed, 300, lift=0.0, newcomers=0.4)
        more = pl.when(pl.col("pre_pages").is_null()).then(2).otherwise(1)
        units = units.with_columns(clicks=pl.col("clicks") * more)
        found = against_control(units, metric, adjusting(units, metric))
        z.append(found.difference / found.standard_error)
    assert abs(np.mean(z)) < 4 / np.sqrt(len(z))
    assert 0.85 < np.std(z) < 1.15


def test_too_few_units_are_a_reason() -> None:
    units = draw_units(1, 3)
    method = plain(units)
    metric = declared(Form.MEAN)
    one = moments_of(units.filter(pl.col("arm") == "student"), metric, method)
    two = moments_of(units.filter(pl.col("arm") == "control"), metric, method)
    found = measure(two, one, metric, method)
    assert isinstance(found, Unavailable)
    assert "at least 2 are needed" in found.reason
