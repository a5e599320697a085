"""Global click-through rate: every result is clicked with the same probability. A baseline.

    P(click) = rho

Craswell, Zoeter, Taylor and Ramsey, "An experimental comparison of click
position-bias models", WSDM 2008, the random model.
"""

from __future__ import annotations

import numpy as np

from ranklift.clicks.em import log_likelihood
from ranklift.clicks.log import ClickLog
from ranklift.clicks.model import Estimate, Fitted
from ranklift.clicks.pbm import Pbm


def fit(log: ClickLog) -> Fitted:
    """Return the share of results that were clicked, as examination of pairs that all attract."""
    shown = (log.shown * log.weight[:, None]).sum()
    clicks = (log.clicked * log.weight[:, None]).sum()
    rate = clicks / shown
    error = np.sqrt(rate * (1 - rate) / shown)
    return Fitted(
        Pbm((float(rate),) * log.ranks),
        {"rate": Estimate(np.array(rate), np.array(error))},
        Estimate(np.ones(log.pairs), np.zeros(log.pairs)),
        None,
        np.array([log_likelihood(rate, clicks, shown - clicks)]),
    )
