"""Trust bias: users click results because they stand high, whether they attract or not.

    P(click on d at r) = theta_r (plus_r alpha_d + minus_r (1 - alpha_d))

Those who look at rank r click what attracts them with probability plus_r, and what does not with
minus_r, in trust of the ranker. Agarwal, Wang, Li, Bendersky and Najork, "Addressing trust bias for
unbiased learning-to-rank", WWW 2019; as an affine function of attractiveness: Vardasbi, Oosterhuis
and de Rijke, "When inverse propensity scoring does not work", CIKM 2020.

Clicks tell no more than a line in alpha for each rank, and these up to one stretch and shift of
alpha for all. A fit therefore has plus = 1, the lowest minus 0 and the largest theta 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranklift.clicks import examining
from ranklift.clicks.counts import CellCounts, by_rank, total
from ranklift.clicks.em import check_linked, log_likelihood
from ranklift.clicks.keys import Keys, Purpose, draw
from ranklift.clicks.log import ClickLog
from ranklift.clicks.model import Estimate, Fitted
from ranklift.clicks.pbm import DEFAULT_EXAMINATION
from ranklift.clicks.results import Floats, Results, Rows, Sample

# Levels as in section 5 of Vardasbi et al., where trust falls with the rank.
DEFAULT_PLUS = tuple(1 - (rank + 1) / 100 for rank in range(10))
DEFAULT_MINUS = tuple(0.65 / (rank + 1) for rank in range(10))


@dataclass(frozen=True, slots=True)
class TrustBias:
    """Browsing with trust: three probabilities for each rank."""

    examination: tuple[float, ...] = DEFAULT_EXAMINATION
    plus: tuple[float, ...] = DEFAULT_PLUS
    minus: tuple[float, ...] = DEFAULT_MINUS

    def __post_init__(self) -> None:
        for name, values in (
            ("examination", self.examination),
            ("plus", self.plus),
            ("minus", self.minus),
        ):
            if not values or not all(0 <= p <= 1 for p in values):
                raise ValueError(f"{name} {values}, must be some in [0, 1]")
        if not len(self.examination) == len(self.plus) == len(self.minus):
            raise ValueError("examination, plus and minus must have one value for each rank")

    @property
    def ranks(self) -> int:
        return len(self.examination)

    def sample(self, results: Results) -> Sample:
        """Return what users do; `attracted` is who clicks what was looked at, for either reason."""

        def attraction(rank: int, keys: Keys, rows: Rows) -> NDArray[np.bool_]:
            alpha = results.attractiveness(rank, rows)
            attracts = draw(keys, Purpose.ATTRACT) < alpha
            chance = np.where(attracts, self.plus[rank], self.minus[rank])
            # Padding has attractiveness 0 exactly, and nobody trusts what is not there.
            return np.asarray((draw(keys, Purpose.TRUST) < chance) & (alpha > 0))

        return examining.sample(results, lambda rank, last: self.examination[rank], attraction)

    def conditional(
        self, attractiveness: Floats, satisfaction: Floats, clicked: NDArray[np.bool_]
    ) -> Floats:
        """Return the marginal: clicks above change nothing."""
        return self.marginal(attractiveness, satisfaction)

    def marginal(self, attractiveness: Floats, satisfaction: Floats) -> Floats:
        """Return theta_r (plus_r alpha_d + minus_r (1 - alpha_d)), 0 where nothing is shown."""
        theta, plus, minus = (
            np.array(values[: attractiveness.shape[1]])
            for values in (self.examination, self.plus, self.minus)
        )
        click = theta * (plus * attractiveness + minus * (1 - attractiveness))
        return np.where(attractiveness > 0, click, 0.0)


def fit(
    log: ClickLog | CellCounts, *, max_iterations: int = 2_000, tolerance: float = 1e-11
) -> Fitted:
    """Fit a log, or counts by rank of it, until an iteration gains less than `tolerance` nats for
    each impression.

    With h_r = P(click | attracted), l_r = P(click | not) and q = P(attracted | click or skip):

        alpha_d <- mean of q over the pair's impressions
        h_r     <- sum of q over clicks / sum of q
        l_r     <- sum of 1 - q over clicks / sum of 1 - q

    Errors are from the expected information, with the lowest minus and the largest theta fixed.

    Raises:
        ValueError: a rank above the last one was never shown.
        NotIdentified: no chain of pairs links the ranks.
    """
    counts = by_rank(log) if isinstance(log, ClickLog) else log
    shown = total(counts.cell, counts.impressions, counts.cells)
    if not shown.all():
        raise ValueError(f"rank {np.argmin(shown)} (from 0) was never shown; number without a gap")
    check_linked(counts, lambda rank: f"rank {rank + 1}")
    pair, rank, n1 = counts.pair, counts.cell, counts.clicks
    n0 = counts.impressions - n1
    of_pair = total(pair, counts.impressions, counts.pairs)
    rate = total(rank, n1, counts.cells) / shown
    alpha = np.clip(total(pair, n1, counts.pairs) / np.maximum(of_pair, 1), 0.05, 0.95)
    high, low = np.minimum(2 * rate, 0.95), rate / 4
    trace = [log_likelihood(_click(alpha[pair], high[rank], low[rank]), n1, n0)]
    for _ in range(max_iterations):
        a, h, lo = alpha[pair], high[rank], low[rank]
        p = _click(a, h, lo)
        clicked = n1 * _ratio(a * h, p)
        skipped = n0 * _ratio(a * (1 - h), 1 - p)
        alpha = _ratio(total(pair, clicked + skipped, counts.pairs), of_pair)
        attracted = total(rank, clicked, counts.cells)
        rest = total(rank, n1 - clicked, counts.cells)
        high = _ratio(attracted, attracted + total(rank, skipped, counts.cells))
        low = _ratio(rest, rest + total(rank, n0 - skipped, counts.cells))
        trace.append(log_likelihood(_click(alpha[pair], high[rank], low[rank]), n1, n0))
        if trace[-1] - trace[-2] < tolerance * counts.impressions.sum():
            break
    alpha, high, low = _scaled(alpha, high, low)
    alpha = np.where(of_pair > 0, alpha, np.nan)
    alpha_error, high_error, low_error = _errors(counts, alpha, high, low)
    minus = low / high
    # minus = low / high, by the delta method without their covariance.
    minus_error = np.sqrt((low_error / high) ** 2 + (minus * high_error / high) ** 2)
    ones = (1.0,) * counts.cells
    return Fitted(
        TrustBias(tuple(high.tolist()), ones, tuple(minus.tolist())),
        {"examination": Estimate(high, high_error), "minus": Estimate(minus, minus_error)},
        Estimate(alpha, alpha_error),
        None,
        np.array(trace),
    )


def _click(alpha: Floats, high: Floats, low: Floats) -> Floats:
    return np.asarray(low + (high - low) * alpha)


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    return np.divide(numerator, denominator, out=np.zeros_like(denominator), where=denominator > 0)


def _scaled(alpha: Floats, high: Floats, low: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the same clicks with the lowest low / high 0, and the largest high 1.

    With alpha = shift + stretch alpha', low' = low + (high - low) shift and
    high' = low' + (high - low) stretch.
    """
    slope = high - low
    if not (slope > 0).all():
        raise ValueError("at some rank attractive results are clicked less; is the log too small?")
    shift = -float((low / slope).min())
    floor = low + slope * shift
    stretch = float(((1 - floor) / slope).min())
    return (alpha - shift) / stretch, floor + slope * stretch, np.maximum(floor, 0.0)


