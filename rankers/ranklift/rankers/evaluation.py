"""How well a ranker orders judged lists: PNR, pair accuracy and NDCG, with intervals.

Over all pairs of one query with different grades, C are in the right order and
D in the wrong one; tied scores are in neither. Pairs are pooled over queries:

    PNR           = (C + 0.5) / (D + 0.5)
    pair accuracy = (C + 0.5) / (C + D + 1) = PNR / (1 + PNR)
    NDCG@k        = DCG@k / ideal DCG@k,   DCG@k = sum_{r <= k} g(y_r) / log2(r + 1)

The gain g(y) is the grade itself, as in trec_eval; the ideal ranking covers the
list's documents; equal scores rank by document id, ascending; a query
without a positive grade has no NDCG and is left out of its mean.

Pairs of one query are not independent, so intervals are percentiles of a
bootstrap over queries (Efron, Tibshirani, "An Introduction to the Bootstrap",
1993, chapter 13).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import ir_measures
import numpy as np
from ir_measures import nDCG
from numpy.typing import NDArray

from ranklift.rankers.base import ListRanker, Ranker, RankingList, SizedP, score_texts
from ranklift.v1.errors import InvalidRequest

Floats = NDArray[np.float64]
CUTOFFS = (5, 10)
RESAMPLES = 1_000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class PerQuery:
    """What every query contributes, arrays of shape (queries,); `ndcg` is NaN where undefined."""

    queries: tuple[str, ...]
    concordant: Floats
    discordant: Floats
    tied: Floats
    ndcg: Mapping[int, Floats]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How well a ranker orders judged lists; `ndcg` by cutoff, `tied` the share of tied pairs."""

    queries: int
    pairs: int
    tied: float
    pnr: Estimate
    pair_accuracy: Estimate
    ndcg: Mapping[int, Estimate]
    per_query: PerQuery


@dataclass(frozen=True, slots=True)
class Difference:
    """`difference` is `b` minus `a` on the same queries, with its 95 % interval."""

    metric: str
    a: float
    b: float
    difference: float
    lower: float
    upper: float
    queries: int


