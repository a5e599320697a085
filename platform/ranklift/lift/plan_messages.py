"""Analysis plans and metrics as the protocol's messages, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from ranklift.store.analysis import (
    AnalysisPlan,
    Direction,
    Form,
    Guardrail,
    Horizon,
    Metric,
    ZeroRule,
)
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.errors import InvalidRequest

T = TypeVar("T")

FORMS = {
    Form.RATIO: pb.METRIC_FORM_RATIO,
    Form.MEAN: pb.METRIC_FORM_MEAN,
    Form.SHARE: pb.METRIC_FORM_SHARE,
    Form.UNIT_RATIO: pb.METRIC_FORM_UNIT_RATIO,
}
DIRECTIONS = {Direction.UP: pb.METRIC_DIRECTION_UP, Direction.DOWN: pb.METRIC_DIRECTION_DOWN}
ZERO_RULES = {ZeroRule.DROP: pb.METRIC_ZERO_RULE_DROP, ZeroRule.ZERO: pb.METRIC_ZERO_RULE_ZERO}
HORIZONS = {
    Horizon.FIXED: pb.HORIZON_FIXED,
    Horizon.GROUP_SEQUENTIAL: pb.HORIZON_GROUP_SEQUENTIAL,
    Horizon.ALWAYS_VALID: pb.HORIZON_ALWAYS_VALID,
}
_FORM: Mapping[int, Form] = {message: value for value, message in FORMS.items()}
_DIRECTION: Mapping[int, Direction] = {message: value for value, message in DIRECTIONS.items()}
_ZERO_RULE: Mapping[int, ZeroRule] = {message: value for value, message in ZERO_RULES.items()}
_HORIZON: Mapping[int, Horizon | None] = {message: value for value, message in HORIZONS.items()}


def plan_message(plan: AnalysisPlan) -> pb.AnalysisPlan:
    """Return the message of a plan."""
    return pb.AnalysisPlan(
        secondary_metrics=plan.secondary_metrics,
        guardrails=[
            pb.Guardrail(metric=guardrail.metric, margin=guardrail.margin)
            for guardrail in plan.guardrails
        ],
        metrics=[metric_message(metric) for metric in plan.metrics],
        horizon=HORIZONS[plan.horizon] if plan.horizon else pb.HORIZON_UNSPECIFIED,
        planned_units=plan.planned_units,
        alpha=plan.alpha,
        power=plan.power,
        minimal_lift=plan.minimal_lift,
        covariates=plan.covariates,
        bot_pages_per_day=plan.bot_pages_per_day,
    )


def metric_message(metric: Metric) -> pb.Metric:
    """Return the message of a metric."""
    return pb.Metric(
        name=metric.name,
        title=metric.title,
        unit=metric.unit,
        definition=metric.definition,
        numerator=metric.numerator,
        denominator=metric.denominator or "",
        form=FORMS[metric.form],
        direction=DIRECTIONS[metric.direction],
        cap_quantile=metric.cap_quantile,
        when_zero=ZERO_RULES[metric.when_zero],
        parts_per_unit=metric.parts_per_unit,
    )


def plan_value(message: pb.AnalysisPlan) -> AnalysisPlan:
    """Return the plan of a message, with the defaults of what it leaves out, not yet checked.

    Raises:
        InvalidRequest: a form, direction, rule or horizon that only a newer version knows.
    """
    default = AnalysisPlan()
    return AnalysisPlan(
        secondary_metrics=tuple(message.secondary_metrics),
        guardrails=tuple(Guardrail(one.metric, one.margin) for one in message.guardrails),
        metrics=tuple(
            _metric_value(f"analysis.metrics[{i}]", metric)
            for i, metric in enumerate(message.metrics)
        ),
        horizon=_known("analysis.horizon", message.horizon, _HORIZON, None),
        planned_units=message.planned_units,
        alpha=message.alpha or default.alpha,
        power=message.power or default.power,
        minimal_lift=message.minimal_lift,
        covariates=message.covariates if message.HasField("covariates") else default.covariates,
        bot_pages_per_day=(
            message.bot_pages_per_day
            if message.HasField("bot_pages_per_day")
            else default.bot_pages_per_day
        ),
    )


def _metric_value(field: str, message: pb.Metric) -> Metric:
    return Metric(
        name=message.name,
        title=message.title,
        unit=message.unit,
        definition=message.definition,
        numerator=message.numerator,
        denominator=message.denominator or None,
        form=_known(f"{field}.form", message.form, _FORM, Form.RATIO),
        direction=_known(f"{field}.direction", message.direction, _DIRECTION, Direction.UP),
        cap_quantile=message.cap_quantile if message.HasField("cap_quantile") else None,
        when_zero=_known(f"{field}.when_zero", message.when_zero, _ZERO_RULE, ZeroRule.DROP),
        parts_per_unit=message.parts_per_unit or 1,
    )


def _known(field: str, number: int, values: Mapping[int, T], default: T) -> T:
    """Return the value of an enum's number, the default of 0, which the wire leaves out."""
    if number == 0:
        return default
    if number not in values:
        raise InvalidRequest.of(
            field, f"{number} is unknown to this version, must be one of {sorted(values)}"
        )
    return values[number]
