"""A metric look by look: what a report of each day's end would have said, and what may be acted on.

The last look is all there is so far, so its lift is the one in the report's table.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day

from scipy.special import ndtri

from ranklift.lift.comparing import Method, measure
from ranklift.lift.moments import Moments
from ranklift.lift.sequential.monitor import FIRST_LOOKS, Monitored, Observed, monitor
from ranklift.lift.subject import Subject
from ranklift.lift.values import Look, Measured
from ranklift.store.analysis import Metric


@dataclass(frozen=True, slots=True)
class Track:
    """A metric of one arm over time; `observed` and `monitored` run along `looks`."""

    looks: tuple[Look, ...]
    observed: tuple[Observed, ...]
    monitored: tuple[Monitored, ...]

    @property
    def decisive(self) -> int:
        """Return which look decides: the last one that crossed, else the last one.

        All intervals together hold the level, so what one look has shown stays shown; without
        this, a report that said "ship" could say "keep running" the day after.
        """
        crossed = [i for i, said in enumerate(self.monitored) if said.crossed]
        return crossed[-1] if crossed else len(self.monitored) - 1


def track(
    control: Mapping[date, Moments],
    arm: Mapping[date, Moments],
    arm_name: str,
    metric: Metric,
    method: Method,
    subject: Subject,
    end: datetime | None,
    *,
    alpha: float,
) -> Track:
    """Return the looks at a metric, from the moments of both arms at the end of each day.

    `alpha` is the error that all looks together may make, `end` the instant of the last page. A day
    at which the metric cannot be computed yet is no look.
    """
    days: list[date] = []
    measured: list[Measured] = []
    observed: list[Observed] = []
    for day, control_moments, arm_moments in _known_days(control, arm):
        found = measure(control_moments, arm_moments, metric, method)
        if isinstance(found, Measured):
            days.append(day)
            measured.append(found)
            observed.append(observe(found, method, _planned_time(subject, day, end)))
    said = monitor(
        observed,
        horizon=subject.horizon,
        alpha=alpha,
        planned_units=_planned_units(subject, arm_name),
        finished=subject.finished,
    )
    looks = tuple(
        Look(
            metric=metric.name,
            arm=arm_name,
            day=day,
            units=found.control_units + found.arm_units,
            relative_lift=found.relative_lift,
            interval=found.relative_lift_interval,
            sequential_interval=now.interval,
            information=now.information,
            crossed=now.crossed,
        )
        for day, found, now in zip(days, measured, said, strict=True)
    )
    return Track(looks, tuple(observed), said)


def observe(found: Measured, method: Method, planned_time: float | None) -> Observed:
    """Return a look's numbers on the scale of log(1 + lift) (`sequential.monitor`)."""
    ratio = 1 + found.relative_lift
    half = math.log((1 + found.relative_lift_interval.upper) / ratio)
    quantile = float(ndtri((1 + method.confidence_level) / 2))
    return Observed(
        units=found.control_units + found.arm_units,
        relative_lift=found.relative_lift,
        log_error=half / quantile,
        planned_time=planned_time,
    )


def tuned_units(subject: Subject, arm: str, observed: Sequence[Observed]) -> float:
    """Return the units that an arm's harm alarm is the sharpest at: the planned ones, or a guess
    that no effect moves."""
    return _planned_units(subject, arm) or FIRST_LOOKS * observed[0].units


def _known_days(
    control: Mapping[date, Moments], arm: Mapping[date, Moments]
) -> list[tuple[date, Moments, Moments]]:
    """Return both arms' moments at the end of every day; an arm without pages on a day keeps the
    ones of the day before."""
    found: list[tuple[date, Moments, Moments]] = []
    latest: dict[str, Moments] = {}
    for day in sorted({*control, *arm}):
        for side, moments in (("control", control), ("arm", arm)):
            if day in moments:
                latest[side] = moments[day]
        if len(latest) == 2:
            found.append((day, latest["control"], latest["arm"]))
    return found


def _planned_units(subject: Subject, arm: str) -> int:
    """Return the planned units of an arm and control together."""
    share = subject.shares[subject.control] + subject.shares[arm]
    return math.ceil(subject.plan.planned_units * share)


def _planned_time(subject: Subject, day: date, end: datetime | None) -> float | None:
    if subject.planned_end is None or subject.started is None or end is None:
        return None
    midnight = datetime.combine(day + timedelta(days=1), time_of_day.min, UTC)
    passed = min(midnight, end) - subject.started
    planned = subject.planned_end - subject.started
    # A first page in the same instant as the start is still a look.
    return max(passed / planned, 1e-9)
