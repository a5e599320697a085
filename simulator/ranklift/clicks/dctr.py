"""Click-through rate by document: the rank does not matter. A baseline.

    P(click on d) = rho_d

Craswell, Zoeter, Taylor and Ramsey, "An experimental comparison of click
position-bias models", WSDM 2008, the baseline model.
"""

from __future__ import annotations

import numpy as np

from ranklift.clicks.counts import by_rank, total
from ranklift.clicks.em import NO_PRIOR, BetaPrior, log_likelihood
from ranklift.clicks.log import ClickLog
from ranklift.clicks.model import Estimate, Fitted
from ranklift.clicks.pbm import Pbm


def fit(log: ClickLog, *, prior: BetaPrior = NO_PRIOR) -> Fitted:
    """Return the share of clicks of each pair, with every rank looked at.

    A pair that was never shown has NaN, or the prior's mean with a NaN error.
    """
    counts = by_rank(log)
    shown = total(counts.pair, counts.impressions, counts.pairs)
    clicks = total(counts.pair, counts.clicks, counts.pairs)
    credited = shown + prior.clicks + prior.skips
    with np.errstate(invalid="ignore", divide="ignore"):  # 0 / 0: never shown
        rate = (clicks + prior.clicks) / credited
        error = np.where(shown > 0, np.sqrt(rate * (1 - rate) / credited), np.nan)
    return Fitted(
        Pbm((1.0,) * log.ranks),
        {},
        Estimate(rate, error),
        None,
        np.array([log_likelihood(rate, clicks, shown - clicks)]),
    )
