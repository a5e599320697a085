"""The moments of unit sums at the end of every day, from sums per unit and day in one pass.

When a unit's columns go from x to x' within a day, the arm's sums change by x' - x and its sums
of products by x' x'^T - x x^T. So every day costs only the units that it touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

import numpy as np
import polars as pl

from ranklift.lift.columns import sums_of
from ranklift.lift.comparing import Method, values_of
from ranklift.lift.measures import PRE
from ranklift.lift.moments import Floats, Moments
from ranklift.store.analysis import Metric


def cumulative_moments(
    days: pl.DataFrame, units: pl.DataFrame, metric: Metric, method: Method
) -> Mapping[date, Moments]:
    """Return the moments of a metric's columns over all pages until the end of each day.

    `days` has a row per unit and `day` with the sums of that day, `units` the exposed units of one
    arm; days of other units do not count. A unit enters on the day of its first page (`pages`),
    with what was counted of it before, such as fallback pages.
    """
    pre = [name for name in units.columns if name.startswith(PRE)]
    rows = days.join(units.select("unit_id", *pre), on="unit_id", how="inner").sort(
        "unit_id", "day"
    )
    if rows.is_empty():
        return {}
    first = _is_first(rows)
    until = {name: _running_sum(rows[name], first) for name in {*sums_of(metric), "pages"}}
    exposed = until["pages"] > 0
    until = {name: until[name].filter(exposed) for name in sums_of(metric)}
    rows = rows.filter(exposed)
    after = values_of(rows.with_columns(**until), metric, method)
    before = values_of(
        rows.with_columns(total - rows[name] for name, total in until.items()), metric, method
    )
    return _add_up(rows["day"], _is_first(rows), before, after, method.columns(metric))


def _is_first(rows: pl.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return whether a row is the first of its unit, for rows sorted by unit."""
    return (rows["unit_id"] != rows["unit_id"].shift(1)).fill_null(True).to_numpy()


def _running_sum(values: pl.Series, first: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> pl.Series:
    """Return the sum over the rows of each unit up to its row, for rows sorted by unit."""
    total = values.to_numpy().cumsum()
    starts = np.flatnonzero(first)
    before_unit = total[starts] - values.to_numpy()[starts]
    lengths = np.diff(np.append(starts, len(values)))
    return pl.Series(values.name, total - np.repeat(before_unit, lengths))


def _add_up(
    day: pl.Series,
    enters: np.ndarray[tuple[int], np.dtype[np.bool_]],
    before: Floats,
    after: Floats,
    columns: tuple[str, ...],
) -> dict[date, Moments]:
    names = day.unique().sort()
    index = day.rank("dense").to_numpy().astype(np.intp) - 1
    # Sums of squares around 0 cancel when means are large, around a mean they do not.
    shift = np.asarray(after.mean(axis=0))
    after = after - shift
    # A unit was not there at all before it entered, whatever its pre-period says.
    before = np.where(enters[:, None], 0.0, before - shift)

    def by_day(change: Floats) -> Floats:
        return np.bincount(index, weights=change, minlength=len(names)).cumsum()

    width = len(columns)
    counts = np.bincount(index, weights=enters, minlength=len(names)).cumsum()
    first = np.column_stack([by_day(after[:, i] - before[:, i]) for i in range(width)])
    second = np.empty((len(names), width, width))
    for i in range(width):
        for j in range(i, width):
            products = by_day(after[:, i] * after[:, j] - before[:, i] * before[:, j])
            second[:, i, j] = second[:, j, i] = products
    return {
        name: Moments(
            columns,
            int(count),
            shift + sums / count,
            products - np.outer(sums, sums) / count,
        )
        for name, count, sums, products in zip(names, counts, first, second, strict=True)
    }
