"""Are probabilities what they say? Shares of relevant documents by bins of equal mass.

The expected calibration error is the mean distance of a bin's mean probability
to its share of relevant documents, weighted by documents. Naeini, Cooper and
Hauskrecht, "Obtaining well calibrated probabilities using Bayesian binning",
AAAI 2015; with bins of equal mass, as most scores of a ranker are low: Nguyen and
O'Connor, "Posterior calibration and exploratory analysis for natural language
processing models", EMNLP 2015.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ranklift.rankers.base import Values

BINS = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Documents whose probabilities lie in [`low`, `high`]: what was said, and what was."""

    low: float
    high: float
    count: int
    probability: float
    relevant: float


@dataclass(frozen=True, slots=True)
class Reliability:
    """`ece` in [0, 1], 0 best; `brier` is the mean squared error of the probabilities."""

    ece: float
    brier: float
    bins: tuple[Bin, ...]


def reliability(probabilities: Values, relevant: Values, bins: int = BINS) -> Reliability:
    """Return how probabilities fit what was relevant, 0 or 1; both of shape (documents,).

    Equal probabilities are in one bin, so bins may be fewer, and not quite equal.
    """
    order = np.argsort(probabilities, kind="stable")
    said, was = probabilities[order], relevant[order]
    cuts = np.arange(1, bins) * len(said) // bins
    # A cut amid equal probabilities would part them by the accident of their order.
    starts = np.unique([0, *np.searchsorted(said, said[cuts], side="left"), len(said)])
    found = tuple(
        Bin(
            low=float(said[start]),
            high=float(said[end - 1]),
            count=int(end - start),
            probability=float(said[start:end].mean()),
            relevant=float(was[start:end].mean()),
        )
        for start, end in pairwise(starts.tolist())
    )
    distance = sum(each.count * abs(each.probability - each.relevant) for each in found)
    return Reliability(
        ece=distance / len(said), brier=float(((said - was) ** 2).mean()), bins=found
    )
