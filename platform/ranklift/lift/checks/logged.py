"""Did every arm log what it should? Pages or dwells that only one arm loses look like a lift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from scipy.special import chdtrc

from ranklift.lift.moments import Moments
from ranklift.lift.sample_ratio import ALPHA
from ranklift.lift.values import Check

# What is lost leaves the metrics, so a metric can be off by about the difference of these shares.
MAX_DIFFERENCE = 0.01
MIN_UNITS = 30
COLUMNS = ("part", "whole")


def fallback_share(usable: pl.DataFrame, arms: Sequence[str]) -> Check:
    """Return the check that the champion answered for all arms alike."""
    name = "fallback_share"
    if "fallback_pages" not in usable.columns:
        return Check(name, True, None, "The log does not tell fallback pages: not checked.")
    part, shown = pl.col("fallback_pages"), pl.col("pages") + pl.col("fallback_pages")
    return equal_shares(
        name,
        "Share of pages that the champion answered instead",
        {arm: _moments(usable.filter(pl.col("arm") == arm), part, shown) for arm in arms},
    )


def clicks_without_dwell(usable: pl.DataFrame, arms: Sequence[str]) -> Check:
    """Return the check that all arms lost the same share of dwell events."""
    name = "clicks_without_dwell"
    # A log that only tells whether a page was clicked has one dwell a clicked page at most.
    clicked = next((n for n in ("clicks", "clicked_pages") if n in usable.columns), None)
    if clicked is None or "clicks_with_dwell" not in usable.columns:
        return Check(name, True, None, "The log does not tell lost dwells: not checked.")
    if not usable["clicks_with_dwell"].sum():
        return Check(name, True, None, "No click has a dwell: not checked.")
    part, clicks = pl.col(clicked) - pl.col("clicks_with_dwell"), pl.col(clicked)
    return equal_shares(
        name,
        "Share of clicks without any dwell event",
        {arm: _moments(usable.filter(pl.col("arm") == arm), part, clicks) for arm in arms},
    )


def equal_shares(name: str, what: str, arms: Mapping[str, Moments]) -> Check:
    """Return the check that a part of a whole, `COLUMNS` of each arm's moments, is alike in arms.

    The check fails when two things hold: the shares are more than `MAX_DIFFERENCE` apart, so that
    it matters, and chance does not explain it. For chance the unit is the observation: faults come
    in bursts, and the pages of one unit are not independent. With r the share of all arms together
    and r_i, V_i = var(part - r whole) / (n mean(whole)^2) those of an arm, the sum over arms of
    (r_i - r_V)^2 / V_i, where r_V weighs the arms by 1 / V_i, is chi-square with arms - 1 degrees
    of freedom. V_i uses r and not r_i: an arm that lost nothing would have no variance.
    """
    seen = {arm: moments for arm, moments in arms.items() if moments.mean_of("whole") > 0}
    shares = [moments.mean_of("part") / moments.mean_of("whole") for moments in seen.values()]
    found = ", ".join(f"{arm} {share:.2%}" for arm, share in zip(seen, shares, strict=True))
    detail = f"{what}: {found or 'none counted yet'}."
    if len(seen) < 2:
        return Check(name, True, None, detail)
    fewest = min(moments.count for moments in seen.values())
    if fewest < MIN_UNITS:
        detail += f" Not enough units to compare: {fewest} in an arm, {MIN_UNITS} are needed."
        return Check(name, True, None, detail)
    small = max(shares) - min(shares) <= MAX_DIFFERENCE
    together = sum(
        (moments.count * moments.mean for moments in seen.values()), start=np.zeros(len(COLUMNS))
    )
    weights = np.array([1.0, -together[0] / together[1]])  # part - r whole
    variances = np.array(
        [
            weights
            @ moments.m2
            @ weights
            / ((moments.count - 1) * moments.count * moments.mean_of("whole") ** 2)
            for moments in seen.values()
        ]
    )
    if not (variances > 0).all():
        # All units of an arm are alike: chance cannot be told, only size is left.
        return Check(name, small, None, detail)
    centre = np.average(shares, weights=1 / variances)
    p_value = float(chdtrc(len(seen) - 1, np.sum((np.array(shares) - centre) ** 2 / variances)))
    return Check(name, small or p_value >= ALPHA, p_value, detail)


def _moments(rows: pl.DataFrame, part: pl.Expr, whole: pl.Expr) -> Moments:
    return Moments.from_frame(rows.select(part.alias("part"), whole.alias("whole")), COLUMNS)
