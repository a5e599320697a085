"""Team draft: the ranking with the fewest picks adds its best document that is not there yet.

Radlinski, Kurup and Joachims, "How does clickthrough data reflect retrieval quality?", CIKM 2008,
section 3.2; for more than two rankings it is team-draft multileaving, Schuth et al.,
"Multileaved comparisons for fast online evaluation", CIKM 2014.

One thing is different here: a document that all rankings would add next, when all have as many
picks, is on no team. In the papers a coin gives it to one of them, which tells nothing and adds
noise. With two rankings a round then shows the same two documents whoever begins, so that what
comes below does not depend on the coin.
"""

from __future__ import annotations

from collections.abc import Sequence

from ranklift.traffic.draws import Draws, below
from ranklift.traffic.interleaving.values import (
    NO_TEAM,
    Interleaved,
    Page,
    Ranking,
    next_of,
    winner,
)


def interleave(rankings: Sequence[Ranking], places: int, draws: Draws) -> Interleaved:
    """Return the first `places` of the page, and who picked."""
    documents: list[int] = []
    teams: list[int] = []
    shown: set[int] = set()
    waiting: list[int] = []  # rankings that did not pick in this round
    while len(documents) < places:
        if not waiting:
            best = {next_of(ranking, shown) for ranking in rankings}
            if len(best) == 1:
                (document,) = best
                documents.append(document)
                teams.append(NO_TEAM)
                shown.add(document)
                continue
            waiting = list(range(len(rankings)))
        team = waiting.pop(below(draws, len(waiting)) if len(waiting) > 1 else 0)
        document = next_of(rankings[team], shown)
        documents.append(document)
        teams.append(team)
        shown.add(document)
    return Interleaved(tuple(documents), tuple(teams))


def credit(page: Page, clicked: Sequence[bool]) -> tuple[float, ...]:
    """Return the clicks on each ranking's team."""
    won = [0.0] * len(page.ranks)
    for team, click in zip(page.teams, clicked, strict=True):
        if click and team != NO_TEAM:
            won[team] += 1
    return tuple(won)


def vote(page: Page, clicked: Sequence[bool], one: int, other: int) -> float:
    """Return 1 where the clicks credit ranking `one` more, -1 where they do `other`, else 0."""
    return winner(credit(page, clicked), one, other)
