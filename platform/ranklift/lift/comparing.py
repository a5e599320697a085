"""One metric of one arm against control, from the unit sums of both."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import narwhals as nw
import polars as pl

from ranklift.lift.adjust import Covariate, compare_adjusted
from ranklift.lift.columns import (
    NEWCOMER,
    capped_sums,
    columns_of,
    lacks_any,
    sums_of,
    supported,
    with_columns,
)
from ranklift.lift.measures import MEASURES, PRE
from ranklift.lift.moments import Floats, Moments
from ranklift.lift.ratio import Comparison, compare, design_effect
from ranklift.lift.values import Interval, Measured, Unavailable
from ranklift.store.analysis import Form, Metric


@dataclass(frozen=True, slots=True)
class Method:
    """How metrics are compared, alike for all arms, segments and looks of a report.

    `thresholds` holds the value of each capped column, taken once from all arms together: a cap
    of each arm's own would hide what the arm did to the tail. `covariates` are the pre-period
    columns of each metric by its name; metrics that are not in it are not adjusted.
    """

    confidence_level: float
    thresholds: Mapping[str, float]
    covariates: Mapping[str, tuple[Covariate, ...]]

    def columns(self, metric: Metric) -> tuple[str, ...]:
        """Return the f64 columns that a metric's moments run along."""
        numerator, denominator = columns_of(metric)
        names = [numerator, denominator]
        for covariate in self.covariates.get(metric.name, ()):
            names += [covariate.numerator, covariate.denominator]
        return tuple(dict.fromkeys(name for name in names if name is not None))


def method_for(
    units: pl.DataFrame, metrics: Sequence[Metric], *, confidence_level: float, covariates: bool
) -> Method:
    """Return the method for these exposed units of all arms.

    With `covariates`, a metric is adjusted for itself in the pre-period where the units have it,
    and for every other column "pre_*" that is no measure's. UserCTR-like shares take the number
    behind them, which says more than whether it was above zero.
    """
    thresholds = {
        name: float(units.select(pl.col(column).quantile(quantile)).item() or 0.0)
        for name, (column, quantile) in {
            **capped_sums(metrics),
            **capped_sums((m for m in metrics if supported(m, units.columns, PRE)), PRE),
        }.items()
    }
    if not covariates:
        return Method(confidence_level, thresholds, {})
    partial = {name for name in units.columns if units[name].null_count()}
    return Method(confidence_level, thresholds, covariates_for(metrics, units.columns, partial))


def covariates_for(
    metrics: Sequence[Metric], columns: Sequence[str], partial: Collection[str]
) -> dict[str, tuple[Covariate, ...]]:
    """Return each metric's covariates, from unit sums with these columns.

    `partial` names those that some units lack; such units get a covariate of their own.
    """
    free = [
        Covariate(name)
        for name in columns
        if name.startswith(PRE) and name.removeprefix(PRE) not in MEASURES
    ]
    chosen: dict[str, tuple[Covariate, ...]] = {}
    for metric in metrics:
        own = [_own_covariate(metric)] if supported(metric, columns, PRE) else []
        used = list(dict.fromkeys((*own, *free)))
        if any(name in partial for name in _sums_behind(used, metric)):
            used.append(Covariate(NEWCOMER))
        if used:
            chosen[metric.name] = tuple(used)
    return chosen


def moments_of(units: pl.DataFrame, metric: Metric, method: Method) -> Moments:
    """Return the moments of a metric's columns over the units of a frame."""
    return Moments.of(method.columns(metric), values_of(units, metric, method))


def values_of(units: pl.DataFrame, metric: Metric, method: Method) -> Floats:
    """Return a metric's columns, shape (units, `method.columns(metric)`)."""
    values = with_values(units.lazy(), [metric], method)
    return values.select(value_columns(metric, method)).collect().to_numpy()


