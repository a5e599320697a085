"""Is a difference of two rankers on the same queries more than chance? A paired randomisation test.

If the rankers were alike, it would be chance alone which of the two results of
a query is whose. So for every query they are swapped or not, and the p-value is
the share of all these assignments whose difference is at least as far from 0.
Smucker, Allan and Carterette, "A comparison of statistical significance tests
for information retrieval evaluation", CIKM 2007, prefer it to t and signed-rank
tests. It assumes no distribution, and holds for pooled figures too, since
whole queries are swapped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ranklift.rankers.base import Values
from ranklift.rankers.evaluation.ratios import Ratio
from ranklift.v1.errors import InvalidRequest

ASSIGNMENTS = 10_000
_BLOCK = 4_000_000
# Sums in another order differ in their last digits; that makes no difference less extreme.
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Tested:
    """A two-sided p-value in (0, 1]; `exact` when every assignment was tried, not a sample."""

    p_value: float
    exact: bool
    assignments: int


def randomisation_test(
    a: Ratio, b: Ratio, *, seed: int = 0, assignments: int = ASSIGNMENTS
) -> Tested:
    """Return the test of `b` against `a`, the same figure of the same queries.

    All assignments are tried if there are no more than `assignments` of them;
    otherwise so many are drawn, and the one that was observed counts among
    them: Phipson and Smyth, "Permutation p-values should never be zero", 2010.

    Raises:
        InvalidRequest: a figure has no value, or an infinite one.
    """
    differ = (a.top != b.top) | (a.bottom != b.bottom)
    # (queries that differ, 2): a query whose results are equal stays as it is.
    change = np.stack([(b.top - a.top)[differ], (b.bottom - a.bottom)[differ]], axis=1)
    sums_a = np.array([a.top.sum(), a.bottom.sum()])
    sums_b = np.array([b.top.sum(), b.bottom.sum()])
    observed = abs(b.value - a.value)
    if not np.isfinite(observed):
        raise InvalidRequest.of(
            "figures", f"{a.value:g} and {b.value:g} have no difference to test"
        )
    least = observed - _ROUNDING * max(1.0, observed)
    exact = len(change) < 63 and 2 ** len(change) <= assignments
    count = 2 ** len(change) if exact else assignments
    swaps = _all_swaps(len(change)) if exact else _drawn_swaps(len(change), count, seed)
    extreme = 0
    for swapped in swaps:  # (some assignments, queries that differ)
        moved = swapped @ change
        ours, theirs = sums_a + moved, sums_b - moved
        differences = b.values(theirs[:, 0], theirs[:, 1]) - a.values(ours[:, 0], ours[:, 1])
        extreme += int((np.abs(differences) >= least).sum())
    if exact:
        return Tested(extreme / count, True, count)
    return Tested((extreme + 1) / (count + 1), False, count)


def _all_swaps(queries: int) -> Iterator[Values]:
    numbers = np.arange(2**queries)[:, None]
    yield (numbers >> np.arange(queries) & 1).astype(np.float64)


def _drawn_swaps(queries: int, count: int, seed: int) -> Iterator[Values]:
    rng = np.random.default_rng(seed)
    rows = max(1, _BLOCK // queries)
    for start in range(0, count, rows):
        size = (min(rows, count - start), queries)
        yield rng.integers(2, size=size, dtype=np.uint8).astype(np.float64)
