"""What the methods of interleaving take and return."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Ranking = Sequence[int]  # documents, as numbers, best first

# At most so many places of a page are interleaved. What follows belongs to nobody: clicks that far
# down are few, and some methods cannot afford more.
PLACES = 10
NO_TEAM = -1


class Page(Protocol):
    """What is logged of an interleaved page (`ranklift.events.values.InterleavedPage`), in the
    order in which it was interleaved."""

    @property
    def teams(self) -> Sequence[int]: ...
    @property
    def ranks(self) -> Sequence[Sequence[int]]: ...


@dataclass(frozen=True, slots=True)
class Interleaved:
    """The first places of a page, and the team of each: which ranking put the document there,
    numbered from 0, or `NO_TEAM`."""

    documents: tuple[int, ...]
    teams: tuple[int, ...]


def next_of(ranking: Ranking, shown: set[int]) -> int:
    """Return the best document of a ranking that is not shown yet."""
    return next(document for document in ranking if document not in shown)


def places_of(page: Page) -> int:
    """Return how many places of a logged page were interleaved at most."""
    return min(PLACES, len(page.ranks[0]))


def winner(credit: Sequence[float], one: int, other: int) -> float:
    """Return 1 where ranking `one` has more credit, -1 where `other` has, else 0."""
    return float((credit[one] > credit[other]) - (credit[one] < credit[other]))
