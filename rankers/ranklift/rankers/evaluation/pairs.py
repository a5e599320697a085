"""Pairs of one query's documents: which are in the right order.

A pair is two documents of different grades, over all levels of grades. It is
concordant when the better one has the higher score, discordant when it has the
lower one, tied when the scores are equal.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ranklift.rankers.base import Values


class Pairs(NamedTuple):
    """Numbers of pairs of one query."""

    concordant: int
    discordant: int
    tied: int


def count_pairs(scores: Values, grades: Values) -> Pairs:
    """Return the pairs of one query; both arrays are of shape (documents,)."""
    # Grade by grade: a list has few grades, and all pairs at once are a matrix.
    concordant = discordant = tied = 0
    for grade in np.unique(grades)[:-1]:
        worse, better = np.sort(scores[grades == grade]), scores[grades > grade]
        below = np.searchsorted(worse, better, side="left")
        upto = np.searchsorted(worse, better, side="right")
        concordant += int(below.sum())
        tied += int((upto - below).sum())
        discordant += int((len(worse) - upto).sum())
    return Pairs(concordant, discordant, tied)
