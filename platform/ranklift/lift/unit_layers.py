"""Arrays with an element per unit, to which batches of pages are added."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ranklift.lift.unit_index import Codes, Ints
from ranklift.lift.unit_layout import INT64_MOST, Layout

Amounts = NDArray[np.int32] | NDArray[np.int64]
ArrayT = TypeVar("ArrayT", NDArray[np.int16], NDArray[np.int32], NDArray[np.int64], Amounts)

INT32_MOST = 2**31 - 1
NULL_CODE = INT32_MOST


@dataclass(frozen=True, slots=True)
class Batch:
    """Page rows as arrays: codes of units and arms, and what is added to their sums.

    No sum passes its measure's bound once the batch is added. `segments` are there with `times`.
    """

    units: Ints
    arms: Ints
    amounts: Mapping[str, pl.Series]
    bounds: Mapping[str, int]
    times: Ints | None
    segments: Mapping[str, pl.Series]

    def where(self, rows: NDArray[np.bool_]) -> Batch:
        mask = pl.Series(rows)
        return Batch(
            self.units[rows],
            self.arms[rows],
            {name: values.filter(mask) for name, values in self.amounts.items()},
            self.bounds,
            None if self.times is None else self.times[rows],
            {name: values.filter(mask) for name, values in self.segments.items()},
        )


class Layer:
    """One arm of every unit, and its sums there, by the unit's code."""

    def __init__(self, layout: Layout) -> None:
        self.arms = np.zeros(0, np.int16)  # the arm's code + 1; 0 for a unit without pages
        # Measures of the same amounts so far share an array, and what is added to it. 32 bits are
        # half the memory, and quicker, until a bound says that a sum might not fit.
        self.sums: dict[str, Amounts] = dict.fromkeys(layout.measures, np.zeros(0, np.int32))
        self.first = np.zeros(0, np.int64) if layout.timed else None
        self.last = np.zeros(0, np.int64) if layout.timed else None
        # `segment_codes`; 0 for a unit without pages.
        earliest = layout.segments if layout.timed else ()
        self.segments = {name: np.zeros(0, np.int32) for name in earliest}

    def reach(self, units: int) -> None:
        """Make room for this many units."""
        self.arms = reaching(self.arms, units)
        for sharing in self.sharing():
            self.sums |= dict.fromkeys(sharing, reaching(self.sums[sharing[0]], units))
        self.segments = {name: reaching(codes, units) for name, codes in self.segments.items()}
        if self.first is not None and self.last is not None:
            self.first = reaching(self.first, units)
            self.last = reaching(self.last, units)

    def settle(self, units: Ints, arms: Ints) -> NDArray[np.bool_]:
        """Return which rows are of their unit's arm here; a unit without one takes its row's."""
        wanted = (arms + 1).astype(np.int16)
        held = self.arms.take(units)
        new = np.flatnonzero(held == 0)
        if len(new):
            self.arms[units[new]] = wanted[new]
            if self.first is not None and self.last is not None:
                self.first[units[new]] = INT64_MOST
                self.last[units[new]] = -INT64_MOST
            held[new] = self.arms.take(units[new])
        own: NDArray[np.bool_] = held == wanted
        return own

    def add(self, batch: Batch, values: Mapping[str, Codes]) -> None:
        units = batch.units
        self._separate(batch.amounts)
        for sharing in self.sharing():
            name = sharing[0]
            sums, amounts = self.sums[name], batch.amounts[name]
            if not batch.bounds[name]:
                continue
            if batch.bounds[name] > INT32_MOST and sums.dtype == np.int32:
                sums = sums.astype(np.int64)
                self.sums |= dict.fromkeys(sharing, sums)
            dtype = pl.Int32 if sums.dtype == np.int32 else pl.Int64
            np.add.at(sums, units, amounts.cast(dtype).to_numpy())
        if batch.times is None or self.first is None or self.last is None:
            return
        before = self.first.take(units) if self.segments else batch.times
        np.minimum.at(self.first, units, batch.times)
        np.maximum.at(self.last, units, batch.times)
        if self.segments:
            first = self.first.take(units)
            early = np.flatnonzero(batch.times == first)
            earlier = units[early[before[early] > first[early]]]
            for name, kept in self.segments.items():
                kept[earlier] = 0
                _take_smallest(kept, units[early], batch.segments[name].gather(early), values[name])

    def sharing(self) -> list[list[str]]:
        """Return the measures, together those that share an array of sums."""
        groups: dict[int, list[str]] = {}
        for name, sums in self.sums.items():
            groups.setdefault(id(sums), []).append(name)
        return list(groups.values())

    def _separate(self, amounts: Mapping[str, pl.Series]) -> None:
        """Give measures that share an array, but not these amounts, arrays of their own."""
        for sharing in self.sharing():
            while sharing:
                first = sharing[0]
                sharing = [name for name in sharing if not _equal(amounts[name], amounts[first])]
                if sharing:
                    self.sums |= dict.fromkeys(sharing, self.sums[first].copy())


def _equal(amounts: pl.Series, others: pl.Series) -> bool:
    return amounts.dtype == others.dtype and amounts.equals(others)


def segment_codes(values: pl.Series, codes: Codes) -> NDArray[np.int32]:
    """Return the code + 1 of every value, `NULL_CODE` for null."""
    given = np.full(len(values), NULL_CODE, np.int32)
    given[values.is_not_null().to_numpy()] = codes.of(values.drop_nulls()) + 1
    return given


def _take_smallest(kept: NDArray[np.int32], units: Ints, values: pl.Series, codes: Codes) -> None:
    """Keep the smallest value of every unit, null after all others."""
    given = segment_codes(values, codes)
    new = np.flatnonzero(kept.take(units) == 0)
    kept[units[new]] = given[new]
    differs = np.flatnonzero(kept.take(units) != given)
    if not len(differs):
        return
    order = codes.order().astype(np.int32) + np.int32(1)
    rank = np.empty(len(order) + 1, np.int32)
    rank[order] = np.arange(len(order))
    several, turn = np.unique(units[differs], return_inverse=True)

    def ranked(found: NDArray[np.int32]) -> NDArray[np.int32]:
        return np.where(found == NULL_CODE, len(order), rank[np.minimum(found, len(order))])

    least = ranked(kept[several])
    np.minimum.at(least, turn, ranked(given[differs]))
    kept[several] = np.append(order, np.int32(NULL_CODE))[least]


def reaching(kept: ArrayT, units: int) -> ArrayT:
    """Return the array with room for this many units, what is new set to 0."""
    if units > len(kept):
        # In place, if the system can: a copy beside the original would double the peak of memory.
        kept.resize(max(units, len(kept) + len(kept) // 4), refcheck=False)
    return kept
