"""From page rows to exact sums per unit, in one pass, on whatever engine holds the rows.

Measures are whole numbers, so their sums do not depend on the order of the rows. A column of
fractions that somebody declared himself is summed as it is, exact but for rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import narwhals as nw
import polars as pl

from ranklift.lift.dense import dense_unit_sums

# Until everybody takes it from there.
from ranklift.lift.pages import Rows, collect, has
from ranklift.v1.errors import InvalidRequest, Violation

FIRST, LAST = "first_page_time", "last_page_time"


def unit_sums(
    rows: Rows,
    *,
    measures: Sequence[str],
    constants: Sequence[str] = (),
    segments: Sequence[str] = (),
) -> pl.DataFrame:
    """Return one row per unit and arm of page rows (`pages.PageRows`), sorted by arm and unit.

    - `unit_id` as in the rows, `arm` str
    - the `measures`, summed: i64, or f64 where the rows hold fractions
    - the `constants`, which must be the same on all pages of a unit, null included
    - the `segments`, str: the value on the unit's first page in its arm, since later ones may be
      an effect of the arm; of pages at one instant the first value in alphabetical order. Rows
      without `page_time` have no first page, so the value must be the same on all of them.
    - `first_page_time`, `last_page_time` datetime[us, UTC], where the rows have `page_time`

    Raises:
        InvalidRequest: a constant, or a segment in rows without times, varies within a unit.
    """
    native, schema = nw.to_native(rows), rows.collect_schema()
    fractions = any(not schema[name].is_integer() for name in measures)
    unordered = segments and "page_time" not in schema
    if not isinstance(native, pl.LazyFrame) or fractions or unordered:
        return grouped_unit_sums(rows, measures=measures, constants=constants, segments=segments)
    sums = dense_unit_sums(native, measures=measures, constants=constants, segments=segments)
    units = _finished(sums)
    return units if schema["arm"] == nw.String else units.sort("arm", "unit_id")


def grouped_unit_sums(
    rows: Rows,
    *,
    measures: Sequence[str],
    constants: Sequence[str] = (),
    segments: Sequence[str] = (),
) -> pl.DataFrame:
    """Return the same as `unit_sums`, by the group-by of whatever engine holds the rows."""
    columns = (*measures, *constants, *segments)
    units = collect(unit_frame(rows, measures=measures, constants=constants, segments=segments))
    _refuse_varying(units, constants if has(rows, "page_time") else (*constants, *segments))
    times = [name for name in (FIRST, LAST) if name in units.columns]
    chosen = units.select("unit_id", "arm", *columns, *times)
    return _finished(chosen).sort("arm", "unit_id")


def unit_frame(
    rows: Rows,
    *,
    measures: Sequence[str],
    constants: Sequence[str] = (),
    segments: Sequence[str] = (),
) -> Rows:
    """Return the rows of `unit_sums` uncollected and in no order.

    Beside every column that must not vary stands `varies(<name>)`, 1 where it does, else 0.
    """
    schema = rows.collect_schema()
    timed = "page_time" in schema
    time = nw.col("page_time")
    fixed = constants if timed else (*constants, *segments)
    sums = [total(name, schema) for name in measures]
    sums += [nw.col(name).min() for name in fixed]
    sums += [_varies(name) for name in fixed]
    if timed:
        sums += [time.min().alias(FIRST), time.max().alias(LAST)]
    if timed and segments:
        rows = rows.with_columns(_first=time.min().over("unit_id", "arm"))
        on_first = time == nw.col("_first")
        sums += [nw.when(on_first).then(nw.col(name)).min().alias(name) for name in segments]
    return rows.group_by("unit_id", "arm").agg(*sums).with_columns(nw.col("arm").cast(nw.String))


def total(name: str, schema: nw.Schema) -> nw.Expr:
    """Return the sum of a measure: i64 for whole numbers, f64 for fractions."""
    return nw.col(name).sum().cast(nw.Int64 if schema[name].is_integer() else nw.Float64)


def utc(frame: pl.DataFrame, name: str) -> pl.Expr:
    """Return a column of instants in UTC; those without a time zone are taken to be so."""
    zone = frame.schema[name]
    column = pl.col(name)
    aware = isinstance(zone, pl.Datetime) and zone.time_zone is not None
    moved = column.dt.convert_time_zone("UTC") if aware else column.dt.replace_time_zone("UTC")
    return moved.dt.cast_time_unit("us")


def _finished(units: pl.DataFrame) -> pl.DataFrame:
    """Return unit sums with arms as text and times in UTC."""
    times = [utc(units, name) for name in (FIRST, LAST) if name in units.columns]
    return units.with_columns(pl.col("arm").cast(pl.String), *times)


def _varies(name: str) -> nw.Expr:
    column = nw.col(name)
    present = column.count()
    differs = column.min() != column.max()
    # Nothing differs from null, so a column that is null on some pages is told by its count.
    return (
        nw.when((present > 0) & (differs | (present < nw.len())))
        .then(nw.lit(1))
        .otherwise(nw.lit(0))
        .alias(_varying(name))
    )


def _varying(name: str) -> str:
    return f"varies({name})"


def _refuse_varying(units: pl.DataFrame, names: Sequence[str]) -> None:
    twice = units.filter(pl.col("unit_id").is_duplicated())
    violations = []
    for name in names:
        within = units.filter(pl.col(_varying(name)) > 0)["unit_id"]
        across = twice.group_by("unit_id").agg(pl.col(name).n_unique()).filter(pl.col(name) > 1)
        bad = pl.concat([within, across["unit_id"]]).unique().sort()
        if len(bad):
            violations.append(
                Violation(
                    name,
                    f"differs between pages of one unit, for {len(bad):,} of "
                    f'{units["unit_id"].n_unique():,} units, e.g. "{bad[0]}"; '
                    "give each unit one value",
                )
            )
    if violations:
        raise InvalidRequest(violations)
