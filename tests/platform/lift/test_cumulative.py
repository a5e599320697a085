"""The moments at every day's end are those of the sums until then, worked out from scratch."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.platform.lift.unit_tables import (
    ARMS,
    FIRST_DAY,
    FORMS,
    added_up,
    declared,
    draw_days,
    draw_units,
    plain,
)

from ranklift.lift.comparing import Method, method_for, moments_of
from ranklift.lift.cumulative import cumulative_moments
from ranklift.lift.metrics import FALLBACK_PAGES_PER_UNIT
from ranklift.lift.moments import Moments
from ranklift.store.analysis import Form, Metric


def assert_same(found: Moments, expected: Moments) -> None:
    assert (found.columns, found.count) == (expected.columns, expected.count)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=1e-9, atol=1e-12)
    scale = 1 + np.abs(np.diag(expected.m2)).max()
    np.testing.assert_allclose(found.m2, expected.m2, rtol=1e-9, atol=1e-9 * scale)


def assert_same_as_from_scratch(
    days: pl.DataFrame, units: pl.DataFrame, metric: Metric, method: Method
) -> None:
    for arm in ARMS:
        mine = days.filter(pl.col("arm") == arm)
        exposed = added_up(mine, units)
        found = cumulative_moments(mine, exposed, metric, method)
        for day, moments in found.items():
            until = added_up(mine.filter(pl.col("day") <= day), units)
            assert_same(moments, moments_of(until, metric, method))
        assert set(found) <= set(mine["day"])
        served = mine.filter(pl.col("pages") > 0)["day"]
        assert set(served) <= set(found)
        if found:
            assert_same(list(found.values())[-1], moments_of(exposed, metric, method))


@pytest.mark.parametrize("covariates", [False, True], ids=["plain", "adjusted"])
@pytest.mark.parametrize("metric", [*FORMS, FALLBACK_PAGES_PER_UNIT], ids=lambda m: m.name)
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), count=st.integers(1, 25), last=st.integers(1, 6))
def test_every_days_end_is_as_from_scratch(
    metric: Metric, covariates: bool, seed: int, count: int, last: int
) -> None:
    units = draw_units(seed, count, newcomers=0.3)
    days = draw_days(seed, units, last)
    method = method_for(
        added_up(days, units), [metric], confidence_level=0.95, covariates=covariates
    )
    assert_same_as_from_scratch(days, units, metric, method)


def by_day(*rows: tuple[str, int, int, int, int]) -> pl.DataFrame:
    """Return sums of one arm by (unit, day from 0, pages, fallback pages, clicks)."""
    columns = ("unit_id", "day", "pages", "fallback_pages", "clicks")
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    return frame.with_columns(
        arm=pl.lit("control"), day=FIRST_DAY + pl.duration(days=pl.col("day"))
    )


def exposed(days: pl.DataFrame) -> pl.DataFrame:
    sums = ("pages", "fallback_pages", "clicks")
    units = days.group_by("unit_id", "arm").agg(pl.col(sums).sum()).filter(pl.col("pages") > 0)
    return units.sort("unit_id")


def test_two_units_over_two_days_by_hand() -> None:
    days = by_day(("ada", 0, 2, 0, 1), ("ada", 1, 1, 0, 1), ("bob", 1, 4, 0, 1))
    metric = declared(Form.RATIO)
    found = cumulative_moments(days, exposed(days), metric, plain(exposed(days), metric))
    first, second = found[FIRST_DAY], found[FIRST_DAY + timedelta(days=1)]
    assert (first.count, first.mean.tolist(), first.m2.tolist()) == (1, [1, 2], [[0, 0], [0, 0]])
    assert (second.count, second.mean.tolist()) == (2, [1.5, 3.5])
    np.testing.assert_allclose(second.m2, [[0.5, -0.5], [-0.5, 0.5]], atol=1e-12)


def test_a_unit_enters_with_its_first_page_and_brings_its_fallback_pages_along() -> None:
    days = by_day(
        ("ada", 0, 1, 0, 0),
        ("bob", 0, 0, 3, 0),  # only met the champion so far
        ("bob", 1, 1, 0, 0),
        ("bob", 2, 0, 2, 0),  # and again after he was served
        ("cyd", 1, 0, 9, 0),  # never served: takes no part
    )
    metric = FALLBACK_PAGES_PER_UNIT
    found = cumulative_moments(days, exposed(days), metric, plain(exposed(days), metric))
    assert [(moments.count, moments.mean.tolist()) for moments in found.values()] == [
        (1, [0.0]),
        (2, [1.5]),
        (2, [2.5]),
    ]


def test_a_spread_of_a_ten_thousandth_of_the_mean_is_not_lost() -> None:
    rng = np.random.default_rng(0)
    days = by_day(*((f"u{i:03}", day, 1, 0, 1) for i in range(200) for day in range(3)))
    far = 30_000 + rng.integers(0, 10, days.height)
    days = days.with_columns(clicks=pl.Series(far))
    metric = declared(Form.MEAN)
    method = plain(exposed(days), metric)
    last = list(cumulative_moments(days, exposed(days), metric, method).values())[-1]
    expected = moments_of(exposed(days), metric, method)
    assert last.covariance("clicks", "clicks") == pytest.approx(
        expected.covariance("clicks", "clicks"), rel=1e-6
    )


def test_no_day_is_no_look() -> None:
    days = by_day(("ada", 0, 0, 1, 0))
    metric = declared(Form.MEAN)
    units = pl.DataFrame({"unit_id": ["ada"], "clicks": [0], "pages": [0]}).clear()
    assert cumulative_moments(days, units, metric, plain(units, metric)) == {}
