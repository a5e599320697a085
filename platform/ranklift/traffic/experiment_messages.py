"""Registered experiments as the protocol's messages."""

from __future__ import annotations

from datetime import datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from ranklift.lift.plan_messages import plan_message
from ranklift.store.values import (
    BUCKETS,
    Arm,
    Decision,
    ExperimentState,
    Exploration,
    ExplorationMethod,
    HarmAction,
    Interleaving,
    InterleavingMethod,
    Layer,
    ModelRef,
    Ramp,
    RegisteredExperiment,
    Revision,
    Unit,
)
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.ranking_pb2 import ModelSelector

UNITS = {Unit.USER: pb.UNIT_USER, Unit.SESSION: pb.UNIT_SESSION}
STATES = {
    ExperimentState.DRAFT: pb.EXPERIMENT_STATE_DRAFT,
    ExperimentState.RUNNING: pb.EXPERIMENT_STATE_RUNNING,
    ExperimentState.PAUSED: pb.EXPERIMENT_STATE_PAUSED,
    ExperimentState.CONCLUDED: pb.EXPERIMENT_STATE_CONCLUDED,
}
DECISIONS = {
    Decision.SHIP: pb.DECISION_SHIP,
    Decision.ROLL_BACK: pb.DECISION_ROLL_BACK,
    Decision.NONE: pb.DECISION_NONE,
}
_INTERLEAVINGS = {
    InterleavingMethod.TEAM_DRAFT: pb.INTERLEAVING_METHOD_TEAM_DRAFT,
    InterleavingMethod.BALANCED: pb.INTERLEAVING_METHOD_BALANCED,
    InterleavingMethod.PROBABILISTIC: pb.INTERLEAVING_METHOD_PROBABILISTIC,
    InterleavingMethod.OPTIMIZED: pb.INTERLEAVING_METHOD_OPTIMIZED,
}
_EXPLORATIONS = {
    ExplorationMethod.SWAP: pb.EXPLORATION_METHOD_SWAP,
    ExplorationMethod.PLACKETT_LUCE: pb.EXPLORATION_METHOD_PLACKETT_LUCE,
}
_HARM_ACTIONS = {
    HarmAction.ROLL_BACK: pb.HARM_ACTION_ROLL_BACK,
    HarmAction.PAUSE: pb.HARM_ACTION_PAUSE,
}


def experiment_message(registered: RegisteredExperiment) -> pb.Experiment:
    """Return the message of a registered experiment."""
    experiment = registered.experiment
    return pb.Experiment(
        name=experiment.name,
        owner=experiment.owner,
        hypothesis=experiment.hypothesis,
        layer=experiment.layer,
        unit=UNITS[experiment.unit],
        arms=[_arm_message(arm) for arm in experiment.arms],
        control=experiment.control,
        traffic_share=experiment.traffic_share / BUCKETS,
        salt=experiment.salt,
        primary_metric=experiment.primary_metric,
        planned_end_time=to_timestamp(experiment.planned_end),
        state=STATES[registered.state],
        revision=registered.revision,
        etag=registered.etag,
        create_time=to_timestamp(registered.created),
        update_time=to_timestamp(registered.updated),
        start_time=to_timestamp(registered.started),
        end_time=to_timestamp(registered.ended),
        decision=DECISIONS[registered.decision] if registered.decision else pb.DECISION_UNSPECIFIED,
        analysis=plan_message(experiment.analysis),
        revisions=[_revision_message(revision) for revision in registered.revisions],
        layer_share=experiment.layer_share / BUCKETS,
        conditions=[
            pb.Condition(attribute=one.attribute, values=one.values, negated=one.negated)
            for one in experiment.conditions
        ],
        prerequisites=[
            pb.Prerequisite(experiment=one.experiment, arms=one.arms)
            for one in experiment.prerequisites
        ],
        forced_units=[pb.ForcedUnit(unit_id=unit, arm=arm) for unit, arm in experiment.forced],
        ramp=_ramp_message(experiment.ramp) if experiment.ramp else None,
        slots=[pb.SlotRange(start=start, end=end) for start, end in registered.slots],
    )


def layer_message(layer: Layer) -> pb.Layer:
    """Return the message of a layer."""
    return pb.Layer(name=layer.name, holdout_share=layer.holdout_share / BUCKETS, salt=layer.salt)


def to_timestamp(instant: datetime | None) -> Timestamp | None:
    """Return the timestamp of an instant, None of none."""
    if instant is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(instant)
    return timestamp


def _arm_message(arm: Arm) -> pb.Arm:
    return pb.Arm(
        name=arm.name,
        share=arm.share / BUCKETS,
        model=_selector(arm.model) if arm.model else None,
        interleaving=_interleaving_message(arm.interleaving) if arm.interleaving else None,
        exploration=_exploration_message(arm.exploration) if arm.exploration else None,
        shadows=[_selector(shadow) for shadow in arm.shadows],
    )


def _selector(ref: ModelRef) -> ModelSelector:
    return ModelSelector(name=ref.model, version=ref.version)


def _interleaving_message(interleaving: Interleaving) -> pb.Interleaving:
    return pb.Interleaving(
        models=[_selector(model) for model in interleaving.models],
        method=_INTERLEAVINGS[interleaving.method],
    )


def _exploration_message(exploration: Exploration) -> pb.Exploration:
    return pb.Exploration(
        method=_EXPLORATIONS[exploration.method],
        top_k=exploration.top_k,
        probability=exploration.probability,
        temperature=exploration.temperature,
    )


def _ramp_message(ramp: Ramp) -> pb.Ramp:
    return pb.Ramp(
        steps=[
            pb.RampStep(
                traffic_share=step.traffic_share / BUCKETS,
                hold=_duration(step.hold) if step.hold else None,
                min_units=step.min_units,
            )
            for step in ramp.steps
        ],
        on_harm=_HARM_ACTIONS[ramp.on_harm],
    )


def _duration(span: timedelta) -> Duration:
    duration = Duration()
    duration.FromTimedelta(span)
    return duration


def _revision_message(revision: Revision) -> pb.ExperimentRevision:
    return pb.ExperimentRevision(
        revision=revision.number,
        state=STATES[revision.state],
        actor=revision.actor,
        reason=revision.reason,
        create_time=to_timestamp(revision.created),
        traffic_share=revision.traffic_share / BUCKETS,
    )
