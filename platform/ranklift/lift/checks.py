"""What the data must pass before a lift means anything.

A check that cannot be computed says so and passes: it found no fault. One that fails makes the
report invalid. Checks count units where they can, since units are what was randomised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import stats

from ranklift.store.values import BUCKETS, Experiment

# Checks run at every look at a report: with 0.05 one report in twenty would cry wolf each time.
ALPHA = 0.001
# Cochran's rule for the chi-square approximation.
MIN_EXPECTED = 5.0
# Fallback pages leave the metrics, so a metric can be off by about the difference of their shares.
MAX_FALLBACK_DIFFERENCE = 0.01


@dataclass(frozen=True, slots=True)
class Check:
    """A check, whether the data passed, its p-value where it has one, and what was found."""

    name: str
    passed: bool
    p_value: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class ArmCounts:
    """What the checks need of an arm: assigned units and shown pages, and those with fallback."""

    arm: str
    units: int
    fallback_units: int
    pages: int
    fallback_pages: int


def data_checks(sums: pl.DataFrame, experiment: Experiment) -> tuple[Check, ...]:
    """Return all checks of an experiment's per-unit sums (`sums.unit_sums`), in order of weight."""
    arms = [arm.name for arm in experiment.arms]
    counts = _count(usable_units(sums, arms), arms)
    return (
        sample_ratio(
            {arm.arm: arm.units for arm in counts},
            {arm.name: arm.share / BUCKETS for arm in experiment.arms},
        ),
        known_arms(sums, arms),
        one_arm_per_unit(sums),
        fallback_share(counts),
    )


def usable_units(sums: pl.DataFrame, arms: Sequence[str]) -> pl.DataFrame:
    """Return the rows of units that were seen in one arm only, and in one of `arms`."""
    return sums.filter(pl.col("unit_id").is_unique(), pl.col("arm").is_in(arms))


def sample_ratio(units: Mapping[str, int], shares: Mapping[str, float]) -> Check:
    """Return the check for sample-ratio mismatch: assigned units against the planned shares.

    Pearson's chi-square, sum of (O - E)^2 / E with arms - 1 degrees of freedom. `units` counts
    fallback-only units too; `shares` sum to 1.
    """
    name = "sample_ratio"
    total = sum(units.values())
    expected = np.array([total * share for share in shares.values()])
    observed = np.array([units[arm] for arm in shares])
    if expected.min() < MIN_EXPECTED:
        detail = (
            f"Not enough units yet: {total} assigned, the smallest arm expects "
            f"{expected.min():.1f}, {MIN_EXPECTED:.0f} are needed."
        )
        return Check(name, True, None, detail)
    p_value = float(stats.chisquare(observed, expected).pvalue)
    found = ", ".join(
        f"{arm} {units[arm] / total:.2%} of {total:,} units (planned {share:.2%})"
        for arm, share in shares.items()
    )
    return Check(name, p_value >= ALPHA, p_value, f"{found}.")


def known_arms(sums: pl.DataFrame, arms: Sequence[str]) -> Check:
    """Return the check that every unit's arm is one of the experiment's; other rows are dropped."""
    strange = sums.filter(~pl.col("arm").is_in(arms))
    if strange.is_empty():
        return Check("known_arms", True, None, "Every arm in the log is one of the experiment's.")
    named = ", ".join(f'"{arm}"' for arm in strange["arm"].unique().sort())
    return Check(
        "known_arms",
        False,
        None,
        f"{strange.height:,} units were logged in {named}, which the experiment does not have; "
        "they count in no metric.",
    )


def one_arm_per_unit(sums: pl.DataFrame) -> Check:
    """Return the check that no unit was seen in two arms; those that were are dropped."""
    units = sums["unit_id"].n_unique()
    crossed = units - int(sums["unit_id"].is_unique().sum())
    if crossed == 0:
        return Check("one_arm_per_unit", True, None, f"None of {units:,} units saw two arms.")
    return Check(
        "one_arm_per_unit",
        False,
        None,
        f"{crossed:,} of {units:,} units ({crossed / units:.2%}) saw more than one arm; "
        "they count in no metric.",
    )


def fallback_share(arms: Sequence[ArmCounts]) -> Check:
    """Return the check that fallback pages hit all arms alike.

    The check fails when two things hold: chance does not explain the difference (chi-square on
    units that met a fallback page, for fallback pages come in bursts and one unit's pages are not
    independent), and it is large enough to matter (page shares more than
    `MAX_FALLBACK_DIFFERENCE` apart).
    """
    name = "fallback_share"
    seen = [arm for arm in arms if arm.pages]
    shares = [arm.fallback_pages / arm.pages for arm in seen]
    found = ", ".join(f"{arm.arm} {share:.2%}" for arm, share in zip(seen, shares, strict=True))
    detail = f"Share of pages that the champion answered instead: {found or 'no pages'}."
    hit = np.array([arm.fallback_units for arm in seen])
    spared = np.array([arm.units for arm in seen]) - hit
    if len(seen) < 2 or not hit.any():
        return Check(name, True, None, detail)
    small = max(shares) - min(shares) <= MAX_FALLBACK_DIFFERENCE
    if not spared.any():
        # Units cannot tell the arms apart when every one met a fallback page; only size is left.
        return Check(name, small, None, detail)
    p_value = float(stats.chi2_contingency(np.array([hit, spared]), correction=False).pvalue)
    return Check(name, small or p_value >= ALPHA, p_value, detail)


def _count(usable: pl.DataFrame, arms: Sequence[str]) -> tuple[ArmCounts, ...]:
    """Return the counts of each arm; one that nobody was assigned to shows as zero."""
    by_arm = pl.DataFrame({"arm": arms}).join(
        usable.group_by("arm").agg(
            units=pl.len(),
            fallback_units=(pl.col("fallback_pages") > 0).sum(),
            pages=pl.col("pages").sum() + pl.col("fallback_pages").sum(),
            fallback_pages=pl.col("fallback_pages").sum(),
        ),
        on="arm",
        how="left",
        maintain_order="left",
    )
    return tuple(ArmCounts(**row) for row in by_arm.fill_null(0).to_dicts())
