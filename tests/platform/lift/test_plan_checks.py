"""What an analysis plan may say, and that all that is wrong with one is named at once."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from ranklift.lift.metrics import METRICS
from ranklift.lift.plan_checks import plan_violations
from ranklift.store.analysis import MAX_WHOLE, AnalysisPlan, Form, Guardrail, Horizon, Metric
from ranklift.v1.errors import Violation

OWN = Metric(
    name="deep_clicks",
    title="Clicks per page, capped",
    unit="clicks per page",
    definition="Clicks divided by pages.",
    numerator="clicks",
    denominator="pages",
    cap_quantile=0.99,
)
FULL = AnalysisPlan(
    secondary_metrics=("user_ctr", "deep_clicks"),
    guardrails=(Guardrail("latency", 0.05), Guardrail("abandonment", 0.01)),
    metrics=(OWN,),
    horizon=Horizon.GROUP_SEQUENTIAL,
    planned_units=10_000,
    alpha=0.01,
    power=0.9,
    minimal_lift=0.02,
    covariates=False,
    bot_pages_per_day=0,
)


def found(
    plan: AnalysisPlan, primary: str = "page_ctr", *, planned_end: bool = False, **given: Any
) -> list[Violation]:
    return list(plan_violations(plan, primary, has_planned_end=planned_end, **given))


def with_metric(**changes: Any) -> AnalysisPlan:
    return AnalysisPlan(metrics=(replace(OWN, **changes),))


@pytest.mark.parametrize("plan", [AnalysisPlan(), FULL])
def test_a_sound_plan_has_no_violation(plan: AnalysisPlan) -> None:
    assert found(plan) == []


@pytest.mark.parametrize("name", METRICS)
def test_every_built_in_metric_can_be_primary_secondary_or_a_guardrail(name: str) -> None:
    other = "page_ctr" if name != "page_ctr" else "user_ctr"
    assert found(AnalysisPlan(), name) == []
    assert found(AnalysisPlan(secondary_metrics=(name,)), other) == []
    assert found(AnalysisPlan(guardrails=(Guardrail(name, 0.01),)), other) == []


def test_a_declared_metric_can_be_primary() -> None:
    assert found(AnalysisPlan(metrics=(OWN,)), "deep_clicks") == []


@pytest.mark.parametrize(
    ("plan", "field", "says"),
    [
        (AnalysisPlan(secondary_metrics=("ctr",)), "secondary_metrics[0]", '"ctr" is unknown'),
        (AnalysisPlan(secondary_metrics=("page_ctr",)), "secondary_metrics[0]", "primary metric"),
        (AnalysisPlan(secondary_metrics=("user_ctr",) * 2), "secondary_metrics", "2 times"),
        (replace(FULL, secondary_metrics=("latency",)), "secondary_metrics[0]", "guardrail too"),
        (AnalysisPlan(guardrails=(Guardrail("x", 0.1),)), "guardrails[0].metric", '"x" is unknown'),
        (
            AnalysisPlan(guardrails=(Guardrail("page_ctr", 0.1),)),
            "guardrails[0].metric",
            "is the primary metric",
        ),
        (AnalysisPlan(guardrails=(Guardrail("latency", 0.1),) * 2), "guardrails", "2 times"),
        *(
            (AnalysisPlan(guardrails=(Guardrail("latency", margin),)), "guardrails[0].margin", says)
            for margin, says in ((0, "0 is not"), (1, "below 1"), (-0.1, "-0.1"), (math.nan, "nan"))
        ),
        (AnalysisPlan(alpha=0), "alpha", "above 0 and at most 0.5"),
        (AnalysisPlan(alpha=0.51), "alpha", "0.51 is not allowed"),
        (AnalysisPlan(alpha=math.nan), "alpha", "nan is not allowed"),
        (AnalysisPlan(power=0.4), "power", "at least 0.5"),
        (AnalysisPlan(power=1), "power", "below 1"),
        (AnalysisPlan(minimal_lift=-0.1), "minimal_lift", "0 or more"),
        (AnalysisPlan(minimal_lift=math.inf), "minimal_lift", "inf is not allowed"),
        (AnalysisPlan(planned_units=-1), "planned_units", "0 to 2,147,483,647"),
        (AnalysisPlan(planned_units=MAX_WHOLE + 1), "planned_units", "0 to 2,147,483,647"),
        (AnalysisPlan(bot_pages_per_day=-1), "bot_pages_per_day", "-1 is not allowed"),
        (AnalysisPlan(horizon=Horizon.GROUP_SEQUENTIAL), "horizon", "set planned_units or"),
        (with_metric(name=""), "metrics[0].name", "is no name"),
        (with_metric(name="Deep Clicks"), "metrics[0].name", '"Deep Clicks" is no name'),
        (with_metric(name="a\n"), "metrics[0].name", "is no name"),
        (with_metric(name="a" * 65), "metrics[0].name", "64 at most"),
        (with_metric(name="page_ctr"), "metrics[0].name", "is built in"),
        (with_metric(title=" "), "metrics[0].title", "1 to 500 characters"),
        (with_metric(unit=""), "metrics[0].unit", "1 to 500 characters"),
        (with_metric(definition="x" * 501), "metrics[0].definition", "1 to 500 characters"),
        (with_metric(numerator="scrolls"), "metrics[0].numerator", "must be one of abandoned_p"),
        (with_metric(denominator="scrolls"), "metrics[0].denominator", '"scrolls" is unknown'),
        (with_metric(form=Form.MEAN), "metrics[0].denominator", 'a "mean" has none'),
        (with_metric(form=Form.SHARE), "metrics[0].denominator", 'a "share" has none'),
        (with_metric(denominator=None), "metrics[0].denominator", 'a "ratio" needs one'),
        (
            with_metric(denominator=None, form=Form.UNIT_RATIO),
            "metrics[0].denominator",
            'a "unit_ratio" needs one',
        ),
        (with_metric(cap_quantile=1), "metrics[0].cap_quantile", "below 1, e.g. 0.999"),
        (with_metric(cap_quantile=math.nan), "metrics[0].cap_quantile", "nan is not allowed"),
        (with_metric(parts_per_unit=0), "metrics[0].parts_per_unit", "0 is not allowed"),
        (with_metric(parts_per_unit=2**31), "metrics[0].parts_per_unit", "1 to 2,147,483,647"),
        (AnalysisPlan(metrics=(OWN, OWN)), "metrics", '"deep_clicks" stands there 2 times'),
    ],
)
def test_what_is_wrong_is_named_by_its_path(plan: AnalysisPlan, field: str, says: str) -> None:
    (violation,) = found(plan)
    assert violation.field == f"analysis.{field}"
    assert says in violation.description


def test_a_primary_metric_must_be_known() -> None:
    (violation,) = found(AnalysisPlan(metrics=(OWN,)), "revenue")
    assert violation.field == "primary_metric"
    assert '"revenue" is unknown, must be one of abandonment, ' in violation.description
    assert "deep_clicks" in violation.description


def test_a_planned_end_is_an_end_too() -> None:
    assert found(AnalysisPlan(horizon=Horizon.GROUP_SEQUENTIAL), planned_end=True) == []
    assert found(AnalysisPlan(horizon=Horizon.FIXED)) == []


def test_metrics_of_other_logs_are_made_of_what_these_have() -> None:
    own = AnalysisPlan(metrics=(replace(OWN, numerator="scrolls"),))
    assert found(own, sums=("pages", "scrolls")) == []
    (violation,) = found(AnalysisPlan(metrics=(OWN,)), sums=("pages", "scrolls"))
    assert violation.description == '"clicks" is unknown, must be one of pages, scrolls'


def test_all_that_is_wrong_is_named_at_once() -> None:
    plan = replace(
        FULL,
        metrics=(replace(OWN, title="", numerator="?"),),
        guardrails=(Guardrail("nothing", 3),),
        alpha=2,
        power=2,
    )
    assert [violation.field for violation in found(plan, "revenue")] == [
        "primary_metric",
        "analysis.metrics[0].title",
        "analysis.metrics[0].numerator",
        "analysis.guardrails[0].metric",
        "analysis.guardrails[0].margin",
        "analysis.alpha",
        "analysis.power",
    ]


def test_a_refusal_stays_short_however_much_is_declared() -> None:
    declared = tuple(replace(OWN, name=f"{i}" * 1_000) for i in range(1_000, 2_000))
    (violation, *_) = found(AnalysisPlan(metrics=declared), "revenue" * 1_000)
    assert len(violation.description) < 4_000
    assert violation.description.endswith(", ...")
