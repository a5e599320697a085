"""Position-based estimates: what a document gets where the candidate puts it.

By the position-based model a document earns theta_rank times something of its own. So a reward
that it earned at the logged rank, times

    w = E_pi[theta of the document's rank] / E_pi0[theta of the document's rank],

is what it would earn in the candidate's list. Li et al., "Offline evaluation of ranking policies
with click models" (KDD 2018, arXiv 1804.10488). Where the logger's policy is not known, or always
the same list, the denominator is the examination of the logged rank: Wood and Sidana, "Inverse
propensity score based offline estimator for deterministic ranking lists using position bias"
(arXiv 2208.14980), who found strong correlation with online results and a constant bias. A
document that the candidate shows and the log does not is missing from the sum, not from the
truth: that is the share of support.
"""

from __future__ import annotations

import numpy as np

from ranklift.lift.offpolicy.direct import model_value
from ranklift.lift.offpolicy.models import ClickModel, expected_rewards
from ranklift.lift.offpolicy.pages import LoggedPages
from ranklift.lift.offpolicy.policy import NOTHING, Floats, Policy, at_documents, expected_by_rank
from ranklift.lift.offpolicy.position_model import PositionModel
from ranklift.lift.offpolicy.terms import Terms, clip
from ranklift.lift.values import Unavailable

NOT_ADDITIVE = Unavailable(
    "page_ctr is no sum over ranks that stand for themselves; take clicks_per_page, or a direct, "
    "whole-list or cascade estimator"
)
NOT_BY_POSITION = Unavailable("needs a position-based model, in which the rank alone is examined")


def position_based(
    pages: LoggedPages, target: Policy, model: ClickModel, *, largest: float | None = None
) -> Terms | Unavailable:
    """Return the terms of sum_l w_l r_l."""
    return _estimate(pages, target, model, np.zeros(len(pages.units)), np.zeros(1), largest)


def position_based_doubly_robust(
    pages: LoggedPages, target: Policy, model: ClickModel, *, largest: float | None = None
) -> Terms | Unavailable:
    """Return the terms of E_pi[q(list)] + sum_l w_l (r_l - q(shown list)_l), q the model's reward.

    The candidate's documents that the log does not show count as the model sees them. Where a
    query had one list and that showed them all, guess and correction cancel: it is the same as
    without a guess.
    """
    guessed = expected_rewards(model, pages.metric, pages.shown)
    return _estimate(pages, target, model, model_value(pages, target, model), guessed, largest)


def _estimate(
    pages: LoggedPages,
    target: Policy,
    model: ClickModel,
    baseline: Floats,
    guessed: Floats,
    largest: float | None,
) -> Terms | Unavailable:
    if not pages.additive:
        return NOT_ADDITIVE
    if not isinstance(model, PositionModel):
        return NOT_BY_POSITION
    there = pages.shown != NOTHING
    logged = model.examination(pages.shown)
    if isinstance(pages.logger, Policy):
        logged = np.where(there, at_documents(pages.logger, pages.shown, model.examination), 1.0)
    if not (logged > 0).all():
        return Unavailable("the logger's policy never shows what was shown")
    wanted = at_documents(target, pages.shown, model.examination)
    raw = np.where(there, wanted / logged, 0.0)
    weights, clipped = clip(raw, there, largest)
    value = baseline + (weights * (pages.rewards - guessed)).sum(axis=1)
    return Terms(
        numerator=value[:, None],
        denominator=np.ones((len(value), 1)),
        weights=weights,
        counted=there,
        covered=(raw * np.where(there, model.examination(pages.shown), 0.0)).sum(axis=1),
        wanted=expected_by_rank(target, pages.shown, model.examination).sum(axis=1),
        sampled=isinstance(pages.logger, Policy),
        pooled=True,
        clipped=clipped,
    )
