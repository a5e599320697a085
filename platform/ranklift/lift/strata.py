"""The lift with units weighed by stratum (country, device, heavy or light user).

Post-stratification: Miratrix, Sekhon and Yu 2013, "Adjusting Treatment Effect Estimates by
Post-Stratification in Randomized Experiments". The strata must be from before the exposure.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ranklift.lift.moments import Floats, Moments
from ranklift.lift.ratio import (
    CANCELLATION,
    Comparison,
    Estimate,
    LiftInterval,
    compare_estimates,
)
from ranklift.lift.values import Unavailable

# Below this a stratum's own variance is too rough, and one without units in an arm too likely.
MIN_UNITS = 10


def compare_stratified(
    control: Mapping[str, Moments],
    arm: Mapping[str, Moments],
    numerator: str,
    denominator: str | None = None,
    *,
    confidence_level: float = 0.95,
    lift_interval: LiftInterval = LiftInterval.LOG_RATIO,
) -> Comparison | Unavailable:
    """Return how an arm differs from control when both have the strata's shares of all units.

    An arm's mean of a column is sum_s w_s mean_s, with w_s the stratum's share of the units of
    both arms; its ratio R is that of the weighed means, and its variance
    sum_s w_s^2 var_s(e) / U_s with e = (C - R N) / mean(N). The w_s are taken as given: what their
    chance does to the lift depends on how far the strata's lifts differ, divided by all units.

    Raises:
        InvalidRequest: the confidence level is not between 0 and 1.
    """
    names = sorted({*control, *arm})
    for name in names:
        for side, strata in (("control", control), ("the arm", arm)):
            units = strata[name].count if name in strata else 0
            if units < MIN_UNITS:
                return Unavailable(
                    f'{units} units of {side} in stratum "{name}", at least {MIN_UNITS} are needed'
                )
    if not names:
        return Unavailable("no strata, at least one is needed")
    counts = np.array([control[name].count + arm[name].count for name in names])
    shares = counts / counts.sum()
    zero, one = (
        _stratified([strata[name] for name in names], shares, numerator, denominator)
        for strata in (control, arm)
    )
    return compare_estimates(
        zero, one, confidence_level=confidence_level, lift_interval=lift_interval
    )


def _stratified(
    strata: list[Moments], shares: Floats, numerator: str, denominator: str | None
) -> Estimate | Unavailable:
    """Return an arm's post-stratified ratio of means and its variance."""
    columns = [numerator] if denominator is None else [numerator, denominator]
    means = np.array([[stratum.mean_of(column) for column in columns] for stratum in strata])
    covariances = np.array(
        [[[stratum.covariance(a, b) for b in columns] for a in columns] for stratum in strata]
    )
    if not (np.isfinite(means).all() and np.isfinite(covariances).all()):
        return Unavailable(f"the sums of {numerator} or {denominator} are not finite")
    weighed = shares @ means
    mean_n = 1.0 if denominator is None else float(weighed[1])
    if mean_n == 0:
        return Unavailable(f"{denominator} is 0, nothing to divide by")
    ratio = float(weighed[0]) / mean_n
    residual = np.array([1.0, -ratio][: len(columns)]) / mean_n  # e = residual . (C, N)
    within = np.einsum("i,sij,j->s", residual, covariances, residual)
    terms = np.einsum("i,sii->s", residual**2, covariances)
    within[within <= CANCELLATION * terms] = 0.0
    units = np.array([stratum.count for stratum in strata])
    variance = float(np.sum(shares**2 * within / units))
    # Every stratum but one spends a degree of freedom on its own mean.
    return Estimate(ratio, variance, int(units.sum()) - len(strata) + 1)
