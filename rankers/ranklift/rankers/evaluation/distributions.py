"""How scores are spread, and how far two rankers' spreads are from each other.

A student may order as its teacher does and still live on another scale; a
threshold tuned on one then fails on the other. So distances are told of the
scores as they are, and of both standardised (mean 0, standard deviation 1).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from ranklift.rankers.agreement import Agreement, agreement
from ranklift.rankers.base import Values

BINS = 40


@dataclass(frozen=True, slots=True)
class Spread:
    """Scores of all pairs: mean, standard deviation, and the 5 %, 50 % and 95 % quantiles."""

    count: int
    mean: float
    deviation: float
    low: float
    median: float
    high: float


@dataclass(frozen=True, slots=True)
class Histogram:
    """The shares of two groups of scores in the same bins; `edges` are one more than the bins."""

    edges: Values
    first: Values
    second: Values

    @property
    def overlap(self) -> float:
        """The share that both have in common, in [0, 1]; it depends on the bins."""
        return float(np.minimum(self.first, self.second).sum())


@dataclass(frozen=True, slots=True)
class Distances:
    """Between two rankers' scores of the same lists.

    `ks` is Kolmogorov and Smirnov's: the largest distance of the distribution
    functions, in [0, 1]. The standardised figures are None where all scores of
    one ranker are equal.
    """

    first: Spread
    second: Spread
    ks: float
    histogram: Histogram
    standardised_ks: float | None
    standardised: Histogram | None
    agreement: Agreement


def spread_of(scores: Values) -> Spread:
    """Return how scores, shape (pairs,), are spread; at least one."""
    low, median, high = np.quantile(scores, [0.05, 0.5, 0.95]).tolist()
    return Spread(len(scores), float(scores.mean()), float(scores.std()), low, median, high)


def histogram_of(first: Values, second: Values, bins: int = BINS) -> Histogram:
    """Return two groups of scores in `bins` equally wide bins over the range of both."""
    edges = np.histogram_bin_edges(np.concatenate([first, second]), bins)
    return Histogram(edges, *(np.histogram(one, edges)[0] / len(one) for one in (first, second)))


def distances(first: Sequence[Values], second: Sequence[Values]) -> Distances:
    """Return how far `second` is from `first`: the scores of the same lists, not all empty."""
    a, b = np.concatenate(first), np.concatenate(second)
    alike = None
    if np.ptp(a) > 0 and np.ptp(b) > 0:
        alike = [(each - each.mean()) / each.std() for each in (a, b)]
    return Distances(
        first=spread_of(a),
        second=spread_of(b),
        ks=_ks(a, b),
        histogram=histogram_of(a, b),
        standardised_ks=_ks(*alike) if alike else None,
        standardised=histogram_of(*alike) if alike else None,
        agreement=agreement(first, second),
    )


def _ks(a: Values, b: Values) -> float:
    # The statistic only: scores of one query are not independent, so its p-value means nothing.
    return float(stats.ks_2samp(a, b, method="asymp").statistic)
