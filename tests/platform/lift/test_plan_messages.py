"""Analysis plans over the wire: nothing is lost, and what is not understood is not guessed."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import pytest
from google.protobuf.descriptor import EnumDescriptor
from hypothesis import given
from tests.platform.plans import plans

from ranklift.lift.metrics import METRICS
from ranklift.lift.plan_messages import (
    DIRECTIONS,
    FORMS,
    HORIZONS,
    ZERO_RULES,
    metric_message,
    plan_message,
    plan_value,
)
from ranklift.store.analysis import (
    AnalysisPlan,
    Direction,
    Form,
    Horizon,
    Metric,
    ZeroRule,
)
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.errors import InvalidRequest


@given(plans)
def test_a_plan_survives_the_wire(plan: AnalysisPlan) -> None:
    sent = plan_message(plan).SerializeToString()
    assert plan_value(pb.AnalysisPlan.FromString(sent)) == plan


def test_what_is_left_out_is_the_default() -> None:
    assert plan_value(pb.AnalysisPlan()) == AnalysisPlan()
    bare = pb.AnalysisPlan(metrics=[pb.Metric(name="m", numerator="clicks")])
    (metric,) = plan_value(bare).metrics
    assert metric == Metric("m", "", "", "", "clicks")


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_built_in_metrics_are_sent_whole(metric: Metric) -> None:
    assert plan_value(pb.AnalysisPlan(metrics=[metric_message(metric)])).metrics == (metric,)


@pytest.mark.parametrize(
    ("values", "sent", "enum"),
    [
        (Form, FORMS, pb.MetricForm.DESCRIPTOR),
        (Direction, DIRECTIONS, pb.MetricDirection.DESCRIPTOR),
        (ZeroRule, ZERO_RULES, pb.MetricZeroRule.DESCRIPTOR),
        (Horizon, HORIZONS, pb.Horizon.DESCRIPTOR),
    ],
)
def test_every_value_has_its_own_number_and_every_number_its_value(
    values: type[StrEnum], sent: dict[Any, int], enum: EnumDescriptor
) -> None:
    assert list(sent) == list(values)
    assert sorted(sent.values()) == sorted(enum.values_by_number)[1:]


@pytest.mark.parametrize(
    ("plan", "field"),
    [
        ({"horizon": 9}, "analysis.horizon"),
        ({"metrics": [{}, {"form": 9}]}, "analysis.metrics[1].form"),
        ({"metrics": [{}, {"direction": 9}]}, "analysis.metrics[1].direction"),
        ({"metrics": [{}, {"when_zero": 9}]}, "analysis.metrics[1].when_zero"),
    ],
)
def test_what_only_a_newer_version_knows_is_refused_and_not_guessed(
    plan: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        plan_value(pb.AnalysisPlan(**plan))
    (violation,) = caught.value.violations
    assert violation.field == field
    assert violation.description.startswith("9 is unknown to this version, must be one of [1, 2")
