"""Every form of a metric as two columns, by hand; lazily as eagerly."""

from __future__ import annotations

import narwhals as nw
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from tests.platform.lift.unit_tables import FORMS, declared, draw_units

from ranklift.lift.columns import (
    NEWCOMER,
    capped_sums,
    columns_of,
    sums_of,
    supported,
    with_columns,
)
from ranklift.lift.measures import PRE
from ranklift.store.analysis import Form, Metric, ZeroRule

# A user who clicks, one who does not, one whose pages were never counted.
UNITS = pl.DataFrame({"clicks": [6, 0, 3], "pages": [4, 5, 0]})


def made(
    metric: Metric, units: pl.DataFrame = UNITS, prefix: str = "", **thresholds: float
) -> tuple[list[float], list[float] | None]:
    """Return the numerators and denominators of a metric; `cap` caps the clicks, `pages` those."""
    capped = capped_sums([metric], prefix)
    by_sum = {prefix + name: value for name, value in thresholds.items()}
    frame = with_columns(
        nw.from_native(units, eager_only=True),
        [metric],
        {name: by_sum[of] for name, (of, _) in capped.items()},
        prefix,
    ).to_native()
    n, d = columns_of(metric, prefix)
    return frame[n].to_list(), None if d is None else frame[d].to_list()


def test_a_ratio_is_the_two_sums_themselves() -> None:
    assert made(declared(Form.RATIO)) == ([6, 0, 3], [4, 5, 0])


def test_a_mean_counts_every_unit_as_one() -> None:
    assert made(declared(Form.MEAN)) == ([6, 0, 3], None)


def test_a_share_is_one_where_anything_was_counted() -> None:
    assert made(declared(Form.SHARE)) == ([1, 0, 1], None)


def test_a_unit_ratio_leaves_out_units_without_a_denominator() -> None:
    assert made(declared(Form.UNIT_RATIO)) == ([1.5, 0, 0], [1, 1, 0])


def test_a_unit_ratio_may_count_units_without_a_denominator_as_zero() -> None:
    assert made(declared(Form.UNIT_RATIO, when_zero=ZeroRule.ZERO)) == ([1.5, 0, 0], None)


@pytest.mark.parametrize(
    ("form", "numerators", "denominators"),
    [
        (Form.RATIO, [4, 0, 3], [2, 2, 0]),
        (Form.MEAN, [4, 0, 3], None),
        (Form.SHARE, [1, 0, 1], None),
        (Form.UNIT_RATIO, [2, 0, 0], [1, 1, 0]),
    ],
)
def test_caps_come_before_anything_else(
    form: Form, numerators: list[float], denominators: list[float] | None
) -> None:
    assert made(declared(form, cap=0.5), clicks=4, pages=2) == (numerators, denominators)


def test_the_capped_columns_of_metrics_name_their_sum_and_quantile() -> None:
    assert capped_sums(FORMS) == {
        "min(clicks, q0_9)": ("clicks", 0.9),
        "min(pages, q0_9)": ("pages", 0.9),
    }


def test_one_sum_capped_at_two_quantiles_makes_two_columns() -> None:
    two = [declared(Form.MEAN, cap=0.9), declared(Form.MEAN, cap=0.99)]
    thresholds = {"min(clicks, q0_9)": 1.0, "min(clicks, q0_99)": 5.0}
    frame = with_columns(nw.from_native(UNITS, eager_only=True), two, thresholds).to_native()
    assert frame["min(clicks, q0_9)"].to_list() == [1, 0, 1]
    assert frame["min(clicks, q0_99)"].to_list() == [5, 0, 3]


@pytest.mark.parametrize("form", Form)
def test_the_pre_period_has_columns_of_its_own_where_null_counts_as_nothing(form: Form) -> None:
    before = pl.DataFrame(
        {"pre_clicks": [6, None, 3], "pre_pages": [4, None, 0], "clicks": [9, 9, 9]},
        schema_overrides={"pre_clicks": pl.Int64, "pre_pages": pl.Int64},
    )
    now = UNITS.with_columns(pages=pl.Series([4, 0, 0]))
    assert made(declared(form), before, PRE) == made(declared(form), now)


def test_a_unit_that_lacks_any_sum_of_before_is_a_newcomer() -> None:
    before = pl.DataFrame(
        {"pre_clicks": [6, None, 3, None], "pre_pages": [4, None, None, 1]},
        schema=dict.fromkeys(("pre_clicks", "pre_pages"), pl.Int64),
    )
    frame = nw.from_native(before, eager_only=True)
    made_before = with_columns(frame, [declared(Form.RATIO)], prefix=PRE).to_native()
    assert made_before[NEWCOMER].to_list() == [0, 1, 1, 1]


def test_a_metric_is_supported_where_all_its_sums_are() -> None:
    assert sums_of(declared(Form.RATIO), PRE) == ("pre_clicks", "pre_pages")
    assert sums_of(declared(Form.SHARE)) == ("clicks",)
    assert supported(declared(Form.RATIO), ["pages", "clicks"])
    assert not supported(declared(Form.RATIO), ["clicks"])
    assert not supported(declared(Form.MEAN), ["clicks"], PRE)


def test_lazily_is_as_eagerly() -> None:
    units = draw_units(1, newcomers=0.3)
    thresholds = {"min(clicks, q0_9)": 3.0, "min(pages, q0_9)": 7.0}
    eager = with_columns(nw.from_native(units, eager_only=True), FORMS, thresholds)
    lazy = with_columns(nw.from_native(units.lazy()), FORMS, thresholds)
    assert_frame_equal(eager.to_native(), lazy.to_native().collect(), check_exact=True)
    assert {eager.to_native()[name].dtype for name in sums_of(FORMS[0])} == {pl.Float64}
