"""Count, means and co-moments of per-unit sums: all that the tests need, mergeable by `+`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """The first and second moments of `columns` over `count` units.

    `mean`, shape (k,), and `m2`, shape (k, k), run along the k `columns`;
    `m2[i, j]` is the sum over units of `(x_i - mean_i) (x_j - mean_j)`.
    """

    columns: tuple[str, ...]
    count: int
    mean: Floats
    m2: Floats

    @classmethod
    def of(cls, columns: Sequence[str], values: Floats) -> Moments:
        """Return the moments of `values`, shape (units, columns)."""
        units, width = values.shape
        if units == 0:
            return cls(tuple(columns), 0, np.zeros(width), np.zeros((width, width)))
        # An infinite value makes moments that are not finite; the estimators say so in words.
        with np.errstate(invalid="ignore"):
            return cls._of(tuple(columns), values)

    @classmethod
    def _of(cls, columns: tuple[str, ...], values: Floats) -> Moments:
        units, width = values.shape
        mean = values.mean(axis=0)
        # Centred before squaring: the raw sum of squares cancels badly when means are large.
        centred = np.ascontiguousarray((values - mean).T)
        m2 = np.empty((width, width))
        for i in range(width):
            for j in range(i, width):
                # A pairwise sum instead of a matrix product, whose bits depend on the threads.
                m2[i, j] = m2[j, i] = np.sum(centred[i] * centred[j])
        return cls(columns, units, mean, m2)

    @classmethod
    def from_frame(cls, frame: pl.DataFrame, columns: Sequence[str]) -> Moments:
        """Return the moments of numeric `columns` of a frame with one row per unit."""
        return cls.of(columns, frame.select(pl.col(columns).cast(pl.Float64)).to_numpy())

    def __add__(self, other: Moments) -> Moments:
        """Return the moments of both sets of units together.

        Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", with
        delta = mean_b - mean_a and n = n_a + n_b:
        mean = mean_a + delta n_b / n,  m2 = m2_a + m2_b + delta delta' n_a n_b / n.

        Raises:
            ValueError: the columns differ.
        """
        if self.columns != other.columns:
            raise ValueError(f"columns {self.columns} and {other.columns} differ, must be the same")
        if self.count == 0 or other.count == 0:
            return other if self.count == 0 else self
        count = self.count + other.count
        delta = other.mean - self.mean
        return Moments(
            self.columns,
            count,
            self.mean + delta * (other.count / count),
            self.m2 + other.m2 + np.outer(delta, delta) * (self.count * other.count / count),
        )

    def along(self, places: Sequence[int], columns: tuple[str, ...]) -> Moments:
        """Return the moments of the columns at `places`, under the names `columns`."""
        return Moments(columns, self.count, self.mean[places], self.m2[np.ix_(places, places)])

    def mean_of(self, column: str) -> float:
        return float(self.mean[self.columns.index(column)])

    def covariance(self, a: str, b: str) -> float:
        """Return the sample covariance (divisor count - 1); needs two units."""
        i, j = self.columns.index(a), self.columns.index(b)
        return float(self.m2[i, j]) / (self.count - 1)
