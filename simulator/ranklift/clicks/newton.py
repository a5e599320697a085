"""Maximum likelihood for models that read down the page, by Newton's method.

The second derivatives form an arrow matrix, so a step costs little more than
they do, and ten or so lead to a maximum that gradients alone take hundreds to
reach: a page that ends in a click says nearly the same of a low continuation
and of a high satisfaction. Their inverse is then the covariance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import xlog1py, xlogy

from ranklift.clicks.em import BetaPrior
from ranklift.clicks.likelihood import Formula, Likelihood, blocks_by_tail, probability, terms_of
from ranklift.clicks.log import NO_PAIR, ClickLog
from ranklift.clicks.model import Estimate
from ranklift.clicks.results import Floats
from ranklift.clicks.tails import Tails, tails_of

GAIN = 1e-5  # nats for each parameter: it is then about 1/200 of its error from the maximum
LONGEST_STEP, SHORTEST_STEP = 0.7, 1e-6  # in radians
EDGE = 1e-9  # so near to 0 or 1 a probability is one of them


@dataclass(frozen=True, slots=True, eq=False)
class Maximum:
    """Where the likelihood is greatest, with errors from the observed information."""

    browsing: Estimate  # (browsing parameters,)
    attractiveness: Estimate  # (pairs,)
    satisfaction: Estimate | None  # (pairs,)
    log_likelihood: Floats  # (iterations + 1,), without the prior


def maximise(log: ClickLog, formula: Formula, prior: BetaPrior, max_iterations: int) -> Maximum:
    """Return the maximum, of the likelihood times the prior of every parameter.

    It stops when a step gains less than `GAIN`. What the log says nothing about has a NaN
    error: satisfaction with a pair that was never clicked (its value is 1/2 or the prior's
    mean) and attractiveness of one never shown (NaN or the prior's mean).

    Raises:
        ValueError: more results meet on pages than can be handled.
    """
    counts = tails_of(log)
    likelihood = _likelihood(counts, formula, prior)

    def log_prior(angle: Floats) -> float:
        p = probability(angle)
        return float(xlogy(prior.clicks, p).sum() + xlog1py(prior.skips, -p).sum())

    angle = np.arcsin(np.sqrt(_start(counts, formula)))
    here = likelihood.derivatives(angle)
    trace = [here.value - log_prior(angle)]
    for _ in range(max_iterations):
        step = here.information.step(here.gradient, LONGEST_STEP)
        while not likelihood.value(angle + step) >= here.value:
            step = step / 2
            if np.abs(step).max() < SHORTEST_STEP:
                break
        else:
            angle, before = angle + step, here.value
            here = likelihood.derivatives(angle)
            trace.append(here.value - log_prior(angle))
            if here.value - before >= GAIN * formula.size:
                continue
        break
    p = probability(angle)
    p = np.where(p < EDGE, 0.0, np.where(p > 1 - EDGE, 1.0, p))
    # By the delta method; exact where the gradient is 0.
    error = np.abs(np.sin(2 * angle)) * np.sqrt(here.information.inverse_diagonal())
    never_shown = np.bincount(log.pair[log.shown], minlength=log.pairs) == 0
    where = formula.browsing + never_shown.nonzero()[0]
    error[where] = np.nan
    if not prior:
        p[where] = np.nan
    cuts = [formula.browsing, formula.browsing + log.pairs]
    browsing, attractiveness, satisfaction = (
        Estimate(*part) for part in zip(np.split(p, cuts), np.split(error, cuts), strict=True)
    )
    return Maximum(
        browsing, attractiveness, satisfaction if formula.satisfaction else None, np.array(trace)
    )


def _likelihood(counts: Tails, formula: Formula, prior: BetaPrior) -> Likelihood:
    clicks, skips = np.zeros((2, formula.size))
    of_pairs = slice(formula.browsing, formula.browsing + formula.pairs)
    clicks[of_pairs], skips[of_pairs] = counts.clicks, counts.skips
    if formula.after_skip is not None:
        clicks[formula.after_skip] = counts.skips.sum()  # above a click: all went on
    return Likelihood(
        formula,
        tuple(terms_of(counts, formula)),
        blocks_by_tail(counts, formula),
        clicks + prior.clicks,
        skips + prior.skips,
    )


def _start(counts: Tails, formula: Formula) -> Floats:
    """Return probabilities to start from: as if nothing below a last click was looked at."""
    last_of = counts.last_pair != NO_PAIR
    last = np.bincount(counts.last_pair[last_of], counts.weight[last_of], formula.pairs)
    attractiveness = (counts.clicks + 1) / (counts.clicks + counts.skips + 2)
    satisfaction = (last + 1) / (counts.clicks + 2) if formula.satisfaction else np.zeros(0)
    return np.concatenate([np.full(formula.browsing, 0.8), attractiveness, satisfaction])
