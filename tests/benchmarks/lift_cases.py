"""Every estimator on a metric of drawn users, with the truth that its interval should hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy import special
from tests.benchmarks.lift_users import (
    Users,
    true_quantile,
    true_restricted_mean,
    true_superiority,
    true_user_ctr,
)

from ranklift.lift.adjust import Covariate, compare_adjusted
from ranklift.lift.bootstrap import bootstrap_ratio
from ranklift.lift.moments import Moments
from ranklift.lift.quantiles import Rows, compare_quantile
from ranklift.lift.ranks import compare_ranks
from ranklift.lift.ratio import Comparison, Difference, LiftInterval, compare
from ranklift.lift.strata import compare_stratified
from ranklift.lift.survival import Dwells, compare_restricted_mean
from ranklift.lift.values import Unavailable

TAU_SECONDS = 120.0
COLUMNS = (
    "pages",
    "clicked_pages",
    "clicks",
    "dwell_ms",
    "clicked",
    "unit_ctr",
    "pre_pages",
    "pre_clicked_pages",
    "pre_dwell_ms",
    "newcomer",
)
PAGE_CTR = ("clicked_pages", "pages")
DWELL_PER_CLICK = ("dwell_ms", "clicks")
PRE_PAGE_CTR = Covariate("pre_clicked_pages", "pre_pages")
NEWCOMER = Covariate("newcomer")


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of an experiment, as the estimators want it."""

    users: Users
    moments: Moments
    strata: Mapping[str, Moments]

    @classmethod
    def of(cls, users: Users) -> Arm:
        units = users.units.with_columns(pl.col("^pre_.*$").fill_null(0.0)).with_columns(
            clicked=pl.col("clicked_pages") > 0,
            unit_ctr=pl.col("clicked_pages") / pl.col("pages"),
            newcomer=users.units["pre_pages"].is_null(),
        )
        strata = {
            str(name): Moments.from_frame(part, PAGE_CTR)
            for (name,), part in units.group_by("stratum")
        }
        return cls(users, Moments.from_frame(units, COLUMNS), strata)


@dataclass(frozen=True, slots=True)
class Found:
    """A test's p-value, None where it has none, and its interval."""

    p_value: float | None
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Case:
    """An estimator on a metric: `test` takes control, the arm and the number of the round.

    Its interval should hold `null` without a lift and `truth` with it. What is not `honest` must
    fail.
    """

    metric: str
    estimator: str
    test: Callable[[Arm, Arm, int], Found]
    truth: float
    null: float = 0.0
    honest: bool = True


def cases(lift: float) -> tuple[Case, ...]:
    """Return the battery; `lift` is what is planted in click rate and dwell alike."""
    both = (1 + lift) ** 2 - 1  # dwell per page or user: more clicks, each longer
    user_ctr = true_user_ctr(lift) / true_user_ctr(0) - 1
    page_ctr = 0.4 * lift  # E clicked pages / E pages is the mean of Beta(4, 6)
    pages_cuped = (PRE_PAGE_CTR, NEWCOMER)
    return (
        *(
            Case("PageCTR", f"delta method, lift {kind.value}", _ratio(*PAGE_CTR, kind=kind), lift)
            for kind in LiftInterval
        ),
        Case("PageCTR", "delta method, difference", _ratio(*PAGE_CTR, kind=None), page_ctr),
        *(
            Case(
                "dwell per click",
                f"delta method, lift {kind.value}",
                _ratio(*DWELL_PER_CLICK, kind=kind),
                lift,
            )
            for kind in LiftInterval
        ),
        Case("dwell per page", "delta method", _ratio("dwell_ms", "pages"), both),
        Case("dwell per unit", "Welch", _ratio("dwell_ms", None), both),
        Case("UserCTR", "share", _ratio("clicked", None), user_ctr),
        Case("mean CTR of units", "unit ratio", _ratio("unit_ctr", None), lift),
        *(
            Case(
                "PageCTR",
                f"CUPED ratio, lift {kind.value}",
                _adjusted(*PAGE_CTR, pages_cuped, kind),
                lift,
            )
            for kind in LiftInterval
        ),
        Case("PageCTR", "CUPED ratio, difference", _adjusted(*PAGE_CTR, pages_cuped), page_ctr),
        Case(
            "dwell per unit",
            "CUPED mean, 2 covariates",
            _adjusted(
                "dwell_ms",
                None,
                (Covariate("pre_dwell_ms"), Covariate("pre_pages"), NEWCOMER),
                LiftInterval.LOG_RATIO,
            ),
            both,
        ),
        Case("PageCTR", "post-stratified", _stratified, lift),
        Case("PageCTR", "Poisson bootstrap, percentiles", _bootstrapped, lift),
        Case("dwell of clicks", "median", _quantile(0.5), lift * true_quantile(0.5, 0)),
        Case("dwell of clicks", "p90", _quantile(0.9), lift * true_quantile(0.9, 0)),
        Case(
            "dwell of clicks, censored",
            f"restricted mean to {TAU_SECONDS:g} s",
            _restricted,
            true_restricted_mean(TAU_SECONDS, lift) - true_restricted_mean(TAU_SECONDS, 0),
        ),
        Case("one dwell of each user", "Mann-Whitney", _ranks, true_superiority(lift), null=0.5),
        Case("PageCTR", "z-test of pages", _by_page, lift, honest=False),
    )


