"""How much of the error may have been spent when a part t of the plan is done.

A spending function rises from 0 at t = 0 to alpha at t = 1, so that looks may come whenever they
like and as many as they like: Lan and DeMets 1983, "Discrete sequential boundaries for clinical
trials". All are two-sided: half of what they spend goes to either side.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy.special import ndtr, ndtri

from ranklift.v1.errors import InvalidRequest

# (t, alpha) -> the error spent until t, for t in [0, 1].
Spending = Callable[[float, float], float]


def obrien_fleming(t: float, alpha: float) -> float:
    """Return 4 (1 - Phi(z_{1 - alpha/4} / sqrt(t))): next to nothing early, nearly all at the end.

    This is Lan and DeMets' 2 (1 - Phi(z_{1 - a/2} / sqrt(t))) for a = alpha / 2 on either side, as
    in ldbounds, gsDesign and SAS. The bounds that follow are like O'Brien and Fleming's
    C / sqrt(t), not equal to them: 4.88, 3.36, 2.68, 2.29, 2.03 against
    4.56, 3.23, 2.63, 2.28, 2.04 for five equal looks.
    """
    if t <= 0:
        return 0.0
    return 4 * float(ndtr(ndtri(alpha / 4) / math.sqrt(t)))


def pocock(t: float, alpha: float) -> float:
    """Return alpha ln(1 + (e - 1) t): nearly the same bound at every look."""
    return alpha * math.log1p((math.e - 1) * t)


def power_family(phi: float) -> Spending:
    """Return the spending alpha t^phi: 1 spends evenly, 3 is near O'Brien-Fleming's.

    Kim and DeMets 1987, "Design and analysis of group sequential tests based on the type I error
    spending rate function".

    Raises:
        InvalidRequest: `phi` is not positive.
    """
    if not 0 < phi < math.inf:
        raise InvalidRequest.of("phi", f"{phi} is not a positive number, e.g. 2")
    return lambda t, alpha: alpha * t**phi
