"""Are there enough units for intervals that rest on the normal approximation?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ranklift.lift.moments import Floats
from ranklift.lift.values import Check

# Fewer units than this, and the variance itself is a guess.
MIN_UNITS = 30
# The skewness of an arm's mean, skewness / sqrt(units), at which intervals become really wrong.
MAX_MEAN_SKEWNESS = 0.5
# Kohavi, Deng, Longbotham and Xu 2014, "Seven Rules of Thumb for Web Site Experimenters", rule 7.
COMFORTABLE_UNITS_PER_SQUARED_SKEWNESS = 355


def enough_units(metric: str, values: Mapping[str, tuple[Floats, Floats | None]]) -> Check:
    """Return the check of a metric's exposed units: numerators and denominators of each arm.

    The skewness is that of the linearised residual, n - R d over its standard deviation, of all
    arms together; R is each arm's ratio. The smallest arm needs 30 units and 4 skewness^2: there
    95 % intervals of log-normal, Bernoulli and PageCTR-like units still hold 92 % or more, with
    equal and with 90 : 10 arms (measured, test_checks.py). The rule of thumb of 355 skewness^2
    asks for correct tails of each arm alone, of which a difference needs far less; it is only
    named.
    """
    name = "enough_units"
    fewest = min((len(numerator) for numerator, _ in values.values()), default=0)
    if fewest < MIN_UNITS:
        return Check(
            name,
            False,
            None,
            f"{fewest} exposed units in the smallest arm, {MIN_UNITS} are needed for intervals.",
        )
    residuals = np.concatenate([_residuals(*columns) for columns in values.values()])
    spread = float(np.sqrt(np.mean(residuals**2)))
    if not 0 < spread < np.inf:
        return Check(name, True, None, f"{metric} does not vary: its skewness is not defined.")
    scaled = residuals / spread
    skewness = float(np.mean(scaled * scaled * scaled))  # numpy's power takes ten times as long
    needed = int(np.ceil((skewness / MAX_MEAN_SKEWNESS) ** 2))
    comfortable = int(np.ceil(COMFORTABLE_UNITS_PER_SQUARED_SKEWNESS * skewness**2))
    detail = (
        f"{fewest:,} exposed units in the smallest arm; with {metric}'s skewness of "
        f"{skewness:.1f} at least {max(needed, MIN_UNITS):,} are needed for intervals "
        f"(for exact tails in every arm {comfortable:,})."
    )
    return Check(name, fewest >= needed, None, detail)


def _residuals(numerator: Floats, denominator: Floats | None) -> Floats:
    whole = np.ones_like(numerator) if denominator is None else denominator
    total = float(whole.sum())
    # Where nothing can be divided, the metric itself says so.
    residuals: Floats = numerator - (float(numerator.sum()) / total if total else 0.0) * whole
    return residuals
