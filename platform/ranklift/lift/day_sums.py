"""What a report needs of one day of ranklift's own event log, and all days of it added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from ranklift.lift.days import busiest_day, unit_days, units_of
from ranklift.lift.event_pages import EventTables, event_pages, met_arms, pages_of_users
from ranklift.lift.interactions import IN
from ranklift.lift.measures import PRE
from ranklift.lift.pages import collect
from ranklift.lift.subject import Sums


@dataclass(frozen=True, slots=True, eq=False)
class DaySums:
    """An experiment's pages of one day, summed up.

    `units`: the sums per unit, arm and day (`days.unit_days`). `dwells`: a row per click with a
    dwell: `unit_id`, `arm`, `dwell_ms`, `censored`. `met`: a row per unit and arm of another
    experiment that it met: `unit_id`, `experiment`, `arm`.
    """

    units: pl.DataFrame
    dwells: pl.DataFrame
    met: pl.DataFrame


def day_sums(
    events: EventTables,
    experiment: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> DaySums:
    """Return the sums of the pages shown in [start, end), of one day or more."""
    rows = event_pages(events, experiment, start=start, end=end)
    dwells = rows.dwells
    if dwells is None:
        raise AssertionError("an event log tells dwells")
    return DaySums(
        unit_days(rows.rows, measures=rows.measures),
        collect(dwells),
        met_arms(events, experiment, start=start, end=end),
    )


def users_before(
    events: EventTables,
    experiment: str,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
) -> pl.DataFrame:
    """Return the sums per user and day of the pages shown in [start, end) outside an experiment.

    The columns are those of `days.unit_days`.
    """
    rows = pages_of_users(events, outside=experiment, start=start, end=end)
    return unit_days(rows.rows, measures=rows.measures)


def add_up(days: Sequence[DaySums], before: Sequence[pl.DataFrame]) -> Sums:
    """Return the sums of all days, with those of the users `before` the experiment, if any.

    Units get `busiest_day_pages`, pages on their busiest day; `in_<experiment>`, the arm they met
    in another experiment, null for none or several; and with a pre-period `pre_<measure>`, null
    for a user without any, and `history`, "new" or "returning".
    """
    # In one order however the pages were cut into days, for sums of floats depend on it. Each part
    # is sorted by arm and unit, and no day is in two.
    by_day = pl.concat([day.units for day in days]).sort("day", maintain_order=True)
    units = units_of(by_day).join(busiest_day(by_day), on=["unit_id", "arm"], how="left")
    met = pl.concat([day.met for day in days]).unique()
    experiments = met["experiment"].unique().sort().to_list()
    for experiment in experiments:
        arms = (
            met.filter(pl.col("experiment") == experiment)
            .group_by("unit_id")
            .agg(pl.when(pl.len() == 1).then(pl.col("arm").first()).alias(IN + experiment))
        )
        units = units.join(arms, on="unit_id", how="left")
    if before:
        units = units.join(_pre_period(before), on="unit_id", how="left")
    returning = pl.col(PRE + "pages").is_not_null()
    return Sums(
        units=units.with_columns(
            pl.when(returning).then(pl.lit("returning")).otherwise(pl.lit("new")).alias("history")
            if before
            else []
        ).sort("arm", "unit_id"),
        days=by_day,
        dwells=pl.concat([day.dwells for day in days]),
        segments=("history",) if before else (),
        experiments=tuple(experiments),
    )


def _pre_period(before: Sequence[pl.DataFrame]) -> pl.DataFrame:
    sums = units_of(pl.concat(before))
    measures = [name for name in sums.columns if sums[name].dtype == pl.Int64]
    return sums.select("unit_id", pl.col(measures).name.prefix(PRE))
