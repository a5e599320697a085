"""Do the times of the pages make sense, and was every arm served on every day?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

import polars as pl

from ranklift.lift.sample_ratio import ALPHA, invited
from ranklift.lift.values import Check

# Clocks of honest servers differ a little.
TOLERANCE = timedelta(minutes=1)
TIMES = {"first_page_time", "last_page_time"}


def page_times(units: pl.DataFrame, *, not_before: datetime | None, now: datetime | None) -> Check:
    """Return the check that no page was shown before the experiment began, or after now.

    When all of them were shown before it began, they were replayed, and their clock is another.
    """
    name = "page_times"
    if not TIMES.issubset(units.columns):
        return Check(name, True, None, "The log has no times: not checked.")
    if not_before is not None and (units["last_page_time"] < not_before).all():
        detail = "All pages were shown before the start: a replay, on a clock of its own."
        return Check(name, True, None, detail)
    wrong = []
    if not_before is not None:
        first = units["first_page_time"]
        early = int((first < not_before - TOLERANCE).sum())
        if early:
            wrong.append(
                f"{early:,} units have pages before the start, {not_before.isoformat()}, "
                f"the first at {_instant(first.min())}"
            )
    if now is not None:
        last = units["last_page_time"]
        late = int((last > now + TOLERANCE).sum())
        if late:
            wrong.append(
                f"{late:,} units have pages after now, {now.isoformat()}, "
                f"the last at {_instant(last.max())}"
            )
    if wrong:
        detail = f"{'; '.join(wrong)}; check the clocks of whoever logged them."
        return Check(name, False, None, detail)
    return Check(name, True, None, "All pages lie between the start and now.")


def silent_days(usable: pl.DataFrame, shares: Mapping[str, float]) -> Check:
    """Return the check that no arm missed a whole day (UTC) on which the others were served.

    Unit sums know the first and the last page of a unit, so a day counts the units that came or
    left on it. That none of n such units is of an arm with share s has probability (1 - s)^n,
    which must be at least alpha over the number of days and arms.
    """
    name = "silent_days"
    if not TIMES.issubset(usable.columns):
        return Check(name, True, None, "The log has no times: not checked.")
    arms, theta = invited(shares)
    days = usable.filter(pl.col("arm").is_in(arms)).select(
        "arm", first=pl.col("first_page_time").dt.date(), last=pl.col("last_page_time").dt.date()
    )
    seen = pl.concat(
        [
            days.select("arm", day="first"),
            days.filter(pl.col("first") != pl.col("last")).select("arm", day="last"),
        ]
    ).drop_nulls()
    by_day = (
        seen.group_by("day")
        .agg((pl.col("arm") == arm).sum().alias(arm) for arm in arms)
        .with_columns(units=pl.sum_horizontal(arms))
        .sort("day")
    )
    level = ALPHA / max(1, by_day.height * len(arms))
    silent = [
        f"{arm} on {row['day']} (of {row['units']:,} units that came or left)"
        for row in by_day.iter_rows(named=True)
        for arm, share in zip(arms, theta, strict=True)
        if row[arm] == 0 and (1 - share) ** row["units"] < level
    ]
    if silent:
        return Check(name, False, None, f"Nothing was logged in {', '.join(silent)}.")
    return Check(name, True, None, f"All arms were served on all of {by_day.height} days.")


def _instant(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
