"""Bounds for looking often: by recursive numerical integration, exact for any spacing of looks.

At information I the score S = Z sqrt(I) is a Brownian motion, so the score at a look is the one at
the look before plus an independent N(0, I - I'). The density of the score over the paths that
have not crossed yet is carried from look to look: Armitage, McPherson and Rowe 1969, "Repeated
significance tests on accumulating data"; Jennison and Turnbull 2000, "Group Sequential Methods
with Applications to Clinical Trials", chapter 19.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import ndtr

from ranklift.lift.moments import Floats
from ranklift.lift.sequential.spending import Spending, obrien_fleming
from ranklift.v1.errors import InvalidRequest

# A path beyond 8 standard errors has probability 1e-15: no sum of probabilities sees it, and no
# mean of users is normal so far out. No bound is higher, no grid is wider.
MAX_Z = 8.0
# Information that grew by less than this part is as good as the same: one look, not two. Were
# every look followed by such a one, an error of 5 % would be one of 5.05 %.
MIN_GROWTH = 1e-4
LEAST_INFORMATION = 1e-300
# The density is smooth over the step between two looks, and so is the kernel that carries it on:
# Gauss-Legendre panels this many steps wide leave an error of about 1e-10.
PANEL_STEPS = 3.0
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)
# Nodes worked on at once; each chunk leaves out the paths more than this many steps away.
CHUNK, REACH_STEPS = 512, 9.0


@dataclass(frozen=True, slots=True, eq=False)
class _Paths:
    """The paths that have not crossed: `mass` at ascending scores `at`, both of shape (nodes,)."""

    at: Floats
    mass: Floats

    def above(self, score: float, step: float, drift: float = 0.0) -> float:
        """Return the probability of these paths to be above `score` after a step."""
        return float(self.mass @ ndtr((self.at + drift - score) / step))

    def density(self, scores: Floats, step: float, drift: float = 0.0) -> Floats:
        """Return the density of these paths at ascending `scores` after a step."""
        found = np.empty_like(scores)
        for chunk in (slice(i, i + CHUNK) for i in range(0, len(scores), CHUNK)):
            ends = scores[chunk][[0, -1]] - drift + np.array([-REACH_STEPS, REACH_STEPS]) * step
            near = slice(*np.searchsorted(self.at, ends))
            z = (scores[chunk, None] - drift - self.at[None, near]) / step  # (chunk, near)
            found[chunk] = np.exp(-0.5 * z * z) @ self.mass[near]
        return found / (step * math.sqrt(2 * math.pi))


START = _Paths(np.zeros(1), np.ones(1))


def two_sided_bounds(
    information: Sequence[float],
    alpha: float = 0.05,
    spending: Spending = obrien_fleming,
    *,
    clock: Sequence[float] | None = None,
) -> tuple[float, ...]:
    """Return the bound of |z| at each look, in (0, `MAX_Z`]: crossing any has probability alpha.

    `information`, positive and never shrinking, may be in any unit where there is a `clock`: the
    part of the plan that is done, by which alpha is spent, beyond 1 all of it. Without one the
    information is a part of the planned one and its own clock. A look without new information has
    the bound of the look before and spends nothing.

    The bounds up to a look do not depend on later ones.

    Raises:
        InvalidRequest: `alpha` is outside (0, 1), or information or clock shrink, with the look.
    """
    if not 0 < alpha < 1:
        raise InvalidRequest.of("alpha", f"{alpha} is not between 0 and 1, e.g. 0.05")
    clock = information if clock is None else clock
    _check("information", information, LEAST_INFORMATION)
    _check("clock", clock, 0.0)
    new = _new(information)
    steps = _steps([information[k] for k in new])
    bounds: list[float] = []
    paths, spent, number = START, 0.0, 0
    for k, (now, done) in enumerate(zip(information, clock, strict=True)):
        if k not in new:
            bounds.append(bounds[-1])
            continue
        step, finest = steps[number], min(steps[number : number + 2])
        budget = max(spending(min(done, 1.0), alpha) - spent, 0.0)
        bound = _bound(paths, math.sqrt(now), step, budget / 2)
        spent += 2 * paths.above(bound * math.sqrt(now), step)
        bounds.append(bound)
        paths = _carry(paths, bound * math.sqrt(now), step, finest)
        number += 1
    return tuple(bounds)


def crossing_probabilities(
    information: Sequence[float], bounds: Sequence[float], drift: float = 0.0
) -> tuple[tuple[float, float], ...]:
    """Return for each look the probabilities to cross there first, above and below.

    `drift` is the expected z at information 1: at I it is drift sqrt(I). Without it the sum over
    all looks and sides is the error of the bounds, with it their power. A bound may be infinite.

    Raises:
        InvalidRequest: the information does not grow from look to look.
    """
    _check("information", information, LEAST_INFORMATION)
    if len(_new(information)) < len(information):
        raise InvalidRequest.of("information", "two looks have the same; leave one of them out")
    steps = _steps(information)
    paths, found = START, []
    for k, (now, bound) in enumerate(zip(information, bounds, strict=True)):
        step, finest, edge = steps[k], min(steps[k : k + 2]), bound * math.sqrt(now)
        moved = drift * step**2
        flipped = _Paths(-paths.at, paths.mass)
        found.append((paths.above(edge, step, moved), flipped.above(edge, step, -moved)))
        seen = MAX_Z * math.sqrt(now) + abs(drift) * now
        paths = _carry(paths, min(edge, seen), step, finest, moved)
    return tuple(found)


def _bound(paths: _Paths, scale: float, step: float, budget: float) -> float:
    """Return the z above which `paths` end with probability `budget` after a step."""
    if budget <= paths.above(MAX_Z * scale, step):
        return MAX_Z
    # Newton on the logarithm of the tail, which is concave; halving where that leaves the bracket.
    low, z, high = 0.0, 2.0, MAX_Z
    while high - low > 1e-10:
        tail = paths.above(z * scale, step)
        low, high = (z, high) if tail > budget else (low, z)
        slope = float(paths.density(np.array([z * scale]), step)[0]) * scale
        move = tail * math.log(tail / budget) / slope if slope > 0 and tail > 0 else math.inf
        if abs(move) < 1e-10:
            break
        z = z + move if low < z + move < high else (low + high) / 2
    return z


def _carry(paths: _Paths, edge: float, step: float, finest: float, drift: float = 0.0) -> _Paths:
    """Return the paths that stay within +-`edge` after a step, on a grid as fine as the next."""
    panels = max(2, math.ceil(2 * edge / (PANEL_STEPS * finest)))
    ends = np.linspace(-edge, edge, panels + 1)
    half = edge / panels
    at = ((ends[:-1] + ends[1:])[:, None] / 2 + half * NODES[None, :]).ravel()
    return _Paths(at, paths.density(at, step, drift) * np.tile(half * WEIGHTS, panels))


def _new(information: Sequence[float]) -> tuple[int, ...]:
    """Return which looks brought new information, compared with the last one that did."""
    found: list[int] = []
    for k, now in enumerate(information):
        if not found or now > information[found[-1]] * (1 + MIN_GROWTH):
            found.append(k)
    return tuple(found)


def _steps(information: Sequence[float]) -> list[float]:
    """Return the standard deviation of the score's step to each look."""
    return [math.sqrt(now - before) for before, now in pairwise([0.0, *information])]


def _check(field: str, values: Sequence[float], least: float) -> None:
    for k, (before, now) in enumerate(pairwise([least, *values])):
        if not before <= now < math.inf:
            raise InvalidRequest.of(
                f"{field}[{k}]",
                f"{now:g} after {before:g}: must be positive, finite and must not shrink; "
                "`information_fractions` carries a maximum on",
            )
