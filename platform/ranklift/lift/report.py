"""From sums to the lift report: checks first, then every number, then the verdict."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version

import numpy as np
import polars as pl

from ranklift.lift.checks import data_checks, enough_units
from ranklift.lift.columns import columns_of, supported
from ranklift.lift.comparing import Method, method_for, values_of
from ranklift.lift.distributions import distributions
from ranklift.lift.exposed import Units, traffic, units_that_count
from ranklift.lift.interactions import interactions
from ranklift.lift.novelty import novelty
from ranklift.lift.segments import segment_lifts
from ranklift.lift.subject import Metrics, Subject, Sums, metrics_of
from ranklift.lift.tested import Tracks, metric_lifts, tracks_of, with_outcomes
from ranklift.lift.values import Check, LiftReport, MetricLift, Verdict
from ranklift.lift.verdict import look_again, verdict
from ranklift.store.analysis import Horizon, Metric


def report_of(subject: Subject, sums: Sums, *, only: Sequence[str] | None = None) -> LiftReport:
    """Return the report of what was logged of an experiment.

    `only` names the metrics to report beside the primary one and the guardrails; all that the log
    supports when None.

    Raises:
        InvalidRequest: the plan, the primary metric or `only` name an unknown metric.
    """
    # Beside the estimates: hashing and the passes of polars and numpy let go of the lock.
    with ThreadPoolExecutor(1) as aside:
        return _report(subject, sums, only, aside)


def _report(
    subject: Subject, sums: Sums, only: Sequence[str] | None, aside: ThreadPoolExecutor
) -> LiftReport:
    metrics = metrics_of(subject.primary_metric, subject.plan, sums.units.columns, only)
    digest = aside.submit(_digest, sums.units)
    units = units_that_count(sums.units, subject)
    known = [metric for metric in metrics.all if supported(metric, units.exposed.columns)]
    method = method_for(
        units.exposed,
        known,
        confidence_level=1 - subject.plan.alpha,
        covariates=subject.plan.covariates,
    )
    checked = aside.submit(_checks, subject, sums, metrics.primary, units, method)
    start, end = _span(sums.units)
    tracks = tracks_of(subject, metrics, sums.days, units, method, end)
    lifts = with_outcomes(subject, metrics, metric_lifts(subject, metrics, units, method), tracks)
    primary = [metrics.primary] if metrics.primary in known else []
    tested = [metric for metric in (*primary, *metrics.secondary) if metric in known]
    timed, level = sums.days is not None, method.confidence_level
    checks = checked.result()
    return LiftReport(
        experiment=subject.name,
        revision=subject.revision,
        control=subject.control,
        unit=subject.unit,
        primary_metric=metrics.primary.name,
        plan=subject.plan,
        horizon=subject.horizon,
        confidence_level=level,
        start=start,
        end=end,
        verdict=_verdict(subject, checks, lifts, metrics, tracks, units.exposed.height),
        checks=checks,
        arms=traffic(units, subject),
        metrics=metrics.all,
        lifts=lifts,
        looks=tuple(look for one in tracks.values() for look in one.looks if timed),
        segments=segment_lifts(units.exposed, subject.arms, tested, sums.segments, method),
        novelty=tuple(
            day
            for metric in primary
            if sums.days is not None
            for day in novelty(sums.days, units.exposed, subject.arms, metric, method)
        ),
        distributions=(
            ()
            if sums.dwells is None
            else distributions(sums.dwells, units.exposed, subject.arms, confidence_level=level)
        ),
        interactions=tuple(
            interaction
            for metric in primary
            for interaction in interactions(
                units.exposed, subject.arms, sums.experiments, metric, method
            )
        ),
        log_digest=digest.result(),
        version=version("ranklift"),
    )


def _checks(
    subject: Subject, sums: Sums, primary: Metric, units: Units, method: Method
) -> tuple[Check, ...]:
    checks = data_checks(
        sums.units,
        arms=subject.arms,
        shares=subject.shares,
        recompute=subject.recompute,
        segments=sums.segments,
        bot_pages_per_day=subject.plan.bot_pages_per_day,
        not_before=subject.started,
        now=subject.now,
    )
    if not supported(primary, units.exposed.columns):
        return checks
    plain = Method(method.confidence_level, method.thresholds, {})
    values = {arm: values_of(rows, primary, plain) for arm, rows in units.by_arm.items()}
    paired = columns_of(primary)[1] is not None
    columns = {arm: (rows[:, 0], rows[:, 1] if paired else None) for arm, rows in values.items()}
    return (*checks, enough_units(primary.title, columns))


def _verdict(
    subject: Subject,
    checks: Sequence[Check],
    lifts: Sequence[MetricLift],
    metrics: Metrics,
    tracks: Tracks,
    exposed_units: int,
) -> Verdict:
    primary = {
        arm: one
        for (name, arm), one in tracks.items()
        if name == metrics.primary.name and one.monitored
    }
    done = [one.monitored[-1].information or 0.0 for one in primary.values()]
    reached = subject.horizon is not Horizon.ALWAYS_VALID and min(done, default=0.0) >= 1
    advised = verdict(
        checks=checks,
        lifts=lifts,
        metrics=metrics.all,
        primary=metrics.primary.name,
        horizon=subject.horizon,
        finished=subject.finished or subject.ended or reached,
        monitored={arm: one.monitored[one.decisive] for arm, one in primary.items()},
        plan=subject.plan,
        until=look_again(
            subject.horizon,
            planned_end=subject.planned_end,
            missing_units=subject.plan.planned_units - exposed_units,
        ),
    )
    earlier = tuple(
        f"{arm}: decided at the look of {one.looks[one.decisive].day}; the present look alone "
        "would not decide it."
        for arm, one in primary.items()
        if one.decisive < len(one.looks) - 1
    )
    return replace(advised, reasons=advised.reasons + earlier)


def _span(units: pl.DataFrame) -> tuple[datetime | None, datetime | None]:
    if "first_page_time" not in units.columns:
        return None, None
    first, last = units.select(pl.col("first_page_time").min(), pl.col("last_page_time").max()).row(
        0
    )
    return first, last


def _digest(units: pl.DataFrame) -> str:
    """Return "blake2b:" and 32 hex digits over unit sums, which are in order of arm and unit."""
    digest = hashlib.blake2b(digest_size=16)
    # In order of arm, so how often each comes says which rows are its own.
    arms = units.select(pl.col("arm").value_counts(sort=False).struct.unnest()).sort("arm")
    digest.update(repr(arms.rows()).encode())
    for name in sorted(set(units.columns) - {"arm"}):
        column = units[name]
        digest.update(name.encode())
        if column.dtype.is_numeric():
            # As floats: pandas has whole numbers with nulls among them as such.
            floats = column.cast(pl.Float64).fill_null(float("nan"))
            digest.update(np.ascontiguousarray(floats.to_numpy()).data)
        else:
            digest.update("\0".join(column.cast(pl.String).fill_null("\1").to_list()).encode())
    return f"blake2b:{digest.hexdigest()}"
