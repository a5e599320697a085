"""Always-valid intervals: they hold at all looks together, however many, with no end planned.

Asymptotic confidence sequences: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform
central limit theory and asymptotic confidence sequences" (arXiv 2103.06476), with the normal
mixture. All is said as a bound of |z| that changes with n, the units of both arms together: the
interval is the estimate +- bound x standard error. With m = n rho^2 and the size n* that the
sequence is tuned to, where it is at its narrowest,

    rho^2 = (-2 ln alpha + ln(-2 ln alpha + 1)) / n*

so that m depends on n / n* alone. At n* the interval is 1.55 times the fixed 95 % one, at 200 n*
it is 1.87 times: n* belongs to the plan and is never a constant.
"""

from __future__ import annotations

import math

from ranklift.v1.errors import InvalidRequest


def always_valid_bound(units: int, tuned_units: float, alpha: float = 0.05) -> float:
    """Return the bound of |z|: sqrt(2 (m + 1) / m ln(sqrt(m + 1) / alpha)).

    Raises:
        InvalidRequest: `units` or `tuned_units` is not positive, or `alpha` not in (0, 1).
    """
    m = _m(units, tuned_units, alpha)
    return math.sqrt(2 * (m + 1) / m * math.log(math.sqrt(m + 1) / alpha))


def always_valid_p_value(z: float, units: int, tuned_units: float, alpha: float = 0.05) -> float:
    """Return min(1, sqrt(m + 1) exp(-z^2 m / (2 (m + 1)))), two-sided.

    It is at most `alpha` exactly where |z| is at least the bound for that alpha. Against other
    alphas it is valid too, though tuned for this one.

    Raises:
        InvalidRequest: as `always_valid_bound`.
    """
    m = _m(units, tuned_units, alpha)
    return min(1.0, math.sqrt(m + 1) * math.exp(-z * z * m / (2 * (m + 1))))


def one_sided_bound(units: int, tuned_units: float, alpha: float = 0.05) -> float:
    """Return the bound of z in one direction, sqrt(2 (m + 1) / m ln(1 + sqrt(m + 1) / (2 alpha))).

    rho is tuned with 2 alpha in place of alpha.

    Raises:
        InvalidRequest: `units` or `tuned_units` is not positive, or `alpha` not in (0, 0.5).
    """
    m = _m(units, tuned_units, 2 * alpha)
    return math.sqrt(2 * (m + 1) / m * math.log1p(math.sqrt(m + 1) / (2 * alpha)))


def _m(units: int, tuned_units: float, alpha: float) -> float:
    if not 0 < alpha < 1:
        raise InvalidRequest.of("alpha", f"{alpha} must be above 0 and below 1 (one-sided: 0.5)")
    for field, number in (("units", units), ("tuned_units", tuned_units)):
        if not 0 < number < math.inf:
            raise InvalidRequest.of(field, f"{number} must be a positive number of units")
    log = -2 * math.log(alpha)
    return (log + math.log1p(log)) * units / tuned_units
