"""The state behind a refresh that reads only new pages: unit sums, and moments kept up to date."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from ranklift.lift.moments import Floats, Moments
from ranklift.lift.tally_file import read_units, write_units
from ranklift.lift.unit_arrays import FIRST_PAGE, LAST_PAGE, UnitArrays
from ranklift.lift.unit_index import Ints
from ranklift.lift.unit_layout import Layout, whole
from ranklift.v1.errors import InvalidRequest

# Sums of squares that shrink to less than this part of what went into them have lost digits.
SHRUNK = 1e-3


@dataclass(frozen=True, slots=True)
class UnitColumns:
    """The columns that moments are kept of: their names, and how unit sums get them.

    `add` returns unit sums (`Tally.units`) with the columns `names` beside them; a row's values
    may depend on that row only, and must be finite. `columns.with_columns` does this for metrics.
    """

    names: tuple[str, ...]
    add: Callable[[pl.LazyFrame], pl.LazyFrame]

    def of(self, units: pl.DataFrame) -> Floats:
        """Return the columns of unit sums, shape (units, columns)."""
        values = self.add(units.lazy()).select(pl.col(self.names).cast(pl.Float64))
        return values.collect().to_numpy(writable=True)


class Tally:
    """Unit sums of page rows, and the moments of `columns` per arm, of all pages added so far.

    The units of an arm's moments are those with pages in no other arm and, where `pages` is a
    measure, with at least one.
    """

    def __init__(self, layout: Layout, columns: UnitColumns) -> None:
        self._arrays = UnitArrays(layout)
        self._columns = columns
        self._moments: dict[object, Moments] = {}
        # The largest sums of squares that each arm's moments were made of since computed anew.
        self._squares: dict[object, Floats] = {}

    def add(self, rows: pl.DataFrame) -> None:
        """Add page rows that were not added before.

        Raises:
            InvalidRequest: a unit, arm or time is null, an amount is no finite whole number, or a
                constant varies within a unit. Nothing is added then.
        """
        batch = self._arrays.batch(rows)
        touched = np.zeros(len(self._arrays.units), np.bool_)
        touched[batch.units] = True
        units = np.flatnonzero(touched)
        before = self._counting(units)
        self._arrays.put(batch)
        after = self._counting(units)
        # Expressions cost the same for few rows and for many, so they see all at once.
        values = self._columns.of(pl.concat([before, after]))
        old, new = _rows_by_arm(before), _rows_by_arm(after)
        for arm in old | new:
            was = values[: len(before)][old.get(arm, slice(0))]
            becomes = values[len(before) :][new.get(arm, slice(0))]
            if not self._move(self._arm(arm), was, becomes):
                self._recompute()
                break

    def replace(self, old: pl.DataFrame, new: pl.DataFrame) -> None:
        """Replace page rows that were added by the same pages with other amounts.

        So a late click counts on a page that was counted without it. Row by row both must be the
        same page: only measures may differ.

        Raises:
            InvalidRequest: other columns differ, no page of a row's unit and arm was added, or as
                in `add`. Nothing is replaced then.
        """
        measures = self._arrays.layout.measures
        self._arrays.check_columns(old)
        self._arrays.check_columns(new)
        for name in self._arrays.layout.columns:
            if name not in measures and not old[name].equals(new[name]):
                raise InvalidRequest.of(
                    name, "differs between the old and the new rows of pages that are replaced"
                )
        held = self._arrays.holds(old)
        if not held.all():
            row = int(np.flatnonzero(~held)[0])
            raise InvalidRequest.of(
                "unit_id",
                f'"{old["unit_id"][row]}" has no pages in the arm "{old["arm"][row]}" to replace; '
                "add them first",
            )
        change = [
            whole(new[name]).cast(pl.Int64) - whole(old[name]).cast(pl.Int64) for name in measures
        ]
        self.add(new.with_columns(change))

    def units(self) -> pl.DataFrame:
        """Return the unit sums of all pages, sorted by arm and unit (`UnitArrays.frame`)."""
        return self._arrays.frame()

    def moments(self, arm: object) -> Moments:
        """Return the moments of an arm's units; of none where the arm is unknown."""
        return self._moments.get(arm) or Moments.of(
            self._columns.names, np.zeros((0, len(self._columns.names)))
        )

    def save(self, path: Path) -> None:
        """Write the unit sums to a file, all or nothing; `load` reads it."""
        write_units(path, self.units(), self._arrays.layout)

    @classmethod
    def load(cls, path: Path, columns: UnitColumns) -> Tally:
        """Return the tally that was saved, with moments of these columns.

        Raises:
            UnreadableTally: the file is damaged or of another version.
        """
        units, layout = read_units(path)
        tally = cls(layout, columns)
        # The sums of a unit add up like the amounts of a page.
        if layout.timed:
            first = units.rename({FIRST_PAGE: "page_time"})
            last = units.rename({LAST_PAGE: "page_time"})
            tally._arrays.add(first)
            tally._arrays.add(last.with_columns(pl.lit(0).alias(name) for name in layout.measures))
        else:
            tally._arrays.add(units)
        tally._recompute()
        return tally

    def _counting(self, units: Ints) -> pl.DataFrame:
        """Return the sums of those of these units that count (`UnitArrays.coded`)."""
        sums = self._arrays.coded(units)
        if self._arrays.crossed:
            sums = sums.filter(~pl.col("unit_id").is_duplicated())
        if "pages" in self._arrays.layout.measures and not (sums["pages"] > 0).all():
            sums = sums.filter(pl.col("pages") > 0)
        return sums

    def _arm(self, code: int) -> object:
        return self._arrays.arms.values(np.array([code]))[0]

    def _move(self, arm: object, before: Floats, after: Floats) -> bool:
        """Bring an arm's moments up to date with units whose columns were `before`, if exactly.

        Co-moments are sums S of (x - c)(x - c)' over units, and change by what the touched units
        add to S less what they added. With c the mean of all units before, S is m2 and nothing
        large cancels; afterwards m2 = S - n d d', where d is how far the mean moved from c.

        Both arrays are overwritten: new memory for as much would take longer than the arithmetic.
        """
        moments = self.moments(arm)
        if moments.count == 0:
            self._moments[arm] = Moments.of(self._columns.names, after)
            self._squares[arm] = np.diag(self._moments[arm].m2).copy()
            return True
        out = np.subtract(before, moments.mean, out=before)
        into = np.subtract(after, moments.mean, out=after)
        count = moments.count + len(into) - len(out)
        if count == 0:
            del self._moments[arm]
            return True
        added, removed = into.T @ into, out.T @ out
        moved = (into.sum(axis=0) - out.sum(axis=0)) / count
        m2 = moments.m2 + added - removed - count * np.outer(moved, moved)
        squares = np.maximum(self._squares[arm], np.diag(moments.m2 + added))
        if (np.diag(m2) < SHRUNK * squares).any():
            return False
        self._moments[arm] = Moments(moments.columns, count, moments.mean + moved, m2)
        self._squares[arm] = squares
        return True

    def _recompute(self) -> None:
        sums = self._counting(np.arange(len(self._arrays.units)))
        self._moments = {
            self._arm(arm): Moments.of(self._columns.names, self._columns.of(sums[rows]))
            for arm, rows in _rows_by_arm(sums).items()
        }
        self._squares = {arm: np.diag(of.m2).copy() for arm, of in self._moments.items()}


def _rows_by_arm(sums: pl.DataFrame) -> dict[int, slice]:
    """Return the rows of each arm's code, by which the sums are sorted."""
    arms = sums["arm"].to_numpy()
    ends = [*np.flatnonzero(np.diff(arms, prepend=-1)).tolist(), len(arms)]
    return {int(arms[start]): slice(start, end) for start, end in pairwise(ends)}
