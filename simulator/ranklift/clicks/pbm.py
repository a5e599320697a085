"""The position-based model: a click is a result examined and found attractive.

    P(click on document d at rank r) = theta_r * alpha_d

Examination theta depends on the rank alone, attractiveness alpha on the
(query, document) pair alone, and the two are independent. Richardson, Dominowska
and Ragno, "Predicting clicks", WWW 2007, section 5; as a model with EM: Chuklin,
Markov and de Rijke, "Click Models for Web Search", 2015, sections 3.3 and 4.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranklift.clicks.counts import PbmCounts, count, total
from ranklift.clicks.keys import Keys, Purpose, extend, uniform
from ranklift.clicks.results import Floats, Results, Sample

# Examination at ranks 1 to 10 relative to rank 1, fitted with this model on the
# log of a large web-search engine; close to rank^-0.67.
DEFAULT_EXAMINATION = (1.0, 0.693, 0.565, 0.464, 0.365, 0.324, 0.296, 0.244, 0.249, 0.234)


@dataclass(frozen=True, slots=True)
class Pbm:
    """Browsing of the position-based model: each rank is looked at with its own probability."""

    examination: tuple[float, ...] = DEFAULT_EXAMINATION

    def __post_init__(self) -> None:
        if not self.examination or not all(0 <= p <= 1 for p in self.examination):
            raise ValueError(f"examination {self.examination}, must be some in [0, 1]")

    @property
    def ranks(self) -> int:
        return len(self.examination)

    def sample(self, results: Results) -> Sample:
        """Return what users do; attraction is drawn for what is looked at."""
        drawn = Sample(*(np.zeros(results.shape, dtype=bool) for _ in range(4)))
        for rank in range(results.shape[1]):
            keys = results.keys(rank, slice(None))
            looked = (uniform(extend(keys, Purpose.EXAMINE)) < self.examination[rank]).nonzero()[0]
            keys = keys[looked]
            attracted = uniform(extend(keys, Purpose.ATTRACT)) < results.attractiveness(
                rank, looked
            )
            clicked = looked[attracted]
            drawn.examined[looked, rank] = True
            drawn.attracted[clicked, rank] = True
            drawn.clicked[clicked, rank] = True
            drawn.satisfied[clicked, rank] = uniform(
                extend(keys[attracted], Purpose.SATISFY)
            ) < results.satisfaction(rank, clicked)
        return drawn

    def conditional(
        self, attractiveness: Floats, satisfaction: Floats, clicked: NDArray[np.bool_]
    ) -> Floats:
        """Return the marginal: clicks above change nothing."""
        return self.marginal(attractiveness, satisfaction)

    def marginal(self, attractiveness: Floats, satisfaction: Floats) -> Floats:
        """Return theta_r alpha_d."""
        return np.array(self.examination[: attractiveness.shape[1]]) * attractiveness


class NotIdentified(ValueError):
    """The log cannot tell examination from attractiveness.

    It must hold clicked pairs that were shown at several ranks; a single
    deterministic ranker never shows one. Log two rankers, or take
    `DEFAULT_EXAMINATION`.
    """


@dataclass(frozen=True, slots=True, eq=False)
class PbmParameters:
    """A fitted position-based model.

    `examination` is relative to the first rank, which is 1: only the product
    with `attractiveness` is identified, so a rank that is examined more than
    the first one has a value above 1, and so may attractiveness. The errors
    are standard errors from the observed information, with that scale held
    fixed; they mean nothing for a pair that was never, or always, clicked.
    `log_likelihood` is the sum over all results, before each iteration and
    after the last one.
    """

    examination: NDArray[np.float64]  # (ranks,)
    attractiveness: NDArray[np.float64]  # (pairs,)
    examination_error: NDArray[np.float64]  # (ranks,), 0 at the first rank
    attractiveness_error: NDArray[np.float64]  # (pairs,)
    log_likelihood: NDArray[np.float64]  # (iterations + 1,)


@dataclass(frozen=True, slots=True)
class BetaPrior:
    """Results that every parameter is credited with: shrinkage where there is little data.

    It acts on the parameters as EM sees them, before the first rank is set to 1.
    """

    clicks: float = 0.0
    skips: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class PbmSample:
    """Clicks together with the latent variables behind them; all of the shape of the keys."""

    examined: NDArray[np.bool_]
    attracted: NDArray[np.bool_]
    clicked: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class PbmScore:
    """How well a model predicts a log.

    `log_likelihood` is the mean of log P(click or skip) over results, in nats.
    `perplexity` at each rank is 2^-(mean log2 P): 1 for a perfect model, 2 for
    a coin. In this model the probability of a click does not depend on the
    clicks above, so conditional perplexity is the same number.
    """

    log_likelihood: float
    perplexity: NDArray[np.float64]  # (ranks,), NaN at a rank that was never shown


def fit(
    counts: PbmCounts,
    *,
    max_iterations: int = 500,
    tolerance: float = 1e-9,
    prior: BetaPrior = BetaPrior(),
) -> PbmParameters:
    """Fit by expectation maximisation, until an iteration gains less than `tolerance`.

    The gain is in log-likelihood for each impression, in nats; with `tolerance`
    0 all iterations are run. One iteration, with A = alpha_d, G = theta_r and
    Z = 1 - A G, for clicks n1 and skips n0 of each cell:

        alpha_d <- sum_r [n1 + n0 A (1 - G) / Z] / sum_r (n1 + n0)
        theta_r <- sum_d [n1 + n0 G (1 - A) / Z] / sum_d (n1 + n0)

    Raises:
        ValueError: a pair or a rank below the highest one was never shown.
        NotIdentified: no chain of pairs links a rank to the first one.
    """
    pair, rank, n1 = counts.pair, counts.rank, counts.clicks
    n0 = counts.impressions - n1
    pair_total = total(pair, counts.impressions)
    rank_total = total(rank, counts.impressions)
    for name, shown in (("pair", pair_total), ("rank", rank_total)):
        if not shown.all():
            raise ValueError(
                f"{name} {np.argmin(shown)} was never shown; number {name}s without a gap"
            )
    _check_identified(counts)
    prior_total = prior.clicks + prior.skips
    alpha = np.full(len(pair_total), 0.5)
    theta = np.full(len(rank_total), 0.5)
    trace = [_log_likelihood(alpha[pair] * theta[rank], n1, n0)]
    for _ in range(max_iterations):
        a, g = alpha[pair], theta[rank]
        skips = np.divide(n0, 1 - a * g, out=np.zeros_like(n0), where=n0 > 0)
        alpha = (total(pair, n1 + skips * a * (1 - g)) + prior.clicks) / (pair_total + prior_total)
        theta = (total(rank, n1 + skips * g * (1 - a)) + prior.clicks) / (rank_total + prior_total)
        trace.append(_log_likelihood(alpha[pair] * theta[rank], n1, n0))
        if tolerance and trace[-1] - trace[-2] < tolerance * counts.impressions.sum():
            break
    alpha, theta = alpha * theta[0], theta / theta[0]
    theta_error, alpha_error = _standard_errors(counts, alpha, theta)
    return PbmParameters(theta, alpha, theta_error, alpha_error, np.array(trace))


def sample(examination: ArrayLike, attractiveness: ArrayLike, keys: Keys) -> PbmSample:
    """Draw clicks, each result from its own key; all arguments broadcast.

    `examination` and `attractiveness` are probabilities; a result with
    attractiveness 0, such as padding, is never clicked. A key stands for the
    user, the page and the document.
    """
    examined = uniform(extend(keys, Purpose.EXAMINE)) < np.asarray(examination)
    attracted = uniform(extend(keys, Purpose.ATTRACT)) < np.asarray(attractiveness)
    return PbmSample(examined, attracted, examined & attracted)


def score(parameters: PbmParameters, counts: PbmCounts) -> PbmScore:
    """Return how well `parameters` predict `counts`, of this log or of another."""
    click = parameters.examination[counts.rank] * parameters.attractiveness[counts.pair]
    n1, n0 = counts.clicks, counts.impressions - counts.clicks
    bits = _cell_log_likelihood(click, n1, n0) / np.log(2)
    shown = total(counts.rank, counts.impressions)
    with np.errstate(invalid="ignore"):
        perplexity = 2 ** -(total(counts.rank, bits) / shown)
    return PbmScore(_log_likelihood(click, n1, n0) / counts.impressions.sum(), perplexity)


def examination_from_counts(
    pair_index: ArrayLike, rank_index: ArrayLike, impressions: ArrayLike, clicks: ArrayLike
) -> NDArray[np.float64]:
    """Return examination by rank, relative to the first rank; shape (highest rank,).

    Each row is a (query, document) pair at a 0-based rank, with the number of
    times it was shown there and clicked; see `counts.count`. Dividing a click
    by it removes the position bias: Joachims, Swaminathan and Schnabel,
    "Unbiased learning-to-rank with biased feedback", WSDM 2017, section 4.

    Raises:
        ValueError: as `count` and `fit`.
        NotIdentified: as `fit`.
    """
    return fit(count(pair_index, rank_index, impressions, clicks)).examination


def _check_identified(counts: PbmCounts) -> None:
    """Raise NotIdentified unless clicked pairs link every rank to the first.

    A pair shown at ranks r and s fixes theta_r / theta_s, and nothing else
    does: Agarwal et al., "Estimating position bias without intrusive
    interventions", WSDM 2019.
    """
    clicked = total(counts.pair, counts.clicks)[counts.pair] > 0
    shown = np.zeros((counts.pairs, counts.ranks), dtype=bool)
    shown[counts.pair[clicked], counts.rank[clicked]] = True
    linked = np.zeros(counts.ranks, dtype=bool)
    linked[0] = True
    for _ in range(counts.ranks):
        linked |= shown[shown[:, linked].any(axis=1)].any(axis=0)
    if not linked.all():
        raise NotIdentified(
            f"no clicked pair links rank {int(np.argmin(linked)) + 1} to rank 1; "
            "show the same pairs at several ranks, or use the default examination"
        )


def _cell_log_likelihood(
    click: NDArray[np.float64], n1: NDArray[np.float64], n0: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return n1 log p + n0 log(1 - p) of each cell, where 0 log 0 = 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        clicked = np.where(n1 > 0, n1 * np.log(click), 0.0)
        skipped = np.where(n0 > 0, n0 * np.log1p(-click), 0.0)
    return np.asarray(clicked + skipped)


def _log_likelihood(
    click: NDArray[np.float64], n1: NDArray[np.float64], n0: NDArray[np.float64]
) -> float:
    return float(_cell_log_likelihood(click, n1, n0).sum())


def _standard_errors(
    counts: PbmCounts, alpha: NDArray[np.float64], theta: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the standard errors of theta and alpha with theta_1 held at 1.

    The observed information of one cell is, in (A, G) and with Z = 1 - A G,

        n1 / A^2 + n0 G^2 / Z^2        n0 / Z^2
        n0 / Z^2                       n1 / G^2 + n0 A^2 / Z^2

    It is diagonal in alpha, so the few theta come from the Schur complement.
    """
    a, g = alpha[counts.pair], theta[counts.rank]
    n1, n0 = counts.clicks, counts.impressions - counts.clicks
    z = 1 - a * g
    skipped = np.divide(n0, z**2, out=np.zeros_like(n0), where=n0 > 0)
    by_alpha = np.divide(n1, a**2, out=np.zeros_like(n1), where=n1 > 0) + skipped * g**2
    by_theta = np.divide(n1, g**2, out=np.zeros_like(n1), where=n1 > 0) + skipped * a**2
    alpha_information = total(counts.pair, by_alpha)
    theta_information = total(counts.rank, by_theta)[1:]
    cross = np.zeros((len(alpha), len(theta)))  # (pairs, ranks)
    cross[counts.pair, counts.rank] = skipped
    cross = cross[:, 1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        scaled = cross / alpha_information[:, None]
        schur = np.diag(theta_information) - cross.T @ scaled
        covariance = np.linalg.pinv(schur)
        alpha_variance = 1 / alpha_information + np.einsum(
            "pr,rs,ps->p", scaled, covariance, scaled
        )
        theta_variance = np.concatenate([[0.0], np.diag(covariance)])
        return np.sqrt(theta_variance), np.sqrt(alpha_variance)
