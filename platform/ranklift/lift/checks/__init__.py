"""What the data must pass before a lift means anything.

A check that cannot be computed says so and passes: it found no fault. One that fails makes the
report invalid. Checks count units where they can, since units are what was randomised. A report
may be looked at at any time: those that count units in arms alarm in at most `sample_ratio.ALPHA`
of sound experiments over all looks together; those that compare shares of what was logged do so
at one look, and need a difference that matters besides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

import polars as pl

from ranklift.lift.checks.assignment import (
    known_arms,
    one_arm_per_unit,
    recomputed_arms,
    usable_units,
)
from ranklift.lift.checks.bots import bot_units, without_bots
from ranklift.lift.checks.clocks import page_times, silent_days
from ranklift.lift.checks.enough import enough_units
from ranklift.lift.checks.logged import clicks_without_dwell, fallback_share
from ranklift.lift.sample_ratio import (
    sample_ratio,
    sample_ratio_by_day,
    sample_ratio_by_segment,
)
from ranklift.lift.values import Check

__all__ = ["data_checks", "enough_units", "usable_units", "without_bots"]


def data_checks(
    units: pl.DataFrame,
    *,
    arms: Sequence[str],
    shares: Mapping[str, float],
    recompute: Callable[[Sequence[str]], Sequence[str | None]] | None = None,
    segments: Sequence[str] = (),
    bot_pages_per_day: int = 0,
    not_before: datetime | None = None,
    now: datetime | None = None,
) -> tuple[Check, ...]:
    """Return the checks of per-unit sums (`sums`), in order of weight.

    `units` holds all rows, bots and units in several arms too. `arms` has control first, `shares`
    are their planned parts of the units. `recompute` tells the arm that each unit must have met,
    None for one that takes no part. `segments` are columns whose values were fixed before the
    first page. No page should lie before `not_before` or after `now`. What is not given is not
    checked. `enough_units` is apart: it needs a metric.
    """
    usable = usable_units(units, arms)
    assigned = {arm: int((usable["arm"] == arm).sum()) for arm in arms}
    planned = {arm: shares[arm] for arm in arms}
    checks = [sample_ratio(assigned, planned), sample_ratio_by_day(usable, planned)]
    if segments:
        checks.append(sample_ratio_by_segment(usable, planned, segments))
    checks += [known_arms(units, arms), one_arm_per_unit(units)]
    if recompute is not None:
        checks.append(recomputed_arms(usable, recompute))
    checks += [
        fallback_share(usable, arms),
        clicks_without_dwell(usable, arms),
        silent_days(usable, planned),
    ]
    if not_before is not None or now is not None:
        checks.append(page_times(units, not_before=not_before, now=now))
    if bot_pages_per_day:
        checks.append(bot_units(usable, planned, bot_pages_per_day))
    return tuple(checks)
