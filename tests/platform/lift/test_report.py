"""The report, against a log small enough to work out by hand, and against what it must refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ranklift.lift.ratio import Unavailable
from ranklift.lift.report import ArmTraffic, LiftReport, Measured, lift_report
from ranklift.lift.sums import EventTables
from ranklift.store.values import BUCKETS, Arm, ModelRef, RegisteredExperiment, Unit
from ranklift.v1.errors import InvalidRequest, NotReady, RequestError

T0 = datetime(2025, 3, 1, tzinfo=UTC)
Log = Callable[..., EventTables]


@pytest.fixture
def small(write_log: Log) -> EventTables:
    """Three units in each arm; "ida" saw both, "joe" only the champion."""
    return write_log(
        ("ann", "control", "10s"),
        ("ann", "control", ""),
        ("bea", "control", ""),
        ("cyd", "control", "20s 30s"),
        ("dan", "student", "40s"),
        ("dan", "student", "-"),
        ("eve", "student", ""),
        ("fay", "student", "50s+ 20s"),
        ("fay", "student", "99s", "deadline"),
        ("joe", "student", "", "deadline"),
        ("ida", "control", "9s"),
        ("ida", "student", "9s"),
    )


def measured(report: LiftReport, metric: str, arm: str = "student") -> Measured:
    (lift,) = [lift for lift in report.lifts if (lift.metric, lift.arm) == (metric, arm)]
    assert isinstance(lift.found, Measured)
    return lift.found


def test_values_counted_by_hand(experiment: RegisteredExperiment, small: EventTables) -> None:
    report = lift_report(experiment, small)
    page = measured(report, "page_ctr")
    assert (page.control_value, page.arm_value) == (2 / 4, 3 / 4)
    assert page.relative_lift == pytest.approx(0.5)
    user = measured(report, "user_ctr")
    assert (user.control_value, user.arm_value) == pytest.approx((2 / 3, 2 / 3))
    assert (user.relative_lift, user.p_value) == (0, 1)
    dwell = measured(report, "dwell_per_click")
    assert (dwell.control_value, dwell.arm_value) == pytest.approx((20.0, 30.0))


def test_traffic_counted_by_hand(experiment: RegisteredExperiment, small: EventTables) -> None:
    assert lift_report(experiment, small).arms == (
        ArmTraffic("control", 3, 3, pages=4, fallback_pages=0, clicks=3, planned_share=0.5),
        ArmTraffic("student", 4, 3, pages=4, fallback_pages=2, clicks=4, planned_share=0.5),
    )


def test_the_report_names_what_it_rests_on(
    experiment: RegisteredExperiment, small: EventTables
) -> None:
    report = lift_report(experiment, small, confidence_level=0.9)
    assert (report.schema, report.experiment, report.revision, report.control, report.unit) == (
        "ranklift.lift_report/1",
        "student-vs-bm25",
        2,
        "control",
        "user",
    )
    assert (report.start, report.end) == (T0, T0 + timedelta(minutes=11))
    assert report.confidence_level == 0.9


def test_a_failed_check_makes_the_report_invalid(
    experiment: RegisteredExperiment, small: EventTables, random_log: Log
) -> None:
    report = lift_report(experiment, small)
    assert [check.name for check in report.checks if not check.passed] == ["one_arm_per_unit"]
    assert not report.valid
    assert lift_report(experiment, random_log(1)).valid


def test_every_arm_is_compared_with_control_the_primary_metric_first(
    experiment: RegisteredExperiment, write_log: Log
) -> None:
    arms = tuple(Arm(name, BUCKETS // 4, ModelRef("m", "1")) for name in "abcd")
    registered = replace(
        experiment,
        experiment=replace(
            experiment.experiment,
            arms=arms,
            control="c",
            primary_metric="dwell_per_click",
            unit=Unit.SESSION,
        ),
    )
    report = lift_report(registered, write_log(("u", "a", ""), ("v", "c", "")))
    assert [arm.arm for arm in report.arms] == ["c", "a", "b", "d"]
    assert [(lift.metric, lift.arm) for lift in report.lifts] == [
        (metric, arm)
        for metric in ("dwell_per_click", "page_ctr", "user_ctr")
        for arm in ("a", "b", "d")
    ]
    assert (report.primary_metric, report.unit) == ("dwell_per_click", "session")


def test_an_empty_arm_is_a_reason_for_each_metric(
    experiment: RegisteredExperiment, write_log: Log
) -> None:
    report = lift_report(experiment, write_log(("u", "control", "3s"), ("v", "control", "")))
    for lift in report.lifts:
        assert lift.found == Unavailable("arm: 0 exposed units, at least 2 are needed")


def test_no_dwell_anywhere_leaves_the_other_metrics_alone(
    experiment: RegisteredExperiment, write_log: Log
) -> None:
    shown = [
        (f"u{i}", ("control", "student")[i % 2], "-" if i % 3 else "4s+") for i in range(8)
    ] + [("x", "control", ""), ("y", "student", "")]
    report = lift_report(experiment, write_log(*shown))
    found = {lift.metric: lift.found for lift in report.lifts}
    assert found["dwell_per_click"] == Unavailable(
        "control: dwell_count is 0, nothing to divide by"
    )
    assert isinstance(found["page_ctr"], Measured)


def test_the_window_cuts_by_the_time_of_the_page(
    experiment: RegisteredExperiment, small: EventTables
) -> None:
    minute = timedelta(minutes=1)
    report = lift_report(experiment, small, start=T0 + minute, end=T0 + 5 * minute)
    assert (report.start, report.end) == (T0 + minute, T0 + 4 * minute)
    assert [arm.pages for arm in report.arms] == [3, 1]


def refused(registered: RegisteredExperiment, events: EventTables, **given: object) -> RequestError:
    with pytest.raises(RequestError) as caught:
        lift_report(registered, events, **given)  # type: ignore[arg-type]
    return caught.value


@pytest.mark.parametrize(
    ("given", "field", "says"),
    [
        ({"start": T0, "end": T0}, "end_time", "is not after start_time"),
        ({"start": T0.replace(tzinfo=None)}, "start_time", "has no time zone"),
        ({"end": T0.replace(tzinfo=None)}, "end_time", "has no time zone"),
        ({"confidence_level": 1.0}, "confidence_level", "1.0 is not between 0 and 1"),
        ({"confidence_level": float("nan")}, "confidence_level", "nan is not between"),
    ],
)
def test_bad_arguments_are_refused(
    experiment: RegisteredExperiment,
    small: EventTables,
    given: dict[str, object],
    field: str,
    says: str,
) -> None:
    error = refused(experiment, small, **given)
    assert isinstance(error, InvalidRequest)
    assert error.violations[0].field == field
    assert says in str(error)


def test_an_unknown_primary_metric_is_refused(
    experiment: RegisteredExperiment, small: EventTables
) -> None:
    definition = replace(experiment.experiment, primary_metric="happiness")
    error = refused(replace(experiment, experiment=definition), small)
    assert isinstance(error, InvalidRequest)
    assert "the metrics are page_ctr, user_ctr, dwell_per_click" in str(error)


def test_no_pages_is_a_clear_line(
    experiment: RegisteredExperiment, small: EventTables, write_log: Log
) -> None:
    never = refused(replace(experiment, started=None), write_log())
    assert isinstance(never, NotReady)
    assert "never ran; start it with" in str(never)
    silent = refused(experiment, small, start=T0 + timedelta(days=1))
    assert isinstance(silent, NotReady)
    assert "no recorded page from 2025-03-02T00:00:00+00:00" in str(silent)
