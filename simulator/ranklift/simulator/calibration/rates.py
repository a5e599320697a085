"""How often something happened in repeated experiments, and how far chance alone moves that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, betaincinv
from scipy.stats import kstest

# A correct test leaves the band once in a thousand batteries.
BAND_LEVEL = 0.999


@dataclass(frozen=True, slots=True)
class Rate:
    """`hits` of `count` experiments; `count` is at least 1."""

    hits: int
    count: int

    @classmethod
    def of(cls, happened: Sequence[bool]) -> Rate:
        return cls(int(np.count_nonzero(happened)), len(happened))

    @property
    def value(self) -> float:
        return self.hits / self.count

    @property
    def interval(self) -> tuple[float, float]:
        """Return the 95 % interval of the rate behind it (Clopper and Pearson 1934)."""
        return self._bound(0.025), self._bound(0.975)

    def _bound(self, level: float) -> float:
        below = level < 0.5
        if self.hits == (0 if below else self.count):
            return 0.0 if below else 1.0
        a, b = self.hits + (not below), self.count - self.hits + below
        return float(betaincinv(a, b, level))


def band(count: int, rate: float) -> tuple[float, float]:
    """Return the rates between which `count` experiments lie 999 times of 1,000, given theirs."""
    tail = (1 - BAND_LEVEL) / 2
    below = bdtr(np.arange(count + 1.0), count, rate)
    low, high = np.searchsorted(below, [tail, 1 - tail])
    return float(low) / count, float(high) / count


def uniformity(p_values: Sequence[float]) -> float:
    """Return the p-value of Kolmogorov and Smirnov's test that p-values are uniform on [0, 1]."""
    return float(kstest(p_values, "uniform").pvalue)
