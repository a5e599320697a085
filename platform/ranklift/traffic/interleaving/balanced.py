"""Balanced: two rankings take turns from their tops, one of them, by a coin, always ahead.

Joachims, "Optimizing search engines using clickthrough data", KDD 2002; credit as in Chapelle,
Joachims, Radlinski and Yue, "Large-scale validation and analysis of interleaved search evaluation",
TOIS 2012, section 3.1. Where one ranking is the other moved by one place, a user who clicks at
random prefers one of them (same paper): take team draft unless results of old are to be met.
"""

from __future__ import annotations

from collections.abc import Sequence

from ranklift.traffic.draws import Draws, below
from ranklift.traffic.interleaving.values import (
    NO_TEAM,
    Interleaved,
    Page,
    Ranking,
    places_of,
    winner,
)


def interleave(rankings: Sequence[Ranking], places: int, draws: Draws) -> Interleaved:
    """Return the first `places` of the page; there are no teams."""
    first = below(draws, 2)
    at = [0, 0]
    documents: list[int] = []
    while len(documents) < places:
        ahead = first if at[0] == at[1] else int(at[1] < at[0])
        document = rankings[ahead][at[ahead]]
        at[ahead] += 1
        if document not in documents:
            documents.append(document)
    return Interleaved(tuple(documents), (NO_TEAM,) * places)


def credit(page: Page, clicked: Sequence[bool]) -> tuple[float, ...]:
    """Return how many clicked documents are in the first k of each ranking.

    k is the smallest with which the lowest click is in the first k of one of them: no ranking is
    judged by documents that it showed only because the user went on.
    """
    places = places_of(page)
    clicks = [place for place in range(places) if clicked[place]]
    if not clicks:
        return (0.0, 0.0)
    depth = min(ranks[clicks[-1]] for ranks in page.ranks)
    zero, one = (float(sum(ranks[at] <= depth for at in clicks)) for ranks in page.ranks)
    return zero, one


def vote(page: Page, clicked: Sequence[bool], one: int, other: int) -> float:
    """Return 1 where the clicks credit ranking `one` more, -1 where they do `other`, else 0."""
    return winner(credit(page, clicked), one, other)
