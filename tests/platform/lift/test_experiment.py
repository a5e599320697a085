"""The report of a registered experiment: the same from the whole log and from kept days."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.platform.lift.event_logs import (
    ARMS,
    NAME,
    OTHER,
    T0,
    Events,
    by_day,
    draw_events,
    together,
)

from ranklift.lift.experiment import PRE_PERIOD, lift_report, refreshed_report
from ranklift.lift.kept import KeptDays
from ranklift.lift.values import Check, Decision, LiftReport, Measured
from ranklift.store.analysis import AnalysisPlan, Guardrail, Horizon
from ranklift.store.values import ExperimentState, RegisteredExperiment, Unit
from ranklift.v1.errors import InvalidRequest, NotReady

DAY = timedelta(days=1)
HALF = timedelta(hours=12)


@pytest.fixture(scope="module")
def registered(experiment: RegisteredExperiment) -> RegisteredExperiment:
    """An experiment that starts in the middle of a day, with a guardrail."""
    plan = AnalysisPlan(guardrails=(Guardrail("latency", 0.1),))
    return replace(
        experiment,
        experiment=replace(experiment.experiment, analysis=plan),
        started=T0 + 20 * DAY + HALF,
    )


@pytest.fixture(scope="module")
def before() -> Events:
    """What most of the users did before: on days that lie in the pre-period, touch its ends, or
    lie outside it. No page is in the experiment."""
    return draw_events(1, units=150, days=(2, 6, 7, 15, 20), experiments=(OTHER,))


@pytest.fixture(scope="module")
def during() -> Events:
    return draw_events(2, days=(21, 22, 23))


@pytest.fixture(scope="module")
def events(before: Events, during: Events) -> Events:
    return together(before, during)


def assert_same(found: LiftReport, expected: LiftReport) -> None:
    for field in fields(LiftReport):
        assert getattr(found, field.name) == getattr(expected, field.name), field.name


def check(report: LiftReport, name: str) -> Check:
    (found,) = [one for one in report.checks if one.name == name]
    return found


def after(registered: RegisteredExperiment, **changes: Any) -> RegisteredExperiment:
    return replace(registered, experiment=replace(registered.experiment, **changes))


@pytest.mark.parametrize(
    "window",
    [
        pytest.param({}, id="all"),
        pytest.param({"start": T0 + 22 * DAY}, id="from-midnight"),
        pytest.param(
            {"start": T0 + 21 * DAY + HALF, "end": T0 + 23 * DAY + HALF}, id="inside-days"
        ),
        pytest.param({"end": T0 + 22 * DAY + timedelta(microseconds=1)}, id="into-a-day"),
    ],
)
def test_kept_days_report_what_the_whole_log_does(
    registered: RegisteredExperiment, events: Events, window: dict[str, Any], tmp_path: Path
) -> None:
    expected = lift_report(registered, events, **window, now=T0 + 30 * DAY)
    kept = KeptDays(tmp_path)
    for _ in range(2):  # made, then read
        found = refreshed_report(registered, by_day(events), kept, **window, now=T0 + 30 * DAY)
        assert_same(found, expected)


def test_the_parts_that_a_full_log_supports_are_all_there(
    registered: RegisteredExperiment, events: Events, during: Events
) -> None:
    report = lift_report(registered, events)
    assert report.valid
    assert {segment.value for segment in report.segments} == {"new", "returning"}
    assert report.looks
    assert report.novelty
    assert report.distributions
    assert [(one.other_experiment, one.other_arm) for one in report.interactions] == [
        (OTHER, "plain")
    ]
    assert (report.start, report.end) == (
        during.pages.select(first=pl.col("page_time").min(), last=pl.col("page_time").max())
        .collect()
        .row(0)
    )


def test_a_late_click_on_an_old_page_makes_that_day_anew_and_no_other(
    registered: RegisteredExperiment, events: Events, tmp_path: Path
) -> None:
    kept = KeptDays(tmp_path)
    first = refreshed_report(registered, by_day(events), kept)
    missed = by_day(events)[-2].frames.pages.collect()["impression_id"][0]
    click = pl.LazyFrame(
        {
            "event_id": ["late"],
            "impression_id": [missed],
            "position": [1],
            "click_time": [T0 + 23 * DAY + HALF],
        },
        schema=events.clicks.collect_schema(),
    )
    later = replace(events, clicks=pl.concat([events.clicks, click]))
    days = by_day(later)
    found = refreshed_report(registered, days, kept)
    assert [day.reads for day in days] == [0] * (len(days) - 2) + [1, 0]
    assert_same(found, lift_report(registered, later))
    assert found.log_digest != first.log_digest


def test_a_day_is_read_only_when_it_is_new(
    registered: RegisteredExperiment, before: Events, during: Events, tmp_path: Path
) -> None:
    kept = KeptDays(tmp_path)
    refreshed_report(registered, by_day(together(before, during)), kept)
    tomorrow = draw_events(3, days=(24,), pages=200)
    days = by_day(together(before, during, tomorrow))
    refreshed_report(registered, days, kept)
    assert [day.reads for day in days] == [0] * (len(days) - 1) + [1]


def test_the_days_on_which_the_pre_period_ends_and_starts_are_kept_as_well(
    registered: RegisteredExperiment, events: Events, tmp_path: Path
) -> None:
    assert registered.started is not None
    edges = {(registered.started - PRE_PERIOD).date().isoformat(), "2025-03-21"}
    days = by_day(events)
    assert edges < {day.date for day in days}
    refreshed_report(registered, days, KeptDays(tmp_path))
    again = by_day(events)
    refreshed_report(registered, again, KeptDays(tmp_path))
    assert [day.reads for day in again] == [0] * len(again)


def test_two_experiments_share_kept_days_without_mixing_them_up(
    registered: RegisteredExperiment, events: Events, tmp_path: Path
) -> None:
    arms = tuple(
        replace(arm, name=name)
        for arm, name in zip(registered.experiment.arms, ("bold", "plain"), strict=True)
    )
    other = replace(
        after(registered, name=OTHER, arms=arms, control="bold"),
        started=registered.started and registered.started + DAY + HALF,
    )
    kept = KeptDays(tmp_path)
    days = by_day(events)
    found = [refreshed_report(one, days, kept) for one in (registered, other, registered)]
    assert_same(found[0], lift_report(registered, events))
    assert_same(found[1], lift_report(other, events))
    assert found[2] == found[0]


def test_only_the_fortnight_before_the_start_is_the_pre_period(
    registered: RegisteredExperiment, before: Events, during: Events
) -> None:
    assert registered.started is not None
    inside = pl.col("page_time").is_between(
        registered.started - PRE_PERIOD, registered.started, closed="left"
    )
    cut = replace(before, pages=before.pages.filter(inside))
    assert cut.pages.collect().height < before.pages.collect().height
    assert_same(
        lift_report(registered, together(cut, during)),
        lift_report(registered, together(before, during)),
    )


def test_users_without_a_pre_period_are_newcomers(
    registered: RegisteredExperiment, before: Events, during: Events
) -> None:
    report = lift_report(registered, together(before, during))
    units = {
        segment.value: (segment.found.control_units, segment.found.arm_units)
        for segment in report.segments
        if segment.metric == "page_ctr" and isinstance(segment.found, Measured)
    }
    traffic = tuple(arm.exposed_units for arm in report.arms)
    assert tuple(map(sum, zip(*units.values(), strict=True))) == traffic
    assert sum(units["new"]) >= 45  # the users 150 to 199 came later
    lift = report.lifts[0].found
    assert isinstance(lift, Measured)
    assert lift.variance_ratio < 1


@pytest.mark.parametrize("without", ["covariates", "user", "start"])
def test_some_experiments_have_no_pre_period(
    registered: RegisteredExperiment, events: Events, without: str, tmp_path: Path
) -> None:
    changed = {
        "covariates": after(registered, analysis=AnalysisPlan(covariates=False)),
        "user": after(registered, unit=Unit.SESSION),
        "start": replace(registered, started=None),
    }[without]
    report = lift_report(changed, events)
    assert not report.segments
    found = report.lifts[0].found
    assert isinstance(found, Measured)
    assert found.variance_ratio == 1
    assert_same(refreshed_report(changed, by_day(events), KeptDays(tmp_path)), report)


def test_a_fallback_page_counts_as_traffic_and_in_no_lift(
    registered: RegisteredExperiment, during: Events
) -> None:
    report = lift_report(registered, during)
    shown = during.pages.collect()
    fallbacks = shown.filter(pl.col("fallback_reason") != "").height
    assert fallbacks > 0
    assert sum(arm.fallback_pages or 0 for arm in report.arms) == fallbacks
    assert sum(arm.pages for arm in report.arms) == shown.height - fallbacks
    spoilt = pl.when(pl.col("fallback_reason") != "").then(9e9).otherwise("latency_ms")
    slow = replace(during, pages=during.pages.with_columns(latency_ms=spoilt))
    assert lift_report(registered, slow).lifts == report.lifts


def test_a_unit_that_was_not_sent_to_its_arm_makes_the_report_invalid(
    registered: RegisteredExperiment, during: Events
) -> None:
    arms = dict(
        during.pages.select("user_id", arm=pl.col("assignments").list.first().struct.field("arm"))
        .collect()
        .iter_rows()
    )

    def right(units: Sequence[str]) -> list[str | None]:
        return [arms[unit] for unit in units]

    def wrong(units: Sequence[str]) -> list[str | None]:
        return [None if unit == "u007" else arms[unit] for unit in units]

    good = lift_report(registered, during, recompute=right)
    assert check(good, "recomputed_arms").passed
    assert good.valid
    bad = lift_report(registered, during, recompute=wrong)
    assert 'unit "u007" was logged in' in check(bad, "recomputed_arms").detail
    assert not bad.valid
    assert bad.verdict.decision is Decision.INVALID


def test_the_planned_end_decides_a_fixed_horizon_once_it_is_reached(
    registered: RegisteredExperiment, during: Events
) -> None:
    end = T0 + 24 * DAY
    planned = after(
        registered, planned_end=end, analysis=AnalysisPlan(horizon=Horizon.FIXED, alpha=1e-9)
    )
    running = lift_report(planned, during, now=end - timedelta(microseconds=1))
    assert running.verdict.decision is Decision.KEEP_RUNNING
    for now in (end, end + DAY):
        over = lift_report(planned, during, now=now)
        assert over.verdict.decision is Decision.NO_DIFFERENCE, now
        assert over.lifts == running.lifts


def test_pages_before_the_start_or_after_now_are_wrong_clocks(
    registered: RegisteredExperiment, during: Events
) -> None:
    late = lift_report(registered, during, now=T0 + 22 * DAY)
    assert "after now" in check(late, "page_times").detail
    early = lift_report(replace(registered, started=T0 + 22 * DAY), during)
    assert "before the start" in check(early, "page_times").detail
    assert not early.valid
    assert not late.valid


@pytest.mark.parametrize("state", [ExperimentState.PAUSED, ExperimentState.CONCLUDED])
def test_an_experiment_that_runs_no_more_is_still_reported(
    registered: RegisteredExperiment, during: Events, state: ExperimentState
) -> None:
    ended = T0 + 24 * DAY if state is ExperimentState.CONCLUDED else None
    over = replace(registered, state=state, ended=ended, revision=7)
    report = lift_report(over, during, now=T0 + 30 * DAY)
    assert report.revision == 7
    assert report.lifts == lift_report(registered, during, now=T0 + 30 * DAY).lifts
    assert report.valid


def test_an_experiment_that_never_ran_says_how_to_start_it(
    registered: RegisteredExperiment, before: Events, tmp_path: Path
) -> None:
    draft = replace(registered, state=ExperimentState.DRAFT, started=None)
    says = f'experiment: "{NAME}" never ran; start it with "ranklift experiment start {NAME}"'
    with pytest.raises(NotReady) as caught:
        lift_report(draft, before)
    assert str(caught.value) == says
    with pytest.raises(NotReady) as caught:
        refreshed_report(draft, [], KeptDays(tmp_path))
    assert str(caught.value) == says


def test_a_window_without_pages_is_named(
    registered: RegisteredExperiment, events: Events, tmp_path: Path
) -> None:
    window: dict[str, Any] = {"start": T0 + 40 * DAY, "end": T0 + 41 * DAY}
    says = (
        "has no recorded page from 2025-04-10T00:00:00+00:00 before 2025-04-11T00:00:00+00:00; "
        "send it traffic or choose another window"
    )
    with pytest.raises(NotReady) as caught:
        lift_report(registered, events, **window)
    assert says in str(caught.value)
    with pytest.raises(NotReady) as caught:
        refreshed_report(registered, by_day(events), KeptDays(tmp_path), **window)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("window", "field", "says"),
    [
        ({"start": datetime(2025, 3, 1)}, "start_time", "has no time zone"),
        ({"end": datetime(2025, 3, 1)}, "end_time", "has no time zone"),
        ({"start": T0, "end": T0}, "end_time", "is not after start_time"),
        ({"start": T0 + DAY, "end": T0}, "end_time", "is not after start_time"),
    ],
)
def test_a_window_that_is_none_is_refused(
    registered: RegisteredExperiment,
    during: Events,
    window: dict[str, Any],
    field: str,
    says: str,
    tmp_path: Path,
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        lift_report(registered, during, **window)
    assert [one.field for one in caught.value.violations] == [field]
    assert says in str(caught.value)
    with pytest.raises(InvalidRequest) as refreshed:
        refreshed_report(registered, by_day(during), KeptDays(tmp_path), **window)
    assert str(refreshed.value) == str(caught.value)


def test_arms_are_compared_with_control_whatever_their_order(
    registered: RegisteredExperiment, during: Events
) -> None:
    turned = after(registered, control=ARMS[1])
    report = lift_report(turned, during)
    assert report.control == ARMS[1]
    assert [arm.arm for arm in report.arms] == [ARMS[1], ARMS[0]]
    assert {lift.arm for lift in report.lifts} == {ARMS[0]}
