"""Faults of the data: while there is one, no number of a ramp can be trusted.

All hold at every look, unlike the checks of a report that compare shares at one look only.
"""

from __future__ import annotations

import math

import numpy as np
import polars as pl

from ranklift.lift.checks.assignment import known_arms, one_arm_per_unit, usable_units
from ranklift.lift.moments import Floats
from ranklift.lift.sample_ratio import sample_ratio, sample_ratio_by_day
from ranklift.lift.sequential.confidence_sequence import always_valid_bound
from ranklift.lift.subject import Subject

# The chance that fallbacks which hit all arms alike pause one step of a ramp.
FALLBACK_ALPHA = 0.001
# Fallback pages leave the metrics, so that a metric can be off by about this much.
MAX_FALLBACK_DIFFERENCE = 0.01
MIN_UNITS = 100


def assignment_faults(subject: Subject, units: pl.DataFrame) -> list[str]:
    """Return what is wrong with how the units, since the start, were split, a line each."""
    usable = usable_units(units, subject.arms)
    assigned = {arm: int((usable["arm"] == arm).sum()) for arm in subject.arms}
    checks = (
        sample_ratio(assigned, subject.shares),
        sample_ratio_by_day(usable, subject.shares),
        known_arms(units, subject.arms),
        one_arm_per_unit(units),
    )
    return [f"{check.name}: {check.detail}" for check in checks if not check.passed]


def fallback_faults(subject: Subject, size: int, assigned: pl.DataFrame) -> list[str]:
    """Return the arms whose share of fallback pages is shown to be another than control's.

    Another by `MAX_FALLBACK_DIFFERENCE` or more. `assigned` are the units of the present step,
    those with nothing but fallback pages too, for a ranker that failed and was mended must not hold
    a ramp up for good. The unit is the observation, for faults come in bursts. With r the share in
    both arms together, an arm's variance is sum (part - r whole)^2 / (sum whole)^2 over its units:
    about r and not about its own share, which an arm without any fallback would know too well.
    """
    if "fallback_pages" not in assigned.columns:
        return []
    columns = ("fallback_pages", "pages")

    def counted(arm: str) -> tuple[Floats, Floats]:
        rows = assigned.filter(pl.col("arm") == arm).select(pl.col(columns).cast(pl.Float64))
        part, served = rows.to_numpy().T
        return part, part + served

    control, faults = counted(subject.control), []
    for arm in subject.arms[1:]:
        pair = (control, counted(arm))
        if min(len(part) for part, _ in pair) < MIN_UNITS:
            continue
        pooled = sum(part.sum() for part, _ in pair) / sum(whole.sum() for _, whole in pair)
        variance = sum(
            np.sum((part - pooled * whole) ** 2) / whole.sum() ** 2 for part, whole in pair
        )
        before, now = (float(part.sum() / whole.sum()) for part, whole in pair)
        units = sum(len(part) for part, _ in pair)
        tuned = size * (subject.shares[subject.control] + subject.shares[arm])
        alpha = FALLBACK_ALPHA / (len(subject.arms) - 1)
        half = always_valid_bound(units, tuned, alpha) * math.sqrt(variance)
        if abs(now - before) - half > MAX_FALLBACK_DIFFERENCE:
            faults.append(
                f"fallback_share: the champion answered {now:.2%} of the pages of {arm} and "
                f"{before:.2%} of control's in this step, over {units:,} units"
            )
    return faults
