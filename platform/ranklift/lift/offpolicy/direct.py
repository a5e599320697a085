"""The direct method: let the click model say what the candidate's lists would bring.

Li et al., "Offline evaluation of ranking policies with click models" (KDD 2018, arXiv 1804.10488).
No propensities and no overlap of lists are needed, only pairs that the log has shown; where the
model is wrong, so is the estimate, and no number of pages helps.
"""

from __future__ import annotations

import numpy as np

from ranklift.lift.offpolicy.models import ClickModel, expected_rewards, of_pairs
from ranklift.lift.offpolicy.pages import LoggedPages
from ranklift.lift.offpolicy.policy import Floats, Policy, expected_by_rank
from ranklift.lift.offpolicy.terms import Terms


def direct(pages: LoggedPages, target: Policy, model: ClickModel) -> Terms:
    """Return the terms of mean_i E_pi[sum_r q(list)_r], with q the model's expected reward."""
    value = model_value(pages, target, model)
    one = np.ones((len(value), 1))
    known = expected_by_rank(
        target, pages.shown, lambda lists: of_pairs(model.seen.astype(np.float64), lists)
    )
    return Terms(
        numerator=value[:, None],
        denominator=one,
        weights=one,
        counted=one > 0,
        covered=known.sum(axis=1),
        wanted=expected_by_rank(target, pages.shown, lambda lists: np.ones(lists.shape)).sum(
            axis=1
        ),
        sampled=False,
    )


def model_value(pages: LoggedPages, target: Policy, model: ClickModel) -> Floats:
    """Return what the model expects the candidate to bring on each page; (pages,)."""
    by_rank = expected_by_rank(
        target, pages.shown, lambda lists: expected_rewards(model, pages.metric, lists)
    )
    return np.asarray(by_rank.sum(axis=1))
