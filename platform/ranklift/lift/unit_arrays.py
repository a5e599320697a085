"""Sums per unit and arm in arrays: adding a page is adding to elements of arrays.

A group-by carries all columns of all pages through a hash table. Here a page's unit is looked up
once, and nothing of the page is kept but what it adds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ranklift.lift.unit_index import Codes, Ints
from ranklift.lift.unit_layers import NULL_CODE, Batch, Layer, reaching, segment_codes
from ranklift.lift.unit_layout import (
    INT64_MOST,
    Layout,
    bits,
    instants,
    number,
    physical,
    whole,
)
from ranklift.v1.errors import InvalidRequest

MOST_ARMS = 10_000
# Odd, so that multiplying by it loses nothing: 2^64 over the golden ratio.
MIXER = np.uint64(0x9E3779B97F4A7C15)
FIRST_PAGE, LAST_PAGE = "first_page_time", "last_page_time"


class UnitArrays:
    """The sums per unit and arm of all page rows added so far."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.units = Codes(layout.schema["unit_id"])
        self.arms = Codes(layout.schema["arm"])
        self._segments = {name: Codes(layout.schema[name]) for name in layout.segments}
        fixed = layout.constants if layout.timed else (*layout.constants, *layout.segments)
        self._constants = {name: np.zeros(0, np.int64) for name in fixed}
        self._marks = np.zeros(0, np.int64)
        self._units_with_constants = 0
        # No sum of the measure is larger than this, whatever its unit.
        self._bounds = dict.fromkeys(layout.measures, 0)
        # Nearly all units are in one arm, kept in the first layer. Pages of the same unit in
        # another arm go to the second layer, and so on.
        self._layers = [Layer(layout)]

    @property
    def crossed(self) -> bool:
        """Return whether any unit has pages in two arms."""
        return len(self._layers) > 1

    def add(self, rows: pl.DataFrame) -> None:
        """Add page rows.

        Raises:
            InvalidRequest: as `batch` does. Nothing is added then.
        """
        self.put(self.batch(rows))

    def batch(self, rows: pl.DataFrame) -> Batch:
        """Return page rows as arrays, ready to be `put`.

        Raises:
            InvalidRequest: as `check_columns` does, an amount is no finite whole number, or a
                constant varies within a unit.
        """
        self.check_columns(rows)
        amounts = {name: whole(rows[name]) for name in self.layout.measures}
        bounds = {name: self._bound_after(name, amounts[name]) for name in amounts}
        arms = self.arms.of(rows["arm"])
        if len(self.arms) > MOST_ARMS:
            raise InvalidRequest.of("arm", f"has more than {MOST_ARMS} values: no column of arms")
        units = self.units.of(rows["unit_id"])
        self._keep_constants(rows, units)
        segments = self.layout.segments if self.layout.timed else ()
        return Batch(
            units,
            arms,
            amounts,
            bounds,
            physical(rows["page_time"]) if self.layout.timed else None,
            {name: rows[name] for name in segments},
        )

    def check_columns(self, rows: pl.DataFrame) -> None:
        """Check that page rows have the columns of the layout.

        Raises:
            InvalidRequest: a column is missing or of another type, or a unit, arm or time is null.
        """
        for name in self.layout.columns:
            if name not in rows.columns:
                raise InvalidRequest.of(
                    name, f"no such column; there are {', '.join(rows.columns)}"
                )
            found, expected = rows.schema[name], self.layout.schema[name]
            amount = name in self.layout.measures and (found.is_numeric() or found == pl.Boolean)
            if found != expected and not amount:
                raise InvalidRequest.of(name, f"has the type {found}, must be {expected} as before")
        for name in ("unit_id", "arm", *(("page_time",) if self.layout.timed else ())):
            if nulls := rows[name].null_count():
                raise InvalidRequest.of(name, f"is null on {nulls} pages, must be given on all")

    def put(self, batch: Batch) -> None:
        """Add a batch, in the order in which batches were made."""
        self._bounds = dict(batch.bounds)
        depth = 0
        while len(batch.units):
            if depth == len(self._layers):
                self._layers.append(Layer(self.layout))
            layer = self._layers[depth]
            layer.reach(len(self.units))
            own = layer.settle(batch.units, batch.arms)
            if own.all():
                layer.add(batch, self._segments)
                return
            layer.add(batch.where(own), self._segments)
            batch = batch.where(~own)
            depth += 1

    def holds(self, rows: pl.DataFrame) -> NDArray[np.bool_]:
        """Return which page rows (`check_columns`) are of a unit and arm that have pages."""
        units, arms = self.units.of(rows["unit_id"]), self.arms.of(rows["arm"])
        held = np.zeros(len(units), np.bool_)
        for layer in self._layers:
            layer.reach(len(self.units))
            held |= layer.arms.take(units) == arms + 1
        return held

    def frame(self) -> pl.DataFrame:
        """Return the unit sums, sorted by arm and unit.

        The columns are `unit_id`, `arm`, the measures (i64), the constants and the segments, all
        with their type in the page rows, and with times `first_page_time` and `last_page_time`.
        """
        order = self.units.order()
        return self._in_order([self._part(layer, order) for layer in self._layers])

    def coded(self, units: Ints) -> pl.DataFrame:
        """Return the columns of `frame` for these units, sorted by arm.

        `unit_id` and `arm` are codes, which takes less time than their values.
        """
        parts = []
        for layer in self._layers:
            layer.reach(len(self.units))
            of_layer, arms = _by_arm(layer, units, np.arange(len(self.arms) + 1, dtype=np.int16))
            columns = dict(self._columns(layer, of_layer, release=False))
            parts.append(pl.DataFrame({"unit_id": of_layer, "arm": arms, **columns}))
        return parts[0] if len(parts) == 1 else pl.concat(parts).sort("arm")

    def finish(self) -> pl.DataFrame:
        """Return `frame()`, giving up the arrays while it is built: half the peak of memory."""
        order, parts = self.units.order(), []
        while self._layers:
            parts.append(self._part(self._layers.pop(0), order, release=True))
        return self._in_order(parts)

    def _in_order(self, parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
        if len(parts) == 1:
            return parts[0]
        return pl.concat(parts).sort("arm", "unit_id")

    def _part(self, layer: Layer, units: Ints, *, release: bool = False) -> pl.DataFrame:
        """Return the unit sums of a layer, sorted by arm and then in the order of `units`."""
        layer.reach(len(self.units))
        rank = np.zeros(len(self.arms) + 1, np.int16)
        rank[self.arms.order() + 1] = np.arange(1, len(self.arms) + 1)
        units, arms = _by_arm(layer, units, rank)
        columns = {
            "unit_id": self.units.values(units),
            "arm": self.arms.values(arms),
        }
        del arms
        for name, column in self._columns(layer, units, release=release):
            columns[name] = column
        return pl.DataFrame(columns)

    def _columns(
        self, layer: Layer, units: Ints, *, release: bool
    ) -> Iterator[tuple[str, pl.Series]]:
        schema = self.layout.schema
        measures: dict[str, pl.Series] = {}
        for sharing in layer.sharing():
            sums = layer.sums[sharing[0]]
            if release:
                layer.sums = {name: of for name, of in layer.sums.items() if name not in sharing}
            column = pl.Series(sums.take(units).astype(np.int64, copy=False))
            measures |= dict.fromkeys(sharing, column)
            del sums
        yield from ((name, measures[name]) for name in self.layout.measures)
        last = release and not self._layers  # `finish` has taken all of them
        for name in self.layout.constants:
            constants = self._constants.pop(name) if last else self._constants[name]
            yield name, number(constants.take(units), schema[name])
            del constants
        for name, codes in self._segments.items():
            values = codes.values()
            kept = layer.segments if self.layout.timed else self._constants
            found = kept[name].take(units)
            rows = np.where(found == NULL_CODE, len(values), found - 1)
            null = pl.Series([None], dtype=values.dtype)
            yield name, pl.concat([values, null]).gather(rows)
        if layer.first is not None and layer.last is not None:
            for name, times in ((FIRST_PAGE, layer.first), (LAST_PAGE, layer.last)):
                yield name, instants(times.take(units), schema["page_time"])

    def _bound_after(self, name: str, amounts: pl.Series) -> int:
        """Return what no sum of a measure can pass once these amounts are added."""
        if not len(amounts):
            return self._bounds[name]
        most = max(abs(int(end)) for end in (amounts.min(), amounts.max()))  # type: ignore[arg-type]
        more = len(amounts) * most
        if self._bounds[name] + more > INT64_MOST:
            sums = [layer.sums[name] for layer in self._layers]
            self._bounds[name] = max(int(np.abs(of).max(initial=0)) for of in sums)
        if self._bounds[name] + more > INT64_MOST:
            raise InvalidRequest.of(name, "sums pass 2^63; keep the measure in larger parts")
        return self._bounds[name] + more

    def _keep_constants(self, rows: pl.DataFrame, units: Ints) -> None:
        """Keep the constants of units that come for the first time, and compare all others."""
        if not self._constants:
            return
        new = np.flatnonzero(units >= self._units_with_constants)
        given = {name: self._constant(name, rows) for name in self._constants}
        # One look-up per page instead of one per constant: of all of them mixed.
        mixed = np.zeros(len(units), np.uint64)
        for values in given.values():
            mixed ^= values.view(np.uint64)
            mixed *= MIXER
        mark = mixed.view(np.int64)
        marks = self._marks = reaching(self._marks, len(self.units))
        marks[units[new]] = mark[new]
        for name, values in given.items():
            kept = self._constants[name] = reaching(self._constants[name], len(self.units))
            kept[units[new]] = values[new]
        varies = np.flatnonzero(marks.take(units) != mark)
        for name, values in given.items():
            differs = varies[self._constants[name].take(units[varies]) != values[varies]]
            if len(differs):
                unit = rows["unit_id"][int(differs[0])]
                raise InvalidRequest.of(
                    name, f'differs between pages of unit "{unit}"; give each unit one value'
                )
        self._units_with_constants = len(self.units)

    def _constant(self, name: str, rows: pl.DataFrame) -> Ints:
        if name in self._segments:
            return segment_codes(rows[name], self._segments[name]).astype(np.int64)
        return bits(rows[name])


def _by_arm(layer: Layer, units: Ints, rank: NDArray[np.int16]) -> tuple[Ints, Ints]:
    """Return those of these units that are in a layer, sorted by the rank of their arm's code + 1,
    and the codes of their arms."""
    ranks = rank.take(layer.arms.take(units))
    # Sorting 16-bit numbers is a radix sort, which takes time in proportion to their number.
    order = np.argsort(ranks, kind="stable")[np.count_nonzero(ranks == 0) :]
    units = units.take(order)
    return units, layer.arms.take(units).astype(np.int64) - 1
