"""What a click model tells an estimator, and what both models here share."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from ranklift.lift.offpolicy.pages import PAGE_CTR, LoggedPages
from ranklift.lift.offpolicy.policy import NOTHING, Bools, Floats, Ints

# Expected examinations, or clicks, of an average pair that every pair is credited with: a pair
# without any gets the mean. More would make single rates better and their sums worse: shrinkage
# pulls every lift towards 0, and in a sum over many pairs the noise that it spares averages out.
PRIOR = 0.1


class ClickModel(Protocol):
    """How users click on a list. All methods take pairs, shape (lists, ranks), and return the same.

    `reward_per_click` and `seen`, shape (pairs,), are what a click on a pair brings and whether
    the log ever showed it.
    """

    @property
    def reward_per_click(self) -> Floats: ...

    @property
    def seen(self) -> Bools: ...

    def clicks(self, lists: Ints) -> Floats:
        """Return the probability of a click at each rank, above 1 at times where data are few."""
        ...

    def first_clicks(self, lists: Ints) -> Floats:
        """Return the probability that the topmost click is at each rank."""
        ...


def expected_rewards(model: ClickModel, metric: str, lists: Ints) -> Floats:
    """Return the expected reward at each rank of lists; shape (lists, ranks)."""
    if metric == PAGE_CTR:
        return model.first_clicks(lists)
    return model.clicks(lists) * of_pairs(model.reward_per_click, lists)


def of_pairs(values: Floats, lists: Ints) -> Floats:
    """Return the value of each pair, 0 where nothing stands; the shape of `lists`."""
    return np.where(lists == NOTHING, 0.0, values[lists])


def pair_totals(pages: LoggedPages, values: Floats) -> Floats:
    """Return the sum of `values`, shape (pages, ranks), over what showed each pair; (pairs,)."""
    there = pages.shown != NOTHING
    return np.bincount(pages.shown[there], weights=values[there], minlength=pages.pairs).astype(
        np.float64, copy=False
    )


def shrunk(successes: Floats, trials: Floats) -> Floats:
    """Return the rate of each pair, drawn to the mean rate by `PRIOR` trials; 0 without trials."""
    total = trials.sum()
    mean = successes.sum() / total if total > 0 else 0.0
    return np.asarray((successes + PRIOR * mean) / (trials + PRIOR))


def fit_reward_per_click(pages: LoggedPages) -> Floats:
    """Return what a clicked result of each pair brings, 1 for page_ctr; (pairs,)."""
    if pages.metric == PAGE_CTR:
        return np.ones(pages.pairs)
    clicked = (pages.clicks > 0).astype(np.float64)
    return shrunk(pair_totals(pages, pages.rewards), pair_totals(pages, clicked))
