"""Attractiveness from features or a ranker's score, with what each pair's own clicks add.

    P(click on pair d in cell e) = gamma_e alpha_d
    alpha_d ~ Beta(s m_d, s (1 - m_d)),   m_d = expit(w.x_d + b)

Unseen pairs have m_d; of the others, those with few clicks stay near it and those
with many follow them:

    alpha_d = (clicks + s m_d) / (looks + s)
    looks   = clicks + sum_e skips_e gamma_e (1 - alpha_d) / (1 - gamma_e alpha_d)

`looks` is the expected number of times the pair was examined. The examination
gamma is that of a fitted PBM or UBM. Empirical Bayes: Robbins, "An empirical
Bayes approach to statistics", 1956; position bias as a factor next to a model of
features: Wang et al., "Position bias estimation for unbiased learning to rank in
personal search", WSDM 2018.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize, minimize_scalar
from scipy.special import betaln, expit

from ranklift.clicks.counts import CellCounts, by_last_click, by_rank, total
from ranklift.clicks.log import ClickLog
from ranklift.clicks.model import Browsing, Estimate
from ranklift.clicks.pbm import Pbm
from ranklift.clicks.results import Floats
from ranklift.clicks.ubm import Ubm

_ROUNDS = 100  # of looks and attractiveness
_STEP = 1e-3  # of the second derivative in log strength
_STRENGTHS = (-3.0, 12.0)  # log of the least and the largest considered


@dataclass(frozen=True, slots=True, eq=False)
class FittedAttraction:
    """What features say of attractiveness, and what the clicks on each pair add.

    `coefficients` are w, then b, with errors that allow for pairs that differ
    more than their features. `strength` is s, in looks: a pair examined s times
    is halfway between features and clicks. It takes the expected looks for
    observed: exact where every result is examined; where few are it comes out too
    large (9.2 for 8 with examination 1, 0.6, 0.4, 0.25), and its error too small.
    `attractiveness` has the deviation of the Beta posterior as its error.
    """

    coefficients: Estimate  # (features + 1,)
    strength: Estimate  # ()
    attractiveness: Estimate  # (pairs,)

    def predict(self, features: ArrayLike) -> Estimate:
        """Return the attractiveness of unseen pairs, features of shape (pairs, features).

        The error is how far single pairs are from it.
        """
        mean = expit(_with_one(features) @ self.coefficients.value)
        return Estimate(mean, np.sqrt(mean * (1 - mean) / (self.strength.value + 1)))


def cells_of(log: ClickLog, browsing: Browsing) -> tuple[CellCounts, Floats]:
    """Return the counts of a log and the examination by cell, as `fit` takes them.

    Raises:
        ValueError: browsing whose examination depends on attractiveness, or that
            is shorter than the pages.
    """
    if browsing.ranks is not None and browsing.ranks < log.ranks:
        raise ValueError(f"the browsing has {browsing.ranks} ranks and the log {log.ranks}")
    if isinstance(browsing, Pbm):
        return by_rank(log), np.array(browsing.examination[: log.ranks])
    if isinstance(browsing, Ubm):
        rows = browsing.examination[: log.ranks]
        return by_last_click(log), np.concatenate([np.array(row) for row in rows])
    raise ValueError(f"examination of {type(browsing).__name__} is not known; take Pbm or Ubm")


def fit(counts: CellCounts, examination: ArrayLike, features: ArrayLike) -> FittedAttraction:
    """Fit to counts, with the examination of each cell and features of shape (pairs, features).

    w and b maximise the likelihood of clicks given m, where a pair with n looks
    counts as n (s + 1) / (n + s): looks at one pair are alike. They and s are
    fitted in turn, twice.

    Raises:
        ValueError: shapes that do not match, a number that is not finite, an
            examination outside (0, 1] where something was shown.
    """
    gamma, x = np.asarray(examination, dtype=np.float64), _with_one(features)
    if len(x) != counts.pairs or gamma.shape != (counts.cells,):
        raise ValueError(
            f"{len(x)} rows of features and examination of shape {gamma.shape}; "
            f"the counts have {counts.pairs} pairs and {counts.cells} cells"
        )
    if not np.isfinite(x).all():
        raise ValueError(f"row {int(np.argwhere(~np.isfinite(x))[0][0])} has a feature not finite")
    used = gamma[counts.cell]
    if not ((used > 0) & (used <= 1)).all():
        raise ValueError("examination must be in (0, 1] where something was shown")
    weight = np.ones(counts.pairs)
    for _ in range(2):
        coefficients = _fit_mean(counts, used, x, weight)
        mean = expit(x @ coefficients)
        strength = _fit_strength(counts, used, mean)
        looks = shrink(counts, gamma, mean, float(strength.value))[1]
        previous, weight = weight, (strength.value + 1) / (looks + strength.value)
    alpha, looks = shrink(counts, gamma, mean, float(strength.value))
    deviation = np.sqrt(alpha * (1 - alpha) / (looks + strength.value + 1))
    error = _mean_errors(counts, used, x, previous, coefficients)
    return FittedAttraction(Estimate(coefficients, error), strength, Estimate(alpha, deviation))


def shrink(
    counts: CellCounts, examination: Floats, mean: Floats, strength: float
) -> tuple[Floats, Floats]:
    """Return attractiveness and looks of each pair given its prior mean and strength."""
    gamma, alpha = examination[counts.cell], mean
    skips = counts.impressions - counts.clicks
    clicks = total(counts.pair, counts.clicks, counts.pairs)
    looks = clicks
    for _ in range(_ROUNDS):
        a = alpha[counts.pair]
        z = np.maximum(1 - gamma * a, 1e-12)
        looks = clicks + total(counts.pair, skips * gamma * (1 - a) / z, counts.pairs)
        found = (clicks + strength * mean) / (looks + strength)
        if np.abs(found - alpha).max() < 1e-10:
            break
        alpha = found
    return alpha, looks


def _with_one(features: ArrayLike) -> Floats:
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2:
        raise ValueError(f"features of shape {x.shape}; give a row for each pair")
    return np.column_stack([x, np.ones(len(x))])


def _slopes(
    counts: CellCounts, gamma: Floats, x: Floats, coefficients: Floats
) -> tuple[Floats, Floats]:
    """Return log-likelihood and its derivative in w.x + b, by pair."""
    m = expit(x @ coefficients)
    a = m[counts.pair]
    skips, p = counts.impressions - counts.clicks, np.minimum(gamma * a, 1 - 1e-15)
    value = counts.clicks * np.log(np.maximum(p, 1e-300)) + skips * np.log1p(-p)
    slope = counts.clicks * (1 - a) - skips * p * (1 - a) / (1 - p)
    return total(counts.pair, value, counts.pairs), total(counts.pair, slope, counts.pairs)


def _fit_mean(counts: CellCounts, gamma: Floats, x: Floats, weight: Floats) -> Floats:
    scale = counts.impressions.sum()

    def loss(coefficients: Floats) -> tuple[float, Floats]:
        value, slope = _slopes(counts, gamma, x, coefficients)
        return -float(weight @ value) / scale, -(weight * slope) @ x / scale

    start = np.zeros(x.shape[1])
    found = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-9})
    return np.asarray(found.x)


def _mean_errors(
    counts: CellCounts, gamma: Floats, x: Floats, weight: Floats, coefficients: Floats
) -> Floats:
    """Return standard errors by the sandwich over pairs, whose clicks go together."""
    slope = weight * _slopes(counts, gamma, x, coefficients)[1]
    a = expit(x @ coefficients)[counts.pair]
    # The expected information of a cell in w.x + b: (dp)^2 / (p (1 - p)), dp = p (1 - a).
    p = gamma * a
    information = counts.impressions * p * (1 - a) ** 2 / np.maximum(1 - p, 1e-15)
    bread = np.linalg.pinv(
        (x * (weight * total(counts.pair, information, counts.pairs))[:, None]).T @ x
    )
    meat = (x * slope[:, None] ** 2).T @ x
    return np.asarray(np.sqrt(np.diag(bread @ meat @ bread)))


def _fit_strength(counts: CellCounts, gamma: Floats, mean: Floats) -> Estimate:
    """Return s by the beta-binomial likelihood of clicks among looks, looks given s itself."""
    by_cell = np.zeros(counts.cells)
    by_cell[counts.cell] = gamma
    clicks = total(counts.pair, counts.clicks, counts.pairs)

    def loss(log_s: float, looks: NDArray[np.float64]) -> float:
        a, b = np.exp(log_s) * mean, np.exp(log_s) * (1 - mean)
        return -float((betaln(clicks + a, looks - clicks + b) - betaln(a, b)).sum())

    log_s = 2.0
    for _ in range(_ROUNDS):
        looks = shrink(counts, by_cell, mean, float(np.exp(log_s)))[1]
        found = float(
            minimize_scalar(
                loss, bounds=_STRENGTHS, args=(looks,), method="bounded", options={"xatol": 1e-6}
            ).x
        )
        close, log_s = abs(found - log_s) < 1e-4, found
        if close:
            break
    around = [loss(log_s + d, looks) for d in (-_STEP, 0.0, _STEP)]
    curvature = (around[0] - 2 * around[1] + around[2]) / _STEP**2
    error = np.exp(log_s) / np.sqrt(curvature) if curvature > 0 else np.nan
    return Estimate(np.array(np.exp(log_s)), np.array(error))
