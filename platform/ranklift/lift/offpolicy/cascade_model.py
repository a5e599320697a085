"""The simplified dynamic Bayesian network: users go down the list until a click satisfies them.

    P(click at r) = E_r alpha_r,   E_1 = 1,   E_{r+1} = E_r (1 - alpha_r sigma_r)

Chapelle and Zhang, "A dynamic Bayesian network click model for web search ranking", WWW 2009, with
gamma = 1: nobody leaves unsatisfied before the end. It needs no two ranks for a pair, so that it
can be fitted to a deterministic logger.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ranklift.lift.offpolicy.models import fit_reward_per_click, of_pairs, pair_totals, shrunk
from ranklift.lift.offpolicy.pages import LoggedPages
from ranklift.lift.offpolicy.policy import NOTHING, Bools, Floats, Ints
from ranklift.lift.offpolicy.position_model import none_above
from ranklift.lift.values import Unavailable

MAX_ITERATIONS = 200
# A probability that moves by less is found: sampling leaves far more.
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class CascadeModel:
    """Attractiveness `alpha` and satisfaction after a click `sigma`; all run along the pairs."""

    alpha: Floats
    sigma: Floats
    reward_per_click: Floats
    seen: Bools

    def clicks(self, lists: Ints) -> Floats:
        attractive = of_pairs(self.alpha, lists)
        return attractive * none_above(attractive * of_pairs(self.sigma, lists))

    def first_clicks(self, lists: Ints) -> Floats:
        attractive = of_pairs(self.alpha, lists)
        return attractive * none_above(attractive)


def fit_cascade(pages: LoggedPages) -> CascadeModel | Unavailable:
    """Return the model of a log by expectation maximisation, or why there is none.

    Down to the last click everything was examined; without a click, the whole page. What is below
    the last click, at rank l, was examined unless that click satisfied, which by Bayes has

        P(satisfied) = sigma_l / (sigma_l + (1 - sigma_l) prod_{j > l} (1 - alpha_j)).

    The published closed form sets this to 1, which makes alpha and sigma too large.
    """
    clicked, there = pages.clicks > 0, pages.shown != NOTHING
    if not clicked.any():
        return Unavailable("the log has no click; there is nothing to learn from")
    # [0, 1, 0, 1, 0] -> [2, 2, 1, 1, 0] clicks at or below a rank
    below = np.cumsum(clicked[:, ::-1], axis=1)[:, ::-1]
    surely = there & ((below > 0) | ~clicked.any(axis=1, keepdims=True))
    perhaps = there & ~surely
    last = clicked & (below == 1)
    clicks = pair_totals(pages, clicked.astype(np.float64))
    examined = pair_totals(pages, surely.astype(np.float64))
    alpha = shrunk(clicks, examined)
    sigma = shrunk(pair_totals(pages, last.astype(np.float64)), clicks)
    for _ in range(MAX_ITERATIONS):
        skipped = np.where(perhaps, 1 - of_pairs(alpha, pages.shown), 1.0).prod(axis=1)
        of_last = np.where(last, of_pairs(sigma, pages.shown), 0.0).sum(axis=1)
        either = of_last + (1 - of_last) * skipped
        satisfied = np.divide(of_last, either, out=np.zeros(len(either)), where=either > 0)
        further = pair_totals(pages, perhaps * (1 - satisfied)[:, None])
        before = alpha, sigma
        alpha = shrunk(clicks, examined + further)
        sigma = shrunk(pair_totals(pages, last * satisfied[:, None]), clicks)
        if max(np.abs(alpha - before[0]).max(), np.abs(sigma - before[1]).max()) < TOLERANCE:
            break
    return CascadeModel(
        alpha=alpha,
        sigma=sigma,
        reward_per_click=fit_reward_per_click(pages),
        seen=pair_totals(pages, there.astype(np.float64)) > 0,
    )