def _ratio(
    numerator: str, denominator: str | None, kind: LiftInterval | None = LiftInterval.LOG_RATIO
) -> Callable[[Arm, Arm, int], Found]:
    """Return the test of a ratio; `kind` None takes the interval of the difference."""

    def test(control: Arm, arm: Arm, _: int) -> Found:
        found = compare(
            control.moments,
            arm.moments,
            numerator,
            denominator,
            lift_interval=kind or LiftInterval.LOG_RATIO,
        )
        return _lift(found) if kind else _difference(found)

    return test


def _adjusted(
    numerator: str,
    denominator: str | None,
    covariates: tuple[Covariate, ...],
    kind: LiftInterval | None = None,
) -> Callable[[Arm, Arm, int], Found]:
    def test(control: Arm, arm: Arm, _: int) -> Found:
        found = compare_adjusted(
            control.moments,
            arm.moments,
            numerator,
            denominator,
            covariates,
            lift_interval=kind or LiftInterval.LOG_RATIO,
        )
        comparison = found if isinstance(found, Unavailable) else found.comparison
        return _lift(comparison) if kind else _difference(comparison)

    return test


def _quantile(q: float) -> Callable[[Arm, Arm, int], Found]:
    def test(control: Arm, arm: Arm, _: int) -> Found:
        zero, one = (Rows(side.users.seconds, side.users.click_unit) for side in (control, arm))
        return _difference(compare_quantile(zero, one, q))

    return test


def _restricted(control: Arm, arm: Arm, _: int) -> Found:
    zero, one = (
        Dwells(
            np.minimum(users.seconds, users.followed),
            users.seconds <= users.followed,
            users.click_unit,
        )
        for users in (control.users, arm.users)
    )
    return _difference(compare_restricted_mean(zero, one, TAU_SECONDS))


def _ranks(control: Arm, arm: Arm, _: int) -> Found:
    found = compare_ranks(control.users.unit_seconds, arm.users.unit_seconds)
    if isinstance(found, Unavailable):
        raise RuntimeError(found.reason)
    return Found(found.p_value, found.lower, found.upper)


def _stratified(control: Arm, arm: Arm, _: int) -> Found:
    return _lift(compare_stratified(control.strata, arm.strata, *PAGE_CTR))


def _bootstrapped(control: Arm, arm: Arm, number: int) -> Found:
    frame = (
        pl.concat(
            side.users.units.select(pl.lit(name).alias("arm"), *PAGE_CTR)
            for name, side in (("control", control), ("arm", arm))
        )
        .with_row_index("unit_id")
        .with_columns(pl.col("unit_id").cast(pl.String))
    )
    found = bootstrap_ratio(frame, "control", "arm", *PAGE_CTR, seed=number)
    if isinstance(found, Unavailable):
        raise RuntimeError(found.reason)
    return Found(None, found.relative_lift_lower, found.relative_lift_upper)


def _by_page(control: Arm, arm: Arm, _: int) -> Found:
    """The test that forgets the users: a pooled z-test of two shares of pages."""
    clicked, pages = (
        np.array([side.moments.count * side.moments.mean_of(name) for side in (control, arm)])
        for name in PAGE_CTR
    )
    pooled = clicked.sum() / pages.sum()
    error = np.sqrt(pooled * (1 - pooled) * (1 / pages).sum())
    rate = clicked / pages
    difference, half = rate[1] - rate[0], special.ndtri(0.975) * error
    return Found(
        2 * float(special.ndtr(-abs(difference) / error)),
        float((difference - half) / rate[0]),
        float((difference + half) / rate[0]),
    )


def _lift(found: Comparison | Unavailable) -> Found:
    if isinstance(found, Unavailable):
        raise RuntimeError(found.reason)
    return Found(found.p_value, found.relative_lift_lower, found.relative_lift_upper)


def _difference(found: Comparison | Difference | Unavailable) -> Found:
    if isinstance(found, Unavailable):
        raise RuntimeError(found.reason)
    return Found(found.p_value, found.difference_lower, found.difference_upper)
