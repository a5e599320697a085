"""Optimised: lists drawn so that no ranking is favoured and differences show best.

Radlinski and Craswell, "Optimized interleaving for online retrieval evaluation", WSDM 2013. A list
is admissible when each of its documents is the best one of some ranking that is not shown yet. Over
these lists a linear program finds the distribution in which a user who looks at the first c
documents and clicks one of them at random prefers no ranking, for every c, and which is expected to
tell most. A click on a document gained each ranking with 1 / rank, its inverse-rank credit.

What a list tells is, as there, the entropy of who wins when a click falls on place i in proportion
to 1 / i; a click on which nobody gains tells nothing. For more than two rankings the constraints
hold for all of them: Schuth et al., "Multileaved comparisons for fast online evaluation", CIKM
2014. The number of lists grows as rankings ^ places; `MAX_LISTS` bounds the places. Where no
distribution satisfies the constraints, the page is a team draft's, and is logged as one: with two
rankings that is rare, with more it is the rule, since each adds a constraint to every place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from ranklift.traffic.draws import Draws, weighted
from ranklift.traffic.interleaving.values import (
    NO_TEAM,
    PLACES,
    Interleaved,
    Page,
    Ranking,
    next_of,
    places_of,
)

MAX_LISTS = 1_024
# Rankings are alike from one page to the next of a popular query.
KEPT = 1_024


def interleave(rankings: Sequence[Ranking], places: int, draws: Draws) -> Interleaved | None:
    """Return the first of `places` of the page, None where no distribution is fair."""
    # By the ranks in the first ranking: queries with other documents share what was solved.
    rank_of = {document: rank for rank, document in enumerate(rankings[0])}
    solved = distribution(
        tuple(tuple(rank_of[document] for document in ranking) for ranking in rankings),
        min(places, depth(len(rankings))),
    )
    if solved is None:
        return None
    _, chosen = solved[weighted(draws, [likely for likely, _ in solved])]
    documents = tuple(rankings[0][rank] for rank in chosen)
    return Interleaved(documents, (NO_TEAM,) * len(documents))


def credit(page: Page, clicked: Sequence[bool]) -> tuple[float, ...]:
    """Return the sum of 1 / rank over the clicked documents, for each ranking."""
    places = min(places_of(page), depth(len(page.ranks)))
    return tuple(
        math.fsum(1 / ranks[place] for place in range(places) if clicked[place])
        for ranks in page.ranks
    )


def vote(page: Page, clicked: Sequence[bool], one: int, other: int) -> float:
    """Return the difference in credit, in parts of what all clicks on one ranking's top are worth.

    Not who has more: fairness is of the credit itself, so its size must count.
    """
    gained = credit(page, clicked)
    places = min(places_of(page), depth(len(page.ranks)))
    return (gained[one] - gained[other]) / sum(1 / rank for rank in range(1, places + 1))


def depth(rankings: int) -> int:
    """Return how many places are interleaved at most: rankings ^ places is at most `MAX_LISTS`."""
    return min(PLACES, int(math.log(MAX_LISTS, rankings) + 1e-9))


@lru_cache(maxsize=KEPT)
def distribution(
    rankings: tuple[tuple[int, ...], ...], places: int
) -> tuple[tuple[float, tuple[int, ...]], ...] | None:
    """Return the lists that may be shown with how likely each is, None when none are fair.

    Every ranking holds 0, 1, ..., documents - 1 in its own order.
    """
    lists = np.array(admissible(rankings, places))  # (lists, places)
    reciprocal = np.empty((len(rankings), len(rankings[0])))
    for i, ranking in enumerate(rankings):
        reciprocal[i, list(ranking)] = 1 / np.arange(1, len(ranking) + 1)
    gained = reciprocal[:, lists]  # (rankings, lists, places)
    ahead = np.cumsum(gained[1:] - gained[:1], axis=2)  # of the first ranking, to each c
    fair = ahead.transpose(0, 2, 1).reshape(-1, len(lists))  # a constraint a row
    found = linprog(
        -_sensitivity(gained),
        A_eq=np.vstack([fair, np.ones(len(lists))]),
        b_eq=np.append(np.zeros(len(fair)), 1.0),
        method="highs",
    )
    if found.x is None:
        return None
    likely = np.where(found.x > 1e-12, found.x, 0.0)
    likely /= likely.sum()
    return tuple(
        (float(likely[i]), tuple(int(one) for one in lists[i])) for i in np.flatnonzero(likely)
    )


def admissible(rankings: Sequence[Ranking], places: int) -> list[tuple[int, ...]]:
    """Return all lists of so many places that the rankings can make."""
    lists: list[tuple[int, ...]] = [()]
    for _ in range(places):
        lists = [
            (*made, document)
            for made in lists
            for document in sorted({next_of(ranking, set(made)) for ranking in rankings})
        ]
    return lists


def _sensitivity(gained: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how much each list is expected to tell; (lists,)."""
    rankings, _, places = gained.shape
    likely = 1 / np.arange(1, places + 1)
    likely /= likely.sum()
    best = gained.max(axis=0) - 1e-12 <= gained
    shared = np.where(best, 1 / best.sum(axis=0), 0.0)
    decided = np.where(best.all(axis=0), 0.0, likely)  # a click on which nobody gains
    won = (shared * decided).sum(axis=2)  # (rankings, lists)
    some = won.sum(axis=0)
    parts = np.divide(won, some, out=np.full(won.shape, 1 / rankings), where=some > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(parts > 0, parts * np.log(parts), 0.0).sum(axis=0)
    return np.asarray(some * entropy)
