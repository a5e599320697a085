"""A log of clicks as click models read it: what each page showed, and what was clicked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

NO_PAIR = -1  # fills a page up that shows fewer results than others


@dataclass(frozen=True, slots=True, eq=False)
class ClickLog:
    """Pages with the results shown, best first, and the clicks on them.

    `pair` numbers the (query, document) pairs from 0 and is `NO_PAIR` behind
    the last result of a short page. `weight` says how many such pages there
    were: equal pages may share a row. See `click_log` for one that is checked.
    """

    pair: NDArray[np.int32]  # (pages, ranks)
    clicked: NDArray[np.bool_]  # (pages, ranks)
    weight: NDArray[np.float64]  # (pages,)
    pairs: int  # how many there are; those that this log does not show count too

    @property
    def ranks(self) -> int:
        return int(self.pair.shape[1])

    @property
    def shown(self) -> NDArray[np.bool_]:
        """Where there is a result, shape (pages, ranks)."""
        return np.asarray(self.pair != NO_PAIR)

    def __len__(self) -> int:
        return len(self.pair)

    def __getitem__(self, rows: slice | NDArray[np.int64] | NDArray[np.bool_]) -> ClickLog:
        return ClickLog(self.pair[rows], self.clicked[rows], self.weight[rows], self.pairs)


def click_log(
    pair: ArrayLike,
    clicked: ArrayLike,
    weight: ArrayLike | None = None,
    *,
    pairs: int | None = None,
) -> ClickLog:
    """Return a log of pages, one a row; `pairs` is one more than the highest pair by default.

    Raises:
        ValueError: no pages; shapes that differ; a pair out of range; a click
            that is neither 0 nor 1, or where nothing is shown; a gap on a page;
            a weight that is not above 0. The message names the row.
    """
    shown = np.asarray(pair)
    flags = np.asarray(clicked)
    if shown.ndim != 2 or not shown.size:
        raise ValueError(f"pairs of shape {shown.shape}; give at least one page, one a row")
    if flags.shape != shown.shape:
        raise ValueError(
            f"pairs of shape {shown.shape} and clicks of shape {flags.shape}; "
            "give one of each for a result"
        )
    known = int(shown.max()) + 1 if pairs is None else pairs
    weights = np.ones(len(shown)) if weight is None else np.asarray(weight, dtype=np.float64)
    if weights.shape != (len(shown),):
        raise ValueError(f"{len(shown)} pages and weights of shape {weights.shape}")
    is_result = shown != NO_PAIR
    _refuse(~((shown >= NO_PAIR) & (shown < known)), f"a pair outside [0, {known})")
    _refuse((flags != 0) & (flags != 1), "a click that is neither 0 nor 1")
    _refuse((flags != 0) & ~is_result, "a click where nothing is shown")
    _refuse(is_result[:, 1:] & ~is_result[:, :-1], "a result behind a gap; padding goes last")
    _refuse(~(weights > 0) | ~np.isfinite(weights), "a weight that is not above 0")
    return ClickLog(shown.astype(np.int32), flags.astype(bool), weights, known)


def _refuse(wrong: NDArray[np.bool_], what: str) -> None:
    """Raise ValueError for the first row with anything `wrong`."""
    if wrong.any():
        raise ValueError(f"page {int(np.argwhere(wrong)[0][0])} (from 0) has {what}")
