"""Analysis plans as plain values: nothing is lost, and what is wrong is named by its path."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from tests.platform.plans import plans

from ranklift.store.analysis import MAX_WHOLE, AnalysisPlan, Form, Guardrail, Horizon, Metric
from ranklift.store.analysis_json import plan_content, read_metrics, read_plan
from ranklift.v1.errors import InvalidRequest, Violation

METRIC = {
    "name": "scrolls",
    "title": "Scrolls",
    "unit": "scrolls per page",
    "definition": "Scrolls divided by pages.",
    "numerator": "clicks",
}


def violations(
    content: object, read: Callable[..., object] = read_plan, **where: str
) -> list[Violation]:
    with pytest.raises(InvalidRequest) as caught:
        read(content, **where)
    return list(caught.value.violations)


@given(plans)
def test_a_plan_survives_json(plan: AnalysisPlan) -> None:
    assert read_plan(json.loads(json.dumps(plan_content(plan)))) == plan


def test_the_default_plan_is_nothing_at_all() -> None:
    assert plan_content(AnalysisPlan()) == {}
    assert read_plan({}) == AnalysisPlan()


def test_only_what_differs_from_the_defaults_is_written() -> None:
    plan = AnalysisPlan(horizon=Horizon.FIXED, guardrails=(Guardrail("latency", 0.1),))
    assert plan_content(plan) == {
        "horizon": "fixed",
        "guardrails": [{"metric": "latency", "margin": 0.1}],
    }


@pytest.mark.parametrize(
    ("content", "field", "says"),
    [
        ({"alfa": 0.1}, "analysis.alfa", "is no known key"),
        ({1: 0.1}, "analysis.1", "is no known key"),
        ({date(2025, 3, 1): 0}, "analysis.2025-03-01", "is no known key"),
        (
            {"guardrails": [{"metric": "a", "margins": 1}]},
            "analysis.guardrails[0].margin",
            "is missing",
        ),
        ({"metrics": [METRIC | {"from": 1}]}, "analysis.metrics[0].from", "is no known key"),
        ({"metrics": [METRIC, {**METRIC, "name": 3}]}, "analysis.metrics[1].name", "must be text"),
        ({"metrics": [METRIC | {"form": "sum"}]}, "analysis.metrics[0].form", "'ratio', 'mean'"),
        ({"metrics": METRIC}, "analysis.metrics", "must be a list"),
        ({"secondary_metrics": "user_ctr"}, "analysis.secondary_metrics", "must be a list"),
        ({"secondary_metrics": [None]}, "analysis.secondary_metrics[0]", "must be text"),
        ({"guardrails": ["latency"]}, "analysis.guardrails[0]", "must be a table of keys"),
        ({"horizon": "for ever"}, "analysis.horizon", "'fixed', 'group_sequential'"),
        ({"alpha": None}, "analysis.alpha", "must be a number"),
        ({"alpha": "0.05"}, "analysis.alpha", "must be a number"),
        ({"alpha": True}, "analysis.alpha", "must be a number"),
        ({"alpha": date(2025, 3, 1)}, "analysis.alpha", "must be a number"),
        ({"planned_units": True}, "analysis.planned_units", "must be a whole number"),
        ({"planned_units": 0.5}, "analysis.planned_units", "must be a whole number"),
        ({"planned_units": "900"}, "analysis.planned_units", "must be a whole number"),
        ({"planned_units": MAX_WHOLE + 1}, "analysis.planned_units", "at most 2,147,483,647"),
        ({"planned_units": 10**400}, "analysis.planned_units", "is too large"),
        ({"bot_pages_per_day": -(2**31)}, "analysis.bot_pages_per_day", "is too large"),
        ({"covariates": 1}, "analysis.covariates", "must be true or false"),
        ({"covariates": "no"}, "analysis.covariates", "must be true or false"),
        ([], "analysis", "must be a table of keys"),
        (None, "analysis", "must be a table of keys"),
        ({"secondary_metrics": ["\ud800"]}, "analysis.secondary_metrics[0]", "valid Unicode"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(content: object, field: str, says: str) -> None:
    (found,) = [one for one in violations(content) if one.field == field]
    assert says in found.description


@pytest.mark.parametrize("key", ["alpha", "power"])
def test_a_zero_that_the_protocol_would_read_as_the_default_is_refused(key: str) -> None:
    (found,) = violations({key: 0})
    assert (found.field, found.description) == (
        f"analysis.{key}",
        "0 is not allowed, must be above 0",
    )


def test_zero_parts_are_refused_too() -> None:
    (found,) = violations({"metrics": [METRIC | {"parts_per_unit": 0}]})
    assert found.field == "analysis.metrics[0].parts_per_unit"


def test_all_that_is_wrong_is_named_at_once() -> None:
    content = {"alfa": 1, "power": "x", "guardrails": [{"metric": 1, "margin": "y"}]}
    assert {one.field for one in violations(content, field="e.toml: analysis")} == {
        "e.toml: analysis.alfa",
        "e.toml: analysis.power",
        "e.toml: analysis.guardrails[0].metric",
        "e.toml: analysis.guardrails[0].margin",
    }


def test_a_hostile_plan_gets_a_short_answer() -> None:
    found = violations({f"key{i}": i for i in range(10_000)})
    assert len(found) == 21
    assert found[-1].description == "and more"


def test_a_list_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    assert [one.field for one in violations({"metrics": loop})] == ["analysis"]


def test_metrics_are_read_on_their_own() -> None:
    assert read_metrics([METRIC | {"form": "mean", "cap_quantile": 0.99}]) == (
        Metric(**METRIC, form=Form.MEAN, cap_quantile=0.99),  # type: ignore[arg-type]
    )
    (found,) = violations([{**METRIC, "capp": 1}], read_metrics, field="m.toml: metrics")
    assert found == Violation("m.toml: metrics[0].capp", "is no known key")
