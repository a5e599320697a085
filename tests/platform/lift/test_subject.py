"""What a report is about: its metrics by role, and the horizon in force."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ranklift.lift.measures import MEASURES
from ranklift.lift.metrics import METRICS, SECONDARY
from ranklift.lift.subject import Metrics, Subject, metrics_of
from ranklift.store.analysis import AnalysisPlan, Form, Guardrail, Horizon, Metric
from ranklift.v1.errors import InvalidRequest

START = datetime(2025, 3, 1, tzinfo=UTC)
SUBJECT = Subject("x", ("control", "student"), {"control": 0.5, "student": 0.5})
ORDERS = Metric("orders", "Orders", "orders", "Orders.", numerator="orders", form=Form.MEAN)


def names(metrics: Metrics) -> tuple[list[str], ...]:
    groups = (metrics.secondary, metrics.guardrails, metrics.diagnostics)
    return ([metrics.primary.name], *([metric.name for metric in group] for group in groups))


def test_without_a_plan_the_built_in_choice_is_tested_and_the_rest_explains() -> None:
    metrics = metrics_of("page_ctr", AnalysisPlan(), tuple(MEASURES))
    primary, secondary, guardrails, diagnostics = names(metrics)
    assert (primary, secondary, guardrails) == (["page_ctr"], list(SECONDARY), [])
    assert {*primary, *secondary, *diagnostics} == set(METRICS)


def test_every_metric_has_one_role() -> None:
    plan = AnalysisPlan(
        secondary_metrics=("page_ctr", "latency", "user_ctr"),
        guardrails=(Guardrail("latency", 0.1),),
        metrics=(ORDERS,),
    )
    metrics = metrics_of("page_ctr", plan, (*MEASURES, "orders"))
    assert names(metrics)[:3] == (["page_ctr"], ["user_ctr"], ["latency"])
    assert metrics.diagnostics[-1] == ORDERS
    all_names = [metric.name for metric in metrics.all]
    assert len(set(all_names)) == len(all_names)


def test_a_declared_metric_is_tested_unless_the_plan_names_others() -> None:
    metrics = metrics_of("page_ctr", AnalysisPlan(metrics=(ORDERS,)), ("orders", "pages"))
    assert names(metrics) == (["page_ctr"], ["orders"], [], ["pages_per_unit"])


def test_what_the_log_lacks_is_left_out_unless_the_plan_names_it() -> None:
    columns = ("pages", "clicked_pages")
    quiet = metrics_of("dwell_per_click", AnalysisPlan(), columns)
    assert names(quiet)[:2] == (["dwell_per_click"], ["user_ctr"])
    named = AnalysisPlan(secondary_metrics=("latency",), guardrails=(Guardrail("clicks", 0.1),))
    named = replace(named, guardrails=(Guardrail("clicks_per_page", 0.1),))
    assert names(metrics_of("page_ctr", named, columns))[1:3] == (["latency"], ["clicks_per_page"])


def test_only_leaves_out_all_but_the_primary_metric_and_the_guardrails() -> None:
    plan = AnalysisPlan(guardrails=(Guardrail("latency", 0.1),))
    metrics = metrics_of("page_ctr", plan, tuple(MEASURES), ["abandonment", "user_ctr"])
    assert names(metrics) == (["page_ctr"], ["user_ctr"], ["latency"], ["abandonment"])
    assert names(metrics_of("page_ctr", plan, tuple(MEASURES), []))[1:] == ([], ["latency"], [])


@pytest.mark.parametrize(
    ("primary", "plan", "only", "field"),
    [
        ("joy", AnalysisPlan(), None, "primary_metric"),
        ("page_ctr", AnalysisPlan(secondary_metrics=("joy",)), None, "secondary_metrics"),
        ("page_ctr", AnalysisPlan(guardrails=(Guardrail("joy", 0.1),)), None, "guardrails"),
        ("page_ctr", AnalysisPlan(), ["joy"], "metrics"),
    ],
)
def test_an_unknown_name_is_refused_where_it_stands(
    primary: str, plan: AnalysisPlan, only: list[str] | None, field: str
) -> None:
    with pytest.raises(InvalidRequest, match='"joy" is no metric; the metrics are page_ctr') as e:
        metrics_of(primary, plan, tuple(MEASURES), only)
    assert [violation.field for violation in e.value.violations] == [field]


@pytest.mark.parametrize(
    ("subject", "horizon"),
    [
        (SUBJECT, Horizon.ALWAYS_VALID),
        (replace(SUBJECT, plan=AnalysisPlan(planned_units=100)), Horizon.GROUP_SEQUENTIAL),
        (
            replace(SUBJECT, started=START, planned_end=START + timedelta(days=7)),
            Horizon.GROUP_SEQUENTIAL,
        ),
        (
            replace(SUBJECT, plan=AnalysisPlan(planned_units=100, horizon=Horizon.FIXED)),
            Horizon.FIXED,
        ),
    ],
)
def test_looks_are_spent_only_where_an_end_is_planned(subject: Subject, horizon: Horizon) -> None:
    assert subject.horizon is horizon
