"""The user browsing model: examination depends on the rank and on the last click above it.

    P(click on d at r | last click above at r') = gamma[r, r'] alpha_d

Dupret and Piwowarski, "A user browsing model to predict search engine click
data from past observations", SIGIR 2008.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranklift.clicks import examining
from ranklift.clicks.counts import CellCounts, by_last_click, last_click_cell
from ranklift.clicks.em import NO_PRIOR, BetaPrior, fit_factors
from ranklift.clicks.log import ClickLog
from ranklift.clicks.model import Estimate, Fitted
from ranklift.clicks.results import Floats, Results, Sample

# By rank: no click above, then the last click at rank 1, 2, ... Fitted with this model on the log
# of a web-search engine at ranks 1 to 5 and 10. Ranks 6 to 9 are interpolated geometrically
# between ranks 5 and 10: at the same distance from the last click up to 4, at the same last click
# beyond.
DEFAULT_EXAMINATION = (
    (0.84,),
    (0.49, 0.75),
    (0.39, 0.31, 0.73),
    (0.32, 0.18, 0.35, 0.68),
    (0.2, 0.12, 0.22, 0.34, 0.7),
    (0.157, 0.091, 0.141, 0.247, 0.381, 0.738),
    (0.124, 0.069, 0.122, 0.166, 0.277, 0.427, 0.777),
    (0.097, 0.052, 0.09, 0.132, 0.195, 0.31, 0.478, 0.819),
    (0.076, 0.04, 0.067, 0.096, 0.136, 0.23, 0.348, 0.536, 0.863),
    (0.06, 0.03, 0.05, 0.07, 0.09, 0.16, 0.27, 0.39, 0.6, 0.91),
)


@dataclass(frozen=True, slots=True)
class Ubm:
    """Browsing of the UBM: `examination[r]` for the 0-based rank r holds r + 1 probabilities.

    The first one is for no click above, the others for the last click at rank
    1 to r. (Tables by the distance to the last click, as some tools have them,
    run the other way.)
    """

    examination: tuple[tuple[float, ...], ...] = DEFAULT_EXAMINATION

    def __post_init__(self) -> None:
        for rank, row in enumerate(self.examination):
            if len(row) != rank + 1 or not all(0 <= p <= 1 for p in row):
                raise ValueError(
                    f"examination[{rank}] is {row}, must be {rank + 1} probabilities: "
                    "no click above, then the last click at rank 1, 2, ..."
                )
        if not self.examination:
            raise ValueError("examination is empty, must have a row for each rank")

    @property
    def ranks(self) -> int:
        return len(self.examination)

    def sample(self, results: Results) -> Sample:
        """Return what users do; attraction is drawn for what is looked at."""
        rows = [np.array(row) for row in self.examination]
        return examining.sample(results, lambda rank, last: rows[rank].take(last))

    def conditional(
        self, attractiveness: Floats, satisfaction: Floats, clicked: NDArray[np.bool_]
    ) -> Floats:
        """Return gamma[r, last click above] alpha_d."""
        flat = np.concatenate([np.array(row) for row in self.examination])
        return np.asarray(flat[last_click_cell(clicked)] * attractiveness)

    def marginal(self, attractiveness: Floats, satisfaction: Floats) -> Floats:
        """Return P(click at the rank), by a pass down the page.

        With w_r(r') = P(last click above r at r'), none at first:

            P_r          = sum_r' w_r(r') gamma[r, r'] a_r
            w_{r+1}(r')  = w_r(r') (1 - gamma[r, r'] a_r)
            w_{r+1}(r)   = P_r
        """
        pages, ranks = attractiveness.shape
        click = np.empty((pages, ranks))
        last = np.zeros((pages, ranks + 1))  # by r', none first
        last[:, 0] = 1
        for rank in range(ranks):
            clicked = last[:, : rank + 1] * (
                np.array(self.examination[rank]) * attractiveness[:, rank, None]
            )
            click[:, rank] = clicked.sum(axis=1)
            last[:, : rank + 1] -= clicked
            last[:, rank + 1] = click[:, rank]
        return click


def fit(
    log: ClickLog | CellCounts,
    *,
    prior: BetaPrior = NO_PRIOR,
    max_iterations: int = 500,
    tolerance: float = 1e-9,
) -> Fitted:
    """Fit by expectation maximisation (`em`) a log, or counts by last click of it.

    The largest examination is 1. The parameter "examination" has shape (ranks,
    ranks): its column 0 is for no click above, column r' for the last click at
    rank r', and NaN beyond r. What never occurred has the
    value of no click above and a NaN error.

    Raises:
        NotIdentified: there is no prior, and no chain of pairs links the cells.
    """
    counts = by_last_click(log) if isinstance(log, ClickLog) else log
    factors = fit_factors(
        counts,
        name=_name,
        prior=prior,
        max_iterations=max_iterations,
        tolerance=tolerance,
    )
    ranks = int(np.sqrt(2 * counts.cells))
    value, error = np.full((2, ranks, ranks), np.nan)
    rows, columns = np.tril_indices(ranks)
    value[rows, columns] = factors.examination.value
    error[rows, columns] = factors.examination.error
    unseen = np.isnan(error) & (np.arange(ranks) <= np.arange(ranks)[:, None])
    value[unseen] = np.broadcast_to(value[:, :1], value.shape)[unseen]
    return Fitted(
        Ubm(tuple(tuple(value[rank, : rank + 1].tolist()) for rank in range(ranks))),
        {"examination": Estimate(value, error)},
        factors.attractiveness,
        None,
        factors.log_likelihood,
    )


def _name(cell: int) -> str:
    """Return the cell as in the table, ranks from 1."""
    rank = int(np.sqrt(2 * cell + 0.25) - 0.5)
    last = cell - rank * (rank + 1) // 2
    return f"rank {rank + 1} after {f'a click at rank {last}' if last else 'no click'}"
