"""Whether a lift fades, or grows, with the days that a unit has lived with its arm."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from ranklift.lift.comparing import Method, by_arm, measure, moments_of
from ranklift.lift.values import NoveltyDay
from ranklift.store.analysis import Metric

MAX_DAYS = 28


def novelty(
    days: pl.DataFrame, units: pl.DataFrame, arms: Sequence[str], metric: Metric, method: Method
) -> tuple[NoveltyDay, ...]:
    """Return the lift of a metric by day since the unit's first exposure, the first day being 0.

    `days` has a row per unit, arm and `day` with the sums of that day; `units` are the exposed
    ones. Every day compares the units that came on it, so the later ones rest on those who return:
    an effect on returning shows here too (look at sessions per unit).
    """
    kept = days.filter(pl.col("pages") > 0).join(units.select("unit_id"), on="unit_id", how="semi")
    age = (pl.col("day") - pl.col("day").min().over("unit_id")).dt.total_days()
    aged = kept.with_columns(age=age).filter(pl.col("age") < MAX_DAYS)
    unadjusted = Method(method.confidence_level, method.thresholds, {})
    found: list[NoveltyDay] = []
    for day in aged["age"].unique().sort():
        moments = {
            arm: moments_of(rows, metric, unadjusted)
            for arm, rows in by_arm(aged.filter(pl.col("age") == day), arms).items()
        }
        control = moments[arms[0]]
        found += [
            NoveltyDay(metric.name, arm, day, measure(control, moments[arm], metric, unadjusted))
            for arm in arms[1:]
        ]
    return tuple(found)
