"""Power by simulation: experiments drawn from a real log, with a lift that is known.

It needs no normal approximation and no formula for the variance, and shows what the formula
(`planning.power_at`) cannot: how often a significant lift has the wrong sign (type S), and how
much significant lifts exaggerate (type M). Gelman and Carlin 2014, "Beyond Power Calculations".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.special import ndtri

from ranklift.lift.adjust import Covariate, compare_adjusted
from ranklift.lift.moments import Floats, Moments
from ranklift.lift.ratio import Comparison, compare
from ranklift.lift.values import Interval, Unavailable
from ranklift.v1.errors import InvalidRequest

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class ResampledPower:
    """What `replicates` simulated experiments of `units` units came to.

    `power`: the part with a significant difference, of either sign; `power_interval`: its 95 %
    Monte-Carlo interval (Wilson). Of the significant ones, `type_s` is the part with the wrong
    sign and `type_m` the mean of |estimated lift| / |true lift|; None without a true lift or
    without a significant one.
    """

    units: int
    replicates: int
    power: float
    power_interval: Interval
    type_s: float | None
    type_m: float | None


def resampled_power(
    columns: pl.DataFrame,
    numerator: str,
    denominator: str | None,
    lift: float,
    *,
    seed: int,
    units: int | None = None,
    shares: tuple[float, float] = (0.5, 0.5),
    covariates: Sequence[Covariate] = (),
    alpha: float = 0.05,
    replicates: int = 1_000,
) -> ResampledPower | Unavailable:
    """Return how often experiments like those of a log would show a relative lift.

    `columns` has a row per unit of the log with a metric's columns (`columns.with_columns`), and
    those of the covariates. Each replicate draws units with replacement, `shares` of `units` (of
    the log's number when None) for control and the arm, and compares them as a report does.

    The lift is put in by thinning: for a lift above 0 control, else the arm, keeps each count of
    its numerator (a clicked page, a click, a millisecond) with probability 1 / (1 + lift), or
    1 + lift. So the arm's expectation is exactly 1 + lift times control's, no unit gets more
    clicked pages than pages, and denominators and covariates stay. Numerators that are no whole
    numbers are multiplied by that probability instead.

    Raises:
        InvalidRequest: the lift, the number of units or of replicates is out of its range.
    """
    if not -1 < lift < math.inf:
        raise InvalidRequest.of("lift", f"{lift} is no lift; it is above -1, e.g. 0.01 for 1 %")
    total = columns.height if units is None else units
    sizes = [round(total * share) for share in shares]
    if columns.is_empty() or min(sizes) < 2:
        raise InvalidRequest.of(
            "units", f"{total} units of a log of {columns.height} are too few for two arms"
        )
    if replicates < 1:
        raise InvalidRequest.of("replicates", f"{replicates} is not at least 1")
    ratios = [Covariate(numerator, denominator), *covariates]
    names = tuple(dict.fromkeys(n for r in ratios for n in (r.numerator, r.denominator) if n))
    log = columns.select(pl.col(names).cast(pl.Float64)).to_numpy()
    kept = (1 / (1 + lift), 1.0) if lift > 0 else (1.0, 1 + lift)
    whole = bool((log[:, 0] >= 0).all() and (log[:, 0] == np.floor(log[:, 0])).all())

    found: list[float] = []
    failed: list[Unavailable] = []
    for replicate in range(replicates):
        rng = np.random.default_rng([seed, replicate])
        control, arm = (
            Moments.of(names, _thinned(log[rng.integers(len(log), size=size)], part, whole, rng))
            for size, part in zip(sizes, kept, strict=True)
        )
        compared = _compare(control, arm, numerator, denominator, covariates)
        if isinstance(compared, Unavailable):
            failed.append(compared)
        elif compared.p_value < alpha:
            found.append(compared.relative_lift)
    if len(failed) == replicates:
        return failed[0]
    return ResampledPower(
        units=total,
        replicates=replicates,
        power=len(found) / replicates,
        power_interval=_wilson(len(found), replicates),
        type_s=float(np.mean(np.sign(found) != np.sign(lift))) if found and lift else None,
        type_m=float(np.mean(np.abs(found))) / abs(lift) if found and lift else None,
    )


def _thinned(values: Floats, kept: float, whole: bool, rng: np.random.Generator) -> Floats:
    """Return drawn rows whose first column keeps each of its counts with probability `kept`."""
    if kept < 1:
        counts = values[:, 0]
        values[:, 0] = rng.binomial(counts.astype(np.int64), kept) if whole else counts * kept
    return values


def _compare(
    control: Moments,
    arm: Moments,
    numerator: str,
    denominator: str | None,
    covariates: Sequence[Covariate],
) -> Comparison | Unavailable:
    if not covariates:
        return compare(control, arm, numerator, denominator)
    adjusted = compare_adjusted(control, arm, numerator, denominator, covariates)
    return adjusted if isinstance(adjusted, Unavailable) else adjusted.comparison


def _wilson(hits: int, trials: int) -> Interval:
    """Return Wilson's interval (1927) of a proportion."""
    z = float(ndtri((1 + CONFIDENCE) / 2))
    share, weight = hits / trials, z**2 / trials
    middle = (share + weight / 2) / (1 + weight)
    half = math.sqrt(share * (1 - share) * weight + weight**2 / 4) / (1 + weight)
    return Interval(max(0.0, middle - half), min(1.0, middle + half))
