"""Orders disturbed by a chance that is known: `disturb` draws one, `logged` says how likely.

What is logged is the chance of the whole mixture: a page that was left alone has a propensity too,
which counts the pages left alone and those on which the draw changed nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranklift.events.values import ExploredPage
from ranklift.store.values import Exploration, ExplorationMethod
from ranklift.traffic.draws import Draws, below, weighted

# Documents whose scores are further apart than this many temperatures change places too rarely
# for the importance weights to be of use; as if they were so far apart, every order has a chance.
MAX_GAP = 20.0
# Of `_position_chances`: nodes this far apart, in the logarithm of time, make its error that of
# rounding, for the integrand is analytic up to pi / 2 off the real line.
_STEP = 0.25
_TAIL = 36.0

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Explored:
    """What was done to an order: documents with these `scores`, best first, got these 1-based
    `ranks`, along the order shown."""

    exploration: Exploration
    scores: tuple[float, ...]
    ranks: tuple[int, ...]


def disturb(exploration: Exploration, scores: Sequence[float], draws: Draws) -> tuple[int, ...]:
    """Return the 1-based ranks of the documents in the order to show.

    `scores` are those of the ranked documents, best first.
    """
    ranks = list(range(1, len(scores) + 1))
    places = min(exploration.top_k, len(scores))
    if places < 2 or draws.uniform() >= exploration.probability:
        return tuple(ranks)
    match exploration.method:
        case ExplorationMethod.SWAP:
            one = below(draws, places)
            other = below(draws, places - 1)
            other += other >= one
            ranks[one], ranks[other] = ranks[other], ranks[one]
        case ExplorationMethod.PLACKETT_LUCE:
            left = list(enumerate(_weights(exploration, scores[:places]), start=1))
            for place in range(places):
                ranks[place] = left.pop(weighted(draws, [weight for _, weight in left]))[0]
    return tuple(ranks)


def logged(explored: Explored) -> ExploredPage:
    """Return how likely the order of a page was, for the log."""
    exploration, scores, ranks = explored.exploration, explored.scores, explored.ranks
    places = min(exploration.top_k, len(scores))
    top = list(ranks[:places])
    if places < 2:
        whole, at = 1.0, [1.0] * places
    elif exploration.method is ExplorationMethod.SWAP:
        whole, at = _swapped(exploration.probability, top)
    else:
        whole, at = _drawn(exploration, scores[:places], top)
    return ExploredPage(
        method=str(exploration.method),
        ranks=tuple(ranks),
        list_propensity=whole,
        position_propensities=(*at, *[1.0] * (len(ranks) - places)),
    )


def _swapped(probability: float, ranks: Sequence[int]) -> tuple[float, list[float]]:
    """Return the chance of an order, and of each document at its place.

    Each of k (k - 1) / 2 pairs is as likely, and k - 1 of them move a given document.
    """
    k = len(ranks)
    a_pair = probability / (k * (k - 1) / 2)
    stayed = 1 - probability * 2 / k
    moved = [rank != place for place, rank in enumerate(ranks, start=1)]
    return a_pair if any(moved) else 1 - probability, [a_pair if one else stayed for one in moved]


def _drawn(
    exploration: Exploration, scores: Sequence[float], ranks: Sequence[int]
) -> tuple[float, list[float]]:
    probability = exploration.probability
    weights = np.array(_weights(exploration, scores))[np.array(ranks) - 1]  # in the order shown
    # Sums from the end: nothing cancels.
    whole = float(np.prod(weights / np.cumsum(weights[::-1])[::-1]))
    alone = np.array([rank == place for place, rank in enumerate(ranks, start=1)])
    at = probability * _position_chances(weights) + (1 - probability) * alone
    return probability * whole + (1 - probability) * bool(alone.all()), at.tolist()


def _weights(exploration: Exploration, scores: Sequence[float]) -> list[float]:
    """Return exp(score / temperature) up to a factor, `MAX_GAP` observed."""
    best = max(scores)
    return [math.exp(-min((best - score) / exploration.temperature, MAX_GAP)) for score in scores]


def _position_chances(weights: Floats) -> Floats:
    """Return P(document i is drawn i-th) under Plackett-Luce, for all i; (documents,).

    Plackett-Luce is a race: document j arrives at an exponential time with rate w_j. So
    P = integral of w_i exp(-w_i t) P(exactly i - 1 of the others arrived by t) dt, with the number
    of arrivals by dynamic programming over the documents before and after i, and the trapezoid
    rule over log t. Exact but for rounding, at a cost of documents^2.
    """
    number = len(weights)
    low, high = -math.log(float(weights.sum())) - _TAIL, -math.log(float(weights.min())) + 4
    x = np.linspace(low, high, math.ceil((high - low) / _STEP) + 1)
    rates = weights[:, None] * np.exp(x)  # (documents, nodes)
    arrived, waiting = -np.expm1(-rates), np.exp(-rates)
    before = _counts(arrived, waiting)
    after = _counts(arrived[::-1], waiting[::-1])[::-1]
    chances = np.empty(number)
    for i in range(number):
        # i others: a of those before i, the rest of those after it.
        others = sum(before[i, a] * after[i, i - a] for a in range(i + 1))
        chances[i] = ((rates[i] * waiting[i]) * others).sum() * (x[1] - x[0])
    return np.minimum(chances, 1.0)


def _counts(arrived: Floats, waiting: Floats) -> Floats:
    """Return the chance that exactly c of the first i documents arrived; [i, c, node]."""
    number, nodes = arrived.shape
    found = np.zeros((number, number, nodes))
    found[0, 0] = 1
    for i in range(1, number):
        found[i] = found[i - 1] * waiting[i - 1]
        found[i, 1:] += found[i - 1, :-1] * arrived[i - 1]
    return found
