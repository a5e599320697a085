"""The report as one flat table, a row per estimate: for CSV, Parquet and whoever plots it.

Every kind of row has all columns, null where a column says nothing of it; docs/lift-report.md
describes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from io import BytesIO

import polars as pl

from ranklift.lift.values import (
    Distribution,
    Interaction,
    Interval,
    LiftReport,
    Look,
    Measured,
    Unavailable,
)

COLUMNS = pl.Schema(
    {
        "experiment": pl.String(),
        "revision": pl.Int64(),
        "valid": pl.Boolean(),
        "part": pl.String(),
        "role": pl.String(),
        "metric": pl.String(),
        "metric_unit": pl.String(),
        "control": pl.String(),
        "arm": pl.String(),
        "dimension": pl.String(),
        "value": pl.String(),
        "day": pl.Date(),
        "exposure_day": pl.Int64(),
        "statistic": pl.String(),
        "control_value": pl.Float64(),
        "arm_value": pl.Float64(),
        "difference": pl.Float64(),
        "difference_lower": pl.Float64(),
        "difference_upper": pl.Float64(),
        "relative_lift": pl.Float64(),
        "relative_lift_lower": pl.Float64(),
        "relative_lift_upper": pl.Float64(),
        "sequential_lower": pl.Float64(),
        "sequential_upper": pl.Float64(),
        "standard_error": pl.Float64(),
        "p_value": pl.Float64(),
        "adjusted_p_value": pl.Float64(),
        "margin": pl.Float64(),
        "outcome": pl.String(),
        "units": pl.Int64(),
        "control_units": pl.Int64(),
        "arm_units": pl.Int64(),
        "information": pl.Float64(),
        "crossed": pl.Boolean(),
        "variance_ratio": pl.Float64(),
        "design_effect": pl.Float64(),
        "unavailable_reason": pl.String(),
    }
)

_Row = dict[str, object]


def to_frame(report: LiftReport) -> pl.DataFrame:
    """Return a row per lift, look, segment, novelty day, distribution and interaction (`part`).

    The schema is `COLUMNS`, whatever the report holds. Infinite ends of intervals stay infinite.
    """
    units = {metric.name: metric.unit for metric in report.metrics}
    rows = [
        {
            "experiment": report.experiment,
            "revision": report.revision,
            "valid": report.valid,
            "control": report.control,
            "metric_unit": units.get(str(row.get("metric"))),
            **row,
        }
        for row in _rows(report)
    ]
    return pl.DataFrame(rows, schema=COLUMNS)


def to_csv(report: LiftReport) -> str:
    """Return the flat table as CSV with a heading; what is null is empty, infinity is "inf"."""
    return to_frame(report).write_csv()


def to_parquet(report: LiftReport) -> bytes:
    """Return the flat table as a Parquet file's content."""
    content = BytesIO()
    to_frame(report).write_parquet(content)
    return content.getvalue()


def _rows(report: LiftReport) -> Iterator[_Row]:
    for lift in report.lifts:
        yield {
            "part": "lift",
            "role": lift.role.value,
            "metric": lift.metric,
            "arm": lift.arm,
            "adjusted_p_value": lift.adjusted_p_value,
            "margin": lift.margin,
            "outcome": None if lift.outcome is None else lift.outcome.value,
            **_numbers(lift.found),
        }
    yield from map(_look, report.looks)
    for segment in report.segments:
        yield {
            "part": "segment",
            "metric": segment.metric,
            "arm": segment.arm,
            "dimension": segment.dimension,
            "value": segment.value,
            "adjusted_p_value": segment.adjusted_p_value,
            **_numbers(segment.found),
        }
    for day in report.novelty:
        yield {
            "part": "novelty",
            "metric": day.metric,
            "arm": day.arm,
            "exposure_day": day.day,
            **_numbers(day.found),
        }
    yield from map(_distribution, report.distributions)
    yield from map(_interaction, report.interactions)


def _numbers(found: Measured | Unavailable) -> _Row:
    if isinstance(found, Unavailable):
        return {"unavailable_reason": found.reason}
    return {
        **{name: value for name, value in asdict(found).items() if name in COLUMNS},
        **_ends("difference", found.difference_interval),
        **_ends("relative_lift", found.relative_lift_interval),
    }


def _look(look: Look) -> _Row:
    return {
        "part": "look",
        "metric": look.metric,
        "arm": look.arm,
        "day": look.day,
        "units": look.units,
        "relative_lift": look.relative_lift,
        **_ends("relative_lift", look.interval),
        **_ends("sequential", look.sequential_interval),
        "information": look.information,
        "crossed": look.crossed,
    }


def _distribution(one: Distribution) -> _Row:
    return {
        "part": "distribution",
        "statistic": one.statistic,
        "arm": one.arm,
        "control_value": one.control_value,
        "arm_value": one.arm_value,
        "difference": one.difference,
        **_ends("difference", one.interval),
        "p_value": one.p_value,
        "unavailable_reason": one.unavailable_reason or None,
    }


def _interaction(one: Interaction) -> _Row:
    return {
        "part": "interaction",
        "metric": one.metric,
        "arm": one.arm,
        "dimension": one.other_experiment,
        "value": one.other_arm,
        "difference": one.difference,
        **_ends("difference", one.interval),
        "p_value": one.p_value,
        "adjusted_p_value": one.adjusted_p_value,
    }


def _ends(name: str, interval: Interval | None) -> _Row:
    if interval is None:
        return {}
    return {f"{name}_lower": interval.lower, f"{name}_upper": interval.upper}
