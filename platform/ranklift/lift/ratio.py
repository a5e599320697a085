"""The lift of a ratio of means, with the variance that randomised units have.

Pages of one user are alike, so the unit that was randomised, not the page, is the observation.
The delta method gives the variance of the ratio of two sums over units: Deng, Knoblich and Lu
2018, "Applying the Delta Method in Metric Analytics" (arXiv 1803.06336), on cluster randomisation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy import stats

from ranklift.lift.moments import Moments

# Rounding leaves about this much of the terms that cancel; less than that is no variance at all.
CANCELLATION = 1e-13

# An interval from -100 % to a hundred million fold says nothing, and further out exp overflows.
MAX_LOG_HALF_WIDTH = 20.0


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Why a statistic cannot be computed."""

    reason: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """A ratio of means over `count` units and the variance of that estimate."""

    value: float
    variance: float
    count: int


@dataclass(frozen=True, slots=True)
class Comparison:
    """One arm against control.

    `difference` is arm minus control, `relative_lift` is arm / control - 1.
    `standard_error` and the interval ends `difference_*` belong to the difference; `p_value`, in
    [0.0, 1.0], is two-sided and tests the difference.
    """

    control_value: float
    arm_value: float
    difference: float
    difference_lower: float
    difference_upper: float
    relative_lift: float
    relative_lift_lower: float
    relative_lift_upper: float
    standard_error: float
    degrees_of_freedom: float
    p_value: float


def estimate(moments: Moments, numerator: str, denominator: str | None) -> Estimate | Unavailable:
    """Return the ratio of the means of two columns, R = mean(C) / mean(N), and its variance.

    V = (s_CC - 2 R s_CN + R^2 s_NN) / (U mean(N)^2) with sample covariances s over U units.
    Without a denominator N is 1 for every unit, and V is the variance of a mean.
    """
    if moments.count < 2:
        return Unavailable(f"{moments.count} exposed units, at least 2 are needed")
    mean_c, s_cc = moments.mean_of(numerator), moments.covariance(numerator, numerator)
    mean_n, s_cn, s_nn = 1.0, 0.0, 0.0
    if denominator is not None:
        mean_n = moments.mean_of(denominator)
        s_cn = moments.covariance(numerator, denominator)
        s_nn = moments.covariance(denominator, denominator)
    if not all(map(math.isfinite, (mean_c, mean_n, s_cc, s_cn, s_nn))):
        return Unavailable(f"the sums of {numerator} or {denominator} are not finite")
    if mean_n == 0:
        return Unavailable(f"{denominator} is 0, nothing to divide by")
    ratio = mean_c / mean_n
    residual = s_cc - 2 * ratio * s_cn + ratio**2 * s_nn
    if residual <= CANCELLATION * (s_cc + ratio**2 * s_nn):
        residual = 0.0
    return Estimate(ratio, residual / (moments.count * mean_n**2), moments.count)


def compare(
    control: Moments,
    arm: Moments,
    numerator: str,
    denominator: str | None = None,
    *,
    confidence_level: float = 0.95,
) -> Comparison | Unavailable:
    """Return how a ratio of means in an arm differs from control, or why that cannot be said.

    The p-value is that of Welch's t-test of the absolute difference. With R the ratios, V their
    variances (0 for control, 1 for the arm) and L = R1 / R0 - 1, the interval of the lift is
    (1 + L) exp(+-q sqrt(V0 / R0^2 + V1 / R1^2)) - 1: on the log scale, so that it never passes
    below -100 % and swapping the arms mirrors it. q is the t quantile; its degrees of freedom are
    Satterthwaite's (1946), for the interval of the lift with the relative variances V / R^2.
    """
    zero, one = (estimate(moments, numerator, denominator) for moments in (control, arm))
    if isinstance(zero, Unavailable):
        return Unavailable(f"control: {zero.reason}")
    if isinstance(one, Unavailable):
        return Unavailable(f"arm: {one.reason}")
    if zero.value <= 0:
        return Unavailable(f"the value in control is {zero.value:g}: no lift relative to it")
    if one.value <= 0:
        return Unavailable(f"the value in the arm is {one.value:g}: the lift has no log interval")
    if zero.variance == 0 and one.variance == 0:
        return Unavailable("no variance in either arm: nothing to test")

    difference = one.value - zero.value
    error, freedom = _welch(zero, one, zero.variance, one.variance)
    half = float(stats.t.ppf((1 + confidence_level) / 2, freedom)) * error
    log_error, log_freedom = _welch(
        zero, one, zero.variance / zero.value**2, one.variance / one.value**2
    )
    log_half = float(stats.t.ppf((1 + confidence_level) / 2, log_freedom)) * log_error
    means_ratio = one.value / zero.value
    if log_half > MAX_LOG_HALF_WIDTH:
        return Unavailable("too few units: the interval of the lift has no upper end")
    return Comparison(
        control_value=zero.value,
        arm_value=one.value,
        difference=difference,
        difference_lower=difference - half,
        difference_upper=difference + half,
        relative_lift=means_ratio - 1,
        relative_lift_lower=means_ratio * math.exp(-log_half) - 1,
        relative_lift_upper=means_ratio * math.exp(log_half) - 1,
        standard_error=error,
        degrees_of_freedom=freedom,
        p_value=2 * float(stats.t.sf(abs(difference) / error, freedom)),
    )


def _welch(
    zero: Estimate, one: Estimate, variance_zero: float, variance_one: float
) -> tuple[float, float]:
    """Return the standard error of a difference and Satterthwaite's degrees of freedom."""
    variance = variance_zero + variance_one
    freedom = variance**2 / (
        variance_zero**2 / (zero.count - 1) + variance_one**2 / (one.count - 1)
    )
    return math.sqrt(variance), freedom
