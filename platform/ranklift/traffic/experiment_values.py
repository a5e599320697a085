"""The protocol's experiments as values. Whether they make sense is for `check_experiment`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from ranklift.lift.plan_messages import plan_value
from ranklift.store.values import (
    BUCKETS,
    Arm,
    Condition,
    Experiment,
    Exploration,
    ExplorationMethod,
    HarmAction,
    Interleaving,
    InterleavingMethod,
    ModelRef,
    Prerequisite,
    Ramp,
    RampStep,
    Unit,
)
from ranklift.traffic.shares import share_of
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.ranking_pb2 import ModelSelector

PRIMARY_METRIC = "page_ctr"
DEFAULT_LAYER = "default"

UNITS: Mapping[int, Unit] = {
    pb.UNIT_UNSPECIFIED: Unit.USER,
    pb.UNIT_USER: Unit.USER,
    pb.UNIT_SESSION: Unit.SESSION,
}
INTERLEAVINGS: Mapping[int, InterleavingMethod] = {
    pb.INTERLEAVING_METHOD_UNSPECIFIED: InterleavingMethod.TEAM_DRAFT,
    pb.INTERLEAVING_METHOD_TEAM_DRAFT: InterleavingMethod.TEAM_DRAFT,
    pb.INTERLEAVING_METHOD_BALANCED: InterleavingMethod.BALANCED,
    pb.INTERLEAVING_METHOD_PROBABILISTIC: InterleavingMethod.PROBABILISTIC,
    pb.INTERLEAVING_METHOD_OPTIMIZED: InterleavingMethod.OPTIMIZED,
}
EXPLORATIONS: Mapping[pb.ExplorationMethod.ValueType, ExplorationMethod] = {
    pb.EXPLORATION_METHOD_SWAP: ExplorationMethod.SWAP,
    pb.EXPLORATION_METHOD_PLACKETT_LUCE: ExplorationMethod.PLACKETT_LUCE,
}
HARM_ACTIONS: Mapping[int, HarmAction] = {
    pb.HARM_ACTION_UNSPECIFIED: HarmAction.ROLL_BACK,
    pb.HARM_ACTION_ROLL_BACK: HarmAction.ROLL_BACK,
    pb.HARM_ACTION_PAUSE: HarmAction.PAUSE,
}


def experiment_value(definition: pb.Experiment) -> Experiment:
    """Return the experiment that a sound message defines, with its defaults filled in."""
    layer = definition.layer or DEFAULT_LAYER
    return Experiment(
        name=definition.name,
        arms=tuple(arm_value(arm) for arm in definition.arms),
        control=definition.control or definition.arms[0].name,
        salt=salt_of(definition),
        layer=layer,
        unit=UNITS[definition.unit],
        traffic_share=first_traffic_share(definition),
        primary_metric=definition.primary_metric or PRIMARY_METRIC,
        owner=definition.owner,
        hypothesis=definition.hypothesis,
        planned_end=_planned_end(definition),
        analysis=plan_value(definition.analysis),
        layer_share=share_of(definition.layer_share) or BUCKETS,
        conditions=tuple(condition_value(one) for one in definition.conditions),
        prerequisites=tuple(
            Prerequisite(one.experiment, tuple(one.arms)) for one in definition.prerequisites
        ),
        forced=tuple((one.unit_id, one.arm) for one in definition.forced_units),
        ramp=_ramp(definition.ramp) if definition.HasField("ramp") else None,
    )


def arm_value(arm: pb.Arm) -> Arm:
    """Return the arm that a sound message defines."""
    return Arm(
        arm.name,
        share_of(arm.share),
        _ref(arm.model) if has_model(arm) else None,
        _interleaving(arm.interleaving) if arm.HasField("interleaving") else None,
        _exploration(arm.exploration) if arm.HasField("exploration") else None,
        tuple(_ref(shadow) for shadow in arm.shadows),
    )


def has_model(arm: pb.Arm) -> bool:
    """Return whether an arm names a model version, or a part of one."""
    return bool(arm.model.name or arm.model.version)


def condition_value(condition: pb.Condition) -> Condition:
    """Return the condition of a message."""
    return Condition(condition.attribute, tuple(condition.values), condition.negated)


def salt_of(definition: pb.Experiment) -> str:
    """Return the salt of a definition, made of its layer and name when it gives none."""
    return definition.salt or f"{definition.layer or DEFAULT_LAYER}/{definition.name}"


def first_traffic_share(definition: pb.Experiment) -> int:
    """Return the traffic share that an experiment starts with, in ten-thousandths."""
    if definition.traffic_share:
        return share_of(definition.traffic_share)
    steps = definition.ramp.steps
    return share_of(steps[0].traffic_share) if steps else BUCKETS


def _planned_end(definition: pb.Experiment) -> datetime | None:
    if not definition.HasField("planned_end_time"):
        return None
    return definition.planned_end_time.ToDatetime(tzinfo=UTC)


def _ref(model: ModelSelector) -> ModelRef:
    return ModelRef(model.name, model.version)


def _interleaving(message: pb.Interleaving) -> Interleaving:
    models = tuple(_ref(model) for model in message.models)
    return Interleaving(models, INTERLEAVINGS[message.method])


def _exploration(message: pb.Exploration) -> Exploration:
    return Exploration(
        EXPLORATIONS[message.method],
        message.top_k,
        message.probability,
        message.temperature or 1.0,
    )


def _ramp(message: pb.Ramp) -> Ramp:
    steps = tuple(
        RampStep(
            share_of(step.traffic_share),
            timedelta(seconds=step.hold.seconds, microseconds=step.hold.nanos // 1_000),
            step.min_units,
        )
        for step in message.steps
    )
    return Ramp(steps, HARM_ACTIONS[message.on_harm])
