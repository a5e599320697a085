"""The lift with what is known of units from before the experiment taken out (CUPED).

Deng, Xu, Kohavi and Walker 2013, "Improving the Sensitivity of Online Controlled Experiments by
Utilizing Pre-Experiment Data", with any number of covariates, and for ratios through their
linearised residuals: e = (C - R N) / mean(N) has the delta method's variance and covariances
(Deng, Knoblich and Lu 2018, arXiv 1803.06336). A covariate must be from before the exposure: one
that the arm could have changed takes a part of the lift with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ranklift.lift.moments import Floats, Moments
from ranklift.lift.ratio import (
    CANCELLATION,
    Comparison,
    Estimate,
    LiftInterval,
    compare,
    compare_estimates,
)
from ranklift.lift.values import Unavailable

# A fitted covariate takes about 1 / units of the variance away even when it explains nothing.
# With 20 units each that makes an interval 2.5 % too short; with fewer there is no adjustment.
UNITS_PER_COVARIATE = 20

# Eigenvalues of the covariates' correlation matrix below this part of the largest are rounding:
# the covariates are collinear.
COLLINEAR = 1e-10


@dataclass(frozen=True, slots=True)
class Covariate:
    """A ratio of two columns of `Moments`, or without a denominator one column."""

    numerator: str
    denominator: str | None = None


@dataclass(frozen=True, slots=True)
class Adjusted:
    """A comparison of adjusted values, and what the adjustment did.

    `variance_ratio` is the difference's variance over that without covariates. `coefficients` run
    along the covariates; one that is constant or cannot be computed in an arm has 0. Below
    `UNITS_PER_COVARIATE` units each nothing is adjusted: the ratio is 1, all coefficients are 0.
    """

    comparison: Comparison
    variance_ratio: float
    coefficients: tuple[float, ...]


def compare_adjusted(
    control: Moments,
    arm: Moments,
    numerator: str,
    denominator: str | None,
    covariates: Sequence[Covariate],
    *,
    confidence_level: float = 0.95,
    lift_interval: LiftInterval = LiftInterval.LOG_RATIO,
) -> Adjusted | Unavailable:
    """Return how an arm differs from control once the covariates are taken out.

    With R_k the covariates' ratios, theta the coefficients and "all" both arms together, an arm
    has the value R - sum_k theta_k (R_k - R_k,all) with the variance of e - sum_k theta_k e_k.
    theta = S^-1 s with the covariances S of the e_k and s of these with e, over all units. A unit
    without a pre-period has 0 in its covariates and 1 in a column that says so, itself a covariate.

    Raises:
        InvalidRequest: the confidence level is not between 0 and 1.
    """
    plain = compare(
        control,
        arm,
        numerator,
        denominator,
        confidence_level=confidence_level,
        lift_interval=lift_interval,
    )
    if isinstance(plain, Unavailable):
        return plain
    ratios = [Covariate(numerator, denominator), *covariates]
    names = tuple(dict.fromkeys(n for r in ratios for n in (r.numerator, r.denominator) if n))
    control, arm = _only(control, names), _only(arm, names)
    for name, finite in zip(names, np.isfinite(np.diag(control.m2 + arm.m2)), strict=True):
        if not finite:
            return Unavailable(f"the sums of the covariate {name} are not finite")
    both = control + arm
    usable = [i for i, covariate in enumerate(covariates) if _varies(control, arm, both, covariate)]
    if not usable or both.count < UNITS_PER_COVARIATE * len(usable):
        return Adjusted(plain, 1.0, (0.0,) * len(covariates))
    ratios = [ratios[0], *(covariates[i] for i in usable)]
    theta = _coefficients(_covariances(both, ratios))
    centre = _values(both, ratios)
    found = compare_estimates(
        _adjusted(control, ratios, theta, centre),
        _adjusted(arm, ratios, theta, centre),
        confidence_level=confidence_level,
        lift_interval=lift_interval,
    )
    if isinstance(found, Unavailable):
        return Unavailable(f"with covariates: {found.reason}")
    coefficients = np.zeros(len(covariates))
    coefficients[usable] = theta
    return Adjusted(
        found,
        (found.standard_error / plain.standard_error) ** 2,
        tuple(coefficients.tolist()),
    )


def _only(moments: Moments, names: tuple[str, ...]) -> Moments:
    """Return the moments of these columns alone."""
    at = [moments.columns.index(name) for name in names]
    return Moments(names, moments.count, moments.mean[at], moments.m2[np.ix_(at, at)])


def _varies(control: Moments, arm: Moments, both: Moments, covariate: Covariate) -> bool:
    """Return whether a covariate can be computed in both arms and is not the same for all units."""
    column, divisor = covariate.numerator, covariate.denominator
    if divisor is None:
        # Only the mean was taken off here, and that before squaring.
        return both.covariance(column, column) > (CANCELLATION * both.mean_of(column)) ** 2
    if control.mean_of(divisor) == 0 or arm.mean_of(divisor) == 0:
        return False
    mean = both.mean_of(divisor)
    ratio = both.mean_of(column) / mean
    terms = both.covariance(column, column) + ratio**2 * both.covariance(divisor, divisor)
    return bool(_covariances(both, [covariate])[0, 0] > CANCELLATION * terms / mean**2)


def _values(moments: Moments, ratios: Sequence[Covariate]) -> Floats:
    """Return the ratio of means R of each ratio, shape (ratios,)."""
    return np.array(
        [
            moments.mean_of(ratio.numerator)
            / (1.0 if ratio.denominator is None else moments.mean_of(ratio.denominator))
            for ratio in ratios
        ]
    )


def _covariances(moments: Moments, ratios: Sequence[Covariate]) -> Floats:
    """Return the sample covariances of the residuals (C - R N) / mean(N), (ratios, ratios)."""
    weights = np.zeros((len(ratios), len(moments.columns)))  # residuals = weights . columns
    for row, ratio, value in zip(weights, ratios, _values(moments, ratios), strict=True):
        mean = 1.0
        if ratio.denominator is not None:
            mean = moments.mean_of(ratio.denominator)
            row[moments.columns.index(ratio.denominator)] -= value / mean
        row[moments.columns.index(ratio.numerator)] += 1 / mean
    covariances: Floats = weights @ (moments.m2 / (moments.count - 1)) @ weights.T
    return covariances


def _coefficients(covariances: Floats) -> Floats:
    """Return theta of a metric, the first row, on the covariates, the others."""
    deviation = np.sqrt(np.diag(covariances)[1:])
    correlations = covariances[1:, 1:] / np.outer(deviation, deviation)
    inverse = np.linalg.pinv(correlations, rcond=COLLINEAR, hermitian=True)
    theta: Floats = inverse @ (covariances[1:, 0] / deviation) / deviation
    return theta


def _adjusted(
    moments: Moments, ratios: Sequence[Covariate], theta: Floats, centre: Floats
) -> Estimate:
    """Return an arm's adjusted value and its variance."""
    contrast = np.concatenate([[1.0], -theta])
    values, covariances = _values(moments, ratios), _covariances(moments, ratios)
    variance = float(contrast @ covariances @ contrast)
    if variance <= CANCELLATION * float(contrast**2 @ np.diag(covariances)):
        variance = 0.0
    value = float(values[0] - theta @ (values[1:] - centre[1:]))
    return Estimate(value, variance / moments.count, moments.count)
