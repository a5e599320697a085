"""Which query a search is for: how often each one is asked, on every day alike or with a drift."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranklift.clicks.keys import Purpose, extend, hash_ids, uniform
from ranklift.simulator.users import Population


@dataclass(frozen=True, slots=True, eq=False)
class QueryLaw:
    """How often each query is asked; indices of queries from the most popular one down."""

    by_popularity: NDArray[np.int64]
    cumulative: NDArray[np.float64]  # (queries,), share of the searches up to each; ends with inf
    guide: NDArray[np.int64]  # the first query whose share may hold draws from n / len(guide) on

    def draw(self, u: NDArray[np.float64], time_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the query of each uniform draw, whenever it is.

        From where the guide points there is little left to search: Chen and
        Asau, "On generating random variates from an empirical distribution",
        AIIE Transactions 1974.
        """
        nth = self.guide.take((u * len(self.guide)).astype(np.int64))
        (rows,) = (self.cumulative.take(nth) <= u).nonzero()
        while len(rows):
            nth[rows] += 1
            rows = rows.compress(self.cumulative.take(nth.take(rows)) <= u.take(rows))
        return self.by_popularity.take(nth)


@dataclass(frozen=True, slots=True, eq=False)
class DailyQueries:
    """A law of queries for each day of a population that drifts."""

    population: Population
    laws: tuple[QueryLaw, ...]

    def draw(self, u: NDArray[np.float64], time_us: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the query of each uniform draw on the day of its time."""
        query = np.empty(len(u), dtype=np.int64)
        day = self.population.day(time_us)
        for number, law in enumerate(self.laws):
            rows = day == number
            query[rows] = law.draw(u[rows], time_us[rows])
        return query


def query_law(
    population: Population,
    query_ids: tuple[str, ...],
    seed: int,
    popularity: Mapping[str, float] | None = None,
) -> QueryLaw | DailyQueries:
    """Return how often each query is asked: in proportion to `popularity` by query id, else the
    n-th most popular one to n^-s."""
    hashes = hash_ids(query_ids)
    if popularity is None:
        # Popularity is drawn by query id, so a query stays popular when others are added.
        draws = uniform(extend(np.uint64(seed), hashes, Purpose.QUERY_POPULARITY))
        by_popularity = np.argsort(draws).astype(np.int64)
        weight = np.arange(1, len(query_ids) + 1) ** -population.query_exponent
    else:
        asked = np.array([popularity[query_id] for query_id in query_ids], dtype=np.float64)
        by_popularity = np.argsort(-asked, kind="stable").astype(np.int64)
        weight = asked[by_popularity]
    if population.drift is None:
        return _query_law(by_popularity, weight)
    change = population.drift.query_log_weights(seed, hashes[by_popularity], population.days)
    # The order is kept: most draws have the same query on all days.
    laws = tuple(_query_law(by_popularity, daily) for daily in weight * np.exp(change))
    return DailyQueries(population, laws)


def _query_law(by_popularity: NDArray[np.int64], weight: NDArray[Any]) -> QueryLaw:
    cumulative = np.cumsum(weight) / weight.sum()
    cumulative[-1] = np.inf  # whatever rounding made of the 1
    cells = 1 << (4 * len(weight)).bit_length()  # a power of 2: the product with u is exact
    guide = np.searchsorted(cumulative, np.arange(cells) / cells, side="right")
    return QueryLaw(by_popularity, cumulative, guide.astype(np.int64))
