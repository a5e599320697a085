"""Maps fitted on some queries and judged on others, so that every query is judged once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranklift.rankers.base import Values
from ranklift.rankers.calibration.maps import (
    AsIs,
    Increasing,
    fit_affine,
    fit_isotonic,
    fit_temperature,
)
from ranklift.rankers.calibration.reliability import Reliability, reliability
from ranklift.v1.errors import InvalidRequest

FOLDS = 5
AS_IS = "sigmoid"
FITS: Mapping[str, Callable[[Values, Values], Increasing]] = {
    "temperature": fit_temperature,
    "affine": fit_affine,
    "isotonic": fit_isotonic,
}


@dataclass(frozen=True, slots=True)
class Calibrated:
    """A map's worth on queries it was not fitted on.

    `found` was fitted on all queries: the one to use. `ties` is the share of
    pairs of a query's documents with different scores whose probabilities are equal.
    """

    name: str
    found: Increasing
    reliability: Reliability
    ties: float


def cross_fit(
    scores: Sequence[Values], grades: Sequence[Values], *, relevant: int = 1, seed: int = 0
) -> tuple[Calibrated, ...]:
    """Return the scores' own sigmoid and every map, judged on the queries of other folds.

    `scores` and `grades` are arrays of shape (documents,), one a query; a
    document is relevant from grade `relevant` on. Queries are dealt into 5
    folds at random, or as many as there are queries.

    Raises:
        InvalidRequest: fewer than two queries, or a fold without which nothing,
            or everything, is relevant.
    """
    if len(scores) < 2:
        raise InvalidRequest.of("queries", "there is one; calibration is judged on another one")
    labels = [(each >= relevant).astype(np.float64) for each in grades]
    folds = np.random.default_rng(seed).permutation(len(scores)) % FOLDS
    everything = np.concatenate(scores).astype(np.float64), np.concatenate(labels)
    as_is = [AsIs.probabilities(each) for each in scores]
    judged = [Calibrated(AS_IS, AsIs, *_judge(as_is, scores, labels))]
    for name, fit in FITS.items():
        probabilities = crosswise(fit, scores, labels, folds)
        judged.append(Calibrated(name, fit(*everything), *_judge(probabilities, scores, labels)))
    return tuple(judged)


def crosswise(
    fit: Callable[[Values, Values], Increasing],
    scores: Sequence[Values],
    labels: Sequence[Values],
    folds: NDArray[np.integer],
) -> list[Values]:
    """Return each query's probabilities by the map that was fitted on the other folds' queries.

    Raises:
        InvalidRequest: as `cross_fit`.
    """
    probabilities: list[Values] = [np.empty(0)] * len(scores)
    for fold in np.unique(folds):
        others = np.flatnonzero(folds != fold).tolist()
        own = fit(_join(scores, others), _join(labels, others))
        for i in np.flatnonzero(folds == fold).tolist():
            probabilities[i] = own.probabilities(scores[i])
    return probabilities


def _judge(
    probabilities: Sequence[Values], scores: Sequence[Values], labels: Sequence[Values]
) -> tuple[Reliability, float]:
    found = reliability(np.concatenate(probabilities), np.concatenate(labels))
    before = sum(_equal_pairs(each) for each in scores)
    after = sum(_equal_pairs(each) for each in probabilities)
    pairs = sum(len(each) * (len(each) - 1) // 2 for each in scores)
    return found, (after - before) / (pairs - before) if pairs > before else 0.0


def _equal_pairs(values: Values) -> int:
    counts = np.unique(values, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def _join(arrays: Sequence[Values], rows: Sequence[int]) -> Values:
    return np.concatenate([arrays[i] for i in rows]).astype(np.float64)
