"""Experiments as rows, and rows as experiments."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from ranklift.store.analysis_json import plan_content, read_plan
from ranklift.store.json_values import read_value
from ranklift.store.tables import ArmRow, ExperimentRevisionRow, ExperimentRow
from ranklift.store.values import (
    Arm,
    Condition,
    Experiment,
    ExperimentState,
    Exploration,
    Interleaving,
    ModelRef,
    Prerequisite,
    Ramp,
    RegisteredExperiment,
    Revision,
)

_CONDITIONS = TypeAdapter(tuple[Condition, ...])
_PREREQUISITES = TypeAdapter(tuple[Prerequisite, ...])
_FORCED = TypeAdapter(tuple[tuple[str, str], ...])
_SLOTS = TypeAdapter(tuple[tuple[int, int], ...])
_RAMP = TypeAdapter(Ramp | None)
_INTERLEAVING = TypeAdapter(Interleaving | None)
_EXPLORATION = TypeAdapter(Exploration | None)
_SHADOWS = TypeAdapter(tuple[ModelRef, ...])


def new_row(experiment: Experiment, *, actor: str, request_id: str, now: datetime) -> ExperimentRow:
    """Return the row of a draft, with its first revision."""
    row = ExperimentRow(
        name=experiment.name,
        state=ExperimentState.DRAFT,
        revision=0,
        created=now,
        request_id=request_id or None,
        slots=[],
        arms=arm_rows(experiment),
    )
    write(row, experiment)
    revise(row, actor=actor, reason="created", now=now)
    return row


def write(row: ExperimentRow, experiment: Experiment) -> None:
    """Make a row say what an experiment says, but for its arms."""
    row.layer = experiment.layer
    row.unit = experiment.unit
    row.traffic_share = experiment.traffic_share
    row.salt = experiment.salt
    row.primary_metric = experiment.primary_metric
    row.owner = experiment.owner
    row.hypothesis = experiment.hypothesis
    row.planned_end = experiment.planned_end
    row.analysis = plan_content(experiment.analysis)
    row.layer_share = experiment.layer_share
    row.conditions = _plain(_CONDITIONS, experiment.conditions)
    row.prerequisites = _plain(_PREREQUISITES, experiment.prerequisites)
    row.forced = _plain(_FORCED, experiment.forced)
    row.ramp = _plain(_RAMP, experiment.ramp)


def arm_rows(experiment: Experiment) -> list[ArmRow]:
    """Return the rows of an experiment's arms."""
    return [
        ArmRow(
            name=arm.name,
            position=position,
            share=arm.share,
            is_control=arm.name == experiment.control,
            model=arm.model.model if arm.model else None,
            version=arm.model.version if arm.model else None,
            interleaving=_plain(_INTERLEAVING, arm.interleaving),
            exploration=_plain(_EXPLORATION, arm.exploration),
            shadows=_plain(_SHADOWS, arm.shadows),
        )
        for position, arm in enumerate(experiment.arms)
    ]


def revise(row: ExperimentRow, *, actor: str, reason: str, now: datetime) -> None:
    """Put the present state and traffic share on record, as the next revision."""
    row.revision += 1
    row.updated = now
    row.revisions.append(
        ExperimentRevisionRow(
            number=row.revision,
            state=row.state,
            actor=actor,
            reason=reason,
            created=now,
            traffic_share=row.traffic_share,
        )
    )


def to_value(row: ExperimentRow) -> RegisteredExperiment:
    """Return what a row says.

    Raises:
        InvalidRequest: a newer version wrote what this one does not know.
    """
    return RegisteredExperiment(
        experiment=Experiment(
            name=row.name,
            arms=tuple(_arm(arm) for arm in row.arms),
            control=next(arm.name for arm in row.arms if arm.is_control),
            salt=row.salt,
            layer=row.layer,
            unit=row.unit,
            traffic_share=row.traffic_share,
            primary_metric=row.primary_metric,
            owner=row.owner,
            hypothesis=row.hypothesis,
            planned_end=row.planned_end,
            analysis=read_plan(row.analysis),
            layer_share=row.layer_share,
            conditions=read_value(_CONDITIONS, row.conditions, "conditions"),
            prerequisites=read_value(_PREREQUISITES, row.prerequisites, "prerequisites"),
            forced=read_value(_FORCED, row.forced, "forced"),
            ramp=read_value(_RAMP, row.ramp, "ramp"),
        ),
        state=row.state,
        revision=row.revision,
        created=row.created,
        updated=row.updated,
        started=row.started,
        ended=row.ended,
        decision=row.decision,
        request_id=row.request_id or "",
        revisions=tuple(
            Revision(r.number, r.state, r.actor, r.reason, r.created, r.traffic_share)
            for r in row.revisions
        ),
        slots=read_value(_SLOTS, row.slots, "slots"),
    )


def _arm(row: ArmRow) -> Arm:
    return Arm(
        row.name,
        row.share,
        ModelRef(row.model, row.version) if row.model and row.version else None,
        read_value(_INTERLEAVING, row.interleaving, "arms.interleaving"),
        read_value(_EXPLORATION, row.exploration, "arms.exploration"),
        read_value(_SHADOWS, row.shadows, "arms.shadows"),
    )


def _plain(adapter: TypeAdapter[Any], value: object) -> Any:
    return adapter.dump_python(value, mode="json")
