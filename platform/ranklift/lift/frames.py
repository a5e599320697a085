"""Whatever frame a user holds, as one lazy frame, with its columns checked by what they are for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import narwhals as nw
import polars as pl

from ranklift.lift.pages import Rows, as_rows, collect
from ranklift.v1.errors import InvalidRequest, Violation

_FRAMES = "a polars, pandas, pyarrow, DuckDB or Spark frame, or the path of a Parquet file"
TEXT = (nw.String, nw.Categorical, nw.Enum)


class Kind(StrEnum):
    """What a column must hold; the value says it to the user."""

    ID = "text or whole numbers"
    LABEL = "text, whole numbers or booleans"
    TIME = "instants (in UTC where they have no time zone) or ISO 8601 text"
    FLAG = "booleans or 0 and 1"
    COUNT = "whole numbers from 0 to a billion"
    RANK = "whole numbers from 1 to a billion"
    SPAN = "numbers from 0 to a billion"
    NUMBER = "finite numbers"


_LOWEST = {Kind.FLAG: 0, Kind.COUNT: 0, Kind.RANK: 1, Kind.SPAN: 0}
# Beyond any count or span (a billion seconds are thirty years), and sums of a million stay exact.
_BILLION = 1_000_000_000
_HIGHEST = {Kind.FLAG: 1, Kind.COUNT: _BILLION, Kind.RANK: _BILLION, Kind.SPAN: _BILLION}


def lazy_frame(frame: Any, field: str) -> Rows:
    """Return a frame, or the Parquet file of a path, as a lazy narwhals frame.

    DuckDB relations and Spark frames stay where they are. pandas and pyarrow frames become polars
    ones; NaN means missing in pandas and becomes null.

    Raises:
        InvalidRequest: `frame` is neither a frame nor the path of a Parquet file.
    """
    if isinstance(frame, str | Path):
        return _scan(frame, field)
    try:
        native = nw.from_native(frame)
    except TypeError:
        message = f"a {type(frame).__name__} is no frame; give {_FRAMES}"
        raise InvalidRequest.of(field, message) from None
    if isinstance(native, nw.LazyFrame):
        return native
    try:
        return as_rows(native.to_polars().lazy())
    except (TypeError, ValueError) as error:
        # A pandas column of Python objects can mix types.
        message = f"cannot be read: {_first_line(error)}; give every column one type"
        raise InvalidRequest.of(field, message) from None


def read_columns(frame: Rows, columns: Mapping[str, Kind], field: str) -> Rows:
    """Return these columns of a frame, of the types of their kinds, values not looked at yet.

    Whole numbers and booleans become Int64, other numbers Float64, text String; labels that are no
    text stay as they are. Text that should be an instant and is none becomes null.

    Raises:
        InvalidRequest: a column is missing or cannot hold what it must.
    """
    schema = frame.collect_schema()
    missing = [
        Violation(name, f"is missing in the {field}; it must hold {kind}")
        for name, kind in columns.items()
        if name not in schema
    ]
    wrong = [
        Violation(name, fault)
        for name, kind in columns.items()
        if name in schema and (fault := _type_fault(frame, schema[name], kind))
    ]
    if missing or wrong:
        raise InvalidRequest([*missing, *wrong])
    for name, kind in columns.items():
        if kind is Kind.TIME and schema[name] == nw.String:
            # narwhals cannot parse leniently; text comes this far in polars only (`_type_fault`).
            parsed = pl.col(name).str.to_datetime(time_zone="UTC", strict=False)
            frame = as_rows(nw.to_native(frame).with_columns(parsed))
    return frame.select(_typed(name, kind, schema[name]) for name, kind in columns.items())


@dataclass(frozen=True, slots=True)
class Fault:
    """Rows on which a column is wrong, and what to do about it; `text` follows on "3 rows "."""

    column: str
    where: nw.Expr
    text: str


def with_faults(frame: Rows, faults: Iterable[Fault], name: str) -> Rows:
    """Return the frame with the column `name`: 1 where a row has a fault, else 0."""
    anything = nw.any_horizontal(*(fault.where for fault in faults), ignore_nulls=True)
    return frame.with_columns(anything.cast(nw.Int8).alias(name))


def refuse_faults(frame: Rows, faults: Iterable[Fault]) -> int:
    """Return the number of rows of a frame in which no row has a fault.

    Raises:
        InvalidRequest: some have; all columns at once.
    """
    listed = list(faults)
    counted = [
        fault.where.cast(nw.Int64).sum().alias(f"fault {i}") for i, fault in enumerate(listed)
    ]
    counts = collect(frame.select(nw.len().alias("rows"), *counted)).row(0, named=True)
    found = [
        Violation(fault.column, f"{rows_of(counts[f'fault {i}'])} {fault.text}")
        for i, fault in enumerate(listed)
        if counts[f"fault {i}"]
    ]
    if found:
        raise InvalidRequest(found)
    return int(counts["rows"])


def value_faults(
    frame: Rows, columns: Mapping[str, Kind], optional: Iterable[str]
) -> Iterator[Fault]:
    """Yield what may be wrong with the values of `read_columns`; `optional` ones may be null.

    What a column's type rules out is not looked for: this is a pass over all pages.
    """
    schema = frame.collect_schema()
    for name, kind in columns.items():
        column, dtype = nw.col(name), schema[name]
        if name not in optional:
            yield Fault(name, column.is_null(), f"without a value; it must hold {kind}")
            if kind in (Kind.ID, Kind.LABEL) and dtype in TEXT:
                empty = column.cast(nw.String) == ""
                yield Fault(name, empty, "with empty text; name it or drop them")
        if kind in (Kind.ID, Kind.LABEL, Kind.TIME):
            continue
        bad = [column < low for low in (_LOWEST.get(kind),) if low is not None]
        bad += [column > high for high in (_HIGHEST.get(kind),) if high is not None]
        if not dtype.is_integer():
            finite = column.is_finite()
            yield Fault(name, ~finite, "with infinity or NaN; correct them or leave them null")
            bad += [column % 1 != 0] if kind in (Kind.FLAG, Kind.COUNT, Kind.RANK) else []
            bad = [finite & fault for fault in bad]
        if bad:
            outside = nw.any_horizontal(*bad, ignore_nulls=True)
            yield Fault(name, outside, f"with something else than {kind}; correct them")


def rows_of(count: int) -> str:
    """Return "1 row" or "2 rows"."""
    return "1 row" if count == 1 else f"{count:,} rows"


def _scan(path: str | Path, field: str) -> Rows:
    scanned = pl.scan_parquet(path)
    try:
        scanned.collect_schema()
    except (OSError, pl.exceptions.PolarsError) as error:
        message = f'"{path}" cannot be read as Parquet: {_first_line(error)}'
        raise InvalidRequest.of(field, message) from None
    return as_rows(scanned)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]


def _type_fault(frame: Rows, dtype: Any, kind: Kind) -> str | None:
    """Return what is wrong with a column's type, or None."""
    whole = dtype.is_integer()
    number = dtype.is_numeric() or dtype == nw.Boolean or dtype == nw.Unknown
    text = dtype in TEXT
    if kind is Kind.TIME:
        return _time_fault(frame, dtype)
    fits = {Kind.ID: whole or text, Kind.LABEL: whole or text or dtype == nw.Boolean}
    if fits.get(kind, number):
        return None
    return f"is {dtype}, must hold {kind}; convert it"


