"""How well the scores of two engines, or of two versions, agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ranklift.rankers.base import Values


@dataclass(frozen=True, slots=True)
class Agreement:
    """What two ways of scoring the same lists have in common.

    `max_error` is the largest difference of two scores of a document.
    `kendall_tau`, the mean over lists, and `lowest_tau` are in [-1, 1]. `top_1`,
    in [0, 1], is the share of lists with the same first document. Lists whose
    expected scores are all equal have no order to agree on; `lists` counts the
    others, and without any the last three are NaN.
    """

    max_error: float
    kendall_tau: float
    lowest_tau: float
    top_1: float
    lists: int


def agreement(expected: Sequence[Values], found: Sequence[Values]) -> Agreement:
    """Return how `found` agrees with `expected`; both hold the scores of the same lists."""
    scored = [(a, b) for a, b in zip(expected, found, strict=True) if a.size]
    error = max((float(np.abs(a - b).max()) for a, b in scored), default=0.0)
    ordered = [(a, b) for a, b in scored if np.ptp(a) > 0]
    if not ordered:
        nan = float("nan")
        return Agreement(error, nan, nan, nan, 0)
    taus = [_tau(a, b) for a, b in ordered]
    return Agreement(
        max_error=error,
        kendall_tau=float(np.mean(taus)),
        lowest_tau=float(min(taus)),
        top_1=float(np.mean([a.argmax() == b.argmax() for a, b in ordered])),
        lists=len(ordered),
    )


def _tau(expected: Values, found: Values) -> float:
    # Scores that are all equal put nothing in order: tau-b would divide by zero.
    if np.ptp(found) == 0:
        return 0.0
    return float(stats.kendalltau(expected, found).statistic)
