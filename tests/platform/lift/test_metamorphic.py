"""What must not change a report does not; what must change it does, exactly so."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.platform.lift.page_logs import draw_clicks, draw_pages

from ranklift.lift.analysis import analyze
from ranklift.lift.metrics import METRICS
from ranklift.lift.values import LiftReport, Measured, Unavailable
from ranklift.store.analysis import AnalysisPlan

SEGMENTS = ("device",)
# What a dwell is measured in: values scale with it, lifts do not.
IN_SECONDS = ("dwell_per_click", "dwell_per_page", "dwell_per_unit", "capped_dwell_per_unit")
seeds = st.integers(0, 2**32 - 1)
few = settings(max_examples=4, deadline=None)


def draw_log(seed: int) -> pl.DataFrame:
    """Return pages that tell their clicks and dwells, by users some of whom were known before."""
    rng = np.random.default_rng(seed)
    pages = draw_pages(seed, 70, 600)
    number = pages["user_id"].str.slice(1).cast(pl.Int64).to_numpy()
    clicked = rng.random(len(number)) < 0.3 + 0.05 * (number % 7)
    before = pl.when(pl.Series(number % 5 > 0)).then(pl.Series(3 + number % 7))
    seconds = np.where(clicked, rng.lognormal(3, 1, len(number)), np.nan)
    return pages.drop("pre_clicks").with_columns(
        clicked=pl.Series(clicked),
        dwell_seconds=pl.Series(seconds).fill_nan(None).round(3),
        pre_clicked_pages=before,
        pre_pages=2 * before + pl.Series(number % 3),
    )


def report(
    pages: pl.DataFrame, clicks: pl.DataFrame | None = None, control: str = "control"
) -> LiftReport:
    return analyze(pages, clicks, control=control, segments=SEGMENTS)


def numbers(one: LiftReport) -> dict[str, Measured]:
    found = {lift.metric: lift.found for lift in one.lifts}
    return {name: value for name, value in found.items() if isinstance(value, Measured)}


def relative(measured: Measured) -> tuple[float, ...]:
    ends = measured.relative_lift_interval
    return (measured.relative_lift, ends.lower, ends.upper, measured.p_value)


def values(measured: Measured) -> tuple[float, ...]:
    ends = measured.difference_interval
    return (measured.control_value, measured.arm_value, ends.lower, ends.upper)


def assert_close(after: LiftReport, before: LiftReport) -> None:
    """Assert that all numbers of two reports are the same but for rounding."""
    assert (after.arms, after.verdict.decision) == (before.arms, before.verdict.decision)
    assert [check.passed for check in after.checks] == [check.passed for check in before.checks]
    assert numbers(after).keys() == numbers(before).keys()
    pairs = [(numbers(after)[name], one) for name, one in numbers(before).items()]
    pairs += [
        (new.found, old.found)
        for group in ("segments", "novelty")
        for new, old in zip(getattr(after, group), getattr(before, group), strict=True)
        if isinstance(old.found, Measured)
    ]
    for new, old in pairs:
        assert relative(new) == pytest.approx(relative(old), rel=1e-9, abs=1e-12)
        assert values(new) == pytest.approx(values(old), rel=1e-9, abs=1e-12)
    for look, then in zip(after.looks, before.looks, strict=True):
        assert (look.day, look.units, look.crossed) == (then.day, then.units, then.crossed)
        assert look.relative_lift == pytest.approx(then.relative_lift, rel=1e-9, abs=1e-12)
    for one, other in zip(after.distributions, before.distributions, strict=True):
        assert one.statistic == other.statistic
        assert one.p_value == pytest.approx(other.p_value, rel=1e-9)


@few
@given(seed=seeds, order=seeds)
def test_row_order_changes_no_bit(seed: int, order: int) -> None:
    log = draw_log(seed)
    assert report(log.sample(fraction=1, shuffle=True, seed=order)) == report(log)


@few
@given(seed=seeds, order=seeds)
def test_the_order_of_pages_and_clicks_in_two_tables_changes_no_bit(seed: int, order: int) -> None:
    pages = draw_pages(seed, 70, 600)
    clicks = draw_clicks(seed, pages)
    mixed, mixed_clicks = (
        frame.sample(fraction=1, shuffle=True, seed=order) for frame in (pages, clicks)
    )
    assert report(mixed, mixed_clicks) == report(pages, clicks)


@few
@given(seed=seeds, part=st.floats(0.05, 1))
def test_what_is_delivered_twice_counts_once(seed: int, part: float) -> None:
    pages = draw_pages(seed, 70, 600)
    clicks = draw_clicks(seed, pages)
    twice, clicks_twice = (
        pl.concat([frame, frame.sample(fraction=part, seed=1)]) for frame in (pages, clicks)
    )
    assert report(twice, clicks_twice) == report(pages, clicks)


@few
@given(seed=seeds)
def test_other_names_for_the_users_change_nothing(seed: int) -> None:
    log = draw_log(seed)
    # Reversing the names also reverses the order in which the units are summed.
    renamed = log.with_columns(user_id="x" + pl.col("user_id").str.reverse())
    assert_close(report(renamed), report(log))


@few
@given(seed=seeds)
def test_whole_numbers_for_the_users_change_nothing(seed: int) -> None:
    log = draw_log(seed)
    numbered = log.with_columns(pl.col("user_id").str.slice(1).cast(pl.Int64))
    assert_close(report(numbered), report(log))


@few
@given(seed=seeds)
def test_other_names_for_the_arms_change_the_names_alone(seed: int) -> None:
    log = draw_log(seed)
    renamed = log.with_columns(
        arm=pl.col("arm").replace_strict({"control": "champion", "student": "aspirant"})
    )
    before, after = report(log), report(renamed, control="champion")
    assert [lift.arm for lift in after.lifts] == ["aspirant"] * len(after.lifts)
    assert [lift.found for lift in after.lifts] == [lift.found for lift in before.lifts]


@few
@given(seed=seeds)
def test_swapping_the_arms_mirrors_the_lift(seed: int) -> None:
    log = draw_log(seed)
    there, back = report(log), report(log, control="student")
    assert numbers(there).keys() == numbers(back).keys()
    for metric, one in numbers(there).items():
        other = numbers(back)[metric]
        ends, mirrored = one.relative_lift_interval, other.relative_lift_interval
        assert (other.control_value, other.arm_value) == pytest.approx(
            (one.arm_value, one.control_value), rel=1e-12
        )
        assert other.difference == pytest.approx(-one.difference, rel=1e-9, abs=1e-12)
        assert other.p_value == pytest.approx(one.p_value, rel=1e-9)
        assert other.variance_ratio == pytest.approx(one.variance_ratio, rel=1e-9)
        assert (other.design_effect or 0.0) == pytest.approx(one.design_effect or 0.0, rel=1e-9)
        logs = (other.relative_lift, mirrored.lower, mirrored.upper)
        expected = (one.relative_lift, ends.upper, ends.lower)
        assert [math.log1p(value) for value in logs] == pytest.approx(
            [-math.log1p(value) for value in expected], rel=1e-9, abs=1e-12
        )
    for look, other_look in zip(there.looks, back.looks, strict=True):
        assert math.log1p(other_look.relative_lift) == pytest.approx(
            -math.log1p(look.relative_lift), rel=1e-9, abs=1e-12
        )
        assert other_look.crossed == look.crossed
    for one_way, other_way in zip(there.distributions, back.distributions, strict=True):
        assert other_way.p_value == pytest.approx(one_way.p_value, rel=1e-9)


@few
@given(seed=seeds, factor=st.integers(2, 50))
def test_longer_dwells_scale_the_dwell_and_leave_its_lift(seed: int, factor: int) -> None:
    log = draw_log(seed)
    before = report(log)
    after = report(log.with_columns(pl.col("dwell_seconds") * factor))
    assert (after.arms, after.checks, after.looks) == (before.arms, before.checks, before.looks)
    for metric, one in numbers(before).items():
        other = numbers(after)[metric]
        if metric in IN_SECONDS:
            scaled = tuple(factor * value for value in values(one))
            assert values(other) == pytest.approx(scaled, rel=1e-9, abs=1e-9)
            assert relative(other) == pytest.approx(relative(one), rel=1e-9, abs=1e-12)
        elif metric not in ("satisfied_click_rate", "log_dwell_per_click"):
            # Those two have a threshold and a logarithm of seconds; all others know no dwell.
            assert other == one
    named = {one.statistic: one for one in after.distributions}
    for statistic in (one for one in before.distributions if one.statistic in ("median", "p90")):
        assert named[statistic.statistic].arm_value == pytest.approx(
            factor * (statistic.arm_value or math.nan), rel=1e-9
        )
    ranks = [one.distributions[-1].p_value for one in (before, after)]
    assert ranks[0] == pytest.approx(ranks[1], rel=1e-9)


@few
@given(seed=seeds)
def test_censoring_every_dwell_takes_only_what_needs_its_end_away(seed: int) -> None:
    log = draw_log(seed)
    told = log.with_columns(dwell_censored=pl.lit(value=False))
    before, after = report(told), report(told.with_columns(dwell_censored=pl.lit(value=True)))
    gone = {*IN_SECONDS, "log_dwell_per_click"}
    assert numbers(after) == {
        name: one for name, one in numbers(before).items() if name not in gone
    }


@few
@given(seed=seeds, days=st.integers(1, 30))
def test_later_days_move_the_looks_along_and_nothing_else(seed: int, days: int) -> None:
    log = draw_log(seed)
    before = report(log)
    after = report(log.with_columns(pl.col("timestamp") + pl.duration(days=days)))
    assert after.lifts == before.lifts
    assert after.novelty == before.novelty
    assert [look.day.toordinal() - days for look in after.looks] == [
        look.day.toordinal() for look in before.looks
    ]


@few
@given(seed=seeds)
def test_every_user_twice_keeps_the_lift_and_narrows_its_interval(seed: int) -> None:
    log = draw_log(seed)
    again = log.with_columns(
        user_id="again-" + pl.col("user_id"), page_id=pl.col("page_id") + 1_000_000
    )
    plain = AnalysisPlan(covariates=False)
    once, twice = (
        numbers(analyze(pages, control="control", plan=plain))
        for pages in (log, pl.concat([log, again]))
    )
    for metric, one in once.items():
        if METRICS[metric].cap_quantile is None:
            other = twice[metric]
            assert other.relative_lift == pytest.approx(one.relative_lift, rel=1e-9, abs=1e-12)
            assert other.arm_units == 2 * one.arm_units
            # Divisors n - 1 aside, half the variance.
            ratio = (one.standard_error / other.standard_error) ** 2
            assert ratio == pytest.approx(2, rel=0.1)


@few
@given(seed=seeds)
def test_an_arm_more_leaves_the_others_numbers(seed: int) -> None:
    log = draw_log(seed)
    third = pl.col("user_id").str.slice(1).cast(pl.Int64) % 3 == 0
    three = log.with_columns(arm=pl.when(third).then(pl.lit("third")).otherwise("arm"))
    two = three.filter(pl.col("arm") != "third")
    pairs = zip(
        [lift for lift in report(three).lifts if lift.arm == "student"],
        report(two).lifts,
        strict=True,
    )
    for among_three, alone in pairs:
        if METRICS[among_three.metric].cap_quantile is None:  # a cap is of all arms
            assert among_three.found == alone.found


@few
@given(seed=seeds)
def test_another_column_changes_nothing(seed: int) -> None:
    log = draw_log(seed)
    wider = log.with_columns(query=pl.lit("shoes"), score=pl.lit(0.5), shown=pl.lit([1, 2]))
    assert report(wider) == report(log)


Change = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.mark.parametrize(
    "change",
    [
        lambda log: log.with_columns(
            clicked=~pl.col("clicked"), dwell_seconds=pl.lit(None, pl.Float64)
        ),
        lambda log: log.filter(pl.col("page_id") != 0),
        lambda log: log.with_columns(pl.col("timestamp") + pl.duration(hours=1)),
        lambda log: log.with_columns(pre_pages=pl.col("pre_pages") + 1),
    ],
)
def test_another_log_has_another_digest(change: Change) -> None:
    log = draw_log(1)
    before, after = report(log), report(change(log))
    assert after.log_digest != before.log_digest
    assert replace(after, log_digest="") != replace(before, log_digest="")


def test_a_reason_is_no_number() -> None:
    log = draw_log(2).with_columns(dwell_seconds=pl.lit(None, pl.Float64))
    found = {lift.metric: lift.found for lift in report(log).lifts}
    assert all(isinstance(found[name], Unavailable) for name in IN_SECONDS)
