"""Registered experiments as the protocol's messages."""

from __future__ import annotations

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from ranklift.lift.plan_messages import plan_message
from ranklift.store.values import (
    BUCKETS,
    Arm,
    Decision,
    ExperimentState,
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
    )


def to_timestamp(instant: datetime | None) -> Timestamp | None:
    """Return the timestamp of an instant, None of none."""
    if instant is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(instant)
    return timestamp


def _arm_message(arm: Arm) -> pb.Arm:
    model = ModelSelector(name=arm.model.model, version=arm.model.version) if arm.model else None
    return pb.Arm(name=arm.name, share=arm.share / BUCKETS, model=model)


def _revision_message(revision: Revision) -> pb.ExperimentRevision:
    return pb.ExperimentRevision(
        revision=revision.number,
        state=STATES[revision.state],
        actor=revision.actor,
        reason=revision.reason,
        create_time=to_timestamp(revision.created),
    )
