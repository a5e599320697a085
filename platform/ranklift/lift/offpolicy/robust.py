"""Doubly robust estimates: a click model's guess, corrected by weighted residuals.

With known propensities they are unbiased whatever the model says; a good model makes them
precise. Dudik, Langford and Li, "Doubly robust policy evaluation and learning" (ICML 2011) for
whole lists; Kiyohara et al., "Doubly robust off-policy evaluation for ranking policies under the
cascade behavior model" (WSDM 2022, arXiv 2202.01562) rank by rank. The paper fits its Q by
regressions from the last rank up; here a click model gives the same conditional expectation.
"""

from __future__ import annotations

import numpy as np

from ranklift.lift.offpolicy.direct import model_value
from ranklift.lift.offpolicy.models import ClickModel, expected_rewards
from ranklift.lift.offpolicy.pages import LoggedPages, Propensities
from ranklift.lift.offpolicy.policy import (
    NOTHING,
    Bools,
    Floats,
    Ints,
    Policy,
    once_for_each,
    probability_of,
    same_prefix,
)
from ranklift.lift.offpolicy.terms import Terms, clip
from ranklift.lift.offpolicy.weighted import NO_PROPENSITIES, list_weights, prefix_weights
from ranklift.lift.values import Unavailable


def doubly_robust(
    pages: LoggedPages, target: Policy, model: ClickModel, *, largest: float | None = None
) -> Terms | Unavailable:
    """Return the terms of E_pi[q(list)] + w(list) (sum_l r_l - q(shown list))."""
    known = pages.propensities()
    if known is None:
        return NO_PROPENSITIES
    weights = list_weights(pages, target, known)[:, None]
    cut, clipped = clip(weights, weights >= 0, largest)
    residual = pages.rewards.sum(axis=1) - expected_rewards(model, pages.metric, pages.shown).sum(
        axis=1
    )
    value = model_value(pages, target, model) + cut[:, 0] * residual
    return _terms(value, cut, weights >= 0, weights[:, 0], clipped)


def cascade_doubly_robust(
    pages: LoggedPages, target: Policy, model: ClickModel, *, largest: float | None = None
) -> Terms | Unavailable:
    """Return the terms of sum_l [w_{1:l} (r_l - Q_l) + w_{1:l-1} E_pi[Q_l | a_1..a_{l-1}]].

    Q_l is what the model expects from rank l on, given the documents down to l, when the
    candidate fills the ranks below.
    """
    known: Propensities | None = pages.propensities()
    if known is None:
        return NO_PROPENSITIES
    raw = prefix_weights(pages, target, known)
    if isinstance(raw, Unavailable):
        return raw
    there = pages.shown != NOTHING
    weights, clipped = clip(np.where(there, raw, 0.0), there, largest)
    given, above = _to_come(pages, target, model)
    # w_{1:l-1}: the first rank has nothing above it.
    weights_above = np.concatenate([np.ones((len(weights), 1)), weights[:, :-1]], axis=1)
    value = np.where(there, weights * (pages.rewards - given) + weights_above * above, 0.0)
    covered = np.where(there, raw, 0.0)
    return Terms(
        numerator=value.sum(axis=1)[:, None],
        denominator=np.ones((len(value), 1)),
        weights=weights,
        counted=there,
        covered=covered.sum(axis=1),
        wanted=there.sum(axis=1).astype(np.float64),
        sampled=True,
        clipped=clipped,
    )


def _to_come(pages: LoggedPages, target: Policy, model: ClickModel) -> tuple[Floats, Floats]:
    """Return the rewards expected at and below each rank; each (pages, ranks).

    First given the shown documents down to that rank, then given only those above it. 0 where
    the candidate never shows these: such ranks have weight 0.
    """

    def compute(target: Policy, shown: Ints) -> Floats:
        shape = shown.shape
        mass, mass_above = np.zeros(shape), np.zeros(shape)
        given, above = np.zeros(shape), np.zeros(shape)
        for index in range(target.lists.shape[1]):
            of_lists = expected_rewards(model, pages.metric, target.lists[:, index])
            rewards = np.where(shown != NOTHING, of_lists[target.context], 0.0)
            below = np.cumsum(rewards[:, ::-1], axis=1)[:, ::-1]
            same = same_prefix(target, index, shown)
            same_above = np.concatenate([np.ones((shape[0], 1), dtype=bool), same[:, :-1]], axis=1)
            probability = probability_of(target, index)[:, None]
            mass += probability * same
            given += probability * same * below
            mass_above += probability * same_above
            above += probability * same_above * below
        return np.stack([_ratio(given, mass), _ratio(above, mass_above)], axis=1)

    both = once_for_each(target, pages.shown, compute)
    return both[:, 0], both[:, 1]


def _ratio(numerator: Floats, denominator: Floats) -> Floats:
    zeros = np.zeros(numerator.shape)
    return np.divide(numerator, denominator, out=zeros, where=denominator > 0)


def _terms(value: Floats, cut: Floats, counted: Bools, covered: Floats, clipped: float) -> Terms:
    return Terms(
        numerator=value[:, None],
        denominator=np.ones((len(value), 1)),
        weights=cut,
        counted=counted,
        covered=covered,
        wanted=np.ones(len(value)),
        sampled=True,
        clipped=clipped,
    )
