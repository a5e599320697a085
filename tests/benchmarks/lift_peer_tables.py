"""Random tables of users for the comparison with peers, and our numbers on them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import polars as pl
from tests.benchmarks.lift_users import draw_users

from ranklift.lift.adjust import Adjusted, Covariate, compare_adjusted
from ranklift.lift.moments import Moments
from ranklift.lift.ratio import Comparison, Estimate, LiftInterval, compare_estimates, estimate

TABLES = 40
SMALLEST, LARGEST = 50, 20_000
ENDLESS = 10**15

Ratio = tuple[str, str | None]
COLUMNS = (
    *("pages", "clicked_pages", "clicked", "clicks", "dwell_ms"),
    *("pre_pages", "pre_clicked_pages", "pre_dwell_ms"),
)
DWELL, USER_CTR = ("dwell_ms", None), ("clicked", None)
PAGE_CTR, DWELL_PER_CLICK = ("clicked_pages", "pages"), ("dwell_ms", "clicks")

# The numbers of one quantity: ours, then theirs, in the same order.
Pair = tuple[str, Sequence[float], Sequence[float]]


def tables(count: int = TABLES, smallest: int = SMALLEST) -> Iterator[pl.DataFrame]:
    """Yield random tables of users: `COLUMNS` and `variant`, 0 control and 1 the arm."""
    for seed in range(count):
        rng = np.random.default_rng(seed)
        size = np.exp(rng.uniform(np.log(smallest), np.log(LARGEST)))
        share = rng.uniform(0.3, 0.7)
        yield pl.concat(
            draw_users(rng, round(size * part), lift)
            .units.with_columns(
                pl.col("^pre_.*$").fill_null(0),
                clicked=(pl.col("clicks") > 0).cast(pl.Int64),
                variant=pl.lit(variant),
            )
            .select("variant", *COLUMNS)
            for variant, part, lift in ((0, 1 - share, 0.0), (1, share, rng.uniform(-0.2, 0.2)))
        )


def arms_of(table: pl.DataFrame) -> tuple[Moments, Moments]:
    control, arm = (Moments.from_frame(table.filter(variant=v), COLUMNS) for v in (0, 1))
    return control, arm


def adjusted(control: Moments, arm: Moments, metric: Ratio, covariate: Covariate) -> Comparison:
    found = compare_adjusted(control, arm, *metric, [covariate])
    assert isinstance(found, Adjusted)
    return found.comparison


def shares(control: Moments, arm: Moments, *, endless: bool = False) -> Comparison:
    """Return our comparison of UserCTR with the peers' variance of a share, p (1 - p) / n.

    Ours has the divisor n - 1. With `endless` degrees of freedom the t-test is a z-test.
    """
    sides = []
    for moments in (control, arm):
        found = estimate(moments, *USER_CTR)
        assert isinstance(found, Estimate)
        n = found.count
        sides.append(Estimate(found.value, found.variance * (n - 1) / n, ENDLESS if endless else n))
    compared = compare_estimates(
        *sides, confidence_level=0.95, lift_interval=LiftInterval.LOG_RATIO
    )
    assert isinstance(compared, Comparison)
    return compared


def largest_gaps(pairs: Iterable[Pair]) -> dict[str, float]:
    """Return the largest relative difference of each quantity."""
    gaps: dict[str, float] = {}
    for name, ours, theirs in pairs:
        a, b = np.asarray(ours), np.asarray(theirs)
        larger = np.maximum(np.abs(a), np.abs(b))
        gap = np.divide(np.abs(a - b), larger, out=np.zeros_like(larger), where=larger > 0)
        gaps[name] = max(gaps.get(name, 0.0), float(gap.max()))
    return gaps
