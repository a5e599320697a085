"""The arms of millions of units at once; unit for unit what `splitter.py` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from ranklift.store.slots import Ranges
from ranklift.store.values import BUCKETS, Experiment
from ranklift.traffic.murmur3 import first_words
from ranklift.traffic.splitter import Place, Splitter, holdout_salt

# Their texts, and a few arrays as long, are in memory at a time.
_UNITS_AT_A_TIME = 1 << 20

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


@dataclass(frozen=True, slots=True, eq=False)
class AssignedUnits:
    """The arms of units, in their order.

    `arms`, shape (units,), numbers the experiment's arms from 0; -1 for a unit that takes no part.
    `buckets`, shape (units,), are in [0, 10000), whether the unit takes part or not.
    """

    arms: NDArray[np.int16]
    buckets: NDArray[np.int16]


def assign_many(
    experiment: Experiment, unit_ids: pl.Series | Sequence[str], place: Place | None = None
) -> AssignedUnits:
    """Assign every unit; without a `place` the experiment has its layer for itself.

    Raises:
        TypeError: `unit_ids` are no texts, or one is missing.
    """
    splitter = Splitter.of(experiment)
    of_bucket = np.full(BUCKETS, -1, np.int16)
    for i, (start, end) in enumerate(zip(splitter.starts, splitter.ends, strict=True)):
        of_bucket[start:end] = i
    units = _texts(unit_ids)
    arms, buckets = np.empty(len(units), np.int16), np.empty(len(units), np.int16)
    for first in range(0, len(units), _UNITS_AT_A_TIME):
        texts = _Texts.of(units[first : first + _UNITS_AT_A_TIME])
        part = slice(first, first + _UNITS_AT_A_TIME)
        buckets[part] = texts.buckets(experiment.salt)
        arms[part] = of_bucket[buckets[part]]
        if place is not None:
            arms[part][~_may_take_part(texts, place)] = -1
    return AssignedUnits(arms, buckets)


@dataclass(frozen=True, slots=True, eq=False)
class _Texts:
    """Texts one behind the other in UTF-8, and how many bytes each has."""

    joined: bytes
    lengths: NDArray[np.int64]

    @classmethod
    def of(cls, units: pl.Series) -> _Texts:
        joined = units.str.join("").item().encode()
        return cls(joined, units.str.len_bytes().cast(pl.Int64).to_numpy())

    def buckets(self, salt: str) -> NDArray[np.int16]:
        """Return the bucket of every text under a salt."""
        hashes = first_words(f"{salt}:".encode(), self.joined, self.lengths)
        # h * 10,000 / 2^64 in two halves: a product of 78 bits has no room in 64.
        count = np.uint64(BUCKETS)
        carried = ((hashes & _LOW) * count) >> _HALF
        return (((hashes >> _HALF) * count + carried) >> _HALF).astype(np.int16)


def _texts(unit_ids: pl.Series | Sequence[str]) -> pl.Series:
    units = unit_ids if isinstance(unit_ids, pl.Series) else pl.Series(unit_ids, dtype=pl.String)
    if units.dtype != pl.String or units.null_count():
        raise TypeError(f"unit ids are {units.dtype} with {units.null_count()} missing, not texts")
    return units


def _may_take_part(texts: _Texts, place: Place) -> NDArray[np.bool_]:
    """Return which units are not held out and in the experiment's slots."""
    may = np.ones(len(texts.lengths), np.bool_)
    if place.layer.holdout_share:
        may &= texts.buckets(holdout_salt(place.layer)) >= place.layer.holdout_share
    if not place.whole:
        may &= _owned(place.slots)[texts.buckets(place.layer.salt)]
    return may


def _owned(slots: Ranges) -> NDArray[np.bool_]:
    owned = np.zeros(BUCKETS, np.bool_)
    for start, end in slots:
        owned[start:end] = True
    return owned
