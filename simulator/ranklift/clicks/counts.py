"""What a log says to a click model: impressions and clicks by pair and cell.

The likelihood of a position-based model depends on nothing else, so a fit
costs the same for a thousand pages as for a billion, and the counts of two
days or two shards add up to the counts of both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True, eq=False)
class PbmCounts:
    """How often each (query, document) pair was shown and clicked at each rank.

    The four arrays run along the cells that were shown, each cell once, by
    pair and then rank; `rank` is 0-based. `a + b` are the counts of both logs,
    where the same pair has the same index in both.
    """

    pair: NDArray[np.int64]  # (cells,)
    rank: NDArray[np.int64]  # (cells,)
    impressions: NDArray[np.float64]  # (cells,)
    clicks: NDArray[np.float64]  # (cells,)

    @property
    def pairs(self) -> int:
        return int(self.pair.max()) + 1

    @property
    def ranks(self) -> int:
        return int(self.rank.max()) + 1

    def __add__(self, other: PbmCounts) -> PbmCounts:
        return count(
            np.concatenate([self.pair, other.pair]),
            np.concatenate([self.rank, other.rank]),
            np.concatenate([self.impressions, other.impressions]),
            np.concatenate([self.clicks, other.clicks]),
        )


def count(
    pair_index: ArrayLike, rank_index: ArrayLike, impressions: ArrayLike, clicks: ArrayLike
) -> PbmCounts:
    """Return the counts of rows that may name a cell more than once.

    `pair_index` numbers the pairs from 0; `rank_index` is 0-based. For a plain
    log, one row for each result shown: impressions 1, clicks 0 or 1. Rows
    without impressions are left out.

    Raises:
        ValueError: unequal lengths, a negative index, clicks outside
            [0, impressions], or nothing shown at all.
    """
    pair = np.asarray(pair_index, dtype=np.int64).ravel()
    rank = np.asarray(rank_index, dtype=np.int64).ravel()
    shown = np.asarray(impressions, dtype=np.float64).ravel()
    clicked = np.asarray(clicks, dtype=np.float64).ravel()
    if not len(pair) == len(rank) == len(shown) == len(clicked):
        raise ValueError(
            f"lengths differ: {len(pair)} pairs, {len(rank)} ranks, "
            f"{len(shown)} impressions, {len(clicked)} clicks; give one of each for a row"
        )
    wrong = (pair < 0) | (rank < 0) | ~(clicked >= 0) | ~(clicked <= shown) | ~np.isfinite(shown)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"row {row}: pair {pair[row]}, rank {rank[row]}, {shown[row]} impressions, "
            f"{clicked[row]} clicks; indices start at 0 and clicks lie in [0, impressions]"
        )
    kept = shown > 0
    if not kept.any():
        raise ValueError("no impressions; a click model needs at least one")
    ranks = int(rank[kept].max()) + 1
    cells, row_cell = np.unique(pair[kept] * ranks + rank[kept], return_inverse=True)
    return PbmCounts(
        pair=cells // ranks,
        rank=cells % ranks,
        impressions=total(row_cell, shown[kept]),
        clicks=total(row_cell, clicked[kept]),
    )


def total(index: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of `values` for each index, shape (highest index + 1,)."""
    return np.bincount(index, weights=values).astype(np.float64, copy=False)
