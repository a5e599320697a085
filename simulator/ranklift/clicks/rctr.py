"""Click-through rate by rank: what is shown does not matter. A baseline.

    P(click at r) = rho_r

Chuklin, Markov and de Rijke, "Click Models for Web Search", 2015, section 3.2.
"""

from __future__ import annotations

import numpy as np

from ranklift.clicks.em import log_likelihood
from ranklift.clicks.log import ClickLog
from ranklift.clicks.model import Estimate, Fitted
from ranklift.clicks.pbm import Pbm


def fit(log: ClickLog) -> Fitted:
    """Return the share of clicks at each rank, as examination of pairs that all attract.

    Raises:
        ValueError: a rank was never shown.
    """
    shown = (log.shown * log.weight[:, None]).sum(axis=0)
    if not shown.all():
        raise ValueError(f"rank {np.argmin(shown)} (from 0) was never shown; number without a gap")
    clicks = (log.clicked * log.weight[:, None]).sum(axis=0)
    rate = clicks / shown
    return Fitted(
        Pbm(tuple(rate.tolist())),
        {"rate": Estimate(rate, np.sqrt(rate * (1 - rate) / shown))},
        Estimate(np.ones(log.pairs), np.zeros(log.pairs)),
        None,
        np.array([log_likelihood(rate, clicks, shown - clicks)]),
    )
