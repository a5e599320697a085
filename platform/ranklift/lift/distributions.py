"""The dwell per click beyond its mean: quantiles, a mean that censoring does not bias, ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from ranklift.lift.quantiles import Rows, compare_quantile
from ranklift.lift.ranks import RankComparison, compare_ranks
from ranklift.lift.ratio import Difference
from ranklift.lift.survival import TAU_SECONDS, Dwells, compare_restricted_mean
from ranklift.lift.values import Distribution, Interval, Unavailable

QUANTILES: Mapping[str, tuple[float, str]] = {
    "median": (0.5, "Median dwell per click, seconds"),
    "p90": (0.9, "90 % quantile of the dwell per click, seconds"),
}


def distributions(
    dwells: pl.DataFrame, units: pl.DataFrame, arms: Sequence[str], *, confidence_level: float
) -> tuple[Distribution, ...]:
    """Return how the dwell per click differs from control in every other arm.

    `dwells` has a row per click with a dwell: `unit_id`, `arm`, `dwell_ms`, `censored`; those of
    units that are not in `units` do not count. Quantiles and ranks take dwells that were observed
    to their end, as the metric "dwell per click" does; the restricted mean takes all of them.
    """
    kept = dwells.join(units.select("unit_id", "arm"), on=["unit_id", "arm"], how="semi")
    coded = kept.select(
        "arm",
        "dwell_ms",
        seconds=pl.col("dwell_ms") / 1000,
        observed=~pl.col("censored"),
        unit=pl.col("unit_id").rank("dense").cast(pl.Int64) - 1,
    ).sort("unit", "seconds", "observed")  # sums of floats depend on their order
    sides = {arm: coded.filter(pl.col("arm") == arm) for arm in arms}
    control = sides[arms[0]]
    return tuple(
        distribution
        for arm in arms[1:]
        for distribution in _of_arm(control, sides[arm], arm, confidence_level)
    )


def _of_arm(
    control: pl.DataFrame, treated: pl.DataFrame, arm: str, level: float
) -> Iterator[Distribution]:
    for name, (q, title) in QUANTILES.items():
        rows = _observed(control), _observed(treated)
        yield _difference(name, title, arm, compare_quantile(*rows, q, confidence_level=level))
    yield _difference(
        "restricted_mean",
        f"Mean dwell per click up to {TAU_SECONDS:g} s, censoring accounted for, seconds",
        arm,
        compare_restricted_mean(
            _dwells(control), _dwells(treated), TAU_SECONDS, confidence_level=level
        ),
    )
    means = [_unit_means(side) for side in (control, treated)]
    yield _ranks(arm, compare_ranks(*means, confidence_level=level))


def _observed(side: pl.DataFrame) -> Rows:
    seen = side.filter(pl.col("observed"))
    return Rows(seen["seconds"].to_numpy(), seen["unit"].to_numpy())


def _dwells(side: pl.DataFrame) -> Dwells:
    return Dwells(side["seconds"].to_numpy(), side["observed"].to_numpy(), side["unit"].to_numpy())


def _unit_means(side: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    seen = side.filter(pl.col("observed"))
    # Of whole numbers, whose sum does not depend on the order: ties stay ties.
    means = seen.group_by("unit").agg(pl.col("dwell_ms").sum() / pl.len())
    return np.asarray(means["dwell_ms"].to_numpy(), dtype=np.float64)


def _difference(name: str, title: str, arm: str, found: Difference | Unavailable) -> Distribution:
    if isinstance(found, Unavailable):
        return Distribution(name, title, arm, None, None, None, None, None, found.reason)
    return Distribution(
        statistic=name,
        title=title,
        arm=arm,
        control_value=found.control_value,
        arm_value=found.arm_value,
        difference=found.difference,
        interval=Interval(found.difference_lower, found.difference_upper),
        p_value=found.p_value,
    )


def _ranks(arm: str, found: RankComparison | Unavailable) -> Distribution:
    name, title = "mann_whitney", "Chance that a unit of the arm dwells longer per click"
    if isinstance(found, Unavailable):
        return Distribution(name, title, arm, None, None, None, None, None, found.reason)
    interval = Interval(found.lower, found.upper)
    return Distribution(name, title, arm, None, None, found.probability, interval, found.p_value)