def value_columns(metric: Metric, method: Method) -> list[str]:
    """Return the names that `method.columns(metric)` have in `with_values`.

    Columns of one name are the same for all metrics, but who is new depends on what a metric is
    adjusted for.
    """
    return [
        f"{name} of {metric.name}" if name == NEWCOMER else name for name in method.columns(metric)
    ]


def with_values(units: pl.LazyFrame, metrics: Sequence[Metric], method: Method) -> pl.LazyFrame:
    """Return unit sums with the columns of all `metrics` (`value_columns`) beside them."""
    frame = nw.from_native(units)
    columns = frame.collect_schema().names()
    lacking, adjusted, used = [], [], []
    for metric in metrics:
        covariates = method.covariates.get(metric.name, ())
        if Covariate(NEWCOMER) in covariates:
            lacks = lacks_any(_sums_behind(covariates, metric))
            lacking.append(lacks.alias(f"{NEWCOMER} of {metric.name}"))
        if covariates and supported(metric, columns, PRE):
            adjusted.append(metric)
        used += [one.numerator for one in covariates if one.numerator in columns]
    # First, since what is missing counts as 0 afterwards.
    if lacking:
        frame = frame.with_columns(lacking)
    frame = with_columns(frame, metrics, method.thresholds)
    if adjusted:
        frame = with_columns(frame, adjusted, method.thresholds, PRE)
    if used:
        frame = frame.with_columns(
            nw.col(name).cast(nw.Float64).fill_null(0.0) for name in dict.fromkeys(used)
        )
    return frame.to_native()


def measure(
    control: Moments, arm: Moments, metric: Metric, method: Method
) -> Measured | Unavailable:
    """Return the lift of a metric between moments along `method.columns(metric)`."""
    numerator, denominator = columns_of(metric)
    level = method.confidence_level
    covariates = method.covariates.get(metric.name, ())
    found: Comparison | Unavailable
    variance_ratio = 1.0
    if covariates:
        adjusted = compare_adjusted(
            control, arm, numerator, denominator, covariates, confidence_level=level
        )
        if isinstance(adjusted, Unavailable):
            return adjusted
        found, variance_ratio = adjusted.comparison, adjusted.variance_ratio
    else:
        found = compare(control, arm, numerator, denominator, confidence_level=level)
    if isinstance(found, Unavailable):
        return found
    parts = 1 if metric.form is Form.SHARE else metric.parts_per_unit
    effect = None
    if numerator in ("clicked_pages", "abandoned_pages") and denominator == "pages":
        effect = design_effect(control + arm, numerator, denominator)
    return Measured(
        control_value=found.control_value / parts,
        arm_value=found.arm_value / parts,
        difference=found.difference / parts,
        difference_interval=Interval(
            found.difference_lower / parts, found.difference_upper / parts
        ),
        relative_lift=found.relative_lift,
        relative_lift_interval=Interval(found.relative_lift_lower, found.relative_lift_upper),
        standard_error=found.standard_error / parts,
        p_value=found.p_value,
        control_units=control.count,
        arm_units=arm.count,
        variance_ratio=variance_ratio,
        design_effect=effect,
    )


def by_arm(units: pl.DataFrame, arms: Iterable[str]) -> dict[str, pl.DataFrame]:
    """Return the rows of each arm."""
    return {arm: units.filter(pl.col("arm") == arm) for arm in arms}


def _own_covariate(metric: Metric) -> Covariate:
    if metric.form is Form.SHARE:
        return Covariate(PRE + metric.numerator)
    return Covariate(*columns_of(metric, PRE))


def _sums_behind(covariates: Iterable[Covariate], metric: Metric) -> tuple[str, ...]:
    """Return the columns of the unit sums that a metric's covariates are made of."""
    own = _own_covariate(metric)
    return tuple(
        name
        for covariate in covariates
        if covariate.numerator != NEWCOMER
        for name in (sums_of(metric, PRE) if covariate == own else (covariate.numerator,))
    )
