"""The lift report of a registered experiment, from ranklift's own event log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta

import polars as pl

from ranklift.lift.day_sums import DaySums, add_up, day_sums, users_before
from ranklift.lift.event_pages import EventTables
from ranklift.lift.kept import EventDay, KeptDays
from ranklift.lift.report import report_of
from ranklift.lift.subject import Recompute, Subject, Sums
from ranklift.lift.values import LiftReport
from ranklift.store.values import BUCKETS, Experiment, RegisteredExperiment, Unit
from ranklift.v1.errors import InvalidRequest, NotReady

# How long before its start an experiment looks at what its users did. A longer period knows more
# users, but their old habits say less.
PRE_PERIOD = timedelta(days=14)
DAY = timedelta(days=1)


def lift_report(
    registered: RegisteredExperiment,
    events: EventTables,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    now: datetime | None = None,
    recompute: Recompute | None = None,
) -> LiftReport:
    """Return the lift report of an experiment over the pages shown in [start, end).

    `now` is the present, where planned ends and wrong clocks are to be told; `recompute` tells
    the arm that a unit must have met, None for one that takes no part.

    Raises:
        InvalidRequest: the window is empty or without a time zone, or the experiment's plan names
            an unknown metric.
        NotReady: no page of the experiment lies in the window.
    """
    _check_window(start, end)
    began = _pre_period(registered)
    sums = _sums(
        registered,
        [day_sums(events, registered.experiment.name, start=start, end=end)],
        []
        if began is None
        else [users_before(events, registered.experiment.name, start=began[0], end=began[1])],
        (start, end),
    )
    return report_of(subject_of(registered, now, recompute), sums)


def refreshed_report(
    registered: RegisteredExperiment,
    days: Sequence[EventDay],
    kept: KeptDays,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    now: datetime | None = None,
    recompute: Recompute | None = None,
) -> LiftReport:
    """Return the same report as `lift_report`, reading only the days that are not kept.

    Raises:
        InvalidRequest, NotReady: as `lift_report`.
    """
    sums = refreshed_sums(registered, days, kept, start=start, end=end)
    return report_of(subject_of(registered, now, recompute), sums)


def refreshed_sums(
    registered: RegisteredExperiment,
    days: Sequence[EventDay],
    kept: KeptDays,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> Sums:
    """Return the sums that `refreshed_report` rests on.

    Raises:
        InvalidRequest: the window is empty or without a time zone.
        NotReady: no page of the experiment lies in the window.
    """
    _check_window(start, end)
    name = registered.experiment.name
    began = _pre_period(registered)
    return _sums(
        registered,
        [_day_sums(day, name, start, end, kept) for day in days if _touches(day, start, end)],
        []
        if began is None
        else [_users_before(day, name, began, kept) for day in days if _touches(day, *began)],
        (start, end),
    )


def _day_sums(
    day: EventDay, experiment: str, start: datetime | None, end: datetime | None, kept: KeptDays
) -> DaySums:
    if not _inside(day, start, end):
        return day_sums(day.frames, experiment, start=start, end=end)

    def make() -> dict[str, pl.DataFrame]:
        made = day_sums(day.frames, experiment)
        return {"units": made.units, "dwells": made.dwells, "met": made.met}

    return DaySums(**kept.of(f"experiment-{experiment}", day, make))


def _users_before(
    day: EventDay, experiment: str, period: tuple[datetime, datetime], kept: KeptDays
) -> pl.DataFrame:
    start, end = period

    def make() -> dict[str, pl.DataFrame]:
        return {"users": users_before(day.frames, experiment, start=start, end=end)}

    # The period of an experiment never changes, so its first and last day are kept as well.
    return kept.of(f"before-{experiment}", day, make)["users"]


def _touches(day: EventDay, start: datetime | None, end: datetime | None) -> bool:
    first, last = _span(day)
    return (start is None or start < last) and (end is None or first < end)


def _inside(day: EventDay, start: datetime | None, end: datetime | None) -> bool:
    first, last = _span(day)
    return (start is None or start <= first) and (end is None or last <= end)


def _span(day: EventDay) -> tuple[datetime, datetime]:
    on = date.fromisoformat(day.date)
    first = datetime(on.year, on.month, on.day, tzinfo=UTC)
    return first, first + DAY


def _pre_period(registered: RegisteredExperiment) -> tuple[datetime, datetime] | None:
    """Return the time before the experiment whose behaviour its metrics are adjusted for."""
    experiment, started = registered.experiment, registered.started
    if started is None or experiment.unit is not Unit.USER or not experiment.analysis.covariates:
        return None
    return started - PRE_PERIOD, started


def _sums(
    registered: RegisteredExperiment,
    days: Sequence[DaySums],
    before: Sequence[pl.DataFrame],
    window: tuple[datetime | None, datetime | None],
) -> Sums:
    if len(registered.experiment.arms) == 1:
        raise NotReady.of("experiment", _why_no_lift(registered.experiment))
    if all(day.units.is_empty() for day in days):
        raise NotReady.of("experiment", _why_no_pages(registered, *window))
    return add_up(days, [users for users in before if not users.is_empty()])


def subject_of(
    registered: RegisteredExperiment, now: datetime | None, recompute: Recompute | None = None
) -> Subject:
    """Return a registered experiment as its report sees it (`lift_report`)."""
    experiment = registered.experiment
    planned_end = experiment.planned_end
    over = planned_end is not None and now is not None and planned_end <= now
    shares = {arm.name: arm.share / BUCKETS for arm in experiment.arms}
    return Subject(
        name=experiment.name,
        arms=(experiment.control, *(arm for arm in shares if arm != experiment.control)),
        shares=shares,
        primary_metric=experiment.primary_metric,
        plan=experiment.analysis,
        unit=str(experiment.unit),
        revision=registered.revision,
        started=registered.started,
        planned_end=planned_end,
        finished=over,
        ended=registered.ended is not None,
        now=now,
        recompute=recompute,
    )


def _check_window(start: datetime | None, end: datetime | None) -> None:
    for field, instant in (("start_time", start), ("end_time", end)):
        if instant is not None and instant.tzinfo is None:
            raise InvalidRequest.of(
                field, f"{instant.isoformat()} has no time zone; write it as UTC, with a Z"
            )
    if start is not None and end is not None and start >= end:
        raise InvalidRequest.of(
            "end_time",
            f"{end.isoformat()} is not after start_time {start.isoformat()}; "
            "the window would be empty",
        )


def _why_no_lift(experiment: Experiment) -> str:
    (arm,) = experiment.arms
    instead = "; ask for its preference report" if arm.interleaving else ""
    return f'"{experiment.name}" has one arm, and a lift is a difference between arms{instead}'


def _why_no_pages(
    registered: RegisteredExperiment, start: datetime | None, end: datetime | None
) -> str:
    name = registered.experiment.name
    if registered.started is None:
        return f'"{name}" never ran; start it with "ranklift experiment start {name}"'
    window = "".join(
        f" {word} {instant.isoformat()}"
        for word, instant in (("from", start), ("before", end))
        if instant is not None
    )
    return f'"{name}" has no recorded page{window}; send it traffic or choose another window'
