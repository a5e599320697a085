"""The lift report: one frozen value, the same for the same events in any order."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from ranklift.lift.checks import Check, data_checks, usable_units
from ranklift.lift.metrics import METRICS, Metric
from ranklift.lift.moments import Moments
from ranklift.lift.ratio import Unavailable, compare
from ranklift.lift.sums import EventTables, unit_sums
from ranklift.store.values import BUCKETS, Experiment, RegisteredExperiment
from ranklift.v1.errors import InvalidRequest, NotReady

SCHEMA = "ranklift.lift_report/1"
COLUMNS = tuple(sorted({column for metric in METRICS.values() for column in metric.columns}))


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval, ends included."""

    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Measured:
    """The numbers of one metric in one arm against control.

    Values are in the metric's unit; `relative_lift` 0.01 is one per cent more than control;
    `p_value`, in [0.0, 1.0], is two-sided.
    """

    control_value: float
    arm_value: float
    relative_lift: float
    relative_lift_interval: Interval
    p_value: float


@dataclass(frozen=True, slots=True)
class MetricLift:
    """What one metric in one arm against control came to: numbers, or why there are none."""

    metric: str
    arm: str
    found: Measured | Unavailable


@dataclass(frozen=True, slots=True)
class ArmTraffic:
    """What an arm's metrics rest on.

    `assigned_units` saw any page of the arm, `exposed_units` one that the arm's own ranker served;
    `pages` and `clicks` are of the latter kind. Units seen in two arms are left out, as in the
    metrics.
    """

    arm: str
    assigned_units: int
    exposed_units: int
    pages: int
    fallback_pages: int
    clicks: int
    planned_share: float


@dataclass(frozen=True, slots=True)
class LiftReport:
    """The difference that an experiment made.

    `start` and `end` are the instants of the first and the last page. `lifts` holds every metric
    in every arm but control, the primary metric first. An invalid report's lifts mean nothing.
    """

    experiment: str
    revision: int
    control: str
    unit: str
    primary_metric: str
    confidence_level: float
    start: datetime
    end: datetime
    checks: tuple[Check, ...]
    arms: tuple[ArmTraffic, ...]
    lifts: tuple[MetricLift, ...]
    schema: str = SCHEMA

    @property
    def valid(self) -> bool:
        return all(check.passed for check in self.checks)


def lift_report(
    registered: RegisteredExperiment,
    events: EventTables,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    confidence_level: float = 0.95,
) -> LiftReport:
    """Return the lift report of an experiment over the pages shown in [start, end).

    Raises:
        InvalidRequest: the window is empty or without a time zone, `confidence_level` is outside
            (0, 1), or the experiment's primary metric is unknown.
        NotReady: no page of the experiment lies in the window.
    """
    experiment = registered.experiment
    _check_arguments(experiment, start, end, confidence_level)
    sums = unit_sums(events, experiment.name, start=start, end=end)
    if sums.is_empty():
        raise NotReady.of("experiment", _why_no_pages(registered, start, end))

    arms = [experiment.control] + [
        arm.name for arm in experiment.arms if arm.name != experiment.control
    ]
    usable = usable_units(sums, arms)
    # A unit that only met fallback pages was never exposed to its arm.
    moments = {
        arm: Moments.from_frame(usable.filter(pl.col("arm") == arm, pl.col("pages") > 0), COLUMNS)
        for arm in arms
    }
    primary = METRICS[experiment.primary_metric]
    metrics = [primary, *(metric for metric in METRICS.values() if metric != primary)]
    shares = {arm.name: arm.share / BUCKETS for arm in experiment.arms}
    return LiftReport(
        experiment=experiment.name,
        revision=registered.revision,
        control=experiment.control,
        unit=str(experiment.unit),
        primary_metric=primary.name,
        confidence_level=confidence_level,
        start=sums.select(pl.col("first_page_time").min()).item(),
        end=sums.select(pl.col("last_page_time").max()).item(),
        checks=data_checks(sums, experiment),
        arms=tuple(_traffic(arm, usable, shares[arm]) for arm in arms),
        lifts=tuple(
            _lift(metric, arm, moments[experiment.control], moments[arm], confidence_level)
            for metric in metrics
            for arm in arms[1:]
        ),
    )


def _lift(
    metric: Metric, arm: str, control: Moments, treated: Moments, confidence_level: float
) -> MetricLift:
    found = compare(
        control, treated, metric.numerator, metric.denominator, confidence_level=confidence_level
    )
    if isinstance(found, Unavailable):
        return MetricLift(metric.name, arm, found)
    return MetricLift(
        metric.name,
        arm,
        Measured(
            control_value=found.control_value / metric.parts_per_unit,
            arm_value=found.arm_value / metric.parts_per_unit,
            relative_lift=found.relative_lift,
            relative_lift_interval=Interval(found.relative_lift_lower, found.relative_lift_upper),
            p_value=found.p_value,
        ),
    )


def _traffic(arm: str, usable: pl.DataFrame, planned_share: float) -> ArmTraffic:
    rows = usable.filter(pl.col("arm") == arm)
    return ArmTraffic(
        arm=arm,
        assigned_units=rows.height,
        exposed_units=int((rows["pages"] > 0).sum()),
        pages=int(rows["pages"].sum()),
        fallback_pages=int(rows["fallback_pages"].sum()),
        clicks=int(rows["clicks"].sum()),
        planned_share=planned_share,
    )


def _check_arguments(
    experiment: Experiment, start: datetime | None, end: datetime | None, confidence_level: float
) -> None:
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
    if not 0 < confidence_level < 1:
        raise InvalidRequest.of(
            "confidence_level", f"{confidence_level} is not between 0 and 1, e.g. 0.95"
        )
    if experiment.primary_metric not in METRICS:
        raise InvalidRequest.of(
            "primary_metric",
            f'"{experiment.primary_metric}" of experiment "{experiment.name}" is not a metric; '
            f"the metrics are {', '.join(METRICS)}",
        )


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
