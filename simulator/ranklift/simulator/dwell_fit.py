"""Dwell laws from logs: maximum likelihood where the ends of some dwells were not seen.

log-likelihood = sum over dwells seen to their end of log f(x)
               + sum over the others of log P(X > x)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, stats

from ranklift.clicks.keys import Purpose, extend, uniform
from ranklift.simulator.dwell import Gamma, LogNormal, Weibull
from ranklift.v1.errors import InvalidRequest

Law: TypeAlias = LogNormal | Weibull | Gamma
_STEP = 1e-3  # of the parameters' logarithms: fourth root of the rounding of a log-likelihood
_LEAST_SECONDS = 1e-3  # logs tell dwell by the millisecond; a density at 0 s may be infinite


@dataclass(frozen=True, slots=True, eq=False)
class DwellFit:
    """A dwell law as a log taught it, with standard errors by field name.

    `ks` is the greatest distance between the distributions of dwell in the log and under the law,
    after each censored dwell was completed by a draw from the law; `p_value` is that of
    Kolmogorov's test, larger than it should be since the law was fitted to the same log.
    """

    law: Law
    errors: Mapping[str, float]
    log_likelihood: float
    ks: float
    p_value: float


def fit(
    dwell_seconds: ArrayLike, censored: ArrayLike, law: type[Law], *, seed: int = 0
) -> DwellFit:
    """Fit a law; a dwell of 0 s counts as one of a millisecond.

    `seed` is that of the draws that complete censored dwells for `ks`.

    Raises:
        InvalidRequest: dwells and flags differ in number, a dwell is negative or no number, or
            fewer than two different ones were seen to their end.
    """
    seconds = np.asarray(dwell_seconds, dtype=np.float64)
    cut = np.asarray(censored, dtype=bool)
    if seconds.shape != cut.shape or seconds.ndim != 1:
        raise InvalidRequest.of(
            "censored", f"{cut.shape}, must be the shape of the dwells, {seconds.shape}"
        )
    bad = ~((seconds >= 0) & (seconds < np.inf))
    if bad.any():
        row = int(np.argmax(bad))
        raise InvalidRequest.of(f"dwell_seconds[{row}]", f"{seconds[row]}, must be at least 0")
    seconds = np.where(seconds == 0, _LEAST_SECONDS, seconds)
    ended, cut_at = seconds[~cut], seconds[cut]
    if len(ended) < 2 or ended.min() == ended.max():
        raise InvalidRequest.of(
            "dwell_seconds", "fewer than two different dwells were seen to their end"
        )

    def law_of(values: NDArray[np.float64]) -> Law:
        # The mean of a logarithm is any number; all else is positive and searched by its logarithm.
        first = values[0] if law is LogNormal else np.exp(values[0])
        return law(float(first), float(np.exp(values[1])))

    def loss(values: NDArray[np.float64]) -> float:
        tried = law_of(values)
        total = tried.log_density(ended).sum() + tried.log_survival(cut_at).sum()
        return float(-total)

    with np.errstate(over="ignore"):
        found = optimize.minimize(
            loss,
            _start(law, np.log(seconds)),
            method="Nelder-Mead",
            options={"xatol": 1e-8, "fatol": 1e-9 * len(seconds), "maxiter": 2_000},
        )
    best = law_of(found.x)
    names = [field.name for field in fields(law)]
    values = np.array([getattr(best, name) for name in names])
    by_logarithm = np.sqrt(np.diag(np.linalg.inv(_curvature(loss, found.x))))
    slope = np.where([law is LogNormal, False], 1.0, values)
    errors = by_logarithm * slope
    above = np.exp(best.log_survival(seconds))
    u = uniform(extend(np.uint64(seed), np.arange(len(seconds)), Purpose.DWELL))
    test = stats.kstest(1 - np.where(cut, above * u, above), "uniform")
    return DwellFit(
        law=best,
        errors=dict(zip(names, errors.tolist(), strict=True)),
        log_likelihood=-float(found.fun),
        ks=float(test.statistic),
        p_value=float(test.pvalue),
    )


def _start(law: type[Law], log_seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where the search starts: about right for the moments of log dwell."""
    mean, deviation = log_seconds.mean(), log_seconds.std()
    if law is LogNormal:
        return np.array([mean, np.log(deviation)])
    shape = 1.28 / deviation  # the logarithm of a Weibull deviates by pi / sqrt(6) / shape
    if law is Weibull:
        return np.array([np.log(shape), mean + 0.577 / shape])
    return np.array([np.log(shape), mean + 0.5 - np.log(shape)])


def _curvature(
    loss: Callable[[NDArray[np.float64]], float], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the matrix of second derivatives of a loss at its minimum, by central differences."""
    size = len(at)
    step = _STEP * np.eye(size)
    found = np.empty((size, size))
    for i in range(size):
        for j in range(size):
            corners = [
                sign * other * loss(at + sign * step[i] + other * step[j])
                for sign in (1, -1)
                for other in (1, -1)
            ]
            found[i, j] = sum(corners) / (4 * _STEP**2)
    return found
