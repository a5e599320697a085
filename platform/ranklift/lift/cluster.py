"""Moments computed where the rows are, in a Spark cluster or DuckDB: one row per arm comes back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

import narwhals as nw
import numpy as np

from ranklift.lift.moments import Moments
from ranklift.lift.pages import Rows, collect


def usable(units: Rows, arms: Sequence[str]) -> Rows:
    """Return the units that count: seen in one arm only, one of `arms`, and served by it."""
    in_one_arm = units.filter(nw.len().over("unit_id") == 1)
    return in_one_arm.filter(nw.col("arm").is_in(arms), nw.col("pages") > 0)


def moments_by_arm(units: Rows, columns: Sequence[str], arms: Sequence[str]) -> dict[str, Moments]:
    """Return the moments of the f64 `columns` over the units of each arm, in the order of `arms`.

    `units` has a row per unit (`sums.unit_frame`, `columns.with_columns`). Sums of squares cancel
    badly around 0 when means are large, so they are taken around the means m of all arms: with
    z = x - m, an arm of n units has mean m + sum(z) / n and m2 = sum(z z') - sum(z) sum(z)' / n.
    """
    width = len(columns)
    none = Moments(tuple(columns), 0, np.zeros(width), np.zeros((width, width)))
    overall = collect(units.select(nw.col(name).mean() for name in columns)).row(0)
    if None in overall:
        return dict.fromkeys(arms, none)
    shift = np.array(overall, dtype=np.float64)
    shifted = [nw.col(name) - float(mean) for name, mean in zip(columns, shift, strict=True)]
    pairs = list(combinations_with_replacement(range(width), 2))
    sums = collect(
        units.group_by("arm").agg(
            nw.len().alias("units"),
            *(z.sum().alias(f"sum {i}") for i, z in enumerate(shifted)),
            *((shifted[i] * shifted[j]).sum().alias(f"sum {i} {j}") for i, j in pairs),
        )
    )
    found = {}
    for row in sums.iter_rows(named=True):
        first = np.array([row[f"sum {i}"] for i in range(width)])
        second = np.empty((width, width))
        for i, j in pairs:
            second[i, j] = second[j, i] = row[f"sum {i} {j}"]
        count = int(row["units"])
        m2 = second - np.outer(first, first) / count
        found[row["arm"]] = Moments(tuple(columns), count, shift + first / count, m2)
    return {arm: found.get(arm, none) for arm in arms}
