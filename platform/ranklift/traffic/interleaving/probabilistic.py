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
    places = places_of(page)
    all_of_one = sum(rank**-DECAY for rank in range(1, places + 1))
    left = [all_of_one] * len(page.ranks)
    won = [0.0] * len(page.ranks)
    for place in range(places):
        weights = [
            ranks[place] ** -DECAY if ranks[place] <= places else 0.0 for ranks in page.ranks
        ]
        if clicked[place]:
            chances = [
                weight / rest if weight else 0.0 for weight, rest in zip(weights, left, strict=True)
            ]
            total = sum(chances)
            for i, chance in enumerate(chances):
                won[i] += chance / total
        left = [rest - weight for weight, rest in zip(weights, left, strict=True)]
    return tuple(won)
