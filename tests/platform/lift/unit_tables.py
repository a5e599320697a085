"""Unit sums drawn at random: users that differ, some without a time before the experiment."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import numpy as np
import polars as pl

from ranklift.lift.comparing import Method, by_arm, method_for, moments_of
from ranklift.lift.moments import Moments
from ranklift.store.analysis import Form, Metric, ZeroRule

ARMS = ("control", "student")
FIRST_DAY = date(2025, 3, 1)


def declared(form: Form, *, cap: float | None = None, **changed: object) -> Metric:
    """Return a metric of clicks, over pages where the form has a denominator."""
    denominator = None if form in (Form.MEAN, Form.SHARE) else "pages"
    return Metric(
        name=f"{form}_{cap}",
        title="Clicks",
        unit="clicks",
        definition="Clicks.",
        numerator="clicks",
        denominator=denominator,
        form=form,
        cap_quantile=cap,
        **changed,  # type: ignore[arg-type]
    )


FORMS = (
    *(declared(form) for form in Form),
    declared(Form.RATIO, cap=0.9),
    declared(Form.MEAN, cap=0.9),
    declared(Form.UNIT_RATIO, cap=0.9, when_zero=ZeroRule.ZERO),
)


def draw_units(
    seed: int,
    units: int = 400,
    *,
    lift: float = 0.1,
    newcomers: float = 0.0,
    arms: tuple[str, ...] = ARMS,
) -> pl.DataFrame:
    """Return unit sums sorted by arm and unit, with the clicks and pages of before.

    A part `newcomers` of the units has none of before. The last arm clicks `lift` more often.
    """
    rng = np.random.default_rng(seed)
    arm = np.arange(units) % len(arms)
    taste, rate = rng.beta(2, 5, units), rng.gamma(4, 2, units)
    pages, before = 1 + rng.poisson(rate), 1 + rng.poisson(rate)
    new = rng.random(units) < newcomers
    often = np.minimum(taste * np.where(arm == len(arms) - 1, 1 + lift, 1.0), 1)
    clicks = rng.binomial(pages, often)
    frame = pl.DataFrame(
        {
            "unit_id": [f"u{number:05}" for number in range(units)],
            "arm": [arms[index] for index in arm],
            "pages": pages,
            "clicked_pages": clicks,
            "clicks": clicks + rng.poisson(0.5 * clicks),
            "pre_pages": before,
            "pre_clicks": rng.binomial(before, taste),
        }
    )
    known = pl.Series(~new)
    return frame.with_columns(
        pl.when(known).then(pl.col(name)).alias(name) for name in ("pre_pages", "pre_clicks")
    ).sort("arm", "unit_id")


def draw_days(seed: int, units: pl.DataFrame, days: int = 4) -> pl.DataFrame:
    """Return sums per unit, arm and day: some have only a fallback page, some no click."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "unit_id": unit,
            "arm": arm,
            "day": FIRST_DAY + timedelta(days=day),
            "pages": (pages := int(rng.integers(0, 4))),
            "fallback_pages": int(rng.integers(0, 2)) if pages else 1,
            "clicks": int(rng.binomial(pages, 0.4)),
            "clicked_pages": int(rng.binomial(pages, 0.3)),
        }
        for unit, arm in units.select("unit_id", "arm").iter_rows()
        for day in range(days)
        if rng.random() < 0.6
    ]
    schema = {"unit_id": pl.String, "arm": pl.String, "day": pl.Date} | dict.fromkeys(
        ("pages", "fallback_pages", "clicks", "clicked_pages"), pl.Int64
    )
    return pl.DataFrame(rows, schema=schema)


def added_up(days: pl.DataFrame, units: pl.DataFrame) -> pl.DataFrame:
    """Return the exposed units of sums by day, with the time before from `units`."""
    sums = ("pages", "fallback_pages", "clicks", "clicked_pages")
    return (
        days.group_by("unit_id", "arm")
        .agg(pl.col(sums).sum())
        .filter(pl.col("pages") > 0)
        .join(units.select("unit_id", "pre_pages", "pre_clicks"), on="unit_id")
        .sort("arm", "unit_id")
    )


def plain(units: pl.DataFrame, *metrics: Metric, level: float = 0.95) -> Method:
    """Return the method without covariates."""
    return method_for(units, metrics, confidence_level=level, covariates=False)


def moments_by_arm(units: pl.DataFrame, metric: Metric, method: Method) -> Mapping[str, Moments]:
    names = units["arm"].unique().sort().to_list()
    return {arm: moments_of(rows, metric, method) for arm, rows in by_arm(units, names).items()}
