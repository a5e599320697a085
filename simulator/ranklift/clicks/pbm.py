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

from ranklift.clicks import examining
from ranklift.clicks.counts import CellCounts, by_rank, count
from ranklift.clicks.em import NO_PRIOR, BetaPrior, fit_factors
from ranklift.clicks.log import ClickLog
from ranklift.clicks.model import Fitted
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
        return examining.sample(results, lambda rank, last: self.examination[rank])

    def conditional(
        self, attractiveness: Floats, satisfaction: Floats, clicked: NDArray[np.bool_]
    ) -> Floats:
        """Return the marginal: clicks above change nothing."""
        return self.marginal(attractiveness, satisfaction)

    def marginal(self, attractiveness: Floats, satisfaction: Floats) -> Floats:
        """Return theta_r alpha_d."""
        return np.array(self.examination[: attractiveness.shape[1]]) * attractiveness


def fit(
    log: ClickLog | CellCounts,
    *,
    prior: BetaPrior = NO_PRIOR,
    max_iterations: int = 500,
    tolerance: float = 1e-9,
) -> Fitted:
    """Fit by expectation maximisation (`em`) a log, or counts by rank of it.

    The largest examination, most often that of the first rank, is 1.

    Raises:
        ValueError: a rank above the last one was never shown.
        NotIdentified: there is no prior, and no chain of pairs links the ranks.
    """
    counts = by_rank(log) if isinstance(log, ClickLog) else log
    shown = np.bincount(counts.cell, minlength=counts.cells)
    if not shown.all():
        raise ValueError(f"rank {np.argmin(shown)} (from 0) was never shown; number without a gap")
    factors = fit_factors(
        counts,
        name=lambda rank: f"rank {rank + 1}",
        prior=prior,
        max_iterations=max_iterations,
        tolerance=tolerance,
    )
    return Fitted(
        Pbm(tuple(factors.examination.value.tolist())),
        {"examination": factors.examination},
        factors.attractiveness,
        None,
        factors.log_likelihood,
    )


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
    examination = (
        fit(count(pair_index, rank_index, impressions, clicks)).parameters["examination"].value
    )
    return np.asarray(examination / examination[0])
