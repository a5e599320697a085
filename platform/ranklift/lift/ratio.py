"""The lift of a ratio of means, with the variance that randomised units have.

Pages of one user are alike, so the unit that was randomised, not the page, is the observation.
The delta method gives the variance of the ratio of two sums over units: Deng, Knoblich and Lu
2018, "Applying the Delta Method in Metric Analytics" (arXiv 1803.06336), on cluster randomisation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from scipy import special

from ranklift.lift.moments import Moments
from ranklift.lift.values import Interval, Unavailable
from ranklift.v1.errors import InvalidRequest

# Rounding leaves about this much of the terms that cancel; less than that is no variance at all.
CANCELLATION = 1e-13

# An interval from -100 % to a hundred million fold says nothing, and further out exp overflows.
MAX_LOG_HALF_WIDTH = 20.0


class LiftInterval(StrEnum):
    """How the interval of the relative lift L = R1 / R0 - 1 is made; see `compare_estimates`."""

    LOG_RATIO = "log_ratio"
    FIELLER = "fieller"
    DELTA = "delta"


@dataclass(frozen=True, slots=True)
class Estimate:
    """A ratio of means over `count` units and the variance of that estimate."""

    value: float
    variance: float
    count: int


@dataclass(frozen=True, slots=True)
class Difference:
    """One arm against control, without a relative lift.

    `difference` is arm minus control; `standard_error` and the ends `difference_*` are its own;
    `p_value`, in [0.0, 1.0], is two-sided and tests it.
    """

    control_value: float
    arm_value: float
    difference: float
    difference_lower: float
    difference_upper: float
    standard_error: float
    degrees_of_freedom: float
    p_value: float


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
    residual = s_cc - 2 * ratio * s_cn + ratio * ratio * s_nn
    variance = residual / moments.count / mean_n / mean_n
    if not math.isfinite(variance):
        return Unavailable(f"{numerator} over {denominator} is too large to compute with")
    if residual <= CANCELLATION * (s_cc + ratio * ratio * s_nn):
        variance = 0.0
    return Estimate(ratio, variance, moments.count)


def compare(
    control: Moments,
    arm: Moments,
    numerator: str,
    denominator: str | None = None,
    *,
    confidence_level: float = 0.95,
    lift_interval: LiftInterval = LiftInterval.LOG_RATIO,
) -> Comparison | Unavailable:
    """Return how a ratio of means in an arm differs from control, or why that cannot be said.

    Raises:
        InvalidRequest: the confidence level is not between 0 and 1.
    """
    return compare_estimates(
        estimate(control, numerator, denominator),
        estimate(arm, numerator, denominator),
        confidence_level=confidence_level,
        lift_interval=lift_interval,
    )


def compare_estimates(
    zero: Estimate | Unavailable,
    one: Estimate | Unavailable,
    *,
    confidence_level: float,
    lift_interval: LiftInterval,
) -> Comparison | Unavailable:
    """Return how the estimate in an arm (`one`) differs from control's (`zero`).

    The p-value is that of Welch's t-test of the absolute difference. With R the ratios, V their
    variances (0 for control, 1 for the arm), L = R1 / R0 - 1 and q the t quantile, the interval of
    the lift is one of

    - LOG_RATIO: (1 + L) exp(+-q sqrt(V0 / R0^2 + V1 / R1^2)) - 1, which never passes below -100 %
      and which swapping the arms mirrors;
    - FIELLER (1954, "Some Problems in Interval Estimation"): all L that a t-test of
      R1 - (1 + L) R0 does not reject; unbounded, so unavailable, when R0^2 <= q^2 V0;
    - DELTA: L +- q sqrt(V1 / R0^2 + V0 R1^2 / R0^4).

    Degrees of freedom are Satterthwaite's (1946).

    Raises:
        InvalidRequest: the confidence level is not between 0 and 1.
    """
    if isinstance(zero, Unavailable):
        return Unavailable(f"control: {zero.reason}")
    if isinstance(one, Unavailable):
        return Unavailable(f"arm: {one.reason}")
    if zero.value <= 0:
        return Unavailable(f"the value in control is {zero.value:g}: no lift relative to it")
    absolute = difference(zero, one, confidence_level)
    if isinstance(absolute, Unavailable):
        return absolute
    relative = _interval_of_lift(zero, one, confidence_level, lift_interval)
    if isinstance(relative, Unavailable):
        return relative
    return Comparison(
        control_value=zero.value,
        arm_value=one.value,
        difference=absolute.difference,
        difference_lower=absolute.difference_lower,
        difference_upper=absolute.difference_upper,
        relative_lift=one.value / zero.value - 1,
        relative_lift_lower=relative.lower,
        relative_lift_upper=relative.upper,
        standard_error=absolute.standard_error,
        degrees_of_freedom=absolute.degrees_of_freedom,
        p_value=absolute.p_value,
    )


def difference(zero: Estimate, one: Estimate, confidence_level: float) -> Difference | Unavailable:
    """Return Welch's t-test of the arm's estimate (`one`) minus control's (`zero`).

    Raises:
        InvalidRequest: the confidence level is not between 0 and 1.
    """
    if zero.variance == 0 and one.variance == 0:
        return Unavailable("no variance in either arm: nothing to test")
    found = one.value - zero.value
    error, freedom = _satterthwaite(zero.variance, zero.count, one.variance, one.count)
    half = t_quantile(confidence_level, freedom) * error
    return Difference(
        control_value=zero.value,
        arm_value=one.value,
        difference=found,
        difference_lower=found - half,
        difference_upper=found + half,
        standard_error=error,
        degrees_of_freedom=freedom,
        p_value=2 * float(special.stdtr(freedom, -abs(found) / error)),
    )


def design_effect(moments: Moments, numerator: str, denominator: str | None) -> float | None:
    """Return how many times the variance is that of independent rows.

    For a `numerator` that is 0 or 1 per row and a `denominator` that counts the rows: the delta
    method's variance over R (1 - R) / rows. About 2 (1 - Phi(1.96 / sqrt(design effect))) of all
    A/A tests at 5 % turn out significant where rows are taken for independent. None where the
    numbers are no such thing, R outside (0, 1) for one.
    """
    found = estimate(moments, numerator, denominator)
    if denominator is None or isinstance(found, Unavailable) or not 0 < found.value < 1:
        return None
    rows = moments.count * moments.mean_of(denominator)
    return found.variance / (found.value * (1 - found.value) / rows)


def t_quantile(confidence_level: float, degrees_of_freedom: float) -> float:
    """Return the half-width, in standard errors, of a two-sided t interval.

    Raises:
        InvalidRequest: the confidence level is not between 0 and 1.
    """
    if not 0 < confidence_level < 1:
        raise InvalidRequest.of(
            "confidence_level", f"is {confidence_level}, must lie between 0 and 1"
        )
    return float(special.stdtrit(degrees_of_freedom, (1 + confidence_level) / 2))


def _interval_of_lift(
    zero: Estimate, one: Estimate, confidence_level: float, kind: LiftInterval
) -> Interval | Unavailable:
    """Return the interval of R1 / R0 - 1."""
    if kind is LiftInterval.LOG_RATIO and one.value <= 0:
        return Unavailable(f"the value in the arm is {one.value:g}: the lift has no log interval")
    means_ratio = one.value / zero.value
    # Of R1 / R0, by the delta method; over R1 / R0 it is that of log(R1 / R0).
    variance_zero = zero.variance * (means_ratio / zero.value) ** 2
    variance_one = one.variance / zero.value**2
    if variance_zero + variance_one == 0:
        return Unavailable("every unit of the arm has 0: the lift has no interval")
    error, freedom = _satterthwaite(variance_zero, zero.count, variance_one, one.count)
    q = t_quantile(confidence_level, freedom)
    match kind:
        case LiftInterval.LOG_RATIO:
            log_half = q * error / means_ratio
            if log_half > MAX_LOG_HALF_WIDTH:
                return Unavailable("too few units: the interval of the lift has no upper end")
            return Interval(
                means_ratio * math.exp(-log_half) - 1, means_ratio * math.exp(log_half) - 1
            )
        case LiftInterval.FIELLER:
            # (R1 - r R0)^2 = q^2 (V1 + r^2 V0), a quadratic in r = 1 + L.
            leading = zero.value**2 - q**2 * zero.variance
            if leading <= 0:
                return Unavailable(
                    "control is too noisy: Fieller's interval of the lift has no end"
                )
            centre = zero.value * one.value / leading
            half = q * math.sqrt(one.variance * leading + zero.variance * one.value**2) / leading
            return Interval(centre - half - 1, centre + half - 1)
        case LiftInterval.DELTA:
            return Interval(means_ratio - q * error - 1, means_ratio + q * error - 1)


def _satterthwaite(
    variance_zero: float, count_zero: int, variance_one: float, count_one: int
) -> tuple[float, float]:
    """Return the standard error of a difference and Satterthwaite's degrees of freedom."""
    variance = variance_zero + variance_one
    # Of shares, not of the variances themselves, whose squares may underflow.
    share_zero, share_one = variance_zero / variance, variance_one / variance
    freedom = 1 / (share_zero**2 / (count_zero - 1) + share_one**2 / (count_one - 1))
    return math.sqrt(variance), freedom