def _errors(
    counts: CellCounts, alpha: Floats, high: Floats, low: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return standard errors of alpha, high and low: the information is diagonal in alpha, so
    those of the ranks come from the Schur complement."""
    a, h, lo = alpha[counts.pair], high[counts.cell], low[counts.cell]
    p = np.clip(_click(a, h, lo), 1e-12, 1 - 1e-12)
    weight = counts.impressions / (p * (1 - p))
    slope, ranks = h - lo, counts.cells
    of_alpha = total(counts.pair, weight * slope**2, counts.pairs)
    cross = np.zeros((counts.pairs, 2 * ranks))  # alpha with high, then with low
    cross[counts.pair, counts.cell] = weight * slope * a
    cross[counts.pair, ranks + counts.cell] = weight * slope * (1 - a)
    information = np.zeros((2 * ranks, 2 * ranks))
    at = np.arange(ranks)
    information[at, at] = total(counts.cell, weight * a**2, ranks)
    information[ranks + at, ranks + at] = total(counts.cell, weight * (1 - a) ** 2, ranks)
    both = total(counts.cell, weight * a * (1 - a), ranks)
    information[at, ranks + at] = information[ranks + at, at] = both
    free = np.ones(2 * ranks, dtype=bool)
    free[np.argmax(high)] = free[ranks + np.argmin(low / high)] = False
    known = of_alpha > 0
    scaled = cross[known][:, free] / of_alpha[known, None]
    schur = information[np.ix_(free, free)] - cross[known][:, free].T @ scaled
    covariance = np.linalg.pinv(schur, hermitian=True)
    variance = np.zeros(2 * ranks)
    variance[free] = np.maximum(np.diag(covariance), 0)
    alpha_variance = np.full(counts.pairs, np.nan)
    alpha_variance[known] = 1 / of_alpha[known] + ((scaled @ covariance) * scaled).sum(axis=1)
    error = np.sqrt(variance)
    return np.sqrt(alpha_variance), error[:ranks], error[ranks:]
