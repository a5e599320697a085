"""Dwells of satisfied and unsatisfied clicks, told apart by nothing but their length.

The log of the dwell is a mixture of two normal distributions, the longer one that of satisfied
clicks, fitted by expectation maximisation; a censored dwell counts as at least so long.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_ndtr
from scipy.stats import norm

from ranklift.clicks.results import Floats
from ranklift.simulator.dwell import LogNormal

MOST_ITERATIONS, ENOUGH = 500, 1e-8
MIN_SECONDS, MIN_SIGMA = 0.05, 0.1


@dataclass(frozen=True, slots=True, eq=False)
class DwellMixture:
    """The two laws, the share of satisfied clicks, and P(satisfied) of each dwell."""

    satisfied: LogNormal
    unsatisfied: LogNormal
    share: float
    posterior: Floats  # (dwells,)


def fit_dwell(seconds: Floats, censored: np.ndarray) -> DwellMixture:
    """Return the mixture of dwells in seconds; `censored` are flags of the same shape."""
    x = np.log(np.maximum(seconds, MIN_SECONDS))
    mu, sigma, share = np.quantile(x, [0.8, 0.2]), np.full(2, x.std() / 2 + MIN_SIGMA), 0.5
    posterior, before = np.full(len(x), 0.5), -np.inf
    for _ in range(MOST_ITERATIONS):
        z = (x[:, None] - mu) / sigma
        density = np.where(censored[:, None], log_ndtr(-z), norm.logpdf(z) - np.log(sigma))
        joint = density + np.log([share, 1 - share])
        total = np.logaddexp(joint[:, 0], joint[:, 1])
        posterior = np.exp(joint[:, 0] - total)
        if total.mean() - before < ENOUGH:
            break
        before = total.mean()
        weight = np.stack([posterior, 1 - posterior], axis=1)
        # E[X] and E[X^2] beyond where a censored dwell was cut off.
        hazard = np.exp(norm.logpdf(z) - log_ndtr(-z))
        first = np.where(censored[:, None], mu + sigma * hazard, x[:, None])
        second = np.where(
            censored[:, None], mu**2 + sigma**2 + sigma * hazard * (x[:, None] + mu), first**2
        )
        size = weight.sum(axis=0)
        mu = (weight * first).sum(axis=0) / size
        sigma = np.sqrt(np.maximum((weight * second).sum(axis=0) / size - mu**2, MIN_SIGMA**2))
        share = float(np.clip(size[0] / len(x), 1e-6, 1 - 1e-6))
    high = int(np.argmax(mu))
    laws = [LogNormal(float(mu[n]), float(sigma[n])) for n in (high, 1 - high)]
    return DwellMixture(
        laws[0],
        laws[1],
        share if high == 0 else 1 - share,
        posterior if high == 0 else 1 - posterior,
    )
