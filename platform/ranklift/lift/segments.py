"""The lift in parts of the population."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from ranklift.lift.comparing import Method, by_arm, measure, moments_of
from ranklift.lift.multiplicity import benjamini_hochberg
from ranklift.lift.values import Measured, SegmentLift, Unavailable
from ranklift.store.analysis import Metric

MAX_VALUES = 50
OTHER = "(other)"
UNKNOWN = "(unknown)"


def segment_lifts(
    units: pl.DataFrame,
    arms: Sequence[str],
    metrics: Sequence[Metric],
    dimensions: Sequence[str],
    method: Method,
) -> tuple[SegmentLift, ...]:
    """Return the lift of `metrics` within every value of every dimension, by size of the value.

    `units` are exposed units with a column per dimension; `arms` has control first. Beyond the
    `MAX_VALUES` largest values of a dimension the rest is one segment: hundreds of tests with a
    handful of units each find nothing and hide what there is. The p-values are corrected for the
    number of segments and arms of each metric (Benjamini and Hochberg 1995).
    """
    found = [
        SegmentLift(dimension, value, metric.name, arm, lift, None)
        for dimension in dimensions
        for value, part in _parts(units, dimension)
        for metric in metrics
        for arm, lift in _lifts(part, arms, metric, method).items()
    ]
    return _corrected(found)


def _parts(units: pl.DataFrame, dimension: str) -> list[tuple[str, pl.DataFrame]]:
    labels = pl.col(dimension).cast(pl.String).fill_null(UNKNOWN)
    labelled = units.with_columns(labels.alias(dimension))
    # Under names of our own: the dimension may be called "count".
    sizes = labelled[dimension].alias("value").value_counts(name="units")
    names = sizes.sort(["units", "value"], descending=[True, False])["value"].to_list()
    kept = names[:MAX_VALUES]
    parts = [(name, labelled.filter(pl.col(dimension) == name)) for name in kept]
    if len(names) > MAX_VALUES:
        rest = labelled.filter(~pl.col(dimension).is_in(kept))
        parts.append((f"{OTHER} {len(names) - MAX_VALUES} values", rest))
    return parts


def _lifts(
    units: pl.DataFrame, arms: Sequence[str], metric: Metric, method: Method
) -> Mapping[str, Measured | Unavailable]:
    moments = {arm: moments_of(rows, metric, method) for arm, rows in by_arm(units, arms).items()}
    return {arm: measure(moments[arms[0]], moments[arm], metric, method) for arm in arms[1:]}


def _corrected(lifts: Sequence[SegmentLift]) -> tuple[SegmentLift, ...]:
    adjusted: dict[int, float] = {}
    for metric in dict.fromkeys(lift.metric for lift in lifts):
        tested = {
            i: lift.found.p_value
            for i, lift in enumerate(lifts)
            if lift.metric == metric and isinstance(lift.found, Measured)
        }
        adjusted |= dict(zip(tested, benjamini_hochberg(list(tested.values())), strict=True))
    return tuple(
        SegmentLift(lift.dimension, lift.value, lift.metric, lift.arm, lift.found, adjusted.get(i))
        for i, lift in enumerate(lifts)
    )
