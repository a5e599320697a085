"""The report, against sums small enough to work out by hand, and what it says of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from tests.platform.lift.unit_tables import ARMS, added_up, draw_days, draw_units

from ranklift.lift.report import report_of
from ranklift.lift.subject import Subject, Sums
from ranklift.lift.values import (
    ArmTraffic,
    Check,
    Decision,
    LiftReport,
    Measured,
    Outcome,
    Role,
    Unavailable,
)
from ranklift.store.analysis import AnalysisPlan, Form, Guardrail, Horizon, Metric
from ranklift.v1.errors import InvalidRequest

T0 = datetime(2025, 3, 1, tzinfo=UTC)
SUBJECT = Subject("exp", ARMS, dict.fromkeys(ARMS, 0.5), revision=2)


def small() -> pl.DataFrame:
    """Three units in each arm; "ida" saw both, "joe" only the champion."""
    rows = [
        ("ann", "control", 2, 0, 1, 1, 10_000, 1),
        ("bea", "control", 1, 0, 0, 0, 0, 0),
        ("cyd", "control", 1, 0, 1, 2, 50_000, 2),
        ("ida", "control", 1, 0, 1, 1, 9_000, 1),
        ("dan", "student", 2, 0, 2, 2, 40_000, 1),
        ("eve", "student", 1, 0, 0, 0, 0, 0),
        ("fay", "student", 1, 1, 1, 2, 20_000, 1),
        ("ida", "student", 1, 0, 1, 1, 9_000, 1),
        ("joe", "student", 0, 1, 0, 0, 0, 0),
    ]
    columns = (
        *("unit_id", "arm", "pages", "fallback_pages", "clicked_pages"),
        *("clicks", "dwell_ms", "dwell_count"),
    )
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    return frame.with_columns(
        first_page_time=pl.lit(T0), last_page_time=pl.lit(T0 + timedelta(minutes=11))
    )


def measured(report: LiftReport, metric: str, arm: str = "student") -> Measured:
    (lift,) = [lift for lift in report.lifts if (lift.metric, lift.arm) == (metric, arm)]
    assert isinstance(lift.found, Measured)
    return lift.found


def failed(report: LiftReport) -> dict[str, Check]:
    return {check.name: check for check in report.checks if not check.passed}


def test_values_counted_by_hand() -> None:
    report = report_of(SUBJECT, Sums(small()))
    page = measured(report, "page_ctr")
    assert (page.control_value, page.arm_value) == (2 / 4, 3 / 4)
    assert page.relative_lift == pytest.approx(0.5)
    assert (page.control_units, page.arm_units) == (3, 3)
    user = measured(report, "user_ctr")
    assert (user.control_value, user.arm_value) == pytest.approx((2 / 3, 2 / 3))
    assert (user.relative_lift, user.p_value) == (0, 1)
    dwell = measured(report, "dwell_per_click")
    assert (dwell.control_value, dwell.arm_value) == pytest.approx((20.0, 30.0))


def test_traffic_counted_by_hand() -> None:
    assert report_of(SUBJECT, Sums(small())).arms == (
        ArmTraffic("control", 3, 3, pages=4, fallback_pages=0, clicks=3, planned_share=0.5),
        ArmTraffic("student", 4, 3, pages=4, fallback_pages=2, clicks=4, planned_share=0.5),
    )


def test_the_report_names_what_it_rests_on() -> None:
    plan = AnalysisPlan(alpha=0.1, horizon=Horizon.FIXED)
    report = report_of(replace(SUBJECT, plan=plan), Sums(small()))
    assert (report.schema, report.experiment, report.revision, report.control, report.unit) == (
        "ranklift.lift_report/2",
        "exp",
        2,
        "control",
        "user",
    )
    assert (report.start, report.end) == (T0, T0 + timedelta(minutes=11))
    assert (report.confidence_level, report.horizon) == (0.9, Horizon.FIXED)
    assert report.primary_metric == report.metrics[0].name == report.lifts[0].metric == "page_ctr"
    assert report.version


def test_the_digest_is_that_of_the_sums() -> None:
    units = small()
    digest = report_of(SUBJECT, Sums(units)).log_digest
    assert digest.startswith("blake2b:")
    assert report_of(replace(SUBJECT, revision=9), Sums(units)).log_digest == digest
    assert report_of(SUBJECT, Sums(units.select(sorted(units.columns)))).log_digest == digest
    one_more = units.with_columns(clicks=pl.col("clicks") + (pl.col("unit_id") == "ann"))
    assert report_of(SUBJECT, Sums(one_more)).log_digest != digest
    unknown = units.with_columns(pre_clicks=pl.lit(None, pl.Int64))
    zero = units.with_columns(pre_clicks=pl.lit(0, pl.Int64))
    assert report_of(SUBJECT, Sums(unknown)).log_digest != report_of(SUBJECT, Sums(zero)).log_digest


def test_a_failed_check_makes_the_report_invalid_and_the_verdict_says_so() -> None:
    report = report_of(SUBJECT, Sums(small()))
    assert set(failed(report)) == {"one_arm_per_unit", "enough_units"}
    assert not report.valid
    assert report.verdict.decision is Decision.INVALID
    assert report.verdict.sentence.startswith("Invalid: failed one_arm_per_unit, enough_units")
    sound = report_of(SUBJECT, Sums(draw_units(1)))
    assert sound.valid
    assert sound.verdict.decision is not Decision.INVALID


def test_pages_before_the_start_or_after_now_are_a_failed_check() -> None:
    units = draw_units(2).with_columns(
        first_page_time=pl.lit(T0), last_page_time=pl.lit(T0 + timedelta(days=3))
    )
    late = replace(SUBJECT, started=T0 + timedelta(days=1), now=T0 + timedelta(days=4))
    check = failed(report_of(late, Sums(units)))["page_times"]
    assert "400 units have pages before the start, 2025-03-02T00:00:00+00:00" in check.detail
    assert "check the clocks" in check.detail
    early = replace(SUBJECT, started=T0, now=T0 + timedelta(days=2))
    assert "after now" in failed(report_of(early, Sums(units)))["page_times"].detail
    fine = replace(SUBJECT, started=T0, now=T0 + timedelta(days=4))
    assert "page_times" not in failed(report_of(fine, Sums(units)))


def test_every_arm_is_compared_with_control_the_primary_metric_first() -> None:
    arms = ("c", "a", "b")
    report = report_of(
        Subject("exp", arms, dict.fromkeys(arms, 1 / 3), primary_metric="user_ctr"),
        Sums(draw_units(3, arms=arms)),
    )
    assert [arm.arm for arm in report.arms] == ["c", "a", "b"]
    assert [(lift.metric, lift.arm) for lift in report.lifts[:2]] == [
        ("user_ctr", "a"),
        ("user_ctr", "b"),
    ]
    assert [lift.role for lift in report.lifts[:2]] == [Role.PRIMARY, Role.PRIMARY]


def test_an_empty_arm_is_a_reason_for_each_metric_and_no_verdict() -> None:
    report = report_of(SUBJECT, Sums(draw_units(4).filter(pl.col("arm") == "control")))
    reason = "arm: 0 exposed units, at least 2 are needed"
    assert {lift.found for lift in report.lifts} == {Unavailable(reason)}
    assert {"sample_ratio", "enough_units"} <= set(failed(report))


def test_a_primary_metric_that_the_log_lacks_is_a_reason() -> None:
    report = report_of(replace(SUBJECT, primary_metric="latency"), Sums(draw_units(5)))
    assert report.lifts[0].found == Unavailable("the log has no latency_us")
    assert report.verdict.decision is Decision.KEEP_RUNNING
    assert "the log has no latency_us" in report.verdict.sentence
    assert [report.looks, report.novelty, report.interactions] == [(), (), ()]


def test_an_unknown_primary_metric_is_refused() -> None:
    with pytest.raises(InvalidRequest, match='"joy" is no metric; the metrics are page_ctr'):
        report_of(replace(SUBJECT, primary_metric="joy"), Sums(draw_units(6)))


def test_only_named_metrics_are_reported_beside_primary_and_guardrails() -> None:
    plan = AnalysisPlan(guardrails=(Guardrail("pages_per_unit", 0.1),))
    sums = Sums(draw_units(7))
    report = report_of(replace(SUBJECT, plan=plan), sums, only=["clicks_per_page"])
    assert [lift.metric for lift in report.lifts] == [
        "page_ctr",
        "pages_per_unit",
        "clicks_per_page",
    ]


def test_bots_count_in_no_metric() -> None:
    units = draw_units(8)
    bot = units.head(1).with_columns(
        unit_id=pl.lit("bot"), pages=pl.lit(90_000), clicked_pages=pl.lit(90_000)
    )
    when = {"first_page_time": pl.lit(T0), "last_page_time": pl.lit(T0)}
    with_bot = pl.concat([bot, units], how="vertical_relaxed").with_columns(**when)
    found = report_of(SUBJECT, Sums(with_bot))
    clean = report_of(SUBJECT, Sums(units.with_columns(**when)))
    assert found.lifts == clean.lifts
    keep = replace(SUBJECT, plan=AnalysisPlan(bot_pages_per_day=0))
    assert report_of(keep, Sums(with_bot)).lifts != clean.lifts


def with_days(seed: int, plan: AnalysisPlan) -> LiftReport:
    base = draw_units(seed, 200)
    days = draw_days(seed, base)
    return report_of(replace(SUBJECT, plan=plan), Sums(added_up(days, base), days))


def test_the_looks_are_by_day_and_the_last_is_the_lift() -> None:
    report = with_days(9, AnalysisPlan(guardrails=(Guardrail("clicks_per_page", 0.1),)))
    assert [(look.metric, look.day) for look in report.looks] == [
        (metric, date(2025, 3, 1) + timedelta(days=day))
        for metric in ("page_ctr", "clicks_per_page")
        for day in range(4)
    ]
    for metric in ("page_ctr", "clicks_per_page"):
        last = [look for look in report.looks if look.metric == metric][-1]
        found = measured(report, metric)
        assert last.relative_lift == pytest.approx(found.relative_lift, rel=1e-9)
        assert last.units == found.control_units + found.arm_units


def test_without_days_there_is_one_look_that_is_not_shown_but_decides() -> None:
    units = draw_units(10, 4_000, lift=0.8)
    report = report_of(SUBJECT, Sums(units))
    assert report.looks == ()
    assert report.verdict.decision is Decision.SHIP
    assert report.verdict.arm == "student"


def test_a_guardrail_that_is_breached_is_rolled_back() -> None:
    plan = AnalysisPlan(guardrails=(Guardrail("clicks_per_page", 0.1),))
    worse = draw_units(11, 4_000, lift=-0.6)
    report = report_of(replace(SUBJECT, plan=plan), Sums(worse))
    (guardrail,) = [lift for lift in report.lifts if lift.role is Role.GUARDRAIL]
    assert (guardrail.margin, guardrail.outcome) == (0.1, Outcome.BREACHED)
    assert report.verdict.decision is Decision.ROLL_BACK


def test_what_an_earlier_look_decided_is_said() -> None:
    days = pl.DataFrame(
        {
            "unit_id": [f"{arm}{i}-{day}" for arm in ARMS for day in range(2) for i in range(400)],
            "arm": [arm for arm in ARMS for _ in range(800)],
            "day": [date(2025, 3, 1 + day) for _ in ARMS for day in range(2) for _ in range(400)],
            "pages": 1,
        }
    ).sort("arm", "unit_id")
    # On the first day the student clicks on two pages of three, control on one; then the reverse.
    ahead = (pl.col("arm") == "student") == (pl.col("day") == date(2025, 3, 1))
    number = pl.int_range(pl.len()) % 3
    days = days.with_columns(
        clicked_pages=pl.when(ahead).then(number < 2).otherwise(number < 1).cast(pl.Int64)
    )
    units = days.drop("day").with_columns()
    report = report_of(SUBJECT, Sums(units, days))
    assert [look.crossed for look in report.looks] == [True, False]
    assert report.verdict.decision is Decision.SHIP
    assert report.verdict.reasons[-1] == (
        "student: decided at the look of 2025-03-01; the present look alone would not decide it."
    )


def test_a_report_over_the_same_sums_is_the_same() -> None:
    plan = AnalysisPlan(
        metrics=(
            Metric("own", "Own", "clicks", "Own.", "clicks", form=Form.MEAN, cap_quantile=0.9),
        )
    )
    assert with_days(12, plan) == with_days(12, plan)
