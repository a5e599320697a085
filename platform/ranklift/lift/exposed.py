"""The units that metrics rest on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from ranklift.lift.checks import usable_units, without_bots
from ranklift.lift.comparing import by_arm
from ranklift.lift.subject import Subject
from ranklift.lift.values import ArmTraffic


@dataclass(frozen=True, slots=True)
class Units:
    """`assigned`: in one known arm, and no bots; `exposed`: of these, served by the arm at least
    once. A unit that only met fallback pages was never exposed."""

    assigned: pl.DataFrame
    exposed: pl.DataFrame
    by_arm: Mapping[str, pl.DataFrame]


def units_that_count(units: pl.DataFrame, subject: Subject) -> Units:
    """Return the units that count, of unit sums with all rows."""
    assigned, _ = without_bots(usable_units(units, subject.arms), subject.plan.bot_pages_per_day)
    exposed = assigned.filter(pl.col("pages") > 0)
    return Units(assigned, exposed, by_arm(exposed, subject.arms))


def traffic(units: Units, subject: Subject) -> tuple[ArmTraffic, ...]:
    """Return what each arm's metrics rest on, control first."""
    return tuple(
        ArmTraffic(
            arm=arm,
            assigned_units=int((units.assigned["arm"] == arm).sum()),
            exposed_units=units.by_arm[arm].height,
            pages=_total(units.by_arm[arm], "pages") or 0,
            fallback_pages=_total(units.assigned.filter(pl.col("arm") == arm), "fallback_pages"),
            clicks=_total(units.by_arm[arm], "clicks"),
            planned_share=subject.shares[arm],
        )
        for arm in subject.arms
    )


def _total(units: pl.DataFrame, column: str) -> int | None:
    return int(units[column].sum()) if column in units.columns else None
