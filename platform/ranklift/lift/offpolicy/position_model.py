"""The position-based model as off-policy estimates need it: examination by rank, then pairs.

    P(click on pair d at rank r) = theta_r * alpha_d

Examination comes from the caller, or from the log where rankers disagreed enough to tell
(`ranklift.clicks.pbm`). Given it, a pair's attractiveness is its clicks over its expected
examinations, drawn to the mean: with a deterministic logger every pair has few ranks, and this
needs none to repeat.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ranklift.clicks.counts import count
from ranklift.clicks.em import NotIdentified
from ranklift.clicks.pbm import DEFAULT_EXAMINATION
from ranklift.clicks.pbm import fit as fit_pbm
from ranklift.lift.offpolicy.models import fit_reward_per_click, of_pairs, pair_totals, shrunk
from ranklift.lift.offpolicy.pages import LoggedPages
from ranklift.lift.offpolicy.policy import NOTHING, Bools, Floats, Ints
from ranklift.lift.values import Unavailable
from ranklift.v1.errors import InvalidRequest

# Of the gain in log-likelihood by impression: examination is then found to about 0.0005, a small
# part of its sampling error.
TOLERANCE = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class PositionModel:
    """`theta`, shape (ranks,), relative to the first rank; the others run along the pairs."""

    theta: Floats
    alpha: Floats
    reward_per_click: Floats
    seen: Bools

    def examination(self, lists: Ints) -> Floats:
        return np.broadcast_to(self.theta[: lists.shape[1]], lists.shape)

    def clicks(self, lists: Ints) -> Floats:
        # Not cut at 1: that would take from sums what chance put there, and leave what it took.
        return self.examination(lists) * of_pairs(self.alpha, lists)

    def first_clicks(self, lists: Ints) -> Floats:
        clicks = np.minimum(self.clicks(lists), 1.0)
        return clicks * none_above(clicks)


def fit_position(
    pages: LoggedPages, examination: Sequence[float] | None = None
) -> PositionModel | Unavailable:
    """Return the model of a log, or why the log cannot tell it.

    `examination`, one for each rank, is taken as it is; without, it is fitted.

    Raises:
        InvalidRequest: fewer examinations than ranks, or one that is not positive and finite.
    """
    if examination is None:
        fitted = _fitted_examination(pages)
        if isinstance(fitted, Unavailable):
            return fitted
        theta = fitted
    else:
        theta = np.asarray(examination, dtype=np.float64)
        if len(theta) < pages.ranks or not (np.isfinite(theta) & (theta > 0)).all():
            raise InvalidRequest.of(
                "examination",
                f"{examination} must be one positive number for each of the {pages.ranks} ranks",
            )
    looked = np.where(pages.shown != NOTHING, theta[: pages.ranks], 0.0)
    clicked = (pages.clicks > 0).astype(np.float64)
    examined = pair_totals(pages, looked)
    return PositionModel(
        theta=theta,
        alpha=shrunk(pair_totals(pages, clicked), examined),
        reward_per_click=fit_reward_per_click(pages),
        seen=examined > 0,
    )


def default_examination(ranks: int) -> tuple[float, ...]:
    """Return the curve of a large web-search log; its last value goes on beyond its end."""
    known = DEFAULT_EXAMINATION
    return tuple(known[min(rank, len(known) - 1)] for rank in range(ranks))


def none_above(clicks: Floats) -> Floats:
    """Return the probability of no click above each rank, for independent clicks."""
    skipped = np.cumprod(1 - clicks, axis=1)
    return np.concatenate([np.ones((len(clicks), 1)), skipped[:, :-1]], axis=1)


def _fitted_examination(pages: LoggedPages) -> Floats | Unavailable:
    there = pages.shown != NOTHING
    # The fit wants pairs without a gap; those of the candidate alone were never shown.
    pair = np.unique(pages.shown[there], return_inverse=True)[1]
    rank = np.broadcast_to(np.arange(pages.ranks), pages.shown.shape)[there]
    if not (pages.clicks > 0).any():
        return Unavailable("the log has no click; there is nothing to learn from")
    try:
        counts = count(pair, rank, np.ones(len(pair)), (pages.clicks > 0)[there])
        examination = fit_pbm(counts, tolerance=TOLERANCE).parameters["examination"].value
        return np.asarray(examination / examination[0])
    except NotIdentified as why:
        return Unavailable(
            f"the log cannot tell how often each rank is examined: {why}; or give the examination"
        )
