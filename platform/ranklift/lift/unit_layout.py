"""What is kept of page rows, and whole numbers for all of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from ranklift.lift.unit_index import Ints
from ranklift.v1.errors import InvalidRequest

NAMING = (pl.String, pl.Categorical, pl.Enum, pl.Boolean)
INT64_MOST = 2**63 - 1
WHOLE_FLOATS = 2.0**53  # up to here every whole number is a float of its own
NULL_INT = -(2**63)


@dataclass(frozen=True, slots=True)
class Layout:
    """What is kept of page rows, which have this `schema`.

    `measures` are summed. `constants` are numbers that are the same on all pages of a unit.
    `segments` take the value of the unit's earliest page in its arm; of several earliest pages the
    smallest value, and null only when all are null. Without `page_time` they must be constant.
    """

    schema: Mapping[str, pl.DataType]
    measures: tuple[str, ...]
    constants: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the schema.

        Raises:
            InvalidRequest: a column is missing, or its type cannot be what it is used for.
        """
        for name in ("unit_id", "arm", *self.measures, *self.constants, *self.segments):
            if name not in self.schema:
                raise InvalidRequest.of(name, f"no such column; there are {', '.join(self.schema)}")
        for name in ("unit_id", "arm", *self.segments):
            dtype = self.schema[name]
            if not (_is_integer(dtype) or dtype in NAMING):
                raise InvalidRequest.of(name, f"has the type {dtype}, must be text or integer")
        for name in (*self.measures, *self.constants):
            dtype = self.schema[name]
            if dtype != pl.Boolean and not (dtype.is_float() or _is_integer(dtype)):
                raise InvalidRequest.of(name, f"has the type {dtype}, must be a number")
        dtype = self.schema.get("page_time", pl.Date())
        if dtype not in (pl.Date, pl.Datetime):
            raise InvalidRequest.of("page_time", f"has the type {dtype}, must be a datetime")

    @property
    def timed(self) -> bool:
        return "page_time" in self.schema

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that are read of page rows."""
        times = ("page_time",) if self.timed else ()
        return ("unit_id", "arm", *times, *self.measures, *self.constants, *self.segments)


def _is_integer(dtype: pl.DataType) -> bool:
    return dtype.is_integer() and dtype not in (pl.Int128, pl.UInt128)


def whole(values: pl.Series) -> pl.Series:
    """Return amounts as whole numbers, with 0 for null.

    Raises:
        InvalidRequest: an amount is not finite, no whole number, or too large to be sure of.
    """
    if values.dtype == pl.Boolean:
        values = values.cast(pl.UInt8)
    if values.dtype.is_float():
        if not values.is_finite().all():
            raise InvalidRequest.of(values.name, "has values that are not finite")
        if not ((values == values.round()) & (values.abs() <= WHOLE_FLOATS)).all():
            raise InvalidRequest.of(
                values.name, "has values that are no whole numbers; keep it in smaller, whole parts"
            )
        values = values.cast(pl.Int64)
    if values.dtype == pl.UInt64 and (values > INT64_MOST).any():
        raise InvalidRequest.of(values.name, "has values of 2^63 and more")
    return values.fill_null(0) if values.null_count() else values


def bits(values: pl.Series) -> Ints:
    """Return numbers as 64 bits that are equal where the numbers are."""
    if values.dtype.is_float():
        if not values.is_finite().all():
            raise InvalidRequest.of(values.name, "has values that are not finite")
        # -0.0 + 0.0 is 0.0; NaN stands for null.
        return (values.cast(pl.Float64).fill_null(np.nan).to_numpy() + 0.0).view(np.int64)
    values = values.cast(pl.Int64)
    if values.min() == NULL_INT:
        raise InvalidRequest.of(values.name, f"has the value {NULL_INT}, must be above")
    return values.fill_null(NULL_INT).to_numpy()


def number(bits: Ints, dtype: pl.DataType) -> pl.Series:
    """Return the numbers of `bits`."""
    if dtype.is_float():
        return pl.Series(bits.view(np.float64)).fill_nan(None).cast(dtype)
    numbers, null = pl.Series(bits), bits == NULL_INT
    return (numbers.set(pl.Series(null), None) if null.any() else numbers).cast(dtype)


def physical(times: pl.Series) -> Ints:
    numbers: Ints = times.to_physical().cast(pl.Int64).to_numpy()
    return numbers


def instants(times: Ints, dtype: pl.DataType) -> pl.Series:
    physical = pl.Int32 if dtype == pl.Date else pl.Int64
    return pl.Series(times).cast(physical).cast(dtype)
