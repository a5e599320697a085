"""Every metric of every arm against control: tested, corrected, and held against its margin."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime

import polars as pl

from ranklift.lift.columns import sums_of
from ranklift.lift.comparing import Method, measure, moments_of
from ranklift.lift.cumulative import cumulative_moments
from ranklift.lift.exposed import Units
from ranklift.lift.guardrails import outcome, shown_loss
from ranklift.lift.moments import Moments
from ranklift.lift.multiplicity import holm
from ranklift.lift.subject import Metrics, Subject
from ranklift.lift.timeline import Track, track, tuned_units
from ranklift.lift.values import Measured, MetricLift, Outcome, Role, Unavailable
from ranklift.store.analysis import Metric

Tracks = Mapping[tuple[str, str], Track]


def metric_lifts(
    subject: Subject, metrics: Metrics, units: Units, method: Method
) -> tuple[MetricLift, ...]:
    """Return the lift of every metric in every arm but control, by role.

    The p-values of the primary metric are corrected over the arms, those of the secondary ones
    over metrics and arms (Holm 1979): that some metric moves by chance is as likely as that of
    one test. A guardrail must be passed by all of them, and diagnostics decide nothing.
    """

    def moments(metric: Metric, arm: str) -> Moments:
        return moments_of(units.by_arm[arm], metric, method)

    return lifts_between(subject, metrics, moments, method, units.exposed.columns)


def lifts_between(
    subject: Subject,
    metrics: Metrics,
    moments: Callable[[Metric, str], Moments],
    method: Method,
    sums: Collection[str],
) -> tuple[MetricLift, ...]:
    """Return what `metric_lifts` does, from the moments of a metric in an arm. `sums` names the
    unit sums that the log has."""
    roles = {
        Role.PRIMARY: (metrics.primary,),
        Role.SECONDARY: metrics.secondary,
        Role.GUARDRAIL: metrics.guardrails,
        Role.DIAGNOSTIC: metrics.diagnostics,
    }
    return tuple(
        lift
        for role, group in roles.items()
        for lift in _corrected(
            [
                MetricLift(metric.name, arm, role, found)
                for metric in group
                for arm, found in _by_arm(metric, subject.arms, moments, method, sums).items()
            ]
        )
    )


def tracks_of(
    subject: Subject,
    metrics: Metrics,
    days: pl.DataFrame | None,
    units: Units,
    method: Method,
    end: datetime | None,
) -> Tracks:
    """Return the looks at the metrics that decide, by metric and arm.

    Without sums by day, all there is makes one look.
    """
    tracks: dict[tuple[str, str], Track] = {}
    for metric in (metrics.primary, *metrics.guardrails):
        if _missing(metric, units.exposed.columns):
            continue
        # One arm of several must not win by being one of several (Bonferroni); a guardrail must be
        # passed by every arm for itself.
        shared = len(subject.arms) - 1 if metric is metrics.primary else 1
        alpha = subject.plan.alpha / shared
        moments = {
            arm: _over_time(days, arm, rows, metric, method) for arm, rows in units.by_arm.items()
        }
        for arm in subject.arms[1:]:
            control = moments[subject.control]
            tracks[metric.name, arm] = track(
                control, moments[arm], arm, metric, method, subject, end, alpha=alpha
            )
    return tracks


def with_outcomes(
    subject: Subject, metrics: Metrics, lifts: Sequence[MetricLift], tracks: Tracks
) -> tuple[MetricLift, ...]:
    """Return the lifts with what each guardrail came to.

    A guardrail passes by the interval of the experiment's horizon, and is breached by it or by
    the harm alarm, which may be looked at at any time whatever the horizon.
    """
    margins = {guardrail.metric: guardrail.margin for guardrail in subject.plan.guardrails}
    directions = {metric.name: metric.direction for metric in metrics.guardrails}

    def judged(lift: MetricLift) -> MetricLift:
        if lift.role is not Role.GUARDRAIL:
            return lift
        margin, said = margins[lift.metric], Outcome.OPEN
        one = tracks.get((lift.metric, lift.arm))
        if one is not None and one.observed:
            said = outcome(one.monitored[-1].interval, directions[lift.metric], margin)
            loss = shown_loss(
                one.observed[-1],
                directions[lift.metric],
                tuned_units=tuned_units(subject, lift.arm, one.observed),
                alpha=subject.plan.alpha,
            )
            if loss > margin:
                said = Outcome.BREACHED
        return replace(lift, margin=margin, outcome=said)

    return tuple(judged(lift) for lift in lifts)


def _by_arm(
    metric: Metric,
    arms: Sequence[str],
    moments: Callable[[Metric, str], Moments],
    method: Method,
    sums: Collection[str],
) -> Mapping[str, Measured | Unavailable]:
    missing = _missing(metric, sums)
    if missing:
        return dict.fromkeys(arms[1:], Unavailable(f"the log has no {' and no '.join(missing)}"))
    control = moments(metric, arms[0])
    return {arm: measure(control, moments(metric, arm), metric, method) for arm in arms[1:]}


def _missing(metric: Metric, sums: Collection[str]) -> list[str]:
    return [name for name in sums_of(metric) if name not in sums]


def _over_time(
    days: pl.DataFrame | None, arm: str, units: pl.DataFrame, metric: Metric, method: Method
) -> Mapping[date, Moments]:
    if days is None:
        return {date.min: moments_of(units, metric, method)}
    return cumulative_moments(days.filter(pl.col("arm") == arm), units, metric, method)


def _corrected(lifts: Sequence[MetricLift]) -> Sequence[MetricLift]:
    tested = {
        i: lift.found.p_value
        for i, lift in enumerate(lifts)
        if isinstance(lift.found, Measured) and lift.role in (Role.PRIMARY, Role.SECONDARY)
    }
    if len(tested) < 2:
        return lifts
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    return [replace(lift, adjusted_p_value=adjusted.get(i)) for i, lift in enumerate(lifts)]
