"""Every figure is a ratio of two sums over queries.

A mean is values over their number; pooled pair accuracy is concordant pairs
over pairs. So one bootstrap and one test serve all figures, and a figure of
other queries costs two sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ranklift.rankers.base import Values

RESAMPLES = 1_000
LEVEL = 0.95
# Numbers in a block of resamples: bounds memory, however many queries there are.
_BLOCK = 4_000_000

Seen = Literal["share", "odds", "log_odds"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its 95 % interval; NaN and infinity are what they say."""

    value: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Ratio:
    """(sum of `top` + `added`) / (sum of `bottom` + 2 `added`), `seen` as such, or as odds of it.

    `top` and `bottom` are of shape (queries,). `added` smooths a share of
    counts: half a count on either side keeps its odds finite.
    """

    top: Values
    bottom: Values
    added: float = 0.0
    seen: Seen = "share"

    def shares(self, top: Values, bottom: Values) -> Values:
        """Return the ratios of given sums; NaN where there is nothing to divide by."""
        with np.errstate(divide="ignore", invalid="ignore"):
            shares: Values = (top + self.added) / (bottom + 2 * self.added)
        return shares

    def values(self, top: Values, bottom: Values) -> Values:
        """Return the figures of given sums."""
        if self.seen == "share":
            return self.shares(top, bottom)
        with np.errstate(divide="ignore", invalid="ignore"):
            odds: Values = (top + self.added) / (bottom - top + self.added)
            return odds if self.seen == "odds" else np.log(odds)

    def through(self, shares: Values) -> Values:
        """Return shares as they are to be seen; the order of values stays."""
        if self.seen == "share":
            return shares
        with np.errstate(divide="ignore", invalid="ignore"):
            odds: Values = shares / (1 - shares)
            return odds if self.seen == "odds" else np.log(odds)

    @property
    def value(self) -> float:
        """The figure over all queries."""
        sums = np.array([self.top.sum()]), np.array([self.bottom.sum()])
        return float(self.values(*sums)[0])


def mean_of(values: Values) -> Ratio:
    """Return the mean over the queries whose value is not NaN."""
    known = ~np.isnan(values)
    return Ratio(np.where(known, values, 0.0), known.astype(np.float64))


def resampled_shares(
    ratios: Sequence[Ratio], *, seed: int, resamples: int
) -> Values:  # (ratios, resamples)
    """Return the shares of queries drawn with replacement, the same draws for all ratios.

    Pairs of one query are not independent, so queries are drawn, not pairs:
    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    columns = np.stack([side for each in ratios for side in (each.top, each.bottom)], axis=1)
    queries = len(columns)
    rng = np.random.default_rng(seed)
    sums = []
    rows = max(1, _BLOCK // queries)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = rng.integers(queries, size=(count, queries))
        drawn += np.arange(count)[:, None] * queries
        times = np.bincount(drawn.ravel(), minlength=count * queries).reshape(count, queries)
        sums.append(times @ columns)  # (count, 2 * ratios)
    all_sums = np.concatenate(sums)
    return np.stack(
        [each.shares(all_sums[:, 2 * i], all_sums[:, 2 * i + 1]) for i, each in enumerate(ratios)]
    )


def estimates(ratios: Sequence[Ratio], *, seed: int, resamples: int) -> list[Estimate]:
    """Return each ratio with its percentile interval of a bootstrap over queries."""
    found = []
    resampled = resampled_shares(ratios, seed=seed, resamples=resamples)
    for ratio, shares in zip(ratios, resampled, strict=True):
        # Percentiles go through any increasing map: odds need no bootstrap of their own.
        lower, upper = ratio.through(np.array(percentiles(shares)))
        found.append(Estimate(ratio.value, float(lower), float(upper)))
    return found


def percentiles(values: Values) -> tuple[float, float]:
    """Return the ends of the middle 95 % of the values that are not NaN; NaN without any."""
    known = values[~np.isnan(values)]
    if not known.size:
        return float("nan"), float("nan")
    lower, upper = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(lower), float(upper)
