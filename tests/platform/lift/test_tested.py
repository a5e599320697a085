"""Every metric of every arm: tested, corrected, held against its margin."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest
from tests.platform.lift.unit_tables import added_up, draw_days, draw_units

from ranklift.lift.comparing import Method, method_for
from ranklift.lift.exposed import Units, units_that_count
from ranklift.lift.multiplicity import holm
from ranklift.lift.subject import Metrics, Subject, metrics_of
from ranklift.lift.tested import metric_lifts, tracks_of, with_outcomes
from ranklift.lift.values import Measured, MetricLift, Outcome, Role, Unavailable
from ranklift.store.analysis import AnalysisPlan, Guardrail, Horizon

ARMS = ("control", "other", "student")
END = datetime(2025, 3, 9, tzinfo=UTC)


def subject(plan: AnalysisPlan, arms: tuple[str, ...] = ARMS, **given: object) -> Subject:
    shares = dict.fromkeys(arms, 1 / len(arms))
    return Subject("x", arms, shares, plan=plan, **given)  # type: ignore[arg-type]


def prepared(units: pl.DataFrame, about: Subject) -> tuple[Metrics, Units, Method]:
    metrics = metrics_of("page_ctr", about.plan, units.columns)
    counted = units_that_count(units, about)
    known = [m for m in metrics.all if m.numerator in units.columns]
    return (
        metrics,
        counted,
        method_for(counted.exposed, known, confidence_level=0.95, covariates=False),
    )


def lifts_of(units: pl.DataFrame, about: Subject) -> tuple[MetricLift, ...]:
    metrics, counted, method = prepared(units, about)
    return metric_lifts(about, metrics, counted, method)


def outcomes(units: pl.DataFrame, about: Subject) -> dict[str, Outcome | None]:
    metrics, counted, method = prepared(units, about)
    tracks = tracks_of(about, metrics, None, counted, method, None)
    lifts = with_outcomes(about, metrics, metric_lifts(about, metrics, counted, method), tracks)
    return {lift.arm: lift.outcome for lift in lifts if lift.role is Role.GUARDRAIL}


def test_lifts_come_by_role_then_metric_then_arm() -> None:
    plan = AnalysisPlan(
        secondary_metrics=("clicks_per_page", "user_ctr"),
        guardrails=(Guardrail("pages_per_unit", 0.1),),
    )
    found = lifts_of(draw_units(1, arms=ARMS), subject(plan))
    assert [(lift.role, lift.metric, lift.arm) for lift in found][:8] == [
        (role, metric, arm)
        for role, metric in (
            (Role.PRIMARY, "page_ctr"),
            (Role.SECONDARY, "clicks_per_page"),
            (Role.SECONDARY, "user_ctr"),
            (Role.GUARDRAIL, "pages_per_unit"),
        )
        for arm in ("other", "student")
    ]
    assert {lift.role for lift in found[8:]} == {Role.DIAGNOSTIC}


@pytest.mark.parametrize("role", [Role.PRIMARY, Role.SECONDARY])
def test_p_values_are_corrected_within_a_role_over_metrics_and_arms(role: Role) -> None:
    plan = AnalysisPlan(secondary_metrics=("clicks_per_page", "user_ctr"))
    own = [lift for lift in lifts_of(draw_units(2, arms=ARMS), subject(plan)) if lift.role is role]
    raw = [lift.found.p_value for lift in own if isinstance(lift.found, Measured)]
    assert [lift.adjusted_p_value for lift in own] == pytest.approx(list(holm(raw)), rel=1e-12)


def test_guardrails_diagnostics_and_a_single_test_are_not_corrected() -> None:
    plan = AnalysisPlan(guardrails=(Guardrail("pages_per_unit", 0.1),))
    found = lifts_of(draw_units(3), subject(plan, ("control", "student")))
    corrected = {lift.role for lift in found if lift.adjusted_p_value is not None}
    assert corrected == set()


def test_what_cannot_be_computed_takes_no_part_in_the_correction() -> None:
    plan = AnalysisPlan(secondary_metrics=("clicks_per_page", "latency"))
    found = lifts_of(draw_units(4), subject(plan, ("control", "student")))
    by_name = {lift.metric: lift for lift in found}
    assert by_name["latency"].found == Unavailable("the log has no latency_us")
    assert by_name["latency"].adjusted_p_value is None
    assert by_name["clicks_per_page"].adjusted_p_value is None


@pytest.mark.parametrize(
    ("factor", "expected"), [(1.0, Outcome.PASSED), (0.5, Outcome.BREACHED), (0.8, Outcome.OPEN)]
)
def test_a_guardrail_is_held_against_its_margin(factor: float, expected: Outcome) -> None:
    rng = np.random.default_rng(0)
    units = draw_units(5, 4_000 if expected is not Outcome.OPEN else 300, lift=0.0)
    kept = rng.binomial(units["clicks"].to_numpy(), factor)
    arm = pl.col("arm") == "student"
    units = units.with_columns(clicks=pl.when(arm).then(pl.Series(kept)).otherwise("clicks"))
    plan = AnalysisPlan(guardrails=(Guardrail("clicks_per_page", 0.2),), horizon=Horizon.FIXED)
    about = subject(plan, ("control", "student"), finished=True)
    assert outcomes(units, about) == {"student": expected}


def test_harm_is_told_before_a_fixed_horizon_ends_and_nothing_else_is() -> None:
    plan = AnalysisPlan(
        guardrails=(Guardrail("clicks_per_page", 0.01),),
        horizon=Horizon.FIXED,
        planned_units=1_000_000,
    )
    about = subject(plan, ("control", "student"))
    harmed = draw_units(6, 4_000, lift=-0.6)
    assert outcomes(harmed, about) == {"student": Outcome.BREACHED}
    assert outcomes(draw_units(7, 4_000, lift=0.6), about) == {"student": Outcome.OPEN}


def test_a_guardrail_that_the_log_lacks_is_open() -> None:
    plan = AnalysisPlan(guardrails=(Guardrail("latency", 0.2),))
    assert outcomes(draw_units(8), subject(plan, ("control", "student"))) == {
        "student": Outcome.OPEN
    }


def test_the_last_look_of_a_track_is_the_lift_of_the_table() -> None:
    base = draw_units(9, 120)
    days = draw_days(9, base)
    units = added_up(days, base)
    plan = AnalysisPlan(guardrails=(Guardrail("fallback_pages_per_unit", 0.2),))
    about = subject(plan, ("control", "student"))
    metrics, counted, method = prepared(units, about)
    tracks = tracks_of(about, metrics, days, counted, method, END)
    assert set(tracks) == {("page_ctr", "student"), ("fallback_pages_per_unit", "student")}
    table = {lift.metric: lift.found for lift in metric_lifts(about, metrics, counted, method)}
    for (metric, _), one in tracks.items():
        found = table[metric]
        assert isinstance(found, Measured)
        last = one.looks[-1]
        assert last.relative_lift == pytest.approx(found.relative_lift, rel=1e-9)
        assert (last.interval.lower, last.interval.upper) == pytest.approx(
            (found.relative_lift_interval.lower, found.relative_lift_interval.upper), rel=1e-9
        )
        assert last.units == found.control_units + found.arm_units


def test_the_primary_metric_shares_its_error_among_the_arms_and_a_guardrail_does_not() -> None:
    plan = AnalysisPlan(guardrails=(Guardrail("clicks_per_page", 0.2),))
    three = draw_units(10, 600, arms=ARMS)
    two = three.filter(pl.col("arm") != "other")

    def upper(units: pl.DataFrame, arms: tuple[str, ...], metric: str) -> float:
        about = subject(plan, arms)
        metrics, counted, method = prepared(units, about)
        tracks = tracks_of(about, metrics, None, counted, method, None)
        interval = tracks[metric, "student"].looks[-1].sequential_interval
        assert interval is not None
        return interval.upper

    alone = ("control", "student")
    assert upper(three, ARMS, "page_ctr") > upper(two, alone, "page_ctr")
    assert upper(three, ARMS, "clicks_per_page") == upper(two, alone, "clicks_per_page")
