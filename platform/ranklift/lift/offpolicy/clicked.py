"""Click-based estimates: the chance that users add where a deterministic logger has none.

What follows a click, such as dwell, belongs to the document and not to its rank. A clicked
document's reward, times how much likelier the candidate gets it clicked,

    w = P(click on the document | candidate) / P(click on the document | logger),

is what it would bring there; where the logger is not known, given the list that it showed.
Tanaka et al., "Off-policy evaluation for ranking policies under deterministic logging policies"
(ICLR 2026, arXiv 2603.21485) name it CIPS, and CDR with a model of the reward after a click, q:

    CDR = sum_d P(click on d | candidate) q_d + sum_l w_l c_l (r_l - q_l).

That the click probabilities come from one of the click models here, fitted to the same log, is
our choice. Where the reward is the click itself, nothing follows it: CDR is then the direct
method, and CIPS the same with noise. With a position-based click model CIPS is position-based
IPS, as attraction cancels in w; a cascade model makes it an estimator of its own.
"""

from __future__ import annotations

import numpy as np

from ranklift.lift.offpolicy.direct import model_value
from ranklift.lift.offpolicy.models import ClickModel, of_pairs
from ranklift.lift.offpolicy.pages import LoggedPages
from ranklift.lift.offpolicy.policy import NOTHING, Floats, Policy, at_documents, expected_by_rank
from ranklift.lift.offpolicy.position import NOT_ADDITIVE
from ranklift.lift.offpolicy.terms import Terms, clip
from ranklift.lift.values import Unavailable


def click_based(
    pages: LoggedPages, target: Policy, model: ClickModel, *, largest: float | None = None
) -> Terms | Unavailable:
    """Return the terms of CIPS, sum_l w_l c_l r_l; a reward is there only with its click."""
    return _estimate(pages, target, model, np.zeros(len(pages.units)), np.zeros(1), largest)


def click_based_doubly_robust(
    pages: LoggedPages, target: Policy, model: ClickModel, *, largest: float | None = None
) -> Terms | Unavailable:
    """Return the terms of CDR."""
    after_click = of_pairs(model.reward_per_click, pages.shown)
    return _estimate(pages, target, model, model_value(pages, target, model), after_click, largest)


def _estimate(
    pages: LoggedPages,
    target: Policy,
    model: ClickModel,
    baseline: Floats,
    after_click: Floats,
    largest: float | None,
) -> Terms | Unavailable:
    if not pages.additive:
        return NOT_ADDITIVE
    there = pages.shown != NOTHING
    clicked = (pages.clicks > 0).astype(np.float64)
    here = model.clicks(pages.shown)
    logged = here
    if isinstance(pages.logger, Policy):
        logged = at_documents(pages.logger, pages.shown, model.clicks)
    if not (logged[pages.clicks > 0] > 0).all():
        return Unavailable("the click model gives a clicked document no chance of a click")
    raw = np.divide(
        at_documents(target, pages.shown, model.clicks),
        logged,
        out=np.zeros(pages.shown.shape),
        where=there & (logged > 0),
    )
    weights, clipped = clip(raw, there, largest)
    value = baseline + (weights * (pages.rewards - clicked * after_click)).sum(axis=1)
    return Terms(
        numerator=value[:, None],
        denominator=np.ones((len(value), 1)),
        weights=weights,
        counted=there,
        covered=(raw * here).sum(axis=1),
        wanted=expected_by_rank(target, pages.shown, model.clicks).sum(axis=1),
        sampled=isinstance(pages.logger, Policy),
        pooled=True,
        clipped=clipped,
    )
