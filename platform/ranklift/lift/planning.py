"""How many units show which lift: from the variance that the metric has in a real log.

The variance is that of one unit, so it holds what clusters pages, and what covariates take out of
it. Units of the planned experiment are taken to be like those of the log, in both arms: a log as
long as the experiment is the best one, for users who come once a month weigh nothing in a day's.
The power is that of one look at the planned end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scipy.special import ndtr, ndtri

from ranklift.lift.adjust import Covariate, compare_adjusted
from ranklift.lift.moments import Moments
from ranklift.lift.ratio import estimate
from ranklift.lift.values import Unavailable
from ranklift.v1.errors import InvalidRequest

HALVES = (0.5, 0.5)
NEWTON_STEPS = 50


def relative_variance(
    moments: Moments,
    numerator: str,
    denominator: str | None = None,
    covariates: Sequence[Covariate] = (),
) -> float | Unavailable:
    """Return the variance of one unit of a log, relative to the metric's value: U V / R^2.

    With U units the metric R has the variance V (`ratio.estimate`); covariates take their part out
    of it (`adjust.compare_adjusted`).
    """
    found = estimate(moments, numerator, denominator)
    if isinstance(found, Unavailable):
        return found
    if found.value <= 0:
        return Unavailable(f"the value in the log is {found.value:g}: no lift relative to it")
    if found.variance == 0:
        return Unavailable("no variance in the log: any lift would show")
    variance = found.count * found.variance / found.value**2
    if covariates:
        # A log against itself: the difference is 0, and what it lost of its variance is wanted.
        adjusted = compare_adjusted(moments, moments, numerator, denominator, covariates)
        if isinstance(adjusted, Unavailable):
            return adjusted
        variance *= adjusted.variance_ratio
    return variance


def power_at(
    variance: float,
    lift: float,
    units: float,
    *,
    shares: tuple[float, float] = HALVES,
    alpha: float = 0.05,
) -> float:
    """Return the chance that a two-sided test at `alpha` finds a relative lift.

    `variance` is `relative_variance`; `units` are exposed units over all arms, of which control
    and the arm have `shares`. With s the standard error of the lift, sqrt(variance (1 / n0 +
    1 / n1)), and z its critical value: Phi(lift / s - z) + Phi(-lift / s - z).

    Raises:
        InvalidRequest: an argument is out of its range.
    """
    _check(variance, shares, alpha)
    _check_units(units)
    distance = abs(lift) / _standard_error(variance, units, shares)
    return _power(distance, alpha)


def minimal_lift(
    variance: float,
    units: float,
    *,
    shares: tuple[float, float] = HALVES,
    alpha: float = 0.05,
    power: float = 0.8,
) -> float:
    """Return the smallest relative lift, above 0, that `power_at` finds with a chance of `power`.

    Raises:
        InvalidRequest: an argument is out of its range.
    """
    _check(variance, shares, alpha)
    _check_units(units)
    return _distance(alpha, power) * _standard_error(variance, units, shares)


def units_needed(
    variance: float,
    lift: float,
    *,
    shares: tuple[float, float] = HALVES,
    alpha: float = 0.05,
    power: float = 0.8,
) -> int:
    """Return the units over all arms with which `power_at` finds `lift` with a chance of `power`.

    Raises:
        InvalidRequest: an argument is out of its range.
    """
    _check(variance, shares, alpha)
    if lift == 0 or not -1 < lift < math.inf:
        raise InvalidRequest.of(
            "lift", f"{lift} is no lift to plan for; it is above -1 and not 0, e.g. 0.01 for 1 %"
        )
    return math.ceil((_distance(alpha, power) * _standard_error(variance, 1, shares) / lift) ** 2)


def _standard_error(variance: float, units: float, shares: tuple[float, float]) -> float:
    return math.sqrt(variance / units * (1 / shares[0] + 1 / shares[1]))


def _power(distance: float, alpha: float) -> float:
    z = ndtri(1 - alpha / 2)
    return float(ndtr(distance - z) + ndtr(-distance - z))


def _distance(alpha: float, power: float) -> float:
    """Return how many standard errors a lift must lie from 0: `_power` solved for `distance`."""
    if not alpha < power < 1:
        raise InvalidRequest.of(
            "power", f"{power} is not between alpha, {alpha}, and 1; usual is 0.8"
        )
    z = float(ndtri(1 - alpha / 2))
    # Without the far tail the solution is in closed form, and Newton's method is nearly there.
    distance = max(z + float(ndtri(power)), math.sqrt(alpha))
    for _ in range(NEWTON_STEPS):
        slope = _density(distance - z) - _density(distance + z)
        step = (_power(distance, alpha) - power) / slope
        distance = max(distance - step, distance / 2)
        if abs(step) <= 1e-14 * distance:
            break
    return distance


def _density(x: float) -> float:
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _check(variance: float, shares: tuple[float, float], alpha: float) -> None:
    if not 0 < variance < math.inf:
        raise InvalidRequest.of("variance", f"{variance} is no variance; it is above 0")
    if min(shares) <= 0 or sum(shares) > 1 + 1e-9:
        raise InvalidRequest.of(
            "shares", f"{shares} are no shares of control and an arm, e.g. (0.5, 0.5)"
        )
    if not 0 < alpha < 1:
        raise InvalidRequest.of("alpha", f"{alpha} is not between 0 and 1; usual is 0.05")


def _check_units(units: float) -> None:
    if not 0 < units < math.inf:
        raise InvalidRequest.of("units", f"{units} is no number of units; it is above 0")
