"""What a log says to a model of examined cells: impressions and clicks by pair and cell.

A cell is what examination depends on: the rank (`by_rank`, PBM), or the rank
and where the last click above it was (`by_last_click`, UBM). The likelihood
depends on nothing else, so a fit costs the same for a thousand pages as for a
billion, and the counts of two days, shards or arms add up to those of both:
yesterday's counts plus today's are a log to fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ranklift.clicks.log import ClickLog

_RESULTS_AT_ONCE = 1 << 20
# Beyond so many (pair, cell) combinations the few that occur are sorted instead of all of them
# being held.
_DENSE = 1 << 26


@dataclass(frozen=True, slots=True, eq=False)
class CellCounts:
    """How often each (query, document) pair was shown and clicked in each cell.

    The four arrays run along the combinations that were shown, each once, by
    pair and then cell. `a + b` are the counts of both logs, where the same
    pair has the same index in both.
    """

    pair: NDArray[np.int64]  # (combinations,)
    cell: NDArray[np.int64]  # (combinations,)
    impressions: NDArray[np.float64]  # (combinations,)
    clicks: NDArray[np.float64]  # (combinations,)
    pairs: int
    cells: int

    def __add__(self, other: CellCounts) -> CellCounts:
        return _collected(
            np.concatenate([self.pair, other.pair]),
            np.concatenate([self.cell, other.cell]),
            np.concatenate([self.impressions, other.impressions]),
            np.concatenate([self.clicks, other.clicks]),
            max(self.pairs, other.pairs),
            max(self.cells, other.cells),
        )


def by_rank(log: ClickLog) -> CellCounts:
    """Return the counts of a log with the 0-based ranks as cells."""
    ranks = np.arange(log.ranks)
    return _of_log(log, lambda clicked: np.broadcast_to(ranks, clicked.shape), log.ranks)


def by_last_click(log: ClickLog) -> CellCounts:
    """Return the counts of a log with `last_click_cell` as cells."""
    ranks = log.ranks
    return _of_log(log, last_click_cell, ranks * (ranks + 1) // 2)


def last_click_cell(clicked: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the cell of each result: its rank and the last clicked rank above it.

    Cells go by 0-based rank r, and of one rank by none, then the clicked rank:
    r (r + 1) / 2 + (0 for none, 1 + the 0-based rank of the click). So the
    cells of a longer page begin with those of a shorter one. Shape as `clicked`.
    """
    ranks = np.arange(clicked.shape[1])
    so_far = np.maximum.accumulate(np.where(clicked, ranks + 1, 0), axis=1)
    above = np.concatenate([np.zeros_like(so_far[:, :1]), so_far[:, :-1]], axis=1)
    return np.asarray(ranks * (ranks + 1) // 2 + above)


def count(
    pair_index: ArrayLike, rank_index: ArrayLike, impressions: ArrayLike, clicks: ArrayLike
) -> CellCounts:
    """Return the counts by rank of rows that may name a pair and rank more than once.

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
    pairs, ranks = int(pair[kept].max()) + 1, int(rank[kept].max()) + 1
    return _collected(pair[kept], rank[kept], shown[kept], clicked[kept], pairs, ranks)


def total(
    index: NDArray[np.int64], values: NDArray[np.float64], length: int
) -> NDArray[np.float64]:
    """Return the sum of `values` for each index, shape (length,)."""
    return np.bincount(index, weights=values, minlength=length).astype(np.float64, copy=False)


def _of_log(
    log: ClickLog, cell_of: Callable[[NDArray[np.bool_]], NDArray[np.int64]], cells: int
) -> CellCounts:
    """Count a part of the log at a time: the cells of all of it would take more than the log."""
    size = log.pairs * cells
    pages = max(_RESULTS_AT_ONCE, min(size, _DENSE)) // log.ranks + 1
    parts = (log[at : at + pages] for at in range(0, len(log), pages))
    rows = (_Rows.of(part, cell_of(part.clicked), cells) for part in parts)
    return _dense(rows, log.pairs, cells) if size <= _DENSE else _sparse(rows, log.pairs, cells)


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """The results of some pages; arrays of shape (results,), `weight` None where all are 1."""

    combination: NDArray[np.int64]  # pair * cells + cell
    clicked: NDArray[np.bool_]
    weight: NDArray[np.float64] | None

    @classmethod
    def of(cls, log: ClickLog, cell: NDArray[np.int64], cells: int) -> _Rows:
        shown = log.shown
        alike = bool((log.weight == 1).all())
        weight = None if alike else np.broadcast_to(log.weight[:, None], shown.shape)[shown]
        combination = log.pair.astype(np.int64) * cells + cell
        return cls(combination[shown], log.clicked[shown], weight)


def _dense(parts: Iterable[_Rows], pairs: int, cells: int) -> CellCounts:
    impressions, clicks = np.zeros(pairs * cells), np.zeros(pairs * cells)
    for rows in parts:
        weight = None if rows.weight is None else rows.weight[rows.clicked]
        impressions += np.bincount(rows.combination, rows.weight, len(impressions))
        clicks += np.bincount(rows.combination[rows.clicked], weight, len(clicks))
    (there,) = impressions.nonzero()
    return CellCounts(
        there // cells, there % cells, impressions[there], clicks[there], pairs, cells
    )


def _sparse(parts: Iterable[_Rows], pairs: int, cells: int) -> CellCounts:
    found = [
        (
            rows.combination,
            np.ones(len(rows.combination)) if rows.weight is None else rows.weight,
            rows.clicked,
        )
        for rows in parts
    ]
    combination, impressions, clicked = (
        np.concatenate(column) for column in zip(*found, strict=True)
    )
    return _collected(
        combination // cells, combination % cells, impressions, impressions * clicked, pairs, cells
    )


def _collected(
    pair: NDArray[np.int64],
    cell: NDArray[np.int64],
    impressions: NDArray[np.float64],
    clicks: NDArray[np.float64],
    pairs: int,
    cells: int,
) -> CellCounts:
    """Return rows that may name a combination more than once as counts."""
    there, row = np.unique(pair * cells + cell, return_inverse=True)
    return CellCounts(
        there // cells,
        there % cells,
        total(row, impressions, len(there)),
        total(row, clicks, len(there)),
        pairs,
        cells,
    )
