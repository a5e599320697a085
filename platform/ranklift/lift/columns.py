"""Every metric as a ratio of two columns of the unit sums, so that one estimator serves all.

Written in narwhals: the same expressions run on polars and, lazily, in a Spark cluster.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import narwhals as nw

from ranklift.lift.measures import PRE
from ranklift.store.analysis import Form, Metric, ZeroRule

# 1 for a unit that lacks a pre-period sum. Such a sum counts as 0, and this column, as a covariate
# of its own, takes up how such units differ.
NEWCOMER = "no_pre_period"

FrameT = TypeVar("FrameT", nw.DataFrame[Any], nw.LazyFrame[Any])


def sums_of(metric: Metric, prefix: str = "") -> tuple[str, ...]:
    """Return the unit sums that a metric is made of; `prefix` is `PRE` for the pre-period's."""
    names = (metric.numerator, metric.denominator)
    return tuple(prefix + name for name in names if name is not None)


def supported(metric: Metric, columns: Collection[str], prefix: str = "") -> bool:
    """Return whether unit sums with these columns have all that a metric is made of."""
    return all(name in columns for name in sums_of(metric, prefix))


def columns_of(metric: Metric, prefix: str = "") -> tuple[str, str | None]:
    """Return the names of a metric's numerator and denominator columns (`with_columns`).

    RATIO is n over d. Without a denominator every unit counts one: MEAN is n, SHARE is 1 where
    n > 0. UNIT_RATIO is n / d, over the units with d > 0 (DROP) or over all units (ZERO).
    """
    n = _capped_name(metric, prefix + metric.numerator)
    if metric.form is Form.MEAN or metric.denominator is None:
        return (f"any({n})", None) if metric.form is Form.SHARE else (n, None)
    d = _capped_name(metric, prefix + metric.denominator)
    if metric.form is Form.RATIO:
        return n, d
    return f"{n}/{d}", f"any({d})" if metric.when_zero is ZeroRule.DROP else None


def capped_sums(metrics: Iterable[Metric], prefix: str = "") -> dict[str, tuple[str, float]]:
    """Return the capped columns of metrics: their name, with the sum they cap and the quantile."""
    return {
        _capped_name(metric, name): (name, metric.cap_quantile)
        for metric in metrics
        if metric.cap_quantile is not None
        for name in sums_of(metric, prefix)
    }


def with_columns(
    frame: FrameT,
    metrics: Sequence[Metric],
    thresholds: Mapping[str, float] | None = None,
    prefix: str = "",
) -> FrameT:
    """Return unit sums with the f64 columns of `metrics` (`columns_of`) beside them.

    `thresholds` gives the value that each column of `capped_sums` is capped at. A null sum (a
    unit without a pre-period) counts as 0; with `PRE` as `prefix` the column `NEWCOMER` is added.
    """
    sums = sorted({name for metric in metrics for name in sums_of(metric, prefix)})
    made = {name: nw.col(name).cast(nw.Float64).fill_null(0.0) for name in sums}
    for capped, (name, _) in capped_sums(metrics, prefix).items():
        threshold = (thresholds or {})[capped]
        made[capped] = nw.when(made[name] > threshold).then(threshold).otherwise(made[name])
    for metric in metrics:
        numerator, denominator = columns_of(metric, prefix)
        n = made[_capped_name(metric, prefix + metric.numerator)]
        if metric.form is Form.SHARE:
            made[numerator] = (n > 0).cast(nw.Float64)
        elif metric.form is Form.UNIT_RATIO and metric.denominator is not None:
            d = made[_capped_name(metric, prefix + metric.denominator)]
            made[numerator] = nw.when(d > 0).then(n / d).otherwise(0.0)
            if denominator is not None:
                made[denominator] = (d > 0).cast(nw.Float64)
    columns = [expression.alias(name) for name, expression in made.items()]
    if prefix == PRE and sums:
        columns.append(lacks_any(sums).alias(NEWCOMER))
    return frame.with_columns(columns)


def lacks_any(sums: Iterable[str]) -> nw.Expr:
    """Return 1.0 for a unit that lacks one of these sums, else 0.0."""
    missing = [nw.col(name).is_null() for name in sums]
    return nw.any_horizontal(*missing, ignore_nulls=True).cast(nw.Float64)


def _capped_name(metric: Metric, name: str) -> str:
    if metric.cap_quantile is None:
        return name
    # Spark reads a dot in a name as a field of a struct.
    return f"min({name}, q{metric.cap_quantile:g})".replace(".", "_")
