"""Probabilistic: each place draws a ranking, and that draws a document, the better the likelier.

Hofmann, Whiteson and de Rijke, "A probabilistic method for inferring preferences from clicks", CIKM
2011: P(document) is in proportion to 1 / rank^3 among what is not shown yet. Which ranking was
drawn is not used: a click's credit is shared as likely as each ranking is to have put the document
there, given what stands above, so every click on a page where the rankings differ says something.
For more than two rankings: Schuth et al., "Probabilistic multileave for online retrieval
evaluation", SIGIR 2015.

A ranking takes part with as many of its documents as places are interleaved, so that the log holds
all that credit needs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ranklift.traffic.draws import Draws, below, weighted
from ranklift.traffic.interleaving.values import NO_TEAM, Interleaved, Page, Ranking, places_of

DECAY = 3


def interleave(rankings: Sequence[Ranking], places: int, draws: Draws) -> Interleaved:
    """Return the first `places` of the page; there are no teams."""
    documents: list[int] = []
    for _ in range(places):
        ranking = rankings[below(draws, len(rankings))][:places]
        left = [
            (document, rank**-DECAY)
            for rank, document in enumerate(ranking, start=1)
            if document not in documents
        ]
        documents.append(left[weighted(draws, [weight for _, weight in left])][0])
    return Interleaved(tuple(documents), (NO_TEAM,) * places)


def credit(page: Page, clicked: Sequence[bool]) -> tuple[float, ...]:
    """Return the clicks that each ranking is expected to have caused, given the page."""
    caused = _caused(page, clicked)
    return tuple(math.fsum(chances[i] for chances in caused) for i in range(len(page.ranks)))


def vote(page: Page, clicked: Sequence[bool], one: int, other: int) -> float:
    """Return how much likelier it is that `one` caused more clicks than that `other` did.

    Not who has more credit: a list that one ranking would hardly have made is rare, and its votes
    would have to weigh more. Over all assignments, users who click at random are for nobody.
    """
    ahead = {0: 1.0}  # by how many clicks, and how likely
    for chances in _caused(page, clicked):
        steps = {1: chances[one], -1: chances[other], 0: 1 - chances[one] - chances[other]}
        moved: dict[int, float] = {}
        for lead, likely in ahead.items():
            for step, chance in steps.items():
                moved[lead + step] = moved.get(lead + step, 0.0) + likely * chance
        ahead = moved
    return math.fsum(
        likely if lead > 0 else -likely for lead, likely in sorted(ahead.items()) if lead
    )


def _caused(page: Page, clicked: Sequence[bool]) -> list[list[float]]:
    """Return how likely each ranking put each clicked document there, given what is above it."""
    places = places_of(page)
    all_of_one = sum(rank**-DECAY for rank in range(1, places + 1))
    left = [all_of_one] * len(page.ranks)
    caused = []
    for place in range(places):
        weights = [
            ranks[place] ** -DECAY if ranks[place] <= places else 0.0 for ranks in page.ranks
        ]
        if clicked[place]:
            chances = [
                weight / rest if weight else 0.0 for weight, rest in zip(weights, left, strict=True)
            ]
            total = sum(chances)
            caused.append([chance / total for chance in chances])
        left = [rest - weight for weight, rest in zip(weights, left, strict=True)]
    return caused
