"""Two teachers as one: the cosine of embeddings, and BM25.

    s(q, d) = (1 - w) * (c(q, d) - mean_c) / deviation_c + w * (b(q, d) - mean_b) / deviation_b

What they miss differs: one knows which words are akin, the other which are
rare. Means and deviations are those of the lists that a student learns from, and
then hold for whatever is scored: held-out lists do not move the scale.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranklift.rankers.base import RankingList
from ranklift.rankers.evaluation import evaluate_scores
from ranklift.v1.errors import InvalidRequest

Scores = list[NDArray[np.float64]]
# NDCG over a hundred queries is too rough to tell finer weights apart.
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
# Where nobody judged anything that could tell.
PRIOR_WEIGHT = 0.2


@dataclass(frozen=True, slots=True)
class Standard:
    """Mean and standard deviation (population, more than 0) of one teacher's scores."""

    mean: float
    deviation: float


@dataclass(frozen=True, slots=True)
class Fusion:
    """How two scores become one; `weight`, in [0, 1], is BM25's."""

    cosine: Standard
    words: Standard
    weight: float

    def scores(self, cosines: Scores, words: Scores) -> list[NDArray[np.float64]]:
        """Return the teacher's scores of lists, (documents,) each, from the two parts' scores."""
        return [
            (1 - self.weight) * _standardised(c, self.cosine)
            + self.weight * _standardised(w, self.words)
            for c, w in zip(cosines, words, strict=True)
        ]


def fusion_of(cosines: Scores, words: Scores, weight: float = PRIOR_WEIGHT) -> Fusion:
    """Return the fusion that is standard on lists with the given scores.

    Raises:
        InvalidRequest: one of the two gives all documents the same score.
    """
    return Fusion(_standard(cosines, "cosines"), _standard(words, "BM25's scores"), weight)


def fit_fusion(cosines: Scores, words: Scores, judged: Sequence[RankingList]) -> Fusion:
    """Return the fusion with the highest NDCG@10 on `judged`; of equals the smallest weight.

    Raises:
        InvalidRequest: as `fusion_of`, or the lists are not judged.
    """

    def ndcg(fusion: Fusion) -> float:
        scored = fusion.scores(cosines, words)
        return evaluate_scores(scored, judged, resamples=1).ndcg[10].value

    # `max` returns the first of equals.
    return max((fusion_of(cosines, words, weight) for weight in WEIGHTS), key=ndcg)


def _standard(scores: Scores, name: str) -> Standard:
    pooled = np.concatenate(scores)
    deviation = float(pooled.std())
    if not deviation > 0:
        raise InvalidRequest.of("lists", f"{name} are all the same; there is nothing to fuse")
    return Standard(float(pooled.mean()), deviation)


def _standardised(scores: NDArray[np.float64], standard: Standard) -> NDArray[np.float64]:
    standardised: NDArray[np.float64] = (scores - standard.mean) / standard.deviation
    return standardised
