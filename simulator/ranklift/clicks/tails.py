"""What a log says to a model that reads down the page: all about its clicks, and its tails.

Everything down to the last click was looked at, so of that only counts matter.
Whether anything below it was looked at nobody knows; what matters is which
results those are. With last click l (0: none), T_r = P(no click from r on |
r examined), and T_{R+1} = 1:

    P(page) = prod_{r<=l} a_r^{c_r} (1 - a_r)^{1-c_r}       clicks and skips
            * prod_{r<l}  after_skip or after_click(r)      each went on
            * [1 - after_click(l) (1 - T_{l+1})]            the tail; T_1 if l = 0
    T_r     = (1 - a_r) (1 - after_skip (1 - T_{r+1}))

Pages that differ above the last click only share their tail: there are far
fewer tails than pages, and a fit costs the same for any traffic.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranklift.clicks.counts import total
from ranklift.clicks.keys import extend
from ranklift.clicks.log import NO_PAIR, ClickLog
from ranklift.clicks.results import Floats

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Tails:
    """The sufficient statistics of a log."""

    # By pair, shape (pairs,): at or above the last click of the page.
    clicks: Floats
    skips: Floats
    # Clicks that others follow, shape (cells,): where, and how many.
    pair: Ints
    rank: Ints  # 0-based
    count: Floats
    # Last clicks and what is below, shape (tails,).
    last_pair: Ints  # NO_PAIR: no click on the page
    last_rank: Ints
    below: Ints  # (tails, ranks): pairs, and NO_PAIR behind the last one
    weight: Floats  # pages


def tails_of(log: ClickLog) -> Tails:
    """Return the counts of a log; each row counts `weight` times."""
    ranks = log.ranks
    shown = log.shown
    last = np.where(log.clicked.any(axis=1), ranks - 1 - log.clicked[:, ::-1].argmax(axis=1), -1)
    page, rank = np.nonzero(shown & (np.arange(ranks) <= last[:, None]))
    pair = log.pair[page, rank].astype(np.int64)
    clicked, weight = log.clicked[page, rank], log.weight[page]
    followed = clicked & (rank < last[page])
    cells, of_cell = np.unique(pair[followed] * ranks + rank[followed], return_inverse=True)

    # (pages, ranks): shifted up, so that the first result below is in the first column
    source = np.arange(ranks) + last[:, None] + 1
    below = np.where(
        source < ranks, np.take_along_axis(log.pair, np.minimum(source, ranks - 1), 1), NO_PAIR
    )
    rows = np.arange(len(log))
    last_pair = np.where(last >= 0, log.pair[rows, last], NO_PAIR)
    # Rows are told apart by a 64-bit hash: two of a million meet by chance once in 30 million logs.
    key = extend(np.uint64(0), *(c.astype(np.uint64) for c in (last, last_pair, *below.T)))
    _, first, of_tail = np.unique(key, return_index=True, return_inverse=True)
    return Tails(
        clicks=total(pair, weight * clicked, log.pairs),
        skips=total(pair, weight * ~clicked, log.pairs),
        pair=cells // ranks,
        rank=cells % ranks,
        count=total(of_cell, weight[followed], len(cells)),
        last_pair=last_pair[first].astype(np.int64),
        last_rank=last[first],
        below=below[first].astype(np.int64),
        weight=total(of_tail, log.weight, len(first)),
    )
