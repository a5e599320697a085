"""Rankings of the same documents become one page, and its clicks tell which is preferred.

Every method is a file with three functions: `interleave` makes the first places of a page, `credit`
says, from what is logged of it, what its clicks are worth to each ranking, and `vote` what they say
between two of them: a number in [-1, 1] that is 0 on average for users who click at random. The
rest of the page follows by the sum of ranks, ties as in the request, and credits nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ranklift.events.values import InterleavedPage
from ranklift.store.values import InterleavingMethod
from ranklift.traffic.draws import Draws
from ranklift.traffic.interleaving import balanced, optimized, probabilistic, team_draft
from ranklift.traffic.interleaving.values import NO_TEAM, PLACES, Interleaved, Page, Ranking

METHODS: Mapping[
    InterleavingMethod, Callable[[Sequence[Ranking], int, Draws], Interleaved | None]
] = {
    InterleavingMethod.TEAM_DRAFT: team_draft.interleave,
    InterleavingMethod.BALANCED: balanced.interleave,
    InterleavingMethod.PROBABILISTIC: probabilistic.interleave,
    InterleavingMethod.OPTIMIZED: optimized.interleave,
}

# What the clicks on a page, along its interleaved order, say between two of its rankings; by the
# method that the page was logged with.
Vote = Callable[[Page, Sequence[bool], int, int], float]
VOTES: Mapping[str, Vote] = {
    InterleavingMethod.TEAM_DRAFT: team_draft.vote,
    InterleavingMethod.BALANCED: balanced.vote,
    InterleavingMethod.PROBABILISTIC: probabilistic.vote,
    InterleavingMethod.OPTIMIZED: optimized.vote,
}


def interleave(
    method: InterleavingMethod,
    rankings: Mapping[int, Ranking],
    models: Sequence[str],
    shown: int,
    draws: Draws,
) -> tuple[tuple[int, ...], InterleavedPage]:
    """Return the documents of a page of `shown` in order, and what to log of it.

    `rankings` are those of the `models` that answered, by number, at least one; each holds the
    same documents. Those of the others are missing, and the page is degraded.
    """
    there = sorted(rankings)
    given = [rankings[i] for i in there]
    places = min(PLACES, shown)
    # One ranking is the page.
    made = METHODS[method](given, places, draws) if len(given) > 1 else Interleaved((), ())
    if made is None:
        method = InterleavingMethod.TEAM_DRAFT
        made = team_draft.interleave(given, places, draws)
    rank_of = [
        {document: rank for rank, document in enumerate(ranking, start=1)} for ranking in given
    ]
    rest = set(given[0]).difference(made.documents)
    order = (
        *made.documents,
        *sorted(rest, key=lambda document: (sum(of[document] for of in rank_of), document)),
    )[:shown]
    ranks: list[tuple[int, ...]] = [()] * len(models)
    for i, of in zip(there, rank_of, strict=True):
        ranks[i] = tuple(of[document] for document in order)
    teams = [there[team] if team != NO_TEAM else NO_TEAM for team in made.teams]
    teams += [NO_TEAM] * (len(order) - len(teams))
    return order, InterleavedPage(
        method=str(method),
        models=tuple(models),
        teams=tuple(teams),
        ranks=tuple(ranks),
        missing=tuple(model for i, model in enumerate(models) if i not in rankings),
    )
