"""The order of units' values alone: an opinion that no long tail can sway.

Mann and Whitney 1947, "On a Test of Whether one of Two Random Variables is Stochastically Larger
than the Other". One value a unit: units are independent, their pages are not.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from ranklift.lift.moments import Floats
from ranklift.lift.ratio import t_quantile
from ranklift.lift.values import Unavailable

# From here on the normal approximation of the statistic is good.
MIN_UNITS = 8


@dataclass(frozen=True, slots=True)
class RankComparison:
    """How likely a unit of the arm is above one of control, a tie being half.

    `probability` and its interval lie in [0.0, 1.0], 0.5 says no difference. `p_value`, two-sided,
    tests that both arms have the same distribution.
    """

    probability: float
    lower: float
    upper: float
    standard_error: float
    p_value: float


def compare_ranks(
    control: Floats, arm: Floats, *, confidence_level: float = 0.95
) -> RankComparison | Unavailable:
    """Return P(arm > control) + P(arm = control) / 2 of values, shapes (units,).

    The p-value is Mann and Whitney's, corrected for ties and continuity. The interval does not
    assume equal distributions: its variance is that of the placements (Brunner and Munzel 2000,
    "The Nonparametric Behrens-Fisher Problem"), on the logit scale, which keeps it inside (0, 1).

    Raises:
        InvalidRequest: the confidence level is not between 0 and 1.
    """
    for side, values in (("control", control), ("arm", arm)):
        if not np.isfinite(values).all():
            return Unavailable(f"{side}: some values are not finite")
        if len(values) < MIN_UNITS:
            return Unavailable(f"{side}: {len(values)} units, at least {MIN_UNITS} are needed")
    below = _placements(arm, control)  # for a unit of the arm, the share of control below it
    above = 1 - _placements(control, arm)
    probability = float(below.mean())
    variance_arm = float(below.var(ddof=1)) / len(arm)
    variance_control = float(above.var(ddof=1)) / len(control)
    variance = variance_arm + variance_control
    if variance == 0:
        return Unavailable("the arms do not overlap or are all ties: no interval")
    share = variance_arm / variance
    freedom = 1 / (share**2 / (len(arm) - 1) + (1 - share) ** 2 / (len(control) - 1))
    error = math.sqrt(variance)
    logit = float(special.logit(probability))
    half = t_quantile(confidence_level, freedom) * error / (probability * (1 - probability))
    lower, upper = special.expit([logit - half, logit + half]).tolist()
    return RankComparison(probability, lower, upper, error, _p_value(control, arm, probability))


def _placements(values: Floats, others: Floats) -> Floats:
    """Return the share of `others` below each of `values`, ties half."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, values, "left")
    up_to = np.searchsorted(ordered, values, "right")
    placements: Floats = (below + up_to) / (2.0 * len(others))
    return placements


def _p_value(control: Floats, arm: Floats, probability: float) -> float:
    """Return the p-value of U = n0 n1 probability.

    Under equal distributions U has mean n0 n1 / 2 and, with t of the n values in each tie,
    variance n0 n1 / 12 (n + 1 - sum(t^3 - t) / (n (n - 1))).
    """
    n0, n1 = len(control), len(arm)
    n = n0 + n1
    ties = np.unique(np.concatenate([control, arm]), return_counts=True)[1].astype(np.float64)
    correction = float((ties**3 - ties).sum()) / (n * (n - 1))
    error = math.sqrt(n0 * n1 / 12 * (n + 1 - correction))
    # U moves in halves to whole steps; half a step on the safe side.
    distance = max(abs(probability - 0.5) * n0 * n1 - 0.5, 0.0)
    return min(1.0, 2 * float(special.ndtr(-distance / error)))
