"""The effect by day since a unit's first page."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from tests.platform.lift.unit_tables import ARMS, FIRST_DAY, declared, moments_by_arm, plain

from ranklift.lift.comparing import measure, method_for
from ranklift.lift.measures import PRE
from ranklift.lift.novelty import MAX_DAYS, novelty
from ranklift.lift.values import Measured, Unavailable
from ranklift.store.analysis import Form

METRIC = declared(Form.RATIO)


def days_of(rows: list[tuple[str, str, int, int, int]]) -> pl.DataFrame:
    """Return sums by (unit, arm, day from 0, pages, clicks)."""
    columns = ("unit_id", "arm", "day", "pages", "clicks")
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    return frame.with_columns(day=FIRST_DAY + pl.duration(days=pl.col("day")))


def units_of(days: pl.DataFrame) -> pl.DataFrame:
    return days.group_by("unit_id", "arm").agg(pl.col("pages", "clicks").sum()).sort("unit_id")


def test_each_day_counts_from_the_units_own_first_page() -> None:
    days = days_of(
        [
            ("ada", "control", 0, 4, 2),
            ("ada", "control", 2, 2, 1),
            ("bob", "control", 5, 4, 1),
            ("cat", "student", 1, 4, 3),
            ("dan", "student", 1, 4, 4),
            ("dan", "student", 3, 2, 2),
        ]
    )
    units = units_of(days)
    found = novelty(days, units, ARMS, METRIC, plain(units))
    assert [(one.metric, one.arm, one.day) for one in found] == [
        (METRIC.name, "student", 0),
        (METRIC.name, "student", 2),
    ]
    first = found[0].found
    assert isinstance(first, Measured)
    assert (first.control_units, first.arm_units) == (2, 2)
    assert (first.control_value, first.arm_value) == pytest.approx((3 / 8, 7 / 8))
    # One unit a side came back: no lift, and the reason says so.
    assert found[1].found == Unavailable("control: 1 exposed units, at least 2 are needed")


def test_a_day_of_fallback_pages_is_no_exposure() -> None:
    days = days_of(
        [(f"{arm}{i}", arm, day, day, i % 2) for arm in ARMS for i in range(4) for day in (0, 1)]
    )
    units = units_of(days)
    assert [one.day for one in novelty(days, units, ARMS, METRIC, plain(units))] == [0]


def test_units_that_do_not_count_are_left_out() -> None:
    days = days_of([(f"{arm}{i}", arm, 0, 2, i % 2) for arm in ARMS for i in range(6)])
    units = units_of(days).filter(~pl.col("unit_id").str.ends_with("5"))
    (only,) = novelty(days, units, ARMS, METRIC, plain(units))
    moments = moments_by_arm(units, METRIC, plain(units))
    assert only.found == measure(moments["control"], moments["student"], METRIC, plain(units))


def test_a_planted_effect_that_fades_is_seen_to_fade() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(2_000):
        arm = ARMS[i % 2]
        for day in range(5):
            lift = 1 + (0.5 * 0.5**day if arm == "student" else 0)
            rows.append((f"u{i}", arm, day, 10, int(rng.binomial(10, 0.3 * lift))))
    days = days_of(rows)
    found = novelty(days, units_of(days), ARMS, METRIC, plain(units_of(days)))
    lifts = [one.found.relative_lift for one in found if isinstance(one.found, Measured)]
    assert lifts == pytest.approx([0.5 * 0.5**day for day in range(5)], abs=0.08)


def test_later_days_than_four_weeks_are_left_out() -> None:
    rows = [
        (f"{arm}{i}", arm, day, 2, i % 2) for arm in ARMS for i in range(4) for day in range(40)
    ]
    units = units_of(days_of(rows))
    found = novelty(days_of(rows), units, ARMS, METRIC, plain(units))
    assert [one.day for one in found] == list(range(MAX_DAYS))


def test_what_was_before_the_experiment_adjusts_no_single_day() -> None:
    rows = [(f"{arm}{i}", arm, 0, 2, i % 3) for arm in ARMS for i in range(40)]
    units = units_of(days_of(rows)).with_columns(
        pl.col(name).alias(PRE + name) for name in ("pages", "clicks")
    )
    adjusting = method_for(units, [METRIC], confidence_level=0.95, covariates=True)
    assert adjusting.covariates
    found = novelty(days_of(rows), units, ARMS, METRIC, adjusting)
    assert found == novelty(days_of(rows), units, ARMS, METRIC, plain(units))
