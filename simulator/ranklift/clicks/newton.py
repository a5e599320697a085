"""Maximum likelihood for models that read down the page, by Newton's method.

The second derivatives form an arrow matrix, so a step costs little more than
they do, and ten or so lead to a maximum that gradients alone take hundreds to
reach: a page that ends in a click says nearly the same of a low continuation
and of a high satisfaction. Their inverse is then the covariance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ranklift.clicks.likelihood import Formula, Likelihood, blocks_by_tail, probability, terms_of
from ranklift.clicks.log import NO_PAIR, ClickLog
from ranklift.clicks.model import Estimate
from ranklift.clicks.pbm import BetaPrior
from ranklift.clicks.results import Floats
from ranklift.clicks.tails import Tails, tails_of

GAIN = 1e-4  # nats: every parameter is then within a hundredth of its error of the maximum
LONGEST_STEP, SHORTEST_STEP = 0.3, 1e-6  # in radians
EDGE = 1e-9  # how near to 0 or 1 a probability is one of them


@dataclass(frozen=True, slots=True, eq=False)
class Maximum:
    """Where the likelihood is greatest, with errors from the observed information."""

    browsing: Estimate  # (browsing parameters,)
    attractiveness: Estimate  # (pairs,)
    satisfaction: Estimate  # (pairs,); (0,) for a model without
    log_likelihood: Floats  # (iterations + 1,)


def maximise(log: ClickLog, formula: Formula, prior: BetaPrior, max_iterations: int) -> Maximum:
    """Return the maximum; it stops when a step promises less than `GAIN`.

    The prior acts on every parameter.

    Raises:
        ValueError: more results than can be handled meet on pages.
    """
    counts = tails_of(log)
    clicks, skips = np.zeros((2, formula.size))
    of_pairs = slice(formula.browsing, formula.browsing + log.pairs)
    clicks[of_pairs], skips[of_pairs] = counts.clicks, counts.skips
    if formula.after_skip is not None:
        clicks[formula.after_skip] = counts.skips.sum()  # every one of them went on
    likelihood = Likelihood(
        formula,
        tuple(terms_of(counts, formula)),
        blocks_by_tail(counts, formula),
        clicks + prior.clicks,
        skips + prior.skips,
    )

    def of_log(value: float, angle: Floats) -> float:
        p = probability(angle)
        credit = 0.0
        if prior.clicks:
            credit += prior.clicks * np.log(p).sum()
        return value - credit - prior.skips * np.log1p(-p).sum()

    angle = np.arcsin(np.sqrt(_start(counts, formula, prior)))
    here = likelihood.derivatives(angle)
    trace = [of_log(here.value, angle)]
    for _ in range(max_iterations):
        step = here.information.solve(here.gradient)
        if here.gradient @ step / 2 < GAIN:
            break
        step = np.clip(step, -LONGEST_STEP, LONGEST_STEP)
        while not likelihood.value(angle + step) >= here.value:
            step = step / 2
            if np.abs(step).max() < SHORTEST_STEP: break
        angle = angle + step
        here = likelihood.derivatives(angle)
        trace.append(of_log(here.value, angle))
    p = probability(angle)
    # From angles to probabilities by the delta method, exact where the gradient is 0.
    error = np.abs(np.sin(2 * angle)) * np.sqrt(here.information.inverse_diagonal())
    value = np.where(p < EDGE, 0.0, np.where(p > 1 - EDGE, 1.0, p))
    cuts = [formula.browsing, formula.browsing + log.pairs]
    parts = zip(np.split(value, cuts), np.split(error, cuts), strict=True)
    return Maximum(*(Estimate(*part) for part in parts), np.array(trace))


def _start(counts: Tails, formula: Formula, prior: BetaPrior) -> Floats:
    """Return probabilities to start from: as if nothing below a last click was looked at."""
    clicked = counts.last_pair != NO_PAIR
    last = np.bincount(counts.last_pair[clicked], counts.weight[clicked], formula.pairs)
    attractiveness = (counts.clicks + 1) / (counts.clicks + counts.skips + 2)
    satisfaction = (last + 1) / (counts.clicks + 2)
    return np.concatenate(
        [
            np.full(formula.browsing, 0.8),
            attractiveness,
            satisfaction[: formula.pairs * formula.satisfaction],
        ]
    )
