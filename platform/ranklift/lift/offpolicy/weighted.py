"""Importance weighting by the logger's propensities; the names say what is independent of what.

With w(x) = pi(x) / pi_0(x), r_l the reward at rank l and a_l the document there:

    whole list        w(a_1..a_k) sum_l r_l       any behaviour
    position          sum_l w(a_l at l) r_l       a reward depends on its own document and rank
    cascade (RIPS)    sum_l w(a_1..a_l) r_l       a reward depends on nothing below it

McInerney et al., "Counterfactual evaluation of slate recommendations with sequential reward
interactions" (KDD 2020, arXiv 2007.12986) has the three. The self-normalised ones divide by the
mean weight: Swaminathan and Joachims, "The self-normalized estimator for counterfactual learning"
(NeurIPS 2015), here for every rank on its own.
"""

from __future__ import annotations

import numpy as np

from ranklift.lift.offpolicy.pages import LoggedPages, Propensities
from ranklift.lift.offpolicy.policy import NOTHING, Bools, Floats, Policy, positions, prefixes
from ranklift.lift.offpolicy.terms import Terms, clip
from ranklift.lift.values import Unavailable

NO_PROPENSITIES = Unavailable(
    "the log has no propensities; record them when serving, or take a position-based or "
    "click-based estimator"
)


def whole_list(
    pages: LoggedPages,
    target: Policy,
    *,
    self_normalised: bool = False,
    largest: float | None = None,
) -> Terms | Unavailable:
    """Return the terms of IPS over whole lists, or of SNIPS."""
    known = pages.propensities()
    if known is None:
        return NO_PROPENSITIES
    weights = list_weights(pages, target, known)[:, None]
    return _terms(
        weights, pages.rewards.sum(axis=1)[:, None], weights >= 0, self_normalised, largest
    )


def by_position(
    pages: LoggedPages,
    target: Policy,
    *,
    self_normalised: bool = False,
    largest: float | None = None,
) -> Terms | Unavailable:
    """Return the terms of IIPS: every rank weighted on its own."""
    known = pages.propensities()
    if known is None:
        return NO_PROPENSITIES
    if known.position is None:
        return Unavailable("the log has no propensities of single ranks; record them when serving")
    weights = positions(target, pages.shown) / known.position
    return _terms(weights, pages.rewards, pages.shown != NOTHING, self_normalised, largest)


def by_prefix(
    pages: LoggedPages,
    target: Policy,
    *,
    self_normalised: bool = False,
    largest: float | None = None,
) -> Terms | Unavailable:
    """Return the terms of RIPS: every rank weighted together with all above it."""
    known = pages.propensities()
    if known is None:
        return NO_PROPENSITIES
    weights = prefix_weights(pages, target, known)
    if isinstance(weights, Unavailable):
        return weights
    return _terms(weights, pages.rewards, pages.shown != NOTHING, self_normalised, largest)


def list_weights(pages: LoggedPages, target: Policy, known: Propensities) -> Floats:
    """Return pi / pi_0 of each page's whole list; (pages,)."""
    return np.asarray(prefixes(target, pages.shown)[:, -1] / known.whole)


def prefix_weights(pages: LoggedPages, target: Policy, known: Propensities) -> Floats | Unavailable:
    """Return pi / pi_0 of each page's first r documents; (pages, ranks)."""
    if known.prefix is None:
        return Unavailable("the log has no propensities of prefixes; record them when serving")
    return np.asarray(prefixes(target, pages.shown) / known.prefix)


def _terms(
    weights: Floats,
    rewards: Floats,
    counted: Bools,
    self_normalised: bool,
    largest: float | None,
) -> Terms:
    covered = np.where(counted, weights, 0.0)
    cut, clipped = clip(covered, counted, largest)
    # A rank that few pages are long enough to have is divided by its own pages' weights and then
    # counts for that share of pages.
    share = counted.mean(axis=0)
    denominator = cut / np.where(share > 0, share, 1.0) if self_normalised else np.ones(cut.shape)
    shown = share > 0
    return Terms(
        numerator=(cut * rewards)[:, shown],
        denominator=denominator[:, shown],
        weights=cut[:, shown],
        counted=counted[:, shown],
        covered=covered.sum(axis=1),
        wanted=counted.sum(axis=1).astype(np.float64),
        sampled=True,
        clipped=clipped,
    )
