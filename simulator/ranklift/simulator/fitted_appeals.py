"""Attractiveness of every pair of a log, with rare pairs drawn to the others.

Given how users browse, a pair's clicks c and the impressions e at which it was looked at are all
that counts. A pair's attractiveness comes from a Beta distribution that the pairs of the log share,
and what is kept of it is its posterior mean

    (c + a) / (e + a + b),

empirical Bayes: a and b maximise the beta-binomial likelihood of all pairs. (e is an expectation
and not whole; the likelihood takes it as if it were.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln, expit, logit

from ranklift.clicks.counts import total
from ranklift.clicks.log import NO_PAIR, ClickLog
from ranklift.clicks.model import Fitted
from ranklift.clicks.results import Floats

# Sums of the shared Beta's two parameters that can be told from a log: below, pairs share nothing;
# above, they are all alike.
_WEIGHTS = (0.1, 1e4)
_NODES = 32


@dataclass(frozen=True, slots=True, eq=False)
class Appeals:
    """Attractiveness of each pair, and the Beta(`clicks`, `skips`) that all pairs come from."""

    attractiveness: Floats  # (pairs,), in (0, 1)
    error: Floats  # (pairs,), posterior standard deviation
    clicks: float
    skips: float


def fit_appeals(log: ClickLog, fitted: Fitted) -> Appeals:
    """Return the attractiveness of the pairs of a log, given how a fitted model browses."""
    attractiveness = np.nan_to_num(fitted.attractiveness.value[log.pair], nan=0.5)
    satisfaction = np.zeros_like(attractiveness)
    if fitted.satisfaction is not None:
        satisfaction = np.nan_to_num(fitted.satisfaction.value[log.pair], nan=0.5)
    attractiveness = np.clip(attractiveness, 1e-9, 1 - 1e-9)
    click = fitted.browsing.conditional(attractiveness, satisfaction, log.clicked)
    weight = log.weight[:, None] * log.shown
    # P(examined | clicks above), which the click itself must not change.
    looked = np.clip(click / attractiveness, 0, 1) * weight
    pair = np.where(log.pair == NO_PAIR, 0, log.pair).ravel().astype(np.int64)
    clicks = total(pair, (log.clicked * weight).ravel(), log.pairs)
    # What was clicked was looked at, whatever is expected of ranks far down.
    examined = np.maximum(total(pair, looked.ravel(), log.pairs), clicks)
    a, b = _shared(clicks, examined)
    mean = (clicks + a) / (examined + a + b)
    error = np.sqrt(mean * (1 - mean) / (examined + a + b + 1))
    return Appeals(mean, error, a, b)


def of_median_user(attractiveness: Floats, propensity_sigma: float) -> Floats:
    """Return the attractiveness to a user of propensity 1, where `attractiveness` is that to all.

    A world multiplies the odds by each user's own log-normal propensity, which
    changes their mean: E[logistic(x + sigma z)] = attractiveness is solved for x.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(_NODES)
    weights = weights / weights.sum()
    x = logit(attractiveness)
    for _ in range(50):
        p = expit(x[:, None] + propensity_sigma * nodes)
        step = (p @ weights - attractiveness) / ((p * (1 - p)) @ weights)
        x = x - np.clip(step, -1, 1)
        if np.abs(step).max(initial=0) < 1e-12:
            break
    return np.asarray(expit(x))


def _shared(clicks: Floats, examined: Floats) -> tuple[float, float]:
    shown = examined > 0
    c, n = clicks[shown], examined[shown]

    def loss(at: Floats) -> float:
        mean, weight = expit(at[0]), np.exp(at[1])
        a, b = mean * weight, (1 - mean) * weight
        return -float((betaln(c + a, n - c + b) - betaln(a, b)).sum())

    mean = np.clip(c.sum() / n.sum(), 1e-6, 1 - 1e-6)
    bounds = [(-15, 15), tuple(np.log(_WEIGHTS))]
    found = minimize(loss, [logit(mean), np.log(4.0)], bounds=bounds, method="L-BFGS-B")
    mean, weight = float(expit(found.x[0])), float(np.exp(found.x[1]))
    return mean * weight, (1 - mean) * weight
