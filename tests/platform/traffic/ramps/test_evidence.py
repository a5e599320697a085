"""Evidence from unit sums, against closed forms and planted faults."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from tests.platform.traffic.ramps.ramped import RAMP, T0, experiment, registered

from ranklift.lift.experiment import subject_of
from ranklift.store.analysis import AnalysisPlan, Guardrail
from ranklift.store.values import Ramp, RampStep
from ranklift.traffic.ramps.evidence import Evidence, evidence_of, planned_size
from ranklift.traffic.ramps.harm import HARM_ALPHA

SUBJECT = subject_of(registered(), T0)
SIZE = 4_000


def units(
    arm: str,
    count: int,
    clicking: int,
    *,
    pages: int = 4,
    fallback: int = 0,
    latency_ms: float = 50.0,
    clicks: int = 2,
) -> pl.DataFrame:
    """Return units of an arm; the first `clicking` click, the last `fallback` are never served."""
    served = pages * (np.arange(count) < count - fallback)
    # Half of the units wait a little longer: without any variance nothing can be tested.
    waited = latency_ms * 1_000 * (1 + 0.1 * (np.arange(count) % 2))
    return pl.DataFrame(
        {
            "unit_id": [f"{arm}-{i}" for i in range(count)],
            "arm": arm,
            "pages": served,
            "fallback_pages": pages - served,
            "clicked_pages": clicks * (np.arange(count) < clicking),
            "latency_us": (served * waited).astype(np.int64),
            "last_page_time": T0,
        }
    )


def look(control: pl.DataFrame, student: pl.DataFrame, subject: object = SUBJECT) -> Evidence:
    both = pl.concat([control, student])
    return evidence_of(subject, SIZE, both, both)  # type: ignore[arg-type]


def closed_form_loss(p: float, q: float, n: int, tests: int) -> float:
    """Return what is shown of the loss of a share, q against p, of n units in either arm."""
    alpha = HARM_ALPHA / tests
    log = -2 * math.log(2 * alpha)
    m = (log + math.log(log + 1)) * 2 * n / SIZE
    bound = math.sqrt(2 * (m + 1) / m * math.log(1 + math.sqrt(m + 1) / (2 * alpha)))
    error = math.sqrt((1 - p) / (p * n) + (1 - q) / (q * n))
    return 1 - q / p * math.exp(bound * error)


def test_the_loss_of_a_share_is_that_of_the_closed_form_with_the_error_shared_by_two() -> None:
    found = look(units("control", 2_000, 1_200), units("student", 2_000, 1_000))
    (ctr, latency) = found.watched
    assert (ctr.metric, latency.metric) == ("UserCTR", "Latency")
    assert ctr.relative_lift == pytest.approx(-1 / 6)
    # Sample variances and t quantiles are larger by 1 / 4,000.
    assert ctr.shown_loss == pytest.approx(closed_form_loss(0.6, 0.5, 2_000, 2), abs=2e-4)
    assert found.harms == (ctr,)
    assert found.faults == found.untold == ()
    assert (found.units, found.units_in_step, found.last_page) == (4_000, 4_000, T0)


def test_equal_arms_show_no_loss() -> None:
    found = look(units("control", 2_000, 1_200), units("student", 2_000, 1_200))
    assert [one.shown_loss < 0 for one in found.watched] == [True, True]


def test_an_arm_where_nobody_clicks_is_harm_and_not_unknown() -> None:
    found = look(units("control", 2_000, 1_200), units("student", 2_000, 0))
    (ctr,) = found.harms
    assert ctr.relative_lift == -1
    assert 0.8 < ctr.shown_loss < 1


def test_a_guardrail_is_harmed_by_what_exceeds_its_margin() -> None:
    def with_margin(margin: float) -> Evidence:
        plan = AnalysisPlan(guardrails=(Guardrail("page_ctr", margin),))
        made = replace(registered(), experiment=experiment(analysis=plan))
        worse = units("student", 2_000, 1_200, clicks=1)  # as many users, half as many pages
        return look(units("control", 2_000, 1_200), worse, subject_of(made, T0))

    assert [one.metric for one in with_margin(0.1).harms] == ["PageCTR"]
    assert with_margin(0.6).harms == ()


def test_the_primary_metric_may_lose_nothing_even_where_it_is_a_guardrail_too() -> None:
    plan = AnalysisPlan(guardrails=(Guardrail("user_ctr", 0.5),))
    made = replace(registered(), experiment=experiment(analysis=plan))
    worse = units("student", 2_000, 1_000)
    (ctr,) = look(units("control", 2_000, 1_200), worse, subject_of(made, T0)).harms
    assert (ctr.metric, ctr.margin) == ("UserCTR", 0.0)


@pytest.mark.parametrize(
    ("before_ms", "after_ms", "harmful"),
    [
        pytest.param(100.0, 130.0, True, id="much-slower"),
        pytest.param(100.0, 115.0, False, id="by-less-than-a-fifth"),
        pytest.param(10.0, 25.0, False, id="by-less-than-20-ms"),
        pytest.param(130.0, 100.0, False, id="faster"),
    ],
)
def test_a_much_slower_arm_is_harm_though_nobody_asked(
    before_ms: float, after_ms: float, harmful: bool
) -> None:
    found = look(
        units("control", 2_000, 1_200, latency_ms=before_ms),
        units("student", 2_000, 1_200, latency_ms=after_ms),
    )
    assert [one.metric for one in found.harms] == ["Latency"] * harmful


def test_an_arm_that_may_be_slower_says_so_with_a_guardrail() -> None:
    plan = AnalysisPlan(guardrails=(Guardrail("latency", 0.9),))
    made = replace(registered(), experiment=experiment(analysis=plan))
    slower = units("student", 2_000, 1_200, latency_ms=170.0)
    control = units("control", 2_000, 1_200, latency_ms=100.0)
    assert look(control, slower, subject_of(made, T0)).harms == ()
    assert len(look(control, slower).harms) == 1


def test_units_that_are_split_otherwise_than_planned_are_a_fault() -> None:
    found = look(units("control", 2_000, 1_200), units("student", 1_500, 900))
    assert [fault.split(":")[0] for fault in found.faults] == ["sample_ratio"]


def test_a_unit_in_two_arms_and_an_unknown_arm_are_faults() -> None:
    control, student = units("control", 2_000, 1_200), units("student", 2_000, 1_200)
    crossed = student.with_columns(
        unit_id=pl.when(pl.col("unit_id") == "student-0")
        .then(pl.lit("control-0"))
        .otherwise("unit_id")
    )
    strange = units("stranger", 1, 0)
    found = look(control, pl.concat([crossed, strange]))
    assert [fault.split(":")[0] for fault in found.faults] == ["known_arms", "one_arm_per_unit"]


@pytest.mark.parametrize(
    ("control", "student", "fault"),
    [
        pytest.param(0, 200, True, id="arm"),
        pytest.param(200, 0, True, id="control"),
        pytest.param(0, 2_000, True, id="all-of-the-arm"),
        pytest.param(200, 200, False, id="both-alike"),
        pytest.param(0, 15, False, id="less-than-a-point"),
        pytest.param(0, 35, False, id="perhaps-less-than-a-point"),
    ],
)
def test_fallbacks_that_hit_one_arm_are_a_fault(control: int, student: int, fault: bool) -> None:
    found = look(
        units("control", 2_000, 1_000, fallback=control),
        units("student", 2_000, 1_000, fallback=student),
    )
    assert [one.split(":")[0] for one in found.faults] == ["fallback_share"] * fault


def test_fallbacks_before_the_step_are_forgiven() -> None:
    control, student = units("control", 2_000, 1_000), units("student", 2_000, 1_000)
    failed = units("student", 2_000, 1_000, fallback=200)
    since_start, step = pl.concat([control, failed]), pl.concat([control, student])
    assert evidence_of(SUBJECT, SIZE, since_start, step).faults == ()


def test_too_few_units_and_missing_sums_are_said_and_not_guessed() -> None:
    found = look(units("control", 99, 50), units("student", 99, 50))
    assert found.untold == ("99 exposed units in student or control, 100 are needed",)
    assert found.watched == ()
    plan = AnalysisPlan(guardrails=(Guardrail("dwell_per_unit", 0.01),))
    made = replace(registered(), experiment=experiment(analysis=plan))
    found = look(units("control", 200, 100), units("student", 200, 100), subject_of(made, T0))
    assert found.untold == ("the log does not tell Dwell per unit",)


def test_the_error_is_shared_by_all_arms() -> None:
    subject = replace(
        SUBJECT,
        arms=("control", "student", "other"),
        shares={"control": 0.5, "student": 0.25, "other": 0.25},
    )
    control, student = units("control", 2_000, 1_200), units("student", 1_000, 500)
    alone = look(control, units("student", 2_000, 1_000)).watched[0]
    three = look(control, pl.concat([student, units("other", 1_000, 500)]), subject)
    assert three.faults == ()
    assert [one.arm for one in three.watched] == ["student"] * 2 + ["other"] * 2
    assert three.watched[0].shown_loss < alone.shown_loss


@pytest.mark.parametrize(
    ("planned", "steps", "size"),
    [
        pytest.param(70_000, RAMP.steps, 70_000, id="planned"),
        pytest.param(0, RAMP.steps, 100_000, id="largest-step"),
        pytest.param(0, (RampStep(100),), 20_000, id="neither"),
    ],
)
def test_the_alarm_is_tuned_to_the_planned_size(
    planned: int, steps: tuple[RampStep, ...], size: int
) -> None:
    plan = AnalysisPlan(planned_units=planned)
    assert planned_size(experiment(Ramp(steps), analysis=plan)) == size
