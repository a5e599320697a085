"""Units with more pages a day than a person reads."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from ranklift.lift.sample_ratio import ALPHA, invited, p_values_at_every_look
from ranklift.lift.values import Check

# Bots are few, and where an arm makes or hides them, nearly all are on one side: alternatives far
# from the plan must count, which the units' own (`sample_ratio`) leave out.
CONCENTRATIONS = (2.0, 100.0, 10_000.0)


def without_bots(units: pl.DataFrame, limit: int) -> tuple[pl.DataFrame, Mapping[str, int]]:
    """Return the units with at most `limit` pages a day, and how many others each arm had.

    Fallback pages count. The day is the unit's busiest (`busiest_day_pages`); where the log cannot
    tell, the mean day between its first and its last page (UTC); without times, none is dropped.
    A `limit` of 0 keeps all.
    """
    bot = _is_bot(units, limit)
    if bot is None:
        return units, {}
    dropped = units.filter(bot)["arm"].value_counts().sort("arm")
    return units.filter(~bot), dict(dropped.iter_rows())


def bot_units(usable: pl.DataFrame, shares: Mapping[str, float], limit: int) -> Check:
    """Return the check that bots fall on the arms as all units do, at every look.

    An arm decides how many pages a unit sees. If it decides which units are dropped, those kept
    can no longer be compared; and since bots weigh the most, no difference is too small to matter.
    """
    name = "bot_units"
    if _is_bot(usable, limit) is None:
        return Check(name, True, None, "The log has no times: bots cannot be told.")
    arms, theta = invited(shares)
    dropped = without_bots(usable, limit)[1]
    counts = [dropped.get(arm, 0) for arm in arms]
    found = ", ".join(
        f"{arm} {count:,} of {int((usable['arm'] == arm).sum()):,}"
        for arm, count in zip(arms, counts, strict=True)
    )
    detail = f"Units with more than {limit:,} pages a day, which count in no metric: {found}."
    if len(arms) < 2 or not any(counts):
        return Check(name, True, None, detail)
    p_value = float(p_values_at_every_look(counts, theta, concentrations=CONCENTRATIONS))
    return Check(name, p_value >= ALPHA, p_value, detail)


def _is_bot(units: pl.DataFrame, limit: int) -> pl.Expr | None:
    if limit <= 0:
        return pl.lit(False)
    if "busiest_day_pages" in units.columns:
        return (pl.col("busiest_day_pages") > limit).fill_null(False)
    if not {"first_page_time", "last_page_time"}.issubset(units.columns):
        return None
    first, last = (pl.col(f"{end}_page_time").dt.date() for end in ("first", "last"))
    shown = pl.col("pages")
    if "fallback_pages" in units.columns:
        shown = shown + pl.col("fallback_pages")
    return (shown > limit * ((last - first).dt.total_days() + 1)).fill_null(False)
