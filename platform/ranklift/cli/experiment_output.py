"""Experiments as lines and tables, and what is typed as a change of one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from ranklift.store.analysis import AnalysisPlan
from ranklift.store.values import BUCKETS, Arm, Experiment, RegisteredExperiment
from ranklift.v1 import experiments_pb2 as pb
from ranklift.v1.errors import InvalidRequest


def percent(share: int) -> str:
    """Return a share in ten-thousandths as "25 %"."""
    return f"{share * 100 / BUCKETS:g} %"


def arms_text(one: RegisteredExperiment) -> str:
    """Return the arms with their shares and what they do."""
    return ", ".join(
        f"{arm.name} {percent(arm.share)} {_doing(arm)}" for arm in one.experiment.arms
    )


def targeting_facts(experiment: Experiment) -> Iterator[tuple[str, str]]:
    """Return what an experiment says of who takes part and how its traffic grows."""
    conditions = (
        f"{one.attribute} {'not in' if one.negated else 'in'} {', '.join(one.values)}"
        for one in experiment.conditions
    )
    prerequisites = (
        f"{one.experiment} in {', '.join(one.arms)}" for one in experiment.prerequisites
    )
    steps = experiment.ramp.steps if experiment.ramp else ()
    said = {
        "conditions": "; ".join(conditions),
        "prerequisites": "; ".join(prerequisites),
        "forced": ", ".join(f"{unit} {arm}" for unit, arm in experiment.forced),
        "ramp": " -> ".join(
            percent(step.traffic_share)
            + (f" for {step.hold}" if step.hold else "")
            + (f" and {step.min_units:,} units" if step.min_units else "")
            for step in steps
        ),
    }
    yield from ((label, value) for label, value in said.items() if value)


def plan_facts(plan: AnalysisPlan) -> list[tuple[str, str]]:
    """Return what an analysis plan says beside the defaults."""
    guardrails = (f"{one.metric} (at most {one.margin:.2%} worse)" for one in plan.guardrails)
    said = {
        "secondary metrics": ", ".join(plan.secondary_metrics),
        "guardrails": ", ".join(guardrails),
        "own metrics": ", ".join(metric.name for metric in plan.metrics),
        "horizon": plan.horizon or "",
        "planned units": f"{plan.planned_units:,}" if plan.planned_units else "",
    }
    return [(label, value) for label, value in said.items() if value]


def update_of(
    name: str,
    owner: str | None,
    hypothesis: str | None,
    planned_end: datetime | None,
    force: Sequence[str] | None,
) -> tuple[pb.Experiment, list[str]]:
    """Return the message and the field mask of what was typed; None was not.

    Raises:
        InvalidRequest: a forced unit is not UNIT=ARM.
    """
    definition = pb.Experiment(name=name)
    paths: list[str] = []
    if owner is not None:
        definition.owner = owner
        paths.append("owner")
    if hypothesis is not None:
        definition.hypothesis = hypothesis
        paths.append("hypothesis")
    if planned_end is not None:
        definition.planned_end_time.FromDatetime(planned_end.replace(tzinfo=UTC))
        paths.append("planned_end_time")
    if force:
        definition.forced_units.extend(_forced(text) for text in force)
        paths.append("forced_units")
    if not paths:
        raise InvalidRequest.of("update", "changes nothing; give --owner, --hypothesis, ...")
    return definition, paths


def _forced(text: str) -> pb.ForcedUnit:
    unit, equals, arm = text.rpartition("=")
    if not (unit and equals and arm):
        raise InvalidRequest.of("force", f'"{text}" is not UNIT=ARM, e.g. user-1=treatment')
    return pb.ForcedUnit(unit_id=unit, arm=arm)


def _doing(arm: Arm) -> str:
    parts = [str(arm.model)] if arm.model else []
    if arm.interleaving:
        parts.append(
            f"{arm.interleaving.method} of {' and '.join(map(str, arm.interleaving.models))}"
        )
    if arm.exploration:
        parts.append(f"exploring by {arm.exploration.method}")
    if arm.shadows:
        parts.append(f"shadowed by {' and '.join(map(str, arm.shadows))}")
    return ", ".join(parts) or "nothing"
