"""What every query contributes to the figures of one ranker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from ranklift.rankers.base import Values
from ranklift.rankers.evaluation.ratios import Ratio, mean_of
from ranklift.rankers.evaluation.rules import Ties

T = TypeVar("T")
# Of pairs, beside the measures of rankings.
PAIR_METRICS = ("pair_accuracy", "pnr", "log_pnr", "pnr_unsmoothed")
JUDGED = "judged_"


@dataclass(frozen=True, slots=True)
class PairCounts:
    """Pairs by query, arrays of shape (queries,)."""

    concordant: Values
    discordant: Values
    tied: Values

    @property
    def all(self) -> Values:
        """Pairs of any kind."""
        return self.concordant + self.discordant + self.tied


@dataclass(frozen=True, slots=True)
class PerQuery:
    """What every query contributes, arrays of shape (queries,).

    `judged_pairs` are those of `pairs` of which both documents were judged.
    `measures` are NaN where a query has none. `judgments` is the digest of what
    was judged.
    """

    queries: tuple[str, ...]
    pairs: PairCounts
    judged_pairs: PairCounts
    measures: Mapping[str, Values]
    judgments: str

    @property
    def concordant(self) -> Values:
        """Pairs in the right order."""
        return self.pairs.concordant

    @property
    def discordant(self) -> Values:
        """Pairs in the wrong order."""
        return self.pairs.discordant

    @property
    def tied(self) -> Values:
        """Pairs of equal scores."""
        return self.pairs.tied

    @property
    def ndcg(self) -> Mapping[int, Values]:
        """NDCG by cutoff."""
        return by_cutoff(self.measures)

    def pair_accuracy(self, ties: Ties = "neither") -> Values:
        """Return each query's own share of pairs in the right order; NaN without pairs."""
        ratio = _pair_ratio(self.pairs, ties, "pair_accuracy")
        return ratio.shares(ratio.top - ratio.added, ratio.bottom - 2 * ratio.added)


def by_cutoff(measures: Mapping[str, T]) -> dict[int, T]:
    """Return what belongs to NDCG, by its cutoff."""
    return {
        int(name.removeprefix("ndcg@")): each
        for name, each in measures.items()
        if name.startswith("ndcg@")
    }


def ratio_of(per_query: PerQuery, metric: str, ties: Ties) -> Ratio:
    """Return a metric as a ratio: a measure's mean, or one of `PAIR_METRICS`, pooled over queries.

    With "judged_" before its name, a metric of pairs reads those alone of which
    both documents were judged.

    Raises:
        KeyError: nothing of that name was measured.
    """
    if metric in per_query.measures:
        return mean_of(per_query.measures[metric])
    name = metric.removeprefix(JUDGED)
    if name not in PAIR_METRICS:
        raise KeyError(metric)
    return _pair_ratio(per_query.pairs if name == metric else per_query.judged_pairs, ties, name)


def _pair_ratio(counts: PairCounts, ties: Ties, name: str) -> Ratio:
    right, wrong = counts.concordant, counts.discordant
    if ties == "half":
        right, wrong = right + counts.tied / 2, wrong + counts.tied / 2
    added = 0.0 if name == "pnr_unsmoothed" else 0.5
    match name:
        case "pair_accuracy":
            return Ratio(right, right + wrong, added)
        case "log_pnr":
            return Ratio(right, right + wrong, added, "log_odds")
        case _:
            return Ratio(right, right + wrong, added, "odds")


def rows_of(counts: list[tuple[int, int, int]]) -> PairCounts:
    """Return counts of pairs, one triple a query, as arrays."""
    columns = np.array(counts, np.float64).reshape(-1, 3)
    return PairCounts(columns[:, 0], columns[:, 1], columns[:, 2])
