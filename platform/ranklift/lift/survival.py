"""Restricted mean dwell: how long users stay, up to a limit, when some are not seen leaving.

The last click of a session has a dwell that is only known to be at least so long. Leaving such
dwells out shortens the mean, taking them as complete does too; the area under the Kaplan-Meier
curve up to `tau` does neither, provided that what censors a dwell does not depend on its length.
Royston and Parmar 2013, "Restricted mean survival time"; Kaplan and Meier 1958, "Nonparametric
Estimation from Incomplete Observations".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ranklift.lift.moments import Floats
from ranklift.lift.ratio import Difference, Estimate, difference
from ranklift.lift.values import Unavailable
from ranklift.v1.errors import InvalidRequest

TAU_SECONDS = 300.0


class Dwells(NamedTuple):
    """Dwells of an arm, shapes (rows,): in seconds, whether seen to their end, of which unit.

    Unit codes count from 0; gaps cost memory and change nothing.
    """

    seconds: Floats
    observed: NDArray[np.bool_]
    units: NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """A Kaplan-Meier curve, shapes (times,): `survival` is the share that dwells longer.

    `times` are the distinct lengths that end an observed dwell, in rising order; `at_risk` of the
    rows have at least that length, and `ended` of these end there.
    """

    times: Floats
    survival: Floats
    at_risk: NDArray[np.int64]
    ended: NDArray[np.int64]


def compare_restricted_mean(
    control: Dwells, arm: Dwells, tau: float = TAU_SECONDS, *, confidence_level: float = 0.95
) -> Difference | Unavailable:
    """Return how the mean of min(dwell, tau), in seconds, of an arm differs from control's.

    Units are clusters.

    Raises:
        InvalidRequest: tau is not above 0, or the confidence level is not between 0 and 1.
    """
    if not 0 < tau < np.inf:
        raise InvalidRequest.of("tau", f"is {tau}, must be a number of seconds above 0")
    zero, one = (restricted_mean(dwells, tau) for dwells in (control, arm))
    if isinstance(zero, Unavailable):
        return Unavailable(f"control: {zero.reason}")
    if isinstance(one, Unavailable):
        return Unavailable(f"arm: {one.reason}")
    return difference(zero, one, confidence_level)


def kaplan_meier(seconds: Floats, observed: NDArray[np.bool_]) -> Curve:
    """Return the survival curve of dwells; one censored at an instant is at risk until then."""
    ordered = np.sort(seconds)
    times, ended = np.unique(seconds[observed], return_counts=True)
    at_risk = len(ordered) - np.searchsorted(ordered, times, side="left")
    survival = np.cumprod(1 - ended / at_risk, dtype=np.float64)
    return Curve(times, survival, at_risk, ended)


def restricted_mean(dwells: Dwells, tau: float) -> Estimate | Unavailable:
    """Return the integral of the survival curve S from 0 to `tau` and its variance.

    A row's influence on it is the derivative by the row's weight: with d rows of Y at risk ending
    at t, hazard h = d / Y and A(t) the integral of S from t to tau,
    g(T) [T seen to end] - sum_{t <= T} g(t) h(t), where g = -A / (Y (1 - h)). The variance is the
    sum over units of the square of their rows' influence, times U / (U - 1). Without censoring it
    is the delta method's of the mean of min(dwell, tau).
    """
    seconds, observed, codes = dwells
    if not (np.isfinite(seconds).all() and (seconds >= 0).all()):
        return Unavailable("some dwells are not finite or below 0 seconds")
    units = int(np.count_nonzero(np.bincount(codes)))
    if units < 2:
        return Unavailable(f"dwells of {units} units, at least 2 are needed")
    last = float(seconds.max())
    if last < tau and not observed[seconds == last].all():
        return Unavailable(
            f"no dwell is followed beyond {last:g} s, tau is {tau:g} s; take a shorter one"
        )
    # In rising order all look-ups below run through memory once.
    order = np.argsort(seconds)
    seconds, observed, codes = seconds[order], observed[order], codes[order]
    whole = kaplan_meier(seconds, observed)
    inside = whole.times < tau
    times, survival = whole.times[inside], whole.survival[inside]
    at_risk, ended = whole.at_risk[inside], whole.ended[inside]
    # S is 1 from 0 to the first time, survival[0] from there to the second, and so on to tau.
    steps = np.diff(times, prepend=0.0, append=tau)
    areas = np.concatenate([[1.0], survival]) * steps
    remaining = areas[::-1].cumsum()[::-1][1:]  # A at each time
    # Where all at risk end, S is 0 from then on and the rest of the product does not matter.
    left = at_risk - ended
    g = np.divide(-remaining, left, out=np.zeros_like(remaining), where=left > 0)
    hazard = np.concatenate([[0.0], np.cumsum(g * ended / at_risk)])
    influence = -hazard[np.searchsorted(times, seconds, side="right")]
    ends = observed & (seconds < tau)
    influence[ends] += g[np.searchsorted(times, seconds[ends])]
    by_unit = np.bincount(codes, weights=influence)
    variance = float(by_unit @ by_unit) * units / (units - 1)
    return Estimate(float(areas.sum()), variance, units)
