"""`analyze`: the lift report of any log, without a server or a registry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from threading import Thread
from typing import Any

import polars as pl

from ranklift.lift.columns import sums_of
from ranklift.lift.days import busiest_day, unit_days
from ranklift.lift.flat import read_flat
from ranklift.lift.pages import PageRows, collect, faults_first, without_faults
from ranklift.lift.plan_checks import plan_violations
from ranklift.lift.subject import Subject, Sums, metrics_of, parts_of_one
from ranklift.lift.sums import unit_sums
from ranklift.lift.values import LiftReport
from ranklift.store.analysis import AnalysisPlan, Horizon
from ranklift.v1.errors import InvalidRequest, refuse_if_any

MAX_ARMS = 50


def analyze(
    pages: Any,
    clicks: Any = None,
    *,
    control: str,
    primary: str = "page_ctr",
    metrics: Sequence[str] | None = None,
    plan: AnalysisPlan | None = None,
    segments: Sequence[str] = (),
    shares: Mapping[str, float] | None = None,
    trigger: str | None = None,
    name: str = "log",
    details: bool = True,
) -> LiftReport:
    """Return the lift report of a log of pages, perhaps with a log of clicks.

    `pages` and `clicks` are polars, pandas, pyarrow, DuckDB or Spark frames or paths of Parquet
    files, with the columns that `ranklift.lift.flat` documents. `control` names an arm. `metrics`
    are reported beside the primary one, all that the columns support when None. `segments` names
    columns whose values were fixed before the first page. `shares` are the planned parts of the
    units by arm, equal when None; their sum is made 1. `trigger` names a column of flags that says,
    alike in all arms, whether their rankings differ on a page: only these pages count, which shows
    an effect that the others would dilute. Without `details`, the looks by day, the effect by day
    since exposure and the distribution of the dwell are left out, which is quicker.

    With a fixed horizon and no planned size, the log is taken to be complete.

    Raises:
        InvalidRequest: a column, an option or the plan is wrong; the field names it.
    """
    # scipy takes longer to import than all the rest; meanwhile pages are read, mostly outside of
    # the interpreter.
    Thread(target=import_module, args=("ranklift.lift.report",)).start()
    plan = plan or AnalysisPlan()
    own = {name for metric in plan.metrics for name in sums_of(metric)}
    log = read_flat(pages, clicks, measures=sorted(own), trigger=trigger, at_once=False)
    with faults_first(log):
        sums = [*log.measures, *log.constants]
        refuse_if_any(plan_violations(plan, primary, has_planned_end=False, sums=sums))
        for segment in segments:
            if segment not in log.segments:
                raise InvalidRequest.of(
                    "segments",
                    f'"{segment}" is no column of text, categories or booleans; there are '
                    f"{', '.join(log.segments) or 'none'}",
                )
        if metrics is not None:
            used = {
                name for m in metrics_of(primary, plan, sums, metrics).all for name in sums_of(m)
            }
            # The check for lost dwells, which look like a lift, needs these.
            if any("dwell" in name for name in used):
                used |= {
                    "clicks_with_dwell",
                    "clicks" if "clicks" in log.measures else "clicked_pages",
                }
            log = log.with_only(used)
        summed = _sums(log, tuple(dict.fromkeys(segments)), details)
        arms = _arms(summed.units, control, shares)
        fixed = plan.horizon is Horizon.FIXED and not plan.planned_units
        subject = Subject(
            name=name if trigger is None else f"{name}, pages with {trigger}",
            arms=tuple(arms),
            shares=arms,
            primary_metric=primary,
            plan=plan,
            finished=fixed,
        )
        from ranklift.lift.report import report_of

        return report_of(subject, summed, only=metrics)


def _sums(log: PageRows, segments: tuple[str, ...], details: bool) -> Sums:
    measures = (*log.measures, *log.unchecked)
    units = unit_sums(log.rows, measures=measures, constants=log.constants, segments=segments)
    units = without_faults(log, units)
    days = None
    if details and "page_time" in log.rows.collect_schema():
        days = unit_days(log.rows, measures=log.measures)
        units = units.join(busiest_day(days), on=["unit_id", "arm"], how="left")
    return Sums(
        units=units,
        days=days,
        dwells=collect(log.dwells) if details and log.dwells is not None else None,
        segments=segments,
    )


def _arms(
    units: pl.DataFrame, control: str, shares: Mapping[str, float] | None
) -> dict[str, float]:
    """Return the planned share of every arm, control first.

    Raises:
        InvalidRequest: control or an arm of the shares is missing, or there is nothing to compare.
    """
    logged = units["arm"].unique().sort().to_list()
    if control not in (shares or logged):
        where = "has no share; shares name" if shares else "is no arm; there are"
        raise InvalidRequest.of("control", f'"{control}" {where} {_named(list(shares or logged))}')
    if shares is None:
        if not 2 <= len(logged) <= MAX_ARMS:
            raise InvalidRequest.of(
                "arm",
                f"has {len(logged)} value{'s' * (len(logged) != 1)} ({_named(logged)}), "
                f"must have 2 to {MAX_ARMS}",
            )
        shares = dict.fromkeys(logged, 1.0)
    ordered = [control, *(arm for arm in shares if arm != control)]
    return parts_of_one({arm: shares[arm] for arm in ordered})


def _named(names: Sequence[str]) -> str:
    more = ", ..." if len(names) > 10 else ""
    return ", ".join(f'"{name}"' for name in names[:10]) + more
