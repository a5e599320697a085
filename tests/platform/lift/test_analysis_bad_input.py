"""What is wrong with a log or a plan: a clear line each, never a number that looks like one."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.platform.lift.page_logs import draw_pages

from ranklift.lift.analysis import MAX_ARMS, analyze
from ranklift.lift.segments import MAX_VALUES
from ranklift.lift.values import Decision, LiftReport, Measured, Unavailable
from ranklift.store.analysis import AnalysisPlan, Form, Guardrail, Horizon, Metric
from ranklift.v1.errors import InvalidRequest

Change = Callable[[pl.DataFrame], pl.DataFrame]


def draw_log(seed: int = 1, units: int = 200, pages: int = 1_500) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    clicked = rng.random(pages) < 0.4
    seconds = np.where(clicked, rng.lognormal(3, 1, pages), np.nan)
    return draw_pages(seed, units, pages).with_columns(
        clicked=pl.Series(clicked), dwell_seconds=pl.Series(seconds).fill_nan(None)
    )


def reported(pages: pl.DataFrame, **given: Any) -> LiftReport:
    """Return the report of a log, which must be free of NaN and, but for open ends, infinities."""
    report = analyze(pages, **({"control": "control"} | given))
    assert not [number for number in numbers_in(report) if math.isnan(number)]
    for part in (report.lifts, report.segments, report.novelty):
        assert all(math.isfinite(number) for lift in part for number in numbers_in(lift.found))
    return report


def numbers_in(value: object) -> list[float]:
    if isinstance(value, float):
        return [value]
    if is_dataclass(value) and not isinstance(value, type):
        return [n for f in fields(value) for n in numbers_in(getattr(value, f.name))]
    return [n for part in value for n in numbers_in(part)] if isinstance(value, tuple) else []


def reasons(report: LiftReport) -> dict[str, str]:
    return {
        lift.metric: lift.found.reason
        for lift in report.lifts
        if isinstance(lift.found, Unavailable)
    }


def failed(report: LiftReport) -> dict[str, str]:
    return {check.name: check.detail for check in report.checks if not check.passed}


def refused(pages: pl.DataFrame | None = None, **given: Any) -> list[str]:
    with pytest.raises(InvalidRequest) as caught:
        analyze(draw_log() if pages is None else pages, **({"control": "control"} | given))
    return [str(violation) for violation in caught.value.violations]


def test_one_arm_alone_has_nothing_to_be_compared_with() -> None:
    log = draw_log().filter(arm="control")
    assert refused(log) == ['arm: has 1 value ("control"), must have 2 to 50']


def test_an_arm_that_should_be_there_and_is_empty_makes_the_report_invalid() -> None:
    log = draw_log().filter(arm="control")
    report = reported(log, shares={"control": 0.5, "student": 0.5})
    assert {"sample_ratio", "enough_units"} <= set(failed(report))
    assert set(reasons(report)) == {lift.metric for lift in report.lifts}
    assert set(reasons(report).values()) == {"arm: 0 exposed units, at least 2 are needed"}
    assert report.verdict.decision is Decision.INVALID


def test_control_that_is_empty_makes_the_report_invalid() -> None:
    log = draw_log().filter(arm="student")
    report = reported(log, shares={"control": 0.5, "student": 0.5})
    assert set(reasons(report).values()) == {"control: 0 exposed units, at least 2 are needed"}
    assert report.verdict.decision is Decision.INVALID


@pytest.mark.parametrize("users", [["u000", "u001"], ["u000", "u001", "u002"]])
def test_one_user_in_an_arm_has_no_lift(users: list[str]) -> None:
    report = reported(draw_log().filter(pl.col("user_id").is_in(users)))
    assert not [lift for lift in report.lifts if isinstance(lift.found, Measured)]
    assert all("exposed units, at least 2 are needed" in why for why in reasons(report).values())
    assert "30 are needed for intervals" in failed(report)["enough_units"]


def test_one_user_in_all_is_refused() -> None:
    assert refused(draw_log().filter(user_id="u000")) == [
        'arm: has 1 value ("control"), must have 2 to 50'
    ]


def test_no_variance_is_no_lift() -> None:
    log = draw_log().with_columns(clicked=pl.lit(value=True), dwell_seconds=pl.lit(3.0))
    report = reported(log)
    for metric in ("page_ctr", "user_ctr", "dwell_per_click", "dwell_per_page", "mean_unit_ctr"):
        assert reasons(report)[metric] == "no variance in either arm: nothing to test"
    assert reasons(report)["satisfied_click_rate"] == (
        "the value in control is 0: no lift relative to it"
    )
    assert report.verdict.decision is Decision.KEEP_RUNNING
    assert "no variance in either arm" in report.verdict.sentence


def test_no_click_at_all_is_no_lift() -> None:
    log = draw_log().with_columns(clicked=pl.lit(value=False)).drop("dwell_seconds")
    report = reported(log)
    assert reasons(report)["page_ctr"] == "the value in control is 0: no lift relative to it"
    assert report.verdict.decision is Decision.KEEP_RUNNING


def test_an_arm_that_nobody_clicks_in_has_no_interval_of_its_lift() -> None:
    log = draw_log().with_columns(clicked=pl.col("clicked") & (pl.col("arm") == "control"))
    report = reported(log.drop("dwell_seconds"))
    assert reasons(report)["page_ctr"] == (
        "the value in the arm is 0: the lift has no log interval"
    )


def test_dwells_that_are_all_null_leave_the_other_metrics_alone() -> None:
    report = reported(draw_log().with_columns(dwell_seconds=pl.lit(None, pl.Float64)))
    assert reasons(report)["dwell_per_click"] == "control: dwell_count is 0, nothing to divide by"
    assert {"dwell_per_page", "dwell_per_unit", "log_dwell_per_click"} <= set(reasons(report))
    assert not {"page_ctr", "user_ctr", "sessions_per_unit"} & set(reasons(report))
    assert all(one.unavailable_reason for one in report.distributions)


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("column", ["dwell_seconds", "latency_ms", "pre_clicks"])
def test_values_that_are_not_finite_are_refused(column: str, value: float) -> None:
    first = pl.int_range(pl.len()) == pl.col("clicked").arg_max()
    log = draw_log().with_columns(
        pl.when(first).then(value).otherwise(pl.col(column)).alias(column)
    )
    assert refused(log) == [
        f"{column}: 1 row with infinity or NaN; correct them or leave them null"
    ]


@pytest.mark.parametrize(
    "given", [{"primary": "happiness"}, {"segments": ["moon"]}, {"control": "nobody"}]
)
@pytest.mark.parametrize("without", [[], ["page_id", "session_id"]], ids=["at once", "later"])
def test_wrong_values_are_told_before_what_else_is_wrong(
    given: dict[str, Any], without: list[str]
) -> None:
    log = draw_log().drop(without, strict=False)
    assert len(refused(log, **given)) == 1
    log = log.with_columns(dwell_seconds=pl.lit(-1.0), user_id=pl.lit(""))
    assert [line.split(":")[0] for line in refused(log, **given)] == [
        "user_id",
        "dwell_seconds",
    ]


def test_a_user_in_two_arms_counts_in_no_metric_and_makes_the_report_invalid() -> None:
    log = draw_log()
    stray = log.filter(user_id="u000").head(1)
    stray = stray.with_columns(arm=pl.lit("student"), page_id=pl.lit(10**6, pl.Int64))
    report = reported(pl.concat([log, stray]))
    assert failed(report) == {
        "one_arm_per_unit": "1 of 200 units (0.50%) saw more than one arm; they count in no metric."
    }
    assert report.verdict.decision is Decision.INVALID
    without = reported(log.filter(pl.col("user_id") != "u000"))
    assert [lift.found for lift in report.lifts] == [lift.found for lift in without.lifts]


def test_pages_far_from_all_others_in_time_spoil_no_look() -> None:
    log = draw_log()
    when = pl.when(pl.int_range(pl.len()) == 0).then(pl.lit(0).cast(pl.Datetime("us", "UTC")))
    report = reported(log.with_columns(timestamp=when.otherwise("timestamp")))
    assert report.start is not None
    assert report.start.year == 1970
    assert len(report.looks) == 3  # a page on its own is no look


def test_of_two_hundred_segments_the_largest_are_kept_and_every_lift_is_corrected() -> None:
    log = draw_log(2, 1_000, 4_000)
    city = pl.format("c{}", pl.col("user_id").str.slice(1).cast(pl.Int64) // 2 % 200)
    report = reported(log.with_columns(city=city), segments=["city"])
    values = {lift.value for lift in report.segments}
    assert len(values) == MAX_VALUES + 1
    assert "(other) 150 values" in values
    for lift in report.segments:
        if isinstance(lift.found, Measured):
            assert lift.adjusted_p_value is not None
            assert lift.adjusted_p_value >= lift.found.p_value * (1 - 1e-12)  # rounding


def test_more_arms_than_an_experiment_has_are_refused() -> None:
    log = draw_log().with_columns(arm="a" + pl.col("user_id"))
    (line,) = refused(log, control="au000")
    assert line.startswith('arm: has 200 values ("au000", "au001"')
    assert line.endswith(f", ...), must have 2 to {MAX_ARMS}")


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"control": "bm25"}, 'control: "bm25" is no arm; there are "control", "student"'),
        (
            {"shares": {"a": 1, "b": 1}},
            'control: "control" has no share; shares name "a", "b"',
        ),
        ({"shares": {"control": 1}}, "shares: has one arm, must have two or more"),
        (
            {"shares": {"control": 1, "student": 0}},
            'shares: "student" has 0, must be above 0',
        ),
        (
            {"shares": {"control": 1, "student": math.nan}},
            'shares: "student" has nan, must be above 0',
        ),
        (
            {"shares": {"control": 1, "student": math.inf}},
            'shares: "student" has inf, must be above 0 and finite',
        ),
        (
            {"segments": ["latency_ms"]},
            'segments: "latency_ms" is no column of text, categories or booleans; '
            "there are device, known",
        ),
        ({"segments": ["devise"]}, 'segments: "devise" is no column of text'),
        ({"primary": "joy"}, 'primary_metric: "joy" is unknown, must be one of abandonment'),
        ({"metrics": ["joy"]}, 'metrics: "joy" is no metric; the metrics are page_ctr'),
    ],
)
def test_what_is_not_there_is_named(given: dict[str, Any], says: str) -> None:
    (line,) = refused(**given)
    assert line.startswith(says)


def test_a_segment_is_named_once_only() -> None:
    log = draw_log()
    assert reported(log, segments=["device", "device"]) == reported(log, segments=["device"])


def test_an_arm_that_has_no_share_makes_the_report_invalid() -> None:
    log = draw_log().with_columns(
        arm=pl.when(pl.col("user_id") == "u001").then(pl.lit("stray")).otherwise("arm")
    )
    report = reported(log, shares={"control": 0.5, "student": 0.5})
    assert 'were logged in "stray"' in failed(report)["known_arms"]


def test_an_arm_of_the_shares_that_nobody_met_is_a_failed_check() -> None:
    report = reported(draw_log(), shares={"control": 0.4, "student": 0.4, "new": 0.2})
    assert "new 0.00% of 200 units (planned 20.00%)" in failed(report)["sample_ratio"]


def test_everything_wrong_with_a_plan_is_said_at_once() -> None:
    plan = AnalysisPlan(
        secondary_metrics=("joy",),
        guardrails=(Guardrail("page_ctr", 2.0),),
        metrics=(Metric("Own", "", "u", "D.", "spent", form=Form.RATIO, parts_per_unit=0),),
        horizon=Horizon.GROUP_SEQUENTIAL,
        alpha=0.0,
        planned_units=-1,
    )
    named = {line.split(":")[0] for line in refused(plan=plan)}
    assert named >= {
        "analysis.secondary_metrics[0]",
        "analysis.guardrails[0].metric",
        "analysis.guardrails[0].margin",
        "analysis.metrics[0].name",
        "analysis.metrics[0].title",
        "analysis.metrics[0].numerator",
        "analysis.metrics[0].denominator",
        "analysis.metrics[0].parts_per_unit",
        "analysis.alpha",
        "analysis.planned_units",
    }


def test_a_declared_sum_that_the_log_lacks_is_refused_with_what_there_is() -> None:
    spend = Metric("spend", "Spend", "euro", "Spend.", "spent", form=Form.MEAN)
    (line,) = refused(plan=AnalysisPlan(metrics=(spend,)))
    assert line.startswith('analysis.metrics[0].numerator: "spent" is unknown, must be one of ')
    assert "clicked_pages" in line


def test_a_primary_metric_that_the_log_cannot_tell_is_a_reason_not_a_number() -> None:
    report = reported(draw_log().drop("latency_ms"), primary="latency")
    assert reasons(report)["latency"] == "the log has no latency_us"
    assert "the log has no latency_us" in report.verdict.sentence


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda log: log.clear(), "pages: has no rows; give the pages of at least two arms"),
        (lambda log: log.drop("arm"), "arm: is missing in the pages"),
        (lambda log: log.drop("clicked"), "clicked: is missing, and clicks too"),
        (
            lambda log: log.with_columns(pre_clicks=pl.int_range(pl.len())),
            "pre_clicks: differs between pages of ",
        ),
    ],
)
def test_a_log_that_cannot_be_read_says_why(change: Change, says: str) -> None:
    (line,) = refused(change(draw_log()))
    assert line.startswith(says)


def test_a_lift_does_not_depend_on_how_large_or_small_the_numbers_are() -> None:
    own = Metric("own", "Own", "things", "Own.", "things", form=Form.MEAN)
    lifts = []
    for size in (1e-100, 1.0, 1e100):
        log = draw_log().with_columns(things=pl.col("latency_ms") * size)
        found = reported(log, plan=AnalysisPlan(metrics=(own,)), primary="own").lifts[0].found
        assert isinstance(found, Measured)
        lifts.append((found.relative_lift, found.p_value))
    assert lifts[0] == pytest.approx(lifts[1], rel=1e-9)
    assert lifts[2] == pytest.approx(lifts[1], rel=1e-9)


def test_numbers_that_cancel_are_no_variance() -> None:
    own = Metric("own", "Own", "things", "Own.", "things", "pages", Form.RATIO)
    log = draw_log().with_columns(things=pl.lit(0.1))
    report = reported(log, plan=AnalysisPlan(metrics=(own,)), primary="own")
    assert reasons(report)["own"] == "no variance in either arm: nothing to test"
