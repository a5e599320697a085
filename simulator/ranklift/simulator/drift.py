"""Drift: what is asked for and what attracts change from day to day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from ranklift.clicks.keys import Keys, Purpose, extend, uniform
from ranklift.clicks.results import Floats
from ranklift.simulator.checks import refuse


@dataclass(frozen=True, slots=True)
class Drift:
    """Changes by day of the world, from 0; all sizes are assumed.

    Queries: the logarithm of the weight of each follows an autoregression of order 1, with
    standard deviation `query_sigma` and correlation `query_correlation` from day to day. Results:
    the log odds of each (query, document) walk at random by N(0, `result_sigma`) a day. New
    documents: each day a share `renewed` of the documents is replaced by a new one of the same id,
    whose log odds deviate by N(0, `renewed_sigma`) from the old one's of day 0.
    """

    query_sigma: float = 0.3
    query_correlation: float = 0.9
    result_sigma: float = 0.05
    renewed: float = 0.01
    renewed_sigma: float = 0.5

    def __post_init__(self) -> None:
        refuse(
            "drift",
            self,
            {
                "query_sigma": (0 <= self.query_sigma < np.inf, "at least 0"),
                "query_correlation": (abs(self.query_correlation) < 1, "in (-1, 1)"),
                "result_sigma": (0 <= self.result_sigma < np.inf, "at least 0"),
                "renewed": (0 <= self.renewed <= 1, "in [0, 1]"),
                "renewed_sigma": (0 <= self.renewed_sigma < np.inf, "at least 0"),
            },
        )

    def query_log_weights(self, seed: int, query: Keys, days: int) -> Floats:
        """Return what is added to the log weight of queries with these hashes, (days, queries)."""
        day = np.arange(days)[:, None]
        z = ndtri(uniform(extend(np.uint64(seed), Purpose.DRIFT, query, day)))
        rho = self.query_correlation
        x = z.copy()
        for d in range(1, days):
            x[d] = rho * x[d - 1] + np.sqrt(1 - rho**2) * z[d]
        return np.asarray(self.query_sigma * x)

    def result_log_odds(self, seed: int, query: Keys, document: Keys, days: int) -> Floats:
        """Return what is added to the log odds of results, (days, *shape of the hashes)."""
        base = extend(np.uint64(seed), Purpose.DRIFT)
        result = extend(base, query, document)
        walk = np.zeros((days, *result.shape))
        for d in range(1, days):
            z = ndtri(uniform(extend(result, d, 0)))
            new = uniform(extend(base, document, d, 1)) < self.renewed
            walk[d] = np.where(new, self.renewed_sigma * z, walk[d - 1] + self.result_sigma * z)
        return walk
