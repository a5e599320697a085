"""The cascade model: users read down to the first result that attracts them.

    P(click at r | r examined)                      = a_r
    P(r + 1 examined | r examined, skipped/clicked) = 1 / 0

A second click is ruled out: a log that has one gets a log-likelihood of -inf.
Craswell, Zoeter, Taylor and Ramsey, "An experimental comparison of click
position-bias models", WSDM 2008.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranklift.clicks import chain
from ranklift.clicks.em import NO_PRIOR, BetaPrior, log_likelihood
from ranklift.clicks.log import ClickLog
from ranklift.clicks.model import Estimate, Fitted
from ranklift.clicks.results import Floats, Results, Sample


@dataclass(frozen=True, slots=True)
class Cascade:
    """Browsing of the cascade model, which has no parameters."""

    @property
    def ranks(self) -> None:
        return None

    def sample(self, results: Results) -> Sample:
        """Return what users do, each result drawn from its own key."""
        return chain.sample(results, 1.0, self._after_click)

    def conditional(
        self, attractiveness: Floats, satisfaction: Floats, clicked: NDArray[np.bool_]
    ) -> Floats:
        """Return P(click at the rank | clicks above), shape (pages, ranks)."""
        return chain.conditional(attractiveness, satisfaction, clicked, 1.0, self._after_click)

    def marginal(self, attractiveness: Floats, satisfaction: Floats) -> Floats:
        """Return P(click at the rank) whatever is clicked above, shape (pages, ranks)."""
        return chain.marginal(attractiveness, satisfaction, 1.0, self._after_click)

    def _after_click(self, rank: int, attractiveness: Floats, satisfied: Floats) -> Floats:
        return np.zeros_like(attractiveness)


def fit(log: ClickLog, *, prior: BetaPrior = NO_PRIOR) -> Fitted:
    """Fit in closed form: first clicks / impressions at or above the first click.

    That maximises the likelihood. Other clicks, which the model rules out, are left out, but
    a log that has any gets a log-likelihood of -inf. A pair that nobody looked at has NaN, or
    the prior's mean with a NaN error.
    """
    later = log.clicked.cumsum(axis=1) - log.clicked > 0
    looked_at = log.shown & ~later
    pair, clicked = log.pair[looked_at], log.clicked[looked_at]
    weight = np.broadcast_to(log.weight[:, None], log.pair.shape)[looked_at]
    impressions = np.bincount(pair, weight, log.pairs)
    clicks = np.bincount(pair, weight * clicked, log.pairs)
    credited = impressions + prior.clicks + prior.skips
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0: nobody looked at it
        rate = (clicks + prior.clicks) / credited
        error = np.where(impressions > 0, np.sqrt(rate * (1 - rate) / credited), np.nan)
    likely = log_likelihood(rate, clicks, impressions - clicks)
    possible = not (log.clicked & later).any()
    return Fitted(
        Cascade(), {}, Estimate(rate, error), None, np.array([likely if possible else -np.inf])
    )