def _time_fault(frame: Rows, dtype: Any) -> str | None:
    in_polars = frame.implementation.is_polars()
    if dtype == nw.String and not in_polars:
        return f"is text, which {frame.implementation} should parse; cast it to TIMESTAMP first"
    if dtype not in (nw.String, nw.Datetime):
        return f"is {dtype}, must hold {Kind.TIME}; convert it"
    if dtype == nw.Datetime and dtype.time_zone is None and frame.implementation.is_spark_like():
        zone = nw.to_native(frame).sparkSession.conf.get("spark.sql.session.timeZone")
        if zone not in ("UTC", "Etc/UTC", "GMT", "Z"):
            return (
                f"has no time zone, and Spark would read it in {zone}; "
                "set spark.sql.session.timeZone to UTC"
            )
    return None


def _typed(name: str, kind: Kind, dtype: Any) -> nw.Expr:
    column = nw.col(name)
    if kind is Kind.TIME or (kind is Kind.LABEL and dtype not in TEXT):
        return column
    if kind in (Kind.ID, Kind.LABEL):
        # Whole numbers beyond 64 signed bits, such as hashes, are names.
        fits = dtype.is_integer() and dtype not in (nw.UInt64, nw.Int128, nw.UInt128)
        return column.cast(nw.Int64 if fits else nw.String)
    if kind is not Kind.SPAN and (dtype.is_integer() or dtype == nw.Boolean):
        return column.cast(nw.Int64)
    return column.cast(nw.Float64)
