"""The looks at a metric: what each was worth of the plan, and which one decides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from scipy.special import ndtri
from tests.platform.lift.unit_tables import FIRST_DAY, declared

from ranklift.lift.comparing import Method, measure
from ranklift.lift.moments import Moments
from ranklift.lift.sequential.monitor import Monitored
from ranklift.lift.subject import Subject
from ranklift.lift.timeline import Track, observe, track, tuned_units
from ranklift.lift.values import Interval, Measured
from ranklift.store.analysis import AnalysisPlan, Form, Horizon

METRIC = declared(Form.MEAN)
ALPHA = 0.05
METHOD = Method(0.95, {}, {})
START = datetime(2025, 3, 1, 12, tzinfo=UTC)
SUBJECT = Subject(
    "x", ("control", "student", "other"), {"control": 0.5, "student": 0.3, "other": 0.2}
)


def day(number: int) -> date:
    return FIRST_DAY + timedelta(days=number)


def alike(count: int, mean: float, deviation: float = 1.0) -> Moments:
    """Return the moments of `count` units with this mean and sample deviation."""
    return Moments(("clicks",), count, np.array([mean]), np.array([[deviation**2 * (count - 1)]]))


def tracked(subject: Subject, arm: Mapping[date, Moments], end: datetime | None = None) -> Track:
    control = {when: alike(moments.count, 10.0) for when, moments in arm.items()}
    return track(control, arm, "student", METRIC, METHOD, subject, end, alpha=ALPHA)


def test_the_last_look_is_the_lift_of_the_table() -> None:
    control, arm = alike(400, 10.0), alike(500, 11.0)
    found = measure(control, arm, METRIC, METHOD)
    looks = track(
        {day(0): control}, {day(0): arm}, "student", METRIC, METHOD, SUBJECT, None, alpha=ALPHA
    ).looks
    assert isinstance(found, Measured)
    assert (looks[-1].relative_lift, looks[-1].interval) == (
        found.relative_lift,
        found.relative_lift_interval,
    )
    assert looks[-1].units == 900


def test_a_look_on_the_log_scale_keeps_the_fixed_interval() -> None:
    found = measure(alike(50, 10.0), alike(60, 11.0), METRIC, METHOD)
    assert isinstance(found, Measured)
    look = observe(found, METHOD, None)
    half = ndtri(0.975) * look.log_error
    interval = found.relative_lift_interval
    assert (
        1.1 * math.exp(-half) - 1,
        1.1 * math.exp(half) - 1,
    ) == pytest.approx((interval.lower, interval.upper))


@pytest.mark.parametrize(
    ("end", "parts"),
    [
        # Half a day of ten until midnight, a day and a half until the next.
        (START + timedelta(days=4), [0.05, 0.15]),
        # The second day is not over: its look is as old as the last page.
        (START + timedelta(days=1), [0.05, 0.10]),
        # A page at the very start is a look all the same.
        (START, [1e-9, 1e-9]),
        (None, [None, None]),
    ],
)
def test_planned_time_is_what_has_passed_of_it_at_the_days_end(
    end: datetime | None, parts: list[float | None]
) -> None:
    subject = replace(SUBJECT, started=START, planned_end=START + timedelta(days=10))
    said = tracked(
        replace(subject, plan=AnalysisPlan(horizon=Horizon.ALWAYS_VALID)),
        {day(0): alike(100, 10.0), day(1): alike(200, 10.0)},
        end,
    )
    assert [look.planned_time for look in said.observed] == [
        None if part is None else pytest.approx(part) for part in parts
    ]


def test_planned_units_are_those_of_the_arm_and_control() -> None:
    # 1,000 units over all arms, 800 of them in control and in this arm.
    subject = replace(SUBJECT, plan=AnalysisPlan(planned_units=1_000))
    said = tracked(subject, {day(0): alike(100, 10.0), day(1): alike(200, 10.0)})
    assert [look.information for look in said.looks] == [0.25, 0.5]
    assert tuned_units(subject, "student", said.observed) == 800
    assert tuned_units(subject, "other", said.observed) == 700


def test_without_a_plan_the_harm_alarm_is_tuned_to_ten_first_looks() -> None:
    said = tracked(SUBJECT, {day(0): alike(100, 10.0), day(1): alike(900, 10.0)})
    assert tuned_units(SUBJECT, "student", said.observed) == 2_000


def test_a_day_without_a_lift_is_no_look_and_an_arm_without_pages_keeps_its_last_ones() -> None:
    control = {day(0): alike(50, 10.0), day(1): alike(80, 10.0), day(3): alike(90, 10.0)}
    arm = {day(1): alike(1, 10.0), day(2): alike(70, 11.0)}
    said = track(control, arm, "student", METRIC, METHOD, SUBJECT, None, alpha=ALPHA)
    assert [(look.day, look.units) for look in said.looks] == [(day(2), 150), (day(3), 160)]


def test_what_one_look_has_shown_stays_shown() -> None:
    subject = replace(SUBJECT, plan=AnalysisPlan(horizon=Horizon.ALWAYS_VALID))
    means = [10.0, 12.0, 10.05]
    said = tracked(subject, {day(i): alike(1_000 * (i + 1), mean) for i, mean in enumerate(means)})
    assert [look.crossed for look in said.looks] == [False, True, False]
    assert said.decisive == 1


def test_of_several_looks_that_crossed_the_last_decides_and_without_any_the_present_one() -> None:
    shown, open_ = Interval(0.1, 0.2), Interval(-0.1, 0.2)

    def decisive(*intervals: Interval | None) -> int:
        return Track((), (), tuple(Monitored(0.1, one, None) for one in intervals)).decisive

    assert decisive(shown, open_, shown, open_) == 2
    assert decisive(open_, open_, None) == 2


def test_a_fixed_horizon_says_nothing_before_its_end() -> None:
    plan = AnalysisPlan(horizon=Horizon.FIXED, planned_units=1_000)
    arm = {day(0): alike(100, 20.0), day(1): alike(400, 20.0)}
    said = tracked(replace(SUBJECT, plan=plan), arm)
    assert [look.sequential_interval is None for look in said.looks] == [True, False]
    assert said.looks[1].sequential_interval is not None
    assert said.looks[1].crossed


def test_less_alpha_makes_wider_intervals_at_any_look_and_leaves_the_fixed_ones() -> None:
    arm = {day(0): alike(100, 11.0)}
    control = {day(0): alike(100, 10.0)}
    loose, strict = (
        track(control, arm, "student", METRIC, METHOD, SUBJECT, None, alpha=alpha).looks[0]
        for alpha in (0.05, 0.025)
    )
    assert loose.interval == strict.interval
    assert loose.sequential_interval is not None
    assert strict.sequential_interval is not None
    assert strict.sequential_interval.lower < loose.sequential_interval.lower
    assert strict.sequential_interval.upper > loose.sequential_interval.upper
