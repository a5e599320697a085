"""Expectation maximisation where a click is examination of a cell times attractiveness of a pair.

    P(click on pair d in cell e) = gamma_e alpha_d

PBM and UBM differ in what a cell is (`counts`). One iteration, with A = alpha_d,
G = gamma_e and Z = 1 - A G, for clicks n1 and skips n0 of each combination:

    alpha_d <- sum_e [n1 + n0 A (1 - G) / Z] / sum_e (n1 + n0)
    gamma_e <- sum_d [n1 + n0 G (1 - A) / Z] / sum_d (n1 + n0)

Chuklin, Markov and de Rijke, "Click Models for Web Search", 2015, section 4.2,
where it runs over sessions; over counts it takes the same steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from ranklift.clicks.counts import CellCounts, total
from ranklift.clicks.model import Estimate
from ranklift.clicks.results import Floats

_PAIRS_AT_ONCE = 1 << 14


class NotIdentified(ValueError):
    """The log cannot tell examination from attractiveness.

    It must hold clicked pairs that were shown in several cells; a single
    deterministic ranker never shows one. Log two rankers, take a known
    examination, or fit with a prior.
    """


@dataclass(frozen=True, slots=True)
class BetaPrior:
    """Results that every parameter is credited with: shrinkage where there is little data.

    It acts on the parameters as EM sees them, before they are scaled.
    """

    clicks: float = 0.0
    skips: float = 0.0

    def __bool__(self) -> bool:
        return self.clicks + self.skips > 0


NO_PRIOR = BetaPrior()


@dataclass(frozen=True, slots=True, eq=False)
class Factors:
    """Fitted examination, shape (cells,), and attractiveness, shape (pairs,).

    Only their product is identified, so the largest examination is 1. The
    errors are from the observed information with that cell held fixed. Cells
    and pairs that were never shown have NaN in both, or the prior's mean with a
    NaN error.
    """

    examination: Estimate
    attractiveness: Estimate
    log_likelihood: Floats  # before each iteration and after the last one


def fit_factors(
    counts: CellCounts,
    *,
    name: Callable[[int], str],
    prior: BetaPrior = NO_PRIOR,
    max_iterations: int = 500,
    tolerance: float = 1e-9,
) -> Factors:
    """Fit until an iteration gains less than `tolerance` nats for each impression.

    With `tolerance` 0 all iterations are run. Every parameter starts at 1/2.
    `name` is what the user calls a cell.

    Raises:
        NotIdentified: there is no prior, and no chain of clicked pairs links
            the cells that were shown.
    """
    if not prior:
        check_linked(counts, name)
    of_pair = total(counts.pair, counts.impressions, counts.pairs)
    of_cell = total(counts.cell, counts.impressions, counts.cells)
    clicks_of_pair = total(counts.pair, counts.clicks, counts.pairs)
    clicks_of_cell = total(counts.cell, counts.clicks, counts.cells)
    # Where nothing was skipped, these totals are all that matters.
    skipped = counts.clicks < counts.impressions
    pair, cell = counts.pair[skipped], counts.cell[skipped]
    n0 = (counts.impressions - counts.clicks)[skipped]
    by_pair = sparse.csr_array((n0.copy(), (pair, cell)), shape=(counts.pairs, counts.cells))
    by_cell = by_pair.T  # of the same numbers, n0 / Z
    alpha, gamma = np.full(counts.pairs, 0.5), np.full(counts.cells, 0.5)
    trace: list[float] = []
    enough = tolerance * of_cell.sum()
    while True:
        z = 1 - alpha.take(pair) * gamma.take(cell)
        clicked = _sum_log(clicks_of_pair, alpha) + _sum_log(clicks_of_cell, gamma)
        trace.append(clicked + float((n0 * np.log(z)).sum()))
        done = len(trace) > max_iterations
        if done or (tolerance and len(trace) > 1 and trace[-1] - trace[-2] < enough):
            break
        np.divide(n0, z, out=by_pair.data)
        alpha, gamma = (
            _mean(clicks_of_pair + alpha * (by_pair @ (1 - gamma)), of_pair, prior),
            _mean(clicks_of_cell + gamma * (by_cell @ (1 - alpha)), of_cell, prior),
        )
    alpha_error, gamma_error = _errors(counts, alpha, gamma, of_pair, of_cell, prior)
    scale = np.nanmax(np.where(of_cell > 0, gamma, np.nan))
    return Factors(
        Estimate(gamma / scale, gamma_error / scale),
        Estimate(alpha * scale, alpha_error * scale),
        np.array(trace),
    )


def check_linked(counts: CellCounts, name: Callable[[int], str]) -> None:
    """Raise NotIdentified unless clicked pairs link every cell that was shown to every other.

    A pair in cells e and f fixes gamma_e / gamma_f, and nothing else does:
    Agarwal et al., "Estimating position bias without intrusive interventions",
    WSDM 2019.
    """
    clicked = total(counts.pair, counts.clicks, counts.pairs) > 0
    kept = clicked[counts.pair]
    graph = sparse.coo_array(
        (np.ones(kept.sum()), (counts.cell[kept], counts.cells + counts.pair[kept])),
        shape=(counts.cells + counts.pairs,) * 2,
    )
    _, group = connected_components(graph, directed=False)
    cells = np.unique(counts.cell)
    apart = cells[group[cells] != group[cells[0]]]
    if len(apart):
        raise NotIdentified(
            f"no clicked pair links {name(apart[0])} to {name(cells[0])}; show the same pairs "
            "at several ranks, take a known examination, or fit with a prior"
        )


def _sum_log(n: Floats, p: Floats) -> float:
    """Return the sum of n log p, where 0 log p = 0 for any p."""
    there = n > 0
    return float((n[there] * np.log(p[there])).sum())


def log_likelihood(click: ArrayLike, n1: ArrayLike, n0: ArrayLike) -> float:
    """Return the sum of n1 log p + n0 log(1 - p), where 0 log 0 = 0; all broadcast."""
    p, clicks, skips = np.asarray(click), np.asarray(n1), np.asarray(n0)
    with np.errstate(divide="ignore", invalid="ignore"):
        clicked = np.where(clicks > 0, clicks * np.log(p), 0.0)
        skipped = np.where(skips > 0, skips * np.log1p(-p), 0.0)
    return float((clicked + skipped).sum())


def _mean(successes: Floats, trials: Floats, prior: BetaPrior) -> Floats:
    with np.errstate(invalid="ignore"):  # 0 / 0: never shown, and no prior
        return np.asarray((successes + prior.clicks) / (trials + prior.clicks + prior.skips))


def _errors(
    counts: CellCounts,
    alpha: Floats,
    gamma: Floats,
    of_pair: Floats,
    of_cell: Floats,
    prior: BetaPrior,
) -> tuple[Floats, Floats]:
    """Return the standard errors of alpha and gamma with the largest gamma held fixed.

    The observed information of one combination is, in (A, G) and with Z = 1 - A G,

        n1 / A^2 + n0 G^2 / Z^2        n0 / Z^2
        n0 / Z^2                       n1 / G^2 + n0 A^2 / Z^2

    It is diagonal in alpha, so the few gamma come from the Schur complement.
    """
    a, g = alpha[counts.pair], gamma[counts.cell]
    n1, n0 = counts.clicks, counts.impressions - counts.clicks
    z = 1 - a * g
    skipped = np.divide(n0, z**2, out=np.zeros_like(n0), where=n0 > 0)
    by_alpha = np.divide(n1, a**2, out=np.zeros_like(n1), where=n1 > 0) + skipped * g**2
    by_gamma = np.divide(n1, g**2, out=np.zeros_like(n1), where=n1 > 0) + skipped * a**2
    of_alpha = total(counts.pair, by_alpha, counts.pairs) + _prior_information(alpha, prior)
    of_gamma = total(counts.cell, by_gamma, counts.cells) + _prior_information(gamma, prior)
    free = of_cell > 0
    free[np.argmax(np.where(free, gamma, -1.0))] = False
    shape = (counts.pairs, counts.cells)
    cross = sparse.csr_array((skipped, (counts.pair, counts.cell)), shape=shape)[:, free]
    alpha_variance = np.divide(1.0, of_alpha, out=np.full(counts.pairs, np.inf), where=of_alpha > 0)
    alpha_variance[of_pair == 0] = np.nan
    # A pair without information has no skips either: nothing crosses.
    inverse = np.divide(1.0, of_alpha, out=np.zeros(counts.pairs), where=of_alpha > 0)
    scaled = sparse.csr_array(
        (skipped * inverse[counts.pair], (counts.pair, counts.cell)), shape=shape
    )[:, free]
    schur = np.diag(of_gamma[free]) - (cross.T @ scaled).toarray()
    covariance = np.linalg.pinv(schur, hermitian=True)
    for start in range(0, counts.pairs, _PAIRS_AT_ONCE):
        rows = scaled[start : start + _PAIRS_AT_ONCE].toarray()
        alpha_variance[start : start + _PAIRS_AT_ONCE] += ((rows @ covariance) * rows).sum(axis=1)
    gamma_variance = np.where(of_cell > 0, 0.0, np.nan)
    gamma_variance[free] = np.diag(covariance)
    with np.errstate(invalid="ignore"):  # short of the maximum, information may be negative
        return np.sqrt(alpha_variance), np.sqrt(gamma_variance)


def _prior_information(p: Floats, prior: BetaPrior) -> Floats | float:
    """Return minus the second derivative of clicks log p + skips log(1 - p)."""
    if not prior:
        return 0.0
    return prior.clicks / p**2 + prior.skips / (1 - p) ** 2