def evaluate(
    ranker: Ranker[SizedP] | ListRanker,
    lists: Sequence[RankingList],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """Return how well `ranker` orders `lists`, whose targets are grades: whole, at least 0.

    Raises:
        InvalidRequest: no lists, no two documents of a query with different
            grades, or grades that are none.
    """
    scores = [score_texts(ranker, each.query, each.documents).values for each in lists]
    return evaluate_scores(scores, lists, seed=seed, resamples=resamples)


def evaluate_scores(
    scores: Sequence[Floats],
    lists: Sequence[RankingList],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Evaluation:
    """Return how well `scores`, one array of shape (documents,) per list, order `lists`.

    Raises:
        InvalidRequest: as `evaluate`.
    """
    _check(lists)
    counts = np.array([_pairs(s, np.array(x.targets)) for s, x in zip(scores, lists, strict=True)])
    per_query = PerQuery(
        queries=tuple(each.query for each in lists),
        concordant=counts[:, 0],
        discordant=counts[:, 1],
        tied=counts[:, 2],
        ndcg=_ndcg(scores, lists),
    )
    if not counts.sum():
        raise InvalidRequest.of(
            "lists", "no query has two documents of different grades; judge more documents"
        )
    draws = _draws(len(lists), resamples, seed)

    def estimate(statistic: Callable[[PerQuery, NDArray[np.int64]], Floats]) -> Estimate:
        lower, upper = _interval(statistic(per_query, draws))
        everything = np.arange(len(lists))[None]
        return Estimate(float(statistic(per_query, everything)[0]), lower, upper)

    return Evaluation(
        queries=len(lists),
        pairs=int(counts.sum()),
        tied=float(counts[:, 2].sum() / counts.sum()),
        pnr=estimate(pnr),
        pair_accuracy=estimate(pair_accuracy),
        ndcg={k: estimate(partial(mean_ndcg, k=k)) for k in CUTOFFS},
        per_query=per_query,
    )


def compare(
    a: Evaluation, b: Evaluation, *, seed: int = 0, resamples: int = RESAMPLES
) -> tuple[Difference, ...]:
    """Return the differences of two rankers on the same lists: "pair_accuracy" and "ndcg@10".

    Every resample draws the same queries for both, so that what makes a query
    hard cancels.

    Raises:
        InvalidRequest: the evaluations are of different queries.
    """
    if a.per_query.queries != b.per_query.queries:
        raise InvalidRequest.of(
            "evaluations", "are of different queries; evaluate both rankers on the same lists"
        )
    draws = _draws(a.queries, resamples, seed)
    found = []
    for metric, statistic, first, second in (
        ("pair_accuracy", pair_accuracy, a.pair_accuracy, b.pair_accuracy),
        ("ndcg@10", mean_ndcg, a.ndcg[10], b.ndcg[10]),
    ):
        lower, upper = _interval(statistic(b.per_query, draws) - statistic(a.per_query, draws))
        found.append(
            Difference(
                metric=metric,
                a=first.value,
                b=second.value,
                difference=second.value - first.value,
                lower=lower,
                upper=upper,
                queries=a.queries,
            )
        )
    return tuple(found)


def pnr(per_query: PerQuery, draws: NDArray[np.int64]) -> Floats:  # (resamples,)
    """Return the positive-negative ratio of each resample; `draws` is (resamples, queries)."""
    right, wrong = per_query.concordant[draws].sum(1), per_query.discordant[draws].sum(1)
    ratio: Floats = (right + 0.5) / (wrong + 0.5)
    return ratio


def pair_accuracy(per_query: PerQuery, draws: NDArray[np.int64]) -> Floats:  # (resamples,)
    """Return the share of pairs in the right order of each resample."""
    ratio = pnr(per_query, draws)
    return ratio / (1 + ratio)


def mean_ndcg(per_query: PerQuery, draws: NDArray[np.int64], k: int = 10) -> Floats:  # (resamples,)
    """Return the mean NDCG@k of each resample; NaN where no drawn query has a positive grade."""
    values = per_query.ndcg[k][draws]
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(known, values, 0.0).sum(1) / known.sum(1)
    return mean


def _pairs(scores: Floats, grades: Floats) -> tuple[int, int, int]:
    """Return the numbers of concordant, discordant and tied pairs of one query."""
    better = grades[:, None] > grades[None]
    margin = scores[:, None] - scores[None]
    return (
        int((better & (margin > 0)).sum()),
        int((better & (margin < 0)).sum()),
        int((better & (margin == 0)).sum()),
    )


def _ndcg(scores: Sequence[Floats], lists: Sequence[RankingList]) -> dict[int, Floats]:
    judged: dict[str, dict[str, int]] = {}
    ranked: dict[str, dict[str, float]] = {}
    for i, (values, each) in enumerate(zip(scores, lists, strict=True)):
        if not any(each.targets):
            continue
        ids = [document.id for document in each.documents]
        order = sorted(range(len(ids)), key=lambda j: (-values[j], ids[j]))
        judged[str(i)] = {ids[j]: int(each.targets[j]) for j in order}
        # Ranks instead of scores: the peer would break ties its own way.
        ranked[str(i)] = {ids[j]: float(-rank) for rank, j in enumerate(order)}
    found = {k: np.full(len(lists), np.nan) for k in CUTOFFS}
    if judged:
        for metric in ir_measures.iter_calc([nDCG @ k for k in CUTOFFS], judged, ranked):
            found[metric.measure["cutoff"]][int(metric.query_id)] = metric.value
    return found


def _draws(queries: int, resamples: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(queries, size=(resamples, queries))


def _interval(values: Floats) -> tuple[float, float]:
    tail = (1 - LEVEL) / 2
    lower, upper = np.nanquantile(values, [tail, 1 - tail])
    return float(lower), float(upper)


def _check(lists: Sequence[RankingList]) -> None:
    if not lists:
        raise InvalidRequest.of("lists", "there is nothing to evaluate on; give at least one list")
    for i, each in enumerate(lists):
        if any(grade < 0 or grade != int(grade) for grade in each.targets):
            raise InvalidRequest.of(
                f"lists[{i}].targets", "must be grades: whole numbers of at least 0"
            )
